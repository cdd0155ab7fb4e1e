"""TIFF and BigTIFF: tifffile opens and writes them, OpenCV decodes them.

tifffile needs a package of codecs for LZW and JPEG, and Pillow has no 16-bit colour.
"""

from __future__ import annotations

import io
import itertools
import struct
from operator import index
from typing import BinaryIO, Optional

import numpy as np
import tifffile

from paddle_restore.data.formats import CannotHold, Format, NotSupported, add_format
from paddle_restore.data.metadata import ICC, MAIN, ORIENTATION, UNIT, Directory, Metadata, read_file_tags
from paddle_restore.data.pixels import decode_by_opencv, to_integer

_FULL_PICTURES = (0, 2)  # NewSubfileType of pages that are no thumbnail and no mask
_EXTRA_SAMPLES, _UNSPECIFIED = 338, 0
_CMYK, _CAMERA_RAW = 5, (32803, 34892)  # PhotometricInterpretation
_STRIP_BYTES = 1 << 20
_LONG = 4  # type of a tag's value


class TiffPicture:
    """An `OpenPicture` of the first page."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        with tifffile.TiffFile(file) as pages:
            self._page = page = pages.pages.first
            _refuse_unknown(page)
            others = itertools.islice(pages.pages, 1, 100)
            if any(other.subfiletype in _FULL_PICTURES for other in others):
                raise NotSupported("holds several pictures (pages); save each as a file of its own")
            # A broken tag may hold several numbers: `index` raises TypeError.
            self.size = (index(page.imagelength), index(page.imagewidth))
            self.orientation = page.tags.valueof(ORIENTATION, 1)
            icc = page.tags.valueof(ICC, b"")
        self.metadata = Metadata.of(read_file_tags(file.name), icc)

    def decode(self) -> np.ndarray:
        """Return the stored pixels as (H, W), (H, W, 3) or (H, W, 4); floats in [0, 1] as uint16."""
        page = self._page
        self._file.seek(0)
        data = np.fromfile(self._file, np.uint8)
        if any(start + size > len(data) for start, size in zip(page.dataoffsets, page.databytecounts)):
            raise ValueError("cut short")
        # OpenCV turns some files itself, and in others multiplies the colours by their opacity.
        for name, plain in ((ORIENTATION, 1), (_EXTRA_SAMPLES, _UNSPECIFIED)):
            if name in page.tags:
                start = page.tags[name].valueoffset
                data[start : start + 2].view(page.parent.byteorder + "u2")[:] = plain
        pixels = decode_by_opencv(data)
        return _from_float(pixels) if pixels.dtype == np.float32 else pixels


def _refuse_unknown(page: tifffile.TiffPage) -> None:
    if page.photometric == _CMYK:
        raise NotSupported("is a CMYK picture; convert it to RGB first")
    if page.photometric in _CAMERA_RAW:
        raise NotSupported("holds a camera's raw data; give it to a network for raw files, as .dng")
    if page.photometric not in (0, 1, 2, 3, 6) or page.samplesperpixel not in (1, 3, 4):
        raise NotSupported(
            f"is a TIFF of {page.samplesperpixel} channels and colour type {int(page.photometric)}; "
            "save it as grey or RGB"
        )
    # OpenCV gives other pixels than these files have.
    if page.bitspersample != 8 and page.planarconfig == 2 and page.samplesperpixel > 1:
        raise NotSupported("is a TIFF with separate planes; save it with interleaved channels")
    if page.bitspersample == 16 and page.photometric == 0:
        raise NotSupported("is a 16-bit TIFF in which 0 is white; save it with 0 as black")
    if (page.sampleformat, page.bitspersample) not in {(1, 1), (1, 4), (1, 8), (1, 16), (3, 32)}:
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(page.sampleformat, "unknown")
        raise NotSupported(f"is a TIFF of {page.bitspersample}-bit {kind} numbers; save it with 8 or 16 bits")


def _from_float(image: np.ndarray) -> np.ndarray:
    lowest, highest = float(image.min()), float(image.max())
    if not np.isfinite(lowest + highest):
        raise NotSupported("has NaN or infinite pixels; repair them first")
    if lowest < 0 or highest > 1:
        raise NotSupported(
            f"has numbers from {lowest:g} to {highest:g}; scale a floating-point picture to [0, 1]"
        )
    return to_integer(image, 16)


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
    try:
        tifffile.imwrite(
            file,
            image,
            photometric="rgb" if channels > 1 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels == 4 else None,
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
        raw_container=True,
    )
)
