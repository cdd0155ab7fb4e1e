"""TIFF and BigTIFF: tifffile opens and writes them.

tifffile decodes them too; with imagecodecs it has nearly all compressions. Without imagecodecs it has neither
LZW nor JPEG: Pillow decodes pictures of up to 8 bits then, and OpenCV 16-bit LZW.
"""

from __future__ import annotations

import io
import itertools
import struct
from dataclasses import replace
from operator import index
from typing import BinaryIO, Optional

import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from paddle_restore.data.colour_profiles import srgb
from paddle_restore.data.formats import CannotHold, Format, NotSupported, add_format
from paddle_restore.data.metadata import ICC, MAIN, ORIENTATION, UNIT, Directory, Metadata, read_directories
from paddle_restore.data.pillow import CmykConversion
from paddle_restore.data.pixels import decode_by_opencv, divide_by_opacity, read_bytes, strips, to_integer
from paddle_restore.quiet import quiet

_FULL_PICTURES = (0, 2)  # NewSubfileType of pages that are no thumbnail and no mask
_EXTRA_SAMPLES, _SELECTION, _PREMULTIPLIED, _STRAIGHT = 338, 0, 1, 2
_SAMPLE_FORMAT, _UNSIGNED, _FLOAT, _VOID = 339, 1, 3, 4
_WHITE_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CAMERA_RAW = 0, 2, 3, 5, 6, (32803, 34892)
_CHANNELS = {0: 1, 1: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
"""PhotometricInterpretation -> channels without extra ones."""

_LZW, _OLD_JPEG, _PACKBITS = 5, 6, 32773
_JPEGS = (_OLD_JPEG, 7)
_ALWAYS_DECODED = (1, 8, 32946, 34925)  # by tifffile: none, two kinds of Deflate, LZMA
_DECODED_BY_OPENCV = (1, 8, 32946, _LZW, _PACKBITS)
_DECODED_BY_PILLOW = (*_ALWAYS_DECODED, 2, 3, 4, _LZW, *_JPEGS, _PACKBITS, 50000)  # CCITT, Zstandard
_TITLES = {
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((22610, 34934), "JPEG XR"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
    **dict.fromkeys((34926, 50000), "Zstandard"),
    34927: "WebP",
    50001: "WebP",
}
"""Compressions that tifffile names otherwise than people do."""

_MAX_PAGES = 100
_STRIP_BYTES = 1 << 20
_LONG = 4  # type of a tag's value


class TiffPicture:
    """An `OpenPicture` of the first page that is no thumbnail."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.notes: list[str] = []
        with tifffile.TiffFile(file) as pages:
            found = list(itertools.islice(pages.pages, _MAX_PAGES))
            full = [page for page in found if page.subfiletype in _FULL_PICTURES] or found[:1]
            self._page = page = full[0]
            _refuse_unknown(page)
            if len(full) > 1:
                count = f"{len(full)}{' or more' * (len(found) == _MAX_PAGES)}"
                self.notes.append(f"holds {count} pictures (pages); the first one is restored")
            # A broken tag may hold several numbers: `index` raises TypeError.
            self.size = (index(page.imagelength), index(page.imagewidth))
            self.orientation = page.tags.valueof(ORIENTATION, 1)
            icc = page.tags.valueof(ICC, b"")
        self._cmyk = CmykConversion(icc) if page.photometric == _CMYK else None
        if self._cmyk:
            self.notes.append(self._cmyk.note)
        self._extra = _extra_sample(page)
        metadata = Metadata.of(read_directories(file), srgb() if self._cmyk else icc)
        self.metadata = replace(metadata, selection=self._extra == _SELECTION)

    def decode(self) -> np.ndarray:
        """Return the stored pixels as (H, W) or (H, W, 2 to 4); floats in [0, 1] as uint16."""
        page = self._page
        end = self._file.seek(0, io.SEEK_END)
        segments = list(zip(page.dataoffsets, page.databytecounts))
        if not segments or any(not size or start + size > end for start, size in segments):
            raise ValueError("cut short")
        pixels = self._stored()
        if pixels.dtype == np.float32:
            pixels = _from_float(pixels)
        if self._cmyk:
            return _cmyk_to_rgb(pixels, self._cmyk)
        if page.photometric == _PALETTE:
            return _with_palette(pixels, page.colormap)
        if self._extra == _PREMULTIPLIED:
            divide_by_opacity(pixels)
        return pixels

    def _stored(self) -> np.ndarray:
        """Decode the page. Palettes come as indices, all others with 0 as black."""
        page, bits = self._page, self._page.bitspersample
        imagecodecs = _LZW in tifffile.TIFF.DECOMPRESSORS
        decoded = tifffile.TIFF.DECOMPRESSORS if imagecodecs else _ALWAYS_DECODED
        differences_of_floats = page.sampleformat == _FLOAT and page.predictor != 1 and not imagecodecs
        if bits >= 8 and page.compression in decoded and not (self._odd or differences_of_floats):
            return self._by_tifffile()
        if bits <= 8 and page.compression in _DECODED_BY_PILLOW:
            return self._by_pillow()
        if bits > 8 and page.compression in _DECODED_BY_OPENCV and _opencv_reads(page):
            return decode_by_opencv(self._plain_bytes(_SELECTION))
        raise NotSupported(
            f"is a TIFF with {_name(page.compression)} compression; install imagecodecs to read it "
            '(pip install "paddle_restore[formats]"), or save it without compression'
        )

    @property
    def _odd(self) -> bool:
        """Whether tifffile does not read the page though it has the codec."""
        page = self._page
        sampled = page.photometric == _YCBCR and page.compression not in _JPEGS
        return sampled or page.sampleformat == _VOID or page.compression == _OLD_JPEG

    def _by_tifffile(self) -> np.ndarray:
        page = self._page
        self._file.seek(0)
        with tifffile.TiffFile(self._file) as pages:
            stored = pages.pages[page.index].asarray()
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            stored = np.ascontiguousarray(stored.transpose(1, 2, 0))
        if page.photometric == _WHITE_IS_ZERO:
            grey = stored if stored.ndim == 2 else stored[..., 0]
            white = 1 if stored.dtype.kind == "f" else np.iinfo(stored.dtype).max
            np.subtract(white, grey, out=grey)
        return stored

    def _by_pillow(self) -> np.ndarray:
        with quiet():  # libtiff prints what it misses
            image = TiffImageFile(io.BytesIO(self._plain_bytes(_STRAIGHT).data))
            image.seek(self._page.index)
            image.load()
        plain = image.mode in ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK")
        stored = np.asarray(image if plain else image.convert("RGB"))
        return stored * np.uint8(255) if image.mode == "1" else stored.copy()

    def _plain_bytes(self, extra_sample: int) -> np.ndarray:
        """Return the file with tags changed that Pillow and OpenCV would apply to the pixels or refuse."""
        data, tags = read_bytes(self._file), self._page.tags
        # Both turn some files themselves, and in others multiply or divide the colours by their opacity.
        plain = {ORIENTATION: 1, _EXTRA_SAMPLES: extra_sample}
        if self._page.sampleformat == _VOID:
            plain[_SAMPLE_FORMAT] = _UNSIGNED
        for name in plain.keys() & {tag.code for tag in tags}:
            start, count = tags[name].valueoffset, tags[name].count
            data[start : start + 2 * count].view(self._page.parent.byteorder + "u2")[:] = plain[name]
        return data


def _extra_sample(page: tifffile.TiffPage) -> Optional[int]:
    """Return what the channel after the colours is, None for no such channel. Without a tag it is opacity."""
    if page.samplesperpixel == _CHANNELS[page.photometric]:
        return None
    value = page.tags.valueof(_EXTRA_SAMPLES, _STRAIGHT)
    return index(value[0] if isinstance(value, tuple) else value)


def _refuse_unknown(page: tifffile.TiffPage) -> None:
    if page.photometric in _CAMERA_RAW:
        raise NotSupported("holds a camera's raw data; give it to a network for raw files, as .dng")
    channels = _CHANNELS.get(page.photometric)
    extra = page.samplesperpixel - channels if channels else -1
    if extra not in ((0, 1) if channels in (1, 3) and page.photometric != _PALETTE else (0,)):
        raise NotSupported(
            f"is a TIFF of {page.samplesperpixel} channels and colour type {int(page.photometric)}; "
            "save it as grey or RGB"
        )
    kinds = {(_UNSIGNED, 8), (_UNSIGNED, 16), (_FLOAT, 32), (_VOID, 8)}
    if page.samplesperpixel == 1:
        kinds |= {(_UNSIGNED, 1), (_UNSIGNED, 2), (_UNSIGNED, 4)}
    if page.photometric == _PALETTE:
        kinds -= {(_UNSIGNED, 16), (_FLOAT, 32)}
    if page.photometric == _CMYK:
        kinds -= {(_FLOAT, 32)}
    if (page.sampleformat, page.bitspersample) not in kinds:
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(page.sampleformat, "unknown")
        raise NotSupported(f"is a TIFF of {page.bitspersample}-bit {kind} numbers; save it with 8 or 16 bits")


def _opencv_reads(page: tifffile.TiffPage) -> bool:
    """Whether OpenCV gives the pixels that a file of 16 or 32 bits has."""
    planes = page.planarconfig == 2 and page.samplesperpixel > 1
    return not planes and page.photometric in (1, _RGB) and page.samplesperpixel != 2


def _name(compression: int) -> str:
    try:
        return _TITLES.get(compression) or tifffile.COMPRESSION(compression).name
    except ValueError:
        return f"unknown ({compression})"


def _from_float(image: np.ndarray) -> np.ndarray:
    lowest, highest = float(image.min()), float(image.max())
    if not np.isfinite(lowest + highest):
        raise NotSupported("has NaN or infinite pixels; repair them first")
    if lowest < 0 or highest > 1:
        raise NotSupported(
            f"has numbers from {lowest:g} to {highest:g}; scale a floating-point picture to [0, 1]"
        )
    return to_integer(image, 16)


def _cmyk_to_rgb(pixels: np.ndarray, cmyk: CmykConversion) -> np.ndarray:
    """Return (H, W, 3) uint8: Pillow's conversion has 8 bits."""
    converted = np.empty((*pixels.shape[:2], 3), np.uint8)
    for rows, rgb in zip(strips(pixels), strips(converted)):
        rgb[:] = cmyk.convert(Image.fromarray(to_integer(rows, 8), "CMYK"))
    return converted


def _with_palette(indices: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8. A palette (3, N) has 16 bits, but some programs write 8."""
    colours = (palette >> 8 if palette.max() > 255 else palette).astype(np.uint8)
    return colours.T[indices.astype(np.uint8)]


def _write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
    """Write Deflate of horizontal differences."""
    height, width = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    directories = metadata.directories(height, width)
    main = directories.pop(MAIN, Directory())
    tags = [
        (name, main.tagtype[name], len(value) if isinstance(value, bytes) else 1, value, True)
        for name, value in main.items()
        if isinstance(value, (bytes, int)) and name != UNIT  # tifffile writes the unit itself
    ]
    # tifffile omits the pointers to EXIF and GPS: placeholders are written, and replaced below.
    tags += [(name - 1, _LONG, 1, 0, True) for name in directories]
    extra = ["unspecified" if metadata.selection else "unassalpha"]
    try:
        tifffile.imwrite(
            file,
            image,
            photometric="rgb" if channels > 2 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=extra if channels in (2, 4) else None,
            compression="zlib",
            compressionargs={"level": 1},
            predictor=True,
            rowsperstrip=max(1, _STRIP_BYTES // (width * channels * image.itemsize)),
            iccprofile=metadata.profile(image) or None,
            resolution=metadata.dpi,
            resolutionunit=2 if metadata.dpi else None,
            metadata=None,
            software=False,
            bigtiff=False,
            byteorder="<",
            extratags=tags,
        )
    except (ValueError, struct.error):
        raise CannotHold from None
    if not directories:
        return
    file.seek(0)
    with tifffile.TiffFile(file) as written:
        entries = {name: written.pages.first.tags[name - 1].offset for name in directories}
    for name, entry in entries.items():
        end = file.seek(0, io.SEEK_END)
        end += file.write(b"\0" * (end % 2))
        file.write(directories[name].tobytes(end))
        file.seek(entry)
        file.write(struct.pack("<HHII", name, _LONG, 1, end))


add_format(
    Format(
        title="TIFF",
        suffixes=(".tif", ".tiff"),
        mime="image/tiff",
        magic=rb"II[*+]\0|MM\0[*+]",
        open=TiffPicture,
        write=_write,
        depths=(8, 16),
        alpha=True,
        selections=True,
        raw_container=True,
    )
)
