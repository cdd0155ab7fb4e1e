"""Pictures of 8 or 16 bits as upright (H, W, 3) RGB arrays, read and written in any of `data.formats`.

Colours are never converted: pixels stay in the colour space of the file's ICC profile, which is written
along (`Form.metadata`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from paddle_restore.data import formats
from paddle_restore.data.files import atomic_path
from paddle_restore.data.formats import CannotHold, Format, NotSupported, OpenPicture
from paddle_restore.data.metadata import NO_METADATA, Metadata
from paddle_restore.data.pixels import to_float, to_integer, upright
from paddle_restore.errors import UserError
from paddle_restore.quiet import quiet_libraries

MAX_PIXELS = 500_000_000

# EXIF's orientation (its table 6) -> the bits of `upright`.
_TURNS = {2: 1, 3: 3, 4: 2, 5: 4, 6: 6, 7: 7, 8: 5}


@dataclass(frozen=True)
class Form:
    """Properties of a picture file except its colours, for writing the restored picture in the same form.

    depth     8 or 16 bits
    grey      the file has one channel: it is read as three equal ones and written as their mean
    alpha     (H, W) opacity in the file's integer type, which no network sees, or None
    metadata  colour profile, EXIF and resolution, for `write_image`
    """

    depth: int = 8
    grey: bool = False
    alpha: Optional[np.ndarray] = None
    metadata: Metadata = NO_METADATA

    def shape(self, picture: np.ndarray, depth: Optional[int] = None) -> np.ndarray:
        """(H, W, 3), float in [0, 1] or integers -> (H, W), (H, W, 3) or (H, W, 4) of `depth` bits."""
        depth = depth or self.depth
        if self.grey:
            return to_integer(to_float(picture).mean(axis=2), depth)
        colours = to_integer(picture, depth)
        if self.alpha is None:
            return colours
        return np.dstack([colours, to_integer(to_float(self.alpha), depth)])


PLAIN = Form()


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture: (H, W, 3) RGB, uint8 or uint16 as stored; grey becomes three equal channels.

    A 32-bit float TIFF in [0, 1] comes as uint16. Pictures are turned by their EXIF orientation. The content
    decides the format, not the name. Raises UserError for files that are missing, broken, of another format,
    of several pictures, or of more than `max_pixels`.
    """
    return read_with_form(path, max_pixels)[0]


def read_with_form(path: str | Path, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Form]:
    """Read a picture as `read_image` does, and the form to write the restored picture in.

    Grey with alpha comes as four channels. Raises UserError like `read_image`.
    """
    path = Path(path)
    with _opened(path) as opened:
        height, width = opened.size
        if height * width > max_pixels:
            raise UserError(
                f"{path}: has {width}x{height} = {height * width / 1e6:.1f} million pixels, and the limit is "
                f"{max_pixels / 1e6:g} million; make the picture smaller, or cut it"
            )
        stored = opened.decode()
        if stored.dtype not in (np.uint8, np.uint16) or stored.shape[:2] != opened.size:
            raise ValueError("the file is broken")
        turn, metadata = _TURNS.get(opened.orientation, 0), opened.metadata
    del opened  # Pillow's copy of the pixels
    depth = 8 * stored.dtype.itemsize
    alpha, colours = None, stored
    if stored.ndim == 2:
        colours = cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
    elif stored.shape[2] == 4:
        alpha = np.ascontiguousarray(upright(stored[..., 3], turn))
        colours = cv2.cvtColor(stored, cv2.COLOR_RGBA2RGB)
    form = Form(depth, stored.ndim == 2, alpha, metadata)
    return np.ascontiguousarray(upright(colours, turn)), form


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the upright picture from its header. Raises UserError like `read_image`."""
    with _opened(Path(path)) as opened:
        height, width = opened.size
        return (width, height) if _TURNS.get(opened.orientation, 0) & 4 else (height, width)


@contextmanager
def _opened(path: Path) -> Iterator[OpenPicture]:
    """Open a picture. Errors of the libraries for a broken file become UserErrors."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if formats.format_of_name(path) is None:
        raise UserError(f"{path}: is not a {formats.titles(formats.output_formats())} picture")
    try:
        with quiet_libraries(), path.open("rb") as file:
            start = file.read(formats.START)
            file.seek(0)
            found = formats.format_of_bytes(start)
            if found is None:
                what = f"holds no {formats.titles(formats.all_formats())}" if start else "is empty"
                raise NotSupported(f"cannot be read as a picture; the file {what}")
            yield found.open(file)
    except (UserError, MemoryError):
        raise
    except NotSupported as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:
        reason = getattr(error, "strerror", None) or "the file is broken or cut short"
        raise UserError(f"{path}: cannot be read as a picture; {reason}") from None


def output_format(path: Path) -> Format:
    """Return the format that a file of this name is written in. Raises UserError if there is none."""
    found = formats.format_of_name(path)
    if found is None or found.write is None:
        *names, last = [f".{one.name}" for one in formats.output_formats()]
        raise UserError(f"{path}: choose a name that ends in {', '.join(names)} or {last}")
    return found


def write_image(
    path: str | Path,
    image: np.ndarray,
    depth: int = 8,
    metadata: Optional[Metadata] = None,
    quality: Optional[int] = None,
) -> None:
    """Write a picture, float [0, 1] or integer, in the format of the name's suffix.

    `image` is RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W). A float picture is rounded to `depth`
    (8 or 16) bits. A format of 8 bits gets 8 bits, and one without alpha loses the alpha channel.
    `metadata` is written as far as the format can hold it; None writes none. `quality` (1 to 100) is
    JPEG's, 95 without, and WebP's, which is lossless without. Raises UserError if the format cannot hold
    the picture, or the file cannot be written.
    """
    path = Path(path)
    kind = output_format(path)
    assert kind.write is not None
    image = _storable(image, kind, depth)
    with atomic_path(path) as temporary, temporary.open("w+b") as file:
        try:
            with quiet_libraries():
                kind.write(file, image, metadata or NO_METADATA, quality)
        except CannotHold:
            raise UserError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels cannot be encoded as "
                f"{kind.name.upper()}; choose .{formats.DEFAULT} or .tif"
            ) from None


def _storable(image: np.ndarray, kind: Format, depth: int) -> np.ndarray:
    """Return integers of a depth and of channels that the format holds."""
    if image.dtype not in (np.uint8, np.uint16):
        image = to_integer(image, kind.nearest_depth(depth))
    elif 8 * image.itemsize not in kind.depths:
        image = to_integer(to_float(image), kind.depths[0])
    if image.ndim == 3 and image.shape[2] == 4 and not kind.alpha:
        image = image[..., :3]
    return np.ascontiguousarray(image)
