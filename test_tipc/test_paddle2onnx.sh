#!/usr/bin/env bash
# Export to ONNX and infer with ONNX Runtime as a parameter file says. Run prepare.sh first.
#   bash test_tipc/test_paddle2onnx.sh test_tipc/configs/MODEL/ONNX_FILE.txt [paddle2onnx_infer]
# Ends with status 1 if a command failed. PYTHON=FILE replaces line 3.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
. test_tipc/common_func.sh

usage="usage: $0 PARAMETER_FILE [paddle2onnx_infer]"
if [ $# -lt 1 ] || [ "${2:-paddle2onnx_infer}" != paddle2onnx_infer ]; then die "$usage"; fi
begin "$1" paddle2onnx_infer paddle2onnx_params 13

# Line 4: our export, which patches what paddle2onnx gets wrong and compares the graph with the network.
command_line=()
add_words "$(func_parser_value "${lines[3]}")"
command_line[0]="$python"
for number in 4 5 6 7 8 9; do option "$number"; done
if run_command "$log_path/paddle2onnx.log"; then
  command_line=("$python")
  add_words "$(func_parser_value "${lines[10]}")"
  # The model is what line 8 saved, as in the ecosystem's script.
  func_set_params "$(func_parser_key "${lines[11]}")" "$(func_parser_value "${lines[7]}")"
  option 12
  run_command "$log_path/paddle2onnx_infer.log"
fi
finish
