"""`session-sqlite sessions`: the search of a sidebar, in a shell."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_cli import EVIL, Run, run

from session_sqlite import Event, SQLiteSessionService

__all__ = ["run"]  # a fixture


@pytest.fixture
def history(path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(path) as service:
        tea = service.create_session(session_id="tea", title="Blue teapot", agent_id="shop")
        tea.add_events([Event("user", "Where is my\norder?"), Event("assistant", "On its way, 代码 42")])
        service.create_session(session_id="untitled").add_event("user", "the teapot\nagain")
        service.create_session(session_id="theirs", user_id="other", title="Their teapot")
        yield service


def test_a_shell_finds_sessions_as_a_sidebar_does(run: Run, history: SQLiteSessionService) -> None:
    text = run("sessions", "teapot ord").stdout
    assert text.startswith("Blue «teapot»\n")
    assert "2 events · session tea · app default · user default\n" in text
    assert text.endswith("  #1 user: Where is my «ord»er?\n")
    text = run("sessions", "teap").stdout
    assert [block.splitlines()[0] for block in text.split("\n\n")] == [
        "Their «teap»ot", "the teapot again", "Blue «teap»ot",
    ]  # fmt: skip
    assert run("sessions", "teap", "--user", "other").stdout.startswith("Their «teap»ot\n")
    result = run("sessions", "nowhere")
    assert (result.stdout, result.stderr) == ("", "No sessions found.\n")


def test_the_filters_and_the_order_are_those_of_the_verb(run: Run, history: SQLiteSessionService) -> None:
    def ids(*args: str) -> list[str]:
        return [one["id"] for one in json.loads(run("sessions", "teap", "--json", *args).stdout)]

    assert ids() == ["theirs", "untitled", "tea"]
    assert ids("--order", "best") == ["theirs", "tea", "untitled"]
    assert ids("--agent", "shop") == ["tea"]
    assert ids("--since", "1d") == ids()
    assert ids("--until", "2020-01-01") == []
    assert ids("--limit", "1") == ["theirs"]
    assert "There are more" in run("sessions", "teap", "--limit", "1").stderr
    for wrong in (("--order", "worst"), ("--json", "--csv"), ("--since", "soon")):
        assert run("sessions", "x", *wrong).exit_code == 2


def test_a_program_gets_json_or_csv(run: Run, history: SQLiteSessionService) -> None:
    hits = history.search_sessions("teap")
    assert json.loads(run("sessions", "teap", "--user", "default", "--json").stdout) == [one.to_dict() for one in hits]
    rows = list(csv.DictReader(io.StringIO(run("sessions", "42", "--csv").stdout)))
    assert [(row["id"], row["seq"], row["author"], row["snippet"]) for row in rows] == [
        ("tea", "2", "assistant", "On its way, 代码 42")
    ]
    assert datetime.fromisoformat(rows[0]["last_activity"]).tzinfo == UTC
    assert json.loads(run("sessions", "", "--json").stdout) == []


def test_no_title_and_no_text_controls_the_terminal(run: Run, path: Path) -> None:
    with SQLiteSessionService(path) as service:
        service.create_session(title=f"tea {EVIL}").add_event("user", f"tea {EVIL}")
        service.create_session().add_event("user", f"tea {EVIL} more")
    for args in ((), ("--csv",), ("--json",)):
        text = run("sessions", "tea", *args).stdout
        assert "\x1b" not in text
        assert "\u202e" not in text
