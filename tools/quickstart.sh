#!/usr/bin/env bash
# From nothing to restored photographs. First a noisy picture, by the weights that come with the package. Then a
# dark raw file: training, evaluation, export, inference. Each ends with one picture to look at. Under ten
# minutes on two CPU cores, under 4 GB of memory.
#   bash tools/quickstart.sh          PYTHON=python3.12 bash tools/quickstart.sh          VENV=DIR
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh

step() { echo; echo "== $* ($((SECONDS / 60)) min $((SECONDS % 60)) s)"; }

step "environment in $VENV"
make_environment "demo"
python="$VENV/bin/python"
recipe=configs/sid/demo.yml
run=output/quickstart
picture=10001_00_0.1s
shown=10001_00_100 # its name in the evaluation: with the ratio, as the authors have it
noisy=10001_1.png

step "noisy pictures, restored without training"
"$python" tools/prepare_demo.py --output data/demo --kind srgb > /dev/null
"$python" tools/restore.py "data/demo/pairs/val/input/$noisy" data/demo/pairs/val/input/10002_0.png \
  --target data/demo/pairs/val/groundtruth --output "$run/denoised"
"$python" tools/compare.py "data/demo/pairs/val/input/$noisy" "$run/denoised/$noisy" \
  "data/demo/pairs/val/groundtruth/$noisy" --output "$run/denoised.png"
echo "before, after and clean, side by side: $run/denoised.png"

step "demo data in data/demo"
"$python" tools/prepare_demo.py --output data/demo --kind sid
step "training in $run"
"$python" tools/train.py -c "$recipe" --output_dir "$run" --resume auto
step "evaluation on scenes that training never saw"
"$python" tools/eval.py -c "$recipe" --weights "$run/best_model/model.pdparams" --save_images "$run/eval" |
  tee "$run/eval.txt"
step "export"
"$python" tools/export_model.py -c "$recipe" --weights "$run/best_model/model.pdparams" \
  --save_inference_dir "$run/inference"
step "Paddle Inference on one raw file"
"$python" tools/infer.py --model_dir "$run/inference" --input "data/demo/Sony/short/$picture.ARW" \
  --target data/demo/Sony/long --output "$run/restored"
"$python" tools/compare.py "$run/eval/${shown}_scale.png" "$run/restored/$picture.png" \
  "$run/eval/${shown}_gt.png" --output "$run/compare.png"

step "done"
cat <<END
noisy picture       $run/denoised.png
trained weights     $run/best_model/model.pdparams
exported model      $run/inference
restored picture    $run/restored/$picture.png
before/after/target $run/compare.png
log, curves         $run/train.log, $VENV/bin/visualdl --logdir $run/vdl

On your own noisy pictures:
  $VENV/bin/python tools/restore.py FILE_OR_FOLDER --output DIR
On your own raw files:
  $VENV/bin/python tools/infer.py --model_dir $run/inference --input FILE_OR_FOLDER --output DIR --ratio 100
END
sed -n '/^pairs/,$p' "$run/eval.txt"
