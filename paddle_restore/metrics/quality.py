"""PSNR and SSIM by the published protocols.

Published numbers differ in colour space, rounding, window and border, so a number from one
protocol cannot be compared with one from another. Every protocol here has a name.

Pictures are (H, W, 3) RGB arrays, either floating point in [0, 1] or uint8 in [0, 255]. The
dtype decides which; values are never looked at. Floats are neither clipped nor rounded unless
the protocol says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.metrics import fidelity


@dataclass(frozen=True)
class Protocol:
    """How a number is measured: what must be known to compare it with another one.

    function   (a, b) -> float, on checked pictures; `evaluate` is the public way in
    unit       "dB" or "" for a pure number
    range      the least and the greatest value
    colour     what the pictures are turned into
    rounding   whether both pictures are clipped and rounded to 8 bits first
    border     what happens where the window leaves the picture
    published  who reports numbers by this protocol
    """

    name: str
    function: Callable[[np.ndarray, np.ndarray], float]
    unit: str
    range: tuple[float, float]
    colour: str
    rounding: bool
    border: str
    published: str
    higher_is_better: bool = True


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="psnr",
            function=fidelity.psnr,
            unit="dB",
            range=(-math.inf, math.inf),
            colour="RGB",
            rounding=False,
            border="none",
            published="MIRNet, MIRNetV2 and InvDN on SIDD; scikit-image on float RGB",
        ),
        Protocol(
            name="psnr_uint8",
            function=fidelity.psnr_uint8,
            unit="dB",
            range=(-math.inf, math.inf),
            colour="RGB",
            rounding=True,
            border="none",
            published="SID and Lamba, on the saved 8-bit pictures",
        ),
        Protocol(
            name="ssim_y_matlab",
            function=fidelity.ssim_y_matlab,
            unit="",
            range=(-1, 1),
            colour="Y of BT.601 (16 to 235), per picture",
            rounding=False,
            border="valid region of an 11x11 Gaussian, sigma 1.5",
            published="the Paddle reproduction of MIRNetV2; InvDN",
        ),
        Protocol(
            name="ssim_rgb_matlab",
            function=fidelity.ssim_rgb_matlab,
            unit="",
            range=(-1, 1),
            colour="RGB, mean over the channels",
            rounding=True,
            border="valid region of an 11x11 Gaussian, sigma 1.5",
            published="SID",
        ),
        Protocol(
            name="ssim_skimage_uint8",
            function=fidelity.ssim_skimage_uint8,
            unit="",
            range=(-1, 1),
            colour="RGB, mean over the channels",
            rounding=True,
            border="valid region of a 7x7 mean, sample covariance",
            published="Lamba; scikit-image's defaults on uint8",
        ),
        Protocol(
            name="ssim_volume_matlab",
            function=fidelity.ssim_volume_matlab,
            unit="",
            range=(-1, 1),
            colour="RGB as a volume of height x width x 3",
            rounding=False,
            border="same size, replicate padded on all three axes; 11x11x11 Gaussian, sigma 1.5",
            published="MIRNet and MIRNetV2: MATLAB's ssim(A, ref) of a colour picture",
        ),
    )
}
"""Every protocol by its name."""


def _check(a: np.ndarray, b: np.ndarray) -> None:
    for picture in (a, b):
        if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise UserError(f"a picture to measure must be (H, W, 3), not {picture.shape}")
        if picture.dtype != np.uint8 and picture.dtype.kind != "f":
            raise UserError(
                f"a picture to measure must be float in [0, 1] or uint8, not {picture.dtype}: convert it"
            )
    if a.shape != b.shape:
        raise UserError(f"pictures to compare must have one shape, not {a.shape} and {b.shape}")


def evaluate(a: np.ndarray, b: np.ndarray, protocols: Iterable[str]) -> dict[str, float]:
    """Measure picture `a` against `b` by each of the named `protocols`.

    `a` and `b` are (H, W, 3) RGB, float in [0, 1] or uint8, not necessarily both the same.
    Equal pictures give a PSNR of infinity, and one with values that are no numbers (a network
    that diverged) gives NaN by every protocol, those that round too. Raises UserError for an
    unknown protocol, other dtypes, shapes that differ, and pictures smaller than SSIM's window.
    """
    a, b = np.asarray(a), np.asarray(b)
    names = list(protocols)
    for name in names:
        if name not in PROTOCOLS:
            raise UserError(f"unknown metric protocol {name!r}{did_you_mean(name, PROTOCOLS)}")
    _check(a, b)
    if not all(np.isfinite(picture).all() for picture in (a, b)):
        return dict.fromkeys(names, math.nan)
    return {name: PROTOCOLS[name].function(a, b) for name in names}


def _evaluate_one(kind: str, a: np.ndarray, b: np.ndarray, protocol: str) -> float:
    choices = [name for name in PROTOCOLS if name.startswith(kind)]
    if protocol not in choices:
        raise UserError(f"{protocol!r} is not a protocol of {kind}{did_you_mean(protocol, choices)}")
    return evaluate(a, b, [protocol])[protocol]


def psnr(a: np.ndarray, b: np.ndarray, protocol: str = "psnr") -> float:
    """Peak signal-to-noise ratio in dB, by protocol `psnr` or `psnr_uint8`; see `evaluate`."""
    return _evaluate_one("psnr", a, b, protocol)


def ssim(a: np.ndarray, b: np.ndarray, protocol: str) -> float:
    """Structural similarity, at most 1, by one of the `ssim_*` protocols; see `evaluate`."""
    return _evaluate_one("ssim", a, b, protocol)
