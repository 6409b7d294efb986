"""A fork or a rewind is exact: events, numbers, state and search are those of its place, and copies count once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    EventNotFoundError,
    InvalidInputError,
    Session,
    SessionExistsError,
    SessionNotFoundError,
    ToolCall,
    Usage,
)
from session_sqlite.testing.contract import NOON, Contracts, contents


def talk(session: Any, *lines: str) -> Any:
    """Appends lines: ``"u hello"`` is said by the user, ``"a hello"`` by the assistant, ``"s hello"`` by the system."""
    authors = {"u": "user", "a": "assistant", "s": "system"}
    return session.add_events([Event(authors[line[0]], line[2:]) for line in lines])


def bad_forks(service: Any) -> list[tuple[type[Exception], dict[str, Any]]]:
    """Returns wrong forks of the session "source", with the error that each is."""
    other = service.create_session(session_id="other")
    foreign = talk(other, "u foreign")[0]
    theirs = service.create_session(session_id="source", user_id="somebody")
    return [
        (SessionExistsError, {"session_id": "other"}),
        (SessionExistsError, {"session_id": "source"}),
        (EventNotFoundError, {"at": foreign}),
        (EventNotFoundError, {"at": foreign.id}),
        (EventNotFoundError, {"at": talk(theirs, "u theirs")[0]}),
        (EventNotFoundError, {"at": 99}),
        (EventNotFoundError, {"at": 0}),
        (EventNotFoundError, {"at": Event("user", "never stored", id="x")}),
        (EventNotFoundError, {"at": Event("user", "never stored")}),
        (InvalidInputError, {"at": -1}),
        (InvalidInputError, {"at": True}),
        (InvalidInputError, {"at": 1.0}),
        (InvalidInputError, {"at": ""}),
        (InvalidInputError, {"session_id": ""}),
        (InvalidInputError, {"title": None}),
        (InvalidInputError, {"title": "\ud800"}),
    ]


def turn(session: Any, tokens: int) -> None:
    """A question, and an answer that took so many tokens and called a tool."""
    session.add_events([
        Event("user", f"question {tokens}"),
        Event("assistant", f"answer {tokens}", usage=Usage("m", tokens), actions=[ToolCall("Read", id="c", output=1)]),
    ])  # fmt: skip


def figures(service: Any, **filters: Any) -> list[int]:
    """Returns the tokens, and from there on how many replies: by every question that counts."""
    usage, by_day = service.usage((), **filters), service.usage(("day", "model", "session_id"), **filters)
    calls, activity = service.tool_calls(**filters), service.activity(("day", "author", "session_id"), **filters)
    counts = service.tool_counts(**filters)
    answers = sum(row["events"] for row in activity if row["author"] == "assistant")
    assert answers == service.activity((), **filters)[0]["events"] - answers, "as many questions"
    tokens = {usage[0]["input_tokens"], sum(row["input_tokens"] for row in by_day)}
    replies = {usage[0]["replies"], sum(row["replies"] for row in by_day), len(calls), answers,
               counts.get("Read", {"calls": 0})["calls"], len(service.reply_times(**filters))}  # fmt: skip
    if "session" not in filters:
        stats = service.stats(**filters)
        called = stats["tools"].get("Read", {"calls": 0})["calls"]
        tokens.add(stats["tokens"]["input_tokens"])
        replies |= {stats["authors"].get("assistant", 0), stats["events"] // 2, called}
    assert len(tokens) == 1, tokens
    assert len(replies) == 1, replies
    return [*tokens, *replies]


GOES: dict[str, Callable[[Any, Any], Any]] = {
    "delete": lambda service, session: session.delete(),
    "rewind": lambda service, session: session.rewind(),
    "clear": lambda service, session: session.clear(),
    "erase": lambda service, session: service.erase(session),
    "replace": lambda service, session: service.replace_events(session, []),
}


class CopyContracts(Contracts):
    """A fork or a rewind is exact: events, numbers, state and search are those of its place, and copies count once."""

    @pytest.mark.parametrize("at", [lambda event: event, lambda event: event.id, lambda event: event.seq])
    def test_a_fork_ends_with_the_event_it_is_made_at(self, at: Callable[[Event], Any], service: Any) -> None:
        """A fork has the events up to the one named (itself, its id or its seq), and says where it is from."""
        session = service.create_session(title="Tea", agent_id="waiter", metadata={"source": "desktop"})
        events = talk(session, "u one", "a two", "u three", "a four")
        fork = session.fork(at=at(events[1]))
        assert contents(fork.events()) == ["one", "two"]
        assert [event.seq for event in fork.events()] == [1, 2]
        assert [(event.id, event.created_at) for event in fork.events()] == [(e.id, e.created_at) for e in events[:2]]
        assert (fork.parent_id, fork.parent_seq, fork.last_seq) == (session.id, 2, 2)
        assert (fork.title, fork.agent_id, fork.metadata) == ("Tea", "waiter", {"source": "desktop"})
        assert fork == fork.refresh()

    def test_a_fork_without_an_event_has_them_all(self, service: Any) -> None:
        """A fork at no event has the whole session, and goes on from there."""
        session = service.create_session()
        talk(session, "u one", "a two", "u three")
        fork = service.fork_session(session.id, session_id="mine", title="Another")
        assert (fork.id, fork.title, contents(fork.events())) == ("mine", "Another", ["one", "two", "three"])
        assert fork.add_event("user", "four").seq == 4

    def test_an_empty_session_can_be_forked(self, service: Any) -> None:
        """A fork of a session without events has its state."""
        fork = service.create_session(state={"step": 1}).fork()
        assert (fork.events(), service.get_state(fork), fork.last_seq, fork.parent_seq) == ([], {"step": 1}, 0, 0)

    def test_the_fork_point_is_an_event_that_is_there(self, service: Any) -> None:
        """The place of a fork is the last event that is there, not one that was taken back."""
        session = service.create_session()
        talk(session, "u one", "a two", "u three", "a four")
        session.rewind()
        assert session.fork().parent_seq == 2

    def test_a_fork_is_numbered_without_gaps(self, service: Any) -> None:
        """The events of a fork are numbered from 1 without a gap, whatever was taken back in its source."""
        session = service.create_session()
        talk(session, "u one", "a two")
        session.rewind()
        third = talk(session, "u three", "a four")[0]
        assert third.seq == 3
        fork = session.fork(at=third.seq)
        assert [(event.seq, event.content) for event in fork.events()] == [(1, "three")]
        assert fork.parent_seq == 3

    def test_a_fork_keeps_to_its_app_and_user(self, service: Any) -> None:
        """A fork stays with the app and user of its source, and another user's session is not in its way."""
        mine = service.create_session(session_id="1", user_id="li")
        talk(mine, "u one")
        theirs = service.create_session(session_id="2", user_id="wang")
        talk(theirs, "u other")
        fork = mine.fork(session_id="2")  # wang's session of this name is not in the way
        assert (fork.user_id, contents(fork.events())) == ("li", ["one"])
        assert contents(theirs.events()) == ["other"]

    def test_a_fork_of_a_fork_remembers_its_own_parent(self, service: Any) -> None:
        """A fork of a fork names the fork as its parent, and has the state of its own place."""
        first = service.create_session(state={"step": 0})
        events = first.add_events([Event("user", str(n), state={"step": n}) for n in range(1, 5)])
        second = first.fork(at=events[2])
        third = second.fork(at=events[1].id)
        assert (third.parent_id, third.parent_seq) == (second.id, 2)
        assert (contents(third.events()), service.get_state(third)["step"]) == (["1", "2"], 2)
        third.rewind(turns=2)
        assert (service.get_state(third), service.get_state(second), service.get_state(first)) == (
            {"step": 0},
            {"step": 3},
            {"step": 4},
        )

    def test_the_source_of_a_fork_is_untouched(self, service: Any, dump: Any) -> None:
        """Nothing that is done to a fork changes its source, or what the two share."""
        session = service.create_session(state={"step": 1, "user:lang": "zh"})
        talk(session, "u one", "a two")
        shared = service.get_state(service.create_session(session_id="twin"))
        before = dump()
        fork = session.fork(at=1)
        fork.add_event("user", "more", state={"step": 2})
        service.update_state(fork, {"step": 3})
        fork.rewind()
        fork.clear()
        fork.delete()
        after = dump()
        for table in ("sessions", "events", "state"):
            assert after[table] == before[table]
        assert service.get_state("twin") == shared

    def test_a_fork_is_found_by_search(self, service: Any) -> None:
        """The events of a fork are found by search, and those that it left out are not."""
        session = service.create_session()
        talk(session, "u 请帮我分析代码", "a 好的")
        service.search("代码")
        fork = session.fork(at=1)
        assert {hit.session.id for hit in service.search("代码")} == {session.id, fork.id}
        assert not fork.search("好的")

    def test_a_fork_that_fails_leaves_nothing(self, service: Any, dump: Any) -> None:
        """A fork that is refused writes nothing."""
        session = service.create_session(session_id="source", state={"k": 1})
        talk(session, "u one", "a two")
        faults = bad_forks(service)
        before = dump()
        for error, arguments in faults:
            with pytest.raises(error):
                session.fork(**arguments)
        with pytest.raises(SessionNotFoundError):
            service.fork_session("nowhere", at=1)
        assert dump() == before

    def test_a_rewind_takes_back_the_last_turns(self, service: Any) -> None:
        """A rewind takes back whole turns and returns what went; what comes before the first turn stays."""
        session = service.create_session()
        talk(session, "s be kind", "u one", "a two", "u three", "a four", "u five")
        assert contents(session.rewind()) == ["five"]
        assert contents(session.rewind(turns=1)) == ["three", "four"]
        assert session.rewind(turns=0) == []
        assert contents(session.rewind(turns=99)) == ["one", "two"]
        assert contents(session.events()) == ["be kind"]
        assert session.rewind() == []

    def test_a_dry_run_of_a_rewind_only_says_what_would_go(self, service: Any) -> None:
        """A dry run of a rewind returns what would go, and takes nothing."""
        session = service.create_session()
        events = talk(session, "u one", "a two", "u three", "a four")
        before = session.refresh()
        assert service.rewind_session(session, turns=1, dry_run=True) == events[2:]
        assert service.rewind_session(session, to=1, dry_run=True) == events[1:]
        assert (session.events(), session.refresh()) == (events, before)

    @pytest.mark.parametrize("to", [lambda event: event, lambda event: event.id, lambda event: event.seq])
    def test_a_rewind_to_an_event_keeps_it(self, to: Callable[[Event], Any], service: Any) -> None:
        """A rewind to an event, named by itself, its id or its seq, keeps that event and takes all after it."""
        session = service.create_session()
        events = talk(session, "u one", "a two", "u three", "a four")
        assert session.rewind(to=to(events[2])) == [events[3]]
        assert session.events() == events[:3]
        assert session.rewind(to=events[2]) == []

    def test_a_seq_is_never_given_twice(self, service: Any) -> None:
        """The seq of an event that was taken back is not given again."""
        session = service.create_session()
        talk(session, "u one", "a two")
        session.rewind()
        assert session.refresh().last_seq == 2
        assert session.add_event("user", "three").seq == 3
        fork = session.fork()
        fork.rewind()
        assert fork.add_event("user", "again").seq == 2

    def test_a_rewind_moves_updated_at_and_nothing_else_of_the_session(self, service: Any) -> None:
        """A rewind changes one field of the session, ``updated_at``; one that takes nothing changes none."""
        session = service.create_session(title="t", metadata={"k": 1})
        talk(session, "u one")
        before = session.refresh()
        session.rewind()
        after = session.refresh()
        assert after.updated_at > before.updated_at
        changed = {
            field.name
            for field in dataclasses.fields(Session)
            if getattr(after, field.name) != getattr(before, field.name)
        }
        assert changed == {"updated_at"}
        session.rewind()  # nothing went, so nothing changed
        assert session.refresh() == after

    def test_search_no_longer_finds_what_was_taken_back(self, service: Any) -> None:
        """Search does not find an event that was taken back, also when a new one has its place."""
        session = service.create_session()
        talk(session, "u 苹果", "a pear", "u 香蕉 banana", "a cherry")
        assert service.search("banana")
        session.rewind()
        assert not service.search("banana")
        assert not service.search("香蕉")
        assert contents([hit.event for hit in service.search("pear")]) == ["pear"]
        talk(session, "u grape")  # gets the row id of what went
        assert not service.search("banana")
        assert service.search("grape")

    def test_a_rewind_that_fails_changes_nothing(self, service: Any, dump: Any) -> None:
        """A rewind that is refused writes nothing."""
        session = service.create_session()
        talk(session, "u one", "a two")
        foreign = talk(service.create_session(), "u foreign")[0]
        before = dump()
        faults: list[tuple[type[Exception], dict[str, Any]]] = [
            (EventNotFoundError, {"to": foreign}),
            (EventNotFoundError, {"to": 99}),
            (InvalidInputError, {"to": 1, "turns": 1}),
            (InvalidInputError, {"turns": -1}),
            (InvalidInputError, {"turns": True}),
            (InvalidInputError, {"turns": "1"}),
        ]
        for error, arguments in faults:
            with pytest.raises(error):
                session.rewind(**arguments)
        with pytest.raises(SessionNotFoundError):
            service.rewind_session("nowhere")
        with pytest.raises(SessionNotFoundError):
            service.rewind_session("nowhere", to=1)
        assert dump() == before

    def test_a_fork_at_and_a_rewind_to_an_event_have_the_state_of_then(self, service: Any) -> None:
        """A fork at an event and a rewind to it have the session's state of then; other scopes and keys stay."""
        session = service.create_session(
            state={"given": 1, "changed": 1, "removed": 1, "app:a": 1, "user:u": 1, "untouched": 1}
        )
        service.update_state(session, {"by hand": 1})
        first = session.add_event("user", "one", state={"changed": 2, "removed": REMOVE, "new": [1]})
        session.add_event("user", "two", state={"changed": 3, "new": REMOVE, "removed": "back", "late": 1, "user:u": 2})
        service.update_state(session, {"changed": 4, "untouched": 2, "app:a": 2, "given": REMOVE})
        expected = {"changed": 2, "new": [1], "untouched": 2, "by hand": 1, "app:a": 2, "user:u": 2}
        assert service.get_state(session.fork(at=first)) == expected
        session.rewind(to=first)
        assert service.get_state(session) == expected

    def test_a_rewind_behind_the_first_turn_restores_the_state_at_creation(self, service: Any) -> None:
        """A rewind of everything restores the state that the session was made with."""
        session = service.create_session(state={"step": 0, "gone": None})
        session.add_event("user", "one", state={"step": 1, "gone": REMOVE, "new": 1})
        session.rewind()
        assert service.get_state(session) == {"step": 0, "gone": None}

    def test_a_fork_goes_back_to_the_state_it_was_made_with(self, service: Any) -> None:
        """A rewind of a fork stops at the state that the fork was made with."""
        session = service.create_session(state={"deleted": 1})
        service.update_state(session, {"by hand": 1, "deleted": REMOVE})
        talk(session, "u one")
        fork = session.fork()
        fork.add_event("user", "two", state={"by hand": 2, "deleted": 2})
        fork.rewind()
        assert service.get_state(fork) == {"by hand": 1}

    def test_values_that_look_like_a_removal_survive(self, service: Any) -> None:
        """A fork and its rewind mistake no value for the stored form of `REMOVE`."""
        odd = {"$remove": True}
        session = service.create_session(state={"k": odd})
        session.add_event("user", "one", state={"k": {"$$remove": 1}})
        fork = session.fork()
        assert service.get_state(fork)["k"] == {"$$remove": 1}
        fork.rewind()
        assert service.get_state(fork)["k"] == odd

    @pytest.mark.parametrize("how", ["clear", "replace", "prune"])
    def test_after_events_were_removed_a_rewind_goes_back_to_the_state_then(self, how: str, service: Any) -> None:
        """A rewind after events were cleared, replaced or pruned goes back to the state at that time."""
        session = service.create_session(state={"step": 0})
        session.add_event("user", "one", state={"step": 1, "user:lang": "zh"})
        session.add_event("user", "two", state={"step": 2, "gone": 1})
        service.update_state(session, {"gone": REMOVE})
        if how == "clear":
            session.clear()
        elif how == "replace":
            service.replace_events(session, [])
        else:
            service.prune(keep_last=0)
        assert session.events() == []
        assert session.rewind() == []
        now = service.get_state(session)
        assert (now["step"], now["user:lang"]) == (2, "zh")
        session.add_event("user", "three", state={"step": 3, "new": 1})
        session.rewind()
        assert service.get_state(session) | {"gone": None} == now | {"gone": None}
        assert session.add_event("user", "four").seq == 4

    def test_what_a_fork_has_from_its_source_is_counted_once(self, service: Any) -> None:
        """Tokens, calls and events that a fork has from its source count once."""
        session = service.create_session(session_id="s")
        turn(session, 100)
        fork = session.fork(session_id="fork")
        assert figures(service) == [100, 1]
        turn(fork, 10)
        assert figures(service) == [110, 2]
        assert [event.copied_from for event in fork.events()] == ["s", "s", "", ""]
        assert {event.copied_from for event in session.events()} == {""}

    def test_a_figure_of_one_session_is_of_what_was_first_said_there(self, service: Any) -> None:
        """A session's own figures count what was first said in it, and a fork's count all if its source is gone."""
        session = service.create_session(session_id="s")
        turn(session, 100)
        fork = session.fork(session_id="fork")
        turn(fork, 10)
        assert figures(service, session="s") == [100, 1]
        assert figures(service, session="fork") == [10, 1]
        by_session = {row["session_id"]: row["input_tokens"] for row in service.usage("session_id")}
        assert by_session == {"s": 100, "fork": 10}
        session.delete()
        assert figures(service, session="fork") == [110, 2]

    def test_a_fork_of_a_fork_names_where_its_events_were_first_said(self, service: Any) -> None:
        """``copied_from`` names the session in which an event was first said, through any number of forks."""
        session = service.create_session(session_id="s")
        turn(session, 1)
        fork = session.fork(session_id="fork")
        turn(fork, 10)
        last = fork.fork(session_id="last")
        turn(last, 100)
        assert [event.copied_from for event in last.events()] == ["s", "s", "fork", "fork", "", ""]
        assert figures(service) == [111, 3]
        fork.delete()
        assert figures(service) == [111, 3]
        session.delete()
        assert figures(service) == [111, 3]
        last.rewind(turns=2)
        assert figures(service) == [1, 1]

    @pytest.mark.parametrize("way", GOES)
    def test_of_copies_whose_original_is_gone_one_counts(self, service: Any, way: str) -> None:
        """Of several copies whose original is gone, whichever way it went, one counts."""
        session = service.create_session(session_id="s")
        session.add_events([
            Event("user", "q", created_at=NOON),
            Event("assistant", "a", created_at=NOON, usage=Usage("m", 100),
                  actions=[ToolCall("Read", id="c", output=1)]),
        ])  # fmt: skip
        forks = [session.fork(session_id=name) for name in ("f1", "f2")]
        GOES[way](service, session)
        for fork in forks:
            assert figures(service) == [100, 1]
            fork.delete()
        assert figures(service) == [0, 0]

    def test_of_copies_whose_original_was_pruned_one_counts(self, service: Any) -> None:
        """Of several copies whose original was pruned, one counts."""
        session = service.create_session(session_id="s")
        turn(session, 100)
        for name in ("f1", "f2"):
            session.fork(session_id=name)
        turn(session, 10)
        assert service.prune(keep_last=2).events == 2
        assert figures(service, session="s") == [10, 1]
        assert figures(service) == [110, 2]

    def test_what_is_said_again_under_the_id_of_what_was_taken_back_is_no_original(self, service: Any) -> None:
        """An event with the id of one that was taken back is an event of its own, and both count."""
        session = service.create_session(session_id="s")
        session.add_event("user", "q", id="1")
        session.add_event("assistant", "first", id="2", usage=Usage("m", 100))
        session.fork(session_id="fork")
        session.rewind()
        session.add_event("user", "q", id="1")
        session.add_event("assistant", "second", id="2", usage=Usage("m", 10))
        assert service.usage(())[0]["input_tokens"] == 110
        assert service.stats()["events"] == 4

    def test_a_copy_that_comes_back_to_where_it_was_first_said_is_the_original(self, service: Any) -> None:
        """A copy that returns to the session that its event was said in is no copy any more."""
        session = service.create_session(session_id="s")
        turn(session, 100)
        fork = session.fork(session_id="fork")
        session.delete()
        back = fork.fork(session_id="s")
        assert {event.copied_from for event in back.events()} == {""}
        assert figures(service) == [100, 1]
        assert figures(service, session="s") == [100, 1]
        fork.delete()
        assert figures(service) == [100, 1]

    def test_events_that_are_read_from_one_session_and_appended_to_another_are_copies(self, service: Any) -> None:
        """Events that are read in one session and appended to another are copies, and a retry of that adds none."""
        session = service.create_session(session_id="s")
        other = service.create_session(session_id="other")
        turn(session, 100)
        other.add_events(session.events())
        assert other.add_events(session.events()) == other.events(), "a retry adds nothing"
        third = service.create_session(session_id="third")
        third.add_events(other.events())
        assert {event.copied_from for event in third.events()} == {"s"}
        assert figures(service) == [100, 1]
        session.delete()
        assert figures(service) == [100, 1]

    def test_users_do_not_count_each_others_events(self, service: Any) -> None:
        """The figures of one user leave out what others said under the same ids."""
        for user in ("a", "b"):
            session = service.create_session(session_id="s", user_id=user)
            session.add_event("user", "q", id="1", created_at=NOON)
            session.add_event("assistant", "a", id="2", created_at=NOON, usage=Usage("m", 100),
                              actions=[ToolCall("Read", id="c", output=1)])  # fmt: skip
            session.fork(session_id="fork")
            if user == "a":
                session.delete()
        for user in ("a", "b"):
            assert figures(service, user_id=user) == [100, 1]
        assert figures(service, user_id=ANY, app_name=ANY) == [200, 2]

    def test_a_copy_is_a_retry_of_its_event_and_equal_to_it(self, service: Any) -> None:
        """The event of a copy that is appended again, in either form, is a retry."""
        session = service.create_session(session_id="s")
        event = session.add_event("user", "q", id="mine")
        fork = session.fork(session_id="fork")
        assert fork.add_event("user", "q", id="mine").seq == 1
        [copy] = fork.events()
        assert fork.add_events([copy]) == [copy]
        assert fork.add_events([event]) == [copy]
        assert fork.refresh().last_seq == 1
