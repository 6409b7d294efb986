"""Real conversations in, and out again in another process: ends non-zero if anything differs.

``python tests/real_conversations.py`` reads ``../shared/data`` beside the repository. It sends 200 agent conversations
through `SQLiteChatMessageHistory` and 150 Chinese dialogues through the service, into one file. A second process makes
the same messages from the data again and compares each with what it reads from the file: class, equality, and the
serialised fields with the order of their keys. Where the data is not there it says so and ends with 0.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages

from session_sqlite import ANY, Event, SQLiteChatMessageHistory, SQLiteSessionService

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
AIRLINE = "airline-conversations.jsonl.gz"
CHINESE = "chinese-conversations.jsonl.gz"
MEMORY_QUESTIONS = "memory-questions-dev.jsonl.gz"  # read by the benchmarks
EXPECTED = {
    "airline conversations": 200,
    "airline messages": 5_308,
    "airline tool calls": 1_164,
    "Chinese conversations": 150,
    "Chinese messages": 2_691,
}
APP, AGENT_USER, READER = "real", "airline", "kdconv"


def conversations(name: str) -> list[dict[str, Any]]:
    """The conversations of a data file."""
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def airline() -> dict[str, list[BaseMessage]]:
    """The agent conversations as LangChain's own reading of the OpenAI chat format, by session."""
    return {
        f"task-{talk['task_id']}-trial-{talk['trial']}-{number}": convert_to_messages(talk["messages"])
        for number, talk in enumerate(conversations(AIRLINE))
    }


def chinese() -> dict[str, tuple[str, list[Event]]]:
    """The dialogues' topics and events, by session."""
    return {
        f"dialogue-{number}": (talk["topic"], [Event(said["role"], said["content"]) for said in talk["messages"]])
        for number, talk in enumerate(conversations(CHINESE))
    }


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    """Prints how long the block took for each message."""
    begin = time.perf_counter()
    yield
    print(f"  {what}: {(time.perf_counter() - begin) / count * 1e6:,.0f} µs a message")


def write(path: Path) -> None:
    """Puts everything into the file: each turn of a chain is one write, as chains do it."""
    talks, dialogues = airline(), chinese()
    with SQLiteSessionService(path, app_name=APP, user_id=AGENT_USER) as service:
        with timed("airline, written turn by turn", sum(map(len, talks.values()))):
            for session_id, messages in talks.items():
                history = SQLiteChatMessageHistory(session_id, service=service)
                for turn in turns(messages):
                    history.add_messages(turn)
        reader = service.scope(user_id=READER)
        with timed("Chinese, written event by event", sum(len(events) for _, events in dialogues.values())):
            for session_id, (topic, events) in dialogues.items():
                session = reader.create_session(session_id=session_id, title=topic, metadata={"主题": topic})
                for event in events:
                    session.add_event(event.author, event.content)


def turns(messages: list[BaseMessage]) -> Iterator[list[BaseMessage]]:
    """The messages in pieces that each begin with the user's."""
    turn: list[BaseMessage] = []
    for message in messages:
        if message.type == "human" and turn:
            yield turn
            turn = []
        turn.append(message)
    yield turn


def serialised(message: BaseMessage) -> str:
    """All fields, in their order."""
    return json.dumps(message.model_dump(), ensure_ascii=False)


def read(path: Path) -> list[str]:
    """Compares what is in the file with the data; returns the differences and prints what it counted."""
    talks, dialogues = airline(), chinese()
    counted = dict.fromkeys(EXPECTED, 0)
    wrong: list[str] = []
    with SQLiteSessionService(path, app_name=APP, user_id=AGENT_USER, read_only=True) as service:
        with timed("airline, read", EXPECTED["airline messages"]):
            found = {id: SQLiteChatMessageHistory(id, service=service).messages for id in talks}
        for session_id, expected in talks.items():
            wrong += differences(session_id, expected, found[session_id])
            counted["airline conversations"] += 1
            counted["airline messages"] += len(found[session_id])
            counted["airline tool calls"] += sum(
                len(message.tool_calls) for message in found[session_id] if isinstance(message, AIMessage)
            )
        reader = service.scope(user_id=READER)
        with timed("Chinese, read", EXPECTED["Chinese messages"]):
            heard = {id: reader.list_events(id) for id in dialogues}
        for session_id, (topic, events) in dialogues.items():
            said = [(place, event.author, event.content) for place, event in enumerate(events, 1)]
            if [(event.seq, event.author, event.content) for event in heard[session_id]] != said:
                wrong.append(f"{session_id}: the events differ")
            session = reader.get_session(session_id)
            if (session.title, session.metadata, session.last_seq) != (topic, {"主题": topic}, len(events)):
                wrong.append(f"{session_id}: the session differs")
            counted["Chinese conversations"] += 1
            counted["Chinese messages"] += len(heard[session_id])
        sessions = len(service.list_sessions(app_name=ANY, user_id=ANY, limit=None))
        if sessions != len(talks) + len(dialogues):
            wrong.append(f"the file has {sessions} sessions")
    for name, count in counted.items():
        print(f"  {count:,} {name}")
        if count != EXPECTED[name]:
            wrong.append(f"{count:,} {name}, {EXPECTED[name]:,} were expected")
    return wrong


def differences(session_id: str, expected: list[BaseMessage], found: list[BaseMessage]) -> list[str]:
    """Where the messages of a conversation differ, and in what."""
    if len(expected) != len(found):
        return [f"{session_id}: {len(found)} messages of {len(expected)}"]
    wrong = []
    for place, (one, other) in enumerate(zip(expected, found, strict=True), 1):
        faults = [
            name
            for name, same in (
                ("class", type(one) is type(other)),
                ("equality", one == other),
                ("fields", serialised(one) == serialised(other)),
                ("fields that are set", one.model_fields_set == other.model_fields_set),
            )
            if not same
        ]
        if faults:
            wrong.append(f"{session_id}, message {place} ({one.type}): {', '.join(faults)}")
    return wrong


def main() -> int:
    """Writes here and reads in a second process; with ``--read FILE`` it is that one."""
    parser = argparse.ArgumentParser(description="Sends real conversations through the store and back.")
    parser.add_argument("--read", type=Path, metavar="FILE", help="compare this file with the data, write nothing")
    options = parser.parse_args()
    if not (DATA / AIRLINE).is_file() or not (DATA / CHINESE).is_file():
        print(f"no real conversations at {DATA}: nothing was checked")
        return 0
    if options.read is None:
        with tempfile.TemporaryDirectory(prefix="session-sqlite-real-") as folder:
            path = Path(folder) / "real.db"
            write(path)
            return subprocess.run([sys.executable, __file__, "--read", str(path)], check=False).returncode
    wrong = read(options.read)
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    print(f"{len(wrong):,} differences" if wrong else "  all equal")
    return 1 if wrong else 0


if __name__ == "__main__":
    # A console may have no µ; and what this process prints comes before what the second one prints.
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
