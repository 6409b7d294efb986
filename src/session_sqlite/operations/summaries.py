"""Summaries: reading the older events of a session for a summarizer, and storing its answer in their place."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Database, Reads, Transaction
from session_sqlite.errors import InvalidInputError, StaleSessionError
from session_sqlite.models import Event
from session_sqlite.operations import appending
from session_sqlite.operations.forks import before_calls, tool_spans
from session_sqlite.operations.lookup import missing, of_session, require
from session_sqlite.operations.reading import EventQuery, events, seq_before
from session_sqlite.operations.windows import latest_turns, newest_summary


class Runnable(Protocol):
    """The part of a LangChain Runnable that a summary needs."""

    def invoke(self, input: Any, /) -> Any:
        """Returns the answer to an input."""


Summarizer = Callable[[list[Any]], Any] | Runnable
"""A function of a list of LangChain messages, or a Runnable, that returns a text or a message."""


@dataclass(frozen=True)
class OlderPart:
    """The older events of a session, for a summarizer.

    Attributes:
        key: The session.
        messages: LangChain messages: the previous summary, if there is one, and the messages since.
        last: The last event that the summary supersedes.
    """

    key: SessionKey
    messages: list[Any]
    last: Event


def older_part(database: Database, key: SessionKey, keep_last: int) -> OlderPart | None:
    """Returns the events to summarize; None if there are none."""
    reading = Reads(database)
    require(reading, key)
    before = newest_summary(database, key)
    begin = 0 if before is None else before.supersedes
    kept = latest_turns(database, key, max(1, keep_last), after=begin)
    if not kept:
        return None
    spans, waiting = tool_spans(reading.rows(queries.EVENTS_WITH_TOOLS, key.params()))
    seqs = [event.seq for event in kept if event.seq]  # a damaged event may have none
    if not seqs:
        return None
    if keep_last or any(seq >= seqs[0] for seq in waiting):  # keep a turn that still waits for a tool's result
        turn_of = lambda seq: seq_before(reading, queries.LAST_USER_SEQ_BEFORE, key, seq)  # noqa: E731
        end = math.ceil(before_calls(spans, seqs[0] - 1, turn_of)) + 1
    else:
        end = seqs[-1] + 1
    where = of_session(key).also(queries.AFTER, after=begin).also(queries.BEFORE, before=end)
    older = [event for _, event in events(database, EventQuery(key, where), None) if not event.supersedes and event.seq]
    from session_sqlite.messages.langchain import messages_of  # LangChain is loaded when a summary is made

    messages = messages_of(older)
    if not messages:
        return None
    return OlderPart(key, messages if before is None else [*messages_of([before]), *messages], older[-1])


def ask(summarizer: Summarizer, messages: list[Any]) -> Any:
    """Returns the answer of a function or a Runnable. Raises `InvalidInputError` if it is neither."""
    invoke = getattr(summarizer, "invoke", None)
    if callable(invoke):
        return invoke(messages)
    if callable(summarizer):
        return summarizer(messages)
    raise InvalidInputError("summarizer must be a function of a list of messages, or a Runnable")


def text_of(answer: Any) -> str:
    """Returns the text of a summarizer's answer. Raises `InvalidInputError` if there is none."""
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise InvalidInputError("the summarizer is asynchronous: nothing was stored; give it to AsyncSessionService")
    text = answer if isinstance(answer, str) else getattr(answer, "text", None)
    if not isinstance(text, str) or not text.strip():
        raise InvalidInputError("the summarizer returned no text: nothing was stored")
    return str.__str__(text)


def store(tx: Transaction, older: OlderPart, batch: appending.Batch) -> Event:
    """Appends a summary and returns it; or returns the stored one if another writer has summarized the same meanwhile.

    Raises:
        StaleSessionError: The summarized events were removed meanwhile.
    """
    key, last = older.key, older.last
    if not tx.lock(key):
        raise missing(key)
    where = of_session(key).also(queries.A_SUMMARY).with_values(limit=1)
    rows = tx.rows(where.statement(queries.EVENTS, queries.NEWEST_FIRST + queries.LIMITED), where.params)
    stored = [codec.decode_event(row) for row in rows]
    if stored and stored[0].supersedes >= last.seq:
        return stored[0]
    present = tx.rows(queries.EVENT_AT_SEQ, {**key.params(), "seq": last.seq})
    if not present or codec.decode_event(present[0]).id != last.id:
        raise StaleSessionError(f"{key} has lost the events that were summarized: summarize it again")
    return appending.append(tx, key, batch)[0]
