#!/usr/bin/env bash
# Check everything that a GPU does, in under 15 minutes. Nobody has run this on a GPU yet.
#   bash tools/gpu_check.sh                    PYTHON=FILE: the Python with paddlepaddle-gpu (default: python3)
# Needs pip install -e ".[gpu,serve]" pytest. Without a GPU it says so and exits with 2; 1 means that a check failed.
# GPU_CHECK_DEVICE=cpu tries the script itself on a CPU: it shows nothing of a GPU.
#
# 1 tests/gpu: goldens of all networks; trainings in fp32, O1 and O2, each stopped and resumed; two processes by NCCL
#   where there are two GPUs; memory over 500 steps; Paddle Inference and TensorRT against the own code
# 2 TIPC: training, evaluation, export, inference and the service, with the lines for a GPU
# 3 pictures per second
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
python="${PYTHON:-python3}"
device="${GPU_CHECK_DEVICE:-gpu}"
networks="${NETWORKS:-sid_unet,lamba,mirnet_v2_small,mirnet_v2,nafnet,invdn,denoise_unet}"
export NVIDIA_TF32_OVERRIDE=0 # float32 is float32, as where the expected values were made

"$python" -W ignore - "$device" << 'EOF' || exit 2
import sys

try:
    from paddle_restore.devices import check_device
    from paddle_restore.errors import UserError
except ImportError as error:
    sys.exit(f"error: {error}; PYTHON=FILE names another Python")
try:
    check_device(sys.argv[1])
    import paddle

    print(f"PaddlePaddle {paddle.__version__}, CUDA {paddle.version.cuda()}, cuDNN {paddle.version.cudnn()}")
    for number in range(paddle.device.cuda.device_count() if sys.argv[1] == "gpu" else 0):
        print(f"gpu:{number}: {paddle.device.cuda.get_device_properties(number)}")
except UserError as error:
    sys.exit(f"error: {error}")
EOF

started=$SECONDS
failed=()
check() { # name, command
  local name="$1" begun=$SECONDS
  shift
  echo "== $name"
  if "$@"; then echo "== $name: passed, $((SECONDS - begun)) s"; else failed+=("$name"); fi
}

tests() { GPU_CHECK_DEVICE="$device" "$python" -m pytest -m gpu tests/gpu -rs -s; }

tipc() { # network
  local folder="test_tipc/configs/$1" file status=0
  export PYTHON="$python"
  for file in train_infer_python.txt train_dist_infer_python.txt; do
    bash test_tipc/prepare.sh "$folder/$file" lite_train_lite_infer > /dev/null &&
      bash test_tipc/test_train_inference_python.sh "$folder/$file" lite_train_lite_infer || status=1
  done
  file=model_linux_gpu_normal_normal_serving_python_linux_gpu_cpu.txt
  bash test_tipc/prepare.sh "$folder/$file" serving_infer > /dev/null &&
    bash test_tipc/test_serving_infer_python.sh "$folder/$file" || status=1
  return "$status"
}

speed() {
  "$python" tools/benchmark.py --model "$networks" --input_size 512x512 --device "$device" --trials 20
}

check "tests/gpu" tests
check "TIPC of sid_unet" tipc sid_unet
check "pictures per second" speed

echo "== $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s, ${#failed[@]} of 3 checks failed"
if [ "${#failed[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
