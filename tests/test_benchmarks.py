"""The benchmarks run: each case does the same work as its floor, and says what it could not measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from backends import server
from benchmarks import on_servers
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
