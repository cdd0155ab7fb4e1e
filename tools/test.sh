#!/usr/bin/env bash
# Install what the tests need into an environment of their own and run them.
#   bash tools/test.sh [pytest arguments]     PYTHON=python3.12 bash tools/test.sh     VENV=DIR
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
make_environment "align,cpu,demo,dev,onnx"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/python" -m pytest -m "not slow" "$@"
