"""ChatGPT's export: ``conversations.json``, or the zip that it comes in.

A conversation is a tree of messages: each edit and each new answer is a branch. The path to ``current_node`` is what
the person saw last, and becomes the session; every other branch is a session of its own, which says where it left and
holds only what is its own.

What the person never wrote (custom instructions, memories, hidden context) is a ``system`` event. A message to a tool
is a call, whose id is the message's; what the tool answers has the same id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, ToolCall, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, json_text, not_understood, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, json_or_none, kept_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile
from session_sqlite.transfer.importers.trees import after_parents, sessions_of_tree

_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)
_READ: Final = frozenset(
    {"mapping", "title", "create_time", "update_time", "current_node", "id", "conversation_id", "is_read_only"}
)  # fmt: skip

# The keys of a content that are its text, by its type, in the order in which they are read; `parts` are read of all.
_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "text": ("text",),
    "multimodal_text": (),
    "code": ("text",),
    "execution_output": ("text",),
    "tether_browsing_display": ("result", "summary"),
    "tether_quote": ("title", "url", "text"),
    "sonic_webpage": ("title", "url", "snippet", "text"),
    "system_error": ("name", "text"),
    "citable_code_output": ("output_str",),
    "computer_output": (),
    "user_editable_context": ("user_profile", "user_instructions"),
    "model_editable_context": ("model_set_context", "repository", "repo_summary"),
    "thoughts": (),
    "reasoning_recap": ("content",),
}  # fmt: skip
_REASONING: Final = ("thoughts", "reasoning_recap")
_CONTEXTS: Final = ("user_editable_context", "model_editable_context")
_ASSETS: Final = ("screenshot", "assets", "images")
_NO_WORDS: Final = frozenset({"content_type", "language", "response_format_name"})
_USER_CONTEXT: Final = "user_context_message_data"
_SOURCES: Final = ("content_references", "citations", "_cite_metadata", "search_result_groups")
_BOOKKEEPING: Final = frozenset(
    {"attachments", "model_slug", "default_model_slug", "requested_model_slug", "request_id", "message_type",
     "timestamp_", "finish_details", "is_complete", "parent_id", "turn_exchange_id", "message_source", "gizmo_id",
     "is_visually_hidden_from_conversation", "is_user_system_message", "can_save", "pad", "command", "status",
     "serialization_metadata", "resolved_model_slug", "message_locale", "recipient", "turn_trace_id", _USER_CONTEXT,
     *_SOURCES}
)  # fmt: skip
# Between private characters: what kind of mark it is, and what it refers to, with another one between them.
_MARK: Final = re.compile("\ue200([^\ue200\ue201]*)\ue201")
_PRIVATE: Final = re.compile("[\ue200-\ue20f]+")


def is_chatgpt(file: JsonFile) -> bool:
    """True for a ``conversations.json``, or one conversation of it."""
    first = file.first()
    return isinstance(first, dict) and isinstance(first.get("mapping"), dict)


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The conversations, each followed by its branches."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
            continue
        try:
            yield from _conversation(value)
        except MALFORMED:
            yield Fault(where, "not a conversation of a form that is known")


@dataclass
class _Tree:
    """The messages of a conversation, by the names of their nodes."""

    nodes: Mapping[str, Any]
    model: str
    parents: dict[str, str | None] = field(default_factory=dict)
    times: dict[str, datetime | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, node in self.nodes.items():
            parent = node.get("parent") if isinstance(node, dict) else None
            self.parents[name] = parent if isinstance(parent, str) and parent in self.nodes else None
        for name, node in self.nodes.items():  # other exporters name only the children
            for child in (node.get("children") if isinstance(node, dict) else None) or ():
                if isinstance(child, str) and child in self.nodes and self.parents[child] is None and child != name:
                    self.parents[child] = name

    def set_times(self, made: datetime | None) -> None:
        """A message without a time has that of the one before it, or else of the one after it."""
        order = after_parents(self.parents)
        for name in order:
            self.times[name] = time_of(self.message(name).get("create_time")) or self.times.get(
                self.parents[name] or ""
            )
        for name in reversed(order):
            if (parent := self.parents[name]) is not None and self.times[parent] is None:
                self.times[parent] = self.times[name]
        for name in order:
            self.times[name] = self.times[name] or self.times.get(self.parents[name] or "") or made

    def message(self, name: str) -> Mapping[str, Any]:
        """The message of a node; empty if it has none."""
        node = self.nodes[name]
        message = node.get("message") if isinstance(node, dict) else None
        return message if isinstance(message, dict) else {}

    def call_before(self, name: str, tool: str) -> tuple[str, str]:
        """The id and the tool's name of the call that a message of a tool answers."""
        at = self.parents[name]
        seen = {name}
        while at is not None and at not in seen:
            seen.add(at)
            message = self.message(at)
            role, called = _role(message), message.get("recipient")
            if role == "user" or len(seen) > 200:
                break
            if role == "assistant" and isinstance(called, str) and _is_of(tool, called):
                return kept_id(message.get("id") or at), called
            at = self.parents[at]
        return "", tool


def _is_of(tool: str, called: str) -> bool:
    return called not in ("", "all") and (not tool or tool.split(".")[0] == called.split(".")[0])


def _conversation(conversation: Mapping[str, Any]) -> Iterator[Arrival | Fault | Note | LeftOut]:
    id = kept_id(conversation.get("conversation_id") or conversation.get("id") or derived_id("chatgpt", conversation))
    made = time_of(conversation.get("create_time"))
    model = conversation.get("default_model_slug")
    tree = _Tree(conversation["mapping"], model if codec.is_plain_text(model) else "")
    tree.set_times(made)
    title = conversation.get("title")

    def events_of(name: str, _: Calls) -> Iterator[Event | Fault | Note]:
        try:
            if tree.nodes[name].get("message"):
                yield from list(_events(tree, name))
        except MALFORMED:
            yield Fault(f"message {name!r:.140}", "not a message of a form that is known")

    yield from sessions_of_tree(
        Arrival(
            id,
            (),
            title=title if codec.is_plain_text(title) else "",
            metadata={
                name: noted(one) for name, one in conversation.items() if name not in _READ and one not in _NOTHING
            },
            created_at=made,
            updated_at=time_of(conversation.get("update_time")),
        ),
        tree.parents,
        conversation.get("current_node"),
        events_of,
    )


def _role(message: Mapping[str, Any]) -> object:
    author = message.get("author")
    return author.get("role") if isinstance(author, dict) else author


def _events(tree: _Tree, name: str) -> Iterator[Event | Note]:
    """The event of a message; none for one that says nothing, as the first of each conversation does."""
    message = tree.nodes[name]["message"]
    role = _role(message)
    if not isinstance(role, str):
        raise TypeError("a message has a role")
    about = message.get("metadata") or {}
    content = message.get("content") or {}
    is_hidden = bool(about.get("is_visually_hidden_from_conversation") or about.get("is_user_system_message"))
    kind = content.get("content_type") if isinstance(content, dict) else ""
    is_context = kind in _CONTEXTS or _USER_CONTEXT in about
    author = "system" if is_context or (is_hidden and author_of(role) == "user") else author_of(role)
    said = Said()
    unknown = _add_content(said, content)
    _add_user_context(said, about)
    said.attachments[:0] = [noted(one) for one in about.get("attachments") or ()]
    text = _readable(said.text, about.get("content_references"))
    metadata = _besides(about, said)
    if unknown:
        yield not_understood(unknown)
    if is_hidden:
        metadata["hidden"] = True
    if author != role:
        metadata["role"] = role
    actions: tuple[ToolCall, ...] = ()
    recipient = message.get("recipient") or "all"
    id = kept_id(message.get("id") or name)
    tool = message["author"].get("name") if isinstance(message["author"], dict) else ""
    if author == "tool":
        call_id, called = tree.call_before(name, tool if isinstance(tool, str) else "")
        actions = (ToolCall(called, id=call_id, error=text if kind == "system_error" else None),)
    elif author == "assistant" and isinstance(recipient, str) and recipient != "all":
        args = json_or_none(text)
        actions = (ToolCall(recipient, args if isinstance(args, dict) else {"input": text}, id=id),)
        text = ""
    elif isinstance(tool, str) and tool:
        metadata["name"] = tool
    has_words = text or said.reasoning or said.attachments or (actions and author != "tool")
    if not (has_words or _has_sentence(metadata)):
        return
    if said.attachments:
        metadata["attachments"] = said.attachments
    yield from said.notes()
    model = about.get("model_slug")
    model = model if codec.is_plain_text(model) and model else tree.model
    yield Event(
        author,
        text,
        reasoning=said.reasoning,
        actions=actions,
        metadata=metadata,
        usage=Usage(model) if author == "assistant" and model else None,
        id=id,
        created_at=tree.times[name],
    )


def _add_content(said: Said, content: Any) -> str:
    """Takes a content, whatever its type; gives the type if it is not understood."""
    if not isinstance(content, dict):
        said.add(content)
        return ""
    kind = content.get("content_type")
    names = _TEXTS.get(str(kind), ())
    read = {*_NO_WORDS, *names, "parts"}
    parts = content.get("parts") or []
    parts = parts if isinstance(parts, list) else [parts]
    if kind in _REASONING:
        read.add("thoughts")
        _add_thoughts(said, content.get("thoughts"))
        for part in (*parts, content.get("content")):
            said.add_reasoning(part)
    else:
        for part in parts:
            _add_part(said, part)
        for name in names:
            said.add(content.get(name))
    for name in _ASSETS:
        if content.get(name) and kind in _TEXTS:
            read.add(name)
            assets = content[name] if isinstance(content[name], list) else [content[name]]
            said.attachments += [noted(one) for one in assets]
    rest = {name: noted(value) for name, value in content.items() if name not in read and value not in _NOTHING}
    if kind in _TEXTS or not rest:
        if rest:
            said.metadata["content"] = rest
        return ""
    texts = [rest.pop(name) for name in ("title", "name", "text", "result") if isinstance(rest.get(name), str)]
    for one in (*texts, json_text(rest) if rest else ""):
        said.add_text(one)
    return str(kind) if re.fullmatch(r"[A-Za-z][\w.-]{0,63}", str(kind)) else "(without a name)"


def _add_part(said: Said, part: Any) -> None:
    if not isinstance(part, dict) or "type" in part:
        said.add(part)
    elif isinstance(part.get("text"), str):  # the transcript of what was spoken
        said.add_text(part["text"])
        rest = {name: value for name, value in part.items() if name not in ("text", "content_type")}
        if any(value not in _NOTHING for value in rest.values()):
            said.metadata.setdefault("blocks", []).append(noted(part | {"text": ""}))
    elif str(part.get("content_type", "")).endswith("asset_pointer") or "asset_pointer" in part:
        said.attachments.append(noted(part))
    else:
        kind = part.get("content_type")
        said.add({**part, "type": kind if isinstance(kind, str) else "part"})


def _add_thoughts(said: Said, thoughts: object) -> None:
    for thought in thoughts if isinstance(thoughts, list) else [thoughts]:
        if isinstance(thought, dict):
            texts = [thought.get(name) for name in ("summary", "content")]
            if not thought.get("content"):
                texts += thought.get("chunks") or []
            said.add_reasoning("\n".join(text for text in texts if isinstance(text, str) and text))
        else:
            said.add_reasoning(thought)


def _add_user_context(said: Said, about: Mapping[str, Any]) -> None:
    """Takes the custom instructions that stand beside a message, as far as it does not say them itself."""
    context = about.get(_USER_CONTEXT)
    if not isinstance(context, dict):
        return
    for value in context.values():
        if isinstance(value, str) and value not in said.text:
            said.add_text(value)


def _besides(about: Mapping[str, Any], said: Said) -> dict[str, Any]:
    """Returns what a message says of itself: its sources, and whatever else is more than bookkeeping."""
    metadata = dict(said.metadata)
    sources = {name.strip("_"): noted(about[name]) for name in _SOURCES if about.get(name) not in _NOTHING}
    rest = {
        name: noted(value)
        for name, value in about.items()
        if name not in _BOOKKEEPING and value not in (*_NOTHING, True)
    }
    if sources:
        metadata["sources"] = sources
    if rest:
        metadata["chatgpt"] = rest
    return metadata


def _has_sentence(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_sentence, value.values()))
    if isinstance(value, list):
        return any(map(_has_sentence, value))
    return isinstance(value, str) and " " in value.strip()


def _readable(text: str, references: object) -> str:
    """The text with marks of sources that people can read, in place of those between private characters."""
    if "\ue200" not in text and not _PRIVATE.search(text):
        return text
    for reference in references if isinstance(references, list) else ():
        if isinstance(reference, dict):
            mark = reference.get("matched_text")
            if isinstance(mark, str) and "\ue200" in mark:
                text = text.replace(mark, _shown(reference, mark))
    return _PRIVATE.sub(" ", _MARK.sub(lambda found: _bare(found[1]), text))


def _shown(reference: Mapping[str, Any], mark: str) -> str:
    alt = reference.get("alt")
    if isinstance(alt, str) and alt and not _PRIVATE.search(alt):
        return alt
    items = reference.get("items")
    links = [
        f"[{item.get('title') or item['url']}]({item['url']})"
        for item in (items if isinstance(items, list) else [reference])
        if isinstance(item, dict) and isinstance(item.get("url"), str)
    ]
    if links:
        return f"({', '.join(links)})"
    name = reference.get("title") or reference.get("name")
    return name if isinstance(name, str) and name else _MARK.sub(lambda found: _bare(found[1]), mark)


def _bare(mark: str) -> str:
    """A mark of which no source is known, as its words."""
    kind, *parts = _PRIVATE.split(mark)
    words = []
    for part in parts:
        value = json_or_none(part)
        if isinstance(value, list) and len(value) > 1 and isinstance(value[1], str):  # a thing, of a kind, by its name
            return value[1]
        words.append(json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else part)
    return f"[{kind}: {', '.join(filter(None, words))}]" if words else f"[{kind}]"
