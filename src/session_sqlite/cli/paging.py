"""A pager for long output on a terminal: the program that PAGER names, or less."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from typing import Final

import click

pager_option = click.option(
    "--pager/--no-pager", default=True, help="Show long output a page at a time, on a terminal.  [default: pager]"
)
# As git has it: leave when all is on one page, show colours, and leave the text on the screen at the end.
_LESS: Final = "FRX"


def print_blocks(blocks: Iterable[str], *, paged: bool) -> None:
    """Prints blocks of lines, through a pager if that is wanted, the output is a terminal, and there is one."""
    command = _pager() if paged and sys.stdout.isatty() else []
    if not command:
        for block in blocks:
            # Without `file`, click replaces an ASCII stream, and loses the error handler that `main` has set.
            click.echo(block, file=sys.stdout)
        return
    environment = {"LESS": _LESS, "LV": "-c", **os.environ}
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603  # the user's own
    except OSError as error:
        raise click.ClickException(f"the pager {command[0]!r} does not run: set PAGER, or give --no-pager") from error
    assert pager.stdin is not None  # noqa: S101  # for type checkers
    try:
        # A pager that was left before the end of the text reads no more of it.
        with contextlib.suppress(BrokenPipeError), pager.stdin as page:
            for block in blocks:
                page.write(f"{block}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
    finally:
        _wait(pager)


def _pager() -> list[str]:
    """Returns the command of the pager; empty for none."""
    wanted = os.environ.get("PAGER")
    if wanted is None:
        return [less] if (less := shutil.which("less")) else []
    try:
        words = shlex.split(wanted, posix=os.name != "nt")
    except ValueError as error:  # a quotation mark that is not closed
        raise click.ClickException(f"PAGER is not a command: {error}") from error
    return [] if words == ["cat"] else words


def _wait(pager: subprocess.Popen[bytes]) -> None:
    while True:
        # Ctrl-C is a key of the pager's own: it stops a search there, for one.
        with contextlib.suppress(KeyboardInterrupt):
            pager.wait()
            return
