"""Files and folders: lists of files, and files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from paddle_restore.errors import UserError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which gets the final name only if the block succeeds.

    Raises UserError if the file cannot be written.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        # Short: a file system that has room for the name may have none for a longer one.
        handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix[-16:], dir=path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all. Raises UserError if it cannot be written."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: str | Path) -> Path:
    """Create a folder and its parents. Raises UserError if that is not allowed."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot write there ({reason}); choose another folder") from None
    return path


def is_file(path: Path) -> bool:
    """Whether a file of this name exists; False for a name that no file can have (too long, or with NUL)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_readable(path: Path) -> None:
    """Raise UserError if there is no such file, or it may not be read."""
    try:
        with path.open("rb"):
            pass
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def list_files(path: str | Path, wanted: Callable[[Path], bool], what: str) -> list[Path]:
    """Return the file itself, or the wanted files of a folder in order of name.

    Raises UserError if the path does not exist or the folder holds no such files, `what` for messages.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder")
    files = [file for file in visible_files(path) if wanted(file)]
    if not files:
        raise UserError(f"{path}: the folder holds no {what}")
    return files


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder in order of name. Raises UserError if it may not be read.

    Hidden files are unfinished files of a killed command, or files that other systems add.
    """
    try:
        return sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error})") from None
