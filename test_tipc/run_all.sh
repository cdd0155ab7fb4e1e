#!/usr/bin/env bash
# Run the lite chain of every network and compare its numbers. CI runs this.
#   bash test_tipc/run_all.sh [MODEL...]     PYTHON=FILE     RECORD=1: record the numbers instead
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
. test_tipc/common_func.sh
. test_tipc/networks.sh

models=("$@")
if [ $# -eq 0 ]; then models=("${networks[@]}"); fi
python="${PYTHON:-python3}"
onnx=model_linux_gpu_normal_normal_paddle2onnx_python_linux_cpu.txt
failures=()

# Prepare and run mode $3 of model $1 by script $4 with parameter file $2, and compare its numbers with the
# recorded ones, if there are any.
chain() {
  local folder="test_tipc/output/$1/$3" results="test_tipc/results/$1_$3.txt"
  local started=$SECONDS file="test_tipc/configs/$1/$2" record="${RECORD:-}"
  case "$2" in train_dist*) folder="$folder/${2%.txt}" record="" ;; esac # compared with one process's numbers
  if bash test_tipc/prepare.sh "$file" "$3" && bash "test_tipc/$4" "$file" "$3" &&
    compare "$results" "$folder/*.log" "$record"; then
    echo "== $1 $3 ${2%.txt}: $((SECONDS - started)) s"
  else
    failures+=("$1 $3 ${2%.txt}")
  fi
}

compare() { # recorded numbers, logs, whether to record them
  if [ -n "$3" ]; then
    "$python" test_tipc/compare_results.py --gt_file "$1" --log_file "$2" --record
  elif [ -e "$1" ]; then
    "$python" test_tipc/compare_results.py --gt_file "$1" --log_file "$2"
  else
    echo "no numbers are recorded in $1, nothing was compared; RECORD=1 records them"
  fi
}

# Whether the packages are installed. An installed package that fails to import must not be skipped.
installed() {
  "$python" -c 'import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1:])))' "$@"
}

libraries=0
if installed onnx onnxruntime paddle2onnx; then libraries=1; fi
for model in "${models[@]}"; do
  chain "$model" train_infer_python.txt lite_train_lite_infer test_train_inference_python.sh
  if [ "$libraries" -eq 1 ]; then chain "$model" "$onnx" paddle2onnx_infer test_paddle2onnx.sh; fi
done
# Two processes test the trainer rather than the network, so one network is enough.
chain "${models[0]}" train_dist_infer_python.txt lite_train_lite_infer test_train_inference_python.sh
# The service over HTTP, compared with the restorer: one network is enough.
if installed fastapi uvicorn; then
  serving="test_tipc/configs/${models[0]}/model_linux_gpu_normal_normal_serving_python_linux_gpu_cpu.txt"
  bash test_tipc/prepare.sh "$serving" serving_infer &&
    bash test_tipc/test_serving_infer_python.sh "$serving" || failures+=("${models[0]} serving_infer")
else
  echo "serving was skipped: fastapi or uvicorn is not installed"
fi

if [ "$libraries" -eq 0 ]; then echo "ONNX was skipped: onnx, onnxruntime or paddle2onnx is not installed"; fi
echo "== $((SECONDS / 60)) min $((SECONDS % 60)) s, ${#failures[@]} of the chains failed"
if [ "${#failures[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failures[@]}"
  exit 1
fi
