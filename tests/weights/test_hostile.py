"""Small files that would take all memory or all time: each is one line, soon, and takes little memory."""

from __future__ import annotations

import json
import pickle
import struct
import time
import zipfile

import numpy as np
import pytest

from paddle_restore.cli.main import main
from paddle_restore.errors import UserError
from paddle_restore.metrics.resources import peak_memory, resident_memory
from paddle_restore.weights import load_pdparams, load_pickle, read_weights

SECONDS, MEGABYTES = 10, 400  # of processor time

# ---- a small assembler of pickles

PROTOCOL = b"\x80\x02"


def named(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value):
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(data)) + data


def put(index):
    return b"r" + struct.pack("<I", index)


def get(index):
    return b"j" + struct.pack("<I", index)


def nested(depth, end):
    """A list (end l) or tuple (t) of ten that are all the same one of ten, and so on: 10^depth leaves."""
    out = text("x" * 10) + put(0) + b"0"
    for level in range(depth):
        out += b"(" + get(level) * 10 + end + put(level + 1) + b"0"
    return out + get(depth)


def call(function, *arguments):
    return function + b"(" + b"".join(arguments) + b"tR"


FLOAT = call(named("numpy", "dtype"), text("f4"))
HUGE = integer(1 << 8_000_000)
BF16 = pickle.dumps(np.zeros(1_000_000, np.uint16), 2)[2:-1]
SHARED = b"}" + put(9000) + b"0" + BF16 + put(5000) + b"0" + get(9000) + b"("
NAMES = b"".join(text(f"n{k}") + get(5000) for k in range(20_000))
PICKLES = {
    "a device of nested lists": call(named("torch", "device"), nested(12, b"l")),
    "an encoding of nested lists": call(named("_codecs", "encode"), text("a"), nested(12, b"l")),
    "a type of nested tuples": call(named("numpy", "dtype"), nested(12, b"t")),
    "keys that are large integers": (
        integer(1 << 16_000_000) + put(1) + b"0}" + put(2) + (b"(" + (get(1) + b"N") * 1000 + b"u") * 300
    ),
    "pairs with keys of nested tuples": call(
        named("collections", "OrderedDict"), b"]" + nested(12, b"t") + b"N\x86a"
    ),
    "one array under 20,000 names": SHARED + NAMES + b"u",
    "a shape of large integers": call(
        named("numpy._core.numeric", "_frombuffer"),
        b"B\x04\0\0\0aaaa" + FLOAT + b"(" + HUGE + put(9) + get(9) * 30 + b"t" + text("C"),
    ),
    "text of 4 MB decoded again and again": (
        text("x" * 4_000_000)
        + put(1)
        + b"0"
        + FLOAT
        + put(2)
        + b"0("
        + call(named("numpy._core.multiarray", "scalar"), get(2), get(1)) * 5000
        + b"l"
    ),
    "five million steps": b"N0" * 2_450_000 + b"}",
    "tuples in tuples": b")" + b"\x85" * 3_000_000,
    "a name that is no text": b"}X\x03\0\0\0\xed\xa0\x80Ns",
    "a name of 5 MB": b"}(" + text("n" * 5_000_000) + BF16 + b"u",
}


def one_line_soon(read, path):
    before, start = resident_memory(), time.process_time()
    with pytest.raises(UserError) as caught:
        read(path)
    assert time.process_time() - start < SECONDS
    assert peak_memory() - before < MEGABYTES * 2**20
    message = str(caught.value)
    message.encode()
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(tmp_path, name):
    path = tmp_path / "a.pdparams"
    path.write_bytes(PROTOCOL + PICKLES[name] + b".")
    for read in (load_pdparams, read_weights):
        one_line_soon(read, path)


def test_an_optimisers_states_are_bounded_too(tmp_path):
    path = tmp_path / "a.pdopt"
    path.write_bytes(PROTOCOL + PICKLES["one array under 20,000 names"] + b".")
    assert "together larger than the file" in one_line_soon(load_pickle, path)


MAGIC = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))


@pytest.mark.parametrize("name", ["a device of nested lists", "pairs with keys of nested tuples"])
def test_pytorchs_two_formats(tmp_path, name):
    content = PROTOCOL + PICKLES[name] + b"."
    (tmp_path / "old.pth").write_bytes(MAGIC + content + b"\x80\x02].")
    with zipfile.ZipFile(tmp_path / "new.pth", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", content)
    for file in ("old.pth", "new.pth"):
        one_line_soon(read_weights, tmp_path / file)


def test_keys_of_storages_that_are_nested_tuples(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(MAGIC + PROTOCOL + b"}." + PROTOCOL + b"]" + nested(12, b"t") + b"a.")
    assert "keys of its storages" in one_line_soon(read_weights, path)


def tensor(key, count):
    storage = b"(" + text("storage") + named("torch", "FloatStorage") + text(key) + text("cpu")
    storage += integer(count) + b"tQ"
    sizes = b"(" + integer(count) + b"t(" + integer(1) + b"t"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + integer(0) + sizes + b"\x89}tR"


def test_views_of_one_storage_under_20000_names(tmp_path):
    count, path = 500_000, tmp_path / "a.pth"
    names = b"".join(text(f"n{k}") + tensor("0", count) for k in range(20_000))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", PROTOCOL + b"}(" + names + b"u.")
        archive.writestr("a/data/0", bytes(4 * count))
    one_line_soon(read_weights, path)


@pytest.mark.parametrize(
    "header",
    [
        {f"n{k}": {"dtype": "BF16", "shape": [10**6], "data_offsets": [0, 2 * 10**6]} for k in range(20_000)},
        b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"a":' + b"9" * 100_000 + b"}",
        b'{"a":[]}',
        {"n" * 2000: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
    ],
    ids=["overlap", "deep", "integer", "list", "name"],
)
def test_headers_of_safetensors(tmp_path, header):
    path = tmp_path / "a.safetensors"
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + bytes(2_000_000))
    one_line_soon(read_weights, path)


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def table(block, pairs):
    """A TensorFlow index: a block, and the block of pointers with these (key, value)."""
    pointers = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in pairs) + bytes(4)
    data = block + bytes(5)
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(pointers))
    data += pointers + bytes(5)
    return data + footer + bytes(40 - len(footer)) + struct.pack("<Q", 0xDB4775248B80FB57)


def test_a_block_that_many_handles_name(tmp_path):
    block = bytes(4_999_996) + struct.pack("<I", 1_249_999)
    index = table(block, [(b"k", varint(0) + varint(len(block)))] * 300_000)
    (tmp_path / "a.index").write_bytes(index)
    assert "blocks that overlap" in one_line_soon(read_weights, tmp_path / "a")


def test_a_checkpoint_with_nothing_but_the_step(tmp_path, capsys):
    entry = b"\x08\x09" + b"\x28\x08"  # int64, 8 bytes
    step = varint(0) + varint(11) + varint(len(entry)) + b"global_step" + entry
    block = varint(0) + varint(0) + varint(2) + b"\x08\x01" + step + struct.pack("<II", 0, 1)
    (tmp_path / "a.index").write_bytes(table(block, [(b"z", varint(0) + varint(len(block)))]))
    (tmp_path / "a.data-00000-of-00001").write_bytes(bytes(8))
    assert "names no weights" in one_line_soon(read_weights, tmp_path / "a")
    with pytest.raises(SystemExit) as stop:
        main("convert_weights", ["--source", str(tmp_path / "a"), "--output", str(tmp_path / "o.pdparams")])
    assert stop.value.code == 2


def test_the_shared_cases(shared, tmp_path):
    folder = shared / "cases/reliability/weights"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    for path in sorted(folder.iterdir()):
        one_line_soon(read_weights, path)
