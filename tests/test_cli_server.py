"""The command on a store that a server keeps: named by ``--db`` or by ``SESSION_SQLITE_URL``, its password nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backends
import pytest
import sqlalchemy
from click.testing import CliRunner, Result

from session_sqlite import (
    InvalidInputError,
    SessionError,
    SQLAlchemySessionService,
    SQLiteSessionService,
    ToolCall,
    Usage,
)
from session_sqlite.cli import main

Run = Callable[..., Result]
SERVERS = ["postgresql", "mariadb"]
PASSWORD = "hush-7f3a"  # noqa: S105  # of a server that is not there


def run(*args: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, args, prog_name="session-sqlite")


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    """A store on a server, with two sessions."""
    url = backends.empty_store(request.param)
    with SQLAlchemySessionService(url, app_name="app", user_id="user") as service:
        session = service.create_session(session_id="s", title="代码", metadata={"a": 1})
        session.add_event("user", "请帮我分析代码")
        session.add_event(
            "assistant", "oolong 555-0199", actions=[ToolCall("Read", {"p": "main.go"}, id="c", output="ok")],
            usage=Usage("m", input_tokens=3),
        )  # fmt: skip
        service.scope(user_id="other").create_session(session_id="t").add_event("user", "theirs")
    return url


VERBS = [
    (("list",), "代码"), (("list", "--json"), '"app_name": "app"'), (("list", "--csv"), "s,app,user"),
    (("show", "s"), "oolong"), (("show", "s", "--json"), "main.go"), (("show", "s", "--html", "-"), "<html"),
    (("search", "代码"), "请帮我"), (("tools",), "Read"), (("usage",), "m"), (("stats",), "Read"),
    (("query", "SELECT count(*) AS n FROM events"), "3"), (("tail", "--count", "2", "--session", "s"), ""),
    (("export", "s"), '"type":"session"'), (("export", "--format", "markdown"), "oolong"),
    (("show", "latest", "--jsonl"), '"author":'), (("show", "s", "--no-pager", "-n", "1"), "oolong"),
    (("list", "--since", "1h", "--tsv"), "s\tapp\tuser"), (("sessions", "分析"), "请帮我"),
    (("rename", "s", "Tea 茶"), "Renamed"),
    (("clear", "s", "--dry-run"), "all 2 events"), (("clear", "s", "--yes"), "Removed all 2 events"),
    (("erase", "s", "--dry-run"), "Would erase session s"),
    (("query", "SELECT id FROM sessions", "--jsonl"), '"id": "s"'),
    (("fork", "s", "--at", "1", "--id", "copy"), "session copy"), (("rewind", "s", "--yes"), "Removed 2 events"),
    (("redact", "555-[0-9]+", "--yes"), "Redacted 1 event"), (("prune", "--keep-last", "0", "--yes"), "Removed"),
    (("check",), "ok"), (("erase", "s", "--yes"), "Erased 1 session"), (("delete", "t", "--yes"), "Deleted"),
    (("demo",), "main.go"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "said"), VERBS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_every_verb_works_on_a_server(url: str, args: tuple[str, ...], said: str) -> None:
    if args[0] == "tail":
        args = ("tail", "--help")
        said = "Usage"
    result = run(args[0], "--db", url, *args[1:])
    assert "Traceback" not in result.output
    # What an erased text may still be in is a matter of the server: that is said, with the exit code 1.
    is_said = args[0] in {"erase", "redact"} and "--dry-run" not in args
    assert result.exit_code == is_said, result.output
    assert said in result.stdout


def test_no_verb_is_left_out() -> None:
    about_no_store = {"completion"}
    only_of_files = {"path", "backup"}
    tested_below, tested_elsewhere = {"import", "copy"}, {"mcp"}
    assert {args[0] for args, _ in VERBS} | only_of_files | about_no_store | tested_below | tested_elsewhere == set(
        main.commands
    )


def test_sessions_are_named_and_completed_on_a_server_as_in_a_file(url: str) -> None:
    with SQLAlchemySessionService(url, app_name="app", user_id="user") as service:
        service.create_session(session_id="Trip-1", title="Kyoto")
        service.create_session(session_id="trip-2")
    assert json.loads(run("show", "Tr", "--db", url, "--json").stdout)["session"]["id"] == "Trip-1"
    assert "no session 'TR'" in run("show", "TR", "--db", url).stderr
    assert "authors here: assistant, user" in run("search", "x", "--author", "asistant", "--db", url).stderr
    assert "apps here: app" in run("--db", url, "--app", "apq", "list").stderr
    offered = run(
        _SESSION_SQLITE_COMPLETE="zsh_complete", COMP_WORDS=f"session-sqlite show --db {url} Tr", COMP_CWORD="4"
    )
    assert "Trip-1\nKyoto" in offered.stdout
    assert "trip-2" not in offered.stdout


def test_an_export_of_a_server_is_imported_by_another_store(url: str, tmp_path: Path) -> None:
    assert run("export", "--db", url, "-o", str(tmp_path / "x.jsonl")).exit_code == 0
    with SQLiteSessionService(tmp_path / "file.db") as service:
        assert service.import_(tmp_path / "x.jsonl").sessions == 2
    assert run("delete", "s", "--db", url, "--yes").exit_code == 0
    dry = run("import", str(tmp_path / "x.jsonl"), "--db", url, "--dry-run", "--json")
    assert json.loads(dry.stdout)["sessions"] == 1
    assert run("show", "s", "--db", url).exit_code == 1
    assert "Imported 1 session with 2 events" in run("import", str(tmp_path / "x.jsonl"), "--db", url).stdout
    assert "oolong" in run("show", "s", "--db", url).stdout


@pytest.mark.parametrize(
    ("args", "instead"), [(("path",), "session-sqlite copy"), (("backup", "x.db"), "session-sqlite copy")]
)
def test_a_verb_that_only_a_file_has_says_what_to_do_instead(
    url: str, args: tuple[str, ...], instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for result in (run(*args, "--db", url), run(*args, SESSION_SQLITE_URL=url)):
        assert result.exit_code == 1
        assert result.stdout == ""
        assert instead in result.stderr
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_store_of_the_environment_is_used_where_none_is_named(url: str, path: Path) -> None:
    with SQLiteSessionService(path) as service:
        service.create_session(session_id="in the file")
    assert "代码" in run("list", SESSION_SQLITE_URL=url).stdout
    assert "代码" in run("list", SESSION_SQLITE_URL=url, SESSION_SQLITE_PATH=str(path)).stdout
    for args in (("--db", str(path), "list"), ("list", "--db", str(path))):
        assert "in the file" in run(*args, SESSION_SQLITE_URL=url).stdout
    assert "in the file" in run("list", SESSION_SQLITE_URL="", SESSION_SQLITE_PATH=str(path)).stdout


@pytest.mark.parametrize("value", ["sessions.db", "/tmp/sessions.db", "sqlite:///x.db", "nonsense"])
def test_an_environment_that_names_no_server_is_an_error(value: str) -> None:
    result = run("list", SESSION_SQLITE_URL=value)
    assert result.exit_code == 1
    assert "SESSION_SQLITE_URL must be the URL of a server" in result.stderr


def test_the_demo_writes_to_no_server_that_was_not_named(url: str) -> None:
    assert run("demo", SESSION_SQLITE_URL=url).exit_code == 0
    assert "demo" not in run("list", "--db", url).stdout


# Servers, databases and accounts that are not there, and URLs that are none, each with a password.
WRONG = [
    f"postgresql://ada:{PASSWORD}@127.0.0.1:1/db",
    f"postgresql+psycopg://ada:{PASSWORD}@127.0.0.1:1/db?connect_timeout=1",
    f"postgresql://ada@127.0.0.1:1/db?password={PASSWORD}",
    f"postgresql:///db?host=127.0.0.1&port=1&user=ada&password={PASSWORD}&sslpassword={PASSWORD}",
    f"mysql://ada:{PASSWORD}@127.0.0.1:1/db",
    f"mysql+pymysql://ada@127.0.0.1:1/db?password={PASSWORD}",
    f"postgresql://ada:{PASSWORD}@127.0.0.1:port/db",
    f"postgresql://ada:{PASSWORD}@[::1/db",
    f"oracle://ada:{PASSWORD}@127.0.0.1/db",
    f"https://ada:{PASSWORD}@127.0.0.1/db",
    f"mysql+nodriver://ada:{PASSWORD}@127.0.0.1/db",
    f"postgresql+asyncpg://ada:{PASSWORD}@127.0.0.1/db",
    f"postgresql:/ada:{PASSWORD}@127.0.0.1/db",
    f"postgresql//ada:{PASSWORD}@127.0.0.1/db",
    f"sqlite://ada:{PASSWORD}@host/db",
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_password_is_in_no_error_of_the_command(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = dict(SQLAlchemySessionService.__init__.__kwdefaults__ or {}, busy_timeout=0.1)
    monkeypatch.setattr(SQLAlchemySessionService.__init__, "__kwdefaults__", defaults)
    for result in (
        run("list", "--db", wrong),
        run("--db", wrong, "list"),
        run("list", SESSION_SQLITE_URL=wrong),
        run("copy", wrong, ":memory:"),
        run("copy", ":memory:", wrong),
    ):
        assert PASSWORD not in result.output
        if result.exit_code:
            assert result.stderr.startswith("Error: "), result.output
            assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("wrong", WRONG)
def test_a_password_is_in_no_error_and_no_log_of_the_service(wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(SessionError) as caught:
        SQLAlchemySessionService(wrong, busy_timeout=0.1)
    shown: list[Any] = [str(caught.value), repr(caught.value), caplog.text]
    assert PASSWORD not in " ".join(map(str, shown))


def test_a_password_is_in_no_repr_of_a_service(url: str) -> None:
    full = sqlalchemy.make_url(url).set(password=PASSWORD)
    if "mysql" in url:  # an account of its own: this server asks for none
        admin = backends._administration(url)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE OR REPLACE USER ada@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
            connection.exec_driver_sql("GRANT ALL ON *.* TO ada@'127.0.0.1'")
        full = full.set(username="ada")
    text = full.render_as_string(hide_password=False)
    with SQLAlchemySessionService(text, app_name="app", user_id="user") as service:
        shown = [repr(service), repr(service.get_session("s")), str(service.check()), repr(service.scope(user_id="x"))]
        shown += [service.list_sessions()._repr_html_(), service.search("oolong")._repr_html_()]
        for verb in (service.backup, lambda _: service.db):
            with pytest.raises(SessionError) as caught:
                verb("x")
            shown.append(str(caught.value))
    shown.append(run("list", "--db", text).output)
    shown.append(run("demo", "--db", text).output)
    assert PASSWORD not in " ".join(shown)
    with pytest.raises(SessionError):
        service.list_sessions()


def test_the_short_names_of_servers_in_urls_are_understood(url: str) -> None:
    _, _, rest = url.partition("://")
    for name in ("postgres", "postgresql") if url.startswith("postgresql") else ("mysql", "mariadb", "mariadb+pymysql"):
        assert "代码" in run("list", "--db", f"{name}://{rest}").stdout


def test_a_file_is_not_opened_by_the_service_for_servers() -> None:
    with pytest.raises(InvalidInputError, match="SQLiteSessionService"):
        SQLAlchemySessionService("sqlite:///x.db")
