"""One library in one process, measured on the same events as all others: ``python contestants.py NAME FOLDER EVENTS``.

It answers each command with the seconds that it took, or with ``nan`` where the library has no such verb or fails:
``append N`` one event after the other to a short conversation, durably, for each; ``batch`` of all in one call;
``read KIND`` a whole conversation; ``last N`` of it; ``turn N`` of a chain over so many messages.
What a command needs is stored and made before its clock starts. Everything has the settings that it comes with.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import itertools
import json
import sqlite3
import statistics
import sys
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

SHORT = 100  # events in the conversation that is appended to
ROUNDS_OF_A_TURN = 5
Events = list[dict[str, Any]]


class UnsupportedError(Exception):
    """A library has no such verb."""


def langchain_messages(events: Events) -> list[Any]:
    """Returns LangChain's messages that say what events say."""
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

    made: list[Any] = []
    for event in events:
        call, usage = event["call"], event["usage"]
        if event["role"] == "user":
            made.append(HumanMessage(event["text"]))
        elif event["role"] == "tool":
            made.append(ToolMessage(event["text"], name=call["name"], tool_call_id=call["id"]))
        else:
            more: dict[str, Any] = {}
            if call:
                more["tool_calls"] = [{"name": call["name"], "args": call["args"], "id": call["id"]}]
            if usage:
                more["usage_metadata"] = {
                    "input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage),
                    "input_token_details": {"cache_read": 0},
                }  # fmt: skip
                more["response_metadata"] = {"model_name": "gpt-4o-mini", "finish_reason": "stop"}
            made.append(AIMessage(event["text"], id=event["id"], **more))
    return made


class Contestant:
    """A library's conversations in one file of a folder."""

    packages: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.path = folder / "conversations.db"
        self._opened: dict[str, Any] = {}

    def made(self, events: Events) -> list[Any]:
        """Returns events as the library has them."""
        return langchain_messages(events)

    def add(self, session: str, things: list[Any]) -> object:
        """Appends things to a conversation in one call, durably."""
        raise UnsupportedError

    def fill(self, session: str, events: Events) -> None:
        """Stores a conversation."""
        self.add(session, self.made(events))

    def read(self, session: str) -> Sequence[Any]:
        """Returns a whole conversation, as the library's objects."""
        raise UnsupportedError

    def last(self, session: str, count: int) -> Sequence[Any]:
        """Returns the end of a conversation."""
        raise UnsupportedError

    def forget(self) -> None:
        """Forgets what the process keeps of conversations, so that the next read is a first one."""

    def history(self, session: str) -> Any:
        """Returns the history for a chain."""
        raise UnsupportedError

    def close(self) -> None:
        """Closes what would warn that it was not."""


class Ours(Contestant):
    """This library: events through the service, messages through the history."""

    packages: Sequence[str] = ("session-sqlite", "langchain-core")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from session_sqlite import SQLiteSessionService

        self.service = SQLiteSessionService(self.path)
        self._made: set[str] = set()

    def made(self, events: Events) -> list[Any]:
        from session_sqlite import Event, ToolCall, Usage

        made = []
        for event in events:
            call, usage = event["call"], event["usage"]
            args = call["args"] if call and event["role"] != "tool" else {}
            actions = (ToolCall(call["name"], args, id=call["id"]),) if call else ()
            counts = Usage("gpt-4o-mini", *usage) if usage else None
            made.append(Event(event["role"], event["text"], actions=actions, usage=counts))
        return made

    def add(self, session: str, things: list[Any]) -> object:
        if len(things) == 1:
            return self.service.append_event(self._session(session), things[0])
        return self.service.append_events(self._session(session), things)

    def _session(self, session: str) -> str:
        if session not in self._made:
            self.service.create_session(session_id=session)
            self._made.add(session)
        return session

    def fill(self, session: str, events: Events) -> None:
        self.history(session).add_messages(langchain_messages(events))  # whatever it appends
        self._made.add(session)

    def read(self, session: str) -> Sequence[Any]:
        return self.history(session).messages  # type: ignore[no-any-return]

    def last(self, session: str, count: int) -> Sequence[Any]:
        return self.service.last_events(session, count)

    def forget(self) -> None:
        from session_sqlite.langchain import kept

        kept._stores.clear()

    def history(self, session: str) -> Any:
        from session_sqlite import SQLiteChatMessageHistory

        return SQLiteChatMessageHistory(session, service=self.service)


class OursByMessages(Ours):
    """This library, appending messages as LangChain does."""

    def made(self, events: Events) -> list[Any]:
        return langchain_messages(events)

    def add(self, session: str, things: list[Any]) -> object:
        history = self.history(session)
        return history.add_message(things[0]) if len(things) == 1 else history.add_messages(things)


class ByHand(OursByMessages):
    """The least that the same work could cost: prepared statements with the same columns, indexes and durability."""

    packages = ()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from benchmarks import by_hand

        self.by_hand = by_hand
        self.connection = by_hand.connect(self.path)
        self._events = super(OursByMessages, self).made

    def close(self) -> None:
        self.connection.close()

    def made(self, events: Events) -> list[Any]:
        return self._events(events)

    def add(self, session: str, things: list[Any]) -> object:
        self.by_hand.append_events(self.connection, self._session(session), things)
        return None

    def read(self, session: str) -> Sequence[Any]:
        return self.by_hand.read_messages(self.connection, session)

    def last(self, session: str, count: int) -> Sequence[Any]:
        return self.by_hand.last_events(self.connection, session, count)


class ByHandByMessages(ByHand):
    """The same floor for messages."""

    def made(self, events: Events) -> list[Any]:
        return langchain_messages(events)

    def add(self, session: str, things: list[Any]) -> object:
        self.by_hand.append_messages(self.connection, self._session(session), things)
        return None


class InMemory(Contestant):
    """LangChain's `InMemoryChatMessageHistory`, which keeps nothing: the floor of a chain's turn."""

    packages = ("langchain-core",)

    def fill(self, session: str, events: Events) -> None:
        self.history(session).add_messages(self.made(events))

    def history(self, session: str) -> Any:
        from langchain_core.chat_history import InMemoryChatMessageHistory

        return self._opened.setdefault(session, InMemoryChatMessageHistory())


class Community(Contestant):
    """LangChain's `SQLChatMessageHistory`."""

    packages = ("langchain-community",)

    def history(self, session: str) -> Any:
        from langchain_community.chat_message_histories import SQLChatMessageHistory

        return SQLChatMessageHistory(session, connection=f"sqlite:///{self.path}")

    def add(self, session: str, things: list[Any]) -> object:
        return self._history(session).add_messages(things)

    def read(self, session: str) -> Sequence[Any]:
        return self._history(session).messages  # type: ignore[no-any-return]

    def _history(self, session: str) -> Any:
        if session not in self._opened:
            self._opened[session] = self.history(session)
        return self._opened[session]


class Awaited(Contestant):
    """A library whose verbs are awaited."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._loop = asyncio.new_event_loop()
        self.run = self._loop.run_until_complete


class OpenAI(Awaited):
    """OpenAI Agents' `SQLiteSession`."""

    packages = ("openai-agents",)

    def _session(self, session: str) -> Any:
        from agents import SQLiteSession

        if session not in self._opened:
            self._opened[session] = SQLiteSession(session, self.path)
        return self._opened[session]

    def made(self, events: Events) -> list[Any]:
        made: list[Any] = []
        for event in events:
            call = event["call"]
            if event["role"] == "tool":
                made.append({"type": "function_call_output", "call_id": call["id"], "output": event["text"]})
            elif call:
                arguments = json.dumps(call["args"])
                made.append({"type": "function_call", "call_id": call["id"], "name": call["name"],
                             "arguments": arguments})  # fmt: skip
            else:
                kind = "input_text" if event["role"] == "user" else "output_text"
                content = [{"type": kind, "text": event["text"]}]
                made.append({"type": "message", "role": event["role"], "content": content})
        return made

    def add(self, session: str, things: list[Any]) -> object:
        return self.run(self._session(session).add_items(things))

    def read(self, session: str) -> Sequence[Any]:
        return self.run(self._session(session).get_items())

    def last(self, session: str, count: int) -> Sequence[Any]:
        return self.run(self._session(session).get_items(limit=count))


class ADK(Awaited):
    """Google ADK's `SqliteSessionService`, which appends one event at a time."""

    packages = ("google-adk",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from google.adk.sessions import sqlite_session_service as module

        self._module = module
        self._service = module.SqliteSessionService(str(self.path))
        self._sessions: dict[str, Any] = {}

    def made(self, events: Events) -> list[Any]:
        from google.adk.events import Event
        from google.genai import types

        made = []
        for event in events:
            call = event["call"]
            if event["role"] == "tool":
                result = {"result": event["text"]}
                part = types.Part(
                    function_response=types.FunctionResponse(id=call["id"], name=call["name"], response=result)
                )
            elif call:
                part = types.Part(function_call=types.FunctionCall(id=call["id"], name=call["name"], args=call["args"]))
            else:
                part = types.Part(text=event["text"])
            usage = event["usage"] and types.GenerateContentResponseUsageMetadata(
                prompt_token_count=event["usage"][0], candidates_token_count=event["usage"][1]
            )
            author, role = ("agent", "model") if event["role"] == "assistant" else ("user", "user")
            made.append(Event(author=author, content=types.Content(role=role, parts=[part]), usage_metadata=usage))
        return made

    def add(self, session: str, things: list[Any]) -> object:
        if len(things) > 1:
            raise UnsupportedError
        return self.run(self._service.append_event(self._session(session), things[0]))

    def _session(self, session: str) -> Any:
        if session not in self._sessions:
            made = self._service.create_session(app_name="app", user_id="user", session_id=session)
            self._sessions[session] = self.run(made)
        return self._sessions[session]

    def fill(self, session: str, events: Events) -> None:
        # One commit an event would take minutes: while filling, its connections do not wait for the disk.
        usual = self._module.PRAGMA_FOREIGN_KEYS
        self._module.PRAGMA_FOREIGN_KEYS = "PRAGMA synchronous = OFF"
        for thing in self.made(events):
            self.add(session, [thing])
        self._module.PRAGMA_FOREIGN_KEYS = usual

    def read(self, session: str) -> Sequence[Any]:
        found = self._service.get_session(app_name="app", user_id="user", session_id=session)
        return self.run(found).events  # type: ignore[no-any-return]

    def last(self, session: str, count: int) -> Sequence[Any]:
        from google.adk.sessions.base_session_service import GetSessionConfig

        config = GetSessionConfig(num_recent_events=count)
        found = self._service.get_session(app_name="app", user_id="user", session_id=session, config=config)
        return self.run(found).events  # type: ignore[no-any-return]


class Agno(Contestant):
    """agno's `SqliteDb`, whose sessions have runs; here each call adds one."""

    packages = ("agno",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from agno.db.sqlite import SqliteDb
        from agno.session.agent import AgentSession

        self._db = SqliteDb(db_file=str(self.path))
        self._class = AgentSession
        self._runs: dict[str, Iterator[int]] = {}

    def made(self, events: Events) -> list[Any]:
        from agno.models.message import Message

        made = []
        for event in events:
            call = event["call"]
            if event["role"] == "tool":
                made.append(Message(role="tool", content=event["text"], tool_call_id=call["id"]))
            elif call:
                function = {"name": call["name"], "arguments": json.dumps(call["args"])}
                made.append(Message(role="assistant", tool_calls=[{"id": call["id"], "function": function}]))
            else:
                made.append(Message(role=event["role"], content=event["text"]))
        return made

    def add(self, session: str, things: list[Any]) -> object:
        from agno.run.agent import RunOutput

        if session not in self._runs:
            self._db.upsert_session(self._class(session_id=session, user_id="user", agent_id="a"))
            self._runs[session] = itertools.count()
        run = RunOutput(run_id=str(uuid.uuid4()), session_id=session, agent_id="a", messages=things)
        return self._db.upsert_run(run, session, "user", next(self._runs[session]))

    def read(self, session: str) -> Sequence[Any]:
        from agno.db.base import SessionType

        stored: Any = self._db.get_session(session, SessionType.AGENT)
        return [message for run in stored.runs for message in run.messages]


class LangGraph(Contestant):
    """LangGraph's `SqliteSaver`, which stores a checkpoint of all messages at each step."""

    packages = ("langgraph-checkpoint-sqlite",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from langgraph.checkpoint.sqlite import SqliteSaver

        self._saver = SqliteSaver(sqlite3.connect(self.path, check_same_thread=False))
        self._messages: dict[str, list[Any]] = {}
        self._step = itertools.count()

    def add(self, session: str, things: list[Any]) -> object:
        from langgraph.checkpoint.base import empty_checkpoint

        messages = self._messages.setdefault(session, [])
        messages += things
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": messages}
        config: Any = {"configurable": {"thread_id": session, "checkpoint_ns": ""}}
        return self._saver.put(config, checkpoint, {"source": "loop", "step": next(self._step)}, {})

    def read(self, session: str) -> Sequence[Any]:
        found: Any = self._saver.get_tuple({"configurable": {"thread_id": session}})
        return found.checkpoint["channel_values"]["messages"]  # type: ignore[no-any-return]


class LLM(Contestant):
    """Simon Willison's `llm`, which logs a prompt with its response; here they are a call's first and last texts."""

    packages = ("llm",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import llm
        import sqlite_utils
        from llm.migrations import migrate

        class Echo(llm.Model):
            model_id = "echo"
            reply = ""

            def execute(self, *_: Any, **__: Any) -> Iterator[str]:
                yield self.reply

        self._model = Echo()
        self._db = sqlite_utils.Database(self.path)
        migrate(self._db)  # type: ignore[no-untyped-call]
        self._conversations: dict[str, Any] = {}

    def made(self, events: Events) -> list[Any]:
        return [event["text"] for event in events]

    def add(self, session: str, things: list[Any]) -> object:
        if len(things) > 2:
            raise UnsupportedError
        conversation = self._conversations.setdefault(session, self._model.conversation())
        self._model.reply = things[-1]
        response = conversation.prompt(things[0], stream=False)
        response.text()
        return response.log_to_db(self._db)

    def fill(self, session: str, events: Events) -> None:
        if len(events) > SHORT:
            raise UnsupportedError
        things = self.made(events)
        for place in range(0, len(things), 2):
            self.add(session, things[place : place + 2])


OURS = {
    "session-sqlite": Ours,
    "session-sqlite, messages": OursByMessages,
    "by hand": ByHand,
    "by hand, messages": ByHandByMessages,
    "in memory": InMemory,
}
PEERS = {
    "SQLChatMessageHistory": Community,
    "OpenAI SQLiteSession": OpenAI,
    "ADK SqliteSessionService": ADK,
    "agno SqliteDb": Agno,
    "LangGraph SqliteSaver": LangGraph,
    "llm": LLM,
}


def _seconds(run: Callable[[], object]) -> float:
    gc.collect()
    begin = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - begin
    del result
    return seconds


class Commands:
    """Answers commands for one library."""

    def __init__(self, contestant: Contestant, events: dict[str, Events]) -> None:
        self._contestant = contestant
        self._events = events
        self._filled: set[str] = set()
        self._following = itertools.cycle(events["mixed"][:SHORT])

    def close(self) -> None:
        """Closes the library's files."""
        self._contestant.close()

    def _session(self, name: str, events: Events) -> str:
        if name not in self._filled:
            self._contestant.fill(name, events)
            self._filled.add(name)
        return name

    def append(self, count: str) -> float:
        """Times single appends."""
        session = self._session("short", self._events["mixed"][:SHORT])
        things = [self._contestant.made([next(self._following)]) for _ in range(int(count))]
        return _seconds(lambda: [self._contestant.add(session, thing) for thing in things]) / len(things)

    def batch(self, count: str) -> float:
        """Times one call."""
        things = self._contestant.made(self._events["mixed"][: int(count)])
        self._contestant.add("batches", things[:1])
        return _seconds(lambda: self._contestant.add(f"batch {uuid.uuid4()}", things))

    def read(self, kind: str) -> float:
        """Times a first read of a whole conversation."""
        session = self._session(kind, self._events[kind])
        self._contestant.forget()
        seconds = _seconds(lambda: self._contestant.read(session))
        if len(self._contestant.read(session)) != len(self._events[kind]):
            raise AssertionError("what was read is not what was stored")
        return seconds

    def last(self, count: str) -> float:
        """Times reads of the end, as an agent repeats them, behind a first one."""
        session = self._session("mixed", self._events["mixed"])
        self._contestant.last(session, int(count))
        return _seconds(lambda: [self._contestant.last(session, int(count)) for _ in range(5)]) / 5

    def turn(self, count: str) -> float:
        """Times turns of a chain, once it runs."""
        from langchain_core.language_models import FakeListChatModel
        from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
        from langchain_core.runnables.history import RunnableWithMessageHistory

        name = f"turn {count}"
        self._contestant.history(name)
        self._session(name, self._events["mixed"][: int(count)])
        prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{input}")])
        chain = RunnableWithMessageHistory(
            prompt | FakeListChatModel(responses=["Yes."]), self._contestant.history, input_messages_key="input",
            history_messages_key="history",
        )  # fmt: skip
        config: Any = {"configurable": {"session_id": name}}
        rounds = [_seconds(lambda: chain.invoke({"input": "And then?"}, config)) for _ in range(ROUNDS_OF_A_TURN)]
        return statistics.median(rounds)


def main() -> None:
    """Answers commands until there are no more."""
    warnings.warn = lambda *_, **__: None
    name, folder, path = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).parent.parent))
    kind = {**OURS, **PEERS}[name]
    commands = Commands(kind(Path(folder)), json.loads(Path(path).read_text(encoding="utf-8")))
    print(", ".join(f"{package} {importlib.metadata.version(package)}" for package in kind.packages), flush=True)
    for line in sys.stdin:
        command, argument = line.split()
        try:
            print(getattr(commands, command)(argument), flush=True)
        except UnsupportedError:
            print("nan", flush=True)
        except Exception:  # noqa: BLE001  # another library's own: the other cases go on
            traceback.print_exc()
            print("nan", flush=True)


if __name__ == "__main__":
    main()
