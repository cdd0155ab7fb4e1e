"""The service without a model's folder: the networks of the package, for pictures and for raw files."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from paddle_restore.data.dng import read_camera, write_raw
from paddle_restore.data.dng_file import ASCII, RATIONAL, directory
from paddle_restore.data.metadata import EXIF, GPS, Metadata, pack_block, read_block, read_file_tags
from paddle_restore.data.raw import develop_picture, read_raw
from paddle_restore.inference.restorer import Restorer
from tests.data.test_raw_kinds import write_linear
from tests.serving.conftest import Running

SERIAL = 42033  # BodySerialNumber


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    running = Running(("--workers", 1), temporary=tmp_path_factory.mktemp("tmp"))
    assert running.url, running.errors
    yield running
    assert running.stop() == 0


def post(default, path, address="/v1/restore", **parameters):
    return default.post(address, params=parameters, files={"file": (path.name, path.read_bytes())})


def decoded(answer):
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def test_raw_in_raw_out(default, files, tmp_path):
    answer = post(default, files / "a.dng", format="dng", strength=0.5)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/x-adobe-dng"
    assert 'filename="a-restored.dng"' in answer.headers["content-disposition"]
    assert answer.headers["x-model"] == "denoise_raw"
    assert answer.headers["x-strength"] == "0.5"
    (tmp_path / "answer.dng").write_bytes(answer.content)
    expected = Restorer(strength=0.5, threads=1).denoise(files / "a.dng")
    written = read_raw(tmp_path / "answer.dng")
    np.testing.assert_allclose(written.mosaic.astype(int), expected.mosaic, atol=2)


def test_raw_in_picture_out_and_before_beside_it(default, files):
    answer = post(default, files / "a.dng", ratio=2)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-ratio"] == "2"
    after = decoded(answer)
    assert (after.dtype, after.shape) == (np.uint16, (66, 96, 3))
    before = decoded(post(default, files / "a.dng", "/v1/preview", ratio=2))
    assert (before.dtype, before.shape) == (np.uint8, (66, 96, 3))
    assert abs(float(after.mean()) / 257 - float(before.mean())) < 6


def test_a_raw_file_without_a_mosaic_is_a_picture(default, tmp_path):
    light = np.kron(np.random.default_rng(0).random((6, 8, 3)), np.ones((10, 10, 1)))
    write_linear(tmp_path / "phone.dng", np.rint(light * 65535).astype(np.uint16), orientation=6)
    answer = post(default, tmp_path / "phone.dng", model="denoise_unet", strength=0)
    assert answer.status_code == 200, answer.text
    expected = develop_picture(tmp_path / "phone.dng")
    np.testing.assert_allclose(decoded(answer)[..., ::-1], expected, atol=1)
    refused = post(default, tmp_path / "phone.dng")
    assert refused.status_code == 422
    assert "give it to a network for pictures" in refused.text


def test_the_file_chooses_the_model(default, files):
    answer = post(default, files / "a.png")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-model"] == "denoise_unet"
    models = default.client.get("/v1/models").json()["models"]
    assert [(one["name"], one["input"], one["spec"]["output"]) for one in models] == [
        ("denoise_unet", "picture", "picture"),
        ("denoise_raw", "raw", "mosaic"),
    ]


def test_a_picture_cannot_become_a_dng(default, files):
    answer = post(default, files / "a.png", format="dng")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("format: denoise_unet gives pictures")


def test_place_and_serial_number_of_a_dng_by_keep_only(default, files, tmp_path):
    """The exposure, which raw developers need, is told in both."""
    content = with_place(files / "a.dng", tmp_path)
    for parameters, told in (({}, False), ({"metadata": "keep"}, True)):
        answer = post(default, content, format="dng", **parameters)
        assert answer.status_code == 200, answer.text
        (tmp_path / "answer.dng").write_bytes(answer.content)
        directories = read_file_tags(tmp_path / "answer.dng")
        assert (GPS in directories) == told
        assert (SERIAL in directories[EXIF]) == told
        assert float(directories[EXIF][33434]) == 1


def with_place(path, folder):
    """A copy of a raw file that tells its place and the camera's serial number."""
    camera = read_camera(path)
    directories = read_block(camera.metadata.exif)
    directories[EXIF].tagtype[SERIAL] = ASCII
    directories[EXIF][SERIAL] = b"123456"
    directories[GPS] = directory({1: (ASCII, "N"), 2: (RATIONAL, (48.0, 8.0, 0.0))}, GPS)
    told = replace(camera, metadata=Metadata(pack_block(directories)))
    write_raw(folder / "placed.dng", read_raw(path), told)
    return folder / "placed.dng"


def test_the_page_shows_a_raw_file_and_gives_a_dng(default, files, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        pytest.skip("the page's test needs Chromium: install it, or name it by the variable CHROMIUM")
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(locale="en-US")
        page.goto(default.url)
        playwright.expect(page.locator("#licence")).not_to_be_empty()
        page.set_input_files("#file", files / "a.dng")
        assert page.locator("#model").input_value() == "denoise_raw"
        page.click("#restore")
        playwright.expect(page.locator("#result")).to_be_visible(timeout=60_000)
        sizes = page.locator("#stage img").evaluate_all(
            "all => all.map(one => [one.naturalWidth, one.naturalHeight])"
        )
        assert sizes == [[96, 66], [96, 66]]
        playwright.expect(page.locator("#dng")).to_be_visible()
        with page.expect_download(timeout=60_000) as caught:
            page.click("#dng")
        assert caught.value.suggested_filename == "a-restored.dng"
        caught.value.save_as(tmp_path / "page.dng")
        page.set_input_files("#file", files / "a.png")
        page.click("#restore")
        playwright.expect(page.locator("#facts")).to_contain_text("a.png: denoise_unet", timeout=60_000)
        playwright.expect(page.locator("#dng")).to_be_hidden()
        browser.close()
    assert read_raw(tmp_path / "page.dng").mosaic.shape == (66, 96)
