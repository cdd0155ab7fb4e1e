"""Run a service until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from typing import Any

import uvicorn

from paddle_restore.errors import UserError
from paddle_restore.serving.app import create_app
from paddle_restore.serving.service import Service
from paddle_restore.serving.settings import LOCAL, MAX_HEADER_BYTES, SILENT_SECONDS, TOKEN, Settings


class _Server(uvicorn.Server):
    """Finishes its open requests before it closes its socket. New requests get 503 meanwhile."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service
        service.connections = self.server_state.connections
        self._silent: dict[Any, tuple[Any, float]] = {}

    def handle_exit(self, sig: int, frame: Any) -> None:
        # uvicorn's own handler raises the signal again, before files are removed and workers ended.
        if self._service.draining or not self.started:
            self.should_exit = self.force_exit = True  # the second signal does not wait
            return
        self._service.draining = True
        asyncio.get_event_loop().call_soon_threadsafe(lambda: asyncio.ensure_future(self._finish()))

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self._close_silent()
        return await super().on_tick(counter)

    def _close_silent(self) -> None:
        """Close connections that have sent no whole request for a while.

        uvicorn does so after an answer only. It waits without end for a connection's first request.
        """
        before, self._silent = self._silent, {}
        connections: tuple[Any, ...] = tuple(self.server_state.connections)  # H11Protocol
        for connection in connections:
            last = connection.cycle  # its last request
            if last is not None and not last.response_complete:
                continue
            known = before.get(connection)
            since = known[1] if known and known[0] is last else time.monotonic()
            if time.monotonic() - since > SILENT_SECONDS:
                connection.transport.close()
            else:
                self._silent[connection] = (last, since)

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


def _bound(config: uvicorn.Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
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
