#!/bin/bash
# Build deploy/cpp/build/restore against the OpenVINO of a Python environment.
#   PYTHON  the interpreter that has the wheel (default: python)
#   BUILD   where to build (default: build beside this file)
#   JOBS    compilers at once (default: 2)
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
build="${BUILD:-$here/build}"
openvino="$("${PYTHON:-python}" -c \
    'import openvino.utils, pathlib; print(pathlib.Path(openvino.utils.get_cmake_path()))' 2>/dev/null)" || {
    echo "build.sh: ${PYTHON:-python} has no OpenVINO; pip install 'paddle_restore[openvino]'" >&2
    exit 2
}
cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release -DOpenVINO_DIR="$openvino"
cmake --build "$build" -j "${JOBS:-2}"
