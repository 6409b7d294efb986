"""Narrowing: a query that is still being typed, and which of its terms a text has.

The last word is a prefix, so that every letter that is typed narrows what is found: the hits of ``blue te`` are among
those of ``blue t``. It is whole once anything but white space follows it, as in ``C++`` or ``"blue teapot"``. A
character that is a word of its own (Han, Kana, Hangul, Thai, an emoji) is whole from the start.
"""

from __future__ import annotations

from collections.abc import Sequence

from session_sqlite.database import Term
from session_sqlite.search.matching import has_any
from session_sqlite.search.unicode_table import is_single, kind_of
from session_sqlite.search.words import fold, parse


def terms_typed(query: str) -> tuple[Term, ...]:
    """Returns the terms of a query that is still being typed. Raises `InvalidInputError` as `parse` does.

    Example:
        >>> [(term.words, term.prefix) for term in terms_typed("blue te")]
        [(('blue',), False), (('te',), True)]
    """
    typed = query.rstrip()
    if typed and typed[-1] not in '"*':
        typed += "*"
    terms = parse(typed)
    return tuple(dict.fromkeys(Term(term.words, term.prefix and not _is_whole(term.words[-1])) for term in terms))


def is_one_letter(terms: Sequence[Term]) -> bool:
    """Returns True if a single letter or digit is all that was typed: too little to look for in what was said."""
    return len(terms) == 1 and terms[0].prefix and len(terms[0].words) == len(terms[0].words[0]) == 1


def _is_whole(word: str) -> bool:
    """Returns True for a character that is always a word of its own, so that no word begins with it."""
    return len(word) == 1 and (is_single(ord(word)) or kind_of(ord(word)) == "s")


def present(texts: Sequence[str], terms: Sequence[Term]) -> frozenset[int]:
    """Returns which of the terms, by their places in the sequence, are in at least one of the texts."""
    folded = [fold(text) for text in texts if text]
    return frozenset(index for index, term in enumerate(terms) if any(has_any(text, (term,)) for text in folded))
