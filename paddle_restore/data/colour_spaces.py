"""The colour spaces that LibRaw develops to, and their ICC profiles.

A profile says exactly what the pixels hold: the primaries of the space, and LibRaw's tone curve, which is
that of ITU-R BT.709 for all spaces.

Source: ICC.1:2001-04 (profile version 2.4); primaries of IEC 61966-2-1, SMPTE EG 432-1, Adobe RGB (1998),
ISO 22028-2 (ROMM) and ITU-R BT.2020.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import rawpy

_D65, _D50 = (0.3127, 0.3290), (0.3457, 0.3585)
_PCS_WHITE = np.array([0.9642, 1.0, 0.8249])  # of ICC's connection space: D50
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_CURVE_POINTS = 1024


@dataclass(frozen=True)
class ColourSpace:
    """One colour space.

    title      in messages and in the profile
    libraw     LibRaw's name for it
    primaries  x and y of red, green and blue
    white      x and y of white
    """

    title: str
    libraw: rawpy.ColorSpace
    primaries: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    white: tuple[float, float] = _D65

    def profile(self) -> bytes:
        """Return an ICC profile of the space with BT.709's tone curve."""
        red, green, blue = _colorants(self).T
        description = f"{self.title} primaries, BT.709 curve".encode()
        curve = struct.pack(">4s4xI", b"curv", _CURVE_POINTS) + _linear_light().astype(">u2").tobytes()
        tags = {
            b"desc": struct.pack(">4s4xI", b"desc", len(description) + 1) + description + bytes(79),
            b"cprt": struct.pack(">4s4x", b"text") + b"No copyright, use freely\0",
            b"wtpt": _xyz(_PCS_WHITE),
            b"rXYZ": _xyz(red),
            b"gXYZ": _xyz(green),
            b"bXYZ": _xyz(blue),
            **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
        }
        return _packed(tags)


COLOUR_SPACES = {
    "srgb": ColourSpace("sRGB", rawpy.ColorSpace.sRGB, ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))),
    "display_p3": ColourSpace(
        "Display P3", rawpy.ColorSpace.P3D65, ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
    ),
    "adobe_rgb": ColourSpace("Adobe RGB", rawpy.ColorSpace.Adobe, ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))),
    "prophoto": ColourSpace(
        "ProPhoto RGB",
        rawpy.ColorSpace.ProPhoto,
        ((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105)),
        _D50,
    ),
    "rec2020": ColourSpace(
        "Rec. 2020", rawpy.ColorSpace.Rec2020, ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
    ),
}
"""The values of `--colour_space`."""


def _colorants(space: ColourSpace) -> np.ndarray:
    """Return the XYZ of red, green and blue as columns, adapted to D50 by Bradford's matrix."""
    primaries = np.stack([_xyz_of(*place) for place in space.primaries], axis=1)
    white = _xyz_of(*space.white)
    primaries *= np.linalg.solve(primaries, white)
    cones = (_BRADFORD @ _PCS_WHITE) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ (cones[:, None] * (_BRADFORD @ primaries))


def _xyz_of(x: float, y: float) -> np.ndarray:
    return np.array([x, y, 1 - x - y]) / y


def _linear_light() -> np.ndarray:
    """Return the light, 0 to 65535, of equally spaced pixel values."""
    value = np.linspace(0, 1, _CURVE_POINTS)
    light = np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))
    return np.rint(light * 65535)


def _xyz(values: np.ndarray) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in values.tolist()))


def _packed(tags: dict[bytes, bytes]) -> bytes:
    """Return header, table of tags, and each different value once."""
    offset = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    values = table = b""
    for name, value in tags.items():
        if value not in places:
            places[value] = offset + len(values)
            values += value + b"\0" * (-len(value) % 4)
        table += struct.pack(">4sII", name, places[value], len(value))
    header = struct.pack(
        ">I4sI4s4s4s6H4s28x3i48x",
        offset + len(values),
        b"",  # no preferred colour engine
        0x02400000,  # version 2.4
        b"mntr",
        b"RGB ",
        b"XYZ ",
        *(2026, 1, 1, 0, 0, 0),  # a fixed date, so that profiles repeat bit for bit
        b"acsp",
        *(round(value * 65536) for value in _PCS_WHITE.tolist()),
    )
    return header + struct.pack(">I", len(tags)) + table + values
