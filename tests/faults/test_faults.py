"""Every trial keeps its promise: a short one in every run, a longer one with ``-m faults``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import leaks, no_network
from .every import TRIALS
from .leaks import in_a_process
from .table import rows_in, written
from .trials import QUICK, Length, Trial, Tried, UnavailableError

README = Path(__file__).parents[2] / "README.md"


def run(name: str, folder: Path, share: float) -> None:
    try:
        tried = TRIALS[name].run(folder, Length(share))
    except UnavailableError as reason:
        pytest.skip(str(reason))
    assert any(letter.isdigit() for letter in tried.what + tried.found), "a row has figures"


@pytest.mark.parametrize("name", TRIALS)
def test_the_promise_holds(name: str, tmp_path: Path) -> None:
    run(name, tmp_path, QUICK)


@pytest.mark.faults
@pytest.mark.parametrize("name", TRIALS)
def test_the_promise_holds_for_longer(name: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    run(name, tmp_path, pytestconfig.getoption("--share"))


def test_a_socket_would_be_seen() -> None:
    with pytest.raises(BaseException, match=r"socket\."):
        in_a_process(no_network.a_planted_request)


def test_a_leak_would_be_seen(tmp_path: Path) -> None:
    left_open: list[int] = []
    before, after = leaks._before_and_after(
        lambda folder, number: left_open.append(os.open(os.devnull, os.O_RDONLY)), tmp_path, 3
    )
    for descriptor in left_open:
        os.close(descriptor)
    assert after.descriptors == before.descriptors + 3


def test_the_readme_has_a_row_for_each_trial() -> None:
    assert list(rows_in(README.read_text("utf-8"))) == [trial.promise for trial in TRIALS.values()]


def test_a_run_writes_its_rows_and_leaves_the_others() -> None:
    trials = [Trial(name, f"{name} holds", lambda folder, length: Tried("", "")) for name in ("one", "two", "three")]
    table = "| Promise | What was done | What was found |\n|---|---|---|"
    readme = (
        f"before\n<!-- tried: begin -->\n{table}\n| two holds | 2 | b |\n| gone | 3 | c |\n<!-- tried: end -->\nafter\n"
    )
    assert written(readme, trials, {"one": Tried("1 kill", "0 lost")}) == (
        f"before\n<!-- tried: begin -->\n{table}\n| one holds | 1 kill | 0 lost |\n| two holds | 2 | b |\n"
        "<!-- tried: end -->\nafter\n"
    )
