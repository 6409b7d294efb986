"""Searching: with the index of the store or without one, and pages that go on where the last one ended."""

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
    """Returns where a page ended: the newest first, that is a row; by rank it is which rows were shown.

    A score depends on what else is in the store, so it cannot tell where a page ended once something is appended.
    What is appended after the first page is not in those that follow.
    """
    if request.newest_first:
        return [page[-1].row_id - 1, ""]
    until_row = request.until_row
    if until_row == LAST_ROW:
        until_row = database.read(queries.NEWEST_ROW, {}, tuple)[0][0]
    return [until_row, _packed(request.seen.union(one.row_id for one in page))]


def beyond(request: Request, position: Sequence[Any]) -> Request:
    """Returns the request for what follows a page; see `position_after`. Raises `InvalidInputError`."""
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
    """Returns rows as short text: the distance of each to the one before."""
    steps, before = [], 0
    for row in sorted(rows):
        steps.append(f"{row - before:x}")
        before = row
    return base64.b85encode(zlib.compress(" ".join(steps).encode())).decode()
