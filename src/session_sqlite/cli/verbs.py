"""The group of all commands and its command: help with examples, and how a command ends.

Exit codes: 0 done; 1 failed, or not all of it could be done; 2 wrong usage; 3 an import skipped records; 130 ended by
Ctrl-C; 141 ended because the reader of the output, such as `head`, went away.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import click

from session_sqlite.errors import SessionError
from session_sqlite.transcript import visible

INCOMPLETE: Final = 3  # of an import that skipped records
INTERRUPTED: Final = 130  # as a shell names a program that Ctrl-C ended
NO_READER: Final = 141  # as it names one that wrote to nobody

_SECTIONS: Final = {
    "Look": ("list", "sessions", "show", "search", "tail"),
    "Count": ("stats", "usage", "tools", "query"),
    "Change": ("rename", "fork", "rewind", "clear"),
    "Remove": ("delete", "prune", "redact", "erase"),
    "Bring and take": ("import", "export", "copy", "backup"),
    "Others": (),  # those that no other section names
}


class Verb(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples, a line each."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}session-sqlite {example}\n")


class Verbs(click.Group):
    """A group of commands: its help has them in sections, and no command ends with a traceback."""

    command_class = Verb

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Reads the command line, and prints the help if that is wanted."""
        with _quiet_without_reader():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; prints an error as one line, and is quiet about Ctrl-C and a reader that went away."""
        with _quiet_without_reader():
            try:
                return super().invoke(ctx)
            except SessionError as error:
                if _is_broken_pipe(error.__cause__):
                    raise error.__cause__ from None  # type: ignore[misc]  # it is an OSError
                raise click.ClickException(visible(error)) from error
            except KeyboardInterrupt:
                click.echo(err=True)  # the shell's next prompt begins a line
                ctx.exit(INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands in sections."""
        left = {name: command for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))}
        width = max(map(len, left))
        for section, names in _SECTIONS.items():
            listed = [name for name in names if name in left] or ([] if names else list(left))
            most = formatter.width - width - 6
            rows = [(f"{name:{width}}", left.pop(name).get_short_help_str(most)) for name in listed]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)


@contextmanager
def _quiet_without_reader() -> Iterator[None]:
    """Ends the program if nobody reads its output any more."""
    try:
        yield
    except OSError as error:
        if not _is_broken_pipe(error):
            raise
        # What is still in the buffer goes nowhere; otherwise Python complains when it writes that at the end.
        with open(os.devnull, "wb") as nowhere, suppress(OSError, ValueError):
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise SystemExit(NO_READER) from None


def _is_broken_pipe(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE
