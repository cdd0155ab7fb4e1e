"""Every kind of checkpoint is read by content; damaged and hostile ones are one line."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import paddle
import pytest

from paddle_restore.errors import UserError
from paddle_restore.weights import read_weights
from paddle_restore.weights.writer import save_safetensors
from tests.conftest import GOLDEN


def refused(path, data, message):
    """Write `data` and check that reading it is a one-line error that names the file, at no cost."""
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(UserError, match=message) as error:
        read_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert peak < 5e6 + 4 * len(data)


# ---- PyTorch: files written by PyTorch 2.13, wrapped, through DataParallel


@pytest.mark.parametrize("name", ["pytorch_zip.pth", "pytorch_old.pth"])
def test_pytorch_files(name, tmp_path):
    count = np.arange(24).reshape(2, 3, 4)
    expected = {
        "float": count.astype(np.float32),
        "half": count.astype(np.float16),
        "bfloat16": count.astype(np.float32),
        "long": count.astype(np.int64),
        "bool": count > 3,
        "double": count.astype(np.float64),
        "transposed": count.astype(np.float32).transpose(2, 0, 1),
        "slice": count[:, 1].astype(np.float32),
        "parameter": count.astype(np.float32) + 0.5,
        "scalar": np.float32(3),
        "empty": np.zeros((0, 3), np.float32),
        "channels_last": np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5),
    }
    anywhere = tmp_path / "no_ending"  # it is the content that tells
    anywhere.write_bytes((GOLDEN / name).read_bytes())
    state = read_weights(anywhere)
    assert set(state) == set(expected)
    for key, array in expected.items():
        assert state[key].dtype == array.dtype
        np.testing.assert_array_equal(state[key], array)
        paddle.to_tensor(np.asarray(state[key]))


def test_lambas_official_weights(shared):
    state = read_weights(shared / "weights" / "lamba_official.pth")
    shapes = json.loads((GOLDEN / "models.json").read_text())["models"]["lamba"]["state_dict"]
    assert {name: list(array.shape) for name, array in state.items()} == shapes
    assert all(np.isfinite(array).all() for array in state.values())


@pytest.mark.parametrize("name", ["pytorch_zip.pth", "pytorch_old.pth"])
def test_truncated_pytorch_files(name, tmp_path):
    data = (GOLDEN / name).read_bytes()
    for length in range(1, len(data) - 60, 101):
        refused(tmp_path / "cut.pth", data[:length], "damaged|holds|claims|zip file")


def zip_file(data_pkl, storages=None, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        archive.writestr("archive/byteorder", byteorder)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
    return buffer.getvalue()


def tensor_pickle(shape=(2, 3), strides=(3, 1), offset=0, count=6, storage="FloatStorage", kind="storage"):
    """{"w": tensor} as PyTorch pickles it."""
    short, end = pickle.dumps, slice(2, -1)

    def plain(value):
        return short(value, 2)[end]

    reference = b"(" + plain(kind) + b"ctorch\n" + storage.encode() + b"\n" + plain("0") + plain("cpu")
    reference += plain(count) + b"tQ"
    arguments = b"(" + reference + plain(offset) + plain(shape) + plain(strides) + plain(False)
    arguments += b"ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}" + plain("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def test_a_hand_made_zip_is_read(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(zip_file(tensor_pickle(), {"0": np.arange(6, dtype="<f4").tobytes()}))
    np.testing.assert_array_equal(read_weights(path)["w"], np.arange(6).reshape(2, 3))


DATA = {"0": b"\0" * 24}
ZIPS = {
    "reaches behind its storage": (zip_file(tensor_pickle(offset=1), DATA), "storage of 6"),
    "huge by strides of zero": (zip_file(tensor_pickle((10**6, 10**6), (0, 0)), DATA), "storage of 6"),
    "huge by shape": (zip_file(tensor_pickle((2**40, 2**40), (1, 1)), DATA), "storage of 6"),
    "negative stride": (zip_file(tensor_pickle(strides=(3, -1)), DATA), "damaged"),
    "huge storage": (zip_file(tensor_pickle(count=2**50), DATA), "does not hold"),
    "negative storage": (zip_file(tensor_pickle(count=-1), DATA), "does not hold"),
    "missing storage": (zip_file(tensor_pickle()), "damaged"),
    "big-endian": (zip_file(tensor_pickle(), DATA, byteorder=b"big"), "big-endian"),
    "unknown storage": (zip_file(tensor_pickle(storage="EvilStorage"), DATA), "torch.EvilStorage"),
    "module reference": (zip_file(tensor_pickle(kind="module"), DATA), "no tensor's data"),
    "zip bomb": (
        zip_file(tensor_pickle(count=10**8), {"0": b"\0" * 4 * 10**7}, zipfile.ZIP_DEFLATED),
        "compressed or overlap",
    ),
    "not PyTorch's": (b"PK" + b"\0" * 50, "damaged"),
    "gadget": (
        zip_file(pickle.dumps({"w": type("G", (), {"__reduce__": lambda s: (os.system, ("true",))})()}, 2)),
        "system",
    ),
}


@pytest.mark.parametrize("name", ZIPS)
def test_hostile_zips(tmp_path, name):
    refused(tmp_path / "w.pth", *ZIPS[name])


def old_file(body, keys=("0",), storages=DATA, little_endian=True):
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": little_endian}]
    data = b"".join(pickle.dumps(part, 2) for part in head) + body + pickle.dumps(list(keys), 2)
    for key in keys:
        data += struct.pack("<Q", len(storages[key]) // 4) + storages[key]
    return data


OLD = {
    "big-endian": (old_file(tensor_pickle(), little_endian=False), "big-endian"),
    "huge storage": (old_file(tensor_pickle(count=2**50)), "damaged"),
    "huge storage, twice": (
        old_file(tensor_pickle(count=2**50)).replace(struct.pack("<Q", 6), struct.pack("<Q", 2**50)),
        "does not hold",
    ),
    "missing storage": (old_file(tensor_pickle(), keys=()), "damaged"),
    "reaches behind its storage": (old_file(tensor_pickle(offset=1)), "storage of 6"),
    "gadget behind the magic": (
        old_file(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."),
        "posix.system",
    ),
    "gadget in the keys": (
        old_file(tensor_pickle(), keys=()).replace(pickle.dumps([], 2), b"\x80\x02cos\nsystem\n."),
        "os.system",
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_hostile_old_files(tmp_path, name):
    refused(tmp_path / "w.pth", *OLD[name])


def test_a_hand_made_old_file_is_read(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(old_file(tensor_pickle(), storages={"0": np.arange(6, dtype="<f4").tobytes()}))
    np.testing.assert_array_equal(read_weights(path)["w"], np.arange(6).reshape(2, 3))


# ---- Paddle


def test_arrays_of_numpy_1(tmp_path):
    path = tmp_path / "w.pdparams"
    data = pickle.dumps({"w": np.arange(3.0)}, 2).replace(b"numpy._core", b"numpy.core")
    path.write_bytes(data)
    np.testing.assert_array_equal(read_weights(path)["w"], np.arange(3.0))
    path.write_bytes(data.replace(b"numpy.core", b"numpy._core"))
    np.testing.assert_array_equal(read_weights(path)["w"], np.arange(3.0))


# ---- safetensors


def test_safetensors_round_trip_and_the_package(tmp_path):
    from safetensors.numpy import load_file, save_file

    state = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b.c": np.array(3, np.int64),
        "d": np.zeros((0, 2), np.float16),
        "e": np.array([True, False]),
        "f": np.arange(5.0)[::2],
    }
    save_safetensors(tmp_path / "ours", state)
    save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, tmp_path / "theirs")
    for name, array in state.items():
        for read in (
            load_file(tmp_path / "ours"),
            read_weights(tmp_path / "ours"),
            read_weights(tmp_path / "theirs"),
        ):
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name].reshape(array.shape), array)


def safetensors_file(entry, data=b"\0" * 24, header=None):
    text = json.dumps({"w": entry}).encode() if header is None else header
    return struct.pack("<Q", len(text)) + text + data


def test_bfloat16_safetensors(tmp_path):
    path = tmp_path / "w"
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    path.write_bytes(safetensors_file(entry, b"\x80\x3f\x00\xc0"))
    np.testing.assert_array_equal(read_weights(path)["w"], np.float32([1, -2]))


GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
SAFETENSORS = {
    "huge shape": (safetensors_file({**GOOD, "shape": [2**40, 2**40]}), "damaged"),
    "negative shape": (safetensors_file({**GOOD, "shape": [-2, -3]}), "damaged"),
    "behind the end": (safetensors_file({**GOOD, "data_offsets": [8, 32]}), "damaged"),
    "before the start": (safetensors_file({**GOOD, "data_offsets": [-24, 0]}), "damaged"),
    "unknown type": (safetensors_file({**GOOD, "dtype": "F8"}), "damaged.*F8"),
    "type without weights": (safetensors_file({**GOOD, "dtype": "U32"}), "type 'U32'"),
    "header is no JSON": (safetensors_file(None, header=b"{oops}"), "damaged"),
    "header nests": (safetensors_file(None, header=b'{"a":' * 10**5), "damaged"),
    "nothing in it": (safetensors_file(None, b"", header=b"{}"), "nothing"),
    "bytes of no tensor": (safetensors_file(None, header=b"{}"), "damaged"),
    "truncated": (safetensors_file(GOOD)[:-1], "damaged"),
    "huge header": (struct.pack("<Q", 2**60) + b'{"w":', "damaged"),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_hostile_safetensors(tmp_path, name):
    refused(tmp_path / "w.safetensors", *SAFETENSORS[name])


# ---- what is no checkpoint


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0 a JPEG", b"\x89PNG\r\n\x1a\n", b"text\n", b"\0" * 100])
def test_other_files(tmp_path, data):
    refused(tmp_path / "file", data, "damaged or no checkpoint")


def test_empty_missing_folder_and_npz(tmp_path):
    refused(tmp_path / "empty", b"", "is empty")
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    refused(tmp_path / "a.npz", buffer.getvalue(), "not one that torch.save makes")
    with pytest.raises(UserError, match="No such file"):
        read_weights(tmp_path / "missing")
    with pytest.raises(UserError, match=r"folder.*model\.ckpt"):
        read_weights(tmp_path)
