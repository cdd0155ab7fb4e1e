"""Checks before every request: token, pages of other sites, security headers, counting, early refusals.

This is ASGI middleware and no FastAPI dependency: it also guards unknown addresses, and lets a client that
still sends read the refusal.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Optional
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paddle_restore.serving.connections import Connection
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.service import Service
from paddle_restore.serving.settings import LOCAL, MIN_BYTES_PER_SECOND, TOKEN, Settings

_DRAIN_SECONDS = 5.0
_NO_ANSWER = 499  # the client went away before there was one
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, service: Service):
        self.app, self.service, self.settings = app, service, service.settings
        self._token = self.settings.token.encode() if self.settings.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.settings)
        start = time.perf_counter()
        try:
            problem = self._refusal(scope, Headers(scope=scope))
            if problem:
                await problem_response(problem)(scope, exchange.receive, exchange.send)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:  # a second signal
            if exchange.status == _NO_ANSWER:
                stopped = Problem(503, "the service was stopped")
                await problem_response(stopped)(scope, exchange.receive, exchange.send)
        except Exception:
            exchange.status = 500  # Starlette, outside of this, answers it
            raise
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.service.metrics.count(route, exchange.status, time.perf_counter() - start)

    def _refusal(self, scope: Scope, headers: Headers) -> Optional[Problem]:
        path, connection = scope["path"], _connection(scope)
        if "transfer-encoding" in headers and "content-length" in headers:
            # A proxy may take the other one for the body's length: "request smuggling" (RFC 9112, 6.1).
            return Problem(400, "a request has Transfer-Encoding or Content-Length, not both", close=True)
        if connection and path != "/healthz":
            if self.service.connections.is_crowded(connection.client_name):
                return Problem(
                    503, "there are too many connections from your address; try again later", retry_after=15
                )
            if self.service.connections.full:
                return Problem(503, "there are too many connections; try again later", retry_after=15)
        if not (path.startswith("/v1/") or path in ("/metrics", "/openapi.json")):
            return None
        if path.startswith("/v1/") and _is_of_another_site(headers, self._token is None):
            return Problem(403, "requests from other sites' pages are refused")
        if self._token is None:
            return self._foreign_name(headers)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return Problem(401, "this service needs its token: Authorization: Bearer TOKEN")

    def _foreign_name(self, headers: Headers) -> Optional[Problem]:
        """Refuse other names of this machine. A foreign site could give it one (DNS rebinding)."""
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname
        except ValueError:
            name = None
        if self.settings.host not in LOCAL or name in LOCAL:
            return None
        return Problem(403, f"this service is for this machine; behind a proxy, give it a token ({TOKEN})")


def _is_of_another_site(headers: Headers, local: bool) -> bool:
    """Whether another site's page sent a request. It could not read the answer, but it could use up workers.

    Browsers send Sec-Fetch-Site over connections that they trust, and else only Origin. Origin says nothing
    behind a proxy, whose name may differ; there the token protects (`local` is False).
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site:
        # "same-site" is another port of this machine, or another name of the same domain.
        return site not in ("same-origin", "none")
    if not (local and origin):
        return False
    return origin.partition("://")[2] != headers.get("host")


def _connection(scope: Scope) -> Optional[Connection]:
    """Return the request's connection; None where another server than ours runs the application."""
    return scope.get("state", {}).get("connection")


def problem_response(problem: Problem) -> JSONResponse:
    return JSONResponse({"error": problem.message}, problem.status, problem.headers)


class _Exchange:
    """One request and its answer.

    A refusal is sent before the body has come. The connection is then kept open for a moment, and the body is
    read and dropped. Otherwise a client that still sends would see a broken connection and no answer.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings):
        self._receive, self._send, self._settings = receive, send, settings
        self._connection, self._answer_end = _connection(scope), 0.0
        self._api = scope["path"].startswith("/v1/")
        # A client that waits for "100 Continue" sends no body after a refusal.
        self._body_ended = "100-continue" in Headers(scope=scope).get("expect", "").lower()
        self.status = _NO_ANSWER

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_ended = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store" if self._api else "no-cache")
        elif self.status >= 400 and not self._body_ended and not message.get("more_body", False):
            await self._send_in_time({**message, "more_body": True})
            await self._drop_body()
            message = {"type": "http.response.body", "body": b""}
        await self._send_in_time(message)

    async def _send_in_time(self, message: Message) -> None:
        """Send a part of the answer. A client that does not read it in time loses the connection."""
        now = time.monotonic()
        self._answer_end = self._answer_end or now + self._settings.transfer_seconds
        self._answer_end += len(message.get("body", b"")) / MIN_BYTES_PER_SECOND
        if self._connection is None:
            await self._send(message)
            return
        if self._connection.transport.is_closing():  # the server itself has refused the request's bytes
            while (await self._receive())["type"] != "http.disconnect":
                pass
            return
        # A timer and not wait_for: that would let a cancellation come between the parts of an answer.
        seconds = max(0.0, self._answer_end - now)
        timer = asyncio.get_running_loop().call_later(seconds, self._connection.transport.abort)
        try:
            await self._send(message)
        finally:
            timer.cancel()

    async def _drop_body(self) -> None:
        end, count = time.monotonic() + _DRAIN_SECONDS, 0
        while not self._body_ended and count < self._settings.max_bytes and time.monotonic() < end:
            try:
                message = await asyncio.wait_for(self.receive(), end - time.monotonic())
            except asyncio.TimeoutError:
                return
            count += len(message.get("body", b""))
