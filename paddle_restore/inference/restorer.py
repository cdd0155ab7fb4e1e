"""Files in, pictures out, whatever runs the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

import numpy as np

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.exposures import network_input
from paddle_restore.data.image import PLAIN, Form, is_picture, read_image, read_with_form, to_float
from paddle_restore.data.raw import develop, read_raw, upright, warn_of_black_level
from paddle_restore.inference.forward import Averaging, Network, restore_frame
from paddle_restore.inference.package import Preprocess
from paddle_restore.models.spec import ModelSpec


@dataclass(frozen=True)
class Restored:
    """A finished picture: (H, W, 3) float32 in [0, 1], upright, and the ratio that was used (raw only).

    `form` is the input picture's depth, greyness and alpha channel: `form.shape(picture)` is the
    picture in them.
    """

    picture: np.ndarray
    ratio: Optional[float]
    form: Form = PLAIN


@dataclass(frozen=True)
class Restorer:
    """A network with what it needs to take files: raw files or pictures, by its spec."""

    network: Network
    spec: ModelSpec
    preprocess: Preprocess
    averaging: Averaging = Averaging()  # noqa: RUF009  frozen

    def restore(self, path: Union[str, Path], ratio: Optional[float] = None) -> Restored:
        """Restore one file. `ratio` None estimates a raw file's amplification from the file alone.

        Raises UserError for files that cannot be read or are of another kind than the network's.
        """
        frame = self.read(Path(path), ratio)
        return self.finish(frame, self.run(frame))

    # The three steps apart, for those who time them.

    def read(self, path: Path, ratio: Optional[float] = None) -> Frame:
        """Decode a file into the network's input."""
        if not self.spec.raw:
            picture, form = read_with_form(path)
            image = to_float(picture).transpose(2, 0, 1)
            return Frame(np.ascontiguousarray(image), image.shape[1:], form=form)
        raw = read_raw(path)
        warn_of_black_level(raw, self.preprocess.black_level)
        raw = raw.with_levels(self.preprocess.black_level, self.preprocess.white_level)
        if ratio is None:
            ratio = estimate_ratio(*raw.histogram(), m=self.preprocess.amplifier_m)
        grown, offset = raw.extended()
        data = network_input(grown, self.spec.input, ratio)
        return Frame(data, raw.mosaic.shape, offset, raw.orientation, ratio)

    def run(self, frame: Frame) -> np.ndarray:
        """Return the network's picture of a frame, (3, H, W), not yet cropped or turned."""
        return restore_frame(self.network, self.spec, frame.data, self.averaging)

    def finish(self, frame: Frame, output: np.ndarray) -> Restored:
        """Crop to the file's own size and turn the picture upright."""
        (top, left), (height, width) = frame.offset, frame.size
        picture = output[:, top : top + height, left : left + width].transpose(1, 2, 0)
        return Restored(np.ascontiguousarray(upright(picture, frame.orientation)), frame.ratio, frame.form)

    def target(self, path: Path) -> np.ndarray:
        """Read a reference picture, (H, W, 3) float32: a picture, or a raw file that LibRaw develops."""
        if is_picture(path):
            return to_float(read_image(path))
        raw = read_raw(path)
        return to_float(upright(develop(path), raw.orientation))

    def known_ratio(self, path: Path, target: Path) -> Optional[float]:
        """Return long over short exposure time, at most `max_ratio`, where both raw files say it.

        None where they do not, and for a network that was trained on estimated ratios.
        """
        if not self.spec.raw or is_picture(target) or self.preprocess.ratio == "auto":
            return None
        short, long = read_raw(path).exposure_time, read_raw(target).exposure_time
        return min(long / short, self.preprocess.max_ratio) if short > 0 and long > 0 else None


@dataclass(frozen=True)
class Frame:
    """A decoded file: the network's input, and how to get from its output to the file's picture."""

    data: np.ndarray
    size: tuple[int, int]
    offset: tuple[int, int] = (0, 0)
    orientation: int = 0
    ratio: Optional[float] = None
    form: Form = PLAIN
