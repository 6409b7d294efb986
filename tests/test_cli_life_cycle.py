"""The verbs of the command for what becomes of conversations: fork, rewind, prune, erase, redact, backup, check."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_cli import EVIL, Run, assert_fails, process, run
from test_opening import build_older

from session_sqlite import ANY, Event, Session, SQLiteSessionService, ToolCall
from session_sqlite.sqlite.schema import SCHEMA_VERSION

__all__ = ["run"]  # a fixture

OLD = datetime(2020, 1, 1, tzinfo=UTC)
DESTRUCTIVE = [
    ("rewind", "s"), ("prune", "--keep-last", "2"), ("erase", "s"), ("erase", "--user", "default"), ("redact", "答"),
]  # fmt: skip


@pytest.fixture
def session(service: SQLiteSessionService) -> Session:
    """A conversation of three turns, two of them old."""
    session = service.create_session(session_id="s", title="茶")
    for turn in (1, 2, 3):
        when = OLD + timedelta(days=turn) if turn < 3 else None
        session.add_events([
            Event("user", f"问 {turn}", created_at=when),
            Event("assistant", f"答 {turn}", created_at=when, id=f"answer-{turn}", state={"turn": turn}),
        ])  # fmt: skip
    return session


def contents(session: Session) -> list[str]:
    return [event.content for event in session.events()]


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("verb", ["fork", "rewind", "prune", "erase", "redact", "backup", "check"])
def test_every_verb_has_its_help_and_takes_a_store_an_app_and_a_user(run: Run, verb: str) -> None:
    assert f"  {verb} " in run("--help").stdout
    text = run(verb, "--help").stdout
    assert text.startswith(f"Usage: session-sqlite {verb} [OPTIONS]")
    for option in ("--db PATH", "--app NAME", "--user ID", "--json"):
        assert option in text


@pytest.mark.parametrize(
    "args", [("fork", "s"), *DESTRUCTIVE, ("backup", "copy.db"), ("check",), ("check", "--repair")]
)
def test_a_missing_store_is_an_error_and_is_not_made(run: Run, path: Path, args: tuple[str, ...]) -> None:
    assert_fails(run(*args), "there is no store at", str(path))
    assert not path.exists()


@pytest.mark.parametrize("args", DESTRUCTIVE)
def test_what_destroys_asks_first_and_takes_no_answer_for_no(run: Run, session: Session, args: tuple[str, ...]) -> None:
    before = contents(session)
    for answer in ("n\n", "\n", ""):
        result = run(*args, input=answer)
        # click 8.3.1 shows the answer that a test types among the output.
        assert (result.exit_code, result.stdout.removeprefix(f" {answer}")) == (1, "")
        assert "? [y/N]" in result.stderr
        assert contents(session) == before
    assert run(*args, input="y\n").exit_code == 0
    assert [one.id for one in session._store().list_sessions()] == [] or contents(session) != before


@pytest.mark.parametrize("args", DESTRUCTIVE)
def test_with_yes_nothing_is_asked(run: Run, session: Session, args: tuple[str, ...]) -> None:
    result = run(*args, "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout


@pytest.mark.parametrize("args", DESTRUCTIVE)
def test_the_json_of_what_destroys_is_one_document(run: Run, session: Session, args: tuple[str, ...]) -> None:
    result = run(*args, "--yes", "--json")
    assert result.exit_code == 0
    assert isinstance(json.loads(result.stdout), dict)
    assert json.loads(run("list", "--json").stdout) is not None


@pytest.mark.parametrize("args", [("fork", "1"), ("rewind", "1", "--yes"), ("erase", "1", "--yes"),
                                  ("redact", "x", "--session", "1", "--yes")])  # fmt: skip
def test_an_id_of_several_users_needs_the_user_named(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...]
) -> None:
    assert_fails(run(*args), "there is no session '1'")
    for user in ("alice", "bob"):
        service.create_session(session_id="1", user_id=user).add_event("user", "x")
    assert_fails(run(*args), "several", "user")
    assert run(*args, "--app", "default", "--user", "bob").exit_code == 0
    assert contents(service.get_session("1", user_id="alice")) == ["x"]


# ---------------------------------------------------------------- fork, rewind


def test_fork_copies_up_to_an_event_by_number_or_id(run: Run, session: Session, service: SQLiteSessionService) -> None:
    result = run("fork", "s", "--at", "3", "--id", "copy", "--title", "副本")
    assert result.stdout == "Forked session s of app default, user default after #3: the copy is session copy.\n"
    copy = service.get_session("copy")
    assert (copy.title, copy.parent_id, copy.parent_seq) == ("副本", "s", 3)
    assert contents(copy) == ["问 1", "答 1", "问 2"]
    document = json.loads(run("fork", "s", "--at", "answer-1", "--json").stdout)
    assert (document["parent_id"], document["last_seq"], document["title"]) == ("s", 2, "茶")
    assert len(contents(session)) == 6
    assert_fails(run("fork", "s", "--id", "copy"), "exists")
    assert_fails(run("fork", "s", "--at", "99"), "no event")
    assert_fails(run("fork", "s", "--at", "nope"), "no event")


def test_rewind_takes_back_turns_and_says_which(run: Run, session: Session) -> None:
    asked = run("rewind", "s", "--turns", "2", input="n\n")
    assert "Remove 4 events (#3–#6) of session s of app default, user default (茶)?" in asked.stderr
    result = run("rewind", "s", "--yes")
    assert result.stdout == "Removed 2 events (#5–#6) of session s of app default, user default.\n"
    assert session.state["turn"] == 2
    document = json.loads(run("rewind", "s", "--to", "1", "--yes", "--json").stdout)
    assert [event["content"] for event in document["removed"]] == ["答 1", "问 2", "答 2"]
    assert document["session"]["last_seq"] == 6
    assert contents(session) == ["问 1"]
    assert run("rewind", "s", "--turns", "9", "--yes").exit_code == 0
    assert run("rewind", "s").stdout == "There is nothing to remove.\n"
    assert json.loads(run("rewind", "s", "--json").stdout)["removed"] == []


def test_rewind_takes_turns_or_an_event_and_no_less_than_a_turn(run: Run, session: Session) -> None:
    assert run("rewind", "s", "--turns", "1", "--to", "1").exit_code == 2
    assert run("rewind", "s", "--turns", "0").exit_code == 2
    assert_fails(run("rewind", "s", "--to", "99", "--yes"), "no event")
    assert len(contents(session)) == 6


def test_a_session_that_went_on_while_it_was_asked_is_not_rewound(
    run: Run, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.confirm", lambda *args, **how: session.add_event("user", "new"))
    assert_fails(run("rewind", "s"), "has new events meanwhile")
    assert len(contents(session)) == 7


# ---------------------------------------------------------------- prune


def test_prune_counts_first_and_a_dry_run_only_counts(run: Run, session: Session) -> None:
    assert run("prune", "--older-than", "90d", "--dry-run").stdout == "Would remove 4 events.\n"
    assert json.loads(run("prune", "--keep-last", "2", "--dry-run", "--json").stdout) == {
        "events": 4, "sessions": 0, "dry_run": True,
    }  # fmt: skip
    assert len(contents(session)) == 6
    asked = run("prune", "--older-than", "2020-01-03", input="n\n")
    assert "Remove 2 events, of all users in all apps?" in asked.stderr
    assert run("prune", "--older-than", "2020-01-03", "--yes").stdout == "Removed 2 events.\n"
    assert json.loads(run("prune", "--keep-last", "0", "--yes", "--json").stdout)["events"] == 4
    assert run("prune", "--keep-last", "0").stdout == "Removed 0 events.\n", "nothing to ask about"


def test_prune_needs_to_be_told_what(run: Run, session: Session) -> None:
    assert run("prune", "--yes").exit_code == 2
    assert run("prune", "--older-than", "soon", "--yes").exit_code == 2
    assert len(contents(session)) == 6


def test_prune_keeps_to_an_app_and_a_user(run: Run, service: SQLiteSessionService) -> None:
    for user in ("alice", "bob"):
        service.create_session(session_id=user, user_id=user).add_event("user", "x")
    asked = run("prune", "--keep-last", "0", "--user", "bob", input="y\n")
    assert "of user bob in all apps?" in asked.stderr
    left = {one.session.id: one.event_count for one in service.session_overviews(user_id=ANY)}
    assert left == {"alice": 1, "bob": 0}


# ---------------------------------------------------------------- erase, redact


def test_erase_leaves_no_bytes_of_a_session(run: Run, session: Session, path: Path) -> None:
    session.add_event("user", "the secret 秘密")
    session._store().close()
    asked = run("erase", "s", input="n\n")
    assert "Erase session s of app default, user default (茶), with 7 events, forever?" in asked.stderr
    assert run("erase", "s", "--yes").stdout == "Erased 1 session with 7 events.\n"
    assert "秘密".encode() not in path.read_bytes()


def test_erase_of_a_user_takes_all_sessions_and_the_state(run: Run, service: SQLiteSessionService) -> None:
    for app, user in (("a", "alice"), ("b", "alice"), ("a", "bob")):
        session = service.create_session(app_name=app, user_id=user, state={"user:name": user})
        session.add_event("user", "hi")
    asked = run("erase", "--user", "alice", input="n\n")
    assert "Erase 2 sessions with 2 events, and the state, of user alice in all apps, forever?" in asked.stderr
    report = json.loads(run("erase", "--user", "alice", "--app", "a", "--yes", "--json").stdout)
    assert report == {"sessions": 1, "events": 1, "remaining": [], "complete": True, "dry_run": False}
    assert run("erase", "--user", "alice", "--yes").stdout == "Erased 1 session with 1 event.\n"
    assert [one.user_id for one in service.list_sessions(app_name=ANY, user_id=ANY)] == ["bob"]
    assert {row["user_id"] for row in service.query("SELECT user_id FROM state")} == {"bob"}


def test_erase_needs_to_be_told_what(run: Run, session: Session) -> None:
    assert run("erase", "--yes").exit_code == 2
    assert run("erase", "--app", "default", "--yes").exit_code == 2
    assert len(contents(session)) == 6


def test_what_still_holds_the_erased_is_said_and_the_exit_code_is_1(run: Run, session: Session) -> None:
    session.fork(session_id="copy")
    result = run("erase", "s", "--yes")
    assert (result.exit_code, result.stdout) == (1, "Erased 1 session with 6 events.\n")
    assert "Still there: session 'copy'" in result.stderr
    session._store().get_session("copy").fork(session_id="again")
    result = run("erase", "copy", "--yes", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert not document["complete"]
    assert "again" in document["remaining"][0]


def test_redact_changes_events_and_search(run: Run, session: Session, service: SQLiteSessionService) -> None:
    assert run("redact", "答 [12]", "--dry-run").stdout == "Would redact 2 events.\n"
    asked = run("redact", "答", input="n\n")
    assert "Redact 3 events, of all users in all apps, forever?" in asked.stderr
    assert run("redact", "答 ([12])", "--replacement", r"回 \1", "--yes").stdout == "Redacted 2 events.\n"
    assert contents(session)[1::2] == ["回 1", "回 2", "答 3"]
    assert len(service.search("回")) == 2
    report = json.loads(run("redact", "答 3", "--session", "s", "--yes", "--json").stdout)
    assert report == {"events": 1, "skipped": 0, "remaining": [], "dry_run": False}
    assert contents(session)[-1] == "[redacted]"
    assert json.loads(run("redact", "x", "--dry-run", "--json").stdout)["dry_run"] is True


def test_a_pattern_that_is_none_is_an_error(run: Run, session: Session) -> None:
    assert_fails(run("redact", "(", "--yes"), "regular expression")
    assert_fails(run("redact", "a", "--replacement", r"\9", "--yes"), "regular expression")
    assert len(contents(session)) == 6


def test_a_title_that_holds_what_was_redacted_is_named(run: Run, session: Session) -> None:
    session.add_event("user", "茶")
    result = run("redact", "茶", "--yes")
    assert (result.exit_code, result.stdout) == (1, "Redacted 1 event.\n")
    assert "Still there: the title of session 's'" in result.stderr


# ---------------------------------------------------------------- backup, check


def test_a_backup_is_a_store_and_is_not_put_over_a_file(run: Run, session: Session, tmp_path: Path) -> None:
    target = tmp_path / "备份" / "copy.db"
    assert run("backup", str(target)).stdout.startswith(f"Backed up to {target} (")
    with SQLiteSessionService(target) as copy:
        assert contents(copy.get_session("s")) == contents(session)
    assert_fails(run("backup", str(target)), f"{target} exists already", "--overwrite")
    session.add_event("user", "more")
    document = json.loads(run("backup", str(target), "--overwrite", "--json").stdout)
    assert document == {"path": str(target), "bytes": target.stat().st_size}
    with SQLiteSessionService(target, read_only=True) as copy:
        assert len(contents(copy.get_session("s"))) == 7


def test_a_backup_onto_the_store_itself_or_to_nowhere_is_refused(run: Run, session: Session, path: Path) -> None:
    assert_fails(run("backup", str(path), "--overwrite"), "itself")
    assert_fails(run("backup", ""), "target")
    assert_fails(run("backup", str(path.parent), "--overwrite"), "directory")
    assert len(contents(session)) == 6


def test_a_backup_of_one_app_or_user_is_refused_because_it_would_be_of_all(
    run: Run, session: Session, tmp_path: Path
) -> None:
    for scoped in (("--app", "default"), ("--user", "default")):
        refused = run(*scoped, "backup", str(tmp_path / "copy.db"))
        assert (refused.exit_code, "use `session-sqlite copy`" in refused.stderr) == (2, True)
        assert not (tmp_path / "copy.db").exists()


def test_the_store_of_an_older_release_is_updated_by_the_command_that_the_error_names(run: Run, path: Path) -> None:
    build_older(path, SCHEMA_VERSION - 1)
    assert_fails(run("list"), "older schema", "`session-sqlite check --repair`")
    assert run("check", "--repair", "--yes").exit_code == 0
    assert run("list").exit_code == 0


def test_check_says_what_it_looked_at(run: Run, session: Session) -> None:
    result = run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    for words in ("ok        permissions: ", "ok        integrity: ", "ok        search index: "):
        assert words in result.stdout
    document = json.loads(run("check", "--json").stdout)
    assert document["ok"] is True
    assert list(document["findings"][0]) == ["name", "level", "message", "advice", "repaired"]
    assert run("check", "--repair").exit_code == 0, "there is nothing to ask about"


def test_check_changes_nothing_and_repair_asks(run: Run, session: Session, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE sessions SET last_seq = 1")
        connection.execute("INSERT INTO state VALUES ('default', 'default', 'gone', 'k', '1', '2020')")
    connection.close()
    for _ in range(2):
        result = run("check")
        assert result.exit_code == 1
        assert "error     order: " in result.stdout
        assert "`session-sqlite check --repair`" in result.stdout
    asked = run("check", "--repair", input="n\n")
    assert (asked.exit_code, asked.stdout.removeprefix(" n\n")) == (1, "")
    assert "error     order: " in asked.stderr
    assert "? [y/N]" in asked.stderr
    assert json.loads(run("check", "--json").stdout)["ok"] is False
    result = run("check", "--repair", "--yes")
    assert result.exit_code == 0
    assert "repaired  order: " in result.stdout
    assert "repaired  state: " in result.stdout
    assert run("check").exit_code == 0
    assert session.refresh().last_seq == 6


def test_what_cannot_be_repaired_stays_wrong(run: Run, session: Session, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET actions = '[broken' WHERE seq = 1")
    connection.close()
    result = run("check", "--repair", "--yes")
    assert result.exit_code == 1
    assert "error     events: 1 events cannot be read" in result.stdout
    assert "cannot be read and may hold the text" in run("redact", "答", "--yes").stderr


# ---------------------------------------------------------------- what a terminal gets


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize(
    "args", [("fork", "s"), ("rewind", "s"), ("prune", "--keep-last", "0"), ("erase", "s"), ("redact", "31mb"),
             ("backup", "\x1b[31m/x.db"), ("check",)],
)  # fmt: skip
def test_no_text_of_a_conversation_can_drive_the_terminal(
    run: Run,
    service: SQLiteSessionService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    form: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    session = service.create_session(session_id="s", title=EVIL, metadata={EVIL: EVIL})
    session.add_event("user", EVIL, actions=[ToolCall(EVIL, {EVIL: EVIL}, error=EVIL)], state={"k": EVIL})
    result = run(*args, *form, input="y\n")
    assert isinstance(result.exception, SystemExit | None)
    assert not set("\x1b\x07\x7f\x9b\u202e\u2066\u200f\u061c") & set(result.stdout + result.stderr)


def test_a_process_that_nobody_answers_changes_nothing(run: Run, session: Session) -> None:
    result = process("erase", "s")
    assert result.returncode == 1
    assert "forever? [y/N]" in result.stderr
    assert len(contents(session)) == 6
