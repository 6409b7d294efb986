"""The benchmarks run: each case does the same work as its floor, and says what it could not measure."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from backends import server
from benchmarks import __main__ as command
from benchmarks import contestants, measuring, on_servers, peers, side_by_side
from benchmarks.cases import QUICK, Sizes

TINY = Sizes(batch=20, messages=20, appends=80, rounds=1)


@pytest.mark.parametrize("kind", sorted(on_servers.DURABLE))
def test_the_cases_on_a_server_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server(kind.lower())  # skips where there is none
    monkeypatch.setattr(on_servers, "DURABLE", {kind: on_servers.DURABLE[kind]})
    figures = list(on_servers.on_servers(tmp_path, TINY))
    assert [figure.case for figure in figures] == [
        f"{kind}: append 1 event, durable",
        f"{kind}: append 20 events in one call",
        f"{kind}: read 20 messages",
        f"{kind}: 16 workers, each event",
    ]
    assert all(figure.ours > 0 and figure.floor > 0 and figure.target for figure in figures)


def test_libraries_that_are_not_installed_are_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = replace(TINY, is_quick=True, peers=tmp_path / "none")
    assert list(on_servers.beside_peers(tmp_path, quick)) == []
    measuring.print_missing()
    assert (
        f"not run: other libraries: there is no environment of theirs in {tmp_path / 'none'}" in capsys.readouterr().out
    )


def test_an_environment_that_cannot_be_made_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PACKAGES", ("./no-such-package",))
    assert peers.python_of(tmp_path / "peers", may_make=True) is None
    measuring.print_missing()
    assert "not run: other libraries: they cannot be installed" in capsys.readouterr().out


# ---------------------------------------------------------------- side by side


def test_ours_and_the_floors_do_the_work_of_every_case(tmp_path: Path) -> None:
    sizes = replace(TINY, messages=100)
    events = {kind: side_by_side.events(kind, sizes.messages) for kind in ("plain", "usage", "mixed")}
    running = {}
    for name, kind in contestants.OURS.items():
        (tmp_path / name).mkdir()
        running[name] = contestants.Commands(kind(tmp_path / name), events)
    for case in side_by_side.cases(sizes):
        command, argument = case.command.split()
        for name in (case.ours, case.floor):
            assert getattr(running[name], command)(argument) > 0
    for commands in running.values():
        commands.close()


def test_events_have_about_500_bytes_and_every_fourth_a_tool_call() -> None:
    for kind in ("plain", "usage", "mixed"):
        events = side_by_side.events(kind, 40)
        sizes = [len((event["text"] or event["call"]["args"]["script"]).encode()) for event in events]
        assert 400 < sum(sizes) / len(sizes) < 600
        calls = [event for event in events if event["call"] and event["role"] == "assistant"]
        assert len(calls) == (10 if kind == "mixed" else 0)
        assert [event["call"]["id"] for event in events if event["role"] == "tool"] == [
            event["call"]["id"] for event in calls
        ]
        assert any(event["usage"] for event in events) == (kind != "plain")


def test_the_table_of_the_readme_has_the_cases_and_the_contestants() -> None:
    readme = (command.ROOT / "README.md").read_text("utf-8")
    assert side_by_side.rows_in(readme) == [case.name for case in side_by_side.cases(Sizes())]
    head = readme.split(side_by_side.BEGIN)[1].strip().splitlines()[0]
    assert [name for name in contestants.PEERS if f"| {name} |" not in head] == []


def test_a_run_is_written_into_the_readme_and_drawn(tmp_path: Path) -> None:
    cases = side_by_side.cases(QUICK)
    row = dict.fromkeys([*contestants.OURS, *contestants.PEERS], 0.25)
    measured = side_by_side.Measured("Here", {"llm": "llm 1"}, {case.name: row for case in cases})
    readme = f"before\n{side_by_side.BEGIN}\nold\n{side_by_side.END}\nafter\n"
    written = side_by_side.written(readme, measured, cases)
    assert side_by_side.rows_in(written) == [case.name for case in cases]
    assert written.startswith("before\n")
    assert written.endswith("Here. llm 1.\n<!-- fast: end -->\nafter\n")
    assert json.loads(side_by_side.as_json(measured))["machine"] == "Here"
    side_by_side.draw(measured, cases, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 10_000


def test_files_in_memory_are_refused_but_for_a_quick_run(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n"
    assert command.file_system(Path("/tmp/x"), mounts) == "tmpfs"
    assert command.file_system(Path("/home/x"), mounts) == "ext4"
    monkeypatch.setattr(command, "file_system", lambda _: "tmpfs")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "side by side"])
    with pytest.raises(SystemExit, match="in memory"):
        command.main()
