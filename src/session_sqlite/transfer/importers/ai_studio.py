"""Prompts of Google AI Studio, as Drive keeps them: one document, whose name is the title.

A conversation is a list of *chunks*: a text, a thought, code and its result, a file. What the model said in one go is
several chunks, and one event here. A file says no id of its conversation: its name and its first chunk stand for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from session_sqlite import codec
from session_sqlite.models import Event, Usage
from session_sqlite.operations.whole_sessions import Arrival, Fault, Note
from session_sqlite.transfer.importers.blocks import Calls, Said, author_of, noted
from session_sqlite.transfer.importers.ids import MALFORMED, derived_id, time_of
from session_sqlite.transfer.importers.json_files import JsonFile

_READ: Final = frozenset({"text", "role", "parts", "isThought", "tokenCount", "createTime", "thoughtSignatures"})
_FILES: Final = ("driveDocument", "driveImage", "driveAudio", "driveVideo", "inlineImage", "inlineFile", "inlineAudio",
                 "inlineVideo", "youtubeVideo", "inlineData", "fileData")  # fmt: skip
_PARTS: Final = ("executableCode", "codeExecutionResult", "functionCall", "functionResponse")
_NOTHING: Final[tuple[object, ...]] = (None, "", [], {}, False)


def is_ai_studio(file: JsonFile) -> bool:
    """True for a prompt."""
    return _chunks(file.first()) is not None


def read(file: JsonFile) -> Iterator[Arrival | Fault]:
    """The conversations of a file: one, but for those who put several into a list."""
    for where, value in file.values():
        if isinstance(value, Fault):
            yield value
        elif (chunks := _chunks(value)) is None:
            yield Fault(where, "not a prompt of a form that is known")
        else:
            yield _conversation(PurePath(file.name).stem, value, chunks)


def _chunks(value: Any) -> list[Any] | None:
    prompt = value.get("chunkedPrompt") if isinstance(value, dict) else None
    chunks = prompt.get("chunks") if isinstance(prompt, dict) else None
    return chunks if isinstance(chunks, list) else None


def _conversation(name: str, prompt: Mapping[str, Any], chunks: list[Any]) -> Arrival:
    id = derived_id("ai-studio", name, chunks[:1])
    settings = prompt.get("runSettings")
    settings = settings if isinstance(settings, dict) else {}
    model = settings.get("model")
    model = model.removeprefix("models/") if isinstance(model, str) and codec.is_plain_text(model) else ""
    besides = {
        key: noted(one) for key, one in prompt.items() if key not in ("chunkedPrompt", "systemInstruction") and one
    }
    drafts = [
        one for one in prompt["chunkedPrompt"].get("pendingInputs") or () if isinstance(one, dict) and one.get("text")
    ]
    if drafts:
        besides["pendingInputs"] = drafts
    return Arrival(
        id,
        _events(prompt, chunks, id, model),
        title=name if codec.is_plain_text(name) else "",
        metadata={"gemini": besides},
    )


def _events(prompt: Mapping[str, Any], chunks: list[Any], id: str, model: str) -> Iterator[Event | Fault | Note]:
    calls = Calls()
    instruction = Said.of(prompt.get("systemInstruction"))
    if instruction:
        yield from instruction.events("system", derived_id("ai-studio", id, "system"), calls)
    reply: list[tuple[int, Mapping[str, Any]]] = []
    for position, chunk in enumerate(chunks):
        if not isinstance(chunk, dict):
            yield Fault(f"chunk {position}", "not a chunk of a form that is known")
            continue
        if reply and reply[0][1].get("role") != chunk.get("role"):
            yield from _event(reply, id, calls, model)
            reply = []
        reply.append((position, chunk))
        if author_of(chunk.get("role")) == "user":
            yield from _event(reply, id, calls, model)
            reply = []
    if reply:
        yield from _event(reply, id, calls, model)


def _event(
    chunks: list[tuple[int, Mapping[str, Any]]], session_id: str, calls: Calls, model: str
) -> Iterator[Event | Fault | Note]:
    said = Said()
    metadata: dict[str, Any] = {}
    tokens = thoughts = 0
    try:
        for _, chunk in chunks:
            _add(said, chunk, metadata)
            count = chunk.get("tokenCount")
            if isinstance(count, int) and count > 0:
                tokens += count
                thoughts += count if chunk.get("isThought") else 0
        position, first = chunks[0]
        author = author_of(first["role"])
        if author == "user" and tokens:
            metadata["tokenCount"] = tokens
        yield from said.events(
            author,
            derived_id("ai-studio", session_id, position, first),
            calls,
            created_at=next((when for _, one in chunks if (when := time_of(one.get("createTime"))) is not None), None),
            metadata={"gemini": metadata} if metadata else {},
            usage=Usage(model, output_tokens=tokens, reasoning_tokens=thoughts) if author == "assistant" else None,
        )
    except MALFORMED:
        for position, _ in chunks:
            yield Fault(f"chunk {position}", "not a chunk of a form that is known")


def _add(said: Said, chunk: Mapping[str, Any], metadata: dict[str, Any]) -> None:
    """Takes a chunk; where it has parts, its text is theirs once more."""
    text, parts = chunk.get("text"), chunk.get("parts")
    whole = Said.of(parts)
    if chunk.get("isThought"):
        said.add_reasoning(text or whole.text or whole.reasoning)
    elif parts and (not text or text in (whole.text, whole.reasoning)):
        said.add(parts)
    else:
        said.add_text(text)
        if parts and whole.text != text:
            said.add(parts)
    for name in _PARTS:
        if chunk.get(name):
            said.add({name: chunk[name]})
    said.attachments += [{"type": name, **noted(chunk[name])} for name in _FILES if isinstance(chunk.get(name), dict)]
    read = {*_READ, *_FILES, *_PARTS}
    for name, one in chunk.items():
        if name not in read and one not in _NOTHING:
            metadata.setdefault(name, noted(one))
