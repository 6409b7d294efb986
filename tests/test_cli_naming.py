"""How a person names a session in the command line, and what is said when a name is of nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import PROGRAM, Run, assert_fails, run

from session_sqlite import ANY, Session, SQLiteSessionService, ToolCall
from session_sqlite.cli import main

__all__ = ["run"]  # a fixture


@pytest.fixture
def sessions(service: SQLiteSessionService) -> list[Session]:
    """Four sessions; the ids of two begin alike, and one has the beginning of another as its id."""
    made = [
        service.create_session(session_id=id, title=f"title of {id}") for id in ("abc-1", "abc-2", "user-12", "代码-1")
    ]
    for session in made:
        session.add_event("user", f"said in {session.id}")
    return made


# Every verb that takes a session, with what it prints of it; {} is where the session is named.
TAKES_A_SESSION = [
    ("show {}", "said in"), ("show {} --json", "said in"), ("show {} --jsonl", "said in"),
    ("search said --session {} --json", "said in"), ("tools --session {}", ""), ("usage --session {}", ""),
    ("tail {} --count 0", "said in"), ("export {}", "said in"), ("fork {}", "Forked"), ("rewind {} --dry-run", "Would"),
    ("clear {} --dry-run", "Would"), ("delete {} --dry-run", "Would"), ("erase {} --dry-run", "Would"),
    ("redact said --session {} --dry-run", "Would redact 1 event"), ("rename {} new", "Renamed"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "printed"), TAKES_A_SESSION)
@pytest.mark.parametrize(
    ("name", "id"), [("user", "user-12"), ("代", "代码-1"), ("abc-2", "abc-2"), ("latest", "代码-1")]
)
def test_a_session_is_named_by_its_id_by_a_beginning_of_it_or_as_the_latest(
    run: Run, sessions: list[Session], command: str, printed: str, name: str, id: str
) -> None:
    result = run(*(name if word == "{}" else word for word in command.split()))
    assert result.exit_code == 0, result.output
    assert printed in result.stdout
    if printed and "redact" not in command:
        assert id in result.stdout


@pytest.mark.parametrize("command", [command for command, _ in TAKES_A_SESSION])
def test_a_beginning_that_several_ids_have_is_an_error_that_names_them(
    run: Run, sessions: list[Session], command: str
) -> None:
    result = run(*("abc" if word == "{}" else word for word in command.split()))
    assert_fails(result, "several sessions begin with 'abc' (abc-1, abc-2)", "give more of it")
    assert_fails(run(*("nope" if word == "{}" else word for word in command.split())), "there is no session 'nope'")


def test_every_verb_that_takes_a_session_is_tried() -> None:
    takes = {
        name for name, command in main.commands.items() if any(param.type.name == "session" for param in command.params)
    }
    assert takes == {command.split()[0] for command, _ in TAKES_A_SESSION}


def test_a_whole_id_comes_before_a_beginning_and_before_latest(run: Run, service: SQLiteSessionService) -> None:
    for id in ("a", "ab", "latest", "late"):
        service.create_session(session_id=id)
    for id in ("a", "ab", "late", "latest"):
        assert json.loads(run("show", id, "--json").stdout)["session"]["id"] == id
    assert_fails(run("show", "l"), "several sessions begin with 'l' (late, latest)")


def test_a_beginning_is_exact(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="Ab%_c")
    for wrong in ("ab", "A%", "Ab_", "b"):
        assert_fails(run("show", wrong), f"there is no session '{wrong}'")
    assert "Ab%_c" in run("show", "Ab%").stdout


def test_a_beginning_keeps_to_an_app_and_a_user(run: Run, service: SQLiteSessionService) -> None:
    for user in ("ada", "bob"):
        service.create_session(session_id="long-id", user_id=user)
    assert_fails(run("show", "long"), "several sessions begin with 'long' (long-id)", "give --app and --user")
    assert "user bob" in run("show", "long", "--user", "bob").stdout
    assert "user ada" in run("show", "latest", "--user", "ada").stdout
    assert_fails(run("show", "long", "--user", "eve"), "there is no session 'long'")


def test_the_latest_of_no_sessions_is_an_error(run: Run, service: SQLiteSessionService) -> None:
    assert_fails(run("show", "latest"), "there are no sessions")
    service.create_session()
    assert_fails(run("show", "latest", "--user", "bob"), "there are no sessions", "Other apps or users have 1 session")


@pytest.mark.parametrize("command", ["delete user-1", "erase user-1", "clear user-1", "rewind user-1",
                                     "redact said --session user-1"])  # fmt: skip
def test_where_nobody_is_asked_a_beginning_removes_nothing(
    run: Run, sessions: list[Session], service: SQLiteSessionService, command: str
) -> None:
    result = run(*command.split(), "--yes")
    assert_fails(result, "there is no session 'user-1'", "with --yes give the whole id", "user-12")
    assert [event.content for event in service.get_session("user-12").events()] == ["said in user-12"]
    assert run(*command.split(), "--dry-run", "--yes").exit_code == 0
    asked = run(*command.split(), input="y\n")
    assert asked.exit_code == 0
    assert "session user-12 " in asked.stderr, "the question names the session that is meant"
    left = [session for session in service.list_sessions() if session.id == "user-12"]
    assert not left or [event.content for event in left[0].events()] != ["said in user-12"]


# ---------------------------------------------------------------- apps and users, in front and behind


@pytest.mark.parametrize("args", [("list",), ("search", "hi"), ("stats",), ("export",), ("show", "s"), ("tools",),
                                  ("usage",), ("tail", "--count", "0"), ("prune", "--keep-last", "0", "--dry-run"),
                                  ("redact", "hi", "--dry-run"), ("fork", "s", "--json"),
                                  ("delete", "s", "--dry-run")])  # fmt: skip
def test_app_and_user_stand_in_front_of_the_command_or_behind_it(
    run: Run, service: SQLiteSessionService, args: tuple[str, ...]
) -> None:
    for app, user in (("one", "zoe"), ("one", "bob"), ("two", "zoe")):
        service.create_session(session_id="s", app_name=app, user_id=user).add_event("user", f"hi {app} {user}")
    scoped = ("--app", "one", "--user", "bob")
    behind = run(*args, *scoped)
    for result in (run(*scoped, *args), run("--user", "bob", *args, "--app", "one")):
        assert (result.exit_code, result.stderr) == (behind.exit_code, behind.stderr)
        if args[0] not in {"fork", "export"}:  # which have new ids or times
            assert result.stdout == behind.stdout
        assert "zoe" not in result.stdout
    assert "bob" in run("--user", "zoe", "list", "--app", "one", "--user", "bob").stdout, "the one behind wins"


def test_import_copy_path_and_demo_take_an_app_and_a_user_in_front(
    run: Run, service: SQLiteSessionService, tmp_path: Path
) -> None:
    (tmp_path / "chat.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}', "utf-8")
    scoped = ("--app", "one", "--user", "bob")
    assert run(*scoped, "import", str(tmp_path / "chat.json")).exit_code == 0
    (session,) = service.list_sessions(app_name=ANY, user_id=ANY)
    assert (session.app_name, session.user_id) == ("one", "bob")
    service.create_session()
    assert "1 session" in run(*scoped, "copy", str(service.path), str(tmp_path / "copy.db")).stdout
    assert run("--app", "x", "path", "--db", "f.db").exit_code == 0
    assert "app one · user bob" in run(*scoped, "demo").stdout


# ---------------------------------------------------------------- rename, clear


def test_rename_changes_the_title_and_nothing_else(run: Run, sessions: list[Session]) -> None:
    result = run("rename", "user", "Trip 京都")
    assert result.stdout == "Renamed session user-12 of app default, user default to: Trip 京都\n"
    assert sessions[2].refresh().title == "Trip 京都"
    assert [event.content for event in sessions[2].events()] == ["said in user-12"]
    assert json.loads(run("rename", "user-12", "x", "--json").stdout) == sessions[2].refresh().to_dict()
    assert "away" in run("rename", "user-12", "").stdout
    assert sessions[2].refresh().title == ""
    assert "\x1b" not in run("rename", "user-12", "a\x1b[31m").output
    assert_fails(run("rename", "nope", "x"), "there is no session 'nope'")


def test_clear_asks_removes_the_events_and_keeps_the_session(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s", title="Tea", state={"k": 1})
    session.add_event("user", "hi")
    session.add_event("assistant", "hello")
    assert (
        run("clear", "s", "--dry-run").stdout
        == "Would remove all 2 events of session s of app default, user default.\n"
    )
    refused = run("clear", "s", input="n\n")
    assert (refused.exit_code, "Remove all 2 events of session s" in refused.stderr) == (1, True)
    assert len(session.events()) == 2
    document = json.loads(run("clear", "s", "--yes", "--json").stdout)
    assert (document["events"], document["dry_run"], document["session"]["title"]) == (2, False, "Tea")
    assert (session.events(), session.state["k"]) == ([], 1)


# ---------------------------------------------------------------- dry runs

REMOVES = [
    ("delete", "s"), ("clear", "s"), ("rewind", "s"), ("erase", "s"), ("erase", "--user", "default"),
    ("prune", "--keep-last", "0"), ("redact", "hi"),
]  # fmt: skip


@pytest.mark.parametrize("args", REMOVES, ids=" ".join)
def test_a_dry_run_counts_and_changes_nothing(
    run: Run, service: SQLiteSessionService, path: Path, args: tuple[str, ...]
) -> None:
    session = service.create_session(session_id="s", title="Tea")
    session.add_event("user", "hi")
    session.add_event("assistant", "hi there")
    service.search("hi")
    service.close()
    before = path.read_bytes()
    result = run(*args, "--dry-run", input="")
    assert (result.exit_code, result.stderr) == (0, ""), "nothing is asked"
    assert result.stdout.startswith("Would ")
    assert "2 events" in result.stdout
    document = json.loads(run(*args, "--dry-run", "--json").stdout)
    assert document["dry_run"] is True
    assert path.read_bytes() == before
    did = run(*args, "--yes")
    assert did.exit_code == 0
    assert (
        json.loads(run(*args, "--dry-run", "--json").stdout)["dry_run"] is True
        if args[0] in {"prune", "redact"}
        else True
    )


def test_every_verb_that_asks_has_a_dry_run() -> None:
    for name, command in main.commands.items():
        options = {one for param in command.params for one in param.opts}
        assert "--yes" not in options or "--dry-run" in options or name == "check", name  # without --repair it is one
    assert {args[0] for args in REMOVES} == {
        name for name, command in main.commands.items() if "--yes" in {o for p in command.params for o in p.opts}
    } - {"check"}


# ---------------------------------------------------------------- names that nothing has


@pytest.fixture
def history(service: SQLiteSessionService) -> SQLiteSessionService:
    session = service.create_session(session_id="s", agent_id="coder")
    session.add_event("user", "tea")
    session.add_event("assistant", "tea, too", actions=[ToolCall("Read", output="x"), ToolCall("Plan")])
    service.create_session(session_id="t", app_name="shop", user_id="ada").add_event("clerk", "tea")
    return service


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("search", "tea", "--author", "asistant"), "No event by 'asistant'; authors here: assistant, clerk, user."),
        (("search", "tea", "--author", "asistant", "--session", "s"),
         "No event by 'asistant'; authors here: assistant, user."),
        (("tools", "Raed"), "No call of tool 'Raed'; tools here: Plan, Read."),
        (("list", "--agent", "codre"), "No session of agent 'codre'; agents here: \"\", coder."),
        (("list", "--app", "shpo"), "No session of app 'shpo'; apps here: default, shop."),
        (("list", "--user", "eve"), "No session of user 'eve'; users here: ada, default."),
        (("--app", "shpo", "search", "tea"), "No session of app 'shpo'; apps here: default, shop."),
        (("stats", "--app", "shpo"), "No session of app 'shpo'; apps here: default, shop."),
        (("usage", "--user", "eve"), "No session of user 'eve'; users here: ada, default."),
        (("export", "--user", "eve"), "No session of user 'eve'; users here: ada, default."),
        (("tail", "--count", "0", "--app", "shpo"), "No session of app 'shpo'; apps here: default, shop."),
        (("prune", "--keep-last", "0", "--app", "shpo"), "No session of app 'shpo'; apps here: default, shop."),
        (("show", "s", "--app", "shpo"), "No session of app 'shpo'; apps here: default, shop."),
    ],
)  # fmt: skip
def test_a_filter_that_names_what_is_not_there_is_told_what_is(
    run: Run, history: SQLiteSessionService, args: tuple[str, ...], said: str
) -> None:
    assert said in run(*args).stderr
    if args[0] in {"search", "tools", "list", "usage"}:
        result = run(*args, "--json")
        assert (json.loads(result.stdout), said in result.stderr) == ([], True)


@pytest.mark.parametrize(
    "args",
    [("search", "nothing", "--author", "user"), ("tools", "Read", "--status", "error"), ("list", "--agent", "coder"),
     ("list", "--app", "shop", "--since", "1m", "--until", "1m"), ("search", "tea", "--author", "clerk")],
)  # fmt: skip
def test_a_name_that_is_there_is_not_complained_about(
    run: Run, history: SQLiteSessionService, args: tuple[str, ...]
) -> None:
    assert "here:" not in run(*args).stderr


def test_of_many_names_those_most_like_the_given_one_are_said(run: Run, service: SQLiteSessionService) -> None:
    for number in range(30):
        service.create_session(app_name="app", user_id=f"person-{number:02}")
    service.create_session(user_id="adalovelace")
    said = run("list", "--user", "ada-lovelace").stderr
    assert "users here: adalovelace, " in said
    assert "and 21 more" in said


# ---------------------------------------------------------------- completion


def completed(shell: str, words: list[str], **environment: str) -> str:
    """What the shell would offer for the last word."""
    line = ["session-sqlite", *words]
    wanted = {
        "bash": {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)},
        "zsh": {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)},
        "fish": {"COMP_WORDS": " ".join(line), "COMP_CWORD": line[-1]},
    }[shell]
    result = subprocess.run(
        PROGRAM, capture_output=True, encoding="utf-8", timeout=60, check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "_SESSION_SQLITE_COMPLETE": f"{shell}_complete", **wanted,
             **environment},
    )  # fmt: skip
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_ids_and_shows_their_titles(run: Run, sessions: list[Session], shell: str) -> None:
    offered = completed(shell, ["show", "abc"])
    assert "abc-1" in offered
    assert "abc-2" in offered
    assert "user-12" not in offered
    if shell != "bash":  # which shows no help
        assert "title of abc-1" in offered
    assert "user-12" in completed(shell, ["search", "x", "--session", "us"])
    assert "latest" in completed(shell, ["show", "lat"])
    assert "rename" in completed(shell, ["rena"])


def test_completion_goes_by_the_store_the_app_and_the_user_in_front(
    run: Run, sessions: list[Session], service: SQLiteSessionService, tmp_path: Path
) -> None:
    service.create_session(session_id="abc-of-ada", user_id="ada").add_event("user", "first words\n\x1b")
    assert "abc-of-ada" in completed("bash", ["show", "abc-o"])
    assert "abc-1" not in completed("bash", ["--user", "ada", "show", "abc"])
    assert "abc-1" not in completed("bash", ["show", "--user", "ada", "abc"])
    assert "first words \\x1b" in completed("fish", ["show", "abc-o"])
    assert "abc-1" not in completed("bash", ["--db", str(tmp_path / "none.db"), "show", "abc"])
    assert not (tmp_path / "none.db").exists()
    assert completed("bash", ["--db", "sqlite:///x", "show", "abc"]).strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_printed(run: Run, shell: str) -> None:
    script = run("completion", shell).stdout
    assert "_SESSION_SQLITE_COMPLETE" in script
    assert f"{shell}_complete" in script
    assert f"session-sqlite completion {shell}" in run("completion", "--help").stdout
    assert run("completion", "powershell").exit_code == 2


def test_python_m_is_the_command(run: Run, sessions: list[Session]) -> None:
    command = [sys.executable, "-m", "session_sqlite", "list", "--json"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert result.stdout == run("list", "--json").stdout
