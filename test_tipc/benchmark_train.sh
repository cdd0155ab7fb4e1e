#!/usr/bin/env bash
# Training speed of a published network in samples per second, from the trainer's log.
#   bash test_tipc/benchmark_train.sh test_tipc/configs/MODEL/train_infer_python.txt benchmark_train [CASE...]
# CASE: dynamic_bs1_fp32_DP_N1C1, as in the ecosystem: batch, precision (fp32, or on GPU fp16: AMP O1), data
# parallel, one node with this number of GPUs (or processes, on a CPU). Default: the cases of the file's
# train_benchmark_params with N1C1. Uses a GPU if there is one, otherwise the CPU.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
. test_tipc/common_func.sh

usage="usage: $0 PARAMETER_FILE benchmark_train [dynamic_bs1_fp32_DP_N1C1 ...]"
if [ $# -lt 2 ] || [ "$2" != benchmark_train ]; then die "$usage"; fi
begin "$1" "$2" train_params 52
shift 2

parameter() { # of the train_benchmark_params section
  local line inside=0
  for line in "${lines[@]}"; do
    if [[ $line = ===* ]]; then inside=0; fi
    if [[ $line = *train_benchmark_params* ]]; then inside=1; fi
    if [ "$inside" -eq 1 ] && [ "$(func_parser_key "$line")" = "$1" ]; then func_parser_value "$line"; fi
  done
}

cases=("$@")
if [ $# -eq 0 ]; then
  IFS='|' read -ra batches <<< "$(parameter batch_size)"
  IFS='|' read -ra precisions <<< "$(parameter fp_items)"
  for batch in "${batches[@]}"; do
    for precision in "${precisions[@]}"; do cases+=("dynamic_bs${batch}_${precision}_DP_N1C1"); done
  done
fi
iterations="$(parameter epoch)"
gpus="$(gpu_count)"
speeds="$log_path/speed.txt"
: > "$speeds"

for name in "${cases[@]}"; do
  [[ $name =~ ^dynamic_bs([0-9]+)_(fp32|fp16)_DP_N1C([0-9]+)$ ]] || die "$name: $usage"
  batch="${BASH_REMATCH[1]}" precision="${BASH_REMATCH[2]}" count="${BASH_REMATCH[3]}" device=cpu
  if [ "$gpus" -gt 0 ]; then device=gpu; fi
  command_line=("$python")
  if [ "$count" -gt 1 ]; then
    command_line+=(-m paddle.distributed.launch "--log_dir=$log_path/${name}_workers")
    if [ "$device" = gpu ]; then command_line+=("--devices=$(seq -s , 0 $((count - 1)))"); fi
    if [ "$device" = cpu ]; then command_line+=("--nproc_per_node=$count"); fi
  fi
  add_words "$(func_parser_value "${lines[15]}")"
  command_line+=("--device=$device" "--output_dir=$log_path/$name")
  command_line+=(-o "train.iterations=$iterations" "train.batch_size=$batch")
  if [ "$precision" = fp16 ]; then command_line+=(train.amp=O1); fi
  if { [ "$precision" = fp16 ] && [ "$gpus" -eq 0 ]; } || { [ "$device" = gpu ] && [ "$count" -gt "$gpus" ]; }; then
    skip_command "$count GPU(s)"
    continue
  fi
  log="$log_path/$name.log"
  run_command "$log" || continue
  # The first iterations allocate and tune, so the mean is over the others, weighted by their time.
  # (`case` is a keyword of gawk.)
  awk -v name="$name" -v model="$model_name" -v device="$device" '
    match($0, /avg_batch_cost: [0-9.]+/) {
      seconds = substr($0, RSTART + 16, RLENGTH - 16)
      match($0, /avg_samples: [0-9.]+/); samples = substr($0, RSTART + 13, RLENGTH - 13)
      match($0, /avg_ips: [0-9.]+/); if (RLENGTH < 0) next
      match($0, / loss: [0-9.e+-]+/); loss = substr($0, RSTART + 7, RLENGTH - 7)
      if (++n > 2) { total += seconds; all += samples }
    }
    END {
      if (total <= 0) exit 1
      printf "%s %s on %s: ips: %.4f samples/s, loss: %s, over %d iterations\n", model, name, device, all / total, loss, n - 2
    }' "$log" | tee -a "$speeds"
  if [ "${PIPESTATUS[0]}" -ne 0 ]; then status_check 1 "no avg_ips: in the log" "$log"; fi
done
finish
