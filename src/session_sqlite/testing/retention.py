"""Pruning, erasing and redacting take what they are told to, and nothing else."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest

from session_sqlite import ANY, REMOVE, Event, InvalidInputError, SessionNotFoundError
from session_sqlite.testing.contract import Contracts, contents, is_refused

HIDDEN: Final = "marzipan"
LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
WRONG_PRUNES: Final[list[dict[str, Any]]] = [
    {},
    {"older_than": datetime(2020, 1, 1)},  # noqa: DTZ001
    {"older_than": 30},
    {"older_than": timedelta.max},
    {"older_than": timedelta.min},
    {"older_than": timedelta(days=-1)},
    {"older_than": timedelta(microseconds=-1)},
    {"older_than": timedelta(days=-1), "keep_last": 0},
    {"older_than": datetime.now(UTC) + timedelta(days=1)},
    {"older_than": datetime.max.replace(tzinfo=UTC)},
    {"older_than": timedelta(days=-1), "dry_run": True},
    {"older_than": True},
    {"older_than": float("nan")},
    {"older_than": "30d"},
    {"keep_last": -1},
    {"keep_last": -(2**70)},
    {"keep_last": 2**70},
    {"keep_last": 0.0},
    {"keep_last": float("nan")},
    {"keep_last": "1"},
    {"keep_last": True},
    {"keep_last": 1, "user_id": ""},
]
WRONG_PATTERNS: Final[list[tuple[Any, Any]]] = [
    ("(", "x"),
    ("a", r"\1"),
    ("a", r"\g<name>"),
    (re.compile(b"a"), "x"),
    (b"a", "x"),
    (None, "x"),
    (3, "x"),
    ("a", None),
    ("a", b"x"),
    ("a", "\ud800"),
]


def say(session: Any, *lines: str, days: float = 0) -> Any:
    """Appends lines of so many days ago: ``"u hello"`` is said by the user, ``"a hello"`` by the assistant."""
    when = datetime.now(UTC) - timedelta(days=days)
    authors = {"u": "user", "a": "assistant"}
    return session.add_events([Event(authors[line[0]], line[2:], created_at=when) for line in lines])


class RetentionContracts(Contracts):
    """Pruning, erasing and redacting take what they are told to, and nothing else."""

    def test_prune_removes_old_turns_and_keeps_them_whole(self, service: Any) -> None:
        """Pruning by age removes whole turns that are old, and none of which a part is younger."""
        session = service.create_session()
        say(session, "u one", "a two", days=10)
        say(session, "u three", days=9)
        say(session, "a four", "u five", "a six", days=1)
        report = service.prune(older_than=timedelta(days=5))
        assert (report.events, report.sessions, report.dry_run) == (2, 0, False)
        assert contents(session.events()) == [
            "three",
            "four",
            "five",
            "six",
        ]  # the turn that is not all old stays whole
        assert service.prune(older_than=datetime.now(UTC) - timedelta(hours=1)).events == 4
        assert session.events() == []

    def test_prune_keeps_the_latest_events(self, service: Any) -> None:
        """Pruning by count keeps the latest events, and the last turn whole."""
        session = service.create_session()
        say(session, "u one", "a two", "u three", "a four", "a five", days=10)
        for keep in (99, 5, 4):
            assert service.prune(keep_last=keep, dry_run=True).events == (0 if keep > 4 else 2)
        assert service.prune(keep_last=3).events == 2
        assert contents(session.events()) == contents(session.last_events(3)) == ["three", "four", "five"]
        assert service.prune(keep_last=1).events == 0  # the last turn comes whole
        assert service.prune(keep_last=0).events == 3

    def test_prune_by_age_and_count_removes_what_both_let_go(self, service: Any) -> None:
        """With an age and a count, pruning removes what is both old and not among the latest."""
        session = service.create_session()
        say(session, "u one", "a two", "u three", "a four", days=10)
        say(session, "u five", "a six", days=1)
        assert service.prune(older_than=timedelta(days=5), keep_last=4).events == 2
        assert contents(session.events()) == ["three", "four", "five", "six"]
        assert service.prune(older_than=timedelta(days=20), keep_last=1).events == 0
        assert service.prune(older_than=timedelta(days=5), keep_last=1).events == 2

    def test_prune_keeps_last_seq_state_and_search(self, service: Any) -> None:
        """Pruning leaves the numbering and the state as they are, and search finds what is left."""
        session = service.create_session(state={"step": 0, "given": 1})
        session.add_event("user", "苹果 apple", state={"step": 1, "given": REMOVE}, created_at=LONG_AGO)
        session.add_event("user", "香蕉 banana", state={"step": 2})
        service.search("apple")
        before = session.refresh()
        assert service.prune(older_than=timedelta(days=1)).events == 1
        assert session.refresh() == before
        assert service.get_state(session) == {"step": 2}
        assert not service.search("苹果")
        assert not service.search("apple")
        assert service.search("banana")
        session.rewind()
        assert service.get_state(session) == {"step": 1}
        assert session.add_event("user", "three").seq == 3

    def test_a_dry_run_of_prune_counts_the_same_and_changes_nothing(self, dump: Any, service: Any) -> None:
        """A dry run of a pruning reports what the pruning then does, and changes nothing."""
        for number in range(3):
            say(service.create_session(), *["u q", "a a"] * number, days=number)
        before = dump()
        report = service.prune(older_than=timedelta(hours=30), dry_run=True)
        assert report.dry_run
        assert dump() == before
        assert dataclasses.replace(service.prune(older_than=timedelta(hours=30)), dry_run=True) == report
        assert report.events == 4

    def test_prune_keeps_to_its_scope_unless_told_any(self, service: Any) -> None:
        """Pruning keeps to the service's app and user, unless others or `ANY` are named."""
        for app in ("a", "b"):
            for user in ("li", "wang"):
                say(service.create_session(app_name=app, user_id=user, session_id="s"), "u one", days=10)
        age = timedelta(days=5)
        assert service.prune(older_than=age).events == 0
        assert service.scope(app_name="a", user_id="li").prune(older_than=age).events == 1
        assert service.prune(older_than=age, app_name=ANY, user_id="li").events == 1
        assert service.prune(older_than=age, app_name="b", user_id=ANY).events == 1
        assert service.prune(older_than=age, app_name=ANY, user_id=ANY).events == 1

    def test_a_bad_prune_is_refused(self, service: Any) -> None:
        """A pruning that names neither age nor count, or one that makes no sense, is an `InvalidInputError`."""
        session = service.create_session()
        say(session, "u one", days=10)
        for arguments in WRONG_PRUNES:
            assert is_refused(partial(service.prune, **arguments)), arguments
            assert len(session.events()) == 1

    def test_an_age_of_nothing_is_everything_until_now(self, service: Any) -> None:
        """Pruning by an age of nothing removes all that was said until now."""
        session = service.create_session()
        say(session, "u one", "a two")
        assert service.prune(older_than=timedelta(0), dry_run=True).events == 2
        assert service.prune(older_than=datetime.now(UTC)).events == 2

    @pytest.mark.parametrize(
        "arguments",
        [{}, {"session": "s", "user_id": "li"}, {"session": "s", "app_name": "a"}, {"user_id": ANY}, {"user_id": ""}],
    )
    def test_an_erase_that_does_not_say_what_is_refused(self, arguments: Any, service: Any) -> None:
        """Erasing takes one session or one user, and refuses anything less clear."""
        say(service.create_session(session_id="s"), "u one")
        with pytest.raises(InvalidInputError):
            service.erase(**arguments)
        assert len(service.list_sessions()) == 1

    def test_what_is_no_event_is_named_if_it_holds_the_text(self, service: Any) -> None:
        """A redaction names what it did not change and still holds the text: titles, metadata, state, copies."""
        session = service.create_session(session_id="s", title=f"About {HIDDEN}", metadata={"k": HIDDEN})
        service.update_state(session, {"own": HIDDEN, "user:u": [HIDDEN], "app:a": HIDDEN, "fine": "x"})
        service.update_state(service.create_session(user_id="other"), {"user:u": HIDDEN})
        session.add_event("user", "one")
        report = service.redact(HIDDEN)
        assert report.events == 0
        assert len(report.remaining) == 5
        for what in ("title of session 's'", "metadata of session 's'", "state 'own'", "'user:u'", "'app:a'"):
            assert [line for line in report.remaining if what in line], what
        assert HIDDEN not in "".join(report.remaining)
        service.update_session("s", title="", metadata={"k": REMOVE})
        service.update_state("s", {"own": REMOVE, "user:u": REMOVE, "app:a": REMOVE})
        assert service.redact(HIDDEN).remaining == ()
        fork = session.fork()
        session.add_event("user", HIDDEN)
        assert fork.id in service.redact(HIDDEN, session=session).remaining[0]

    def test_redaction_keeps_to_its_scope(self, service: Any) -> None:
        """A redaction keeps to the service's app and user, unless a session, others or `ANY` are named."""
        sessions = [
            service.create_session(app_name=app, user_id=user, session_id="s")
            for app in "ab"
            for user in ("li", "wang")
        ]
        for session in sessions:
            session.add_event("user", HIDDEN)
        one = service.create_session(session_id="one")
        two = service.create_session(session_id="two")
        one.add_event("user", HIDDEN)
        two.add_event("user", HIDDEN)

        def left() -> int:
            return sum(session.events()[0].content == HIDDEN for session in [*sessions, one, two])

        assert service.redact(HIDDEN, session="one").events == 1
        assert left() == 5
        assert service.redact(HIDDEN).events == 1
        assert service.redact(HIDDEN, app_name="a", user_id="li").events == 1
        assert service.redact(HIDDEN, app_name=ANY, user_id="li").events == 1
        assert left() == 2
        assert service.redact(HIDDEN, app_name=ANY, user_id=ANY).events == 2
        with pytest.raises(SessionNotFoundError):
            service.redact(HIDDEN, session="nowhere")
        with pytest.raises(SessionNotFoundError):
            service.redact(HIDDEN, session="one", user_id="li")  # li has no session "one"

    def test_a_redaction_reaches_more_events_than_one_transaction_takes(self, service: Any) -> None:
        """A redaction reaches every event of a long session, and search finds the new words."""
        session = service.create_session()
        session.add_events([Event("user", f"{n} {HIDDEN if n % 3 == 0 else ''}") for n in range(1203)])
        service.search("marzipan")
        assert service.redact(HIDDEN).events == 401
        assert not [event for event in session.events() if HIDDEN in event.content]
        assert not service.search("marzipan")
        assert len(service.search("redacted", limit=999)) == 401

    def test_a_bad_pattern_is_refused(self, service: Any) -> None:
        """A pattern or replacement that is none is an `InvalidInputError`."""
        service.create_session().add_event("user", "a")
        for pattern, replacement in WRONG_PATTERNS:
            assert is_refused(partial(service.redact, pattern, replacement=replacement)), (pattern, replacement)

    def test_a_replacement_may_refer_to_groups(self, service: Any) -> None:
        """The replacement of a redaction may name groups of the pattern."""
        session = service.create_session()
        session.add_event("user", "mail to li@example.com")
        service.redact(r"(\w)\w*@(\w+)\.com", replacement=r"\1…@\2")
        assert session.events()[0].content == "mail to l…@example"

    @pytest.mark.parametrize("answer", [None, 3, b"x", "\ud800"])
    def test_a_function_that_returns_no_text_is_an_error(self, dump: Any, answer: Any, service: Any) -> None:
        """A redacting function that returns anything but text is an `InvalidInputError`, and nothing changes."""
        service.create_session().add_event("user", "a")
        before = dump()
        with pytest.raises(InvalidInputError):
            service.redact(lambda text: answer)
        assert dump() == before

    @pytest.mark.parametrize("name", ["prune", "redact", "rewind"])
    def test_a_dry_run_does_what_the_verb_then_does(self, name: str, service: Any) -> None:
        """A dry run returns what the same call then returns."""
        verb: Callable[..., Any] = {
            "prune": lambda **how: service.prune(keep_last=3, **how).events,
            "redact": lambda **how: service.redact("e", **how).events,
            "rewind": lambda **how: service.rewind_session("s", turns=2, **how),
        }[name]
        session = service.create_session(session_id="s")
        say(session, "u one", "a two", "u three", "a four", "u five", "a six", "a seven")
        would = verb(dry_run=True)
        assert would
        assert verb() == would
