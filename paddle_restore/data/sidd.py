"""The SIDD data set: the authors' files -> folders of pairs, and results -> a submission.

Abdelhamed, Lin, Brown, "A High-Quality Denoising Dataset for Smartphone Cameras", CVPR 2018.
SIDD_Medium_Srgb/Data holds a folder a scene, `0001_001_S6_.../0001_NOISY_SRGB_010.PNG` and
`0001_GT_SRGB_010.PNG`; the validation set is two .mat files of 40 pictures with 32 blocks each.
"""

from __future__ import annotations

import re
import zlib
from itertools import product
from pathlib import Path
from typing import Any, Optional

import numpy as np

from paddle_restore.data.files import atomic_path, list_files
from paddle_restore.data.formats import is_picture
from paddle_restore.data.image import image_size, read_image, write_image
from paddle_restore.data.matching import LOW_RESOLUTION, PAIR_FOLDERS, match_pairs, read_pair
from paddle_restore.data.matlab import read_arrays
from paddle_restore.data.resize import shrink
from paddle_restore.errors import UserError, line_of, listed

NOISY, CLEAN = PAIR_FOLDERS[0]
NOISY_BLOCKS, CLEAN_BLOCKS = "ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"
RESULT_BLOCKS = "DenoisedBlocksSrgb"  # variable of the benchmark's submission

_SOURCE = re.compile(r"^(?P<id>.+)_NOISY_SRGB_(?P<number>\d+)$", re.IGNORECASE)
_BLOCK = re.compile(r"^(\d{4})-(\d{4})$")


def source_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the (noisy, clean) pictures of SIDD's Data folder. Raises UserError if one is missing."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give SIDD_Medium_Srgb/Data")
    files = {path.stem.upper(): path for path in sorted(folder.rglob("*")) if is_picture(path)}
    noisy = [path for path in files.values() if _SOURCE.match(path.stem)]
    if not noisy:
        raise UserError(f"{folder}: holds no *_NOISY_SRGB_*.PNG; give SIDD_Medium_Srgb/Data")
    pairs, missing = [], []
    for path in noisy:
        partner = files.get(path.stem.upper().replace("_NOISY_", "_GT_"))
        if partner is None:
            missing.append(str(path))
        else:
            pairs.append((path, partner))
    if missing:
        raise UserError(f"{folder}: {len(missing)} noisy pictures have no GT: {listed(missing)}")
    return pairs


def cut_patches(
    pair: tuple[Path, Path],
    folder: Path,
    size: int,
    count: int,
    seed: int,
    overlap: Optional[int] = None,
) -> None:
    """Write `count` random windows of a pair to folder/input and folder/groundtruth.

    The windows depend on the seed and the file's name only. With `overlap` they are a grid of all windows
    that overlap by so many pixels instead, as MIRNetV2's authors cut them. Patches that exist are kept.
    Raises UserError for unreadable or too small files.
    """
    match = _SOURCE.match(pair[0].stem)
    stem = f"{match['id']}_{match['number']}" if match else pair[0].stem
    corners: list[tuple[int, int]] = []
    if overlap is not None:
        height, width = image_size(pair[0])
        if min(height, width) >= size:
            rows, columns = (grid_starts(side, size, overlap) for side in (height, width))
            corners = [*product(rows, columns)]
            count = len(corners)
    names = [f"{stem}_{number:03d}.png" for number in range(1, count + 1)]
    missing = [
        index
        for index, name in enumerate(names)
        if not all((folder / part / name).is_file() for part in (NOISY, CLEAN))
    ]
    if not missing:
        return
    noisy, clean = read_pair(*pair)
    height, width = noisy.shape[:2]
    if min(height, width) < size:
        raise UserError(f"{pair[0]}: {width}x{height} pixels are smaller than the patch of {size}")
    rng = np.random.default_rng([seed, zlib.crc32(stem.encode())])
    if not corners:
        tops = rng.integers(height - size + 1, size=count)
        corners = [*zip(tops, rng.integers(width - size + 1, size=count))]
    for index in missing:
        top, left = corners[index]
        window = np.s_[top : top + size, left : left + size]
        write_image(folder / CLEAN / names[index], clean[window])
        write_image(folder / NOISY / names[index], noisy[window])


def grid_starts(length: int, size: int, overlap: int) -> list[int]:
    """Return where windows of `size` begin along a side; the last one ends with the side."""
    return [*range(0, length - size, size - overlap), length - size]


def read_blocks(path: Path, variable: str) -> np.ndarray:
    """Return a validation file's blocks, (pictures, blocks, H, W, 3) uint8.

    Raises UserError for files that are missing, broken, HDF5 (v7.3), or hold something else.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if head.startswith(b"MATLAB 7.3") or b"\x89HDF\r\n\x1a\n" in head:
        raise UserError(
            f"{path}: is an HDF5 file (MATLAB v7.3), and SIDD's own are v5; "
            "save it again in MATLAB: save(name, '-struct', 'data', '-v7')"
        )
    try:
        arrays, names = read_arrays(path.read_bytes(), [variable])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is not a whole .mat file ({line_of(error, 200)})") from None
    if variable not in arrays:
        found = line_of(listed(names), 200) or "nothing"
        raise UserError(f"{path}: holds no {variable}, but {found}")
    blocks = arrays[variable]
    if blocks.ndim != 5 or blocks.shape[4] != 3 or blocks.dtype != np.uint8:
        raise UserError(
            f"{path}: {variable} is {blocks.dtype} {blocks.shape}, not uint8 (pictures, blocks, H, W, 3)"
        )
    return blocks


def write_block(blocks: np.ndarray, folder: Path, index: tuple[int, int]) -> None:
    """Write the block of (picture, block) as folder/NNNN-NNNN.png, unless the file exists."""
    path = folder / f"{_block_name(*index)}.png"
    if not path.is_file():
        write_image(path, np.ascontiguousarray(blocks[index]))


def _block_name(picture: int, block: int) -> str:
    return f"{picture:04d}-{block:04d}"


def write_submission(results: Path, path: Path) -> tuple[int, ...]:
    """Collect a folder of restored blocks, NNNN-NNNN.png, in a .mat file; return the array's shape.

    Raises UserError that lists the missing blocks.
    """
    files = {}
    for file in list_files(results, is_picture, "pictures"):
        match = _BLOCK.match(file.stem.removesuffix("_out"))  # eval.py --save_images adds that
        if match:
            files[int(match[1]), int(match[2])] = file
    if not files:
        raise UserError(f"{results}: holds no pictures with names such as 0000-0000.png")
    rows, columns = (max(index[axis] for index in files) + 1 for axis in (0, 1))
    missing = [_block_name(i, j) for i in range(rows) for j in range(columns) if (i, j) not in files]
    if missing:
        raise UserError(f"{results}: lacks {len(missing)} of {rows}x{columns} blocks: {listed(missing)}")
    first = read_image(files[0, 0])
    blocks = np.empty((rows, columns, *first.shape), np.uint8)
    for index, file in files.items():
        block = read_image(file)
        if block.shape != first.shape or block.dtype != np.uint8:
            raise UserError(
                f"{file}: is not 8-bit of {first.shape[1]}x{first.shape[0]} pixels, as the others"
            )
        blocks[index] = block
    with atomic_path(path) as temporary:
        _scipy_io().savemat(str(temporary), {RESULT_BLOCKS: blocks}, do_compression=True, appendmat=False)
    return blocks.shape


def write_low_resolution(clean: Path, scale: int) -> None:
    """Write a picture of groundtruth/ or GT/, shrunk, to LQ/ next to that folder, unless the file exists."""
    path = clean.parent.parent / LOW_RESOLUTION / f"{clean.stem}.png"
    if not path.is_file():
        write_image(path, shrink(read_image(clean), scale))


def readable_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Return the pairs of a folder of either layout: input and groundtruth, or SIDD's own Data."""
    if any((folder / noisy).is_dir() for noisy, _ in PAIR_FOLDERS):
        return [(pair.noisy, pair.clean) for pair in match_pairs(folder)]
    return source_pairs(folder)


def check_pair(pair: tuple[Path, Path]) -> None:
    """Decode both pictures. Raises UserError if one is broken or they differ in size."""
    read_pair(*pair)


def _scipy_io() -> Any:
    try:
        import scipy.io
    except ImportError:
        raise UserError(".mat files need SciPy: pip install 'paddle_restore[sidd]'") from None
    return scipy.io
