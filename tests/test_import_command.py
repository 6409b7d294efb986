"""Imports and exports as people start them: by a file's ending, of a folder, and ended by Ctrl-C."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from imports import CHAT

from session_sqlite import InvalidInputError, SQLiteSessionService
from session_sqlite.cli import main
from session_sqlite.cli.transfer import _amounts
from session_sqlite.operations.whole_sessions import WholeSessions


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(tmp_path / "store" / "sessions.db", durability="fast") as service:
        yield service


def chat(id: str) -> str:
    return json.dumps({**CHAT, "id": id})


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.html", "html"),
        ("a.HTM", "html"),
        ("a.md", "markdown"),
        ("a.jsonl", "jsonl"),
        ("a", "jsonl"),
        ("a.x", "jsonl"),
    ],
)
def test_an_export_goes_by_the_ending_of_the_file(
    service: SQLiteSessionService, tmp_path: Path, name: str, format: str
) -> None:
    service.create_session().add_event("user", "Hi")
    assert service.export(tmp_path / name).format == format
    assert service.export(tmp_path / f"by-command-{name}", format="html").format == "html"
    command = ["--db", str(service.path), "export", "-o", str(tmp_path / name)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0
    assert f"({format})" in result.stderr


def test_a_folder_is_imported_with_one_report(service: SQLiteSessionService, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "a.json").write_text(chat("a"), "utf-8")
    (folder / "inner" / "b.jsonl").write_text(f"{chat('b')}\n{chat('c')}", "utf-8")
    (folder / "inner" / "bad.json").write_text('{"messages": [', "utf-8")
    (folder / "inner" / "other.json").write_text('{"name": "settings"}', "utf-8")
    (folder / "readme.txt").write_text("words", "utf-8")
    (folder / ".hidden" / "d.json").write_text(chat("d"), "utf-8")
    connection = sqlite3.connect(folder / "chats.db")
    connection.execute("CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)")
    text = json.dumps({"type": "human", "data": {"content": "Hi"}})
    connection.execute("INSERT INTO message_store (session_id, message) VALUES ('s', ?)", [text])
    connection.commit()
    connection.close()
    told: list[tuple[int, int | None]] = []
    dry = service.import_(folder, dry_run=True)
    report = service.import_(folder, progress=lambda *counts: told.append(counts))
    assert (dry.sessions, dry.events, dry.skipped) == (report.sessions, report.events, report.skipped)
    assert (report.sessions, report.events) == (4, 16)
    assert {session.id for session in service.list_sessions()} == {"a", "b", "c", "s"}
    assert report.format == "openai-chat, langchain-sql"
    assert [(fault.where, "ends in the middle" in fault.reason) for fault in report.skipped] == [
        (str(Path("inner", "bad.json")), True), (str(Path("inner", "other.json")), False),
    ]  # fmt: skip
    assert report.left_out == {".txt file": 1}
    assert told == sorted(told)
    assert len({total for _, total in told}) == 1
    assert service.import_(folder).events == 0
    result = CliRunner().invoke(main, ["--db", str(service.path), "import", str(folder)])
    assert (result.exit_code, "2 skipped" in result.stdout) == (3, True)


def test_a_folder_in_which_nothing_can_be_imported_fails(service: SQLiteSessionService, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(InvalidInputError, match="no file in the folder"):
        service.import_(folder)
    (folder / "a.json").write_text("{}", "utf-8")
    with pytest.raises(InvalidInputError, match="nothing in the folder"):
        service.import_(folder)


def test_an_import_that_skipped_records_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text(f"{chat('a')}\nno chat\n", "utf-8")
    for more in ([], ["--dry-run"], ["--json"]):
        result = CliRunner().invoke(main, ["--db", str(tmp_path / "s.db"), "import", str(path), *more])
        assert result.exit_code == 3
    assert CliRunner().invoke(main, ["--db", str(tmp_path / "s.db"), "import", str(tmp_path / "none")]).exit_code == 1
    path.write_text(chat("a"), "utf-8")
    assert CliRunner().invoke(main, ["--db", str(tmp_path / "s.db"), "import", str(path)]).exit_code == 0


def test_an_import_that_ctrl_c_ended_says_what_is_in_and_is_completed_by_running_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(chat(str(number)) for number in range(1000)), "utf-8")
    command = ["--db", str(tmp_path / "s.db"), "import", str(path)]
    add, calls = WholeSessions.add, []

    def interrupted(self: WholeSessions, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return add(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(WholeSessions, "add", interrupted)
        result = CliRunner().invoke(main, command)
    assert result.exit_code == 130
    with SQLiteSessionService(tmp_path / "s.db") as service:
        events = service.db["events"].count
        sessions = service.db["sessions"].count
    assert 0 < events < 5000
    assert f"Imported {sessions} sessions with {events:,} events" in result.stdout
    assert "run it again" in result.stderr
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, f"{events:,} events were stored already" in result.stdout) == (0, True)
    with SQLiteSessionService(tmp_path / "s.db") as service:
        assert service.db["events"].count == 5000


@pytest.mark.parametrize(
    ("done", "total", "unit", "shown"),
    [
        (12_400_000, 300_000_000, "bytes", "12.4 of 300.0 MB"),
        (0, 900, "bytes", "0 of 900 bytes"),
        (1_200, 45_600, "bytes", "1.2 of 45.6 kB"),
        (3_000_000_000, 4_000_000_000, "bytes", "3.0 of 4.0 GB"),
        (1_200, 4_500, "events", "1,200 of 4,500 events"),
        (1_200, None, "rows", "1,200 rows"),
    ],
)
def test_progress_has_a_unit(done: int, total: int | None, unit: str, shown: str) -> None:
    assert _amounts(done, total, unit) == shown
