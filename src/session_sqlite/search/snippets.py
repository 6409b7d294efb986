"""Snippets: a piece of an event's text around its first hit, and where in it the terms are."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from session_sqlite.database import Request, Term
from session_sqlite.models import Event
from session_sqlite.search.matching import MOST_PATTERNS, Span, has_any, pattern_of, searched_texts, spans_of
from session_sqlite.search.unicode_table import is_single, kind_of
from session_sqlite.search.words import ASCII_WORDS, GAP, UNUSUAL, fold, words

SNIPPET_CHARACTERS: Final = 160
# A snippet is sought in one piece of a text after another. Pieces overlap by this many characters and twice the longest
# term, so that every place of a term is whole in one of them.
SNIPPET_REACH: Final = 1000
LOOKED_AT: Final = 1_000_000  # characters in which a snippet is sought; ten times as many of ASCII, which folds faster


def snippet(event: Event, request: Request) -> tuple[str, tuple[Span, ...]]:
    """Returns a piece of the first text that has a term, and the places of the terms in it (offsets, ends exclusive).

    However long a text is, a bounded part of it is looked at; if the terms are beyond that, its beginning is shown. At
    the end stands a mark for each attachment of the event.
    """
    found, places = _found(event, request)
    return " ".join(filter(None, [found, *map(str, event.attachments)])), places


def _found(event: Event, request: Request) -> tuple[str, tuple[Span, ...]]:
    texts = [text for text in searched_texts(event, request) if text]
    for text in texts:
        for begin, end in _places(text, request.terms):
            found = locate(text[begin:end], request.terms, is_begin=begin == 0, is_end=end >= len(text))
            if found:
                return cut(text, [(start + begin, stop + begin) for start, stop in found])
    return cut(texts[0], ()) if texts else ("", ())


def _places(text: str, terms: Sequence[Term]) -> Iterator[Span]:
    """Yields the pieces of a text, from its beginning, that seem to have one of the terms."""
    reach = SNIPPET_REACH + 2 * max(sum(len(word) + 1 for word in term.words) for term in terms)
    last = LOOKED_AT * 10 if text.isascii() else LOOKED_AT
    for begin in range(0, max(1, min(len(text), last) - reach), 3 * reach):
        end = begin + 4 * reach
        if len(text) <= 4 * reach or has_any(fold(text[begin:end]), terms):
            yield begin, end
    if len(text) > last:  # only words that are written exactly as in the query are found here, but fast
        for term in terms:
            at = text.find(max(term.words, key=len), last)
            if at >= 0:
                yield max(0, at - reach), at + 3 * reach


def locate(text: str, terms: Sequence[Term], *, is_begin: bool = True, is_end: bool = True) -> list[Span]:
    """Returns the places of the terms in a text, in order and merged where they overlap.

    A piece of a longer text may begin or end inside a word: unless it ``is_begin`` or ``is_end`` of the whole text,
    what touches that end is left out.
    """
    folded, origins = _fold_with_origins(text)
    tokens: list[tuple[str, int, int]] = []
    names: list[str] = []
    places: dict[str, list[int]] = {}  # of each word: a long query in a long text would take long without it
    are_few = len(terms) <= MOST_PATTERNS
    if not are_few or any(pattern_of(term) is None for term in terms):
        tokens = _tokens(folded)
        names = [name for name, _, _ in tokens]
        for index, name in enumerate(names):
            places.setdefault(name, []).append(index)
    spans: list[Span] = []
    for term in terms:
        if are_few and pattern_of(term) is not None:
            spans += [(origins[begin][0], origins[end - 1][1]) for begin, end in spans_of(folded, term)]
            continue
        *first, last = term.words
        for index in places.get(first[0], ()) if first else range(len(tokens)) if term.prefix else places.get(last, ()):
            at_last = index + len(first)
            # Slices are compared at once: a long phrase that almost fits everywhere costs little more than a short one.
            if _is_last(names, at_last, term) and names[index:at_last] == first:
                begin = tokens[index][1]
                end = tokens[at_last][1] + len(last) if term.prefix else tokens[at_last][2]
                spans.append((origins[begin][0], origins[end - 1][1]))
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if (begin == 0 and not is_begin) or (end == len(text) and not is_end):
            continue
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _is_last(names: Sequence[str], index: int, term: Term) -> bool:
    """Returns True if the last word of a term, or a word that begins with it, stands at this place."""
    if index >= len(names):
        return False
    last = term.words[-1]
    return names[index].startswith(last) if term.prefix else names[index] == last


def _tokens(folded: str) -> list[tuple[str, int, int]]:
    """Returns the words of folded text with their places; a gap has the place of what stands between."""
    if folded.isascii():
        return [(match[0], match.start(), match.end()) for match in ASCII_WORDS.finditer(folded)]
    tokens: list[tuple[str, int, int]] = []
    begin = -1  # the beginning of the word that is being read; -1 between words
    for index, character in enumerate(folded):
        code = ord(character)
        kind = kind_of(code)
        if kind in "ws" and is_single(code):
            kind = "c"
        if kind == "w":
            begin = index if begin < 0 else begin
            continue
        if begin >= 0:
            tokens.append((folded[begin:index], begin, index))
            begin = -1
        if kind in "sc":
            if kind == "c" and tokens and tokens[-1][2] < index and is_single(ord(tokens[-1][0][0])):
                tokens.append((GAP, tokens[-1][2], index))
            tokens.append((character, index, index + 1))
    if begin >= 0:
        tokens.append((folded[begin:], begin, len(folded)))
    return tokens


_plain: Final[set[str]] = set()  # characters known to fold to one character, whatever stands beside them


def _fold_with_origins(text: str) -> tuple[str, list[Span] | _Identity]:
    """Returns folded text, and for each of its characters the place in the text of what it was made from."""
    if not UNUSUAL.search(text):
        return fold(text), _Identity()
    if not _plain.issuperset(text):
        _plain.update(
            character
            for character in set(text)
            if len(fold(character)) == 1 and not _is_mark(character) and not _is_jamo(character)
        )
    if _plain.issuperset(text):
        return fold(text), _Identity()
    pieces: list[str] = []
    origins: list[Span] = []
    begin = 0
    for index in range(1, len(text) + 1):
        if index < len(text) and _joins(text, begin, index):
            continue
        piece = fold(text[begin:index])
        pieces.append(piece)
        end = index
        while end > begin + 1 and _is_ignored(text[end - 1]) and not _is_mark(text[end - 1]):
            end -= 1  # an invisible character at the end of a piece is not part of what was found
        origins += [(begin, end)] * len(piece)
        begin = index
    return "".join(pieces), origins


def _joins(text: str, begin: int, index: int) -> bool:
    """Returns True if normalization may join the character at ``index`` to the piece that begins at ``begin``."""
    character = text[index]
    if _is_mark(character) or _is_ignored(character):
        return True
    # Parts of a Hangul syllable join in their order only: ㅠㅠㅠ stays three.
    before = text[begin:index]
    return _is_jamo(character) and fold(before + character) != fold(before) + fold(character)


@functools.cache
def _is_mark(character: str) -> bool:
    return unicodedata.category(unicodedata.normalize("NFKC", character)[0])[0] == "M"


@functools.cache
def _is_ignored(character: str) -> bool:
    return not fold(character)


@functools.cache
def _is_jamo(character: str) -> bool:
    return "\u1100" <= unicodedata.normalize("NFKC", character)[0] <= "\u11ff"


class _Identity:
    """The origins of text in which folding moved no character."""

    def __getitem__(self, index: int) -> Span:
        return (index, index + 1)


# No cut is made before one of these or after a joiner, since it would tear a visible character apart: vowels and finals
# of Hangul, joiners, the skin tones of emoji, tag characters. Marks are tested by their category instead.
_CONTINUES = re.compile("[\u1160-\u11ff\u200c\u200d\ud7b0-\ud7fb\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
LONGEST_FLAGS: Final = 1000  # regional letters in a row; each two of them are a flag
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")


def _is_between_characters(text: str, index: int) -> bool:
    """Returns True if a cut at the index tears no visible character apart."""
    if index <= 0 or index >= len(text):
        return True
    before, after = text[index - 1], text[index]
    if before == "\u200d" or _CONTINUES.match(after) or _is_mark(after):
        return False
    if _FLAG.match(before) and _FLAG.match(after):
        start = index
        while start > max(0, index - LONGEST_FLAGS) and _FLAG.match(text[start - 1]):
            start -= 1
        return (index - start) % 2 == 0
    return True


def _is_between_words(text: str, index: int) -> bool:
    """Returns True if a cut at the index tears neither a word nor a visible character apart."""
    before, after = text[max(0, index - 1) : index], text[index : index + 1]
    if before.isascii() and after.isascii():
        return not (before.isalnum() and after.isalnum())
    if not _is_between_characters(text, index):
        return False
    return len(words(before + after)) != 1 or not (words(before) and words(after))


def cut(text: str, spans: Sequence[Span]) -> tuple[str, tuple[Span, ...]]:
    """Returns some `SNIPPET_CHARACTERS` of a text around its first span, cut between words, and the spans in it."""
    if len(text) <= SNIPPET_CHARACTERS:
        return text, tuple(spans)
    first = spans[0] if spans else (0, 0)
    if first[1] - first[0] > SNIPPET_CHARACTERS:  # a long phrase, or one character again and again
        first = (first[0], first[0] + SNIPPET_CHARACTERS)
        spans = [first, *spans[1:]]
    begin = max(0, first[0] - SNIPPET_CHARACTERS // 3)
    end = min(len(text), max(begin + SNIPPET_CHARACTERS, first[1]))
    begin = max(0, min(begin, end - SNIPPET_CHARACTERS))
    begin = _boundary(text, begin, first[0], 1)
    end = _boundary(text, end, first[1], -1)
    head = "…" if begin > 0 else ""
    shift = len(head) - begin
    shown = tuple((start + shift, stop + shift) for start, stop in spans if begin <= start and stop <= end)
    return f"{head}{text[begin:end]}{'…' if end < len(text) else ''}", shown


def _boundary(text: str, index: int, limit: int, step: int) -> int:
    """Returns where to cut: between words towards ``limit``, else between words a little outwards, else in a word."""
    inwards = range(index, limit + step, step)
    outermost = min(max(limit - step * SNIPPET_CHARACTERS, 0), len(text))
    outwards = range(limit, outermost - step, -step)
    places: list[int] = [*inwards, *outwards]
    for is_place in (_is_between_words, _is_between_characters):
        for place in places:
            if is_place(text, place):
                return place
    return index
