"""Pickled checkpoints are read, and hostile ones refused by name while nothing runs."""

from __future__ import annotations

import copyreg
import functools
import os
import pickle
import struct
import tracemalloc
import types

import numpy as np
import paddle
import pytest

from paddle_restore.errors import UserError
from paddle_restore.weights import load_pickle


@pytest.fixture
def trained():
    """A small network and its optimizer after two steps under a nested schedule."""
    paddle.seed(0)
    model = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.Conv2D(4, 1, 1))
    cosine = paddle.optimizer.lr.CosineAnnealingDecay(1e-3, 10)
    schedule = paddle.optimizer.lr.LinearWarmup(cosine, 5, 0.0, 1e-3)
    optimizer = paddle.optimizer.Adam(schedule, parameters=model.parameters())
    for _ in range(2):
        model(paddle.ones([1, 3, 8, 8])).mean().backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
    return model, optimizer


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_paddles_own_files_read_as_paddle_reads_them(trained, tmp_path, protocol):
    for part in trained:
        path = str(tmp_path / "part")
        paddle.save(part.state_dict(), path, protocol=protocol)
        ours, paddles = load_pickle(path), paddle.load(path, return_numpy=True)
        assert set(ours) == set(paddles)
        for key, value in paddles.items():
            if isinstance(value, np.ndarray):
                assert type(ours[key]) is np.ndarray
                np.testing.assert_array_equal(ours[key], value)
                assert ours[key].dtype == value.dtype
            else:
                assert ours[key] == value  # the schedule's dict, nested


def test_nested_containers_and_every_number(trained, tmp_path):
    model, _ = trained
    value = {
        "epoch": 3,
        "state_dict": model.state_dict(),
        "best": np.float32(1.5),
        "list": [1, 2.5, None, True, "text", (model[0].bias, -(2**70))],
        "zero": paddle.to_tensor(2.0),
        "none": paddle.zeros([0, 3]),
    }
    path = str(tmp_path / "wrapped.pdparams")
    paddle.save(value, path)
    ours = load_pickle(path)
    assert ours["epoch"] == 3
    assert ours["best"] == 1.5
    assert ours["list"][:5] == value["list"][:5]
    assert ours["list"][5][1] == -(2**70)
    np.testing.assert_array_equal(ours["list"][5][0], model[0].bias.numpy())
    np.testing.assert_array_equal(ours["state_dict"]["0.weight"], model[0].weight.numpy())
    assert ours["zero"].shape == ()
    assert ours["zero"] == 2
    assert ours["none"].shape == (0, 3)


@pytest.mark.parametrize("protocol", range(6))
def test_fortran_order_and_all_types(tmp_path, protocol):
    arrays = {
        code: np.asfortranarray(np.arange(6).reshape(2, 3).astype(code))
        for code in ("b1", "i1", "u1", "i2", "i4", "i8", "f2", "f4", "f8")
    }
    path = tmp_path / "arrays"
    path.write_bytes(pickle.dumps(arrays, protocol))
    for code, array in load_pickle(path).items():
        assert array.dtype == arrays[code].dtype
        np.testing.assert_array_equal(array, arrays[code])


class Calls:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call

    def __call__(self):
        """Only there because pickle insists that what it writes as a call can be called."""


def gadgets(ran):
    """(name that must be refused, object whose unpickling would make the file `ran`)."""
    touch = f"touch {ran}"
    python = f"open({str(ran)!r}, 'w').close()"
    yield "system", Calls(os.system, touch)
    yield "eval", Calls(eval, python)
    yield "exec", Calls(exec, python)
    yield "getattr", Calls(Calls(getattr, Calls(__import__, "os"), "system"), touch)
    yield "__import__", Calls(__import__, "os")
    yield "open", Calls(open, str(ran), "w")
    yield "partial", Calls(functools.partial, os.system, touch)
    yield "reduce", Calls(functools.reduce, Calls(eval, "max"), [1, 2])
    yield "_reconstructor", Calls(copyreg._reconstructor, dict, dict, {})
    yield "SimpleNamespace", types.SimpleNamespace(a=1)
    yield "Popen", Calls(__import__("subprocess").Popen, ["touch", str(ran)])
    yield "numpy", Calls(np.load, str(ran))
    yield "fromfile", Calls(np.fromfile, str(ran))
    yield "system", {"state_dict": {"w": np.zeros(3), "x": [(1, Calls(os.system, touch))]}}
    yield "eval", (np.zeros(3), {"a": Calls(tuple, [Calls(eval, python)])})


@pytest.mark.parametrize("protocol", range(6))
def test_gadgets_are_refused_by_name_and_nothing_runs(tmp_path, protocol):
    ran = tmp_path / "ran"
    for name, value in gadgets(ran):
        path = tmp_path / "hostile.pdparams"
        path.write_bytes(pickle.dumps(value, protocol))
        with pytest.raises(UserError, match=name) as error:
            load_pickle(path)
        assert "\n" not in str(error.value)
        assert "hostile.pdparams" in str(error.value)
        assert not ran.exists()


HAND_WRITTEN = {
    "getattr on a module": (b"cbuiltins\ngetattr\n(cos\nsystem\n.", "builtins.getattr"),
    "INST": (b"(S'touch ran'\nios\nsystem\n.", "os.system"),
    "stacked name": (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x04true\x85R.", "os.system"),
    "name with a line break": (b"\x80\x04\x8c\x02os\x8c\x07a\nb\x00c\x01d\x93.", "os.a"),
    "extension registry": (b"\x80\x02\x82\x01.", "EXT1"),
    "persistent": (b"\x80\x02K\x01Q.", "outside itself"),
    "object array": (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.", "O8"),
    "call of data": (b"\x80\x02X\x01\x00\x00\x00a)R.", "not in the table"),
    "state of a string": (b"\x80\x02X\x01\x00\x00\x00a}b.", "damaged"),
    "call of ndarray": (b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R.", "damaged"),
    "too little on the stack": (b"\x80\x02R.", "damaged"),
    "no stop": (b"\x80\x02K\x01", "damaged"),
    "a list as a key": (b"\x80\x02}]K\x01s.", "damaged"),
    "not a pickle": (b"hello", "damaged"),
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_hand_written_pickles_are_refused(tmp_path, name):
    data, message = HAND_WRITTEN[name]
    path = tmp_path / "hostile"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        load_pickle(path)
    assert "\n" not in str(error.value)


def array_pickle(shape=(2, 3), order="<", data=b"\0" * 24, code="f4") -> bytes:
    """A pickled array that claims what it is told to."""
    dumped = pickle.dumps(np.zeros((2, 3), "f4"), 4)
    old_shape, new_shape = pickle.dumps((2, 3), 4), pickle.dumps(shape, 4)
    body = slice(2 + (9 if old_shape[2:3] == b"\x95" else 0), -1)
    strip = slice(2 + (9 if new_shape[2:3] == b"\x95" else 0), -1)
    assert old_shape[body].rstrip(b"\x94") in dumped
    dumped = dumped.replace(old_shape[body].rstrip(b"\x94"), new_shape[strip].rstrip(b"\x94"))
    dumped = dumped.replace(b"\x8c\x01<", b"\x8c\x01" + order.encode())
    dumped = dumped.replace(b"\x8c\x02f4", b"\x8c\x02" + code.encode())
    return dumped.replace(b"C\x18" + b"\0" * 24, b"C" + bytes([len(data)]) + data)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        (dict(shape=(2**40, 2**40)), "claims shape"),
        (dict(shape=(2, -3)), "an invalid shape"),
        (dict(data=b"\0" * 20), "20 bytes"),
        (dict(order=">"), "big-endian"),
        (dict(code="O4"), "'O4'"),
        (dict(code="V4"), "'V4'"),
    ],
)
def test_arrays_that_lie_are_refused(tmp_path, claims, message):
    path = tmp_path / "lies.pdparams"
    path.write_bytes(array_pickle())
    assert load_pickle(path).shape == (2, 3)
    path.write_bytes(array_pickle(**claims))
    with pytest.raises(UserError, match=message):
        load_pickle(path)


BOMBS = {
    "claims 2^60 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"abc.",
    "memo of 2^31 entries": b"\x80\x02K\x01r" + struct.pack("<I", 2**31) + b"\x8a\xff.",
    "copies over and over": b"\x80\x02c_codecs\nencode\nq\x00X"
    + struct.pack("<I", 100_000)
    + b"a" * 100_000
    + b"X\x06\x00\x00\x00latin1\x86q\x01"
    + b"h\x00h\x01R" * 20_000
    + b".",
    "hash of nested tuples": b"\x80\x02}" + b")" + b"2\x86" * 200 + b"K\x01s.",
    "name of nested tuples": b"\x80\x04)" + b"2\x86" * 200 + b"2\x93.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_do_not_go_off(tmp_path, name):
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name])
    tracemalloc.start()
    with pytest.raises(UserError):
        load_pickle(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_every_truncation_is_one_line(trained, tmp_path):
    path = tmp_path / "model.pdparams"
    paddle.save(trained[0].state_dict(), str(path))
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"empty|truncated") as error:
            load_pickle(path)
        assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load_pickle(tmp_path / "missing.pdopt")
    with pytest.raises(UserError, match="cannot read"):
        load_pickle(tmp_path)
