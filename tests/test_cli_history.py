"""The verbs of the command that ask a history something: search, query, tools, usage, stats, tail."""

import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from test_cli import EVIL, PROGRAM, Run, assert_fails, in_terminal, process, run

from session_sqlite import Event, SQLiteSessionService, ToolCall, Usage
from session_sqlite.cli import main
from session_sqlite.transcript import display_width

__all__ = ["run"]  # a fixture

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
DAY = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def history(service: SQLiteSessionService) -> SQLiteSessionService:
    """Two conversations of two users, in two apps, on two days."""
    tea = service.create_session(session_id="tea", title="茶与代码", app_name="shop", user_id="小明")
    tea.add_events([
        Event("user", "请帮我分析代码", created_at=DAY),
        Event("assistant", "好的，代码在 main.go", reasoning="先看入口", created_at=DAY, id="answer",
              actions=[ToolCall("Read", {"path": "主.go"}, id="c1", output="package main"), ToolCall("Plan", id="c2")],
              usage=Usage("sonnet", 1000, 200, cache_read_tokens=300)),
    ])  # fmt: skip
    other = service.create_session(session_id="s2", app_name="work", user_id="bob")
    other.add_events([
        Event("user", "Where is the Code?", created_at=DAY + timedelta(days=1)),
        Event("assistant", "=1+1", created_at=DAY + timedelta(days=1),
              actions=[ToolCall("Read", {"path": "b"}, error="no such file")], usage=Usage("haiku", 50, 5)),
    ])  # fmt: skip
    return service


def exact(result: Result) -> str:
    """What was printed, with the ends of its lines as they are."""
    assert result.exit_code == 0, result.output
    return result.stdout_bytes.decode("utf-8")


def rows_of(result: Result) -> list[dict[str, str]]:
    """The rows of CSV; it ends its lines as RFC 4180 says."""
    text = exact(result)
    assert "\n" not in re.sub(r'"[^"]*"', "", text).replace("\r\n", "")
    return list(csv.DictReader(io.StringIO(text, newline="")))


# ---------------------------------------------------------------- the command as a whole


@pytest.mark.parametrize("verb", ["search", "query", "tools", "usage", "stats", "tail"])
def test_every_verb_has_its_help_and_takes_a_store_an_app_and_a_user(run: Run, verb: str) -> None:
    assert f"  {verb} " in run("--help").stdout
    text = run(verb, "--help").stdout
    assert text.startswith(f"Usage: session-sqlite {verb} [OPTIONS]")
    for option in ("--db PATH", "--app NAME", "--user ID", "--json"):
        assert option in text


def test_the_readme_has_a_table_of_every_verb_and_of_no_other() -> None:
    section = README.split("\n## Command line\n")[1].split("\n## ")[0]
    first_columns = re.findall(r"(?m)^\| (`[^|]+) \|", section)
    assert set(re.findall(r"`(\w+)`", "".join(first_columns))) == set(main.commands)


@pytest.mark.parametrize(
    "args", [("search", "x"), ("query", "SELECT 1"), ("tools",), ("usage",), ("stats",), ("tail", "--count", "0")]
)
def test_a_missing_store_is_an_error_and_is_not_made(run: Run, path: Path, args: tuple[str, ...]) -> None:
    assert_fails(run(*args), "there is no store at", str(path))
    assert not path.exists()


def test_the_verbs_leave_the_file_as_it_is(run: Run, history: SQLiteSessionService, path: Path) -> None:
    history.search("代码")
    history.close()
    before = path.read_bytes()
    for args in (
        ("search", "代码"), ("query", "SELECT 1"), ("tools",), ("tools", "Read"), ("usage",), ("stats",),
        ("tail", "--count", "0"),
    ):  # fmt: skip
        result = run(*args)
        assert (result.exit_code, result.stderr) == (0, ""), args
    assert path.read_bytes() == before


@pytest.mark.parametrize("args", [("search", "x"), ("query", "SELECT 1"), ("tools",), ("usage",), ("list",)])
def test_json_and_csv_at_once_are_refused(run: Run, history: SQLiteSessionService, args: tuple[str, ...]) -> None:
    result = run(*args, "--json", "--csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "not both" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [(("search", "nowhere"), "Nothing found."), (("search", "!?"), "Nothing found."),
     (("query", "SELECT 1 AS a WHERE 0"), "No rows."), (("tools",), "No tool calls."),
     (("tools", "Read"), "No tool calls."), (("usage",), "No usage.")],
)  # fmt: skip
def test_finding_nothing_says_so_and_is_no_error(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...], said: str
) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{said}\n")
    assert json.loads(run(*args, "--json").stdout) == []


@pytest.mark.parametrize(
    "args", [("search", "x", "--session", "s"), ("tools", "--session", "s"), ("usage", "--session", "s"), ("tail", "s")]
)
def test_a_session_is_found_in_any_app_and_its_name_may_need_them(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...]
) -> None:
    args = (*args, "--count", "0") if args[0] == "tail" else args
    assert_fails(run(*args), "'s'")
    service.create_session(session_id="s", user_id="alice")
    assert run(*args).exit_code == 0
    service.create_session(session_id="s", user_id="bob")
    assert_fails(run(*args), "several", "user")
    assert run(*args, "--app", "default", "--user", "bob").exit_code == 0


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize(
    "value", ["", "yesterday", "2025-13-01", "-3d", "3", "999999999w", "0001-01-01T00:00+14:00", "\x1b"]
)
def test_what_is_no_time_is_a_wrong_argument(run: Run, service: SQLiteSessionService, option: str, value: str) -> None:
    result = run("usage", f"{option}={value}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is neither a time, such as" in result.stderr
    assert "\x1b" not in result.stderr


# ---------------------------------------------------------------- search


def test_search_shows_where_when_and_who_with_the_match_marked(run: Run, history: SQLiteSessionService) -> None:
    text = run("search", "代码", "--newest", "--utc").stdout
    assert text.split("\n\n")[1] == (
        "茶与代码\n#1 user · 2026-03-01 08:00 · session tea · app shop · user 小明\n  请帮我分析«代码»\n"
    )
    assert run("search", "code").stdout.startswith("(no title)\n#1 user ")


def test_search_takes_all_filters(run: Run, history: SQLiteSessionService) -> None:
    def found(*args: str) -> list[tuple[str, int]]:
        hits = json.loads(run("search", "--json", *args).stdout)
        return sorted((hit["session"]["id"], hit["event"]["seq"]) for hit in hits)

    assert found("代码") == [("tea", 1), ("tea", 2)]
    assert found("代码", "--author", "user") == [("tea", 1)]
    assert found("代码", "--limit", "0") == []
    assert found("入口") == found("入口", "--field", "reasoning") == [("tea", 2)]
    assert found("入口", "--field", "content", "--field", "tools") == []
    assert found("file", "--field", "tools") == [("s2", 2)]
    assert found("code", "--session", "tea") == []
    assert found("read", "--app", "work") == found("read", "--user", "bob") == [("s2", 2)]
    assert found("read", "--since", "2026-03-02") == [("s2", 2)]
    assert found("read", "--until", "2026-03-02T08:00") == [("tea", 2)]
    assert found("read", "--since", "2026-03-01T16:00+08:00", "--until", "2026-03-02") == [("tea", 2)]
    assert "There are more" in run("search", "read", "--limit", "1").stderr
    history.create_session(session_id="now").add_event("user", "read now")
    assert found("read", "--since", "1h") == [("now", 1)]


def test_the_json_of_a_hit_has_its_session_its_event_and_the_spans(run: Run, history: SQLiteSessionService) -> None:
    (hit,) = json.loads(run("search", '"分析代码"', "--json").stdout)
    assert list(hit) == ["session", "event", "snippet", "spans", "score", "parts"]
    assert hit["session"]["title"] == "茶与代码"
    assert hit["event"]["content"] == hit["snippet"] == "请帮我分析代码"
    assert [hit["snippet"][start:end] for start, end in hit["spans"]] == ["分析代码"]


def test_the_csv_of_a_search(run: Run, history: SQLiteSessionService) -> None:
    (row,) = rows_of(run("search", "帮", "--csv"))
    assert float(row.pop("score")) > 0
    assert row.pop("event_id")
    assert row == {
        "app_name": "shop", "user_id": "小明", "session_id": "tea", "title": "茶与代码", "seq": "1",
        "created_at": "2026-03-01T08:00:00+00:00", "author": "user", "snippet": "请帮我分析代码",
    }  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pty")
def test_a_terminal_gets_the_match_in_bold(run: Run, history: SQLiteSessionService) -> None:
    assert "分析\x1b[1m代码\x1b[0m" in in_terminal("search", "代码").decode()
    plain = in_terminal("search", "代码", NO_COLOR="1").decode()
    assert "分析«代码»" in plain
    assert "\x1b" not in plain


# ---------------------------------------------------------------- query


def test_query_prints_a_table_json_or_csv(run: Run, history: SQLiteSessionService) -> None:
    sql = "SELECT seq, author, content FROM events WHERE session_id = 'tea' ORDER BY seq"
    assert run("query", sql).stdout == (
        "seq  author     content\n"
        "---  ---------  --------------------\n"
        "  1  user       请帮我分析代码\n"
        "  2  assistant  好的，代码在 main.go\n"
    )
    assert json.loads(run("query", sql, "--json").stdout)[0] == {
        "seq": 1,
        "author": "user",
        "content": "请帮我分析代码",
    }
    assert exact(run("query", sql, "--csv")) == (
        "seq,author,content\r\n1,user,请帮我分析代码\r\n2,assistant,好的，代码在 main.go\r\n"
    )


def test_a_query_takes_parameters(run: Run, history: SQLiteSessionService) -> None:
    sql = "SELECT content FROM events WHERE session_id = :id AND seq = :n"
    (row,) = json.loads(run("query", sql, "-p", "id", "tea", "--param", "n", "1", "--json").stdout)
    assert row["content"] == "请帮我分析代码"
    assert_fails(run("query", sql), "the query failed")


@pytest.mark.parametrize("sql", ["DELETE FROM events", "PRAGMA user_version = 3", "SELECT 1; SELECT 2", "nonsense", ""])
def test_a_query_that_does_not_only_read_is_an_error(run: Run, history: SQLiteSessionService, sql: str) -> None:
    assert_fails(run("query", sql))
    assert len(json.loads(run("query", "SELECT id FROM events", "--json").stdout)) == 4


def test_a_query_ends_at_its_timeout(run: Run, service: SQLiteSessionService) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    assert_fails(run("query", endless, "--timeout", "0.2"), "0.2 s")
    assert_fails(run("query", "SELECT 1", "--timeout", "nan"), "timeout")


def test_values_that_json_and_tables_have_not_are_shown_all_the_same(run: Run, service: SQLiteSessionService) -> None:
    sql = "SELECT x'ff00' AS blob, 1e999 AS big, NULL AS none, 1.5 AS real, 'a' AS a, 'b' AS a"
    (row,) = json.loads(run("query", sql, "--json").stdout)
    assert row == {
        "blob": {"$base64": True, "encoded": "/wA="}, "big": "inf", "none": None, "real": 1.5, "a": "a", "a_2": "b",
    }  # fmt: skip
    for args in ((), ("--csv",)):
        result = run("query", sql, *args)
        assert result.exit_code == 0
        assert "/wA=" in result.stdout


@pytest.mark.parametrize("columns", [20, 60, 80, 120])
def test_no_line_of_a_table_is_wider_than_the_terminal(run: Run, history: SQLiteSessionService, columns: int) -> None:
    history.create_session().add_event("user", "很长的文字" * 500 + "\n\tmore " * 500)
    for args in (
        ("query", "SELECT * FROM events"), ("query", "SELECT content, content, author FROM events"),
        ("query", "SELECT seq, content FROM events"), ("tools",), ("tools", "Read"), ("tools", "--calls"), ("usage",),
    ):  # fmt: skip
        result = run(*args, env={"COLUMNS": str(columns)})
        assert result.exit_code == 0
        assert max(map(display_width, result.stdout.splitlines())) <= columns, args


def test_chinese_text_does_not_move_the_columns_of_a_table(run: Run, history: SQLiteSessionService) -> None:
    head, rule, *rows = run("query", "SELECT content, author FROM events ORDER BY seq, content").stdout.splitlines()
    place = display_width(head[: head.index("author")])
    assert rule[place - 1] == " "
    assert {display_width(row[: re.search("user|assistant", row).start()]) for row in rows} == {place}  # type: ignore[union-attr]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(run: Run, service: SQLiteSessionService, start: str) -> None:
    text = f'{start}cmd|" /C calc"!A0'
    service.create_session(title=text, session_id="x").add_event("user", text)
    (row,) = rows_of(run("query", "SELECT content, -1 AS number, -1.5 AS real FROM events", "--csv"))
    assert row["content"].startswith("'")
    assert row["content"].replace("\\x0d", "\r") == f"'{text}"
    assert (row["number"], row["real"]) == ("-1", "-1.5"), "a number runs nothing"
    (hit,) = rows_of(run("search", "cmd", "--csv"))
    assert hit["title"].startswith("'")
    assert hit["snippet"].startswith("'")
    assert rows_of(run("list", "--csv"))[0]["first_message"].startswith("'")


def test_a_tsv_cell_cannot_begin_a_quoted_one(run: Run, service: SQLiteSessionService) -> None:
    service.create_session().add_events([Event("user", '"=1+1"'), Event("user", '"'), Event("user", 'a "b"')])
    lines = exact(run("query", "SELECT content, 1 AS n FROM events ORDER BY seq", "--tsv")).split("\n")
    assert lines == ["content\tn", '\'"=1+1"\t1', "'\"\t1", 'a "b"\t1', ""]


def test_a_header_that_a_spreadsheet_would_run_is_defused(run: Run, service: SQLiteSessionService) -> None:
    assert exact(run("query", 'SELECT 1 AS "=1+1"', "--csv")) == "'=1+1\r\n1\r\n"


# ---------------------------------------------------------------- tools


def test_tools_counts_the_calls_of_each_tool(run: Run, history: SQLiteSessionService) -> None:
    assert run("tools").stdout == (
        "tool  calls  errors  pending\n"
        "----  -----  ------  -------\n"
        "Read      2       1        0\n"
        "Plan      1       0        1\n"
    )
    assert json.loads(run("tools", "--json").stdout)[0] == {"tool": "Read", "calls": 2, "errors": 1, "pending": 0}
    assert exact(run("tools", "--csv", "--status", "pending")) == "tool,calls,errors,pending\r\nPlan,1,0,1\r\n"
    assert [row["tool"] for row in rows_of(run("tools", "--csv", "--session", "s2"))] == ["Read"]
    assert [row["tool"] for row in rows_of(run("tools", "--csv", "--until", "2026-03-02"))] == ["Plan", "Read"]


def test_a_tools_calls_are_listed_the_latest_first(run: Run, history: SQLiteSessionService) -> None:
    head, _, *rows = run("tools", "Read").stdout.splitlines()
    assert head.split() == ["time", "session", "#", "status", "arguments", "result"]
    assert [row.split()[2] for row in rows] == ["s2", "tea"]
    assert '{"path": "主.go"}  package main' in rows[1]
    calls = json.loads(run("tools", "Read", "--json").stdout)
    assert [(call["session_id"], call["status"], call["args"]) for call in calls] == [
        ("s2", "error", {"path": "b"}), ("tea", "ok", {"path": "主.go"}),
    ]  # fmt: skip
    assert rows_of(run("tools", "Read", "--csv"))[1]["args"] == '{"path": "主.go"}'
    assert rows_of(run("tools", "Read", "--csv"))[1]["created_at"] == "2026-03-01T08:00:00+00:00"
    assert len(json.loads(run("tools", "--calls", "--json").stdout)) == 3
    assert len(json.loads(run("tools", "--calls", "--status", "pending", "--json").stdout)) == 1
    assert "There are more" in run("tools", "Read", "--limit", "1").stderr
    assert run("tools", "Read", "--limit", "2").stderr == ""
    assert json.loads(run("tools", "Re%", "--json").stdout) == [], "a name is no pattern"


# ---------------------------------------------------------------- usage and stats


def test_usage_sums_up_by_groups(run: Run, history: SQLiteSessionService) -> None:
    assert run("usage").stdout == (
        "day         model   replies  input  output  from cache\n"
        "----------  ------  -------  -----  ------  ----------\n"
        "2026-03-01  sonnet        1  1,000     200         300\n"
        "2026-03-02  haiku         1     50       5           0\n"
    )
    (one,) = json.loads(run("usage", "--by", "", "--json").stdout)
    assert (one["replies"], one["input_tokens"], one["reasoning_tokens"]) == (2, 1050, 0)
    rows = rows_of(run("usage", "--by", "month, user_id", "--csv"))
    assert [(row["month"], row["user_id"], row["input_tokens"]) for row in rows] == [
        ("2026-03", "bob", "50"), ("2026-03", "小明", "1000"),
    ]  # fmt: skip
    assert len(json.loads(run("usage", "--session", "tea", "--json").stdout)) == 1
    assert_fails(run("usage", "--by", "colour"), "by must be some of day")


def test_stats_say_what_there_is(run: Run, history: SQLiteSessionService) -> None:
    text = run("stats").stdout
    assert text.startswith(
        "2 sessions of 2 users in 2 apps\n4 events, from 2026-03-01 08:00:00 UTC to 2026-03-02 08:00:00 UTC\n"
        "  by assistant 2, user 2\ntokens: 1,050 input, 205 output, 300 from cache\n"
    )
    found = json.loads(run("stats", "--json", "--app", "shop").stdout)
    assert (found["sessions"], found["events"], found["first_event"]) == (1, 2, "2026-03-01T08:00:00+00:00")
    assert found["tools"]["Read"] == {"calls": 1, "errors": 0, "pending": 0}


def test_the_stats_of_an_empty_store_are_zeros(run: Run, service: SQLiteSessionService) -> None:
    assert run("stats").stdout == "0 sessions of 0 users in 0 apps\n0 events\n"


def test_many_tools_are_cut_in_the_stats(run: Run, service: SQLiteSessionService) -> None:
    service.create_session().add_event("assistant", actions=[ToolCall(f"t{number}") for number in range(12)])
    assert "and 2 more tools" in run("stats").stdout


# ---------------------------------------------------------------- tail


class Tail:
    """The verb in a process of its own."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "tail", "--interval", "0.05", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def events(self, count: int) -> list[tuple[str, int, str]]:
        documents: list[dict[str, Any]] = [json.loads(self.line()) for _ in range(count)]
        return [(one["session_id"], one["seq"], one["content"]) for one in documents]

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@pytest.fixture
def tails(run: Run) -> Iterator[list[Tail]]:
    """The processes that a test started; none outlives it."""
    started: list[Tail] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_tail_prints_what_another_process_appends(tails: list[Tail], service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s", title="茶")
    session.add_event("user", "before")
    tails.append(tail := Tail("s", "--json", "--last", "1", "--count", "3"))
    assert tail.events(1) == [("s", 1, "before")]
    session.add_event("assistant", "一")
    assert tail.events(1) == [("s", 2, "一")]
    service.create_session(session_id="other").add_event("user", "not of this session")
    session.add_events([Event("user", "二"), Event("assistant", "三")])
    assert tail.events(2) == [("s", 3, "二"), ("s", 4, "三")]
    assert tail.ended() == (0, "", "")


def test_tail_follows_all_sessions_also_new_ones(tails: list[Tail], service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s", user_id="bob")
    session.add_event("user", "before")
    tails.append(tail := Tail("--json", "--last", "1", "--count", "4"))
    assert tail.events(1) == [("s", 1, "before")]
    service.create_session(session_id="new", app_name="other").add_event("user", "你好")
    assert tail.events(1) == [("new", 1, "你好")]
    session.add_event("assistant", "after")
    assert tail.events(1) == [("s", 2, "after")]
    service.get_session("new", app_name="other").fork(session_id="copy")
    assert tail.events(1) == [("copy", 1, "你好")]
    session.add_event("user", "last")
    assert tail.events(1) == [("s", 3, "last")]
    assert tail.ended()[0] == 0


def test_tail_misses_nothing_where_events_are_taken_back(tails: list[Tail], service: SQLiteSessionService) -> None:
    """SQLite gives the row ids of events that were taken back again; a seq is never given twice."""
    session = service.create_session(session_id="s")
    session.add_event("user", "one")
    tails.append(tail := Tail("--json", "--last", "1"))
    tail.events(1)
    for number in range(20):
        session.rewind()
        session.add_event("user", f"again {number}")
        assert tail.events(1) == [("s", number + 2, f"again {number}")]
    service.delete_session(session)
    time.sleep(0.5)
    service.create_session(session_id="s").add_event("user", "made anew")
    assert tail.events(1) == [("s", 1, "made anew")]


def test_tail_shows_whose_events_are_when_that_changes(
    tails: list[Tail], run: Run, service: SQLiteSessionService
) -> None:
    one, two = service.create_session(session_id="one", title="茶"), service.create_session(session_id="two")
    for session in (one, one, two):
        session.add_event("user", "hi")
    heads = [line for line in run("tail", "--count", "0").stdout.splitlines() if line.startswith("──")]
    assert heads == [
        "── session one of app default, user default (茶)", "── session two of app default, user default",
    ]  # fmt: skip
    text = run("tail", "one", "--count", "0", "--last", "1").stdout
    assert text.startswith("茶\nsession one\n")
    assert "#2 user" in text
    assert "#1 user" not in text
    assert run("tail", "--count", "0", "--last", "0").stdout == ""


def test_the_last_events_of_all_sessions_come_in_the_order_of_time(run: Run, history: SQLiteSessionService) -> None:
    def last(*args: str) -> list[tuple[str, int]]:
        lines = run("tail", "--count", "0", "--json", *args).stdout.splitlines()
        return [(event["session_id"], event["seq"]) for event in map(json.loads, lines)]

    assert last() == [("tea", 1), ("tea", 2), ("s2", 1), ("s2", 2)]
    assert last("--last", "3") == [("tea", 2), ("s2", 1), ("s2", 2)]
    assert last("--user", "小明") == [("tea", 1), ("tea", 2)]
    assert last("tea", "--last", "1") == [("tea", 2)]


@pytest.mark.skipif(os.name == "nt", reason="a process cannot be sent a Ctrl-C alone")
def test_ctrl_c_ends_a_tail_quietly_with_130(tails: list[Tail], service: SQLiteSessionService) -> None:
    service.create_session(session_id="s").add_event("user", "hi")
    tails.append(tail := Tail("--json"))
    tail.events(1)
    tail.process.send_signal(signal.SIGINT)
    assert tail.ended() == (130, "", "")


def test_a_session_that_is_deleted_ends_its_tail_with_an_error(
    tails: list[Tail], service: SQLiteSessionService
) -> None:
    session = service.create_session(session_id="s")
    session.add_event("user", "hi")
    tails.append(tail := Tail("s", "--json"))
    tail.events(1)
    session.delete()
    code, out, err = tail.ended()
    assert (code, out) == (1, "")
    assert err.startswith("Error: there is no session 's'")


# ---------------------------------------------------------------- what a terminal gets


@pytest.mark.parametrize(
    "args",
    [("search", "31mb"), ("query", "SELECT content, title, actions FROM events JOIN sessions"), ("tools",),
     ("tools", "--calls"), ("usage",), ("stats",), ("tail", "--count", "0")],
)  # fmt: skip
@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
def test_no_text_of_a_conversation_can_drive_the_terminal(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...], form: tuple[str, ...]
) -> None:
    if form == ("--csv",) and args[0] in {"stats", "tail"}:
        pytest.skip("no rows come out")
    session = service.create_session(session_id="s", title=EVIL)
    session.add_event("user", EVIL, actions=[ToolCall(EVIL, {EVIL: EVIL}, error=EVIL)], usage=Usage(EVIL, 1, 1))
    result = run(*args, *form)
    assert result.exit_code == 0
    assert not set("\x1b\x07\x7f\x9b\u202e\u2066\u200f\u061c") & set(result.stdout + result.stderr)
    assert "[31mb" in result.stdout or args[0] == "stats" or "\\u001b" in result.stdout
    if form == ("--json",) and args[0] == "search":
        assert json.loads(result.stdout)[0]["session"]["title"] == EVIL


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_is_not_utf_8_gets_escapes_and_data_stay_utf_8(
    run: Run, history: SQLiteSessionService, encoding: str
) -> None:
    shown = process("search", "代码", text=False, PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    assert rb"\u4ee3" in shown.stdout
    for form in ("--json", "--csv"):
        assert "代码" in process("search", "代码", form, text=False, PYTHONIOENCODING=encoding).stdout.decode()


def test_a_file_that_someone_edited_can_still_be_asked(run: Run, history: SQLiteSessionService, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET actions = '[broken', usage = '{', created_at = 'yesterday' WHERE seq = 1")
    connection.close()
    for args in (("search", "代码"), ("tools",), ("tools", "Read"), ("usage",), ("stats",), ("tail", "--count", "0")):
        for form in ((), ("--json",)):
            result = run(*args, *form)
            assert result.exit_code == 0, result.output
