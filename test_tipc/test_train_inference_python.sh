#!/usr/bin/env bash
# Train, evaluate, export and infer as a parameter file says. Run prepare.sh first.
#   bash test_tipc/test_train_inference_python.sh test_tipc/configs/MODEL/train_infer_python.txt MODE
# MODE: lite_train_lite_infer, lite_train_whole_infer, whole_train_whole_infer, whole_infer
# Ends with status 1 if any command failed. PYTHON=FILE replaces line 3.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
. test_tipc/common_func.sh

usage="usage: $0 PARAMETER_FILE lite_train_lite_infer|lite_train_whole_infer|whole_train_whole_infer|whole_infer"
[ $# -eq 2 ] || die "$usage"
case "$2" in
  lite_train_lite_infer | lite_train_whole_infer | whole_train_whole_infer | whole_infer) ;;
  *) die "$usage" ;;
esac
begin "$1" "$2" train_params 52
gpus="$(gpu_count)"
loopback=127.0.0.1,127.0.0.1

value() { func_parser_value "${lines[$(($1 - 1))]:-null:null}"; } # of line $1
key() { func_parser_key "${lines[$(($1 - 1))]:-null:null}"; }
params() { func_parser_params "${lines[$(($1 - 1))]}" "$MODE"; }

# GPUs that an entry of gpu_list needs: -1 is a process on the CPU, 0,1 are two on two GPUs.
gpus_of() {
  local ids
  IFS=',' read -ra ids <<< "$1"
  if [ "${ids[0]}" = -1 ]; then echo 0; else echo "${#ids[@]}"; fi
}

# Append the launcher of several processes to `command_line`. $1: devices, $2: its logs, $3: nodes'
# addresses, $4: this node's rank.
add_launcher() {
  local ids nodes
  IFS=',' read -ra ids <<< "$1"
  IFS=',' read -ra nodes <<< "$3"
  if [ "${#ids[@]}" -eq 1 ] && [ "${#nodes[@]}" -eq 0 ]; then return; fi
  command_line+=(-m paddle.distributed.launch "--log_dir=$2")
  if [ "${#nodes[@]}" -gt 0 ]; then
    command_line+=("--master=${nodes[0]}:${TIPC_PORT:-36789}" "--nnodes=${#nodes[@]}" "--rank=$4")
  fi
  if [ "${ids[0]}" = -1 ]; then
    command_line+=("--nproc_per_node=${#ids[@]}")
  else
    command_line+=("--devices=$1")
  fi
}

# Build the training command of this node in `command_line`.
training_command() { # devices, device, precision, run folder, addresses, rank
  command_line=("$python")
  add_launcher "$1" "$4_workers_$6" "$5" "$6"
  add_words "$run_train"
  func_set_params "$(key 5)" "$2"
  func_set_params "$(key 8)" "$4"
  func_set_params "$(key 13)" "$(value 13)"
  func_set_params "$(key 7)" "$(params 7)"
  func_set_params "$(key 10)" "$(value 10)"
  func_set_params "$(key 6)" "$3"
  func_set_params "$(key 9)" "$(params 9)"
}

# Train on one node or on two. Two nodes at the loopback address are both this machine. Otherwise this machine is
# node $TIPC_NODE (0 or 1), and the other machine runs the same command.
train() { # devices, device, precision, run folder, addresses
  local run="$4" addresses="$5" other
  if [ "$addresses" != "$loopback" ]; then
    training_command "$1" "$2" "$3" "$run" "$addresses" "${TIPC_NODE:-0}"
    run_command "${run}_train.log"
    return
  fi
  training_command "$1" "$2" "$3" "$run" "$addresses" 1
  local second=("${command_line[@]}")
  "${second[@]}" > "${run}_train_node_1.log" 2>&1 &
  other=$!
  training_command "$1" "$2" "$3" "$run" "$addresses" 0
  if ! run_command "${run}_train.log"; then
    kill "$other" 2> /dev/null # it would wait for this one
    wait "$other" 2> /dev/null
    return 1
  fi
  wait "$other"
  status_check $? "${second[*]}" "${run}_train_node_1.log"
}

# Infer with the exported folder $1 on the pictures $2, once for every combination in the file.
func_inference() {
  local device backend threads batch precision log
  local devices backends batches thread_counts precisions
  IFS='|' read -ra devices <<< "$(value 41)"
  IFS='|' read -ra backends <<< "$(value 42)"
  IFS='|' read -ra thread_counts <<< "$(value 43)"
  IFS='|' read -ra batches <<< "$(value 44)"
  IFS='|' read -ra precisions <<< "$(value 46)"
  for device in "${devices[@]}"; do
    for backend in "${backends[@]}"; do
      for threads in "${thread_counts[@]}"; do
        for batch in "${batches[@]}"; do
          for precision in "${precisions[@]}"; do
            log="$3_infer_${device}_${backend}_batchsize_${batch}_precision_${precision}"
            command_line=("$python")
            add_words "$(value 40)"
            func_set_params "$(key 41)" "$device"
            func_set_params "$(key 42)" "$backend"
            func_set_params "$(key 43)" "$threads"
            func_set_params "$(key 47)" "$1"
            func_set_params "$(key 44)" "$batch"
            func_set_params "$(key 48)" "$2"
            func_set_params "$(key 50)" "$(value 50)"
            func_set_params "$(key 46)" "$precision"
            func_set_params "$(key 51)" "$(value 51)"
            func_set_params "$(key 52)" "$(value 52)"
            if [ "$device" = gpu ] && [ "$gpus" -eq 0 ]; then
              skip_command "a GPU"
            else
              run_command "$log.log"
            fi
          done
        done
      done
    done
  done
}

# Evaluate and export the weights $2 of the run $1, then infer.
after_training() { # run folder, weights, device
  if [ "$(value 24)" != null ]; then
    command_line=("$python")
    add_words "$(value 24)"
    func_set_params "$(key 10)" "$2"
    func_set_params "$(key 5)" "$3"
    func_set_params "$(key 25)" "$(value 25)"
    run_command "$1_eval.log"
  fi
  if [ "$run_export" != null ]; then
    export_model "$run_export" "$1" "$2" "$1" || return
    func_inference "$1" "$(value 12)" "$1"
  fi
}

export_model() { # command, log, weights, folder
  command_line=("$python")
  add_words "$1"
  func_set_params "$(key 29)" "$3"
  func_set_params "$(key 28)" "$4"
  run_command "$2_export.log"
}

whole_infer() {
  local models exports number folder
  IFS='|' read -ra models <<< "$(value 37)"
  IFS='|' read -ra exports <<< "$(value 38)"
  for number in "${!models[@]}"; do
    folder="${models[number]}"
    if [ "${exports[number]}" != null ]; then
      folder="$(dirname "${models[number]}")"
      export_model "${exports[number]}" "$log_path/whole" "${models[number]}" "$folder" || continue
    fi
    func_inference "$folder" "$(value 48)" "$log_path/whole"
  done
}

train_and_infer() {
  local entries devices autocasts trainers number entry addresses device needed autocast trainer run
  IFS='|' read -ra entries <<< "$(value 4)"
  IFS='|' read -ra devices <<< "$(value 5)"
  IFS='|' read -ra autocasts <<< "$(value 6)"
  IFS='|' read -ra trainers <<< "$(value 15)"
  for number in "${!entries[@]}"; do
    entry="${entries[number]}" addresses="" device="${devices[number]:-null}"
    if [[ $entry = *\;* ]]; then addresses="${entry%%;*}" entry="${entry#*;}"; fi
    needed="$(gpus_of "$entry")"
    for autocast in "${autocasts[@]}"; do
      for trainer in "${trainers[@]}"; do
        choose_trainer "$trainer"
        if [ "$run_train" = null ]; then continue; fi
        run="$log_path/${trainer}_gpus_${entry}_autocast_$autocast"
        if [ -n "$addresses" ]; then run="${run}_nodes_2"; fi
        training_command "$entry" "$device" "$autocast" "$run" "$addresses" "${TIPC_NODE:-0}"
        if [ "$needed" -gt "$gpus" ]; then
          skip_command "$needed GPU(s)"
          continue
        elif [ -n "$addresses" ] && [ "$addresses" != "$loopback" ] && [ -z "${TIPC_NODE:-}" ]; then
          skip_command "two nodes (set TIPC_NODE to 0 on one, to 1 on the other)"
          continue
        fi
        if [ "$needed" -gt 0 ]; then export CUDA_VISIBLE_DEVICES="$entry"; fi
        train "$entry" "$device" "$autocast" "$run" "$addresses" || continue
        after_training "$run" "$run/$(value 11)" "$device"
      done
    done
  done
}

# Set run_train and run_export to the commands of a trainer, as lines 16-21 and 30-35 pair them.
choose_trainer() {
  local line
  for line in 16 17 18 19 20 21; do
    if [ "$(key "$line")" = "$1" ]; then
      run_train="$(value "$line")" run_export="$(value $((line + 14)))"
      return
    fi
  done
  die "line 15 names trainer $1, which none of the lines 16 to 21 has"
}

if [ "$MODE" = whole_infer ]; then whole_infer; else train_and_infer; fi
finish
