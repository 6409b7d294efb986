"""Search as pure functions: text to words, a query to terms, terms to matches, snippets and spans.

*Words*: text is folded (see `fold`) and divided into runs of letters, marks and digits; each character of Han, Kana,
Hangul, Thai, Lao, Khmer and Burmese is a word of its own, and so is each symbol. Where something stands between two
characters of those scripts, the word ``·`` says so: a phrase of them must match with nothing between.

*Terms*: a query is divided at white space, but a "quoted phrase" is one term. A term's words must stand side by side
in order; a trailing ``*`` makes its last word a prefix. An event matches if it has all terms.

The same text gives the same words on every version of Python (see `unicode_table`), so an index stays valid. Whoever
changes what the words of any text are raises `WORDS_VERSION`: an index of another version is made anew.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from session_sqlite.errors import InvalidInputError
from session_sqlite.models import Event
from session_sqlite.unicode_table import IGNORABLE, LATIN, SEMITIC, is_single, kind_of

Span = tuple[int, int]

WORDS_VERSION: Final = 2
FIELDS: Final = ("content", "reasoning", "tools")
GAP: Final = "·"
LONGEST_WORD: Final = 8000  # characters; FTS5 cuts words of more than 32,768 bytes
SNIPPET_CHARACTERS: Final = 160
SNIPPET_REACH: Final = (
    1000  # characters, and twice the longest term: so far the places overlap that a snippet is sought in
)
LOOKED_AT: Final = 1_000_000  # characters of a text that are looked at for a snippet; more of ASCII, which folds faster
LONG_TEXT: Final = 100_000  # characters
LEAST_SCORE: Final = 1e-6
LAST_ROW: Final = 2**63 - 1
# What a query may have, so that no search takes long. A word that begins so costs what all words cost that do.
LONGEST_QUERY: Final = 100_000  # characters
MOST_WORDS: Final = 100
MOST_PREFIXES: Final = 10

_LATIN: Final = (
    "A-Za-z\u00c0-\u02af\u1d00-\u1d25\u1d6b-\u1dbf\u1e00-\u1eff\u2184\u2c60-\u2c7f\ua722-\ua7ff\uab30-\uab6f"
    "\U0001df00-\U0001df1e"
)
_GREEK: Final = "\u0370-\u03e1\u03f0-\u03ff\u1f00-\u1fff"
_CYRILLIC: Final = "\u0400-\u0482\u048a-\u052f\u1c80-\u1c8f\ua640-\ua66e\ua680-\ua69b"
_ACCENTS: Final = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_HAS_ACCENTS = re.compile(f"[\u00c0-\u024f\u1e00-\u1eff\u0370-\u03ff\u0451\u1f00-\u1fff{_ACCENTS}]")
_WITH_ACCENTS = re.compile(f"([{_LATIN}{_GREEK}])[{_ACCENTS}]+|([{_CYRILLIC}])([{_ACCENTS}]+)")
_IGNORED = re.compile(f"[{IGNORABLE}]+")
_SEMITIC = re.compile(f"[{''.join(SEMITIC)}]")
_OTHER_LATIN = re.compile(f"[{''.join(LATIN)}]")
_ASCII_WORDS = re.compile("[a-z0-9]+")


# In text that `_Divider` has translated, a character that is a word of its own stands between these two.
_OPEN: Final = "\x02"
_CLOSE: Final = "\x03"
_GAPS = re.compile(f"{_CLOSE} +{_OPEN}")


class _Divider(dict[int, str]):
    """A table for `str.translate` that sets words apart; it learns a character's class when it first meets it."""

    def __missing__(self, code: int) -> str:
        character, kind = chr(code), kind_of(code)
        if kind in "ou":
            part = " "
        elif is_single(code):
            part = f"{_OPEN}{character}{_CLOSE}"
        else:
            part = character if kind == "w" else f" {character} "
        self[code] = part
        return part


_divider: Final = _Divider()
_assigned: Final[set[str]] = set()


def _without_unassigned(text: str) -> str:
    """A later Unicode version may fold what is not assigned in ours: it becomes a separator before that."""
    if not _assigned.issuperset(text):
        unknown = {character for character in set(text) - _assigned if kind_of(ord(character)) == "u"}
        _assigned.update(set(text) - unknown)
        for character in unknown:
            text = text.replace(character, " ")
    return text


# Text of ASCII, of common Han characters and of the punctuation that goes with them needs no tables: each of its
# characters folds to one character, whatever stands beside it.
_UNUSUAL = re.compile("[^\x00-\x7f\u2013\u2014\u2018\u2019\u201c\u201d\u3001-\u3029\u4e00-\u9fa5\uff01-\uff5e]")
_FULL_WIDTH = re.compile("[\uff01-\uff5e]")


def _to_ascii(match: re.Match[str]) -> str:
    return chr(ord(match[0]) - 0xFEE0)


# These make another letter of a Cyrillic one, as they stand in pairs; on any other letter they mark the stress.
_NOT_STRESS: Final = {"\u0433\u0301", "\u043a\u0301", "\u0435\u0300", "\u0438\u0300"}  # ѓ ќ ѐ ѝ
_STRESS: Final = frozenset("\u0300\u0301")
_YO: Final = "\u0435\u0308"  # ё


def _without_accents(match: re.Match[str]) -> str:
    """A letter that was taken apart, without its accents; a Cyrillic one without its stress, and without the dots of ё.

    Other marks make other letters of Cyrillic ones (й, ї, ў), and stay.
    """
    letter, cyrillic, accents = match.groups()
    if letter:
        return str(letter)
    pairs = [cyrillic + accent for accent in accents]
    kept = [pair[1] for pair in pairs if pair != _YO and (pair[1] not in _STRESS or pair in _NOT_STRESS)]
    return cyrillic + "".join(kept)


def fold(text: str) -> str:
    """The text without what makes no difference to a search.

    That is case; width (NFKC); characters that nobody sees; the accents of Latin and Greek letters, and the strokes and
    hooks of those that do not come apart; the points of Hebrew; the vowel signs of Arabic, its tatweel and the forms of
    its alef; the stress of Cyrillic words and the dots of ё.
    """
    if text.isascii():
        return text.lower()
    if not _UNUSUAL.search(text):
        return _FULL_WIDTH.sub(_to_ascii, text).lower()
    text = unicodedata.normalize("NFKC", _without_unassigned(_IGNORED.sub("", text))).casefold()
    text = _SEMITIC.sub(lambda match: SEMITIC[match[0]], text)
    if _HAS_ACCENTS.search(text):
        # Accents are marks only when they are taken apart; other scripts are put together again.
        text = _WITH_ACCENTS.sub(_without_accents, unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", _OTHER_LATIN.sub(lambda match: LATIN[match[0]], text))


def words(text: str) -> list[str]:
    """The words of a text, in order.

    Example:
        >>> words("Café: 请分析，代码 C++")
        ['cafe', '请', '分', '析', '·', '代', '码', 'c']
    """
    return _divide(fold(text))


def _divide(folded: str) -> list[str]:
    if folded.isascii():
        found = _ASCII_WORDS.findall(folded)
        return found if len(folded) <= LONGEST_WORD else [word[:LONGEST_WORD] for word in found]
    divided = folded.translate(_divider).replace(f"{_CLOSE}{_OPEN}", " ")
    found = _GAPS.sub(f" {GAP} ", divided).replace(_OPEN, " ").replace(_CLOSE, " ").split()
    return found if len(folded) <= LONGEST_WORD else [word[:LONGEST_WORD] for word in found]


@dataclass(frozen=True)
class Term:
    """Words that must stand side by side; the last one may be a prefix."""

    words: tuple[str, ...]
    prefix: bool = False


_TERM = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)')


def parse(query: str) -> tuple[Term, ...]:
    """The terms of a query, each once; none if it has no words.

    Raises:
        InvalidInputError: The query is longer than `LONGEST_QUERY`, or its terms have more than `MOST_WORDS` or
            `MOST_PREFIXES`. Nothing else that people type is an error.

    Example:
        >>> [term.words for term in parse('don‘t "main go" C++')]
        [('don', 't'), ('main', 'go'), ('c',)]
    """
    if len(query) > LONGEST_QUERY:
        raise InvalidInputError(f"a query may have {LONGEST_QUERY:,} characters, this one has {len(query):,}")
    terms: dict[Term, None] = {}
    words_left = MOST_WORDS
    for quoted, star, bare in dict.fromkeys(_TERM.findall(query)):
        text = quoted or bare.removesuffix("*")
        found = words(text)
        if found:
            # foo* but not foo-*: the star belongs to a word
            starred = bool(star) if quoted else bare.endswith("*")
            term = Term(tuple(found), starred and bool(words(text[-1:])))
            if term not in terms:
                terms[term] = None
                words_left -= sum(word != GAP for word in found)
        if words_left < 0:
            raise InvalidInputError(f"a query may have {MOST_WORDS} words, each Chinese character being one: search "
                                    "for fewer")  # fmt: skip
    if sum(term.prefix for term in terms) > MOST_PREFIXES:
        raise InvalidInputError(f"a query may have {MOST_PREFIXES} words with a star: search for fewer")
    return tuple(terms)


@dataclass(frozen=True)
class Request:
    """A checked search: what to find, where, and in which order.

    Attributes:
        terms: All of them must be in the event.
        fields: Where to look: some of `FIELDS`.
        app_name: Only of this app; None for all.
        user_id: Only of this user; None for all.
        session_id: Only in this session of that app and user; None for all.
        clauses: Further conditions on events, as constants of `queries`.
        params: What they bind.
        newest_first: By the order of appending instead of by rank.
        until_row: Only events up to this row, the order of appending in the whole store.
        seen: Rows that earlier pages had.
    """

    terms: tuple[Term, ...]
    fields: tuple[str, ...]
    app_name: str | None
    user_id: str | None
    session_id: str | None
    clauses: tuple[str, ...]
    params: Mapping[str, Any]
    newest_first: bool
    until_row: int = LAST_ROW
    seen: frozenset[int] = frozenset()

    def match_expression(self, *, scoped: bool) -> str:
        """The request as an FTS5 query over the columns of `index_columns` and a column ``scope``.

        Without ``scoped`` it leaves the user and the session to the conditions on events.

        The output of a tool's own event is its content; a search in ``tools`` alone finds it there.
        """
        parts = []
        if scoped and self.app_name is not None and self.user_id is not None:
            parts.append(f'scope : "{_scope_word(self.app_name, self.user_id, self.session_id)}"')
        columns = "{" + " ".join(self.fields) + "}"
        for term in self.terms:
            phrase = f'"{" ".join(term.words)}"{" *" if term.prefix else ""}'
            part = f"{columns} : {phrase}"
            if self.tools_alone:
                part = f'(({part}) OR (content : {phrase} AND scope : "{_TOOL}"))'
            parts.append(part)
        return " AND ".join(parts)

    @property
    def tools_alone(self) -> bool:
        """True for a search in tool calls that leaves out what was said."""
        return "tools" in self.fields and "content" not in self.fields

    def texts(self, event: Event) -> list[str]:
        """The texts of an event that are searched."""
        texts = field_texts(event)
        chosen = [texts[name] for name in self.fields]
        if self.tools_alone and event.author == "tool":
            chosen.append(event.content)
        return chosen


_TOOL: Final = "tool"  # the scope word of a tool's own events; no hash looks like it


def _scope_word(*names: str | None) -> str:
    """One word for a user of an app, or for a session of such a user."""
    text = "\0".join(name for name in names if name is not None)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def scope_words(event: Event, app_name: str, user_id: str) -> str:
    """The words of the ``scope`` column of an event."""
    names = [_scope_word(app_name, user_id), _scope_word(app_name, user_id, event.session_id)]
    return " ".join([*names, _TOOL] if event.author == "tool" else names)


def field_texts(event: Event) -> dict[str, str]:
    """What each field of an event is searched by."""
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


def index_columns(event: Event) -> dict[str, str]:
    """The words of each field, as the index stores them."""
    return {name: " ".join(words(text)) if text else "" for name, text in field_texts(event).items()}


def score(event: Event, request: Request, *, is_hit: bool = False) -> float:
    """How well an event fits, without an index: 0 if it does not have all terms, else more for more of them.

    Of a long text the beginning is enough if all terms are in it, or if the event ``is_hit`` anyway.
    """
    texts = [text for text in request.texts(event) if text]
    if any(len(text) > LONG_TEXT for text in texts):
        if fits := _score([_beginning(text) for text in texts], request):
            return fits
        if is_hit:
            return LEAST_SCORE
    return _score(texts, request)


def _beginning(text: str) -> str:
    """Up to `LONG_TEXT` characters, to the end of a word; nothing if no word ends there."""
    if len(text) <= LONG_TEXT:
        return text
    return text[: max(0, *(text.rfind(mark, 0, LONG_TEXT) for mark in " \n\u3001\u3002\uff0c"))]


def _score(texts: Sequence[str], request: Request) -> float:
    folded = [fold(text) for text in texts]
    divided: list[str] = []
    total = 0.0
    are_few = len(request.terms) <= MOST_PATTERNS
    for term in request.terms:
        if are_few and _pattern(term) is not None:
            found = sum(_count(text, term) for text in folded)
        elif not all(any(word in text for text in folded) for word in term.words if word != GAP):
            return 0.0
        else:
            divided = divided or [f" {' '.join(_divide(text))} " for text in folded]
            found = sum(text.count(_phrase(term)) for text in divided)
        if not found:
            return 0.0
        total += found / (found + 1 + sum(map(len, folded)) / 1000)
    return total


LONGEST_PATTERN: Final = 20  # words; a longer phrase is found word by word
MOST_PATTERNS: Final = 20  # terms; of more, each is looked up among the words
MOST_COUNTED: Final = 1000  # times that a term is in a text; a score says little beyond


@functools.lru_cache(maxsize=128)
def _pattern(term: Term) -> re.Pattern[str] | None:
    """What finds a term in folded text; None for a term that only the words of the text can tell.

    A term of characters that are words of their own is found as it stands. Words of ASCII letters are found with
    anything between them that is not of ASCII words: in ASCII text that is all, for other text see `_stands_alone`.
    """
    if len(term.words) > LONGEST_PATTERN or any(len(word) >= LONGEST_WORD for word in term.words):
        return None
    if all(len(word) == 1 and is_single(ord(word)) for word in term.words):
        return re.compile(re.escape("".join(term.words)))
    if all(_ASCII_WORDS.fullmatch(word) for word in term.words):
        end = "" if term.prefix else "(?![a-z0-9])"
        first, *rest = term.words  # what begins with letters is found faster than what looks back first
        return re.compile("([^a-z0-9]+)".join([f"{first}(?<![a-z0-9]{first})", *rest]) + end)
    return None


def _is_simple(folded: str, term: Term) -> bool:
    """True if the pattern of a term alone says where it is."""
    return folded.isascii() or not term.words[0].isascii()


def _count(folded: str, term: Term) -> int:
    """How often a term that has a `_pattern` is in folded text."""
    pattern = _pattern(term)
    if pattern is not None and _is_simple(folded, term):
        return len(pattern.findall(folded))
    return sum(1 for _ in islice(_spans(folded, term), MOST_COUNTED))


def _spans(folded: str, term: Term) -> Iterator[Span]:
    """Where a term that has a `_pattern` is in folded text."""
    pattern = _pattern(term)
    if pattern is None:
        return
    is_simple = _is_simple(folded, term)
    match = pattern.search(folded)
    while match is not None:
        if is_simple or _stands_alone(folded, match, term):
            yield match.span()
        match = pattern.search(folded, match.start() + 1)


def _stands_alone(folded: str, match: re.Match[str], term: Term) -> bool:
    """True if no other letters continue the first and the last word, and no word stands between two."""
    begin, end = match.span()
    if begin and _is_in_word(folded[begin - 1]):
        return False
    if not term.prefix and end < len(folded) and _is_in_word(folded[end]):
        return False
    return all(kind_of(ord(character)) in "ou" for gap in match.groups() for character in gap)


def _is_in_word(character: str) -> bool:
    code = ord(character)
    return kind_of(code) == "w" and not is_single(code)


# ---------------------------------------------------------------- snippets


def snippet(event: Event, request: Request) -> tuple[str, tuple[Span, ...]]:
    """A piece of the first text that has a term, and where in it the terms are (character offsets, ends exclusive).

    However long a text is, a bounded part of it is looked at; if the terms are beyond, its beginning is shown.
    """
    texts = [text for text in request.texts(event) if text]
    for text in texts:
        for begin, end in _places(text, request.terms):
            found = locate(text[begin:end], request.terms, is_begin=begin == 0, is_end=end >= len(text))
            if found:
                return cut(text, [(start + begin, stop + begin) for start, stop in found])
    return cut(texts[0], ()) if texts else ("", ())


def _places(text: str, terms: Sequence[Term]) -> Iterator[Span]:
    """The places in a text, from its beginning, that seem to have one of the terms."""
    reach = SNIPPET_REACH + 2 * max(sum(len(word) + 1 for word in term.words) for term in terms)
    last = LOOKED_AT * 10 if text.isascii() else LOOKED_AT
    for begin in range(0, max(1, min(len(text), last) - reach), 3 * reach):
        end = begin + 4 * reach
        if len(text) <= 4 * reach or _has_any(fold(text[begin:end]), terms):
            yield begin, end
    if len(text) > last:  # a word that is written as it is looked for is found quickly
        for term in terms:
            at = text.find(max(term.words, key=len), last)
            if at >= 0:
                yield max(0, at - reach), at + 3 * reach


def _has_any(folded: str, terms: Sequence[Term]) -> bool:
    divided = ""
    are_few = len(terms) <= MOST_PATTERNS
    for term in terms:
        if are_few and _pattern(term) is not None:
            if next(_spans(folded, term), None) is not None:
                return True
        elif all(word in folded for word in term.words if word != GAP):
            divided = divided or f" {' '.join(_divide(folded))} "
            if _phrase(term) in divided:
                return True
    return False


def _phrase(term: Term) -> str:
    """The term as it stands in words that are joined by spaces."""
    return f" {' '.join(term.words)}{'' if term.prefix else ' '}"


def quick_test(terms: Sequence[Term]) -> Callable[[str, str, str], bool]:
    """A test of an event's content, reasoning and actions (as JSON text): False only if it cannot have all terms."""
    words = tuple({word for term in terms for word in term.words if word != GAP})
    has_digits = any(character.isdigit() for word in words for character in word)

    def may_match(content: str, reasoning: str, actions: str) -> bool:
        if len(content) + len(reasoning) + len(actions) > LONG_TEXT:
            return True  # `score` may find the terms at its beginning
        if actions == "[]":
            folded = fold("\n".join((content, reasoning)))
        elif has_digits or "\\u" in actions or ("\\" in actions and not actions.isascii()):
            return True  # JSON may write numbers and characters in more than one way
        else:
            folded = fold("\n".join((content, reasoning, actions)))
        return all(map(folded.__contains__, words))

    return may_match


def locate(text: str, terms: Sequence[Term], *, is_begin: bool = True, is_end: bool = True) -> list[Span]:
    """Where the terms are in a text, in order and merged where they overlap.

    A piece of a longer text may have a word cut in two where it is not its begin or end: what stands there is left out.
    """
    folded, origins = _fold_with_origins(text)
    tokens: list[tuple[str, int, int]] = []
    places: dict[str, list[int]] = {}  # a query may be as long as the text: each word is looked up, not searched for
    are_few = len(terms) <= MOST_PATTERNS
    if not are_few or any(_pattern(term) is None for term in terms):
        tokens = _tokens(folded)
        for index, token in enumerate(tokens):
            places.setdefault(token[0], []).append(index)
    spans: list[Span] = []
    for term in terms:
        if are_few and _pattern(term) is not None:
            spans += [(origins[begin][0], origins[end - 1][1]) for begin, end in _spans(folded, term)]
            continue
        length = len(term.words)
        beginnings = range(len(tokens)) if length == 1 and term.prefix else places.get(term.words[0], ())
        for index in beginnings:
            if _stands_at(tokens, index, term):
                begin = tokens[index][1]
                end = tokens[index + length - 1][2]
                if term.prefix:
                    end = tokens[index + length - 1][1] + len(term.words[-1])
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


def _stands_at(tokens: Sequence[tuple[str, int, int]], index: int, term: Term) -> bool:
    last = len(term.words) - 1
    if index + last >= len(tokens):
        return False
    for offset, word in enumerate(term.words):
        token = tokens[index + offset][0]
        if token != word and not (offset == last and term.prefix and token.startswith(word)):
            return False
    return True


def _tokens(folded: str) -> list[tuple[str, int, int]]:
    """The words of folded text with their places; a gap has the place of what stands between."""
    if folded.isascii():
        return [(match[0], match.start(), match.end()) for match in _ASCII_WORDS.finditer(folded)]
    tokens: list[tuple[str, int, int]] = []
    before = ""  # the class of the word that the character before belongs to
    for index, character in enumerate(folded):
        code = ord(character)
        kind = kind_of(code)
        if kind in "ws" and is_single(code):
            kind = "c"
        if kind == "w" == before:
            word = tokens.pop()
            tokens.append((word[0] + character, word[1], index + 1))
        elif kind in "wsc":
            if kind == "c" and tokens and tokens[-1][2] < index and is_single(ord(tokens[-1][0][0])):
                tokens.append((GAP, tokens[-1][2], index))
            tokens.append((character, index, index + 1))
        before = kind
    return tokens


_plain: Final[set[str]] = set()  # characters known to fold to one character, whatever stands beside them


def _fold_with_origins(text: str) -> tuple[str, Sequence[Span]]:
    """Folded text, and for each of its characters the place of what it was made from."""
    if not _UNUSUAL.search(text):
        return fold(text), _Identity(len(text))
    if not _plain.issuperset(text):
        _plain.update(
            character
            for character in set(text)
            if len(fold(character)) == 1 and not _is_mark(character) and not _is_jamo(character)
        )
    if _plain.issuperset(text):
        return fold(text), _Identity(len(text))
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
            end -= 1  # what is not seen belongs to the character before it only if something seen follows
        origins += [(begin, end)] * len(piece)
        begin = index
    return "".join(pieces), origins


def _joins(text: str, begin: int, index: int) -> bool:
    """True where normalisation may make one character of what begins at ``begin`` and the one at ``index``."""
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


class _Identity(Sequence[Span]):
    """The origins of text that folding left in its places."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        return (index, index + 1)


# A cut before one of these, or after a joiner, would tear one visible character: vowels and finals of Hangul, joiners,
# the skin tones of emoji, tag characters; and marks, which are not listed here.
_CONTINUES = re.compile("[\u1160-\u11ff\u200c\u200d\ud7b0-\ud7fb\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
LONGEST_FLAGS: Final = 1000  # letters of flags in a row that are counted
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")


def _is_between_characters(text: str, index: int) -> bool:
    """True where a cut tears no visible character."""
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
    """True where a cut tears neither a word nor a visible character."""
    before, after = text[max(0, index - 1) : index], text[index : index + 1]
    if before.isascii() and after.isascii():
        return not (before.isalnum() and after.isalnum())
    if not _is_between_characters(text, index):
        return False
    return len(words(before + after)) != 1 or not (words(before) and words(after))


def cut(text: str, spans: Sequence[Span]) -> tuple[str, tuple[Span, ...]]:
    """About `SNIPPET_CHARACTERS` of the text around its first span, cut between words; spans moved along."""
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
    """Where to cut: the next place towards ``limit`` between words, else a little outwards, else in a word."""
    inwards = range(index, limit + step, step)
    outermost = min(max(limit - step * SNIPPET_CHARACTERS, 0), len(text))
    outwards = range(limit, outermost - step, -step)
    places: list[int] = [*inwards, *outwards]
    for is_place in (_is_between_words, _is_between_characters):
        for place in places:
            if is_place(text, place):
                return place
    return index
