"""Raw files as other cameras write them, through reading, developing, the cache and training."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from paddle_restore.data.cache import DecodedFrames
from paddle_restore.data.datasets.raw_pairs import RawPairsEval, RawPairsOptions, RawPairsTrain
from paddle_restore.data.raw import develop, read_raw
from paddle_restore.data.synthetic.dng import XTRANS_PATTERN, write_dng
from paddle_restore.models import model_spec

PATTERNS = ["RGGB", "GRBG", "GBRG", "BGGR"]


def flat(pattern, blacks, size, signal=400, offset=(0, 0)):
    """A mosaic whose every pixel is `signal` above its own position's black level."""
    period = 2 if len(pattern) == 4 else 6
    rows, columns = np.mgrid[: size[0], : size[1]]
    tile = np.array(blacks).reshape(period, period)
    return (signal + tile[(rows - offset[0]) % period, (columns - offset[1]) % period]).astype(np.uint16)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [(32, 40), (33, 41)])
@pytest.mark.parametrize("margins", [(0, 0, 0, 0), (4, 6, 2, 8), (3, 5, 1, 1)])
def test_every_position_has_its_own_black_level(tmp_path, pattern, size, margins):
    # Of odd margins LibRaw moves the pattern with the frame, but not the levels.
    blacks = [512] * 4 if margins[0] % 2 else [500, 510, 520, 530]
    top, left, bottom, right = margins
    whole = (size[0] + top + bottom, size[1] + left + right)
    mosaic = flat(pattern, blacks, whole, offset=(top, left))
    area = (top, left, top + size[0], left + size[1])
    # What the margins hold is no light.
    mosaic[:top], mosaic[area[2] :], mosaic[:, :left], mosaic[:, area[3] :] = 7, 7, 7, 7
    write_dng(
        tmp_path / "a.dng",
        mosaic,
        pattern=pattern,
        black_level=blacks,
        white_level=4095,
        active_area=area if any(margins) else None,
    )
    raw = read_raw(tmp_path / "a.dng")
    # LibRaw lets Bayer frames begin on an even row and column, and says so in the pattern.
    shape = (size[0] - top % 2, size[1] - left % 2)
    assert raw.mosaic.shape == shape
    assert develop(tmp_path / "a.dng").shape == (*shape, 3)
    for planes in (raw.packed(), raw.aligned().packed()):
        for plane, black in zip(planes, raw.black_level):
            np.testing.assert_allclose(plane, 400 / (4095 - black), rtol=1e-6)


def test_xtrans_with_margins(tmp_path):
    mosaic = np.full((532, 550), 1424, np.uint16)
    write_dng(
        tmp_path / "a.dng",
        mosaic,
        pattern=XTRANS_PATTERN,
        black_level=1024,
        white_level=16383,
        active_area=(6, 12, 527, 535),
    )
    raw = read_raw(tmp_path / "a.dng")
    assert raw.mosaic.shape == (521, 523)
    assert develop(tmp_path / "a.dng").shape == (521, 523, 3)
    np.testing.assert_allclose(raw.packed(), 400 / (16383 - 1024), rtol=1e-6)


@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("compression", ["none", "lossless jpeg"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_depth_compression_and_orientation_change_no_sample(tmp_path, bits, compression, orientation):
    """The white level comes from the file, so the same light gives the same input."""
    white = 2**bits - 1
    light = np.kron(np.random.default_rng(0).random((6, 7)), np.ones((8, 8)))[:47, :55]
    for name, scale in (("short", 0.1), ("long", 1.0)):
        values = np.rint(light * scale * white * 0.9 + white / 16).astype(np.uint16)
        fields = {"bits": bits, "compression": compression, "orientation": orientation}
        write_dng(
            tmp_path / f"{name}.dng", values, black_level=round(white / 16), white_level=white, **fields
        )
    (tmp_path / "own.csv").write_text("short,long,ratio\nshort.dng,long.dng,10\n")
    options = RawPairsOptions(
        root=tmp_path, train_list="own.csv", eval_list="own.csv", crop=16, cache=tmp_path / "cache"
    )
    sample = RawPairsEval(options, model_spec("sid_unet")).sample(0)
    scale = 0.9 * white / (white - round(white / 16))
    np.testing.assert_allclose(sample["input"][0], light[:46:2, :54:2] * scale, atol=12 / white * 2 + 1e-4)
    assert sample["target"].shape == (3, 46, 54)
    for _ in range(2):  # decoded, then from the cache
        train = RawPairsTrain(options, model_spec("sid_unet")).sample(0, np.random.default_rng(0))
        green = train["input"][1]
        target = train["target"][1].reshape(16, 2, 16, 2).mean((1, 3))
        assert np.corrcoef(green.ravel(), target.ravel())[0, 1] > 0.75


def test_the_recipes_levels_win_over_the_files(tmp_path):
    write_dng(
        tmp_path / "a.dng", np.full((32, 32), 600, np.uint16), black_level=[1, 2, 3, 4], white_level=900
    )
    raw = DecodedFrames(black_level=500, white_level=700).raw(tmp_path / "a.dng")
    np.testing.assert_allclose(raw.packed(), 0.5, rtol=1e-6)


@pytest.mark.parametrize(("darkest", "expected"), [(512, "set data.black_level=512"), (3, None)])
def test_a_black_level_of_0_that_cannot_be_is_named(tmp_path, darkest, expected):
    """The level stays the file's; the warning names the one that the frame suggests."""
    mosaic = np.random.default_rng(0).integers(darkest, darkest + 900, (64, 64)).astype(np.uint16)
    mosaic[::8, ::8] = darkest
    write_dng(tmp_path / "a.dng", mosaic, black_level=0, white_level=16383)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = DecodedFrames().raw(tmp_path / "a.dng")
        said = [str(warning.message) for warning in caught]
        DecodedFrames(black_level=512).raw(tmp_path / "a.dng") if expected else None
        assert len(caught) == len(said)  # the recipe's level silences it
    assert raw.black_level == (0.0,) * 4
    assert bool(said) == bool(expected)
    assert all(expected in line and "\n" not in line for line in said)


@pytest.mark.parametrize(("pattern", "size"), itertools.product(PATTERNS, [(47, 61)]))
def test_odd_sizes_train_in_every_phase(tmp_path, pattern, size):
    light = np.kron(np.random.default_rng(1).random((6, 8)), np.ones((8, 8)))[: size[0], : size[1]]
    for name, scale in (("short", 40), ("long", 4000)):
        write_dng(
            tmp_path / f"{name}.dng", (light * scale).astype(np.uint16), pattern=pattern, white_level=4095
        )
    (tmp_path / "own.csv").write_text("short,long,ratio\nshort.dng,long.dng,100\n")
    for augment in ("flips", "bayer"):
        options = RawPairsOptions(
            root=tmp_path, train_list="own.csv", eval_list="own.csv", crop=20, augment=augment
        )
        data = RawPairsTrain(options, model_spec("sid_unet"))
        for seed in range(4):
            sample = data.sample(0, np.random.default_rng(seed))
            green, target = sample["input"][1], sample["target"][1].reshape(20, 2, 20, 2).mean((1, 3))
            assert np.corrcoef(green.ravel(), target.ravel())[0, 1] > 0.75
