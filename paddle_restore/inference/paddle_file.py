"""Check a program of Paddle Inference that may come from a stranger, before Paddle reads it.

Paddle runs whatever operators a program names. Some open or write files whose paths stand in the program,
call Python or load libraries. So a program may only name the operators below, which compute. All exports of
this package pass. A network that needs one more operator adds it here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paddle_restore.errors import UserError
from paddle_restore.inference.protobuf import fields

MAX_BYTES = 256 << 20
MAX_DEPTH = 200

_SHAPES = """
    arange assign assign_value assign_out broadcast_tensors cast chunk combine concat crop expand expand_as
    expand_as_v2 expand_v2 eye fill_any_like fill_constant fill_constant_batch_size_like flatten
    flatten_contiguous_range flip full full_batch_size_like full_int_array full_like full_with_tensor gather
    gather_nd index_select index_sample linspace meshgrid numel ones_like one_hot one_hot_v2 pad pad2d pad3d
    range repeat_interleave reshape reshape2 roll scatter scatter_nd_add shape shape64 share_data
    shuffle_channel size slice split split_with_num squeeze squeeze2 stack strided_slice take_along_axis
    tile transpose transpose2 tril triu tril_triu unbind unfold unsqueeze unsqueeze2 unstack view_shape
    zeros_like fold
"""
_ARITHMETIC = """
    abs acos add add_n addmm all any argmax argmin argsort asin atan atan2 bitwise_and bitwise_not
    bitwise_or bmm ceil clip cos cosh cummax cummin cumprod cumsum divide dot elementwise_add
    elementwise_div elementwise_floordiv elementwise_max elementwise_min elementwise_mod elementwise_mul
    elementwise_pow elementwise_sub equal erf exp expm1 floor floor_divide fmax fmin greater_equal
    greater_than grid_sample isfinite isfinite_v2 isinf isinf_v2 isnan isnan_v2 kron less_equal less_than
    log log10 log1p log2 logical_and logical_not logical_or logical_xor logsumexp lerp masked_fill matmul
    matmul_v2 matmul_with_flatten max maximum mean mean_all min minimum mul multiply mv norm not_equal
    p_norm pow prod reciprocal reduce_all reduce_any reduce_max reduce_mean reduce_min reduce_prod
    reduce_sum remainder round rsqrt scale sign sin sinh sort sqrt square subtract sum tan topk top_k_v2
    trunc where
"""
_LAYERS = """
    batch_norm batch_norm_ bicubic_interp bicubic_interp_v2 bilinear_interp bilinear_interp_v2 celu
    channel_shuffle conv2d conv2d_transpose conv2d_transpose_bias conv3d deformable_conv depthwise_conv2d
    depthwise_conv2d_transpose dropout elu gelu group_norm hardshrink hardsigmoid hardswish hardtanh
    hard_sigmoid hard_swish instance_norm layer_norm leaky_relu linear_interp_v2 log_softmax logsigmoid
    maxout max_pool2d_with_index mish nearest_interp nearest_interp_v2 pixel_shuffle pixel_unshuffle pool2d
    pool3d prelu relu relu6 rms_norm selu sigmoid silu softmax softplus softshrink softsign spectral_norm
    swish tanh tanh_shrink thresholded_relu trilinear_interp_v2
"""
_RANDOM = "bernoulli gaussian gaussian_random randint truncated_gaussian_random uniform uniform_random"
_STRUCTURE = "data feed fetch shadow_output set_parameter parameter constant shadow_feed"
OPERATORS = frozenset(" ".join((_SHAPES, _ARITHMETIC, _LAYERS, _RANDOM, _STRUCTURE)).split())
"""Operators that compute and do nothing else, by their names in both forms of a program."""

_PARAMETER = "p"  # what model.json calls a weight
_DIALECTS = ("0.", "1.")  # Paddle's built-in operators and those of its kernels


def check_program(path: Path) -> None:
    """Raise UserError if `path` (model.json or model.pdmodel) is no program, or names another operator."""
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; export the model again")
    content = path.read_bytes()
    try:
        names = _of_json(content) if path.suffix == ".json" else _of_protobuf(content)
        for name in names:
            if name.rstrip("_") not in OPERATORS and name not in OPERATORS:
                raise UserError(
                    f"{path}: names the operator {name[:60]!r}, which is not one of those that only compute; "
                    "nothing ran. If you trust the folder, see inference/paddle_file.py"
                )
    except (ValueError, IndexError, RecursionError):
        raise UserError(f"{path}: is no program of Paddle, or broken; export the model again") from None


def _of_json(content: bytes) -> Iterator[str]:
    """Yield the operators of a model.json: every member of a list called `ops`, at any depth."""
    program = json.loads(content, object_pairs_hook=_once)
    pending = [program]
    found = False
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        elif isinstance(part, dict):
            pending += part.values()
            for operator in part.get("ops") or ():
                found = True
                yield _name(operator)
    if not found:
        raise ValueError("no operators")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):  # another reader could take the other one
        raise ValueError("a key that occurs twice")
    return values


def _name(operator: Any) -> str:
    name = operator.get("#") if isinstance(operator, dict) else None
    if not isinstance(name, str):
        raise ValueError("an operator without a name")
    if name == _PARAMETER:
        return "parameter"
    return name[2:] if name.startswith(_DIALECTS) else name


# Fields of framework.proto: ProgramDesc.blocks, BlockDesc.ops, OpDesc.type.
_BLOCKS, _OPS, _TYPE = 1, 4, 3


def _of_protobuf(content: bytes) -> Iterator[str]:
    """Yield the operators of a model.pdmodel."""
    found = False
    for number, block in fields(memoryview(content)):
        if number != _BLOCKS:
            continue
        for part, operator in fields(_bytes(block)):
            if part == _OPS:
                found = True
                types = [value for key, value in fields(_bytes(operator)) if key == _TYPE]
                if not types:
                    raise ValueError("an operator without a name")
                yield from (bytes(_bytes(value)).decode("utf-8") for value in types)
    if not found:
        raise ValueError("no operators")


def _bytes(value: Any) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a number in place of a message")
    return value
