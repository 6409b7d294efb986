"""Recall: what a question asks for, and how well events answer it. Pure functions.

A *question* is a sentence in any language. Words without a meaning of their own (see `stop_words`) do not count.
Each of the others is a term: a Latin word by its stem as a prefix, a character of Chinese, Japanese or Korean as it is.
Any term is enough. The words of a date are no terms: they name a *period*, see `dates`. If nothing was said in it that
has a term, or nothing but the period is asked for, the latest events of it are the answers, those of users first.

*Gathering* finds the events that have terms, the rare ones first. Words that many events have do not cost time: they
are looked for only among the events that have a rarer one.

*Scoring*: an event's own score is by BM25, with each term counted once in an event. A term counts also for the events
beside, though less, and a little for the whole session. An answer is often the turn after the one that has the
question's words, so an event that ends with a question mark hands most of its score to the next one.

The weights were measured; ``python -m tests.benchmarks --only recall`` prints what they reach. Pairs of Chinese
characters as further terms found no more than the characters alone; nor did stems that are cut more, or words counted
as often as an event has them.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from session_sqlite.database import Postings, Term
from session_sqlite.search.dates import Period, without_dates
from session_sqlite.search.stop_words import asks_for_anything, with_meaning
from session_sqlite.search.unicode_table import is_single
from session_sqlite.search.words import GAP, words

LONGEST_QUESTION: Final = 4_000  # characters that are read, half of them from the end
MOST_TERMS: Final = 40

# ---------------------------------------------------------------- the question

SHORTEST_STEM: Final = 4
ENDINGS: Final = ("ing", "ies", "ed", "es", "s")
DROPPED_AT_THE_END: Final = "ey"
NOT_DOUBLED: Final = "aeioulsz"


@dataclass(frozen=True)
class Question:
    """The terms of a question, and the time that it names.

    Attributes:
        terms: Any of them is enough.
        period: The time that it names; None if it names none.
        is_of_time_alone: True if it asks for whatever was said in the period; its terms are the words of the date.
    """

    terms: tuple[Term, ...]
    period: Period | None
    is_of_time_alone: bool = False


def asked(question: str, now: str) -> Question:
    """Returns what a question asks for.

    Args:
        question: The question; of a very long one only the two ends are read.
        now: The present day, as ``2026-01-31``, for words such as *yesterday*.

    Example:
        >>> asked("Which movies did we see on May 3rd?", "2026-01-31").terms
        (Term(words=('movi',), prefix=True), Term(words=('see',), prefix=False))
    """
    if len(question) > LONGEST_QUESTION:
        half = LONGEST_QUESTION // 2
        question = f"{question[:half]}\n{question[-half:]}"
    rest, period = without_dates(question, now)
    is_of_time_alone = period is not None and asks_for_anything(word for word in words(rest) if word != GAP)
    return Question(_terms(question if is_of_time_alone else rest), period, is_of_time_alone)


def _terms(question: str) -> tuple[Term, ...]:
    found = with_meaning(word for word in words(question) if word != GAP)
    return tuple(dict.fromkeys(map(_term, found)))[:MOST_TERMS]


def _term(word: str) -> Term:
    stemmed = stem(word)
    return Term((stemmed,), len(stemmed) >= SHORTEST_STEM and not is_single(ord(word[0])))


def stem(word: str) -> str:
    """Returns the part of a word that its other forms begin with, too; short words and numbers are left as they are.

    Example:
        >>> [stem(word) for word in ("movies", "movie", "running", "stopped", "recipe", "tea", "3pm")]
        ['movi', 'movi', 'runn', 'stop', 'recip', 'tea', '3pm']
    """
    if not word.isascii() or not word.isalpha():
        return word
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            word = word[: -len(ending)]
            break
    if len(word) > SHORTEST_STEM and word[-1] in DROPPED_AT_THE_END:
        word = word[:-1]
    if len(word) > SHORTEST_STEM and word[-1] == word[-2] and word[-1] not in NOT_DOUBLED:
        word = word[:-1]
    return word


# ---------------------------------------------------------------- gathering

MOST_ROWS: Final = 5_000  # events of rare terms; their numbers are read, and nothing else
MOST_COMMON_TERMS: Final = 4
TOO_COMMON: Final = 0.25  # of all events; a term that more of them have says little


@dataclass(frozen=True)
class Gathered:
    """The events that have terms.

    Attributes:
        weights: How much each term counts.
        rows: The events of each term that is looked for.
    """

    weights: Mapping[Term, float]
    rows: Mapping[Term, frozenset[int]]

    def best_first(self) -> Iterator[int]:
        """Yields the events, those with the most weight first, and the latest first among equals."""
        sums: dict[int, float] = {}
        for term, rows in self.rows.items():
            weight = self.weights[term]
            for row in rows:
                sums[row] = sums.get(row, 0.0) + weight
        by_sum: dict[float, list[int]] = {}  # of few terms there are few sums, and the first are all that is needed
        for row, total in sums.items():
            by_sum.setdefault(total, []).append(row)
        for total in sorted(by_sum, reverse=True):
            yield from sorted(by_sum[total], reverse=True)


def gather(terms: Sequence[Term], postings: Postings) -> Gathered:
    """Returns the events that have terms: those with the rarest, as long as they are not too many."""
    events = postings.events
    counted = [(count, term) for term in terms if (count := postings.count(term))]
    counted.sort(key=lambda one: (one[0], one[1].words))
    rare: list[Term] = []
    common: list[Term] = []
    total = 0
    for count, term in counted:
        total += count
        if not rare or total <= MOST_ROWS:
            rare.append(term)
        elif count <= TOO_COMMON * events and len(common) < MOST_COMMON_TERMS:
            common.append(term)
    rows = {term: frozenset(postings.rows(term, (), MOST_ROWS)) for term in rare}
    found = frozenset().union(*rows.values())
    for term in common:
        rows[term] = found.intersection(postings.rows(term, rare, MOST_ROWS))
    return Gathered({term: _weight(count, events) for count, term in counted}, rows)


def _weight(count: int, events: int) -> float:
    """Returns how much a term counts that so many of all events have."""
    return math.log(1 + (max(events - count, 0) + 0.5) / (count + 0.5))


# ---------------------------------------------------------------- scoring

MOST_PLACES: Final = 64  # events that are scored
BESIDE: Final = {-3: 0.2, -2: 0.35, -1: 0.6, 1: 0.6, 2: 0.35, 3: 0.2}
REACH: Final = max(BESIDE)
AFTER_A_QUESTION: Final = 0.9
OF_A_QUESTION: Final = 0.8
OF_THE_SESSION: Final = 0.2
OF_THE_PERIOD: Final = 1.0
OF_THE_PERIOD_ALONE: Final = 0.01
QUESTION_MARKS: Final = ("?", "\uff1f", "\u061f", "\u037e")


class Place(NamedTuple):
    """The place of an event, with what its score needs."""

    row_id: int
    session: tuple[str, str, str]
    seq: int
    time: str
    length: int
    asks: bool


@functools.lru_cache(maxsize=10_000)
def _of_length(length: int) -> float:
    """Returns how much a term counts in an event of a length: less in a longer one, but not in proportion."""
    return 1 / (1 + 0.25 * math.log2(1 + length / 100))


@dataclass(frozen=True)
class Scores:
    """The sums over the terms, by the place of an event: of its own words, of those beside it, and of its session.

    A place is a session and a seq, as one number: tuples would take half of the time of a recall.
    """

    words: Mapping[int, float]
    neighbours: Mapping[int, float]
    sessions: Mapping[int, float]
    numbers: Mapping[tuple[str, str, str], int]

    def key(self, session: tuple[str, str, str], seq: int) -> int:
        """Returns a place as a number."""
        return self.numbers[session] * _PLACES_OF_A_SESSION + REACH + seq

    def best(self, most: int) -> list[int]:
        """Returns the best places, by what is known of them without reading their events."""
        words, sessions = self.words.get, self.sessions
        keys = self.neighbours.keys() | self.words.keys()
        sums = {
            key: words(key, 0.0) + self.neighbours.get(key, 0.0) + sessions[key // _PLACES_OF_A_SESSION] for key in keys
        }
        return heapq.nlargest(most, sums, key=lambda key: (sums[key], key))

    def parts_of(self, place: Place, period: Period | None) -> dict[str, float]:
        """Returns the parts of an event's score, without those that are nothing; none if only its session has terms."""
        key = self.key(place.session, place.seq)
        words, neighbours = self.words.get(key, 0.0), self.neighbours.get(key, 0.0)
        if not words and not neighbours:
            return {}
        share = OF_A_QUESTION if place.asks else 1.0
        session = self.sessions[self.numbers[place.session]]
        parts = {"words": share * words, "neighbours": share * neighbours, "session": share * session}
        if period is not None and period.includes(place.time):
            parts["time"] = OF_THE_PERIOD * sum(parts.values())
        return {name: part for name, part in parts.items() if part}


_PLACES_OF_A_SESSION: Final = 2**64  # a seq is smaller, and there is room before the first and behind the last


_STEPS: Final = tuple(BESIDE.items())
_STEPS_FROM_A_QUESTION: Final = tuple({**BESIDE, 1: AFTER_A_QUESTION}.items())


def scored(places: Iterable[Place], gathered: Gathered) -> Scores:
    """Returns the scores of events that have terms, and of the places beside them."""
    numbers: dict[tuple[str, str, str], int] = {}
    terms = sorted(gathered.rows, key=lambda term: term.words)
    with_term: list[tuple[frozenset[int], list[tuple[int, Place]]]] = [(gathered.rows[term], []) for term in terms]
    for place in places:
        key = numbers.setdefault(place.session, len(numbers)) * _PLACES_OF_A_SESSION + REACH + place.seq
        for rows, found in with_term:
            if place.row_id in rows:
                found.append((key, place))
    words: dict[int, float] = {}
    neighbours: dict[int, float] = {}
    sessions = dict.fromkeys(numbers.values(), 0.0)
    for term, (_, found) in zip(terms, with_term, strict=True):
        weight = gathered.weights[term]
        own: dict[int, float] = {}
        beside: dict[int, float] = {}
        known = beside.get
        for key, place in found:
            value = weight * _of_length(place.length)
            own[key] = value
            for step, share in _STEPS_FROM_A_QUESTION if place.asks else _STEPS:
                passed = value * share
                near = key + step
                if passed > known(near, 0.0):
                    beside[near] = passed
        for key, value in own.items():
            words[key] = words.get(key, 0.0) + value
        for key, value in beside.items():
            more = value - own.get(key, 0.0)
            if more > 0:
                neighbours[key] = neighbours.get(key, 0.0) + more
        for session in {key // _PLACES_OF_A_SESSION for key in own}:
            sessions[session] += OF_THE_SESSION * weight
    return Scores(words, neighbours, sessions, numbers)


def asks(text: str) -> bool:
    """Returns True for a text that ends with a question mark."""
    return text.rstrip().endswith(QUESTION_MARKS)
