"""The list of mutants that no test sees: short, and with a reason for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import survivors
from mutants.parts import PARTS
from mutants.trying import Mutant, Result

ROOT = Path(__file__).parents[1]
LISTED = survivors.read()


def test_something_was_tried() -> None:
    assert LISTED
    assert LISTED.keys() <= PARTS.keys()


@pytest.mark.parametrize("name", LISTED)
def test_nine_of_ten_mutants_are_seen_by_a_test_and_the_others_have_a_reason(name: str) -> None:
    part = LISTED[name]
    assert part.share >= 0.9
    assert len(part.survivors) == part.tried - part.killed
    assert [one for one in part.survivors if one["reason"] == survivors.NO_REASON] == []


@pytest.mark.parametrize("name", PARTS)
def test_every_test_that_has_to_see_them_is_there(name: str) -> None:
    assert [test for test in PARTS[name].tests if not (ROOT / "tests" / f"{test}.py").exists()] == []


def test_a_survivor_keeps_its_reason_and_a_new_one_has_none(tmp_path: Path) -> None:
    file = tmp_path / "survivors.toml"
    old = Mutant("codec/rows.py", 3, 'x = "\\"', "x = 2")
    survivors.write("codec", Result(200, 199, [old]), file)
    file.write_text(file.read_text("utf-8").replace('reason = "?"', 'reason = "as fast"'), "utf-8")
    survivors.write("search", Result(10, 10, []), file)
    survivors.write("codec", Result(200, 198, [old, Mutant("codec/json.py", 1, "a", "b")]), file)
    read = survivors.read(file)
    assert [one["reason"] for one in read["codec"].survivors] == ["as fast", "?"]
    assert (read["codec"].killed, read["search"].tried) == (198, 10)
    assert read["codec"].survivors[0]["line"] == old.line
