"""What every request passes: the token, other sites' pages, security headers, counting, early refusals."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Any, Optional
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from paddle_restore.serving.problem import Problem
from paddle_restore.serving.service import Service
from paddle_restore.serving.settings import LOCAL, TOKEN

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
    """ASGI middleware around the whole application."""

    def __init__(self, app: Any, service: Service):
        self.app, self.service, self.settings = app, service, service.settings
        self._token = self.settings.token.encode() if self.settings.token else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.settings.max_body)
        start = time.perf_counter()
        try:
            problem = self._refusal(scope["path"], Headers(scope=scope))
            if problem:
                await problem_response(problem)(scope, exchange.receive, exchange.send)
            else:
                await self.app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:  # a second signal
            if exchange.status == _NO_ANSWER:
                stopped = Problem(503, "the service was stopped")
                await problem_response(stopped)(scope, exchange.receive, exchange.send)
        except Exception:
            exchange.status = 500  # answered outside of this
            raise
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.service.metrics.count(route, exchange.status, time.perf_counter() - start)

    def _refusal(self, path: str, headers: Headers) -> Optional[Problem]:
        if len(self.service.connections) > self.settings.max_connections and path != "/healthz":
            return Problem(503, "there are too many connections; try again later", retry_after=15)
        if not (path.startswith("/v1/") or path in ("/metrics", "/openapi.json")):
            return None
        if path.startswith("/v1/") and _of_another_site(headers, self._token is None):
            return Problem(403, "requests from other sites' pages are refused")
        if self._token is None:
            return self._foreign_name(headers)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return Problem(401, "this service needs its token: Authorization: Bearer TOKEN")

    def _foreign_name(self, headers: Headers) -> Optional[Problem]:
        """Refuse other names of this machine, which a foreign site could give it (DNS rebinding)."""
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname
        except ValueError:
            name = None
        if self.settings.host not in LOCAL or name in LOCAL:
            return None
        return Problem(403, f"this service is for this machine; behind a proxy, give it a token ({TOKEN})")


def _of_another_site(headers: Headers, local: bool) -> bool:
    """Such a page could not read the answers, but it could keep the service busy.

    Browsers say the site of a request's page where they trust the connection, and else its origin, which a
    proxy's own name may differ from: behind one there is a token.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site or not (local and origin):
        return site == "cross-site"
    return origin.partition("://")[2] != headers.get("host")


def problem_response(problem: Problem) -> JSONResponse:
    return JSONResponse({"error": problem.message}, problem.status, problem.headers)


class _Exchange:
    """One request and its answer.

    A refusal is sent before the body has come. The connection is then kept for a moment and what comes is
    dropped, as a client that still sends would otherwise see a broken connection in place of the answer.
    """

    def __init__(self, scope: Any, receive: Any, send: Any, most: int):
        self._receive, self._send, self._most = receive, send, most
        self._api = scope["path"].startswith("/v1/")
        self._came = "100-continue" in Headers(scope=scope).get("expect", "").lower()
        self.status = _NO_ANSWER

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._came = True
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store" if self._api else "no-cache")
        elif self.status >= 400 and not self._came and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        end, count = time.monotonic() + _DRAIN_SECONDS, 0
        while not self._came and count < self._most and time.monotonic() < end:
            try:
                message = await asyncio.wait_for(self.receive(), end - time.monotonic())
            except asyncio.TimeoutError:
                return
            count += len(message.get("body", b""))
