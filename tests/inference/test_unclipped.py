"""Lamba's amplified mosaic is not clipped at 1, in training and at inference; SID's is."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.data.datasets.raw_pairs import RawPairsEval, RawPairsOptions, RawPairsTrain
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import read_raw
from paddle_restore.inference.forward import Forward, restore_frame
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.restorer import Restorer
from paddle_restore.models import model_spec


def frame(values: np.ndarray, white: float = 65535.0) -> RawImage:
    """A mosaic of (H, W) normalised values."""
    return RawImage(np.rint(values * white).astype(np.uint16), "RGGB", (0.0,) * 4, white)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


@pytest.fixture(scope="module")
def official(shared) -> Restorer:
    return Restorer("lamba", weights=shared / "weights" / "lamba_official.pth")


def test_official_weights_give_the_authors_picture_of_a_raw_frame(official, shared):
    golden = np.load(shared / "golden" / "lamba_official.npz")
    picture = official(frame(golden["input"][0, 0]), ratio=1.0)
    assert difference(picture.transpose(2, 0, 1), golden["output"][0]) < 1e-3


@pytest.mark.parametrize("ratio", [30.0, 300.0])
def test_official_weights_get_what_the_amplification_gives(official, ratio):
    """Values up to `ratio` reach the network: clipped at 1 the picture is another one."""
    rng = np.random.default_rng(0)
    light = np.kron(rng.random((8, 8)) ** 6, np.ones((32, 32))) * 0.9
    raw = frame(light, white=16383.0)
    amplified = (raw.mosaic / 16383 * ratio).astype(np.float32)
    assert amplified.max() > 10
    network = official.forward.network
    picture = official(raw, ratio=ratio).transpose(2, 0, 1)
    assert difference(picture, network(amplified[None, None])[0]) < 1e-3
    clipped = network(amplified[None, None].clip(0, 1))[0]
    assert difference(picture, clipped) > 0.05


def seen_by(spec, raw: RawImage, ratio: float) -> np.ndarray:
    """What a network gets of a raw frame, by the restorer."""
    inputs = []

    def network(batch):
        inputs.append(batch)
        height, width = (side * spec.scale for side in batch.shape[2:])
        return np.zeros((len(batch), 3, height, width), np.float32)

    Restorer.of(Forward(network, spec), Preprocess())(raw, ratio=ratio)
    return inputs[0]


@pytest.mark.parametrize(("id", "largest"), [("lamba", 40.0), ("sid_unet", 1.0)])
def test_what_networks_get(sid_tree, id, largest):
    """The same at inference, in training and in evaluation."""
    spec = model_spec(id)
    light = np.full((64, 64), 0.1)
    assert seen_by(spec, frame(light), ratio=400.0).max() == pytest.approx(largest, rel=1e-3)

    name = "Sony/short/00001_00_0.1s.ARW"
    path = sid_tree / f"{id}.csv"
    path.write_text(f"short,long,ratio\n{name},Sony/long/00001_00_10s.ARW,3000\n")
    options = RawPairsOptions(
        root=sid_tree, train_list=path.name, eval_list=path.name, crop=32, max_ratio=3000, flips=(0, 0, 0)
    )
    brightest = float(read_raw(sid_tree / name).normalised(3000, clip=False).max())
    assert brightest > 2
    wanted = brightest if id == "lamba" else 1.0
    sample = RawPairsEval(options, spec).sample(0)
    assert sample["input"].max() == pytest.approx(wanted, rel=1e-5)
    assert sample["input"].min() == 0
    data = RawPairsTrain(options, spec)
    crops = [data.sample(0, np.random.default_rng(seed))["input"].max() for seed in range(20)]
    assert (max(crops) > 1) == (id == "lamba")


def test_a_frame_that_is_evaluated_is_not_clipped():
    spec = model_spec("lamba")
    seen = []

    def network(batch):
        seen.append(float(batch.max()))
        return np.zeros((1, 3, *batch.shape[2:]), np.float32)

    restore_frame(network, spec, np.full((1, 64, 64), 7, np.float32))
    assert seen == [7.0]


def test_folders_exported_before_go_on_clipping():
    values = model_spec("lamba").to_dict()
    assert values["clip"] is False
    del values["clip"]
    assert type(model_spec("lamba")).from_dict(values).clip is True
