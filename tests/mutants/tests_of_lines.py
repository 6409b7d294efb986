"""Which tests run a line, from one run of all of them, so that a mutant meets those alone, the quickest first."""

from __future__ import annotations

import ast
import functools
import json
import math
import os
import subprocess
import sys
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from . import choosing, noting

BUDGET: Final = 20.0  # seconds of tests that a mutant meets at most: of what many tests run, the slow ones are left out


class TestsOfLines:
    """The tests that run each line of a copy of the project.

    Args:
        copy: The copy.
        notes: A folder for what was noted; notes that are there already are taken.
        options: The options of pytest that choose the tests.
        files: The files of the tests.
        all_of_them: Note anew, and leave out none: for what the quick tests did not see, or once there are new tests.

    A line that runs at import alone, or in another process alone, belongs to no test: all of them are asked, up to
    `BUDGET`.
    """

    def __init__(
        self, copy: Path, notes: Path, options: Sequence[str], files: Sequence[str], *, all_of_them: bool = False
    ) -> None:
        self.copy = copy
        self._budget = math.inf if all_of_them else BUDGET
        self._lines = notes / "lines.coverage"
        self._seconds = notes / "seconds.json"
        self._chosen = notes / "chosen.json"
        self._options = ["-q", "-p", "no:cacheprovider", *options]
        self._files = files
        os.environ |= {noting.SECONDS_FILE: str(self._seconds), choosing.TESTS_FILE: str(self._chosen)}
        if all_of_them or not self._seconds.exists():
            self._note()
        self.seconds: dict[str, float] = json.loads(self._seconds.read_text("utf-8"))

    def _note(self) -> None:
        coverage = ["-m", "coverage", "run", f"--data-file={self._lines}", "--source=session_sqlite"]
        command = [sys.executable, *coverage, "-m", "pytest", *self._options, "-p", "mutants.noting", *self._files]
        done = subprocess.run(command, cwd=self.copy, capture_output=True, text=True, check=False)
        if done.returncode:
            self._seconds.unlink(missing_ok=True)
            sys.exit(f"the tests fail without a mutant:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")

    def of(self, module: Path, first: int, last: int) -> list[str]:
        """Returns the tests that run the statement in which some lines stand, the quickest first; if none does, all."""
        start, end = _statement(self.copy / module, first, last)
        lines = _contexts(self._lines, self.copy / module)
        found = {test for line in range(start, end + 1) for test in lines.get(line, ()) if test}
        quickest = sorted(found or self.seconds, key=lambda test: self.seconds.get(test, 0.0))
        spent = list(accumulate(self.seconds.get(test, 0.0) for test in quickest))
        return quickest[: max(1, bisect(spent, self._budget))]

    def command(self, tests: Sequence[str]) -> list[str]:
        """Returns the command that runs tests until one fails."""
        self._chosen.write_text(json.dumps(tests), "utf-8")
        files = dict.fromkeys(test.split("::")[0] for test in tests)
        return [sys.executable, "-m", "pytest", "-x", *self._options, "-p", "mutants.choosing", *files]


@functools.cache
def _contexts(data_file: Path, module: Path) -> dict[int, list[str]]:
    from coverage import CoverageData  # where it is

    data = CoverageData(str(data_file))
    data.read()
    tests: dict[int, list[str]] = data.contexts_by_lineno(str(module))
    return tests


@functools.cache
def _statements(module: Path) -> list[tuple[int, int]]:
    """Returns the lines of each statement, the short ones first; of one with a body, those before the body."""
    found = []
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            found.append((node.lineno, max(node.lineno, end)))
    return sorted(found, key=lambda lines: lines[1] - lines[0])


def _statement(module: Path, first: int, last: int) -> tuple[int, int]:
    """Returns the lines of the shortest statement that has all of these lines; these lines, where there is none."""
    return next(((start, end) for start, end in _statements(module) if start <= first <= last <= end), (first, last))
