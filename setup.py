"""Package metadata. Lower bounds are the oldest with what we use, upper ones the next major version."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "paddle_restore/__init__.py").read_text(encoding="utf-8")
)[1]

setup(
    name="paddle_restore",
    version=VERSION,
    description="Image restoration with PaddlePaddle, from the sensor to the shipped model",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9",
    packages=[*find_packages(include=["paddle_restore", "paddle_restore.*"]), "paddle_restore.configs"],
    package_dir={"paddle_restore.configs": "configs"},
    package_data={
        "paddle_restore": ["py.typed"],
        "paddle_restore.configs": ["*/*.yml"],
        "paddle_restore.serving": ["page/*"],
        "paddle_restore.shipped": ["*/*"],
    },
    entry_points={"console_scripts": ["paddle-restore = paddle_restore.__main__:main"]},
    install_requires=[
        "numpy>=1.22,<2.4",  # 2.4 breaks paddle.flops and float() of shape tensors in Paddle 3.3
        "opencv-python-headless>=4.8,<6",  # not opencv-python, which links the system's libGL
        "Pillow>=11.3,<14",  # the first with AVIF
        "pi-heif>=1.0,<2",  # reads HEIC; decoder only, LGPL
        "psutil>=5.9,<8",
        "pydantic>=2.5,<3",
        "PyYAML>=6,<7",
        "rawpy>=0.27,<1",  # exposure and ISO; 0.26.0 ignores black levels per colour
        "safetensors>=0.4,<1",
        "tabulate>=0.9,<1",
        "tifffile>=2024.8",  # named by date, without major versions
        "tqdm>=4.60,<5",
        "visualdl>=2.5,<3",
    ],
    extras_require={
        "cpu": ["paddlepaddle>=2.6.2,<3.4"],
        # The newest one on PyPI is 2.6.2. It is tested with NumPy 1, and on Python 3.12 it imports
        # setuptools without asking for it.
        "gpu": ["paddlepaddle-gpu>=2.6.2,<3.4", "numpy<2; python_version<'3.13'", "setuptools"],
        "paddle26": ["paddlepaddle==2.6.2", "numpy<2", "setuptools"],
        # To run ONNX graphs, and (where paddle2onnx has wheels, which pin onnx) to export them.
        "onnx": [
            "onnxruntime>=1.17,<2",
            "onnx>=1.16.1,<1.18; python_version < '3.13'",
            "paddle2onnx>=2.1,<2.2; python_version < '3.13'",
        ],
        "serve": [
            "fastapi>=0.115,<1",
            "prometheus-client>=0.20,<1",
            "python-multipart>=0.0.13,<1",
            "uvicorn>=0.30,<1",
        ],
        # 2025.3, the last for Python 3.9, does not read Lamba's graph.
        "openvino": ["openvino>=2025.4,<2027; python_version >= '3.10'"],
        # More compressions of TIFF, JPEG XL, and AVIF of 10 and 12 bits. Named by date.
        "formats": ["imagecodecs>=2024.9"],
        "completion": ["shtab>=1.7,<2"],  # commands and options in a shell; it writes a script
        "docs": ["pdoc>=14.7,<17"],  # for tools/api_pages.py; small, MIT-0
        "align": ["reprod_log>=1.0.1,<2"],
        "demo": ["scikit-image>=0.21,<1"],  # its wheel carries the photographs of the demo data
        "sidd": ["scipy>=1.9,<2"],  # writes the .mat file of a submission to SIDD's benchmark
        # More tests of the service: its page in a Chromium of the system, requests made of its document.
        "browser": ["playwright>=1.40,<2"],
        "fuzz": ["schemathesis>=4,<5; python_version >= '3.10'"],
        "dev": [
            "build>=1,<2",
            "httpx>=0.27,<1",  # asks the service
            "imagecodecs>=2024.9",
            "mypy>=1.11,<3",
            "pre-commit>=3.5,<5",
            "pytest>=7.4,<10",
            "ruff>=0.5,<1",
            "scikit-image>=0.21,<1",
            "scipy>=1.9,<2",
            "shtab>=1.7,<2",
            "twine>=5,<7",
        ],
    },
)
