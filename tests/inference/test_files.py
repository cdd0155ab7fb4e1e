"""Files on their way through a network that changes nothing: names, notes, skipped files, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from paddle_restore.data.image import read_image, write_image
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.errors import UserError
from paddle_restore.inference.files import FileOptions, Kinds, find_tasks
from paddle_restore.inference.forward import Forward
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.pipeline import restore_files
from paddle_restore.inference.restorer import Restorer
from paddle_restore.models.spec import ModelSpec
from tests.conftest import ROOT

HEIC = Path(__file__).parents[1] / "data/files/upright_6.heic"


def identity(multiple=1) -> Restorer:
    spec = ModelSpec("identity", "srgb", 1, multiple, 0, paper="", repository="", licence="")
    return Restorer.of(Forward(lambda *inputs: inputs[0], spec), Preprocess())


def picture(size=(20, 24)):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def run(folder, output, restorer=None, **options):
    given = [folder] if isinstance(folder, Path) else folder
    return restore_files(restorer or identity(), FileOptions(given, output, **options))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in/a.png", picture())
    return tmp_path / "in"


# What is skipped


def test_skipped_files_are_named_with_their_reason(folder, tmp_path, capsys):
    for name in ("GOPR0001.GPR", "clip.mp4", "old.psd", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "IMG_0001.jpg_original").write_bytes(_jpeg())
    write_dng(folder / "raw.dng", np.full((16, 16), 600, np.uint16), black_level=512, white_level=4095)
    (folder / ".hidden").write_bytes(b"x")
    assert run(folder, tmp_path / "out") == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
    for words, name in (
        ("GoPro's raw files are not read: convert them", "GOPR0001.GPR"),
        ("videos are not read", "clip.mp4"),
        ("Photoshop files are not read", "old.psd"),
        ("a JPEG by its content: give it a name that ends in .jpg", "IMG_0001.jpg_original"),
        ("this network reads pictures", "raw.dng"),
        ("no pictures by their names", "notes.txt"),
    ):
        assert any(words in note and note.endswith(f"skipped {name}") for note in notes), (words, notes)
    assert not any("hidden" in note or "a.png" in note for note in notes)


def _jpeg():
    import io

    encoded = io.BytesIO()
    Image.fromarray(picture()).save(encoded, "JPEG")
    return encoded.getvalue()


def test_a_folder_without_pictures_ends_with_its_reasons(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/GOPR0001.GPR").write_bytes(b"x")
    with pytest.raises(UserError, match=r"holds no pictures .*GOPR0001\.GPR.*GoPro's raw files are not read"):
        run(tmp_path / "in", tmp_path / "out")


def test_exit_codes(folder, tmp_path, capsys):
    """0 all done, 1 some failed, 2 nothing done."""
    assert run(folder, tmp_path / "0") == 0
    (folder / "b.png").write_bytes(b"\x89PNG broken")
    assert run(folder, tmp_path / "1") == 1
    (folder / "a.png").write_bytes(b"\x89PNG broken too")
    assert run(folder, tmp_path / "2") == 2
    assert run(folder, tmp_path / "0", skip_existing=True) == 2
    write_image(tmp_path / "0/b.png", picture())
    assert run(folder, tmp_path / "0", skip_existing=True) == 0
    assert capsys.readouterr().err.count("cannot be read as a picture") == 4


def test_no_permission_is_not_broken(folder, tmp_path):
    """In a process of a user who may not read the file; root may read everything."""
    (folder / "a.png").chmod(0)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from paddle_restore.data.image import read_image\n"
        "from paddle_restore.data.raw import read_raw\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "for read in (read_image, read_raw):\n"
        "    try: read(Path(sys.argv[1]))\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    for parent in [folder, *folder.parents][:5]:  # pytest's folders are its user's only
        if parent != Path("/tmp"):
            parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, folder / "a.png"], cwd=ROOT, capture_output=True, text=True
    )
    line = f"UserError {folder / 'a.png'}: cannot be read (Permission denied)"
    assert done.stdout.splitlines() == [line, line], done.stderr


# Names


@pytest.mark.parametrize("suffix", [".dng", ".gif", ".heic", ".exr", ".jxl", ".jp2", ".psd", ".cr3", ".GIF"])
def test_an_output_that_cannot_be_written_is_no_folder(folder, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    with pytest.raises(UserError, match=r"choose a name that ends in \.png"):
        run([folder / "a.png"], output)
    assert not output.exists()


def test_an_output_with_a_dot_is_a_folder(folder, tmp_path):
    assert run(folder, tmp_path / "version.2") == 0
    assert (tmp_path / "version.2/a.png").is_file()
    (tmp_path / "album.gif").mkdir()
    assert run(folder, tmp_path / "album.gif") == 0


@pytest.mark.parametrize("characters", [79, 83, 251])
def test_long_names_are_written(tmp_path, characters):
    letter = "夜" if characters < 100 else "n"
    name = letter * characters + ".png"
    assert 240 < len(name.encode()) <= 255
    (tmp_path / "in").mkdir()
    Image.fromarray(picture()).save(tmp_path / "in" / name)
    assert run(tmp_path / "in", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_names_that_are_no_utf_8(tmp_path):
    """As Chinese ZIP files unpack: GBK. The command prints them with escapes, and all files are done."""
    (tmp_path / "in").mkdir()
    name = os.fsdecode(b"\xd2\xb9\xbe\xb0.png")
    for one in (name, "~.png"):
        Image.fromarray(picture()).save(tmp_path / "in" / one)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from paddle_restore.cli import main\n"
        "from paddle_restore.inference.files import FileOptions\n"
        "from tests.inference.test_files import identity, restore_files\n"
        "class Command:\n"
        "    add_arguments = staticmethod(lambda parser: None)\n"
        "    run = staticmethod(lambda args: restore_files(identity(), FileOptions([Path(FOLDER) / 'in'], "
        "Path(FOLDER) / 'out', summary=Path(FOLDER) / 'summary', compare=Path(FOLDER) / 'sheet.png')))\n"
        "main.load_command = lambda name: Command\n"
        "main.main('restore', [])\n"
    ).replace("FOLDER", repr(str(tmp_path)))
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert r"\udcbe\udcb0.png" in done.stdout.decode()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {name, "~.png"}
    lines = [json.loads(line) for line in (tmp_path / "summary").read_text().splitlines()]
    assert {Path(line["file"]).name for line in lines} == {name, "~.png"}


def test_a_raw_file_whose_name_is_no_utf_8(tmp_path):
    from paddle_restore.data.raw import read_raw

    mosaic = np.random.default_rng(0).integers(512, 4096, (32, 32)).astype(np.uint16)
    path = tmp_path / os.fsdecode(b"\xd2\xb9\xbe\xb0.dng")
    write_dng(tmp_path / "a.dng", mosaic, black_level=512, white_level=4095)
    (tmp_path / "a.dng").rename(path)
    np.testing.assert_array_equal(read_raw(path).mosaic, mosaic)


def test_a_picture_that_is_too_small_is_named(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, size in (("a.png", (16, 16)), ("b.png", (2, 2)), ("c.png", (2, 3))):
        write_image(tmp_path / "in" / name, picture(size))
    assert run(tmp_path / "in", tmp_path / "out", identity(multiple=4)) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in errors] == [
        str(tmp_path / "in" / name) for name in ("b.png", "c.png")
    ]
    assert all("is too small for identity" in line for line in errors)


# What is said of a picture, and its format


def test_notes_are_printed_and_in_the_summary(tmp_path, capsys):
    pages = [Image.fromarray(picture()), Image.fromarray(picture())]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in/a.tif", save_all=True, append_images=pages[1:])
    assert run(tmp_path / "in", tmp_path / "out", summary=tmp_path / "summary") == 0
    words = "holds 2 pictures (pages); the first one is restored"
    assert f"note: {tmp_path / 'in/a.tif'}: {words}" in capsys.readouterr().out.splitlines()
    assert json.loads((tmp_path / "summary").read_text())["notes"] == [words]


def test_a_format_that_is_only_read_gives_another_and_says_so(tmp_path, capsys):
    pytest.importorskip("pi_heif")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.heic").write_bytes(HEIC.read_bytes())
    assert run(tmp_path / "in", tmp_path / "out") == 0
    assert (
        "note: HEIC is not written; the restored pictures are JPEG (--format chooses)"
        in capsys.readouterr().out
    )
    with Image.open(tmp_path / "out/a.jpg") as image:
        assert image.format == "JPEG"
    assert run(tmp_path / "in", tmp_path / "png", format="png") == 0
    assert "is not written" not in capsys.readouterr().out
    np.testing.assert_array_equal(read_image(tmp_path / "png/a.png"), read_image(HEIC))


def test_without_metadata_a_selection_stays_a_selection(tmp_path):
    stored = np.dstack([picture(), np.zeros((20, 24), np.uint8)])
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/a.tif", stored, photometric="rgb", extrasamples=["unspecified"])
    assert run(tmp_path / "in", tmp_path / "out", metadata="none") == 0
    with tifffile.TiffFile(tmp_path / "out/a.tif") as file:
        assert file.pages[0].extrasamples == (0,)


def test_tasks_keep_their_names(folder, tmp_path):
    Image.fromarray(picture()).save(folder / "b.jfif", "JPEG")
    tasks = find_tasks(FileOptions([folder], tmp_path / "out"), Kinds(pictures=True))
    assert [task.output.name for task in tasks] == ["a.png", "b.jfif"]


def test_the_benchmark_compares_a_folder(folder, tmp_path):
    Image.fromarray(picture()).save(folder / "b.webp", lossless=True)
    (folder / "notes.txt").write_text("x")
    (folder / "broken.tif").write_bytes(b"II*\0broken")
    command = [sys.executable, "benchmarks/identity_pictures.py", folder, "--json", tmp_path / "a.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "1 passed, 1 refused, 2 same", done.stderr
    assert done.returncode == 0
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "a.json").read_text().splitlines()]
    assert kinds == ["same", "same", "refused", "passed"]


def test_the_service_takes_a_heic_and_answers_with_a_jpeg(tmp_path):
    pytest.importorskip("pi_heif")
    pytest.importorskip("python_multipart", reason="needs the extra serve")
    from paddle_restore.serving.processing import Models, RestoreRequest, process
    from paddle_restore.serving.settings import Settings
    from paddle_restore.serving.upload import Upload, _suffix

    path = tmp_path / "upload"
    path.write_bytes(HEIC.read_bytes())
    path = path.rename(path.with_suffix(_suffix(Upload(path, "IMG_0001.HEIC"))))
    assert path.suffix == ".heic"
    request = RestoreRequest("restore", "identity", str(path), "IMG_0001.HEIC")
    result = process(
        Models({"identity": identity()}), request, Settings(model_dirs=(tmp_path,)), lambda *counts: None
    )
    with Image.open(result.path) as image:
        assert (image.format, image.size) == ("JPEG", (48, 64))
        assert "icc_profile" in image.info
        assert not image.getexif()
