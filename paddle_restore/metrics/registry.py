"""Metrics of image quality by the name of their protocol, and the functions that measure by name.

Published numbers with one name differ in colour space, rounding, window and border. A number of one
protocol cannot be compared with one of another, so every protocol has a name.

A metric is a function of a picture and its reference, or of the picture alone. `@register(...)` makes its
name known to recipes. A module of this folder is found, and so is one of another package that names it as
an entry point of the group `paddle_restore.metrics`.

Pictures are (H, W, 3) RGB arrays, either floating point in [0, 1] or uint8 in [0, 255]. The dtype decides
which; the values do not. Floats are neither clipped nor rounded unless the protocol says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.registry import Registry

Metric = TypeVar("Metric", bound=Callable[..., float])


@dataclass(frozen=True)
class Protocol:
    """A way to measure. `function` takes (picture, reference), or (picture) where none is needed."""

    name: str
    function: Callable[..., float]
    higher_is_better: bool
    needs_reference: bool


PROTOCOLS: Registry[Protocol] = Registry("metric protocol", "paddle_restore.metrics")


def register(*, higher_is_better: bool, needs_reference: bool = True) -> Callable[[Metric], Metric]:
    """Register the decorated function as the protocol of its name. It gets checked pictures only."""

    def add(function: Metric) -> Metric:
        name = function.__name__
        PROTOCOLS.add(name, Protocol(name, function, higher_is_better, needs_reference))
        return function

    return add


def evaluate(picture: np.ndarray, reference: np.ndarray | None, protocols: Iterable[str]) -> dict[str, float]:
    """Measure `picture` by each of the named `protocols`, against `reference` where they need one.

    Both are (H, W, 3) RGB, float in [0, 1] or uint8, not necessarily of one dtype. Equal pictures have
    an infinite PSNR. Values that are not finite (a network that diverged) give NaN by every protocol, also
    by those that round. Raises UserError for an unknown protocol, a missing reference, other dtypes,
    shapes that differ, and pictures smaller than a protocol's window.
    """
    chosen = [PROTOCOLS.find(name) for name in protocols]
    pictures = [np.asarray(picture)]
    if reference is not None:
        pictures.append(np.asarray(reference))
    for protocol in chosen:
        if protocol.needs_reference and reference is None:
            raise UserError(f"metric protocol {protocol.name!r} needs a reference, and there is none")
    _check(pictures)
    if not all(np.isfinite(array).all() for array in pictures):
        return {protocol.name: math.nan for protocol in chosen}
    return {protocol.name: _measure(protocol, pictures) for protocol in chosen}


def psnr(picture: np.ndarray, reference: np.ndarray, protocol: str = "psnr") -> float:
    """Peak signal-to-noise ratio in dB, by protocol `psnr` or `psnr_uint8`; see `evaluate`."""
    return _evaluate_one("psnr", picture, reference, protocol)


def ssim(picture: np.ndarray, reference: np.ndarray, protocol: str) -> float:
    """Structural similarity, at most 1, by one of the `ssim_*` protocols; see `evaluate`."""
    return _evaluate_one("ssim", picture, reference, protocol)


def _measure(protocol: Protocol, pictures: list[np.ndarray]) -> float:
    value = protocol.function(*(pictures if protocol.needs_reference else pictures[:1]))
    if np.ndim(value):
        shape = np.shape(value)
        raise UserError(f"metric protocol {protocol.name!r} returns the shape {shape}, and not one number")
    return float(value)


def _evaluate_one(kind: str, picture: np.ndarray, reference: np.ndarray, protocol: str) -> float:
    choices = [name for name in PROTOCOLS if name.startswith(kind)]
    if protocol not in choices:
        raise UserError(f"{protocol!r} is not a protocol of {kind}{did_you_mean(protocol, choices)}")
    return evaluate(picture, reference, [protocol])[protocol]


def _check(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise UserError(f"a picture to measure must be (H, W, 3), not {picture.shape}")
        if picture.dtype != np.uint8 and picture.dtype.kind != "f":
            raise UserError(
                f"a picture to measure must be float in [0, 1] or uint8, not {picture.dtype}: convert it"
            )
    if pictures[0].shape != pictures[-1].shape:
        shapes = f"{pictures[0].shape} and {pictures[-1].shape}"
        raise UserError(f"pictures to compare must have one shape, not {shapes}")
