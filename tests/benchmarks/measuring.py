"""Rounds in random order, medians, and the table that is printed."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        case: What was done.
        ours: The median of ours.
        floor: The median of what it is compared with.
        target: The most that ours may be, as a multiple of the floor; None if there is none.
        unit: What the two are in: ``"s"`` (seconds) or ``"B"`` (bytes).
    """

    case: str
    ours: float
    floor: float
    target: float | None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """Ours as a multiple of the floor."""
        return self.ours / self.floor

    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        target, verdict = "", ""
        better = "smaller" if self.unit == "B" else "faster"
        if self.target is not None:
            target = f"≤ {self.target:g}×" if self.target >= 0.5 else f"≥ {1 / self.target:g}× {better}"
            verdict = "" if self.ratio <= self.target else "missed"
        ratio = f"{self.ratio:.2f}×" if self.target is None or self.target >= 0.5 else f"{1 / self.ratio:.1f}× {better}"
        return self.case, amount(self.ours, self.unit), amount(self.floor, self.unit), ratio, target, verdict


def medians(rounds: int, /, *, calls: int = 1, **variants: Callable[[], object]) -> dict[str, float]:
    """The median seconds of one call of each variant.

    A round times every variant once, in random order. Before each the garbage collector runs, and it stays on: both
    sides start from the same heap and pay for what they allocate. What a call returns is freed outside of the time.

    Args:
        rounds: How many rounds.
        calls: How many calls in a row are timed together, for what is too short to be timed alone.
        variants: The functions.
    """
    return rounds_of(rounds, **{name: partial(seconds_of, run, calls) for name, run in variants.items()})


def seconds_of(run: Callable[[], object], calls: int = 1) -> float:
    """The seconds of one call, of so many in a row."""
    gc.collect()
    begin = time.perf_counter()
    results = [run() for _ in range(calls)]
    seconds = (time.perf_counter() - begin) / calls
    del results
    return seconds


def rounds_of(rounds: int, /, **variants: Callable[[], float]) -> dict[str, float]:
    """The median of what each variant returns: seconds that it measured itself. The rounds are those of `medians`."""
    for measure in variants.values():  # caches, prepared statements, lazy imports
        measure()
    times: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            times[name].append(variants[name]())
    return {name: statistics.median(measured) for name, measured in times.items()}


_missing: list[str] = []


def missing(what: str) -> None:
    """Takes note of what cannot be measured here, and why."""
    _missing.append(what)


def print_missing() -> None:
    """Prints what could not be measured, in red."""
    for what in _missing:
        print(f"\033[31mnot run: {what}\033[0m")


def amount(value: float, unit: str = "s") -> str:
    """Returns a figure with its unit."""
    if unit == "B":
        return f"{value / 1e6:,.2f} MB"
    for size, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size:
            return f"{value / size:,.1f} {name}"
    return f"{value * 1e9:.0f} ns"


HEAD = ("case", "ours", "floor", "ratio", "target", "")


def print_table(figures: list[Figure]) -> None:
    """Prints the figures in columns."""
    lines = [HEAD, *(figure.cells() for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    for line in lines:
        first, *rest = line
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
