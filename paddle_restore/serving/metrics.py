"""Metrics of the service for Prometheus."""

from __future__ import annotations

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from paddle_restore.serving.pool import Pool

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def make(kind: type, name: str, what: str, labels: tuple[str, ...] = (), **options: object):
            return kind(f"paddle_restore_{name}", what, labels, registry=self._registry, **options)

        self._requests = make(Counter, "requests", "Answers, 499: the client left", ("route", "status"))
        self._answer = make(
            Histogram, "answer_seconds", "First byte to last, transfer included", ("route",), buckets=_SECONDS
        )
        self._work = make(
            Histogram, "work_seconds", "Reading, restoring, writing", ("task", "model"), buckets=_SECONDS
        )
        self._replaced = make(Counter, "workers_replaced", "Workers that ended and were replaced")
        self._open = make(Gauge, "requests_open", "Requests that wait, arrive, are worked on or answered")
        self._waiting = make(Gauge, "requests_waiting", "Requests that wait for a worker or a transfer")
        self._busy = make(Gauge, "workers_busy", "Workers that restore")
        self._alive = make(Gauge, "workers", "Workers that are alive")
        self._memory = make(Gauge, "resident_bytes", "Resident memory", ("process",))

    def count(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._answer.labels(route).observe(seconds)

    def worked(self, task: str, model: str, seconds: float) -> None:
        self._work.labels(task, model).observe(seconds)

    def replaced(self) -> None:
        self._replaced.inc()

    def text(self, pool: Pool, open_requests: int) -> bytes:
        """Return the current values as exposition text."""
        self._open.set(open_requests)
        self._waiting.set(max(0, open_requests - pool.busy))
        self._busy.set(pool.busy)
        alive = [worker for worker in pool.workers if worker.alive]
        self._alive.set(len(alive))
        self._memory.labels("service").set(psutil.Process().memory_info().rss)
        self._memory.labels("workers").set(sum(worker.resident() for worker in alive))
        return generate_latest(self._registry)
