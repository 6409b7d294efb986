"""Events are read by every filter, page by page, as a stream or from the end, and are cleared or replaced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from session_sqlite import (
    ANY,
    DuplicateEventError,
    Event,
    InvalidInputError,
    Page,
    SessionNotFoundError,
    ToolCall,
)
from session_sqlite.testing.contract import (
    NOON,
    Contracts,
    contents,
    fill,
    later,
    seqs,
)

FILTERS: dict[str, tuple[dict[str, Any], Callable[[int], bool]]] = {
    "author": ({"author": "assistant"}, lambda n: n % 3 == 1),
    "agent": ({"agent_id": "A"}, lambda n: n % 3 == 2),
    "no agent": ({"agent_id": ""}, lambda n: n % 3 == 0),
    "branch": ({"branch": "root"}, lambda n: n % 4 == 1),
    "branch with a wildcard": ({"branch": "%"}, lambda n: n % 4 == 3),
    "no branch": ({"branch": ""}, lambda n: n % 4 == 0),
    "invocation": ({"invocation_id": "r1"}, lambda n: n % 2 == 1),
    "no invocation": ({"invocation_id": ""}, lambda n: n % 2 == 0),
    "tool": ({"tool": "Read"}, lambda n: n % 4 in (1, 3)),
    "tool in another case": ({"tool": "read"}, lambda n: n % 4 == 2),
    "tool with a wildcard": ({"tool": "%"}, lambda n: False),
    "tool with a percent sign": ({"tool": "100%"}, lambda n: n % 4 == 2),
    "tool with a quote": ({"tool": 'a"b'}, lambda n: n % 4 == 3),
    "no such tool": ({"tool": ""}, lambda n: False),
    "long tool": ({"tool": "x" * 60_000}, lambda n: False),
    "since": ({"since": NOON + timedelta(seconds=4)}, lambda n: n >= 4),
    "until": ({"until": NOON + timedelta(seconds=4)}, lambda n: n < 4),
    "after": ({"after": 4}, lambda n: n > 4),
    "before": ({"before": 4}, lambda n: n < 4),
    "after nothing": ({"after": 0}, lambda n: True),
    "before nothing": ({"before": 0}, lambda n: False),
    "after everything": ({"after": 2**60}, lambda n: False),
    "between": ({"after": 3, "before": 9}, lambda n: 3 < n < 9),
    "several": ({"tool": "Read", "invocation_id": "r1", "author": "user", "after": 1}, lambda n: n in (3, 9)),
    "none": ({}, lambda n: True),
}


LETTERS = {"u": "user", "a": "assistant", "t": "tool", "s": "system", "p": "planner"}
LATEST = [
    ("", 3, ""),
    ("suaua", 9, "suaua"),
    ("suaua", 5, "suaua"),
    ("suaua", 4, "uaua"),
    ("suaua", 3, "ua"),
    ("suaua", 2, "ua"),
    ("suaua", 1, "ua"),
    ("suaua", 0, ""),
    ("uaatat", 3, "uaatat"),
    ("uauatat", 5, "uatat"),
    ("uauatat", 4, "uatat"),
    ("uauatat", 1, "uatat"),
    ("uauatatu", 2, "u"),
    ("uauatatu", 1, "u"),
    ("uu", 1, "u"),
    ("aaa", 2, "aa"),
    ("sattt", 2, "attt"),
    ("sattt", 4, "attt"),
    ("attat", 4, "at"),
    ("ttt", 2, "ttt"),
    ("ttt", 3, "ttt"),
    ("pppp", 3, "ppp"),
    ("tua", 3, "tua"),
    ("tua", 2, "ua"),
]


class EventContracts(Contracts):
    """Events are read by every filter, page by page, as a stream or from the end, and are cleared or replaced."""

    @pytest.fixture
    def filtered(self, service: Any, session: Any) -> Any:
        """Twelve events that differ in everything a filter looks at."""
        service.append_events(
            "s",
            [
                Event(
                    ("user", "assistant", "planner")[n % 3],
                    str(n),
                    agent_id=("", "a", "A")[n % 3],
                    branch=("", "root", "root.sub", "%")[n % 4],
                    invocation_id=("", "r1")[n % 2],
                    actions=[ToolCall(name) for name in ((), ("Read",), ("read", "100%"), ("Read", 'a"b'))[n % 4]],
                    created_at=NOON + timedelta(seconds=n),
                )
                for n in range(1, 13)
            ],
        )
        return service

    def test_events_are_found_by_every_filter_in_both_directions(self, filtered: Any) -> None:
        """Each filter finds exactly what fits, oldest or newest first, as a list, a stream and page by page."""
        for name, (filters, fits) in FILTERS.items():
            expected = [n for n in range(1, 13) if fits(n)]
            assert seqs(filtered.list_events("s", **filters)) == expected, name
            assert seqs(filtered.list_events("s", **filters, newest_first=True)) == expected[::-1], name
            assert seqs(filtered.iter_events("s", **filters)) == expected, name
            assert seqs(filtered.iter_events("s", **filters, newest_first=True)) == expected[::-1], name
            assert seqs(filtered.iter_events("s", **filters, limit=2)) == expected[:2], name
            for newest_first in (False, True):
                seen: list[int] = []
                place: dict[str, Any] = {}
                while True:
                    page = filtered.list_events("s", **{**filters, **place}, limit=2, newest_first=newest_first)
                    seen += seqs(page)
                    if page.next_cursor is None:
                        break
                    assert len(page) == 2, name
                    place = {"before" if newest_first else "after": page.next_cursor}
                assert seen == (expected[::-1] if newest_first else expected), name

    def test_a_limit_of_zero_gives_none_and_no_limit_gives_all(self, filtered: Any) -> None:
        """``limit=0`` gives an empty page, no limit everything, and a page that is exactly full has no cursor."""
        for newest_first in (False, True):
            page = filtered.list_events("s", limit=0, newest_first=newest_first)
            assert (page, page.next_cursor) == ([], None)
            page = filtered.list_events("s", limit=None, newest_first=newest_first)
            assert (len(page), page.next_cursor) == (12, None)
        assert list(filtered.iter_events("s", limit=0)) == []
        page = filtered.list_events("s", limit=12)
        assert (len(page), page.next_cursor) == (12, None)
        assert isinstance(page, Page)

    def test_a_cursor_is_of_one_list_only(self, filtered: Any) -> None:
        """A cursor of another list, or one that was changed, is an `InvalidInputError`."""
        filtered.create_session(session_id="t")
        fill(filtered, "t", "user", "user", "user")
        cursor = filtered.list_events("t", limit=1).next_cursor
        sessions = filtered.list_sessions(limit=1).next_cursor
        own = filtered.list_events("s", limit=1).next_cursor
        for foreign in (
            *(f"{own[:place]}{more}{own[place:]}" for place in range(5) for more in ("!", "!!!!", " ", "\n\n\n\n")),
            cursor,
            sessions,
            "",
            "x",
            "!!!!",
            "=",
            "é",
            cursor[:-3],
            cursor + "A",
            cursor[::-1],
            "W10",
            "bnVsbA",
        ):
            for place in ("after", "before"):
                with pytest.raises(InvalidInputError):
                    filtered.list_events("s", **{place: foreign})
        other_user = filtered.scope(user_id="other")
        for foreign in (cursor, "", "x", sessions[:-3], sessions[::-1]):
            with pytest.raises(InvalidInputError):
                filtered.list_sessions(cursor=foreign)
        with pytest.raises(InvalidInputError):
            other_user.list_sessions(cursor=sessions)
        with pytest.raises(InvalidInputError):
            filtered.list_sessions(cursor=sessions, app_name=ANY)
        assert seqs(filtered.list_events("t", after=cursor)) == [2, 3]

    def test_writing_inside_a_loop_over_events_is_fine(self, service: Any, session: Any) -> None:
        """A stream holds no lock and no cursor between its events, so that the loop may write to the session."""
        fill(service, "s", *["user"] * 20)
        service.append_events("s", [Event("user") for _ in range(1000)])
        seen = 0
        for event in service.iter_events("s"):
            seen += 1
            if event.seq <= 20:
                service.append_event("s", Event("assistant", f"to {event.seq}"))
                service.update_state("s", {"last": event.seq})
        assert seen == 1040
        seen = 0
        for event in service.iter_events("s", newest_first=True):
            seen += 1
            if event.seq % 100 == 0:
                service.append_event("s", Event("assistant"))
        assert seen == 1040
        stream = service.iter_events("s")
        assert next(stream).seq == 1
        service.delete_session("s")
        assert len(list(stream)) <= 1100

    def test_a_stream_reads_more_than_one_chunk_with_any_filter(self, service: Any, session: Any) -> None:
        """A stream of many events has all of them once, with a filter and a limit too."""
        service.append_events("s", [Event("user", actions=[ToolCall("t")] if n % 2 else ()) for n in range(1, 1203)])
        assert seqs(service.iter_events("s")) == list(range(1, 1203))
        assert seqs(service.iter_events("s", tool="t", newest_first=True)) == list(range(1201, 0, -2))
        assert seqs(service.iter_events("s", tool="t", limit=501)) == list(range(1, 1003, 2))
        assert len(service.list_events("s", tool="t")) == 601
        assert seqs(service.list_events("s", tool="t", limit=1)) == [1]

    def test_the_verbs_that_read_events_know_a_missing_session(self, service: Any) -> None:
        """Every verb that reads a session's events or state raises `SessionNotFoundError` if it is not there."""
        for read in (
            lambda: service.list_events("nowhere"),
            lambda: service.list_events("nowhere", limit=0),
            lambda: service.list_events("nowhere", author="user"),
            lambda: list(service.iter_events("nowhere")),
            lambda: service.last_events("nowhere", 3),
            lambda: service.last_events("nowhere", 0),
            lambda: service.get_state("nowhere"),
            lambda: service.get_state_value("nowhere", "k"),
            lambda: service.get_state_value("nowhere", "temp:k"),
        ):
            with pytest.raises(SessionNotFoundError):
                read()

    def test_the_latest_events_begin_at_a_turn(self, service: Any) -> None:
        """The latest events begin with a user's event, so that no call loses its result; a last turn comes whole."""
        for authors, n, expected in LATEST:
            session = service.create_session()
            fill(service, session, *[LETTERS[letter] for letter in authors])
            found = service.last_events(session, n)
            assert [event.author for event in found] == [LETTERS[letter] for letter in expected], (authors, n)
            assert contents(found) == contents(service.list_events(session))[len(authors) - len(expected) :]
            assert session.last_events(n) == found

    def test_clearing_removes_the_events_and_keeps_the_session(self, service: Any) -> None:
        """Clearing removes all events and keeps title, metadata, state and the numbering."""
        service.create_session(session_id="s", title="kept", metadata={"a": 1}, state={"k": 1})
        fill(service, "s", "user", "user")
        before = service.get_session("s")
        later()
        assert service.clear_session("s") == 2
        after = service.get_session("s")
        assert service.list_events("s") == []
        assert (after.title, after.metadata, after.last_seq) == ("kept", {"a": 1}, 2)
        assert after.updated_at > before.updated_at
        assert service.get_state("s") == {"k": 1}
        assert service.append_event("s", Event("user")).seq == 3
        assert service.clear_session("s") == 1
        assert service.clear_session("s") == 0
        with pytest.raises(SessionNotFoundError):
            service.clear_session("nowhere")

    def test_replacing_is_clearing_and_appending_at_once(self, service: Any, session: Any) -> None:
        """Replacing removes all events and appends the new ones in one step, or changes nothing."""
        old = fill(service, "s", "user", "user")
        new = service.replace_events("s", [Event("user", "new"), old[1]])
        assert contents(new) == ["new", "2"]
        assert seqs(new) == [3, 4]
        assert service.list_events("s") == new
        assert service.replace_events("s", []) == []
        assert service.list_events("s") == []
        assert service.append_event("s", Event("user")).seq == 5
        with pytest.raises(DuplicateEventError):
            service.replace_events("s", [Event("user", "1", id="x"), Event("user", "2", id="x")])
        assert len(service.list_events("s")) == 1
        service.replace_events("made", [Event("user", "first")])
        assert contents(service.list_events("made")) == ["first"]
        service.replace_events("empty", [])
        assert service.list_events("empty") == []

    def test_a_note_that_a_run_was_interrupted_stands_at_a_message_until_it_is_taken_away(
        self, service: Any, session: Any
    ) -> None:
        """`mark_interrupted` notes at messages that their run had no reply, and takes the note away again."""
        asked = Event("user", "Count.", message_id="m1", metadata={"mine": 1}, id="e1")
        service.append_events("s", [asked, Event("user", "native", id="e2")])
        assert service.mark_interrupted("s", ["m1", "e2", "no such"], "CancelledError") == 2
        assert service.mark_interrupted("s", ["m1", "e2"], "CancelledError") == 0
        first, second = service.list_events("s")
        assert first.metadata == {"mine": 1, "interrupted": "CancelledError"}
        assert second.interrupted == "CancelledError"
        assert [one.interrupted for one in service.session_overviews()] == ["CancelledError"]
        assert service.mark_interrupted("s", ["m1", "e2"], "") == 2
        assert service.list_events("s")[0].metadata == {"mine": 1}
        assert [one.interrupted for one in service.session_overviews()] == [""]
        assert service.mark_interrupted("missing", ["m1"], "CancelledError") == 0
        for wrong in (("s", ["m1"], 3), ("s", [3], "x"), ("", ["m1"], "x")):
            with pytest.raises(InvalidInputError):
                service.mark_interrupted(*wrong)

    def test_a_message_takes_the_place_of_another(self, service: Any, session: Any) -> None:
        """``instead_of`` puts a message where another one stands, once, and search finds the new one."""
        service.append_messages(
            "s", [Event("user", "Count.", message_id="m1"), Event("assistant", "one", message_id="p")]
        )
        service.mark_interrupted("s", ["p"], "CancelledError")
        whole = Event("assistant", "one two", message_id="m2")
        for _ in range(2):
            (stored,) = service.append_messages("s", [whole], instead_of={"m2": "p", "m3": "m1"})
        assert (stored.seq, stored.content, stored.message_id, stored.interrupted) == (2, "one two", "m2", "")
        assert service.find_messages("s", ["m1", "p", "m2"]) == {"m1": 1, "m2": 2}
        service.append_messages("s", [Event("user", "new", message_id="m4")], instead_of={"m4": "no such"})
        assert [event.content for event in service.list_events("s")] == ["Count.", "one two", "new"]
        assert [hit.event.seq for hit in service.search("two")] == [2]
