"""A raw frame as a DNG file that raw developers take for the camera's own."""

from __future__ import annotations

from pathlib import Path

from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.data.camera_facts import (
    NEUTRAL,
    SERIAL_NUMBER,
    UNIQUE_MODEL,
    WHITE_XY,
    CameraFacts,
    read_camera,
)
from paddle_restore.data.dng_file import ASCII, LONG, RATIONAL, SHORT, Tags, directory, dng_file
from paddle_restore.data.files import atomic_path
from paddle_restore.data.metadata import EXIF, GPS, MAIN, ORIENTATION, Directories, copied, merged, read_block
from paddle_restore.data.mosaic import RawImage

__all__ = ["BLACK", "WHITE", "CameraFacts", "dng_bytes", "read_camera", "to_16_bits", "write_raw"]

BLACK, WHITE = 4096, 65535
"""Levels of a written mosaic. Black is above 0, so that noise below it is kept."""

_MAKE, _MODEL, _DATE = 271, 272, 306
# What developers make use of: exposure, sensitivity, date, lens, flash. Place, serial numbers, owner and
# comments are not among it.
_EXPOSURE = (
    *(33434, 33437, 34850),  # ExposureTime, FNumber, ExposureProgram
    *range(34855, 34868),  # ISO and its kinds
    36864,  # ExifVersion
    *(36867, 36868, 36880, 36881, 36882, 37520, 37521, 37522),  # dates
    *range(37377, 37387),  # APEX values, exposure bias, distance, metering, light source, flash, focal length
    *range(41985, 41997),  # modes, focal length in 35 mm
    *(42034, 42035, 42036),  # LensSpecification, LensMake, LensModel
)
_COLOUR_SPACE, _WIDTH, _HEIGHT = 40961, 40962, 40963
# LibRaw's flip -> EXIF's orientation.
_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)


def write_raw(path: str | Path, raw: RawImage, camera: CameraFacts, metadata: bool = True) -> None:
    """Write a frame as a DNG file in lossless compression, whole or not at all.

    `metadata` False leaves away what developing does not need, such as place and serial numbers.
    Raises UserError if the file cannot be written.
    """
    data = dng_bytes(raw, camera, metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def dng_bytes(raw: RawImage, camera: CameraFacts, metadata: bool = True, compressed: bool = True) -> bytes:
    """Return the file of `write_raw`; uncompressed it is made and opened faster."""
    said = read_block(camera.metadata.exif)
    main, exif, gps = (said.get(name, directory({}, name)) for name in (MAIN, EXIF, GPS))
    if metadata:
        facts = camera.tags
        exif = copied(exif, set(exif) - {_COLOUR_SPACE, _WIDTH, _HEIGHT})  # these are the camera's JPEG's
        gps = copied(gps, set(gps))
    else:
        facts = copied(camera.tags, set(camera.tags) - {SERIAL_NUMBER})
        main, exif, gps = copied(main, (_MAKE, _MODEL, _DATE)), copied(exif, _EXPOSURE), directory({}, GPS)
    frame = directory({**_names(main), **_frame_tags(raw, camera)})
    directories: Directories = {MAIN: merged(main, frame, facts), EXIF: exif, GPS: gps}
    directories = {name: tags for name, tags in directories.items() if tags}
    return dng_file(to_16_bits(raw).mosaic, raw.pattern, 16, directories, compressed)


def _names(main: Directory) -> Tags:
    """Return make, model and a model name that is unique, which a DNG must have."""
    make, model = (_text(main.get(name)) or "unknown" for name in (_MAKE, _MODEL))
    unique = model if model.startswith(make) else f"{make} {model}"
    return {_MAKE: (ASCII, make), _MODEL: (ASCII, model), UNIQUE_MODEL: (ASCII, unique)}


def _text(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")


def _frame_tags(raw: RawImage, camera: CameraFacts) -> Tags:
    """Return orientation, levels, areas, and the white balance unless the camera's tags say it."""
    height, width = raw.mosaic.shape
    width -= height % 2 and width % 2  # RawTherapee 5.9 crashes where both are odd; the column stays stored
    top, left, crop_height, crop_width = camera.crop or (0, 0, height, width)
    tags: Tags = {
        ORIENTATION: (SHORT, _ORIENTATIONS[raw.orientation]),
        50713: (SHORT, (1, 1)),  # BlackLevelRepeatDim
        50714: (SHORT, BLACK),
        50717: (LONG, WHITE),
        50719: (LONG, (left, top)),  # DefaultCropOrigin
        50720: (LONG, (min(crop_width, width - left), crop_height)),  # DefaultCropSize
        50829: (LONG, (0, 0, height, width)),  # ActiveArea
    }
    if not (NEUTRAL in camera.tags or WHITE_XY in camera.tags):
        green = raw.white_balance[1]
        tags[NEUTRAL] = (RATIONAL, tuple(green / gain for gain in raw.white_balance[:3]))
    return tags


def to_16_bits(raw: RawImage, exposure: float = 1.0) -> RawImage:
    """Return the frame, of integers or floats, as uint16 between BLACK and WHITE, `exposure` times as bright.

    What is above the white level becomes it. A frame with these levels already is returned as it is.
    """
    return raw.with_range(BLACK, WHITE, exposure)
