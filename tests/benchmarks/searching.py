"""The cases of search and of the sidebar, on one file of generated conversations in English and Chinese."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_sqlite import ANY, Event, SQLiteSessionService
from session_sqlite.search import FIELDS, field_texts, parse
from session_sqlite.sqlite.search_index import match_expression

from . import by_hand, corpus
from .measuring import Figure, medians

if TYPE_CHECKING:
    from .cases import Sizes

USERS = [f"user-{number}" for number in range(5)]
MEASURED_SESSIONS = (100, 500, 2_000)  # events
OTHER_SESSIONS = 250  # events
WORDS = {
    "a rare word": corpus.RARE_ENGLISH[0],
    "a rare word, Chinese": corpus.RARE_CHINESE[0],
    "a medium word": corpus.MEDIUM_ENGLISH[0],
    "a medium word, Chinese": corpus.MEDIUM_CHINESE[0],
    "a common word": corpus.ENGLISH[0],
    "a common word, Chinese": corpus.CHINESE[0],
    "two Han characters": "代码",
    "a phrase": f'"{corpus.PHRASE}"',
    "a phrase, Chinese": corpus.CHINESE_PHRASE,
}
RARE_AND_MEDIUM = [name for name in WORDS if "rare" in name or "medium" in name]
IN_SESSION_LIMIT = 0.005  # seconds
FILE = "corpus.db"


def _make(folder: Path, sizes: Sizes) -> None:
    """The file, unless a case has made it: sessions of five users, each in one language."""
    if (folder / FILE).exists():
        return
    generator = corpus.Generator()
    with SQLiteSessionService(folder / FILE, durability="fast") as service:
        measured = {f"{length}-{language}": length for length in MEASURED_SESSIONS for language in ("en", "zh")}
        others = (sizes.corpus - sum(measured.values())) // OTHER_SESSIONS
        lengths = [*measured.items(), *((f"{number}-{'zh' if number % 2 else 'en'}", OTHER_SESSIONS)
                                        for number in range(10_000, 10_000 + others))]  # fmt: skip
        for number, (name, length) in enumerate(lengths):
            user = USERS[0] if name in measured else USERS[number % len(USERS)]
            session = service.create_session(session_id=name, user_id=user, title=f"Session {number}")
            session.add_events(list(generator.events(length, name[-2:])))
        service.search("index", user_id=ANY)  # catches up


@contextmanager
def opened(folder: Path, sizes: Sizes) -> Iterator[tuple[SQLiteSessionService, Any]]:
    """Opens the file of the corpus, with the service and by hand."""
    _make(folder, sizes)
    with (
        SQLiteSessionService(folder / FILE) as service,
        closing(by_hand.connect(folder / FILE)) as floor,
    ):
        yield service, floor


def _expression(service: SQLiteSessionService, query: str, user: Any) -> str:
    """What the service asks the index for."""
    request = service._search_request(parse(query), None, None, FIELDS, None, None, False, ANY, user)
    return match_expression(request, scoped=False)


def _user_expression(service: SQLiteSessionService, query: str, user: str) -> str:
    request = service._search_request(parse(query), None, None, FIELDS, None, None, False, None, user)
    return match_expression(request, scoped=True)


def search(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The best 20 hits, beside the query that the index answers, by hand; and beside reading everything with LIKE."""
    with opened(folder, sizes) as (service, floor):
        searches = {
            name: (_expression(service, query, ANY), partial(service.search, query, app_name=ANY, user_id=ANY))
            for name, query in WORDS.items()
        }
        for name in ("a medium word", "a common word"):
            searches[f"{name} of one user"] = (
                _user_expression(service, WORDS[name], USERS[1]), partial(service.search, WORDS[name], user_id=USERS[1])
            )  # fmt: skip
        for name, (expression, ours) in searches.items():
            hits, rows = ours(), by_hand.search(floor, expression, 20)
            if not hits or [hit.event.id for hit in hits] != [row[0] for row in rows]:
                raise AssertionError(f"{name}: the hits are not those of the query by hand")
            figures = medians(sizes.rounds, calls=2, ours=ours, floor=partial(by_hand.search, floor, expression, 20))
            yield Figure(f"search {name}", figures["ours"], figures["floor"], 3)
        for name in RARE_AND_MEDIUM:
            figures = medians(3, ours=searches[name][1], floor=partial(by_hand.rows_like, floor, WORDS[name]))
            yield Figure(f"search {name}, floor: LIKE", figures["ours"], figures["floor"], 1 / 15)


def search_in_session(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The best 20 hits inside one session, whatever the word, beside the time that it may take."""
    queries = {
        "en": {"a common word": corpus.ENGLISH[0], "a rare word": corpus.RARE_ENGLISH[0], "a prefix": "co*",
               "a letter's prefix": "s*"},
        "zh": {"a common word": corpus.CHINESE[0], "two Han characters": "代码", "a phrase": corpus.CHINESE_PHRASE},
    }  # fmt: skip
    with opened(folder, sizes) as (service, _):
        for length in MEASURED_SESSIONS:
            for language, words in queries.items():
                for name, query in words.items():
                    name_of_session = f"{length}-{language}"
                    scoped = service.scope(user_id=USERS[0])
                    ours = partial(scoped.search, query, session=name_of_session)
                    figures = medians(sizes.rounds, ours=ours)
                    yield Figure(
                        f"search {name} in {length:,} events ({language}), floor: 5 ms",
                        figures["ours"], IN_SESSION_LIMIT, 1,
                    )  # fmt: skip


def index_size(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The pages of the index, beside the text that is searched: all of it, and a file of each language alone."""
    with opened(folder, sizes) as (service, floor):
        text = sum(
            _text_bytes(service.scope(user_id=user).iter_events(session.id))
            for user in USERS
            for session in service.list_sessions(user_id=user, limit=None)
        )
        yield Figure("size of the index, floor: the text", by_hand.index_bytes(floor), text, 0.6, "B")
    for language, name in (("en", "English"), ("zh", "Chinese")):
        generator = corpus.Generator()
        path = folder / f"size-{language}.db"
        with SQLiteSessionService(path, durability="fast") as service, closing(by_hand.connect(path)) as floor:
            session = service.create_session()
            text = 0
            for _ in range(0, sizes.corpus // 10, 1_000):
                events = list(generator.events(1_000, language))
                text += _text_bytes(events)
                session.add_events(events)
            service.search("index")
            yield Figure(f"size of the index of {name} alone", by_hand.index_bytes(floor), text, None, "B")


def _text_bytes(events: Iterable[Event]) -> int:
    """The UTF-8 of what is searched: content, reasoning, and the strings of tool calls without their JSON."""
    return sum(len(text.encode()) for event in events for text in field_texts(event).values())


def append_with_index(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """Durable appends one by one with the search that indexes them, beside the same in a file without an index."""
    generator = corpus.Generator()
    count = sizes.appends
    events = [*generator.events(count // 2, "en"), *generator.events(count // 2, "zh")]
    with (
        SQLiteSessionService(folder / "indexed.db") as ours,
        SQLiteSessionService(folder / "plain.db", search=False) as floor,
    ):
        sessions = {service: service.create_session() for service in (ours, floor)}

        def append(service: SQLiteSessionService, *, search: bool) -> None:
            for event in events:
                service.append_event(sessions[service], event)
            if search:
                ours.search("index", limit=1)

        figures = medians(
            max(3, sizes.rounds // 8),
            ours=partial(append, ours, search=True),
            appended=partial(append, ours, search=False),
            floor=partial(append, floor, search=False),
        )
    mine, floor_time = figures["ours"] / count, figures["floor"] / count
    yield Figure("append 1 event, floor: search=False", figures["appended"] / count, floor_time, 1.8)
    yield Figure(f"append {count:,} events, then search: each", mine, floor_time, 1.8)


SESSION_FILE = "sessions.db"
SESSION_SEARCH_LIMIT = 0.015  # seconds: it runs at every key stroke
TITLE_ENGLISH, TITLE_CHINESE = "zebrafish", "\u6591\u9a6c\u9c7c"  # in one title of 5,000, and in no event
TYPED = {
    "a common word": corpus.ENGLISH[0],
    "a medium word": corpus.MEDIUM_ENGLISH[0],
    "a rare word": corpus.RARE_ENGLISH[0],
    "a rare word of titles": TITLE_ENGLISH,
    "a common word, Chinese": corpus.CHINESE[12],
    "a medium word, Chinese": corpus.MEDIUM_CHINESE[0],
    "a rare word, Chinese": corpus.RARE_CHINESE[0],
    "a rare word of titles, Chinese": TITLE_CHINESE,
    "a common and a medium word": f"{corpus.ENGLISH[0]} {corpus.MEDIUM_ENGLISH[0]}",
}


def _make_sessions(path: Path, count: int) -> None:
    """A file of many short sessions: a title of four words and two events each, every other one in Chinese."""
    generator, chance = corpus.Generator(), random.Random(5)
    said = {language: generator.events(count + 2, language) for language in ("en", "zh")}
    with SQLiteSessionService(path, durability="fast") as service:
        for number in range(count):
            language = "zh" if number % 2 else "en"
            words = chance.choices(corpus.CHINESE if number % 2 else corpus.ENGLISH, k=4)
            if number % 5_000 in (7, 8):
                words.append(TITLE_CHINESE if number % 2 else TITLE_ENGLISH)
            session = service.create_session(title=("" if number % 2 else " ").join(words), metadata={"n": number})
            session.add_events([next(said[language]), next(said[language])])
        service.search("index")  # catches up


def session_search(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """The page of 20 sessions after each letter of a word, beside the time that it may take."""
    path = folder / SESSION_FILE
    _make_sessions(path, sizes.sessions)
    with SQLiteSessionService(path) as service:
        for name, word in TYPED.items():
            for length in sorted({1, 2, 3, len(word)} & set(range(1, len(word) + 1))):
                figures = medians(max(3, sizes.rounds // 3), ours=partial(service.search_sessions, word[:length]))
                yield Figure(
                    f"session search {word[:length]} ({name}), floor: 15 ms", figures["ours"], SESSION_SEARCH_LIMIT, 1
                )


def sidebar(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """Title, first message, number of events of the 20 latest sessions, beside the same query by hand."""
    with opened(folder, sizes) as (service, floor):
        for user in USERS[:2]:
            ours = service.session_overviews(user_id=user, limit=20)
            rows = by_hand.sidebar(floor, user, 20)
            if [(one.session.id, one.first_message, one.event_count) for one in ours] != [
                (row[0], row[-2], row[-1]) for row in rows
            ]:
                raise AssertionError("the two sidebars differ")
        figures = medians(
            sizes.rounds * 4,
            calls=5,
            ours=lambda: service.session_overviews(user_id=USERS[1], limit=20),
            floor=lambda: by_hand.sidebar(floor, USERS[1], 20),
        )
        yield Figure("sidebar of 20 sessions", figures["ours"], figures["floor"], 2)
