"""Importing the package changes no setting of others, and inference does not import what training needs."""

from __future__ import annotations

from tests.package import run_python

SETTINGS = """
import concurrent.futures.thread, logging, os, pkgutil, random, sys, warnings
from importlib import import_module

import cv2, numpy, paddle, PIL.Image, pydantic, rawpy, tifffile, tqdm, yaml

opencv_log = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2
forks = []
os.register_at_fork = lambda **handlers: forks.append(handlers)


def settings():
    log = logging.getLogger("tifffile")
    tiff = log.level, log.propagate, log.disabled, list(log.handlers), list(log.filters)
    return opencv_log.getLogLevel(), tiff, list(warnings.filters), list(forks), logging.root.handlers[:]


before = settings()
import paddle_restore.data
names = [m.name for m in pkgutil.walk_packages(paddle_restore.data.__path__, "paddle_restore.data.")]
for name in names:
    import_module(name)
assert settings() == before, (before, settings())
print(len(names))

from paddle_restore.data.image import read_image, write_image
from paddle_restore.errors import UserError
write_image("a.png", numpy.zeros((4, 4, 3)))
read_image("a.png")
open("b.tif", "wb").write(b"II*\\0" + b"\\xff" * 99)
try:
    read_image("b.tif")
except UserError:
    pass
assert settings() == before, (before, settings())
"""

TRAINING = """
import sys
import paddle_restore.inference.restorer

wrong = ("cache", "datasets", "exposures", "synthetic", "survey", "sidd", "batches")
print([name for name in sys.modules if name.startswith(tuple(f"paddle_restore.data.{w}" for w in wrong))])
"""


def test_importing_and_reading_leave_the_settings_of_libraries_alone(tmp_path):
    assert int(run_python(SETTINGS, tmp_path)) > 20


def test_inference_imports_nothing_that_only_training_needs(tmp_path):
    assert run_python(TRAINING, tmp_path) == "[]\n"
