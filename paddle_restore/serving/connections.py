"""Clients' connections: counted by address, and ended when a client stalls."""

from __future__ import annotations

import ipaddress
import time
from asyncio import BaseTransport
from collections import Counter
from typing import Any, Optional

from uvicorn.protocols.http.h11_impl import H11Protocol

from paddle_restore.serving.settings import (
    CROWDED_SECONDS,
    MAX_PIPELINED,
    MIN_BYTES_PER_SECOND,
    SILENT_SECONDS,
    Settings,
)


class Connections:
    """The open connections of a service."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._open: set[Connection] = set()
        self._of_client: Counter[str] = Counter()
        # Connections without a request at work: the last request, and since when it is the last.
        self._quiet: dict[Connection, tuple[Any, float]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)
        self._of_client[connection.client_name] += 1

    def remove(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._of_client[connection.client_name] -= 1
            self._of_client += Counter()  # drops zeros

    def is_crowded(self, client_name: str) -> bool:
        """Whether a client has more connections than one may have."""
        return self._of_client[client_name] > self.settings.max_client_connections

    @property
    def full(self) -> bool:
        """Whether there are too many connections. Those that a client has above its limit do not count."""
        limit = self.settings.max_client_connections
        return sum(min(count, limit) for count in self._of_client.values()) > self.settings.max_connections

    def abort_silent(self) -> None:
        """End connections that have sent no whole request for a while, or do not read the last answer.

        uvicorn waits without end for a connection's first request, and for a client that reads nothing.
        """
        before, self._quiet = self._quiet, {}
        now = time.monotonic()
        for connection in tuple(self._open):
            last = connection.cycle  # its last request
            if last is not None and not last.response_complete:
                continue  # the limits of requests and answers hold
            known = before.get(connection)
            since = known[1] if known and known[0] is last else now
            seconds = CROWDED_SECONDS if connection.crowded else SILENT_SECONDS
            unread = connection.transport.get_write_buffer_size()
            if now - since > seconds + unread / MIN_BYTES_PER_SECOND:
                connection.transport.abort()  # close() would wait until the client has read the answer
            else:
                self._quiet[connection] = (last, since)


class Connection(H11Protocol):
    """One connection. Requests find it as `scope["state"]["connection"]`.

    client_name  the client's address, or of an IPv6 address its network of 64 bits, which one client has
    crowded      the client had too many connections when this one was made
    """

    def __init__(self, table: Connections, **options: Any):
        super().__init__(**options, app_state={"connection": self})
        self.client_name, self.crowded = "", False
        self._table, self._pipelined = table, 0

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.client_name = client_name(self.client[0] if self.client else "")
        self._table.add(self)
        self.crowded = self._table.is_crowded(self.client_name)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._table.remove(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        if self.conn.trailing_data[0]:  # the next request came before this answer
            self._pipelined += 1
            if self._pipelined > MAX_PIPELINED:
                self.transport.close()
        super().on_response_complete()


def client_name(address: str) -> str:
    """Return the name by which connections of one client are counted."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
