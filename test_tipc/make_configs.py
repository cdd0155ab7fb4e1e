"""Write the parameter files, the lite recipes and the list of networks of TIPC.

    python test_tipc/make_configs.py

Every network with a recipe in configs/ gets test_tipc/configs/NETWORK/ and a line in test_tipc/networks.sh,
which prepare.sh and run_all.sh read. What follows neither from the network's registration nor from its
published recipe stands in NETWORKS below. Run the command after a change of either; a test compares.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.arithmetic import round_up
from paddle_restore.engine.config import Config, load_config
from paddle_restore.models import model_spec, small_arguments

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Network:
    """What differs from the rule.

    recipe     published recipe; by rule the first one of the network in configs/, in order of names
    arguments  size of the network; by rule the small one that it registers. A change changes the results
    crop       side of the training patches; by rule 32 in the lite chain, in the benchmark that of _INPUTS
    lr         learning rate of the lite chain
    note       comment on the learning rate
    """

    recipe: Optional[str] = None
    arguments: Optional[dict[str, Any]] = None
    crop: Optional[int] = None
    lr: float = 1e-3
    note: str = ""


# run_all.sh takes the networks in this order, then the others. The sizes are those of the recorded numbers.
NETWORKS = {
    "sid_unet": Network(recipe="configs/sid/sony.yml"),
    "sid_unet_xtrans": Network(),
    "lamba": Network(
        recipe="configs/lamba/sony.yml",
        crop=192,
        lr=1e-4,
        note="With 1.0e-3, one thread and two give other numbers from step 6 on: MS-SSIM amplifies rounding.",
    ),
    "mirnet": Network(arguments={"width": 8, "n_rrg": 1, "n_msrb": 1}),
    "mirnet_v2": Network(arguments={"width": 16, "groups": [1, 2]}),
    "mirnet_v2_small": Network(arguments={"width": 16, "groups": [1]}),
    "invdn": Network(arguments={"width": 8, "blocks": 2}),
    # The other recipes in configs/denoise start from these weights.
    "denoise_unet": Network(recipe="configs/denoise/srgb.yml"),
}


class Input(NamedTuple):
    """The made data for a kind of input: kind of tools/prepare_demo.py, SID set, crop of the benchmark."""

    demo: str
    sid_set: str
    crop: int


_INPUTS = {
    "bayer": Input("sid", "Sony", 128),
    "mosaic": Input("sid", "Sony", 128),
    "xtrans": Input("xtrans", "Fuji", 96),
    "srgb": Input("srgb", "", 64),
}
# A network that restores mosaics is trained on clean pictures and restores raw files.
_STABILISED = Input("stabilised", "Sony", 64)
_SPLITS = {"train": "train", "eval": "val"}

_TRAIN = """\
===========================train_params===========================
model_name:{name}
python:python3
gpu_list:{gpus}
--device:{devices}
-o train.amp:null
-o train.iterations:lite_train_lite_infer=10|lite_train_whole_infer=10|whole_train_whole_infer=null
--output_dir:./test_tipc/output/{name}
-o train.batch_size:lite_train_lite_infer={batch}|lite_train_whole_infer={batch}|whole_train_whole_infer=null
--weights:null
train_model_name:best_model/model.pdparams
train_infer_img_dir:./test_tipc/data/{name}/infer/input
null:null
##
trainer:norm_train
norm_train:tools/train.py -c test_tipc/data/{name}/recipe.yml --seed 100 --overwrite
pact_train:null
fpgm_train:null
distill_train:null
null:null
null:null
##
===========================eval_params===========================
eval:tools/eval.py -c test_tipc/data/{name}/recipe.yml
null:null
##
===========================infer_params===========================
--save_inference_dir:./test_tipc/output/{name}
--weights:null
norm_export:tools/export_model.py -c test_tipc/data/{name}/recipe.yml
quant_export:null
fpgm_export:null
distill_export:null
export1:null
export2:null
inference_dir:null
infer_model:./test_tipc/data/{name}/weights/model.pdparams
infer_export:tools/export_model.py -c test_tipc/data/{name}/recipe.yml
infer_quant:False
inference:tools/infer.py
--device:cpu|gpu
--backend:paddle
null:null
--batch_size:1
null:null
--precision:fp32
--model_dir:null
--input:./test_tipc/data/{name}/infer/input
null:null
--benchmark:true
--output:./test_tipc/output/{name}/pictures
--target:./test_tipc/data/{name}/infer/target
"""
_BENCHMARK = """\
===========================train_benchmark_params==========================
batch_size:1
fp_items:fp32
epoch:5
null:null
flags:null
"""
_ONNX = """\
===========================paddle2onnx_params===========================
model_name:{name}
python:python3
2onnx:python3 tools/export_model.py -c test_tipc/data/{name}/recipe.yml --format onnx
--weights:./test_tipc/data/{name}/weights/model.pdparams
null:null
null:null
--save_inference_dir:./test_tipc/output/{name}/paddle2onnx_infer/onnx
null:null
null:null
inference:tools/infer.py --backend onnx --device cpu --benchmark true \
--output ./test_tipc/output/{name}/paddle2onnx_infer/pictures --target ./test_tipc/data/{name}/infer/target
--model_dir:null
--input:./test_tipc/data/{name}/infer/input
"""
_SERVING = """\
===========================serving_params===========================
model_name:{name}
python:python3
export:tools/export_model.py -c test_tipc/data/{name}/recipe.yml
--weights:./test_tipc/data/{name}/weights/model.pdparams
--save_inference_dir:./test_tipc/output/{name}/serving_infer/inference
web_service:-m paddle_restore serve --host 127.0.0.1 --port 0
--device:cpu|gpu
--workers:1
pipeline:test_tipc/serving_client.py
--input:./test_tipc/data/{name}/infer/input
--output:./test_tipc/output/{name}/serving_infer/pictures
"""
_LISTS = """\
# shellcheck shell=bash disable=SC2034
# Written by test_tipc/make_configs.py; sourced by prepare.sh and run_all.sh.
networks=({names})
# Set the published recipe, the kind of made data, its set and the benchmark's crop of network $1.
describe_network() {{
  case "$1" in
{cases}
    *) return 1 ;;
  esac
}}
"""


def _input(id: str) -> Input:
    spec = model_spec(id)
    return _STABILISED if spec.output == "mosaic" else _INPUTS[spec.input]


def published_recipes() -> dict[str, str]:
    """Return the recipe of every network that configs/ has one for, in the order of NETWORKS."""
    found: dict[str, str] = {}
    for path in sorted(ROOT.glob("configs/*/*.yml")):
        if path.parent.name not in ("_base_", "cameras") and path.stem != "demo":
            found.setdefault(load_config(path).model.id, str(path.relative_to(ROOT)))
    order = [*NETWORKS, *sorted(found.keys() - NETWORKS.keys())]
    return {id: NETWORKS.get(id, Network()).recipe or found[id] for id in order}


def lite_recipe(id: str, published: Config) -> str:
    """Return the recipe of a small network that trains for ten iterations on the made data."""
    row, spec = NETWORKS.get(id, Network()), model_spec(id)
    source = _input(id)
    sid_set = source.sid_set
    data: dict[str, Any] = {"kind": "pairs", "root": "test_tipc/data/lite/pairs"}
    if source == _STABILISED:
        folders = {f"{use}_folder": f"{split}/groundtruth" for use, split in _SPLITS.items()}
        data = {**data, "kind": "stabilised", **folders}
    elif sid_set:
        lists = {"train_list": f"{sid_set}_train_list.txt", "eval_list": f"{sid_set}_test_list.txt"}
        data = {"kind": "sid", "root": "test_tipc/data/lite", **lists}
    data |= {"crop": row.crop or round_up(32, spec.multiple), "limit": 2}
    if getattr(published.data, "lq", None):
        data["lq"] = published.data.lq
    arguments = row.arguments if row.arguments is not None else small_arguments(id)
    sections = {
        "name": f"tipc_{id}",
        "model": {"id": id, "args": arguments} if arguments else {"id": id},
        "data": data,
        "objective": published.objective.model_dump(mode="json", exclude_unset=True),
        "optimizer": {"kind": "adam", "lr": row.lr},
        "train": {"iterations": 10, "batch_size": 2, "log_every": 1},
        "eval": {"metrics": ["psnr", "ssim_rgb_matlab"]},
    }
    lines = [
        "# Written by test_tipc/make_configs.py: shows that every command works, says nothing of quality."
    ]
    for key, value in sections.items():
        if key == "optimizer" and row.note:
            lines.append(f"# {row.note}")
        lines.append(yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=True, width=1000)[1:-2])
    return "\n".join(lines) + "\n"


def contents() -> dict[Path, str]:
    """Return every file that this command writes, by its path."""
    files: dict[Path, str] = {}
    cases = []
    recipes = published_recipes()
    for id, recipe in recipes.items():
        source = _input(id)
        crop = NETWORKS.get(id, Network()).crop or source.crop
        cases.append(f"    {id}) published={recipe} kind={source.demo} set={source.sid_set} crop={crop} ;;")
        texts = {
            "train_infer_python.txt": _train(id, "-1|0|0,1", "cpu|gpu|gpu", batch=2) + _BENCHMARK,
            "train_dist_infer_python.txt": _train(id, "-1,-1|0,1", "cpu|gpu", batch=1),
            "train_linux_gpu_fleet_normal_infer_python_linux_gpu_cpu.txt": _train(
                id, "127.0.0.1,127.0.0.1;-1|192.168.0.1,192.168.0.2;0,1", "cpu|gpu", batch=1
            ),
            "model_linux_gpu_normal_normal_paddle2onnx_python_linux_cpu.txt": _ONNX.format(name=id),
            "model_linux_gpu_normal_normal_serving_python_linux_gpu_cpu.txt": _SERVING.format(name=id),
            "lite.yml": lite_recipe(id, load_config(ROOT / recipe)),
        }
        files |= {ROOT / "test_tipc/configs" / id / name: text for name, text in texts.items()}
    files[ROOT / "test_tipc/networks.sh"] = _LISTS.format(names=" ".join(recipes), cases="\n".join(cases))
    return files


def _train(id: str, gpus: str, devices: str, batch: int) -> str:
    return _TRAIN.format(name=id, gpus=gpus, devices=devices, batch=batch)


def main() -> None:
    for path, text in contents().items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
