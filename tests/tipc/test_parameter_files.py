"""The parameter files have the ecosystem's form: read by line number, split at colons."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from paddle_restore.cli.main import load_command
from paddle_restore.engine.config import load_config
from paddle_restore.models import list_models, small_arguments
from test_tipc import make_configs
from tests.conftest import ROOT

CONFIGS = ROOT / "test_tipc/configs"
MODELS = sorted(path.name for path in CONFIGS.iterdir())
MAIN = "train_infer_python.txt"
DIST = "train_dist_infer_python.txt"
FLEET = "train_linux_gpu_fleet_normal_infer_python_linux_gpu_cpu.txt"
ONNX = "model_linux_gpu_normal_normal_paddle2onnx_python_linux_cpu.txt"
SERVING = "model_linux_gpu_normal_normal_serving_python_linux_gpu_cpu.txt"
MODES = ("lite_train_lite_infer", "lite_train_whole_infer", "whole_train_whole_infer")
TRAINING = [(model, name) for model in MODELS for name in (MAIN, DIST, FLEET)]


class Lines:
    """As the shell has them: `lines=($(cat FILE))` drops empty lines, fields are split at every colon."""

    def __init__(self, path: Path):
        self.raw = path.read_text(encoding="ascii").splitlines()
        self.lines = [line for line in self.raw if line]

    def key(self, number: int) -> str:
        return self.lines[number - 1].split(":")[0]

    def value(self, number: int) -> str:
        return self.lines[number - 1].split(":")[1]

    def options(self, *pairs: tuple[str, str]) -> list[str]:
        """`func_set_params`: KEY=VALUE, or nothing where either is null or the value is empty."""
        return [w for k, v in pairs if k != "null" and v not in ("null", "") for w in f"{k}={v}".split()]

    def of_mode(self, number: int, mode: str) -> str:
        return dict(choice.split("=") for choice in self.value(number).split("|"))[mode]


def parse(command: str, options: list[str]) -> argparse.Namespace:
    """Let the tool's own parser read a command, as `python tools/X.py …` would."""
    script, *words = command.split()
    parser = argparse.ArgumentParser(exit_on_error=False)
    load_command(Path(script).stem).add_arguments(parser)
    return parser.parse_args([*words, *options])


def test_the_written_files_are_current():
    stale = [path for path, text in make_configs.contents().items() if path.read_text() != text]
    assert not stale, "run: python test_tipc/make_configs.py"


def test_a_network_without_a_line_in_the_table_gets_its_files_by_rule(monkeypatch):
    monkeypatch.setattr(make_configs, "NETWORKS", {})
    contents = make_configs.contents()
    files = {path.relative_to(ROOT / "test_tipc").as_posix(): text for path, text in contents.items()}
    assert "mirnet) published=configs/mirnet/sidd_1card.yml kind=srgb set= crop=64 ;;" in files["networks.sh"]
    lite = yaml.safe_load(files["configs/mirnet/lite.yml"])
    assert lite["model"] == {"id": "mirnet", "args": small_arguments("mirnet")}
    assert lite["objective"] == {"kind": "supervised", "losses": {"charbonnier_clipped": 1.0}}
    assert lite["data"] == {"kind": "pairs", "root": "test_tipc/data/lite/pairs", "crop": 32, "limit": 2}
    assert files[f"configs/mirnet/{MAIN}"] == (CONFIGS / "mirnet" / MAIN).read_text()


def test_every_network_has_its_files():
    assert set(MODELS) == set(list_models())
    for model in MODELS:
        assert {path.name for path in (CONFIGS / model).iterdir()} == {
            *(MAIN, DIST, FLEET, ONNX, SERVING),
            "lite.yml",
        }


@pytest.mark.parametrize(
    ("model", "name"), [*TRAINING, *((model, name) for model in MODELS for name in (ONNX, SERVING))]
)
def test_lines_survive_the_shell(model, name):
    read = Lines(CONFIGS / model / name)
    assert read.raw == read.lines
    assert read.key(2) == "model_name"
    assert read.value(2) == model
    assert read.lines[2] == "python:python3"
    for line in read.lines:
        assert line.count(":") == (0 if line.startswith(("=", "##")) else 1), line
        assert not set(line) & set("\"'$`\\<>&*?"), line


@pytest.mark.parametrize(("model", "name"), TRAINING)
def test_the_52_lines_are_where_the_ecosystem_looks_for_them(model, name):
    read = Lines(CONFIGS / model / name)
    assert len(read.lines) >= 52
    headers = {1: "train_params", 23: "eval_params", 27: "infer_params"}
    for number, title in headers.items():
        assert read.lines[number - 1].strip("=") == title
    assert [n for n, line in enumerate(read.lines[:52], 1) if line == "##"] == [14, 22, 26]
    fixed = {4: "gpu_list", 11: "train_model_name", 12: "train_infer_img_dir", 15: "trainer"}
    fixed.update({16: "norm_train", 17: "pact_train", 18: "fpgm_train", 19: "distill_train", 24: "eval"})
    fixed.update({30: "norm_export", 31: "quant_export", 32: "fpgm_export", 33: "distill_export"})
    fixed.update({34: "export1", 35: "export2", 36: "inference_dir", 37: "infer_model", 38: "infer_export"})
    fixed.update({39: "infer_quant", 40: "inference"})
    assert {number: read.key(number) for number in fixed} == fixed
    assert read.value(15) == read.key(16)
    assert len(read.value(4).split("|")) == len(read.value(5).split("|"))
    assert {"cpu", "gpu"} <= set(read.value(5).split("|"))
    assert set(read.value(41).split("|")) == {"cpu", "gpu"}


@pytest.mark.parametrize(("model", "name"), TRAINING)
def test_their_commands_are_commands_of_ours(model, name):
    read = Lines(CONFIGS / model / name)
    recipe = Path(f"test_tipc/data/{model}/recipe.yml")
    for mode in MODES:
        pairs = [(read.key(5), "cpu"), (read.key(8), "run"), (read.key(13), read.value(13))]
        pairs += [(read.key(7), read.of_mode(7, mode)), (read.key(10), read.value(10))]
        pairs += [(read.key(6), read.value(6)), (read.key(9), read.of_mode(9, mode))]
        train = parse(read.value(16), read.options(*pairs))
        assert (train.config, train.output_dir) == (recipe, Path("run"))
        lite = mode.startswith("lite")
        keys = {word.split("=")[0] for word in train.override}
        assert keys == ({"train.iterations", "train.batch_size"} if lite else set())
    weights = (read.key(10), f"run/{read.value(11)}")
    assert parse(read.value(24), read.options(weights, (read.key(5), "cpu"))).config == recipe
    for line in (30, 38):
        words = read.options((read.key(29), "run/model.pdparams"), (read.key(28), "run"))
        assert parse(read.value(line), words).save_inference_dir == Path("run")
    # The ecosystem's scripts pass lines 41 and 42 whatever they say, so neither key may be null.
    words = [f"{read.key(41)}=cpu", f"{read.key(42)}={read.value(42)}"]
    words += read.options(
        (read.key(43), read.value(43)),
        (read.key(47), "run"),
        (read.key(44), read.value(44)),
        (read.key(48), read.value(12)),
        (read.key(50), read.value(50)),
        (read.key(46), read.value(46)),
        (read.key(51), read.value(51)),
        (read.key(52), read.value(52)),
    )
    infer = parse(read.value(40), words)
    assert infer.benchmark
    assert infer.backend == "paddle"
    assert (infer.model_dir, infer.device) == (Path("run"), "cpu")
    assert infer.input == [Path(f"test_tipc/data/{model}/infer/input")]


@pytest.mark.parametrize("model", MODELS)
def test_the_13_lines_of_paddle2onnx(model):
    read = Lines(CONFIGS / model / ONNX)
    assert len(read.lines) == 13
    assert (read.key(4), read.key(11)) == ("2onnx", "inference")
    python, command = read.value(4).split(maxsplit=1)
    assert python == read.value(3)
    export = parse(command, read.options(*((read.key(n), read.value(n)) for n in range(5, 11))))
    assert export.format == "onnx"
    words = read.options((read.key(12), read.value(8)), (read.key(13), read.value(13)))
    infer = parse(read.value(11), words)
    assert infer.model_dir == export.save_inference_dir
    assert infer.backend == "onnx"


@pytest.mark.parametrize("model", MODELS)
def test_the_12_lines_of_serving(model):
    read = Lines(CONFIGS / model / SERVING)
    assert len(read.lines) == 12
    assert (read.key(4), read.key(7), read.key(10)) == ("export", "web_service", "pipeline")
    export = parse(read.value(4), read.options(*((read.key(n), read.value(n)) for n in (5, 6))))
    module, name, command, *words = read.value(7).split()
    assert (module, name, command) == ("-m", "paddle_restore", "serve")
    for device in read.value(8).split("|"):
        options = [
            "--model_dir",
            str(export.save_inference_dir),
            read.key(8),
            device,
            read.key(9),
            read.value(9),
        ]
        serve = parse("tools/serve.py", [*words, *options])
        assert (serve.device, serve.port, serve.host) == (device, 0, "127.0.0.1")
    assert (CONFIGS.parent.parent / read.value(10)).is_file()


@pytest.mark.parametrize("model", MODELS)
def test_the_lite_recipe_is_of_its_network(model):
    config = load_config(CONFIGS / model / "lite.yml", ())
    assert config.model.id == model
    read = Lines(CONFIGS / model / MAIN)
    # What prepare.sh trains for the modes without training is what the lite chain trains.
    assert config.train.iterations == int(read.of_mode(7, MODES[0]))
    assert config.train.batch_size == int(read.of_mode(9, MODES[0]))
