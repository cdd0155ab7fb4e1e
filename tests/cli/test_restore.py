"""The restore command and the Restorer: many files, patterns, batches, what is there already, mistakes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import paddle
import pytest

from paddle_restore import Restorer, create_model, devices
from paddle_restore.cli.main import main
from paddle_restore.data.image import read_image, write_image
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.errors import UserError
from paddle_restore.inference.export import export
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.package import Preprocess


def run(*words, code=0):
    with pytest.raises(SystemExit) as stop:
        main(argv=[str(word) for word in words])
    assert stop.value.code == code


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """An exported network for pictures."""
    paddle.seed(0)
    folder = tmp_path_factory.mktemp("export") / "mirnet"
    export(create_model("mirnet_v2_small", width=8, groups=[1]), folder, "mirnet_v2_small", Preprocess())
    return folder


@pytest.fixture(scope="module")
def raws(tmp_path_factory):
    """An exported network for raw files."""
    paddle.seed(0)
    folder = tmp_path_factory.mktemp("export") / "sid"
    export(create_model("sid_unet", width=4), folder, "sid_unet", Preprocess())
    return folder


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.jpg", "deep/d.png"):
        write_image(tmp_path / "in" / name, rng.random((20, 24, 3)))
    return tmp_path / "in"


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_folders_and_patterns_keep_their_places(pictures, folder, tmp_path):
    run("restore", folder, "--model", pictures, "--output", tmp_path / "flat")
    assert names(tmp_path / "flat") == ["a.png", "b.png", "c.jpg"]
    run("restore", folder / "**/*.png", "--model", pictures, "--output", tmp_path / "deep")
    assert names(tmp_path / "deep") == ["a.png", "b.png", "deep/d.png"]
    run("restore", folder / "a.png", "--model", pictures, "--output", tmp_path / "one.tif", "--depth", 16)
    assert cv2.imread(str(tmp_path / "one.tif"), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_batches_and_threads_change_nothing(pictures, folder, tmp_path):
    for name, words in (("one", ()), ("three", ("--batch_size", 3))):
        run("restore", folder / "**/*.png", "--model", pictures, "--output", tmp_path / name, *words)
    restorer = Restorer(pictures)
    for path in ("a.png", "b.png", "deep/d.png"):
        one, three = (read_image(tmp_path / kind / path).astype(int) for kind in ("one", "three"))
        assert np.abs(one - three).max() <= 1
        picture = restorer(folder / path)
        assert (picture.dtype, picture.shape) == (np.float32, (20, 24, 3))
        assert np.abs(np.rint(picture * 255) - one).max() <= 1


def test_omp_num_threads_is_heeded(pictures, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices, "_OMP_NUM_THREADS", "3")
    words = ("--input", folder / "a.png", "--output", tmp_path / "out", "--benchmark", "true")
    run("infer", "--model_dir", pictures, *words)
    assert "cpu_math_library_num_threads: 3" in capsys.readouterr().out


def test_what_is_there_is_left(pictures, folder, tmp_path, capsys):
    out, summary = tmp_path / "out", tmp_path / "summary.jsonl"
    words = ("restore", folder, "--model", pictures, "--output", out, "--summary", summary)
    run(*words)
    (out / "b.png").unlink()
    before = (out / "a.png").stat().st_mtime_ns
    run(*words, "--skip_existing")
    assert "restored 1 of 3 files" in capsys.readouterr().out
    assert (out / "a.png").stat().st_mtime_ns == before
    rows = [json.loads(line) for line in summary.read_text().splitlines()]
    assert [row["file"][-5:] for row in rows] == ["a.png", "b.png", "c.jpg", "b.png"]
    assert all(row["seconds"] > 0 and row["ratio"] is None for row in rows)


def test_processes_share_the_files(pictures, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    for rank, files in ((0, ["a.png", "c.jpg"]), (1, ["b.png"])):
        monkeypatch.setenv("PADDLE_TRAINER_ID", str(rank))
        words = ("--output", tmp_path / str(rank), "--compare", tmp_path / "sheet.png")
        run("restore", folder, "--model", pictures, *words)
        assert names(tmp_path / str(rank)) == files
    assert {path.name for path in tmp_path.glob("sheet*")} == {"sheet.1.png", "sheet.2.png"}


def test_a_summary_and_a_sheet_of_raw_files(raws, sid_tree, tmp_path):
    summary, sheet = tmp_path / "s.jsonl", tmp_path / "sheet.png"
    run(
        *("restore", sid_tree / "Sony/short/10003*.ARW", "--model", raws, "--output", tmp_path / "out"),
        *("--target", sid_tree / "Sony/long", "--summary", summary, "--compare", sheet),
    )
    rows = [json.loads(line) for line in summary.read_text().splitlines()]
    assert rows
    assert sorted(row["ratio"] for row in rows) == pytest.approx([100, 250, 300])
    assert all(0 < row["psnr"] < 60 for row in rows)
    assert cv2.imread(str(tmp_path / "out/10003_00_0.1s.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    # Four cells a row; the amplified input is not black.
    drawn = read_image(sheet)
    assert drawn.shape == (332 * len(rows), 1632, 3)
    assert drawn[40:300, 8:400].std() > 1


def test_arrays(pictures, raws, tmp_path):
    rng = np.random.default_rng(0)
    restorer = Restorer(pictures, tile=16)
    floats = restorer(rng.random((20, 24, 3)))
    assert floats.shape == (20, 24, 3)
    integers = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
    np.testing.assert_array_equal(restorer(integers), restorer(integers.astype(np.float32) / 255))
    assert restorer(integers[..., 0]).shape == (20, 24, 3)
    raw = RawImage(rng.integers(60, 1023, (64, 70)).astype(np.uint16), "BGGR", (60,) * 4, 1023)
    assert Restorer(raws)(raw, ratio=2).shape == (64, 70, 3)
    restorer.save(integers, tmp_path / "deep.png", depth=16)
    assert read_image(tmp_path / "deep.png").dtype == np.uint16
    restorer.save(integers, tmp_path / "out.webp")
    assert read_image(tmp_path / "out.webp").shape == (20, 24, 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((20, 24, 3), np.nan), "NaN"),
        (np.zeros((20, 24, 5)), r"the shape \(H, W, 3\).* and this array \(20, 24, 5\)"),
        (np.full((20, 24, 3), 255.0), r"lies in \[0, 1\].* \[255, 255\]"),
        (np.zeros((20, 24, 3), np.int64), "uint8, uint16 or float"),
        (np.zeros((2, 3, 3)), "too small"),
        (np.zeros((0, 5, 3)), r"this array \(0, 5, 3\)"),
    ],
)
def test_arrays_that_are_no_pictures(pictures, array, message):
    with pytest.raises(UserError, match=message):
        Restorer(pictures)(array)


def test_arguments_that_would_give_no_picture(pictures, raws, tmp_path):
    for wrong in ({"batch_size": 0}, {"device": "tpu"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            Restorer(pictures, **wrong)
    with pytest.raises(UserError, match="samples must be 1 or more"):
        Averaging(samples=0)
    raw = RawImage(np.full((64, 64), 600, np.uint16), "RGGB", (60,) * 4, 1023)
    for ratio in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="ratio must be a number above 0"):
            Restorer(raws)(raw, ratio)
    picture = np.zeros((20, 24, 3))
    with pytest.raises(UserError, match="depth must be 8 or 16"):
        Restorer(pictures).save(picture, tmp_path / "a.png", depth=12)
    with pytest.raises(UserError, match=r"a.gif: choose a name"):
        Restorer(pictures).save(picture, tmp_path / "a.gif")


def test_kinds_are_not_mixed_up(pictures, raws, folder, tmp_path, capsys):
    write_dng(tmp_path / "a.dng", np.full((64, 64), 600, np.uint16), white_level=4095)
    words = ("--output", tmp_path / "out")
    run("restore", tmp_path / "a.dng", "--model", pictures, *words, code=2)
    assert "a.dng: is a raw file, and mirnet_v2_small restores pictures" in capsys.readouterr().err
    run("restore", folder / "a.png", "--model", raws, *words, code=2)
    assert "a.png: is a picture, not a raw file" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))


def test_a_broken_file_leaves_the_rest(pictures, folder, tmp_path, capsys):
    """In one batch with others: a half-written file, and pictures of four channels and with NaN."""
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:200])
    (folder / "e.png").write_bytes(b"")
    summary = tmp_path / "s.jsonl"
    words = ("--model", pictures, "--output", tmp_path / "out", "--batch_size", 4, "--summary", summary)
    run("restore", folder, *words, code=1)
    assert names(tmp_path / "out") == ["a.png", "c.jpg"]
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].split("/")[-1] for line in errors] == ["b.png", "e.png"]
    rows = [json.loads(line) for line in summary.read_text().splitlines()]
    assert ["error" in row for row in rows] == [False, True, False, True]


def test_a_frame_that_does_not_fit_into_memory_leaves_the_rest(
    pictures, folder, tmp_path, capsys, monkeypatch
):
    write_image(folder / "b.png", np.zeros((40, 24, 3)))
    run_all = Forward.run

    def run_small(self, sources, *words):
        if any(source.picture_size[0] > 20 for source in sources):
            raise MemoryError
        return run_all(self, sources, *words)

    monkeypatch.setattr(Forward, "run", run_small)
    words = ("--model", pictures, "--output", tmp_path / "out", "--batch_size", 4)
    run("restore", folder, *words, code=1)
    assert names(tmp_path / "out") == ["a.png", "c.jpg"]
    assert "b.png: does not fit into memory; give --tile N" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--model", "nothing"),
            "nothing: is neither an exported folder nor a network (denoise_raw, denoise",
        ),
        (("--model", "lamba"), "lamba: needs weights"),
        (("--model", "lamba", "--backend", "onnx"), "lamba: a network by its id is run by its own code"),
        (("--tile", "0"), "--tile"),
        (("--tile", "some"), "argument --tile: must be auto, none or a number of pixels"),
        (("--batch_size", "many"), "argument --batch_size: must be a whole number, 1 or more"),
        (("--ratio", "bright"), "argument --ratio: must be auto or a number from"),
        (("--compare", "sheet.gif"), "sheet.gif: choose a name that ends in"),
        (("--compare", "/proc/none/sheet.png"), "/proc/none: cannot write there"),
        (("--summary", "/proc/none/s.jsonl"), "/proc/none/s.jsonl: cannot be written"),
        (("--memory", "-1"), "memory must be a number of GB"),
        (("--batch_size", "0"), "--batch_size"),
        (("--backend", "eager"), "runs without the network's code"),
        (("--weights", "x"), "an exported folder has its weights"),
        (("--output", "OUT.png"), "is the name of one picture"),
    ],
)
def test_mistakes_are_one_line(pictures, folder, tmp_path, capsys, words, message):
    words = [str(tmp_path / word) if word == "OUT.png" else word for word in words]
    run("restore", folder, "--model", pictures, "--output", tmp_path / "out", *words, code=2)
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_two_files_of_one_name_are_refused(pictures, folder, tmp_path, capsys):
    words = ("--model", pictures, "--output", tmp_path / "out")
    write_image(tmp_path / "other/a.png", np.zeros((20, 24, 3)))
    run("restore", folder / "a.png", tmp_path / "other/a.png", *words, code=2)
    assert "two files would be written there" in capsys.readouterr().err


def test_a_model_by_its_id(tmp_path):
    paddle.seed(0)
    paddle.save(create_model("lamba").state_dict(), str(tmp_path / "model.pdparams"))
    write_dng(tmp_path / "a.dng", np.full((64, 64), 600, np.uint16), white_level=4095)
    picture = Restorer("lamba", tmp_path / "model.pdparams")(tmp_path / "a.dng", ratio=5)
    assert picture.shape == (64, 64, 3)
