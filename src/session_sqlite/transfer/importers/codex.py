"""Rollouts of Codex CLI: a file a session, of every generation.

Since autumn 2025 a line is ``{"timestamp", "type", "payload"}``; before that an item stood bare, after a header without
a type; the first releases wrote one document with ``session`` and ``items``. The items of the model's interface
(``response_item``) are what was said. The program's own events repeat most of it: what they say besides is kept.
A sub-agent's or a fork's file repeats the history of the session that it came from, written in one go as it began:
what was written up to two seconds later is a copy, whose tokens are not counted again.

The tokens of a reply come in an event after it, so that a reply waits for them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, json_text, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, json_or_none, kept_id, name_or_empty, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

_KINDS: Final = frozenset(
    {
        "session_meta",
        "response_item",
        "event_msg",
        "turn_context",
        "compacted",
        "world_state",
        "inter_agent_communication",
    }
)
_REPEATING: Final = {
    "user_message": "message", "agent_message": "message", "agent_reasoning": "text",
    "agent_reasoning_raw_content": "text",
}  # fmt: skip
# What the program says of its own work; whatever is in none of these lists is kept as text.
_TELEMETRY: Final = re.compile(
    r"task_\w+|turn_(started|complete|diff)|token_count|(exec_command|patch_apply|mcp_tool_call|web_search|"
    r"mcp_startup|item|collab_\w+|image_generation)_(begin|end|delta|output_delta|started|completed|complete|update)|"
    r"view_image_tool_call|context_compacted|thread_name_updated|session_configured|\w+_approval_request|\w+_delta|"
    r"agent_reasoning_section_break|thread_settings_applied|sub_agent_activity|shutdown_complete"
)
_CONTEXT: Final = re.compile(
    r"\s*(<(environment_context|user_instructions|permissions instructions|turn_aborted|skill|skills_instructions|"
    r"apps_instructions|plugins_instructions|collaboration_mode|subagent_notification|INSTRUCTIONS|app-context|"
    r"recommended_plugins|model_switch|personality_spec)\b|# AGENTS\.md instructions for )"
)
_OF_SESSION: Final = ("cwd", "originator", "cli_version", "source", "model_provider", "git")
COPYING: Final = timedelta(seconds=2)  # no model answers faster than a history is copied


class Item(NamedTuple):
    """A record in the form of the newest releases.

    Attributes:
        where: Its place in the file.
        kind: Its kind.
        payload: What it holds.
        when: Its time.
    """

    where: str
    kind: str
    payload: Mapping[str, Any]
    when: datetime | None


def is_codex(file: JsonFile) -> bool:
    """True for a rollout."""
    first = file.first()
    if not isinstance(first, dict):
        return False
    if isinstance(first.get("items"), list) and isinstance(first.get("session"), dict):
        return "id" in first["session"]
    kind = first.get("type")
    is_wrapped = isinstance(kind, str) and kind in _KINDS and isinstance(first.get("payload"), dict)
    return is_wrapped or first.get("record_type") == "state" or _is_header(first)


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The session of a file."""
    outline = _Outline()
    for item in _items(file):
        if isinstance(item, Item):
            outline.add(item)
    about = outline.about
    id = kept_id(about.get("id") or PurePath(file.name).stem, file.first())
    title = outline.title
    yield Arrival(
        id,
        _Conversation(outline, id).events(_items(file)),
        agent_id=name_or_empty(about.get("agent_nickname") or about.get("agent_role")),
        title=title if codec.is_plain_text(title) else "",
        metadata={"codex": {name: about[name] for name in _OF_SESSION if about.get(name)}},
        created_at=time_of(about.get("timestamp")),
        parent_id=kept_id(outline.parent) if outline.parent else None,
    )


def _is_header(value: Mapping[str, Any]) -> bool:
    return {"id", "timestamp", "instructions"} <= value.keys() and not {"type", "role", "messages"} & value.keys()


def _items(file: JsonFile) -> Iterator[Item | Fault]:
    when: datetime | None = None
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
            continue
        if isinstance(value, dict) and isinstance(value.get("items"), list) and isinstance(value.get("session"), dict):
            when = time_of(value["session"].get("timestamp"))
            yield Item(where, "session_meta", value["session"], when)
            for position, one in enumerate(value["items"]):
                yield _item(f"item {position}", one, when)
            continue
        item = _item(where, value, when)
        if isinstance(item, Item):
            when = item.when
        yield item


def _item(where: str, value: Any, before: datetime | None) -> Item | Fault:
    if not isinstance(value, dict):
        return Fault(where, "not a record of a form that is known")
    when = time_of(value.get("timestamp")) or before
    kind = value.get("type")
    if isinstance(value.get("payload"), dict) and isinstance(kind, str):
        return Item(where, kind, value["payload"], when)
    if "record_type" in value and kind is None:
        return Item(where, "state", value, when)
    if _is_header(value):
        return Item(where, "session_meta", value, when)
    if isinstance(kind, str) or isinstance(value.get("role"), str):
        return Item(where, "response_item", value, when)
    return Fault(where, "not a record of a form that is known")


@dataclass
class _Outline:
    """The facts of a file that have to be known before its events are made.

    Attributes:
        about: What it says of its session.
        said: Hashes of the texts of its items, which the program's events repeat.
        title: The name that was given to it.
        parent: The session that it came from; empty if there is none.
    """

    about: Mapping[str, Any] = field(default_factory=dict)
    said: set[int] = field(default_factory=set)
    title: str = ""
    parent: str = ""

    def add(self, item: Item) -> None:
        """Takes an item of the first reading."""
        if item.kind == "session_meta" and not self.about:
            self.about = item.payload
            self.parent = _parent(item.payload)
        elif item.kind == "response_item":
            self.said.update(hash(text) for text in _texts(item.payload))
        elif item.payload.get("type") == "thread_name_updated" and isinstance(item.payload.get("thread_name"), str):
            self.title = item.payload["thread_name"]

    def repeats(self, text: object) -> bool:
        """True for a text that an item says too."""
        return isinstance(text, str) and hash(_bare(text)) in self.said


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """The texts of an item: of each block, and of all blocks together."""
    if isinstance(value, str):
        yield _bare(value)
    elif isinstance(value, dict) and depth < 10:
        for one in value.values():
            yield from _texts(one, depth + 1)
    elif isinstance(value, list) and depth < 10:
        for one in value:
            yield from _texts(one, depth + 1)
        blocks = [one["text"] for one in value if isinstance(one, dict) and isinstance(one.get("text"), str)]
        yield _bare("".join(blocks))


def _bare(text: str) -> str:
    return "".join(text.split())


def _name_of(payload: Mapping[str, Any]) -> list[str]:
    """Who says the first text of an item or of an event that repeats it, and the text; empty if there is none."""
    kind = payload.get("type") or "message"
    if kind in _REPEATING:
        who, said = kind.removesuffix("_raw_content").removesuffix("_message"), payload.get(_REPEATING[kind])
    elif kind == "message":
        author = author_of(payload.get("role"))
        who, said = {"assistant": "agent"}.get(author, author), payload.get("content")
    elif kind == "reasoning":
        who, said = "agent_reasoning", payload.get("summary") or payload.get("content")
    else:
        return []
    blocks = said if isinstance(said, list) else [said]
    texts = (one.get("text") if isinstance(one, dict) else one for one in blocks)
    text = next((_bare(text) for text in texts if isinstance(text, str) and text), "")
    return [who, text] if text else []


def _parent(meta: Mapping[str, Any]) -> str:
    source = meta.get("source")
    at: Any = source.get("subagent") if isinstance(source, dict) else None
    at = at.get("thread_spawn") if isinstance(at, dict) else None
    spawned = at.get("parent_thread_id") if isinstance(at, dict) else None
    found = spawned or meta.get("parent_thread_id") or meta.get("forked_from_id")
    return found if isinstance(found, str) else ""


@dataclass
class _Reply:
    """The answers of the model in one go, as far as they were read."""

    id: str
    when: datetime | None
    said: Said = field(default_factory=Said)
    usage: Usage | None = None
    after: list[Iterator[Event | Note]] = field(default_factory=list)  # results that came before its tokens


class _Conversation:
    """Makes the events of a file, an item after the other."""

    def __init__(self, outline: _Outline, session_id: str) -> None:
        self._outline = outline
        self._id = session_id
        self._calls = Calls()
        self._seen: Counter[str] = Counter()
        self._reply: _Reply | None = None
        self._model = ""
        self._counted: object = None  # the total of the tokens that were told last
        self._copied_from = ""
        self._copied_until: datetime | None = None
        self._has_meta = False

    def events(self, items: Iterator[Item | Fault]) -> Iterator[Event | Fault | Note | LeftOut]:
        """The events of the items."""
        for item in items:
            if isinstance(item, Fault):
                yield item
                continue
            try:
                made = list(self._made(item))
            except MALFORMED:
                yield Fault(item.where, "not a record of a form that is known")
                continue
            for one in made:
                yield self._marked(one)
        for one in self._finished():
            yield self._marked(one)

    def _marked(self, one: Event | Note | LeftOut) -> Event | Note | LeftOut:
        if isinstance(one, Event) and self._is_copied(one.created_at):
            one.__dict__["copied_from"] = self._copied_from
        return one

    def _is_copied(self, when: datetime | None) -> bool:
        return self._copied_from != "" and (when is None or self._copied_until is None or when <= self._copied_until)

    def _made(self, item: Item) -> Iterator[Event | Note | LeftOut]:
        match item.kind:
            case "session_meta":
                yield from self._meta(item)
            case "response_item":
                yield from self._response_item(item)
            case "event_msg":
                yield from self._event_msg(item)
            case "turn_context":
                model = item.payload.get("model")
                self._model = model if codec.is_plain_text(model) else self._model
                for name in ("user_instructions", "developer_instructions"):
                    yield from self._instructions(item, item.payload.get(name))
                yield LeftOut("turn_context")
            case "compacted":
                yield from self._finished()
                rest = [one for one in item.payload.get("replacement_history") or () if not self._is_known(one)]
                metadata = {"codex": {"compacted": True} | ({"replacement_history": noted(rest)} if rest else {})}
                yield from self._told(item, item.payload.get("message"), metadata)
            case "state":
                yield LeftOut("state")
            case _:
                yield from self._finished()
                yield Note(f"records of the kind {item.kind!r:.80} are not understood: they were kept as text")
                yield from self._told(item, json_text(noted(item.payload)), {})

    def _is_known(self, value: Any) -> bool:
        content = value.get("content") if isinstance(value, dict) else value
        blocks = content if isinstance(content, list) else [content]
        texts = [one.get("text") if isinstance(one, dict) else one for one in blocks]
        return all(self._outline.repeats(text) for text in texts if text)

    def _meta(self, item: Item) -> Iterator[Event | Note | LeftOut]:
        if self._has_meta:
            if item.payload.get("id") != self._outline.about.get("id") and self._outline.parent:
                self._copied_from = kept_id(self._outline.parent)
                self._copied_until = item.when + COPYING if item.when else None
            yield LeftOut("session_meta")
        self._has_meta = True
        base = item.payload.get("base_instructions")
        yield from self._instructions(item, base.get("text") if isinstance(base, dict) else base)
        yield from self._instructions(item, item.payload.get("instructions"))

    def _instructions(self, item: Item, text: object) -> Iterator[Event | Note]:
        if isinstance(text, str) and text and not self._outline.repeats(text):
            self._outline.said.add(hash(_bare(text)))
            yield from self._finished()
            yield from self._told(item, text, {"codex": {"instructions": True}})

    def _response_item(self, item: Item) -> Iterator[Event | Note | LeftOut]:
        payload = item.payload
        kind = payload.get("type") or "message"
        if kind == "message":
            author = author_of(payload["role"])
            if author == "assistant":
                yield from self._add(item, payload.get("content"))
                return
            said = Said.of(payload.get("content"))
            if author == "user" and _CONTEXT.match(said.text):
                author = "system"
            yield from self._finished()
            yield from said.events(author, self._new_id(payload), self._calls, created_at=item.when)
        elif kind.endswith("_output"):
            yield from self._result(item)
        elif kind == "ghost_snapshot":
            yield LeftOut("ghost_snapshot")
        elif kind == "custom_tool_call" and isinstance(payload.get("input"), str):
            yield from self._add(item, {**payload, "input": {"input": payload["input"]}})
        else:
            yield from self._add(item, dict(payload))

    def _result(self, item: Item) -> Iterator[Event | Note]:
        output = item.payload.get("output")
        about: dict[str, Any] = {}
        failed = False
        inner = json_or_none(output) if isinstance(output, str) and output.startswith("{") else output
        if isinstance(inner, dict) and "output" in inner and inner.keys() <= {"output", "metadata"}:
            output, about = inner["output"], {"codex": inner.get("metadata") or {}}
        elif isinstance(inner, dict) and "content" in inner and inner.keys() <= {"content", "success", "content_items"}:
            output, failed = inner.get("content_items") or inner["content"], inner.get("success") is False
        said = Said()
        said.add_result(item.payload.get("call_id"), output, is_error=failed)
        made = said.events("tool", self._new_id(item.payload), self._calls, created_at=item.when, metadata=about)
        if self._reply is not None and self._reply.usage is None:
            self._reply.after.append(made)  # the tokens of the reply may come after the result
        else:
            yield from self._finished()
            yield from made

    def _event_msg(self, item: Item) -> Iterator[Event | Note | LeftOut]:
        kind = str(item.payload.get("type"))
        if kind == "token_count":
            if not self._count(item.payload.get("info")):
                yield LeftOut("event_msg, token_count")
        elif kind in _REPEATING:
            text = item.payload.get(_REPEATING[kind])
            if self._outline.repeats(text):
                return
            if kind in ("agent_reasoning", "agent_reasoning_raw_content"):
                yield from self._add(item, {"type": "reasoning", "text": text})
            elif kind == "agent_message":
                yield from self._add(item, text)
            else:
                yield from self._finished()
                yield from Said.of(text).events("user", self._new_id(item.payload), self._calls, created_at=item.when)
        elif _TELEMETRY.fullmatch(kind):
            yield LeftOut(f"event_msg, {kind}")
            last = item.payload.get("last_agent_message")
            if isinstance(last, str) and last and not self._outline.repeats(last):
                yield from self._add(item, last)
        else:
            yield from self._finished()
            text = item.payload.get("message")
            besides = {name: noted(one) for name, one in item.payload.items() if name != "message" and one}
            yield from self._told(item, text if isinstance(text, str) else json_text(noted(item.payload)),
                                  {"codex": besides})  # fmt: skip

    def _count(self, info: Any) -> bool:
        """Takes the tokens of the reply that waits; False if they are told again, or of no reply."""
        if not isinstance(info, dict) or info.get("total_token_usage") in (None, self._counted) or self._reply is None:
            return False
        self._counted = info["total_token_usage"]
        self._reply.usage = usage_of(info.get("last_token_usage"), self._model)
        return True

    def _add(self, item: Item, content: Any) -> Iterator[Event | Note]:
        """Adds to the reply that is being read; one whose tokens or results have come is finished first."""
        if self._reply is not None and (self._reply.usage is not None or self._reply.after):
            yield from self._finished()
        if self._reply is None:
            self._reply = _Reply(self._new_id(item.payload), item.when)
        self._reply.said.add(content)

    def _finished(self) -> Iterator[Event | Note]:
        reply, self._reply = self._reply, None
        if reply is None:
            return
        usage = reply.usage or (Usage(self._model) if self._model else None)
        if self._is_copied(reply.when):
            usage = None
        yield from reply.said.events("assistant", reply.id, self._calls, created_at=reply.when, usage=usage)
        for result in reply.after:
            yield from result

    def _told(self, item: Item, text: object, metadata: Mapping[str, Any]) -> Iterator[Event | Note]:
        said = Said.of(text)
        yield from said.events(
            "system", self._new_id(item.payload), self._calls, created_at=item.when, metadata=metadata
        )

    def _new_id(self, payload: Mapping[str, Any]) -> str:
        """An id that stands for what an item says, so that its copy in another file has the same.

        So has the program's event that says it before the item does, which may be the last line that there is yet.
        """
        digest = derived_id("codex", _name_of(payload) or payload)
        self._seen[digest] += 1
        return digest if self._seen[digest] == 1 else derived_id(digest, self._seen[digest])
