"""Recipes: merging, overriding, and mistakes that name the key."""

from __future__ import annotations

import time

import pytest
import yaml

from paddle_restore.engine.config import load_config
from paddle_restore.errors import UserError
from tests.conftest import ROOT


def write(path, **values):
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    "recipe", sorted(ROOT.glob("configs/[!_c]*/*.yml")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_every_recipe_is_valid_and_opens_with_what_it_reproduces(recipe):
    load_config(recipe)
    head = [line for line in recipe.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any("tools/train.py -c" in line for line in head)


def test_bases_merge_and_overrides_win(tmp_path, tiny_recipe):
    write(tmp_path / "a.yml", **yaml.safe_load(tiny_recipe.read_text()))
    write(tmp_path / "b.yml", optimizer={"eps": 1e-6})
    write(tmp_path / "c.yml", _base_=["a.yml", "b.yml"], train={"epochs": 7})
    config = load_config(tmp_path / "c.yml", ("train.batch_size=5", "optimizer.betas=[0.8, 0.99]"))
    assert (config.train.epochs, config.train.batch_size, config.train.log_every) == (7, 5, 1)
    assert (config.optimizer.lr, config.optimizer.eps, config.optimizer.betas) == (1e-3, 1e-6, (0.8, 0.99))


def test_another_model_drops_the_old_ones_arguments(tmp_path, tiny_recipe):
    write(tmp_path / "a.yml", **yaml.safe_load(tiny_recipe.read_text()))
    write(tmp_path / "b.yml", _base_="a.yml", model={"id": "sid_unet_xtrans"})
    assert load_config(tmp_path / "b.yml").model.args == {}
    assert load_config(tmp_path / "a.yml", ("model.id=sid_unet_xtrans",)).model.args == {}


def test_the_resolved_config_is_a_recipe(tmp_path, tiny_recipe):
    config = load_config(tiny_recipe)
    (tmp_path / "resolved.yml").write_text(config.to_yaml())
    assert load_config(tmp_path / "resolved.yml") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'epochs'"),
        ("data.rooot=x", "unknown key 'data.rooot'; did you mean 'root'"),
        ("trian.epochs=3", "unknown key 'trian'; did you mean 'train'"),
        ("data.kind=sdi", "unknown kind 'sdi'; did you mean 'sid'"),
        ("train.epochs=many", "train.epochs: .*integer"),
        ("train.iterations=5", "set either epochs or iterations"),
        ("objective.losses={l2l: 1}", "unknown loss 'l2l'"),
        ("eval.metrics=[pnsr]", "unknown metric protocol 'pnsr'; did you mean 'psnr'"),
        ("schedule.kind=multistep", "needs 'milestones'"),
        ("schedule.kind=cosine_cycles", "needs 'periods'"),
        ("schedule={kind: cosine_cycles, periods: [1, 2], min_lrs: [0]}", "as many 'min_lrs'"),
        ("optimizer", "expected key.path=value"),
        ("train.epochs.x=1", "'epochs' is a value, not a section"),
    ],
)
def test_mistakes_name_the_key(tiny_recipe, override, message):
    with pytest.raises(UserError, match=message):
        load_config(tiny_recipe, (override,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "a recipe is a mapping"),
        ("_base_: self.yml", "leads back to the file itself"),
        ("name: !!python/object/apply:os.system [true]", "is not valid YAML"),
    ],
)
def test_broken_files_are_one_line(tmp_path, text, message):
    (tmp_path / "self.yml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(tmp_path / "self.yml")


LAUGHS = "[&a x, &b [*a,*a,*a,*a,*a,*a,*a,*a], " + ", ".join(
    f"&{chr(i)} [{', '.join([f'*{chr(i - 1)}'] * 8)}]" for i in range(ord("c"), ord("m"))
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: " + "9" * 5000, "an integer beyond 64 bits"),
        ("seed: 99999999999999999999", "an integer beyond 64 bits"),
        ("seed: 0x_", "is not valid YAML"),
        ("name: 2024-13-45", "is not valid YAML"),
        ("name: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("name: " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("on: 2", "the key True is not text"),
        ("train: {1: 2}", "the key 1 is not text"),
        ("_base_: 5", "_base_ is a file or a list of files, not 5"),
        ("_base_: [5]", r"_base_ is a file or a list of files, not \[5\]"),
        ("_base_:", "_base_ is a file or a list of files, not None"),
        ('_base_: "a\\0b"', "NUL"),
        ('name: "\\ud800"', "lone surrogate"),
        ("data: {kind: [1]}", r"unknown kind \[1\]"),
        (f"seed: {LAUGHS}]", "more than 20000 values"),
        (f"model: {{id: x, args: {{width: {LAUGHS}]}}}}", "more than 20000 values"),
        ("model: &m {id: x, args: *m}", "an alias stands inside what it names"),
        ("name: [" + "x, " * 100_000 + "]", "more than 20000 values"),
        ("name: " + "x" * (1 << 20), "is larger than 1 MiB"),
        ("data: {kind: sid, ? " + "x" * 300_000 + " : 1}", "unknown key"),
    ],
)
def test_hostile_files_are_one_short_line(tmp_path, text, message):
    (tmp_path / "a.yml").write_text(text)
    start = time.monotonic()
    with pytest.raises(UserError, match=message) as caught:
        load_config(tmp_path / "a.yml")
    assert len(str(caught.value)) < len(str(tmp_path)) + 600
    assert time.monotonic() - start < 10


def test_a_hostile_value_is_shown_in_part(tiny_recipe):
    for override in ("name=[" + "xxxxxxxxx," * 9000 + "]", "train.epochs=" + "x" * 100_000):
        with pytest.raises(UserError) as caught:
            load_config(tiny_recipe, (override,))
        assert len(str(caught.value)) < len(str(tiny_recipe)) + 600


def test_bases_that_multiply_are_an_error(tmp_path):
    """Four files, of which each names the next one 30 times: 810,000 files to read."""
    for number in range(4):
        (tmp_path / f"{number}.yml").write_text(f"_base_: [{', '.join([f'{number + 1}.yml'] * 30)}]")
    (tmp_path / "4.yml").write_text("name: x")
    with pytest.raises(UserError, match="_base_ leads to more than 100 files"):
        load_config(tmp_path / "0.yml")


@pytest.mark.parametrize(
    "override",
    ["train.batch_size=1000000", "train.num_workers=100000", "data.crop=1000000000"],
)
def test_sizes_have_an_upper_bound(tiny_recipe, override):
    with pytest.raises(UserError, match="less than or equal to"):
        load_config(tiny_recipe, (override,))


def test_a_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such recipe"):
        load_config(tmp_path / "none.yml")


def test_the_documentation_of_recipes_is_that_of_the_schema():
    from paddle_restore.cli.document_recipes import page

    documented = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    assert documented == page(), "run tools/document_recipes.py"
