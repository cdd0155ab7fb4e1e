"""The demo data: dark raw scenes and noisy pictures from the photographs that scikit-image carries."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rawpy

from paddle_restore.data.files import atomic_path
from paddle_restore.data.image import to_float, write_image
from paddle_restore.data.synthetic.dng import XTRANS_PATTERN, dng_bytes, write_dng
from paddle_restore.data.synthetic.noise import Camera
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.errors import UserError

LONG_SECONDS = 10.0
SHORT_SECONDS = ("0.1", "0.04", "0.033")  # ratios x100, x250 and x300, as in SID's Sony set
MAX_RATIO = 300  # SID's names round 1/30 s to 0.033
ISO = 1600
PAIR_ISOS = (12800, 25600, 51200)  # noise of about 22-32 dB, as in SIDD


@dataclass(frozen=True)
class Scene:
    """A window of a photograph, seen through a sensor of some colour phase.

    `colours` permutes the photograph's channels: there are few photographs, and a network that
    trains on them should meet more colours than theirs.
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
    """Return the scene's part of its photograph, (H, W, 3) float32 in [0, 1]."""
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


def write_sid_tree(root: Path, camera: Camera, seed: int) -> Iterator[list]:
    """Write a small SID data set under `root`; yield a table row a scene as it is done.

    Sony/short, Sony/long and Sony_{train,test,val}_list.txt, with the authors' file names. The files
    are DNG under the name .ARW, which LibRaw opens by their content.
    """
    return _write_tree(root, camera, seed, dict(enumerate(SCENES)), "Sony", "ARW")


def write_xtrans_tree(root: Path, camera: Camera, seed: int) -> Iterator[list]:
    """Write the same of an X-Trans sensor, much smaller: Fuji/short, Fuji/long and its lists."""
    return _write_tree(root, camera, seed, dict(enumerate(XTRANS_SCENES, 2000)), "Fuji", "RAF")


def _write_tree(
    root: Path, camera: Camera, seed: int, scenes: dict[int, Scene], folder: str, suffix: str
) -> Iterator[list]:
    """`scenes`: each under the number that, with the seed, its random values follow from."""
    lists: dict[str, list[str]] = {}
    for number, scene in scenes.items():
        rng = np.random.default_rng([seed, number])
        white_balance = _light(camera, rng)
        light = mosaic(radiance(photograph(scene), camera.color_matrix, white_balance), scene.pattern)
        long = f"{folder}/long/{scene.id}_00_10s.{suffix}"
        common = {
            "pattern": scene.pattern,
            "black_level": camera.black_level,
            "white_level": camera.white_level,
            "white_balance": white_balance,
            "color_matrix": camera.color_matrix,
            "iso": ISO,
        }
        # The reference is the average of many frames' worth of light, as good as noiseless.
        write_dng(root / long, _clean(camera, light), exposure_time=LONG_SECONDS, **common)
        for seconds in SHORT_SECONDS:
            short = f"{folder}/short/{scene.id}_00_{seconds}s.{suffix}"
            values = camera.expose(light, ISO, rng, min(LONG_SECONDS / float(seconds), MAX_RATIO))
            write_dng(root / short, values, exposure_time=float(seconds), **common)
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
        with atomic_path(root / f"{folder}_{split}_list.txt") as path:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_srgb_pairs(root: Path, camera: Camera, seed: int, size: int = 256) -> Iterator[list]:
    """Write noisy and clean sRGB patches under `root`/{train,val}/{input,groundtruth}; yield table rows.

    The noise is a sensor's, before demosaicing and tone curve: correlated between neighbours and
    weaker in the light, as in SIDD. The photographs of SID's test scenes are the validation set.
    """
    for number, scene in enumerate(SCENES):
        if scene.split == "val":  # nearly black: says little of noise in pictures
            continue
        rng = np.random.default_rng([seed, 1000 + number])
        split = "train" if scene.split == "train" else "val"
        white_balance = _light(camera, rng)
        light = mosaic(radiance(photograph(scene), camera.color_matrix, white_balance), scene.pattern)
        fields = {
            "pattern": scene.pattern,
            "black_level": camera.black_level,
            "white_level": camera.white_level,
            "white_balance": white_balance,
            "color_matrix": camera.color_matrix,
        }
        clean = _develop(dng_bytes(_clean(camera, light), **fields))
        noisy = [_develop(dng_bytes(camera.expose(light, iso, rng), **fields)) for iso in PAIR_ISOS]
        places = [
            (top, left) for top in _starts(light.shape[0], size) for left in _starts(light.shape[1], size)
        ]
        for place, (top, left) in enumerate(places):
            part = np.s_[top : top + size, left : left + size]
            name = f"{scene.id}_{place}.png"
            write_image(root / split / "input" / name, noisy[(number + place) % len(noisy)][part])
            write_image(root / split / "groundtruth" / name, clean[part])
        yield [
            scene.id,
            split,
            scene.photo,
            f"{len(places)} of {size}x{size}",
            scene.pattern,
            "ISO " + ", ".join(map(str, PAIR_ISOS)),
        ]


def _starts(side: int, size: int) -> list[int]:
    """Evenly spread patches over a side; neighbours share less than half of their pixels."""
    return np.linspace(0, side - size, round(side / size)).astype(int).tolist()


def _light(camera: Camera, rng: np.random.Generator) -> tuple[float, ...]:
    """White balance of a scene: the camera's, under light that is a little warmer or colder."""
    warmth = rng.uniform(-0.12, 0.12)
    red, green, blue = camera.white_balance
    return round(red * (1 + warmth), 3), green, round(blue * (1 - warmth), 3)


def _clean(camera: Camera, light: np.ndarray) -> np.ndarray:
    values = light * (camera.white_level - camera.black_level) + camera.black_level
    return np.clip(np.rint(values), 0, camera.white_level).astype(np.uint16)


def _develop(content: bytes) -> np.ndarray:
    with rawpy.imread(io.BytesIO(content)) as raw:
        return raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=8, user_flip=0)
