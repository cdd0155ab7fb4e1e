#!/usr/bin/env bash
# Export, serve over HTTP and request pictures as a parameter file says. Run prepare.sh first.
#   bash test_tipc/test_serving_infer_python.sh test_tipc/configs/MODEL/SERVING_FILE.txt [serving_infer]
# Ends with status 1 if a command failed, including the exit of the server. PYTHON=FILE replaces line 3.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
. test_tipc/common_func.sh

usage="usage: $0 PARAMETER_FILE [serving_infer]"
if [ $# -lt 1 ] || [ "${2:-serving_infer}" != serving_infer ]; then die "$usage"; fi
begin "$1" serving_infer serving_params 12
seconds=180 # until the server listens

# Start `command_line` with log $1 and set `address` once it listens; it stays empty if it ends before.
start_server() {
  "${command_line[@]}" > "$1" 2>&1 &
  server=$! address=""
  local waited=0
  while [ -z "$address" ] && kill -0 "$server" 2> /dev/null && [ "$waited" -lt "$seconds" ]; do
    sleep 1
    waited=$((waited + 1))
    address="$(sed -n 's|^serving .* at \(http://[^ ]*\).*|\1|p' "$1" | head -n 1)"
  done
}

server=""
trap 'if [ -n "$server" ]; then kill "$server" 2> /dev/null; fi' EXIT

command_line=("$python")
add_words "$(func_parser_value "${lines[3]}")"
option 4
option 5
model_dir="$(func_parser_value "${lines[5]}")"
run_command "$log_path/export.log" || finish
IFS='|' read -ra devices <<< "$(func_parser_value "${lines[7]}")"
for device in "${devices[@]}"; do
  command_line=("$python")
  add_words "$(func_parser_value "${lines[6]}")"
  command_line+=(--model_dir "$model_dir" "$(func_parser_key "${lines[7]}")" "$device")
  option 8
  if [ "$device" = gpu ] && [ "$(gpu_count)" -eq 0 ]; then
    skip_command "a GPU"
    continue
  fi
  log="$log_path/server_$device.log"
  serving="${command_line[*]}"
  start_server "$log"
  if [ -n "$address" ]; then
    command_line=("$python")
    add_words "$(func_parser_value "${lines[9]}")"
    command_line+=(--url "$address" --model_dir "$model_dir")
    option 10
    option 11
    run_command "$log_path/client_$device.log"
    kill -TERM "$server"
  fi
  kill -0 "$server" 2> /dev/null && [ -z "$address" ] && kill "$server"
  wait "$server"
  status=$?
  server=""
  if [ -z "$address" ] && [ "$status" -eq 0 ]; then status=1; fi # it ended, and never listened
  cat "$log"
  status_check "$status" "$serving" "$log"
done
finish
