"""Files of a folder that are neither read as pictures nor as raw files, and why."""

from __future__ import annotations

from pathlib import Path

from paddle_restore.data.formats import START, format_of_bytes, is_picture, is_raw

_KINDS = {
    **dict.fromkeys((".gif", ".apng"), "GIF and APNG are not read: export one picture as PNG"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop files are not read: save a flat TIFF"),
    **dict.fromkeys((".gpr",), "GoPro's raw files are not read: convert them by Adobe DNG Converter"),
    **dict.fromkeys((".exr", ".hdr"), "HDR pictures are not read: save a TIFF with values in [0, 1]"),
    **dict.fromkeys(
        (".mp4", ".mov", ".m4v", ".avi", ".mts", ".mkv", ".webm", ".crm", ".braw", ".insv"),
        "videos are not read",
    ),
    **dict.fromkeys(
        (
            ".xcf",
            ".svg",
            ".pdf",
            ".eps",
            ".ai",
            ".ico",
            ".tga",
            ".jxr",
            ".wdp",
            ".pcx",
            ".ppm",
            ".pgm",
            ".pnm",
        ),
        "pictures of this kind are not read: export them as PNG or TIFF",
    ),
}
"""Suffixes of pictures that are not read, and why or what to do."""


def is_other_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture or video in a format that is neither read nor written."""
    return path.suffix.lower() in _KINDS


def why_skipped(path: Path, read: str) -> str:
    """Return why a file is skipped by a network that reads `read`, such as "pictures"."""
    if is_picture(path) or is_raw(path):
        return f"this network reads {read}"
    if is_other_picture(path):
        return _KINDS[path.suffix.lower()]
    try:
        with path.open("rb") as file:
            found = format_of_bytes(file.read(START))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if found:
        return f"a {found.title} by its content: give it a name that ends in {found.suffixes[0]}"
    return "no pictures by their names"
