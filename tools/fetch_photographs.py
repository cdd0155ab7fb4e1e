"""Fetch the photographs that the shipped denoiser is trained on: `python tools/fetch_photographs.py`.

Debian packages are downloaded by name (`apt-get download`, no root needed) and unpacked in a
temporary folder; scikit-image's pictures come from its wheel (`pip install scikit-image`). Each
photograph is shrunk, which removes its own noise and JPEG blocks, and written to

    data/photographs/train/NAME.png    data/photographs/val/NAME.png

with data/photographs/LIST.csv: name, split, package, licence, size. Whole photographs are held out for
validation. Drawings, gradients and renderings of the same packages are left out.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.data.files import atomic_path
from paddle_restore.errors import UserError

BACKGROUNDS = "usr/share/backgrounds"
PLASMA = "usr/share/wallpapers/{}/contents/images"


class Source(NamedTuple):
    """Photographs of one package: `folder` in it, and (file, licence) of each."""

    package: str
    folder: str
    files: tuple[tuple[str, str], ...]


def _each(names: str, licence: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, licence) for name in names.split())


SOURCES = (
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        _each("seeding_by_Clements_Engelhardt.jpg", "CC0-1.0")
        + _each(
            "Picture_0B_by_freespace.jpg Picture_1A_by_freespace.jpg Wine_by_Jakkub_Mede.jpg "
            "aitzgorri_by_Aitzol_Berasategi.jpg friends_by_Aitzol_Berasategi.jpg "
            "life_by_Aitzol_Berasategi.jpg picosdeeuropa_by_Aitzol_Berasategi.jpg "
            "sunset_by_Aitzol_Berasategi.jpg",
            "CC-BY-4.0",
        )
        + _each(
            "Bridge_by_Sander_Klootwijk.jpg Dragonfly_by_Bolly.jpg free_by_Peter_Nerlich.jpg "
            "greentock_by_Peter_Nerlich.jpg",
            "CC-BY-SA-4.0",
        ),
    ),
    Source("lomiri-wallpapers-20.04", BACKGROUNDS, _each("Kleiber_by_Lukas_Baubkus.jpg", "CC-BY-SA-3.0")),
    Source(
        "lxqt-themes",
        "usr/share/lxqt/wallpapers",
        _each(
            "Butterfly-Kenneth-Wimer.jpg Valendas.png after-the-rain.jpg appleflower.png beam.png "
            "butterfly.png cloud.png drop.png flowers.png fog.jpg this-is-not-windows.jpg",
            "LGPL-2.1+",
        ),
    ),
    Source(
        "mate-backgrounds",
        f"{BACKGROUNDS}/mate/nature",
        _each(
            "Aqua.jpg Blinds.jpg Dune.jpg FreshFlower.jpg Garden.jpg GreenMeadow.jpg LadyBird.jpg "
            "RainDrops.jpg Storm.jpg TwoWings.jpg Wood.jpg YellowFlower.jpg",
            "GPL-2+",
        ),
    ),
    *(
        Source("plasma-workspace-wallpapers", PLASMA.format(name), _each("2560x1600.jpg", "GPL-2+"))
        for name in (
            "BytheWater",
            "ColdRipple",
            "ColorfulCups",
            "DarkestHour",
            "EveningGlow",
            "FallenLeaf",
            "Grey",
            "Kite",
            "OneStandsOut",
            "Path",
            "summer_1am",
        )
    ),
    Source(
        "scikit-image",
        "data",
        _each("astronaut.png hubble_deep_field.jpg", "public domain (NASA)")
        + _each("chelsea.png coffee.png rocket.jpg", "CC0-1.0"),
    ),
)

HELD_OUT = (
    "astronaut",
    "coffee",
    "EveningGlow",
    "GreenMeadow",
    "Picture_1A_by_freespace",
    "picosdeeuropa_by_Aitzol_Berasategi",
    "seeding_by_Clements_Engelhardt",
)
"""Skin and hair, still life, evening light, grass, saturated colour, sky and rock, blur and detail."""


def shrink(photo: np.ndarray) -> np.ndarray:
    """Half the size, a third above 3000 pixels, 1/1.5 below 800: what removes noise and JPEG blocks."""
    side = max(photo.shape[:2])
    factor = 3 if side > 3000 else 2 if side > 800 else 1.5
    size = (round(photo.shape[1] / factor), round(photo.shape[0] / factor))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def unpack(package: str, folder: Path) -> Path:
    """Download a Debian package and unpack it; return its root. Raises UserError where apt cannot."""
    root = folder / package
    if not root.is_dir():
        download = folder / f"{package}.download"
        download.mkdir()
        for command in (["apt-get", "download", package], ["dpkg", "-x", None, str(root)]):
            if command[0] == "dpkg":
                command[2] = str(next(download.glob("*.deb")))
            try:
                result = subprocess.run(command, cwd=download, capture_output=True, text=True)
            except FileNotFoundError:
                raise UserError(
                    f"{command[0]}: not found; run this on Debian or Ubuntu, or unpack the packages "
                    "elsewhere and name their folder with --packages"
                ) from None
            if result.returncode:
                reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
                raise UserError(f"{package}: {' '.join(command[:2])} failed ({reason}); try apt-get update")
    return root


def package_root(package: str, folder: Path) -> Path:
    if package == "scikit-image":
        try:
            import skimage
        except ImportError:
            raise UserError("scikit-image is not installed: pip install scikit-image") from None
        return Path(skimage.__file__).parent
    return unpack(package, folder)


def fetch(destination: Path, folder: Path) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for source in SOURCES:
        root = package_root(source.package, folder)
        for file, licence in source.files:
            path = root / source.folder / file
            photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if photo is None:
                raise UserError(f"{path}: is missing in {source.package} or cannot be read")
            # Plasma's files are named after their size, their folder after the photograph.
            name = path.parts[-4] if source.folder.startswith("usr/share/wallpapers") else path.stem
            split = "val" if name in HELD_OUT else "train"
            photo = shrink(photo)
            (destination / split).mkdir(parents=True, exist_ok=True)
            with atomic_path(destination / split / f"{name}.png") as temporary:
                temporary.write_bytes(cv2.imencode(".png", photo)[1].tobytes())
            size = f"{photo.shape[1]}x{photo.shape[0]}"
            rows.append((name, split, source.package, licence, size))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--destination", type=Path, default=Path("data/photographs"))
    parser.add_argument("--packages", type=Path, help="folder with the unpacked packages, one folder each")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            rows = fetch(arguments.destination, arguments.packages or Path(temporary))
            with atomic_path(arguments.destination / "LIST.csv") as path, open(path, "w", newline="") as file:
                csv.writer(file).writerows([("name", "split", "package", "licence", "size"), *rows])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(rows)} photographs in {arguments.destination}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
