"""Whatever is given: a call answers or raises an error of ours, and what it took comes back as it was given.

Inputs are made at random of what has broken programs like this one: half surrogates, NUL, signs of SQL, JSON, FTS5 and
patterns, numbers without end, values of every type, nested deeply, and files with bytes flipped, cut out and doubled.
Each input follows from the name of its target and its number, so one that fails can be made again: ``TARGETS[name]``
with ``Input(f"{name} {number}")``. A check that is left out, or an encoder that changes a value, breaks this.
"""

from __future__ import annotations

import io
import math
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from session_sqlite import Event, SessionError, SQLiteChatMessageHistory, SQLiteSessionService, ToolCall, Usage

from .trials import QUICK, Length, Trial, Tried

PIECES: Final = [
    "fox", "茶壶", "ß", "é", "e\u0301", "İ", "ﬁ", "😀", "👩\u200d👧", "\u202e", "\u200b", "\ufeff", "\x00", "\x1b[31m",
    "\ud800", "\udfff", "\n", "\r\n", "\t", " ", "", "'", '"', "''", '"fox" ', "%", "_", "*", "fox*", "(", ")", "NEAR(",
    " AND ", " OR ", " NOT ", "-", "^", ":", "content:", "{", "}", "[", "]", "\\", "\\u0000", "--", ";", "/*",
    "'; DROP TABLE events; --", "$.a", "$", "#", "<script>", "&amp;", "=1+1", "NULL", "nan", "1e999", "0x", "昨天",
    "yesterday", "on May 3rd", "last Monday", "9" * 30, "a" * 300, "temp:", "app:", "user:", "key",
]  # fmt: skip
LOST: Final = "'<lost: "
FIELDS: Final = (
    "author", "content", "reasoning", "metadata", "actions", "agent_id", "branch", "invocation_id", "usage",
)  # fmt: skip


class Input(random.Random):
    """Random values of one input, which follow from its name."""

    def text(self, most: int = 4) -> str:
        """A text of up to so many pieces."""
        return "".join(self.choices(PIECES, k=self.randint(0, most)))

    def value(self, depth: int = 3) -> Any:
        """A value of any type."""
        kind = self.randrange(14 if depth else 11)
        if kind < 4:
            return self.text()
        if kind == 4:
            return self.choice([0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**40, True, False])
        if kind == 5:
            return self.choice([0.0, -0.0, 0.1, 1e300, 5e-324, math.inf, -math.inf, math.nan])
        if kind == 6:
            return None
        if kind == 7:
            return self.choice([b"\xff", object(), print, {1, 2}, 1j, Path("x"), range(3), Event])
        if kind == 8:
            zone = self.choice([None, UTC, timezone(timedelta(hours=14))])
            year = self.choice([1, 2026, 9999])
            return datetime(year, 12, 31, 23, tzinfo=zone)
        if kind < 11:
            return self.randint(-5, 50)
        if kind == 11:
            return [self.value(depth - 1) for _ in range(self.randint(0, 3))]
        if kind == 12:
            return {self.text(2): self.value(depth - 1) for _ in range(self.randint(0, 3))}
        return {self.choice([1, None, 2.5, (1,), self.text(1)]): self.value(depth - 1)}

    def json(self, depth: int = 3) -> Any:
        """A value as JSON has them; integers without end and half surrogates among them."""
        kind = self.randrange(8 if depth else 6)
        if kind < 3:
            return self.text()
        if kind < 6:
            return self.choice([0, -1, 7, 2**63 - 1, 2**63, -(10**40), 0.1, -0.0, 1e300, True, False, None])
        if kind == 6:
            return [self.json(depth - 1) for _ in range(self.randint(0, 3))]
        return {self.text(2): self.json(depth - 1) for _ in range(self.randint(0, 3))}

    def object(self) -> Any:
        """A JSON object, or seldom another value."""
        return {self.text(2): self.json() for _ in range(self.randint(0, 2))} if self.random() < 0.9 else self.value()

    def time(self) -> Any:
        """A time with a zone, or seldom another value."""
        return datetime(2026, self.randint(1, 12), 3, tzinfo=UTC) if self.random() < 0.8 else self.value()

    def number(self) -> Any:
        """A small number, or seldom another value."""
        return self.randint(1, 9) if self.random() < 0.8 else self.value()

    def some(self, **makers: Callable[[], Any]) -> dict[str, Any]:
        """Some of the arguments, with values."""
        return {name: make() for name, make in makers.items() if self.random() < 0.25}


class Stores:
    """What the targets work on: a small store, a history in it, and an export to spoil."""

    def __init__(self) -> None:
        self.service = SQLiteSessionService(":memory:")
        self.scratch = SQLiteSessionService(":memory:", search=False)
        session = self.service.create_session(session_id="s", title="a fox and 茶壶", metadata={"key": "fox"})
        session.add_event("user", "What does the fox say about 茶壶?")
        session.add_event("assistant", "It says nothing.", reasoning="foxes are silent",
                          actions=[ToolCall("Read", {"path": "fox.txt"}, output="a fox")],
                          usage=Usage("m", 3, 4), state={"seen": 1})  # fmt: skip
        out = io.StringIO()
        self.service.export(out)
        self.exported = out.getvalue().encode()
        self.chat = (
            b'[{"role": "user", "content": "a fox"}, {"role": "assistant", "content": [{"type": "text", "text": "x"}]}]'
        )

    def close(self) -> None:
        self.service.close()
        self.scratch.close()


def same(one: Any, other: Any) -> bool:
    """Equal, in value and type, where NaN is NaN."""
    return repr(one) == repr(other) or one == other


def an_event(stores: Stores, given: Input) -> None:
    arguments = given.some(
        reasoning=given.text, metadata=given.object, state=given.object, agent_id=given.text, branch=given.value,
        invocation_id=given.text, id=given.text, created_at=given.time,
        usage=lambda: Usage(given.text(), given.number(), 1),
        actions=lambda: [ToolCall(given.text(), given.object(), id=given.text(), output=given.json())],
    )  # fmt: skip
    content = given.text() if given.random() < 0.9 else given.value()
    event = Event(given.choice(["user", "assistant", given.text()]), content, **arguments)
    service = stores.scratch
    session = service.create_session()
    try:
        (stored,) = service.append_events(session.id, [event])
        (read,) = service.list_events(session.id)
        for name in FIELDS:
            assert same(getattr(read, name), getattr(stored, name)), f"{name} comes back otherwise"
            assert same(getattr(read, name), getattr(event, name)), f"{name} is not what was given"
        state = {key: value for key, value in event.state.items() if not key.startswith("temp:")}
        assert same(dict(read.state), state), "the state is not what was given"
    except SessionError:
        assert service.list_events(session.id) == [], "a refused event was stored"
        raise
    finally:
        service.delete_session(session.id)


def a_message(stores: Stores, given: Input) -> None:
    def block() -> Any:
        kind = given.choice(["text", "image_url", "tool_use", "tool_result", "thinking", "reasoning", given.text()])
        return given.choice(
            [given.text(), {"type": kind, kind: given.json(), "text": given.text(), "id": given.json()}]
        )

    content: Any = given.choice([given.text(), [block() for _ in range(given.randint(0, 3))]])
    common: dict[str, Any] = given.some(
        additional_kwargs=given.object, response_metadata=given.object, id=given.text, name=given.text
    )
    call = {
        "name": given.text(),
        "args": {given.text(): given.json()},
        "id": given.choice([given.text(), None]),
        "type": "tool_call",
    }
    makers: list[Callable[[], BaseMessage]] = [
        lambda: HumanMessage(content, **common),
        lambda: SystemMessage(content, **common),
        lambda: AIMessage(content, tool_calls=[call] if given.random() < 0.5 else [], **common),
        lambda: ToolMessage(content, tool_call_id=given.text(), artifact=given.json(), **common),
    ]
    try:
        message = given.choice(makers)()
    except Exception as error:  # noqa: BLE001  # LangChain itself refuses it
        raise SessionError(f"no message: {type(error).__name__}") from None
    history = SQLiteChatMessageHistory("m", service=stores.scratch)
    try:
        history.add_messages([message])
        (read,) = history.messages
        assert type(read) is type(message)
        # A value that no JSON has is a mark of itself, and is said in the log.
        is_marked = LOST in repr(read.model_dump()) and LOST not in repr(message.model_dump())
        assert is_marked or same(read.model_dump(), message.model_dump()), "the message comes back otherwise"
    finally:
        history.clear()


def an_import(stores: Stores, given: Input) -> None:
    data = bytearray(given.choice([stores.exported, stores.chat]))
    for _ in range(given.randint(1, 4)):
        at, end = sorted(given.choices(range(len(data) + 1), k=2))
        end = min(end, at + 40)
        what = given.randrange(5)
        if what == 0 and at < len(data):
            data[at] ^= 1 << given.randrange(8)
        elif what == 1:
            del data[at:end]
        elif what == 2:
            data[at:at] = data[at:end]
        elif what == 3:
            data[at:at] = given.text().encode("utf-8", "surrogatepass")
        else:
            del data[end:]
    service = stores.scratch
    try:
        report = service.import_(io.BytesIO(bytes(data)), app_name="imported", user_id="u")
        sessions = service.list_sessions(limit=None, app_name="imported", user_id="u")
        assert report.events == sum(len(session.events()) for session in sessions), "the report counts otherwise"
    finally:
        for session in service.list_sessions(limit=None, app_name="imported", user_id="u"):
            session.delete()


def a_filter(stores: Stores, given: Input) -> None:
    value = given.value
    verb = given.randrange(4)
    if verb == 0:
        stores.service.list_events("s", **given.some(
            author=given.text, agent_id=given.text, branch=given.text, invocation_id=value, tool=given.text,
            since=given.time, until=given.time, after=given.number, before=value,
            newest_first=lambda: given.random() < 0.5, limit=given.number,
        ))  # fmt: skip
    elif verb == 1:
        stores.service.list_sessions(**given.some(
            agent_id=given.text, metadata=given.object, updated_after=given.time, updated_before=given.time,
            id_prefix=given.text, limit=given.number, cursor=value, app_name=given.text, user_id=given.text,
        ))  # fmt: skip
    elif verb == 2:
        stores.service.usage(**given.some(by=value, since=given.time, until=given.time, app_name=given.text))
    else:
        stores.service.tool_calls(
            **given.some(session=given.text, name=given.text, status=value, since=given.time, limit=given.number)
        )


def an_id(stores: Stores, given: Input) -> None:
    service, id = stores.scratch, given.choice([given.text(), given.text(), given.value()])
    session = service.create_session(session_id=id)
    try:
        assert session.id == id or id is None
        id = session.id
        assert service.get_session(id).id == id
        assert [one.id for one in service.list_sessions(id_prefix=id)] == [id]
        assert service.list_sessions(user_id="another") == []
    finally:
        service.delete_session(session.id)


def a_metadata_key(stores: Stores, given: Input) -> None:
    service, key, value = stores.scratch, given.text(), given.json(1)
    right = service.create_session(metadata={key: value})
    wrong = service.create_session(metadata={key + "x": value, "x" + key: value})
    try:
        assert same(service.get_session(right.id).metadata, {key: value})
        found = [session.id for session in service.list_sessions(metadata={key: value})]
        assert found == [right.id], "the filter finds another session, or not the right one"
    finally:
        service.delete_session(right.id)
        service.delete_session(wrong.id)


def a_search(stores: Stores, given: Input) -> None:
    hits = stores.service.search(given.text(), **given.some(
        author=given.text, fields=given.value, since=given.time, limit=given.number, cursor=given.text,
        newest_first=lambda: given.random() < 0.5,
    ))  # fmt: skip
    assert all(hit.event.seq in (1, 2) for hit in hits)


def a_recall(stores: Stores, given: Input) -> None:
    hits = stores.service.recall(given.text(6), **given.some(
        author=given.text, since=given.time, until=given.time, limit=given.number, session=given.text,
        exclude_session=lambda: given.choice(["s", given.value()]),
    ))  # fmt: skip
    assert len({hit.event.seq for hit in hits}) == len(hits)


def a_session_search(stores: Stores, given: Input) -> None:
    found = stores.service.search_sessions(given.text(), **given.some(
        order=lambda: given.choice(["newest", "best", given.value()]), metadata=given.object, limit=given.number,
        cursor=given.text, agent_id=given.text,
    ))  # fmt: skip
    assert len(found) <= 1


TARGETS: Final[dict[str, Callable[[Stores, Input], None]]] = {
    "events": an_event,
    "messages": a_message,
    "imports": an_import,
    "filters": a_filter,
    "ids": an_id,
    "metadata keys": a_metadata_key,
    "searches": a_search,
    "recalls": a_recall,
    "session searches": a_session_search,
}


def tried(name: str, numbers: range) -> Counter[str]:
    """Gives a target so many inputs; returns how many were taken, and how many refused."""
    stores, outcomes = Stores(), Counter[str]()
    try:
        for number in numbers:
            try:
                TARGETS[name](stores, Input(f"{name} {number}"))
            except SessionError:
                outcomes["refused"] += 1
            except Exception as error:
                told = str(error) if isinstance(error, AssertionError) else type(error).__name__
                raise AssertionError(f"input {number} of {name}: {told}") from error
            else:
                outcomes["taken"] += 1
        assert stores.service.check().ok
        assert stores.scratch.check().ok
    finally:
        stores.close()
    return outcomes


def run(folder: Path, length: Length) -> Tried:
    times = length.of(120_000, at_least=10_000 if length.share > QUICK else 300)
    outcomes = {name: tried(name, range(times)) for name in TARGETS}
    for name, outcome in outcomes.items():
        assert outcome["taken"] > times / 100, f"hardly an input of {name} is taken, so nothing was tried"
    by_target = ", ".join(f"{name} {outcome['taken']:,}" for name, outcome in outcomes.items())
    return Tried(
        f"{times * len(TARGETS):,} inputs, {times:,} for each of {len(TARGETS)} targets",
        f"0 errors that are not ours, 0 values that came back otherwise; taken: {by_target}; the others refused",
    )


HOSTILE_INPUT: Final = Trial(
    "hostile-input", "Any input is taken and comes back as it was, or is refused with an error of ours", run
)
