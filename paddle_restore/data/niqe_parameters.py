"""The mean and covariance of undistorted photographs' features, which NIQE measures against."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paddle_restore.data.matlab import read_arrays
from paddle_restore.errors import UserError, line_of

FEATURES = 36
_MAX_BYTES = 1 << 20  # the published files have 11 kB
# Names in the authors' release (.mat), and in OpenMMLab and BasicSR (.npz).
_NAMES = (("mu_prisparam", "cov_prisparam"), ("mu_pris_param", "cov_pris_param"))


@dataclass(frozen=True)
class NIQEParameters:
    """`mean` (36,), `covariance` (36, 36), and `name`, which tells files with other numbers apart."""

    mean: np.ndarray
    covariance: np.ndarray
    name: str


def read_niqe_parameters(path: Path) -> NIQEParameters:
    """Read a .mat file (up to MATLAB 7.2) or an .npz. Raises UserError for other files."""
    try:
        data = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); see docs/metrics.md") from None
    try:
        names = [name for pair in _NAMES for name in pair]
        arrays = _read_npz(data) if data.startswith(b"PK") else read_arrays(data, names)[0]
    except Exception as error:  # NumPy raises anything for a broken file
        raise UserError(f"{path}: is no .npz nor .mat file up to version 7.2 ({line_of(error)})") from None
    for mean, covariance in _NAMES:
        if mean in arrays and covariance in arrays:
            found = np.asarray(arrays[mean]), np.asarray(arrays[covariance])
            break
    else:
        raise UserError(f"{path}: holds neither {_NAMES[0][0]} nor {_NAMES[1][0]}; see docs/metrics.md")
    good = all(array.dtype.kind == "f" and np.isfinite(array).all() for array in found)
    if not good or found[0].size != FEATURES or found[1].shape != (FEATURES, FEATURES):
        shapes = [array.shape for array in found]
        raise UserError(f"{path}: expected finite numbers of shapes (1, 36) and (36, 36), got {shapes}")
    digest = hashlib.sha256(data).hexdigest()[:12]
    return NIQEParameters(
        found[0].astype(float).ravel(), found[1].astype(float), f"{path.name} sha256 {digest}"
    )


def _read_npz(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            if member.file_size > _MAX_BYTES:  # a small file may unpack to gigabytes
                raise ValueError(f"{member.filename} is too large")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)
