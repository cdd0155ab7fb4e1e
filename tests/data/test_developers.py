"""DNG files that are written here, in other people's programs: each develops them as it does the original.

The programs are Debian's packages libraw-bin, libimage-exiftool-perl, darktable and rawtherapee. A test is
skipped where its program is not installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from paddle_restore.data.dng import read_camera, write_raw
from paddle_restore.data.dng_file import (
    ASCII,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    Tags,
    directory,
    dng_file,
)
from paddle_restore.data.metadata import EXIF, GPS, MAIN
from paddle_restore.data.raw import read_raw

DOUBLE = 12
DAYLIGHT = np.array([[0.9, -0.3, -0.1], [-0.5, 1.3, 0.2], [-0.1, 0.2, 0.7]])  # XYZ -> camera
TUNGSTEN = np.array([[1.0, -0.4, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]])
FORWARD = np.array([[0.60, 0.34, 0.02], [0.23, 0.95, -0.18], [0.01, -0.16, 0.97]])
NEUTRAL = (0.45, 1.0, 0.8)


def scene(height: int, width: int) -> np.ndarray:
    """Smooth light of many colours with one burnt-out spot, as the camera sees it, (H, W, 3)."""
    rng = np.random.default_rng(3)
    light = cv2.resize(rng.random((7, 9, 3)), (width, height), interpolation=cv2.INTER_CUBIC).clip(0.02, 1)
    light *= np.linspace(0.15, 1, width)[None, :, None] * np.array(NEUTRAL)
    cv2.circle(light, (width // 3, height // 3), height // 12, (1.0, 1.0, 1.0), -1)
    return light


def shading(height: int, width: int) -> bytes:
    """Opcode list with a map of gains from 1 to 1.5: the lens's shading (DNG 1.6, chapter 7)."""
    rows, columns = np.mgrid[:5, :5]
    gains = (1 + ((rows - 2) ** 2 + (columns - 2) ** 2) / 16).astype(">f4").tobytes()
    area = struct.pack(">10I4dI", 0, 0, height, width, 0, 1, 1, 1, 5, 5, 0.25, 0.25, 0.0, 0.0, 1)
    content = area + gains
    return struct.pack(">5I", 1, 9, 0x01030000, 0, len(content)) + content


def original(path: Path, pattern: str, blacks: tuple, white: int, orientation: int, area: tuple) -> None:
    """Write a DNG of a camera with two illuminants, margins, a crop, and all that a camera tells."""
    top, left, bottom, right = area
    light, tile = scene(bottom - top, right - left), np.array(list(pattern)).reshape(2, 2)
    mosaic = np.zeros((bottom + 6, right + 10), np.uint16)
    inside = mosaic[top:bottom, left:right]
    for row, column in np.ndindex(2, 2):
        black = blacks[2 * row + column]
        plane = light[row::2, column::2, "RGB".index(tile[row, column])]
        inside[row::2, column::2] = np.rint(black + plane * (white - black))
    main: Tags = {
        271: (ASCII, "Maker"),
        272: (ASCII, "Maker X100"),
        274: (SHORT, orientation),
        50708: (ASCII, "Maker X100"),
        50713: (SHORT, (2, 2)),
        50714: (LONG, blacks),
        50717: (LONG, white),
        50719: (LONG, (8, 4)),
        50720: (LONG, (right - left - 20, bottom - top - 10)),
        50721: (SRATIONAL, tuple(TUNGSTEN.ravel())),
        50722: (SRATIONAL, tuple(DAYLIGHT.ravel())),
        50723: (SRATIONAL, (1.02, 0, 0, 0, 1, 0, 0, 0, 0.98)),
        50724: (SRATIONAL, (1.02, 0, 0, 0, 1, 0, 0, 0, 0.98)),
        50728: (RATIONAL, NEUTRAL),
        50730: (SRATIONAL, 0.25),
        50735: (ASCII, "CAMERA-SERIAL"),
        51041: (DOUBLE, (1e-4, 1e-6)),
        50778: (SHORT, 17),
        50779: (SHORT, 21),
        50829: (LONG, area),
        50964: (SRATIONAL, tuple(FORWARD.ravel())),
        50965: (SRATIONAL, tuple(FORWARD.ravel())),
        51009: (UNDEFINED, shading(bottom - top, right - left)),
    }
    exif: Tags = {
        33434: (RATIONAL, 0.008),
        33437: (RATIONAL, 2.8),
        34855: (SHORT, 3200),
        36867: (ASCII, "2024:01:02 03:04:05"),
        37386: (RATIONAL, 35),
        42033: (ASCII, "BODY-SERIAL"),
        42036: (ASCII, "Nokton 35mm"),
        42037: (ASCII, "LENS-SERIAL"),
    }
    gps: Tags = {1: (ASCII, "N"), 2: (RATIONAL, (52, 30, 0))}
    directories = {MAIN: directory(main), EXIF: directory(exif, EXIF), GPS: directory(gps, GPS)}
    path.write_bytes(dng_file(mosaic, pattern, 16, directories, compressed=False))


def call(*words: object, home: Path) -> None:
    environment = {**os.environ, "HOME": str(home), "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "2"}
    subprocess.run(
        [str(word) for word in words], env=environment, check=True, capture_output=True, timeout=240
    )


def libraw(source: Path, output: Path) -> None:
    call("dcraw_emu", "-w", "-W", "-T", "-6", "-Z", output, source, home=output.parent)


def darktable(source: Path, output: Path) -> None:
    folder = output.parent
    core = ("--core", "--library", ":memory:", "--configdir", folder / "darktable", "--disable-opencl")
    call("darktable-cli", source, output, *core, home=folder)


def rawtherapee(source: Path, output: Path) -> None:
    call("rawtherapee-cli", "-o", output, "-t", "-b16", "-Y", "-c", source, home=output.parent)


PROGRAMS: dict[str, Callable[[Path, Path], None]] = {
    "dcraw_emu": libraw,
    "darktable-cli": darktable,
    "rawtherapee-cli": rawtherapee,
}


def grid(path: Path) -> np.ndarray:
    """Return the mean colour of 8x8 parts of a picture, 0 to 255."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    scale = 257 if picture.dtype == np.uint16 else 1
    return cv2.resize(picture.astype(np.float32) / scale, (8, 8), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("pattern", "blacks", "white", "orientation", "area"),
    [
        ("RGGB", (512, 512, 512, 512), 16383, 1, (0, 0, 800, 1200)),
        ("GBRG", (500, 510, 520, 530), 4095, 6, (6, 8, 806, 1208)),
        ("BGGR", (64, 64, 64, 64), 1023, 8, (3, 5, 803, 1205)),
        ("GRBG", (2047, 2047, 2047, 2047), 15300, 3, (20, 40, 820, 1064)),
    ],
    ids=["plain", "levels by colour", "odd margins", "upside down"],
)
def test_it_is_developed_like_the_original(tmp_path, program, pattern, blacks, white, orientation, area):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    before, after = tmp_path / "before.dng", tmp_path / "after.dng"
    original(before, pattern, blacks, white, orientation, area)
    write_raw(after, read_raw(before), read_camera(before))
    for path in (before, after):
        PROGRAMS[program](path, path.with_suffix(".tif"))
    expected, found = grid(before.with_suffix(".tif")), grid(after.with_suffix(".tif"))
    assert expected.std() > 20
    assert np.abs(expected - found).max() < 2


KEPT = """
    Make Model UniqueCameraModel Orientation CFAPattern2 AsShotNeutral BaselineExposure OpcodeList2
    ColorMatrix1 ColorMatrix2 CalibrationIlluminant1 CalibrationIlluminant2 CameraCalibration1
    CameraCalibration2 ForwardMatrix1 ForwardMatrix2 DefaultCropOrigin DefaultCropSize
    ExposureTime FNumber ISO DateTimeOriginal FocalLength LensModel
"""


def read_by_exiftool(path: Path) -> dict[str, object]:
    words = ["exiftool", "-json", "-n", "-validate", "-all", str(path)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, timeout=60).stdout)[0]


@pytest.mark.parametrize("metadata", [False, True])
def test_exiftool_finds_no_fault_and_what_may_be_told(tmp_path, metadata):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    original(tmp_path / "a.dng", "GBRG", (500, 510, 520, 530), 4095, 6, (6, 8, 806, 1208))
    write_raw(tmp_path / "b.dng", read_raw(tmp_path / "a.dng"), read_camera(tmp_path / "a.dng"), metadata)
    before, after = read_by_exiftool(tmp_path / "a.dng"), read_by_exiftool(tmp_path / "b.dng")
    assert after["Validate"] == "0 0 0"
    assert not {"StripOffsets", "Warning", "Error"} & set(after)
    kept = re.findall(r"\w+", KEPT)
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (after["BlackLevel"], after["WhiteLevel"]) == (4096, 65535)
    private = {"GPSLatitude", "SerialNumber", "LensSerialNumber", "CameraSerialNumber"}
    assert private & set(after) == (private if metadata else set())
