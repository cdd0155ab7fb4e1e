"""Our reader of .mat files gives SciPy's arrays, and a damaged file is an error within bounds."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from paddle_restore.data.matlab import MAX_BYTES, read_arrays
from paddle_restore.data.sidd import read_blocks
from paddle_restore.errors import UserError

VALUES = {
    "blocks": np.arange(2 * 3 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 4, 3),
    "mean": np.linspace(0, 1, 36).reshape(1, 36),
    "whole": np.array([[1.0, 2.0], [3.0, 250.0]]),
    "narrow": np.arange(6, dtype=np.float32).reshape(3, 2),
    **{
        kind: np.arange(4).astype(kind).reshape(2, 2)
        for kind in ("int8", "int16", "uint16", "int32", "int64")
    },
}
OTHERS = {
    "complex": np.array([[1j]]),
    "text": "abc",
    "cell": np.array([1, "a"], dtype=object),
    "structure": {"a": 1},
}


def saved(values, **options):
    file = io.BytesIO()
    scipy.io.savemat(file, values, **options)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_arrays_are_scipys(compressed):
    data = saved({**VALUES, **OTHERS}, do_compression=compressed)
    arrays, names = read_arrays(data, [*VALUES, *OTHERS])
    assert set(names) >= {*VALUES, *OTHERS}
    assert set(arrays) == set(VALUES)
    expected = scipy.io.loadmat(io.BytesIO(data))
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (expected[name].dtype, expected[name].shape), name
        np.testing.assert_array_equal(array, expected[name])
    assert set(read_arrays(data, ["mean"])[0]) == {"mean"}


def test_doubles_that_matlab_stores_as_bytes():
    """MATLAB stores an array in the smallest type that holds its values; SciPy does not."""
    data = bytearray(saved({"x": np.array([[1.0, 2.0]])}))
    position = data.index(struct.pack("<II", 9, 16))
    data[position : position + 24] = struct.pack("<IIBB6x", 2, 2, 1, 2)
    data[132:136] = struct.pack("<I", struct.unpack("<I", data[132:136])[0] - 8)
    np.testing.assert_array_equal(read_arrays(bytes(data), ["x"])[0]["x"], [[1.0, 2.0]])


def test_every_mutation_is_an_error_or_an_array():
    """3,000 of them; SciPy's reader died of a segmentation fault on such files."""
    rng = random.Random(0)
    whole = [saved(VALUES), saved(VALUES, do_compression=True)]
    outcomes = set()
    for _ in range(3000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.choice([1, 1, 2, 5])):
            position = rng.randrange(124, len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[position] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[position : position + 4] = struct.pack(
                    "<I", rng.choice([0, 1, 14, 15, 2**31 - 1, 2**32 - 1])
                )
            elif kind == 2:
                del data[position : position + rng.randrange(1, 20)]
            else:
                del data[position:]
            if len(data) <= 130:
                break
        try:
            read_arrays(bytes(data), list(VALUES))
            outcomes.add("read")
        except ValueError:
            outcomes.add("error")
    assert outcomes == {"read", "error"}


def matrix(shape, content=b""):
    """An element that claims a uint8 array `x` of this shape."""
    sides = struct.pack(f"<{len(shape)}i", *shape)
    body = struct.pack("<IIII", 6, 8, 9, 0) + struct.pack("<II", 5, len(sides)) + sides
    body += bytes(-len(sides) % 8) + struct.pack("<HHs3x", 1, 1, b"x")
    values = struct.pack("<II", 2, len(content)) + content
    return struct.pack("<II", 14, len(body) + len(values)) + body + values


HEADER = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"


def test_a_bomb_is_refused_before_it_is_unpacked():
    body = zlib.compress(matrix((1 << 15, 1 << 16), bytes(30_000_000)))
    with pytest.raises(ValueError, match=f"x is larger than {MAX_BYTES >> 20} MiB"):
        read_arrays(HEADER + struct.pack("<II", 15, len(body)) + body, ["x"])
    body = zlib.compress(matrix((1000,), bytes(1000)) + bytes(20_000_000))
    with pytest.raises(ValueError, match="more compressed bytes"):
        read_arrays(HEADER + struct.pack("<II", 15, len(body)) + body, ["x"])


@pytest.mark.parametrize("shape", [(2**31 - 1,) * 32, (-1, 5), (3, 3)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"larger than|negative|for shape"):
        read_arrays(HEADER + matrix(shape, b"12345"), ["x"])


def test_the_shared_file_on_which_scipy_ends_in_a_segmentation_fault(shared):
    path = shared / "cases/reliability/mat_segfault/in.mat"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    with pytest.raises(UserError, match=r"in\.mat: "):
        read_blocks(path, "ValidationNoisyBlocksSrgb")
