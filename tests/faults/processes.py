"""The processes that trials start: modules of this folder as programs, which print what they saw as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

TESTS: Final = Path(__file__).parent.parent
NOTHING: Final[Mapping[str, object]] = {}


def start(
    module: str, *args: object, before: Sequence[str] = (), environment: Mapping[str, object] = NOTHING
) -> subprocess.Popen[str]:
    """Starts a module of this folder with arguments; ``before`` is a command that starts the interpreter."""
    paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    more = {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [*before, sys.executable, "-m", f"faults.{module}", *map(str, args)],
        env={**os.environ, "PYTHONPATH": paths, **more},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip


def outcome(program: subprocess.Popen[str], seconds: float = 3600) -> Any:
    """Waits for a program, which must end well, and returns what its last line says."""
    try:
        printed, complaints = program.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        program.kill()
        raise AssertionError(f"{program.args!r} hangs: {program.communicate()}") from None
    assert program.returncode == 0, (
        f"{program.args!r} ended with {program.returncode}: {printed[-999:]}{complaints[-3000:]}"
    )
    return json.loads(printed.splitlines()[-1])


def run(module: str, *args: object, before: Sequence[str] = (), environment: Mapping[str, object] = NOTHING) -> Any:
    """Runs a module of this folder to its end and returns what it saw."""
    return outcome(start(module, *args, before=before, environment=environment))


def says(seen: Any) -> None:
    """Prints what this program saw, for `outcome`."""
    print(json.dumps(seen), flush=True)


def forked(function: Callable[..., object], *args: object) -> int:
    """Runs a function in a child of this program, which must have no threads; returns the process id at once."""
    child = os.fork()
    if child:
        return child
    try:
        function(*args)
        os._exit(0)
    except BaseException:  # noqa: BLE001  # the parent sees that it ended, and the reason stands in its own output
        traceback.print_exc()
        os._exit(1)


def ended(child: int) -> int:
    """Waits for a child and returns how it ended: 0 is well, a negative number the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
