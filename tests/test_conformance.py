"""Runs the contracts of `session_sqlite.testing` on every backend: a file, memory, async, servers and clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import BACKENDS, CLUSTERS, Store

from session_sqlite.testing import BackendContracts, Dump


class TestBackends(BackendContracts):
    @pytest.fixture(params=[*BACKENDS, *(pytest.param(name, marks=pytest.mark.cluster) for name in CLUSTERS)])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
        with (BACKENDS | CLUSTERS)[request.param](tmp_path) as store:
            yield store

    @pytest.fixture
    def service(self, store: Store) -> Any:
        return store.service

    @pytest.fixture
    def dump(self, store: Store) -> Callable[[], Dump]:
        return store.dump
