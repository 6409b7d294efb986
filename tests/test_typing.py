"""Type checkers accept right uses of the public interface, and refuse wrong ones on exactly the lines that are wrong.

mypy always checks; pyright does if the environment variable ``PYRIGHT`` has its path.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import session_sqlite

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "tests" / "typing"
Mistakes = dict[str, set[int]]


def marked() -> Mistakes:
    """The lines of each sample that are marked as wrong."""
    return {
        path.name: {
            number for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1) if "# E:" in line
        }
        for path in sorted(SAMPLES.glob("*.py"))
    }


def found_by_mypy(cache: Path) -> Mistakes:
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--cache-dir",
            str(cache),
            "--no-warn-unused-configs",
            "--follow-imports=silent",  # what users see: of an installed package, no checker reports the inside
            *map(str, SAMPLES.glob("*.py")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode in (0, 1), result.stdout + result.stderr
    mistakes: Mistakes = {path.name: set() for path in SAMPLES.glob("*.py")}
    for line in result.stdout.splitlines():
        if place := re.match(r"(.+?):(\d+): error: ", line):
            mistakes.setdefault(Path(place[1]).name, set()).add(int(place[2]))
    return mistakes


def found_by_pyright(program: str) -> Mistakes:
    command = [program, "--outputjson", "--pythonpath", sys.executable, str(SAMPLES)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    mistakes: Mistakes = {path.name: set() for path in SAMPLES.glob("*.py")}
    for one in json.loads(result.stdout)["generalDiagnostics"]:
        if one["severity"] == "error":
            mistakes.setdefault(Path(one["file"]).name, set()).add(one["range"]["start"]["line"] + 1)
    return mistakes


def test_the_samples_have_right_and_wrong_uses() -> None:
    lines = marked()
    assert lines["right.py"] == set()
    assert len(lines["wrong.py"]) > 40


def test_mypy_accepts_right_uses_and_refuses_wrong_ones_line_by_line(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    assert found_by_mypy(tmp_path / "cache") == marked()


@pytest.mark.skipif("PYRIGHT" not in os.environ, reason="PYRIGHT names no pyright")
def test_pyright_accepts_right_uses_and_refuses_wrong_ones_line_by_line() -> None:
    assert found_by_pyright(os.environ["PYRIGHT"]) == marked()


# ---------------------------------------------------------------- what a signature names can be imported

LOADED = {
    name: value
    for module in [*sys.modules.values()]
    if getattr(module, "__name__", "").startswith("session_sqlite")
    for name, value in vars(module).items()
}


def classes_in(hint: Any) -> Iterator[type]:
    if get_origin(hint) is Literal:
        return
    if isinstance(hint, list):
        for one in hint:
            yield from classes_in(one)
    elif get_origin(hint) is not None or isinstance(hint, types.UnionType):
        yield from classes_in(get_origin(hint))
        for one in get_args(hint):
            yield from classes_in(one)
    elif isinstance(hint, type):
        yield hint


def public_signatures() -> Iterator[tuple[str, Any]]:
    """Functions, methods and dataclasses, with their names."""
    for name in session_sqlite.__all__:
        value = getattr(session_sqlite, name)
        if inspect.isfunction(value):
            yield name, value
        elif isinstance(value, type):
            if dataclasses.is_dataclass(value):
                yield name, value
            for method, member in inspect.getmembers(value):
                function: Any = inspect.unwrap(member.fget if isinstance(member, property) else member)  # type: ignore[arg-type]
                function = getattr(function, "__func__", function)
                is_ours = str(getattr(function, "__module__", "")).startswith("session_sqlite")
                if inspect.isfunction(function) and is_ours and (method == "__init__" or not method.startswith("_")):
                    yield f"{name}.{method}", function


SIGNATURES = {value: name for name, value in public_signatures()}


class _Unknown(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unknown

    def __getitem__(cls, arguments: object) -> type:
        return Unknown


class Unknown(metaclass=_Unknown):
    """In place of another package's type, which is imported for type checkers only."""


class Names(dict[str, Any]):
    """Names of this package's modules; others are not of interest here."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Unknown)


@pytest.mark.parametrize("signature", [pytest.param(value, id=name) for value, name in SIGNATURES.items()])
def test_every_type_in_a_public_signature_is_exported(signature: Any) -> None:
    exported = {getattr(session_sqlite, name) for name in session_sqlite.__all__ if name.isidentifier()}
    names = sys.modules[signature.__module__]
    hints = get_type_hints(signature, globalns={**LOADED, **vars(names)}, localns=Names(LOADED | vars(names)))
    missing = {
        one.__name__
        for hint in hints.values()
        for one in classes_in(hint)
        if one.__module__.startswith("session_sqlite") and one not in exported
    }
    # `Runnable` stands for LangChain's own class, of which a `Summarizer` needs one method; a `Database` is given by
    # those who write a backend, and is with all that it takes in `session_sqlite.database`.
    assert missing <= {"Runnable", "Database"}
