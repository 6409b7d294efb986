"""An export has everything, and an import brings it back: whole, once, and beside what is there."""

from __future__ import annotations

import io
from typing import Any, Final

import pytest

from session_sqlite import ANY, REMOVE, Event, InvalidInputError, ToolCall, Usage
from session_sqlite.testing.contract import Contracts, contents, full_event, ids, seqs

COPY: Final = "copy"
"""The app that takes what was exported, in the same store."""


class TransferContracts(Contracts):
    """An export has everything, and an import brings it back: whole, once, and beside what is there."""

    @pytest.fixture
    def full(self, service: Any) -> Any:
        """A service with something of every kind in it."""
        session = service.create_session(
            session_id="one", title="代码 😀", agent_id="agent", metadata={"k": [1, None]},
            state={"a": 1, "user:lang": "zh", "app:v": 2},
        )  # fmt: skip
        session.add_events([full_event(state={}), Event("user", "请帮我", id="mine", message_id="m1")])
        session.add_event(
            "assistant",
            "",
            reasoning="想",
            actions=[ToolCall("Read", {"p": 1}, id="c", output={"o": [1]}), ToolCall("x", error="no")],
            state={"a": REMOVE, "b": {"$remove": True}, "user:lang": "de"},
            usage=Usage("m", 1, 2, 3, 4, 5),
        )
        session.fork(at=2, session_id="fork")
        session.add_event("user", "gone")
        session.rewind(to=3)
        service.update_state(session, {"later": 10**30})
        cleared = service.create_session(session_id="cleared")
        cleared.add_event("user", "x", state={"s": 1})
        cleared.clear()
        return service

    def test_an_export_and_an_import_bring_back_every_field(self, full: Any) -> None:
        """Sessions, events and state that were exported and imported equal what they were, in every field."""
        report = full.import_(exported(full), app_name=COPY)
        assert (report.format, report.sessions, report.skipped_count, report.warnings) == ("jsonl", 3, 0, ())
        copy = full.scope(app_name=COPY)
        assert ids(copy.list_sessions()) == ids(full.list_sessions())
        for session in full.list_sessions():
            twin = copy.get_session(session.id)
            for field in ("id", "title", "agent_id", "metadata", "created_at", "updated_at", "last_seq", "parent_id"):
                assert getattr(twin, field) == getattr(session, field), field
            assert twin.events() == session.events()
            for theirs, ours in zip(twin.events(), session.events(), strict=True):
                for field in ("reasoning", "metadata", "actions", "state", "usage", "message_id", "copied_from"):
                    assert getattr(theirs, field) == getattr(ours, field), field
            assert copy.get_state(session.id) == full.get_state(session.id)
        assert contents(hit.event for hit in copy.search("请帮我")) == ["请帮我"] * 2

    def test_an_import_that_is_run_again_adds_nothing(self, full: Any, dump: Any) -> None:
        """A second import of the same file knows all of it, and changes nothing."""
        text = exported(full).getvalue()
        first = full.import_(io.StringIO(text), app_name=COPY)
        before = dump()
        again = full.import_(io.StringIO(text), app_name=COPY)
        assert (again.sessions, again.events, again.extended, again.known) == (0, 0, 0, first.events)
        assert dump() == before

    def test_a_fork_or_rewind_after_the_import_restores_the_same_state(self, full: Any) -> None:
        """An export has the state that a fork or a rewind goes back to."""
        full.import_(exported(full), app_name=COPY)
        copy = full.scope(app_name=COPY)
        assert copy.get_state(copy.fork_session("one", at=1)) == full.get_state(full.fork_session("one", at=1))
        assert copy.rewind_session("one", to=1) == full.rewind_session("one", to=1)
        assert copy.get_state("one") == full.get_state("one")

    def test_a_session_that_has_grown_gets_what_is_new_and_keeps_what_it_is(self, full: Any) -> None:
        """An import adds the events that a session does not have, and leaves what the user changed."""
        full.import_(exported(full, session="one"), app_name=COPY)
        mine = full.scope(app_name=COPY).get_session("one").update(title="my title")
        session = full.get_session("one")
        session.add_event("user", "more", id="more")
        report = full.import_(exported(full, session="one"), app_name=COPY)
        assert (report.sessions, report.extended, report.events) == (0, 1, 1)
        assert mine.refresh().title == "my title"
        assert mine.events() == session.events()
        assert mine.refresh().last_seq == session.refresh().last_seq

    def test_a_session_that_has_grown_gets_the_state_that_it_grew_to(self, full: Any) -> None:
        """An import into a session that went on in the source brings the state that it has there."""
        full.import_(exported(full, session="one"), app_name=COPY)
        session = full.get_session("one")
        session.add_event("user", "more", state={"grown": [1]})
        full.import_(exported(full, session="one"), app_name=COPY)
        state = full.get_state(session)
        assert state["grown"] == [1]
        assert full.get_state(full.scope(app_name=COPY).get_session("one")) == state

    def test_events_of_two_lines_of_history_are_all_kept(self, full: Any) -> None:
        """If both sides went on, the events of the file stand behind those that are there, once."""
        full.import_(exported(full, session="fork"), app_name=COPY)
        mine = full.scope(app_name=COPY).get_session("fork")
        mine.add_event("user", "mine")
        full.get_session("fork").add_events([Event("user", "theirs"), Event("assistant", "theirs too")])
        report = full.import_(exported(full, session="fork"), app_name=COPY)
        assert report.events == 2
        assert "end of their session" in report.warnings[0]
        assert contents(mine.events())[2:] == ["mine", "theirs", "theirs too"]
        assert seqs(mine.events()) == [1, 2, 3, 4, 5]
        assert full.import_(exported(full, session="fork"), app_name=COPY).events == 0

    def test_shared_state_that_is_there_stays(self, full: Any) -> None:
        """An import sets the keys of the app and of the user that are not there, and no others."""
        own = full.create_session(app_name=COPY, session_id="x", state={"user:lang": "fr"})
        full.import_(exported(full), app_name=COPY)
        assert full.get_state(own) == {"app:v": 2, "user:lang": "fr"}

    def test_a_dry_run_of_an_import_writes_nothing(self, full: Any, dump: Any) -> None:
        """A dry run reports what an import would add, and adds nothing."""
        before = dump()
        report = full.import_(exported(full), app_name=COPY, dry_run=True)
        assert (report.dry_run, report.sessions, report.events) == (True, 3, 5)
        assert str(report).startswith("Would import 3 sessions with 5 events (jsonl)")
        assert dump() == before

    def test_an_import_can_name_another_app_and_user(self, full: Any) -> None:
        """``app_name`` and ``user_id`` of an import say whose the sessions are to be."""
        full.import_(exported(full), app_name="new", user_id="me")
        sessions = full.list_sessions(app_name="new", user_id=ANY)
        assert {(session.app_name, session.user_id) for session in sessions} == {("new", "me")}
        assert full.scope(app_name="new", user_id="me").get_state("one")["user:lang"] == "de"
        with pytest.raises(InvalidInputError):
            full.import_(io.StringIO(""), user_id="")

    def test_an_export_has_one_user_unless_told_otherwise(self, full: Any) -> None:
        """An export has the sessions of the service's app and user; `ANY` exports those of all."""
        full.create_session(session_id="theirs", user_id="other").add_event("user", "their secret")
        assert "secret" not in exported(full).getvalue()
        assert "secret" in exported(full.scope(user_id=ANY)).getvalue()


def exported(service: Any, **options: Any) -> io.StringIO:
    """Returns an export, to be read from its beginning."""
    text = io.StringIO()
    service.export(text, **options)
    text.seek(0)
    return text
