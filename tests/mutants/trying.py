"""Chooses mutants at random and runs the tests of their part against each, by cosmic-ray, on a copy of the project."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import json
import os
import random
import shlex
import shutil
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

from .parts import PARTS
from .tests_of_lines import TestsOfLines

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("src", "tests", "pyproject.toml", "README.md", "examples")
ON_FILES: Final = "not postgresql and not mariadb"
SECONDS: Final = 20  # for the tests of one mutant, and
FACTOR: Final = 2  # times what they took without it: a loop without an end is seen, too


@dataclass(frozen=True)
class Mutant:
    """A change that no test saw.

    Attributes:
        file: The module, from the root of the package.
        number: The line, from 1.
        line: It as it is.
        becomes: It as it was changed.
    """

    file: str
    number: int
    line: str
    becomes: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Returns what stays the same while lines move."""
        return (self.file, self.line, self.becomes)


@dataclass(frozen=True)
class Result:
    """How many mutants of a part were tried and how many a test saw, and the others."""

    tried: int
    killed: int
    survivors: list[Mutant]


class Mutants:
    """The mutants of one part, in a folder with a copy of the project, that are tried one by one.

    What was tried is kept in the folder, so that a run that was stopped goes on, unless the code has changed since.
    """

    def __init__(self, name: str, folder: Path) -> None:
        from cosmic_ray.work_db import WorkDB  # where it is

        self.part = PARTS[name]
        self.folder = folder
        self.copy = folder / "project"
        code = (ROOT / "src" / "session_sqlite" / name).rglob("*.py")
        self.modules = sorted(path for path in code if path.name not in self.part.data)
        self.chosen: list[str] = []  # the ids of the mutants that are tried, in their order
        folder.mkdir(parents=True, exist_ok=True)
        self._check_unchanged()
        self._copy_the_project()
        self._db = WorkDB(str(folder / "mutants.sqlite"), WorkDB.Mode.create)

    def __enter__(self) -> Mutants:
        return self

    def __exit__(self, *exception: object) -> None:
        self._db.close()

    def _check_unchanged(self) -> None:
        tried = self.folder / "tried.json"
        now = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in self.modules}
        if tried.exists() and json.loads(tried.read_text("utf-8")) != now:
            sys.exit(f"the code has changed since {self.folder} was begun: remove it to begin anew")
        tried.write_text(json.dumps(now), "utf-8")

    def _copy_the_project(self) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)  # a run that was killed left a mutant in it
        self.copy.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, self.copy)

    def choose(self, count: int) -> None:
        """Chooses places at random, and one change at each; the same ones each time."""
        from cosmic_ray.commands import init

        if not self._db.num_work_items:
            with contextlib.chdir(self.copy):
                init([path.relative_to(ROOT) for path in self.modules], self._db, {})
        places: dict[Any, list[Any]] = {}
        for item in self._db.work_items:
            [change] = item.mutations
            if not _is_annotation(change, self.copy):
                places.setdefault((str(change.module_path), change.start_pos, change.end_pos), []).append(item)
        choice = random.Random(0)  # the same order each time, so that a larger count goes on from a smaller one
        order = sorted(places)
        choice.shuffle(order)
        self.chosen = [
            choice.choice(sorted(places[place], key=lambda item: repr(item.mutations))).job_id
            for place in order[:count]
        ]

    def run(self, *, again: bool = False, explained: Collection[tuple[str, str, str]] = ()) -> None:
        """Runs tests against each chosen mutant that has no result.

        Args:
            again: Run all tests against the survivors instead.
            explained: Those of them that no test can see, by file, line and what it becomes.
        """
        from cosmic_ray.mutating import mutate_and_test
        from cosmic_ray.work_item import TestOutcome

        items = {item.job_id: item for item in self._db.work_items}
        results = dict(self._db.results)
        if again:
            survivors = [(items[job_id], results[job_id]) for job_id in self.chosen
                         if job_id in results and results[job_id].test_outcome == TestOutcome.SURVIVED]  # fmt: skip
            missing = [item for item, result in survivors
                       if _mutant(item.mutations[0], result.diff).key not in explained]  # fmt: skip
        else:
            missing = [items[job_id] for job_id in self.chosen if job_id not in results]
        if not missing:
            return
        files = [f"tests/{name}.py" for name in self.part.tests]
        environment = {"PYTHONPATH": f"{self.copy / 'src'}{os.pathsep}{self.copy / 'tests'}",
                       "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        with contextlib.chdir(self.copy), mock.patch.dict(os.environ, environment):
            tests = TestsOfLines(self.copy, self.folder, ["-k", ON_FILES], files, all_of_them=again)
            for number, item in enumerate(missing, start=1):
                [change] = item.mutations
                chosen = tests.of(change.module_path, change.start_pos[0], change.end_pos[0])
                seconds = SECONDS + FACTOR * sum(map(tests.seconds.__getitem__, chosen))
                result = mutate_and_test(item.mutations, shlex.join(tests.command(chosen)), seconds)
                self._db.set_result(item.job_id, result)
                print(f"{number} of {len(missing)}: {result.test_outcome.value}", file=sys.stderr, flush=True)

    def result(self) -> Result:
        """What the tests saw of the chosen mutants."""
        from cosmic_ray.work_item import TestOutcome

        tried = killed = 0
        survivors = []
        for item, result in self._db.completed_work_items:
            if item.job_id in self.chosen:
                tried += 1
                killed += result.test_outcome != TestOutcome.SURVIVED
                if result.test_outcome == TestOutcome.SURVIVED:
                    survivors.append(_mutant(item.mutations[0], result.diff))
        return Result(tried, killed, sorted(survivors, key=lambda one: (one.file, one.number)))


def _is_annotation(change: Any, copy: Path) -> bool:
    """True for a change of a type, which means nothing to a program that runs."""
    return any(
        start <= change.start_pos and change.end_pos <= end for start, end in _annotations(copy / change.module_path)
    )


@functools.cache
def _annotations(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where a module has annotations."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
    return [((one.lineno, one.col_offset), (one.end_lineno or 0, one.end_col_offset or 0)) for one in found if one]


def _mutant(change: Any, diff: str) -> Mutant:
    lines = diff.splitlines()
    before = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    after = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    changed = list(difflib.ndiff(before, after))
    return Mutant(
        str(Path(change.module_path).relative_to("src/session_sqlite")),
        change.start_pos[0],
        " ".join(line[2:] for line in changed if line.startswith("- ")),
        " ".join(line[2:] for line in changed if line.startswith("+ ")),
    )
