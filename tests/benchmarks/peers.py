"""Other libraries beside ours: an environment of their own, and a process for each (`peer`).

They are not among the dependencies of the tests: what they ask for need not fit what ours asks for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import platformdirs
from langchain_core.messages import BaseMessage

from .measuring import missing

PACKAGES = (
    "agno", "aiosqlite", "google-adk", "langchain-community", "langgraph-checkpoint-sqlite", "llm",
    "openai-agents[sqlalchemy]", "psycopg[binary]", "sqlalchemy[asyncio]",
)  # fmt: skip
FOLDER = platformdirs.user_cache_path("session-sqlite") / f"peers-{sys.version_info.major}.{sys.version_info.minor}"
"""The environment, unless another is named."""


def python_of(folder: Path, *, may_make: bool) -> Path | None:
    """Returns the Python of the peers' environment, which is made if it is not there; None if that is not possible."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "peers.txt"
    packages = "\n".join(PACKAGES)
    if complete.exists() and complete.read_text() == packages:
        return python
    if not may_make:
        missing(f"other libraries: there is no environment of theirs in {folder} (without --quick it is made)")
        return None
    print(f"making an environment for other libraries in {folder}", file=sys.stderr)
    try:
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
        ):
            subprocess.run(command, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        missing(f"other libraries: they cannot be installed in {folder}: {' '.join(said)}")
        return None
    complete.write_text(packages)
    return python


def neutral(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Returns messages in a form of which each library makes its own."""
    roles = {"human": "user", "ai": "assistant", "tool": "tool"}
    made = []
    for message in messages:
        fields = message.__dict__
        call = next(iter(fields.get("tool_calls", ())), None)
        if message.type == "tool":
            call = {"id": fields["tool_call_id"], "name": message.name}
        usage = fields.get("usage_metadata")
        counts = usage and [usage["input_tokens"], usage["output_tokens"]]
        made.append(
            {"role": roles[message.type], "text": message.content, "id": message.id, "call": call, "usage": counts}
        )
    return made


class Process:
    """A process in which one library is measured."""

    def __init__(self, python: Path, name: str, target: str, events: Path, program: str = "peer.py") -> None:
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name(program)), name, target, str(events)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "PYTHONWARNINGS": "ignore",
                 "PYTHONPATH": os.environ.get("PYTHONPATH", "") if str(python) == sys.executable else ""},
        )  # fmt: skip
        self.said = self._answer()

    def ask(self, command: str) -> float:
        """Returns the seconds that a command took."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a peer ended with exit code {self._process.wait()}: {self._process.args!r}")
        return line.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


def written(events: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Returns the file with the events that a peer is given."""
    path = folder / "events.json"
    path.write_text(json.dumps(events), encoding="utf-8")
    return path
