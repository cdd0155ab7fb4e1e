"""Connections: clients that do not read, floods, pipelining, one client's share, framing, delays."""

from __future__ import annotations

import http.client
import re
import resource
import signal
import socket
import statistics
import time
from collections import Counter
from types import SimpleNamespace

import psutil
import pytest

from paddle_restore.serving.connections import Connections, client_name
from paddle_restore.serving.settings import MAX_PIPELINED, Settings
from tests.conftest import ROOT
from tests.serving.conftest import Running
from tests.serving.test_service import PICTURE

httpx = pytest.importorskip("httpx", reason="needs httpx: pip install 'paddle_restore[dev]'")


def address(running):
    host, port = running.url.removeprefix("http://").split(":")
    return host, int(port)


def another_client(running):
    """A client of another address: Linux answers at all of 127.0.0.0/8."""
    return httpx.Client(
        base_url=running.url, timeout=30, transport=httpx.HTTPTransport(local_address="127.0.0.2")
    )


def that_does_not_read(running, requests):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(address(running))
    connection.sendall(b"GET /example.dng HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * requests)
    return connection


def test_clients_that_do_not_read_lose_their_connections(exported, files):
    words = ("--model_dir", exported / "mirnet", "--queue", 1, "--transfer_seconds", 1)
    running = Running(words)
    assert running.url, running.errors
    stalled = []
    try:
        running.client.get("/example.dng")
        running.client.close()
        stalled = [that_does_not_read(running, 40 if number % 2 else 1) for number in range(70)]
        content = (files / "a.png").read_bytes()
        with another_client(running) as other:  # has its own share
            assert other.get("/readyz").status_code == 200
            assert other.post("/v1/restore", params=PICTURE, content=content).status_code == 200
        start = time.monotonic()
        with httpx.Client(base_url=running.url, timeout=30) as client:
            refused = client.get("/readyz", headers={"Connection": "close"})
            assert (refused.status_code, "from your address" in refused.json()["error"]) == (503, True)
            assert client.get("/healthz", headers={"Connection": "close"}).status_code == 200
            while client.get("/readyz", headers={"Connection": "close"}).status_code != 200:
                assert time.monotonic() - start < 60
                time.sleep(0.5)
            answer = client.post("/v1/restore", params=PICTURE, content=content)
            assert answer.status_code == 200
        assert not [line for line in running.errors if "Traceback" in line]
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
    finally:
        for connection in stalled:
            connection.close()
        running.process.kill()


def test_a_flood_of_connections_stops_at_the_limit_of_files(exported):
    running = Running(("--model_dir", exported / "mirnet", "--queue", 1), max_files=256)
    assert running.url, running.errors
    silent, before = [], sum(psutil.Process(running.process.pid).cpu_times()[:2])
    try:
        silent = [socket.create_connection(address(running), timeout=5) for _ in range(290)]
        start = time.monotonic()
        # Some of the flood still wait to be accepted, and this one waits behind them.
        assert httpx.get(f"{running.url}/healthz", timeout=10).status_code == 200
        assert time.monotonic() - start < 8
        assert sum(psutil.Process(running.process.pid).cpu_times()[:2]) - before < 2
        warnings = [line for line in running.errors if "connections are open" in line]
        assert len(warnings) == 1
        assert len(running.errors) == 1, running.errors[:5]
        assert running.process.poll() is None
    finally:
        for connection in silent:
            connection.close()
        running.process.kill()


def test_too_few_files_for_the_queue_is_one_line(exported):
    running = Running(("--model_dir", exported / "mirnet", "--queue", 200), max_files=256)
    assert running.process.wait(60) == 2
    time.sleep(0.2)
    assert [line for line in running.errors if line.startswith("error: 256 files may be open")]


def test_pipelined_requests_are_bounded(service):
    with socket.create_connection(address(service), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 500)
        answers = b""
        try:
            while part := connection.recv(65536):
                answers += part
        except ConnectionResetError:  # the requests that nobody has read
            pass
    assert 1 <= answers.count(b"HTTP/1.1 200") <= MAX_PIPELINED + 1


def test_a_kept_connection_does_not_wait(service):
    """Without TCP_NODELAY each answer on it takes 40 ms: its second part waits for the client's ACK."""
    connection, seconds = http.client.HTTPConnection(*address(service)), []
    for _ in range(21):
        start = time.perf_counter()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        seconds.append(time.perf_counter() - start)
    connection.close()
    assert statistics.median(seconds) < 0.03


@pytest.mark.parametrize("path", ["/v1/restore", "/healthz"])
def test_two_lengths_of_one_body_are_refused(service, path):
    """A proxy may read the other one and take the rest of the body for a request of its own."""
    smuggled = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {5 + len(smuggled)}\r\n"
    with socket.create_connection(address(service), timeout=10) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"not both" in answer
    assert answer.count(b"HTTP/1.1") == 1


def test_no_redirect_to_a_host_that_the_client_names(service):
    for path in ("/healthz/", "/v1/models/", "/page", "/page/"):
        answer = service.client.get(path, headers={"Host": "localhost"})
        assert (answer.status_code, "location" in answer.headers) == (404, False), path


class Fake:
    """A connection that is not one."""

    crowded = False

    def __init__(self, name, cycle, aborted, unread=0):
        self.cycle, self.client_name, self.unread = cycle, "1.2.3.4", unread
        self.transport = SimpleNamespace(
            abort=lambda: aborted.append(name), get_write_buffer_size=lambda: self.unread
        )


def test_silent_connections_are_aborted(monkeypatch):
    from paddle_restore.serving import connections

    clock, aborted = [0.0], []
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    table = Connections(Settings(("x",)))
    table.add(Fake("silent", None, aborted))
    table.add(Fake("at work", SimpleNamespace(response_complete=False), aborted))
    reads = Fake("reads a long answer", SimpleNamespace(response_complete=True), aborted, unread=2_000_000)
    stalls = Fake("stalls", SimpleNamespace(response_complete=True), aborted, unread=500_000)
    busy = Fake("asks often", SimpleNamespace(response_complete=True), aborted)
    for fake in (reads, stalls, busy):
        table.add(fake)
    for clock[0] in range(0, 40, 10):
        busy.cycle = SimpleNamespace(response_complete=True)
        table.abort_silent()
    assert set(aborted) == {"silent", "stalls"}


def test_one_client_cannot_take_all_connections():
    table = Connections(Settings(("x",), workers=1, queue=16))
    assert (table.settings.max_connections, table.settings.max_client_connections) == (81, 49)
    fakes = [Fake("", None, []) for _ in range(300)]
    for fake in fakes:
        table.add(fake)
    assert table.is_crowded("1.2.3.4")
    assert not table.full  # what a client has above its limit does not count
    for _ in range(33):
        other = Fake("", None, [])
        other.client_name = "5.6.7.8"
        table.add(other)
    assert not table.is_crowded("5.6.7.8")
    assert table.full
    for fake in fakes:
        table.remove(fake)
        table.remove(fake)  # once only
    assert (len(table), table.full) == (33, False)
    assert table._of_client == Counter({"5.6.7.8": 33})


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(given, name):
    assert client_name(given) == name


def test_the_limit_of_files_is_raised_as_far_as_is_needed(monkeypatch):
    from paddle_restore.serving import server

    limits = []
    monkeypatch.setattr(server.resource, "setrlimit", lambda _, pair: limits.append(pair))
    monkeypatch.setattr(server.resource, "getrlimit", lambda _: (200, 4096))
    settings = Settings(("x",))
    assert server.most_connections(settings) == settings.max_accepted
    assert 337 < limits[0][0] < 1024
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(server.resource, "getrlimit", lambda _: (unlimited, unlimited))
    assert server.most_connections(settings) == settings.max_accepted
    assert len(limits) == 1


def test_the_unit_allows_the_files_that_the_service_may_need(monkeypatch):
    from paddle_restore.serving import server

    text = (ROOT / "deploy/paddle-restore.service").read_text(encoding="utf-8")
    soft, hard = map(int, re.search(r"^LimitNOFILE=(\d+):(\d+)$", text, re.MULTILINE).groups())
    monkeypatch.setattr(server.resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(server.resource, "getrlimit", lambda _: (soft, hard))
    settings = Settings(("x",), workers=16, queue=256)
    assert server.most_connections(settings) == settings.max_accepted
