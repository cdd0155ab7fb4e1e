"""The demo data: dark raw scenes and noisy pictures, made from the photographs of scikit-image."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import rawpy

from paddle_restore.data.files import write_text
from paddle_restore.data.image import to_float, write_image
from paddle_restore.data.synthetic.dng import XTRANS_PATTERN, dng_bytes, write_dng
from paddle_restore.data.synthetic.noise import Camera
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.errors import UserError

VERSION = 2
"""Increase it when the same seed gives other files."""

LONG_SECONDS = 10.0
SHORT_SECONDS = ("0.1", "0.04", "0.033")  # ratios x100, x250 and x300, as in SID's Sony set
MAX_RATIO = 300  # SID's names round 1/30 s to 0.033
ISO = 1600
PAIR_ISOS = (12800, 25600, 51200)  # noise of about 22-32 dB, as in SIDD


@dataclass(frozen=True)
class Scene:
    """A window of a photograph, and the colour pattern of the sensor.

    `colours` permutes the photograph's channels, so that few photographs give more colours to train on.
    """

    id: str
    photo: str
    window: tuple[int, int, int, int]  # top, left, height, width
    pattern: str = "RGGB"
    colours: str = "RGB"

    @property
    def split(self) -> str:
        return {"0": "train", "1": "test", "2": "val"}[self.id[0]]


# The photographs of test and validation scenes appear in no training scene.
SCENES = (
    Scene("00001", "stereo_motorcycle", (0, 0, 448, 368)),
    Scene("00002", "stereo_motorcycle", (48, 370, 448, 370), "BGGR"),
    Scene("00003", "rocket", (0, 64, 416, 512)),
    Scene("00004", "retina", (320, 480, 416, 416)),
    Scene("00005", "immunohistochemistry", (0, 0, 448, 448), "GRBG"),
    Scene("00006", "colorwheel", (1, 1, 368, 368)),
    Scene("00007", "stereo_motorcycle", (16, 60, 448, 400), colours="BRG"),
    Scene("00008", "rocket", (0, 0, 416, 512), "GBRG", colours="BGR"),
    Scene("00009", "retina", (700, 300, 416, 416), colours="GBR"),
    Scene("00010", "immunohistochemistry", (40, 40, 448, 448), colours="GRB"),
    Scene("20001", "hubble_deep_field", (200, 300, 384, 448)),
    Scene("10001", "astronaut", (0, 0, 512, 480)),
    Scene("10002", "coffee", (0, 0, 399, 599)),
    Scene("10003", "chelsea", (0, 0, 300, 450), "GRBG"),
)

# LibRaw develops no X-Trans frame with fewer than 512 pixels a side.
XTRANS_SCENES = (
    Scene("00001", "retina", (320, 480, 516, 516), XTRANS_PATTERN),
    Scene("00002", "immunohistochemistry", (0, 0, 512, 512), XTRANS_PATTERN),
    Scene("10001", "astronaut", (0, 0, 512, 512), XTRANS_PATTERN),
)

SOURCES = """\
Made by tools/prepare_demo.py from pictures that scikit-image carries. Their terms, as the documentation
of skimage.data states them:
  astronaut             NASA; no known copyright restrictions, released into the public domain
  chelsea               Stefan van der Walt; CC0
  coffee                Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0
  hubble_deep_field     NASA, HubbleSite; may be freely used in the public domain
  immunohistochemistry  Center for Microscopy and Molecular Imaging; no known copyright restrictions
  retina                Mikael Haggstrom, Medical gallery (2014); CC0 1.0
  rocket                SpaceX; released into the public domain
  stereo_motorcycle     Middlebury 2014 stereo benchmark (Scharstein et al., GCPR 2014); terms not stated
  colorwheel            drawn, not photographed; terms not stated
The raw files are synthetic: a camera's pipeline inverted (Brooks et al., CVPR 2019), then sensor noise.
"""


def photograph(scene: Scene) -> np.ndarray:
    """Return the scene's window of its photograph, (H, W, 3) float32 in [0, 1]."""
    try:
        from skimage import data
    except ImportError:
        raise UserError(
            "the demo data needs scikit-image's photographs: pip install 'paddle_restore[demo]'"
        ) from None
    photo = getattr(data, scene.photo)()
    photo = photo[0] if isinstance(photo, tuple) else photo
    top, left, height, width = scene.window
    order = ["RGB".index(letter) for letter in scene.colours]
    return to_float(photo[top : top + height, left : left + width, order])


def write_demo(kind: str, folder: Path, camera: Camera, seed: int, force: bool) -> Optional[list[list]]:
    """Write a kind of demo data; return a table row for each scene, or None if the data exist.

    `force` writes them again. Raises UserError if lists of another SID data set would be replaced.
    """
    manifest = folder / f"{kind}.json"
    wanted = {"version": VERSION, "seed": seed, "camera": camera.model_dump(mode="json")}
    try:
        made = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        made = None
    if made == wanted and not force:
        return None
    if made is None and not force and kind in _LISTS:
        for path in sorted(folder.glob(_LISTS[kind])):
            raise UserError(f"{path}: was not made by this command; choose another --output")
    write_text(manifest, "{}")  # until everything is written, so that an interrupted run is made again
    rows = list(KINDS[kind](folder, camera, seed))
    write_text(folder / "README.txt", SOURCES)
    write_text(manifest, json.dumps(wanted))
    return rows


def write_sid_tree(root: Path, camera: Camera, seed: int) -> Iterator[list]:
    """Write a small SID data set under `root`; yield a table row for each finished scene.

    It has Sony/short, Sony/long and Sony_{train,test,val}_list.txt, with the authors' file names. The files
    are DNG with the suffix .ARW; LibRaw goes by their content.
    """
    return _write_tree(root, camera, seed, dict(enumerate(SCENES)), "Sony", "ARW")


def write_xtrans_tree(root: Path, camera: Camera, seed: int) -> Iterator[list]:
    """Write a much smaller SID data set of an X-Trans sensor: Fuji/short, Fuji/long and its lists."""
    return _write_tree(root, camera, seed, dict(enumerate(XTRANS_SCENES, 2000)), "Fuji", "RAF")


def _write_tree(
    root: Path, camera: Camera, seed: int, scenes: dict[int, Scene], folder: str, suffix: str
) -> Iterator[list]:
    """`scenes`: by number, which with the seed determines the scene's random values."""
    lists: dict[str, list[str]] = {}
    for number, scene in scenes.items():
        rng = np.random.default_rng([seed, number])
        light, fields = _photographed(scene, camera, rng)
        long = f"{folder}/long/{scene.id}_00_10s.{suffix}"
        # The reference has no noise, like the average of many frames.
        write_dng(root / long, _clean(camera, light), exposure_time=LONG_SECONDS, iso=ISO, **fields)
        for seconds in SHORT_SECONDS:
            short = f"{folder}/short/{scene.id}_00_{seconds}s.{suffix}"
            values = camera.expose(light, ISO, rng, min(LONG_SECONDS / float(seconds), MAX_RATIO))
            write_dng(root / short, values, exposure_time=float(seconds), iso=ISO, **fields)
            lists.setdefault(scene.split, []).append(f"./{short} ./{long} ISO{ISO} F8")
        height, width = light.shape
        yield [
            scene.id,
            scene.split,
            scene.photo,
            f"{width}x{height}",
            scene.pattern if len(scene.pattern) == 4 else "X-Trans",
            f"{', '.join(SHORT_SECONDS)} of 10 s",
        ]
    for split, lines in lists.items():
        write_text(root / f"{folder}_{split}_list.txt", "\n".join(lines) + "\n")


def write_srgb_pairs(root: Path, camera: Camera, seed: int, size: int = 256) -> Iterator[list]:
    """Write noisy and clean sRGB patches to ROOT/pairs/{train,val}/{input,groundtruth}; yield table rows.

    The noise is added before demosaicing and tone curve, so that it is correlated between neighbours and
    weaker in bright areas, as in SIDD. The photographs of SID's test scenes are the validation set.
    """
    for number, scene in enumerate(SCENES):
        if scene.split == "val":  # nearly black, so its patches show little noise
            continue
        rng = np.random.default_rng([seed, 1000 + number])
        split = "train" if scene.split == "train" else "val"
        light, fields = _photographed(scene, camera, rng)
        clean = _develop(dng_bytes(_clean(camera, light), **fields))
        noisy = [_develop(dng_bytes(camera.expose(light, iso, rng), **fields)) for iso in PAIR_ISOS]
        corners = [
            (top, left) for top in _starts(light.shape[0], size) for left in _starts(light.shape[1], size)
        ]
        for patch, (top, left) in enumerate(corners):
            window = np.s_[top : top + size, left : left + size]
            name = f"{scene.id}_{patch}.png"
            write_image(root / "pairs" / split / "input" / name, noisy[(number + patch) % len(noisy)][window])
            write_image(root / "pairs" / split / "groundtruth" / name, clean[window])
        yield [
            scene.id,
            split,
            scene.photo,
            f"{len(corners)} of {size}x{size}",
            scene.pattern,
            "ISO " + ", ".join(map(str, PAIR_ISOS)),
        ]


def _starts(side: int, size: int) -> list[int]:
    """Return the starts of patches that cover a side evenly; neighbours share less than half."""
    return np.linspace(0, side - size, round(side / size)).astype(int).tolist()


def _photographed(
    scene: Scene, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the light behind the colour filters, (H, W), 1 = saturation, and `dng_bytes`'s fields."""
    # The camera's white balance, for a little warmer or colder light.
    warmth = rng.uniform(-0.12, 0.12)
    red, green, blue = camera.white_balance
    white_balance = round(red * (1 + warmth), 3), green, round(blue * (1 - warmth), 3)
    light = mosaic(radiance(photograph(scene), camera.color_matrix, white_balance), scene.pattern)
    return light, {
        "pattern": scene.pattern,
        "black_level": camera.black_level,
        "white_level": camera.white_level,
        "white_balance": white_balance,
        "color_matrix": camera.color_matrix,
    }


def _clean(camera: Camera, light: np.ndarray) -> np.ndarray:
    values = light * (camera.white_level - camera.black_level) + camera.black_level
    return np.clip(np.rint(values), 0, camera.white_level).astype(np.uint16)


def _develop(content: bytes) -> np.ndarray:
    with rawpy.imread(io.BytesIO(content)) as raw:
        return raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=8, user_flip=0)


KINDS = {"sid": write_sid_tree, "xtrans": write_xtrans_tree, "srgb": write_srgb_pairs}
_LISTS = {"sid": "Sony_*_list.txt", "xtrans": "Fuji_*_list.txt"}
