#!/usr/bin/env bash
# Install what the tests need into an environment of their own and run them.
#   bash tools/test.sh [pytest arguments]     PYTHON=python3.12 bash tools/test.sh     VENV=DIR
#   PADDLE=2.6 bash tools/test.sh             what depends on Paddle, by PaddlePaddle 2.6.2 and NumPy 1
# Tests with the mark `shared` use real pictures and published weights in ../shared (or the folder that
# PADDLE_RESTORE_SHARED names) and are skipped without them.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/environment.sh
extras="align,demo,dev"
[ "$PADDLE" = 3.3 ] && extras="$extras,docs,onnx,openvino,serve"
make_environment "$extras"
if [ "$PADDLE" = 3.3 ]; then
  "$VENV/bin/ruff" check .
  "$VENV/bin/ruff" format --check .
  "$VENV/bin/mypy"
elif [ $# = 0 ]; then
  # Goldens, a short training, evaluation, export, inference; `tests` as argument runs them all.
  set -- tests/models tests/alignment tests/weights tests/inference tests/engine/test_two_paddles.py \
    tests/cli/test_chain.py tests/cli/test_chain_lamba.py tests/cli/test_latent.py
fi
if [ $# -gt 0 ]; then
  "$VENV/bin/python" -m pytest -m "not slow" "$@"
  exit
fi
# Each room in a process of its own: Paddle has crashed in one that had run a thousand tests before.
failed=()
for room in tests/*/; do
  compgen -G "$room**/test_*.py" > /dev/null || compgen -G "${room}test_*.py" > /dev/null || continue
  "$VENV/bin/python" -m pytest -m "not slow" "$room" || failed+=("$room")
done
"$VENV/bin/python" -m pytest -m "not slow" tests/test_*.py || failed+=("tests/test_*.py")
[ ${#failed[@]} -eq 0 ] || {
  echo "error: tests failed in ${failed[*]}" >&2
  exit 1
}
