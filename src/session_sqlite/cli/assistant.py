"""The command that serves the history to an assistant."""

from __future__ import annotations

from typing import Final

import click

from session_sqlite.cli.console import DEFAULT_FILE, Place, db_option, opened
from session_sqlite.cli.verbs import Verb
from session_sqlite.tools import DEFAULT_TOKENS, LEAST_TOKENS, HistoryTools
from session_sqlite.transcript import visible


@click.command(cls=Verb, examples=["--db ~/sessions.db mcp --app my-app --user user-123"])
@click.option("--app", metavar="NAME", help="The app whose sessions it may read.")
@click.option("--user", metavar="ID", help="The user whose sessions it may read.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=LEAST_TOKENS),
    metavar="N",
    default=DEFAULT_TOKENS,
    show_default=True,
    help="The most tokens of an answer: one for four ASCII characters, and one for each other character.",
)
@db_option(DEFAULT_FILE)
@click.pass_obj
def mcp(front: Place, db: str | None, app: str | None, user: str | None, max_tokens: int) -> None:
    """Serve the conversations of one user to an assistant, over MCP.

    The assistant starts this command, and talks to it over standard input and output; the README has the lines for its
    settings. It gets three tools that only read: search_history, list_sessions and read_session. Needs the extra
    "mcp".
    """
    place = Place(db, app, user).or_(front)
    if place.app is None or place.user is None:
        raise click.UsageError("give --app and --user")
    with opened(place) as service:
        history = HistoryTools(service, max_tokens=max_tokens, knows_current=False)
        try:
            from session_sqlite.mcp import serve
        except ImportError as error:
            package = visible(error.name or "a package")
            raise click.ClickException(
                f"this needs {package}, which is not installed, or not in a release that fits: "
                "pip install 'session-sqlite[mcp]'"
            ) from error
        serve(history)


COMMANDS: Final = (mcp,)
