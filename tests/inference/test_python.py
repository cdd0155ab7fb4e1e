"""`Restorer` and `create_model` as Python programs use them: sources in memory, lists, pickling, closing."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import numpy as np
import paddle
import pytest
from PIL import Image, ImageCms

import paddle_restore
from paddle_restore import Restorer, UserError, create_model
from paddle_restore.data.arrays import array_with_form
from paddle_restore.data.image import read_image, read_with_form, write_image
from paddle_restore.data.synthetic.dng import dng_bytes
from paddle_restore.inference.forward import Forward
from paddle_restore.inference.package import Preprocess
from paddle_restore.models import model_spec
from paddle_restore.weights import write_weights
from tests.conftest import ROOT
from tests.inference.test_files import identity

HEIGHT, WIDTH = 16, 20
SMALL = {"widths": (4, 4, 8, 8)}


def array(channels, dtype=np.uint8):
    rng = np.random.default_rng(channels)
    if dtype == np.float32:
        values = rng.random((HEIGHT, WIDTH, channels), np.float32)
    else:
        values = rng.integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels), dtype)
    return values[..., 0] if channels == 1 else values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays(tmp_path, channels, dtype):
    given = array(channels, dtype)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    colours = given[..., None] if channels == 1 else given[..., :1] if channels == 2 else given[..., :3]
    restored = identity()(given)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, np.broadcast_to(colours / top, (HEIGHT, WIDTH, 3)), atol=1e-6)
    identity().save(given, tmp_path / "a.png")
    picture, form = read_with_form(tmp_path / "a.png")
    if dtype != np.float32:
        np.testing.assert_array_equal(form.shape(picture), given)


def test_an_axis_of_one_channel_is_grey():
    given = array(1)[..., None]
    np.testing.assert_array_equal(identity()(given), identity()(given[..., 0]))


@pytest.mark.parametrize("shape", [(4, 4, 5), (4, 4, 0), (4,), (2, 4, 4, 3), (0, 4, 3)])
def test_other_shapes_are_mistakes(shape):
    with pytest.raises(UserError, match="a picture has the shape"):
        identity()(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "F"])
def test_pillow_images(mode):
    if mode == "I;16":
        image = Image.fromarray(array(1, np.uint16))
    elif mode == "F":
        image = Image.fromarray(array(1, np.float32))
    else:
        image = Image.fromarray(array(4)).convert(mode)
    wanted = np.asarray(image.convert("RGB")) / 255 if mode not in ("I;16", "F") else np.asarray(image)
    if mode in ("I;16", "F"):
        wanted = np.repeat(wanted[..., None] / (65535 if mode == "I;16" else 1), 3, axis=2)
    np.testing.assert_allclose(identity()(image), wanted, atol=1e-6)


def test_a_pillow_image_of_a_file_is_upright_and_keeps_its_profile(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    Image.fromarray(array(3)).save(tmp_path / "a.png", exif=exif, icc_profile=profile)
    with Image.open(tmp_path / "a.png") as image:
        identity().save(image, tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), np.rot90(array(3), -1))
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == profile
        assert (image.getexif()[274], image.getexif()[271]) == (1, "Maker")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp", ".jpg", ".avif"])
def test_bytes_and_open_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, array(3))
    wanted = identity()(path)
    data = path.read_bytes()
    with path.open("rb") as file:
        for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), file):
            np.testing.assert_array_equal(identity()(source), wanted)


def test_broken_bytes_are_a_mistake_without_a_name():
    with pytest.raises(UserError, match=r"^the picture: cannot be read as a picture"):
        identity()(b"hello")


def test_lists(tmp_path):
    write_image(tmp_path / "a.png", array(3))
    sources = [
        array(3),
        Image.fromarray(array(3)),
        (tmp_path / "a.png").read_bytes(),
        str(tmp_path / "a.png"),
    ]
    found = identity()(sources)
    assert isinstance(found, list)
    for one in found:
        np.testing.assert_array_equal(one, found[0])
    assert len(identity()(tuple(sources))) == 4
    assert identity()([]) == []


def nearest(batch):
    red, green, blue, _ = (plane.repeat(2, 1).repeat(2, 2) for plane in batch.transpose(1, 0, 2, 3))
    return np.stack([red, green, blue], 1)


def test_raw_files_in_memory():
    mosaic = np.random.default_rng(0).integers(512, 4096, (32, 32)).astype(np.uint16)
    data = dng_bytes(mosaic, pattern="RGGB", black_level=512, white_level=4095, iso=200)
    restorer = Restorer.of(Forward(nearest, model_spec("sid_unet")), Preprocess())
    wanted = restorer(io.BytesIO(data), ratio=1.0)
    assert wanted.shape == (32, 32, 3)
    np.testing.assert_array_equal(restorer(data, ratio=1.0), wanted)
    input = restorer.read(io.BytesIO(data), 1.0)
    assert input.name == "the raw file"
    assert input.form.metadata.exif
    with pytest.raises(UserError, match=r"^the raw file: cannot be read"):
        restorer(data[:200])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Weights of a small network, as a demo's training makes them."""
    paddle.seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    model = create_model("denoise_unet", **SMALL)
    write_weights(path, model)
    return path


def test_model_arguments_load_weights_of_another_size(small):
    restorer = Restorer("denoise_unet", weights=small, model_args=SMALL, threads=1)
    assert restorer(array(3)).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(UserError, match="model_args"):
        Restorer("denoise_unet", weights=small)
    with pytest.raises(UserError, match=r"no argument .widht.; did you mean .widths."):
        Restorer("denoise_unet", weights=small, model_args={"widht": 8})


def test_create_model_takes_weights(small):
    model = create_model("denoise_unet", pretrained=small, **SMALL)
    again = create_model("denoise_unet", pretrained=str(small), **SMALL)
    for one, other in zip(model.parameters(), again.parameters()):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert model.spec.id == "denoise_unet"
    with pytest.raises(UserError, match="no weights of nafnet come with this package"):
        create_model("nafnet", pretrained=True)


def test_create_model_takes_the_weights_of_the_package(shipped):
    one, other = create_model("denoise_unet", pretrained=True), create_model("denoise_unet", pretrained=True)
    assert all((a == b).all() for a, b in zip(one.parameters(), other.parameters()))


def test_a_restorer_can_be_pickled(small):
    restorer = Restorer("denoise_unet", weights=small, model_args=SMALL, strength=0.5)
    again = pickle.loads(pickle.dumps(restorer))
    np.testing.assert_array_equal(again(array(3)), restorer(array(3)))
    assert again.forward.strength == 0.5
    with pytest.raises(UserError, match="cannot be pickled"):
        pickle.dumps(identity())


def test_repr_says_what_it_is(small):
    restorer = Restorer("denoise_unet", weights=small, model_args=SMALL)
    assert repr(restorer) == "<Restorer denoise_unet: srgb in, own code on cpu>"


def test_a_closed_restorer_says_so():
    with identity() as restorer:
        restorer(array(3))
    with pytest.raises(UserError, match="the restorer is closed"):
        restorer(array(3))


def test_a_gpu_that_is_not_there_is_a_mistake(small):
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 1:
        pytest.skip("this machine has it")
    with pytest.raises(UserError, match="gpu:1"):
        Restorer("denoise_unet", weights=small, model_args=SMALL, device="gpu:1")


def test_names_of_the_package_are_lazy_and_visible():
    code = (
        "import sys, paddle_restore\n"
        "assert not any(name.startswith('paddle_restore.') for name in sys.modules), 'imported'\n"
        "wanted = {'Restorer', 'UserError', 'create_model', 'list_models', '__version__'}\n"
        "assert wanted <= set(dir(paddle_restore)) and wanted == set(paddle_restore.__all__)\n"
        "from paddle_restore import *\n"
        "assert Restorer.__name__ == 'Restorer' and issubclass(UserError, Exception)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_type_checkers_see_real_types(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "use.py").write_text(
        "import paddle_restore\n"
        "reveal_type(paddle_restore.Restorer)\n"
        "reveal_type(paddle_restore.list_models())\n"
        "reveal_type(paddle_restore.Restorer()('a.jpg').shape)\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", tmp_path / "use.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "inference.restorer.Restorer" in done.stdout, done.stdout
    assert "list[" in done.stdout
    assert done.stdout.count("Revealed type") == 3
    assert (ROOT / "paddle_restore/py.typed").is_file()
    assert paddle_restore.__version__


def test_the_array_of_a_form_is_not_changed():
    given = array(4)
    before = given.copy()
    picture, form = array_with_form(given)
    form.alpha[:] = 0
    np.testing.assert_array_equal(given, before)
    assert picture.shape == (HEIGHT, WIDTH, 3)
