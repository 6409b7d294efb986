"""What a message holds besides text: images, files, audio and video.

Every provider has blocks of its own for them. `attachments_of` reads all: LangChain's standard blocks, those of OpenAI
(chat completions and responses), Anthropic, Gemini, Bedrock and MCP, and what an import noted of them. Nothing is
loaded: an attachment has its bytes only if the message has them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

AttachmentKind = Literal["image", "audio", "video", "file"]

MAX_DEPTH: Final = 20  # of contents within contents
NAME_SHOWN: Final = 200
TYPE_SHOWN: Final = 12  # a longer subtype, such as that of a spreadsheet, says nothing to a person

_KINDS: Final[dict[str, AttachmentKind]] = {
    **dict.fromkeys(("image", "image_url", "input_image", "output_image", "image_file", "image_asset_pointer",
                     "image_generation_call"), "image"),
    **dict.fromkeys(("audio", "audio_url", "input_audio", "output_audio", "audio_asset_pointer"), "audio"),
    **dict.fromkeys(("video", "video_url", "video_file", "input_video", "output_video"), "video"),
    **dict.fromkeys(("file", "input_file", "document", "media", "container_upload", "file_id", "file_url", "text_plain",
                     "inline_data", "file_data", "resource", "resource_link"), "file"),
}  # fmt: skip
# A block may have its parts in an object under one of these keys, and that object in another one.
_INSIDE: Final = (
    "source", "image_url", "input_audio", "audio_url", "video_url", "file", "inline_data", "file_data", "image",
    "audio", "video", "document", "image_file", "resource", "url",
)  # fmt: skip
_BY_KEY: Final = ("inline_data", "file_data", "image", "audio", "video", "document")  # of blocks without a type
_MEDIA_TYPES: Final = ("media_type", "mime_type", "content_type")
_DATA: Final = ("base64", "data", "file_data", "bytes", "blob", "b64_json", "result", "content")
_URLS: Final = ("url", "image_url", "audio_url", "video_url", "file_url", "file_uri", "uri", "s3_location")
_IDS: Final = ("file_id", "asset_pointer", "container_id")
_NAMES: Final = ("filename", "file_name", "name", "title", "display_name")
_SIZES: Final = ("size", "size_bytes", "file_size", "bytes")
_MAY_HOLD: Final = re.compile(r"image|audio|video|file|document|media|inline|container|plain|resource", re.IGNORECASE)
_DATA_URL: Final = re.compile(r"data:([^;,]{0,100})(?:;[^;,]{0,100})*?(?:;base64)?,(.*)", re.DOTALL | re.IGNORECASE)
_COUNTED: Final = re.compile(r"\(([\d,]{1,20}) characters\)")  # in place of bytes that an import left out
_CAPITAL: Final = re.compile(r"(?<=[a-z\d])([A-Z])")


@dataclass(frozen=True)
class Attachment:
    """An image, a file, audio or video in an event's message.

    Attributes:
        kind: ``"image"``, ``"audio"``, ``"video"`` or ``"file"``.
        media_type: Its media type, ``"image/png"`` for example; may be empty.
        name: Its file name or title; may be empty.
        size: How many bytes it has; None if that is not known.
        url: Where it is, or its id at the provider, if the message does not hold it.
        data: Its bytes in base64, if the message holds it.

    Example:
        >>> str(Attachment("file", "application/pdf", "plan.pdf", 12_300))
        '[file: plan.pdf, PDF, 12 kB]'
    """

    kind: AttachmentKind
    media_type: str = ""
    name: str = ""
    size: int | None = None
    url: str = ""
    data: str = field(default="", repr=False)

    def __str__(self) -> str:
        subtype = self.media_type.rpartition("/")[2].partition(";")[0].removeprefix("x-").upper()
        name = self.name or self.url
        parts = [
            name if len(name) <= NAME_SHOWN else f"{name[: NAME_SHOWN - 1]}…",
            subtype if len(subtype) <= TYPE_SHOWN else "",
            "" if self.size is None else size_text(self.size),
        ]
        about = ", ".join(" ".join(part.split()) for part in parts if part)
        return f"[{self.kind}: {about}]" if about else f"[{self.kind}]"

    def to_dict(self) -> dict[str, Any]:
        """Returns the attachment as a JSON object, whose keys are the attributes."""
        return dict(self.__dict__)


def size_text(size: int) -> str:
    """Returns a number of bytes for people.

    Example:
        >>> size_text(812), size_text(12_300), size_text(3_400_000)
        ('812 bytes', '12 kB', '3.4 MB')
    """
    for unit, name in ((1_000_000_000, "GB"), (1_000_000, "MB")):
        if size >= unit * 0.9995:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1000:.0f} kB" if size >= 1000 else f"{size} byte{'' if size == 1 else 's'}"


def attachments_of(message: str | None, metadata: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """Returns the attachments of an event, given its message in stored form and its metadata."""
    found: list[Attachment] = []
    if message is not None and _MAY_HOLD.search(message):
        try:
            stored = json.loads(message)
        except (ValueError, RecursionError):  # a damaged message is shown without
            stored = None
        if isinstance(stored, dict):
            found += _in_content(stored.get("content"), 0)
            more = stored.get("additional_kwargs")
            if isinstance(more, dict):  # where langchain-openai keeps what a model said aloud, or drew
                found += _in_content(more.get("tool_outputs"), 0)
                found += _in_content([{"type": "audio", "audio": more["audio"]}] if _is_dict(more, "audio") else [], 0)
    noted = metadata.get("attachments")
    blocks = [block for block in noted if isinstance(block, dict)] if isinstance(noted, list) else []
    ids = {block["id"] for block in blocks if isinstance(block.get("id"), str)}
    for block in blocks:
        if _pointed_at(block) not in ids:  # ChatGPT names a file twice: by its name, and by its place in the text
            found.append(_read(block, _kind(block) or "file"))
    return tuple(found)


def _pointed_at(block: Mapping[str, Any]) -> str:
    """Returns the id that ChatGPT's pointer to a file ends with; empty for any other block."""
    pointer = block.get("asset_pointer")
    return pointer.rpartition("//")[2] if isinstance(pointer, str) else ""


def attachments_in(output: object) -> tuple[Attachment, ...]:
    """Returns the attachments in a tool's output that bring their bytes; other objects only look like some."""
    return tuple(one for one in _in_content(output, 0) if one.data)


def without_bytes(value: Any, depth: int = 0) -> Any:
    """Returns a tool's output with a mark in place of each attachment that brings its bytes."""
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, list):
        return [without_bytes(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if (kind := _kind(value)) is not None and (read := _read(value, kind)).data:
        return str(read)
    return {name: without_bytes(item, depth + 1) for name, item in value.items()}


def _in_content(content: object, depth: int) -> Iterator[Attachment]:
    for block in content if isinstance(content, list) else [content]:
        if not isinstance(block, dict) or depth > MAX_DEPTH:
            continue
        kind = _kind(block)
        if kind is not None:
            yield _read(block, kind)
            continue
        for name in ("content", "value", "output", "parts"):  # a result of a tool, a wrapper, a message in a message
            if isinstance(block.get(name), (list, dict)):
                yield from _in_content(block[name], depth + 1)


def _kind(block: Mapping[str, Any]) -> AttachmentKind | None:
    given = block.get("type", block.get("content_type") if "asset_pointer" in block else None)
    if isinstance(given, str):
        return _KINDS.get(_snake(given))
    for name, value in block.items():
        if _snake(name) in _BY_KEY and isinstance(value, dict) and len(block) <= 4:
            return _KINDS[_snake(name)]
    return None


def _read(block: Mapping[str, Any], kind: AttachmentKind) -> Attachment:
    parts = [_flat(block)]
    for part in parts:  # grows
        if len(parts) < 6:
            inside = (part.get(name) for name in _INSIDE)
            parts += [_flat(value) for value in inside if isinstance(value, dict) and "$" not in value]
    media_type = _text(parts, _MEDIA_TYPES)
    media_type = "" if media_type in _KINDS else media_type  # ChatGPT's content_type is the type of a block
    url = _text(parts, _URLS)
    data = next((text for part in parts for name in _DATA if (text := _bytes(part.get(name)))), "")
    if data.startswith("data:") or url.startswith("data:"):
        match = _DATA_URL.fullmatch(data if data.startswith("data:") else url)
        media_type, data = (match[1] or media_type, match[2]) if match else (media_type, "")
        url = "" if url.startswith("data:") else url
    elif data.startswith(("https://", "http://")):  # the AI SDK's
        url, data = data, ""
    size = next((part[name] for part in parts for name in _SIZES if type(part.get(name)) is int), None)
    for text in (data, url):
        if counted := _COUNTED.search(text):
            size = size or int(counted[1].replace(",", "") or 0) * 3 // 4
            data, url = "", "" if text is url else url
    is_text = any(part.get("type") == "text" for part in parts[1:])
    if written := data if is_text else "" if data else _text(parts, ("text",)):
        data = base64.b64encode(written.encode("utf-8", "replace")).decode()
    if size is None and data:
        size = len(data.rstrip("=")) * 3 // 4
    if not media_type and (form := _text(parts, ("format", "output_format"))):
        media_type = f"{'application' if kind == 'file' else kind}/{form}"
    major = media_type.partition("/")[0]
    return Attachment(
        major if kind == "file" and major in ("image", "audio", "video") else kind,  # type: ignore[arg-type]  # mypy does not narrow it
        media_type,
        _text(parts, _NAMES),
        size,
        url or _text(parts, _IDS) if not data else "",
        data,
    )


def _flat(block: Mapping[str, Any]) -> dict[str, Any]:
    return {_snake(name): value for name, value in block.items()}


def _text(parts: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    return next((part[name] for part in parts for name in names if isinstance(part.get(name), str) and part[name]), "")


def _bytes(value: object) -> str:
    """Returns base64 text, or bytes in their stored form, as base64 text."""
    if isinstance(value, dict) and value.get("$") == "bytes":
        value = value.get("value")
    return value if isinstance(value, str) else ""


def _is_dict(value: Mapping[str, Any], name: str) -> bool:
    return isinstance(value.get(name), dict)


def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda letter: f"_{letter[1]}", name).lower().replace("-", "_")
