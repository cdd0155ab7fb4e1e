"""A worker process: opens the models, then does one job after the other.

Talks in lines of JSON: jobs come on stdin; on stdout {"ready"} or {"failed"} once, then for each job
{"progress": [done, all]} and at last {"done"}, {"error", "status"} or {"cancelled"}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import queue
import resource
import sys
import threading
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from paddle_restore.errors import UserError
from paddle_restore.inference.package import read_package
from paddle_restore.inference.restorer import Restorer
from paddle_restore.serving.jobs import Cancelled, Job, perform, public, status_of
from paddle_restore.serving.settings import Settings


def main() -> int:
    settings = Settings.of_line(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between the answers

    def send(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    # What libraries say of hostile files would fill the log, and our own advice is for whoever has the file.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    _be_first_to_go()
    jobs: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    try:
        restorers = _open(settings)
    except UserError as error:
        send(failed=str(error))
        return 2
    send(ready=True)
    while True:
        _do(settings, restorers, jobs.get(), send)


def _listen(jobs: queue.SimpleQueue) -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)  # the service is gone, whatever this worker is doing


def _be_first_to_go() -> None:
    """Where memory runs out, the system shall end a worker, which is replaced, and not the service."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _open(settings: Settings) -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0))
    options = {
        "backend": settings.backend,
        "precision": settings.precision,
        "device": settings.device,
        "memory": settings.memory,
        "threads": settings.threads or max(1, cores // settings.workers),
    }
    return {read_package(folder).name: Restorer(folder, None, **options) for folder in settings.model_dirs}


def _do(settings: Settings, restorers: dict[str, Any], values: dict[str, Any], send: Any) -> None:
    job = Job(**values)
    try:
        done = perform(
            restorers[job.model],
            job,
            settings.max_pixels,
            settings.memory,
            lambda count, total: send(progress=[count, total]),
        )
        answer = {"done": asdict(done)}
    except Cancelled:
        answer = {"cancelled": True}
    except Exception as error:
        if job.cancelled:
            answer = {"cancelled": True}
        else:
            status, text = status_of(error)
            if status == 500:
                traceback.print_exc()
            answer = {"error": public(UserError(text), job), "status": status}
    if psutil.Process().memory_info().rss > settings.worker_memory / 2:
        _give_back_memory()
    send(**answer)


def _give_back_memory() -> None:
    """Return what a large picture took to the system: glibc would keep it, and each worker its largest.

    Not after every picture: the next one would have to ask for all its pages again.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    sys.exit(main())
