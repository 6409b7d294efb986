"""Chats of Open WebUI: its database ``webui.db``, and the JSON that it exports.

A chat is a tree of messages with a current one; older releases had a list. Reasoning, calls of tools and run code stand
in a message's text, as ``<details>`` with attributes, or beside it as items of the Responses API. Whose a chat is, is
said in both forms.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers import databases as db
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, noted
from session_sqlite.transfer.importers.databases import Database, quoted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, json_or_none, kept_id, name_or_empty, time_of
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.transfer.importers.trees import sessions_of_tree

_READ: Final = frozenset(
    {"id", "parentId", "childrenIds", "role", "content", "output", "model", "modelName", "modelIdx", "timestamp",
     "files", "usage", "done", "reasoning_content", "tool_calls", "tool_call_id", "lastSentence"}
)  # fmt: skip
_READ_OF_CHAT: Final = frozenset({"id", "title", "history", "messages", "timestamp", "system"})
_READ_OF_ROW: Final = frozenset({"id", "user_id", "title", "chat", "created_at", "updated_at"})
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)
_OPEN: Final = re.compile(r"<details\b([^>]*)>")
_CLOSE: Final = "</details>"
_ATTRIBUTE: Final = re.compile(r'([\w-]+)="([^"]*)"')
_SUMMARY: Final = re.compile(r"\s*<summary>.*?</summary>", re.DOTALL)
_CODE: Final = re.compile(r"```[\w+-]*\n?(.*?)```", re.DOTALL)
# Tables whose rows people wrote too, and that are no chats.
_OTHERS: Final = {"message": "channels", "note": "notes", "memory": "memories", "prompt": "prompts"}


def is_webui(database: Database) -> bool:
    """True for a ``webui.db``."""
    return database.has("chat", "id", "user_id", "title", "chat", "created_at", "updated_at")


def read_database(database: Database) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The chats of all users, each followed by its branches."""
    has_messages = database.has("chat_message", "id", "chat_id", "parent_id", "role", "content", "created_at")
    ids = {id for (id,) in database.rows(db.WEBUI_CHAT_IDS)}
    for row in list(database.records(db.WEBUI_CHATS)):
        owner = str(row["user_id"])
        if owner.startswith("shared-") and owner.removeprefix("shared-") in ids:
            yield LeftOut("shared copy of a chat")
            continue
        own = list(database.records(db.WEBUI_MESSAGES, id=row["id"])) if has_messages else []
        yield from _of_row({**row, "chat": json_or_none(row["chat"])}, own)
    for table, what in _OTHERS.items():
        if database.has(table, "user_id") and (count := next(database.rows(db.COUNT_ROWS.format(quoted(table))))[0]):
            yield Note(f"{count:,} rows of the table {table!r} ({what}) are no chats: they were not imported")


def is_export(file: JsonFile) -> bool:
    """True for exported chats, or one of them."""
    first = file.first()
    if not isinstance(first, dict) or not isinstance(chat := first.get("chat"), dict):
        return False
    return isinstance(chat.get("history"), dict) or (isinstance(chat.get("messages"), list) and "user_id" in first)


def read_export(file: JsonFile) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The chats, each followed by its branches."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif not isinstance(value, dict):
            yield Fault(where, "not a chat of a form that is known")
        else:
            yield from _of_row(value, [])


def _of_row(row: Mapping[str, Any], own: list[dict[str, Any]]) -> Iterator[Arrival | Fault | Note | LeftOut]:
    try:
        yield from _chat(row, row["chat"], own)
    except MALFORMED:
        yield Fault(f"chat {row.get('id')!r:.140}", "not a chat of a form that is known")


def _chat(
    row: Mapping[str, Any], chat: Mapping[str, Any], own: list[dict[str, Any]]
) -> Iterator[Arrival | Fault | Note | LeftOut]:
    id = kept_id(row.get("id") or chat.get("id"), chat)
    history = chat.get("history") or {}
    messages: dict[str, Any] = dict(history.get("messages") or {})
    leaf = history.get("currentId")
    for stored in own:
        name = str(stored["id"]).removeprefix(f"{row['id']}-")
        if name not in messages:
            messages[name] = _of_table(stored)
    at = leaf if leaf in messages else None
    for position, message in enumerate(chat.get("messages") or ()):
        name = str(message.get("id") or f"{position}")
        if name not in messages:
            messages[name] = {**message, "parentId": message.get("parentId") or at}
        at = name
    parents = {
        name: parent if isinstance(one, dict) and (parent := one.get("parentId")) in messages else None
        for name, one in messages.items()
    }
    system = (chat.get("params") or {}).get("system") or chat.get("system")
    if isinstance(system, str) and system:
        first = derived_id("open-webui", id, "system")
        messages = {first: {"role": "system", "content": system}, **messages}
        parents = {first: None} | {name: parent or first for name, parent in parents.items()}

    def events_of(name: str, calls: Calls) -> Iterator[Event | Fault | Note]:
        try:
            yield from _events(messages[name], kept_id(name), calls)
        except MALFORMED:
            yield Fault(f"message {name!r:.140} of {id!r:.140}", "not a message of a form that is known")

    title = row.get("title") or chat.get("title")
    about = {name: noted(one) for name, one in row.items() if name not in _READ_OF_ROW and one not in (*_NOTHING, 0)}
    about |= {name: noted(one) for name, one in chat.items() if name not in _READ_OF_CHAT and one not in _NOTHING}
    if isinstance(meta := about.get("meta"), str):
        about["meta"] = json_or_none(meta) or meta
    yield from sessions_of_tree(
        Arrival(
            id,
            (),
            user_id=name_or_empty(row.get("user_id")),
            title=title if codec.is_plain_text(title) else "",
            metadata={"open_webui": about} if about else {},
            created_at=time_of(row.get("created_at")) or time_of(chat.get("timestamp")),
            updated_at=time_of(row.get("updated_at")),
        ),
        parents,
        leaf or at,
        events_of,
    )


def _of_table(row: Mapping[str, Any]) -> dict[str, Any]:
    """A message from the table that newer releases have, in the form that it has in a chat."""
    read = {name: json_or_none(one) if isinstance(one, str) and one[:1] in '[{"' else one for name, one in row.items()}
    return {
        "parentId": str(row["parent_id"]).removeprefix(f"{row['chat_id']}-") if row["parent_id"] else None,
        "role": row["role"],
        "content": row["content"] if read.get("content") is None else read["content"],
        "model": row.get("model_id"),
        "timestamp": row["created_at"],
        **{name: read[name] for name in ("output", "files", "sources", "usage", "error") if read.get(name)},
    }


def _events(message: Mapping[str, Any], id: str, calls: Calls) -> Iterator[Event | Note]:
    said = Said()
    said.add_reasoning(message.get("reasoning_content"))
    if message.get("output"):
        said.add(message["output"])
    written = Said()
    content = message.get("content")
    if isinstance(content, str):
        _add_text(written if message.get("output") else said, content)
    else:
        said.add(content)
    _add_what_is_more(said, written)
    for call in message.get("tool_calls") or ():
        said.add({"type": "function", **call})
    author = author_of(message["role"])
    if author == "tool":
        answer, said = said, Said()
        said.add_result(message.get("tool_call_id"), answer.text)
    said.attachments += [noted(one) for one in message.get("files") or ()]
    about = {name: noted(one) for name, one in message.items() if name not in _READ and one not in _NOTHING}
    error = message.get("error")
    if not said.text and isinstance(error, dict) and isinstance(error.get("content"), str):
        said.add_text(error["content"])
    model = message.get("model")
    name = model if author == "assistant" and codec.is_plain_text(model) else ""
    counts = message.get("usage") or (message.get("info") or {}).get("usage") or message.get("info")
    yield from said.events(
        author,
        id,
        calls,
        created_at=time_of(message.get("timestamp")),
        metadata={"open_webui": about} if about else {},
        usage=usage_of(counts, name) if isinstance(counts, dict) else Usage(name) if name else None,
    )


def _add_what_is_more(said: Said, written: Said) -> None:
    """Adds what a message's text says beyond its items."""
    if _bare(written.text) not in _bare(said.text):
        said.add_text(written.text)
    if _bare(written.reasoning) not in _bare(said.reasoning):
        said.add_reasoning(written.reasoning)
    known = {(call.id, call.name) for call in said.calls}
    said.calls += [call for call in written.calls if (call.id, call.name) not in known]
    said.attachments += written.attachments


def _bare(text: str) -> str:
    return "".join(text.split())


def _add_text(said: Said, text: str) -> None:
    """Takes a text with what stands in it as ``<details>``; what is not closed is text."""
    at = 0
    while (begin := _OPEN.search(text, at)) and (end := text.find(_CLOSE, begin.end())) >= 0:
        attributes = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(begin[1])}
        inner = _SUMMARY.sub("", text[begin.end() : end], count=1)
        if _add_details(said, attributes, inner):
            said.add_text(text[at : begin.start()].strip("\n"))
        else:
            said.add_text(text[at : end + len(_CLOSE)].strip("\n"))
        at = end + len(_CLOSE)
    said.add_text(text[at:].strip("\n") if at else text)


def _add_details(said: Said, attributes: Mapping[str, str], inner: str) -> bool:
    match attributes.get("type"):
        case "reasoning":
            lines = html.unescape(inner).strip().splitlines()
            said.add_reasoning("\n".join(line.removeprefix(">").removeprefix(" ") for line in lines))
        case "tool_calls" if attributes.get("name"):
            arguments = json_or_none(attributes.get("arguments"))
            result = attributes.get("result") or html.unescape(inner).strip()  # newer releases write it inside
            output = json_or_none(result) if result else None
            for name in ("files", "embeds"):
                if shown := json_or_none(attributes.get(name)):
                    said.attachments.append({"type": name, "content": noted(shown)})
            said.add_call(
                attributes.get("name"),
                arguments if arguments is not None else attributes.get("arguments"),
                attributes.get("id"),
                output=result if output is None else output,
            )
        case "code_interpreter":
            code = _CODE.search(inner)
            output = attributes.get("output")
            args = {"code": html.unescape(code[1] if code else inner.strip())}
            if code and (besides := html.unescape(inner.replace(code[0], "", 1)).strip()):
                args["text"] = besides
            said.add_call("code_interpreter", args,
                          output=(json_or_none(output) or output) if output else None)  # fmt: skip
        case _:
            return False
    return True
