"""The command: ``python -m tests.benchmarks [--quick] [--only NAME]``."""

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

from .cases import GROUPS, QUICK, Sizes
from .measuring import Figure, print_missing, print_table


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


def main() -> None:
    """Runs what was asked for and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measures the store.")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--only", choices=list(GROUPS), action="append", help="one group of cases; may be repeated")
    parser.add_argument("--peers", type=Path, metavar="FOLDER",
                        help="the environment of other libraries, which is made if it is not there")  # fmt: skip
    options = parser.parse_args()
    sizes = replace(QUICK if options.quick else Sizes(), peers=options.peers)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="session-sqlite-benchmarks-") as name:
        folder = Path(name)
        print(
            f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}, "
            f"{os.cpu_count()} processors; files in {folder.parent}, where an fsync takes "
            f"{_fsync_seconds(folder) * 1e3:.2f} ms"
        )
        for group in options.only or GROUPS:
            begin = time.perf_counter()
            figures += GROUPS[group](folder, sizes)
            print(f"{group}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    print_table(figures)
    print_missing()
    missed = sum(1 for figure in figures if figure.target is not None and figure.ratio > figure.target)
    print(f"{missed} of {sum(figure.target is not None for figure in figures)} targets missed")


if __name__ == "__main__":
    main()
