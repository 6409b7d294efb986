"""Searching, with the index of the store or without one, a page at a time."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from session_sqlite import queries
from session_sqlite.database import LAST_ROW, Database, Found, Request
from session_sqlite.errors import InvalidInputError
from session_sqlite.search import in_order, scan


def find(database: Database, request: Request, limit: int) -> list[Found]:
    """Returns the first hits of a request."""
    if database.index is not None:
        return database.index.find(request, limit)
    return in_order(scan(database, request), request, limit)


def position_after(database: Database, page: Sequence[Found], request: Request) -> list[Any]:
    """Returns the place where a page ended: the last row with the newest first, or by rank all rows shown so far.

    A score depends on what else is in the store: once something is appended, it no longer says where a page ended.
    The place also has the newest row at the first page, since later pages leave out what was appended after it.
    """
    if request.newest_first:
        return [page[-1].row_id - 1, ""]
    until_row = request.until_row
    if until_row == LAST_ROW:
        until_row = database.read(queries.NEWEST_ROW, {}, tuple)[0][0]
    return [until_row, _packed(request.seen.union(match.row_id for match in page))]


def beyond(request: Request, position: Sequence[Any]) -> Request:
    """Returns the request for the page after a place; see `position_after`. Raises `InvalidInputError`."""
    until_row, packed = position
    try:
        steps = zlib.decompress(base64.b85decode(packed)).split() if packed else []
        seen = frozenset(accumulate(int(step, 16) for step in steps))
    except (ValueError, zlib.error):
        raise InvalidInputError("the cursor is not one that this list returned") from None
    if not all(0 <= row <= LAST_ROW for row in (until_row, *seen)):
        raise InvalidInputError("the cursor is not one that this list returned")
    return replace(request, until_row=until_row, seen=seen)


def _packed(rows: Iterable[int]) -> str:
    """Returns the numbers of rows as a short text, which holds the distance of each to the one before."""
    steps, before = [], 0
    for row in sorted(rows):
        steps.append(f"{row - before:x}")
        before = row
    return base64.b85encode(zlib.compress(" ".join(steps).encode())).decode()
