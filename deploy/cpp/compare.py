"""Compare the C++ program with the Python restorer, both running OpenVINO on the same exported folders.

    python compare.py --program build/restore [PART ...]

A part is a network's id (a tiny one with random weights is exported), `shipped` (the model that runs where
none is named, at several strengths), `windows` (how frames are cut, of many sizes and specs) or `refusals`
(what the program must refuse with one line). Ends with exit code 1 where a pixel differs by more than 1/255,
the tiles are not the same, or something was not refused.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Optional, Union

import cv2
import numpy as np
import paddle
import yaml

from paddle_restore import create_model
from paddle_restore.data.image import write_image
from paddle_restore.data.mosaic import RawImage
from paddle_restore.errors import UserError
from paddle_restore.inference.export import export
from paddle_restore.inference.package import FILE, Preprocess
from paddle_restore.inference.restorer import Restorer
from paddle_restore.models.spec import ModelSpec
from paddle_restore.shipped import shipped_folder

NETWORKS = {
    "mirnet": {"width": 8, "n_rrg": 1, "n_msrb": 1},
    "mirnet_v2_small": {"width": 32, "groups": [1]},
    "sid_unet": {"width": 4},
    "lamba": {},
}
PARTS = (*NETWORKS, "shipped", "windows", "refusals")
ALLOWED = 1 / 255
MODEL_DIR = "PADDLE_RESTORE_MODEL_DIR"
LEVELS = {"black": 512.0, "white": 16383.0, "ratio": 40.0}  # the brightest parts are amplified above 1

Tile = Union[int, str]


class Failure(Exception):
    """The program did something else than it should."""


class Comparison:
    """The program and a folder to work in."""

    def __init__(self, program: Path, work: Path):
        self.program, self.work = program, work

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
        command = [str(self.program), *map(str, arguments)]
        variables = {**os.environ, MODEL_DIR: "", **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=variables)

    def restore(self, folder: Optional[Path], source: Path, *options: object) -> tuple[np.ndarray, int]:
        """The program's picture as it is stored, and how many tiles it took.

        `folder` None: by the program's default model.
        """
        target = self.work / "cpp.png"
        target.unlink(missing_ok=True)
        named = [] if folder is None else ["--model_dir", folder]
        done = self.run(*named, "--input", source, "--output", target, *options)
        if done.returncode or done.stderr:
            raise Failure(f"exit code {done.returncode}: {done.stderr.strip()}")
        tiles = re.search(r"tiles (\d+)", done.stdout)
        return cv2.imread(str(target), cv2.IMREAD_UNCHANGED), int(tiles.group(1))

    def check(
        self,
        folder: Optional[Path],
        source: Path,
        tile: Tile = "auto",
        memory: float = 1.0,
        depth: Optional[int] = None,
        strength: float = 1.0,
    ) -> None:
        """Restore `source` both ways, by the default model where `folder` is None.

        Raises Failure where they differ.
        """
        options = ["--tile", tile, "--memory", memory]
        options += ["--depth", depth] if depth else []
        options += ["--strength", strength] if strength != 1 else []
        restorer = Restorer(folder, backend="openvino", tile=tile, memory=memory, strength=strength)
        given, ratio = source, None
        if restorer.spec.raw:
            mosaic = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
            given = RawImage(mosaic, "RGGB", (LEVELS["black"],) * 4, LEVELS["white"])
            ratio = LEVELS["ratio"]
            options += [word for name, value in LEVELS.items() for word in (f"--{name}", value)]
        got, tiles = self.restore(folder, source, *options)
        read = restorer.read(given, ratio)
        restored = restorer.run([read], depth or read.form.depth)[0]
        restorer.write(restored, self.work / "python.png", depth)
        expected = cv2.imread(str(self.work / "python.png"), cv2.IMREAD_UNCHANGED)
        count = restorer.forward.count(read)
        if (got.shape, got.dtype) != (expected.shape, expected.dtype):
            raise Failure(f"{got.shape} {got.dtype} where Python gives {expected.shape} {expected.dtype}")
        steps = int(np.abs(got.astype(int) - expected).max())
        name = folder.name if folder else "default model"
        line = f"{name}, {source.name}, tile {tile}, memory {memory:g}, strength {strength:g}: {tiles} tiles"
        if tiles != count or steps / np.iinfo(got.dtype).max > ALLOWED:
            raise Failure(
                f"{line}; Python takes {count}; they differ by {steps} of {np.iinfo(got.dtype).max}"
            )
        if expected.min() == expected.max():
            raise Failure(f"{line}: the picture is flat and shows nothing")
        print(f"{line}, largest difference {steps} of {np.iinfo(got.dtype).max}")

    def picture(
        self, height: int, width: int, depth: int = 8, channels: int = 3, name: Optional[str] = None
    ) -> Path:
        """Write a PNG of smooth waves and noise."""
        rng = np.random.default_rng([height, width, depth, channels])
        y, x, c = np.ogrid[:height, :width, :channels]
        waves = 0.5 + 0.4 * np.sin(0.07 * x + 0.05 * y * (1 + c))
        noisy = np.clip(waves + 0.1 * rng.standard_normal((height, width, channels)), 0, 1)
        path = self.work / (name or f"{width}x{height}x{channels}_{depth}bit.png")
        write_image(
            path, noisy.astype(np.float32)[..., 0] if channels == 1 else noisy.astype(np.float32), depth
        )
        return path

    def mosaic(self, height: int, width: int) -> Path:
        rng = np.random.default_rng([height, width])
        y, x = np.ogrid[:height, :width]
        light = 900 + 300 * np.sin(0.06 * x + 0.04 * y) + 60 * rng.standard_normal((height, width))
        light[height // 3 : height // 2, width // 3 : width // 2] = LEVELS["white"]  # overexposed
        path = self.work / f"mosaic_{width}x{height}.png"
        cv2.imwrite(str(path), light.clip(0, 65535).astype(np.uint16))
        return path


def tiny(id: str, work: Path) -> Path:
    """Export a small network with random weights; return its folder."""
    folder = work / id
    if not folder.exists():
        paddle.seed(0)
        export(create_model(id, **NETWORKS.get(id, {})), folder, id, Preprocess(), format="all")
    return folder


def compare_network(id: str, comparison: Comparison) -> None:
    """Odd sizes, in one piece and in tiles; pictures of 8 and 16 bit, grey, and with alpha."""
    folder = tiny(id, comparison.work)
    spec = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))["spec"]
    if spec["input"] != "srgb":
        smallest = 2 * spec["halo"] + spec["multiple"] if spec["input"] == "bayer" else 1248
        sizes = [(131, 97), (130, 64)]
        for size in sizes:
            comparison.check(folder, comparison.mosaic(*size), "none")
        factor = 2 if spec["input"] == "bayer" else 1
        tile = factor * (smallest + spec["multiple"])
        comparison.check(folder, comparison.mosaic(99, tile + 101), tile)
        comparison.check(folder, comparison.mosaic(131, 97), "none", depth=8)
        return
    for size in ((37, 61), (64, 48), (5, 9)):
        comparison.check(folder, comparison.picture(*size), "none")
    for depth, channels in ((8, 3), (16, 3), (8, 1), (16, 1), (8, 4), (16, 4)):
        comparison.check(folder, comparison.picture(75, 93, depth, channels), 48)
    comparison.check(folder, comparison.picture(75, 93), "auto", 64 * 64 * spec["memory"] / 1e9)
    comparison.check(folder, comparison.picture(75, 93), "none", depth=16)
    comparison.check(folder, comparison.picture(75, 93, 16, 4), "none", depth=8)


def compare_shipped(comparison: Comparison) -> None:
    """The model that comes with the package: named by nothing, by the variable, at several strengths."""
    source = comparison.picture(75, 93)
    try:
        shipped_folder()
    except UserError as missing:
        done = comparison.run("--input", source, "--output", comparison.work / "none.png")
        if done.returncode != 2 or "so there is no default model; name one" not in done.stderr:
            raise Failure(f"the missing default model is not named: {done.stderr}") from None
        print(f"left out: {missing}")
        return
    comparison.check(None, source)
    comparison.check(None, source, strength=0.5)
    comparison.check(None, comparison.picture(75, 93, 16, 4), strength=1.5)
    comparison.check(None, comparison.picture(200, 500), 416, strength=0.8)
    same, _ = comparison.restore(None, source, "--strength", 0)
    if not np.array_equal(same, cv2.imread(str(source))):
        raise Failure("strength 0 is not the input")
    target = comparison.work / "named.png"
    tiny_folder = str(tiny("mirnet", comparison.work))
    done = comparison.run("--input", source, "--output", target, **{MODEL_DIR: tiny_folder})
    expected, _ = comparison.restore(Path(tiny_folder), source)
    if done.returncode or not np.array_equal(cv2.imread(str(target)), expected):
        raise Failure(f"{MODEL_DIR} does not name the model: {done.stderr}")


class _Probe(paddle.nn.Layer):
    """Convolutions that show in every pixel where their window ended."""

    def __init__(self):
        super().__init__()
        self.spec = ModelSpec("probe", "srgb", 1, 4, 2, "", "", "", memory=1000)
        self.layers = paddle.nn.Sequential(
            paddle.nn.Conv2D(3, 8, 3, padding=1), paddle.nn.Conv2D(8, 3, 3, padding=1)
        )

    def forward(self, x):
        return paddle.nn.functional.sigmoid(4 * self.layers(x))


def compare_windows(comparison: Comparison, cases: int = 20) -> None:
    """Specs that fit the network or not, so that windows cut elsewhere give other pixels."""
    folder = comparison.work / "probe"
    paddle.seed(1)
    export(_Probe(), folder, "probe", Preprocess(), format="onnx")
    manifest = folder / FILE
    package = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    rng = np.random.default_rng(5)
    for case in range(cases):
        unit = int(rng.choice([1, 3, 4, 8, 16]))
        halo = "global" if case % 3 == 0 else int(rng.integers(0, 20))
        package["spec"].update(multiple=unit, halo=halo, memory=int(rng.choice([0, 700, 3000])))
        manifest.write_text(yaml.safe_dump(package), encoding="utf-8")
        source = comparison.picture(*(int(side) for side in rng.integers(16, 120, 2)), name=f"case{case}.png")
        smallest = 2 * unit if halo == "global" else 2 * halo + 2 * unit
        tile = ("auto", smallest, smallest + int(rng.integers(0, 60)))[case % 4 % 3]
        memory = float(rng.uniform(2e6, 3e7)) / 1e9
        print(f"multiple {unit}, halo {halo}, memory {package['spec']['memory']}", end="; ")
        comparison.check(folder, source, tile, memory)


def compare_refusals(comparison: Comparison) -> None:
    """Each is one line on stderr with these words, exit code 2, and no file."""
    work, folder = comparison.work, tiny("mirnet", comparison.work)
    good = comparison.picture(40, 40)
    content = good.read_bytes()

    def variant(name: str, data: bytes) -> Path:
        (work / name).write_bytes(data)
        return work / name

    def model(name: str, onnx: Optional[bytes] = None, **changes: object) -> Path:
        made = work / f"mirnet_{name}"
        shutil.copytree(folder, made)
        package = yaml.safe_load((made / FILE).read_text(encoding="utf-8"))
        for key, value in changes.items():
            package[key] = {**package[key], **value} if isinstance(value, dict) else value
        (made / FILE).write_text(yaml.safe_dump(package), encoding="utf-8")
        if onnx is not None:
            (made / "model.onnx").write_bytes(onnx)
        return made

    # Pixels that cannot be unpacked, in a chunk whose checksum is right.
    junk = b"IDAT" + bytes(20)
    packed = content[:33] + struct.pack(">I", 20) + junk + struct.pack(">I", zlib.crc32(junk)) + content[-12:]
    huge = b"IHDR" + struct.pack(">II", 100_000, 100_000) + content[24:29]
    bomb = content[:12] + huge + struct.pack(">I", zlib.crc32(huge)) + content[33:]
    onnx = (folder / "model.onnx").read_bytes()
    cut = onnx[: len(onnx) // 2]
    outside = onnx + _external_tensor()
    # A further set of operators, of version 2^40: OpenVINO counts up to it.
    future = onnx + b"\x42\x09\x0a\x00\x10\x80\x80\x80\x80\x80\x20"
    deep = work / "deep"
    deep.mkdir()
    (deep / FILE).write_text("[" * 100_000, encoding="utf-8")
    latent = model("latent", spec={"latent": {"channels": 45, "stride": 4}})
    mosaic = comparison.mosaic(64, 64)
    raw = tiny("sid_unet", work)
    cases = [
        (folder, work / "none.png", [], "no such file"),
        (folder, work, [], "is not a file"),
        (folder, variant("text.png", b"no picture"), [], "is not a PNG"),
        (folder, variant("empty.png", b""), [], "is not a PNG"),
        (folder, variant("cut.png", content[:-40]), [], "broken or cut short"),
        (folder, variant("bits.png", content[:100] + b"\xff\x00" + content[102:]), [], "broken or cut short"),
        (folder, variant("packed.png", packed), [], "broken or cut short"),
        (folder, variant("bomb.png", bomb), [], "the limit is 500 million"),
        (folder, comparison.picture(3, 3), [], "too small for mirnet"),
        (folder, good, ["--tile", "7"], "a tile needs at least 8"),
        (folder, good, ["--tile", "many"], "--tile"),
        (folder, good, ["--depth", "12"], "--depth must be 8 or 16"),
        (folder, good, ["--memory", "nan"], "--memory must be a number"),
        (folder, good, ["--strength", "2"], "--strength must be a number from 0 to 1.5, not 2"),
        (folder, good, ["--strength", "nan"], "--strength must be a number"),
        (raw, mosaic, ["--strength", "0.5"], "--strength: sid_unet has none"),
        (folder, good, ["--gpu"], "no such option"),
        (work, good, [], "is not an exported model"),
        (deep, good, [], "is broken"),
        (latent, good, [], "draws noise"),
        (model("mosaic", spec={"input": "bayer", "output": "mosaic"}), mosaic, [], "restores raw frames"),
        (model("format", format=2), good, [], "format 1"),
        (model("scale", spec={"scale": 10**9}), good, [], "scale is out of range"),
        (model("large", spec={"scale": 4096}), good, [], "gave no picture|the limit is 500 million"),
        (model("xtrans", spec={"input": "xtrans"}), good, [], "reads xtrans input"),
        (model("paddle", graph={"onnx": None}), good, [], "has no onnx graph"),
        (model("path", graph={"onnx": "../mirnet/model.onnx"}), good, [], "a file of the same folder"),
        (model("cut", cut), good, [], "is not an ONNX file, or broken"),
        (model("outside", outside), good, [], "refers to data in other files"),
        (model("future", future), good, [], "is not an ONNX file, or broken"),
        (model("nothing", b""), good, [], "OpenVINO cannot load it"),
        (raw, mosaic, [], "give --black, --white and --ratio"),
        (raw, good, [w for n, v in LEVELS.items() for w in (f"--{n}", v)], "a mosaic as a 16-bit grey PNG"),
        (raw, mosaic, ["--black", 900, "--white", 800, "--ratio", 1], "--white must be above"),
    ]
    for model_dir, source, options, words in cases:
        target = work / "refused.png"
        done = comparison.run("--model_dir", model_dir, "--input", source, "--output", target, *options)
        line = done.stderr.strip()
        if done.returncode != 2 or "\n" in line or not re.search(words, line) or target.exists():
            raise Failure(f"exit code {done.returncode}, not refused with {words!r}: {done.stderr[-800:]}")
        print(line.replace(str(work), "."))
    done = comparison.run("--model_dir", folder, "--input", good, "--output", "/proc/none/x.png")
    if done.returncode != 2 or "cannot be written" not in done.stderr:
        raise Failure(f"a folder that cannot be written to: {done.stderr}")
    done = comparison.run("--model_dir", folder, "--input", good, "--output", good.parent)
    if done.returncode != 2 or "is the input itself" not in done.stderr or good.read_bytes() != content:
        raise Failure(f"the input was overwritten: {done.stderr}")
    left = [path.name for path in work.iterdir() if path.name.startswith(".")]
    if left:
        raise Failure(f"temporary files are left: {left}")


def _external_tensor() -> bytes:
    """A graph (field 7) of one initialiser (5) whose data_location (14) is EXTERNAL, to append to a model."""
    tensor = b"\x70\x01"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    return b"\x3a" + bytes([len(graph)]) + graph


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    args = parser.parse_args()
    for part in args.part:
        if part not in PARTS:
            parser.error(f"no part {part}; choose from {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="compare_cpp_") as work:
        comparison = Comparison(args.program.resolve(), Path(work))
        for part in args.part or PARTS:
            print(f"-- {part}")
            try:
                if part in NETWORKS:
                    compare_network(part, comparison)
                elif part == "shipped":
                    compare_shipped(comparison)
                elif part == "windows":
                    compare_windows(comparison)
                else:
                    compare_refusals(comparison)
            except Failure as failure:
                print(f"FAILED {part}: {failure}", file=sys.stderr)
                return 1
    print("all equal within 1/255")
    return 0


if __name__ == "__main__":
    sys.exit(main())
