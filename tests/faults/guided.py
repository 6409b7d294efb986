"""Inputs that are led by what they reach: atheris keeps the bytes that take a new branch, and changes those further.

The targets and their checks are those of `hostile_input`, whose random choices are read from the bytes here. Each
target runs in a process of its own, ``python -m tests.faults.guided TARGET RUNS FILE``, which writes its outcomes into
the file.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from .trials import QUICK, Length, Trial, Tried, UnavailableError


def fuzz(target: str, runs: int, outcomes: Path) -> None:
    """Gives a target so many inputs; ends the process."""
    import atheris  # where it is

    with atheris.instrument_imports(include=["session_sqlite"]):
        from session_sqlite import SessionError  # as it is imported, it is made to tell its branches

        from . import hostile_input

    class Guided(hostile_input.Input):
        """Choices that are read from bytes; zeros behind their end."""

        def __init__(self, data: bytes) -> None:
            super().__init__()
            self._data, self._place = data, 0

        def getrandbits(self, bits: int, /) -> int:
            """As many bits as asked for, of the next bytes."""
            count = (bits + 7) // 8
            taken = self._data[self._place : self._place + count]
            self._place += count
            return int.from_bytes(taken, "little") & ((1 << bits) - 1)

        def random(self) -> float:
            """A fraction of two bytes."""
            return self.getrandbits(16) / 65536

    counted = {"taken": 0, "refused": 0}
    stores = hostile_input.Stores()

    def one(data: bytes) -> None:
        try:
            hostile_input.TARGETS[target](stores, Guided(data))
        except SessionError:
            counted["refused"] += 1
        else:
            counted["taken"] += 1
        if sum(counted.values()) == runs:
            outcomes.write_text(json.dumps(counted), "utf-8")

    # Long enough for every choice of an input; no crash is written into the folder of whoever runs this.
    options = [f"-runs={runs + 1}", "-max_len=512", "-len_control=0", "-seed=1", f"-artifact_prefix={outcomes.parent}/"]
    atheris.Setup(["guided", *options, "-verbosity=0"], one)
    atheris.Fuzz()


def run(folder: Path, length: Length) -> Tried:
    if importlib.util.find_spec("atheris") is None:
        raise UnavailableError("atheris is not installed: pip install atheris")
    from .hostile_input import TARGETS  # the fuzzer's processes import it in a way of their own

    targets = list(TARGETS) if length.share > QUICK else list(TARGETS)[:1]
    runs = length.of(10_000, at_least=200)
    taken: dict[str, int] = {}
    for target in targets:
        outcomes = folder / "outcomes"
        outcomes.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.faults.guided", target, str(runs), str(outcomes)]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
        assert outcomes.exists(), f"an input of {target} failed:\n{done.stderr[-4000:]}"
        taken[target] = json.loads(outcomes.read_text("utf-8"))["taken"]
    by_target = ", ".join(f"{target} {count:,}" for target, count in taken.items())
    return Tried(
        f"{runs * len(targets):,} inputs, {runs:,} for each of {len(targets)} targets, led by the branches they took",
        f"0 errors that are not ours, 0 values that came back otherwise; taken: {by_target}; the others refused",
    )


GUIDED: Final = Trial("guided-input", "An input that looks for a way through is taken as it is, or refused", run)

if __name__ == "__main__":
    fuzz(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
