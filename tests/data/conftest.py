"""A colour profile made by hand."""

from __future__ import annotations

import struct
from itertools import product

import numpy as np
import pytest

SRGB_TO_D50 = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)


@pytest.fixture(scope="session")
def cmyk_profile() -> bytes:
    """An ICC profile of ideal inks: cyan, magenta and yellow without black show the sRGB colour 1 - c, m, y.

    A table of two points for each ink (lut16Type of ICC.1:2001-04). Its input curves make it linear in light.
    """
    left = 1 - np.arange(1024) / 1023
    light = np.where(left <= 0.04045, left / 12.92, ((left + 0.055) / 1.055) ** 2.4)
    curve = np.rint((1 - light) * 65535).astype(">u2").tobytes()
    corners = [(1 - k) * SRGB_TO_D50 @ (1 - np.array([c, m, y])) for c, m, y, k in product((0, 1), repeat=4)]
    table = np.rint(np.array(corners) * 32768).astype(">u2").tobytes()
    identity = np.eye(3).ravel() * 65536
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + identity.astype(">i4").tobytes()
    lut += struct.pack(">HH", 1024, 2) + 4 * curve + table + 3 * b"\0\0\xff\xff"
    name = b"ideal inks\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": lut,
    }
    start, entries, data = 132 + 12 * len(tags), b"", b""
    for signature, content in tags.items():
        entries += signature + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">I4xI", start + len(data), 0x02400000) + b"prtrCMYKXYZ "
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + data
