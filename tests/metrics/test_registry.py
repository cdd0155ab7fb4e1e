"""Metrics by name: which there are, what they are given, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paddle_restore.errors import UserError
from paddle_restore.metrics import PROTOCOLS, Protocol, evaluate, psnr, register, ssim
from paddle_restore.metrics.colour import colourfulness
from tests.metrics.pictures import picture

BEST = {"psnr": math.inf, "ssim": 1, "delta": 0}


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if PROTOCOLS[name].needs_reference])
def test_equal_pictures_are_best_and_the_order_does_not_matter(protocol):
    a, b = picture(4), picture(5)
    value, best = (evaluate(a, other, [protocol])[protocol] for other in (b, a))
    for start, known in BEST.items():
        if protocol.startswith(start):
            assert best == pytest.approx(known, abs=1e-12)
    assert evaluate(a, b, [protocol]) == pytest.approx(evaluate(b, a, [protocol]))
    assert PROTOCOLS[protocol].name == protocol
    assert value < best if PROTOCOLS[protocol].higher_is_better else value > best


def test_a_metric_of_the_picture_alone_needs_no_reference():
    a, b = picture(4), picture(5)
    names = [name for name in PROTOCOLS if not PROTOCOLS[name].needs_reference]
    assert "colourfulness" in names
    assert evaluate(a, None, names) == evaluate(a, b, names)
    assert evaluate(a, None, ["colourfulness"]) == {"colourfulness": colourfulness(a)}
    with pytest.raises(UserError, match="'psnr' needs a reference"):
        evaluate(a, None, ["colourfulness", "psnr"])


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="a metric protocol 'psnr' already"):
        register(higher_is_better=True)(psnr)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((16, 16, 3)), np.zeros((16, 17, 3)), "one shape"),
        (np.zeros((16, 16)), np.zeros((16, 16)), r"\(H, W, 3\)"),
        (np.zeros((16, 16, 3), np.uint16), np.zeros((16, 16, 3)), "uint16"),
        (np.zeros((6, 16, 3)), np.zeros((6, 16, 3)), "at least"),
    ],
)
def test_bad_pictures_are_refused_in_one_line(a, b, message):
    with pytest.raises(UserError, match=message) as error:
        evaluate(a, b, PROTOCOLS)
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_give_nan():
    a, b = picture(7), picture(8)
    a[3, 4, 1] = math.nan
    assert all(math.isnan(value) for value in evaluate(a, b, PROTOCOLS).values())
    assert all(math.isnan(value) for value in evaluate(b, a, PROTOCOLS).values())


def test_an_unknown_protocol_is_refused_with_the_nearest_name():
    a = picture(6)
    with pytest.raises(UserError, match="did you mean 'ssim_y_matlab'"):
        ssim(a, a, "ssim_y_mathlab")
    with pytest.raises(UserError, match="not a protocol of psnr"):
        psnr(a, a, "ssim_y_matlab")
    with pytest.raises(UserError, match="unknown metric protocol"):
        evaluate(a, a, ["niqe"])


def test_a_metric_that_is_no_number_is_named(monkeypatch):
    rows = Protocol("rows", lambda a, b: (a - b).mean(axis=1), higher_is_better=False, needs_reference=True)
    list(PROTOCOLS)  # ours are loaded
    monkeypatch.setitem(PROTOCOLS._parts, "rows", rows)
    with pytest.raises(UserError, match=r"'rows' returns the shape \(16, 3\)"):
        evaluate(np.zeros((16, 16, 3)), np.ones((16, 16, 3)), ["rows"])
