"""The cache of decoded frames: the same samples as without it, and nothing stale or half-written is used."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from paddle_restore.cli import prepare_sid
from paddle_restore.data import cache as cache_module
from paddle_restore.data.batches import Order, batches
from paddle_restore.data.cache import MANIFEST, CachedFrames, DecodedFrames, open_cache, remove_unfinished
from paddle_restore.data.datasets.sid import SIDEval, SIDOptions, SIDTrain
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.errors import UserError
from paddle_restore.models import model_spec
from tests.conftest import ROOT


def options(root, **more) -> SIDOptions:
    lists = {"train_list": "Sony_train_list.txt", "eval_list": "Sony_test_list.txt", "crop": 32}
    return SIDOptions(root=root, **lists, **more)


def prepare(*words) -> int:
    parser = argparse.ArgumentParser()
    prepare_sid.add_arguments(parser)
    return prepare_sid.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def tree(sid_tree, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(sid_tree, tmp_path / "data")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "data/a.dng"
    mosaic = np.random.default_rng(0).integers(500, 4000, (40, 50)).astype(np.uint16)
    write_dng(path, mosaic, pattern="GBRG", black_level=[500, 510, 520, 530], white_level=4095, iso=800)
    return path


def undecodable(monkeypatch):
    """From here on a frame can only come from the cache."""

    def fail(path):
        raise AssertionError(f"{path} is decoded again")

    monkeypatch.setattr(cache_module, "read_raw", fail)
    monkeypatch.setattr(cache_module, "develop", fail)


@pytest.mark.parametrize("augment", ["flips", "bayer"])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_cached_samples_are_those_of_the_files_whatever_the_workers(sid_tree, tmp_path, workers, augment):
    order, spec = Order(samples=3, batch_size=2, seed=7), model_spec("sid_unet")
    plain = SIDTrain(options(sid_tree, augment=augment), spec)
    cached = SIDTrain(options(sid_tree, augment=augment, cache=tmp_path / "cache"), spec)
    for _ in range(2):  # filled, then read
        pairs = list(zip(batches(plain, order, 0, 4), batches(cached, order, 0, 4, workers)))
        assert len(pairs) == 4
        for a, b in pairs:
            assert a["name"] == b["name"]
            np.testing.assert_array_equal(a["input"].numpy(), b["input"].numpy())
            np.testing.assert_array_equal(a["target"].numpy(), b["target"].numpy())


def test_evaluation_reads_the_cache_and_writes_nothing(sid_tree, tmp_path):
    spec = model_spec("sid_unet")
    plain = SIDEval(options(sid_tree), spec).sample(0)
    cached = SIDEval(options(sid_tree, cache=tmp_path / "cache"), spec).sample(0)
    np.testing.assert_array_equal(plain["baseline"], cached["baseline"])
    np.testing.assert_array_equal(plain["input"], cached["input"])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [MANIFEST]


def test_a_frame_is_decoded_once_and_keeps_all_that_the_file_says(source, tmp_path, monkeypatch):
    frames = CachedFrames(tmp_path / "cache", source.parent)
    wanted = DecodedFrames()
    raw, target = wanted.raw(source), wanted.target(source)
    frames.raw(source), frames.target(source)
    undecodable(monkeypatch)
    read = frames.raw(source)
    np.testing.assert_array_equal(read.mosaic, raw.mosaic)
    np.testing.assert_array_equal(frames.target(source), target)
    for name in ("pattern", "black_level", "white_level", "white_balance", "iso", "orientation", "path"):
        assert getattr(read, name) == getattr(raw, name)
    with pytest.raises(ValueError, match="read-only"):
        read.mosaic[0, 0] = 1
    # The recipe's levels are not the cache's business.
    assert CachedFrames(tmp_path / "cache", source.parent, 400, 4000).raw(source).black_level == (400,) * 4


def test_a_file_that_changed_is_decoded_again(source, tmp_path):
    frames = CachedFrames(tmp_path / "cache", source.parent)
    assert frames.raw(source).mosaic.max() > 600
    write_dng(source, np.full((40, 50), 600, np.uint16), white_level=4095)
    os.utime(source, (1, 1))
    assert frames.find(source, ".mosaic") is None
    assert frames.raw(source).mosaic.max() == 600
    assert frames.find(source, ".mosaic")


@pytest.mark.parametrize("damage", ["cut", "longer", "header", "empty", "version", "shape", "metadata"])
def test_a_damaged_or_old_frame_is_decoded_again(source, tmp_path, damage):
    frames = CachedFrames(tmp_path / "cache", source.parent)
    good = np.array(frames.raw(source).mosaic)
    place = frames.frame_path(source, ".mosaic")
    whole = place.read_bytes()
    header = json.loads(whole[:4096])
    header["version"] -= damage == "version"
    if damage == "shape":
        header["shape"] = [-40, -50]
    if damage == "metadata":
        header["metadata"]["pattern"] = 7
    changed = {
        "cut": whole[:-1],
        "longer": whole + b"\0",
        "header": b"\x93NUMPY" + whole[6:],
        "empty": b"",
    }.get(damage, json.dumps(header).encode().ljust(4096) + whole[4096:])
    place.write_bytes(changed)
    assert frames.find(source, ".mosaic") is None
    np.testing.assert_array_equal(frames.raw(source).mosaic, good)
    assert place.read_bytes() == whole


def test_a_full_disk_is_one_line_and_leaves_nothing(source, tmp_path, monkeypatch):
    frames = CachedFrames(tmp_path / "cache", source.parent)

    def full(path, *args, **kwargs):
        if "w" in (args[0] if args else kwargs.get("mode", "r")):
            return open("/dev/full", "wb")
        return original(path, *args, **kwargs)

    original = type(source).open
    monkeypatch.setattr(type(source), "open", full)
    with pytest.raises(UserError, match=r"No space left on device.*this frame takes .* make room") as caught:
        frames.raw(source)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == [MANIFEST]
    monkeypatch.undo()
    assert frames.raw(source).mosaic.shape == (40, 50)


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError, match="holds other files than cached frames"):
        open_cache(tmp_path)
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other", "version": 1}', "\x00"])
def test_a_foreign_manifest_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(UserError, match="is not the manifest of a cache"):
        open_cache(tmp_path)


def test_versions(tmp_path):
    open_cache(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "version": manifest["version"] + 1}))
    with pytest.raises(UserError, match="was made by a newer paddle_restore"):
        open_cache(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "version": manifest["version"] - 1}))
    open_cache(tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text()) == manifest


def test_files_elsewhere_stay_inside_the_cache(source, tmp_path):
    frames = CachedFrames(tmp_path / "cache", tmp_path / "other/root")
    frames.raw(source.parent / "../data/a.dng")
    place = frames.frame_path(source, ".mosaic")
    assert place.is_file()
    assert (tmp_path / "cache") in place.parents


def test_two_jobs_may_fill_one_cache(sid_tree, tmp_path):
    """Both write every frame at once; readers in between never see half a one."""
    files = sorted((sid_tree / "Sony/long").iterdir())
    wanted = {path: DecodedFrames().target(path) for path in files}

    def job(number):
        frames = CachedFrames(tmp_path / "cache", sid_tree)
        for _ in range(5):
            for path in files:
                frames.write(path, ".target", frames.decode(path, ".target"))
                np.testing.assert_array_equal(frames.target(path), wanted[path])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(job, range(3)))
    left = {path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert left == {".target", ".json"}


def test_preparing_resumes_and_training_decodes_nothing(tree, tmp_path, monkeypatch, capsys):
    store = tmp_path / "cache"
    assert prepare("--root", tree, "--cache", store, "--workers", 2) == 0
    assert "mosaic" in capsys.readouterr().out
    frames = sorted(path for path in store.rglob("*") if path.suffix in (".mosaic", ".target"))
    assert len(frames) == 9 + 3
    kept = frames[0].stat().st_mtime_ns
    frames[1].unlink()
    half = frames[1].with_name("." + frames[1].name)
    half.write_bytes(b"")
    os.utime(half, (time.time() - 7200,) * 2)
    assert prepare("--root", tree, "--cache", store) == 0
    assert frames[1].is_file()
    assert not half.exists()
    assert frames[0].stat().st_mtime_ns == kept
    undecodable(monkeypatch)
    data = SIDTrain(options(tree, cache=store), model_spec("sid_unet"))
    for index in range(3):
        data.sample(index, np.random.default_rng(index))


def test_preparing_goes_on_after_an_unreadable_file(tree, tmp_path, capsys):
    (tree / "Sony/short/00002_00_0.1s.ARW").write_bytes(b"")
    assert prepare("--root", tree, "--cache", tmp_path / "cache") == 1
    out = capsys.readouterr().out
    assert "00002_00_0.1s.ARW: cannot be read" in out
    assert "the file is empty" in out
    assert len(list((tmp_path / "cache").rglob("*.mosaic"))) == 8


def test_a_killed_job_leaves_nothing_that_reads_as_whole(tree, tmp_path):
    store = tmp_path / "cache"
    words = [sys.executable, str(ROOT / "tools/prepare_sid.py"), "--root", str(tree), "--cache", str(store)]
    job = subprocess.Popen([*words, "--workers", "0"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while job.poll() is None and not list(store.rglob("*.mosaic")):
        time.sleep(0.005)
    job.kill()
    job.wait()
    frames = CachedFrames(store, tree)
    for path in store.rglob("[!.]*.mosaic"):
        assert frames.find(tree / path.relative_to(store).with_suffix(""), ".mosaic")
    assert prepare("--root", tree, "--cache", store) == 0
    assert len(list(store.rglob("[!.]*.mosaic"))) == 9


def test_young_unfinished_files_may_be_another_jobs(tmp_path):
    (tmp_path / ".a.ARW.x.mosaic").touch()
    assert remove_unfinished(tmp_path) == 0


def test_a_check_finds_what_is_wrong(tree, capsys):
    assert prepare("--check", tree) == 0
    out = capsys.readouterr().out
    assert "Sony_train_list.txt        9         3       12" in out
    (tree / "Sony/short/00001_00_0.1s.ARW").unlink()
    (tree / "Sony/short/00002_00_0.04s.ARW").write_bytes(b"junk" * 99)
    (tree / "Sony/long/00003_00_10s.ARW").unlink()
    write_dng(tree / "Sony/short/10003_00_0.1s.ARW", np.zeros((32, 40), np.uint16))
    assert prepare("--check", tree, "--workers", 2) == 1
    out = capsys.readouterr().out
    assert "00001_00_0.1s.ARW: on Sony_train_list.txt, but not there" in out
    assert "00002_00_0.04s.ARW: cannot be read" in out
    assert "10003_00_0.1s.ARW: 40x32, but 10003_00_10s.ARW is 110x95" in out
    train = next(line for line in out.splitlines() if line.startswith("Sony_train_list.txt "))
    assert train.split() == ["Sony_train_list.txt", "9", "3", "12", "2", "1", "0", "00003"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--root", "x"], "expected --root DIR --cache DIR, or --check DIR"),
        (["--check", "nowhere"], "nowhere: no such folder"),
        (["--check", ".", "--workers", "-1"], "expected 0 or more"),
    ],
)
def test_mistakes_are_one_line(words, message):
    with pytest.raises(UserError, match=message):
        prepare(*words)


def test_workers_may_develop_after_their_parent_has(sid_tree):
    """LibRaw's OpenMP threads would hang in a forked process."""
    code = (
        "import sys, multiprocessing as m; from paddle_restore.data.raw import develop\n"
        "develop(sys.argv[1]); p = m.get_context('fork').Process(target=develop, args=sys.argv[1:2])\n"
        "p.start(); p.join(20); code = p.exitcode; p.kill(); sys.exit(0 if code == 0 else 1)"
    )
    file = next((sid_tree / "Sony/long").iterdir())
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "4"}
    assert subprocess.run([sys.executable, "-c", code, str(file)], env=env, timeout=60).returncode == 0
