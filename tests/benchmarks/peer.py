"""Another library's sessions, measured in a process and an environment of their own, which have nothing of ours.

``python peer.py NAME TARGET EVENTS`` fills a session with the events of a JSON file, says ``ready``, and answers each
command with the seconds that it took: ``append N`` one after the other, ``read`` the session, ``workers W N`` at once.
What a command needs is made before its clock starts. TARGET is the URL of an empty database.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

WORKERS = 16
MEASURED = "measured"
UNSAFE = {"options": "-c synchronous_commit=off"}  # for filling only, which takes long with one commit an event


class Peer(Protocol):
    """A library's sessions."""

    async def open(self, names: Iterable[str]) -> None:
        """Makes sessions."""

    async def fill(self, events: list[dict[str, Any]]) -> None:
        """Appends events to the measured session, as fast as it goes."""

    def made(self, event: dict[str, Any]) -> Any:
        """Returns an event as the library has them."""

    async def append(self, name: str, event: Any) -> None:
        """Appends one event, durably."""

    async def read(self) -> int:
        """Reads the measured session; returns how many events it has."""


class ADK:
    """Google ADK's `DatabaseSessionService`."""

    def __init__(self, url: str) -> None:
        from google.adk.sessions import DatabaseSessionService

        self._class = DatabaseSessionService
        self._url = url
        self._service = DatabaseSessionService(url, pool_size=WORKERS, max_overflow=0)
        self._sessions: dict[str, Any] = {}

    async def open(self, names: Iterable[str]) -> None:
        for name in names:
            self._sessions[name] = await self._service.create_session(app_name="app", user_id="user", session_id=name)

    async def fill(self, events: list[dict[str, Any]]) -> None:
        service = self._class(f"{self._url}?options={UNSAFE['options'].replace(' ', '%20')}")
        session = await service.get_session(app_name="app", user_id="user", session_id=MEASURED)
        for event in events:
            await service.append_event(session, self.made(event))
        await service.close()

    def made(self, event: dict[str, Any]) -> Any:
        from google.adk.events import Event
        from google.genai import types

        call = event["call"]
        if event["role"] == "tool":
            response = types.FunctionResponse(id=call["id"], name=call["name"], response={"result": event["text"]})
            part = types.Part(function_response=response)
        elif call:
            part = types.Part(function_call=types.FunctionCall(id=call["id"], name=call["name"], args=call["args"]))
        else:
            part = types.Part(text=event["text"])
        usage = event["usage"] and types.GenerateContentResponseUsageMetadata(
            prompt_token_count=event["usage"][0], candidates_token_count=event["usage"][1]
        )
        author, role = ("agent", "model") if event["role"] == "assistant" else ("user", "user")
        return Event(author=author, content=types.Content(role=role, parts=[part]), usage_metadata=usage)

    async def append(self, name: str, event: Any) -> None:
        await self._service.append_event(self._sessions[name], event)

    async def read(self) -> int:
        session = await self._service.get_session(app_name="app", user_id="user", session_id=MEASURED)
        return len(session.events)


class OpenAI:
    """OpenAI Agents' `SQLAlchemySession`."""

    def __init__(self, url: str) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        self._engine = create_async_engine(url, pool_size=WORKERS, max_overflow=0)
        self._sessions: dict[str, Any] = {}

    async def open(self, names: Iterable[str]) -> None:
        from agents.extensions.memory import SQLAlchemySession

        for name in names:
            self._sessions[name] = SQLAlchemySession(name, engine=self._engine, create_tables=True)

    async def fill(self, events: list[dict[str, Any]]) -> None:
        await self._sessions[MEASURED].add_items([self.made(event) for event in events])

    def made(self, event: dict[str, Any]) -> Any:
        call = event["call"]
        if event["role"] == "tool":
            return {"type": "function_call_output", "call_id": call["id"], "output": event["text"]}
        if call:
            arguments = json.dumps(call["args"])
            return {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments}
        if event["role"] == "user":
            return {"role": "user", "content": event["text"]}
        content = [{"type": "output_text", "text": event["text"], "annotations": []}]
        return {"type": "message", "role": "assistant", "id": event["id"], "status": "completed", "content": content}

    async def append(self, name: str, event: Any) -> None:
        await self._sessions[name].add_items([event])

    async def read(self) -> int:
        return len(await self._sessions[MEASURED].get_items())


PEERS: dict[str, Callable[[str], Peer]] = {"adk": ADK, "openai": OpenAI}


async def serve(peer: Peer, events: list[dict[str, Any]]) -> None:
    """Answers commands until there are no more."""
    names = [f"worker {number}" for number in range(WORKERS)]
    await peer.open([MEASURED, "one", *names])
    await peer.fill(events)
    if await peer.read() != len(events):
        raise AssertionError("what was read is not what was added")
    print("ready", flush=True)
    following = itertools.cycle(events[:4])

    def made(count: int) -> list[Any]:
        return [peer.made(event) for event in itertools.islice(following, count)]

    async def append(name: str, count: int) -> None:
        for event in made(count):
            await peer.append(name, event)

    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "append":
            own = made(int(numbers[0]))
            begin = time.perf_counter()
            for event in own:
                await peer.append("one", event)
            seconds = (time.perf_counter() - begin) / len(own)
        elif command == "read":
            begin = time.perf_counter()
            await peer.read()
            seconds = time.perf_counter() - begin
        else:
            workers, count = map(int, numbers)
            begin = time.perf_counter()
            await asyncio.gather(*(append(name, count) for name in names[:workers]))
            seconds = (time.perf_counter() - begin) / workers / count
        print(seconds, flush=True)


if __name__ == "__main__":
    name, target, path = sys.argv[1:]
    asyncio.run(serve(PEERS[name](target), json.loads(Path(path).read_text(encoding="utf-8"))))
