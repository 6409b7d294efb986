"""What every test starts from: a path of its own, an open store, and no way to the real data directory."""

import inspect
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from session_sqlite import SessionService

# No deadline: an append waits for the disk. In CI the same examples every time: a red run is about the change.
settings.register_profile("ci", deadline=None, max_examples=60, derandomize="CI" in os.environ)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _no_real_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default file of the test, and of every process it starts, lies in its temporary directory."""
    monkeypatch.setenv("SESSION_SQLITE_PATH", str(tmp_path / "default" / "sessions.db"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made; nothing is there yet."""
    return tmp_path / "sessions.db"


@pytest.fixture
def service(request: pytest.FixtureRequest, path: Path) -> "Iterator[SessionService]":
    """An open, empty store: at ``path``, or where `pytest_generate_tests` says."""
    from session_sqlite import SQLiteSessionService

    if (kind := getattr(request, "param", "file")) != "file":
        from backends import opened

        with opened(kind, path) as on_server:
            yield on_server
        return
    with SQLiteSessionService(path) as service:
        yield service


def pytest_configure() -> None:
    # What a shell runs in the background ignores interrupts, which tests send to their children and to themselves.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests of a module that is marked ``every_backend`` on a file and on each server.

    The marker may name the fixture that is the store. A test that asks for the ``path`` is about the file, and so is
    one that is marked ``file_only``.
    """
    marker = metafunc.definition.get_closest_marker("every_backend")
    if marker is None or metafunc.definition.get_closest_marker("file_only"):
        return
    store = marker.args[0] if marker.args else "service"
    asked = inspect.signature(metafunc.function).parameters
    if store in metafunc.fixturenames and "path" not in asked:
        metafunc.parametrize(store, ["file", "postgresql", "mariadb"], indirect=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run each failure of a cluster six times")
    parser.addoption("--share", type=float, default=0.1, help="how much of its full length a trial runs with -m faults")


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> int:
    """How often a failure of a cluster is tried."""
    return 6 if pytestconfig.getoption("--long") else 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says in red which servers were not there, so that a green run does not hide what it did not test."""
    backends = sys.modules.get("backends")  # not where only a few tests run, without the drivers of servers
    for kind, reason in getattr(backends, "MISSING", {}).items():
        terminalreporter.write_line(f"NOT TESTED on {kind}: {reason}", red=True, bold=True)
