"""SIDD's own files: patches, validation blocks, low-resolution targets, and their mistakes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.io

from paddle_restore.cli.main import main
from paddle_restore.data.image import read_image, write_image
from paddle_restore.data.matching import match_pairs
from tests.conftest import ROOT


def run(*words, code=0):
    with pytest.raises(SystemExit) as stop:
        main("prepare_sidd", [str(word) for word in words])
    assert stop.value.code == code


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    for scene in ("0001", "0002", "0003"):
        folder = tmp_path / "Data" / f"{scene}_001_S6_00100_00060_3200_L"
        clean = rng.integers(0, 256, (40, 60, 3), np.uint8)
        write_image(folder / f"{scene}_GT_SRGB_010.PNG", clean)
        write_image(folder / f"{scene}_NOISY_SRGB_010.PNG", 255 - clean)
    return tmp_path / "Data"


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


def test_patches_are_the_same_whatever_the_workers_and_the_interruptions(source, tmp_path):
    words = ("patches", "--src", source, "--size", 16, "--num", 5)
    run(*words, "--dst", tmp_path / "one", "--workers", 1)
    run(*words, "--dst", tmp_path / "three", "--workers", 3)
    first = contents(tmp_path / "one")
    assert len(first) == 3 * 5 * 2
    assert first == contents(tmp_path / "three")
    # Some are lost: the rest stays as it is and the lost ones come back.
    kept = tmp_path / "one/input/0001_010_001.png"
    for name in ("input/0001_010_003.png", "groundtruth/0002_010_005.png"):
        (tmp_path / "one" / name).unlink()
    before = kept.stat().st_mtime_ns
    run(*words, "--dst", tmp_path / "one", "--workers", 2)
    assert contents(tmp_path / "one") == first
    assert kept.stat().st_mtime_ns == before
    run(*words, "--dst", tmp_path / "other", "--seed", 1)
    assert contents(tmp_path / "other").keys() == first.keys()
    assert contents(tmp_path / "other") != first


def test_a_grid_of_patches_covers_the_picture(source, tmp_path):
    words = ("patches", "--src", source, "--size", 16, "--overlap", 4)
    run(*words, "--dst", tmp_path / "grid", "--workers", 2)
    first = contents(tmp_path / "grid")
    assert len(first) == 3 * (3 * 5) * 2  # rows from 0, 12, 24; columns from 0, 12, 24, 36, 44
    clean = read_image(source / "0001_001_S6_00100_00060_3200_L/0001_GT_SRGB_010.PNG")
    last = read_image(tmp_path / "grid/groundtruth/0001_010_015.png")
    np.testing.assert_array_equal(last, clean[24:40, 44:60])
    np.testing.assert_array_equal(read_image(tmp_path / "grid/input/0001_010_015.png"), 255 - last)
    run(*words, "--dst", tmp_path / "grid")  # a second run keeps all
    run(*words[:-1], 8, "--dst", tmp_path / "grid", code=2)  # other settings
    run(*words[:-1], 16, "--dst", tmp_path / "none", code=2)


def test_patches_do_not_depend_on_the_other_files(source, tmp_path):
    words = ("patches", "--src", source, "--size", 16, "--num", 2)
    run(*words, "--dst", tmp_path / "all")
    for folder in sorted(source.iterdir())[:2]:
        for file in folder.iterdir():
            file.unlink()
    run(*words, "--dst", tmp_path / "last")
    assert contents(tmp_path / "last").items() <= contents(tmp_path / "all").items()


def test_patches_are_windows_of_their_pair(source, tmp_path):
    run("patches", "--src", source, "--dst", tmp_path / "out", "--size", 24, "--num", 3)
    whole = read_image(next(source.rglob("0002_GT*")))
    windows = np.lib.stride_tricks.sliding_window_view(whole, (24, 24, 3)).reshape(-1, 24, 24, 3)
    for pair in match_pairs(tmp_path / "out"):
        clean = read_image(pair.clean)
        np.testing.assert_array_equal(read_image(pair.noisy), 255 - clean)
        if pair.name.startswith("0002_010"):
            assert (windows == clean).all((1, 2, 3)).any()


def test_patches_of_other_settings_do_not_mix(source, tmp_path, capsys):
    words = ("patches", "--src", source, "--dst", tmp_path / "out", "--num", 1)
    run(*words, "--size", 16)
    run(*words, "--size", 24, code=2)
    assert "was begun with other settings" in capsys.readouterr().err


def test_patches_of_bad_files(source, tmp_path, capsys):
    next(source.rglob("0001_NOISY*")).write_bytes(b"broken")
    write_image(next(source.rglob("0002_NOISY*")), np.zeros((40, 61, 3)))
    run("patches", "--src", source, "--dst", tmp_path / "out", "--size", 16, "--num", 2, code=1)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "0001_NOISY" in errors[0]
    assert "differ in size" in errors[1]
    assert len(contents(tmp_path / "out")) == 4
    run("patches", "--src", source, "--dst", tmp_path / "big", "--size", 64, code=1)
    assert "60x40 pixels are smaller than the patch of 64" in capsys.readouterr().err


@pytest.mark.parametrize("remove", ["*GT*", "*NOISY*"])
def test_a_source_without_partners(source, tmp_path, capsys, remove):
    for file in list(source.rglob(remove)):
        file.unlink()
    run("patches", "--src", source, "--dst", tmp_path / "out", code=2)
    error = capsys.readouterr().err
    assert ("3 noisy pictures have no GT" if remove == "*GT*" else "holds no *_NOISY_SRGB_*") in error
    assert not (tmp_path / "out").exists()


@pytest.fixture
def blocks(tmp_path):
    folder = tmp_path / "mat"
    folder.mkdir()
    made = {}
    for seed, name in enumerate(("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")):
        made[name] = np.random.default_rng(seed).integers(0, 256, (2, 3, 8, 8, 3), np.uint8)
        scipy.io.savemat(folder / f"{name}.mat", {name: made[name]})
    return folder, made


def test_validation_blocks_become_pairs_and_results_a_submission(blocks, tmp_path):
    folder, made = blocks
    run("valid", "--src", folder, "--dst", tmp_path / "val", "--workers", 2)
    pairs = match_pairs(tmp_path / "val")
    assert [p.name for p in pairs] == [f"{i:04d}-{j:04d}" for i in range(2) for j in range(3)]
    for pair, noisy, clean in zip(pairs, *(a.reshape(-1, 8, 8, 3) for a in made.values())):
        np.testing.assert_array_equal(read_image(pair.noisy), noisy)
        np.testing.assert_array_equal(read_image(pair.clean), clean)
    results = tmp_path / "val/groundtruth"
    run("valid", "--results", results, "--dst", tmp_path / "SubmitSrgb.mat")
    back = scipy.io.loadmat(tmp_path / "SubmitSrgb.mat")["DenoisedBlocksSrgb"]
    np.testing.assert_array_equal(back, made["ValidationGtBlocksSrgb"])
    assert back.dtype == np.uint8


def test_an_incomplete_submission_lists_what_lacks(blocks, tmp_path, capsys):
    run("valid", "--src", blocks[0], "--dst", tmp_path / "val")
    (tmp_path / "val/input/0000-0001.png").unlink()
    run("valid", "--results", tmp_path / "val/input", "--dst", tmp_path / "out.mat", code=2)
    assert "lacks 1 of 2x3 blocks: 0000-0001" in capsys.readouterr().err
    assert not (tmp_path / "out.mat").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b" ") + b"\x89HDF\r\n\x1a\n", "HDF5 file"),
        (b"\x89HDF\r\n\x1a\n".ljust(600, b"\0"), "HDF5 file"),
        (b"nothing of the kind" * 20, "not a whole .mat file"),
        (b"", "not a whole .mat file"),
        ("other variable", "holds no ValidationNoisyBlocksSrgb, but x"),
        ("other shape", "not uint8"),
        ("cut", "not a whole .mat file"),
    ],
)
def test_other_mat_files_are_refused(blocks, tmp_path, capsys, content, message):
    path = blocks[0] / "ValidationNoisyBlocksSrgb.mat"
    if content == "other variable":
        scipy.io.savemat(path, {"x": np.zeros(3)})
    elif content == "other shape":
        scipy.io.savemat(path, {"ValidationNoisyBlocksSrgb": np.zeros((2, 3))})
    else:
        path.write_bytes(path.read_bytes()[:400] if content == "cut" else content)
    run("valid", "--src", blocks[0], "--dst", tmp_path / "val", code=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "val").exists()


def test_low_resolution_targets_are_those_of_invdn(shared, tmp_path):
    """The published LQ files, bit by bit; a second run writes nothing anew."""
    real = shared / "data/sidd_mini/train_mini"
    for part in ("Noisy", "GT"):
        (tmp_path / part).mkdir()
        for name in ("0_0.PNG", "0_1.PNG"):
            (tmp_path / part / name).write_bytes((real / part / name).read_bytes())
    run("lq", "--src", tmp_path, "--workers", 2)
    for name in ("0_0", "0_1"):
        ours = read_image(tmp_path / "LQ" / f"{name}.png")
        np.testing.assert_array_equal(ours, read_image(real / "LQ" / f"{name}.PNG"))
    before = (tmp_path / "LQ/0_0.png").stat().st_mtime_ns
    run("lq", "--src", tmp_path)
    assert (tmp_path / "LQ/0_0.png").stat().st_mtime_ns == before
    run("lq", "--src", tmp_path, "--scale", 2, code=2)


def test_check_finds_broken_files_in_both_layouts(source, tmp_path, capsys):
    run("check", "--src", source)
    assert "3 of 3 pairs are good" in capsys.readouterr().out
    run("patches", "--src", source, "--dst", tmp_path / "out", "--size", 16, "--num", 2)
    broken = tmp_path / "out/input/0002_010_001.png"
    broken.write_bytes(broken.read_bytes()[:-20])
    run("check", "--src", tmp_path / "out", "--workers", 2, code=1)
    done = capsys.readouterr()
    assert "5 of 6 pairs are good" in done.out
    assert "0002_010_001.png: cannot be read" in done.err


def test_the_tool_runs_without_paddle(source, tmp_path):
    """Preparing data needs no network, and must not wait for Paddle to load."""
    code = (
        "import sys\nfrom paddle_restore.cli.main import main\n"
        "try: main('prepare_sidd')\nfinally: print('paddle' in sys.modules)"
    )
    words = ("patches", "--src", source, "--dst", tmp_path / "out", "--size", "16", "--num", "1")
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
