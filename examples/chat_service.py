"""A chat service over HTTP: every user has conversations of their own, and replies are streamed as they are made.

Run ``python examples/chat_service.py`` for a demonstration, or ``python examples/chat_service.py --serve [PORT]`` and::

    curl -H 'Authorization: Bearer ada-token' --json '{"title": "Tea"}' localhost:8000/sessions
    curl -N -H 'Authorization: Bearer ada-token' --json '{"text": "Hi"}' localhost:8000/sessions/ID/messages

The store is a file, or the server that SESSION_SQLITE_URL names: nothing else differs. The model is a stand-in that
needs no key; `reply_to` is the place for a real one. Needs fastapi and uvicorn.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import anyio
import httpx
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.requests import Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from session_sqlite import (
    AsyncSession,
    AsyncSessionService,
    Event,
    InvalidInputError,
    SessionError,
    SessionExistsError,
    SessionNotFoundError,
    SessionService,
    SQLAlchemySessionService,
    SQLiteSessionService,
    StoreBusyError,
)

APP = "chat-service"
USERS = {"ada-token": "ada", "bob-token": "bob"}  # stands for your authentication
REMEMBERED = 40  # events that the model sees
STATUS = {SessionNotFoundError: 404, SessionExistsError: 409, InvalidInputError: 422, StoreBusyError: 503}


def open_store() -> SessionService:
    """Opens the server that the environment names, or else a file."""
    if url := os.environ.get("SESSION_SQLITE_URL"):
        return SQLAlchemySessionService(url, app_name=APP)
    return SQLiteSessionService("chat_service.db", app_name=APP)


async def reply_to(events: list[Event]) -> AsyncIterator[str]:
    """Makes a reply word by word, as a model would of the conversation so far."""
    said = [event.content for event in events if event.author == "user"]
    for word in f"You said {said[-1]!r}, which is message {len(said)} that I remember.".split(" "):
        await asyncio.sleep(0.01)
        yield f"{word} "


class NewSession(BaseModel):
    """The body of a request for a new session."""

    title: str = ""


class Message(BaseModel):
    """The body of a message of the user's."""

    text: str


def create_app(service: SessionService) -> FastAPI:
    """Makes the application over a store, which any number of processes and machines may share."""
    app = FastAPI(title="Chat service")
    store = AsyncSessionService(service)

    def of_user(authorization: Annotated[str, Header()] = "") -> AsyncSessionService:
        """Makes a view of the store for the user of a request. It does no I/O and sees nobody else's sessions."""
        user = USERS.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise HTTPException(401, "who are you?")
        return store.scope(user_id=user)

    Mine = Annotated[AsyncSessionService, Depends(of_user)]  # noqa: N806  # a type

    @app.exception_handler(SessionError)
    async def failed(_: Request, error: SessionError) -> JSONResponse:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        return JSONResponse({"error": str(error)}, status)

    @app.post("/sessions", status_code=201)
    async def create(mine: Mine, body: NewSession) -> dict[str, Any]:
        return shown(await mine.create_session(title=body.title))

    @app.get("/sessions")
    async def sessions(mine: Mine, cursor: str | None = None) -> dict[str, Any]:
        page = await mine.list_sessions(limit=50, cursor=cursor)
        return {"sessions": [shown(session) for session in page], "next": page.next_cursor}

    @app.get("/sessions/{session_id}/messages")
    async def messages(mine: Mine, session_id: str, after: int = 0) -> list[dict[str, Any]]:
        events = await mine.list_events(session_id, after=after, limit=200)
        return [
            {"seq": event.seq, "author": event.author, "text": event.content, "interrupted": event.interrupted}
            for event in events
        ]

    @app.post("/sessions/{session_id}/messages")
    async def say(mine: Mine, session_id: str, message: Message) -> StreamingResponse:
        # What was said is stored before the model is asked, and an error is still an error of the request.
        session = await mine.get_session(session_id)
        await session.add_event("user", message.text)
        return StreamingResponse(answered(session), media_type="text/event-stream")

    @app.get("/search")
    async def search(mine: Mine, q: str) -> list[dict[str, Any]]:
        return [{"session": hit.session.id, "seq": hit.event.seq, "text": hit.snippet} for hit in await mine.search(q)]

    @app.delete("/sessions/{session_id}", status_code=204)
    async def delete(mine: Mine, session_id: str) -> None:
        if not await mine.delete_session(session_id):
            raise HTTPException(404, "there is no such session")

    return app


def shown(session: AsyncSession) -> dict[str, Any]:
    """What a client sees of a session."""
    return {"id": session.id, "title": session.title, "updated_at": session.updated_at.isoformat()}


async def answered(session: AsyncSession) -> AsyncIterator[str]:
    """Streams a reply as server-sent events and stores it, also as much of it as there is when the client goes away."""
    words: list[str] = []
    interrupted = "the client went away"
    try:
        async for word in reply_to(await session.last_events(REMEMBERED)):
            words.append(word)
            yield f"data: {json.dumps({'text': word})}\n\n"
        interrupted = ""
    finally:
        if words:
            with anyio.CancelScope(shield=True):  # the request is cancelled, this write is not
                metadata = {"interrupted": interrupted} if interrupted else {}
                stored = await session.add_event("assistant", "".join(words).rstrip(), metadata=metadata)
    yield f"event: done\ndata: {json.dumps({'seq': stored.seq})}\n\n"


@contextmanager
def serving(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Runs the application in a thread; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def demonstrate(address: str) -> None:
    """Holds a conversation as Ada, and looks for it as Bob."""
    with httpx.Client(base_url=address, headers={"Authorization": "Bearer ada-token"}, timeout=30) as ada:
        session = ada.post("/sessions", json={"title": "Tea"}).json()["id"]
        for text in ("I like oolong.", "What do I like?"):
            print("ada:      ", text)
            print("assistant: ", end="")
            with ada.stream("POST", f"/sessions/{session}/messages", json={"text": text}) as reply:
                for line in reply.iter_lines():
                    if line.startswith("data: ") and "text" in (data := json.loads(line[len("data: ") :])):
                        print(data["text"], end="", flush=True)
            print()
        print("ada finds: ", [hit["text"] for hit in ada.get("/search", params={"q": "oolong"}).json()])
        theirs = httpx.get(f"{address}/sessions/{session}/messages", headers={"Authorization": "Bearer bob-token"})
        print("bob is told:", theirs.status_code)
        ada.delete(f"/sessions/{session}")


def main(*arguments: str) -> None:
    """Serves, or demonstrates."""
    with open_store() as service:
        app = create_app(service)
        if arguments[:1] == ("--serve",):
            uvicorn.run(app, port=int(arguments[1]) if arguments[1:] else 8000)
        else:
            with serving(app) as address:
                demonstrate(address)


if __name__ == "__main__":
    main(*sys.argv[1:])
