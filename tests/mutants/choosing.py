"""A plugin of pytest that runs the tests of a list, in its order: a JSON file that the environment names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import pytest

TESTS_FILE: Final = "MUTANTS_TESTS"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {nodeid: place for place, nodeid in enumerate(json.loads(Path(os.environ[TESTS_FILE]).read_text("utf-8")))}
    items[:] = sorted((item for item in items if item.nodeid in places), key=lambda item: places[item.nodeid])
