"""Sessions of Claude Code: JSON Lines, one file a session, and one for each sub-agent in newer releases.

A line is a *record*: a message of the user, a piece of a reply (each content block of it is a line of its own, with the
tokens of the whole), a note of the program, or bookkeeping. Records point at the one before them. Where the user went
back and wrote something else, the records that were left are a *branch*: a session of its own with what only it has.
What a sub-agent did is a child session, whether its records stand in a file of their own or between the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of_provider
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, json_text, not_understood, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, kept_id, name_or_empty, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

Record = Mapping[str, Any]
Numbered = tuple[str, Record]  # where it is, and the record

# The kinds of titles: the last one counts most.
_TITLES: Final = {
    "summary": "summary",
    "ai-title": "aiTitle",
    "custom-title": "customTitle",
}
_BOOKKEEPING: Final = frozenset(
    {"file-history-snapshot", "file-history-delta", "progress", "queue-operation", "last-prompt", "permission-mode",
     "mode", "tag", "agent-name", "agent-color", "agent-setting", "pr-link", "worktree-state", "content-replacement",
     "speculation-accept", "attribution-snapshot", "cost-state", "bridge-session"}
)  # fmt: skip
_OF_SESSION: Final = ("cwd", "gitBranch", "version", "slug", "userType", "entrypoint")
_KNOWN: Final = frozenset(
    {"type", "uuid", "parentUuid", "logicalParentUuid", "sessionId", "timestamp", "message", "isSidechain", "content",
     "agentId", "forkedFrom"}
)  # fmt: skip
_NO_MODEL: Final = "<synthetic>"


def is_claude_code(file: JsonFile) -> bool:
    """True for the records of a session."""
    first = file.first()
    if not isinstance(first, dict) or not isinstance(first.get("type"), str):
        return False
    if isinstance(first.get("sessionId"), str):
        return first["type"] not in ("user", "assistant") or isinstance(first.get("message"), dict)
    return (first["type"] == "summary" and "leafUuid" in first) or (
        first["type"] == "file-history-snapshot" and "snapshot" in first
    )


def read(file: JsonFile) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The session of a file, its branches, and the sub-agents whose records stand between the others."""
    shape = _Shape(PurePath(file.name).stem)
    for _, record in _records(file):
        if isinstance(record, Mapping):
            shape.add(record)
    shape.close()
    session = _Session(shape)
    yield Arrival(
        session.id,
        session.events(_records(file)),
        agent_id=name_or_empty(shape.agent),
        title=shape.title if codec.is_plain_text(shape.title) else "",
        metadata=shape.metadata(),
        parent_id=session.parent_id,
        tree=session.id,
    )
    yield from session.children()


def _records(file: JsonFile) -> Iterator[tuple[str, Record | Fault]]:
    for where, value in file.values():
        if isinstance(value, Fault) or (isinstance(value, dict) and isinstance(value.get("type"), str)):
            yield where, value
        else:
            yield where, Fault(where, "not a record of a form that is known")


@dataclass
class _Shape:
    """The facts of a file that have to be known before its events are made.

    Attributes:
        name: The name of the file.
        ids: How many records each session id has.
        about: What the first record says of the session.
        titles: The titles by their kind.
        usages: The tokens of each reply; its lines repeat them while they grow.
        parents: The record before each.
        branches: The first record of each branch, for all records that are in one.
    """

    name: str
    ids: Counter[str] = field(default_factory=Counter)
    agents: set[str] = field(default_factory=set)
    about: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, list[str]] = field(default_factory=dict)
    usages: dict[str, Usage] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    has_main: bool = False
    forked_from: str = ""
    _prompts: set[str] = field(default_factory=set)
    _last: str = ""

    def add(self, record: Record) -> None:
        """Takes a record of the first reading."""
        kind = record["type"]
        if kind in _TITLES:
            text = record.get(_TITLES[kind])
            if isinstance(text, str) and text:
                self.titles.setdefault(kind, []).append(text)
            return
        if isinstance(record.get("sessionId"), str):
            self.ids[record["sessionId"]] += 1
        if not isinstance(record.get("uuid"), str):
            return
        for name in _OF_SESSION:
            if record.get(name) not in (None, ""):
                self.about.setdefault(name, record[name])
        if isinstance(record.get("agentId"), str):
            self.agents.add(record["agentId"])
        fork = record.get("forkedFrom")
        if isinstance(fork, dict) and isinstance(fork.get("sessionId"), str):
            self.forked_from = fork["sessionId"]
        id, before = record["uuid"], record.get("parentUuid") or record.get("logicalParentUuid")
        if isinstance(before, str):
            self.parents[id] = before
        message = record.get("message")
        if kind == "assistant" and isinstance(message, dict):
            self._add_usage(message)
        if not record.get("isSidechain"):
            self.has_main = True
            self._last = id
            if kind == "user" and not record.get("isMeta") and _is_prompt(message):
                self._prompts.add(id)

    def _add_usage(self, message: Mapping[str, Any]) -> None:
        usage = _usage(message)
        if usage is not None and isinstance(message.get("id"), str):
            known = self.usages.get(message["id"])
            if known is None or usage.output_tokens >= known.output_tokens:
                self.usages[message["id"]] = usage

    def close(self) -> None:
        """Finds the branches: prompts that do not lead to the last record, and what follows them."""
        path: set[str] = set()
        at: str | None = self._last
        while at and at not in path:
            path.add(at)
            at = self.parents.get(at)
        left = self._prompts - path
        if not left:
            return
        for id in self.parents:
            chain: list[str] = []
            at = id
            while at and at not in path and at not in self.branches and at not in chain:
                chain.append(at)
                at = self.parents.get(at)
            first = self.branches.get(at or "", "")
            for one in reversed(chain):
                first = first or (one if one in left else "")
                if first:
                    self.branches[one] = first

    @property
    def id(self) -> str:
        """The id of the file's session: its name, if records have it, otherwise the first that they have."""
        if self.name in self.ids or not self.ids:
            return self.name
        return next(iter(self.ids))

    @property
    def agent(self) -> str:
        """The sub-agent that all records of the file are of; empty if they are not."""
        return next(iter(self.agents)) if len(self.agents) == 1 and not self.has_main else ""

    @property
    def title(self) -> str:
        """The title that the user gave, or else the program."""
        return next((self.titles[kind][-1] for kind in reversed(_TITLES) if kind in self.titles), "")

    def metadata(self) -> dict[str, Any]:
        """Returns the metadata of the session."""
        about = dict(self.about)
        if sum(map(len, self.titles.values())) > 1:
            about["titles"] = self.titles
        return {"claude_code": about} if about else {}


class _Session:
    """The events of a file, shared out among its session, its branches and its sub-agents."""

    def __init__(self, shape: _Shape) -> None:
        self._shape = shape
        self._others: dict[str, list[Numbered]] = {}  # the records of the branches and sub-agents
        self._begin: dict[str, int] = {}  # how many events of the session were before them
        self._seqs: dict[str, int] = {}  # how many events there were after the records that branches leave from
        self._chains: dict[str, str] = {}  # of a sub-agent's records: its first
        main = kept_id(shape.id)
        self.id = kept_id(f"{main}:{shape.agent}") if shape.agent else main
        self.parent_id = main if shape.agent else kept_id(shape.forked_from) if shape.forked_from else None

    def events(self, records: Iterable[tuple[str, Record | Fault]]) -> Iterator[Event | Fault | Note | LeftOut]:
        """The events of the session itself; what is not of it is put aside."""
        events = taken = told = 0
        waiting: dict[int, list[str]] = {}  # others, by the number of the record that they follow
        leaves = {self._shape.parents.get(first) for first in self._shape.branches.values()}

        def own() -> Iterator[tuple[str, Record | Fault]]:
            nonlocal taken
            for where, record in records:
                if isinstance(record, Fault):
                    yield where, record
                elif (other := self._other(record)) is None:
                    taken += 1
                    yield where, record
                else:
                    if other not in self._others:
                        self._begin[other] = events
                        if told < taken:  # a reply whose lines are still being read
                            waiting.setdefault(taken, []).append(other)
                    self._others.setdefault(other, []).append((where, record))

        def tell(record: Record) -> None:
            nonlocal told
            told += 1
            self._begin.update(dict.fromkeys(waiting.pop(told, ()), events))
            id = record.get("uuid")
            if isinstance(id, str) and id in leaves:
                self._seqs[id] = events

        for event in _events(own(), self._shape, self.id, tell):
            events += isinstance(event, Event)
            yield event

    def children(self) -> Iterator[Arrival]:
        """The branches and the sub-agents."""
        for name, records in self._others.items():
            first = records[0][1]
            is_agent = bool(first.get("isSidechain"))
            seq = self._begin[name] if is_agent else self._seqs.get(self._shape.parents.get(name, ""), 0)
            yield Arrival(
                kept_id(f"{self.id}:{name}"),
                _events(records, self._shape, self.id),
                agent_id=name_or_empty(first.get("agentId")),
                metadata=self._shape.metadata(),
                parent_id=self.id,
                parent_seq=seq,
                tree=self.id,
            )

    def _other(self, record: Record) -> str | None:
        """The branch or the sub-agent that a record is of; None for the session itself."""
        id = record.get("uuid")
        if record.get("isSidechain") and not self._shape.agent:
            if isinstance(record.get("agentId"), str):
                return str(record["agentId"])
            first = self._chains.get(str(record.get("parentUuid")), str(id or "sidechain"))
            self._chains[str(id)] = first
            return first
        return self._shape.branches.get(id) if isinstance(id, str) else None


def _events(
    records: Iterable[tuple[str, Record | Fault]],
    shape: _Shape,
    session_id: str,
    tell: Callable[[Record], None] = lambda _: None,
) -> Iterator[Event | Fault | Note | LeftOut]:
    calls = Calls()
    counted: set[str] = set()  # the replies whose tokens were told
    reply: list[Numbered] = []
    for where, record in records:
        if reply and (isinstance(record, Fault) or not _continues(record, reply[0][1])):
            yield from _reply(reply, shape, calls, counted, session_id)
            for _, line in reply:
                tell(line)
            reply = []
        if isinstance(record, Fault):
            yield record
        elif record["type"] == "assistant":
            reply.append((where, record))
        else:
            try:
                yield from _other_record(where, record, shape, calls, session_id)
            except MALFORMED:
                yield Fault(where, "not a record of a form that is known")
            tell(record)
    if reply:
        yield from _reply(reply, shape, calls, counted, session_id)
        for _, line in reply:
            tell(line)


def _continues(record: Record, before: Record) -> bool:
    """True for a further line of the same reply."""
    if record["type"] != "assistant" or record.get("sessionId") != before.get("sessionId"):
        return False
    id = _part(record, "message", "id")
    return id is not None and id == _part(before, "message", "id")


def _reply(
    lines: list[Numbered], shape: _Shape, calls: Calls, counted: set[str], session_id: str
) -> Iterator[Event | Fault | Note | LeftOut]:
    said = Said()
    about: dict[str, Any] = {}
    try:
        for _, record in lines:
            message = record["message"]
            said.add(message.get("content"))
            about |= _about(record, shape)
            for name in ("stop_reason", "stop_sequence", "service_tier"):
                if message.get(name) not in (None, "tool_use", "end_turn"):
                    about[name] = message[name]
        first = lines[0][1]
        reply_id = _part(first, "message", "id")
        usage = _usage(first["message"]) if reply_id is None else shape.usages.get(reply_id)
        if reply_id in counted:
            usage = None
        elif reply_id is not None:
            counted.add(reply_id)
        yield from _made(said, "assistant", first, lines[0][0], calls, about, session_id, usage)
    except MALFORMED:
        for where, _ in lines:
            yield Fault(where, "not a record of a form that is known")


def _other_record(
    where: str, record: Record, shape: _Shape, calls: Calls, session_id: str
) -> Iterator[Event | Note | LeftOut]:
    kind = record["type"]
    about = _about(record, shape)
    if kind in _TITLES and isinstance(record.get(_TITLES[kind]), str):
        return
    if kind == "user":
        said = Said.of(record["message"]["content"])
        is_context = record.get("isMeta") or record.get("isCompactSummary") or record.get("isVisibleInTranscriptOnly")
        yield from _made(said, "system" if is_context else "user", record, where, calls, about, session_id)
    elif kind == "system":
        if record.get("content") or record.get("error"):
            yield from _made(Said.of(record.get("content")), "system", record, where, calls, about, session_id)
        else:
            yield LeftOut(f"system, {record.get('subtype')}")
    elif kind == "attachment":
        attachment = record["attachment"]
        texts = (attachment.get(name) for name in ("content", "prompt", "text", "stdout", "message"))
        said = Said.of(next((text for text in texts if isinstance(text, str) and text), None))
        yield from _made(said, "system", record, where, calls, about, session_id)
    elif kind in _BOOKKEEPING:
        # A sub-agent's progress is some of the records of its own file.
        yield LeftOut("progress of a sub-agent" if _part(record, "data", "type") == "agent_progress" else kind)
    else:
        yield not_understood(kind if codec.is_identifier(kind) else "(without a name)")
        said = Said()
        said.add_text(json_text(noted({name: value for name, value in record.items() if name != "uuid"})))
        yield from _made(said, "system", record, where, calls, {}, session_id)


def _made(
    said: Said,
    author: str,
    record: Record,
    where: str,
    calls: Calls,
    about: Mapping[str, Any],
    session_id: str,
    usage: Usage | None = None,
) -> Iterator[Event | Note]:
    own = record.get("uuid")
    id = kept_id(own) if isinstance(own, str) and own else derived_id(session_id, where, record)
    origin = _part(record, "forkedFrom", "sessionId")
    for event in said.events(
        author,
        id,
        calls,
        created_at=time_of(record.get("timestamp")),
        metadata={"claude_code": dict(about)} if about else {},
        usage=usage,
        agent_id=name_or_empty(record.get("agentId")) if author == "assistant" else "",
    ):
        if isinstance(event, Event) and origin is not None:
            event.__dict__["copied_from"] = kept_id(origin)
        yield event


def _about(record: Record, shape: _Shape) -> dict[str, Any]:
    """Returns what a record says besides its message, as far as it is not the same for the whole session."""
    return {
        name: noted(value)
        for name, value in record.items()
        if name not in _KNOWN and value not in (None, "", [], {}, False) and shape.about.get(name) != value
    }


def _usage(message: Mapping[str, Any]) -> Usage | None:
    model = message.get("model")
    if model == _NO_MODEL:
        return None
    return usage_of_provider(message.get("usage"), model if codec.is_plain_text(model) else "")


def _is_prompt(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return not any(isinstance(block, dict) and block.get("type") == "tool_result" for block in content)
    return isinstance(content, str)


def _part(record: Record, *names: str) -> str | None:
    value: Any = record
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value else None
