"""The service's answers: the restorer's pixels, bounded requests, one line for every mistake."""

from __future__ import annotations

import argparse
import asyncio
import errno
import io
import os
import time

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from paddle_restore import Restorer
from paddle_restore.data.image import read_image, to_integer
from paddle_restore.errors import UserError
from paddle_restore.inference.tiling import largest_side
from paddle_restore.serving.settings import Settings
from tests.conftest import ROOT

PICTURE = {"model": "mirnet_v2_small"}
RAW = {"model": "sid_unet"}


def decode(content):
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def test_a_picture_has_the_restorers_pixels(service, exported, files):
    answer = service.post(params=PICTURE, content=(files / "a.png").read_bytes())
    assert answer.status_code == 200, answer.text[:200]
    expected = to_integer(Restorer(exported / "mirnet", threads=1)(files / "a.png"), 8)
    assert np.abs(decode(answer.content).astype(int) - expected).max() <= 1
    assert answer.headers["content-type"] == "image/png"
    assert float(answer.headers["x-seconds"]) > 0
    assert answer.headers["x-model"] == "mirnet_v2_small"
    assert len(answer.headers["x-model-version"]) == 12
    assert "x-ratio" not in answer.headers
    form = service.post(data=PICTURE, files={"file": ("a.png", (files / "a.png").read_bytes())})
    assert form.content == answer.content
    assert "a-restored.png" in form.headers["content-disposition"]


@pytest.mark.parametrize(
    ("name", "options", "media", "dtype"),
    [
        ("deep.png", {}, "image/png", np.uint16),
        ("deep.png", {"depth": "8"}, "image/png", np.uint8),
        ("a.png", {"format": "tif", "depth": "16"}, "image/tiff", np.uint16),
        ("a.png", {"format": "jpg"}, "image/jpeg", np.uint8),
        ("a.png", {"format": "webp", "tile": "64", "self_ensemble": "x8"}, "image/webp", np.uint8),
    ],
)
def test_formats_and_depths(service, files, name, options, media, dtype):
    answer = service.post(params={**PICTURE, **options}, content=(files / name).read_bytes())
    assert (answer.status_code, answer.headers["content-type"]) == (200, media), answer.text[:200]
    picture = decode(answer.content)
    assert (picture.shape, picture.dtype) == ((40, 56, 3), dtype)


def test_a_strength(service, exported, files):
    content = (files / "deep.png").read_bytes()
    pictures = {}
    for strength in ("0", "0.5", "1", "1.5"):
        answer = service.post(params={**PICTURE, "strength": strength}, content=content)
        assert (answer.status_code, answer.headers["x-strength"]) == (200, strength), answer.text[:200]
        pictures[strength] = decode(answer.content).astype(int)
        restorer = Restorer(exported / "mirnet", threads=1, strength=float(strength))
        expected = to_integer(restorer(files / "deep.png"), 16).astype(int)
        assert np.abs(pictures[strength] - expected).max() <= 257
    np.testing.assert_array_equal(pictures["0"], decode(content))
    assert np.abs(pictures["1"] - pictures["0"]).max() > 257
    form = service.post(data={**PICTURE, "strength": "0.5"}, files={"file": content})
    np.testing.assert_array_equal(decode(form.content), pictures["0.5"])
    plain = service.post(params=PICTURE, content=content)
    assert plain.headers["x-strength"] == "1"
    np.testing.assert_array_equal(decode(plain.content), pictures["1"])
    assert "x-strength" not in service.post("/v1/preview", params=PICTURE, content=content).headers


def test_a_raw_file(service, exported, files):
    content = (files / "a.dng").read_bytes()
    answer = service.post(params=RAW, content=content)
    restorer = Restorer(exported / "sid", threads=1)
    frame = restorer.read(files / "a.dng")
    assert float(answer.headers["x-ratio"]) == pytest.approx(frame.ratio, rel=1e-3)
    expected = restorer.run([frame], 16)[0].picture
    assert np.abs(decode(answer.content).astype(int) - expected).max() <= 2
    lifted = service.post(params={**RAW, "ratio": "50"}, content=content)
    assert lifted.headers["x-ratio"] == "50"
    assert lifted.content != answer.content
    preview = service.post("/v1/preview", params={**RAW, "ratio": "50"}, content=content)
    assert preview.headers["content-type"] == "image/jpeg"
    assert decode(preview.content).shape == (66, 96, 3)
    darker = service.post("/v1/preview", params={**RAW, "ratio": "1"}, content=content)
    assert decode(darker.content).mean() < decode(preview.content).mean()


def test_the_place_is_told_only_where_it_is_asked_for(service, files, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})  # GPS
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = Image.new("RGB", (40, 40), (128, 128, 128))
    grey.save(tmp_path / "gps.jpg", exif=exif, icc_profile=profile)
    for wanted, options in ((False, {}), (True, {"metadata": "keep"})):
        for form in ("png", "jpg", "tif", "webp"):
            content = (tmp_path / "gps.jpg").read_bytes()
            answer = service.post(params={**PICTURE, "format": form, **options}, content=content)
            told = Image.open(io.BytesIO(answer.content))
            assert bool(told.getexif().get_ifd(0x8825)) == wanted
            assert told.info.get("icc_profile") == profile


@pytest.mark.parametrize(("mode", "shown"), [("RGB", "RGB"), ("RGBA", "RGB"), ("L", "L")])
def test_a_preview_has_the_colours_of_the_file(service, tmp_path, mode, shown):
    """The page shows it beside the restored picture, which has the file's profile."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:16] + (b"GRAY" if mode == "L" else b"RGB ") + profile[20:]
    Image.new(mode, (40, 40), 128).save(tmp_path / "a.tif", icc_profile=profile)
    answer = service.post("/v1/preview", params=PICTURE, content=(tmp_path / "a.tif").read_bytes())
    preview = Image.open(io.BytesIO(answer.content))
    assert (preview.mode, preview.info.get("icc_profile")) == (shown, profile)


@pytest.mark.parametrize(
    ("options", "content", "status", "message"),
    [
        ({}, "a.png", 422, "model: several are served, name one of them: mirnet_v2_small, sid_unet"),
        ({"model": "../../etc"}, "a.png", 404, "model: there is none of that name; choose from:"),
        ({**PICTURE, "tle": "1"}, "a.png", 422, "tle: unknown parameter; did you mean 'tile'?"),
        ({**PICTURE, "tile": "0"}, "a.png", 422, "tile: must be auto or a whole number from 16 to 16384"),
        ({**PICTURE, "tile": "16384"}, "a.png", 422, "tile: mirnet_v2_small may have at most"),
        ({**RAW, "tile": "32"}, "a.dng", 422, "tile 32: sid_unet looks so far"),
        ({**RAW, "ratio": "nan"}, "a.dng", 422, "ratio: must be auto or a number from 0.01 to 100000"),
        ({**PICTURE, "strength": "1.6"}, "a.png", 422, "strength: must be a number from 0 to 1.5"),
        ({**PICTURE, "strength": "nan"}, "a.png", 422, "strength: must be a number from 0 to 1.5"),
        ({**RAW, "strength": "0.5"}, "a.dng", 422, "strength: sid_unet develops raw files; only networks"),
        ({**PICTURE, "format": "jpg", "depth": "16"}, "a.png", 422, "depth: jpg has 8 bits"),
        ({**PICTURE, "depth": "12"}, "a.png", 422, "depth: must be 8 or 16"),
        (RAW, "a.png", 415, "a.png: is a picture, and sid_unet restores raw files"),
        (PICTURE, "a.dng", 415, "a.dng: is a raw file, and mirnet_v2_small restores pictures"),
        (
            PICTURE,
            b"hello, world",
            415,
            "the file: is no PNG, JPEG, TIFF, WebP, AVIF, BMP, HEIC, JPEG 2000 or JPEG XL",
        ),
        (RAW, b"hello, world", 422, "the file: cannot be read ("),
        (PICTURE, b"\x89PNG\r\n\x1a\n", 422, "the file: cannot be read as a picture"),
        (PICTURE, "large.png", 413, "large.png: has 1000x1001 = 1.0 million pixels, and the limit here is 1"),
        (PICTURE, b"", 400, "the request holds no file"),
        (PICTURE, b"x" * 2_000_001, 413, "the file is larger than 2 MB"),
    ],
)
def test_mistakes_are_one_line(service, files, options, content, status, message):
    if isinstance(content, str):
        answer = service.post(data=options, files={"file": (content, (files / content).read_bytes())})
    else:
        answer = service.post(params=options, content=content)
    assert answer.status_code == status, answer.text[:200]
    line = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert message in line
    assert "\n" not in line
    assert str(service.temporary) not in line
    assert "upload" not in line
    assert service.metric("paddle_restore_requests_open") == 0


def test_a_parameter_is_given_once(service, files):
    content = (files / "a.png").read_bytes()
    twice = service.post(
        params=[("model", "mirnet_v2_small"), ("tile", "32"), ("tile", "64")], content=content
    )
    assert (twice.status_code, twice.json()) == (422, {"error": "tile: is given twice"})
    both = service.post(params={"tile": "64"}, data={**PICTURE, "tile": "64"}, files={"file": content})
    assert (both.status_code, both.json()) == (422, {"error": "tile: is given twice"})


def test_the_largest_tile_is_the_one_of_the_budget(service, exported, files):
    largest = largest_side(Restorer(exported / "mirnet", threads=1).spec, Settings.memory)
    content = (files / "a.png").read_bytes()
    assert service.post(params={**PICTURE, "tile": str(largest)}, content=content).status_code == 200
    refused = service.post(params={**PICTURE, "tile": str(largest + 1)}, content=content)
    assert refused.status_code == 422
    assert f"may have at most {largest} here" in refused.json()["error"]


def test_the_limit_of_a_request_is_said_once(exported):
    from paddle_restore.cli.serve import add_arguments
    from paddle_restore.serving.app import create_app
    from paddle_restore.serving.service import Service

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    settings = Settings((exported / "mirnet",))
    service = Service(settings)
    document = create_app(service).openapi()["paths"]["/v1/restore"]["post"]["responses"]["413"]
    assert settings.max_bytes == service.described().limits.bytes == 128_000_000
    assert parser.get_default("max_mb") == 128
    assert "larger than 128 MB" in document["content"]["application/json"]["example"]["error"]
    for name in ("README.md", "README_cn.md"):
        assert "| `--max_mb` | 128 |" in (ROOT / "deploy" / name).read_text(encoding="utf-8")


def test_a_body_is_bounded_while_it_comes(service):
    def endless():
        for _ in range(1000):
            yield b"x" * 100_000

    start = time.monotonic()
    answer = service.post(params=PICTURE, content=endless())
    assert answer.status_code == 413
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("multipart/form-data", b"x", "needs a boundary"),
        ("multipart/form-data; boundary=b", b"rubbish", "is broken"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc',
            "is cut short",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 30 + b"--b--\r\n",
            "x: is given twice",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + b"m" * 900 + b"\r\n--b--\r\n",
            "is too long",
        ),
    ],
)
def test_forms_that_are_none(service, kind, body, message):
    answer = service.post(content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 422)
    assert message in answer.json()["error"]


def test_no_file_stays(service, files):
    service.post(params=PICTURE, content=(files / "a.png").read_bytes())
    roots = list(service.temporary.glob("paddle-restore-*"))
    assert len(roots) == 1
    assert roots[0].stat().st_mode & 0o77 == 0
    assert not list(roots[0].iterdir())


def test_what_is_there(service):
    models = service.client.get("/v1/models").json()["models"]
    assert [(model["name"], model["input"]) for model in models] == [
        ("mirnet_v2_small", "picture"),
        ("sid_unet", "raw"),
    ]
    assert all(model["licence"] and model["spec"]["halo"] for model in models)
    assert ".dng" in models[1]["suffixes"]
    assert [model["max_strength"] for model in models] == [1.5, None]
    assert service.client.get("/healthz").json() == {"status": "ok"}
    assert service.client.get("/readyz").json() == {"status": "ready"}
    missing = service.client.get("/v1/nothing")
    assert (missing.status_code, missing.json()) == (404, {"error": "there is nothing at this address"})
    wrong = service.client.get("/v1/restore")
    assert (wrong.status_code, wrong.json()) == (405, {"error": "GET is not possible here"})
    assert service.metric("paddle_restore_workers") == 1
    assert service.metric('paddle_restore_resident_bytes{process="workers"}') > 1e7


def test_other_sites_pages_are_refused(service, files):
    content = (files / "a.png").read_bytes()
    answer = service.post(params=PICTURE, content=content, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    # Another port of this machine, or another name of its domain.
    answer = service.post(params=PICTURE, content=content, headers={"Sec-Fetch-Site": "same-site"})
    assert (answer.status_code, "other sites" in answer.json()["error"]) == (403, True)
    for site in ("same-origin", "none"):
        assert service.client.get("/v1/models", headers={"Sec-Fetch-Site": site}).status_code == 200
    document = service.client.get("/openapi.json").json()
    # A foreign name that leads here, as in DNS rebinding.
    for host, status in (("evil.example", 403), ("[", 403), ("localhost:80", 200), ("[::1]", 200)):
        for path in ("/v1/models", "/metrics"):
            assert service.client.get(path, headers={"Host": host}).status_code == status, host
            assert str(status) in document["paths"][path]["get"]["responses"]


def test_pages_whose_site_the_browser_does_not_say_are_known_by_their_origin(service, files):
    content = (files / "a.png").read_bytes()
    for origin, status in (("https://evil.example", 403), ("null", 403), (service.url, 200)):
        answer = service.post(params=PICTURE, content=content, headers={"Origin": origin})
        assert answer.status_code == status, origin


def test_whatever_a_decoder_raises_is_the_files_error(exported, files, monkeypatch, capsys):
    from paddle_restore.serving.processing import Models, RestoreRequest, describe_error, process

    models = Models({"x": Restorer(exported / "mirnet", threads=1)})
    settings = Settings((exported / "mirnet",))
    request = RestoreRequest("restore", "x", str(files / "a.png"), "a.png")
    for place in (
        "paddle_restore.serving.processing.image_size",
        "paddle_restore.inference.restorer.read_with_form",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, lambda *_: {}["a tag of the wrong type"])
            with pytest.raises(UserError) as caught:
                process(models, request, settings, lambda *_: None)
        status, line = describe_error(caught.value, request)
        assert (status, line) == (422, "a.png: cannot be read; the file is broken or not supported")
        assert "KeyError: 'a tag of the wrong type'" in capsys.readouterr().err  # the log


def test_an_exif_tag_of_the_wrong_type(service, shared):
    content = (shared / "cases/reliability/exif_typeerror/bad.dng").read_bytes()
    answer = service.post(params=RAW, content=content)
    assert answer.status_code in (200, 422), answer.text[:200]
    assert service.metric("paddle_restore_workers_replaced_total") == 0


def test_a_full_disk_is_not_the_clients_mistake(exported, files, tmp_path, monkeypatch):
    from paddle_restore.serving.problem import Problem
    from paddle_restore.serving.processing import Models, RestoreRequest, process

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.png").write_bytes((files / "a.png").read_bytes())
    monkeypatch.setattr(os, "replace", full)
    request = RestoreRequest("restore", "x", str(tmp_path / "a.png"), "a.png")
    with pytest.raises(Problem, match="No space left") as caught:
        process(
            Models({"x": Restorer(exported / "mirnet", threads=1)}),
            request,
            Settings((exported / "mirnet",)),
            lambda *_: None,
        )
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("error", "status"), [(OSError(errno.ENOSPC, "No space left on device"), 503), (KeyError("x"), 500)]
)
def test_bugs_and_a_full_disk_are_answered_and_counted(exported, monkeypatch, error, status):
    import httpx

    from paddle_restore.serving.app import create_app
    from paddle_restore.serving.service import Service

    async def fail(*_):
        raise error

    async def ask():
        transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post("/v1/restore", content=b"x")

    monkeypatch.setattr(Service, "answer", fail)
    service = Service(Settings((exported / "mirnet",)))
    answer = asyncio.run(ask())
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert ("retry-after" in answer.headers) == (status == 503)
    counted = f'requests_total{{route="/v1/restore",status="{status}"}} 1.0'
    assert counted in service.metrics.text(service.pool, 0).decode()


def test_examples_are_what_the_service_says(service, files):
    document = service.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    models = document["paths"]["/v1/models"]["get"]["responses"]["200"]["content"]["application/json"]
    assert models["example"] == service.client.get("/v1/models").json()
    responses = document["paths"]["/v1/restore"]["post"]["responses"]
    told = {int(k): v["content"]["application/json"]["example"] for k, v in responses.items() if k != "200"}
    content = (files / "a.png").read_bytes()
    cut = (files / "a.png").read_bytes()[:300]
    broken = service.post(data=PICTURE, files={"file": ("noisy.png", cut)})
    assert broken.json() == told[broken.status_code]
    kind = service.post(data=PICTURE, files={"file": ("night.dng", (files / "a.dng").read_bytes())})
    assert kind.json()["error"] == told[415]["error"].replace("mirnet_v2 ", "mirnet_v2_small ")
    foreign = service.post(params=PICTURE, content=content, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.json() == told[403]
    declared = {name.lower() for name in responses["200"]["headers"]}
    raw = set(service.post(params=RAW, content=(files / "a.dng").read_bytes()).headers)
    picture = set(service.post(params=PICTURE, content=content).headers)
    assert declared - raw == {"x-strength"}
    assert declared - picture == {"x-ratio"}


def test_the_example_files_are_restored(service, tmp_path):
    for address, options in (("/example.png", PICTURE), ("/example.dng", RAW)):
        content = service.client.get(address).content
        assert service.post(params=options, content=content).status_code == 200
    (tmp_path / "x.png").write_bytes(service.client.get("/example.png").content)
    assert read_image(tmp_path / "x.png").shape == (512, 768, 3)
