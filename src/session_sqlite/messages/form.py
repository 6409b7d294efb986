"""The port for frameworks: a *form* is how the messages of one are kept in the ``message`` of events.

An event's columns say in plain words what its message says, whatever the framework. ``message`` holds the rest, so
that the message comes back exactly, in the form of the framework that it came from. The store itself never makes a
message of it: that is up to the framework's adapter (for LangChain `langchain`, beside this), which needs the
framework. What the store has to know of a form stands in `Form`, and works where the framework is not installed.

A stored message says whose form it has by its first key, ``{"$form": "name", …}``. One without that mark has the form
of LangChain, which was the only one at first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from session_sqlite.messages import text
from session_sqlite.models import Event

LANGCHAIN: Final = "langchain"
MARK: Final = '{"$form":'
"""What the stored messages of every other form begin with."""

_NAME: Final = re.compile(r'\{"\$form":"([^"\\]{1,100})"[,}]')


class Form(Protocol):
    """A list of the questions that the store asks of a framework's form; a module can answer them, as `text` does."""

    def redacted(self, event: Event, change: Callable[[str], str], /) -> str | None:
        """Returns the stored message of an event with each text in it changed; None if it cannot be read."""

    def marked_redacted(self, message: str, /) -> str:
        """Returns the message with the mark that `is_redacted` looks for.

        An agent whose checkpointer has the old text would store it again, but for the mark.
        """

    def is_redacted(self, message: str, /) -> bool:
        """Returns whether a redaction changed this message or its event."""

    def says_the_same(self, one: str, other: str, /) -> bool:
        """Returns whether two stored texts differ only in what a framework itself loses when it saves a message.

        It is asked of messages, and of the columns of calls and tokens, which are derived from them.
        """

    def derived(self, event: Event, /) -> Event:
        """Returns the event with the calls and tokens that this release derives from its message.

        An earlier one, whose export is imported, may have known fewer forms of them.
        """


FORMS: Final[Mapping[str, Form]] = {LANGCHAIN: text}


def name_of(message: str | None) -> str:
    """Returns the name of a stored message's form; empty if its mark is damaged.

    Example:
        >>> name_of('{"type":"ai"}'), name_of('{"$form":"adk","role":"model"}')
        ('langchain', 'adk')
    """
    if message is None or not message.startswith(MARK):
        return LANGCHAIN
    found = _NAME.match(message)
    return found[1] if found else ""


def form_of(message: str | None) -> Form | None:
    """Returns the form of a stored message; None for one that this release does not know.

    What has such a form is carried along and never changed.
    """
    return FORMS.get(name_of(message))
