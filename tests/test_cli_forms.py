"""What programs get from the command line: JSON, JSON Lines, CSV and TSV, as streams, and SQL from the input."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_cli import EVIL, PROGRAM, Run, assert_fails, run

from session_sqlite import Event, SQLiteSessionService, ToolCall, Usage
from session_sqlite.cli import history, main

__all__ = ["run"]  # a fixture

DAY = datetime(2026, 3, 1, 8, tzinfo=UTC)
ROWS = [
    ("list",), ("search", "tea"), ("sessions", "tea"), ("query", "SELECT seq, content FROM events ORDER BY seq"),
    ("tools",), ("tools", "Read"), ("tools", "--calls"), ("usage",),
]  # fmt: skip


@pytest.fixture
def store(service: SQLiteSessionService) -> SQLiteSessionService:
    session = service.create_session(session_id="s", title="tab\there\nand \\ there", metadata={"k": [1, "中"]})
    session.add_event("user", "tea\tand\nmore \\ 中", created_at=DAY)
    session.add_event(
        "assistant", "=tea", actions=[ToolCall("Read", {"a": 1}, output="x"), ToolCall("Plan")],
        usage=Usage("m", 3, 4), created_at=DAY,
    )  # fmt: skip
    return service


def from_tsv(text: str) -> list[dict[str, str]]:
    """The rows of TSV, with its escapes undone."""

    def cell(value: str) -> str:
        return (
            value.replace("\\\\", "\0")
            .replace("\\t", "\t")
            .replace("\\n", "\n")
            .replace("\\r", "\r")
            .replace("\0", "\\")
        )

    head, *rows = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    return [dict(zip(head, map(cell, row), strict=True)) for row in rows]


@pytest.mark.parametrize("args", ROWS, ids=" ".join)
def test_json_lines_are_the_items_of_the_json(run: Run, store: SQLiteSessionService, args: tuple[str, ...]) -> None:
    lines = [json.loads(line) for line in run(*args, "--jsonl").stdout.splitlines()]
    assert lines == json.loads(run(*args, "--json").stdout)
    assert lines != []


@pytest.mark.parametrize("args", ROWS, ids=" ".join)
def test_tsv_has_the_rows_of_the_csv_one_on_each_line(
    run: Run, store: SQLiteSessionService, args: tuple[str, ...]
) -> None:
    exact = run(*args, "--csv").stdout_bytes.decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(exact, newline="")))
    assert from_tsv(run(*args, "--tsv").stdout_bytes.decode("utf-8")) == rows
    assert rows != []


def test_tsv_escapes_what_would_end_a_cell(run: Run, store: SQLiteSessionService) -> None:
    result = run(
        "query", "SELECT content, 1 AS n, NULL AS none, -1.5 AS r, x'ff' AS b FROM events ORDER BY seq", "--tsv"
    )
    assert result.stdout_bytes.decode() == (
        "content\tn\tnone\tr\tb\n"
        "tea\\tand\\nmore \\\\ 中\t1\t\t-1.5\t{\"$base64\": true, \"encoded\": \"/w==\"}\n"
        "'=tea\t1\t\t-1.5\t{\"$base64\": true, \"encoded\": \"/w==\"}\n"
    )  # fmt: skip


@pytest.mark.parametrize("form", ["--jsonl", "--tsv"])
def test_no_text_of_a_conversation_can_drive_the_terminal(run: Run, service: SQLiteSessionService, form: str) -> None:
    session = service.create_session(session_id="s", title=EVIL)
    session.add_event("user", EVIL, actions=[ToolCall(EVIL, {EVIL: EVIL}, error=EVIL)], usage=Usage(EVIL, 1, 1))
    for args in (("list",), ("search", "31mb"), ("query", "SELECT content, title FROM events JOIN sessions"),
                 ("tools",), ("tools", "--calls"), ("usage",)):  # fmt: skip
        result = run(*args, form)
        assert result.exit_code == 0
        assert not set("\x1b\x07\x7f\x9b\u202e\u2066\u200f\u061c") & set(result.stdout + result.stderr)


@pytest.mark.parametrize(
    "forms", [("--json", "--jsonl"), ("--csv", "--tsv"), ("--jsonl", "--tsv"), ("--json", "--csv")]
)
def test_two_forms_at_once_are_refused(run: Run, store: SQLiteSessionService, forms: tuple[str, str]) -> None:
    for args in ROWS:
        result = run(*args, *forms)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"give {forms[0]} or {forms[1]}, not both" in result.stderr


@pytest.mark.parametrize(
    ("args", "columns"),
    [(("list",), "id"), (("search", "nowhere"), "app_name"), (("query", "SELECT 1 AS a WHERE 0"), "a"),
     (("tools",), "tool"), (("tools", "--calls"), "created_at"), (("usage",), "day")],
)  # fmt: skip
def test_without_rows_there_are_the_columns_or_nothing(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...], columns: str
) -> None:
    assert run(*args, "--jsonl").stdout == ""
    assert run(*args, "--tsv").stdout.split("\t")[0].strip() == columns
    assert run(*args, "--csv").stdout.splitlines()[0].split(",")[0] == columns


def test_an_error_before_the_first_row_leaves_no_output(run: Run, store: SQLiteSessionService) -> None:
    for form in ("--json", "--jsonl", "--csv", "--tsv"):
        assert_fails(run("search", "x " * 100_001, form))
        assert_fails(run("query", "nonsense", form))
        assert_fails(run("usage", "--by", "colour", form))


def test_the_limit_is_short_and_the_rest_is_said(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    service.create_session(session_id="t")
    session.add_events([Event("user", "tea", id=f"e{number}") for number in range(3)])
    session.add_event("assistant", actions=[ToolCall("Read"), ToolCall("Read"), ToolCall("Read")])
    for args in (("list",), ("search", "tea"), ("tools", "Read"), ("tools", "--calls")):
        for form in (("--jsonl",), ()):
            result = run(*args, "-n", "1", *form)
            assert "There are more" in result.stderr
            assert not form or len(result.stdout.splitlines()) == 1
        assert run(*args, "-n", "1", "--json").stdout == run(*args, "--limit", "1", "--json").stdout
        assert "There are more" not in run(*args, "-n", "9").stderr
    for verb in ("show", "tail"):
        more = ("--count", "0") if verb == "tail" else ()
        assert run(verb, "s", "-n", "1", *more).stdout == run(verb, "s", "--last", "1", *more).stdout


def test_show_prints_events_as_json_lines(run: Run, store: SQLiteSessionService) -> None:
    lines = run("show", "s", "--jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == json.loads(run("show", "s", "--json").stdout)["events"]
    tailed = [json.loads(line) for line in run("tail", "s", "--count", "0", "--jsonl").stdout.splitlines()]
    assert [event["seq"] for event in tailed] == [1, 2]


# ---------------------------------------------------------------- streams


def test_the_pages_of_a_search_and_of_calls_part_and_double_nothing(
    run: Run, service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls of one event and of one time stay together, however small the pages are."""
    for minute in range(4):
        session = service.create_session(session_id=f"s{minute}")
        for _ in range(3):
            session.add_event(
                "assistant", "tea", actions=[ToolCall("Read", {"n": n}) for n in range(4)],
                created_at=DAY + timedelta(minutes=minute // 2),
            )  # fmt: skip
    wanted = {name: run(*args, "-n", "1000", "--jsonl").stdout for name, args in
              {"calls": ("tools", "--calls"), "hits": ("search", "tea")}.items()}  # fmt: skip
    assert (len(wanted["calls"].splitlines()), len(wanted["hits"].splitlines())) == (48, 12)
    for at_once in (1, 2, 5, 11, 24, 30, 48):
        monkeypatch.setattr(history, "CALLS_AT_ONCE", at_once)
        monkeypatch.setattr(history, "HITS_AT_ONCE", at_once)
        assert run("search", "tea", "-n", "1000", "--jsonl").stdout == wanted["hits"]
        for limit in (0, 1, 7, 23, 24, 47, 48, 1000):
            result = run("tools", "--calls", "-n", str(limit), "--jsonl")
            assert result.stdout.splitlines() == wanted["calls"].splitlines()[:limit]
            assert ("There are more" in result.stderr) == (limit < 48)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the memory of a process is asked of Linux")
def test_the_memory_of_a_command_does_not_grow_with_its_rows(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="long")
    for batch in range(10):
        session.add_events([Event("user", f"tea {batch} {'x' * 8_000}") for _ in range(1_000)])
    service.search("tea")
    # Not that of getrusage, which begins with what the tests had when they started the process.
    code = "import re, sys; from session_sqlite.cli import main; from pathlib import Path\n" \
           "status = Path('/proc/self/status')\n" \
           "try: main(sys.argv[1:])\n" \
           "finally: print(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1], file=sys.stderr)"  # fmt: skip

    def peak(*command: str) -> int:
        result = subprocess.run([PROGRAM[0], "-c", code, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                check=True, encoding="utf-8", timeout=600)  # fmt: skip
        return int(result.stderr.splitlines()[-1]) // 1024

    least = peak("path")
    for args in (("show", "long", "--jsonl"), ("search", "tea", "-n", "1000000", "--tsv")):
        assert peak(*args) < least + 50, args  # all events together take more than 80 MB


@pytest.mark.skipif(os.name == "nt", reason="the memory of a process is asked of Linux")
def test_the_rows_of_a_query_are_printed_as_they_are_read(run: Run, service: SQLiteSessionService) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'text' AS t FROM n"
    for form, first in (("--jsonl", '{"i": 1, "t": "text"}\n'), ("--tsv", "i\tt\n"), ("--csv", "i,t\r\n"),
                        ("--json", '[{"i": 1, "t": "text"}')):  # fmt: skip
        command = [*PROGRAM, "query", sql, form, "--timeout", "600"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.read(len(first)).decode() == first
            for _ in range(100):
                child.stdout.read(10_000)
            child.stdout.close()
            assert (child.stderr.read(), child.wait(60)) == (b"", 141)


def test_a_query_that_has_to_begin_again_prints_each_row_once(
    run: Run, service: SQLiteSessionService, path: Path
) -> None:
    """Values that are long, or that are not UTF-8, are found in the middle of a query."""
    session = service.create_session(session_id="s")
    session.add_events([Event("user", f"row {n}" + ("x" * 200_000 if n == 30 else ""), id=str(n)) for n in range(60)])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET content = CAST(x'ff41' AS TEXT) WHERE id = '45'")
    connection.close()
    sql = "SELECT seq, upper(content) AS c FROM events ORDER BY seq"
    for form in ("--jsonl", "--json", "--tsv", "--csv"):
        result = run("query", sql, form)
        assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in run("query", sql, "--jsonl").stdout.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, 61))
    assert len(rows[30]["c"]) > 200_000


# ---------------------------------------------------------------- SQL from the input


def test_a_query_of_a_hyphen_is_read_from_the_input(run: Run, store: SQLiteSessionService) -> None:
    sql = "SELECT content -- a comment, 中\n  FROM events WHERE author = :who\n"
    for text in (sql, f"\ufeff{sql}"):
        result = run("query", "-", "-p", "who", "user", "--jsonl", input=text.encode())
        assert json.loads(result.stdout) == {"content": "tea\tand\nmore \\ 中"}
    assert_fails(run("query", "-", input=b"\xff"), "not UTF-8")
    assert_fails(run("query", "-", input=b""))
    assert_fails(run("query", "-", input=b"DELETE FROM events"))


def test_a_process_reads_sql_from_a_pipe(run: Run, store: SQLiteSessionService, tmp_path: Path) -> None:
    (tmp_path / "report.sql").write_text("SELECT count(*) AS n FROM events;", "utf-8")
    with (tmp_path / "report.sql").open("rb") as file:
        result = subprocess.run([*PROGRAM, "query", "-", "--tsv"], stdin=file, capture_output=True, check=True)
    assert result.stdout == b"n\n2\n"


def test_every_verb_with_rows_has_all_forms() -> None:
    with_rows = {args[0] for args in ROWS}
    for name, command in main.commands.items():
        options = {option for param in command.params for option in param.opts}
        assert ({"--json", "--jsonl", "--csv", "--tsv"} <= options) == (name in with_rows), name
