"""Messages as other histories store them: the ``{"type": …, "data": …}`` of langchain-core's ``message_to_dict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import messages_from_dict

from session_sqlite.messages.langchain import message_to_event
from session_sqlite.models import Event


def event_of_dict(message: Mapping[str, Any]) -> Event | None:
    """The event of a message, from which it reads back equal; None for one that langchain-core refuses.

    Example:
        >>> event_of_dict({"type": "human", "data": {"content": "你好"}}).content
        '你好'
    """
    try:
        return message_to_event(messages_from_dict([dict(message)])[0])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
