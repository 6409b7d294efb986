"""A plugin of pytest that notes which tests run which lines, in the data of coverage.py, and how long each test takes.

For a run under ``coverage run``; the seconds go to the file that `SECONDS_FILE` names in the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

SECONDS_FILE: Final = "MUTANTS_SECONDS"
_seconds: dict[str, float] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    from coverage import Coverage  # where it is

    coverage = Coverage.current()
    assert coverage is not None, "this is no run under coverage"
    coverage.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        coverage.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


def pytest_sessionfinish() -> None:
    Path(os.environ[SECONDS_FILE]).write_text(json.dumps(_seconds), "utf-8")
