"""Images, files, audio and video in messages: every provider's blocks, and the mark that each view has for them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from our_markup import assert_only_our_elements
from test_html import PNG, links_of, page, text_of

from session_sqlite import Attachment, Event, Session, SQLiteChatMessageHistory, SQLiteSessionService, ToolCall
from session_sqlite.attachments import attachments_in, size_text, without_bytes
from session_sqlite.cli import main
from session_sqlite.messages.langchain import message_to_event
from session_sqlite.transcript import terminal_text

DATA = base64.b64encode(bytes(range(200)) * 60).decode()  # 12,000 bytes
SIZE = 12_000
URL = "https://x.org/a"
URI = f"data:application/pdf;base64,{DATA}"

BLOCKS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    # LangChain's standard blocks, and those before them
    "image": ({"type": "image", "base64": DATA, "mime_type": "image/png"}, ("image", "image/png", "", SIZE, "", DATA)),
    "image at a URL": ({"type": "image", "url": URL}, ("image", "", "", None, URL, "")),
    "image by id": ({"type": "image", "file_id": "file-1"}, ("image", "", "", None, "file-1", "")),
    "bytes": ({"type": "image", "data": b"abc", "mime_type": "image/gif"}, ("image", "image/gif", "", 3, "", "YWJj")),
    "audio": ({"type": "audio", "base64": DATA, "mime_type": "audio/wav"}, ("audio", "audio/wav", "", SIZE, "", DATA)),
    "video": ({"type": "video", "url": URL, "mime_type": "video/mp4"}, ("video", "video/mp4", "", None, URL, "")),
    "file": ({"type": "file", "base64": DATA, "mime_type": "application/pdf", "filename": "plan.pdf"},
             ("file", "application/pdf", "plan.pdf", SIZE, "", DATA)),
    "plain text": ({"type": "text-plain", "text": "茶", "mime_type": "text/plain", "title": "t"},
                   ("file", "text/plain", "t", 3, "", base64.b64encode("茶".encode()).decode())),
    "v0 data": ({"type": "file", "source_type": "base64", "data": DATA, "mime_type": "application/pdf"},
                ("file", "application/pdf", "", SIZE, "", DATA)),
    "v0 url": ({"type": "audio", "source_type": "url", "url": URL}, ("audio", "", "", None, URL, "")),
    "v0 id": ({"type": "file", "source_type": "id", "id": "file-2", "file_id": "file-2"},
              ("file", "", "", None, "file-2", "")),
    "what LangChain does not know": (
        {"type": "non_standard", "value": {"type": "input_file", "file_id": "file-3"}},
        ("file", "", "", None, "file-3", ""),
    ),
    # OpenAI
    "image_url": ({"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, ("image", "", "", None, URL, "")),
    "image_url, short": ({"type": "image_url", "image_url": URL}, ("image", "", "", None, URL, "")),
    "image_url, data": ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}},
                        ("image", "image/png", "", SIZE, "", DATA)),
    "input_image": ({"type": "input_image", "image_url": URL}, ("image", "", "", None, URL, "")),
    "input_audio": ({"type": "input_audio", "input_audio": {"data": DATA, "format": "mp3"}},
                    ("audio", "audio/mp3", "", SIZE, "", DATA)),
    "file, chat completions": ({"type": "file", "file": {"filename": "a.pdf", "file_data": URI}},
                               ("file", "application/pdf", "a.pdf", SIZE, "", DATA)),
    "file, by id": ({"type": "file", "file": {"file_id": "file-4"}}, ("file", "", "", None, "file-4", "")),
    "input_file": ({"type": "input_file", "filename": "a.pdf", "file_data": URI},
                   ("file", "application/pdf", "a.pdf", SIZE, "", DATA)),
    "input_file at a URL": ({"type": "input_file", "file_url": URL}, ("file", "", "", None, URL, "")),
    "a drawn image": ({"type": "image_generation_call", "id": "ig_1", "result": DATA, "output_format": "webp"},
                      ("image", "image/webp", "", SIZE, "", DATA)),
    # Anthropic
    "source": ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
               ("image", "image/png", "", SIZE, "", DATA)),
    "source at a URL": ({"type": "image", "source": {"type": "url", "url": URL}}, ("image", "", "", None, URL, "")),
    "source by id": ({"type": "document", "source": {"type": "file", "file_id": "file_5"}, "title": "Plan"},
                     ("file", "", "Plan", None, "file_5", "")),
    "document": ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": DATA}},
                 ("file", "application/pdf", "", SIZE, "", DATA)),
    "document of text": ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}},
                         ("file", "text/plain", "", 3, "", "YWJj")),
    "container": ({"type": "container_upload", "file_id": "file_6"}, ("file", "", "", None, "file_6", "")),
    "in a result of a tool": (
        {"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "text", "text": "x"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        ]},
        ("image", "image/png", "", SIZE, "", DATA),
    ),
    # Gemini
    "media": ({"type": "media", "mime_type": "video/mp4", "data": DATA}, ("video", "video/mp4", "", SIZE, "", DATA)),
    "media at a URI": ({"type": "media", "mime_type": "audio/mp3", "file_uri": "gs://b/a.mp3"},
                       ("audio", "audio/mp3", "", None, "gs://b/a.mp3", "")),
    "inline data": ({"inline_data": {"mime_type": "image/png", "data": DATA}},
                    ("image", "image/png", "", SIZE, "", DATA)),
    "inlineData": ({"inlineData": {"mimeType": "image/png", "data": DATA}}, ("image", "image/png", "", SIZE, "", DATA)),
    "fileData": ({"fileData": {"mimeType": "application/pdf", "fileUri": URL}},
                 ("file", "application/pdf", "", None, URL, "")),
    # Bedrock, MCP, the AI SDK
    "Bedrock": ({"document": {"format": "pdf", "name": "plan", "source": {"bytes": b"abc"}}},
                ("file", "application/pdf", "plan", 3, "", "YWJj")),
    "Bedrock's image": ({"image": {"format": "png", "source": {"bytes": b"abc"}}},
                        ("image", "image/png", "", 3, "", "YWJj")),
    "MCP": ({"type": "image", "data": DATA, "mimeType": "image/png"}, ("image", "image/png", "", SIZE, "", DATA)),
    "MCP's resource": ({"type": "resource", "resource": {"uri": "file:///a.bin", "mimeType": "x/y", "blob": DATA}},
                       ("file", "x/y", "", SIZE, "", DATA)),
    "MCP's link": ({"type": "resource_link", "uri": URL, "name": "a.pdf", "size": 7, "mimeType": "application/pdf"},
                   ("file", "application/pdf", "a.pdf", 7, URL, "")),
    "AI SDK": ({"type": "file", "mediaType": "image/png", "url": URL, "filename": "a.png"},
               ("image", "image/png", "a.png", None, URL, "")),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_the_blocks_of_every_provider_are_known(name: str, service: SQLiteSessionService) -> None:
    block, expected = BLOCKS[name]
    history = SQLiteChatMessageHistory("s", service=service)
    history.add_message(HumanMessage([{"type": "text", "text": "Which is it?"}, block]))
    [event] = service.get_session("s").events()
    assert [tuple(one.__dict__.values()) for one in event.attachments] == [expected]


def test_what_a_model_says_aloud_or_draws_beside_its_content_is_known() -> None:
    spoken = AIMessage("", additional_kwargs={"audio": {"id": "a", "data": DATA, "transcript": "hi"}})
    [audio] = message_to_event(spoken).attachments
    assert (audio.kind, audio.size, audio.data) == ("audio", SIZE, DATA)
    drawn = AIMessage("", additional_kwargs={"tool_outputs": [{"type": "image_generation_call", "result": DATA}]})
    assert [one.kind for one in message_to_event(drawn).attachments] == ["image"]


def test_what_an_import_noted_is_known() -> None:
    noted = [
        {"type": "image", "source": {"data": "(16,000 characters)", "media_type": "image/png"}, "name": "a.png"},
        {"type": "image_asset_pointer", "asset_pointer": "file-service://1", "size_bytes": 7},
        {"name": "b.txt", "size": 5, "mime_type": "text/plain"},
        "no object",
    ]
    marks = list(map(str, Event("user", metadata={"attachments": noted}).attachments))
    assert marks == [
        "[image: a.png, PNG, 12 kB]",
        "[image: file-service://1, 7 bytes]",
        "[file: b.txt, PLAIN, 5 bytes]",
    ]


def test_a_file_that_chatgpt_names_twice_has_one_mark() -> None:
    photo = {"id": "file-1", "name": "photo.jpg", "size": 204_811, "mime_type": "image/jpeg"}
    pointer = {"content_type": "image_asset_pointer", "size_bytes": 204_811}
    spoken = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_2", "format": "wav"}
    noted = [photo, pointer | {"asset_pointer": "file-service://file-1"}, spoken]
    alone = [pointer | {"asset_pointer": "sediment://file_3"}, {"name": "b.txt"}]
    assert [list(map(str, Event("user", metadata={"attachments": one}).attachments)) for one in (noted, alone)] == [
        ["[image: photo.jpg, JPEG, 205 kB]", "[audio: sediment://file_2, WAV]"],
        ["[image: sediment://file_3, 205 kB]", "[file: b.txt]"],
    ]


NOT_BLOCKS: list[Any] = [
    None, 7, "image", {}, {"type": 7}, {"type": "text", "text": "image"}, {"type": "image_of_nothing"},
    {"type": ["image"]}, [[]], {"$": "bytes", "value": "YQ=="},
]  # fmt: skip


def test_what_is_no_block_and_what_is_damaged_have_no_attachments() -> None:
    for content in NOT_BLOCKS:
        assert Event("user", message=json.dumps({"type": "human", "content": [content]})).attachments == ()
    for message in ("{", "[]", "null", '"image"', '{"content": "image"}', '{"content": 7, "x": "image"}'):
        assert Event("user", message=message).attachments == ()
    assert Event("user", metadata={"attachments": "image"}).attachments == ()
    deep: Any = {"type": "image", "url": URL}
    for _ in range(100):
        deep = {"type": "tool_result", "content": [deep]}
    assert Event("user", message=json.dumps({"content": [deep]})).attachments == ()
    odd = {"type": "image", "source": {"source": {"source": "x"}}, "url": {"url": 7}, "name": ["n"], "size": "big"}
    assert Event("user", message=json.dumps({"content": [odd]})).attachments == (Attachment("image"),)


def test_a_mark_is_one_short_line() -> None:
    assert str(Attachment("video")) == "[video]"
    assert "\n" not in str(Attachment("file", name="a\nb\r\nc"))
    assert len(str(Attachment("image", url="https://x.org/" + "a" * 5000))) < 300
    assert [size_text(1), size_text(999), size_text(999_999)] == ["1 byte", "999 bytes", "1.0 MB"]


MESSAGE = HumanMessage(
    [
        {"type": "text", "text": "Which tea is it?"},
        {"type": "file", "base64": DATA, "mime_type": "application/pdf", "filename": "teas.pdf"},
        {"type": "audio", "base64": DATA, "mime_type": "audio/wav"},
        {"type": "video", "url": "https://x.org/tea.mp4"},
        {"type": "image", "url": "https://x.org/tea.png"},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
    ]
)
MARKS = (
    "[file: teas.pdf, PDF, 12 kB]", "[audio: WAV, 12 kB]", "[video: https://x.org/tea.mp4]",
    "[image: https://x.org/tea.png]", f"[image: PNG, {len(base64.b64decode(PNG))} bytes]",
)  # fmt: skip


def test_every_view_marks_what_is_not_text(service: SQLiteSessionService) -> None:
    SQLiteChatMessageHistory("s", service=service).add_message(MESSAGE)
    session = service.get_session("s")
    [event] = session.events()
    [hit] = service.search("tea")
    written = io.StringIO()
    service.export(written, format="markdown")
    views = {
        "HTML": text_of(page(event)),
        "a notebook's session": text_of(session._repr_html_()),
        "a notebook's event": text_of(event._repr_html_() or ""),
        "a notebook's hit": text_of(hit._repr_html_() or ""),
        "the terminal": "\n".join(terminal_text(session, [event])),
        "Markdown": written.getvalue().replace("\\", ""),
        "a data frame": session.events().to_dataframe()["content"][0],
        "a snippet": hit.snippet,
    }
    for name, view in views.items():
        for mark in MARKS:
            assert mark in view, (name, mark)
        assert DATA[:100] not in view, name
    assert MARKS[0] in text_of(session.events()._repr_html_())
    assert hit.snippet[hit.spans[0][0] : hit.spans[0][1]].lower() == "tea"
    assert [one["kind"] for one in event.to_dict()["attachments"]] == ["file", "audio", "video", "image", "image"]
    assert event.to_dict()["attachments"][0] == {
        "kind": "file", "media_type": "application/pdf", "name": "teas.pdf", "size": SIZE, "url": "", "data": DATA,
    }  # fmt: skip


def test_every_list_marks_a_session_that_begins_with_a_picture_alone(path: Any, tmp_path: Path) -> None:
    picture = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    with SQLiteSessionService(path) as service:
        SQLiteChatMessageHistory("s", service=service).add_messages([HumanMessage([picture]), AIMessage("Oolong.")])
        noted = Event("user", metadata={"attachments": [{"name": "photo.png", "mime_type": "image/png"}]})
        service.create_session(session_id="imported").add_event(noted.author, metadata=noted.metadata)
        service.create_session(session_id="words").add_events([Event("user", "Tea?"), noted])
        service.create_session(session_id="silent").add_event("user", "")
        service.create_session(session_id="empty")
        drawn, photo = f"[image: PNG, {len(base64.b64decode(PNG))} bytes]", "[image: photo.png, PNG]"
        overviews = service.session_overviews()
        assert {one.session.id: one.first_message for one in overviews} == {
            "s": drawn, "imported": photo, "words": "Tea?", "silent": "", "empty": None,
        }  # fmt: skip
        [hit] = service.search_sessions("oolong")
        assert hit.first_message == drawn
        service.export(f"{tmp_path}/pages/", format="html")
        in_a_notebook = text_of(overviews._repr_html_())
    index = text_of((tmp_path / "pages" / "index.html").read_text("utf-8"))
    listed = CliRunner().invoke(main, ["--db", str(path), "list"]).stdout
    for view in (in_a_notebook, index, listed):
        assert drawn in view
        assert photo in view
    assert drawn in CliRunner().invoke(main, ["--db", str(path), "sessions", "oolong"]).stdout


def test_the_command_prints_marks_and_the_blocks_as_json(path: Any) -> None:
    with SQLiteSessionService(path) as service:
        SQLiteChatMessageHistory("s", service=service).add_message(MESSAGE)
    shown = CliRunner().invoke(main, ["--db", str(path), "show", "s"]).stdout
    assert all(f"\n  {mark}\n" in f"{shown}\n" for mark in MARKS)
    events = json.loads(CliRunner().invoke(main, ["--db", str(path), "show", "s", "--json"]).stdout)["events"]
    assert [one["name"] for one in events[0]["attachments"]] == ["teas.pdf", "", "", "", ""]


def test_what_is_elsewhere_is_a_link_that_nothing_loads() -> None:
    markup = page(message_to_event(MESSAGE))
    assert_only_our_elements(markup)
    assert markup.count("<img") == 1
    assert [(link["href"], text) for link, text in links_of(markup)] == [
        ("https://x.org/tea.mp4", MARKS[2]), ("https://x.org/tea.png", MARKS[3]),
    ]  # fmt: skip
    for url in ("javascript:pwned()", "gs://b/a", "file:///a", "//x.org/a"):
        markup = page(message_to_event(HumanMessage([{"type": "image", "url": url}])))
        assert_only_our_elements(markup)
        assert links_of(markup) == []


def test_the_result_of_a_tool_shows_its_images_and_no_base64() -> None:
    block = {"type": "image", "data": PNG, "mimeType": "image/png"}
    native = Event("assistant", actions=[ToolCall("Shot", output=[{"type": "text", "text": "done"}, block])], seq=1)
    call = message_to_event(AIMessage("", tool_calls=[{"name": "Shot", "args": {}, "id": "c"}]))
    result = message_to_event(ToolMessage([block], tool_call_id="c"))
    for events in ([native], [call, result]):
        markup = page(*events)
        assert f'<img src="data:image/png;base64,{PNG}"' in markup
        assert PNG not in text_of(markup)
        assert PNG not in "\n".join(terminal_text(Session("s"), events))
        assert "[image: PNG" in "\n".join(terminal_text(Session("s"), events))
    listing = {"files": [{"type": "file", "name": "a.py", "url": "src/a.py"}, {"type": "image", "size": 3}]}
    assert without_bytes(listing) == listing
    assert attachments_in(listing) == ()
