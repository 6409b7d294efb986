"""The store carries messages of any framework, and needs none of them to redact, compare and import what it carries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from session_sqlite import Event, SQLiteChatMessageHistory, SQLiteSessionService
from session_sqlite.messages import form, langchain, text
from session_sqlite.messages.langchain import event_to_messages, message_to_event

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def service() -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(":memory:") as service:
        yield service


# ---------------------------------------------------------------- without LangChain

WITHOUT_LANGCHAIN = """
import sys

for name in ("langchain", "langchain_core", "langgraph", "pydantic"):
    sys.modules[name] = None  # importing it raises ImportError

from dataclasses import replace
from session_sqlite import Event, SQLiteSessionService

with SQLiteSessionService(sys.argv[1]) as service:
    report = service.redact("secret", replacement="[gone]", session="tea")
    print("redacted", report.events, "unreadable", report.skipped)
    (event,) = service.list_events("tea")
    print("content", event.content, "message", event.message)
    undone = replace(event, content="the secret again", seq=0, id="", message='{"type":"ai"}')
    (stored,) = service.append_messages("tea", [undone])
    print("kept", stored.content)

    (before,) = service.list_events("coffee")
    as_checkpointed = before.message.replace('{"$":"tuple","value":[1,2]}', "[1,2]")
    again = replace(before, seq=0, id="", message=as_checkpointed)
    (stored,) = service.append_messages("coffee", [again])
    print("the same", stored == before and as_checkpointed != before.message)
    (stored,) = service.append_messages("coffee", [replace(again, content="edited")])
    print("edited", stored.content, stored.seq)

    service.export(sys.argv[2])
    with SQLiteSessionService(":memory:") as other:
        other.import_(sys.argv[2])
        print("imported", [event.content for event in other.iter_events("tea")])
    print("searched", [hit.event.content for hit in service.search("gone")])
"""


def test_redacting_comparing_and_moving_messages_needs_no_langchain(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    with SQLiteSessionService(path) as service:
        for session_id, message in {
            "tea": AIMessage([{"type": "text", "text": "a secret"}], id="m1", additional_kwargs={"n": ("secret",)}),
            "coffee": AIMessage("black", id="m2", additional_kwargs={"cups": (1, 2)}),
        }.items():
            SQLiteChatMessageHistory(session_id, service=service).add_messages([message])
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_LANGCHAIN, str(path), str(tmp_path / "export.jsonl")],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    said = dict(line.split(" ", 1) for line in run.stdout.splitlines())
    assert said["redacted"] == "1 unreadable 0"
    assert said["content"].startswith("a [gone] message ")
    assert '"redacted":true' in said["content"]
    assert "secret" not in said["content"]
    assert said["kept"] == "a [gone]"
    assert said["the"] == "same True"
    assert said["edited"] == "edited 1"
    assert said["imported"] == "['a [gone]']"
    assert said["searched"] == "['a [gone]']"


def test_the_types_of_stored_messages_are_those_of_langchains_classes() -> None:
    assert set(langchain._CORE) == text.TYPES


# ---------------------------------------------------------------- forms of other frameworks


class OtherForm:
    """The form of a framework that keeps ``{"$form":"other","said":…}``, and loses the case of letters."""

    def redacted(self, event: Event, change: Callable[[str], str]) -> str | None:
        stored = json.loads(event.message or "")
        return self._encoded(stored | {"said": change(stored["said"])})

    def marked_redacted(self, message: str) -> str:
        return self._encoded(json.loads(message) | {"redacted": True})

    def is_redacted(self, message: str) -> bool:
        return bool(json.loads(message).get("redacted"))

    def says_the_same(self, one: str, other: str) -> bool:
        return one.lower() == other.lower()

    def derived(self, event: Event) -> Event:
        return event

    def _encoded(self, stored: dict[str, object]) -> str:
        return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))


OTHER = '{"$form":"other","said":"a secret"}'


def test_a_stored_message_without_a_mark_is_langchains() -> None:
    assert form.form_of('{"type":"ai"}') is form.form_of(None) is text
    assert form.form_of(message_to_event(HumanMessage("hi", **{"$form": "other"})).message) is text


@pytest.mark.parametrize("mark", [OTHER, '{"$form":"other"}', '{"$form":1}', '{"$form":"a\\u0062"}', '{"$form":'])
def test_a_stored_message_with_a_mark_is_not_langchains(mark: str) -> None:
    assert form.form_of(mark) is None


def test_a_message_of_another_framework_reads_in_langchain_as_what_its_columns_say(
    service: SQLiteSessionService,
) -> None:
    session = service.create_session(session_id="tea")
    session.add_events([
        Event("user", "hi", message=OTHER),
        Event("assistant", "yes", reasoning="why", message=OTHER, message_id="m1"),
    ])  # fmt: skip
    back: list[BaseMessage] = SQLiteChatMessageHistory("tea", service=service).messages
    assert [(one.type, one.content) for one in back] == [("human", "hi"), ("ai", "yes")]
    assert back[1].id == "m1"
    assert back[1].additional_kwargs == {"reasoning_content": "why"}
    assert [event.message for event in session.events()] == [OTHER, OTHER]


def test_an_event_whose_form_is_not_known_is_carried_and_never_changed(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    session = service.create_session(session_id="tea")
    (event,) = session.add_events([Event("assistant", "a secret", message=OTHER, message_id="m1")])
    report = service.redact("secret", session="tea")
    assert (report.events, report.skipped) == (0, 1)
    said = replace(message_to_event(AIMessage("no secret", id="m1")), id="")
    assert service.append_messages("tea", [said]) == [event]
    session.fork(session_id="fork")
    service.export(tmp_path / "export.jsonl", session="tea")
    with SQLiteSessionService(":memory:") as other:
        other.import_(tmp_path / "export.jsonl")
        assert list(other.iter_events("tea")) == list(service.iter_events("tea"))
    assert [copy.message for copy in service.iter_events("fork")] == [OTHER]


def test_a_form_is_asked_about_the_messages_of_its_framework(
    service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(form.FORMS, "other", OtherForm())
    session = service.create_session(session_id="tea")
    (event,) = session.add_events([Event("assistant", "a secret", message=OTHER, message_id="m1")])
    shouted = replace(event, id="", seq=0, message=OTHER.replace("secret", "SECRET"))
    assert service.append_messages("tea", [shouted]) == [event]
    edited = replace(shouted, content="a secret!", message=OTHER.replace("secret", "secret!"))
    assert service.append_messages("tea", [edited])[0].content == "a secret!"
    assert service.redact("secret", replacement="[gone]", session="tea").events == 1
    (redacted,) = session.events()
    assert redacted.content == "a [gone]!"
    assert redacted.message == '{"$form":"other","said":"a [gone]!","redacted":true}'
    assert service.append_messages("tea", [edited]) == [redacted]


def test_an_agent_of_another_framework_edits_what_the_columns_say(
    service: SQLiteSessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(form.FORMS, "other", OtherForm())
    session = service.create_session(session_id="tea")
    (event,) = session.add_events([Event("assistant", "a secret", message=OTHER, message_id="m1")])
    (shown,) = event_to_messages(event)
    assert service.append_messages("tea", [message_to_event(shown)]) == [event]
    shown.content = "edited"
    (edited,) = service.append_messages("tea", [message_to_event(shown)])
    assert (edited.content, edited.id, edited.message) == ("edited", event.id, '{"type":"ai"}')
