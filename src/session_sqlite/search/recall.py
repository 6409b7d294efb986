"""Recall: what a question asks for, and how well events answer it.

A *question* is a sentence in any language. Its words without a meaning of their own (`STOP_WORDS`) do not count; each
of the others is a term that is looked for by its stem as a prefix, and any of them is enough. An event has its own
score by the terms in it, the rare ones counting more, and something for the scores of the events beside it and of its
session: an answer is often the turn after the one that has the question's words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from session_sqlite.database import Term
from session_sqlite.search.words import GAP, words

LONGEST_QUESTION: Final = 10_000  # characters that are read, half of them from the end
MOST_TERMS: Final = 40
STOP_WORDS: Final = frozenset(
    """
    a about all also am an and any are as at be been being but by can could did do does doing done for from had has have
    having he her hers him his how i if in into is it its just me my no nor not of on or our ours out over own she so
    some such than that the their theirs them then there these they this those to too under until up very was we were
    what when where which while who whom whose why will with would you your yours s t d ll ve re m don
    的 了 吗 呢 吧 啊 我 你 他 她 它 们 是 在 有 和 就 都 也 还 这 那 个 什 么 怎 哪 谁 几 多 少 与 及 或 过 曾 经 给
    """.split()  # noqa: SIM905  # words, as one reads them
)


def terms_of(question: str) -> tuple[Term, ...]:
    """Returns what is looked for, each once."""
    if len(question) > LONGEST_QUESTION:
        half = LONGEST_QUESTION // 2
        question = f"{question[:half]}\n{question[-half:]}"
    found = dict.fromkeys(word for word in words(question) if word != GAP and word not in STOP_WORDS)
    return tuple(Term((stem(word),), len(word) > 1) for word in found)[:MOST_TERMS]


def stem(word: str) -> str:
    """Returns the part of a word that its other forms begin with, too."""
    if not word.isascii():
        return word
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@dataclass(frozen=True)
class Place:
    """The place of an event, and its own score.

    Attributes:
        row_id: The order of appending in the whole store.
        session: The app, the user and the session.
        seq: The place in the session.
        length: The number of characters.
        own: The score of its own words.
    """

    row_id: int
    session: tuple[str, str, str]
    seq: int
    length: int
    own: float


def weight(frequency: int, events: int) -> float:
    """Returns how much a term counts that so many of all events have."""
    return math.log(1 + (events - frequency + 0.5) / (frequency + 0.5))


def ranked(places: Sequence[Place]) -> list[tuple[Place, Mapping[str, float]]]:
    """Returns the events, the best first, each with the parts of its score."""
    own = {(place.session, place.seq): place.own for place in places}
    of_session: dict[tuple[str, str, str], list[float]] = {}
    for place in places:
        of_session.setdefault(place.session, []).append(place.own)
    best = {session: sum(sorted(scores, reverse=True)[:3]) for session, scores in of_session.items()}
    found = []
    for place in places:
        beside = sum(own.get((place.session, place.seq + step), 0.0) for step in (-1, 1))
        parts = {"words": place.own, "neighbours": 0.25 * beside, "session": 0.3 * best[place.session] / 3}
        found.append((place, {name: part for name, part in parts.items() if part}))
    return sorted(found, key=lambda one: (-sum(one[1].values()), -one[0].row_id))
