"""Which session an adapter reads and writes, and what it does when a write fails.

The history, the middleware and the recorder share these rules. A session has up to three names: its id, its app and its
user. Those that an adapter was given by its caller come first, then those in the configuration of the run, and at last
the service's app and user. A session belongs to one app and one user.
"""

from __future__ import annotations

import contextvars
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError, SessionError
from session_sqlite.models import AnyOf
from session_sqlite.service import SessionService, checked_scope
from session_sqlite.session import Session

logger = logging.getLogger("session_sqlite")

ON_ERROR: Final = ("raise", "log")


class SessionNames(NamedTuple):
    """A session's id, app and user, as far as they are known."""

    session_id: str | None = None
    app_name: str | None = None
    user_id: str | None = None

    def or_else(self, others: SessionNames) -> SessionNames:
        """Returns these names, with others in the place of those that are not known."""
        return SessionNames(*(name if name is not None else other for name, other in zip(self, others, strict=True)))

    def session(self, service: SessionService | None, whose: str) -> Session:
        """Returns the session of these names; its id has to be among them.

        Args:
            service: Its app and user stand for names that are not known; without a service, ``"default"`` does.
            whose: Says in an error what needs the session.

        Raises:
            InvalidInputError: A name is malformed, or the app or user is `ANY`.
        """
        default_app, default_user = ("default", "default") if service is None else (service.app_name, service.user_id)
        app, user = checked_scope(
            default_app if self.app_name is None else self.app_name,
            default_user if self.user_id is None else self.user_id,
        )
        if isinstance(app, AnyOf) or isinstance(user, AnyOf):
            raise InvalidInputError(
                f"{whose} belongs to one app and one user, not ANY: give app_name and user_id, or use service.scope(…)"
            )
        return Session(codec.identifier(self.session_id, "session_id"), app, user)


def given_names(session_id: str | None, app_name: str | None, user_id: str | None) -> SessionNames:
    """Returns the names that an adapter's caller gave. Raises `InvalidInputError` for one that is malformed."""
    names = SessionNames(session_id, app_name, user_id)
    for name, value in zip(names._fields, names, strict=True):
        if value is not None:
            codec.identifier(value, name)
    return names


def names_in(*places: Mapping[str, Any], is_name: Callable[[Any], bool]) -> SessionNames:
    """Returns the names that a run's configuration says, in the first place that says each.

    Threads are often numbered, so numbers and UUIDs are names too, as they are to LangGraph; and its ``thread_id`` is
    the id of a session if there is no ``session_id``.

    Args:
        places: The mappings that may have them.
        is_name: Returns whether a value is taken for a name.
    """

    def named(*keys: str) -> str | None:
        for key in keys:
            for place in places:
                value = place.get(key)
                name = str(value) if isinstance(value, (int, uuid.UUID)) else value
                if is_name(name):
                    return name
        return None

    return SessionNames(named("session_id", "thread_id"), named("app_name"), named("user_id"))


def names_of_run(context: object, configurable: Mapping[str, Any]) -> SessionNames:
    """Returns the names that a run of LangGraph says: in its runtime context, then in its configuration."""
    of_context = {name: field_of(context, name) for name in SessionNames._fields}
    return names_in(of_context, configurable, is_name=lambda value: value is not None and value != "")


def field_of(context: object, name: str) -> Any:
    """Returns a field of a mapping or of an object; None if it has no such field."""
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)


class ToolRun(NamedTuple):
    """A tool call of an agent with a session, seen from within."""

    session: Session
    call_id: str
    tool: str


# The tool calls around the running code, the innermost last. An agent that runs inside of one is a sub-agent.
tool_runs: contextvars.ContextVar[tuple[ToolRun, ...]] = contextvars.ContextVar("session_sqlite_tools", default=())


def checked_service(service: object) -> SessionService:
    """Returns the service that an adapter was given. Raises `InvalidInputError` for anything else."""
    if not isinstance(service, SessionService):
        raise InvalidInputError(f"service must be a SessionService, not {type(service).__name__}")
    return service


def raises_on_error(on_error: object) -> bool:
    """Returns whether an adapter's failed write raises. Raises `InvalidInputError` for an unknown choice."""
    if on_error not in ON_ERROR:
        raise InvalidInputError("on_error must be 'raise' or 'log'")
    return on_error == "raise"


def log_failure(what: str, error: Exception) -> None:
    """Writes to the log what was not written, and why."""
    # Without the traceback: the driver's own error, its cause, may carry text of the conversation.
    logger.error("%s: %s: %s", what, type(error).__name__, error)


def not_written(session: Session) -> str:
    """Returns what the log says of a session when a write failed."""
    return f"session {session.id!r} was not written"


@contextmanager
def failures(what: str, *, raises: bool) -> Iterator[None]:
    """Has errors of the store end the caller's run, if it raises, or else stand in the log."""
    try:
        yield
    except SessionError as error:
        if raises:
            raise
        log_failure(what, error)
