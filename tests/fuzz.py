"""Damage the files that others may give us, and check what the readers do with them.

    python tests/fuzz.py --minutes 60
    python tests/fuzz.py --count 50 --seed 1 --target mat recipe

Every reader must either read a file or refuse it with one line (UserError), within 10 seconds and 1 GB,
without writing outside its folder and without starting a program. Readers run in a process with limits, which
is started again when it dies. Prints what became of the files of each target. Files that show a fault are
kept in --keep. Exit code 1: there were faults. tests/serving/test_fuzz.py does the same for requests to the
service.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SECONDS, MEGABYTES, LINE = 10, 1024, 1000
IMPORT_SECONDS = 120  # more for the first file of a target
GOLDEN = ROOT / "tests/golden"
SHIPPED = ROOT / "paddle_restore/shipped/denoise_unet"


class Target(NamedTuple):
    """Suffix of the files, whole files to damage, maker of their reader (it gets a working folder)."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    reader: Callable[[Path], Callable[[Path], Any]]


# ---- whole files


def _arrays() -> dict[str, np.ndarray]:
    kinds = ("float32", "float64", "float16", "uint16", "int64")
    return {f"conv{i}.weight": np.arange(8, dtype=kind).reshape(2, 4) for i, kind in enumerate(kinds)}


def _pickles() -> list[bytes]:
    values: list[dict] = [_arrays(), {"state_dict": _arrays(), "epoch": 3}]
    return [pickle.dumps(value, protocol) for value in values for protocol in (2, 4)]


def _safetensors() -> list[bytes]:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    half = {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]}
    header = json.dumps({"__metadata__": {"a": "b"}, "w": entry, "b": half}).encode()
    return [len(header).to_bytes(8, "little") + header + bytes(range(24))]


def _tensorflow() -> list[bytes]:
    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
        rows = (varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
        return b"".join(rows) + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")

    def entry(side: int) -> bytes:
        shape = b"\x12\x02\x08" + bytes([side])
        return b"\x08\x01\x12" + bytes([len(shape)]) + shape + b"\x28" + varint(4 * side)

    content = block([(b"", b"\x08\x01"), (b"g/w0", entry(5)), (b"g/w1", entry(9))])
    data = content + bytes(5)
    index = block([(b"z", varint(0) + varint(len(content)))])
    footer = bytes(2) + varint(len(data)) + varint(len(index))
    data += index + bytes(5)
    return [data + footer + bytes(40 - len(footer)) + (0xDB4775248B80FB57).to_bytes(8, "little")]


def _texts(*patterns: str) -> list[bytes]:
    return [path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def _lists() -> list[bytes]:
    rows = [{"short": "a.dng", "long": "b.dng", "ratio": 100}] * 3
    return [b"short,long,ratio\na.dng,b.dng,100\nb.dng,a.dng,50\n", json.dumps(rows).encode()]


def _pictures() -> list[bytes]:
    from paddle_restore.data.image import write_image

    picture, found = np.random.default_rng(0).random((20, 30, 3)), []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("png", "jpg", "tif", "webp", "bmp"):
            write_image(Path(folder) / f"a.{suffix}", picture)
            found.append((Path(folder) / f"a.{suffix}").read_bytes())
    return found


def _raw_files() -> list[bytes]:
    from paddle_restore.data.synthetic.dng import dng_bytes

    mosaic = np.random.default_rng(0).integers(500, 900, (66, 72)).astype(np.uint16)
    options: list[dict[str, Any]] = [{}, {"bits": 12}, {"compression": "lossless jpeg"}]
    return [dng_bytes(mosaic, white_level=4095, **option) for option in options]


def _mat_files() -> list[bytes]:
    import scipy.io

    files = []
    for compressed in (False, True):
        file = io.BytesIO()
        blocks = np.zeros((1, 2, 4, 4, 3), np.uint8)
        scipy.io.savemat(file, {"Blocks": blocks, "x": {"a": 1}}, do_compression=compressed)
        files.append(file.getvalue())
    return files


# ---- readers; modules are imported in the process with limits


def _weights(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.weights import read_weights

    return read_weights


def _states(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.weights import load_pickle

    return load_pickle


def _tensorflow_reader(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.weights import read_weights

    def read(path: Path) -> Any:
        path.with_name(f"{path.stem}.data-00000-of-00001").write_bytes(bytes(60))
        return read_weights(path)

    return read


def _recipes(work: Path) -> Callable[[Path], Any]:
    from paddle_restore.engine.config import load_config

    shutil.copytree(ROOT / "configs/_base_", work / "_base_", dirs_exist_ok=True)
    shutil.copytree(ROOT / "configs/sid", work / "recipes", dirs_exist_ok=True)

    def read(path: Path) -> Any:
        return load_config(shutil.copy(path, work / "recipes")).to_yaml()

    return read


def _cameras(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.data.synthetic.noise import load_camera

    return load_camera


def _manifests(work: Path) -> Callable[[Path], Any]:
    from paddle_restore.inference.package import FILE, read_package

    folder = work / "package"
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)

    def read(path: Path) -> Any:
        shutil.copy(path, folder / FILE)
        return read_package(folder)

    return read


def _programs(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.inference.paddle_file import check_program

    return check_program


def _onnx_files(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.inference.onnx_file import read_onnx

    return read_onnx


def _pair_lists(work: Path) -> Callable[[Path], Any]:
    from paddle_restore.data.datasets.raw_pairs import RawPairsOptions, read_pairs
    from paddle_restore.data.matching import read_list

    for name in ("a.dng", "b.dng"):
        (work / name).touch()
    options = RawPairsOptions(root=work, train_list="a", eval_list="b")

    def read(path: Path) -> Any:
        if path.read_bytes()[:1] in (b"[", b"{"):
            path = path.replace(path.with_suffix(".json"))
        return read_pairs(options, path) if b"," in path.read_bytes() else read_list(work, path)

    return read


def _picture_reader(work: Path) -> Callable[[Path], Any]:
    from paddle_restore.data.image import read_with_form, write_image

    def read(path: Path) -> None:
        picture, form = read_with_form(path, max_pixels=1_000_000)
        write_image(work / "again.png", form.shape(picture), metadata=form.metadata)

    return read


def _raw_reader(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.data.raw import read_raw
    from paddle_restore.data.raw_metadata import raw_metadata

    def read(path: Path) -> None:
        raw_metadata(path)
        read_raw(path)

    return read


def _mat_reader(_: Path) -> Callable[[Path], Any]:
    from paddle_restore.data.sidd import read_blocks

    return lambda path: read_blocks(path, "Blocks")


TARGETS = {
    "pickle": Target(".pdparams", _pickles, _weights),
    "states": Target(".pdopt", _pickles, _states),
    "pytorch": Target(".pth", lambda: _texts("tests/golden/pytorch_*.pth"), _weights),
    "safetensors": Target(".safetensors", _safetensors, _weights),
    "tensorflow": Target(".index", _tensorflow, _tensorflow_reader),
    "recipe": Target(".yml", lambda: _texts("configs/sid/*.yml"), _recipes),
    "camera": Target(".yml", lambda: _texts("configs/cameras/*.yml"), _cameras),
    "manifest": Target(".yml", lambda: [(SHIPPED / "inference.yml").read_bytes()], _manifests),
    "program": Target(".pdmodel", lambda: [(SHIPPED / "model.pdmodel").read_bytes()], _programs),
    "onnx": Target(".onnx", lambda: [(SHIPPED / "model.onnx").read_bytes()], _onnx_files),
    "list": Target(".csv", _lists, _pair_lists),
    "picture": Target(".png", _pictures, _picture_reader),
    "raw": Target(".dng", _raw_files, _raw_reader),
    "mat": Target(".mat", _mat_files, _mat_reader),
}

# ---- damage

_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 4095, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_WORDS = (b"null", b"-1", b"1e999", b"nan", b"9" * 30, b"[]", b"{}", b"[" * 50, b"*a", b"&a", b"\0\xff")


def damaged(rng: random.Random, seed: bytes, others: list[bytes]) -> bytes:
    """Return a file with one to nine faults: bits, numbers, pieces cut, doubled or of another file."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        if not data:
            break
        near = len(data) if rng.random() < 0.5 else min(len(data), 800)  # headers matter most
        at, length = rng.randrange(near), rng.randrange(1, 64)
        kind = rng.randrange(9)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(_NUMBERS) % (1 << 8 * width)
            data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:at] = rng.choice(_WORDS)
        elif kind == 6:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 7:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            data[at : at + length] = other[start : start + length]
        else:
            start = rng.randrange(len(data))
            data[at : at + length] = data[start : start + length]
    return bytes(data[:3_000_000])


def damaged_zip(rng: random.Random, seed: bytes, others: list[bytes]) -> bytes:
    """Return a zip whose members are damaged, so that its checksums hold."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(seed)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if rng.random() < 0.4 and content:
                content = damaged(rng, content, others)
            new.writestr(name, content)
    return made.getvalue()


# ---- the process with limits


def serve(work: Path) -> None:
    """Read files whose targets and names come from standard input; answer each with a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from paddle_restore.errors import UserError

    readers: dict[str, Callable[[Path], Any]] = {}
    events: list[str] = []
    watching = False

    def watch(event: str, args: tuple) -> None:
        if not watching:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect"):
            events.append(f"{event} {str(args)[:80]}")
        if event == "open" and isinstance(args[0], (str, bytes)) and isinstance(args[2], int):
            path = os.path.abspath(os.fsdecode(args[0]))
            if args[2] & (os.O_WRONLY | os.O_RDWR) and not path.startswith((str(work), "/dev/", "/proc/")):
                events.append(f"writes {path[:80]}")

    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        name, path = line.rstrip("\n").split("\t")
        if name not in readers:
            readers[name] = TARGETS[name].reader(work)
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (size + (MEGABYTES << 20), hard))
        events.clear()
        watching = True
        try:
            readers[name](Path(path))
            result = {"kind": "read"}
        except UserError as error:
            text = str(error)
            good = "\n" not in text and len(text) <= LINE
            result = {"kind": "refused" if good else "BAD LINE", "text": text[:200]}
        except MemoryError:
            result = {"kind": "MEMORY", "text": traceback.format_exc()[-300:]}
        except BaseException as error:
            text = f"{type(error).__name__}: {str(error)[:100]} {traceback.format_exc()[-500:]}"
            result = {"kind": "TRACEBACK", "text": text}
        watching = False
        if events:
            result = {"kind": "ESCAPE", "text": "; ".join(events[:3])}
        answers.write(json.dumps(result) + "\n")
        answers.flush()


class Worker:
    """Starts the process with limits, and starts it again when it dies."""

    program = __file__

    def __init__(self, work: Path):
        self.work, self.process = work, self._start(work)

    @classmethod
    def _start(cls, work: Path) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(work), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", cls.program, "--serve", str(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, name: str, path: Path, first: bool) -> dict[str, str]:
        """Return {kind, text} of a file. `first` leaves time for imports."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{name}\t{path}\n")
        self.process.stdin.flush()
        ready = select.select([self.process.stdout], [], [], SECONDS + (IMPORT_SECONDS if first else 0))[0]
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        self.process.kill()
        code = self.process.wait()
        self.process = self._start(self.work)
        return {"kind": "DIED" if ready else "HANG", "text": f"exit code {code}" if ready else f"{SECONDS} s"}

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def fuzz(names: list[str], seed: int, count: Optional[int], minutes: Optional[float], keep: Path) -> bool:
    """Run until `count` files of each target, or for `minutes`; return whether there were no faults."""
    outcomes: dict[str, Counter] = {name: Counter() for name in names}
    started, known = time.monotonic(), {name: set() for name in names}
    whole = {name: TARGETS[name].seeds() for name in names}
    generators = {name: random.Random(f"{seed} {name}") for name in names}
    everything = [data for part in whole.values() for data in part]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        worker = Worker(work)
        fresh = set(names)
        number = 0
        while (count is None or number < count) and (
            minutes is None or time.monotonic() - started < 60 * minutes
        ):
            for name in names:
                rng, data = generators[name], whole[name]
                chosen = rng.choice(data)
                change = damaged_zip if chosen.startswith(b"PK") and rng.random() < 0.7 else damaged
                others = data if rng.random() < 0.8 else everything
                path = work / f"in{TARGETS[name].suffix}"
                path.write_bytes(change(rng, chosen, others))
                content = path.read_bytes()
                answer = worker.ask(name, path, name in fresh)
                fresh.discard(name)
                kind = answer["kind"]
                outcomes[name][kind] += 1
                if kind in ("DIED", "HANG"):
                    fresh = set(names)
                if kind not in ("read", "refused"):
                    text = answer["text"]
                    print(f"{name} {number}: {kind}: {text}", flush=True)
                    if (kind, text[-100:]) not in known[name] and len(known[name]) < 50:
                        known[name].add((kind, text[-100:]))
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / f"{name}-{seed}-{number}{path.suffix}").write_bytes(content)
            number += 1
        worker.close()
    faults = 0
    for name, counts in outcomes.items():
        faults += sum(n for kind, n in counts.items() if kind not in ("read", "refused"))
        print(f"{name}: {', '.join(f'{n} {kind}' for kind, n in counts.most_common())}")
    total = sum(sum(counts.values()) for counts in outcomes.values())
    print(f"{total} files in {time.monotonic() - started:.0f} s, {faults} faults")
    return not faults


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--minutes", type=float, help="how long (default: 1, without --count)")
    parser.add_argument("--count", type=int, help="files of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", nargs="+", choices=[*TARGETS], default=[*TARGETS], metavar="NAME")
    parser.add_argument("--keep", type=Path, default=ROOT / "output/fuzz", help="of files with faults")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return 0
    minutes = args.minutes if args.minutes or args.count else 1.0
    return 0 if fuzz(args.target, args.seed, args.count, minutes, args.keep) else 1


if __name__ == "__main__":
    sys.exit(main())
