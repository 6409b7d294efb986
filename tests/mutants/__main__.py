"""The command: ``python -m tests.mutants [PART ...] [--count 200] [--again] [--folder FOLDER] [--write]``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from . import survivors
from .parts import PARTS
from .trying import Mutants


def main() -> None:
    """Tries the mutants of each part that have not been tried, and prints how many were seen, and the others."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Tries what changes no test sees.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--count", type=int, default=200, help="the mutants of each part")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "session-sqlite-mutants"),
                        help="where to work, and to go on after a stop")  # fmt: skip
    parser.add_argument(
        "--again", action="store_true", help="all tests against those that no test has seen, and that have no reason"
    )
    parser.add_argument("--write", action="store_true", help="write the survivors beside this command")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if options.count < 1:
        parser.error("--count must be at least 1")
    listed = survivors.read()
    for name in options.parts or PARTS:
        with Mutants(name, options.folder.absolute() / name) as mutants:
            mutants.choose(options.count)
            mutants.run(again=options.again, explained=listed[name].explained if name in listed else ())
            result = mutants.result()
        print(f"{name}: {result.tried} mutants, {result.killed} seen by a test ({result.killed / result.tried:.0%})")
        for mutant in result.survivors:
            print(f"  {mutant.file}:{mutant.number}\n    - {mutant.line}\n    + {mutant.becomes}", flush=True)
        if options.write:
            survivors.write(name, result)


if __name__ == "__main__":
    main()
