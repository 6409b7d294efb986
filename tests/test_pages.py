"""Pages of many sessions: a folder with an index and a page each, and what a page shows besides what was said."""

import asyncio
import contextlib
import os
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from our_markup import Elements, assert_only_our_elements, without_its_script
from test_html import kinds, page, text_of

from session_sqlite import (
    ANY,
    AsyncSessionService,
    Event,
    InvalidInputError,
    Session,
    SessionKey,
    SQLiteSessionService,
    StoreError,
    ToolCall,
    Usage,
)
from session_sqlite.cli import main
from session_sqlite.transcript import html_page
from session_sqlite.transfer.folder import UNFINISHED, page_name

WHEN = datetime(2026, 1, 30, 9, tzinfo=UTC)


def filled(service: SQLiteSessionService, count: int = 5) -> list[Session]:
    """Sessions that are ten days apart, the first the latest."""
    made = []
    for number in range(count):
        at = WHEN - timedelta(days=10 * number)
        session = service.create_session(session_id=f"s-{number}", title=f"Tea {number}" if number % 2 else "")
        session.add_events(
            [
                Event("user", f"Which tea for <b>{number}</b>?", created_at=at),
                Event("assistant", "Black.", usage=Usage("m", 1200, 8), actions=[ToolCall("Brew", output="ok")],
                      created_at=at),
            ]
        )  # fmt: skip
        made.append(session)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder; the store is beside it."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def links_in(markup: str, **wanted: str) -> list[str]:
    found = [attributes for tag, attributes in Elements(markup).found if tag == "a"]
    return [str(one["href"]) for one in found if all(one.get(name) == value for name, value in wanted.items())]


# ---------------------------------------------------------------- the folder


def test_a_folder_gets_an_index_and_a_page_for_each_session(service: SQLiteSessionService, folder: Path) -> None:
    filled(service)
    folder = folder / "new" / "pages"
    report = service.export(f"{folder}/", format="html")
    assert (report.format, report.sessions, report.events, report.note) == ("html", 5, 10, "")
    index = (folder / "index.html").read_text("utf-8")
    pages = links_in(index)
    sessions = [link for link in pages if link.startswith("sessions/")]
    assert names_in(folder) == sorted(["index.html", *sessions])
    assert len(sessions) == 5
    assert_only_our_elements(without_its_script(index))
    for name in sessions:
        markup = (folder / name).read_text("utf-8")
        assert_only_our_elements(markup)
        for link in links_in(markup):
            target = folder / "sessions" / link.partition("#")[0] if not link.startswith("#") else folder / name
            assert target.is_file(), "every link leads somewhere"
    if os.name != "nt":
        assert {(folder / name).stat().st_mode & 0o777 for name in names_in(folder)} == {0o600}


def test_the_index_has_title_first_prompt_figures_and_date_by_month(path: Path, folder: Path) -> None:
    with SQLiteSessionService(path) as service:
        filled(service)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:  # as an import would make them
        connection.execute(
            "UPDATE sessions SET updated_at = (SELECT max(created_at) FROM events WHERE session_id = sessions.id)"
        )
    with SQLiteSessionService(path) as service:
        service.export(folder, format="html")
        nobody = service.scope(user_id="nobody")
        nobody.export(folder / "none/", format="html")
    index = (folder / "index.html").read_text("utf-8")
    assert re.findall(r'<h2 id="([a-z0-9-]+)">([^<]+)</h2>', index) == [
        ("january-2026", "January 2026"), ("december-2025", "December 2025"),
    ]  # fmt: skip
    shown = text_of(without_its_script(index))
    assert "5 conversations January 2026 3 December 2025 2 " in shown
    figures = "· 2 events · 1 prompt · 1 tool call · 1,200 tokens in, 8 out"
    assert f"Tea 1 Which tea for <b>1</b>? 2026-01-20 09:00 {figures}" in shown
    assert "Which tea for <b>0</b>? 2026-01-30 09:00" in shown, "the first prompt stands for a title"
    assert re.findall(r"Tea \d", shown) == ["Tea 1", "Tea 3"], "the latest first"
    assert links_in(index)[:2] == ["#january-2026", "#december-2025"]
    assert "default" not in shown, "all are of one app and user"


def test_a_page_leads_to_the_one_before_and_after_and_to_the_index(service: SQLiteSessionService, folder: Path) -> None:
    filled(service, 3)
    service.export(folder, format="html")
    index = (folder / "index.html").read_text("utf-8")
    order = [link.removeprefix("sessions/") for link in links_in(index) if link.startswith("sessions/")]
    for place, name in enumerate(order):
        markup = (folder / "sessions" / name).read_text("utf-8")
        assert links_in(markup, rel="prev")[:1] == order[max(place - 1, 0) : place]
        assert links_in(markup, rel="next")[:1] == order[place + 1 : place + 2]
        assert "../index.html" in links_in(markup)


def test_an_export_again_replaces_the_pages_and_touches_no_other_file(
    service: SQLiteSessionService, folder: Path
) -> None:
    first, *_ = filled(service)
    service.export(folder, format="html")
    before = set(names_in(folder))
    own = {"notes.txt": "mine", "sessions/notes.html": "mine", f"sessions/{'a' * 5}-{'0' * 12}.html": "<html>mine"}
    for name, text in own.items():
        (folder / name).write_text(text)
    service.get_session("s-1").delete()
    first.add_event("user", "And another?")
    service.export(folder, format="html")
    assert before - set(names_in(folder)) == {f"sessions/{page_of('s-1')}"}
    assert "And another?" in (folder / "sessions" / page_of("s-0")).read_text("utf-8")
    assert {name: (folder / name).read_text() for name in own} == own
    assert set(names_in(folder)) == before - {f"sessions/{page_of('s-1')}"} | set(own)


def page_of(session_id: str, user_id: str = "default") -> str:
    return page_name(SessionKey("default", user_id, session_id))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, RuntimeError])
def test_an_export_that_is_interrupted_leaves_the_one_before_as_it_was(
    service: SQLiteSessionService, folder: Path, error: type[BaseException]
) -> None:
    filled(service, 3)
    service.export(folder, format="html")
    before = {name: (folder / name).read_text("utf-8") for name in names_in(folder)}
    service.get_session("s-2").delete()
    service.get_session("s-1").add_event("user", "And another?")

    def interrupt(done: int, _total: int | None) -> None:
        if done > 2:
            raise error

    with pytest.raises(error):
        service.export(folder, format="html", progress=interrupt)
    assert {name: (folder / name).read_text("utf-8") for name in names_in(folder)} == before
    # A process that was killed could not remove its unfinished pages: the next export does.
    (folder / UNFINISHED / "sessions").mkdir(parents=True)
    (folder / UNFINISHED / "sessions" / page_of("s-0")).write_text("half a pa")
    service.export(folder, format="html")
    assert not (folder / UNFINISHED).exists()
    assert names_in(folder) == ["index.html", *sorted(f"sessions/{page_of(id)}" for id in ("s-0", "s-1"))]


def test_a_folder_with_an_index_of_its_own_and_other_obstacles_are_refused(
    service: SQLiteSessionService, folder: Path
) -> None:
    filled(service, 1)
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("<!DOCTYPE html><title>mine</title>")
    with pytest.raises(InvalidInputError, match=r"index\.html' is not a page of an export: choose another folder"):
        service.export(folder / "site", format="html")
    assert names_in(folder / "site") == ["index.html"]
    (folder / "file").write_text("mine")
    with pytest.raises(InvalidInputError, match="is a file: give the path of a folder"):
        service.export(f"{folder / 'file'}/", format="html")
    (folder / "taken").mkdir()
    (folder / "taken" / "sessions").write_text("mine")
    with pytest.raises(StoreError, match="cannot be written"):
        service.export(folder / "taken", format="html")
    assert names_in(folder / "taken") == ["sessions"]
    for format in ("jsonl", "markdown", "auto"):
        with pytest.raises(InvalidInputError, match="directory"):
            service.export(folder, format=format)
    wrong: list[Any] = [7, "sqlite:///x/", "\0/"]
    for bad in wrong:
        with pytest.raises(InvalidInputError):
            service.export(bad, format="html")


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_in_the_folder_is_never_followed(service: SQLiteSessionService, folder: Path) -> None:
    filled(service, 1)
    victim = folder / "victim"
    victim.write_text("mine")
    folder = folder / "pages"
    service.export(f"{folder}/", format="html")
    (folder / "index.html").unlink()
    (folder / "index.html").symlink_to(victim)
    with pytest.raises(InvalidInputError, match="is not a page of an export"):
        service.export(folder, format="html")
    assert victim.read_text() == "mine"


HARD_IDS = [
    "../../etc/passwd", "CON", "nul", "a/b", "a\\b", "a:b", "A", "a", "茶", "🍵", "-", ".", "..", "x" * 128,
    "index", "<script>", "%2e%2e", "a b", "'\"", "~",
]  # fmt: skip


def test_names_of_pages_are_safe_stable_and_different(service: SQLiteSessionService, folder: Path) -> None:
    for id in HARD_IDS:
        service.create_session(session_id=id).add_event("user", "hi")
        service.scope(user_id="other").create_session(session_id=id).add_event("user", "hi")
    service.export(folder, format="html", user_id=ANY)
    pages = [name for name in names_in(folder) if name != "index.html"]
    assert len({name.lower() for name in pages}) == 2 * len(HARD_IDS)
    assert all(re.fullmatch(r"sessions[/\\][a-z0-9-]{1,60}-[0-9a-f]{12}\.html", name) for name in pages)
    assert page_of("../Tea & 茶").startswith("tea-")
    shown = text_of((folder / "index.html").read_text("utf-8"))
    assert "default / other" in shown, "of several users"


def test_some_sessions_or_an_own_format_of_users_go_into_a_folder_too(
    service: SQLiteSessionService, folder: Path
) -> None:
    one, *_ = filled(service, 3)
    one.add_event("user", "**bold**")
    one.export(f"{folder}/one/", format="html", user_markdown=True)
    assert names_in(folder / "one") == ["index.html", f"sessions/{page_of('s-0')}"]
    assert "<strong>bold</strong>" in (folder / "one" / "sessions" / page_of("s-0")).read_text("utf-8")
    one.export(folder / "one.html")
    assert "**bold**" in (folder / "one.html").read_text("utf-8")
    one.export(folder / "one.html", user_markdown=True)
    assert "<strong>bold</strong>" in (folder / "one.html").read_text("utf-8")
    store = AsyncSessionService(service)
    asyncio.run(store.export(f"{folder}/all/", format="html"))
    assert len(names_in(folder / "all")) == 4


def test_the_command_writes_a_folder_and_says_when_one_is_better(path: Path, folder: Path) -> None:
    with SQLiteSessionService(path, durability="fast") as service:
        filled(service, 201)
    done = CliRunner().invoke(main, ["--db", str(path), "export", "-o", f"{folder}/pages/"])
    assert (done.exit_code, done.stderr) == (0, "Exported 201 sessions with 402 events (html).\n")
    assert len(names_in(folder / "pages")) == 202
    done = CliRunner().invoke(main, ["--db", str(path), "export", "-o", str(folder / "all.html")])
    assert done.exit_code == 0
    assert "A folder (a path that ends with a slash) is better" in done.stderr
    done = CliRunner().invoke(main, ["--db", str(path), "export", "s-1", "-o", str(folder / "one.html")])
    assert done.stderr == "Exported 1 session with 2 events (html).\n"


# ---------------------------------------------------------------- what a page shows


def test_every_event_has_a_permalink_and_the_prompts_are_a_list(service: SQLiteSessionService) -> None:
    events = [
        Event("user", "First\nprompt", seq=1),
        Event("assistant", "", actions=[ToolCall("Read", id="a")], seq=2),
        Event("tool", "x", actions=[ToolCall("Read", id="a")], seq=3),
        Event("assistant", "", actions=[ToolCall("Run", id="b")], seq=4),
        Event("tool", "y", actions=[ToolCall("Run", id="b")], seq=5),
        Event("user", "Second", seq=6),
        Event("user", "<b>Third", seq=7),
    ]
    markup = page(*events)
    ids = [attributes["id"] for _, attributes in Elements(markup).found if "id" in attributes]
    assert ids == ["session-1", *map(str, range(1, 8))]
    assert kinds(markup) == ["user", "model", "user", "user"]
    listed = re.search(r'<nav class="prompts".*?</nav>', markup, re.DOTALL)
    assert listed is not None
    assert links_in(listed[0]) == ["#1", "#6", "#7"]
    assert text_of(listed[0]) == "3 prompts First prompt Second <b>Third"
    assert 'prompts"' not in page(*events[:5]), "one prompt needs no list"
    assert " id=" not in (events[0]._repr_html_() or ""), "a notebook has many outputs"


def test_permalinks_of_several_sessions_on_one_page_differ(service: SQLiteSessionService, folder: Path) -> None:
    filled(service, 3)
    service.export(folder / "all.html")
    found = Elements((folder / "all.html").read_text("utf-8")).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids)) == 9
    assert {"1", "2", "2-1", "3-2"} <= set(ids)


def test_a_time_is_shown_where_it_changes_and_else_on_hover() -> None:
    at = datetime(2026, 1, 2, 23, 58, 30, tzinfo=UTC)
    moments = [at, at + timedelta(seconds=20), at + timedelta(seconds=40), at + timedelta(minutes=3)]
    markup = page(*(Event("user", "x", created_at=moment) for moment in moments))
    assert re.findall(r'<time( class="again")? datetime="[^"]+" title="([^"]+)">([^<]+)</time>', markup) == [
        ("", "2026-01-02 23:58:30 UTC", "2026-01-02 23:58"),
        (' class="again"', "2026-01-02 23:58:50 UTC", "23:58:50"),
        ("", "2026-01-02 23:59:10 UTC", "23:59"),
        ("", "2026-01-03 00:01:30 UTC", "2026-01-03 00:01"),
    ]


def test_the_calls_of_a_turn_stand_together_and_many_are_folded() -> None:
    def turn(count: int) -> list[Event]:
        events = [Event("user", "Go", seq=1), Event("assistant", "Let me look.", actions=[ToolCall("Read", id="0")])]
        for number in range(1, count):
            events.append(Event("tool", "x", actions=[ToolCall("Read", id=str(number - 1))]))
            events.append(
                Event("assistant", reasoning="hm", actions=[ToolCall("Run", id=str(number))], usage=Usage("m", 5))
            )
        return [
            *events,
            Event("tool", "no", actions=[ToolCall("Run", id=str(count - 1), error="no")]),
            Event("assistant", "Done."),
        ]

    few, many = page(*turn(3)), page(*turn(9))
    assert kinds(few) == kinds(many) == ["user", "model", "model"]
    assert '<div class="calls">' in few
    assert "m tokens: 10 in, 0 out" in text_of(few), "those of all steps together"
    assert "9 tool calls 1 failed Run × 8, Read" in text_of(many)
    other = turn(3)
    other[3] = Event("planner", reasoning="hm", actions=[ToolCall("Run", id="1")])
    assert kinds(page(*other)) == ["user", "model", "model", "model", "model"], "another agent's calls are its own"
    assert page(*turn(1000)).count('<li class="model"') == 6, "an endless turn is not held in memory"


def test_a_long_system_prompt_is_folded_and_a_short_one_is_not() -> None:
    long = page(Event("system", "You are a tea master. " * 50))
    assert re.search(r"<details><summary>You are a tea master\. [^<]+…</summary><div", long)
    assert "<details>" not in page(Event("system", "You are a tea master."))


def test_the_head_of_a_page_and_of_a_notebook_has_the_figures(service: SQLiteSessionService) -> None:
    session = service.create_session(title="Tea")
    session.add_events(
        [Event("user", "a"), Event("assistant", "b", actions=[ToolCall("X", error="no"), ToolCall("Y")])]
    )
    figures = "2 events · 1 prompt · 2 tool calls (1 failed)"
    assert figures in text_of("".join(html_page(session, session.events())))
    assert figures in text_of(session._repr_html_())
    session.add_events([Event("user", "c")] * 50)
    assert "52 events" in text_of(session._repr_html_())


def test_a_page_for_print_and_a_notebook_without_a_background() -> None:
    assert "@media print" in page()
    sheet = re.search(r"<style>(.*?)</style>", Session("s")._repr_html_(), re.DOTALL)
    assert sheet is not None
    assert "background:none" in sheet[1].partition("&")[0]
    assert not re.search(r"html\s*\{|body\s*\{", sheet[1])
