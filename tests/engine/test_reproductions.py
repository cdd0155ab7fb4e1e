"""Published experiments: what the recipes do, against the numbers of the original repositories' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from paddle_restore import create_model
from paddle_restore.data.batches import Order
from paddle_restore.data.datasets import DATASETS
from paddle_restore.data.image import read_image
from paddle_restore.data.sidd import grid_starts
from paddle_restore.engine.config import Config, MixupOptions, OptimizerOptions, load_config
from paddle_restore.engine.evaluator import evaluate, picture_saver
from paddle_restore.engine.objectives import build_objective
from paddle_restore.engine.optim import Plan, build_optimizer, build_schedule
from paddle_restore.engine.step import mixup
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.forward import Averaging, restore_frame
from paddle_restore.losses import LOSSES
from paddle_restore.models import model_spec
from tests.conftest import ROOT
from tests.engine.runs import assert_same_run

PATCHES = 96_000  # 300 of each of SIDD_Medium's 320 pictures


def recipe(name: str, *overrides: str) -> Config:
    return load_config(ROOT / "configs" / name, overrides)


@pytest.fixture(scope="module")
def sid_names(shared, tmp_path_factory) -> Path:
    """The authors' lists and empty files of the names in them."""
    root = tmp_path_factory.mktemp("names")
    for path in (shared / "data/sid_lists").iterdir():
        (root / path.name).write_text(path.read_text())
        for name in {word for line in path.read_text().splitlines() for word in line.split()[:2]}:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
    return root


# ---- SID


@pytest.mark.parametrize(
    ("name", "burst", "pairs", "counted"),
    [
        ("sid/sony.yml", "first", 93, 88),
        ("sid/sony.yml", "all", 598, 562),
        ("sid/fuji.yml", "first", 94, 94),
        ("sid/fuji.yml", "all", 524, 524),
        ("lamba/sony.yml", None, 598, 562),
        ("lamba/sony.yml", "first", 93, 88),
    ],
)
def test_the_evaluated_frames_are_the_published_ones(sid_names, name, burst, pairs, counted):
    overrides = [f"data.root={sid_names}"] + ([f"data.eval_burst={burst}"] if burst else [])
    config = recipe(name, *overrides)
    data = DATASETS[config.data.kind].eval(config.data, model_spec(config.model.id))
    assert (len(data), sum(pair.counted for pair in data.pairs)) == (pairs, counted)
    assert data.note.startswith("all" if pairs > 100 else "first")
    assert f"{pairs} of the list's {524 if 'fuji' in name else 598} pairs" in data.note
    assert ("10172" in data.note) == (pairs != counted)
    assert len(set(data.pictures)) == pairs


def test_written_names_carry_the_ratio(sid_names, sid_tree, tmp_path):
    config = recipe("sid/sony.yml", f"data.root={sid_names}")
    data = DATASETS["sid"].eval(config.data, model_spec("sid_unet"))
    assert data.pictures[:4] == ["10003_00_250", "10003_00_100", "10006_00_250", "10006_00_100"]
    assert data.pictures[-1] == "10228_00_100"
    assert all(name.split("_")[2] in ("100", "250", "300") for name in data.pictures)
    # and the saved pictures have them
    config = recipe("sid/sony.yml", f"data.root={sid_tree}", "data.limit=2", "model.args={width: 4}")
    model = create_model("sid_unet", width=4)
    data = DATASETS["sid"].eval(config.data, model.spec)
    evaluate(EagerNetwork(model), model.spec, data, ("psnr",), on_picture=picture_saver(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        f"10003_00_{ratio}_{kind}.png" for ratio in (100, 250) for kind in ("out", "gt", "scale")
    }


@pytest.mark.parametrize("cards", [1, 4])
def test_several_cards_make_the_published_number_of_updates(cards):
    """The reproduction's loop: 4001 epochs, in each of which every process goes through all 161 scenes."""
    config = recipe("sid/sony.yml")
    plan = Plan(config, samples=161, rank=cards - 1, world=cards)
    assert plan.iterations == 4001 * 161 == 644_161
    rate = build_schedule(config.schedule, config.optimizer.lr, plan)
    # `if epoch > 2000`, counted from 0
    assert rate(2001 * 161 - 1) == pytest.approx(1e-4)
    assert rate(2001 * 161) == rate(644_160) == pytest.approx(1e-5)


def test_processes_that_visit_all_samples_have_orders_and_crops_of_their_own():
    orders = [Order(7, 2, 3, rank, 3, shared=False) for rank in range(3)]
    assert [order.iterations for order in orders] == [4, 4, 4]
    epochs = [[key for i in range(4) for key in order.batch(i)] for order in orders]
    for epoch in epochs:
        assert {index for _, index in epoch} == set(range(7))
    assert len({tuple(index for _, index in epoch) for epoch in epochs}) == 3
    # No (epoch, index), from which a sample's random choices follow, is used by two processes or twice.
    keys = [key for order in orders for i in range(12) for key in set(order.batch(i))]
    numbers = [{epoch for epoch, _ in order.batch(i)} for order in orders for i in range(12)]
    assert all(len(part) == 1 for part in numbers)
    assert len({epoch for epoch, _ in keys}) == 9


def test_one_process_is_the_same_either_way():
    for iteration in range(5):
        assert Order(5, 2, 1).batch(iteration) == Order(5, 2, 1, shared=False).batch(iteration)


def test_training_pictures_are_files_where_the_recipe_asks(tiny_recipe, tmp_path):
    overrides = ("train.epochs=4", "save.pictures_every=2", "data.limit=2")
    train(load_config(tiny_recipe, overrides), tmp_path / "run")
    folders = sorted((tmp_path / "run/pictures").iterdir())
    assert [folder.name for folder in folders] == ["2", "4"]
    for folder in folders:
        files = sorted(folder.iterdir())
        assert len(files) == 2
        for file in files:
            seconds, ratio = file.stem.split("_")[2:]
            assert ratio == {"0.1s": "100", "0.04s": "250", "0.033s": "300"}[seconds]
            assert read_image(file).shape == (64, 128, 3)  # the target, and the output beside it
    train(load_config(tiny_recipe, ("train.epochs=4", "data.limit=2")), tmp_path / "none")
    assert not (tmp_path / "none/pictures").exists()
    # They change nothing else.
    assert_same_run(tmp_path / "run", tmp_path / "none")


# ---- Lamba


def test_every_short_file_is_a_sample_of_lamba(sid_names):
    config = recipe("lamba/sony.yml", f"data.root={sid_names}")
    spec = model_spec("lamba")
    data = DATASETS["sid"].train(config.data, spec)
    assert len(data) == 1865
    assert len({scene[0].short for scene in data.scenes}) == 1865
    per_scene = recipe("lamba/sony.yml", f"data.root={sid_names}", "data.visit=scene", "data.burst=first")
    scenes = DATASETS["sid"].train(per_scene.data, spec)
    assert (len(scenes), sum(map(len, scenes.scenes))) == (161, 280)
    # Their code reads the validation files too.
    both = "".join((sid_names / f"Sony_{part}_list.txt").read_text() for part in ("train", "val"))
    (sid_names / "both.txt").write_text(both)
    config = recipe("lamba/sony.yml", f"data.root={sid_names}", "data.train_list=both.txt")
    assert len(DATASETS["sid"].train(config.data, spec)) == 1865 + 234


def test_lamba_trains_with_m_of_5():
    assert recipe("lamba/sony.yml").data.amplifier_m == 5
    assert recipe("lamba/sony.yml").data.amplifier_limited == "product"


# ---- MIRNetV2


def test_two_cards_have_the_iterations_of_the_published_run():
    plan = Plan(recipe("mirnet_v2/sidd_2cards.yml"), PATCHES, world=2)
    assert plan.epochs == 100
    assert [stage.order.iterations for stage in plan.stages] == [2000, 4000, 24000, 24000]
    assert [stage.order.first_epoch for stage in plan.stages] == [0, 45, 75, 90]
    # 39.0286 and 39.5286: a quarter of epoch 20 and the middle of epoch 92
    assert {plan.iteration_of(19.25), plan.iteration_of(91.5)} <= plan.eval_points
    for name, world in (("sidd_1card", 1), ("sidd_4cards", 4)):
        other = Plan(recipe(f"mirnet_v2/{name}.yml"), PATCHES, world=world)
        assert [stage.order.iterations for stage in other.stages][:3] != [2000, 4000, 24000]


def test_the_authors_recipe_of_mirnet_v2():
    config = recipe("mirnet_v2/sidd_official.yml")
    assert config.objective.losses == {"l1": 1.0}
    assert config.optimizer.clip_norm == 0.01
    assert config.optimizer.weight_decay == 0
    assert (config.train.mixup.weight_of, config.train.mixup.share) == ("batch", 0.5)
    assert sum(stage.iterations for stage in config.train.stages) == 300_000
    assert Plan(config, 1000, world=8).iterations == 300_000


def test_the_authors_grid_of_patches():
    """numpy.arange(0, side - 512, 384) and the last place: 8 x 14 patches of a 3000x5328 picture."""
    rows, columns = grid_starts(3000, 512, 128), grid_starts(5328, 512, 128)
    assert rows == [0, 384, 768, 1152, 1536, 1920, 2304, 2488]
    assert len(rows) * len(columns) == 112
    assert columns[-2:] == [4608, 4816]
    assert grid_starts(512, 512, 128) == [0]
    assert grid_starts(896, 512, 128) == [0, 384]


def test_one_mixing_weight_for_a_batch():
    values = np.arange(8, dtype=np.float32)
    pictures = paddle.to_tensor(values.reshape(8, 1, 1, 1))
    whole = {"input": pictures, "target": pictures, "name": [str(i) for i in range(8)]}
    options, blended = MixupOptions(weight_of="batch", share=0.5), 0
    for iteration in range(200):
        made = mixup(whole, options, 1, (0, iteration))
        if made is whole:
            continue
        blended += 1
        # Blending a permutation of 0 ... 7 with one weight keeps the sum; with several it does not.
        assert made["input"].numpy().sum() == pytest.approx(values.sum(), rel=1e-5)
    assert 75 < blended < 125
    sums = [mixup(whole, MixupOptions(), 1, (0, i))["input"].numpy().sum() for i in range(5)]
    assert np.std(sums) > 0.1


# ---- InvDN


def test_milestones_and_loss_of_invdn():
    four = recipe("invdn/sidd_4cards.yml")
    assert four.schedule.milestones[-2:] == (135_000, 145_000)
    assert (four.train.iterations, four.optimizer.lr, four.train.batch_size) == (150_000, 8e-4, 14)
    for config in (four, recipe("invdn/sidd_1card.yml")):
        assert config.objective.backward == {"l1_sum": 1.0}
        assert (config.optimizer.clip_tensor_norm, config.optimizer.clip_norm) == (10, None)
        assert (config.eval.every, config.eval.border) == (500, 4)
        assert config.optimizer.betas == (0.9, 0.99)
    official = recipe("invdn/sidd_official.yml")
    assert official.objective.forward == {"l2_sum": 16.0}
    assert official.objective.backward == {"l1_sum": 1.0, "gradient": 0.1, "invdn_ssim": 1.0}
    assert (official.train.batch_size, official.optimizer.betas) == (28, (0.9, 0.999))
    assert (official.optimizer.clip_tensor_norm, official.optimizer.clip_norm) == (None, 10)


def test_the_authors_invdn_adds_gradients_and_ssim():
    model = create_model("invdn", width=4, blocks=1)
    rng = np.random.default_rng(0)
    shapes = {"input": (2, 3, 16, 16), "target": (2, 3, 16, 16), "lq": (2, 3, 4, 4), "noise": (2, 45, 4, 4)}
    batch = {k: paddle.to_tensor(rng.random(shape, np.float32)) for k, shape in shapes.items()}
    ours, theirs = (
        build_objective(recipe(f"invdn/{name}.yml").objective)(model, batch)
        for name in ("sidd_1card", "sidd_official")
    )
    low = model.encode(batch["input"])[:, :3]
    restored = model.decode(paddle.concat([low, batch["noise"]], axis=1))
    added = 0.1 * LOSSES["gradient"](restored, batch["target"]) + LOSSES["invdn_ssim"](
        restored, batch["target"]
    )
    assert (theirs["loss"] - ours["loss"]).item() == pytest.approx(added.item(), rel=1e-3)
    assert added.item() > 0.1


def test_each_tensors_gradient_is_limited_by_itself():
    weights = [paddle.create_parameter([2], "float32") for _ in range(2)]
    for weight in weights:
        weight.set_value(paddle.zeros([2]))
    optimizer = build_optimizer(OptimizerOptions(kind="sgd", lr=1.0, clip_tensor_norm=10), weights)
    (weights[0] * paddle.to_tensor([30.0, 40.0]) + weights[1] * paddle.to_tensor([3.0, 4.0])).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(weights[0].numpy(), [-6, -8], rtol=1e-5)
    np.testing.assert_allclose(weights[1].numpy(), [-3, -4], rtol=1e-5)  # below 10: as it is


def test_evaluations_of_a_training_leave_out_the_border(picture_recipe, tmp_path):
    config = load_config(picture_recipe, ("train.iterations=2", "eval.border=4"))
    model = create_model(config.model.id, **config.model.args)
    data = DATASETS["pairs"].eval(config.data, model.spec)
    rows = evaluate(EagerNetwork(model), model.spec, data, ("psnr",), border=4)
    for index, row in enumerate(rows):
        sample = data.sample(index)
        out = restore_frame(EagerNetwork(model), model.spec, sample["input"])
        difference = (out - sample["target"])[:, 4:-4, 4:-4]
        assert row["psnr"] == pytest.approx(-10 * np.log10((difference**2).mean()), rel=1e-5)
    measured = train(config, tmp_path / "cropped")["psnr"]
    whole = train(load_config(picture_recipe, ("train.iterations=2",)), tmp_path / "whole")["psnr"]
    assert measured != pytest.approx(whole, abs=1e-4)
    with pytest.raises(UserError, match="leave nothing of 48x40"):
        evaluate(EagerNetwork(model), model.spec, data, ("psnr",), border=20)


def test_the_published_ensemble_is_one_draw_for_each_of_eight_flips():
    """39.29 is the reproduction's forward_x8: the mean of eight outputs, each with a latent of its own."""
    model = create_model("invdn", width=4, blocks=1)
    network, noises = EagerNetwork(model), []

    def recorded(picture, noise):
        noises.append(noise)
        return network(picture, noise)

    recorded.name, recorded.threads = "recorded", 1
    picture = np.random.default_rng(0).random((3, 16, 24), np.float32)
    restored = restore_frame(recorded, model.spec, picture, Averaging(self_ensemble=True))
    assert len(noises) == 8
    assert len({noise.tobytes() for noise in noises}) == 8
    total = 0
    for number, noise in enumerate(noises):
        rows, columns, transposed = bool(number & 1), bool(number & 2), bool(number & 4)
        flipped = picture[:, :: -1 if rows else 1, :: -1 if columns else 1]
        flipped = flipped.swapaxes(1, 2) if transposed else flipped
        output = np.clip(network(np.ascontiguousarray(flipped)[None], noise)[0], 0, 1)
        output = output.swapaxes(1, 2) if transposed else output
        total = total + output[:, :: -1 if rows else 1, :: -1 if columns else 1] / 8
    np.testing.assert_allclose(restored, total, atol=1e-5)


# ---- pictures of equal names


def test_equal_names_of_different_folders_do_not_overwrite_each_other(sid_tree, tmp_path):
    shorts = sorted((sid_tree / "Sony/short").glob("10003*"))[:2]
    long = sid_tree / "Sony/long/10003_00_10s.ARW"
    for folder, short in zip(("a", "b"), shorts):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.ARW").write_bytes(short.read_bytes())
        (tmp_path / folder / "y.ARW").write_bytes(long.read_bytes())
    rows = ("a/x.ARW,a/y.ARW,100", "b/x.ARW,b/y.ARW,100", "b/x.ARW,a/y.ARW,100")
    (tmp_path / "val.csv").write_text("\n".join(["short,long,ratio", *rows]) + "\n")
    config = recipe(
        "sid/sony.yml",
        "data.kind=raw_pairs",
        f"data.root={tmp_path}",
        "data.train_list=val.csv",
        "data.eval_list=val.csv",
    )
    model = create_model("sid_unet", width=4)
    data = DATASETS["raw_pairs"].eval(config.data, model.spec)
    assert data.pictures == ["a_x", "b_x", "b_x_2"]
    save = picture_saver(tmp_path / "out")
    evaluate(EagerNetwork(model), model.spec, data, ("psnr",), on_picture=save)
    assert len(list((tmp_path / "out").iterdir())) == 9
