"""The window of a session: the latest of its messages that a model is shown.

A window begins at a turn of the user, and holds as many whole turns as fit, but at least the last one. In it the
results of a reply's calls stand right behind the reply (see `turns`). The newest summary, if there is one, comes first,
in place of what it supersedes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from session_sqlite import codec
from session_sqlite.errors import InvalidInputError
from session_sqlite.langchain.kept import all_messages, with_id
from session_sqlite.langchain.turns import answers_in_content, paired
from session_sqlite.messages.langchain import event_to_messages, messages_of
from session_sqlite.models import Event
from session_sqlite.operations.windows import LOOK_BACK_EVENTS, wait_for_calls, within_reach
from session_sqlite.service import SessionService
from session_sqlite.session import Session

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel

TokenCounter = Callable[[list[BaseMessage]], int]
EVERYTHING: Final = 2**53  # more events than a session can have


class Window:
    """A choice of how much of a session a model is shown.

    Args:
        limit: At most so many of the latest messages.
        max_tokens: At most so many tokens of the latest messages.
        token_counter: Counts the tokens of a list of messages, or a chat model that does; LangChain's approximation
            if not given.
        needs_ids: For an agent's state: every message gets an id (see `with_id`), and without an end the window begins
            with the newest summary, too.

    Raises:
        InvalidInputError: An argument is malformed.
    """

    def __init__(
        self,
        limit: int | None = None,
        max_tokens: int | None = None,
        token_counter: TokenCounter | BaseLanguageModel[Any] | None = None,
        *,
        needs_ids: bool = False,
    ) -> None:
        self._limit = codec.optional_number(limit, "limit")
        self._max_tokens = codec.optional_number(max_tokens, "max_tokens")
        self._count_tokens = checked_token_counter(token_counter)
        self._needs_ids = needs_ids

    @property
    def counts_tokens(self) -> bool:
        """Returns whether reading calls the caller's token counter."""
        return self._max_tokens is not None

    def messages(self, service: SessionService, session: Session) -> list[BaseMessage]:
        """Returns the messages of a session that are in the window, oldest first; without a window, all of them.

        Raises:
            SessionNotFoundError: There is no such session, and the window has an end.
        """
        if self._limit is None and self._max_tokens is None:
            return self._everything(service, session) if self._needs_ids else all_messages(service, session)
        if self._limit == 0 or self._max_tokens == 0:
            return self._read(service.last_events(session, 0))
        if self._max_tokens is None and self._limit is not None:
            latest = service.last_events(session, self._limit)
            messages = self._read(latest)
            # Events are counted differently: a native one may be several messages, and the events may begin with one
            # of the user's that is no turn of messages, since it says nothing, or only brings results.
            if len(messages) <= self._limit and _begins_a_turn(latest):
                return paired(messages)
        return self._latest_turns(service, session)

    def _everything(self, service: SessionService, session: Session) -> list[BaseMessage]:
        messages = all_messages(service, session, needs_ids=True)
        # Looked for behind the read, so that none that was read is missed.
        if _summary(service.last_events(session, 1)):
            messages = self._read(service.last_events(session, EVERYTHING))
        return paired(messages)

    def _read(self, events: Iterable[Event]) -> list[BaseMessage]:
        return messages_of(map(with_id, events) if self._needs_ids else events)

    def _latest_turns(self, service: SessionService, session: Session) -> list[BaseMessage]:
        """Returns the latest turns that fit, read from the end; at least the last one."""
        limit, max_tokens = self._limit, self._max_tokens
        head = _summary(service.last_events(session, 1))
        events = service.iter_events(session, newest_first=True, after=head[0].supersedes if head else 0)
        chosen: list[_Turn] = []  # newest first
        shown = self._read(head)
        count, tokens = len(shown), 0 if max_tokens is None else self._count_tokens(shown)
        for turn in _turns(event for event in events if not event.supersedes):
            # What came before the first turn (a system message, a greeting) counts too: it is shown only if all fits.
            count += len(turn.messages)
            if max_tokens is not None:
                tokens += self._count_tokens(turn.messages)
                if tokens > max_tokens and chosen:  # counters may count a list as less than its parts
                    tokens = self._count_tokens(_joined(shown, [*chosen, turn]))
            if ((max_tokens is not None and tokens > max_tokens) or (limit is not None and count > limit)) and chosen:
                break
            chosen.append(turn)
        # Read again in one go, so that the log has one line for all events that cannot be read.
        window = self._read_paired(head, chosen)
        # Counters may count a list as more than its parts, too, and in a long window a result may find its call.
        while len(chosen) > 1 and (
            (limit is not None and len(window) > limit)
            or (max_tokens is not None and self._count_tokens(window) > max_tokens)
        ):
            chosen.pop()
            window = self._read_paired(head, chosen)
        return window

    def _read_paired(self, head: list[Event], newest_first: list[_Turn]) -> list[BaseMessage]:
        return paired(self._read([*head, *(event for turn in reversed(newest_first) for event in turn.events)]))


class _Turn(NamedTuple):
    """A turn of the conversation, or several that a tool's late result joins.

    Attributes:
        events: Its events, oldest first.
        messages: What a model is shown of it.
    """

    events: list[Event]
    messages: list[BaseMessage]


def _turns(newest_first: Iterable[Event]) -> Iterator[_Turn]:
    """Yields the turns of a session, newest first; at last what stands before the first one, which is no turn."""
    stream = iter(newest_first)
    ahead: deque[Event] = deque()  # events that were read to look for calls in them
    turn: deque[Event] = deque()
    waiting: set[str] = set()  # the ids of the turn's results whose calls were not met yet
    while (event := ahead.popleft() if ahead else next(stream, None)) is not None:
        turn.appendleft(event)
        wait_for_calls(event, waiting)
        if not _is_said_by_the_user(event):
            continue
        if waiting:
            ahead.extend(islice(stream, LOOK_BACK_EVENTS - len(ahead)))
            waiting = within_reach(waiting, ahead)
        if not waiting:
            yield _Turn([*turn], _shown(turn))
            turn.clear()
    if turn:
        yield _Turn([*turn], _shown(turn))


def _shown(events: Iterable[Event]) -> list[BaseMessage]:
    return paired([message for event in events for message in event_to_messages(event)])


def _joined(head: list[BaseMessage], newest_first: list[_Turn]) -> list[BaseMessage]:
    return [*head, *(message for turn in reversed(newest_first) for message in turn.messages)]


def _summary(window: list[Event]) -> list[Event]:
    """Returns the summary that events begin with, if they do."""
    return [event for event in window[:1] if event.supersedes]


def _is_said_by_the_user(event: Event) -> bool:
    """Returns whether a turn begins here; not with an event that says nothing, or that only brings a tool's result."""
    if event.author != "user":
        return False
    messages = event_to_messages(event)
    return bool(messages) and not answers_in_content(messages[0])


def _begins_a_turn(window: list[Event]) -> bool:
    """Returns False if the first event, after a summary, is a user's and no turn begins with it."""
    first = window[len(_summary(window)) :][:1]
    return not first or first[0].author != "user" or _is_said_by_the_user(first[0])


def checked_token_counter(counter: object) -> TokenCounter:
    """Returns what counts the tokens of messages; LangChain's approximation for None. Raises `InvalidInputError`."""
    if counter is None or counter == "approximate":
        return count_tokens_approximately
    if count := getattr(counter, "get_num_tokens_from_messages", None):
        return count  # type: ignore[no-any-return]  # a chat model
    if callable(counter):
        return counter
    raise InvalidInputError("token_counter must be a function of a list of messages, or a chat model")
