"""An error for the client: an HTTP status and one line."""

from __future__ import annotations

from typing import Optional

from paddle_restore.errors import line_of


class Problem(Exception):
    """Answered as JSON {"error": message}.

    retry_after  seconds after which trying again may help
    close        the connection ends with the answer
    """

    def __init__(self, status: int, message: str, retry_after: Optional[int] = None, close: bool = False):
        super().__init__(message)
        self.status, self.message = status, line_of(message)
        self.retry_after, self.close = retry_after, close

    @property
    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.close:
            headers["Connection"] = "close"
        return {**headers, "WWW-Authenticate": "Bearer"} if self.status == 401 else headers
