"""Every count of a usage is understood by the words of its name, and no token is counted twice."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from session_sqlite import Event, SQLiteChatMessageHistory, SQLiteSessionService, Usage
from session_sqlite.messages.langchain import message_to_event
from session_sqlite.messages.tokens import usage_of, usage_of_provider
from session_sqlite.sqlite import schema

# Details of the input and of the output, and what is (read from a cache, written to it, reasoning).
DETAILS = {
    "langchain's own": ({"audio": 10, "cache_creation": 200, "cache_read": 100}, {"audio": 9, "reasoning": 50},
                        (100, 200, 50)),
    "claude": ({"cache_read": 7, "cache_creation": 0, "ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 2},
               {}, (7, 42, 0)),
    "claude without a total": ({"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 2}, {}, (0, 42, 0)),
    "claude, one of them": ({"cache_creation": 0, "ephemeral_1h_input_tokens": 2}, {}, (0, 2, 0)),
    "a total and its parts": ({"cache_creation": 42, "ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 2},
                              {}, (0, 42, 0)),
    "a total over its parts": ({"cache_creation": 100, "ephemeral_5m_input_tokens": 40}, {}, (0, 100, 0)),
    "a total under its parts": ({"cache_creation": 30, "ephemeral_5m_input_tokens": 40}, {}, (0, 30, 0)),
    "priority": ({"priority_cache_read": 6, "priority_cache_creation": 5, "priority": 90},
                 {"priority_reasoning": 4, "priority": 1}, (6, 5, 4)),
    "flex": ({"flex_cache_read": 6, "flex_cache_creation": 5, "flex": 1}, {"flex_reasoning": 4, "flex": 5}, (6, 5, 4)),
    "a tier of tomorrow": ({"turbo_cache_read": 6, "turbo_cache_creation": 5}, {"turbo_reasoning": 4}, (6, 5, 4)),
    "a tier behind": ({"cache_read_over_200k": 6, "cache_creation_over_200k": 5}, {"reasoning_over_200k": 4},
                      (6, 5, 4)),
    "two tiers, as sums of replies have them": (
        {"cache_read": 1, "priority_cache_read": 2, "flex_cache_read": 4, "flex_cache_creation": 8,
         "cache_creation": 16},
        {"reasoning": 1, "flex_reasoning": 2}, (7, 24, 3)),
    "a tier with lifetimes": ({"priority_cache_creation": 0, "priority_ephemeral_5m_input_tokens": 3,
                               "priority_ephemeral_1h_input_tokens": 4}, {}, (0, 7, 0)),
    "another lifetime": ({"cache_creation": 0, "ephemeral_24h_input_tokens": 3, "cache_creation_30m": 4}, {},
                         (0, 7, 0)),
    "openai's own words": ({"cached_tokens": 6, "audio_tokens": 1}, {"reasoning_tokens": 4, "audio_tokens": 1,
                            "accepted_prediction_tokens": 2, "rejected_prediction_tokens": 3}, (6, 0, 4)),
    "anthropic's own words": ({"cache_read_input_tokens": 6, "cache_creation_input_tokens": 5}, {"thinking_tokens": 4},
                              (6, 5, 4)),
    "google's own words": ({"cachedContentTokenCount": 6}, {"thoughtsTokenCount": 4}, (6, 0, 4)),
    "bedrock's own words": ({"cacheReadInputTokens": 6, "cacheWriteInputTokens": 5}, {}, (6, 5, 0)),
    "deepseek's own words": ({"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 90}, {}, (6, 0, 0)),
    "parts in a mapping": ({"cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 2}}, {},
                           (0, 42, 0)),
    "a total and parts in a mapping": (
        {"cached_tokens": 6, "cached_tokens_details": {"text_tokens": 4, "audio_tokens": 2}}, {}, (6, 0, 0)),
    "a count under two names": ({"cached_tokens": 6, "cache_read": 6}, {}, (6, 0, 0)),
    "no counts": ({"cache_read": None, "cache_creation": "5", "ephemeral_5m_input_tokens": True,
                   "priority_cache_read": -1, "flex_cache_read": 2.5, "cached_tokens": [1]}, {"reasoning": {}},
                  (0, 0, 0)),
    "nothing": ({}, {}, (0, 0, 0)),
}  # fmt: skip


def reply(inputs: Any, outputs: Any, **fields: Any) -> AIMessage:
    usage: Any = {"input_tokens": 1000, "output_tokens": 60, "total_tokens": 1060}
    usage |= {"input_token_details": inputs, "output_token_details": outputs}
    return AIMessage.model_construct(content="x", usage_metadata=usage, response_metadata={"model_name": "m"}, **fields)


@pytest.mark.parametrize("name", DETAILS)
def test_the_details_of_a_message_are_understood_by_their_meaning(name: str) -> None:
    inputs, outputs, expected = DETAILS[name]
    assert message_to_event(reply(inputs, outputs)).usage == Usage("m", 1000, 60, *expected)


def test_totals_are_kept_though_their_parts_are_more() -> None:
    details = {
        "input_token_details": {"cache_read": 80, "cache_creation": 9},
        "output_token_details": {"reasoning": 70},
    }
    assert usage_of({"input_tokens": 5, "output_tokens": 1, **details}) == Usage("", 5, 1, 80, 9, 70)


@pytest.mark.parametrize("counts", [None, 5, "x", [1], (("input_tokens", 1),)])
def test_what_is_no_mapping_has_no_usage(counts: object) -> None:
    assert usage_of(counts) is None
    assert usage_of_provider(counts) is None


def test_counts_that_no_column_holds_are_no_counts() -> None:
    assert usage_of({"input_tokens": 2**63, "output_tokens": 2**63 - 1, "cache_read": 2**70, 5: 1}) == Usage(
        "", 0, 2**63 - 1
    )
    assert usage_of({"input_tokens": 1, "flex_cache_read": 2**63 - 1, "cache_read": 1}) == Usage("", 1)


PROVIDERS = {
    "openai": ({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 8}}, (100, 20, 64, 0, 8)),
    "openai, responses": ({"input_tokens": 100, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 64},
                           "output_tokens_details": {"reasoning_tokens": 8}}, (100, 20, 64, 0, 8)),
    "anthropic": ({"input_tokens": 3, "output_tokens": 20, "cache_read_input_tokens": 64,
                   "cache_creation_input_tokens": 33, "service_tier": "standard",
                   "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 3}},
                  (100, 20, 64, 33, 0)),
    "google": ({"promptTokenCount": 100, "candidatesTokenCount": 20, "cachedContentTokenCount": 64,
                "thoughtsTokenCount": 8}, (100, 20, 64, 0, 8)),
    "bedrock": ({"inputTokens": 3, "outputTokens": 20, "cacheReadInputTokens": 64, "cacheWriteInputTokens": 33},
                (100, 20, 64, 33, 0)),
    "ollama": ({"prompt_eval_count": 100, "eval_count": 20}, (100, 20, 0, 0, 0)),
    "deepseek": ({"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 64,
                  "prompt_cache_miss_tokens": 36}, (100, 20, 64, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_a_provider_sends_is_understood_too(name: str) -> None:
    counts, expected = PROVIDERS[name]
    assert usage_of_provider(counts, "m") == Usage("m", *expected)


# ---------------------------------------------------------------- what earlier releases stored


def as_before(service: SQLiteSessionService, session: str, messages: dict[str, AIMessage]) -> None:
    """Messages with the usage that releases derived which knew three names."""
    SQLiteChatMessageHistory(session, service=service).add_messages(list(messages.values()))
    for number, message in enumerate(messages.values(), start=1):
        details: Any = message.usage_metadata["input_token_details"]  # type: ignore[index]
        columns = {"cache_read_tokens": details.get("cache_read"), "cache_write_tokens": details.get("cache_creation")}
        known = {name: count for name, count in columns.items() if isinstance(count, int) and count}
        usage = json.dumps({"model": "m", "input_tokens": 1000, "output_tokens": 60, **known})
        service._database.write(
            lambda tx, usage=usage, number=number: tx.run(
                "UPDATE events SET usage = :usage WHERE session_id = :session AND seq = :seq",
                {"usage": usage, "session": session, "seq": number},
            )
        )


def test_the_usage_of_stored_messages_is_derived_anew(path: Path) -> None:
    kept = Usage("mine", 7, 8, 9)
    with SQLiteSessionService(path) as service:
        as_before(service, "s", {name: reply(*DETAILS[name][:2]) for name in DETAILS})
        others = service.create_session(session_id="others")
        others.add_event("assistant", usage=kept)
        others.add_events([
            Event("assistant", usage=kept, message=message_to_event(reply(*DETAILS["claude"][:2])).message),
            Event("assistant", usage=kept, message="{broken"),
        ])  # fmt: skip
        before = [service.list_events("s")[0].message, service.list_events("others")]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'derive_the_usage_of_messages'")
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION - 1}")
        connection.execute("UPDATE events SET usage = '{broken' WHERE session_id = 'others' AND seq = 1")
        connection.commit()
    with SQLiteSessionService(path) as service:
        found = [event.usage for event in service.list_events("s")]
        assert found == [Usage("m", 1000, 60, *expected) for _, _, expected in DETAILS.values()]
        assert [service.list_events("s")[0].message, service.list_events("others")[1:]] == [before[0], before[1][1:]]


def test_an_export_of_an_earlier_release_is_read_with_the_usage_of_today(service: SQLiteSessionService) -> None:
    as_before(service, "s", {name: reply(*DETAILS[name][:2]) for name in DETAILS})
    text = io.StringIO()
    service.export(text)
    with SQLiteSessionService(":memory:") as other:
        other.import_(io.StringIO(text.getvalue()))
        found = [event.usage for event in other.list_events("s")]
        assert found == [Usage("m", 1000, 60, *expected) for _, _, expected in DETAILS.values()]
