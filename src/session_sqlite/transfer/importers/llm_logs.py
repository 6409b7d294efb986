"""``logs.db`` of the tool llm, of every generation.

Up to 0.35 a conversation has *responses*, each a prompt with what was sent along and the reply. Since 0.36 a *thread*
points at the last of a chain of messages, which are made of parts and shared between threads; a *turn* is one call of a
model, and says which it was, when, and the tokens. In the first months there was one table, ``logs``. A file that was
upgraded has all of them. A thread that continues a conversation has it whole, without its times and tokens: where both
say the same, its responses come first and then what the thread has more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from session_sqlite import codec
from session_sqlite.messages.tokens import usage_of
from session_sqlite.models import Event, ToolCall, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers import databases as db
from session_sqlite.transfer.importers.blocks import ATTACHMENTS_ARE_NOTED, AUTHORS, made_call
from session_sqlite.transfer.importers.databases import Database, columns_of, quoted
from session_sqlite.transfer.importers.ids import json_or_none, json_or_text, kept_id, time_of

Events = Iterator[Event | Fault | Note]
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError)


def is_llm(database: Database) -> bool:
    """True for a file of llm."""
    return "_llm_migrations" in database.tables or (
        database.has("responses", "prompt", "response", "conversation_id") and "conversations" in database.tables
    )


def read(database: Database) -> Iterator[Arrival | Fault | Note]:
    """The conversations, oldest first within each generation."""
    if database.has("logs", "id", "prompt", "response"):
        yield from _first_logs(database)
    threads = list(database.records(db.LLM_THREADS)) if database.has("threads", "tip_message_hash") else []
    continued = {thread["id"] for thread in threads if thread["tip_message_hash"]}
    if database.has("responses", "id", "conversation_id"):
        for conversation in list(database.records(db.LLM_CONVERSATIONS)):
            if conversation["id"] not in continued:
                yield Arrival(
                    kept_id(conversation["id"]),
                    _responses(database, database.records(db.LLM_RESPONSES, id=conversation["id"])),
                    title=_text(conversation["name"]),
                    metadata=columns_of(conversation, ["model"]),
                )
        for response in list(database.records(db.LLM_LOOSE_RESPONSES)):
            yield Arrival(kept_id(response["id"]), _responses(database, iter([response])))
    chains: dict[str, dict[str, Said]] = {}
    for thread in threads:
        arrival = _thread(database, thread, chains)
        if database.has("responses", "id", "conversation_id"):
            before = list(_responses(database, database.records(db.LLM_RESPONSES, id=thread["id"])))
            arrival.events = _continued(before, arrival.events)
        yield arrival
    if threads and (loose := next(database.rows(db.LLM_LOOSE_TURNS))[0]):
        yield Note(f"{loose:,} turns belong to no thread: they were not imported")


# ---------------------------------------------------------------- logs, of the first months


def _first_logs(database: Database) -> Iterator[Arrival]:
    chats: dict[Any, list[dict[str, Any]]] = {}
    for row in database.records(db.LLM_LOGS):
        chats.setdefault(row.get("chat_id") or row["id"], []).append(row)
    for id, rows in chats.items():
        named = [{**row, "id": f"log-{row['id']}"} for row in rows]
        yield Arrival(f"log-{id}", _responses(None, iter(named)), title=_text(rows[0]["prompt"])[:100])


# ---------------------------------------------------------------- responses, up to 0.35


def _responses(database: Database | None, rows: Iterator[Mapping[str, Any]]) -> Events:
    system = ""
    names: dict[str, str] = {}
    for row in list(rows):
        try:
            events = list(_response(database, row, system, names))
        except _MALFORMED:
            yield Fault(f"response {row.get('id')!r:.140}", "not a response of a form that is known")
            continue
        system = _text(row.get("system")) or system
        yield from events


def _response(database: Database | None, row: Mapping[str, Any], system: str, names: dict[str, str]) -> Events:
    id = row["id"]
    when = time_of(row.get("datetime_utc") or row.get("timestamp"))
    own_system = _joined(_fragments(database, "system_fragments", id), row.get("system"))
    if own_system and own_system != system:
        yield Event("system", own_system, id=kept_id(f"{id}:system"), created_at=when)
    for position, result in enumerate(_of_response(database, "tool_results", db.LLM_TOOL_RESULTS, id)):
        call_id = _text(result.get("tool_call_id"))
        error = result.get("exception") or None
        call = ToolCall(_text(result["name"]) or names.get(call_id, ""), id=call_id, error=error)
        output = _text(result["output"])
        yield Event("tool", output, actions=[call], id=kept_id(f"{id}:result:{position}"), created_at=when)
    attachments = list(_of_response(database, "prompt_attachments", db.LLM_ATTACHMENTS, id))
    prompt = _joined(_fragments(database, "prompt_fragments", id), row.get("prompt"))
    if attachments:
        yield ATTACHMENTS_ARE_NOTED
    if prompt or attachments:
        noted = [columns_of(one, list(one)) for one in attachments]
        metadata = {"attachments": noted} if noted else {}
        yield Event("user", prompt, metadata=metadata, id=kept_id(f"{id}:prompt"), created_at=when)
    metadata = columns_of(row, ["duration_ms"])
    if options := json_or_text(row.get("options_json")):
        metadata["options"] = options
    calls = [
        made_call(call["name"], call["arguments"], call.get("tool_call_id"), metadata)
        for call in _of_response(database, "tool_calls", db.LLM_TOOL_CALLS, id)
    ]
    names.update((call.id, call.name) for call in calls)
    yield Event(
        "assistant",
        _text(row.get("response")),
        reasoning=_text(row.get("reasoning")),
        actions=calls,
        metadata=metadata,
        usage=_usage(row),
        id=kept_id(f"{id}:response"),
        created_at=when,
    )


def _of_response(database: Database | None, table: str, sql: str, id: Any) -> Iterator[dict[str, Any]]:
    if database is not None and database.has(table, "response_id"):
        yield from database.records(sql, id=id)


def _fragments(database: Database | None, table: str, id: Any) -> list[str]:
    if database is None or not database.has(table, "response_id", "fragment_id", "order"):
        return []
    return [_text(content) for content, *_ in database.rows(db.LLM_FRAGMENTS.format(quoted(table)), id=id)]


def _joined(fragments: list[str], text: object) -> str:
    return "\n".join(filter(None, [*fragments, _text(text)]))  # as llm sends them


def _usage(row: Mapping[str, Any]) -> Usage | None:
    """The tokens of a reply; details are named as the provider names them."""
    model = _text(row.get("resolved_model")) or _text(row.get("model"))
    details = json_or_none(row.get("token_details"))
    totals = {name: row.get(name) for name in ("input_tokens", "output_tokens")}
    usage = usage_of({"details": details, **totals}, model)
    return None if usage == Usage() else usage


# ---------------------------------------------------------------- threads, since 0.36


class Said(NamedTuple):
    """When a message was said first, and in the session of which thread."""

    session_id: str
    when: datetime | None


def _thread(database: Database, thread: Mapping[str, Any], chains: dict[str, dict[str, Said]]) -> Arrival:
    id = kept_id(thread["id"])
    chain = _chain(database, thread["tip_message_hash"])
    times = _times(database, thread["id"], chain)
    chains[thread["id"]] = said = {hash: Said(id, times[hash]) for hash in chain}
    parent = thread["forked_from"]
    parent_seq = None
    if parent in chains:
        shared = [hash for hash, other in zip(chain, chains[parent], strict=False) if hash == other]
        said.update((hash, chains[parent][hash]) for hash in shared)
        events = (event for hash in shared for event in _message(database, hash, None, {}))
        parent_seq = sum(isinstance(event, Event) for event in events)
    return Arrival(
        id,
        _thread_events(database, thread["id"], said),
        title=_text(thread["name"]),
        created_at=time_of(thread["datetime_utc"]),
        parent_id=kept_id(parent) if parent else None,
        parent_seq=parent_seq,
    )


def _continued(before: list[Event | Fault | Note], chain: Iterable[Any]) -> Events:
    """The events of a chain, of which the first are those that the responses before it have."""
    waiting = [event for event in before if isinstance(event, Event)]
    held: list[Event | Fault | Note] = []
    for event in chain:
        if not waiting or not isinstance(event, Event):
            yield event
        elif (event.author, event.content) != (waiting[0].author, waiting[0].content):
            yield from held  # the thread went another way
            yield event
            waiting = []
        else:
            held.append(event)
            waiting.pop(0)
            if not waiting:
                yield from before
                held = []
    yield from held


def _chain(database: Database, tip: Any) -> list[str]:
    chain: list[str] = []
    seen: set[Any] = set()
    while tip is not None and tip not in seen:
        seen.add(tip)
        row = next(database.rows(db.LLM_MESSAGE, hash=tip), None)
        if row is None:
            break
        chain.append(row[0])
        tip = row[1]
    return chain[::-1]


def _times(database: Database, thread_id: str, chain: list[str]) -> dict[str, datetime | None]:
    """A message has no time of its own: it is that of the first turn that it is a part of."""
    turns: dict[str, datetime | None] = {}
    for turn in database.records(db.LLM_TURNS, id=thread_id):
        turns.setdefault(turn["tip_message_hash"], time_of(turn["datetime_utc"]))
    times: dict[str, datetime | None] = {}
    when: datetime | None = None
    for hash in reversed(chain):
        when = turns.get(hash, when)
        times[hash] = when
    return times


def _thread_events(database: Database, thread_id: str, chain: Mapping[str, Said]) -> Events:
    """The events of a chain; what a turn says of itself goes to the last message of it."""
    turns: dict[str, dict[str, Any]] = {}
    off_path = 0
    for turn in database.records(db.LLM_TURNS, id=thread_id):
        turns.setdefault(turn["tip_message_hash"], turn)
        off_path += turn["tip_message_hash"] not in chain
    names: dict[str, str] = {}
    for hash in chain:
        try:
            events = list(_message(database, hash, turns.get(hash), names))
        except _MALFORMED:
            yield Fault(f"message {hash!r:.140}", "not a message of a form that is known")
            continue
        for event in events:
            if isinstance(event, Event):
                event.__dict__["copied_from"], event.__dict__["created_at"] = chain[hash]
            yield event
    if off_path:
        yield Note(f"thread {thread_id!r:.140}: {off_path:,} turns that it was taken back from were not imported")


def _message(database: Database, hash: str, turn: Mapping[str, Any] | None, names: dict[str, str]) -> Events:
    _, _, role = next(database.rows(db.LLM_MESSAGE, hash=hash))
    texts: list[str] = []
    reasoning: list[str] = []
    calls: dict[str, ToolCall] = {}
    results: list[Event] = []
    metadata: dict[str, Any] = {}
    for part in database.records(db.LLM_PARTS, hash=hash):
        payload = json_or_text(part["payload"]) or {}
        if not isinstance(payload, dict):
            raise TypeError("a payload is an object")
        text = _part_text(database, part["text"], payload)
        kind = part["type"]
        if provider := payload.get("provider_metadata"):
            metadata.setdefault("provider_metadata", []).append({"part": part["position"], **provider})
        if kind == "text":
            texts.append(text)
        elif kind == "reasoning":
            reasoning.append(text)
        elif kind == "tool_call":
            call = made_call(payload["name"], payload.get("arguments"), payload.get("tool_call_id"), metadata)
            calls[call.id or f"call {part['position']}"] = call
            names[call.id] = call.name
        elif kind == "tool_result":
            call_id = _text(payload.get("tool_call_id"))
            output, error = payload.get("output"), payload.get("exception") or None
            name = _text(payload.get("name")) or names.get(call_id, "")
            if payload.get("attachments"):
                yield ATTACHMENTS_ARE_NOTED
            if call_id in calls:  # the provider ran it
                calls[call_id] = ToolCall(name, calls[call_id].args, id=call_id, output=output, error=error)
                continue
            about = {"attachments": _noted(database, payload["attachments"])} if payload.get("attachments") else {}
            results.append(
                Event(
                    "tool",
                    _text(output),
                    actions=[ToolCall(name, id=call_id, error=error)],
                    metadata=about,
                    id=kept_id(f"{hash}:{part['position']}"),
                )
            )
        elif kind == "attachment":
            metadata.setdefault("attachments", []).extend(_noted(database, [payload.get("attachment") or {}]))
            yield ATTACHMENTS_ARE_NOTED
    author = AUTHORS.get(role) or (role if codec.is_identifier(role) else "assistant")
    if turn is not None:
        metadata |= columns_of(turn, ["duration_ms"])
        if options := json_or_text(turn.get("options_json")):
            metadata["options"] = options
    content = "".join(texts)
    if author != "tool" and (content or reasoning or calls or metadata or not results):
        yield Event(
            author,
            content,
            reasoning="\n\n".join(filter(None, reasoning)),
            actions=list(calls.values()),
            metadata=metadata,
            usage=None if turn is None else _usage(turn),
            id=kept_id(hash),
        )
    elif author == "tool" and content:
        results.insert(0, Event("tool", content, actions=[ToolCall("")], id=kept_id(hash)))
    yield from results


def _part_text(database: Database, text: object, payload: Mapping[str, Any]) -> str:
    if text is not None:
        return _text(text)
    if "text_ref" not in payload:
        return _text(payload.get("text"))
    pieces = []
    for piece in payload["text_ref"]:
        if "literal" in piece:
            pieces.append(_text(piece["literal"]))
        else:
            row = next(database.rows(db.LLM_FRAGMENT, id=piece["fragment"]), ("",))
            pieces.append(_text(row[0]))
    return "".join(pieces)


def _noted(database: Database, references: list[Any]) -> list[dict[str, Any]]:
    noted = []
    for reference in references:
        found = next(database.records(db.LLM_ATTACHMENT, id=reference.get("id")), None)
        noted.append(reference if found is None else columns_of(found, list(found)))
    return noted


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
