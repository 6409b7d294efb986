"""The conformance suite: what every store of sessions does, as contracts that any backend runs with pytest.

A contract is a test whose name says what must hold and whose docstring says it in a sentence. Contracts stand in
classes, one for each subject; `BackendContracts` has them all. A backend of your own runs them with one fixture,
``service``: an open, empty service of the app "app" and the user "user".
"""

from __future__ import annotations

import pkgutil

try:
    import pytest
except ModuleNotFoundError as error:
    if error.name != "pytest":
        raise
    raise ModuleNotFoundError(
        "session_sqlite.testing needs pytest, which is not installed: pip install pytest", name="pytest"
    ) from error

# Before the contracts are imported, so that a failure shows the values that differ.
pytest.register_assert_rewrite(*(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}.")))

from session_sqlite.testing.appending import AppendContracts
from session_sqlite.testing.concurrency import ConcurrencyContracts
from session_sqlite.testing.contract import Contracts, Dump
from session_sqlite.testing.copies import CopyContracts
from session_sqlite.testing.driven import Driven
from session_sqlite.testing.events import EventContracts
from session_sqlite.testing.recall import RecallContracts
from session_sqlite.testing.retention import RetentionContracts
from session_sqlite.testing.search import SearchContracts
from session_sqlite.testing.sessions import SessionContracts
from session_sqlite.testing.state import StateContracts
from session_sqlite.testing.tenancy import TenancyContracts
from session_sqlite.testing.transfer import TransferContracts
from session_sqlite.testing.values import ValueContracts

__all__ = [
    "AppendContracts",
    "BackendContracts",
    "ConcurrencyContracts",
    "Contracts",
    "CopyContracts",
    "Driven",
    "Dump",
    "EventContracts",
    "RecallContracts",
    "RetentionContracts",
    "SearchContracts",
    "SessionContracts",
    "StateContracts",
    "TenancyContracts",
    "TransferContracts",
    "ValueContracts",
]


class BackendContracts(
    SessionContracts,
    AppendContracts,
    EventContracts,
    StateContracts,
    TenancyContracts,
    CopyContracts,
    RetentionContracts,
    SearchContracts,
    RecallContracts,
    TransferContracts,
    ConcurrencyContracts,
    ValueContracts,
):
    """Everything that a backend promises.

    Subclass it in a test module, as a class whose name begins with ``Test``, and give it the fixture ``service``: an
    open, empty service of the app "app" and the user "user", a new one for each test. The fixture ``dump`` may be
    overridden, too (`Contracts.dump`). An asynchronous service is run by `Driven`.
    """
