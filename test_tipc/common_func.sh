# shellcheck shell=bash
# Sourced by the scripts of this folder. Names are those of the ecosystem's TIPC folders.
#
# Commands are built and run as arrays, never by eval: what a parameter file says is arguments, not shell.

# Read the lines of parameter file $1 into `lines`; line N of the file is lines[N-1]. Its title has to have $2
# in it and it $3 lines: a file of another kind, or cut short, would run nothing and so fail nothing.
read_parameters() {
  if [ ! -r "$1" ] || [ -d "$1" ]; then die "$1: no such parameter file"; fi
  mapfile -t lines < "$1"
  if [[ ${lines[0]:-} != *"$2="* ]] || [ "${#lines[@]}" -lt "$3" ]; then
    die "$1: line 1 does not name $2, or there are fewer than $3 lines; take a file of test_tipc/configs"
  fi
}

# The first argument's part before its colon, the part after it, and, of `a=1|b=2`, mode $2's value.
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

# Append KEY=VALUE to `command_line`, unless key or value says `null` or nothing.
func_set_params() {
  if [ "$1" != null ] && [ "$2" != null ] && [ -n "$2" ]; then add_words "$1=$2"; fi
}

# Append what `lines[$1]` says, KEY:VALUE, likewise.
option() { func_set_params "$(func_parser_key "${lines[$1]}")" "$(func_parser_value "${lines[$1]}")"; }

# Run `command_line`, show its output, keep it in log $1, and record the command's own status.
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

# Record that `command_line` needs $1, which is not here: neither a success nor a failure.
skip_command() {
  skipped=$((skipped + 1))
  echo "Skipped for want of $1 - $model_name - ${command_line[*]}" | tee -a "$status_log"
}

gpu_count() {
  local found=""
  if command -v nvidia-smi > /dev/null; then found="$(nvidia-smi -L 2> /dev/null | grep '^GPU ')"; fi
  if [ -z "$found" ]; then echo 0; else wc -l <<< "$found"; fi
}

# Say what was run; end with status 1 if anything failed.
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

# The Python to run: $PYTHON, else what line 3 of the parameter file says.
choose_python() { printf '%s' "${PYTHON:-$(func_parser_value "${lines[2]}")}"; }

# Set what every script starts from, out of the parameter file $1, of title $3 and $4 lines, and the mode $2.
begin() {
  read_parameters "$1" "$3" "$4"
  MODE="$2"
  model_name="$(func_parser_value "${lines[1]}")"
  # shellcheck disable=SC2034  # the scripts that source this file read it
  python="$(choose_python)"
  log_path="./test_tipc/output/$model_name/$MODE"
  # Runs of another file than the main one must not write over its logs.
  case "$(basename "$1" .txt)" in
    train_infer_python | *paddle2onnx* | *serving*) ;;
    *) log_path="$log_path/$(basename "$1" .txt)" ;;
  esac
  status_log="$log_path/results_python.log"
  passed=0 failed=0 skipped=0
  # Results repeat bit for bit with the same number of threads only.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
  mkdir -p "$log_path" || die "$log_path: cannot be made"
  rm -f "$log_path"/*.log # of an earlier run, which compare_results.py would read
  : > "$status_log" || die "$status_log: cannot be written"
}
