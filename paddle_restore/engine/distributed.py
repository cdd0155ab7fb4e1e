"""One process or many: the few collective operations that training and evaluation need."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.distributed as dist

from paddle_restore.weights import tensors_of


def init() -> tuple[int, int]:
    """Join the job that `python -m paddle.distributed.launch` started; return rank and world size."""
    world = dist.get_world_size()
    if world > 1 and not dist.is_initialized():
        dist.init_parallel_env()
    return dist.get_rank(), world


def average_gradients(parameters: list, world: int) -> None:
    """Replace every gradient by its mean over the processes, in one message.

    In place of paddle.DataParallel, whose hooks only cover `model.forward`: an objective may call
    the network as it likes (InvDN runs it both ways).
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world == 1 or not gradients:
        return
    joint = paddle.concat([gradient.flatten().astype("float32") for gradient in gradients])
    dist.all_reduce(joint)
    joint /= world
    parts = paddle.split(joint, [gradient.size for gradient in gradients])
    for gradient, part in zip(gradients, parts):
        gradient.set_value(part.reshape(gradient.shape).astype(gradient.dtype))


def mean_scalars(values: dict[str, Any], world: int) -> dict[str, float]:
    """Return the mean of each named number, or tensor of one number, over the processes."""
    numbers = [v if paddle.is_tensor(v) else paddle.to_tensor(float(v)) for v in values.values()]
    joint = paddle.stack([number.astype("float32").reshape([]) for number in numbers])
    if world > 1:
        dist.all_reduce(joint)
        joint = joint / world
    return dict(zip(values, joint.tolist()))


def broadcast_parameters(model: Any, world: int) -> None:
    """Give every process the weights and buffers of rank 0."""
    if world > 1:
        for tensor in tensors_of(model).values():
            dist.broadcast(tensor, src=0)


def joint_batch(part: Any, world: int) -> Any:
    """Return the (N, ...) tensors of all processes, of one shape, in order of rank as (world * N, ...)."""
    if world == 1:
        return part
    parts: list = []
    dist.all_gather(parts, part)
    return paddle.concat(parts)


def gather(items: list, world: int) -> list:
    """Return the lists of all processes, joined in order of rank."""
    if world == 1:
        return items
    gathered: list = []
    dist.all_gather_object(gathered, items)
    return [item for part in gathered for item in part]
