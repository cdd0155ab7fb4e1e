"""A worker process: opens the models, then processes one request after the other.

Requests come on stdin as lines of JSON. On stdout go {"ready"} or {"failed"} once, then for each request
{"progress": [done, total, seconds left]} and at last {"done"}, {"error", "status"} or {"cancelled"}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import resource
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from paddle_restore.errors import UserError
from paddle_restore.inference.restorer import Restorer
from paddle_restore.serving.catalogue import find_model
from paddle_restore.serving.processing import Cancelled, Models, RestoreRequest, describe_error, process
from paddle_restore.serving.settings import Settings

Send = Callable[..., None]


def main() -> int:
    settings = Settings.from_json(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the answers

    def send(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    # Libraries' warnings of hostile files would fill the log. Our own warnings are for the file's owner.
    warnings.simplefilter("ignore")
    _end_first()
    requests: queue.SimpleQueue[RestoreRequest] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    try:
        models = Models(_open(settings))
    except UserError as error:
        send(failed=str(error))
        return 2
    send(ready=True)
    while True:
        _answer(settings, models, requests.get(), send)


def _listen(requests: queue.SimpleQueue[RestoreRequest]) -> None:
    for line in sys.stdin:
        requests.put(RestoreRequest(**json.loads(line)))
    os._exit(0)  # the service is gone; do not finish the request


def _end_first() -> None:
    """Where memory runs out, let the system end a worker, which is replaced, and not the service."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _open(settings: Settings) -> dict[str, Restorer]:
    cores = len(os.sched_getaffinity(0))
    return {
        name: Restorer(
            folder,
            backend=settings.backend,
            precision=settings.precision,
            device=settings.device,
            memory=settings.memory,
            threads=settings.threads or max(1, cores // settings.workers),
        )
        for name, folder, _ in map(find_model, settings.model_dirs)
    }


def _answer(settings: Settings, models: Models, request: RestoreRequest, send: Send) -> None:
    answer: dict[str, Any]
    try:
        result = process(models, request, settings, lambda *counts: send(progress=counts))
        answer = {"done": asdict(result)}
    except Cancelled:
        answer = {"cancelled": True}
    except Exception as error:
        if request.cancelled:
            answer = {"cancelled": True}
        else:
            status, line = describe_error(error, request)
            if status == 500:
                traceback.print_exc()
            answer = {"error": line, "status": status}
    if psutil.Process().memory_info().rss > settings.worker_memory * 1e9 / 2:
        _return_memory()
    send(**answer)


def _return_memory() -> None:
    """Return freed memory to the system. glibc would keep it, in each worker as much as its largest picture.

    Not after every picture: the next one would have to ask for all its pages again.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    sys.exit(main())
