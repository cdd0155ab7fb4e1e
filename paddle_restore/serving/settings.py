"""The settings of a service. This is the only place for its limits and their defaults."""

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

SILENT_SECONDS = 15  # after which a connection that sends no whole request is closed
SPARE_CONNECTIONS = 64  # that may be open beside those of the requests that are worked on or wait
CROWDED_CONNECTIONS = 256  # that are accepted above the limits, to be told so
CROWDED_SECONDS = 2  # as SILENT_SECONDS, for a connection of a client that has too many
MIN_BYTES_PER_SECOND = 50_000  # at which a client must read an answer, beside its `transfer_seconds`
MAX_PIPELINED = 16  # requests of a connection that come before the answer to the one before
MAX_RETRY_SECONDS = 60  # Retry-After of a full queue
MAX_HEADER_BYTES = 32768
MAX_FORM_PARTS = 20
MAX_FORM_HEADERS = 16  # of a part
MAX_FORM_HEADER_BYTES = 4096
MAX_FIELD_BYTES = 200  # of a form field that is not the file


@dataclass(frozen=True)
class Settings:
    """One service. Most fields are options of the command line, in the same units.

    model_dirs        exported folders; every worker process opens all of them
    workers           processes that restore, one request at a time each
    queue             requests that may wait, arrive or be answered beside those that are worked on
    max_mb            size of a request, in MB of 1,000,000 bytes
    max_mp            size of a picture or raw file in megapixels, read before it is decoded
    seconds           that a request may wait for a worker, and that a worker may take for it
    transfer_seconds  that a request's body may take, and that an answer may take beside its size by
                      MIN_BYTES_PER_SECOND
    worker_memory     GB of resident memory above which a worker is stopped and replaced
    memory            GB of working memory by which tiles are chosen
    threads           of each worker's network; None: the cores, shared among the workers
    token             bearer token that requests must carry, or None
    """

    model_dirs: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    queue: int = 16
    max_mb: int = 128
    max_mp: int = 64
    seconds: float = 120.0
    transfer_seconds: float = 60.0
    worker_memory: float = 4.0
    memory: float = BUDGET
    backend: Optional[str] = None
    device: str = "cpu"
    precision: str = "fp32"
    threads: Optional[int] = None
    token: Optional[str] = None

    def __post_init__(self) -> None:
        if not self.model_dirs:
            raise UserError("name at least one exported folder: --model_dir DIR")
        for name in ("workers", "max_mb", "max_mp", "seconds", "transfer_seconds", "worker_memory"):
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
    def max_bytes(self) -> int:
        """Bytes of a request."""
        return self.max_mb * 1_000_000

    @property
    def max_pixels(self) -> int:
        """Pixels of a picture or raw file."""
        return self.max_mp * 1_000_000

    @property
    def max_requests(self) -> int:
        """Requests that are worked on, wait, arrive or are answered."""
        return self.workers + self.queue

    @property
    def max_connections(self) -> int:
        """Connections of all clients."""
        return self.max_requests + SPARE_CONNECTIONS

    @property
    def max_client_connections(self) -> int:
        """Connections of one client address. A proxy is one; it can use the whole queue."""
        return self.max_requests + SPARE_CONNECTIONS // 2

    @property
    def max_accepted(self) -> int:
        """Connections that are accepted. Those above the limits get a refusal."""
        return self.max_connections + CROWDED_CONNECTIONS

    def to_json(self) -> str:
        """The settings for a worker. The token is left out: no worker needs it."""
        values = asdict(self)
        del values["token"]
        return json.dumps({**values, "model_dirs": [str(folder) for folder in self.model_dirs]})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        values = json.loads(text)
        return cls(**{**values, "model_dirs": tuple(map(Path, values["model_dirs"]))})
