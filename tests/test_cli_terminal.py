"""What a person at a terminal gets: a pager, lines broken between words, local times, Ctrl-C, help with examples."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import PROGRAM, Run, run

from session_sqlite import Event, Session, SQLiteSessionService, ToolCall, Usage
from session_sqlite.cli import main
from session_sqlite.transcript import display_width, terminal_text
from session_sqlite.transcript.wrapping import wrapped

__all__ = ["run"]  # a fixture

needs_pty = pytest.mark.skipif(os.name == "nt", reason="Windows has no pty")
DAY = datetime(2026, 3, 1, 8, tzinfo=UTC)
LONG = "The quick brown fox jumps over the lazy dog. " * 8
LONG_CHINESE = "请帮我分析这段代码，看看有没有什么问题（比如没有等待）。" * 6


def terminal(*args: str, columns: int = 80, **environment: str) -> tuple[int, str]:
    """The exit code of a command in a terminal of its own, and what it wrote there."""
    import fcntl
    import struct
    import termios

    outside, inside = os.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    wanted = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LESS"}}
    wanted |= {"TERM": "xterm", "PAGER": "cat", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [*PROGRAM, *args], stdin=subprocess.DEVNULL, stdout=inside, stderr=inside, env={**wanted, **environment}
    ) as child:
        os.close(inside)
        written = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            while piece := os.read(outside, 65536):
                written += piece
        os.close(outside)
    return child.returncode, written.decode().replace("\r\n", "\n")


@pytest.fixture
def session(service: SQLiteSessionService) -> Session:
    session = service.create_session(session_id="s", title="Tea")
    session.add_event("user", LONG, created_at=DAY)
    session.add_event("assistant", LONG_CHINESE, reasoning=LONG, created_at=DAY)
    return session


# ---------------------------------------------------------------- the pager


@needs_pty
def test_show_uses_the_pager_on_a_terminal(run: Run, session: Session) -> None:
    paged = terminal("show", "s", PAGER="sed s/^/P:/")
    assert paged[0] == 0
    assert paged[1].startswith("P:Tea\nP:session s\n")
    assert terminal("show", "s", PAGER="sed s/^/P:/")[1].count("P:") == paged[1].count("\n")
    for unpaged in (
        terminal("show", "s", "--no-pager", PAGER="sed s/^/P:/"), terminal("show", "s", PAGER=""),
        terminal("show", "s", PAGER="cat"),
    ):  # fmt: skip
        assert unpaged == (0, paged[1].replace("P:", ""))
    assert "P:" not in terminal("list", PAGER="sed s/^/P:/")[1]
    for form in ("--json", "--jsonl", "--html=-"):
        assert "P:" not in terminal("show", "s", form, PAGER="sed s/^/P:/")[1]


def test_there_is_no_pager_where_there_is_no_terminal(run: Run, session: Session) -> None:
    assert run("show", "s", env={"PAGER": "nonsense"}).stdout.startswith("Tea\n")


@needs_pty
def test_a_pager_that_is_left_early_or_does_not_run_is_no_traceback(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s").add_events([Event("user", "line\n" * 1000, id=str(n)) for n in range(100)])
    assert terminal("show", "s", PAGER="head -n 1") == (0, "session s\n")
    code, text = terminal("show", "s", PAGER="/nowhere/pager --fast")
    assert (code, text.count("\n")) == (1, 1)
    assert text.startswith("Error: the pager '/nowhere/pager' does not run")
    assert terminal("show", "s", PAGER="less '")[1].startswith("Error: PAGER is not a command")


@needs_pty
@pytest.mark.skipif(shutil.which("less") is None, reason="there is no less")
def test_the_default_pager_leaves_at_once_if_all_is_on_one_page(run: Run, service: SQLiteSessionService) -> None:
    service.create_session(session_id="s", title="Tea")
    assert "Tea" in terminal("show", "s", PAGER="less")[1]


# ---------------------------------------------------------------- lines


@needs_pty
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_on_a_terminal_lines_are_broken_between_words(run: Run, session: Session, columns: int) -> None:
    _, text = terminal("show", "s", columns=columns)
    lines = text.splitlines()
    assert max(map(display_width, lines)) <= columns
    said = [line for line in lines if "quick" in line or "dog" in line or "lazy" in line]
    assert {word for line in said for word in line.replace("┆", "").split()} == set(LONG.split())
    assert all(line.startswith("  ") for line in said), "what somebody wrote never begins at the margin"
    assert "".join(line.strip() for line in lines if re.search("[\u4e00-\u9fff]", line)) == LONG_CHINESE


def test_where_there_is_no_terminal_lines_stay_as_they_were_written(run: Run, session: Session) -> None:
    assert f"  {LONG.rstrip()}\n" in run("show", "s", env={"COLUMNS": "40"}).stdout


def text_of(event: Event, width: int) -> list[str]:
    blocks = list(terminal_text(Session("s"), [event], width=width, wrap=True, full=True))
    return blocks[1].splitlines()[2:]


def test_lists_and_quotes_hang_and_code_is_not_broken_between_words() -> None:
    assert text_of(Event("user", "- one two three four\n  1. five six seven\n> eight nine ten"), 16) == [
        "  - one two", "    three four", "    1. five six", "       seven", "  > eight nine", "    ten",
    ]  # fmt: skip
    assert text_of(Event("user", "```\nfor (i = 0; i < 10; i++)\n```\nfor one and all"), 16) == [
        "  ```", "  for (i = 0; i", "  < 10; i++)", "  ```", "  for one and", "  all",
    ]  # fmt: skip
    calls = text_of(Event("assistant", actions=[ToolCall("Read", {"path": "x" * 40}, output="word " * 9)]), 30)
    assert max(map(len, calls)) <= 30
    assert all(line.startswith("  ") for line in calls)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])), st.integers(1, 60), st.booleans())
def test_a_broken_line_keeps_every_character_that_is_no_blank(line: str, width: int, words: bool) -> None:
    lines = wrapped(line, width, words=words)
    assert lines != []
    kept = "".join("".join(one.split()) for one in lines)
    assert kept == "".join(line.split())
    for one in lines:
        cluster = max((display_width(c) for c in re.findall(r".[\u200d\ufe0f]?", one)), default=0)
        assert display_width(one) <= max(width, 2 * 8) or cluster or "\u200d" in one


@given(
    st.lists(st.sampled_from(["word", "代码", "（代", "码）。", "a", "，", "“x”", "long-word-here"])),
    st.integers(20, 60),
)
def test_no_line_is_too_wide_and_no_word_is_broken_that_fits(parts: list[str], width: int) -> None:
    line = " ".join(parts)
    lines = wrapped(line, width)
    assert all(display_width(one) <= width for one in lines)
    words = [word for one in lines for word in one.split()]
    assert all(word in words for word in line.split() if word.isascii())
    assert not any(one.lstrip()[:1] in "，。）” " for one in lines[1:] if "，" not in parts)


# ---------------------------------------------------------------- times


@pytest.fixture
def tokyo(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Runs the command on a machine in Tokyo."""

    def output(*args: str) -> str:
        result = run(*args)
        assert result.exit_code == 0, result.output
        return result.stdout

    with monkeypatch.context() as zone:
        zone.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield output
    time.tzset()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not go by TZ")
def test_times_are_local_and_utc_if_that_is_wanted(
    tokyo: Callable[..., str], session: Session, service: SQLiteSessionService
) -> None:
    session.add_event("assistant", "tea", actions=[ToolCall("Read")], usage=Usage("m", 1, 1), created_at=DAY)
    assert "2026-03-01 17:00:00" in tokyo("show", "s")
    assert re.search(r"created \S+ \S+ \+09:00", tokyo("show", "s"))
    assert "2026-03-01 17:00" in tokyo("tools", "--calls")
    assert "2026-03-01 17:00" in tokyo("search", "tea")
    assert "from 2026-03-01 17:00:00 +09:00" in tokyo("stats")
    assert "2026-03-01 17:00:00" in tokyo("tail", "--count", "0")
    for verb in (["show", "s"], ["tools", "--calls"], ["search", "tea"], ["stats"], ["tail", "--count", "0"]):
        for utc in (["--utc", *verb], [*verb, "--utc"]):
            assert "2026-03-01 08:00" in tokyo(*utc)
            assert "+09:00" not in tokyo(*utc)
    for verb in (["show", "s", "--json"], ["tools", "--calls", "--csv"], ["list", "--tsv"]):
        assert "17:00" not in tokyo(*verb)
        assert "+00:00" in tokyo(*verb)
    assert '"day": "2026-03-01"' in tokyo("usage", "--json")


@pytest.mark.skipif(os.name == "nt", reason="Windows does not go by TZ")
def test_a_time_that_is_given_is_local_too(tokyo: Callable[..., str], session: Session) -> None:
    def found(*options: str) -> int:
        return len(tokyo("search", "fox", "--jsonl", *options).splitlines())

    assert found("--since", "2026-03-01T17:00") == found("--since", "2026-03-01T08:00", "--utc") == 2
    assert found("--utc", "--since", "2026-03-01T08:00:01") == found("--since", "2026-03-01T17:00:01") == 0
    assert found("--since", "2026-03-01T08:00Z") == found("--since", "2026-03-01T09:00+01:00") == 2
    assert len(tokyo("--utc", "search", "fox", "--jsonl", "--until", "2026-03-01T08:00:01").splitlines()) == 2


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=5), "just now"), (timedelta(seconds=-20), "just now"),
        (timedelta(seconds=65), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"), (timedelta(minutes=61), "1 hour ago"),
        (timedelta(hours=25), "1 day ago"), (timedelta(days=29), "29 days ago"),
    ],
)  # fmt: skip
def test_lists_say_how_long_ago_something_was(
    run: Run, service: SQLiteSessionService, path: Path, age: timedelta, said: str
) -> None:
    session = service.create_session(session_id="s")
    when = datetime.now(UTC) - age
    session.add_event("user", "tea", created_at=when)
    assert f" · {said} · " in run("search", "tea").stdout
    assert f"{when:%Y-%m-%d %H:%M}" in run("search", "tea", "--utc").stdout
    assert "just now" in run("list").stdout
    assert "just now" not in run("list", "--utc").stdout


def test_what_is_older_than_a_month_has_its_date(run: Run, service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    for days in (31, 400, -2):
        session.add_event("user", f"tea {days}", created_at=datetime.now(UTC) - timedelta(days=days))
    assert " ago" not in run("search", "tea").stdout


def test_a_list_keeps_to_a_span_of_time(run: Run, service: SQLiteSessionService) -> None:
    times = []
    for id in "abc":
        times.append(service.create_session(session_id=id, agent_id=id).updated_at)
        time.sleep(0.002)

    def listed(*args: str) -> list[str]:
        return [session["id"] for session in json.loads(run("list", "--json", *args).stdout)]

    second = times[1].isoformat()
    assert listed("--since", second) == ["c", "b"]
    assert listed("--until", second) == ["a"]
    assert listed("--since", second, "--until", times[2].isoformat()) == ["b"]
    assert listed("--since", second, "--agent", "a") == []
    assert listed("--since", "1h") == ["c", "b", "a"]
    assert listed("--since", "5m", "-n", "1") == ["c"]
    assert run("list", "--since", "soon").exit_code == 2
    assert listed("--since", "0001-01-01T00:00Z") == ["c", "b", "a"]
    assert listed("--until", "9999-12-31T23:59Z") == ["c", "b", "a"]


def test_a_list_keeps_to_the_words_of_titles_and_of_what_was_said(run: Run, service: SQLiteSessionService) -> None:
    tea = service.create_session(session_id="tea", title="The blue teapot", agent_id="shop")
    tea.add_event("user", "Is it in stock? 有货吗？")
    service.create_session(session_id="other", user_id="ada").add_event("user", "a blue door")

    def listed(*args: str) -> list[str]:
        return [session["id"] for session in json.loads(run("list", "--json", *args).stdout)]

    assert listed("--query", "blue") == ["other", "tea"]
    assert listed("-q", "blue stock") == listed("-q", "teapo") == listed("-q", "有货") == ["tea"]
    assert listed("-q", "blue", "--user", "ada") == listed("-q", "blue", "-n", "1") == ["other"]
    assert listed("-q", "blue", "--agent", "shop", "--since", "1h") == ["tea"]
    assert listed("-q", "nothing like it") == listed("-q", "blue", "--until", "2020-01-01") == []
    assert run("list", "-q", "nowhere").stderr == "No sessions.\n"
    assert "The blue teapot" in run("list", "-q", "stock").stdout
    (found,) = json.loads(run("list", "-q", "stock", "--json").stdout)
    assert found == json.loads(run("list", "--agent", "shop", "--json").stdout)[0]


# ---------------------------------------------------------------- Ctrl-C, and a reader that goes away

INTERRUPTED = [
    ("list", "session_overviews"), ("show s", "get_session"), ("search tea", "search"),
    ("sessions tea", "search_sessions"), ("query 'SELECT 1'", "query"), ("tools", "tool_counts"),
    ("tools --calls", "tool_calls"), ("usage", "usage"), ("stats", "stats"),
    ("tail", "last_seqs"), ("export", "export"), ("import FILE", "import_"), ("fork s", "fork_session"),
    ("rewind s --yes", "rewind_session"), ("rename s x", "update_session"), ("clear s --yes", "clear_session"),
    ("delete s --yes", "delete_session"), ("prune --keep-last 0 --yes", "prune"), ("erase s --yes", "erase"),
    ("redact x --yes", "redact"), ("backup FILE --overwrite", "backup"), ("check", "check"), ("demo", "create_session"),
    ("copy STORE NEW", "copy_sessions"), ("path", "database_file"), ("completion bash", "get_completion_class"),
    ("mcp --app a --user u", "HistoryTools"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "verb"), INTERRUPTED)
def test_ctrl_c_ends_every_command_with_130_and_no_traceback(
    run: Run, service: SQLiteSessionService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, verb: str
) -> None:
    service.create_session(session_id="s").add_event("user", "x")
    (tmp_path / "FILE").write_text("{}")

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    modules = (sys.modules[f"session_sqlite.cli{part}"] for part in ("", ".transfer", ".assistant"))
    owner = next(owner for owner in (SQLiteSessionService, *modules) if hasattr(owner, verb))
    with monkeypatch.context() as patch:
        patch.setattr(owner, verb, interrupted)
        files = {"FILE": str(tmp_path / "FILE"), "NEW": str(tmp_path / "NEW"), "STORE": str(service.path)}
        result = run(*(files.get(word, word) for word in shlex.split(command)))
    assert result.exit_code == 130
    assert result.stderr.strip() in {"", "Interrupted: run it again to complete it."}


def test_every_command_is_interrupted() -> None:
    assert {command.split()[0] for command, _ in INTERRUPTED} == set(main.commands)


@needs_pty
@pytest.mark.parametrize("command", ["delete s", "erase s", "rewind s", "clear s", "prune --keep-last 0", "redact fox"])
def test_ctrl_c_at_a_question_is_130_and_removes_nothing(run: Run, session: Session, command: str) -> None:
    with subprocess.Popen([*PROGRAM, *command.split()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:  # fmt: skip
        assert child.stderr is not None
        asked = b""
        while b"[y/N]" not in asked:
            asked += os.read(child.stderr.fileno(), 1000)
        time.sleep(0.2)  # until it waits for the answer
        child.send_signal(signal.SIGINT)
        child.wait(60)
        assert (child.returncode, child.stderr.read().strip()) == (130, b"")
    assert len(session.events()) == 2


@needs_pty
@pytest.mark.parametrize(
    "command",
    ["list", "list --json", "list --csv", "show s", "show s --json", "show s --jsonl", "show s --html -", "search fox",
     "search fox --tsv", "query 'SELECT * FROM events, sessions'", "export", "export --format html",
     "export --format markdown", "tools", "usage", "stats", "tail --count 0", "check", "path", "--help", "list --help",
     "completion bash", "import --list-formats", "demo", "rename s x", "redact nothing --dry-run"],
)  # fmt: skip
def test_a_reader_that_is_gone_is_no_traceback(run: Run, session: Session, command: str) -> None:
    session.add_event("assistant", actions=[ToolCall("Read")], usage=Usage("m", 1, 1))
    outside, inside = os.pipe()
    os.close(outside)
    result = subprocess.run([*PROGRAM, *shlex.split(command)], stdout=inside, stderr=subprocess.PIPE, check=False,
                            encoding="utf-8", timeout=60)  # fmt: skip
    os.close(inside)
    assert result.returncode in {0, 141}
    assert result.stderr == ""


# ---------------------------------------------------------------- help


def example_lines(name: str) -> list[str]:
    command = main.commands[name]
    text = command.get_help(
        click.Context(command, info_name=name, parent=click.Context(main, info_name="session-sqlite"))
    )
    assert "\nExamples:\n" in text, name
    return [line.strip() for line in text.split("\nExamples:\n")[1].splitlines()]


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_commands_help_ends_with_examples_that_it_takes(name: str) -> None:
    lines = example_lines(name)
    assert lines != []
    for line in lines:
        words = shlex.split(line.split(" < ")[0])
        place = words.index(name)
        assert words[0] == "session-sqlite"
        assert words[1:place] in ([], ["--db", "~/sessions.db"])
        assert len(line) <= 78
        with contextlib.suppress(click.exceptions.Exit):
            main.commands[name].make_context(name, words[place + 1 :], parent=click.Context(main))


def test_no_line_of_the_help_is_cut_off_at_80_columns(run: Run) -> None:
    result = run("--help", env={"COLUMNS": "80"})
    assert "..." not in result.stdout.replace("[ARGS]...", "")
    assert max(map(len, result.stdout.splitlines())) <= 80
    for name in main.commands:
        text = run(name, "--help", env={"COLUMNS": "80"}).stdout
        assert max(map(len, text.splitlines())) <= 80
        assert "\\b" not in text, "a mark of click's stands in the text"


def test_every_command_is_in_a_section_of_the_help(run: Run) -> None:
    text = run("--help").stdout
    assert {line.split()[0] for line in text.split("\nLook:\n")[1].splitlines() if re.match(r"  \w", line)} >= set(
        main.commands
    )
