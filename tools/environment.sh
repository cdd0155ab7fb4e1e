# Sourced by quickstart.sh and test.sh: one virtual environment, made once.
# PADDLE=2.6 means PaddlePaddle 2.6.2 with NumPy 1, in an environment of its own.
PYTHON="${PYTHON:-python3}"
PADDLE="${PADDLE:-3.3}"
case "$PADDLE" in
  3.3) VENV="${VENV:-.venv}" paddle_extra=cpu newest=13 ;;
  2.6) VENV="${VENV:-.venv-paddle2.6}" paddle_extra=paddle26 newest=12 ;;
  *)
    echo "error: PADDLE=$PADDLE: must be 3.3 or 2.6" >&2
    exit 2
    ;;
esac

# The chosen Python or, failing that, one of its neighbours that has wheels.
find_python() {
  local candidate
  for candidate in "$PYTHON" python3.12 python3.11 python3.10 python3.9; do
    "$candidate" -c "import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, $newest))" 2>/dev/null && {
      echo "$candidate"
      return
    }
  done
  echo "error: found no Python that PaddlePaddle $PADDLE has wheels for; set PYTHON to a Python 3.9 ... 3.$newest" >&2
  return 2
}

make_environment() { # extras, comma-separated
  local python stamp
  [ -x "$VENV/bin/python" ] || {
    python="$(find_python)" || exit 2
    "$python" -m venv "$VENV"
  }
  # Reinstall only when the requirements changed.
  stamp="$(sha256sum < setup.py) $1,$paddle_extra"
  [ "$(cat "$VENV/.installed" 2>/dev/null)" = "$stamp" ] && return
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$1,$paddle_extra]"
  echo "$stamp" > "$VENV/.installed"
}
