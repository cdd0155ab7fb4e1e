# shellcheck shell=bash
# Sourced by the scripts of this folder. Names are those of the ecosystem's TIPC folders.
#
# Commands are arrays and are never run by eval: a parameter file gives arguments, not shell code.

# Read the lines of parameter file $1 into `lines`; line N of the file is lines[N-1]. Its title must contain $2 and
# it must have $3 lines. A file of another kind or a truncated one would run nothing and seem to succeed.
read_parameters() {
  if [ ! -r "$1" ] || [ -d "$1" ]; then die "$1: no such parameter file"; fi
  mapfile -t lines < "$1"
  if [[ ${lines[0]:-} != *"$2="* ]] || [ "${#lines[@]}" -lt "$3" ]; then
    die "$1: line 1 does not name $2, or there are fewer than $3 lines; take a file of test_tipc/configs"
  fi
}

# The part of the first argument before its colon, the part after it, and the value of mode $2 in `a=1|b=2`.
func_parser_key() { printf '%s' "${1%%:*}"; }
func_parser_value() {
  local value="${1#*:}"
  printf '%s' "${value%%:*}"
}
func_parser_params() {
  local choice choices
  IFS='|' read -ra choices <<< "$(func_parser_value "$1")"
  for choice in "${choices[@]}"; do
    if [ "${choice%%=*}" = "$2" ]; then
      printf '%s' "${choice#*=}"
      return
    fi
  done
  printf 'null'
}

# Append the words of $1 to `command_line`.
add_words() {
  local words
  read -ra words <<< "$1"
  command_line+=("${words[@]}")
}

# Append KEY=VALUE to `command_line`, unless key or value is `null` or empty.
func_set_params() {
  if [ "$1" != null ] && [ "$2" != null ] && [ -n "$2" ]; then add_words "$1=$2"; fi
}

# The same for `lines[$1]`, which is KEY:VALUE.
option() { func_set_params "$(func_parser_key "${lines[$1]}")" "$(func_parser_value "${lines[$1]}")"; }

# Run `command_line`, show its output, write it to log $1 and record the status of the command.
run_command() {
  local log="$1"
  "${command_line[@]}" 2>&1 | tee "$log"
  status_check "${PIPESTATUS[0]}" "${command_line[*]}" "$log"
}

# Record status $1 of command $2 with log $3; return it as 0 or 1. Uses model_name and status_log.
status_check() {
  if [ "$1" -eq 0 ]; then
    passed=$((passed + 1))
    echo "Run successfully with command - $model_name - $2 - $3" | tee -a "$status_log"
    return 0
  fi
  failed=$((failed + 1))
  echo "Run failed with command - $model_name - $2 - $3" | tee -a "$status_log"
  return 1
}

# Record that `command_line` needs $1, which is missing: neither a success nor a failure.
skip_command() {
  skipped=$((skipped + 1))
  echo "Skipped for want of $1 - $model_name - ${command_line[*]}" | tee -a "$status_log"
}

gpu_count() {
  local found=""
  if command -v nvidia-smi > /dev/null; then found="$(nvidia-smi -L 2> /dev/null | grep '^GPU ')"; fi
  if [ -z "$found" ]; then echo 0; else wc -l <<< "$found"; fi
}

# Print what was run; exit with status 1 if anything failed.
finish() {
  echo "$model_name $MODE: $passed passed, $failed failed, $skipped skipped for want of a GPU or node ($status_log)"
  [ "$((passed + failed + skipped))" -gt 0 ] || die "the parameter file gives nothing to run"
  [ "$failed" -eq 0 ] || exit 1
  exit 0
}

die() {
  echo "error: $*" >&2
  exit 2
}

# The Python to run: $PYTHON, otherwise line 3 of the parameter file.
choose_python() { printf '%s' "${PYTHON:-$(func_parser_value "${lines[2]}")}"; }

# Set the variables of all scripts from parameter file $1 (title $3, $4 lines) and mode $2.
begin() {
  read_parameters "$1" "$3" "$4"
  MODE="$2"
  model_name="$(func_parser_value "${lines[1]}")"
  # shellcheck disable=SC2034  # the scripts that source this file read it
  python="$(choose_python)"
  log_path="./test_tipc/output/$model_name/$MODE"
  # Runs of other parameter files must not overwrite the logs of the main one.
  case "$(basename "$1" .txt)" in
    train_infer_python | *paddle2onnx* | *serving*) ;;
    *) log_path="$log_path/$(basename "$1" .txt)" ;;
  esac
  status_log="$log_path/results_python.log"
  passed=0 failed=0 skipped=0
  # Results repeat bitwise only with the same number of threads.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
  mkdir -p "$log_path" || die "$log_path: cannot be made"
  rm -f "$log_path"/*.log # of an earlier run, which compare_results.py would read
  : > "$status_log" || die "$status_log: cannot be written"
}
