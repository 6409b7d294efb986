"""The command `session-sqlite`: every verb, its errors, and what a terminal gets to see."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from session_sqlite import ANY, Session, SQLiteSessionService, ToolCall, __version__, database_file
from session_sqlite.cli import main
from session_sqlite.transcript import display_width

Run = Callable[..., Result]
PROGRAM = [sys.executable, "-c", "from session_sqlite.cli import main; main(prog_name='session-sqlite')"]


@pytest.fixture
def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on the store at ``path``."""
    monkeypatch.setenv("SESSION_SQLITE_PATH", str(path))
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *args, **options: CliRunner().invoke(main, args, prog_name="session-sqlite", **options)


def process(*args: str, text: bool = True, **environment: str) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(
        [*PROGRAM, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8" if text else None,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        timeout=60,
    )


def assert_fails(result: Result, *said: str) -> None:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, "more than a line"
    for words in said:
        assert words in result.stderr


# ---------------------------------------------------------------- the command as a whole


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").stdout == f"session-sqlite, version {__version__}\n"


@pytest.mark.parametrize("verb", ["demo", "path", "list", "show", "delete"])
def test_every_verb_is_in_the_help_and_has_its_own_with_the_store_option(run: Run, verb: str) -> None:
    assert f"  {verb} " in run("--help").stdout
    help = run(verb, "--help")
    assert help.exit_code == 0
    assert help.stdout.startswith(f"Usage: session-sqlite {verb} [OPTIONS]")
    assert "--db PATH" in help.stdout


def test_a_store_can_be_named_before_and_after_the_verb_and_the_latter_wins(run: Run, tmp_path: Path) -> None:
    one, two = str(tmp_path / "one.db"), str(tmp_path / "two.db")
    assert run("--db", one, "path").stdout == run("path", "--db", one).stdout == f"{one}\n"
    assert run("--db", one, "path", "--db", two).stdout == f"{two}\n"


@pytest.mark.parametrize("args", [("list",), ("list", "--json"), ("show", "x"), ("delete", "x", "--yes")])
def test_a_missing_store_is_an_error_and_is_not_made(run: Run, path: Path, args: tuple[str, ...]) -> None:
    assert_fails(run(*args), "there is no store at", str(path))
    assert not path.exists()
    assert not path.parent.joinpath("sessions.db-wal").exists()


@pytest.mark.parametrize("args", [("list",), ("show", "x"), ("delete", "x", "--yes"), ("demo", "--db", "FILE")])
@pytest.mark.parametrize("kind", ["text", "database", "folder"])
def test_what_is_not_a_store_is_an_error_and_stays_as_it_is(
    run: Run, path: Path, kind: str, args: tuple[str, ...]
) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("no database at all\n" * 100)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (a)")
        connection.close()
    before = None if kind == "folder" else path.read_bytes()
    assert_fails(run(*(str(path) if arg == "FILE" else arg for arg in args)), str(path))
    assert before is None or path.read_bytes() == before


def test_verbs_that_read_leave_the_file_as_it_is(run: Run, path: Path) -> None:
    with SQLiteSessionService(path) as service:
        service.create_session(session_id="s").add_event("user", "hi")
    before = path.read_bytes()
    for args in (("list",), ("show", "s"), ("path",), ("list", "--json"), ("show", "s", "--json")):
        assert run(*args).exit_code == 0
    assert path.read_bytes() == before


def test_an_unreadable_argument_is_one_line(run: Run, service: SQLiteSessionService) -> None:
    assert_fails(run("show", ""), "session_id")
    assert_fails(run("list", "--user", "a\x1bb"), "user_id")


VERBS_AND_FILES = [
    ("list",), ("show", "s"), ("delete", "s", "--yes"), ("demo",), ("path",), ("search", "x"), ("query", "SELECT 1"),
    ("tools",), ("usage",), ("stats",), ("tail", "--count", "0"), ("export",), ("import", "FILE"), ("fork", "s"),
    ("rewind", "s", "--yes"), ("prune", "--keep-last", "1", "--yes"), ("erase", "s", "--yes"), ("redact", "x", "--yes"),
    ("backup", "FILE"), ("check",),
]  # fmt: skip


@pytest.mark.parametrize("args", VERBS_AND_FILES, ids=lambda args: args[0])
def test_no_verb_takes_a_url_for_a_store(
    run: Run, service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert_fails(run(*args, "--db", "sqlite:///x.db"), "write 'x.db'")
    assert_fails(run("--db", "file:x.db?mode=ro", *args), "write 'x.db'")
    monkeypatch.setenv("SESSION_SQLITE_PATH", "postgresql://ada:hunter2@host/db")
    result = run(*args)
    if args[0] != "demo":  # which takes a file of its own
        assert_fails(result, "SESSION_SQLITE_PATH must be", "not a URL")
    assert "hunter2" not in result.output
    assert list((tmp_path / "here").iterdir()) == []


def test_the_home_folder_is_known_to_every_path(
    run: Run, service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = service.create_session(session_id="s")
    session.add_event("user", "hi")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("--db=~/x.db", "path").stdout == f"{tmp_path / 'x.db'}\n"
    assert run("backup", "~/copy.db").exit_code == 0
    assert_fails(run("backup", "~/copy.db"), f"{tmp_path / 'copy.db'} exists already")
    assert "hi" in run("--db=~/copy.db", "show", "s").stdout
    assert run("export", "-o", "~/x.jsonl").exit_code == 0
    assert run("show", "s", "--html", "~/x.html").exit_code == 0
    assert run("--db", "~/new.db", "import", "~/x.jsonl").exit_code == 0
    assert list((tmp_path / "here").iterdir()) == []
    assert {"copy.db", "x.jsonl", "x.html", "new.db"} <= {file.name for file in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "args", [("backup", "file:x"), ("export", "-o", "file:x"), ("show", "s", "--html", "file:x"), ("import", "file:x")]
)
def test_no_verb_takes_a_url_for_a_file(
    run: Run, service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    service.create_session(session_id="s")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert_fails(run(*args), "not a URL: write 'x'")
    assert list((tmp_path / "here").iterdir()) == []


NOTHING_OF_BOB = [
    ("list",), ("show", "s"), ("show", "s", "--json"), ("delete", "s", "--yes"), ("search", "hi"), ("tools",),
    ("tools", "--calls"), ("usage",), ("stats",), ("tail", "--count", "0"), ("tail", "s", "--count", "0"),
    ("export",), ("export", "s"),
    ("fork", "s"), ("rewind", "s", "--yes"), ("prune", "--keep-last", "0", "--yes"), ("erase", "--yes"),
    ("redact", "x", "--yes"), ("list", "--json"), ("list", "--csv"), ("search", "hi", "--json"), ("usage", "--csv"),
    ("check",),
]  # fmt: skip


@pytest.mark.parametrize("args", NOTHING_OF_BOB, ids=" ".join)
def test_who_finds_nothing_of_an_app_or_user_hears_what_others_have(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...]
) -> None:
    service.create_session(session_id="s").add_event("user", "hi")
    service.create_session(session_id="t", app_name="second").add_event("user", "hello")
    for option in ("--user", "--app"):
        if args[0] == "erase" and option == "--app":
            continue
        result = run(*args, option, "bob")
        said = result.stdout if args[0] == "check" else result.stderr
        assert "leave out --app and --user to see them" in said
        assert ("2 are not of" if args[0] == "check" else "Other apps or users have 2 sessions") in said
        if result.exit_code:
            assert_fails(result, "there is no session 's'")
    if args[0] not in ("delete", "prune", "erase"):
        assert "Other apps" not in run(*args).output  # everybody's: nothing is hidden
    assert len(service.scope(app_name=ANY, user_id=ANY).list_sessions()) >= 2


def test_who_finds_something_hears_nothing_of_others(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s").add_event("user", "hi")
    service.create_session(session_id="t", user_id="bob").add_event("user", "hi")
    for args in (("list",), ("show", "t"), ("search", "hi"), ("stats",), ("export",)):
        assert "Other apps" not in run(*args, "--user", "bob").output


# ---------------------------------------------------------------- path


def test_path_prints_the_default_file(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("path").stdout == f"{path}\n"
    monkeypatch.delenv("SESSION_SQLITE_PATH")
    assert run("path").stdout == f"{database_file()}\n"
    assert run("path", "--app", "my-app").stdout == f"{database_file(app_name='my-app')}\n"


# ---------------------------------------------------------------- demo


def test_the_demo_shows_everything_and_tells_what_to_try(run: Run, path: Path) -> None:
    result = run("demo", "--db", str(path))
    assert result.exit_code == 0
    for words in (
        "请帮我分析这段代码",
        "Thanks!",
        "┆ ",
        "→ Read",
        "package main",
        "state step = 1",
        "failed",
        "tokens",
    ):
        assert words in result.stdout
    assert f"session-sqlite --db {path} show demo" in result.stdout
    assert run("show", "demo").stdout in result.stdout


def test_the_demo_twice_on_one_file_is_the_demo_once(run: Run, path: Path) -> None:
    first, second = run("--db", str(path), "demo"), run("--db", str(path), "demo")
    assert first.exit_code == 0
    assert second.stdout == first.stdout
    assert len(json.loads(run("show", "demo", "--json").stdout)["events"]) == 6


def test_the_demo_without_a_file_leaves_the_default_one_alone(run: Run, path: Path, tmp_path: Path) -> None:
    result = run("demo", env={"TMPDIR": str(tmp_path), "TEMP": str(tmp_path), "TMP": str(tmp_path)})
    assert result.exit_code == 0
    assert not path.exists()
    assert "demo.db" in result.stdout


# ---------------------------------------------------------------- list


def test_list_shows_all_apps_and_users_the_latest_first(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="first", title="Tea", agent_id="coder")
    service.create_session(session_id="second", app_name="other", user_id="bob").add_event("user", "Hello\nthere")
    head, _, *rows = run("list").stdout.splitlines()
    assert head.split() == ["id", "app", "user", "agent", "events", "last", "change", "title"]
    assert rows[0].split()[:4] == ["second", "other", "bob", "1"]
    assert rows[0].endswith("Hello there")
    assert rows[1].split()[:5] == ["first", "default", "default", "coder", "0"]
    assert rows[1].endswith("Tea")


def test_list_keeps_to_an_app_a_user_an_agent_and_a_limit(run: Run, service: SQLiteSessionService) -> None:
    for app, user, agent in [("a", "u", "x"), ("a", "v", "y"), ("b", "u", "x")]:
        service.create_session(session_id=f"{app}{user}", app_name=app, user_id=user, agent_id=agent)

    def listed(*args: str) -> list[str]:
        return [session["id"] for session in json.loads(run("list", "--json", *args).stdout)]

    assert listed() == ["bu", "av", "au"]
    assert listed("--app", "a") == ["av", "au"]
    assert listed("--user", "u") == ["bu", "au"]
    assert listed("--agent", "x") == ["bu", "au"]
    assert listed("--app", "a", "--user", "u") == ["au"]
    assert listed("--limit", "2") == ["bu", "av"]
    assert listed("--limit", "0") == []
    assert "There are more" in run("list", "--limit", "2").stderr
    assert run("list", "--limit", "3").stderr == ""


def test_an_empty_list_says_so_and_is_no_error(run: Run, service: SQLiteSessionService) -> None:
    result = run("list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No sessions.\n")
    assert json.loads(run("list", "--json").stdout) == []


def test_the_json_of_a_session_has_its_fields_with_iso_times(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s", title="茶", metadata={"k": [1, "中"]})
    result = run("list", "--json")
    (session,) = json.loads(result.stdout)
    assert "茶" in result.stdout
    assert list(session) == [
        *(field.name for field in fields(Session)),
        "first_message",
        "event_count",
        "interrupted",
        "last_activity",
    ]
    assert session["metadata"] == {"k": [1, "中"]}
    assert datetime.fromisoformat(session["created_at"]).utcoffset() is not None


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("wide", [False, True])
def test_no_line_of_a_list_is_wider_than_the_terminal(
    run: Run, service: SQLiteSessionService, columns: int, wide: bool
) -> None:
    service.create_session(title="请帮我分析这段代码，看看有没有什么问题" * 5, agent_id="agent" * 20 if wide else "")
    service.create_session(title="word " * 60, user_id="很长的用户名" * 10 if wide else "default")
    service.create_session(app_name="app" * 40 if wide else "default")
    lines = run("list", env={"COLUMNS": str(columns)}).stdout.splitlines()
    assert lines
    assert max(map(display_width, lines)) <= columns
    words = {word for line in lines for word in line.split()}
    for session in service.list_sessions(app_name=ANY, user_id=ANY):
        shown = [word for word in words if session.id.startswith(word) and len(word) >= 8]
        assert len(shown) == 1
        assert run("show", shown[0], "--json").exit_code == 0, "an id that was cut names the session all the same"


def test_what_all_rows_share_moves_below_a_table_that_is_too_wide(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(title="Tea")
    text = run("list", env={"COLUMNS": "80"}).stdout
    assert text.splitlines()[0].split() == ["id", "events", "last", "change", "title"]
    assert text.endswith("\n\nAll: app default · user default\n")


@pytest.mark.parametrize("with_wcwidth", [True, False])
def test_chinese_titles_do_not_move_the_columns(
    run: Run, service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch, with_wcwidth: bool
) -> None:
    if not with_wcwidth:  # it is an extra of tabulate's
        monkeypatch.setattr("tabulate.wcwidth", None)
    for title in ("请帮我分析代码", "short", "混合 mixed"):
        service.create_session(title=title)
    head, _, *rows = run("list").stdout.splitlines()
    assert {
        row.rindex(title) for row in rows for title in ("请帮我分析代码", "short", "混合 mixed") if title in row
    } == {head.index("title")}


def test_the_events_of_a_list_are_those_that_are_there(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    session.add_event("user", "gone")
    session.clear()
    session.add_event("assistant", "Welcome")
    session.add_event("user", "你好")
    assert run("list").stdout.splitlines()[2].split()[3] == "2"
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["event_count"], listed["first_message"], listed["last_seq"]) == (2, "你好", 3)


def test_a_list_of_one_agent_finds_it_behind_many_others(run: Run, service: SQLiteSessionService) -> None:
    for number in range(120):
        service.create_session(session_id=f"s{number:03}", agent_id="rare" if number < 2 else "")
    listed = json.loads(run("list", "--json", "--agent", "rare").stdout)
    assert [session["id"] for session in listed] == ["s001", "s000"]


def test_an_empty_path_is_an_error_and_not_the_default_store(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s")
    for args in (("list",), ("demo",), ("delete", "s", "--yes")):
        assert_fails(run(*args, "--db", ""), "path")


def test_ids_that_look_like_numbers_stay_as_they_are(run: Run, service: SQLiteSessionService) -> None:
    for id in ("007", "1e5", "1_000", "nan"):
        service.create_session(session_id=id)
    assert {line.split()[0] for line in run("list").stdout.splitlines()[2:]} == {"007", "1e5", "1_000", "nan"}


# ---------------------------------------------------------------- show


def test_show_prints_the_conversation(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s", title="Tea")
    session.add_event("user", "请帮我分析代码")
    session.add_event("assistant", "好的", reasoning="先看入口", actions=[ToolCall("Read", {"p": 1}, output="x" * 500)])
    text = run("show", "s").stdout
    assert text.startswith("Tea\nsession s\n")
    assert '  ┆ 先看入口\n  好的\n  → Read {"p": 1}\n' in text
    assert "more characters]" in text
    assert "x" * 500 in run("show", "s", "--full").stdout


def test_show_last_begins_at_a_turn(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    for number in range(5):
        session.add_event("user", f"question {number}")
        session.add_event("assistant", f"answer {number}")
    text = run("show", "s", "--last", "3").stdout
    assert "question 4" in text
    assert "answer 3" not in text
    events = json.loads(run("show", "s", "--last", "3", "--json").stdout)["events"]
    assert [event["seq"] for event in events] == [9, 10]


def test_the_json_of_a_conversation_is_one_document(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s", title="茶")
    call = ToolCall("Read", {"path": "主.go"}, id="c", output={"lines": [1, None]})
    session.add_event("assistant", "好的", actions=[call], state={"k": 1}, metadata={"m": 2}, id="e")
    result = run("show", "s", "--json")
    document = json.loads(result.stdout)
    assert "主.go" in result.stdout
    assert list(document) == ["session", "events"]
    assert document["session"]["title"] == "茶"
    (event,) = document["events"]
    assert (event["id"], event["seq"], event["author"], event["content"]) == ("e", 1, "assistant", "好的")
    assert event["actions"] == [
        {"name": "Read", "args": {"path": "主.go"}, "id": "c", "output": {"lines": [1, None]}, "error": None}
    ]
    assert (event["state"], event["metadata"], event["usage"]) == ({"k": 1}, {"m": 2}, None)
    assert datetime.fromisoformat(event["created_at"]).utcoffset() is not None


def test_a_removed_state_key_can_be_shown_as_text_and_as_json(run: Run, path: Path) -> None:
    run("demo", "--db", str(path))
    assert "state step removed" in run("show", "demo").stdout
    assert json.loads(run("show", "demo", "--json").stdout)["events"][-1]["state"] == {"step": {"$remove": True}}


def test_an_unreadable_event_is_shown_as_such(run: Run, service: SQLiteSessionService, path: Path) -> None:
    service.create_session(session_id="s").add_event("user", "hello")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET actions = '[broken', content = x'ff1b'")
    connection.close()
    text = run("show", "s")
    assert text.exit_code == 0
    assert "[unreadable:" in text.stdout
    assert "[broken" in run("show", "s", "--full").stdout
    (event,) = json.loads(run("show", "s", "--json").stdout)["events"]
    assert event["unreadable"]
    assert "[broken" not in json.dumps(event), "what is stored is no part of the public form"


@pytest.mark.parametrize(
    "change",
    [
        "events SET state = '{\"a\": NaN}'",
        f'events SET actions = \'[{{"name": "x", "args": {{"a": {"[" * 500}{"]" * 500}}}}}]\'',
        'events SET actions = \'[{"name": "x", "args": {}, "output": "\\ud800"}]\'',
        "events SET content = CAST(x'ff41' AS TEXT), author = x'ff'",
        "sessions SET metadata = '[', updated_at = 'yesterday', title = x'ff1b'",
    ],
)
def test_a_file_that_someone_edited_can_still_be_looked_at(
    run: Run, service: SQLiteSessionService, path: Path, change: str
) -> None:
    service.create_session(session_id="s").add_event("assistant", "hello", actions=[ToolCall("x")], state={"a": 1})
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {change}")
    connection.close()
    for args in (("list",), ("show", "s"), ("list", "--json"), ("show", "s", "--json")):
        result = run(*args)
        assert result.exit_code == 0, result.output
        if "--json" in args:
            assert json.loads(result.stdout)


def test_a_session_that_is_not_there_is_an_error(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s", user_id="alice")
    assert_fails(run("show", "nope"), "'nope'")
    assert_fails(run("show", "s", "--user", "bob"), "'s'")
    assert_fails(run("delete", "nope", "--yes"), "'nope'")


@pytest.mark.parametrize("verb", [("show",), ("delete", "--yes")])
def test_an_id_of_several_users_needs_the_user_named(
    run: Run, service: SQLiteSessionService, verb: tuple[str, ...]
) -> None:
    for user in ("alice", "bob"):
        service.create_session(session_id="1", user_id=user)
    assert_fails(run(*verb, "1"), "several", "user")
    assert len(json.loads(run("list", "--json").stdout)) == 2
    result = run(*verb, "1", "--app", "default", "--user", "bob")
    assert result.exit_code == 0
    assert "user bob" in result.stdout


def test_an_id_that_begins_with_a_hyphen_goes_after_two(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="-x", title="Tea")
    assert run("show", "-x").exit_code == 2
    assert "Tea" in run("show", "--", "-x").stdout
    assert run("delete", "--yes", "--", "-x").exit_code == 0


# ---------------------------------------------------------------- delete


def test_delete_asks_first(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s", title="Tea")
    session.add_event("user", "hi")
    refused = run("delete", "s", input="n\n")
    assert refused.exit_code == 1
    assert "Delete session s of app default, user default (Tea), with 1 event?" in refused.stderr
    assert run("delete", "s", input="").exit_code == 1
    assert len(session.events()) == 1
    agreed = run("delete", "s", input="y\n")
    # click 8.3.1 shows the answer that a test types among the output.
    said = agreed.stdout.removeprefix(" y\n")
    assert (agreed.exit_code, said) == (0, "Deleted session s of app default, user default.\n")
    assert service.list_sessions() == []


def test_delete_with_yes_does_not_ask_and_deletes_one_only(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s")
    service.create_session(session_id="t")
    assert run("delete", "s", "--yes").exit_code == 0
    assert [session.id for session in service.list_sessions()] == ["t"]
    assert_fails(run("delete", "s", "--yes"), "'s'")


# ---------------------------------------------------------------- what a terminal gets

EVIL = "a\x1b[31mb\x07\x7f\x9bc\u202ed\u2066e\u200ff\u061cg\nh"


@pytest.mark.parametrize(
    "args", [("list",), ("list", "--json"), ("show", "s"), ("show", "s", "--json"), ("delete", "s")]
)
@pytest.mark.parametrize("columns", ["60", "200"])
def test_no_text_of_a_conversation_can_drive_the_terminal(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...], columns: str
) -> None:
    session = service.create_session(session_id="s", title=EVIL, metadata={EVIL: EVIL})
    session.add_event("user", EVIL, actions=[ToolCall(EVIL, {EVIL: EVIL}, error=EVIL)], state={"k": EVIL})
    service.create_session(session_id="untitled").add_event("user", EVIL)
    result = run(*args, env={"COLUMNS": columns}, input="n\n")
    text = result.stdout + result.stderr
    assert "[31mb" in text
    assert not set("\x1b\x07\x7f\x9b\u202e\u2066\u200f\u061c") & set(text)
    if "--json" in args:
        document = json.loads(result.stdout)
        assert (document[-1] if isinstance(document, list) else document["session"])["title"] == EVIL


def test_a_process_prints_the_same_as_here(run: Run, path: Path) -> None:
    run("demo", "--db", str(path))
    result = process("show", "demo")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == run("show", "demo").stdout


def test_an_error_of_a_process_is_one_line_without_a_traceback(run: Run, path: Path) -> None:
    result = process("--db", str(path), "show", "x")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: there is no store at ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_is_not_utf_8_gets_escapes_and_json_stays_utf_8(run: Run, path: Path, encoding: str) -> None:
    run("demo", "--db", str(path))
    shown = process("show", "demo", text=False, PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    assert rb"\u8bf7\u5e2e\u6211" in shown.stdout
    assert rb"\u4ee3" in process("list", text=False, PYTHONIOENCODING=encoding).stdout
    document = json.loads(
        process("show", "demo", "--json", text=False, PYTHONIOENCODING=encoding).stdout.decode("utf-8")
    )
    assert document["events"][0]["content"].startswith("请帮我")


def test_a_reader_that_goes_away_is_no_error(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s").add_event("assistant", "line\n" * 200_000)
    for args in (["show", "s"], ["show", "s", "--json"]):
        with subprocess.Popen([*PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            child.stdout.read(10)
            child.stdout.close()
            assert child.stderr.read() == b""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pty")
def test_colours_are_for_terminals_that_want_them(run: Run, path: Path) -> None:
    run("demo", "--db", str(path))
    assert b"\x1b" in in_terminal("show", "demo")
    assert b"\x1b" not in in_terminal("show", "demo", NO_COLOR="1")
    assert "\x1b" not in process("show", "demo").stdout


def in_terminal(*args: str, **environment: str) -> bytes:
    """What the command writes to a terminal."""
    outside, inside = os.openpty()
    wanted = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    wanted |= {"TERM": "xterm", "PAGER": "cat"}
    with subprocess.Popen([*PROGRAM, *args], stdout=inside, env={**wanted, **environment}) as child:
        os.close(inside)
        written = b""
        try:
            while piece := os.read(outside, 65536):
                written += piece
        except OSError:  # Linux's way to say that the other end is closed
            pass
        os.close(outside)
    assert child.returncode == 0
    return written
