"""What becomes of conversations: copies, steps back, summaries.

A *fork* copies a session up to an event, a *rewind* takes back its last turns, a *summary* stands for its older events
without deleting them. None of them separates a tool's result from its call.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from session_sqlite import codec, queries
from session_sqlite.codec import SessionKey
from session_sqlite.database import Reading, Reads, Row, Transaction
from session_sqlite.errors import (
    CorruptStoreError,
    EventNotFoundError,
    InvalidInputError,
    SessionExistsError,
    StaleSessionError,
)
from session_sqlite.models import REMOVE, Event
from session_sqlite.service.agent_messages import AgentMessages
from session_sqlite.service.conversations import present_state, write_state
from session_sqlite.service.scoped import as_is, missing
from session_sqlite.session import Session


class Runnable(Protocol):
    """What of a LangChain Runnable a summary needs."""

    def invoke(self, input: Any, /) -> Any:
        """Answers the input."""


@dataclass(frozen=True)
class OlderPart:
    """The older part of a session, on its way to a summarizer.

    Attributes:
        key: The session.
        messages: What the summarizer gets.
        last: The last event that the summary supersedes.
    """

    key: SessionKey
    messages: list[Any]
    last: Event


class LifeCycle(AgentMessages):
    """Forks, rewinds and summaries."""

    def fork_session(
        self,
        session: Session | str,
        *,
        at: Event | str | int | None = None,
        session_id: str | None = None,
        title: str = "",
    ) -> Session:
        """Copies a session up to and including an event; the source is untouched.

        If the event, or one before it, calls tools, their results come along: neither a call nor a result is left
        alone. The events keep their ids and times and are numbered without gaps; the state is what it was after the
        last of them: rebuilt from the state at creation and the events' changes, while keys that no event ever changed
        have their present value. Each copied event says in ``copied_from`` where it was first said, so that figures
        count it once (see `usage`).

        Args:
            session: The source.
            at: The last event to copy: an `Event`, its id or its ``seq``; the latest if not given.
            session_id: The id of the copy; a UUIDv7 if not given.
            title: Its title; the source's if not given.

        Returns:
            The copy; its ``parent_id`` and ``parent_seq`` say where it came from.

        Raises:
            SessionNotFoundError: There is no such session.
            EventNotFoundError: The session has no such event.
            SessionExistsError: ``session_id`` is taken.
        """
        source = self._key(session)
        copy = SessionKey(
            source.app_name,
            source.user_id,
            codec.new_id() if session_id is None else codec.identifier(session_id, "session_id"),
        )
        codec.text(title, "title")
        _check_event(at, "at")
        now = codec.now_text()

        def work(tx: Transaction) -> Any:
            found = tx.rows(queries.SESSION_WITH_STATE, source.params())
            if not found:
                raise missing(source)
            agent_id, old_title, metadata, _ = found[0]
            if tx.rows(queries.SESSION, copy.params()):
                raise SessionExistsError(f"{copy} exists already: give another session_id")
            if at is None:
                until = tx.rows(queries.HIGHEST_SEQ, source.params())[0][0] or 0
                # Of a damaged event it may be a text, which is beyond all numbers; the copy gives it a number again.
                end = tx.rows(queries.LAST_PLACE, source.params())[0][0] or 0
            else:
                until = end = _after_results(_spans(tx, source), _seq_of(tx, source, at))
            events = {**source.params(), "until_seq": end}
            # A summary of events that are all gone still stands for something: the place before the first event.
            first = tx.rows(queries.COUNT_LONELY_SUMMARIES, events)[0][0] and 1
            row = codec.encode_session(copy, agent_id="", title=title, metadata=None, state={}, now=now)
            row.update(
                agent_id=agent_id,
                title=title or old_title,
                metadata=metadata,  # as it is stored, even if damaged
                initial_state=codec.encode_state(own_state(tx, source, 0)),
                last_seq=tx.rows(queries.COUNT_EVENTS_UNTIL, events)[0][0] + first,
                parent_id=source.session_id,
                parent_seq=int(until),
            )
            tx.run(queries.INSERT_SESSION, row)
            tx.run(queries.COPY_EVENTS, {**events, "new_id": copy.session_id, "first": first})
            write_state(tx, copy, own_state(tx, source, until), now)
            return tx.rows(queries.SESSION, copy.params())[0]

        return self._session(self._database.write(work))

    def rewind_session(
        self,
        session: Session | str,
        *,
        turns: int | None = None,
        to: Event | str | int | None = None,
        dry_run: bool = False,
    ) -> list[Event]:
        """Takes back the last turns, or all after an event; returns what went, in order.

        A turn is an event of the user and all that follows it; one that waits for a tool while the user speaks again is
        one with the next. What came before the first turn stays. The session's own state is what it was before, as for
        `fork_session`; ``app:`` and ``user:`` keys are left alone. The next event continues the numbering: a ``seq`` is
        never given twice.

        Args:
            session: The session.
            turns: How many turns; one if neither this nor ``to`` is given.
            to: The event that is to be the last one: an `Event`, its id or its ``seq``. Results of tools that it
                calls stay with it.
            dry_run: Only return what would go.

        Raises:
            SessionNotFoundError: There is no such session.
            EventNotFoundError: The session has no such event.
        """
        key = self._key(session)
        if turns is not None and to is not None:
            raise InvalidInputError("give turns or to, not both")
        count = 1 if turns is None else codec.whole_number(turns, "turns")
        _check_event(to, "to")
        codec.flag(dry_run, "dry_run")
        now = codec.now_text()

        def look(reading: Reading) -> tuple[int, list[Event]]:
            if not reading.rows(queries.LAST_SEQ, key.params()):
                raise missing(key)
            if to is not None:
                until = _after_results(_spans(reading, key), _seq_of(reading, key, to))
            else:
                begins = reading.rows(queries.USER_SEQS_NEWEST_FIRST, {**key.params(), "limit": count})
                if not begins:
                    return 0, []
                until = uncut(reading, key, math.ceil(begins[-1][0]) - 1)  # of a damaged event it may be a fraction
            sql = queries.joined(queries.EVENTS, (queries.OF_SESSION, queries.AFTER), queries.OLDEST_FIRST)
            return until, [codec.decode_event(row) for row in reading.rows(sql, {**key.params(), "after": until})]

        def work(tx: Transaction) -> list[Event]:
            until, gone = look(tx)
            if gone:
                state = own_state(tx, key, until)
                present = {name for name, _ in tx.rows(queries.OWN_STATE, key.params()) if codec.is_state_key(name)}
                self._remove_events(tx, key, until)
                write_state(tx, key, {**dict.fromkeys(present - state.keys(), REMOVE), **state}, now)
                tx.run(queries.TOUCH_SESSION, {**key.params(), "now": now})
            return gone

        return look(Reads(self._database))[1] if dry_run else self._database.write(work)

    def summarize_session(
        self, session: Session | str, summarizer: Callable[[list[Any]], Any] | Runnable, *, keep_last: int
    ) -> Event | None:
        """Has the older part of a session summarized, and stores the summary; nothing is deleted.

        `last_events` and the windows of a history begin with the newest summary from then on, in place of the events
        that it supersedes.

        Args:
            session: The session.
            summarizer: A function of a list of LangChain messages, or a Runnable, that returns a text or a message.
                It gets the summary before, if there is one, and what came after it. It runs outside of any
                transaction: if it fails, or the process ends, nothing has changed. (`AsyncSessionService` takes one
                that is awaited, too.)
            keep_last: The summary is of what comes before the latest ``keep_last`` events, which are those of
                `last_events`: whole turns.

        Returns:
            The summary, an event of the author ``system``; None if there is nothing to summarize.

        Raises:
            SessionNotFoundError: There is no such session.
            InvalidInputError: The summarizer returned no text.
            StaleSessionError: Meanwhile what was summarized was taken back or removed.
        """
        older = self._older_part(session, keep_last)
        return None if older is None else self._store_summary(older, call_summarizer(summarizer, older.messages))

    def _older_part(self, session: Session | str, keep_last: int) -> OlderPart | None:
        """What a summary is to be made of; None if there is nothing to summarize."""
        key = self._key(session)
        codec.whole_number(keep_last, "keep_last")
        self._require(key)
        before = self._newest_summary(key)
        begin = 0 if before is None else before.supersedes
        kept = self._latest_turns(key, max(1, keep_last), after=begin)
        if not kept:
            return None
        spans, waiting = tool_spans(self._database.read(queries.EVENTS_WITH_TOOLS, key.params(), as_is))
        seqs = [event.seq for event in kept if event.seq]  # a damaged event may have none
        if not seqs:
            return None
        if keep_last or any(seq >= seqs[0] for seq in waiting):  # a turn that waits for a tool is not over
            end = math.ceil(before_calls(spans, seqs[0] - 1, lambda seq: self._user_seq_before(key, seq))) + 1
        else:
            end = seqs[-1] + 1
        older = [
            event
            for event in self.list_events(_session_of(key), after=begin, before=end)
            if not event.supersedes and event.seq
        ]  # fmt: skip
        # LangChain is loaded when a summary is made, not before.
        messages_of = importlib.import_module("session_sqlite.langchain.messages").messages_of
        messages = messages_of(older)
        if not messages:
            return None
        return OlderPart(key, messages if before is None else [*messages_of([before]), *messages], older[-1])

    def _store_summary(self, older: OlderPart, answer: Any) -> Event:
        """Stores what the summarizer answered, unless what it is of has changed meanwhile."""
        key, last = older.key, older.last
        batch = self._encode(key, [Event("system", _text_of(answer), supersedes=last.seq)])

        def work(tx: Transaction) -> Event:
            if not tx.rows(queries.LAST_SEQ, key.params()):
                raise missing(key)
            sql = queries.joined(
                queries.EVENTS, (queries.OF_SESSION, queries.A_SUMMARY), queries.NEWEST_FIRST + queries.LIMITED
            )
            stored = [codec.decode_event(row) for row in tx.rows(sql, {**key.params(), "limit": 1})]
            if stored and stored[0].supersedes >= last.seq:
                return stored[0]  # somebody else has summarized the same at the same time
            still = tx.rows(queries.EVENT_AT_SEQ, {**key.params(), "seq": last.seq})
            if not still or codec.decode_event(still[0]).id != last.id:
                raise StaleSessionError(f"{key} has lost the events that were summarized: summarize it again")
            return self._append(tx, key, batch)[0]

        return self._database.write(work)

    def _user_seq_before(self, key: SessionKey, seq: int) -> int | None:
        return self._last_seq_before(queries.LAST_USER_SEQ_BEFORE, key, seq)


def tool_spans(rows: Iterable[Row]) -> tuple[list[tuple[int, int]], list[int]]:
    """From which seq to which calls of tools waited for their results, in the order of the calls.

    A cut between the two would leave a call or a result alone. Takes the rows of `queries.EVENTS_WITH_TOOLS`; also
    returns the seqs of the calls that still wait.
    """
    waiting: dict[str, list[int]] = {}  # of each id the calls of the last event that has it: several may have one id
    spans = []
    for seq, id, author, column in rows:
        named: dict[str, list[int]] = {}
        for position, action in enumerate(codec.decode_actions_or_empty(column)):
            name = action.id or f"{id}:{position}"
            if author != "tool":
                named.setdefault(name, []).extend([seq] if action.status == "pending" else [])
            elif waiting.get(name):
                spans.append((waiting[name].pop(), seq))
        waiting.update(named)
    return sorted(spans), [seq for calls in waiting.values() for seq in calls]


def _spans(tx: Reading, key: SessionKey) -> list[tuple[int, int]]:
    return tool_spans(tx.rows(queries.EVENTS_WITH_TOOLS, key.params()))[0]


def uncut(tx: Reading, key: SessionKey, cut: int) -> int:
    """`before_calls` for a session."""

    def turn_of(seq: int) -> int | None:
        rows = tx.rows(queries.LAST_USER_SEQ_BEFORE, {**key.params(), "before": seq})
        return rows[0][0] if rows else None

    return before_calls(_spans(tx, key), cut, turn_of)


def _after_results(spans: list[tuple[int, int]], cut: int) -> int:
    """The nearest seq from a cut on at which no call waits for a result that is there."""
    for call, result in spans:
        if call <= cut < result:
            cut = result
    return cut


def before_calls(spans: list[tuple[int, int]], cut: int, turn_of: Callable[[int], int | None]) -> int:
    """The nearest seq before a turn, up to a cut, at which no call waits for a result that is there.

    ``turn_of`` says where the turn of an event begins. A call before the first turn is a turn of its own.
    """
    for call, result in reversed(spans):
        if call <= cut < result:
            cut = (turn_of(call) or call) - 1
    return cut


def _session_of(key: SessionKey) -> Session:
    return Session(key.session_id, key.app_name, key.user_id)


def _check_event(event: object, name: str) -> None:
    if event is None or isinstance(event, Event):
        return
    if isinstance(event, str):
        codec.identifier(event, name)
    else:
        codec.whole_number(event, name)


def _seq_of(tx: Reading, key: SessionKey, event: Event | str | int) -> int:
    """The seq of an event of the session. Raises `EventNotFoundError`."""
    if isinstance(event, Event) and event.session_id not in ("", key.session_id):
        raise EventNotFoundError(f"event {event.id!r} is in another session than {key}")
    if isinstance(event, int):
        found = tx.rows(queries.EVENT_AT_SEQ, {**key.params(), "seq": event})
        name = f"event with seq {event}"
    else:
        id = event.id if isinstance(event, Event) else event
        found = tx.rows(queries.EVENT_BY_ID, {**key.params(), "event_id": id})
        name = f"event {id!r}"
    if not found:
        raise EventNotFoundError(f"{key} has no {name}")
    seq = codec.decode_event(found[0]).seq
    if not seq:  # to take it for the beginning would take back everything
        raise CorruptStoreError(f"the place of {name} in {key} cannot be read: name another event")
    return seq


def own_state(tx: Reading, key: SessionKey, until: int) -> dict[str, Any]:
    """The session's own state as it was after an event.

    Rebuilt from the state at creation and the events' changes; a key that no event ever changed is as it is now.
    """
    params = key.params()
    now = present_state(tx, key)
    rebuilt = codec.decode_state_or_empty(tx.rows(queries.SESSION_WITH_STATE, params)[0][3])
    touched: set[str] = set()
    for seq, column in tx.rows(queries.STATE_CHANGES, params):
        delta = _own(codec.decode_state_or_empty(column))
        touched |= delta.keys()
        if seq <= until:
            rebuilt.update(delta)
    state = {name: value for name, value in now.items() if name not in touched}
    state |= {name: value for name, value in rebuilt.items() if name in touched and value is not REMOVE}
    return state


def _own(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if not name.startswith(("app:", "user:"))}


def call_summarizer(summarizer: Any, messages: list[Any]) -> Any:
    """What a function or a Runnable answers. Raises `InvalidInputError` for anything else."""
    invoke = getattr(summarizer, "invoke", None)
    if callable(invoke):
        return invoke(messages)
    if callable(summarizer):
        return summarizer(messages)
    raise InvalidInputError("summarizer must be a function of a list of messages, or a Runnable")


def _text_of(answer: Any) -> str:
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise InvalidInputError("the summarizer is asynchronous: nothing was stored; give it to AsyncSessionService")
    text = answer if isinstance(answer, str) else getattr(answer, "text", None)
    if not isinstance(text, str) or not text.strip():
        raise InvalidInputError("the summarizer returned no text: nothing was stored")
    return str.__str__(text)
