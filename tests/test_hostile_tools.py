"""Whatever a model asks the tools of a history for: nothing of others, and no exception.

``pytest --long`` makes 10,000 calls of each way to call them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from mcp import Client
from mcp.types import TextContent

from session_sqlite import Event, SessionService, SQLiteSessionService, ToolCall, history_tools
from session_sqlite.mcp import server_of
from session_sqlite.tools import TOOLS, HistoryTools, estimated_tokens

HUSH = "hush"  # stands in all that others have, and in nothing that is asked
NAMES = [tool.name for tool in TOOLS]
PARAMETERS = sorted({parameter.name for tool in TOOLS for parameter in tool.parameters})
STRANGE_NAMES = [
    "user_id", "app_name", "session", "exclude_session", "self", "config", "run_manager", "callbacks", "cursor",
    "sql", "__class__", "", "*", "limit ", "args", "kwargs", "name", "running",
]  # fmt: skip  # fmt: skip
QUESTIONS = [
    "What about the teapot?", "teapot", "茶壶怎么样？", "Who is bob and what did he say?", "the of and",
    "SELECT content FROM events", "\"teapot\" OR user_id:bob", "teapot* NEAR bob", "content:teapot",
]  # fmt: skip  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, 2, 3, -1, 5, 50, 10**3, 2**31, 2**63, 2**63 - 1, 10**30, -(10**30), 10**4000, 0.0,
    1.5, 2.0, -0.0, 1e308, float("inf"), float("nan"), "", " ", "0", "#2", "1e9", "٣", "%", "_", "*", "%%%", "s-%",
    "?", "[a-z]*", "..", "/", "../../etc/passwd", "bob", "ada", "shop", "bank", "ANY", "*:*", "user:bob", "s-1",
    "s-2", "shared", "bobs", "banks", "S-1", "s-1 ", "s-1\x00", "s-1\n", "\x1b[31m", "\x00", "\u202es-1",
    "s-1\u200b", "\ud800", "\u2028", "s" * 129, "s" * 100_000, "'; DROP TABLE events; --", "' OR '1'='1",
    "\" OR \"\"=\"", "1 UNION SELECT content FROM events", "x' OR user_id='bob", "json_extract(state, '$')",
    ":app_name", "?1", "$1", "{user_id}", "%(user_id)s", "${user}", "{{7*7}}", "\\", "\\'", "''",
    "WyJzZXNzaW9ucyJd", "eyJhIjoxfQ", "====", "user", "assistant", "tool", "system", "true", "False", "yes",
    "2026", "2026-10", "2026-13", "2026-02-30", "0000-00-00", "0001-01-01", "9999-12-31", "9999", "9999-12",
    "2026-10-27T10:00:00Z", "now", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
    "2026-10-27T10:00:00+99:00", "yesterday", [], {}, [1, 2], ["s-1"], {"id": "bobs"}, {"$ne": None},
    {"session_id": "bobs", "user_id": "bob"}, [[[[]]]], {"a": {"b": {"c": 1}}}, b"bytes",
]  # fmt: skip  # fmt: skip


def fill(service: SessionService) -> None:
    long_ago = datetime(2026, 10, 27, tzinfo=UTC)
    mine = service.scope(app_name="shop", user_id="ada")
    for name in ("s-1", "s-2", "shared", "%", "ada"):
        said = f"Which teapot is best? 茶壶 {name}"
        events = [Event("user", said, created_at=long_ago + timedelta(hours=number)) for number in range(6)]
        mine.create_session(session_id=name, title="Mine").add_events(events)
    for app, user in (
        ("shop", "bob"),
        ("bank", "ada"),
        ("bank", "bob"),
        ("shop", "ad"),
        ("shop", "ADA"),
        ("shop", "ada%"),
    ):
        theirs = service.scope(app_name=app, user_id=user)
        for name in ("s-1", "shared", f"{user}s", f"{app}s", "bobs", "banks"):
            session = theirs.create_session(
                session_id=name, title=f"{HUSH} {user}", metadata={"a": HUSH}, state={"user:a": HUSH}, exist_ok=True
            )
            call = ToolCall(HUSH, {"a": HUSH}, output=f"teapot {HUSH}")
            session.add_event("user", f"Which teapot? 茶壶 {HUSH} bob said", created_at=long_ago)
            session.add_event(f"{HUSH} agent", f"teapot {HUSH}", reasoning=HUSH, actions=[call], created_at=long_ago)


@pytest.fixture
def everybodys(path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(path) as service:
        fill(service)
        yield service


def cursors_of_others(service: SessionService) -> list[str]:
    """Real cursors, of lists that others were shown."""
    others = (service.scope(app_name="shop", user_id="bob"), service.scope(app_name="bank", user_id="ada"))
    return [str(other.list_sessions(limit=n).next_cursor) for other in others for n in (1, 2)]


def arguments(chance: random.Random, more: list[Any], *, parameters: list[str]) -> dict[str, Any]:
    """Arguments of which some are right, so that a call gets as far as possible with what is wrong."""
    given: dict[str, Any] = {}
    for name in parameters:
        what = chance.random()
        if what < 0.25:
            given[name] = chance.choice(VALUES + more)
        elif (name == "question" and what < 0.9) or (name == "words" and what < 0.4):
            given[name] = chance.choice(QUESTIONS)
        elif name == "session_id" and what < 0.6:
            given[name] = chance.choice(["s-1", "shared", "bobs", "banks", "%"])
    if chance.random() < 0.1:
        given[chance.choice(STRANGE_NAMES + PARAMETERS)] = chance.choice(VALUES + more)
    return given


def calls(service: SessionService, seed: int, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    chance = random.Random(seed)
    more = cursors_of_others(service)
    for _ in range(count):
        tool = chance.choice(TOOLS)
        yield tool.name, arguments(chance, more, parameters=[parameter.name for parameter in tool.parameters])


@pytest.fixture
def how_many(pytestconfig: pytest.Config) -> int:
    return 10_000 if pytestconfig.getoption("--long") else 400


async def test_no_call_of_a_tool_of_langchain_leaks_or_raises(everybodys: SQLiteSessionService, how_many: int) -> None:
    tools = {tool.name: tool for tool in history_tools(everybodys, app_name="shop", user_id="ada", max_tokens=700)}
    statuses = {"success": 0, "error": 0}
    for number, (name, given) in enumerate(calls(everybodys, 1, how_many)):
        call = {"type": "tool_call", "id": "c", "name": name, "args": given}
        config: Any = {"configurable": {"thread_id": "s-2"}}
        answer = await tools[name].ainvoke(call, config) if number % 2 else tools[name].invoke(call, config)
        assert isinstance(answer, ToolMessage)
        assert HUSH not in answer.text, (name, given)
        assert estimated_tokens(answer.text) <= 700
        assert answer.text.encode()
        statuses[answer.status] += 1
    assert min(statuses.values()) > how_many / 10, "the calls are all wrong, or all right"


@pytest.mark.parametrize("wrong", [None, 5, "text", [], ["s-1"], {1: 2}, {None: None}, ("a",), b"x"])
def test_arguments_that_are_no_object_are_refused(everybodys: SQLiteSessionService, wrong: Any) -> None:
    for tool in history_tools(everybodys, app_name="shop", user_id="ada"):
        assert tool.invoke(wrong).startswith("Error: ")


def is_json(value: Any) -> bool:
    """Whether a client can send it."""
    if isinstance(value, str):
        return value.isprintable() or "\ud800" not in value
    return not isinstance(value, bytes) and not (isinstance(value, float) and not isfinite(value))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_no_call_over_mcp_leaks_or_raises(everybodys: SQLiteSessionService, how_many: int, mode: Any) -> None:
    """Mode "legacy" sends JSON through a stream; "auto" calls the server at once."""
    history = HistoryTools(everybodys, app_name="shop", user_id="ada", max_tokens=700, knows_current=False)
    chance = random.Random(2)
    failed = 0
    async with Client(server_of(history), mode=mode, raise_exceptions=True) as client:
        for name, given in calls(everybodys, 3, how_many // 2):
            sent = {key: value for key, value in given.items() if is_json(value)}
            asked = chance.choice([*NAMES, *STRANGE_NAMES]) if chance.random() < 0.05 else name
            result = await client.call_tool(asked, sent)
            (content,) = result.content
            assert isinstance(content, TextContent)
            assert HUSH not in content.text, (name, given)
            assert estimated_tokens(content.text) <= 700
            failed += result.is_error
    assert how_many / 20 < failed < how_many / 2 * 0.9


def test_the_secrets_would_be_seen(everybodys: SQLiteSessionService) -> None:
    """The tools of another user show what the tests above look for."""
    search, listing, read = history_tools(everybodys, app_name="shop", user_id="bob")
    for answer in (
        search.invoke({"question": "Which teapot?"}),
        listing.invoke({}),
        read.invoke({"session_id": "s-1"}),
    ):
        assert HUSH in answer
