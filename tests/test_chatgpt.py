"""ChatGPT's exports: the tree of a conversation, and every kind of content that a message can have."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from imports import imported, said

from session_sqlite import SQLiteChatMessageHistory, SQLiteSessionService, ToolCall, Usage
from session_sqlite.cli import main


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SQLiteSessionService]:
    with SQLiteSessionService(tmp_path / "store" / "sessions.db", durability="fast") as service:
        yield service


def node(id: str, parent: str | None, message: dict[str, Any] | None) -> dict[str, Any]:
    return {"id": id, "parent": parent, "children": [], "message": message}


def message(id: str, role: str, content: dict[str, Any] | str, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "author": {"role": role, "name": more.pop("name", None), "metadata": {}},
        "create_time": more.pop("at", 1_700_000_000.5),
        "content": {"content_type": "text", "parts": [content]} if isinstance(content, str) else content,
        "status": "finished_successfully",
        "weight": 1.0,
        "metadata": more.pop("metadata", {}),
        "recipient": more.pop("recipient", "all"),
    }


def conversation() -> dict[str, Any]:
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1", "size_bytes": 9}
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Look", "content": "先看图片"}]}
    nodes = [
        node("root", None, None),
        node("sys", "root", message("sys", "system", "")),
        node(
            "u1",
            "sys",
            message(
                "u1", "user", {"content_type": "multimodal_text", "parts": [picture, "这是什么？"]},
                metadata={"attachments": [{"id": "file-1", "name": "cat.png", "mimeType": "image/png"}]},
            ),
        ),
        node("t1", "u1", message("t1", "assistant", thoughts)),
        node(
            "c1",
            "t1",
            message("c1", "assistant", {"content_type": "code", "language": "python", "text": "print(1)"},
                    recipient="python"),
        ),
        node("o1", "c1", message("o1", "tool", {"content_type": "execution_output", "text": "1"}, name="python")),
        node("a1", "o1", message("a1", "assistant", "一只猫", metadata={"model_slug": "gpt-4o"}, at=1_700_000_009)),
        node("a2", "o1", message("a2", "assistant", "A cat", metadata={"model_slug": "gpt-4o"})),
        node("u2", "a2", message("u2", "user", "Sure?")),
        node("u1-edited", "sys", message("u1-edited", "user", "Never mind")),
    ]  # fmt: skip
    return {
        "title": "猫",
        "create_time": 1_700_000_000.25,
        "update_time": 1_700_000_100,
        "mapping": {one["id"]: one for one in nodes},
        "current_node": "a1",
        "conversation_id": "conv-1",
        "id": "conv-1",
        "default_model_slug": "gpt-4o",
    }


@pytest.mark.parametrize("form", ["json", "zip", "two files in a zip"])
def test_a_conversation_of_chatgpt_is_its_current_path_and_the_other_branches_are_forks(
    service: SQLiteSessionService, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "source" / ("conversations.json" if form == "json" else "export.zip")
    path.parent.mkdir()
    other = {"title": None, "mapping": {"r": node("r", None, None)}, "current_node": "r", "id": "conv-2"}
    malformed = {"title": "No messages", "mapping": {"x": 1}}
    document = [conversation(), malformed, other]
    if form == "json":
        path.write_text(json.dumps(document), "utf-8")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("user.json", "{}")
            if form == "zip":
                archive.writestr("conversations.json", json.dumps(document, indent=1))
            else:
                archive.writestr("conversations-000.json", json.dumps(document[:1]))
                archive.writestr("conversations-001.json", json.dumps(document[1:]))
    imported(service, path, "chatgpt", sessions=3, skipped_count=1)
    beside = {"user.json": 1} if "zip" in form else {}
    assert service.import_(path).left_out == {"empty conversation": 1, **beside}
    main = service.get_session("conv-1")
    assert (main.title, main.created_at) == ("猫", datetime(2023, 11, 14, 22, 13, 20, 250000, UTC))
    assert main.updated_at == datetime(2023, 11, 14, 22, 15, tzinfo=UTC)
    assert main.metadata == {"default_model_slug": "gpt-4o"}
    events = main.events()
    assert [(event.author, event.content) for event in events] == [
        ("user", "这是什么？"), ("assistant", ""), ("assistant", ""), ("tool", "1"), ("assistant", "一只猫"),
    ]  # fmt: skip
    assert [one.get("name") for one in events[0].metadata["attachments"]] == ["cat.png", None]
    assert events[1].reasoning == "Look\n先看图片"
    assert events[2].actions == (ToolCall("python", {"input": "print(1)"}, id="c1"),)
    assert events[3].actions == (ToolCall("python", id="c1"),)
    assert events[4].usage == Usage("gpt-4o")
    forks = {session.id: session for session in service.list_sessions() if session.parent_id == "conv-1"}
    assert set(forks) == {"conv-1:a2", "conv-1:u1-edited"}
    assert forks["conv-1:a2"].parent_seq == 4
    assert said(service, "conv-1:a2") == [("assistant", "A cat"), ("user", "Sure?")]
    assert forks["conv-1:u1-edited"].parent_seq == 0
    assert said(service, "conv-1:u1-edited") == [("user", "Never mind")]
    assert service.stats()["events"] == service.db["events"].count == 5 + 2 + 1


def chat(*messages: dict[str, Any], **about: Any) -> dict[str, Any]:
    """A conversation without branches."""
    nodes = [node("root", None, None)]
    for one in messages:
        nodes.append(node(one["id"], nodes[-1]["id"], one))
    return {
        "id": "c",
        "title": "",
        "mapping": {one["id"]: one for one in nodes},
        "current_node": nodes[-1]["id"],
    } | about


def brought(service: SQLiteSessionService, path: Path, *conversations: dict[str, Any]) -> Any:
    path.write_text(json.dumps(list(conversations)), "utf-8")
    return service.import_(path)


def test_what_another_exporter_names_only_as_children_is_a_tree(service: SQLiteSessionService, tmp_path: Path) -> None:
    document = conversation()
    for one in document["mapping"].values():
        parent = one.pop("parent")
        if parent is not None:
            document["mapping"][parent]["children"].append(one["id"])
    imported_ = brought(service, tmp_path / "c.json", document)
    assert imported_.sessions == 3
    assert len(service.list_events("conv-1")) == 5


def test_a_regenerated_answer_is_stored_once_and_the_file_stays_small(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    nodes = [node("root", None, None)]
    for turn in range(400):
        question, answers = f"q{turn}", [f"a{turn}", f"b{turn}"]
        nodes.append(node(question, nodes[-1]["id"], message(question, "user", f"Question {turn} " + "why " * 150)))
        nodes += [node(one, question, message(one, "assistant", f"Answer {one} " + "so " * 250)) for one in answers]
    document = chat() | {"mapping": {one["id"]: one for one in nodes}, "current_node": nodes[-1]["id"]}
    path = tmp_path / "c.json"
    report = brought(service, path, document)
    assert (report.sessions, report.events, report.skipped_count) == (401, 1200, 0)
    assert service.db["events"].count == 1200
    assert len(service.search('"Answer b7"')) == 1
    service.check()
    size = sum(one.stat().st_size for one in (tmp_path / "store").iterdir())
    assert size < 3 * max(path.stat().st_size, 1_000_000)
    branch = service.get_session("c:a7")
    assert (branch.parent_id, branch.parent_seq) == ("c", 15)
    assert [event.content[:9] for event in branch.events()] == ["Answer a7"]


def test_a_branch_of_a_branch_says_where_it_left_that_one(service: SQLiteSessionService, tmp_path: Path) -> None:
    names = {"q": None, "a": "q", "b": "q", "b1": "b", "b2": "b1", "c2": "b1"}
    nodes = [node(name, parent, message(name, "user", name)) for name, parent in names.items()]
    brought(service, tmp_path / "c.json", chat() | {"mapping": {one["id"]: one for one in nodes}, "current_node": "a"})
    found = {session.id: (session.parent_id, session.parent_seq) for session in service.list_sessions()}
    assert found == {"c": (None, None), "c:b": ("c", 1), "c:c2": ("c:b", 2)}
    assert said(service, "c:b") == [("user", "b"), ("user", "b1"), ("user", "b2")]
    assert said(service, "c:c2") == [("user", "c2")]


@pytest.mark.parametrize(
    ("called", "answered"),
    [("python", "python"), ("browser", "browser"), ("dalle.text2im", "dalle.text2im"), ("web.run", "web"), ("bio", "")],
)
def test_a_call_and_its_result_have_one_id_and_count_once(
    service: SQLiteSessionService, tmp_path: Path, called: str, answered: str
) -> None:
    brought(
        service,
        tmp_path / "c.json",
        chat(
            message("q", "user", "Do it"),
            message("m1", "assistant", '{"n": 1}', recipient=called),
            message("r1", "tool", "one", name=answered),
            message("m2", "assistant", {"content_type": "code", "text": "print(2)"}, recipient=called),
            message("r2", "tool", {"content_type": "execution_output", "text": "two"}, name=answered),
            message("a", "assistant", "Done"),
        ),
    )
    calls = service.tool_calls()
    assert sorted((call["call_id"], call["name"], call["output"], call["status"]) for call in calls) == [
        ("m1", called, "one", "ok"), ("m2", called, "two", "ok"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"content_type": "tether_quote", "url": "https://a.example", "title": "A", "text": "needle"}, "needle"),
        ({"content_type": "tether_browsing_display", "result": "needle", "summary": "short"}, "short"),
        ({"content_type": "system_error", "name": "NeedleError", "text": "it broke"}, "NeedleError"),
        ({"content_type": "citable_code_output", "output_str": "needle"}, "needle"),
        ({"content_type": "computer_output", "state": {"title": "needle"}, "screenshot": {"id": "x"}}, "needle"),
        ({"content_type": "sonic_webpage", "url": "https://a.example", "snippet": "needle"}, "needle"),
        ({"content_type": "model_editable_context", "model_set_context": "needle"}, "needle"),
        ({"content_type": "user_editable_context", "user_profile": "p", "user_instructions": "needle"}, "needle"),
        ({"content_type": "thoughts", "thoughts": [{"summary": "needle", "content": "long"}]}, "needle"),
        ({"content_type": "thoughts", "parts": ["needle"]}, "needle"),
        ({"content_type": "reasoning_recap", "content": "needle"}, "needle"),
        ({"content_type": "reasoning_recap", "parts": ["needle"]}, "needle"),
        ({"content_type": "multimodal_text", "parts": [{"content_type": "audio_transcription", "text": "needle"}]},
         "needle"),
        ({"content_type": "multimodal_text", "parts": [{"content_type": "novelty", "value": "needle"}]}, "needle"),
        ({"content_type": "code", "text": "needle", "language": "python"}, "needle"),
        ({"content_type": "text", "parts": ["a"], "aside": {"b": "needle"}}, "needle"),
        ({"content_type": "hologram", "scene": {"caption": ["needle"]}}, "needle"),
        ({"content_type": "hologram", "text": "needle"}, "needle"),
        ("needle", "needle"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("role", ["user", "assistant", "tool", "system"])
def test_no_content_that_has_text_is_dropped(
    service: SQLiteSessionService, tmp_path: Path, content: Any, text: str, role: str
) -> None:
    one = message("m", role, "", name="python")
    one["content"] = content
    report = brought(service, tmp_path / "c.json", chat(message("q", "user", "Q"), one))
    assert report.skipped_count == 0
    event = service.list_events("c")[1]
    assert text in f"{event.content}{event.reasoning}{event.actions}{event.metadata}"
    assert text in f"{event.content}{event.reasoning}" or text not in ("p", "short", "NeedleError")
    is_unknown = "hologram" in str(content) or "novelty" in str(content)
    assert any("is not understood" in warning for warning in report.warnings) == is_unknown


def test_instructions_and_hidden_context_are_of_the_system_and_not_the_first_message(
    service: SQLiteSessionService, tmp_path: Path
) -> None:
    instructions = {"about_user_message": "I am a cat", "about_model_message": "Be brief"}
    brought(
        service,
        tmp_path / "c.json",
        chat(
            message("i", "user", "", metadata={"user_context_message_data": instructions,
                                               "is_visually_hidden_from_conversation": True}),
            message("e", "user", {"content_type": "user_editable_context", "user_profile": "Profile: a cat",
                                  "user_instructions": "Instructions: brief"}),
            message("h", "user", "Hidden", metadata={"is_visually_hidden_from_conversation": True}),
            message("q", "user", "Who am I?"),
        ),
    )  # fmt: skip
    assert said(service, "c") == [
        ("system", "I am a cat\nBe brief"),
        ("system", "Profile: a cat\nInstructions: brief"),
        ("system", "Hidden"),
        ("user", "Who am I?"),
    ]
    assert service.query("SELECT first_message FROM session_overview") == [{"first_message": "Who am I?"}]


def test_sources_are_kept_and_their_marks_can_be_read(service: SQLiteSessionService, tmp_path: Path) -> None:
    mark = "\ue200cite\ue202turn0search1\ue202turn0search2\ue201"
    other = "\ue200cite\ue202turn0news7\ue201"
    entity = '\ue200entity\ue202["city","Rome","x"]\ue201\ue203'
    text = f"Cats sleep.{mark} Dogs bark. {other} {entity}"
    references = [
        {"matched_text": mark, "type": "grouped_webpages", "alt": None,
         "items": [{"title": "Cats", "url": "https://cats.example"}]},
    ]  # fmt: skip
    cited = {
        "citation_format": {"name": "tether_og"},
        "metadata_list": [{"title": "Dogs", "url": "https://dogs.example"}],
    }
    brought(
        service,
        tmp_path / "c.json",
        chat(message("a", "assistant", text, metadata={"content_references": references, "_cite_metadata": cited})),
    )
    (event,) = service.list_events("c")
    assert event.content.strip() == "Cats sleep.([Cats](https://cats.example)) Dogs bark. [cite: turn0news7] Rome"
    assert not any("\ue000" <= character <= "\uf8ff" for character in event.content)
    assert event.metadata["sources"] == {"content_references": references, "cite_metadata": cited}


def test_a_message_without_a_time_has_that_of_its_neighbour(service: SQLiteSessionService, tmp_path: Path) -> None:
    messages = [message(f"m{number}", "user", "x", at=at) for number, at in enumerate([None, 1e9, None, 1.5e9])]
    brought(service, tmp_path / "c.json", chat(*messages))
    seconds = [event.created_at.timestamp() for event in service.list_events("c") if event.created_at]
    assert seconds == [1e9, 1e9, 1e9, 1.5e9]
    brought(service, tmp_path / "d.json", chat(message("n", "user", "y", at=None), id="d", create_time=1.2e9))
    assert [event.created_at.timestamp() for event in service.list_events("d") if event.created_at] == [1.2e9]


def test_a_reply_has_its_own_model_or_else_the_conversations(service: SQLiteSessionService, tmp_path: Path) -> None:
    brought(
        service,
        tmp_path / "c.json",
        chat(
            message("q", "user", "Hi"),
            message("a", "assistant", "Hello", metadata={"model_slug": "gpt-5"}),
            message("b", "assistant", "Again"),
            default_model_slug="gpt-4o",
        ),
    )
    assert [event.usage for event in service.list_events("c")] == [None, Usage("gpt-5"), Usage("gpt-4o")]


@pytest.mark.parametrize("malformed", [7, None, "text", {}, {"mapping": 3}, {"title": "x"}, {"mapping": {"a": 1}}])
def test_a_malformed_conversation_at_the_beginning_does_not_make_the_file_unknown(
    service: SQLiteSessionService, tmp_path: Path, malformed: Any
) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps([malformed, malformed, chat(message("q", "user", "Hi"))]), "utf-8")
    report = service.import_(path)
    assert (report.format, report.sessions, report.events) == ("chatgpt", 1, 1)
    assert report.skipped_count == 2 or report.left_out == {"empty conversation": 2}


def test_a_malformed_message_is_reported_and_the_others_come(service: SQLiteSessionService, tmp_path: Path) -> None:
    document = chat(message("q", "user", "Hi"), message("a", "assistant", "Hello"))
    document["mapping"]["q"]["message"]["author"] = 7
    report = brought(service, tmp_path / "c.json", document)
    assert (report.events, report.skipped_count) == (1, 1)
    assert said(service, "c") == [("assistant", "Hello")]


def test_a_comb_of_branches_grows_with_its_messages(service: SQLiteSessionService, tmp_path: Path) -> None:
    nodes = [node("n0", None, message("n0", "user", "x"))]
    for number in range(1, 2000):
        nodes.append(node(f"n{number}", f"n{number - 1}", message(f"n{number}", "user", "x")))
        nodes.append(node(f"b{number}", f"n{number - 1}", message(f"b{number}", "user", "y")))
    document = chat() | {"mapping": {one["id"]: one for one in reversed(nodes)}, "current_node": "n1999"}
    report = brought(service, tmp_path / "c.json", document)
    assert (report.sessions, report.events) == (2000, 3999)


def test_a_list_and_a_transcript_say_where_a_branch_left(service: SQLiteSessionService, tmp_path: Path) -> None:
    brought(service, tmp_path / "c.json", conversation())
    assert service.path is not None
    shown = CliRunner().invoke(main, ["--db", str(service.path), "list"], terminal_width=200).stdout
    assert "conv-1, after #4" in shown
    assert "conv-1, before its first event" in shown
    assert "conv-1, after #4" in service.session_overviews()._repr_html_()
    for format in ("markdown", "html"):
        page = io.StringIO()
        service.export(page, session="conv-1:a2", format=format)
        assert "conv-1, after #4" in page.getvalue().replace("\\#", "#")
    assert "conv-1, after #4" in CliRunner().invoke(main, ["--db", str(service.path), "show", "conv-1:a2"]).stdout
    messages = SQLiteChatMessageHistory("conv-1:a2", service=service).messages
    assert [message.content for message in messages] == ["A cat", "Sure?"], "a branch holds what is its own"
