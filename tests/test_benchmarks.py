"""The benchmarks run: each case does the same work as its floor, and says what it could not measure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from backends import server
from benchmarks import measuring, on_servers, peers
from benchmarks.cases import Sizes

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
