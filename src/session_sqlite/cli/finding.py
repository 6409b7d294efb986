"""The session that a person names, and what is said when nothing is found.

A session is named by its id, by a beginning of the id that no other has, or by the word ``latest``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from typing import Final

import click
from click.shell_completion import CompletionItem

from session_sqlite.errors import InvalidInputError, SessionNotFoundError
from session_sqlite.models import ANY
from session_sqlite.service import SessionService, others_said
from session_sqlite.session import Session
from session_sqlite.transcript import fitted, visible

LATEST: Final = "latest"
LEAVE_OUT: Final = "leave out --app and --user to see them"
MOST_NAMED: Final = 5  # ids that an error names
MOST_NAMES: Final = 10  # authors, apps or users that a note names
MOST_COMPLETED: Final = 100
COMPLETED_TITLE: Final = 60  # columns


# ---------------------------------------------------------------- the session that is meant


def find_session(service: SessionService, name: str, *, whole: bool = False) -> Session:
    """Returns the session that a person names.

    Args:
        service: The store.
        name: The id, a beginning of it that no other id has, or "latest". An exact id comes first.
        whole: Take no beginning of an id. Where nobody is asked, "user-1" must not mean "user-12" once it is gone.
    """
    try:
        return service.get_session(name)
    except SessionNotFoundError as error:
        if name == LATEST:
            newest = service.list_sessions(limit=1)
            if not newest:
                raise SessionNotFoundError("there are no sessions, so that none is the latest") from error
            return newest[0]
        alike = service.list_sessions(id_prefix=name, limit=MOST_NAMED + 1)
        if not alike:
            raise
        ids = sorted({session.id for session in alike})
        named = ", ".join(visible(id) for id in ids[:MOST_NAMED]) + (" and others" if len(alike) > MOST_NAMED else "")
        if whole:
            raise SessionNotFoundError(f"{error}; with --yes give the whole id (ids that begin so: {named})") from error
        if len(alike) > 1:
            more = "give more of it" if len(ids) > 1 else "give --app and --user"
            raise InvalidInputError(
                f"the ids of several sessions begin with '{visible(name)}' ({named}): {more}"
            ) from error
        return alike[0]


def session_of(service: SessionService, name: str | None, *, whole: bool = False) -> Session | None:
    """Returns the session that an option names; None if the option is not given."""
    return None if name is None else find_session(service, name, whole=whole)


def completions(service: SessionService, incomplete: str) -> list[CompletionItem]:
    """Returns the ids that begin so, the latest change first, each with its title or the user's first message."""
    found = service.session_overviews(id_prefix=incomplete, limit=MOST_COMPLETED)
    items = [CompletionItem(one.session.id, help=_about(one.session.title or one.first_message)) for one in found]
    if len(service.list_sessions(limit=1)) and LATEST.startswith(incomplete):
        items.append(CompletionItem(LATEST, help="the session that changed last"))
    return items


def _about(text: object) -> str | None:
    return fitted(visible(" ".join(str(text or "")[:1000].split())), COMPLETED_TITLE) or None


# ---------------------------------------------------------------- nothing is found


@contextmanager
def hidden_named(service: SessionService) -> Iterator[None]:
    """Adds to the error about a missing session what --app and --user hide."""
    try:
        yield
    except SessionNotFoundError as error:
        if hidden := hidden_said(service):
            raise SessionNotFoundError(f"{error}. {hidden}") from error
        raise


def say_nothing_found(service: SessionService, text: str = "", *, for_programs: bool = False) -> None:
    """Prints to the error output that nothing was found, and whether --app or --user hides sessions of others.

    A program gets an empty result, and needs no text for it.
    """
    if text and not for_programs:
        click.echo(text, err=True)
    if hidden := hidden_said(service):
        click.echo(hidden, err=True)


def hidden_said(service: SessionService) -> str:
    """Returns what --app and --user hide: names that no session has, and how many sessions others have."""
    others = others_said(service, advice=LEAVE_OUT)
    if not others:
        return ""
    keys = service.scope(app_name=ANY, user_id=ANY).last_seqs()
    unknown = [
        unknown_said("session of", kind, given, names)
        for kind, given, names in (
            ("app", service.app_name, {key.app_name for key in keys}),
            ("user", service.user_id, {key.user_id for key in keys}),
        )
        if given is not ANY
    ]
    return " ".join(filter(None, [*unknown, others]))


def say_unknown(what: str, kind: str, given: str | None, names: Callable[[], Iterable[str]]) -> None:
    """Prints to the error output that a filter names what the store does not have, with the names that it has."""
    if given is not None and (said := unknown_said(what, kind, given, set(names()))):
        click.echo(said, err=True)


def unknown_said(what: str, kind: str, given: object, names: set[str]) -> str:
    """Returns a sentence about a name that nothing has, with the names that there are; empty if the name is known."""
    if given in names or not names:
        return ""
    known = sorted(names)
    if len(known) > MOST_NAMES:
        known.sort(key=lambda name: -SequenceMatcher(None, str(given), name).ratio())
    listed = ", ".join(visible(name) or '""' for name in known[:MOST_NAMES])
    more = f" and {len(known) - MOST_NAMES:,} more" if len(known) > MOST_NAMES else ""
    words = f"{what} {kind}" if what.endswith("of") else what
    return f"No {words} '{visible(given)}'; {kind}s here: {listed}{more}."
