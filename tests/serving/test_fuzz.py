"""Malformed requests and files: no crash, no 5xx but a deliberate 503, no growth.

The quick part is a few hundred; all ten thousand: pytest -m slow -s tests/serving/test_fuzz.py
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from paddle_restore.data.image import write_image
from paddle_restore.data.synthetic.dng import XTRANS_PATTERN, write_dng
from tests.serving.conftest import Running

httpx = pytest.importorskip("httpx", reason="needs httpx: pip install 'paddle_restore[dev]'")

ALL = int(os.environ.get("FUZZ_REQUESTS", "10000"))
DELIBERATE = ("shutting down", "starting", "took longer than", "of memory", "became free")
EDGES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff", b"\xff\xff\0\0", b"\1\0\0\0")
WORDS = (
    "",
    "auto",
    "none",
    "-1",
    "0",
    "1e309",
    "nan",
    "16",
    "8",
    "png",
    "jpg",
    "é\0",
    "../../etc/passwd",
    "9" * 300,
)
NAMES = ("model", "ratio", "strength", "tile", "format", "depth", "self_ensemble", "metadata", "file", "x")


@pytest.fixture(scope="module")
def fuzzed(exported, tmp_path_factory):
    limits = ("--queue", 32, "--max_mb", 2, "--max_mp", 1, "--seconds", 60)
    words = ("--model_dir", exported / "mirnet", exported / "sid", *limits)
    running = Running(words, temporary=tmp_path_factory.mktemp("tmp"))
    assert running.url, running.errors
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Valid files of every kind that is read: (name, bytes)."""
    folder = tmp_path_factory.mktemp("seeds")
    rng = np.random.default_rng(0)
    picture = rng.random((36, 44, 3))
    for name in ("a.png", "a.jpg", "a.tif", "a.webp", "a.bmp"):
        write_image(folder / name, picture)
    write_image(folder / "deep.png", picture, depth=16)
    write_image(folder / "deep.tif", picture, depth=16)
    write_image(folder / "grey.png", picture[..., 0])
    cv2.imwrite(str(folder / "float.tif"), picture.astype(np.float32))
    mosaic = rng.integers(500, 900, (66, 72)).astype(np.uint16)
    write_dng(folder / "plain.dng", mosaic, white_level=4095)
    write_dng(folder / "packed.dng", mosaic, white_level=4095, bits=12)
    write_dng(folder / "jpeg.dng", mosaic, white_level=4095, compression="lossless jpeg")
    write_dng(folder / "xtrans.dng", mosaic, white_level=4095, pattern=XTRANS_PATTERN)
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


def mutated(rng, seeds):
    """A file with a few errors, mostly near its start, where headers are."""
    name, content = seeds[rng.integers(len(seeds))]
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        if not data:
            break
        place = int(rng.integers(min(len(data), 600) if rng.random() < 0.7 else len(data)))
        error = rng.integers(6)
        if error == 0:
            data[place] ^= 1 << int(rng.integers(8))
        elif error == 1:
            data[place : place + 4] = EDGES[rng.integers(len(EDGES))]
        elif error == 2:
            del data[place : place + int(rng.integers(1, 64))]
        elif error == 3:
            data[place:place] = rng.bytes(int(rng.integers(1, 64)))
        elif error == 4 and rng.random() < 0.3:
            del data[place:]
        elif error == 5:
            other = seeds[rng.integers(len(seeds))][1]
            data[place : place + 32] = other[place : place + 32]
    return name, bytes(data)


def send(client, seeds, number):
    rng = np.random.default_rng([7, number])
    name, content = mutated(rng, seeds)
    model = "sid_unet" if name.endswith(".dng") != (rng.random() < 0.1) else "mirnet_v2_small"
    options = {"model": model}
    if rng.random() < 0.2:
        for _ in range(rng.integers(1, 3)):
            options[NAMES[rng.integers(len(NAMES))]] = WORDS[rng.integers(len(WORDS))]
    address = "/v1/preview" if rng.random() < 0.2 else "/v1/restore"
    kind = rng.integers(4)
    if kind < 2:
        return client.post(address, params=options, content=content)
    if kind == 2:
        return client.post(address, data=options, files={"file": (name, content)})
    body = bytearray(client.build_request("POST", "/", data=options, files={"file": (name, content)}).read())
    place = int(rng.integers(min(len(body), 400)))
    body[place : place + 3] = rng.bytes(int(rng.integers(6)))
    boundary = bytes(body[2:34]).decode("latin-1")
    boundary = boundary if re.fullmatch(r"[0-9a-f]{32}", boundary) else "x"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return client.post(address, content=bytes(body), headers=headers)


def check(answer, running, number):
    if answer.status_code == 200:
        assert answer.headers["content-type"].startswith("image/")
        return
    line = answer.json()["error"]
    deliberate = answer.status_code == 503 and any(words in line for words in DELIBERATE)
    assert answer.status_code < 500 or deliberate, (number, line, running.errors[-30:])
    assert "\n" not in line
    assert str(running.temporary) not in line
    assert "Traceback" not in line


def fuzz(running, seeds, first, count):
    statuses = Counter()

    def work(part):
        with httpx.Client(base_url=running.url, timeout=90) as client:
            for number in part:
                answer = send(client, seeds, number)
                check(answer, running, number)
                statuses[answer.status_code] += 1

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, [range(first + i, first + count, 3) for i in range(3)]))
    return statuses


def memory(running):
    return [
        running.metric(f'paddle_restore_resident_bytes{{process="{name}"}}')
        for name in ("service", "workers")
    ]


def check_life(running):
    assert running.metric("paddle_restore_workers_replaced_total") == 0
    assert running.metric("paddle_restore_requests_open") == 0
    assert not [line for line in running.errors if "Traceback" in line], running.errors[-20:]
    assert not list(next(running.temporary.glob("paddle-restore-*")).iterdir())


def test_mutated_files(fuzzed, seeds):
    statuses = fuzz(fuzzed, seeds, 0, 300)
    assert {200, 422} <= set(statuses), statuses
    check_life(fuzzed)


def test_broken_http(fuzzed):
    host, port = fuzzed.url.removeprefix("http://").split(":")
    rng = np.random.default_rng(3)
    start = b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    for words in (
        b"\0\1\2\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        start + b"Content-Length: -5\r\n\r\n",
        start + b"Content-Length: 99999999999999999999\r\n\r\n",
        start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n",
        start + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
        *(rng.bytes(200) for _ in range(20)),
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            while True:
                try:
                    part = connection.recv(65536)
                except ConnectionResetError:
                    break
                if not part:
                    break
                assert not part.startswith(b"HTTP/1.1 5")
    assert fuzzed.client.get("/readyz").status_code == 200
    check_life(fuzzed)


def run_schemathesis(running, examples):
    program = Path(sys.executable).with_name("schemathesis")
    program = program if program.is_file() else shutil.which("schemathesis")
    if not program:
        pytest.skip("needs schemathesis: pip install 'paddle_restore[fuzz]'")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [
            *(program, "run", f"{running.url}/openapi.json", "--checks", checks, "--seed", "1"),
            *("--max-examples", str(examples), "--suppress-health-check", "all", "--no-color"),
        ],
        capture_output=True,
        text=True,
        cwd=running.temporary.parent,
        timeout=3000,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_the_document(fuzzed):
    run_schemathesis(fuzzed, 10)
    check_life(fuzzed)


@pytest.mark.slow
def test_ten_thousand(fuzzed, seeds):
    statuses, resident, step = Counter(), [], ALL * 82 // 1000  # the rest is schemathesis's
    for first in range(0, 10 * step, step):
        statuses += fuzz(fuzzed, seeds, first, step)
        resident.append(memory(fuzzed))
    print(statuses, resident)
    told = run_schemathesis(fuzzed, ALL // 20)
    print("\n".join(told.splitlines()[-15:]))
    check_life(fuzzed)
    # A worker keeps the memory of its largest picture, which has most likely come by the half.
    assert all(last < 1.03 * half for half, last in zip(resident[4], memory(fuzzed)))
