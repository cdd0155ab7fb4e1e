"""A service's start and end: tokens, limits of time and memory, SIGTERM, mistakes of whoever starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from paddle_restore.data.image import read_image, write_image
from tests.serving.conftest import Running, httpx

TOKEN = "0123456789abcdef0123"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}


def test_a_token_and_sigterm(exported, files, tmp_path):
    running = Running(("--model_dir", exported / "mirnet", "--queue", 2), token=TOKEN, temporary=tmp_path)
    assert running.url, running.errors
    try:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/v1/models", "/metrics", "/v1/progress/12345678", "/openapi.json"):
                answer = running.client.get(path, headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert running.client.get("/readyz").status_code == 200
        assert running.client.get("/").status_code == 200
        assert running.post(content=b"x" * 5_000_000).status_code == 401
        running.client.headers.update(AUTHORISED)
        assert running.client.get("/v1/models").status_code == 200

        slow = (files / "slow.png").read_bytes()
        answers = []
        options = {"self_ensemble": "x8"}
        thread = threading.Thread(target=lambda: answers.append(running.post(params=options, content=slow)))
        thread.start()
        running.until("paddle_restore_workers_busy", 1)
        workers = running.worker_pids()
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        late = running.post(content=slow)
        assert (late.status_code, late.json()["error"][:32]) == (503, "the service is shutting down; tr")
        assert int(late.headers["retry-after"]) > 0
        assert running.client.get("/readyz").status_code == 503
        thread.join(60)
        assert answers[0].status_code == 200
        assert running.process.wait(20) == 0
        assert not any(psutil.pid_exists(pid) for pid in workers)
        assert not list(tmp_path.iterdir())
        assert not [line for line in running.errors if TOKEN in line or "Traceback" in line]
    finally:
        running.process.kill()


def test_without_a_model_dir_the_shipped_models_are_served(shipped, files):
    running = Running(())
    assert running.started.startswith(f"serving {shipped.name}, denoise_raw at http"), running.errors
    try:
        content = (files / "a.png").read_bytes()
        answer = running.post(params={"strength": "0"}, content=content)
        assert (answer.status_code, answer.headers["x-model"]) == (200, shipped.name)
        (tmp := files / "same.png").write_bytes(answer.content)
        np.testing.assert_array_equal(read_image(tmp), read_image(files / "a.png"))
        assert running.post(content=content).headers["x-strength"] == "1"
    finally:
        assert running.stop() == 0


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_does_not_wait_and_leaves_no_file(exported, files, tmp_path, kind):
    running = Running(("--model_dir", exported / "mirnet"), temporary=tmp_path)
    assert running.url, running.errors
    try:
        answers, slow = [], (files / "slow.png").read_bytes()
        options = {"self_ensemble": "x8", "tile": "64"}
        threads = [
            threading.Thread(target=lambda: answers.append(running.post(params=options, content=slow)))
            for _ in range(2)  # one at work, one that waits
        ]
        for thread in threads:
            thread.start()
        running.until("paddle_restore_requests_open", 2)
        running.until("paddle_restore_workers_busy", 1)
        running.process.send_signal(kind)
        time.sleep(0.3)
        running.process.send_signal(kind)
        assert running.process.wait(10) == 0
        for thread in threads:
            thread.join(10)
        assert [(a.status_code, "was stopped" in a.json()["error"]) for a in answers] == [(503, True)] * 2
        assert not list(tmp_path.iterdir())
        assert not [line for line in running.errors if "Traceback" in line]
    finally:
        running.process.kill()


def test_sigterm_before_the_models_are_open_leaves_no_folder(exported, tmp_path):
    running = Running(("--model_dir", exported / "mirnet"), temporary=tmp_path, wait=False)
    try:
        end = time.monotonic() + 60
        while not list(tmp_path.iterdir()) and time.monotonic() < end:
            time.sleep(0.02)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0
        assert not list(tmp_path.iterdir())
    finally:
        running.process.kill()


def test_the_folder_of_a_killed_service_is_removed_at_the_next_start(exported, files, tmp_path):
    def start():
        running = Running(("--model_dir", exported / "mirnet"), temporary=tmp_path)
        assert running.url, running.errors
        return running, {path for path in tmp_path.iterdir() if path.is_dir()}

    killed, first = start()
    options = {"self_ensemble": "x8", "tile": "64"}
    content = (files / "slow.png").read_bytes()
    sending = threading.Thread(
        target=lambda: suppressed(lambda: killed.post(params=options, content=content)), daemon=True
    )
    sending.start()
    killed.until("paddle_restore_workers_busy", 1)
    killed.process.kill()
    killed.process.wait(10)
    (left,) = first
    assert list(left.rglob("upload*"))
    (tmp_path / "paddle-restore-link").symlink_to(files)  # not a folder of ours
    second, both = start()
    try:
        assert left not in both
        third, all_three = start()  # a running service keeps its folder
        assert both - {tmp_path / "paddle-restore-link"} < all_three
        assert third.stop() == 0
    finally:
        second.stop()
    assert (files / "a.png").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["paddle-restore-link"]


def suppressed(call):
    with contextlib.suppress(httpx.HTTPError):
        call()


def test_time_is_limited(exported, files):
    running = Running(("--model_dir", exported / "mirnet", "--seconds", 2))
    assert running.url, running.errors
    try:
        (worker,) = running.worker_pids()
        os.kill(worker, signal.SIGSTOP)  # it stalls, as on a machine that swaps
        slow = running.post(content=(files / "a.png").read_bytes())
        assert slow.status_code == 503
        assert "took longer than the 2 seconds" in slow.json()["error"]
        assert slow.json()["error"].endswith("send a smaller picture")  # and not what was not asked for
        running.until("paddle_restore_workers", 1, seconds=60)
        assert running.post(content=(files / "a.png").read_bytes()).status_code == 200
    finally:
        running.process.kill()


def test_what_cannot_be_done_in_time_is_refused_at_once(exported, files, tmp_path):
    write_image(tmp_path / "large.png", np.zeros((3000, 4000, 3)))
    words = ("--model_dir", f"good={exported / 'mirnet'}", f"other={exported / 'mirnet'}", "--seconds", 3)
    running = Running(words, temporary=tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    assert running.started.startswith("serving good, other at http"), running.errors
    try:
        for options, advice in (({}, ""), ({"self_ensemble": "x8"}, ", or leave self_ensemble away")):
            start = time.monotonic()
            content = (tmp_path / "large.png").read_bytes()
            answer = running.post(params={"model": "good", **options}, content=content)
            assert time.monotonic() - start < 3
            line = answer.json()["error"]
            assert answer.status_code == 413, line
            assert re.search(
                r"has 4000x3000 pixels, for which good needs about \d+ (seconds|minutes) here", line
            )
            assert re.search(rf"smaller picture of at most [\d.]+ million pixels{advice}$", line)
        assert running.metric("paddle_restore_workers_replaced_total") == 0
        answer = running.post(params={"model": "other"}, content=(files / "a.png").read_bytes())
        assert (answer.status_code, answer.headers["x-model"]) == (200, "other")
    finally:
        running.process.kill()


def test_another_model_that_is_fast_enough_is_named():
    from paddle_restore.serving.problem import Problem
    from paddle_restore.serving.processing import Models, RestoreRequest

    def model(per_pixel, raw=False):
        spec = SimpleNamespace(raw=raw)
        return SimpleNamespace(
            spec=spec, forward=SimpleNamespace(spec=spec, work=lambda h, w: h * w * per_pixel)
        )

    models = Models.__new__(Models)
    models._restorers = {"slow": model(40), "fast": model(1), "slower": model(90), "raw": model(1, raw=True)}
    models._per_pixel = dict.fromkeys(models._restorers, 1e-6)
    request = RestoreRequest("restore", "slow", "/x/upload.png", "a.png")
    models.check_time(request, models["slow"].forward, (2000, 2000), 120)  # 160 s: perhaps
    with pytest.raises(Problem) as caught:
        models.check_time(request, models["slow"].forward, (3000, 4000), 120)
    assert str(caught.value) == (
        "/x/upload.png: has 4000x3000 pixels, for which slow needs about 8 minutes here, and a request may "
        "take 120 seconds; send a smaller picture of at most 3 million pixels, or choose fast, which takes "
        "about 12 seconds"
    )
    models.note("slow", 60.0, 100)  # a slow run may be chance
    assert models.seconds("slow", models["slow"].forward, (1000, 1000)) == 40
    models.note("slow", 1.0, 2_000_000)
    assert models.seconds("slow", models["slow"].forward, (1000, 1000)) == 20


def test_memory_is_limited(exported, tmp_path):
    write_image(tmp_path / "large.png", np.zeros((1500, 2000, 3)))
    running = Running(("--model_dir", exported / "mirnet", "--worker_memory", 1, "--memory", 20))
    assert running.url, running.errors
    try:
        large = running.post(content=(tmp_path / "large.png").read_bytes())
        assert large.status_code == 503
        assert "needed more than the 1.0 GB of memory" in large.json()["error"]
        running.until("paddle_restore_workers", 1, seconds=60)
    finally:
        running.process.kill()


def test_workers_end_with_the_service(exported):
    running = Running(("--model_dir", exported / "mirnet"))
    workers = running.worker_pids()
    assert len(workers) == 1
    running.process.kill()
    _, left = psutil.wait_procs([psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], 10)
    assert not left


@pytest.mark.parametrize(
    ("words", "token", "message"),
    [
        (("--model_dir", "a b=nothing"), None, "the name before = has 1 to 100 letters"),
        (("--model_dir", "a=nothing"), None, "nothing: is not an exported model"),
        (("--model_dir", "nothing"), None, "nothing: is not an exported model"),
        (("--model_dir", "MODEL", "MODEL"), None, "is the second model with the name 'mirnet_v2_small'"),
        (("--model_dir", "MODEL", "--port", "TAKEN"), None, "cannot listen there (Address already in use)"),
        (("--model_dir", "MODEL", "--port", "70000"), None, "--port"),
        (("--model_dir", "MODEL", "--seconds", "0"), None, "--seconds must be above 0"),
        (("--model_dir", "MODEL", "--queue", "-1"), None, "--queue must be 0 or more"),
        (("--model_dir", "MODEL", "--port", "x"), None, "--port: must be a whole number from 0 to 65535"),
        (("--model_dir", "MODEL", "--worker_memory", "nan"), None, "--worker_memory must be above 0"),
        (("--model_dir", "MODEL", "--worker_memory", "0.05"), None, "as soon as its models are open"),
        (("--model_dir", "MODEL"), "short", "must have at least 16 ASCII characters"),
        (("--model_dir", "MODEL"), "", "must have at least 16 ASCII characters"),
        (("--model_dir", "MODEL"), f"{TOKEN} ", "must have at least 16 ASCII characters and no space"),
        (("--model_dir", "MODEL", "--backend", "eager"), None, "runs without the network's code"),
    ],
)
def test_mistakes_at_the_start_are_one_line(exported, words, token, message):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        known = {"MODEL": exported / "mirnet", "TAKEN": taken.getsockname()[1]}
        running = Running([known.get(word, word) for word in words], token=token)
        assert running.process.wait(60) == 2
    time.sleep(0.2)
    lines = [line for line in running.errors if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not [line for line in running.errors if "Traceback" in line]
