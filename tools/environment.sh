# Sourced by quickstart.sh and test.sh: one virtual environment, made once.
PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"

make_environment() { # extras, comma-separated
  "$PYTHON" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || {
    echo "error: $PYTHON is no Python that PaddlePaddle has wheels for; set PYTHON to a Python 3.9 ... 3.13" >&2
    exit 2
  }
  [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
  # Reinstall only when the requirements changed.
  local stamp
  stamp="$(sha256sum < setup.py) $1"
  [ "$(cat "$VENV/.installed" 2>/dev/null)" = "$stamp" ] && return
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$1]"
  echo "$stamp" > "$VENV/.installed"
}
