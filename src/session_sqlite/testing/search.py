"""Search finds what was said, by words, in the sessions of one user."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from session_sqlite import ANY, Event, InvalidInputError, SessionNotFoundError, ToolCall
from session_sqlite.testing.contract import NOON, Contracts

WORDS = {
    "请帮我分析这段代码": (["代码", "分析", "这段代码", "请帮"], ["代 码段", "码代"]),
    "We moved to C++ in Zürich, at last.": (["c", "zurich", "ZÜRICH", "mov*", '"in zurich"'], ["mov", '"zurich in"']),
    "\uff46\uff55\uff4c\uff4c width and soft\u00adhyphen": (["full", "softhyphen"], ["hyphen"]),
    "Tea 🍵 at 5": (["🍵", "tea 5"], ["🍺"]),
}

GOES: list[Callable[[Any, Any], object]] = [
    lambda service, session: session.clear(),
    lambda service, session: session.rewind(turns=3),
    lambda service, session: session.rewind(to=1),
    lambda service, session: session.delete(),
    lambda service, session: service.erase(session),
    lambda service, session: session.rewind(turns=4),
    lambda service, session: service.redact("old"),
]


def seqs(hits: Any) -> list[int]:
    """Returns the places of the events of hits, in their order."""
    return [hit.event.seq for hit in hits]


class SearchContracts(Contracts):
    """Search finds what was said, by words, in the sessions of one user."""

    @pytest.mark.parametrize("text", WORDS)
    def test_words_are_found_whatever_they_are_written_with(self, service: Any, text: str) -> None:
        """Case, accents and width mean nothing, Chinese words are found inside a run; ``*`` ends a prefix."""
        session = service.create_session()
        session.add_events([Event("user", text), Event("user", "nothing of the kind")])
        found, missing = WORDS[text]
        for query in found:
            assert seqs(service.search(query)) == [1], query
        for query in (*missing, "", "*", "?!"):
            assert service.search(query) == [], query

    @pytest.mark.parametrize("newest_first", [True, False])
    def test_all_pages_of_a_search_are_all_hits_once(self, service: Any, newest_first: bool) -> None:
        """All pages of a search have each hit once, whatever is appended between them; all but the last are full."""
        for number in range(2):
            service.create_session(session_id=str(number)).add_events(
                [Event("user", "word " * (1 + step % 3)) for step in range(10)]
            )
        for limit in (3, 22, 40):
            every = service.search("word", limit=1000, newest_first=newest_first)
            seen: list[Any] = []
            cursor = None
            while True:
                page = service.search("word", limit=limit, cursor=cursor, newest_first=newest_first)
                seen += page
                if (cursor := page.next_cursor) is None:
                    break
                assert len(page) == limit
                service.append_event("0", Event("user", "word word word and more"))
            events = [hit.event for hit in seen]
            assert len(set(events)) == len(events)
            assert set(events) == {hit.event for hit in every}
            if newest_first:
                assert events == [hit.event for hit in every]

    def test_fields_choose_where_to_look(self, service: Any) -> None:
        """``fields`` says where to look: in what was said, in the reasoning, in tool calls with their results."""
        session = service.create_session()
        said, thought, called, answered, failed = session.add_events(
            [
                Event("user", "apple"),
                Event("assistant", "x", reasoning="apple"),
                Event("assistant", "x", actions=[ToolCall("Read", {"apple": [{"deep": 7.5}, True]}, id="1")]),
                Event("tool", "apple", actions=[ToolCall("Read", id="1")]),
                Event("assistant", "x", actions=[ToolCall("Grep", error="no apple")]),
            ]
        )

        def seqs_of(*fields: str, query: str = "apple") -> list[int]:
            return sorted(seqs(service.search(query, fields=fields)))

        assert seqs_of("content") == [said.seq, answered.seq]
        assert seqs_of("reasoning") == [thought.seq]
        assert seqs_of("tools") == [called.seq, answered.seq, failed.seq]
        assert seqs_of("tools", "reasoning") == [thought.seq, called.seq, answered.seq, failed.seq]
        assert seqs_of("content", "reasoning", "tools") == [1, 2, 3, 4, 5]
        session.add_event("assistant", "pear", actions=[ToolCall("Grep", error="pear")])
        assert seqs_of("tools", query="pear") == [6]  # said and failed alike
        assert seqs_of("tools", query="read deep 7.5 true") == [called.seq]
        assert seqs_of("content", query="read") == []
        assert sorted(seqs(service.search("apple", fields="reasoning"))) == [thought.seq]
        # All terms must be in the event, not in one field.
        assert seqs_of("content", "tools", query="x apple") == [called.seq, failed.seq]

    def test_filters_narrow_a_search(self, service: Any) -> None:
        """A search keeps to a session, an author, a time, an order and a limit."""
        first, second = service.create_session(session_id="1"), service.create_session(session_id="2")
        for hour in range(4):
            first.add_event(
                "user" if hour % 2 else "assistant", f"word {hour}", created_at=NOON + timedelta(hours=hour)
            )
        second.add_event("user", "word", created_at=NOON)

        assert len(service.search("word")) == 5
        assert seqs(service.search("word", session=second)) == [1]
        assert sorted(seqs(service.search("word", session="1"))) == [1, 2, 3, 4]
        assert sorted(seqs(first.search("word"))) == [1, 2, 3, 4]
        assert sorted(seqs(first.search("word", author="user"))) == [2, 4]
        assert sorted(seqs(first.search("word", since=NOON + timedelta(hours=1)))) == [2, 3, 4]
        assert sorted(seqs(first.search("word", until=NOON + timedelta(hours=1)))) == [1]
        assert sorted(seqs(first.search("word", since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=3)))) == [
            2,
            3,
        ]
        elsewhere = (NOON + timedelta(hours=1)).astimezone(tz=None)
        assert sorted(seqs(first.search("word", since=elsewhere))) == [2, 3, 4]
        assert seqs(first.search("word", author="user", newest_first=True)) == [4, 2]
        assert len(service.search("word", limit=2)) == 2
        assert service.search("word", limit=0) == []

    def test_another_users_events_are_never_found(self, service: Any) -> None:
        """A search finds what is its app's and user's alone, unless `ANY` is asked for."""
        owners = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("ax", "y"), ("a", "xy")]
        for app, user in owners:
            scoped = service.scope(app_name=app, user_id=user)
            scoped.create_session(session_id="s").add_event("user", f"secret of {app}{user}")

        def found_by(**scope: Any) -> set[tuple[str, str]]:
            hits = service.search("secret", **scope)
            assert len(hits) == len({hit.session for hit in hits})
            return {(str(hit.session.app_name), str(hit.session.user_id)) for hit in hits}

        for app, user in owners:
            assert found_by(app_name=app, user_id=user) == {(app, user)}
            scoped = service.scope(app_name=app, user_id=user)
            assert [hit.event.content for hit in scoped.search("secret", session="s")] == [f"secret of {app}{user}"]
            assert found_by(app_name=app, user_id=ANY) == {one for one in owners if one[0] == app}
            assert found_by(app_name=ANY, user_id=user) == {one for one in owners if one[1] == user}
        assert found_by(app_name=ANY, user_id=ANY) == set(owners)
        assert service.search("secret") == []  # the service's own user has said nothing
        with pytest.raises(SessionNotFoundError):
            service.search("secret", session="s")
        with pytest.raises(InvalidInputError):
            service.scope(app_name=ANY, user_id=ANY).search("secret", session="s")  # which one?
        session = service.get_session("s", app_name="b", user_id="y")
        assert [hit.event.content for hit in service.search("secret", session=session)] == ["secret of by"]
        assert len(service.scope(app_name="b", user_id=ANY).search("secret", author="user", limit=5)) == 2

    def test_the_best_come_first_and_the_score_falls(self, service: Any) -> None:
        """The best hit comes first: with more of the words in less text; ``newest_first`` has the latest in front."""
        session = service.create_session()
        long = "other things to say and more of them " * 30
        session.add_events(
            [Event("user", f"{long} tea {long}"), Event("user", "tea tea"), Event("user", "no coffee")] * 2
        )
        hits = service.search("tea")
        assert seqs(hits)[:2] in ([2, 5], [5, 2])
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 for score in scores)
        assert seqs(service.search("tea", newest_first=True)) == [5, 4, 2, 1]

    def test_a_cursor_of_another_search_is_refused(self, service: Any) -> None:
        """A cursor is good for its own search alone; with another it is an `InvalidInputError`."""
        session = service.create_session(session_id="s")
        session.add_events([Event("user", "word other")] * 3)
        cursor = service.search("word", limit=1).next_cursor
        assert cursor is not None
        assert len(service.search("word", limit=2, cursor=cursor)) == 2  # pages may differ in length
        for different in (
            {"query": "other"}, {"newest_first": True}, {"author": "user"}, {"fields": ["content"]},
            {"user_id": "else"}, {"app_name": "else"}, {"user_id": ANY}, {"session": "s"}, {"since": NOON},
            {"until": NOON},
        ):  # fmt: skip
            with pytest.raises(InvalidInputError):
                service.search(**{"query": "word", "cursor": cursor, **different})
        service.create_session()
        others = service.list_sessions(limit=1).next_cursor, session.events(limit=1).next_cursor
        for foreign in (*others, "", "AAAA", "é"):
            assert foreign is not None
            with pytest.raises(InvalidInputError):
                service.search("word", cursor=foreign)

    @pytest.mark.parametrize("indexed", [True, False])
    def test_what_is_removed_is_not_found_and_what_takes_its_row_is(self, service: Any, indexed: bool) -> None:
        """An event that was cleared, rewound, deleted, erased or redacted is not found; one in its place is."""
        # SQLite gives the row ids of the newest events again.
        keeper = service.create_session(session_id="keeper")
        keeper.add_event("user", "kept 代码")
        for number in range(len(GOES)):
            name = f"s{number}"
            session = service.create_session(session_id=name)
            session.add_events(
                [Event("user", f"kept old{step} 代码" if step == 0 else f"old 代码 n{step}") for step in range(4)]
            )
            if indexed:
                assert len(service.search("old", session=session)) == 3
            GOES[number](service, session)
            assert service.search("old", app_name=ANY, user_id=ANY) == []
            assert len(service.search("kept", session=keeper)) == 1
            fresh = service.create_session(session_id=f"{name}-fresh")
            fresh.add_events([Event("user", f"new {name} 数据") for _ in range(5)])
            assert service.search("old") == []
            assert {hit.session.id for hit in service.search(name)} == {fresh.id}
            assert sorted(seqs(service.search("数据", session=fresh))) == [1, 2, 3, 4, 5]
            assert sorted(seqs(service.search("码", session=fresh))) == []
        assert service.check().ok

    def test_replacing_words_in_an_event_changes_what_finds_it(self, service: Any) -> None:
        """A redacted event is found by its new words and not by those that it had."""
        session = service.create_session()
        session.add_event("user", "my number is 555-1234")
        assert len(service.search("555")) == 1
        service.redact(r"\d{3}-\d{4}", replacement="withheld")
        assert service.search("555") == []
        assert [hit.event.content for hit in service.search("withheld")] == ["my number is withheld"]
        session.add_event("user", "call 555-1234")
        service.redact(r"\d{3}-\d{4}", replacement="withheld")  # before it was indexed
        assert service.search("555") == []
        assert len(service.search("withheld")) == 2
        assert service.check().ok

    def test_a_fork_is_found_too(self, service: Any) -> None:
        """An event is found in its session and in each fork, and in the fork alone when the session is gone."""
        session = service.create_session(session_id="s")
        session.add_event("user", "word")
        service.search("word")
        session.fork(session_id="t")
        assert {hit.session.id for hit in service.search("word")} == {"s", "t"}
        service.delete_session("s")
        assert {hit.session.id for hit in service.search("word")} == {"t"}
