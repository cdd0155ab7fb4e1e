"""A busy service: a full queue, clients that leave, progress, workers that the system ends."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from tests.serving.test_service import PICTURE

httpx = pytest.importorskip("httpx", reason="needs httpx: pip install 'paddle_restore[dev]'")

SLOW = {**PICTURE, "self_ensemble": "x8", "tile": "64"}


def in_background(call):
    """Start a request; return (thread, list that gets its answer)."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()), daemon=True)
    thread.start()
    return thread, answers


def test_a_full_queue_refuses_at_once_and_those_who_leave_make_room(service, files):
    content = (files / "slow.png").read_bytes()
    url = f"{service.url}/v1/restore"

    def leave():
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, params=SLOW, content=content, timeout=4)

    first, _ = in_background(leave)
    service.until("paddle_restore_workers_busy", 1)
    second, _ = in_background(leave)
    service.until("paddle_restore_requests_open", 2)
    start = time.monotonic()
    refused = service.post(params=PICTURE, content=content)
    assert time.monotonic() - start < 2
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    first.join()
    second.join()
    service.until("paddle_restore_requests_open", 0, seconds=5)
    # The worker stops within a window, and not after the whole picture.
    service.until("paddle_restore_workers_busy", 0, seconds=10)
    assert service.post(params=PICTURE, content=(files / "a.png").read_bytes()).status_code == 200
    assert not list(next(service.temporary.glob("paddle-restore-*")).iterdir())


def test_too_many_connections_are_told_so(service):
    host, port = service.url.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(70)]
    try:
        end = time.monotonic() + 10
        while (answer := service.client.get("/readyz")).status_code == 200 and time.monotonic() < end:
            time.sleep(0.05)
        assert (answer.status_code, list(answer.json())) == (503, ["error"])
        assert int(answer.headers["retry-after"]) > 0
        assert service.client.get("/healthz").status_code == 200
    finally:
        for connection in silent:
            connection.close()
    end = time.monotonic() + 10
    while service.client.get("/readyz").status_code != 200 and time.monotonic() < end:
        time.sleep(0.05)
    assert service.client.get("/readyz").status_code == 200


def test_progress(service, files):
    content, id = (files / "slow.png").read_bytes(), "0123456789abcdef"
    call = lambda: service.post(params=SLOW, content=content, headers={"X-Request-Id": id})  # noqa: E731
    thread, answers = in_background(call)
    seen, left = set(), []
    with httpx.Client(base_url=service.url) as client:
        while thread.is_alive():
            answer = client.get(f"/v1/progress/{id}")
            if answer.status_code == 200 and answer.json()["state"] == "working":
                seen.add((answer.json()["done"], answer.json()["total"]))
                left.append(answer.json()["seconds_left"])
            time.sleep(0.05)
        assert client.get(f"/v1/progress/{id}").status_code == 404
    assert answers[0].status_code == 200
    assert len(seen) > 3
    known = [seconds for seconds in left if seconds is not None]
    assert len(known) > 3
    assert 0 <= known[-1] < max(known)
    bad = service.post(params=PICTURE, content=content, headers={"X-Request-Id": "../x"})
    assert (bad.status_code, bad.json()["error"][:12]) == (422, "X-Request-Id")


def test_a_killed_worker_is_replaced(service, files):
    content = (files / "slow.png").read_bytes()
    before = service.metric("paddle_restore_workers_replaced_total")
    thread, answers = in_background(lambda: service.post(params=SLOW, content=content))
    service.until("paddle_restore_workers_busy", 1)
    for pid in service.worker_pids():
        os.kill(pid, signal.SIGKILL)
    thread.join(10)
    assert answers[0].status_code == 503
    assert "was ended by the system" in answers[0].json()["error"]
    assert service.client.get("/readyz").status_code == 503
    service.until("paddle_restore_workers", 1, seconds=60)
    assert service.metric("paddle_restore_workers_replaced_total") == before + 1
    assert service.client.get("/readyz").status_code == 200
    assert service.post(params=PICTURE, content=(files / "a.png").read_bytes()).status_code == 200
