"""What the tests of importers share: importing as any importer must be able to, and one chat."""

from __future__ import annotations

import hashlib
from pathlib import Path

from session_sqlite import ANY, SQLiteSessionService

CHAT = {
    "task": 1,
    "messages": [
        {"role": "developer", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"},
                                     {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "assistant", "content": None, "reasoning_content": "Look", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"深": 1}'}},
            {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{broken"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "assistant", "content": "A cat."},
    ],
}  # fmt: skip


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def imported(service: SQLiteSessionService, source: Path, format: str, **counts: int) -> None:
    """Imports as any importer must: dry first, then once, then again without effect; the source stays as it is."""
    before = hashes(source.parent)
    dry = service.import_(source, dry_run=True)
    assert service.stats(app_name=ANY, user_id=ANY)["sessions"] == 0, "dry_run wrote something"
    report = service.import_(source)
    assert (dry.sessions, dry.events, dry.skipped) == (report.sessions, report.events, report.skipped)
    assert report.format == format
    assert {name: getattr(report, name) for name in counts} == counts
    assert service.db["events"].count == report.events
    again = service.import_(source, format=format)
    assert (again.sessions, again.events, again.extended, again.known) == (0, 0, 0, report.events)
    assert hashes(source.parent) == before


def said(service: SQLiteSessionService, session_id: str) -> list[tuple[str, str]]:
    return [(event.author, event.content) for event in service.list_events(session_id)]
