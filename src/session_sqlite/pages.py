"""Lists that show themselves in a notebook: `Page`, of sessions, events or hits, and `Rows`, the answer of a query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from session_sqlite import extras
from session_sqlite.models import Event, SearchHit, SessionHit, SessionOverview, SessionRecord
from session_sqlite.transcript import html
from session_sqlite.transcript.text import content_text

if TYPE_CHECKING:
    import pandas as pd

WhyEmpty = Callable[[], str]
S = TypeVar("S")
T = TypeVar("T")


class Page(list[T]):
    """A list of items that knows where the next page begins, and shows itself as a table in a notebook.

    Attributes:
        next_cursor: Pass it to the same call to get the next page; None on the last page.
    """

    _why_empty: WhyEmpty | None = None

    def __init__(
        self,
        items: Iterable[T] = (),
        next_cursor: str | None = None,
        *,
        of: type = object,
        why_empty: WhyEmpty | None = None,
    ) -> None:
        """Makes a page.

        Args:
            items: The items.
            next_cursor: The cursor of the next page.
            of: The class of the items, which says what columns an empty page has.
            why_empty: A function that is called when an empty page is shown; its text is shown below the table.
        """
        super().__init__(items)
        self.next_cursor = next_cursor
        self._of = of
        self._why_empty = why_empty

    def __getstate__(self) -> dict[str, Any]:
        return _without_service(self.__dict__)

    def with_items(self, items: Iterable[S]) -> Page[S]:
        """Returns a page of other items with the same cursor."""
        return Page(items, self.next_cursor, of=self._of, why_empty=self._why_empty)

    def to_dataframe(self) -> pd.DataFrame:
        """Returns the items as a pandas DataFrame, one row for each item; an event has columns for tools and tokens.

        It needs the extra ``notebook``.

        Example:
            >>> page = Page([Event("user", "Which tea?", seq=1), Event("assistant", "Black tea.", seq=2)])
            >>> page.to_dataframe()["author"].to_list()
            ['user', 'assistant']
        """
        columns, record = _RECORDS_OF.get(self._kind(), _ANY_RECORD)
        return _dataframe([dict(zip(columns, record(item), strict=True)) for item in self], columns)

    def _repr_html_(self) -> str:
        note = "There are more: next_cursor is set."
        if self.next_cursor is None:
            note = _note(self, _IF_EMPTY.get(self._kind(), "No items."))
        return _TABLE_OF.get(self._kind(), html.items_table)(self, note)

    def _kind(self) -> type:
        """Returns the class in `_RECORDS_OF` that the items belong to; object for any other items."""
        of = type(self[0]) if self else self._of
        return next((kind for kind in _RECORDS_OF if issubclass(of, kind)), object)


class Rows(list[dict[str, Any]]):
    """A list of dicts, the rows of a query, that shows itself as a table in a notebook.

    Attributes:
        columns: The names of the columns, even if there are no rows.
    """

    _why_empty: WhyEmpty | None = None

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]] = (),
        columns: Sequence[str] = (),
        *,
        if_empty: str = "No rows.",
        why_empty: WhyEmpty | None = None,
    ) -> None:
        """Makes the rows.

        Args:
            rows: The rows.
            columns: The names of the columns; those of the first row if not given.
            if_empty: The text that is shown if there are no rows.
            why_empty: A function that is called when no rows are shown; its text is shown as well.
        """
        super().__init__(map(dict, rows))
        self.columns = tuple(columns) or tuple(self[0] if self else ())
        self._if_empty = if_empty
        self._why_empty = why_empty

    def __getstate__(self) -> dict[str, Any]:
        return _without_service(self.__dict__)

    def to_dataframe(self) -> pd.DataFrame:
        """Returns the rows as a pandas DataFrame. It needs the extra ``notebook``.

        Example:
            >>> Rows([{"day": "2026-01-05", "events": 4}]).to_dataframe()["events"].sum().item()
            4
        """
        return _dataframe(self, self.columns)

    def _repr_html_(self) -> str:
        return html.records_table(self.columns, self, _note(self, self._if_empty))


def _note(shown: Page[Any] | Rows, if_empty: str) -> str:
    """Returns what an empty list says: what it is a list of, and why it is empty."""
    if shown:
        return ""
    return f"{if_empty} {'' if shown._why_empty is None else shown._why_empty()}".rstrip()


def _without_service(state: Mapping[str, Any]) -> dict[str, Any]:
    # `_why_empty` holds an open service, which can be neither copied nor pickled.
    return {name: value for name, value in state.items() if name != "_why_empty"}


def distinct(names: Sequence[str]) -> list[str]:
    """Returns the names of columns, numbered where they repeat: id, id_2."""
    taken = set(names)
    distinct: list[str] = []
    for name in names:
        number, free = 1, name
        while free in distinct or (number > 1 and free in taken):
            number += 1
            free = f"{name}_{number}"
        distinct.append(free)
    return distinct


Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: The thing that was checked.
        level: ``"ok"``, ``"warning"`` or ``"error"``.
        message: The result in words.
        advice: What to do about it; empty if there is nothing to do.
        repaired: True if it was repaired.
    """

    name: str
    level: Level
    message: str
    advice: str = ""
    repaired: bool = False


class CheckReport(list[Finding]):
    """A list of the findings of a check, in the order in which they were made."""

    @property
    def ok(self) -> bool:
        """Returns True if there is no error that was not repaired; warnings do not count."""
        return not any(finding.level == "error" and not finding.repaired for finding in self)

    def __str__(self) -> str:
        return "\n".join(
            f"{'repaired' if finding.repaired else finding.level:8}  {finding.name}: {finding.message}"
            + (f" — {finding.advice}" if finding.advice and not finding.repaired else "")
            for finding in self
        )

    def _repr_html_(self) -> str:
        rows = [(finding.level, finding.name, finding.message, finding.advice) for finding in self]
        return html.table(("level", "what", "found", "advice"), rows)


def _dataframe(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return extras.load("pandas", extra="notebook").DataFrame(list(records), columns=list(columns) or None)


_SESSION_COLUMNS: Final = (
    "id", "app_name", "user_id", "agent_id", "title", "metadata", "created_at", "updated_at", "last_seq", "parent_id",
)  # fmt: skip
_OVERVIEW_COLUMNS: Final = ("first_message", "event_count", "last_activity")
_EVENT_COLUMNS: Final = (
    "session_id", "seq", "id", "created_at", "author", "content", "reasoning", "tools", "agent_id", "branch",
    "invocation_id", "state", "metadata", "model", "input_tokens", "output_tokens",
)  # fmt: skip


def _session_record(session: SessionRecord) -> tuple[Any, ...]:
    return tuple(getattr(session, name) for name in _SESSION_COLUMNS)


def _overview_record(overview: SessionOverview[SessionRecord]) -> tuple[Any, ...]:
    return (
        *_session_record(overview.session), overview.first_message, overview.event_count, overview.last_activity,
    )  # fmt: skip


def _session_hit_record(found: SessionHit[SessionRecord]) -> tuple[Any, ...]:
    event, snippet = (None, None) if found.hit is None else (found.hit.event, found.hit.snippet)
    return (
        *_session_record(found.session), found.first_message, found.event_count, found.last_activity,
        *((None, None) if event is None else (event.seq, event.author)), snippet,
    )  # fmt: skip


def _event_record(event: Event) -> tuple[Any, ...]:
    usage = event.usage
    tokens = (None, None, None) if usage is None else (usage.model, usage.input_tokens, usage.output_tokens)
    fields = {**event.__dict__, "content": content_text(event), "tools": [action.name for action in event.actions]}
    return (*(fields[name] for name in _EVENT_COLUMNS[:-3]), *tokens)


def _hit_record(hit: SearchHit[SessionRecord]) -> tuple[Any, ...]:
    event = hit.event
    return (hit.session.title, event.session_id, event.seq, event.created_at, event.author, hit.snippet, hit.score,
            dict(hit.parts))  # fmt: skip


_Record = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]
_ANY_RECORD: Final[_Record] = (("item",), lambda item: (item,))
_RECORDS_OF: Final[dict[type, _Record]] = {
    SessionRecord: (_SESSION_COLUMNS, _session_record),
    SearchHit: (("title", "session_id", "seq", "created_at", "author", "snippet", "score", "parts"), _hit_record),
    SessionOverview: ((*_SESSION_COLUMNS, *_OVERVIEW_COLUMNS), _overview_record),
    SessionHit: ((*_SESSION_COLUMNS, *_OVERVIEW_COLUMNS, "seq", "author", "snippet"), _session_hit_record),
    Event: (_EVENT_COLUMNS, _event_record),
}
_IF_EMPTY: Final[dict[type, str]] = {
    SessionRecord: "No sessions.",
    SessionOverview: "No sessions.",
    SessionHit: "No sessions found.",
    SearchHit: "Nothing found.",
    Event: "No events.",
}
_TABLE_OF: Final[dict[type, Callable[[Sequence[Any], str], str]]] = {
    SessionRecord: html.sessions_table,
    SessionOverview: html.overviews_table,
    SessionHit: html.session_hits_table,
    SearchHit: html.hits_table,
    Event: html.events_table,
}
