"""Figures of copies beyond what every backend promises: views, plots, imports, and whatever is done to a store."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_sqlite import ANY, Event, InvalidInputError, Session, SQLiteSessionService
from session_sqlite.testing.copies import figures, turn

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_per_session_views_and_searches_show_copies_as_they_are(service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    turn(session, 100)
    session.fork(session_id="fork")
    assert [row.event_count for row in service.session_overviews()] == [2, 2]
    assert service.query("SELECT session_id, count(*) AS n FROM transcript GROUP BY 1") == [
        {"session_id": "fork", "n": 2}, {"session_id": "s", "n": 2},
    ]  # fmt: skip
    assert service.query("SELECT event_count FROM session_overview") == [{"event_count": 2}, {"event_count": 2}]
    assert {hit.session.id for hit in service.search("answer")} == {"s", "fork"}
    assert service.query("SELECT session_id FROM tool_calls") == [{"session_id": "s"}]
    assert service.query("SELECT input_tokens FROM usage_by_day") == [{"input_tokens": 100}]
    assert service.query("SELECT input_tokens FROM tokens") == [{"input_tokens": 100}]
    assert service.query("SELECT count(*) AS n FROM counted_events") == [{"n": 2}]


def test_plots_draw_what_is_counted(service: SQLiteSessionService) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from session_sqlite import plots

    session = service.create_session(session_id="s")
    turn(session, 100)
    turn(session.fork(session_id="fork"), 10)
    for draw, about in ((plots.activity_by_day, "4 events (days are UTC)"), (plots.tokens_by_model, "110 tokens"),
                        (plots.tool_use, "2 calls, 0 failed"), (plots.reply_latency, "2 replies")):  # fmt: skip
        assert draw(service).get_title("right") == about
        matplotlib.pyplot.close()


# ---------------------------------------------------------------- out of the store and into another


def exported(service: SQLiteSessionService, *sessions: str) -> str:
    texts = []
    for session in sessions or (None,):
        text = io.StringIO()
        service.export(text, session=session)
        texts.append(text.getvalue())
    return "".join(texts)


@pytest.mark.parametrize("way", ["all", "fork alone", "fork, then all", "another user", "two stores in one"])
def test_an_import_counts_as_the_store_that_it_came_from(service: SQLiteSessionService, way: str) -> None:
    session = service.create_session(session_id="s")
    turn(session, 100)
    fork = session.fork(session_id="a fork")
    turn(fork, 10)
    fork.fork(session_id="another")
    with SQLiteSessionService(":memory:") as other:
        options = {"user_id": "default"}
        for part in {"fork alone": ["a fork"], "fork, then all": ["a fork", None], "two stores in one": ["another", "s"]
                     }.get(way, [None]):  # fmt: skip
            text = exported(service, *([] if part is None else [part]))
            if way == "another user":
                options = {"user_id": "somebody", "app_name": "else"}
            other.import_(io.StringIO(text), **options)
            other.import_(io.StringIO(text), **options)
        assert figures(other, user_id=ANY, app_name=ANY) == [110, 2]
        if way == "all":
            assert [event.copied_from for event in other.list_events("another")] == ["s", "s", "a fork", "a fork"]


def test_an_export_of_a_release_that_did_not_name_copies_is_counted_once_too(service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    turn(session, 100)
    fork = session.fork(session_id="fork")
    turn(fork, 10)
    turn(fork.fork(session_id="last"), 1)
    records = [json.loads(line) for line in exported(service).splitlines()]
    for record in records:
        record.pop("copies", None)
        record.pop("copied_from", None)
    with SQLiteSessionService(":memory:") as other:
        other.import_(io.StringIO("\n".join(map(json.dumps, records))))
        assert figures(other) == [111, 3]
        assert [event.copied_from for event in other.list_events("fork")] == ["s", "s", "", ""]


def test_an_unreadable_copy_is_counted_once_too_and_imported_as_a_copy(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session(session_id="s")
        session.add_event("user", "q")
        session.fork(session_id="fork")
        service._database.write(lambda tx: tx.run("UPDATE events SET metadata = '{broken'", {}))
        assert service.stats()["events"] == 1
        with SQLiteSessionService(":memory:") as other:
            other.import_(io.StringIO(exported(service)))
            assert other.stats()["events"] == 1


@pytest.mark.parametrize("value", [5, "", ["s"], {"s": 1}, " x"])
def test_a_wrong_origin_in_an_export_is_one_event_that_is_skipped(service: SQLiteSessionService, value: object) -> None:
    session = service.create_session(session_id="s")
    session.add_events([Event("user", "one"), Event("user", "two")])
    lines = [json.loads(line) for line in exported(service).splitlines()]
    lines[2]["copied_from"] = value
    with SQLiteSessionService(":memory:") as other:
        report = other.import_(io.StringIO("\n".join(map(json.dumps, lines))))
        assert report.events == (2 if value == "" else 1)
        assert report.skipped_count == (0 if value == "" else 1)


# ---------------------------------------------------------------- whatever is done


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "say",
                "say",
                "fork",
                "fork",
                "rewind",
                "delete",
                "clear",
                "prune",
                "import",
                "redact",
                "again",
            ]
        ),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=14,
)


# An import brings back events that were pruned, and of which a fork has copies; or a session that got another id, as
# its own was taken, after its own has become free.
@example(steps=[("say", 0, 0), ("fork", 0, 0), ("prune", 0, 0), ("import", 0, 0)])
@example(
    steps=[
        ("say", 0, 0),
        ("fork", 0, 0),
        ("delete", 0, 0),
        ("prune", 0, 0),
        ("import", 0, 0),
        ("rewind", 0, 1),
        ("import", 0, 0),
    ]
)
@given(steps=STEPS)
def test_tokens_are_those_of_the_events_that_are_somewhere(steps: list[tuple[str, int, int]]) -> None:
    with SQLiteSessionService(":memory:", search=False) as service:
        turn(service.create_session(session_id="first"), 1)
        taken = io.StringIO()
        service.export(taken)
        for number, (verb, which, size) in enumerate(steps):
            sessions = sorted(service.list_sessions(limit=100), key=lambda one: one.id)
            session = sessions[which % len(sessions)] if sessions else service.create_session()
            do(service, verb, session, size, number, taken)
            expected: dict[str, int] = {}
            for one in service.list_sessions(limit=100):
                for event in one.events():
                    if event.usage is not None:
                        expected[event.id] = event.usage.input_tokens
            assert figures(service) == [sum(expected.values()), len(expected)], (number, verb)


def do(service: Any, verb: str, session: Session, size: int, number: int, taken: io.StringIO) -> None:
    if verb == "say":
        turn(session, 10 + number)
    elif verb == "fork":
        events = session.events()
        session.fork(at=events[min(size * 2 + 1, len(events) - 1)] if events else None, session_id=f"{number}")
    elif verb == "rewind":
        session.rewind(turns=size % 3)
    elif verb == "prune":
        service.prune(keep_last=2 * (size % 3) + 2)
    elif verb == "redact":
        service.redact("answer", session=session)
    elif verb == "import":
        service.import_(io.StringIO(taken.getvalue()))
    elif verb == "again":
        taken.seek(0)
        taken.truncate()
        service.export(taken)
    else:
        getattr(session, verb)()


def test_a_wrong_origin_is_refused(service: SQLiteSessionService) -> None:
    session = service.create_session(session_id="s")
    with pytest.raises(InvalidInputError):
        session.add_events([Event("user", "q", copied_from=5)])  # type: ignore[arg-type]  # on purpose
