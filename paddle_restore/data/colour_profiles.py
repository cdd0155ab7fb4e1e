"""ICC profiles of colour spaces that files name without holding a profile.

Where they are named: Adobe RGB in a camera's EXIF (DCF 2.0), chromaticities and gamma in PNG, code points of
ITU-T H.273 in PNG (cICP), HEIC and AVIF (nclx). Layout of a profile: ICC.1:2001-04, display profiles with
three primaries (matrix and curves) or one curve.
"""

from __future__ import annotations

import struct
from typing import Optional, Union

import numpy as np
from PIL import ImageCms

Point = tuple[float, float]
"""Chromaticity: CIE x, y."""

D65: Point = (0.3127, 0.3290)
_D50 = np.array([0.9642, 1.0, 0.8249])  # the profile connection space's white
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_PRIMARIES: dict[int, tuple[Point, Point, Point]] = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),  # BT.709 and sRGB
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),  # BT.601, 625 lines
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),  # BT.601, 525 lines
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_ADOBE_RGB: tuple[Point, Point, Point] = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_ADOBE_GAMMA = 563 / 256

_SRGB_CURVE, _VIDEO_CURVE = 13, (1, 6, 14, 15)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_UNSPECIFIED = 2
_TABLE = np.arange(1024) / 1023

BT709 = np.where(_TABLE < 0.081, _TABLE / 4.5, ((_TABLE + 0.099) / 1.099) ** (1 / 0.45))
"""The curve of ITU-R BT.709, which is LibRaw's too."""

Curve = Union[float, np.ndarray]
"""A gamma, or the light of stored values from 0 to 1 at equal steps."""


def srgb() -> bytes:
    """Return a profile of sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def adobe_rgb() -> bytes:
    """Return a profile of Adobe RGB (1998)."""
    return rgb_profile("Adobe RGB (1998)", _ADOBE_RGB, D65, _ADOBE_GAMMA)


def of_code_points(primaries: int, transfer: int) -> Optional[bytes]:
    """Return the profile of H.273's code points: b"" for sRGB and unspecified ones, None if there is none.

    Pictures of BT.709's primaries and curve are shown like sRGB everywhere. There is no profile for the
    curves of HDR (16, PQ, and 18, HLG).
    """
    if primaries in (1, _UNSPECIFIED) and transfer in (_UNSPECIFIED, _SRGB_CURVE, *_VIDEO_CURVE):
        return b""
    curve: Curve
    if transfer in (_SRGB_CURVE, _UNSPECIFIED):
        curve = np.where(_TABLE <= 0.04045, _TABLE / 12.92, ((_TABLE + 0.055) / 1.055) ** 2.4)
    elif transfer in _VIDEO_CURVE:
        curve = BT709
    elif transfer in _GAMMAS:
        curve = _GAMMAS[transfer]
    else:
        return None
    primaries = 1 if primaries == _UNSPECIFIED else primaries
    if primaries not in _PRIMARIES:
        return None
    return rgb_profile(f"H.273 {primaries}/{transfer}", _PRIMARIES[primaries], D65, curve)


def rgb_profile(name: str, primaries: tuple[Point, Point, Point], white: Point, curve: Curve) -> bytes:
    """Return a profile of three primaries, a white point and one curve. Raises ValueError for none."""
    columns = np.array([_xyz(point) for point in primaries]).T
    light = _xyz(white)
    try:
        columns = columns * np.linalg.solve(columns, light)
    except np.linalg.LinAlgError:
        raise ValueError("the primaries lie on a line") from None
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ light)
    adapted = np.linalg.solve(_BRADFORD, gains[:, None] * (_BRADFORD @ columns))
    tags = {f"{colour}XYZ".encode(): _xyz_tag(column) for colour, column in zip("rgb", adapted.T)}
    tags.update({f"{colour}TRC".encode(): _curve_tag(curve) for colour in "rgb"})
    return _profile(name, b"RGB ", tags)


def grey_profile(name: str, gamma: float) -> bytes:
    """Return a profile of one channel."""
    return _profile(name, b"GRAY", {b"kTRC": _curve_tag(gamma)})


def _xyz(point: Point) -> np.ndarray:
    x, y = point
    if not 0 < y <= 1 or not 0 <= x <= 1:
        raise ValueError("a chromaticity lies in [0, 1]")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(values: np.ndarray) -> bytes:
    return np.rint(np.clip(values, -32000, 32000) * 65536).astype(">i4").tobytes()


def _xyz_tag(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _curve_tag(curve: Curve) -> bytes:
    if isinstance(curve, np.ndarray):
        entries = np.rint(curve * 65535).astype(">u2").tobytes()
    elif curve == 1:
        entries = b""
    elif 0 < curve < 255:
        entries = struct.pack(">H", round(curve * 256))
    else:
        raise ValueError("a gamma lies between 0 and 255")
    return b"curv" + bytes(4) + struct.pack(">I", len(entries) // 2) + entries


def _profile(name: str, space: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = name.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"no copyright\0",
        b"wtpt": _xyz_tag(_D50),
        **tags,
    }
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    places: dict[bytes, int] = {}  # equal curves are stored once
    for signature, content in tags.items():
        if content not in places:
            places[content] = start + len(data)
            data += content + bytes(-len(content) % 4)
        table += signature + struct.pack(">II", places[content], len(content))
    header = struct.pack(">I4xI4s4s4s", start + len(data), 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    return header.ljust(68, b"\0") + _fixed(_D50).ljust(60, b"\0") + table + data
