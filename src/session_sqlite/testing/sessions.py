"""Sessions are made, found, listed page by page, changed and deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from session_sqlite import (
    ANY,
    REMOVE,
    Event,
    InvalidInputError,
    QueryError,
    SessionExistsError,
    SessionNotFoundError,
    ToolCall,
)
from session_sqlite.testing.contract import (
    NASTY_KEYS,
    Contracts,
    ids,
    later,
    rows_about,
)

IDS = ["a", "x" * 128, "Ä", "ä", "a b", "a%b", "a/b", "../..", "'; --", "会话", "😀", "a\u200bb"]
VALUES: list[Any] = [
    True, False, 1, 0, 2, None, "", "1", "true", "null", "a%", "a_", "ab", 'q"', [], {}, [1], [True], ["1"], {"a": 1},
    {"a": True}, {"a": {"b": None}}, [[]], 1.5, -1, 10**30, "é", "e\u0301", "A", "a", "\x00", "!", "x" * 60_000,
]  # fmt: skip


class SessionContracts(Contracts):
    """Sessions are made, found, listed page by page, changed and deleted."""

    def test_a_session_comes_back_as_it_was_created(self, service: Any) -> None:
        """A new session has the fields that it was given and the time of its making; reading it gives the same."""
        before = datetime.now(UTC)
        made = service.create_session(agent_id="agent", title="请帮我", metadata={"b": 1, "a": [None, {"x": 1.5}]})
        assert made == service.get_session(made.id)
        assert (made.app_name, made.user_id, made.agent_id, made.title) == ("app", "user", "agent", "请帮我")
        assert list(made.metadata.items()) == [("b", 1), ("a", [None, {"x": 1.5}])]
        assert before <= made.created_at == made.updated_at <= datetime.now(UTC)
        assert made.created_at.utcoffset() == timedelta(0)
        assert (made.last_seq, made.parent_id) == (0, None)

    def test_ids_that_are_not_given_are_version_7_uuids_and_sort_by_time(self, service: Any) -> None:
        """A session without an id gets a UUID of version 7, so that ids sort by when sessions were made."""
        made = []
        for _ in range(20):
            made.append(service.create_session().id)
            later()
        assert made == sorted(made)
        assert {(id[14], id[19] in "89ab", len(id)) for id in made} == {("7", True, 36)}

    def test_an_id_that_the_user_has_already_is_refused(self, service: Any, session: Any) -> None:
        """A second session with an id of the same user is a `SessionExistsError`."""
        with pytest.raises(SessionExistsError):
            service.create_session(session_id="s")

    def test_exist_ok_returns_the_stored_session_unchanged(self, service: Any) -> None:
        """With ``exist_ok=True`` a session that is there comes back as it is: nothing of the second call is stored."""
        first = service.create_session(session_id="s", title="one", metadata={"a": 1}, state={"k": 1, "user:u": 1})
        later()
        again = service.create_session(
            session_id="s", title="two", metadata={"b": 2}, state={"k": 2, "user:u": 2}, exist_ok=True
        )
        assert again == first
        assert service.get_state("s") == {"k": 1, "user:u": 1}

    def test_two_users_and_two_apps_may_use_the_same_id(self, service: Any) -> None:
        """The key of a session is its app, its user and its id, so that several may have the same id."""
        scopes = [("app", "user"), ("app", "other"), ("other", "user"), ("other", "other")]
        for app, user in scopes:
            service.create_session(session_id="s", title=f"{app}/{user}", app_name=app, user_id=user)
        for app, user in scopes:
            assert service.get_session("s", app_name=app, user_id=user).title == f"{app}/{user}"

    def test_an_id_is_exact_text(self, service: Any) -> None:
        """An id is found as it was written only: case, wildcards, accents and separators mean nothing."""
        for number, id in enumerate(IDS):
            own = service.scope(user_id=f"user {number}")
            own.create_session(session_id=id)
            assert own.get_session(id).id == id
            with pytest.raises(SessionNotFoundError):
                own.get_session(id.swapcase() if id.swapcase() != id else f"{id[:-1]}_")

    def test_a_session_that_is_not_there_is_an_error(self, service: Any) -> None:
        """Getting a session that is not there is a `SessionNotFoundError` that names it."""
        with pytest.raises(SessionNotFoundError, match="nowhere"):
            service.get_session("nowhere")

    def test_a_list_of_sessions_has_the_latest_change_first(self, service: Any) -> None:
        """A list of sessions has the one that changed last in front, and an append is a change."""
        for id in "abc":
            service.create_session(session_id=id)
            later()
        assert ids(service.list_sessions()) == ["c", "b", "a"]
        service.append_event("a", Event("user"))
        assert ids(service.list_sessions()) == ["a", "c", "b"]

    def test_pages_of_sessions_show_each_session_once(self, service: Any) -> None:
        """All pages of a list have each session once and in the order of the list; all but the last are full."""
        for number in range(23):
            service.create_session(session_id=f"{number:02}")
        whole = ids(service.list_sessions())
        assert len(whole) == 23
        for size in (1, 5, 22, 23, 24):
            seen: list[str] = []
            cursor = None
            while True:
                page = service.list_sessions(limit=size, cursor=cursor)
                seen += ids(page)
                cursor = page.next_cursor
                if cursor is None:
                    break
                assert len(page) == size
            assert seen == whole, size

    def test_a_cursor_is_stable_while_sessions_are_added_and_changed(self, service: Any) -> None:
        """The next page goes on where the last one ended, whatever was made, changed or deleted in between."""
        for number in range(10):
            service.create_session(session_id=str(number))
            later()
        page = service.list_sessions(limit=4)
        service.create_session(session_id="new")
        service.update_session("9", title="moved to the front, where it was already seen")
        service.delete_session(page[-1].id)
        assert ids(service.list_sessions(cursor=page.next_cursor)) == ["5", "4", "3", "2", "1", "0"]

    def test_a_list_of_sessions_has_fifty_unless_told(self, service: Any) -> None:
        """A list has 50 sessions and a cursor to the rest; ``limit=None`` gives all, ``limit=0`` none."""
        for _ in range(51):
            service.create_session()
        page = service.list_sessions()
        assert (len(page), page.next_cursor is None) == (50, False)
        page = service.list_sessions(limit=None)
        assert (len(page), page.next_cursor) == (51, None)
        page = service.list_sessions(limit=0)
        assert (page, page.next_cursor) == ([], None)

    def test_sessions_are_found_by_agent(self, service: Any) -> None:
        """The filter ``agent_id`` compares exactly, and the empty one finds sessions of no agent."""
        for id, agent in (("1", "a"), ("2", "A"), ("3", ""), ("4", "a")):
            service.create_session(session_id=id, agent_id=agent)
        assert set(ids(service.list_sessions(agent_id="a"))) == {"1", "4"}
        assert ids(service.list_sessions(agent_id="")) == ["3"]
        assert service.list_sessions(agent_id="%") == []

    def test_sessions_are_found_by_time(self, service: Any) -> None:
        """``updated_after`` and ``updated_before`` are exclusive, and take any time zone."""
        times = []
        for id in "abc":
            times.append(service.create_session(session_id=id).updated_at)
            later()
        assert ids(service.list_sessions(updated_after=times[0])) == ["c", "b"]
        assert ids(service.list_sessions(updated_before=times[2])) == ["b", "a"]
        assert ids(service.list_sessions(updated_after=times[0], updated_before=times[2])) == ["b"]
        east = times[0].astimezone(timezone(timedelta(hours=9)))
        assert ids(service.list_sessions(updated_after=east)) == ["c", "b"]
        assert service.list_sessions(updated_after=datetime.max.replace(tzinfo=UTC)) == []
        assert service.list_sessions(updated_before=datetime.min.replace(tzinfo=UTC)) == []
        overviews = service.session_overviews
        assert [one.session.id for one in overviews(updated_after=times[0], updated_before=times[2])] == ["b"]

    def test_a_query_tells_each_row_as_it_is_read_and_keeps_none(self, service: Any) -> None:
        """With ``each=`` a query hands on every row once and returns none; the receiver's error comes out as it is."""
        for number in range(20):
            service.create_session(session_id=f"s{number:02}")
        sql = "SELECT id, last_seq FROM sessions ORDER BY id"
        told: list[dict[str, Any]] = []
        rows = service.query(sql, each=told.append)
        assert told == list(service.query(sql))
        assert (list(rows), rows.columns, len(told)) == ([], ("id", "last_seq"), 20)
        assert service.query("SELECT id FROM sessions WHERE id = 'none'", each=told.append).columns == ("id",)

        class EnoughError(Exception):
            """The caller has seen enough."""

        def only_some(row: dict[str, Any]) -> None:
            if row["id"] == "s10":
                raise EnoughError

        with pytest.raises(EnoughError):
            service.query(sql, each=only_some)
        with pytest.raises(QueryError):
            service.query("SELECT nonsense", each=told.append)
        assert len(service.query(sql)) == len(told) == 20
        service.create_session(session_id="later")

    def test_sessions_are_found_by_the_beginning_of_their_id(self, service: Any) -> None:
        """``id_prefix`` compares exactly, knows no wildcards, and keeps to the app and user."""
        for id in ("ab%c", "abd", "AB", "ab_", "代码-1", "代码-2", "😀x"):
            service.create_session(session_id=id, agent_id="x" if id == "abd" else "")
        for user in ("user-2", "user-3"):
            service.scope(user_id=user).create_session(session_id="ab-other")
        for prefix, found in {
            "ab": {"ab%c", "abd", "ab_"}, "ab%": {"ab%c"}, "ab_": {"ab_"}, "A": {"AB"}, "a": {"ab%c", "abd", "ab_"},
            "代码": {"代码-1", "代码-2"}, "代码-1": {"代码-1"}, "😀": {"😀x"}, "abd ": set(), "abde": set(), "%": set(),
            "": {"ab%c", "abd", "AB", "ab_", "代码-1", "代码-2", "😀x"},
        }.items():  # fmt: skip
            assert set(ids(service.list_sessions(id_prefix=prefix))) == found, prefix
            assert {one.session.id for one in service.session_overviews(id_prefix=prefix)} == found, prefix
        assert ids(service.list_sessions(id_prefix="ab", agent_id="x")) == ["abd"]
        assert [one.session.id for one in service.session_overviews(agent_id="x")] == ["abd"]
        assert len(service.list_sessions(id_prefix="ab-", user_id=ANY)) == 2
        assert len(service.list_sessions(id_prefix="ab", limit=1)) == 1
        for wrong in (1, b"a", "\ud800", "a\0"):
            with pytest.raises(InvalidInputError):
                service.list_sessions(id_prefix=wrong)

    def test_sessions_are_found_by_any_metadata_key(self, service: Any) -> None:
        """Any text is a metadata key that can be asked for: quotes, paths, wildcards, NUL."""
        for number, key in enumerate(NASTY_KEYS):
            own = service.scope(user_id=f"user {number}")
            own.create_session(session_id="yes", metadata={"other": 1, key: "value"})
            own.create_session(session_id="case", metadata={key: "VALUE"})
            own.create_session(session_id="other value", metadata={key: "valu"})
            own.create_session(session_id="deeper", metadata={"x": {key: "value"}})
            own.create_session(session_id="swapped", metadata={"value": key})
            own.create_session(session_id="none")
            assert ids(own.list_sessions(metadata={key: "value"})) == ["yes"], repr(key)

    def test_metadata_values_are_found_by_json_equality(self, service: Any) -> None:
        """Metadata is found by equal JSON: ``True`` is not ``1``, ``"1"`` is not ``1``, but ``1.0`` is."""
        for number, value in enumerate(VALUES):
            service.create_session(session_id=str(number), metadata={"k": value, "more": value})
        service.create_session(session_id="without")
        for number, value in enumerate(VALUES):
            assert ids(service.list_sessions(metadata={"k": value})) == [str(number)], repr(value)[:50]
        assert ids(service.list_sessions(metadata={"k": 1.0})) == [str([repr(value) for value in VALUES].index("1"))]

    def test_all_metadata_that_is_asked_for_must_fit(self, service: Any) -> None:
        """Each key that is asked for must have its whole value, however many there are."""
        service.create_session(session_id="both", metadata={"a": 1, "b": {"x": 1, "y": 2}})
        service.create_session(session_id="one", metadata={"a": 1})
        assert ids(service.list_sessions(metadata={"b": {"y": 2, "x": 1}, "a": 1})) == ["both"]
        assert service.list_sessions(metadata={"b": {"x": 1}}) == []
        assert len(service.list_sessions(metadata={})) == 2
        many = {f"key{n}": n for n in range(1500)}
        service.create_session(session_id="many", metadata=many)
        assert ids(service.list_sessions(metadata=many)) == ["many"]

    def test_a_filtered_list_has_full_pages(self, service: Any) -> None:
        """A page of a filtered list is full as long as more sessions fit, and none of them is left out."""
        for number in range(60):
            service.create_session(session_id=f"{number:02}", metadata={"k": number % 3, "K": 0})
        seen: list[str] = []
        cursor = None
        while True:
            page = service.list_sessions(metadata={"k": 0}, limit=6, cursor=cursor)
            seen += ids(page)
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page) == 6
        assert sorted(seen) == [f"{number:02}" for number in range(0, 60, 3)]

    def test_an_update_changes_what_is_given(self, service: Any) -> None:
        """An update merges metadata key by key, removes what is `REMOVE`, and leaves what it is not given."""
        service.create_session(session_id="s", title="old", agent_id="old", metadata={"a": 1, "b": {"x": 1}, "c": 3})
        later()
        changed = service.update_session("s", metadata={"b": {"y": 2}, "a": REMOVE, "d": None, "absent": REMOVE})
        assert list(changed.metadata.items()) == [("b", {"y": 2}), ("c", 3), ("d", None)]
        assert (changed.title, changed.agent_id) == ("old", "old")
        assert changed == service.get_session("s")
        assert changed.updated_at > changed.created_at
        changed = service.update_session("s", title="", agent_id="")
        assert (changed.title, changed.agent_id, changed.metadata) == ("", "", {"b": {"y": 2}, "c": 3, "d": None})

    def test_an_update_of_nothing_changes_nothing(self, service: Any, session: Any) -> None:
        """An update without arguments returns the session, and moves no time."""
        later()
        assert service.update_session("s") == session

    def test_updating_a_session_that_is_not_there_is_an_error(self, service: Any) -> None:
        """An update of a session that is not there is a `SessionNotFoundError`, also if it would change nothing."""
        for change in ({}, {"title": "x"}, {"metadata": {"a": 1}}):
            with pytest.raises(SessionNotFoundError):
                service.update_session("nowhere", **change)

    def test_deleting_a_session_leaves_nothing_of_it_in_any_table(self, service: Any, dump: Any) -> None:
        """No row of a deleted session stays anywhere, and its id is free for a new one."""
        service.create_session(session_id="kept", title="kept")
        service.append_event("kept", Event("user", "kept", state={"k": "kept"}))
        service.list_sessions()
        empty = dump()
        service.create_session(
            session_id="gone", title="gone-title", metadata={"m": "gone-metadata"}, state={"i": "gone-i"}
        )
        for number in range(5):
            service.append_event(
                "gone",
                Event(
                    "assistant",
                    f"gone-content {number}",
                    reasoning="gone-reasoning",
                    actions=[ToolCall("gone-tool", {"a": "gone-arg"}, output="gone-output")],
                    state={"k": "gone-state"},
                    id=f"gone-event-{number}",
                ),
            )
        assert rows_about(dump(), "gone")
        assert service.delete_session("gone") is True
        left = dump()
        assert rows_about(left, "gone") == []
        for table in ("sessions", "events", "state"):
            assert left[table] == empty[table]
        assert service.delete_session("gone") is False
        with pytest.raises(SessionNotFoundError):
            service.get_session("gone")
        assert service.create_session(session_id="gone").last_seq == 0
        assert service.get_state("gone") == {}
        assert service.append_event("gone", Event("user")).seq == 1

    def test_deleting_a_session_keeps_what_its_user_and_app_share(self, service: Any, session: Any) -> None:
        """State of the user and of the app outlives the session that set it."""
        service.update_state("s", {"own": 1, "user:u": 2, "app:a": 3})
        service.delete_session("s")
        assert service.get_state(service.create_session().id) == {"user:u": 2, "app:a": 3}
