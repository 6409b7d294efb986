"""The reader of content blocks: every shape that providers write, and what it makes of what it does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from session_sqlite import Event, ToolCall
from session_sqlite.transfer.importers.blocks import ATTACHMENTS_ARE_NOTED, Calls, Said, author_of, noted

LONG = "a long text with spaces, that is no picture. " * 200


def events(*messages: tuple[str, Any]) -> list[Event]:
    """The events of a conversation of authors and contents."""
    calls = Calls()
    made: list[Event] = []
    for number, (author, content) in enumerate(messages, start=1):
        made += [one for one in Said.of(content).events(author, f"m{number}", calls) if isinstance(one, Event)]
    return made


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ([{"type": "text", "text": "a"}, "b"], "a\nb"),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}], "a\nb"),
        ([{"type": "refusal", "refusal": "no"}], "no"),
        ([{"type": "text", "text": {"value": "a", "annotations": []}}], "a"),
        ({"parts": [{"text": "a"}, {"text": "b"}], "role": "model"}, "ab"),
        ([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}], "a"),
    ],
)
def test_text_is_read_in_each_shape(content: Any, text: str) -> None:
    said = Said.of(content)
    assert (said.text, said.unknown, said.calls, said.results) == (text, [], [], [])


def test_a_sentence_that_has_a_source_stays_in_its_line() -> None:
    source = {"type": "web_search_result_location", "url": "https://example.com", "title": "Cats"}
    said = Said.of(
        [
            {"type": "text", "text": "Cats "},
            {"type": "text", "text": "sleep a lot", "citations": [source]},
            {"type": "text", "text": "."},
        ]
    )
    assert said.text == "Cats sleep a lot."
    assert said.metadata == {"citations": [source]}


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "thinking", "thinking": "先看", "signature": "c2ln"}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "先看"}]}],
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "先看"}], "encrypted_content": "gAAA"}],
        [{"type": "reasoning", "text": "先看"}],
        [{"type": "reasoning", "reasoning": "先看"}],
        [{"type": "think", "think": "先看"}],
        [{"type": "reasoning.text", "text": "先看"}],
        [{"text": "先看", "thought": True}],
    ],
)
def test_reasoning_is_read_in_each_shape(content: Any) -> None:
    said = Said.of(content)
    assert (said.reasoning, said.text, said.unknown) == ("先看", "", [])


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (
            {"type": "tool_use", "id": "c", "name": "Read", "input": {"path": "a"}},
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": LONG}]},
        ),
        (
            {"type": "function_call", "id": "fc", "call_id": "c", "name": "Read", "arguments": '{"path": "a"}'},
            {"type": "function_call_output", "call_id": "c", "output": LONG},
        ),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "Read", "input": '{"path": "a"}'},
            {"type": "custom_tool_call_output", "call_id": "c", "output": LONG},
        ),
        (
            {"functionCall": {"id": "c", "name": "Read", "args": {"path": "a"}}},
            {"functionResponse": {"id": "c", "name": "Read", "response": {"output": LONG}}},
        ),
        (
            {"type": "tool-call", "toolCallId": "c", "toolName": "Read", "input": {"path": "a"}},
            {"type": "tool-result", "toolCallId": "c", "toolName": "Read", "output": LONG},
        ),
        (
            {"type": "tool_call", "id": "c", "name": "Read", "args": {"path": "a"}},
            {"type": "tool_result", "tool_call_id": "c", "content": LONG},
        ),
    ],
)
def test_a_call_and_its_result_are_joined_in_each_shape(call: Any, result: Any) -> None:
    asked, answered = events(("assistant", [call]), ("user", [result]))
    assert (asked.author, asked.content, asked.actions) == ("assistant", "", (ToolCall("Read", {"path": "a"}, id="c"),))
    assert (answered.author, answered.content) == ("tool", LONG)
    assert answered.actions == (ToolCall("Read", id="c"),)
    (both,) = events(("assistant", [call, result]))
    assert both.actions == (ToolCall("Read", {"path": "a"}, id="c", output=LONG),)


def test_calls_without_ids_are_joined_by_name_in_their_order() -> None:
    asked, *answered, said = events(
        ("assistant", {"parts": [{"function_call": {"name": "f", "args": {"n": n}}} for n in (1, 2)]}),
        (
            "user",
            {"parts": [{"function_response": {"name": "f", "response": {"n": n}}} for n in (1, 2)] + [{"text": "so"}]},
        ),
    )
    assert [event.actions[0].id for event in answered] == [call.id for call in asked.actions]
    assert len({call.id for call in asked.actions}) == 2
    assert [json.loads(event.content) for event in answered] == [{"n": 1}, {"n": 2}]
    assert (said.author, said.content) == ("user", "so")
    assert len({event.id for event in (asked, *answered, said)}) == 4


def test_a_failed_call_has_its_error() -> None:
    for block in (
        {"type": "tool_result", "tool_use_id": "c", "content": "no such file", "is_error": True},
        {"functionResponse": {"id": "c", "name": "Read", "response": {"error": "no such file"}}},
    ):
        (event,) = events(("user", [block]))
        assert event.actions[0].error == "no such file"
        assert event.actions[0].status == "error"


def test_code_that_gemini_runs_is_a_call_with_its_output() -> None:
    (event,) = events(
        (
            "assistant",
            [
                {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
                {"text": "It is 1."},
            ],
        )
    )
    assert event.content == "It is 1."
    (call,) = event.actions
    assert (call.name, call.args, call.output) == (
        "code_execution", {"language": "PYTHON", "code": "print(1)"}, "1\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5000}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 5000}},
        {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 5000},
        {"inlineData": {"mimeType": "image/png", "data": "A" * 5000}},
    ],
)
def test_of_an_attachment_everything_is_noted_but_its_bytes(block: dict[str, Any]) -> None:
    said = Said.of([block])
    (event, *_) = [one for one in said.events("user", "m", Calls()) if isinstance(one, Event)]
    assert "AAAA" not in json.dumps(event.metadata)
    assert "characters)" in json.dumps(event.metadata["attachments"])
    assert ATTACHMENTS_ARE_NOTED in list(said.notes())
    assert said.unknown == []


def test_long_text_in_an_attachment_is_kept() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": LONG}}
    assert noted(document) == document


def test_what_is_not_understood_is_kept_as_text_and_named() -> None:
    said = Said.of([{"type": "hologram", "scene": {"caption": "a cat"}}, {"type": "aside", "text": "psst"}, 7])
    assert "a cat" in said.text
    assert "psst" in said.text
    assert [note.text for note in said.notes()] == [
        "content of the kind 'hologram' is not understood: it was kept as text",
        "content of the kind 'aside' is not understood: it was kept as text",
        "content of the kind 'int' is not understood: it was kept as text",
    ]


def test_a_kind_that_is_a_text_of_its_own_is_not_repeated_in_the_note() -> None:
    said = Said.of([{"type": "my secret sentence", "x": "y"}])
    assert "secret" not in str(list(said.notes()))


def test_a_block_of_an_unknown_kind_that_says_nothing_is_no_text() -> None:
    said = Said.of([{"type": "token_budget", "remaining": None}, {"type": "text", "text": "hello"}])
    assert (said.text, said.unknown) == ("hello", [])


def test_content_that_is_nested_without_end_is_kept_as_text() -> None:
    content: Any = "deep"
    for _ in range(200):
        content = [content]
    said = Said.of(content)
    assert "deep" in said.text
    assert said.unknown


def test_nothing_that_has_text_is_dropped_from_any_block() -> None:
    kinds = ["text", "thinking", "tool_use", "tool_result", "image", "hologram", "web_search_call", "reasoning"]
    for kind in kinds:
        for value in ("needle", ["needle"], {"a": "needle"}, [{"type": "text", "text": "needle"}]):
            for name in ("text", "content", "thinking", "input", "output"):
                said = Said.of([{"type": kind, "name": "n", "id": "i", name: value}])
                made = [str(one) for one in said.events("assistant", "m", Calls()) if isinstance(one, Event)]
                assert any("needle" in one for one in made), (kind, name, value)


@pytest.mark.parametrize(
    ("role", "author"),
    [
        ("Assistant", "assistant"), ("model", "assistant"), ("bot", "assistant"), ("gpt", "assistant"),
        ("AI", "assistant"), ("Human", "user"), ("USER", "user"), ("developer", "system"), ("function", "tool"),
        ("reviewer", "reviewer"), ("", "assistant"), (7, "assistant"),
    ],
)  # fmt: skip
def test_a_role_is_an_author(role: Any, author: str) -> None:
    assert author_of(role) == author
