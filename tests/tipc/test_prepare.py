"""prepare.sh: the recipe and the pictures that each mode gets, without Paddle and without made data."""

from __future__ import annotations

import pytest

from paddle_restore.engine.config import load_config
from paddle_restore.models import list_models

MODES = {
    "lite_train_lite_infer": ("lite", 2),
    "lite_train_whole_infer": ("lite", 3),
    "whole_train_whole_infer": ("published", 3),
    "benchmark_train": ("published", 2),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", list_models())
def test_a_mode_gets_its_recipe_and_pictures(tipc, data, model, mode):
    file = f"test_tipc/configs/{model}/train_infer_python.txt"
    done = tipc("prepare.sh", file, mode, TIPC_DATA=str(data))
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tipc.root / "test_tipc/data" / model
    config = load_config(folder / "recipe.yml", ())
    size, pictures = MODES[mode]
    assert config.model.id == model
    assert config.data.root == data
    assert (config.name == f"tipc_{model}") == (size == "lite")
    if config.data.kind == "pairs":
        assert (str(config.data.train_folder), str(config.data.eval_folder)) == ("train_mini", "val_mini")
    if mode == "benchmark_train":
        assert (config.train.iterations, config.train.stages, config.data.limit) == (5, (), 2)
    for part in ("input", "target"):
        assert len(list((folder / "infer" / part).iterdir())) == pictures
        assert all(link.is_file() for link in (folder / "infer" / part).iterdir())


def test_weights_of_ones_own_go_with_the_published_network(tipc, data):
    file = "test_tipc/configs/mirnet/train_infer_python.txt"
    done = tipc("prepare.sh", file, "whole_infer", TIPC_DATA=str(data), TIPC_WEIGHTS="best.pth")
    assert done.returncode == 0, done.stderr
    folder = "test_tipc/data/mirnet"
    assert done.calls == [
        f"tools/convert_weights.py --source best.pth --output {folder}/weights/model.pdparams"
    ]
    assert load_config(tipc.root / folder / "recipe.yml", ()).name == "mirnet_sidd_1card"


@pytest.mark.parametrize("lost", ["Sony_test_list.txt", "Sony/long"])
def test_data_that_are_not_whole_are_one_line(tipc, data, lost):
    (data / lost).rename(data / "elsewhere")
    file = "test_tipc/configs/sid_unet/train_infer_python.txt"
    done = tipc("prepare.sh", file, "lite_train_lite_infer", TIPC_DATA=str(data))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {data}")
    assert lost in done.stderr
    assert done.stderr.count("\n") == 1
