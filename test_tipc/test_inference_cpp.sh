#!/usr/bin/env bash
# Build deploy/cpp and restore with exported networks, each compared with the Python restorer.
#   bash test_tipc/test_inference_cpp.sh [MODEL ...]
# MODEL: a network of deploy/cpp/compare.py, with small random weights (default: all that it compares).
# Ends with status 1 if a command failed. PYTHON=FILE replaces python3; BUILD=DIR is the build folder.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
. test_tipc/common_func.sh

MODE=inference_cpp
log_path=./test_tipc/output/$MODE
status_log=$log_path/results_cpp.log
passed=0 failed=0 skipped=0
export PYTHON="${PYTHON:-python3}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
build="${BUILD:-deploy/cpp/build}"
export BUILD="$build"
mkdir -p "$log_path"
rm -f "$log_path"/*.log
: > "$status_log"

model_name=build
command_line=(bash deploy/cpp/build.sh)
if run_command "$log_path/build.log"; then
  for model_name in "${@:-all}"; do
    command_line=("$PYTHON" deploy/cpp/compare.py --program "$build/restore")
    if [ "$model_name" != all ]; then command_line+=("$model_name"); fi
    run_command "$log_path/$model_name.log"
  done
fi
model_name="${*:-all}"
finish
