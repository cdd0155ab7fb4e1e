"""Run a service until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import resource
import signal
import socket
import sys
import time
from typing import Any, Optional

import uvicorn

from paddle_restore.errors import UserError
from paddle_restore.serving.app import create_app
from paddle_restore.serving.connections import Connection
from paddle_restore.serving.service import Service
from paddle_restore.serving.settings import LOCAL, MAX_HEADER_BYTES, SILENT_SECONDS, TOKEN, Settings


class _Server(uvicorn.Server):
    """Finishes its open requests before it closes its socket. New requests get 503 meanwhile."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service
        self._max_accepted = most_connections(service.settings)
        self._accepting: Optional[asyncio.Future[None]] = None
        self._told = 0.0  # when the last message of `_tell` was

    async def startup(self, sockets: Optional[list[socket.socket]] = None) -> None:
        await super().startup(sockets=[])  # asyncio's own server would accept without end
        (listener,) = sockets or []
        self._accepting = asyncio.ensure_future(self._accept(listener))

    async def shutdown(self, sockets: Optional[list[socket.socket]] = None) -> None:
        if self._accepting:
            self._accepting.cancel()
        await super().shutdown(sockets)

    async def _accept(self, listener: socket.socket) -> None:
        """Accept connections while there are descriptors. Others wait in the system's queue."""
        loop, table = asyncio.get_running_loop(), self._service.connections

        def connection() -> Connection:
            return Connection(table, config=self.config, server_state=self.server_state)

        while True:
            if len(table) >= self._max_accepted:
                self._tell(f"{len(table)} connections are open, the most that are accepted; others wait")
                await asyncio.sleep(0.05)
                continue
            try:
                accepted, _ = await loop.sock_accept(listener)
                await loop.connect_accepted_socket(connection, accepted)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._tell(f"no connection can be accepted ({error.strerror}); others wait")
                    await asyncio.sleep(1)

    def _tell(self, line: str) -> None:
        """Print a warning, at most one a minute."""
        if not self._told or time.monotonic() - self._told > 60:
            self._told = time.monotonic()
            print(f"warning: {line}", file=sys.stderr, flush=True)

    def handle_exit(self, sig: int, frame: Any) -> None:
        # uvicorn's own handler raises the signal again, before files are removed and workers ended.
        if self._service.draining or not self.started:
            self.should_exit = self.force_exit = True  # the second signal does not wait
            return
        self._service.draining = True
        asyncio.get_event_loop().call_soon_threadsafe(lambda: asyncio.ensure_future(self._finish()))

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._service.connections.abort_silent()
        return await super().on_tick(counter)

    async def _finish(self) -> None:
        while self._service.open_requests:
            await asyncio.sleep(0.05)
        self.should_exit = True


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises UserError for what cannot be served."""
    service = Service(settings)
    if settings.host not in LOCAL and not settings.token:
        print(
            f"note: everybody who reaches {settings.host}:{settings.port} may use this service; "
            f"set {TOKEN} to ask for a token",
            file=sys.stderr,
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until there are requests to finish
    asyncio.run(_serve(settings, service))
    return 0


async def _serve(settings: Settings, service: Service) -> None:
    app = create_app(service)
    config = uvicorn.Config(
        app,
        settings.host,
        settings.port,
        lifespan="off",  # run below, so that its errors become one line
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=SILENT_SECONDS,
        timeout_graceful_shutdown=5,
        http="h11",  # httptools, where it is installed, does not bound headers
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        ws="none",
    )
    server = _Server(config, service)
    sockets = [_bound(config)]
    async with service.running():
        names = ", ".join(service.catalogue.models)
        host, port = sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"serving {names} at http://{shown}:{port}", flush=True)
        await server.serve(sockets=sockets)


def most_connections(settings: Settings) -> int:
    """Return how many connections may be open at once, as far as the limit of open files allows.

    The soft limit is raised as far as is needed and allowed. Raises UserError where it is far too low.
    """
    used = 64 + 4 * settings.max_requests + 8 * settings.workers  # by files, workers and the libraries
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_accepted + used
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    elif soft == resource.RLIM_INFINITY:
        soft = wanted
    if soft - used < settings.max_requests:
        raise UserError(
            f"{soft} files may be open (ulimit -n), too few for --workers {settings.workers} --queue "
            f"{settings.queue}; allow {wanted}"
        )
    return min(soft - used, settings.max_accepted)


def _bound(config: uvicorn.Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        # asyncio sets TCP_NODELAY only where the protocol is named.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((config.host, config.port))
        bound.listen(128)  # before the service prints its address
        bound.setblocking(False)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--host {config.host} --port {config.port}: cannot listen there ({reason})"
        ) from None
    return bound
