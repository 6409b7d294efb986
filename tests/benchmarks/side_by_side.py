"""Ours, other libraries and the work by hand in turn, on the same events: a row a case, a column a contestant.

Each contestant has a process, a file and, if it is another library, an environment of its own (`peers`). A round asks
every contestant once, in random order; the figure is the median of the rounds.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import contestants, peers
from .measuring import amount, missing

if TYPE_CHECKING:
    from .cases import Sizes

TEXT: Final = (
    "In package {} the second step reads a file that the first one has not written yet. 先检查 main.go 第 {} 行：the"
    " channel is closed before the last value was sent, so the reader sees an empty list. Move the close() behind the"
    " loop, and wait for the group; then run the tests again, they should all pass. If they do not, print the length of"
    " the list before and after the loop, and send me the ten lines around the place where it changes."
)  # about 500 bytes
OURS: Final = "session-sqlite"
FLOOR: Final = "by hand"
BEGIN: Final = "<!-- fast: begin -->"
END: Final = "<!-- fast: end -->"


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        name: What is done.
        command: What the contestants are asked, see `contestants`.
        ours: Who stands for us.
        floor: Whose figure is the floor.
        target: The most that ours may be, as a multiple of the floor.
    """

    name: str
    command: str
    ours: str
    floor: str
    target: float


MESSAGES: Final = (f"{OURS}, messages", f"{FLOOR}, messages")


def cases(sizes: Sizes) -> list[Case]:
    """Returns the rows, in order."""
    batch, count = sizes.batch, sizes.messages
    turns = [length for length in (100, 1_000, 10_000) if length <= count]
    return [
        Case("append one event", "append 8", OURS, FLOOR, 1.2),
        Case("append one message", "append 8", *MESSAGES, 1.3),
        Case(f"append {batch:,} events in one call", f"batch {batch}", OURS, FLOOR, 1.6),
        Case(f"append {batch:,} messages in one call", f"batch {batch}", *MESSAGES, 1.8),
        Case(f"read {count:,} messages", "read plain", OURS, FLOOR, 1.15),
        Case(f"read {count:,} messages with usage", "read usage", OURS, FLOOR, 1.15),
        Case(f"read {count:,} messages, every fourth a tool call", "read mixed", OURS, FLOOR, 1.15),
        Case(f"read the last 20 of {count:,}", "last 20", OURS, FLOOR, 3),
        *(Case(f"a turn of a chain over {length:,} messages", f"turn {length}", OURS, "in memory", 1.2)
          for length in turns),
    ]  # fmt: skip


def events(kind: str, count: int) -> list[dict[str, Any]]:
    """Returns so many events of about 500 bytes: ``plain``, with ``usage``, or ``mixed`` (with calls, and results)."""
    made: list[dict[str, Any]] = []
    for number in range(count):
        role = "assistant" if number % 2 else "user"
        call = usage = None
        text = TEXT.format(number % 7, number)
        if kind == "mixed":
            role = ("user", "assistant", "tool", "assistant")[number % 4]
            if role == "tool":
                call = {key: made[-1]["call"][key] for key in ("id", "name")}
            elif number % 4 == 1:
                call = {"id": f"call_{uuid.uuid4().hex[:24]}", "name": "run_build",
                        "args": {"package": number % 7, "script": text}}  # fmt: skip
                text = ""
        if kind != "plain" and role == "assistant":
            usage = [800 + number % 100, 60]
        made.append({"role": role, "text": text, "id": f"run--{uuid.uuid4()}", "call": call, "usage": usage})
    return made


Seconds = dict[str, dict[str, float]]
"""The medians, by case and contestant."""


@dataclass(frozen=True)
class Measured:
    """All that a run has found.

    Attributes:
        machine: Where it ran.
        versions: What each contestant is.
        seconds: The figures; a contestant that has no such verb is left out.
    """

    machine: str
    versions: Mapping[str, str]
    seconds: Seconds


def measure(folder: Path, sizes: Sizes, machine: str) -> Measured:
    """Runs every case with every contestant."""
    kinds = {kind: events(kind, max(sizes.messages, sizes.batch)) for kind in ("plain", "usage", "mixed")}
    (folder / "events.json").write_text(json.dumps(kinds), encoding="utf-8")
    pythons = dict.fromkeys(contestants.OURS, Path(sys.executable))
    python = peers.python_of(sizes.peers or peers.FOLDER, may_make=not sizes.is_quick)
    if python is not None:
        pythons |= dict.fromkeys(contestants.PEERS, python)
    seconds: Seconds = {}
    versions: dict[str, str] = {}
    with ExitStack() as stack:
        running: dict[str, peers.Process] = {}
        for number, (name, its_python) in enumerate(pythons.items()):
            (folder / str(number)).mkdir()
            try:
                one = peers.Process(
                    its_python, name, str(folder / str(number)), folder / "events.json", "contestants.py"
                )
            except RuntimeError as error:
                missing(f"{name}: {error}")
                continue
            running[name] = stack.enter_context(one)
            versions[name] = one.said
        for case in cases(sizes):
            taking_part = {name: one for name, one in running.items() if _takes_part(case, name)}
            seconds[case.name] = _medians(case, taking_part, max(3, sizes.rounds // 4))
            print(f"{case.name}: {_shown(seconds[case.name])}", file=sys.stderr, flush=True)
    return Measured(machine, versions, seconds)


def _takes_part(case: Case, name: str) -> bool:
    return name in (case.ours, case.floor) or name in contestants.PEERS


def _medians(case: Case, running: Mapping[str, peers.Process], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    order = []
    for name, one in running.items():  # the first call stores what is read, and warms up
        if not math.isnan(one.ask(case.command)):
            order.append(name)
            times[name] = []
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            times[name].append(running[name].ask(case.command))
    return {name: statistics.median(measured) for name, measured in times.items()}


def _shown(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {amount(value)}" for name, value in seconds.items())


# ---------------------------------------------------------------- the table, the figures, the chart


def table(measured: Measured, all_cases: Sequence[Case]) -> str:
    """Returns the table of the README."""
    names = [name for name in contestants.PEERS if any(name in row for row in measured.seconds.values())]
    head = ["", "session-sqlite", "by hand", "ratio", "target", *names]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for case in all_cases:
        row = measured.seconds[case.name]
        ours, floor = row[case.ours], row[case.floor]
        cells = [
            case.name, amount(ours), amount(floor) + (" (in memory)" if case.floor == "in memory" else ""),
            f"{ours / floor:.2f}", f"≤ {case.target:g}",
            *(amount(row[name]) if name in row else "–" for name in names),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rows_in(readme: str) -> list[str]:
    """Returns the first cells of the README's table."""
    lines = readme.split(BEGIN)[1].split(END)[0].strip().splitlines()
    return [line.split("|")[1].strip() for line in lines if line.startswith("| ") and not line.startswith("|  |")]


def written(readme: str, measured: Measured, all_cases: Sequence[Case]) -> str:
    """Returns the README with the table of this run."""
    versions = sorted({version for version in measured.versions.values() if version})
    note = f"{measured.machine}. {', '.join(versions)}."
    start, rest = readme.split(BEGIN)
    return f"{start}{BEGIN}\n{table(measured, all_cases)}\n\n{note}\n{END}{rest.split(END)[1]}"


def as_json(measured: Measured) -> str:
    """Returns the figures for programs."""
    return json.dumps(measured.__dict__, ensure_ascii=False, indent=1) + "\n"


def draw(measured: Measured, all_cases: Sequence[Case], path: Path) -> None:
    """Draws how many times as long as ours each other takes, a panel a case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    columns = 3
    figure, panels = pyplot.subplots(-(-len(all_cases) // columns), columns, figsize=(13, 10), layout="constrained")
    for panel in panels.flat[len(all_cases) :]:
        panel.remove()
    for panel, case in zip(panels.flat, all_cases, strict=False):
        row = measured.seconds[case.name]
        names = sorted(row, key=row.__getitem__, reverse=True)
        shown = ["session-sqlite" if name == case.ours else "by hand" if name.startswith(FLOOR) else name
                 for name in names]  # fmt: skip
        bars = panel.barh(shown, [row[name] for name in names],
                          color=["#1f6feb" if name == case.ours else "#8c959f" for name in names])  # fmt: skip
        panel.bar_label(bars, labels=[amount(row[name]) for name in names], padding=3, fontsize=8)
        panel.set_title(case.name, fontsize=10, loc="left")
        panel.margins(x=0.25)
        panel.tick_params(labelsize=8)
        panel.xaxis.set_visible(False)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(path, dpi=110)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)  # a third of the bytes, and looks the same
    pyplot.close(figure)
