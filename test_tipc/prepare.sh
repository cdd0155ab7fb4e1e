#!/usr/bin/env bash
# Make the files of a mode in test_tipc/data/MODEL: recipe.yml, infer/input, infer/target and, for modes without
# training, weights/model.pdparams.
#   bash test_tipc/prepare.sh test_tipc/configs/MODEL/train_infer_python.txt MODE
# MODE: lite_train_lite_infer, lite_train_whole_infer, whole_train_whole_infer, whole_infer,
#       paddle2onnx_infer, serving_infer, benchmark_train
# Nothing is downloaded: tools/prepare_demo.py makes the data once for all models (test_tipc/data/lite).
#   TIPC_DATA=DIR      use this SID or SIDD data set instead; for denoise_raw a SID set with clean pictures in train/, val/
#   TIPC_WEIGHTS=FILE  whole_infer, paddle2onnx_infer, serving_infer: the published network with these weights instead of
#                      a very small one that is trained for a few iterations
set -euo pipefail
cd "$(dirname "$0")/.."
. test_tipc/common_func.sh
. test_tipc/networks.sh

usage="usage: $0 PARAMETER_FILE MODE"
[ $# -eq 2 ] || die "$usage"
read_parameters "$1" params 3
MODE="$2"
model_name="$(func_parser_value "${lines[1]}")"
python="$(choose_python)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"

describe_network "$model_name" || die "$1: line 2 names no network of this repository: $model_name"
base="../../configs/$model_name/lite.yml" count=2
if [ -n "${TIPC_WEIGHTS:-}" ]; then base="../../../$published"; fi
case "$MODE" in
  lite_train_lite_infer | paddle2onnx_infer | serving_infer) ;;
  lite_train_whole_infer | whole_infer) count=1000000 ;;
  whole_train_whole_infer)
    [ -n "${TIPC_DATA:-}" ] || die "$MODE trains the published recipe, $published: set TIPC_DATA=DIR to its data"
    base="../../../$published" count=1000000
    ;;
  benchmark_train) base="../../../$published" ;;
  *) die "$usage" ;;
esac

# ---- data
root="test_tipc/data/lite"
if [ -n "${TIPC_DATA:-}" ]; then
  [ -d "$TIPC_DATA" ] || die "TIPC_DATA: $TIPC_DATA is no folder"
  root="$(cd "$TIPC_DATA" && pwd)"
else
  demos=("$kind")
  if [ "$kind" = stabilised ]; then demos=(srgb sid); fi # trains on clean pictures, restores raw files
  for demo in "${demos[@]}"; do "$python" tools/prepare_demo.py --output "$root" --kind "$demo"; done
  if [ "$kind" = srgb ]; then root="$root/pairs"; fi
fi
train=train eval=val
if [ "$kind" = stabilised ] && [ -z "${TIPC_DATA:-}" ]; then
  train=pairs/train/groundtruth eval=pairs/val/groundtruth
elif [ -d "$root/train_mini" ] && [ -d "$root/val_mini" ]; then train=train_mini eval=val_mini; fi

# ---- recipe
folder="test_tipc/data/$model_name"
rm -rf "$folder/infer"
mkdir -p "$folder/infer/input" "$folder/infer/target"
{
  echo "# Written by test_tipc/prepare.sh for $MODE."
  echo "_base_: $base"
  echo "data:"
  # A recipe of another kind of data keeps none of its options.
  case "$kind" in srgb) echo "  kind: pairs" ;; stabilised) echo "  kind: stabilised" ;; *) echo "  kind: sid" ;; esac
  echo "  root: '${root//\'/\'\'}'"
  if [ -z "$set" ] || [ "$kind" = stabilised ]; then printf '  train_folder: %s\n  eval_folder: %s\n' "$train" "$eval"; fi
  if [ "$MODE" = benchmark_train ]; then
    # Without stages and without the recipe's schedule, so that any length is valid.
    printf '  limit: 2\n'
    if [ -z "${TIPC_DATA:-}" ]; then printf '  crop: %s\n' "$crop"; fi
    printf 'schedule: {kind: constant}\ntrain: {stages: [], epochs: null, iterations: 5, log_every: 1}\n'
    printf 'eval: {every: null, metrics: [psnr], pictures: 0}\n'
  fi
} > "$folder/recipe.yml"

# ---- pictures to infer
link() {
  [ -e "$1" ] || die "$1: is not there; complete the data that TIPC_DATA names"
  ln -sfn "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")" "$folder/infer/$2/"
}
if [ "$kind" = srgb ]; then
  noisy="$root/$eval/input" clean="$root/$eval/groundtruth"
  if [ -d "$root/$eval/Noisy" ]; then noisy="$root/$eval/Noisy" clean="$root/$eval/GT"; fi
  for part in input target; do
    source="$noisy"
    if [ "$part" = target ]; then source="$clean"; fi
    files=("$source"/*)
    [ -e "${files[0]}" ] || die "$source: no pictures"
    for file in "${files[@]:0:count}"; do link "$file" "$part"; done
  done
else
  list="$root/${set}_test_list.txt"
  [ -s "$list" ] || die "$list: no such list; TIPC_DATA=DIR needs the authors' lists beside $set/"
  mapfile -t pairs < "$list"
  for pair in "${pairs[@]:0:count}"; do
    read -r short long _ <<< "$pair"
    link "$root/$short" input
    link "$root/$long" target
  done
fi

# ---- weights
case "$MODE" in whole_infer | paddle2onnx_infer | serving_infer)
  weights="$folder/weights/model.pdparams"
  mkdir -p "$folder/weights"
  if [ -n "${TIPC_WEIGHTS:-}" ]; then
    "$python" tools/convert_weights.py --source "$TIPC_WEIGHTS" --output "$weights"
  else
    "$python" tools/train.py -c "$folder/recipe.yml" --device cpu --seed 100 --overwrite --output_dir "$folder/run"
    cp "$folder/run/best_model/model.pdparams" "$weights"
  fi
  ;;
esac
echo "$model_name $MODE: prepared in $folder"
