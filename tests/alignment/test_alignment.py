"""Every network gives its authors' numbers, and the tool would say so if one did not."""

from __future__ import annotations

import json
import logging
import shutil
from itertools import islice

import numpy as np
import paddle
import pytest

import paddle_restore.alignment.steps as steps
from paddle_restore.alignment import (
    THRESHOLDS,
    GoldenFolder,
    align,
    aligned_models,
    compare,
    golden_of,
    write,
)
from paddle_restore.alignment.data import PREPARATIONS
from paddle_restore.alignment.differences import differences
from paddle_restore.alignment.procedural import procedural_weight
from paddle_restore.cli.main import main
from paddle_restore.errors import UserError
from paddle_restore.models import Golden
from paddle_restore.weights.convert import convertible_models
from tests.conftest import GOLDEN, ROOT


def steps_without_pictures(id: str) -> list[str]:
    golden = golden_of(id)
    training = ["loss", "backward", "train"] if golden.objective else []
    return [*(["data"] if golden.data != "pictures" else []), "forward", *training]


@pytest.mark.parametrize("id", aligned_models())
def test_every_step_is_within_its_threshold(id):
    rows = [compare(id, *step) for step in align(id, GoldenFolder(GOLDEN))]
    assert [row.step for row in rows] == steps_without_pictures(id)
    assert not [row for row in rows if not row.passed]


@pytest.mark.parametrize("id", aligned_models())
def test_the_steps_on_real_pictures_are_within_their_thresholds(shared, id):
    rows = [compare(id, *step) for step in islice(align(id, GoldenFolder(shared / "golden")), 2)]
    assert [row.step for row in rows] == ["data", "metric"]
    assert not [row for row in rows if not row.passed]


def test_every_network_with_published_checkpoints_is_aligned():
    assert set(aligned_models()) == set(convertible_models())


@pytest.mark.parametrize("name", [name for name in PREPARATIONS if name != "pictures"])
def test_every_preparation_is_the_authors(name):
    ours, reference = PREPARATIONS[name](GoldenFolder(GOLDEN))
    assert reference
    assert compare("any", "data", ours, reference).passed


def test_the_seed_of_the_golden_values_draws_weights_and_inputs(tmp_path):
    for name in ("models.json", "lamba.npz"):
        shutil.copy(ROOT / "tests" / "golden" / name, tmp_path)
    golden = golden_of("lamba")
    first = GoldenFolder(tmp_path).reference(golden)
    values = json.loads((tmp_path / "models.json").read_text())
    assert values["seed"] == 0
    (tmp_path / "models.json").write_text(json.dumps({**values, "seed": 1}))
    second = GoldenFolder(tmp_path).reference(golden)
    name, shape = "conv2x.0.bias", (12,)
    np.testing.assert_array_equal(first.weights[name], procedural_weight(name, shape, seed=0))
    np.testing.assert_array_equal(second.weights[name], procedural_weight(name, shape, seed=1))
    assert (first.weights[name] != second.weights[name]).all()
    for name in ("input", "target"):
        assert (getattr(first, name) != getattr(second, name)).mean() > 0.99


def test_real_pictures_are_read_as_the_authors_read_them(shared):
    ours, reference = PREPARATIONS["pictures"](GoldenFolder(shared / "golden"))
    assert reference
    assert compare("any", "data", ours, reference).passed


def test_differences_are_relative_to_the_largest_value():
    ours, reference = {"a": np.array([1.0, 99.0])}, {"a": np.array([2.0, 100.0])}
    assert differences(ours, reference) == {"a": 0.01}
    assert compare("x", "train", ours, reference).passed is False
    assert compare("x", "loss", {"a": np.float32([1.00005])}, {"a": np.ones(1)}).passed


@pytest.mark.parametrize(
    "ours",
    [{}, {"a": np.array([np.nan, 1])}, {"a": np.ones((2, 1))}, {"a": np.ones(2), "b": np.ones(1)}],
    ids=["missing", "NaN", "shape", "more"],
)
def test_what_cannot_be_compared_does_not_pass(ours):
    row = compare("x", "forward", ours, {"a": np.ones(2)})
    assert (row.difference, row.passed) == (np.inf, False)


def call(*words):
    with pytest.raises(SystemExit) as stop:
        main("align", [str(word) for word in words])
    return stop.value.code


def test_the_tool_writes_what_the_guide_asks_for(tmp_path, capfd):
    check_the_written_files(GOLDEN, steps_without_pictures("lamba"), tmp_path, capfd)


def test_the_tool_writes_the_metric_step_too_where_the_pictures_are(shared, tmp_path, capfd):
    check_the_written_files(shared / "golden", list(THRESHOLDS), tmp_path, capfd)


def check_the_written_files(golden, steps, tmp_path, capfd):
    pytest.importorskip("reprod_log", reason="pip install 'paddle_restore[align]'")
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    assert call("--model", "lamba", "--golden", golden, "--output", tmp_path) == 0
    printed, logged = capfd.readouterr()
    assert [line.split()[:2] for line in printed.splitlines()[2:]] == [["lamba", s] for s in steps]
    assert "check passed" not in printed + logged
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    ends = ("paddle.npy", "ref.npy", "diff.log")
    assert {path.name for path in tmp_path.iterdir()} == {f"{s}_{end}" for s in steps for end in ends}
    ours, reference = (
        np.load(tmp_path / f"forward_{s}.npy", allow_pickle=True).item() for s in ("paddle", "ref")
    )
    np.testing.assert_allclose(ours["output"], reference["output"], atol=1e-4)
    np.testing.assert_array_equal(reference["output"], np.load(GOLDEN / "lamba.npz")["output"])
    assert "diff check passed" in (tmp_path / "train_diff.log").read_text()


def test_the_tool_fails_where_a_network_differs(tmp_path, capsys, monkeypatch):
    pytest.importorskip("reprod_log", reason="pip install 'paddle_restore[align]'")
    original = steps.golden_model

    def slightly_wrong(*args):
        model = original(*args)
        with paddle.no_grad():
            model.head.bias.set_value(model.head.bias + 0.01)
        return model

    monkeypatch.setattr(steps, "golden_model", slightly_wrong)
    assert call("--model", "sid_unet_xtrans", "--golden", GOLDEN, "--output", tmp_path) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.endswith("NO")]
    assert [line.split()[1] for line in failed] == ["forward"]
    assert "diff check failed" in (tmp_path / "forward_diff.log").read_text()


def test_without_reprod_log_the_tool_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "reprod_log", None)
    assert call("--model", "lamba", "--golden", GOLDEN, "--output", tmp_path / "out") == 2
    assert "pip install 'paddle_restore[align]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="reprod_log"):
        write(tmp_path, "loss", {}, {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "lambda", "--golden", GOLDEN), "no golden values for 'lambda'; did you mean 'lamba'"),
        (("--golden", ROOT / "docs"), "docs: is no folder of golden values"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.setattr("paddle_restore.alignment.differences.import_reprod_log", lambda: None)
    assert call(*words, "--output", tmp_path) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a zip"])
def test_damaged_goldens_are_one_line(tmp_path, damage):
    (tmp_path / "models.json").write_text("{}")
    (tmp_path / "packing.npz").write_bytes(damage)
    folder = GoldenFolder(tmp_path)
    for read in (
        lambda: folder.arrays("packing"),
        lambda: folder.arrays("none"),
        lambda: folder.json("x.json"),
    ):
        with pytest.raises(UserError, match="cannot be read as golden values"):
            read()
    (tmp_path / "tf_models.json").write_text("{}")
    with pytest.raises(UserError, match="golden values of 'lamba' lack"):
        folder.reference(Golden("lamba"))


# ---- golden values of one's own


def own_goldens(folder, seed=0, stored=False, **changes):
    """Write golden values of a narrow SID U-Net, made by our own code, and return what models.json says."""
    import paddle_restore.alignment.procedural as procedural
    from paddle_restore.models import create_model

    model = create_model("sid_unet", width=4)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    rng = np.random.default_rng(5)
    arrays = {}
    for name, value in model.state_dict().items():
        drawn = procedural.procedural_weight(name, shapes[name], seed)
        weight = rng.standard_normal(shapes[name]).astype(np.float32) * 0.1 if stored else drawn
        value.set_value(weight)
        arrays[f"weights/{name}"] = weight
    picture = procedural.procedural_input("mine/input", (1, 4, 32, 32), seed)
    if stored:
        picture = rng.random((1, 4, 32, 32)).astype(np.float32)
    output = model(paddle.to_tensor(picture))
    target = procedural.procedural_input("mine/gt", output.shape, seed)
    loss = (output - paddle.to_tensor(target)).abs().mean()
    loss.backward()
    network = {"id": "sid_unet", "args": {"width": 4}, **changes}
    network.setdefault("objective", {"kind": "supervised", "losses": {"l1": 1.0}})
    values = {
        "network": network,
        "state_dict": shapes,
        "input_shape": [1, 4, 32, 32],
        "adam": {"lr": 1e-3, "losses": [loss.item()]},
        "grad_l2": {name: float(np.linalg.norm(p.grad.numpy())) for name, p in model.named_parameters()},
    }
    extra = {**arrays, "input": picture} if stored else {}
    np.savez(folder / "mine.npz", output=output.numpy(), **extra)
    (folder / "models.json").write_text(json.dumps({"seed": seed, "models": {"mine": values}}))


@pytest.mark.parametrize(("seed", "stored"), [(0, False), (3, False), (3, True)])
def test_goldens_of_ones_own_say_what_they_were_made_with(tmp_path, seed, stored):
    own_goldens(tmp_path, seed, stored)
    folder = GoldenFolder(tmp_path)
    assert golden_of("sid_unet", folder).args == {"width": 4}
    rows = [compare("mine", *step) for step in align("sid_unet", folder)]
    assert [row.step for row in rows] == ["forward", "loss", "backward", "train"]
    assert all(row.passed for row in rows)


def test_the_wrong_seed_is_found(tmp_path):
    own_goldens(tmp_path, seed=3)
    values = json.loads((tmp_path / "models.json").read_text())
    (tmp_path / "models.json").write_text(json.dumps({**values, "seed": 4}))
    rows = [compare("mine", *step) for step in align("sid_unet", GoldenFolder(tmp_path))]
    assert not rows[0].passed


def test_the_tool_takes_goldens_of_ones_own(tmp_path, capsys):
    pytest.importorskip("reprod_log", reason="pip install 'paddle_restore[align]'")
    own_goldens(tmp_path)
    assert call("--model", "all", "--golden", tmp_path, "--output", tmp_path / "out") == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]} == {"sid_unet"}


def test_tensorflow_weights_and_preparations_heed_the_seed(tmp_path):
    for name in ("models.json", "tf_models.json", "sid_tf_fuji.npz", "functions.json", "imresize.npz"):
        shutil.copy(GOLDEN / name, tmp_path)
    golden = golden_of("sid_unet_xtrans")
    first = GoldenFolder(tmp_path).reference(golden)
    values = json.loads((tmp_path / "models.json").read_text())
    (tmp_path / "models.json").write_text(json.dumps({**values, "seed": 1}))
    folder = GoldenFolder(tmp_path)
    second = folder.reference(golden)
    assert all((first.weights[name] != value).any() for name, value in second.weights.items())
    assert (first.input != second.input).mean() > 0.99
    for name in ("amplifier", "imresize"):
        assert not compare("any", "data", *PREPARATIONS[name](folder)).passed


@pytest.mark.parametrize(
    ("network", "seed", "message"),
    [
        ({"id": "sid_unet", "arg": {}}, 0, r"models.mine.network: unknown key 'arg'.*args"),
        ({"args": {}}, 0, r"key 'id' is missing"),
        ({"id": "sid_unet"}, "x", r"seed must be a whole number"),
    ],
)
def test_mistakes_in_goldens_of_ones_own_are_one_line(tmp_path, network, seed, message):
    values = {"seed": seed, "models": {"mine": {"network": network}}}
    (tmp_path / "models.json").write_text(json.dumps(values))
    folder = GoldenFolder(tmp_path)
    with pytest.raises(UserError, match=message):
        golden_of("sid_unet", folder), folder.seed
