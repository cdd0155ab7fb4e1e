"""TensorFlow V2 checkpoints, real and made by hand."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest

from paddle_restore.errors import UserError
from paddle_restore.weights import read_weights
from tests.golden.procedural import procedural_tf_weight


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(shape, offset, size, dtype=1, extra=b""):
    sides = b"".join(field(2, field(1, side)) for side in shape)
    return field(1, dtype) + field(2, sides) + field(4, offset) + field(5, size) + extra


def block(pairs):
    body = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value
        for key, value in sorted(pairs.items())
    )
    return body + struct.pack("<II", 0, 1)


ONE_SHARD = field(1, 1)


def index_file(entries, header=ONE_SHARD, compression=0):
    """An index with one block of (name -> BundleEntryProto)."""
    content = block({b"": header, **{name.encode(): value for name, value in entries.items()}})
    trailer = bytes([compression]) + b"\0" * 4
    pointer = block({b"~": varint(0) + varint(len(content))})
    at = len(content) + 5
    footer = varint(at) + varint(0) + varint(at) + varint(len(pointer))
    footer = footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    return content + trailer + pointer + b"\0" * 5 + footer


@pytest.fixture
def write(tmp_path):
    def write(index, data=b"\0" * 24):
        (tmp_path / "model.ckpt.index").write_bytes(index)
        (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(data)
        return tmp_path / "model.ckpt"

    return write


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001", ".meta"])
def test_the_real_checkpoint(shared, ending):
    state = read_weights(str(shared / "weights" / "sid_sony_tf" / "model.ckpt") + ending)
    assert len(state) == 42
    for name, array in state.items():
        np.testing.assert_array_equal(array, procedural_tf_weight(name, array.shape))


def test_optimiser_slots_and_counters_are_left_out(write):
    names = ["w/weights", "w/weights/Adam", "w/weights/Adam_1", "beta1_power", "beta2_power_1", "global_step"]
    index = index_file({name: entry((2, 3), 0, 24) for name in names})
    data = np.arange(6, dtype="<f4")
    state = read_weights(write(index, data.tobytes()))
    assert list(state) == ["w/weights"]
    np.testing.assert_array_equal(state["w/weights"], data.reshape(2, 3))


def test_other_types_and_places(write):
    data = b"abcd" + np.arange(3, dtype="<f2").tobytes() + np.array([7], "<i8").tobytes()
    index = index_file({"half": entry((3,), 4, 6, dtype=19), "scalar": entry((), 10, 8, dtype=9)})
    state = read_weights(write(index, data))
    np.testing.assert_array_equal(state["half"], np.float16([0, 1, 2]))
    assert state["scalar"].shape == ()
    assert state["scalar"] == 7


GOOD = {"w": entry((2, 3), 0, 24)}
BAD = {
    "big-endian": (index_file(GOOD, header=ONE_SHARD + field(2, 1)), "big-endian"),
    "compressed": (index_file(GOOD, compression=1), "compressed"),
    "huge shape": (index_file({"w": entry((2**40, 2**40), 0, 24)}), "claims shape"),
    "negative side": (index_file({"w": entry((2**64 - 1, 3), 0, 24)}), "claims shape"),
    "behind the data": (index_file({"w": entry((2, 3), 8, 24)}), "bytes 8 to 32 of 24"),
    "huge size": (index_file({"w": entry((2, 3), 0, 2**62)}), "claims shape"),
    "text": (index_file({"w": entry((), 0, 24, dtype=7)}), "no number"),
    "partitioned": (index_file({"w": entry((2, 3), 0, 24, extra=field(7, b""))}), "partitioned"),
    "a shape that is a number": (index_file({"w": field(1, 1) + field(2, 5)}), "damaged"),
    "an offset that is text": (index_file({"w": field(1, 1) + field(4, b"x")}), "damaged"),
    "another shard": (index_file({"w": entry((2, 3), 0, 24, extra=field(3, 1))}), "00001-of-00001"),
    "a long name": (index_file({"w" * 2000: entry((2, 3), 0, 24)}), "too long"),
    "no table": (b"\0" * 100, "footer"),
    "short": (b"\0" * 10, "footer"),
    "empty": (b"", "empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_indexes(write, name):
    index, message = BAD[name]
    prefix = write(index)
    with pytest.raises(UserError, match=message) as error:
        read_weights(prefix)
    assert str(prefix) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_truncation(write, tmp_path):
    index = index_file(GOOD)
    read_weights(write(index))
    for length in range(len(index)):
        with pytest.raises(UserError):
            read_weights(write(index[:length]))
        with contextlib.suppress(UserError):  # some bytes do not matter; nothing else may come
            read_weights(write(index[:length] + b"\xff" + index[length + 1 :]))
    with pytest.raises(UserError, match="of 23"):
        read_weights(write(index, b"\0" * 23))
    prefix = write(index)
    (tmp_path / "model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match="No such file"):
        read_weights(prefix)
