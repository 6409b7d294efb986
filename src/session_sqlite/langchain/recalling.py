"""What is recalled of the past for an agent's last question, and added to the requests that its model gets.

It stands in front of the question, in the same message: so providers, which differ in where they take a second message
of the user or of the system, all accept it, and what stands before the question stays as it was, which their caches
need. It is in the request only: no state and no session has it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from langchain_core.messages import BaseMessage, HumanMessage

from session_sqlite.langchain.sessions import tool_runs
from session_sqlite.langchain.turns import answers_in_content
from session_sqlite.langchain.window import TokenCounter
from session_sqlite.models import Event
from session_sqlite.service import SessionService
from session_sqlite.session import Session
from session_sqlite.tools import QUOTED, HistoryTools, filled, today

PASSAGES: Final = 5
MOST_SHOWN: Final = 200  # messages of a request among which hits are looked for that the model sees anyway
RUNS_AT_ONCE: Final = 128  # whose recalled text is remembered
HEAD: Final = "[Recalled from the stored history for the question below. Today is {} (UTC). {}]"
TAIL: Final = "[End of what was recalled. The question:]"


class Recall:
    """Adds what is recalled for the last question of the user; computed once for each question.

    Args:
        service: The store.
        max_tokens: At most so many tokens are added.
        count_tokens: Counts the tokens of messages.
    """

    def __init__(self, service: SessionService, max_tokens: int, count_tokens: TokenCounter) -> None:
        self._service = service
        self._max_tokens = max_tokens
        self._count_tokens = count_tokens
        self._texts: OrderedDict[tuple[Session, str | None, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def added(self, session: Session, messages: Sequence[BaseMessage]) -> list[BaseMessage] | None:
        """Returns the messages of a request with what is recalled; None if nothing is added."""
        place = next((place for place in reversed(range(len(messages))) if _is_question(messages[place])), None)
        if place is None:
            return None
        question = messages[place]
        key = session, question.id, question.text
        with self._lock:
            text = self._texts.get(key)
        if text is None:
            text = self._text(session, question.text, messages)
            with self._lock:
                self._texts[key] = text
                while len(self._texts) > RUNS_AT_ONCE:
                    self._texts.popitem(last=False)
        if not text:
            return None
        content = (
            f"{text}\n\n{question.content}"
            if isinstance(question.content, str)
            else [{"type": "text", "text": text}, *question.content]
        )
        return [*messages[:place], question.model_copy(update={"content": content}), *messages[place + 1 :]]

    def forget(self, session: Session) -> None:
        """Forgets what was recalled for a run that is over."""
        with self._lock:
            for key in [key for key in self._texts if key[0] == session]:
                del self._texts[key]

    def _text(self, session: Session, question: str, messages: Sequence[BaseMessage]) -> str:
        seen = {message.id for message in messages}
        # An agent around this one has asked it in words that are the question's own.
        running = [run.session for run in tool_runs.get() if run.session != session]
        if len(messages) > MOST_SHOWN:
            running.insert(0, session)

        def is_shown(event: Event) -> bool:
            return event.id in seen or (event.message_id or event.id) in seen

        history = HistoryTools(self._service, app_name=session.app_name, user_id=session.user_id)
        passages = history.passages(
            question, limit=PASSAGES, running=running, shown=is_shown, more=min(len(messages), MOST_SHOWN)
        )
        text, count = filled(
            HEAD.format(today(), QUOTED),
            passages,
            self._max_tokens,
            lambda text: self._count_tokens([HumanMessage(text)]),
            TAIL,
        )
        return text if count else ""


def _is_question(message: BaseMessage) -> bool:
    return (
        isinstance(message, HumanMessage)
        and message.additional_kwargs.get("lc_source") != "summarization"
        and not answers_in_content(message)
        and bool(message.text.strip())
    )
