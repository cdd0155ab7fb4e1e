"""Run any pictures through a network that changes nothing; compare them with what Pillow and tifffile read.

    python benchmarks/identity_pictures.py FOLDER... [--json FILE] [--show KIND]

Every file below the folders is restored into a TIFF, which tifffile reads. A file is

    same       if the TIFF has the pixels that Pillow or tifffile reads from the file, turned upright
    different  if it has other pixels than both
    alone      if neither Pillow nor tifffile reads the file
    refused    with the line that a user sees
    passed     if it has neither a picture's name nor a picture's content
    crashed    if something else than a UserError came out, which is a bug

Pixels are compared as RGBA, the colours where opacity is above 0. The largest difference may be 1.5 / 255 and
the mean 0.5 / 255, because Pillow reads 16-bit colour as 8 bits.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageFile, ImageOps

from paddle_restore.data.formats import START, format_of_bytes, is_picture
from paddle_restore.errors import UserError
from paddle_restore.inference.forward import Forward
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.restorer import Restorer
from paddle_restore.models.spec import ModelSpec
from paddle_restore.quiet import quiet

_LARGEST, _MEAN = 1.5 / 255, 0.5 / 255
_MAX_PIXELS = 50_000_000
_SIDEWAYS = (5, 6, 7, 8)


def identity_restorer() -> Restorer:
    """Return a restorer whose network gives back its input."""
    spec = ModelSpec("identity", "srgb", 1, 1, 0, paper="", repository="", licence="")
    return Restorer.of(Forward(lambda *inputs: inputs[0], spec), Preprocess())


def judge(restorer: Restorer, path: Path, folder: Path) -> tuple[str, str]:
    """Return the kind of a file's result, and what there is to say of it."""
    with path.open("rb") as file:
        found = format_of_bytes(file.read(START))
    if not found and not is_picture(path):
        return "passed", ""
    named = path if is_picture(path) else folder / f"named{found.suffixes[0]}" if found else path
    if named is not path:
        named.write_bytes(path.read_bytes())
    output = folder / "out.tif"
    try:
        restored = restorer.save(named, output)
    except UserError as error:
        return "refused", str(error).replace(str(named), path.name)
    except Exception as error:
        return "crashed", repr(error)
    ours, notes = _rgba(tifffile.imread(output)), "; ".join(restored.form.notes)
    if restored.form.metadata.selection:
        ours[..., 3] = 1
    others = dict(_read_by_others(path))
    if not others:
        return "alone", notes
    distances = {name: _distance(ours, other) for name, other in others.items()}
    if any(largest <= _LARGEST and mean <= _MEAN for largest, mean in distances.values()):
        return "same", notes
    shown = (f"{name}: largest {255 * a:.1f}, mean {255 * b:.2f}" for name, (a, b) in distances.items())
    return "different", "; ".join([*shown, notes])


def _distance(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the largest and the mean difference, infinity for other sizes."""
    if one.shape != other.shape:
        return np.inf, np.inf
    seen = (one[..., 3:] > 0) | (other[..., 3:] > 0)
    apart = np.abs(one - other) * np.concatenate([seen.repeat(3, axis=2), np.ones_like(seen)], axis=2)
    return float(apart.max()), float(apart.mean())


def _read_by_others(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    for name, read in (("Pillow", _by_pillow), ("tifffile", _by_tifffile)):
        try:
            picture = read(path)
        except Exception:
            continue
        if picture is not None:
            yield name, _rgba(picture)


def _by_pillow(path: Path) -> Optional[np.ndarray]:
    with quiet(), Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        image.load()
        if image.mode == "CMYK" and "icc_profile" in image.info:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            wanted = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(
                image, profile, wanted, ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )  # fmt: skip
            return np.asarray(converted)
        if image.mode.startswith("I;16"):
            grey = np.asarray(image).astype(np.uint16)
            transparent = image.info.get("transparency")
            return (
                grey if transparent is None else np.dstack([grey, (grey != transparent) * np.uint16(65535)])
            )
        if image.mode == "F":
            return np.asarray(image)
        return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _by_tifffile(path: Path) -> Optional[np.ndarray]:
    with tifffile.TiffFile(path) as pages:
        page = next((page for page in pages.pages if page.subfiletype in (0, 2)), pages.pages[0])
        stored, photometric = page.asarray(), page.photometric
        if stored.dtype == bool or page.bitspersample < 8:
            top = 1 if photometric == 3 else 255 // (2**page.bitspersample - 1)
            stored = stored.astype(np.uint8) * np.uint8(top)
        if page.planarconfig == 2 and stored.ndim == 3:
            stored = np.moveaxis(stored, 0, -1)
        if photometric == 0:
            stored = np.iinfo(stored.dtype).max - stored
        if photometric == 3:
            stored = (page.colormap >> 8 if page.colormap.max() > 255 else page.colormap).T[stored]
            stored = stored.astype(np.uint8)
        if photometric not in (0, 1, 2, 3, 6):
            return None
        extra = page.extrasamples[0] if page.extrasamples else 2
        if extra == 1:
            top, alpha = np.iinfo(stored.dtype).max, np.maximum(stored[..., -1:], 1)
            plain = np.rint(stored[..., :-1] * (top / alpha)).clip(0, top)
            stored = np.concatenate([plain.astype(stored.dtype), stored[..., -1:]], axis=-1)
        if extra == 0:
            stored = stored[..., 0] if stored.shape[-1] == 2 else stored[..., :3]
        return _turned(stored, page.tags.valueof(274, 1))


def _turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    picture = picture.swapaxes(0, 1) if orientation in _SIDEWAYS else picture
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return picture[:, ::-1] if orientation in (2, 3, 6, 7) else picture


def _rgba(picture: np.ndarray) -> np.ndarray:
    """Return any picture as (H, W, 4) float32 in [0, 1]."""
    if picture.dtype.kind in "ui":
        picture = picture / np.float32(np.iinfo(picture.dtype).max)
    picture = picture.astype(np.float32)
    picture = picture[..., None] if picture.ndim == 2 else picture
    colours = picture[..., :3] if picture.shape[2] > 2 else picture[..., :1].repeat(3, axis=2)
    opaque = np.ones_like(picture[..., :1])
    return np.concatenate([colours, picture[..., -1:] if picture.shape[2] in (2, 4) else opaque], axis=2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, help="write a line of JSON for every file")
    parser.add_argument("--show", nargs="*", default=["different", "crashed"], help="kinds to print")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = _MAX_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    restorer, counts, lines = identity_restorer(), Counter[str](), []
    files = (file for folder in args.folders for file in sorted(folder.rglob("*")) if file.is_file())
    with tempfile.TemporaryDirectory() as scratch:
        for path in files:
            kind, words = judge(restorer, path, Path(scratch))
            counts[kind] += 1
            lines.append(json.dumps({"file": str(path), "kind": kind, "words": words}))
            if kind in args.show:
                print(f"{kind}: {path.name}: {words}", flush=True)
    if args.json:
        args.json.write_text("\n".join(lines) + "\n")
    print(", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts)))
    sys.exit(1 if counts["different"] or counts["crashed"] else 0)


if __name__ == "__main__":
    main()
