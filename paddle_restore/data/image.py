"""Pictures of 8 or 16 bits as upright (H, W, 3) RGB arrays, read and written in any of `data.formats`.

Colours are never converted: pixels stay in the colour space of the file's ICC profile, which is written
along (`Form.metadata`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Optional, Union

import cv2
import numpy as np

from paddle_restore.data import formats
from paddle_restore.data.files import atomic_path, check_readable
from paddle_restore.data.formats import CannotHold, Format, NotSupported, OpenPicture
from paddle_restore.data.metadata import NO_METADATA, Metadata
from paddle_restore.data.pixels import to_float, to_integer, upright
from paddle_restore.errors import UserError
from paddle_restore.quiet import quiet_libraries

MAX_PIXELS = 500_000_000

# EXIF's orientation (its table 6) -> the bits of `upright`.
_TURNS = {2: 1, 3: 3, 4: 2, 5: 4, 6: 6, 7: 7, 8: 5}

PictureFile = Union[str, Path, BinaryIO]
"""A picture's path, or an open file at whose beginning the picture begins."""


@dataclass(frozen=True)
class Form:
    """Properties of a picture file except its colours, for writing the restored picture in the same form.

    depth     8 or 16 bits
    grey      the file has one channel: it is read as three equal ones and written as their mean
    alpha     (H, W) opacity, or a saved selection, in the file's integer type, which no network sees, or None
    metadata  colour profile, EXIF and resolution, for `write_image`
    notes     what its user has to know of the file, each continuing its name: "is a CMYK picture, ..."
    """

    depth: int = 8
    grey: bool = False
    alpha: Optional[np.ndarray] = None
    metadata: Metadata = NO_METADATA
    notes: tuple[str, ...] = ()

    def shape(self, picture: np.ndarray, depth: Optional[int] = None) -> np.ndarray:
        """(H, W, 3), float in [0, 1] or integers -> (H, W) or (H, W, 2 to 4) of `depth` bits."""
        depth = depth or self.depth
        colours = to_integer(to_float(picture).mean(axis=2) if self.grey else picture, depth)
        if self.alpha is None:
            return colours
        return np.dstack([colours, to_integer(to_float(self.alpha), depth)])


PLAIN = Form()


def read_image(source: PictureFile, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture: (H, W, 3) RGB, uint8 or uint16 as stored; grey becomes three equal channels.

    10 and 12 bits, and a 32-bit float TIFF in [0, 1], come as uint16. Pictures are turned by their EXIF
    orientation. The content decides the format, not the name. Raises UserError for files that are missing,
    broken, of another format, animated, or of more than `max_pixels`.
    """
    return read_with_form(source, max_pixels)[0]


def read_with_form(source: PictureFile, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Form]:
    """Read a picture as `read_image` does, and the form to write the restored picture in.

    Raises UserError like `read_image`.
    """
    with _opened(source) as opened:
        height, width = opened.size
        if height * width > max_pixels:
            raise UserError(
                f"{name_of(source)}: has {width}x{height} = {height * width / 1e6:.1f} million pixels, and "
                f"the limit is {max_pixels / 1e6:g} million; make the picture smaller, or cut it"
            )
        decoded = _decoded(opened)
    del opened  # Pillow's copy of the pixels
    return _with_form(*decoded)


def upright_with_form(opened: OpenPicture) -> tuple[np.ndarray, Form]:
    """Return an open picture as `read_with_form` does. May raise any exception if it is broken."""
    return _with_form(*_decoded(opened))


def _decoded(opened: OpenPicture) -> tuple[np.ndarray, int, Metadata, tuple[str, ...]]:
    """Return the stored pixels, the bits of `upright` for them, metadata and notes."""
    stored = opened.decode()
    if stored.dtype not in (np.uint8, np.uint16) or stored.shape[:2] != opened.size:
        raise ValueError("the file is broken")
    notes = tuple(getattr(opened, "notes", ()))
    return stored, _TURNS.get(opened.orientation, 0), opened.metadata, notes


def _with_form(
    stored: np.ndarray, turn: int, metadata: Metadata, notes: tuple[str, ...]
) -> tuple[np.ndarray, Form]:
    depth = 8 * stored.dtype.itemsize
    alpha, colours = None, stored
    if stored.ndim == 3 and stored.shape[2] in (2, 4):
        alpha = np.ascontiguousarray(upright(stored[..., -1], turn))
    grey = stored.ndim == 2 or stored.shape[2] == 2
    if grey:
        colours = cv2.cvtColor(stored if stored.ndim == 2 else stored[..., 0].copy(), cv2.COLOR_GRAY2RGB)
    elif stored.shape[2] == 4:
        colours = cv2.cvtColor(stored, cv2.COLOR_RGBA2RGB)
    form = Form(depth, grey, alpha, metadata, notes)
    return np.ascontiguousarray(upright(colours, turn)), form


def image_size(source: PictureFile) -> tuple[int, int]:
    """Return (height, width) of the upright picture from its header. Raises UserError like `read_image`."""
    with _opened(source) as opened:
        height, width = opened.size
        return (width, height) if _TURNS.get(opened.orientation, 0) & 4 else (height, width)


def name_of(source: PictureFile, otherwise: str = "the picture") -> str:
    """Return what messages call a file; `otherwise` where it is open and has no name."""
    if isinstance(source, (str, Path)):
        return str(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else otherwise


@contextmanager
def _opened(source: PictureFile) -> Iterator[OpenPicture]:
    """Open a picture. Errors of the libraries for a broken file become UserErrors."""
    path = name_of(source)
    if isinstance(source, (str, Path)):
        check_readable(Path(source))
        if formats.format_of_name(Path(source)) is None:
            raise UserError(f"{path}: is not a {formats.titles(formats.output_formats())} picture")
    try:
        with ExitStack() as stack:
            stack.enter_context(quiet_libraries())
            file = stack.enter_context(Path(source).open("rb")) if isinstance(source, (str, Path)) else source
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

    `image` is RGB (H, W, 3), RGBA (H, W, 4), grey (H, W) or grey with alpha (H, W, 2). A float picture is
    rounded to `depth` (8 or 16) bits. A format of 8 bits gets 8 bits, and one without alpha loses the alpha
    channel, as one without selections loses a channel that is one (`Metadata.selection`). `metadata` is
    written as far as the format can hold it; None writes none. `quality` (1 to 100) is JPEG's, 95 without,
    AVIF's, 90 without, and WebP's, which is lossless without. Raises UserError if the format cannot hold the
    picture, or the file cannot be written.
    """
    path = Path(path)
    kind = output_format(path)
    assert kind.write is not None
    metadata = metadata or NO_METADATA
    image = _storable(image, kind, depth, keeps_last=kind.selections if metadata.selection else kind.alpha)
    with atomic_path(path) as temporary, temporary.open("w+b") as file:
        try:
            with quiet_libraries():
                kind.write(file, image, metadata, quality)
        except CannotHold:
            raise UserError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels cannot be encoded as "
                f"{kind.name.upper()}; choose .{formats.DEFAULT} or .tif"
            ) from None


def _storable(image: np.ndarray, kind: Format, depth: int, keeps_last: bool) -> np.ndarray:
    """Return integers of a depth that the format holds, with or without a channel after the colours."""
    if image.dtype not in (np.uint8, np.uint16):
        image = to_integer(image, kind.nearest_depth(depth))
    elif 8 * image.itemsize not in kind.depths:
        image = to_integer(to_float(image), kind.depths[0])
    if image.ndim == 3 and image.shape[2] in (2, 4) and not keeps_last:
        image = image[..., :3] if image.shape[2] == 4 else image[..., 0]
    return np.ascontiguousarray(image)
