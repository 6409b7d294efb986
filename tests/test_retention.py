"""What is not kept: pruned turns are gone, erased bytes are nowhere, redacted text stands in no place any more."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from message_strategies import messages

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    Session,
    SessionNotFoundError,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
)
from session_sqlite.messages.langchain import event_to_messages, message_to_event, messages_of
from session_sqlite.sqlite import maintenance

pytestmark = pytest.mark.every_backend

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def contents(events: list[Event]) -> list[str]:
    return [event.content for event in events]


def say(session: Session, *lines: str, days: float = 0) -> list[Event]:
    """``"u hello"`` is said by the user, ``"a hello"`` by the assistant, so many days ago."""
    when = datetime.now(UTC) - timedelta(days=days)
    authors = {"u": "user", "a": "assistant", "s": "system"}
    return session.add_events([Event(authors[line[0]], line[2:], created_at=when) for line in lines])


def dump(service: SQLiteSessionService) -> dict[str, list[dict[str, Any]]]:
    return {
        table: service.query(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in ("sessions", "events", "state")
    }


def bytes_of(path: Path) -> bytes:
    """The file and its WAL, read by another process: closing them here would drop this process's locks."""
    code = "import sys; [sys.stdout.buffer.write(open(name, 'rb').read()) for name in sys.argv[1:]]"
    files = [str(file) for file in path.parent.iterdir() if file.name.startswith(path.name)]
    return subprocess.run([sys.executable, "-c", code, *files], check=True, capture_output=True).stdout


def vocabulary(path: Path) -> set[str]:
    """The words in the search index, which compresses them in the file."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab (main, search_index, row)")
        return {row[0] for row in connection.execute("SELECT term FROM temp.v")}
    finally:
        connection.close()


# ---------------------------------------------------------------- prune


def test_empty_old_sessions_go_altogether(service: SQLiteSessionService, path: Path) -> None:
    old, _, fresh = (service.create_session(session_id=name, state={"k": 1}) for name in ("old", "empty", "fresh"))
    say(old, "u one", days=10)
    say(fresh, "u one", days=10)
    raw = sqlite3.connect(path)
    raw.execute("UPDATE sessions SET updated_at = '2020-01-01T00:00:00.000000Z' WHERE id <> 'fresh'")
    raw.commit()
    raw.close()
    assert service.prune(keep_last=0, dry_run=True).sessions == 0
    report = service.prune(older_than=timedelta(days=5))
    assert (report.events, report.sessions) == (2, 2)
    assert [session.id for session in service.list_sessions()] == ["fresh"]
    assert [row["session_id"] for row in service.query("SELECT session_id FROM state")] == ["fresh"]
    assert fresh.events() == []


def test_prune_never_parts_a_call_from_its_result(service: SQLiteSessionService) -> None:
    session = service.create_session()
    call = message_to_event(AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c"}]))
    old = [Event("user", "one"), Event("assistant", "two"), Event("user", "go"), call]
    session.add_events([dataclasses.replace(event, created_at=LONG_AGO) for event in old])
    session.add_events([Event("user", "and?"), message_to_event(ToolMessage("r", tool_call_id="c"))])
    assert service.prune(older_than=timedelta(days=1), dry_run=True).events == 2
    assert service.prune(keep_last=2).events == 2
    assert contents(session.events()) == ["go", "", "and?", "r"]


# ---------------------------------------------------------------- erase

SECRETS = [
    "zanzibarcontent",
    "zanzibarreasoning",
    "zanzibararg",
    "zanzibaroutput",
    "zanzibarmetadata",
    "zanzibarstate",
    "zanzibartitle",
    "zanzibarsession",
    "zanzibarartifact",
    "zanzibarpresent",
    "zanzibarinitial",
    "机密内容",
    "机密推理",
]


def fill(session: Session) -> None:
    """Puts a secret into every place that a session has."""
    session.update(title="zanzibartitle", metadata={"k": "zanzibarsession"})
    session.add_events(
        [
            Event("user", "ZanzibarContent 机密内容", metadata={"k": "zanzibarmetadata"}, state={"k": "zanzibarstate"}),
            Event(
                "assistant",
                reasoning="zanzibarreasoning 机密推理",
                actions=[ToolCall("f", {"path": "zanzibararg"}, id="1", output={"out": "zanzibaroutput"})],
            ),
            message_to_event(AIMessage("zanzibarcontent", tool_calls=[{"name": "f", "args": {"b": b"x"}, "id": "2"}])),
            message_to_event(ToolMessage("out", tool_call_id="2", artifact={"k": "zanzibarartifact", "t": (1,)})),
        ]
    )
    session.state["present"] = "zanzibarpresent"


def assert_gone(path: Path) -> None:
    raw = bytes_of(path)
    found = [secret for secret in SECRETS if secret.encode() in raw or secret.lower().encode() in raw.lower()]
    assert found == []
    assert not [word for word in vocabulary(path) if "zanzibar" in word or word in set("机密推理")]


def test_the_bytes_of_an_erased_session_are_nowhere(service: SQLiteSessionService, path: Path) -> None:
    keep = service.create_session(session_id="keep")
    session = service.create_session(session_id="gone", state={"k": "zanzibarinitial"})
    for number in range(30):  # so that its rows lie between others
        say(keep, f"u keep {number} " + "x" * number * 20)
        if number % 5 == 0:
            fill(session)
        if number == 15:
            service.search("keep")
    service.search("zanzibarcontent")
    kept = keep.events()
    assert [secret for secret in SECRETS if secret.encode() not in bytes_of(path)] == ["zanzibarcontent"][1:]
    report = service.erase("gone")
    assert (report.sessions, report.events, report.remaining, report.complete) == (1, 24, (), True)
    assert_gone(path)
    assert keep.events() == kept
    assert len(service.search("keep", limit=99)) == 30
    assert service.check().ok
    with pytest.raises(SessionNotFoundError):
        service.erase("gone")


def test_nothing_of_earlier_changes_remains(service: SQLiteSessionService, path: Path) -> None:
    """Rows that grew and shrank have been moved about in the file, and leave copies in what is free."""
    session = service.create_session(session_id="gone", metadata={"k": "zanzibarsession" * 40})
    other = service.create_session(session_id="other")
    for number in range(40):
        service.update_state(session, {f"k{number % 7}": "zanzibarstate" * (number % 13 * 20 + 1)})
        session.update(title="zanzibartitle" * (number % 11 + 1), metadata={"k": "zanzibarsession" * (number % 17)})
        fill(session)
        say(other, "u " + "y" * 300)
        if number % 9 == 8:
            session.rewind(turns=3)
            other.rewind(turns=2)
            service.search("zanzibarcontent")
        if number == 20:
            session.clear()
    session.update(title="", metadata={"k": REMOVE})
    session.delete()
    session = service.create_session(session_id="gone")
    assert service.erase(session).complete
    assert_gone(path)
    assert len(other.events()) == 32


def test_an_erased_user_is_gone_from_every_app_and_others_stay(service: SQLiteSessionService, path: Path) -> None:
    for app in ("a", "b"):
        for user in ("li", "wang"):
            session = service.create_session(app_name=app, user_id=user, session_id="1")
            if user == "li":
                fill(session)
                session.fork()
                session.state["user:secret"] = "zanzibarstate"
                session.state["app:shared"] = user
            else:
                say(session, "u mine")
                session.state["user:mine"] = 1
    service.search("mine", app_name=ANY, user_id=ANY)
    before = dump(service)
    assert service.erase(user_id="li", app_name="a").sessions == 2
    with pytest.raises(SessionNotFoundError):
        service.get_session("1", app_name="a", user_id="li")
    assert len(service.list_sessions(app_name="b", user_id="li")) == 2
    report = service.erase(user_id="li", app_name=ANY)
    assert (report.sessions, report.complete) == (2, True)
    assert_gone(path)
    after = dump(service)
    for table, rows in before.items():
        assert after[table] == [row for row in rows if row["user_id"] != "li"]
    assert [row["key"] for row in after["state"] if row["user_id"] == ""] == ["app:shared", "app:shared"]
    assert service.erase(user_id="nobody").sessions == 0


def names_of(remaining: tuple[str, ...]) -> set[str]:
    return {match for line in remaining for match in re.findall(r"session '([^']+)'", line)}


@pytest.mark.file_only  # a server never says that nothing is left in its files
def test_sessions_with_a_copy_are_named(service: SQLiteSessionService) -> None:
    first = service.create_session(session_id="first")
    say(first, "u one", "a two", "u three")
    second = first.fork(session_id="second", at=2)
    second.fork(session_id="third")
    say(service.create_session(session_id="stranger"), "u one")
    report = service.erase(second)
    assert not report.complete
    assert names_of(report.remaining) == {"first", "third"}
    report = service.erase(first)
    assert names_of(report.remaining) == {"third"}  # although the fork between them is gone
    assert service.erase("third").complete


def test_a_connection_that_reads_is_reported(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session()
    fill(session)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (4,)
    report = service.erase(session)
    assert not report.complete
    assert "WAL" in report.remaining[0]
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (4,)
    reader.close()
    assert service.erase(service.create_session()).complete
    assert_gone(path)


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM events").fetchall()
print("reading", flush=True)
sys.stdin.readline()
"""


def test_a_process_that_reads_is_reported(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session()
    fill(session)
    reader = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    assert not service.erase(session).complete
    reader.communicate("\n")
    assert service.erase(service.create_session()).complete
    assert_gone(path)


WRITER = """
import sys, time
from session_sqlite import SQLiteSessionService
with SQLiteSessionService(sys.argv[1], durability="fast") as service:
    session = service.create_session(session_id="busy")
    print("writing", flush=True)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        session.add_event("user", "words of another process")
        session.last_events(5)
        time.sleep(0.002)
"""


def test_processes_that_go_on_writing_do_not_stop_an_erase(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session()
    fill(session)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        report = service.erase(session)
    finally:
        writer.kill()
        writer.communicate()
    assert report.complete, report
    assert_gone(path)
    events = service.get_session("busy").events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def test_a_store_in_memory_and_one_without_an_index_can_erase(tmp_path: Path) -> None:
    with SQLiteSessionService(":memory:") as service:
        session = service.create_session()
        fill(session)
        assert service.erase(session).complete
        assert service.list_sessions() == []
    path = tmp_path / "plain.db"
    with SQLiteSessionService(path, search=False) as service:
        session = service.create_session()
        fill(session)
        assert service.erase(session).complete
        assert not [secret for secret in SECRETS if secret.encode() in bytes_of(path)]


def test_a_damaged_session_can_be_erased(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session()
    fill(session)
    service.search("zanzibarcontent")
    raw = sqlite3.connect(path)
    raw.execute("UPDATE events SET content = CAST(x'ff' AS TEXT), actions = '{broken' WHERE seq = 2")
    raw.execute("UPDATE sessions SET metadata = '{zanzibarsession'")
    raw.commit()
    raw.close()
    assert service.erase(session).events == 4
    assert not [secret for secret in SECRETS if secret.encode() in bytes_of(path)]


# ---------------------------------------------------------------- redact


class Mood(Enum):
    GOOD = "marzipan is an enum's own value"


@dataclasses.dataclass
class Point:
    label: str
    x: int = 1


class NamedMessage(AIMessage):
    note: str = ""


HIDDEN = "marzipan"
LONG = "a longer text with marzipan in it, which is shared"


def clean(text: str) -> str:
    return text.replace(HIDDEN, "[redacted]")


AWKWARD: dict[str, Any] = {
    "tuple": (HIDDEN, 1),
    "set": {HIDDEN, "b"},
    "dict": {1: HIDDEN, (2, "x"): [HIDDEN]},
    "bytes": b"\0\1",
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "decimal": Decimal("1.50"),
    "uuid": uuid.UUID(int=7),
    "path": pathlib.PurePosixPath(f"/home/{HIDDEN}/x"),
    "surrogate": f"{HIDDEN} \ud83d",
    "document": Document(page_content=LONG, metadata={"source": HIDDEN, "id": HIDDEN}),
    "dataclass": Point(HIDDEN),
    "message": HumanMessage(HIDDEN, id="inner"),
    "nan": float("inf"),
    "id": f"an id that is data: {HIDDEN}",
    "type": HIDDEN,
    "$": HIDDEN,
}

EVERY_KIND: list[BaseMessage] = [
    HumanMessage(LONG, id="m1", name=f"name {HIDDEN}"),
    HumanMessage([{"type": "text", "text": LONG}, {"type": "text", "text": "short marzipan"}, LONG]),
    HumanMessage(
        [
            {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png", "id": "img"},
            {"type": "text", "text": HIDDEN},
        ]
    ),
    SystemMessage(LONG),
    AIMessage(
        [
            {"type": "thinking", "thinking": f"thinking of {LONG}", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "b3BhcXVl"},
            {"type": "text", "text": LONG, "citations": [{"type": "char_location", "cited_text": f"cited {LONG}"}]},
            {
                "type": "tool_use",
                "id": "toolu_1",
                "name": "nougat_tool",
                "input": {"id": HIDDEN, "type": HIDDEN, "q": LONG},
            },
        ],
        id="msg_1",
        tool_calls=[{"name": "nougat_tool", "args": {"id": HIDDEN, "type": HIDDEN, "q": LONG}, "id": "toolu_1"}],
        response_metadata={"model_name": "claude", "stop_reason": "tool_use", "note": HIDDEN, "id": "msg_1"},
    ),
    ToolMessage(f"found {LONG}", tool_call_id="toolu_1", name="nougat_tool", artifact=AWKWARD, status="error"),
    AIMessage(
        [
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": f"because {LONG}"}]},
            {"type": "text", "text": LONG, "id": "msg_2", "annotations": []},
            {
                "type": "function_call",
                "name": "nougat_tool",
                "arguments": json.dumps({"q": HIDDEN}),
                "call_id": "call_1",
                "id": "fc_1",
            },
        ],
        tool_calls=[
            {"name": "nougat_tool", "args": {"q": HIDDEN, "n": {"deep": [LONG]}, "raw": b"\0"}, "id": "call_1"}
        ],
        invalid_tool_calls=[
            {
                "name": "nougat_tool",
                "args": f"{{{HIDDEN}",
                "id": "call_2",
                "error": HIDDEN,
                "type": "invalid_tool_call",
            }
        ],
        additional_kwargs={
            "reasoning_content": f"because {LONG}",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "nougat_tool", "arguments": HIDDEN}}
            ],
        },
    ),
    ToolMessage([{"type": "text", "text": LONG}, {"type": "text", "text": LONG}], tool_call_id="call_1", id="t1"),
    AIMessageChunk(["a marz", {"type": "text", "text": "ipan over two blocks of text"}], id="run-1"),
    AIMessageChunk(
        "", tool_call_chunks=[{"name": "nougat_tool", "args": f'{{"q": "{HIDDEN}"}}', "id": "c", "index": 0}]
    ),
    ChatMessage(LONG, role="critic"),
    FunctionMessage(LONG, name="nougat_tool"),
    NamedMessage(LONG, note=f"noted {HIDDEN}", additional_kwargs=AWKWARD),
    AIMessage(LONG, name="planner", response_metadata={"logprobs": AWKWARD}, mood=f"an attribute {HIDDEN}"),
    AIMessage("nothing to see"),
]


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a message but keys, and names of tools."""
    if isinstance(value, BaseMessage):
        fields = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        yield from texts_in(fields)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, Document):
        yield from texts_in([value.page_content, value.metadata])
    elif isinstance(value, Point):
        yield value.label
    elif isinstance(value, pathlib.PurePath):
        yield str(value)


def hidden_in(messages: list[BaseMessage]) -> list[str]:
    return [text for text in texts_in(messages) if HIDDEN in text]


@pytest.mark.parametrize("pattern", [HIDDEN, re.compile("MARZIPAN", re.IGNORECASE), clean])
def test_a_text_is_redacted_in_every_kind_of_message(pattern: Any, service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session()
    stored = session.add_events([message_to_event(message) for message in EVERY_KIND])
    service.search("marzipan")
    report = service.redact(pattern)
    assert (report.events, report.skipped, report.remaining) == (len(EVERY_KIND) - 1, 0, ())
    events = session.events()
    shown = messages_of(events)
    assert hidden_in(shown) == []
    assert [(e.id, e.seq, e.author, e.created_at, e.message_id) for e in events] == [
        (e.id, e.seq, e.author, e.created_at, e.message_id) for e in stored
    ]
    for before, after in zip(EVERY_KIND, shown, strict=True):
        assert type(after) is type(before)
        assert (after.id, after.type, list(after.__dict__)) == (before.id, before.type, list(before.__dict__))
        assert clean(str(before.text)) == str(after.text)
        assert getattr(after, "tool_call_id", "") == getattr(before, "tool_call_id", "")
        assert [(c["name"], c["id"]) for c in getattr(after, "tool_calls", [])] == [
            (c["name"], c["id"]) for c in getattr(before, "tool_calls", [])
        ]
    assert events[-1] == stored[-1]
    assert HIDDEN.encode() not in bytes_of(path).lower()
    found = service.search("redacted", limit=99)
    assert len(found) >= len(EVERY_KIND) - 4
    assert not service.search("marzipan")
    assert service.check().ok
    assert service.redact(pattern).events == 0


def expected(value: Any) -> Any:
    """A message's field with its texts changed, by a rule of its own: keys, ids, types and tools' names stay."""
    if isinstance(value, dict):
        return {
            key: item if key in ("id", "type", "call_id", "tool_call_id") or item == "nougat_tool" else expected(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [expected(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def test_the_rest_of_a_message_is_equal(service: SQLiteSessionService) -> None:
    session = service.create_session()
    anthropic, openai = EVERY_KIND[4], EVERY_KIND[6]
    session.add_events([message_to_event(message) for message in (anthropic, openai)])
    service.redact(HIDDEN)
    first, second = messages_of(session.events())
    blocks = expected(anthropic.content)
    blocks[3]["input"] = {"id": "[redacted]", "type": "[redacted]", "q": clean(LONG)}
    assert first.content == blocks
    assert isinstance(first, AIMessage)
    assert first.tool_calls == [
        {"name": "nougat_tool", "args": blocks[3]["input"], "id": "toolu_1", "type": "tool_call"}
    ]
    assert second.content == expected(openai.content)
    assert second.additional_kwargs == expected(openai.additional_kwargs)
    assert isinstance(second, AIMessage)
    assert second.tool_calls[0]["args"] == {"q": "[redacted]", "n": {"deep": [clean(LONG)]}, "raw": b"\0"}
    assert second.invalid_tool_calls[0]["args"] == "{[redacted]"


def test_names_of_tools_stay(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events([message_to_event(message) for message in EVERY_KIND])
    before = session.events()
    assert service.redact("nougat").events == 0
    assert session.events() == before


def test_awkward_values_come_back_with_their_texts_changed(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_events([message_to_event(ToolMessage("x", tool_call_id="1", artifact=AWKWARD))])
    service.redact(HIDDEN)
    (message,) = messages_of(session.events())
    assert isinstance(message, ToolMessage)
    shown = clean(LONG)
    assert message.artifact == {
        **AWKWARD,
        "tuple": ("[redacted]", 1),
        "set": {"[redacted]", "b"},
        "dict": {1: "[redacted]", (2, "x"): ["[redacted]"]},
        "path": pathlib.PurePosixPath("/home/[redacted]/x"),
        "surrogate": "[redacted] \ud83d",
        "document": Document(page_content=shown, metadata={"source": "[redacted]", "id": "[redacted]"}),
        "dataclass": Point("[redacted]"),
        "message": HumanMessage("[redacted]", id="inner"),
        "id": "an id that is data: [redacted]",
        "type": "[redacted]",
        "$": "[redacted]",
    }


@given(messages())
def test_any_message_can_be_redacted_and_still_loads(message: BaseMessage) -> None:
    event = message_to_event(message)
    with SQLiteSessionService(":memory:", max_event_bytes=2**40) as service:
        session = service.create_session()
        (stored,) = session.add_events([event])
        before = event_to_messages(stored)
        service.redact(lambda text: text.replace("a", "á").replace("好", "坏"))
        (changed,) = session.events()
        after = event_to_messages(changed)
        assert len(after) == len(before) == 1
        assert type(after[0]) is type(before[0])
        assert after[0].id == before[0].id
        assert getattr(after[0], "tool_call_id", 0) == getattr(before[0], "tool_call_id", 0)
        assert service.redact(lambda text: text).events == 0  # what does not change is not written
        assert "好" not in changed.content


@pytest.mark.parametrize("levels", [99, 150, 190])
def test_a_message_is_redacted_however_deep_its_values_are_nested(levels: int, service: SQLiteSessionService) -> None:
    value: Any = "secret"
    for _ in range(levels):
        value = [value]
    history = SQLiteChatMessageHistory("deep", service=service)
    history.add_messages([AIMessage("a secret", additional_kwargs={"value": value})])
    assert service.redact("secret", replacement="[gone]", session="deep").events == 1
    (message,) = history.messages
    assert message.content == "a [gone]"
    assert "secret" not in str(message)


def test_a_native_event_is_redacted_in_every_field(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session()
    call = ToolCall("nougat_tool", {"q": [HIDDEN], HIDDEN: 1}, id="1", output={"o": HIDDEN}, error=f"no {HIDDEN}")
    event = Event(
        "planner",
        LONG,
        reasoning=f"because {HIDDEN}",
        actions=[call, ToolCall("f", output=HIDDEN)],
        state={"k": {"deep": HIDDEN}, "gone": REMOVE},
        metadata={"m": [1, HIDDEN, None, True]},
        id="e1",
    )
    stored = session.add_events([event, Event("tool", HIDDEN, actions=[ToolCall("f", id="x")])])[0]
    session.state["k"] = "changed by hand"
    assert service.redact(HIDDEN, replacement="***").events == 2
    (changed, _) = session.events()
    assert changed == dataclasses.replace(
        stored,
        content=LONG.replace(HIDDEN, "***"),
        reasoning="because ***",
        actions=(
            ToolCall("nougat_tool", {"q": ["***"], HIDDEN: 1}, id="1", output={"o": "***"}, error="no ***"),
            ToolCall("f", output="***"),
        ),
        state={"k": {"deep": "***"}, "gone": REMOVE},
        metadata={"m": [1, "***", None, True]},
    )
    assert not service.search("because marzipan", fields=["content", "reasoning"])
    assert service.search("because longer text")


def test_a_redacted_text_does_not_come_back_with_a_rewind(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session(state={"k": HIDDEN})
    session.add_event("user", "one", state={"k": f"{HIDDEN} again"})
    session.add_event("user", "two", state={"k": "harmless"})
    report = service.redact(HIDDEN)
    assert report.remaining == ()
    assert HIDDEN.encode() not in bytes_of(path)
    session.rewind()
    assert session.state["k"] == "[redacted] again"
    session.rewind()
    assert session.state["k"] == "[redacted]"


def test_a_dry_redaction_changes_nothing(service: SQLiteSessionService) -> None:
    session = service.create_session(title=HIDDEN)
    session.add_events([message_to_event(message) for message in EVERY_KIND])
    before = dump(service)
    report = service.redact(HIDDEN, dry_run=True)
    assert (report.events, report.dry_run) == (len(EVERY_KIND) - 1, True)
    assert dump(service) == before


def test_what_cannot_be_read_is_skipped_and_counted(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session()
    session.add_events([Event("user", HIDDEN) for _ in range(3)])
    session.add_events([message_to_event(AIMessage(HIDDEN)) for _ in range(4)])
    service.search("marzipan")
    raw = sqlite3.connect(path)
    raw.execute("UPDATE events SET actions = '{broken' WHERE seq = 1")
    raw.execute("UPDATE events SET content = CAST(x'ff' AS TEXT) WHERE seq = 2")
    raw.execute("UPDATE events SET message = '{broken' WHERE seq = 4")
    raw.execute("UPDATE events SET message = '[]' WHERE seq = 5")
    raw.execute("""UPDATE events SET message = '{"type":"unheard of"}' WHERE seq = 6""")
    raw.commit()
    raw.close()
    report = service.redact(HIDDEN)
    assert (report.events, report.skipped) == (2, 5)
    assert [event.seq for event in session.events() if event.content == "[redacted]"] == [3, 7]


@pytest.mark.parametrize("error", [ValueError, KeyError, RuntimeError])
def test_a_function_that_fails_is_not_taken_for_a_damaged_event(
    error: type[Exception], service: SQLiteSessionService
) -> None:
    def change(text: str) -> str:
        if text == "only in the message":
            raise error("mine")
        return text

    session = service.create_session()
    session.add_events([message_to_event(AIMessage("x", additional_kwargs={"k": "only in the message"}))])
    before = dump(service)
    with pytest.raises(error, match="mine"):
        service.redact(change)
    assert dump(service) == before


# ---------------------------------------------------------------- beside other writers


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program is in the middle of writing."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


DRY_RUNS: dict[str, Callable[[SQLiteSessionService], Any]] = {
    "prune by age": lambda service: service.prune(older_than=timedelta(days=5), dry_run=True),
    "prune by count": lambda service: service.prune(keep_last=1, dry_run=True),
    "redact": lambda service: service.redact("marzipan", dry_run=True),
    "redact one session": lambda service: service.redact(str.upper, session="s", dry_run=True),
    "rewind": lambda service: service.rewind_session("s", turns=1, dry_run=True),
    "rewind to": lambda service: service.rewind_session("s", to=1, dry_run=True),
    "import": lambda service: service.import_(service.path.parent / "export.jsonl", user_id="new", dry_run=True),
}


@pytest.mark.parametrize("name", DRY_RUNS)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_dry_run_is_a_read(name: str, read_only: bool, service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session(session_id="s", state={"k": "marzipan"})
    say(session, "u one marzipan", "a two", days=10)
    session.add_event("assistant", actions=[ToolCall("f", id="1")])
    session.add_event("tool", "marzipan", actions=[ToolCall("f", id="1")])
    say(session, "u three", "a four marzipan")
    service.export(path.parent / "export.jsonl")
    expected = DRY_RUNS[name](service)
    before = dump(service)
    with (
        locked(path),
        SQLiteSessionService(path, read_only=True) if read_only
        else SQLiteSessionService(path, busy_timeout=0) as other,
    ):  # fmt: skip
        assert DRY_RUNS[name](other) == expected
    assert dump(service) == before


def test_the_function_of_a_redaction_may_write_and_so_may_others(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session(session_id="s", state={"k": HIDDEN})
    session.add_events([Event("user", HIDDEN), Event("user", "marzipan")])
    log = service.create_session(session_id="log")
    with SQLiteSessionService(path, busy_timeout=0) as other:

        def change(text: str) -> str:
            other.append_event("log", Event("system", "asked"))
            service.append_event("log", Event("system", "asked"))
            return text.replace("marzipan", "…")

        assert service.redact(change, session="s").events == 2
    assert contents(session.events()) == [HIDDEN.replace("marzipan", "…"), "…"]
    assert len(log.events()) >= 4


def test_what_others_change_during_a_redaction_is_redacted_too(service: SQLiteSessionService, path: Path) -> None:
    session = service.create_session(session_id="s", state={"k": "secret at first"})
    session.add_events([
        Event("user", "secret one", message_id="1"), Event("user", "secret two"), Event("user", "three", id="3"),
    ])  # fmt: skip
    service.search("secret")
    asked: list[str] = []
    with SQLiteSessionService(path, busy_timeout=0) as other:

        def change(text: str) -> str:
            asked.append(text)
            if text == "secret one":
                other.append_messages("s", [Event("user", "secret 1 instead", message_id="1")])
                other.append_event("s", Event("user", "secret four"))
            if text == "secret two":
                other.rewind_session("s", to=1)
            if text == "secret at first" and asked.count(text) == 1:
                connection = sqlite3.connect(path)
                connection.execute("""UPDATE sessions SET initial_state = '{"k":"secret later"}'""")
                connection.commit()
                connection.close()
            return text.replace("secret", "…")

        report = service.redact(change, session="s")
    assert contents(session.events()) == ["… 1 instead"]
    assert report.events == 1
    assert json.loads(dump(service)["sessions"][0]["initial_state"]) == {"k": "… later"}
    assert not service.search("secret")
    assert service.check().ok


def test_a_redaction_names_what_it_cannot_read_and_still_holds_the_text(
    service: SQLiteSessionService, path: Path
) -> None:
    session = service.create_session(session_id="s", state={"k": "x"}, metadata={"m": 1})
    session.add_event("user", "marzipan")
    broken = """'{"k": "marzipan'"""
    raw = sqlite3.connect(path)
    raw.execute(f"UPDATE sessions SET metadata = {broken}, initial_state = CAST({broken} AS BLOB)")
    raw.execute(f"UPDATE state SET value = {broken}")
    raw.commit()
    raw.close()
    remaining = service.redact("marzipan").remaining
    assert len([place for place in remaining if "metadata" in place or "state" in place]) == 3
    assert "marzipan" not in str(remaining)


def test_a_wait_for_those_who_read_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Busy:
        def execute(self, sql: str) -> Busy:
            asked.append(sql)
            return self

        def fetchone(self) -> tuple[int]:
            return (1,)

    monkeypatch.setattr(maintenance, "READERS_PATIENCE", 0.5)
    assert not maintenance._empty_wal(Busy())  # type: ignore[arg-type]  # it is asked for this alone
    assert 1 < len(asked) < 100


BACKTRACKS = """
import sys
from session_sqlite import Event, SQLiteSessionService
with SQLiteSessionService(sys.argv[1]) as service:
    service.create_session(session_id="s").add_event("user", "a" * 60 + "b")
    print("redacting", flush=True)
    try:
        service.redact(r"(a+)+$")
    except KeyboardInterrupt:
        print("interrupted", len(service.list_events("s")), service.append_event("s", Event("user", "x")).seq)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_expression_that_backtracks_shuts_nobody_out_and_can_be_interrupted(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", BACKTRACKS, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "redacting\n"
        with SQLiteSessionService(path, busy_timeout=20) as service:
            for _ in range(20):
                service.append_event("other", Event("user", "on"), create=True)
                time.sleep(0.05)
            assert child.poll() is None
            child.send_signal(signal.SIGINT)
            assert child.stdout.readline() == "interrupted 1 2\n"
            assert child.wait(30) == 0
            assert contents(service.list_events("s")) == ["a" * 60 + "b", "x"]
    finally:
        child.kill()
        child.communicate()


def test_an_event_that_changes_while_others_are_redacted_is_redacted_as_it_is_now(
    service: SQLiteSessionService, path: Path
) -> None:
    session = service.create_session()
    session.add_events([Event("user", f"secret {number}") for number in range(1, 5)])
    changed: list[str] = []

    def hidden(text: str) -> str:
        if text == "secret 2" and not changed:
            changed.append(text)
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("UPDATE events SET content = 'secret two' WHERE seq = 2")
        return text.replace("secret", "***")

    report = service.redact(hidden, session=session)
    assert [event.content for event in session.events()] == ["*** 1", "*** two", "*** 3", "*** 4"]
    assert report.events == 4
