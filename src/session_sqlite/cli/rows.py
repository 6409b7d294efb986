"""Rows for programs: JSON, JSON Lines, CSV or TSV, in UTF-8 whatever encoding the terminal has.

Each is printed as the rows are read, so that memory does not grow with their number.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import update_wrapper
from typing import Any, Final, Generic, Literal, TypeVar

import click

from session_sqlite.transcript import visible

T = TypeVar("T")
Form = Literal["json", "jsonl", "csv", "tsv"]
ROW_FORMS: Final[tuple[Form, ...]] = ("json", "jsonl", "csv", "tsv")
_ABOUT: Final[dict[Form, str]] = {
    "json": "Print JSON.",
    "jsonl": "Print JSON Lines: one object on each line.",
    "csv": "Print CSV; formulas are made harmless.",
    "tsv": "Print tab-separated values; formulas are made harmless.",
}

# Characters that JSON allows in a string, and that can control a terminal.
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# A spreadsheet that opens a CSV file takes a cell that begins so for a formula, and runs it.
# What OWASP's page on CSV injection names; some spreadsheets take the full-width forms for the others.
_RUNS_IN_A_SPREADSHEET: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NEXT: Final = ",\n  "  # between two items of a JSON document
_TSV_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def form_options(*forms: Form) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds an option for each form to a command, which gets the wanted one as ``form``; None for people."""

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            wanted = [form for form in forms if options.pop(f"as_{form}")]
            if len(wanted) > 1:
                raise click.UsageError(f"give {' or '.join(f'--{form}' for form in wanted)}, not both")
            return verb(*args, form=wanted[0] if wanted else None, **options)

        command: Callable[..., Any] = update_wrapper(run, verb)
        for form in reversed(forms):
            command = click.option(f"--{form}", f"as_{form}", is_flag=True, help=_ABOUT[form])(command)
        return command

    return decorate


class Limited(Generic[T]):
    """At most so many items of a stream.

    Attributes:
        count: The number of items that were taken.
        more: True if the stream had another item behind the last.
    """

    def __init__(self, items: Iterable[T], limit: int) -> None:
        self._items = iter(items)
        self._limit = limit
        self.count = 0
        self.more = False

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            if self.count == self._limit:
                self.more = True
                return
            self.count += 1
            yield item


def print_rows(form: Form, rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Prints rows; CSV and TSV have the columns ``names``, JSON has all values of a row."""
    printer = RowPrinter(form, names)
    for row in rows:
        printer.add(row)
    printer.end(names)


class RowPrinter:
    """A printer of rows that come one by one; nothing is printed before the first, so that an error comes alone."""

    def __init__(self, form: Form, names: Sequence[str] | None = None) -> None:
        """Makes a printer for rows of a form, with the columns ``names``, or those of the first row."""
        self._form = form
        self._names = names
        self._has_begun = False

    def add(self, row: Mapping[str, Any]) -> None:
        """Prints a row."""
        begins = not self._has_begun
        self._has_begun = True
        if self._form == "json":
            _print(f"{'[' if begins else NEXT}{json_text(row_for_json(row))}")
        elif self._form == "jsonl":
            _print(f"{json_text(row_for_json(row))}\n")
        else:
            if self._names is None:
                self._names = tuple(row)
            if begins:
                self._separated(self._names)
            self._separated([row[name] for name in self._names])

    def end(self, names: Sequence[str]) -> None:
        """Prints what stands behind the last row; without rows, what stands for none: the columns, say."""
        if self._form == "json":
            _print("]\n" if self._has_begun else "[]\n")
        elif self._form != "jsonl" and not self._has_begun:
            self._separated(names)

    def _separated(self, cells: Iterable[object]) -> None:
        _print((_csv_line if self._form == "csv" else _tsv_line)(cells))


def print_json(start: str, items: Iterable[object], end: str) -> None:
    """Prints one JSON document, an item on each line."""
    gap = ""
    for item in items:  # an error in reading the first leaves no output behind
        _print(f"{gap or start}{json_text(item)}")
        gap = NEXT
    _print(f"{'' if gap else start}{end}\n")


def print_json_lines(items: Iterable[object]) -> None:
    """Prints one JSON value on each line."""
    for item in items:
        _print(f"{json_text(item)}\n")


def print_separated(form: Literal["csv", "tsv"], names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    r"""Prints a header and rows as CSV (RFC 4180) or as TSV, which has ``\t`` and ``\n`` for tabs and newlines.

    Text that a spreadsheet would run as a formula gets an apostrophe in front. Control characters are shown as escapes.
    """
    print_rows(form, (dict(zip(names, row, strict=True)) for row in rows), names)


def _print(text: str) -> None:
    click.echo(text.encode("utf-8", "backslashreplace"), nl=False)


def json_text(value: object) -> str:
    """Returns a value as JSON in one line, whose strings cannot control a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=_for_json)
    # All these characters are inside of strings, where JSON allows an escape.
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _for_json(value: object) -> object:
    if isinstance(value, bytes):
        return {"$base64": True, "encoded": b64encode(value).decode()}  # the form of sqlite-utils
    return value.isoformat() if isinstance(value, datetime) else str(value)


def row_for_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row with infinite numbers as text, since JSON has none."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _csv_line(row: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(map(_csv_cell, row))
    return line.getvalue()


def _csv_cell(value: object) -> object:
    if value is None or isinstance(value, (int, float)):
        return value
    text = _cell_text(value)
    return _defused(text) + visible(text.replace("\r\n", "\n"), lines=True)


def _tsv_line(row: Iterable[object]) -> str:
    return "\t".join(map(_tsv_cell, row)) + "\n"


def _tsv_cell(value: object) -> str:
    if value is None or isinstance(value, (int, float)):
        return "" if value is None else str(value)
    text = _cell_text(value)
    # A quotation mark would begin a quoted cell there, though TSV has none: with a formula in it, or with tabs.
    return _defused(text, '"') + visible(text.translate(_TSV_ESCAPES))


def _cell_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else json_text(value)


def _defused(text: str, *more: str) -> str:
    return "'" if text.startswith((*_RUNS_IN_A_SPREADSHEET, *more)) else ""
