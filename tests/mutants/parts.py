"""The parts whose mutants are tried, and the tests that have to see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Part:
    """A package of ours.

    Attributes:
        tests: The files of its tests, those that see most first: the first test that fails ends the run.
        data: Its modules that are tables, whose entries are not code.
    """

    tests: tuple[str, ...]
    data: tuple[str, ...] = ()


PARTS: Final[dict[str, Part]] = {
    "codec": Part(
        ("test_bad_input", "test_session_state", "test_conformance", "test_properties", "test_transfer", "test_damage",
         "test_langchain_history", "test_retention", "test_views"),
    ),
    "search": Part(
        ("test_dates", "test_search", "test_recall", "test_session_search"),
        data=("unicode_table.py", "stop_words.py"),
    ),
    "messages": Part(
        ("test_messages", "test_json_form", "test_forms", "test_blocks", "test_tokens", "test_attachments",
         "test_langchain_history", "test_retention"),
    ),
    "operations": Part(
        ("test_conformance", "test_life_cycle", "test_retention", "test_session_search", "test_recall", "test_views",
         "test_queries", "test_session_state", "test_bad_input", "test_transfer", "test_import_identity",
         "test_copying", "test_kept_messages", "test_middleware", "test_formats", "test_damage",
         "test_langchain_history"),
    ),
}  # fmt: skip
