"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from paddle_restore.errors import UserError
from paddle_restore.shipped import shipped_folder

if os.environ.get("WITHOUT_IMAGECODECS"):  # as in an installation without the extra `formats`
    sys.modules["imagecodecs"] = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository with real pictures, published weights and their golden values.

    They are not ours to pass on. A test that asks for them carries the mark `shared`, and is skipped where
    the folder is missing.
    """
    path = Path(os.environ.get("PADDLE_RESTORE_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"the shared folder is missing: {path}")
    return path


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The exported folder that comes with the package. Skips where this tree has none."""
    try:
        return shipped_folder()
    except UserError as error:
        pytest.skip(str(error))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("shared")


EXPOSURES = ("0.1", "0.04", "0.033")


@pytest.fixture(scope="session")
def sid_tree(tmp_path_factory) -> Path:
    """A tiny SID data set: real DNG files under SID's names, two colour phases, an odd size."""
    from paddle_restore.data.synthetic.dng import write_dng

    root = tmp_path_factory.mktemp("sid")
    for folder in ("short", "long"):
        (root / "Sony" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    lists: dict[str, list[str]] = {"train": [], "test": []}
    scenes = [("00001", "RGGB", 96, 128), ("00002", "BGGR", 97, 131), ("00003", "RGGB", 96, 96)]
    for scene, pattern, height, width in [*scenes, ("10003", "RGGB", 95, 110), ("10045", "GBRG", 96, 96)]:
        light = np.kron(rng.random((8, 10)), np.ones((16, 16)))[:height, :width] * 4000
        common = dict(pattern=pattern, black_level=512, white_level=16383, white_balance=(2, 1, 1.5), iso=200)
        name = f"{scene}_00_10s.ARW"
        write_dng(root / "Sony/long" / name, (light + 512).astype(np.uint16), exposure_time=10.0, **common)
        for seconds in EXPOSURES:
            noisy = light * float(seconds) / 10 + 512 + rng.normal(0, 2, light.shape)
            short = f"{scene}_00_{seconds}s.ARW"
            mosaic = np.clip(np.rint(noisy), 0, 16383).astype(np.uint16)
            write_dng(root / "Sony/short" / short, mosaic, exposure_time=float(seconds), **common)
            split = "train" if scene.startswith("0") else "test"
            lists[split].append(f"./Sony/short/{short} ./Sony/long/{name} ISO200 F8")
    for split, lines in lists.items():
        (root / f"Sony_{split}_list.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def tiny_recipe(sid_tree, tmp_path_factory) -> Path:
    """A recipe that trains a very small SID U-Net on the tiny data set in seconds."""
    recipe = {
        "name": "tiny",
        "model": {"id": "sid_unet", "args": {"width": 4}},
        "data": {
            "kind": "sid",
            "root": str(sid_tree),
            "train_list": "Sony_train_list.txt",
            "eval_list": "Sony_test_list.txt",
            "crop": 32,
        },
        "objective": {"kind": "supervised", "losses": {"l1": 1.0}},
        "optimizer": {"lr": 1e-3},
        "train": {"epochs": 2, "batch_size": 2, "log_every": 1},
        "eval": {"metrics": ["psnr_uint8", "ssim_rgb_matlab"]},
    }
    path = tmp_path_factory.mktemp("recipe") / "tiny.yml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture(scope="session")
def picture_recipe(tmp_path_factory) -> Path:
    """A recipe for pictures that trains a very small InvDN in seconds."""
    from paddle_restore.data.image import write_image

    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for number in range(count):
            clean = np.kron(rng.random((5, 6, 3)), np.ones((8, 8, 1)))
            noisy = clean + rng.normal(0, 0.1, clean.shape)
            write_image(root / split / "groundtruth" / f"{number}.png", clean)
            write_image(root / split / "input" / f"{number}.png", noisy)
    recipe = {
        "name": "pictures",
        "model": {"id": "invdn", "args": {"width": 8, "blocks": 1}},
        "data": {"kind": "pairs", "root": str(root), "crop": 16, "lq": 4},
        "objective": {"kind": "invertible"},
        "optimizer": {"lr": 1e-3},
        "train": {"iterations": 6, "batch_size": 2, "log_every": 1},
        "eval": {"metrics": ["psnr"]},
    }
    path = root / "recipe.yml"
    path.write_text(yaml.safe_dump(recipe))
    return path
