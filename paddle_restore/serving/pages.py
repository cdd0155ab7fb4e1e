"""The page at `/`: a few files and two examples, all of this package."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import Response

from paddle_restore.serving.example import dark_raw, noisy_picture

_FOLDER = Path(__file__).parent / "page"
_SCRIPTS = ("page.js", "compare.js", "request.js", "texts.js", "words.js")
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{f"/{name}": (name, "text/javascript; charset=utf-8") for name in _SCRIPTS},
}


def add_page(app: FastAPI) -> None:
    for address, (name, media) in _FILES.items():
        content = (_FOLDER / name).read_bytes()
        app.get(address, include_in_schema=False)(_sender(lambda content=content: content, media))
    app.get("/example.png", include_in_schema=False)(_sender(lru_cache(noisy_picture), "image/png"))
    app.get("/example.dng", include_in_schema=False)(_sender(lru_cache(dark_raw), "image/x-adobe-dng"))


def _sender(content, media: str):
    async def send() -> Response:
        return Response(content(), media_type=media)

    return send
