"""Where a store is: the platform's place for it, and what a path argument means."""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from pathlib import Path
from typing import Final

import platformdirs

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError

MEMORY: Final = ":memory:"
PATH_VARIABLE: Final = "SESSION_SQLITE_PATH"
LONGEST_FOLDER: Final = 150  # file systems take names of 255 bytes


def database_file(name: str = "sessions.db", *, app_name: str = "default") -> Path:
    """Where an app's sessions are kept on this platform: one folder an app, in the user's data directory.

    Args:
        name: The name of the file.
        app_name: The app; its folder has this name, with what a file name cannot hold percent-encoded,
            and cut if it is too long for one.

    Returns:
        An absolute path; nothing is created. The environment variable ``SESSION_SQLITE_PATH`` overrides all of it.
    """
    if override := os.environ.get(PATH_VARIABLE):
        return Path(os.path.abspath(override))
    codec.text(name, "name")
    if not name or name in {".", ".."} or any(mark in name for mark in "/\\\0"):
        raise InvalidInputError("name must be a plain file name, without folders")
    folder = urllib.parse.quote(codec.identifier(app_name, "app_name"), safe=" ")
    if folder.strip(".") == "":
        folder = folder.replace(".", "%2E")
    if len(folder) > LONGEST_FOLDER:
        folder = f"{folder[:LONGEST_FOLDER]}-{hashlib.sha256(app_name.encode()).hexdigest()[:16]}"
    return platformdirs.user_data_path("session-sqlite", appauthor=False) / folder / name


def path_text(path: object) -> str:
    """The path as given, as text. Raises `InvalidInputError` for what names no file."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise InvalidInputError(f"path must be the path of a file, or ':memory:', not {type(path).__name__}")
    name = os.fsdecode(path)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise InvalidInputError("path must be valid text") from None
    if not name or "\0" in name:
        raise InvalidInputError("path must be the path of a file, or ':memory:'")
    return name
