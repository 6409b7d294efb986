"""The command: ``python -m tests.faults [--only NAME] [--share 0.1] [--write]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .every import TRIALS
from .table import written
from .trials import FULL, Length, Tried, UnavailableError

README = Path(__file__).parents[2] / "README.md"


def main() -> None:
    """Runs what was asked for, prints each row, and writes those of a full length into the README if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Tries what must never go wrong.")
    parser.add_argument("--only", choices=list(TRIALS), action="append", help="one trial; may be repeated")
    parser.add_argument("--share", type=float, default=FULL, help="how much of the full length: 0.1 is a tenth")
    parser.add_argument("--write", action="store_true", help="write the rows into the README")
    options = parser.parse_args()
    tried: dict[str, Tried] = {}
    broken: list[str] = []
    for name in options.only or TRIALS:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=f"session-sqlite-{name}-") as folder:
            try:
                tried[name] = TRIALS[name].run(Path(folder), Length(options.share))
            except UnavailableError as reason:
                print(f"{name}: not run: {reason}", flush=True)
                continue
            except AssertionError as error:
                broken.append(name)
                print(f"{name}: BROKEN: {error}", flush=True)
                continue
        print(f"{name}: {tried[name].what}: {tried[name].found} ({time.perf_counter() - begin:.0f} s)", flush=True)
    if options.write:
        README.write_text(written(README.read_text("utf-8"), list(TRIALS.values()), tried), "utf-8")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
