"""The colour spaces that LibRaw develops to, and their ICC profiles.

A profile says exactly what the pixels hold: the primaries of the space, and LibRaw's tone curve, which is
that of ITU-R BT.709 for all spaces.

Source of the primaries: IEC 61966-2-1, SMPTE EG 432-1, Adobe RGB (1998), ISO 22028-2 (ROMM), ITU-R BT.2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import rawpy

from paddle_restore.data.colour_profiles import BT709, D65, Point, rgb_profile

_D50: Point = (0.3457, 0.3585)


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
    primaries: tuple[Point, Point, Point]
    white: Point = D65

    def profile(self) -> bytes:
        """Return an ICC profile of the space with BT.709's tone curve."""
        return rgb_profile(f"{self.title} primaries, BT.709 curve", self.primaries, self.white, BT709)


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
