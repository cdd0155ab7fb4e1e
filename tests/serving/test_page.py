"""The page in a real Chromium: upload, restore, compare, download, errors, both languages."""

from __future__ import annotations

import os
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page's test needs playwright: pip install 'paddle_restore[browser]'"
)
expect = playwright.expect
PATIENCE = 60_000  # milliseconds


@pytest.fixture(scope="module")
def browser():
    program = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not program:
        pytest.skip("the page's test needs Chromium: install it, or name it by the variable CHROMIUM")
    with playwright.sync_playwright() as runner:
        chromium = runner.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, service):
    """The page in English, dark, with all that it asks for and complains of."""
    context = browser.new_context(
        locale="en-US", color_scheme="dark", viewport={"width": 1100, "height": 900}
    )
    page = context.new_page()
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(service.url)
    expect(page.locator("#licence")).not_to_be_empty()
    yield page
    assert not page.complaints
    assert all(url.startswith((service.url, "blob:", "data:")) for url in page.asked), page.asked
    context.close()


def share_of_before(page):
    return page.locator("#stage").evaluate("one => one.style.getPropertyValue('--at')")


def downloaded(page, button, tmp_path):
    with page.expect_download() as caught:
        page.click(button)
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    return path


def test_a_picture_from_upload_to_download(page, files, tmp_path):
    assert page.title() == "Restore photographs"
    expect(page.locator("#restore")).to_be_disabled()
    page.set_input_files("#file", files / "a.png")
    expect(page.locator("#chosen")).to_contain_text("a.png")
    page.click("#restore")
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#facts")).to_contain_text("a.png: mirnet_v2_small")
    expect(page.locator("#facts")).to_contain_text("56 × 40 pixels")
    expect(page.locator("#status")).to_have_text("Ready.")
    sizes = page.locator("#stage img").evaluate_all(
        "all => all.map(one => [one.naturalWidth, one.naturalHeight])"
    )
    assert sizes == [[56, 40], [56, 40]]

    # The slider by keyboard, and by pointer on the picture.
    page.focus("#compare")
    assert share_of_before(page) == "50%"
    page.keyboard.press("ArrowRight")
    assert share_of_before(page) == "50.5%"
    assert page.get_attribute("#compare", "aria-valuetext") == "51 per cent before"
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert float(share_of_before(page)[:-1]) == pytest.approx(25, abs=1)

    page.click("#full")
    assert page.locator("#stage").evaluate("one => one.offsetWidth") == 56
    assert page.get_attribute("#full", "aria-pressed") == "true"
    page.click("#fit")
    assert page.locator("#stage").evaluate("one => one.offsetWidth") > 500

    png = downloaded(page, "#png", tmp_path)
    assert png.name == "a-restored.png"
    picture = cv2.imread(str(png), cv2.IMREAD_UNCHANGED)
    assert (picture.shape, picture.dtype) == ((40, 56, 3), np.uint16)
    jpeg = downloaded(page, "#jpeg", tmp_path)
    assert jpeg.name == "a-restored.jpg"
    again = cv2.imread(str(jpeg), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(again.mean((0, 1)), picture.mean((0, 1)) / 257, atol=4)


def test_the_same_file_can_be_chosen_again(page, files):
    for _ in range(2):
        with page.expect_file_chooser() as asked:
            page.locator("#file").click()
        asked.value.set_files(files / "a.png")
        expect(page.locator("#chosen")).to_contain_text("a.png")
        page.click("#example-picture")
        expect(page.locator("#chosen")).to_contain_text("example.png")


def test_a_browser_that_makes_no_jpeg_says_so(page, files):
    page.set_input_files("#file", files / "a.png")
    page.click("#restore")
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE)
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = (done) => done(null); }")
    page.click("#jpeg")
    expect(page.locator("#error-words")).to_contain_text("too large for this browser to make a JPEG")


def test_only_examples_that_a_model_takes_are_offered(page, service):
    models = service.client.get("/v1/models").json()
    for one, other in (("picture", "raw"), ("raw", "picture")):
        some = {**models, "models": [model for model in models["models"] if model["input"] == one]}
        page.route("**/v1/models", lambda route, _, some=some: route.fulfill(json=some))
        page.reload()
        expect(page.locator(f"#example-{other}")).to_be_hidden()
        expect(page.locator(f"#example-{one}")).to_be_visible()


def test_the_raw_example_by_keyboard_with_a_ratio_of_ones_own(page):
    page.focus("#example-raw")
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_contain_text("example.dng")
    expect(page.locator("#model")).to_have_value("sid_unet")
    page.check("#ratio-own")
    page.focus("#ratio")
    page.keyboard.press("End")
    expect(page.locator("#ratio-value")).to_have_text("× 300")
    page.focus("#restore")
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#facts")).to_contain_text("amplified ×300")
    # The browser cannot show a DNG: the service does.
    expect(page.locator("#before")).to_be_visible()
    assert page.locator("#before").evaluate("one => one.naturalWidth") == 768
    assert page.evaluate("() => document.activeElement.id") == "result-title"


def test_the_slider_starts_from_the_exposure_and_shows_it(page, service):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/preview" in request.url else None)
    page.click("#example-raw")
    expect(page.locator("#exposure")).to_be_visible(timeout=PATIENCE)
    shown = page.locator("#ratio-value").inner_text()
    chosen = float(shown.removeprefix("× "))
    assert 35 < chosen < 70  # the example was exposed 50 times too dark
    position = float(page.locator("#ratio").input_value())
    assert 300 ** (position / 100) == pytest.approx(chosen, rel=0.06)
    assert page.locator("#exposure").evaluate("one => one.naturalWidth") == 768
    page.click("#restore")
    expect(page.locator("#before")).to_be_visible(timeout=PATIENCE)
    used = float(page.locator("#facts").inner_text().split("amplified ×")[1])
    assert used == pytest.approx(chosen, abs=0.5)
    assert len(asked) == 1  # "before" is the preview that is there already
    page.focus("#ratio")
    page.keyboard.press("Home")
    expect(page.locator("#ratio-own")).to_be_checked()
    expect(page.locator("#ratio-value")).to_have_text("× 1.0")
    darker = page.locator("#exposure").evaluate("one => getComputedStyle(one).filter")
    factor = float(darker.removeprefix("brightness(").removesuffix(")"))
    assert factor == pytest.approx(chosen ** (-1 / 2.2), rel=0.02)
    page.check("#ratio-auto")
    expect(page.locator("#ratio-value")).to_have_text(shown)
    assert float(page.locator("#ratio").input_value()) == position
    page.click("#example-picture")  # no raw file, no preview of one
    expect(page.locator("#exposure")).to_be_hidden()


def test_a_strength_by_keyboard_in_both_languages(page, files):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/restore" in request.url else None)
    page.set_input_files("#file", files / "a.png")
    expect(page.locator("#strength-option")).to_be_visible()
    expect(page.locator("#strength-value")).to_have_text("100 %")
    assert page.locator("#strength").evaluate("one => [one.min, one.max]") == ["0", "150"]
    page.focus("#strength")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#strength-value")).to_have_text("95 %")
    page.keyboard.press("End")
    expect(page.locator("#strength-value")).to_have_text("150 %")
    assert page.get_attribute("#strength", "aria-valuetext") == "150 %"
    page.set_viewport_size({"width": 280, "height": 640})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 280
    page.click("#restore")
    expect(page.locator("#facts")).to_contain_text("pixels, strength 150 %", timeout=PATIENCE)
    page.focus("#strength")
    page.keyboard.press("Home")
    page.click("#restore")
    expect(page.locator("#facts")).to_contain_text("strength 0 %", timeout=PATIENCE)
    assert ["strength=1.5" in asked[0], "strength=0" in asked[1], len(asked)] == [True, True, 2]
    page.select_option("#language", "zh")
    expect(page.locator("#strength-value")).to_have_text("0%")
    expect(page.locator("#facts")).to_contain_text("像素，强度 0%")
    page.select_option("#model", "sid_unet")
    expect(page.locator("#strength-option")).to_be_hidden()


def test_errors_are_words_in_both_languages(page, files, tmp_path):
    (tmp_path / "cut.png").write_bytes((files / "a.png").read_bytes()[:400])
    page.set_input_files("#file", tmp_path / "cut.png")
    page.click("#restore")
    expect(page.locator("#error")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#error-words")).to_contain_text("The file cannot be restored")
    expect(page.locator("#error-detail")).to_contain_text("cut.png: cannot be read as a picture")
    page.select_option("#language", "zh")
    expect(page.locator("#error-words")).to_contain_text("无法复原该文件")
    expect(page.locator("#restore")).to_have_text("开始复原")
    assert page.get_attribute("html", "lang") == "zh-CN"
    (tmp_path / "note.txt").write_text("no picture")
    page.set_input_files("#file", tmp_path / "note.txt")
    expect(page.locator("#error")).to_be_hidden()
    page.click("#restore")
    expect(page.locator("#error-words")).to_have_text("这里没有能处理此类文件的模型。")
    page.select_option("#language", "en")
    page.set_input_files("#file", {"name": "big.png", "mimeType": "image/png", "buffer": b"x" * 3_000_000})
    page.click("#restore")
    expect(page.locator("#error-words")).to_contain_text("The file is too large: 3.0 MB, and at most 2 MB")


def drop(page, *names):
    """Drop files of these names: copies of what #file holds cannot be dropped, so each is a small PNG."""
    page.evaluate(
        """async (names) => {
          const content = await (await fetch("/example.png")).blob();
          const data = new DataTransfer();
          for (const name of names) data.items.add(new File([content], name, { type: "image/png" }));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }""",
        list(names),
    )


def test_several_files_are_a_queue_with_one_download(page, files, tmp_path):
    (tmp_path / "note.txt").write_text("no picture")
    shutil.copy(files / "a.png", tmp_path / "b.png")
    cv2.imwrite(str(tmp_path / "b.jpg"), cv2.imread(str(files / "a.png")))
    given = [files / "a.png", tmp_path / "note.txt", tmp_path / "b.png", files / "a.dng", tmp_path / "b.jpg"]
    page.set_input_files("#file", given)
    expect(page.locator("#chosen")).to_contain_text("5 files")
    expect(page.locator("#queue li")).to_have_text([f"{path.name}: waits" for path in given])
    page.click("#restore")
    expect(page.locator("#status")).to_have_text(
        "Ready. Files that could not be restored: 1.", timeout=2 * PATIENCE
    )
    lines = page.locator("#queue li")
    expect(lines.nth(0)).to_have_text("a.png: ready Show")
    expect(lines.nth(1)).to_contain_text(
        "None of the models here takes this kind of file. Files that are taken"
    )
    expect(lines.nth(3)).to_have_text("a.dng: ready Show")  # by the model for raw files
    expect(page.locator("#facts")).to_contain_text("a.png: mirnet_v2_small")  # the first one stays in view
    lines.nth(3).get_by_role("button", name="Show a.dng").click()
    expect(page.locator("#facts")).to_contain_text("a.dng: sid_unet")
    expect(page.locator("#zip")).to_have_text("Download all 4 (ZIP)")
    with zipfile.ZipFile(downloaded(page, "#zip", tmp_path)) as archive:
        assert archive.testzip() is None
        names = ["a-restored.png", "b-restored.png", "a-restored-2.png", "b-restored.jpg"]
        assert archive.namelist() == names
        sizes = [cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), -1).shape for name in names]
        assert sizes == [(40, 56, 3), (40, 56, 3), (66, 96, 3), (40, 56, 3)]
    page.select_option("#language", "zh")
    expect(lines.nth(0)).to_have_text("a.png：完成 显示")
    page.set_viewport_size({"width": 280, "height": 640})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 280


def test_files_that_are_dropped_during_the_work_join_the_queue(page, service, files):
    page.route(
        "**/v1/restore*", lambda route: route.continue_(url=route.request.url + "&self_ensemble=x8&tile=64")
    )
    page.set_input_files("#file", files / "slow.png")
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text("Restoring: part", timeout=PATIENCE)
    expect(page.locator("#status")).to_contain_text(" left", timeout=PATIENCE)  # the remaining time
    drop(page, "second.png", "third.png")
    expect(page.locator("#queue li")).to_have_count(3)
    expect(page.locator("#chosen")).to_contain_text("3 files")
    expect(page.locator("#status")).to_contain_text("1 of 3: ", timeout=PATIENCE)
    page.click("#cancel")
    expect(page.locator("#status")).to_have_text("Cancelled.")
    expect(page.locator("#queue li")).to_have_text(
        ["slow.png: cancelled", "second.png: waits", "third.png: waits"]
    )
    page.unroute("**/v1/restore*")
    page.click("#restore")  # goes on with those that wait
    expect(page.locator("#status")).to_have_text("Ready.", timeout=2 * PATIENCE)
    expect(page.locator("#queue li").nth(0)).to_have_text("slow.png: cancelled")
    service.until("paddle_restore_workers_busy", 0)


def test_the_old_result_goes_and_the_kinds_are_named(page, files, tmp_path):
    page.set_input_files("#file", files / "a.png")
    page.click("#restore")
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE)
    (tmp_path / "note.txt").write_text("no picture")
    page.set_input_files("#file", tmp_path / "note.txt")
    page.click("#restore")
    expect(page.locator("#error")).to_be_visible()
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#error-detail")).to_contain_text("Files that are taken here: 3fr, arw, avif, bmp,")


def test_details_of_errors_are_chinese_too(page, files, tmp_path):
    (tmp_path / "cut.png").write_bytes((files / "a.png").read_bytes()[:400])
    page.select_option("#language", "zh")
    page.set_input_files("#file", tmp_path / "cut.png")
    page.click("#restore")
    detail = page.locator("#error-detail")
    expect(detail).to_have_text("cut.png：无法作为图片读取；文件已损坏或不完整", timeout=PATIENCE)
    assert detail.get_attribute("lang") == "zh-CN"
    page.select_option("#language", "en")
    expect(detail).to_have_text("cut.png: cannot be read as a picture; the file is broken or cut short")
    assert detail.get_attribute("lang") == "en"
    line = (
        "a.png: has 4000x3000 pixels, for which slow needs about 8 minutes here, and a request may take 120 "
        "seconds; send a smaller picture of at most 3 million pixels, or leave self_ensemble away, or choose "
        "fast, which takes about 12 seconds"
    )
    page.route("**/v1/restore*", lambda route: route.fulfill(status=413, json={"error": line}))
    page.click("#restore")
    expect(detail).to_have_text(line)
    page.select_option("#language", "zh")
    expect(detail).to_have_text(
        "a.png：4000x3000 像素，slow 在此约需 8 分钟，而每个请求最多 120 秒；请发送至多 3 百万像素的图片，"
        "或不用 self_ensemble，或选择 fast（约需 12 秒）"
    )


def test_words_for_models(page, service):
    models = service.client.get("/v1/models").json()
    models["models"][0]["parameters"] = 7_800_000
    page.route("**/v1/models", lambda route: route.fulfill(json=models))
    page.reload()
    # The weights may be the visitor's own: the licence is that of what was published.
    expect(page.locator("#licence")).to_contain_text(
        "7.8 million parameters; licence of the published network:"
    )
    page.select_option("#language", "zh")
    expect(page.locator("#licence")).to_contain_text("780 万个参数；所发表网络的许可证：")


def test_a_jpeg_keeps_the_colour_profile(page, tmp_path):
    """A canvas would make sRGB of a picture in Display P3."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    content = bytearray(profile.tobytes())
    # Swap two primaries: values of another colour space, which a conversion would change.
    red, green = content.find(b"rXYZ"), content.find(b"gXYZ")
    content[red : red + 4], content[green : green + 4] = content[green : green + 4], content[red : red + 4]
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:] = (200, 40, 90)
    Image.fromarray(picture).save(tmp_path / "p3.jpg", icc_profile=bytes(content), quality=98)
    page.set_input_files("#file", tmp_path / "p3.jpg")
    page.route(
        "**/v1/restore*",
        lambda route: route.continue_(url=f"{route.request.url}".replace("strength=1", "strength=0")),
    )
    page.click("#restore")
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE)
    assert "main" in page.get_attribute("#jpeg", "class").split()  # as large as the file
    jpeg = Image.open(downloaded(page, "#jpeg", tmp_path))
    assert jpeg.info["icc_profile"] == bytes(content)
    assert (jpeg.format, jpeg.size) == ("JPEG", (64, 48))
    np.testing.assert_allclose(np.asarray(jpeg).mean((0, 1)), (200, 40, 90), atol=3)
    expect(page.locator("#flat")).to_be_hidden()


def test_transparency_becomes_white_in_a_jpeg_and_the_page_says_so(page, tmp_path):
    picture = np.zeros((48, 64, 4), np.uint8)
    picture[..., :3], picture[:, 32:, 3] = (10, 20, 30), 255
    Image.fromarray(picture).save(tmp_path / "clear.png")
    page.set_input_files("#file", tmp_path / "clear.png")
    page.click("#restore")
    expect(page.locator("#result")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#flat")).to_contain_text("in a JPEG they become white")
    assert "main" in page.get_attribute("#png", "class").split()
    jpeg = np.asarray(Image.open(downloaded(page, "#jpeg", tmp_path)))
    assert jpeg[:, :24].min() > 250
    assert jpeg[:, 40:].max() < 120
    png = Image.open(downloaded(page, "#png", tmp_path))
    assert png.mode == "RGBA"


def test_a_restoration_can_be_cancelled(page, service, files):
    page.set_input_files("#file", files / "slow.png")
    page.route(
        "**/v1/restore*", lambda route: route.continue_(url=route.request.url + "&self_ensemble=x8&tile=64")
    )
    page.click("#restore")
    expect(page.locator("#status")).to_contain_text("Restoring: part", timeout=PATIENCE)
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Cancelled.")
    expect(page.locator("#restore")).to_be_enabled()
    service.until("paddle_restore_requests_open", 0)
    service.until("paddle_restore_workers_busy", 0)


def test_narrow_screens_and_themes(page):
    colour = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.click("#theme")  # from the system's to light
    expect(page.locator("#theme")).to_have_text("Theme: light")
    light = page.evaluate(colour)
    assert sum(map(int, light[4:-1].split(","))) > sum(map(int, dark[4:-1].split(","))) + 300
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
    page.reload()
    expect(page.locator("#theme")).to_have_text("Theme: light")


def test_every_control_has_a_name(page):
    names = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input")].map((one) => [one.id,
          (one.labels && one.labels[0] ? one.labels[0].textContent : "") || one.textContent ||
          (one.getAttribute("aria-labelledby") || "").split(" ").map(
            (id) => document.getElementById(id)?.textContent).join(" ")])"""
    )
    assert len(names) > 12
    assert [id for id, name in names if not name.strip()] == []


def test_both_languages_say_the_same():
    from paddle_restore.serving import app

    text = (app._PAGE / "texts.js").read_text(encoding="utf-8")
    english, chinese = (
        dict(line.strip().rstrip(",").split(": ", 1) for line in part.splitlines() if line.startswith("    "))
        for part in text.split("  zh: {")
    )
    assert english.keys() == chinese.keys()
    for key, words in english.items():
        holes = {word.split("}")[0] for word in words.split("{")[1:]}
        assert holes == {word.split("}")[0] for word in chinese[key].split("{")[1:]}, key
