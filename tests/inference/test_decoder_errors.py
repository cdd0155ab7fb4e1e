"""Whatever a decoder raises is the error line of its file, and the other files are restored."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.cli.main import main
from paddle_restore.data.image import write_image
from paddle_restore.data.metadata import copied
from paddle_restore.data.raw_metadata import raw_metadata
from paddle_restore.inference.restorer import Restorer


def restore(*words):
    with pytest.raises(SystemExit) as stop:
        main("restore", [*map(str, words), "--device", "cpu"])
    return stop.value.code


@pytest.fixture
def two_files(tmp_path, monkeypatch, shipped):
    """Two pictures, the first of which makes a decoder raise what nobody expects."""
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name, np.full((16, 16, 3), 0.5, np.float32))
    read = Restorer.read

    def fails(self, source, ratio=None):
        if str(source).endswith("a.png"):
            raise TypeError("an argument\nof the wrong type")
        return read(self, source, ratio)

    monkeypatch.setattr(Restorer, "read", fails)
    return tmp_path


def test_a_batch_goes_on(two_files, capsys):
    words = (two_files / "in", "--output", two_files / "out")
    assert restore(*words) == 1
    error = capsys.readouterr().err
    assert "a.png: cannot be restored (TypeError: an argument of the wrong type)" in error
    assert "Traceback" not in error
    assert [path.name for path in (two_files / "out").iterdir()] == ["b.png"]
    assert restore(*words, "--debug") == 1
    assert 'raise TypeError("an argument' in capsys.readouterr().err


def test_a_single_file_is_one_line(two_files, capsys):
    assert restore(two_files / "in/a.png", "--output", two_files / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(Exception, match="cannot be restored") as caught:
        main("restore", [str(two_files / "in/a.png"), "--output", str(two_files / "out"), "--debug"])
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_tag_that_pillow_cannot_write_is_left_out():
    """Text in a tag of the type of an offset: Pillow reads it and raises TypeError when it writes it."""
    directory = Directory()
    for tag, kind, value in ((271, 2, "Maker"), (272, 13, "text"), (305, 2, "Program")):
        directory.tagtype[tag] = kind
        directory._tags_v2[tag] = value
    kept = copied(directory, (271, 272, 305))
    assert sorted(kept) == [271, 305]
    assert b"Maker" in kept.tobytes(8)


def test_the_shared_dng(shared):
    path = shared / "cases/reliability/exif_typeerror/bad.dng"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    assert isinstance(raw_metadata(path).exif, bytes)
    assert io.BytesIO(raw_metadata(path).exif).read(2) in (b"", b"II")
