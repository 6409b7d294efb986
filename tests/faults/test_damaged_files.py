"""The trial of damaged files fails where a store answers wrongly, or looks away."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_sqlite import CheckReport, SessionService
from session_sqlite.sqlite.opening import StoreFile

from .damaged_files import DAMAGED_FILES
from .trials import QUICK, Length


def test_it_fails_with_a_check_that_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionService, "check", lambda self, **options: CheckReport())
    with pytest.raises(AssertionError, match="and check says ok"):
        DAMAGED_FILES.run(tmp_path, Length(QUICK))


def test_it_fails_with_a_store_that_goes_on_in_a_file_that_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoreFile, "number", lambda self: None)
    with pytest.raises(AssertionError, match="no StoreError"):
        DAMAGED_FILES.run(tmp_path, Length(QUICK))
