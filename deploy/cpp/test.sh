#!/bin/bash
# Build the program and compare it with the Python restorer; PART as compare.py names them (default: all).
#   [PYTHON=python] [BUILD=DIR] deploy/cpp/test.sh [PART ...]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
build="${BUILD:-$here/build}"
BUILD="$build" "$here/build.sh"
export PYTHONPATH="$here/../..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$here/compare.py" --program "$build/restore" "$@"
