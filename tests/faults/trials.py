"""What a trial is: something that goes wrong on purpose, often, and a promise that holds all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

QUICK = 0.01  # of the full length: seconds, in every run of the tests
FULL = 1.0  # the table in the README


@dataclass(frozen=True)
class Length:
    """How much of its full length a trial runs."""

    share: float

    def of(self, full: int, *, at_least: int = 1) -> int:
        """The rounds of a trial that has ``full`` at its full length."""
        return max(at_least, round(full * self.share))


@dataclass(frozen=True)
class Tried:
    """What a trial did and found: the cells of its row in the README, both with their figures."""

    what: str
    found: str


@dataclass(frozen=True)
class Trial:
    """One row of the table: `run` gets an empty folder and a length.

    It raises `AssertionError` if `promise` is broken, and `UnavailableError` with the reason if the machine lacks
    what it needs (a compiler, a server).
    """

    name: str  # of --only, in lower case with hyphens
    promise: str  # a sentence that must hold
    run: Callable[[Path, Length], Tried]


class UnavailableError(Exception):
    """A machine lacks what a trial needs; the text says what."""
