"""What a service is started with, and its limits: nothing in it is unbounded."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from paddle_restore.errors import UserError
from paddle_restore.inference.tiling import BUDGET

TOKEN = "PADDLE_RESTORE_TOKEN"
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """One service.

    model_dirs        exported folders; every worker process opens all of them
    workers           processes that restore, one request at a time each
    queue             requests that may wait (or be on their way in or out) beside those that are worked on
    max_body          bytes of a request
    max_pixels        pixels of a picture or raw file, known before it is decoded
    seconds           that a request may wait for a worker, and that a worker may take for it
    transfer_seconds  that a request's body may take, and that an answer may stand still
    worker_memory     bytes of resident memory at which a worker is stopped and replaced
    memory            GB of working memory by which tiles are chosen
    threads           of each worker's network; None: the cores, shared among the workers
    token             bearer token that requests must carry, or None
    """

    model_dirs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    queue: int = 16
    max_body: int = 128 << 20
    max_pixels: int = 64_000_000
    seconds: float = 120.0
    transfer_seconds: float = 60.0
    worker_memory: float = 4e9
    memory: float = BUDGET
    backend: Optional[str] = None
    device: str = "cpu"
    precision: str = "fp32"
    threads: Optional[int] = None
    token: Optional[str] = None

    def __post_init__(self) -> None:
        if not self.model_dirs:
            raise UserError("name at least one exported folder: --model_dir DIR")
        for name in ("workers", "max_body", "max_pixels", "seconds", "transfer_seconds", "worker_memory"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name} must be above 0, not {getattr(self, name)}")
        if self.queue < 0:
            raise UserError(f"--queue must be 0 or more, not {self.queue}")
        if self.token is not None and not re.fullmatch(r"[!-~]{16,}", self.token):
            raise UserError(
                f"{TOKEN} must have at least 16 ASCII characters and no space (openssl rand -hex 32 makes "
                "one); unset it for none"
            )

    @property
    def max_connections(self) -> int:
        """Those that have or may get a place, and some for whoever asks how it goes."""
        return self.workers + self.queue + 64

    def for_worker(self) -> str:
        """The settings as a line of JSON, without the token, which no worker needs."""
        values = asdict(self)
        del values["token"]
        return json.dumps({**values, "model_dirs": [str(folder) for folder in self.model_dirs]})

    @classmethod
    def of_line(cls, line: str) -> Settings:
        values = json.loads(line)
        return cls(**{**values, "model_dirs": tuple(map(Path, values["model_dirs"]))})
