"""Matching: which texts of an event are searched, whether a request's terms are in them, and how well they fit."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from session_sqlite.database import Request, Term
from session_sqlite.models import Event
from session_sqlite.search.unicode_table import is_single, kind_of
from session_sqlite.search.words import ASCII_WORDS, GAP, LONGEST_WORD, divide, fold

Span = tuple[int, int]


FIELDS: Final = ("content", "reasoning", "tools")
LONG_TEXT: Final = 100_000  # characters
LEAST_SCORE: Final = 1e-6


def field_texts(event: Event) -> dict[str, str]:
    """Returns the text of each field of an event that is searched."""
    strings: list[str] = []
    for action in event.actions:
        strings.append(action.name)
        strings += _strings(action.args)
        strings += _strings(action.output)
        if action.error is not None and not (event.author == "tool" and action.error == event.content):
            strings.append(action.error)
    return {"content": event.content, "reasoning": event.reasoning, "tools": "\n".join(strings)}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif value is not None:
        yield json.dumps(value)


def searched_texts(event: Event, request: Request) -> list[str]:
    """Returns the texts of an event that a request searches."""
    texts = field_texts(event)
    chosen = [texts[name] for name in request.fields]
    if request.tools_alone and event.author == "tool":
        chosen.append(event.content)
    return chosen


def score(event: Event, request: Request, *, is_hit: bool = False) -> float:
    """Returns how well an event fits, without an index: 0 if a term is missing, else more the more often they occur.

    Of a long text only the beginning is read if it has all terms. ``is_hit`` says that the index found the event, so
    the rest of a long text need not be read to know that it fits.
    """
    texts = [text for text in searched_texts(event, request) if text]
    if any(len(text) > LONG_TEXT for text in texts):
        if fits := _score([_beginning(text) for text in texts], request):
            return fits
        if is_hit:
            return LEAST_SCORE
    return _score(texts, request)


def _beginning(text: str) -> str:
    """Returns up to `LONG_TEXT` characters, to the end of a word; nothing if no word ends there."""
    if len(text) <= LONG_TEXT:
        return text
    return text[: max(0, *(text.rfind(mark, 0, LONG_TEXT) for mark in " \n\u3001\u3002\uff0c"))]


def _score(texts: Sequence[str], request: Request) -> float:
    folded = [fold(text) for text in texts]
    divided: list[str] = []
    total = 0.0
    are_few = len(request.terms) <= MOST_PATTERNS
    for term in request.terms:
        if are_few and pattern_of(term) is not None:
            found = sum(_count(text, term) for text in folded)
        elif not all(any(word in text for text in folded) for word in term.words if word != GAP):
            return 0.0
        else:
            divided = divided or [f" {' '.join(divide(text))} " for text in folded]
            found = sum(text.count(_phrase(term)) for text in divided)
        if not found:
            return 0.0
        total += found / (found + 1 + sum(map(len, folded)) / 1000)
    return total


LONGEST_PATTERN: Final = 20  # words; longer phrases make slow patterns and are looked for among the words
MOST_PATTERNS: Final = 20  # terms; with more of them dividing the text once is cheaper than a pattern for each
MOST_COUNTED: Final = 1000  # places of a term in a text; more of them hardly change a score


@functools.lru_cache(maxsize=128)
def pattern_of(term: Term) -> re.Pattern[str] | None:
    """Returns a pattern that finds a term in folded text; None for a term that is looked for among the words instead.

    Characters that are words of their own stand in the text as in the term. Between words of ASCII letters there may be
    anything but ASCII letters and digits: in ASCII text that is exact, elsewhere `_stands_alone` checks each match.
    """
    if len(term.words) > LONGEST_PATTERN or any(len(word) >= LONGEST_WORD for word in term.words):
        return None
    if all(len(word) == 1 and is_single(ord(word)) for word in term.words):
        return re.compile(re.escape("".join(term.words)))
    if all(ASCII_WORDS.fullmatch(word) for word in term.words):
        end = "" if term.prefix else "(?![a-z0-9])"
        first, *rest = term.words  # a pattern that begins with letters is faster than one that looks back first
        return re.compile("([^a-z0-9]+)".join([f"{first}(?<![a-z0-9]{first})", *rest]) + end)
    return None


def _is_simple(folded: str, term: Term) -> bool:
    """Returns True if every match of the term's pattern is a place of the term, without a further check."""
    return folded.isascii() or not term.words[0].isascii()


def _count(folded: str, term: Term) -> int:
    """Returns how often a term that has a `pattern_of` is in folded text."""
    pattern = pattern_of(term)
    if pattern is not None and _is_simple(folded, term):
        return len(pattern.findall(folded))
    return sum(1 for _ in islice(spans_of(folded, term), MOST_COUNTED))


def spans_of(folded: str, term: Term) -> Iterator[Span]:
    """Yields the places in folded text of a term that has a `pattern_of`."""
    pattern = pattern_of(term)
    if pattern is None:
        return
    is_simple = _is_simple(folded, term)
    match = pattern.search(folded)
    while match is not None:
        if is_simple or _stands_alone(folded, match, term):
            yield match.span()
        match = pattern.search(folded, match.start() + 1)


def _stands_alone(folded: str, match: re.Match[str], term: Term) -> bool:
    """Returns True if no other letters continue the first and the last word, and no word stands between two."""
    begin, end = match.span()
    if begin and _is_in_word(folded[begin - 1]):
        return False
    if not term.prefix and end < len(folded) and _is_in_word(folded[end]):
        return False
    return all(kind_of(ord(character)) in "ou" for gap in match.groups() for character in gap)


def _is_in_word(character: str) -> bool:
    code = ord(character)
    return kind_of(code) == "w" and not is_single(code)


def has_any(folded: str, terms: Sequence[Term]) -> bool:
    """Returns True if folded text has at least one of the terms."""
    divided = ""
    are_few = len(terms) <= MOST_PATTERNS
    for term in terms:
        if are_few and pattern_of(term) is not None:
            if next(spans_of(folded, term), None) is not None:
                return True
        elif all(word in folded for word in term.words if word != GAP):
            divided = divided or f" {' '.join(divide(folded))} "
            if _phrase(term) in divided:
                return True
    return False


def _phrase(term: Term) -> str:
    """Returns the term as it stands in a text's words when they are joined by spaces."""
    return f" {' '.join(term.words)}{'' if term.prefix else ' '}"


def quick_test(terms: Sequence[Term]) -> Callable[[str, str, str], bool]:
    """Returns a test of content, reasoning and actions (as JSON text) that is False only if a term must be missing."""
    words = tuple({word for term in terms for word in term.words if word != GAP})
    has_digits = any(character.isdigit() for word in words for character in word)

    def may_match(content: str, reasoning: str, actions: str) -> bool:
        if len(content) + len(reasoning) + len(actions) > LONG_TEXT:
            return True  # reading it all would cost more than `score`, which may need the beginning only
        if actions == "[]":
            folded = fold("\n".join((content, reasoning)))
        elif has_digits or "\\u" in actions or ("\\" in actions and not actions.isascii()):
            return True  # JSON may write numbers and characters in more than one way
        else:
            folded = fold("\n".join((content, reasoning, actions)))
        return all(map(folded.__contains__, words))

    return may_match
