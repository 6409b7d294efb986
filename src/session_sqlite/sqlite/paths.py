"""Paths of stores: the default place on each platform, the check of path arguments, and names that last."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import urllib.parse
from pathlib import Path
from typing import Final

import platformdirs

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError

MEMORY: Final = ":memory:"
PATH_VARIABLE: Final = "SESSION_SQLITE_PATH"
LONGEST_FOLDER: Final = 150  # file systems allow names of 255 bytes

# One slash makes a URL, since `Path` turns "//" into "/". A scheme of one letter is a drive of Windows.
_URL = re.compile(r"\s*([a-z][a-z0-9+.-]+):[/\\]|\s*(file|jdbc|sqlite(?:\+\w+)?):", re.IGNORECASE)
_SERVERS = ("postgres", "mysql", "mariadb")

# A shell replaces these; a .env file and Python do not.
_VARIABLE = re.compile(r"(?:\$\w+|\$\{\w+\}|%\w+%)(?=[/\\]|$)")


def database_file(name: str = "sessions.db", *, app_name: str = "default") -> Path:
    """Returns the path of an app's sessions on this platform: each app has a folder in the user's data directory.

    Args:
        name: The name of the file.
        app_name: The app; its folder has this name, with what a file name cannot hold percent-encoded,
            and cut if it is too long for one.

    Returns:
        An absolute path; nothing is created. The environment variable ``SESSION_SQLITE_PATH`` overrides all of it.

    Raises:
        InvalidInputError: The name or the app is malformed, or ``SESSION_SQLITE_PATH`` names no file.
    """
    if override := os.environ.get(PATH_VARIABLE):
        return Path(os.path.abspath(file_text(override, PATH_VARIABLE)))
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
    """Returns the path of a store as text, with ``~`` replaced by the home folder; ``":memory:"`` as it is.

    Raises `InvalidInputError` for text that names no file, above all for URLs: nobody wants a file of such a name.
    """
    return _text(path, "path", "the path of a file, or ':memory:'")


def file_text(path: object, argument: str) -> str:
    """Like `path_text`, but refuses ``":memory:"``, for arguments that must be files."""
    name = _text(path, argument, "the path of a file")
    if name == MEMORY:
        raise InvalidInputError(f"{argument} must be the path of a file, not {MEMORY!r}")
    return name


def _text(path: object, argument: str, wanted: str) -> str:
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise InvalidInputError(f"{argument} must be {wanted}, not {type(path).__name__}")
    name = os.fsdecode(path)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise InvalidInputError(f"{argument} must be valid text") from None
    if not name or "\0" in name:
        raise InvalidInputError(f"{argument} must be {wanted}")
    if url := _URL.match(name):
        is_server = argument == "path" and (url[1] or url[2]).lower().startswith(_SERVERS)
        server = ", or use SQLAlchemySessionService(url) for a server" if is_server else ""
        raise InvalidInputError(f"{argument} must be {wanted}, not a URL: write {_instead(url)}{server}")
    if (variable := _VARIABLE.match(name)) and not os.path.isdir(variable[0]):
        raise InvalidInputError(
            f"{argument} begins with the name of an environment variable, which nothing has replaced: use "
            "os.path.expandvars, or put './' in front for a file of that name"
        )
    expanded = os.path.expanduser(name)
    if expanded.startswith("~"):
        raise InvalidInputError(
            f"{argument} begins with '~', and there is no such home folder: put './' in front for a file of that name"
        )
    if expanded.endswith(("/", os.sep)) and not os.path.isdir(expanded):  # a folder is refused where it is opened
        raise InvalidInputError(f"{argument} ends with a slash, as a folder does: add the name of a file")
    return expanded


def _instead(url: re.Match[str]) -> str:
    """Returns what to write in place of a URL: its path alone, since other parts may hold a password."""
    scheme = (url[1] or url[2]).lower()
    if scheme != "file" and not scheme.startswith("sqlite"):
        return "that of a local file, such as 'sessions.db'"
    rest, _, options = url.string.strip()[len(scheme) + 1 :].partition("?")
    path = rest
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        is_host = host in {"localhost", MEMORY} or "@" in host
        # Any other name in the place of the host is the beginning of a path whose slash was forgotten.
        path = slash + path if is_host else host + slash + path
    if scheme == "file":
        path = urllib.parse.unquote(path)
    elif path.startswith("/"):  # SQLAlchemy's: three slashes are a relative path, four an absolute one
        path = path[1:]
    if path in ("", MEMORY) or "mode=memory" in options:
        return repr(MEMORY)
    return repr(path) + (" and read_only=True" if re.search("mode=ro|immutable=1", options) else "")


def sync_folder(path: Path) -> None:
    """Makes the names in a folder survive a power cut, where the system can; as SQLite does, without an error."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
