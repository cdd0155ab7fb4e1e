"""A DNG file of one mosaic: TIFF directories, and the pixels as lossless JPEG tiles or one plain strip.

Source: Adobe, Digital Negative Specification 1.6 (tag numbers, meaning of each field), and TIFF 6.0 for the
container. PiDNG and tifffile do not serve: the one has seen no release since 2022 and puts EXIF where few
programs look, the other has no lossless JPEG and no EXIF directory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.arithmetic import ceil_div, round_up
from paddle_restore.data.lossless_jpeg import lossless_jpegs
from paddle_restore.data.metadata import COLOUR_FILTER_ARRAY, MAIN, Directories, merged, pack_block

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, DOUBLE = 1, 2, 3, 4, 5, 7, 10, 12
"""Types of a tag's values."""

Tags = dict[int, tuple[int, Any]]
"""Tag number -> type and values: bytes for BYTE and UNDEFINED, a string for ASCII, numbers for others."""

_STRIP_OFFSET, _TILE_OFFSETS = 273, 324
_TILE = 512  # pixels of a tile's side, about

_FIXED_TAGS: Tags = {
    254: (LONG, 0),  # NewSubfileType: the full picture
    262: (SHORT, COLOUR_FILTER_ARRAY),  # PhotometricInterpretation: colour filter array
    277: (SHORT, 1),  # SamplesPerPixel
    284: (SHORT, 1),  # PlanarConfiguration
    50706: (BYTE, b"\1\6\0\0"),  # DNGVersion
    50707: (BYTE, b"\1\4\0\0"),  # DNGBackwardVersion
    50710: (BYTE, b"\0\1\2"),  # CFAPlaneColor: R, G, B
    50711: (SHORT, 1),  # CFALayout: rectangular
}


def directory(tags: Tags, group: int = 0) -> Directory:
    """Return tags as a directory. `group` is EXIF or GPS for these directories."""
    made = Directory(group=group or None)
    for tag, (kind, value) in tags.items():
        made.tagtype[tag] = kind
        made[tag] = value
    return made


def dng_file(
    mosaic: np.ndarray, pattern: str, bits: int, directories: Directories, compressed: bool
) -> bytes:
    """Return the bytes of a DNG file.

    mosaic       (H, W) unsigned integers below 2**bits
    pattern      4 letters (Bayer) or 36 (X-Trans) at the top left corner of the active area
    bits         per sample, 8 to 16
    directories  all tags that say neither the file's kind, nor the pattern, nor how pixels are stored:
                 MAIN, and EXIF and GPS where there are some
    compressed   lossless JPEG, from 16x16 pixels on; otherwise rows of packed samples
    """
    period = 2 if len(pattern) == 4 else 6
    compressed = compressed and min(mosaic.shape) >= 16
    pixels, chunks = (_tiles if compressed else _strip)(mosaic, bits)
    period_tags: Tags = {
        256: (LONG, mosaic.shape[1]),
        257: (LONG, mosaic.shape[0]),
        258: (SHORT, bits),
        33421: (SHORT, (period, period)),  # CFARepeatPatternDim
        33422: (BYTE, bytes("RGB".index(letter) for letter in pattern)),
    }
    own = directory({**_FIXED_TAGS, **period_tags, **pixels})
    return _joined({**directories, MAIN: merged(own, directories[MAIN])}, chunks)


def _joined(directories: Directories, chunks: list[bytes]) -> bytes:
    """Return the file of directories and chunks of pixels, whose offsets are filled in."""
    start = len(pack_block(directories))
    ends = np.cumsum([start, *map(len, chunks)])
    main = directories[MAIN]
    if _TILE_OFFSETS in main:
        main[_TILE_OFFSETS] = tuple(ends[:-1].tolist())
    else:
        # Pillow adds the place where the directory and its values end.
        main[_STRIP_OFFSET] = start - 8 - len(main.tobytes(8))
    return b"".join([pack_block(directories), *chunks])


def _tiles(mosaic: np.ndarray, bits: int) -> tuple[Tags, list[bytes]]:
    """Return the tags of lossless JPEG tiles, and these."""
    height, width = map(_tile_side, mosaic.shape)
    rows, columns = (-size % tile for size, tile in zip(mosaic.shape, (height, width)))
    # Reflection keeps the colours of a Bayer pattern in turn, which makes padding small.
    padded = np.pad(mosaic, ((0, rows), (0, columns)), "reflect") if rows or columns else mosaic
    tiles = [
        padded[top : top + height, left : left + width]
        for top in range(0, padded.shape[0], height)
        for left in range(0, padded.shape[1], width)
    ]
    chunks = lossless_jpegs(tiles, bits, components=2)
    chunks = [chunk + b"\0" * (len(chunk) % 2) for chunk in chunks]  # each begins on an even byte
    tags: Tags = {
        259: (SHORT, 7),  # Compression: JPEG
        322: (LONG, width),
        323: (LONG, height),
        _TILE_OFFSETS: (LONG, (0,) * len(chunks)),
        325: (LONG, tuple(map(len, chunks))),
    }
    return tags, chunks


def _tile_side(size: int) -> int:
    """Return the side of tiles, a multiple of 16.

    LibRaw misreads tiles that are wider than the picture, and LibRaw 0.20 (Debian 12) two tiles of exactly
    half its width, so their number is odd.
    """
    side = round_up(ceil_div(size, size // _TILE | 1), 16)
    return side if side <= size else size // 16 * 16


def _strip(mosaic: np.ndarray, bits: int) -> tuple[Tags, list[bytes]]:
    """Return the tags of one strip, and it: little-endian 16-bit samples; below 16 bits, rows of bits."""
    if bits == 16:
        strip = mosaic.astype("<u2").tobytes()
    else:
        height, width = mosaic.shape
        sample_bits = np.unpackbits(mosaic.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=2)
        strip = np.packbits(sample_bits[:, :, 16 - bits :].reshape(height, -1), axis=1).tobytes()
    tags: Tags = {
        259: (SHORT, 1),  # Compression: none
        _STRIP_OFFSET: (LONG, 0),
        278: (LONG, mosaic.shape[0]),  # RowsPerStrip
        279: (LONG, len(strip)),
    }
    return tags, [strip]
