"""A trial that cannot fail proves nothing: each finds the fault that is planted for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import disk, power_cuts, processes
from .trials import UnavailableError


@pytest.fixture
def library(tmp_path: Path) -> Path:
    try:
        return disk.library(tmp_path)
    except UnavailableError as reason:
        pytest.skip(str(reason))


def test_a_store_that_syncs_nothing_does_not_survive_a_power_cut(library: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"damaged|lost|never was"):
        power_cuts.cut(library, tmp_path / "off", "off", 1, 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
def test_an_append_that_is_acknowledged_before_its_commit_does_not_survive_a_kill(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="was acknowledged and is lost"):
        processes.run("kills", tmp_path, 3, "early")
