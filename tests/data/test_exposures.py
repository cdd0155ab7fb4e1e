"""Own lists of pairs, and flips of the mosaic that keep the colour phase."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from paddle_restore.data.datasets.raw_pairs import RawPairsEval, RawPairsOptions, RawPairsTrain
from paddle_restore.data.datasets.sid import SIDEval, SIDOptions, SIDTrain
from paddle_restore.data.exposures import ExposuresTrain, RawPair
from paddle_restore.data.mosaic import RawImage
from paddle_restore.errors import UserError
from paddle_restore.models import model_spec

SPEC = model_spec("sid_unet")
CHOICES = list(itertools.product([False, True], repeat=3))


def own(root, text, name="own.csv", **more) -> RawPairsOptions:
    (root / name).write_text(text, encoding="utf-8")
    return RawPairsOptions(root=root, train_list=name, eval_list=name, crop=32, **more)


@pytest.fixture
def folder(sid_tree, tmp_path):
    """short/ and long/ with names of one's own."""
    for kind, old in (("short", "00001_00_0.1s"), ("long", "00001_00_10s")):
        (tmp_path / kind).mkdir()
        content = (sid_tree / f"Sony/{kind}/{old}.ARW").read_bytes()
        (tmp_path / kind / "the kitchen.dng").write_bytes(content)
    return tmp_path


CSV = "short,long,ratio\nshort/the kitchen.dng,long/the kitchen.dng,100\n"


@pytest.mark.parametrize("kind", ["csv", "json", "bom", "spaces"])
def test_own_pairs_are_sids_samples(folder, sid_tree, kind):
    row = {"short": "short/the kitchen.dng", "long": "long/the kitchen.dng", "ratio": 100}
    texts = {"json": json.dumps([row]), "bom": "\ufeff" + CSV, "spaces": CSV.replace(",", ", ") + "\n"}
    options = own(folder, texts.get(kind, CSV), f"own.{'json' if kind == 'json' else 'csv'}")
    lists = {"train_list": "Sony_train_list.txt", "eval_list": "Sony_train_list.txt", "crop": 32}
    sid = SIDOptions(root=sid_tree, **lists)
    ours, theirs = RawPairsTrain(options, SPEC), SIDTrain(sid, SPEC)
    assert len(ours) == 1
    theirs.scenes = [[pair for pair in theirs.scenes[0] if pair.ratio == 100]]
    theirs_sample, sample = (data.sample(0, np.random.default_rng(3)) for data in (theirs, ours))
    assert sample["name"] == "the kitchen"
    np.testing.assert_array_equal(sample["input"], theirs_sample["input"])
    np.testing.assert_array_equal(sample["target"], theirs_sample["target"])
    whole, sids = RawPairsEval(options, SPEC).sample(0), SIDEval(sid, SPEC).sample(0)
    np.testing.assert_array_equal(whole["input"], sids["input"])
    np.testing.assert_array_equal(whole["baseline"], sids["baseline"])
    assert (whole["group"], whole["counted"]) == ("x100", True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 'long' is missing"),
        ("short,long,ratio\n", "the list is empty"),
        ("short,lnog,ratio\n", "own.csv:1: unknown column 'lnog'; did you mean 'long'"),
        ("short;long;ratio\n", "own.csv:1: unknown column 'short;long;ratio'"),
        (CSV.replace("100", "0"), "own.csv:2: ratio is '0'; expected long over short"),
        (CSV.replace("100", "inf"), "ratio is 'inf'"),
        (CSV.replace("100", "x100"), "ratio is 'x100'"),
        (CSV.replace(",100", ""), "own.csv:2: ratio is None"),
        (CSV.replace("100", "100,x"), "own.csv:2: has more values than the header has columns"),
        (
            CSV + "short/none.dng,long/the kitchen.dng,1\n",
            r"own.csv:3: names .*none.dng, which does not exist",
        ),
        (CSV.replace("long/the kitchen.dng", ""), "own.csv:2: names no long exposure"),
        (CSV.replace("short/the kitchen.dng", ""), "own.csv:2: names no short exposure; add it, or set"),
    ],
)
def test_mistakes_in_a_csv_are_one_line(folder, text, message):
    with pytest.raises(UserError, match=message) as caught:
        RawPairsTrain(own(folder, text), SPEC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ('{"short": 1}', "expected a list such as"),
        (
            '[{"long": "long/the kitchen.dng", "rato": 1}]',
            "entry 1: unknown column 'rato'; did you mean 'ratio'",
        ),
        ('[{"long": 5}]', "entry 1: 5 is not a file's name"),
        (
            '[{"short": "long/the kitchen.dng", "long": "long/the kitchen.dng", "ratio": [1]}]',
            r"ratio is \[1\]",
        ),
    ],
)
def test_mistakes_in_json_are_one_line(folder, text, message):
    with pytest.raises(UserError, match=message):
        RawPairsTrain(own(folder, text, "own.json"), SPEC)


def test_a_list_that_is_no_text(folder):
    options = own(folder, CSV)
    (folder / "own.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not a text file; expected CSV or JSON"):
        RawPairsTrain(options, SPEC)


@pytest.mark.parametrize("choice", CHOICES)
def test_flipping_a_mosaic_carries_its_pattern_and_levels(choice):
    """Every pixel keeps its colour and its own black level: normalised, a flat grey stays flat."""
    levels = (100.0, 200.0, 300.0, 400.0)
    tile = np.array([[100, 200], [400, 300]]) + 50
    raw = RawImage(np.tile(tile, (3, 4)).astype(np.uint16), "RGGB", levels, 1000.0)
    flipped = raw.flipped(*choice)
    values = (np.array([100, 200, 300, 400]) + 50 - levels) / (1000 - np.array(levels))
    order = [0, 3, 2, 1] if choice[2] else [0, 1, 2, 3]
    np.testing.assert_allclose(flipped.packed().mean((1, 2)), values[order], rtol=1e-6)
    np.testing.assert_allclose(flipped.packed().std((1, 2)), 0, atol=1e-7)


class Given:
    """Frames from arrays."""

    def __init__(self, raw, target):
        self.raw, self.target = (lambda path: raw), (lambda path: target)


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "GBRG", "BGGR"])
@pytest.mark.parametrize("size", [(40, 50), (41, 51)])
@pytest.mark.parametrize(("network", "augment"), [("sid_unet", "bayer"), ("lamba", "flips")])
def test_bayer_augmentation_keeps_phase_and_place(pattern, size, network, augment, tmp_path):
    """Where the frame says its own place and colour, every augmented sample still tells the truth."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    tile = np.array(["RGB".index(c) for c in pattern]).reshape(2, 2)
    colour = tile[rows % 2, columns % 2]
    picture = np.stack([rows * 100, columns * 100, 0 * rows], 2).astype(np.uint16)
    mosaic = (rows * 256 + columns * 4 + colour).astype(np.uint16)
    options = RawPairsOptions(root=tmp_path, train_list="a", eval_list="a", crop=8, augment=augment)
    data = ExposuresTrain(options, model_spec(network), [RawPair(tmp_path / "s", tmp_path / "l", 1.0)])
    data.frames = Given(RawImage(mosaic, pattern, (0.0,) * 4, 65535.0, path=tmp_path / "s"), picture)
    seen = set()
    for seed in range(60):
        sample = data.sample(0, np.random.default_rng(seed))
        if network == "lamba":
            mosaic = RawImage(sample["input"][0], "RGGB", (0.0,) * 4, 1.0)
            sample["input"] = mosaic.packed()
        code = np.rint(sample["input"] * 65535).astype(int)
        for plane, wanted, (row, column) in zip(code, (0, 1, 2, 1), ((0, 0), (0, 1), (1, 1), (1, 0))):
            assert (plane % 4 == wanted).all()
            place = np.rint(sample["target"][:2, row::2, column::2] * 655.35).astype(int)
            np.testing.assert_array_equal(plane // 256, place[0])
            np.testing.assert_array_equal(plane % 256 // 4, place[1])
        down, right = (np.sign(np.diff(sample["target"][0], axis=axis)).mean() for axis in (0, 1))
        seen.add((round(down), round(right), round(np.sign(np.diff(sample["target"][1])).mean())))
    assert len(seen) == 6  # the row number runs down, up, right or left; the column number likewise


def test_a_frame_of_the_crops_own_size_is_only_transposed(tmp_path):
    options = RawPairsOptions(root=tmp_path, train_list="a", eval_list="a", crop=8, augment="bayer")
    data = ExposuresTrain(options, SPEC, [RawPair(tmp_path / "s", tmp_path / "l", 1.0)])
    mosaic = np.arange(256, dtype=np.uint16).reshape(16, 16)
    raw = RawImage(mosaic, "RGGB", (0.0,) * 4, 65535.0, path=tmp_path / "s")
    data.frames = Given(raw, np.zeros((16, 16, 3), np.uint16))
    samples = {data.sample(0, np.random.default_rng(seed))["input"].tobytes() for seed in range(20)}
    assert samples == {raw.packed().tobytes(), raw.flipped(False, False, True).packed().tobytes()}


def test_bayer_augmentation_is_refused_for_xtrans(sid_tree):
    lists = {"train_list": "Sony_train_list.txt", "eval_list": "Sony_test_list.txt"}
    with pytest.raises(UserError, match="sid_unet_xtrans reads X-Trans files; use augment=flips"):
        SIDTrain(SIDOptions(root=sid_tree, augment="bayer", **lists), model_spec("sid_unet_xtrans"))
