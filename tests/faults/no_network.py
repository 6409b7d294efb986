"""No socket: the store in a file, its pages, imports and the LangChain history talk to nobody.

A process of its own refuses every socket (an audit hook raises at `socket.__new__`, and at each name that is looked
up), and then uses the package: the import, the verbs of a store, exports and imports of each form, a LangChain
history, pages with remote images and links. Something that asks a server for a version, a tokenizer or a picture
breaks this.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Final

from .leaks import in_a_process
from .trials import Length, Trial, Tried

NEEDS_A_SERVER: Final = ("session_sqlite.server", "session_sqlite.mcp", "session_sqlite.__main__")


class SocketRefused(BaseException):  # no `except Exception` of the product may hide it
    """Something asked for a socket."""


def refuse_sockets() -> None:
    """From now on this process makes no socket, for whatever reason."""

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event.startswith("socket."):
            raise SocketRefused(event)

    sys.addaudithook(hook)


def used() -> tuple[int, int]:
    """Imports all modules and uses the store; returns the numbers of modules and of verbs."""
    refuse_sockets()
    import session_sqlite

    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(session_sqlite.__path__, "session_sqlite.")
        if not module.name.startswith(NEEDS_A_SERVER)
    ]
    return len(modules), use_of_a_store()


def use_of_a_store() -> int:
    """Calls the verbs that read, write, show, bring out and bring in; returns how many calls it made."""
    import tempfile

    from langchain_core.messages import AIMessage, HumanMessage

    from session_sqlite import Event, SQLiteChatMessageHistory, SQLiteSessionService, ToolCall, Usage

    calls = 0
    with tempfile.TemporaryDirectory() as name, SQLiteSessionService(Path(name, "a.db")) as service:
        folder = Path(name)
        session = service.create_session(title="t")
        session.add_event("user", "See https://example.com/ and ![a picture](https://example.com/a.png)")
        text = "[a link](https://example.com) ![a picture](https://example.com/a.png)"
        reply = Event("assistant", text, actions=[ToolCall("Fetch", {"url": "https://example.com"}, output="x")],
                      usage=Usage(input_tokens=1, output_tokens=2))  # fmt: skip
        service.append_events(session.id, [reply])
        history = SQLiteChatMessageHistory(session.id, service=service, max_tokens=1000)
        image = {"type": "image", "url": "https://example.com/a.png"}
        history.add_messages([HumanMessage([image]), AIMessage(text)])
        assert history.messages
        for verb in (
            session._repr_html_,
            service.list_sessions()._repr_html_,
            lambda: service.search("link"),
            lambda: service.recall("which link was it?"),
            lambda: service.search_sessions("link"),
            service.usage,
            service.tool_calls,
            service.stats,
            lambda: service.check(),
            lambda: service.backup(folder / "backup.db"),
            lambda: service.erase(service.fork_session(session.id).id),
        ):
            verb()
            calls += 1
        for form in ("jsonl", "markdown", "html"):
            service.export(folder / f"export.{form}", format=form)
            calls += 1
        with SQLiteSessionService(folder / "b.db") as other:
            other.import_(folder / "export.jsonl")
    return calls


def a_planted_request() -> None:
    refuse_sockets()
    import urllib.request

    urllib.request.urlopen("http://127.0.0.1:9/")


def run(folder: Path, length: Length) -> Tried:
    modules, calls = in_a_process(used)
    return Tried(f"{modules} modules imported and {calls} kinds of calls made where a socket is refused", "0 sockets")


NO_NETWORK: Final = Trial("no-network", "The embedded store opens no connection to anywhere", run)
