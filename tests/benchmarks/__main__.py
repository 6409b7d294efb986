"""The command: ``python -m tests.benchmarks [--quick] [--only NAME] [--write]``."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from . import side_by_side
from .cases import GROUPS, QUICK, Sizes
from .measuring import Figure, print_missing, print_table

ROOT = Path(__file__).parents[2]
SIDE_BY_SIDE = "side by side"
IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}


def _fsync_seconds(folder: Path) -> float:
    """What a durable append waits for; where this is next to nothing, the folder is in memory."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            begin = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def file_system(folder: Path, mounts: str | None = None) -> str:
    """Returns the kind of file system that a folder is on, where the system says so."""
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8")
        except OSError:
            return "an unknown file system"
    found = ("", "an unknown file system")
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        if folder.is_relative_to(place) and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def main() -> None:
    """Runs what was asked for and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measures the store.")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--only", choices=[SIDE_BY_SIDE, *GROUPS], action="append",
                        help="one group of cases; may be repeated")  # fmt: skip
    parser.add_argument("--but", choices=[SIDE_BY_SIDE, *GROUPS], action="append", default=[],
                        help="all groups but this one; may be repeated")  # fmt: skip
    parser.add_argument("--peers", type=Path, metavar="FOLDER",
                        help="the environment of other libraries, which is made if it is not there")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="where the files are made, if not where temporary files are")
    parser.add_argument("--note", default="", help="a sentence on the machine, for the README")
    parser.add_argument("--write", action="store_true",
                        help="write table, chart and figures of 'side by side' into the repository")  # fmt: skip
    options = parser.parse_args()
    sizes = replace(QUICK if options.quick else Sizes(), peers=options.peers)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="session-sqlite-benchmarks-", dir=options.folder) as name:
        folder = Path(name).resolve()
        kind = file_system(folder)
        if kind in IN_MEMORY and not options.quick:
            sys.exit(f"{folder.parent} is a {kind}, in memory: nothing waits for a disk there; name a --folder on one")
        machine = (
            f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}, "
            f"{os.cpu_count()} processors, {kind}, where an fsync takes {_fsync_seconds(folder) * 1e3:.1f} ms"
        )
        print(f"{machine}; files in {folder.parent}", flush=True)
        for group in options.only or [SIDE_BY_SIDE, *GROUPS]:
            if group in options.but:
                continue
            begin = time.perf_counter()
            if group == SIDE_BY_SIDE:
                _side_by_side(folder, sizes, f"{options.note} {machine}".strip(), write=options.write)
            else:
                figures += GROUPS[group](folder, sizes)
            print(f"{group}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    print_table(figures)
    print_missing()
    missed = sum(1 for figure in figures if figure.target is not None and figure.ratio > figure.target)
    print(f"{missed} of {sum(figure.target is not None for figure in figures)} targets missed")


def _side_by_side(folder: Path, sizes: Sizes, machine: str, *, write: bool) -> None:
    cases = side_by_side.cases(sizes)
    measured = side_by_side.measure(folder, sizes, machine)
    print(side_by_side.table(measured, cases))
    if write:
        readme = ROOT / "README.md"
        readme.write_text(side_by_side.written(readme.read_text("utf-8"), measured, cases), "utf-8")
        (ROOT / "tests/benchmarks/side_by_side.json").write_text(side_by_side.as_json(measured), "utf-8")
        side_by_side.draw(measured, cases, ROOT / ".github/images/side-by-side.png")


if __name__ == "__main__":
    main()
