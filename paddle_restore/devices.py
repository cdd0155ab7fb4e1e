"""Devices and threads of a network."""

from __future__ import annotations

import os
import re
import sys
from typing import Optional

from paddle_restore.errors import UserError

DEVICES = "cpu, gpu, gpu:N"
"""What a device may be called: `gpu` is the first GPU, or the one that Paddle's launcher gave the process."""

# Paddle's import sets the variable to 1 where the user has not set it, so a value after that says nothing.
_OMP_NUM_THREADS = None if "paddle" in sys.modules else os.environ.get("OMP_NUM_THREADS")


def has_gpu() -> bool:
    """Whether the installed Paddle is built for GPUs and sees one."""
    import paddle

    return paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0


def on_gpu() -> bool:
    """Whether Paddle computes on a GPU now."""
    import paddle

    return paddle.get_device().startswith("gpu")


def is_gpu(device: str) -> bool:
    """Whether a device's name is that of a GPU."""
    return device.startswith("gpu")


def gpu_number(device: str) -> int:
    """Return N of `gpu:N`, and 0 of `gpu`."""
    return int(device.partition(":")[2] or 0)


def check_device_name(device: str) -> str:
    """Return `device`. Raises UserError for an unknown one."""
    if not re.fullmatch(r"cpu|gpu(:[0-9]{1,3})?", device):
        raise UserError(f"no device {device!r}; devices: {DEVICES}")
    return device


def check_device(device: str) -> None:
    """Raise UserError for an unknown device, and for a GPU that Paddle does not have.

    Paddle Inference would end in a segmentation fault.
    """
    check_device_name(device)
    if not is_gpu(device):
        return
    if not has_gpu():
        raise UserError(
            f"device {device}: this PaddlePaddle finds no GPU; "
            "install paddlepaddle-gpu and a driver, or use device cpu"
        )
    import paddle

    count = paddle.device.cuda.device_count()
    if gpu_number(device) >= count:
        raise UserError(f"device {device}: this machine shows {count} GPU(s), gpu:0 to gpu:{count - 1}")


def use_device(device: Optional[str] = None) -> str:
    """Make `device` Paddle's own, by default the GPU where there is one; return its name.

    On a CPU, Paddle then uses `thread_count()` threads. Raises UserError like `check_device`.
    """
    import paddle

    device = device or ("gpu" if has_gpu() else "cpu")
    check_device(device)
    if ":" in device and int(os.environ.get("PADDLE_TRAINERS_NUM", 1)) > 1:
        raise UserError(f"device {device}: the launcher gives each process its GPU; use --device gpu")
    paddle.set_device(device)
    if device == "cpu" and _OMP_NUM_THREADS is None:
        paddle.base.core.set_num_threads(thread_count())
    return device


def thread_count() -> int:
    """Threads of a network on a CPU: OMP_NUM_THREADS, or the cores that this process may use.

    Paddle's launcher sets OMP_NUM_THREADS to 1 for its processes where the user has not set it.
    """
    return int(_OMP_NUM_THREADS or len(os.sched_getaffinity(0)))


def child_environment() -> dict[str, str]:
    """Return the environment for a child process: with the user's OMP_NUM_THREADS, and not Paddle's."""
    environment = dict(os.environ)
    if _OMP_NUM_THREADS is None:
        environment.pop("OMP_NUM_THREADS", None)
    return environment
