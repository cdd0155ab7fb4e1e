"""Files in, pictures out: any size, any phase, upright; the report; the exported folder."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import yaml

from paddle_restore import create_model
from paddle_restore.data.mosaic import RawImage, unpacked
from paddle_restore.data.pixels import upright
from paddle_restore.data.raw import develop
from paddle_restore.data.synthetic.dng import BAYER_PATTERNS, write_dng
from paddle_restore.errors import UserError
from paddle_restore.inference import export as export_module
from paddle_restore.inference import forward as forward_module
from paddle_restore.inference.backends import open_network
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.export import export
from paddle_restore.inference.forward import TRANSFORMS, Averaging, Forward, restore_frame
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.package import Preprocess, read_package
from paddle_restore.inference.pipeline import read_reference
from paddle_restore.inference.report import Recorder
from paddle_restore.inference.restorer import Restorer
from paddle_restore.models import model_spec
from tests.data.test_raw import mosaic_of

SPEC = model_spec("sid_unet")


def nearest(batch: np.ndarray) -> np.ndarray:
    """A "network" that demosaics by taking each 2x2 cell's own colours, where they are."""
    red, green1, blue, green2 = (plane.repeat(2, 1).repeat(2, 2) for plane in batch.transpose(1, 0, 2, 3))
    return np.stack([red, (green1 + green2) / 2, blue], 1)


def restorer_of(network, preprocess=Preprocess(), spec=SPEC) -> Restorer:  # noqa: B008
    return Restorer.of(Forward(network, spec), preprocess)


def scene(height: int, width: int) -> np.ndarray:
    """A picture whose left and upper parts are bright, so that every flip and shift shows."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4000 - 40 * x, 4000 - 50 * y, 1000 + 20 * x], 2).clip(600, 4095)


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
@pytest.mark.parametrize("size", [(48, 64), (49, 65)])
def test_every_phase_and_size_gives_the_scene_in_its_place(tmp_path, pattern, size):
    picture = scene(*size)
    write_dng(tmp_path / "a.dng", mosaic_of(picture, pattern), pattern=pattern, white_level=4095)
    restored = restorer_of(nearest)(tmp_path / "a.dng", ratio=1.0)
    assert restored.shape == (*size, 3)
    # Half a cell is the most that the nearest sample can be away.
    np.testing.assert_allclose(restored * 4095, picture, atol=60)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_pictures_are_upright(tmp_path, orientation, turns):
    picture = scene(48, 64)
    path = tmp_path / "a.dng"
    write_dng(path, mosaic_of(picture, "RGGB"), white_level=4095, orientation=orientation)
    restorer = restorer_of(nearest)
    expected = np.rot90(picture, turns)
    restored = restorer(path, ratio=1.0)
    np.testing.assert_allclose(restored * 4095, expected, atol=60)
    assert read_reference(path).shape == restored.shape
    assert develop(path).shape == (48, 64, 3)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 3)])
def test_a_preview_is_upright_and_of_the_pictures_size(tmp_path, orientation, turns):
    """Of a raw file, whose size is odd and whose pattern begins at another colour, and of a picture."""
    picture = scene(49, 65)
    path = tmp_path / "a.dng"
    mosaic = mosaic_of(picture, "GBRG")
    write_dng(path, mosaic, pattern="GBRG", white_level=4095, orientation=orientation)
    preview = restorer_of(nearest).read(path, ratio=1.0).preview()
    expected = np.rot90(255 * (picture / 4095) ** (1 / 2.2), turns)
    assert preview.dtype == np.uint8
    assert preview.shape == expected.shape
    assert np.abs(preview - expected).max() < 20
    deep = (scene(48, 64) * 16).astype(np.uint16)
    preview = restorer_of(nearest, spec=model_spec("mirnet")).read(deep).preview()
    assert np.abs(preview - deep / 257).max() <= 0.5


def test_a_recipes_levels_win(tmp_path):
    write_dng(tmp_path / "a.dng", np.full((48, 64), 600, np.uint16), white_level=4095)
    preprocess = Preprocess(black_level=500, white_level=700)
    restored = restorer_of(nearest, preprocess)(tmp_path / "a.dng", ratio=1.0)
    np.testing.assert_allclose(restored, 0.5, rtol=1e-6)


def test_padding_does_not_show():
    """A frame that is no multiple of 16 gives what the padded frame gives, cropped."""
    network = EagerNetwork(create_model("sid_unet", width=4))
    frame = np.random.default_rng(0).random((4, 18, 23), np.float32)
    padded = np.pad(frame, ((0, 0), (0, 14), (0, 9)), mode="reflect")
    expected = np.clip(network(padded[None])[0, :, :36, :46], 0, 1)
    np.testing.assert_array_equal(restore_frame(network, SPEC, frame), expected)


def test_self_ensemble_is_the_mean_over_the_mosaics_flips():
    """A network that looks at one side of each pixel looks, on average, at all sides alike."""
    frame = np.random.default_rng(0).random((4, 24, 32), np.float32)

    def one_sided(batch):
        return (nearest(batch) + np.roll(nearest(batch), 2, 3)) / 2

    single = restore_frame(one_sided, SPEC, frame)
    mean = restore_frame(one_sided, SPEC, frame, Averaging(self_ensemble=True))
    assert mean.shape == single.shape
    # The ensemble commutes with flipping the mosaic, as no single run of this network does.
    mosaic = unpacked(frame).flipped(False, True, False)
    whole = [Forward(one_sided, SPEC, Averaging(self_ensemble=each)) for each in (True, False)]
    ensemble, alone = (forward.run([NetworkInput(mosaic, "bayer")])[0][..., ::-1] for forward in whole)
    inside = np.s_[:, 8:-8, 8:-8]
    np.testing.assert_allclose(ensemble[inside], mean[inside], atol=1e-5)
    assert np.abs(alone - single)[inside].max() > 0.1


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("kind", ["sid_unet", "sid_unet_xtrans", "lamba"])
def test_transformed_inputs_come_back_to_their_place(kind, transform, monkeypatch):
    """A "network" that returns the mosaic itself, three times, gives it back whatever the flip."""
    spec = model_spec(kind)
    frame = np.random.default_rng(0).random((spec.in_channels, 32, 64), np.float32)

    def same(batch):
        return np.stack([np.stack([unpacked(planes).mosaic] * 3) for planes in batch])

    source = NetworkInput(unpacked(frame), spec.input)
    if source.flipped(transform) is None:
        assert kind == "sid_unet_xtrans"
        pytest.skip("this pattern does not survive the transform")
    monkeypatch.setattr(forward_module, "TRANSFORMS", [transform])
    output = Forward(same, spec, Averaging(self_ensemble=True)).run([source])[0]
    np.testing.assert_array_equal(output[0], unpacked(frame).mosaic)


def test_a_frame_smaller_than_the_multiple_is_refused():
    with pytest.raises(UserError, match=r"a frame of 40x30 pixels is too small for sid_unet.*at least 32x32"):
        restore_frame(nearest, SPEC, np.zeros((4, 15, 20), np.float32))


def test_an_export_that_differs_is_refused_and_leaves_the_old_one(tmp_path, monkeypatch):
    model = create_model("sid_unet", width=4)
    export(model, tmp_path / "out", "sid_unet", Preprocess())
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def wrong(*arguments):
        network = open_network(*arguments)
        return lambda batch: network(batch) + 1e-2

    monkeypatch.setattr(export_module, "open_network", wrong)
    with pytest.raises(UserError, match=r"the paddle graph differs from the network by 0.01"):
        export(model, tmp_path / "out", "sid_unet", Preprocess())
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format"),
        ({"graph": {"program": "../model.json", "parameters": "x"}}, "must be a file of the same folder"),
        ({"spec": {"id": "x"}}, "is broken"),
        ({"spec": {"latent": {"channels": 3, "stride": 0}}}, "stride must be a positive integer, not 0"),
        ({"spec": {"latent": {"channels": 10**12, "stride": 4}}}, "channels must be a positive integer"),
        ({"spec": {"latent": {"channels": 3, "stride": 7}}}, "must be one of the latent's stride 7"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"postprocess": {"clip": [0, 255]}}, "postprocess.clip"),
    ],
)
def test_a_tampered_description_is_one_line(tmp_path, change, message):
    export(create_model("sid_unet", width=4), tmp_path, "sid_unet", Preprocess())
    values = yaml.safe_load((tmp_path / "inference.yml").read_text())
    if "latent" in change.get("spec", {}):
        change = {"spec": {**values["spec"], **change["spec"]}}
    (tmp_path / "inference.yml").write_text(yaml.safe_dump({**values, **change}))
    with pytest.raises(UserError, match=message):
        read_package(tmp_path)


def test_a_description_of_an_older_version_is_read(tmp_path):
    """Version 0.1 wrote a padding and a clip that nothing read; today's exports do not have them."""
    export(create_model("sid_unet", width=4), tmp_path, "sid_unet", Preprocess(black_level=500))
    values = yaml.safe_load((tmp_path / "inference.yml").read_text())
    assert "postprocess" not in values
    assert "padding" not in values["preprocess"]
    older = {
        **values,
        "preprocess": {**values["preprocess"], "padding": "reflect"},
        "postprocess": {"clip": [0, 1]},
    }
    (tmp_path / "inference.yml").write_text(yaml.safe_dump(older))
    assert read_package(tmp_path).preprocess == Preprocess(black_level=500)
    older["preprocess"]["padding"] = "zeros"
    (tmp_path / "inference.yml").write_text(yaml.safe_dump(older))
    with pytest.raises(UserError, match=r"preprocess.padding: must be 'reflect', or left out"):
        read_package(tmp_path)


@pytest.mark.parametrize("inputs", [[], ["nothing"], ["input", "input"]])
def test_inputs_that_the_graph_does_not_have_are_one_line(tmp_path, inputs):
    export(create_model("sid_unet", width=4), tmp_path, "sid_unet", Preprocess())
    values = yaml.safe_load((tmp_path / "inference.yml").read_text())
    values["graph"]["inputs"] = inputs
    (tmp_path / "inference.yml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"the graph takes input, and inference.yml says"):
        Restorer(tmp_path)


def test_a_network_that_fails_is_one_line():
    def network(batch):
        raise RuntimeError("(InvalidArgument) Broadcast dimension\n  mismatch")

    with pytest.raises(
        UserError, match=r"cannot take this input \(\(InvalidArgument\) Broadcast dimension mis"
    ):
        restorer_of(network)(
            RawImage(np.full((64, 64), 600, np.uint16), "RGGB", (512.0,) * 4, 4095.0, (1.0,) * 4)
        )


def test_a_missing_graph_is_one_line(tmp_path):
    export(create_model("sid_unet", width=4), tmp_path, "sid_unet", Preprocess())
    (tmp_path / "model.pdiparams").write_bytes(b"")
    with pytest.raises(UserError, match=r"model.pdiparams: is missing or empty"):
        read_package(tmp_path)


def test_auto_log_takes_over_where_it_is_installed(monkeypatch):
    calls = []

    class Times:
        def start(self):
            calls.append("start")

        def stamp(self):
            calls.append("stamp")

        def end(self, stamp):
            calls.append("end")

    class AutoLogger:
        def __init__(self, **arguments):
            assert arguments["time_keys"] == ["preprocess_time", "inference_time", "postprocess_time"]
            assert (arguments["model_precision"], arguments["batch_size"]) == ("bf16", 4)
            self.times = Times()

        def report(self):
            calls.append("report")
            sys.exit(0)

    module = types.ModuleType("auto_log")
    module.AutoLogger = AutoLogger
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "auto_log", module)
    recorder = Recorder("sid_unet", "cpu", 2, "bf16", 4, config=object())
    for step in ("preprocess", "inference", "postprocess"):
        with recorder.step(step):
            pass
    recorder.report()
    assert calls == ["start", "stamp", "stamp", "end", "report"]


def test_the_report_says_what_ran():
    lines = Recorder("sid_unet", "cpu", 2, "bf16", 4).lines()  # by ONNX Runtime, say: no configuration
    assert {"[INFO] precision: bf16", "[INFO] batch_size: 4", "[INFO] enable_mkldnn: False"} <= set(lines)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (0, lambda a: a),
        (3, lambda a: np.rot90(a, 2)),
        (5, lambda a: np.rot90(a, 1)),
        (6, lambda a: np.rot90(a, 3)),
        (1, lambda a: a[:, ::-1]),
        (2, lambda a: a[::-1]),
        (4, lambda a: a.transpose(1, 0, 2)),
    ],
)
def test_libraws_eight_orientations(orientation, turned):
    picture = np.arange(2 * 3 * 3).reshape(2, 3, 3)
    np.testing.assert_array_equal(upright(picture, orientation), turned(picture))
