"""A chat in the terminal that goes on where it stopped.

Run ``python examples/cli_chat.py [--session NAME] [--db FILE]`` and type; ``/history``, ``/find WORDS``, ``/undo`` and
``/quit`` (or the end of the input) are commands. The model is a stand-in: put your own into `chat_model`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator

from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import HumanMessage

from session_sqlite import Session, SQLiteChatMessageHistory, SQLiteSessionService, database_file


def chat_model(turn: int) -> BaseChatModel:
    """The model. Yours goes here: ``return init_chat_model("openai:…")``, from langchain.chat_models, for example."""
    replies = ["I am listening.", "Go on.", "And then?", "I see."]
    return FakeListChatModel(responses=[f"{replies[turn % len(replies)]} (Your message {turn + 1} in this session.)"])


def lines() -> Iterator[str]:
    """What is typed or piped in, line by line, until the end."""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if line == "/quit":
            return
        if line:
            yield line


def show(session: Session, limit: int | None = None) -> None:
    """Prints the conversation, or its end."""
    for event in session.last_events(limit) if limit else session.events():
        print(f"{event.author:>9} | {event.content}")


def find(session: Session, words: str) -> None:
    """Prints what a search finds in this session."""
    for hit in session.search(words):
        print(f"{hit.event.seq:>9} | {hit.snippet}")


def undo(session: Session) -> None:
    """Takes the last turn back."""
    print(f"Forgotten: {len(session.rewind())} messages.")


COMMANDS: dict[str, Callable[[Session], None]] = {"/history": show, "/undo": undo}


def main() -> None:
    """Resumes the session, then answers line by line; each turn is stored before the next is read."""
    parser = argparse.ArgumentParser(description="A chat that goes on where it stopped.")
    parser.add_argument("--session", default="terminal", help="which conversation (default: %(default)s)")
    parser.add_argument("--db", default=database_file(app_name="chat-example"), help="the file")
    options = parser.parse_args()
    with SQLiteSessionService(options.db, app_name="chat-example") as service:
        session = service.create_session(session_id=options.session, exist_ok=True)
        print(f"Session {session.id!r}: {len(session.events())} messages so far.")
        show(session, limit=6)
        history = SQLiteChatMessageHistory(session.id, service=service, limit=40)
        for line in lines():
            if line in COMMANDS:
                COMMANDS[line](session)
            elif line.startswith("/find "):
                find(session, line.removeprefix("/find "))
            else:
                question = HumanMessage(line)
                turn = sum(message.type == "human" for message in history.messages)
                reply = chat_model(turn).invoke([*history.messages, question])
                history.add_messages([question, reply])
                print(f"assistant | {reply.text}")


if __name__ == "__main__":
    main()
