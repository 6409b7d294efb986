"""Conversations as HTML: what they show, and that nothing in them runs, loads or breaks out.

The tests at the end open pages in headless Chromium and count over the DevTools protocol what they run and load. They
are skipped where there is no Chromium; the accessibility check also where `AXE_CORE` names no axe-core.
"""

import asyncio
import base64
import copy
import html as html_module
import io
import json
import os
import pickle
import re
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser, Page, browser
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from our_markup import ALLOWED, Elements, assert_only_our_elements, without_its_script

from session_sqlite import (
    ANY,
    REMOVE,
    AsyncSessionService,
    Event,
    Rows,
    SearchHit,
    Session,
    SQLiteChatMessageHistory,
    SQLiteSessionService,
    ToolCall,
    Usage,
    plots,
)
from session_sqlite import Page as Listing
from session_sqlite.cli import main
from session_sqlite.messages.langchain import message_to_event
from session_sqlite.transcript import html_page, terminal_text
from session_sqlite.transcript.index import SCRIPT

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SESSION = Session("s-1", "my-app", "alice", agent_id="coder", title="Tea 茶", created_at=WHEN, updated_at=WHEN)


def png(width: int = 2, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + b"\xd0\x40\x40" * width for _ in range(height))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


PNG = base64.b64encode(png()).decode()


def page(*events: Event, session: Session = SESSION, limit: int | None = None) -> str:
    return "".join(html_page(session, events, limit=limit))


def text_of(markup: str) -> str:
    """What a reader sees, roughly."""
    markup = re.sub(r"<style>.*?</style>", "", markup, flags=re.DOTALL)
    return " ".join(html_module.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def kinds(markup: str) -> list[str | None]:
    """The kinds of the entries of a page, in order."""
    return [attributes["class"] for tag, attributes in Elements(markup).found if tag == "li" and "class" in attributes]


def links_of(markup: str) -> list[tuple[dict[str, str | None], str]]:
    """The links of a text to elsewhere: the attributes and the text of each."""
    texts = re.findall(r'<a href="[^#].*?>(.*?)</a>', markup, re.DOTALL)
    links = [attributes for tag, attributes in Elements(markup).found if tag == "a" and attributes["href"][:1] != "#"]
    return list(zip(links, map(text_of, texts), strict=True))


# ---------------------------------------------------------------- what is shown


def test_a_page_says_who_said_what_when_and_with_how_many_tokens() -> None:
    event = Event(
        "assistant", "Black tea.", reasoning="caffeine", seq=2, created_at=WHEN, branch="root.sub", agent_id="helper",
        state={"step": 1, "gone": REMOVE}, usage=Usage("model-x", 1200, 85, cache_read_tokens=300),
    )  # fmt: skip
    shown = text_of(page(event))
    for part in (
        "Tea 茶", "session s-1", "app my-app", "user alice", "agent coder", "created 2026-01-02 03:04 UTC",
        "assistant agent helper branch root.sub 2026-01-02 03:04 #2", "Reasoning caffeine", "Black tea.",
        "step = 1", "gone removed", "model-x tokens: 1,200 in (300 from cache), 85 out",
    ):  # fmt: skip
        assert part in shown


def test_a_call_and_its_result_are_one_thing_in_both_forms() -> None:
    native = Event("assistant", actions=[ToolCall("Read", {"path": "a"}, output={"lines": 3})], seq=1)
    call = Event("assistant", actions=[ToolCall("Read", {"path": "b"}, id="c1"), ToolCall("Run", id="c2")], seq=2)
    results = [
        Event("tool", "no such command", actions=[ToolCall("Run", id="c2", error="no such command")], seq=3),
        Event("tool", "package main", actions=[ToolCall("Read", id="c1")], seq=4),
    ]
    shown = page(native, call, *results)
    assert kinds(shown) == ["model"], "the calls of a turn stand together"
    text = text_of(shown)
    assert 'Read ok {"path": "a"} Arguments { "path": "a" } Result { "lines": 3 }' in text
    assert 'Read ok {"path": "b"} Arguments { "path": "b" } Result of #4 package main' in text
    assert text.count("no such command") == 1


def test_a_result_without_its_call_and_a_call_without_a_result_stand_for_themselves() -> None:
    shown = page(
        Event("assistant", actions=[ToolCall("Wait", id="c1")], seq=1),
        Event("user", "and?", seq=2),
        Event("tool", "late", actions=[ToolCall("Wait", id="c1")], seq=3),
    )
    assert kinds(shown) == ["model", "user", "tool"]
    assert "Wait no result yet" in text_of(shown)
    assert "Result of Wait late" in text_of(shown)


def test_code_blocks_are_code_and_only_harmless_markdown_is_followed() -> None:
    shown = page(Event("assistant", "# Plan\nUse **bold** and `x < y`:\n\n```x\nfunc <main>\n```\n\nthen\n~~~\nopen"))
    assert '<h3 dir="auto">Plan</h3>' in shown or "<h3>Plan</h3>" in shown
    assert "<strong>bold</strong> and <code>x &lt; y</code>" in shown
    assert '<div class="code" data-language="x"><pre tabindex="0"><code>func &lt;main&gt;</code></pre></div>' in shown
    assert '<pre tabindex="0"><code>open</code></pre>' in shown


@pytest.mark.parametrize(
    ("text", "language"), [("请帮我分析", "zh"), ("これを読む", "ja"), ("안녕하세요", "ko"), ("Tea", None)]
)
def test_the_language_of_a_text_is_named_where_it_picks_the_glyphs(text: str, language: str | None) -> None:
    blocks = [attributes for tag, attributes in Elements(page(Event("user", text))).found if tag == "div"]
    assert {"class": "text", "dir": "auto"} | ({"lang": language} if language else {}) in blocks


def test_marks_of_direction_stay_and_overrides_are_shown_as_escapes() -> None:
    shown = page(Event("user", "שלום\u200f! \u202eevil"))
    assert "\u200f" in shown
    assert "\u202e" not in shown
    assert "\\u202eevil" in shown


IMAGE_BLOCKS = {
    "OpenAI": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    "OpenAI, short": {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
    "Anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    "LangChain": {"type": "image", "base64": PNG, "mime_type": "image/png"},
    "LangChain 0.3": {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
    "bytes": {"type": "image", "data": png(), "mime_type": "image/png"},
}


@pytest.mark.parametrize("kind", IMAGE_BLOCKS)
def test_an_image_in_a_message_is_shown(kind: str) -> None:
    message = HumanMessage([{"type": "text", "text": "What is this?"}, IMAGE_BLOCKS[kind]])
    shown = page(message_to_event(message))
    assert f'<img src="data:image/png;base64,{PNG}" alt="image 1 of event 0">' in shown
    assert "What is this?" in shown


SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='pwned()'/>").decode()
BAD_IMAGES = {
    "svg": f"data:image/svg+xml;base64,{SVG}",
    "svg that calls itself a png": f"data:image/png;base64,{SVG}",
    "html": f"data:text/html;base64,{SVG}",
    "elsewhere": "http://127.0.0.1:9/x.png",
    "script": "javascript:pwned()",
    "a quote": f'data:image/png;base64,{PNG}" onerror="pwned()',
    "no base64": "data:image/png;base64,%%%",
    "not encoded": "data:image/png,abc",
    "nothing": "",
    "a number": 7,
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_any_other_image_is_only_mentioned(name: str) -> None:
    url = BAD_IMAGES[name]
    for block in ({"type": "image_url", "image_url": {"url": url}}, {"type": "image", "url": url}):
        shown = page(message_to_event(HumanMessage([block])))
        assert "<img" not in shown
        assert "[image" in shown
    assert "<img" not in page(Event("user", f"![x]({url})"))


def test_an_image_in_markdown_and_in_a_tools_message_is_shown() -> None:
    assert f'<img src="data:image/png;base64,{PNG}" alt="a dot">' in page(
        Event("assistant", f"See ![a dot](data:image/png;base64,{PNG}) here")
    )
    call = message_to_event(AIMessage("", tool_calls=[{"name": "Shot", "args": {}, "id": "c"}]))
    result = message_to_event(ToolMessage([IMAGE_BLOCKS["OpenAI"]], tool_call_id="c"))
    shown = page(call, result)
    assert "tool" not in kinds(shown)
    assert "<img" in shown


def test_of_a_long_session_the_first_and_last_events_are_shown_and_the_rest_is_counted(
    service: SQLiteSessionService,
) -> None:
    session = service.create_session()
    session.add_events([Event("user", f"message {n}") for n in range(1, 1001)])
    shown = text_of(session._repr_html_())
    assert "message 1 " in shown
    assert "message 1000" in shown
    assert "… 980 more events …" in shown
    assert "message 500 " not in shown
    assert "… 990 more events …" in text_of(page(*session.iter_events(), limit=10))
    assert "more event" not in page(*session.iter_events())


def test_a_call_whose_result_may_be_among_the_events_left_out_is_not_said_to_have_none(
    service: SQLiteSessionService,
) -> None:
    session = service.create_session()
    calls = [ToolCall("Read", id="a"), ToolCall("Run", id="b")]
    results = [Event("tool", call.name, actions=[call]) for call in calls]
    session.add_events([Event("user", "1"), Event("user", "2"), Event("assistant", actions=calls), *results])
    session.add_events([Event("user", f"message {n}") for n in range(40)])
    shown = text_of(session._repr_html_())
    assert "Read ok" in shown
    assert "Run result not shown" in shown
    assert "no result yet" not in shown
    last = service.create_session()
    last.add_event("assistant", actions=calls)
    assert "Run no result yet" in text_of(last._repr_html_())


def test_a_model_without_counts_of_tokens_is_named_alone() -> None:
    events = [
        Event("assistant", "Oolong.", usage=Usage("gpt-4o"), seq=1),
        Event("assistant", "2", usage=Usage(), seq=2),
    ]
    assert "Oolong. gpt-4o assistant" in text_of(page(*events))
    in_a_terminal = "\n".join(terminal_text(SESSION, events))
    assert "  Oolong.\n  gpt-4o\n" in in_a_terminal
    assert "tokens" not in in_a_terminal + text_of(page(*events))


def test_a_huge_message_is_cut_in_a_notebook_and_whole_in_a_page() -> None:
    huge = Event("user", "word " * 200_000)
    assert "… 996,000 more characters" in huge._repr_html_()
    assert len(huge._repr_html_()) < 20_000
    assert text_of(page(huge)).count("word") == 200_000
    shown = page(Event("assistant", "`x` **y**\n```\n" * 100_000))
    assert shown.count("<code>") == 0, "more elements than a browser can take"
    assert shown.count("**y**") > 99_000


def test_a_page_is_rendered_as_it_is_read() -> None:
    def stream() -> Iterator[Event]:
        yield Event("user", "first")
        yield Event("user", "second")
        raise AssertionError("the third was read before the first was rendered")

    pieces = html_page(SESSION, stream())
    assert "first" in "".join(next(pieces) for _ in range(3))


def test_an_unreadable_event_is_marked_and_a_summary_says_what_it_stands_for() -> None:
    assert "Unreadable" in page(Event("user", unreadable=True, raw='{"<b>": 1}'))
    assert "A summary of the events up to #5." in page(Event("system", "…", supersedes=5))


def test_an_export_is_one_page_with_a_section_for_each_session(service: SQLiteSessionService, tmp_path: Path) -> None:
    for title in ("Tea", "Coffee"):
        calls = [ToolCall("Brew", {"what": title}, id="c")]
        service.create_session(title=title).add_events(
            [Event("user", f"{title}?"), Event("assistant", actions=calls), Event("tool", "brewed", actions=calls)]
        )
    report = service.export(tmp_path / "all.html", format="html")
    assert (report.sessions, report.events) == (2, 6)
    shown = (tmp_path / "all.html").read_text("utf-8")
    assert sorted(re.findall(r'<h1 class="title" id="(session-\d)" dir="auto">(\w+)</h1>', shown)) in (
        [("session-1", "Coffee"), ("session-2", "Tea")], [("session-1", "Tea"), ("session-2", "Coffee")],
    )  # fmt: skip
    assert shown.count("<section ") == shown.count("</section>") == 2
    assert shown.count("<html") == shown.count("</html>") == 1
    assert "tool" not in kinds(shown)
    assert_only_our_elements(shown)
    nothing = io.StringIO()
    service.scope(user_id="nobody").export(nothing, format="html")
    assert "No conversations." in nothing.getvalue()


def test_the_command_writes_the_same_page_to_a_file_and_to_the_output(path: Path, tmp_path: Path) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="tea", title="茶")
        session.add_events([Event("user", "哪种茶？"), Event("assistant", "红茶"), Event("user", "谢谢")])
        expected = "".join(html_page(session.refresh(), session.events()))
    target = tmp_path / "tea.html"
    done = CliRunner().invoke(main, ["--db", str(path), "show", "tea", "--html", str(target)])
    assert (done.exit_code, done.output) == (0, "")
    assert target.read_text("utf-8") == expected
    assert CliRunner().invoke(main, ["--db", str(path), "show", "tea", "--html", "-"]).output == expected
    assert CliRunner().invoke(main, ["--db", str(path), "export", "tea", "--format", "html"]).stdout == expected
    last = CliRunner().invoke(main, ["--db", str(path), "show", "tea", "--last", "1", "--html", "-"]).output
    assert "谢谢" in last
    assert "哪种茶" not in last
    as_markdown = CliRunner().invoke(main, ["--db", str(path), "show", "tea", "--user-markdown", "--html", "-"]).output
    assert '<div class="md" dir="auto" lang="zh"><p>哪种茶？</p></div>' in as_markdown
    alone = CliRunner().invoke(main, ["--db", str(path), "show", "tea", "--user-markdown"])
    assert (alone.exit_code, "--user-markdown is for the page of --html" in alone.stderr) == (2, True)
    refused = CliRunner().invoke(main, ["--db", str(path), "show", "tea", "--html", str(path)])
    assert refused.exit_code == 1
    assert "is the store itself" in refused.output


# ---------------------------------------------------------------- how things show themselves


def test_a_session_shows_its_latest_events_and_its_facts_when_it_cannot(path: Path) -> None:
    assert "s-1" in SESSION._repr_html_()  # made by hand
    with SQLiteSessionService(path) as service:
        session = service.create_session(title="Tea")
        session.add_event("user", "Which tea?")
        assert "Which tea?" in session._repr_html_()
        assert "Which tea?" not in pickle.loads(pickle.dumps(session))._repr_html_()  # noqa: S301  # our own
        gone = service.create_session(title="Gone")
        gone.delete()
        assert "Gone" in gone._repr_html_()
    assert "Tea" in session._repr_html_()
    assert "closed" in session._repr_html_()


def test_a_history_shows_its_session_and_makes_no_file_for_that(path: Path) -> None:
    history = SQLiteChatMessageHistory("tea", path)
    assert "Nothing was said yet." in history._repr_html_()
    assert not path.exists()
    history.add_user_message("Which tea?")
    assert "Which tea?" in history._repr_html_()
    history.service.close()


def test_a_hit_marks_what_was_found(service: SQLiteSessionService) -> None:
    service.create_session(title="<Tea>").add_event("user", "请帮我分析这段代码 & <more>")
    hits = service.search("代码")
    for shown in (hits[0]._repr_html_(), hits._repr_html_()):
        assert "<mark>代码</mark> &amp; &lt;more&gt;" in shown
        assert "&lt;Tea&gt;" in shown
    odd = SearchHit(Event("user"), Session("s"), "a\x1b<b", ((0, 2), (2, 3)), 1.0)
    assert "<mark>a\\x1b</mark><mark>&lt;</mark>b" in odd._repr_html_()


def test_lists_show_themselves_as_tables(service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s-1", title="Tea", agent_id="helper")
    session.add_event("user", "hi", actions=[ToolCall("Read")])
    heads = {
        "session id agent events last change Tea s-1 helper 1": service.list_sessions(),
        "session id agent events last change Tea s-1 helper 1 20": service.session_overviews(),
        "seq author content tools time 1 user hi Read": session.events(),
        "author n user 1": service.query("SELECT author, count(*) AS n FROM events GROUP BY author"),
        "item x": Listing(["x"]),
    }
    for expected, listing in heads.items():
        assert text_of(listing._repr_html_()).startswith(expected)
        assert_only_our_elements(listing._repr_html_())
    service.scope(user_id="other").create_session()
    assert "There are more" in service.list_sessions(user_id=ANY, limit=1)._repr_html_()


def heads_of(markup: str) -> list[str]:
    return re.findall(r"<th [^>]*>(.*?)</th>", markup)


def test_a_table_of_sessions_has_app_and_user_where_they_differ(service: SQLiteSessionService) -> None:
    across = service.scope(app_name=ANY, user_id=ANY)
    service.create_session(title="Tea")
    for lists in (across.list_sessions, across.session_overviews):
        assert heads_of(lists()._repr_html_()) == ["session", "id", "events", "last change"]
    service.scope(user_id="other").create_session(title="Tea")
    for lists in (across.list_sessions, across.session_overviews):
        assert heads_of(lists()._repr_html_()) == ["session", "id", "user", "events", "last change"]
    service.scope(app_name="second").create_session(title="Tea")
    for lists in (across.list_sessions, across.session_overviews):
        assert heads_of(lists()._repr_html_()) == ["session", "id", "app", "user", "events", "last change"]


def test_a_long_id_is_short_in_a_table_differs_from_the_others_and_is_whole_on_hover() -> None:
    alike = ["0199aaaa-0000-7000-8000-00000000000a", "0199aaaa-0000-7007-8000-0000000000bb", "0199bbbb", "ünï-代码" * 9]
    shown = Listing([Session(id, title="Tea") for id in alike])._repr_html_()
    found = [(attributes["title"], tag) for tag, attributes in Elements(shown).found if tag == "abbr"]
    assert [whole for whole, _ in found] == [alike[0], alike[1], alike[3]]
    cut = re.findall(r"<abbr[^>]*>(.*?)…</abbr>", shown)
    assert len(set(cut)) == len(cut)
    assert all(whole is not None and whole.startswith(short) for (whole, _), short in zip(found, cut, strict=True))
    one = Listing([Session(alike[0])])._repr_html_()
    assert f">{alike[0][:13]}…<" in one
    assert "0199aaaa-0000-7000…" in shown
    same = [f"0199aaaa-0000-7000-8000-00000000000{end}" for end in "ab"]
    assert len(max(re.findall(r"<abbr[^>]*>(.*?)…</abbr>", Listing(map(Session, same))._repr_html_()), key=len)) < 24
    evil = '"><script>x</script>' * 3
    hostile = Listing([Session(evil), Session(evil + "2")])._repr_html_()
    assert_only_our_elements(hostile)
    assert evil in [attributes.get("title") for tag, attributes in Elements(hostile).found if tag == "abbr"]


def test_tool_calls_begin_with_time_name_and_status(service: SQLiteSessionService) -> None:
    for calls in (service.tool_calls(), service.tool_calls("none")):
        assert heads_of(calls._repr_html_())[:3] == ["created_at", "name", "status"]
    service.create_session().add_event("assistant", actions=[ToolCall("Read", {"p": 1}, output="x")])
    calls = service.tool_calls()
    assert heads_of(calls._repr_html_())[:3] == ["created_at", "name", "status"] == list(calls[0])[:3]
    assert (calls[0]["name"], calls[0]["status"], calls[0]["output"]) == ("Read", "ok", "x")
    assert set(calls.columns) == set(service.query("SELECT * FROM tool_calls").columns)


def test_an_empty_list_says_what_it_is_a_list_of(service: SQLiteSessionService) -> None:
    silent = service.create_session(session_id="silent")
    said = {
        "No sessions.": [service.list_sessions(limit=0), service.session_overviews(user_id="nobody")],
        "Nothing found.": [service.search("tea"), service.search("…"), silent.search("tea")],
        "No events.": [silent.events(), service.activity()],
        "No tool calls.": [service.tool_calls(), service.tool_calls("Read", session=silent)],
        "No usage.": [service.usage()],
        "No replies.": [service.reply_times()],
        "No rows.": [service.query("SELECT 1 WHERE 0"), Rows()],
        "No items.": [Listing()],
    }
    lists: list[tuple[str, Any]] = [(words, empty) for words, some in said.items() for empty in some]
    for words, empty in lists:
        for one in (empty, copy.copy(empty), pickle.loads(pickle.dumps(empty))):  # noqa: S301  # our own
            assert words in text_of(one._repr_html_())
    silent.add_event("user", "tea")
    for full in (service.list_sessions(), silent.events(), service.search("tea"), service.activity()):
        assert not any(words in text_of(full._repr_html_()) for words in said)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_text_makes_an_element(text: str) -> None:
    markup = page(
        Event(text, text, reasoning=text, actions=[ToolCall(text, {text: text}, output=text)], state={text: text})
    )
    assert_only_our_elements(markup)
    assert_only_our_elements(Rows([{text: text}])._repr_html_())


# ---------------------------------------------------------------- data frames and plots


@pytest.fixture
def year(service: SQLiteSessionService) -> SQLiteSessionService:
    """Ten days on which a tool fails every other time."""
    for day in range(10):
        at = WHEN + timedelta(days=day)
        call = ToolCall("查询", {"n": day}, output=None if day % 2 else "ok", error="no" if day % 2 else None)
        service.create_session(title=f"Day {day}").add_events(
            [
                Event("user", "hello", created_at=at),
                Event("assistant", "hi", actions=[call], usage=Usage("model-x", 100, 10, cache_read_tokens=40),
                      created_at=at + timedelta(seconds=day + 1)),
            ]
        )  # fmt: skip
    return service


def test_lists_become_data_frames(year: SQLiteSessionService) -> None:
    events = year.list_events(year.list_sessions()[0]).to_dataframe()
    assert events["author"].to_list() == ["user", "assistant"]
    assert events["tools"].to_list() == [[], ["查询"]]
    assert events["input_tokens"].sum() == 100
    assert str(events["created_at"].dt.tz) == "UTC"
    assert year.list_sessions().to_dataframe()["title"].nunique() == 10
    assert year.session_overviews().to_dataframe()["event_count"].tolist() == [2] * 10
    assert year.search("hello").to_dataframe()["snippet"].tolist() == ["hello"] * 10
    assert year.usage("model").to_dataframe()["input_tokens"].tolist() == [1000]
    assert year.tool_calls().to_dataframe().groupby("status").size().to_dict() == {"error": 5, "ok": 5}
    assert year.activity("author").to_dataframe()["events"].tolist() == [10, 10]
    assert list(year.query("SELECT id, author FROM events WHERE 0").to_dataframe().columns) == ["id", "author"]
    assert Listing().to_dataframe().empty


def test_an_empty_list_has_the_columns_of_a_full_one(year: SQLiteSessionService) -> None:
    session = year.list_sessions()[0]
    none = year.create_session(session_id="silent")
    nobody = {"user_id": "nobody"}
    lists: dict[str, tuple[Any, Any]] = {
        "sessions": (year.list_sessions(), year.list_sessions(**nobody)),
        "overviews": (year.session_overviews(), year.session_overviews(limit=0)),
        "hits": (year.search("hello"), year.search("nothing like it")),
        "session hits": (year.search_sessions("hello"), year.search_sessions("nothing like it")),
        "hits of no words": (year.search("hello"), year.search("…")),
        "hits of a session": (session.search("hello"), none.search("hello")),
        "events": (session.events(), none.events()),
        "events of none": (session.events(limit=1), session.events(limit=0)),
        "tool calls": (year.tool_calls(), year.tool_calls(**nobody)),
        "usage": (year.usage(), year.usage(**nobody)),
        "activity": (year.activity("author"), year.activity("author", **nobody)),
        "reply times": (year.reply_times(), year.reply_times(**nobody)),
        "query": (year.query("SELECT id, title FROM sessions"), year.query("SELECT id, title FROM sessions WHERE 0")),
    }

    async def awaited() -> None:
        store = AsyncSessionService(year)
        lists["async sessions"] = (await store.list_sessions(), await store.list_sessions(**nobody))
        lists["async events"] = (await store.list_events(session), await store.list_events(none))
        lists["async hits"] = (await store.search("hello"), await store.search("nothing like it"))
        lists["async calls"] = (await store.tool_calls(), await store.tool_calls(**nobody))

    asyncio.run(awaited())
    for name, (full, empty) in lists.items():
        assert len(full) > 0, name
        assert len(empty) == 0, name
        for one in (empty, copy.copy(empty), pickle.loads(pickle.dumps(empty))):  # noqa: S301  # our own
            frame = one.to_dataframe()
            assert list(frame.columns) == list(full.to_dataframe().columns), name
            assert len(frame) == 0, name
        assert re.findall(r"<th[ >].*?</th>", empty._repr_html_()), name


def test_reply_times_are_those_of_replies_to_a_user(year: SQLiteSessionService) -> None:
    assert [row["seconds"] for row in year.reply_times()] == [float(day + 1) for day in range(10)]
    assert len(year.reply_times(since=WHEN + timedelta(days=9))) == 1
    [row] = year.reply_times(session=year.list_sessions()[0])
    assert row["replied_at"] - row["asked_at"] == timedelta(seconds=row["seconds"])


@pytest.mark.parametrize("plot", ["activity_by_day", "tokens_by_model", "tool_use", "reply_latency"])
def test_a_plot_is_drawn_of_much_and_of_nothing(year: SQLiteSessionService, plot: str, tmp_path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    draw: Callable[..., Any] = getattr(plots, plot)
    if plot == "tool_use":  # its name may have no font here
        year = year.scope(app_name="other")
        year.create_session().add_event("assistant", actions=[ToolCall("Read", output="x"), ToolCall("Run", error="y")])
    for axes, drawn in ((draw(year), True), (draw(year, until=datetime(2000, 1, 1, tzinfo=UTC)), False)):
        axes.figure.savefig(tmp_path / "plot.png")
        assert bool(axes.patches) is drawn
        assert axes.get_title(loc="left")
        plt.close(axes.figure)
    _, given_axes = plt.subplots()
    assert draw(year, ax=given_axes) is given_axes
    plt.close("all")


@pytest.mark.parametrize("package", ["pandas", "matplotlib"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    service: SQLiteSessionService, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ImportError, match=rf"needs {package}.*pip install 'session-sqlite\[notebook\]'"):
        service.usage().to_dataframe() if package == "pandas" else plots.tool_use(service)


def test_a_server_without_its_package_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import session_sqlite

    for name in [name for name in sys.modules if name.startswith(("sqlalchemy", "session_sqlite.server"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(vars(session_sqlite), "SQLAlchemySessionService", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"needs SQLAlchemy 2: pip install 'session-sqlite\[server\]'"):
        session_sqlite.SQLAlchemySessionService  # noqa: B018


# ---------------------------------------------------------------- in a browser

HOSTILE = [
    "<script>pwned()</script>",
    "</title></style></script><script>pwned()</script>",
    "--></pre></code></details><script>pwned()</script>",
    '"><img src=x onerror=pwned()>',
    "<img src=http://127.0.0.1:9/pixel.png><img srcset='http://127.0.0.1:9/a.png 2x'>",
    "<svg onload=pwned()><animate onbegin=pwned()></svg>",
    "<iframe src='javascript:parent.pwned()'></iframe><iframe srcdoc='<script>parent.pwned()</script>'></iframe>",
    "<a href='javascript:pwned()'>click</a> [click](javascript:pwned()) <javascript:pwned()>",
    "<style>@import url(http://127.0.0.1:9/a.css); body{background:url(http://127.0.0.1:9/b.png);display:none}</style>",
    "</style><link rel=stylesheet href=http://127.0.0.1:9/c.css><link rel=prefetch href=http://127.0.0.1:9/d>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'><base href=http://127.0.0.1:9/>",
    "' onmouseover='pwned()' style='position:fixed;inset:0' \" onfocus=\"pwned()\" autofocus tabindex=1 x=\"",
    "<input autofocus onfocus=pwned()><details open ontoggle=pwned()><video><source onerror=pwned()></video>",
    "<form action=http://127.0.0.1:9/><button>x</button></form><object data=http://127.0.0.1:9/></object>",
    "```\"><script>pwned()</script>\n</code></pre><script>pwned()</script>\n```",
    "`</code><script>pwned()</script>` **<script>pwned()</script>**\n# <script>pwned()</script>",
    f"![x](javascript:pwned()) ![y](http://127.0.0.1:9/e.png) ![z](data:image/svg+xml;base64,{SVG})",
    f"![\"onload=pwned() x=\"](data:image/png;base64,{PNG}) ![h](data:text/html;base64,{SVG})",
    "{{constructor.constructor('pwned()')()}} ${pwned()} <%= pwned() %>",
    "\u202e\u2066reversed\u2069 \x1b[31mred\x1b[0m \x1b]8;;http://127.0.0.1:9/\x07link \x00 \x85 \u2028",
    "<plaintext><xmp><noscript><template><script>pwned()</script>",
    "&lt;script&gt;pwned()&lt;/script&gt; &#60;script&#62;",
]  # fmt: skip
HOSTILE_HEAD = "<script>function pwned(){window.ran=(window.ran||0)+1}</script>"


def hostile_events() -> list[Event]:
    events = []
    for number, text in enumerate(HOSTILE, start=1):
        call = ToolCall(text, {text: [text, {text: text}]}, output=text)
        more = [ToolCall(text, output={text: text}), ToolCall(text, error=text), ToolCall(text, id=f"c{number}")]
        events.append(
            Event(
                text, text, reasoning=text, actions=[call, *more], state={text: text, "gone": REMOVE},
                metadata={text: text}, agent_id=f"a{text}", branch=text, usage=Usage(text, 1, 1), seq=2 * number - 1,
                created_at=WHEN,
            )
        )  # fmt: skip
        events.append(Event("tool", text, actions=[ToolCall(text, id=f"c{number}", error=text)], seq=2 * number))
        events.append(Event(text, unreadable=True, raw=text))
    broken = base64.b64encode(png()[:30] + os.urandom(30)).decode()
    blocks = [{"type": "image_url", "image_url": {"url": url}} for url in BAD_IMAGES.values()]
    blocks += [IMAGE_BLOCKS["OpenAI"], {"type": "image", "base64": broken, "mime_type": "image/png"}]
    events.append(message_to_event(HumanMessage([*map(str, HOSTILE), *blocks])))
    events.append(Event("user", "\u202e<script>pwned()</script>" * 20_000))
    return events


def hostile_pages() -> dict[str, str]:
    everything = " ".join(HOSTILE)
    session = Session("<script>", everything, everything, title=everything, agent_id=everything, parent_id=everything)
    events = hostile_events()
    whole = page(*events, session=session)
    hits = Listing([SearchHit(event, session, event.content[:5000], ((3, 9),), 1.0) for event in events], everything)
    parts = [session._repr_html_(), hits._repr_html_(), Listing(events)._repr_html_(), Listing([session])._repr_html_(),
             Rows([{everything: everything}])._repr_html_(), *(event._repr_html_() for event in events),
             *(hit._repr_html_() for hit in hits)]  # fmt: skip
    without_policy = re.sub(r"<meta http-equiv[^>]*>", "", whole)
    assert "Content-Security-Policy" in whole
    assert "Content-Security-Policy" not in without_policy
    return {
        "a page": whole,
        "a page without its policy": without_policy,
        "outputs of a notebook": f"<!DOCTYPE html><title>notebook</title><body>{''.join(parts)}",
    }


def test_the_hostile_conversation_makes_no_element_of_its_own() -> None:
    for markup in hostile_pages().values():
        assert_only_our_elements(markup)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None or os.name == "nt":
        assert "AXE_CORE" not in os.environ, "who brings axe-core means to have a browser"
        pytest.skip("there is no Chromium on the path")
    with browser() as running:
        yield running


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    page = chromium.page()
    yield page
    page.close()


TOUCH_EVERYTHING = """
document.querySelectorAll('details').forEach(one => { one.open = true });
for (const one of document.querySelectorAll('*')) {
  for (const kind of ['mouseover', 'mousedown', 'focus', 'toggle', 'error', 'load', 'animationstart', 'submit'])
    one.dispatchEvent(new Event(kind, {bubbles: true}));
  if (one.click && one.tagName !== 'A') one.click();  // a link opens what it names, which the tests look at
}
window.scrollTo(0, document.body.scrollHeight);
"""


def scripts_of(tab: Page) -> list[Any]:
    """What was compiled, but for what the test itself evaluates."""
    return [script for script in tab.events("Debugger.scriptParsed") if script["url"]]


def loads_of(tab: Page) -> list[str]:
    return [event["request"]["url"] for event in tab.events("Network.requestWillBeSent")]


@pytest.mark.parametrize("name", ["a page", "a page without its policy", "outputs of a notebook"])
def test_nothing_in_a_hostile_conversation_runs_or_loads(tab: Page, tmp_path: Path, name: str) -> None:
    file = tmp_path / "hostile.html"
    file.write_text(hostile_pages()[name], "utf-8")
    if name != "a page":
        tab.ask("Page.setBypassCSP", enabled=True)
    tab.open(file)
    assert scripts_of(tab) == []
    tab.evaluate("window.ran = 0; window.pwned = () => { window.ran += 1 }; 0")
    links = tab.evaluate(
        "[...document.links].filter(one => !one.getAttribute('href').startsWith('#'))"
        ".map(one => [one.protocol, one.rel, one.referrerPolicy, one.target])"
    )
    assert {tuple(link) for link in links} <= {
        (protocol, "noopener noreferrer nofollow", "no-referrer", "_blank") for protocol in ("http:", "https:")
    }
    tab.evaluate(TOUCH_EVERYTHING + "0")
    tab.browser.listen(0.5)
    assert scripts_of(tab) == []
    assert tab.evaluate("window.ran") == 0
    assert tab.evaluate("location.href") == file.as_uri()
    assert {url[: len("data:image/png;base64,")] for url in loads_of(tab) if url != file.as_uri()} == {
        "data:image/png;base64,"
    }
    for told in ("Page.javascriptDialogOpening", "Network.webSocketCreated", "Page.windowOpen", "Page.frameAttached"):
        assert tab.events(told) == []
    allowed = {tag.upper() for tag in ALLOWED}
    assert set(tab.evaluate("[...document.querySelectorAll('*')].map(one => one.tagName)")) <= allowed
    assert tab.evaluate("[...document.images].filter(one => one.naturalWidth).length") > 0
    assert "\u202e" not in tab.evaluate("document.body.innerText")


@pytest.mark.parametrize("name", ["with its policy", "without its policy"])
def test_an_index_of_hostile_conversations_runs_its_own_script_alone(
    tab: Page, service: SQLiteSessionService, tmp_path: Path, name: str
) -> None:
    for number, text in enumerate(HOSTILE):
        title = text.replace("\0", "") if number % 2 else ""
        service.create_session(title=title, agent_id="a").add_events([Event("user", text), Event("assistant", text)])
    service.export(f"{tmp_path}/pages/", format="html")
    file = tmp_path / "pages" / "index.html"
    markup = file.read_text("utf-8")
    assert markup.count("<script") == markup.count(f"<script>{SCRIPT}</script>") == 1
    assert_only_our_elements(without_its_script(markup))
    if name != "with its policy":
        tab.ask("Page.setBypassCSP", enabled=True)
    tab.open(file)
    [ours] = tab.events("Debugger.scriptParsed")
    tab.evaluate("window.ran = 0; window.pwned = () => { window.ran += 1 }; 0")
    tab.evaluate(TOUCH_EVERYTHING + "0")
    tab.browser.listen(0.5)
    assert [script for script in scripts_of(tab) if script["scriptId"] != ours["scriptId"]] == []
    assert (tab.evaluate("window.ran"), loads_of(tab)) == (0, [file.as_uri()])
    if name == "with its policy":
        add = "const one = document.createElement('script'); one.textContent = 'pwned()'; document.body.append(one)"
        assert tab.evaluate(f"(() => {{ {add}; return window.ran }})()") == 0, "the policy knows one script"


def test_an_index_is_narrowed_to_the_words_that_are_typed(
    tab: Page, service: SQLiteSessionService, tmp_path: Path
) -> None:
    titles = ["Which tea keeps me awake?", "请帮我分析代码", "Trip to Kyōto"]
    service.create_session(title=titles[2]).add_event("user", "Where are the maple leaves?")
    service.create_session(title=titles[1])
    service.create_session().add_event("user", titles[0])
    service.export(f"{tmp_path}/pages/", format="html")
    tab.open(tmp_path / "pages" / "index.html")
    tab.evaluate(
        "type = text => { const box = document.getElementById('find'); box.value = text; "
        "box.dispatchEvent(new Event('input')); "
        "return [...document.querySelectorAll('.index a, h2')].filter(one => one.checkVisibility())"
        ".map(one => one.innerText).concat(document.getElementById('count').innerText) }; 0"
    )
    [month, *_] = tab.evaluate("type('')")
    for typed, wanted in (("kyoto LEAVES", titles[2:]), ("代码", titles[1:2]), ("which tea", titles[:1])):
        assert tab.evaluate(f"type({typed!r})") == [month, *wanted, "1 of 3 conversations"]
    assert tab.evaluate("type('kyoto tea')") == ["0 of 3 conversations"]
    for typed, count in ((f"{datetime.now(UTC).year}-", "3 of 3 conversations"), (" ", "3 conversations")):
        assert tab.evaluate(f"type({typed!r})") == [month, *titles, count]


def test_a_click_above_a_block_of_code_selects_it_and_a_click_in_it_does_not(tab: Page, tmp_path: Path) -> None:
    code = "def tea():\n    return 1\n\nprint(tea())"
    file = tmp_path / "page.html"
    file.write_text(page(Event("assistant", f"See:\n```python\n{code}\n```\nDone.")), "utf-8")
    tab.open(file)
    for place, selected in ((10, code), (60, "")):
        x, y = tab.evaluate(
            f"(() => {{ const box = document.querySelector('.code').getBoundingClientRect(); "
            f"return [box.x + 20, box.y + {place}] }})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            tab.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        assert tab.evaluate("getSelection().toString()") == selected


def test_the_counters_see_what_the_same_conversation_does_when_it_is_not_escaped(tab: Page, tmp_path: Path) -> None:
    file = tmp_path / "unescaped.html"
    file.write_text(f"<!DOCTYPE html>{HOSTILE_HEAD}<body>{'<p>'.join(HOSTILE[3:8])}", "utf-8")
    tab.open(file)
    assert len(scripts_of(tab)) > 2
    assert tab.evaluate("window.ran") > 0
    assert "http://127.0.0.1:9/pixel.png" in loads_of(tab)


def benign() -> list[Event]:
    message = HumanMessage([{"type": "text", "text": "这是什么？"}, IMAGE_BLOCKS["OpenAI"]])
    return [
        Event("system", "You help.", seq=1),
        message_to_event(message),
        Event("assistant", "**好的** `x`\n```python\n" + "x = 1 " * 60 + "\n```\nאבג", reasoning="think", seq=3,
              state={"a": 1, "b": REMOVE}, usage=Usage("m", 1, 2), created_at=WHEN,
              actions=[ToolCall("Read", {"p": 1}, output="x" * 500), ToolCall("Run", error="no"), ToolCall("Wait")]),
        Event("tool", "late", actions=[ToolCall("Other", id="zzz", error="late")], seq=4),
        Event("planner", "I plan.", branch="a.b", seq=5),
        Event("user", unreadable=True, raw="{", seq=6),
    ]  # fmt: skip


def accessible_pages(service: SQLiteSessionService) -> Iterable[tuple[str, str]]:
    yield "page", page(*benign(), limit=5)
    service.create_session(title="Coffee").add_events(benign()[:-1])
    session = service.create_session(title="Tea")
    session.add_events([Event("user", f"tea {n}") for n in range(50)])
    session.add_event("assistant", "Tea.", usage=Usage("a-model-with-a-name", 1_000_000, 1_000_000))
    exported = io.StringIO()
    service.export(exported, format="html")
    yield "export", exported.getvalue()
    folder = Path(tempfile.mkdtemp(), "pages")
    service.export(f"{folder}/", format="html")
    yield "index of a folder", (folder / "index.html").read_text("utf-8")
    for name in (folder / "sessions").iterdir():
        yield f"page of a folder, {name.stem}", name.read_text("utf-8")
    shutil.rmtree(folder.parent)
    listing = [service.list_sessions(), session.events(limit=5), service.search("tea"), service.usage()]
    parts = [session, *listing, benign()[2], service.search("tea")[0]]
    outputs = "".join(part._repr_html_() for part in parts)  # type: ignore[attr-defined]  # all have one
    yield "notebook", f'<!DOCTYPE html><html lang="en"><title>n</title><main><h1>Notebook</h1>{outputs}</main></html>'


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_against_the_pages(
    tab: Page, service: SQLiteSessionService, tmp_path: Path, dark: bool
) -> None:
    axe = Path(os.environ.get("AXE_CORE", "-"))
    if not axe.is_file():
        pytest.skip("AXE_CORE names no axe.min.js (npm install axe-core)")
    for name, markup in accessible_pages(service):
        file = tmp_path / f"{name}.html"
        file.write_text(markup, "utf-8")
        for width in (1280, 390):
            tab.look(width=width, height=900, dark=dark)
            tab.open(file)
            tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            tab.evaluate(axe.read_text("utf-8") + "\n;0")
            found = tab.evaluate("axe.run().then(results => JSON.stringify(results.violations))")
            broken = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in json.loads(found)]
            assert broken == [], (name, width)
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide at {width}"
