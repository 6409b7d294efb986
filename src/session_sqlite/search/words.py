"""Words: how text is folded and divided for searching, and how a query is divided into terms.

*Words*: text is folded (see `fold`) and divided into runs of letters, marks and digits; each character of Han, Kana,
Hangul, Thai, Lao, Khmer and Burmese is a word of its own, and so is each symbol. Where something stands between two
characters of those scripts, the word ``·`` says so: a phrase of them must match with nothing between.

*Terms*: a query is divided at white space, but a "quoted phrase" is one term. A term's words must stand side by side
in order; a trailing ``*`` makes its last word a prefix. An event matches if it has all terms.

The same text gives the same words on every version of Python (see `unicode_table`), so an index stays valid. Whoever
changes what the words of any text are raises `WORDS_VERSION`: an index of another version is made anew.
"""

from __future__ import annotations

import re
import unicodedata
from operator import itemgetter
from typing import Final

from session_sqlite.database import Term
from session_sqlite.errors import InvalidInputError
from session_sqlite.search.unicode_table import IGNORABLE, LATIN, SEMITIC, is_single, kind_of

WORDS_VERSION: Final = 3
GAP: Final = "·"
LONGEST_WORD: Final = 8000  # characters; FTS5 cuts words of more than 32,768 bytes

# The limits of a query, so that no search takes long. A word with a star costs as much as all words that begin with it.
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
# The iota below a Greek vowel, a mark of which folding case would make a letter.
_IOTA_BELOW: Final = "\u0345"
_WITH_IOTA_BELOW = re.compile(
    f"[{_IOTA_BELOW}\u1f80-\u1faf\u1fb2-\u1fb4\u1fb7\u1fbc\u1fc2-\u1fc4\u1fc7\u1fcc\u1ff2-\u1ff4\u1ff7\u1ffc]"
)
_HAS_ACCENTS = re.compile(f"[\u00c0-\u024f\u1e00-\u1eff\u0370-\u03ff\u0451\u1f00-\u1fff{_ACCENTS}]")
_WITH_ACCENTS = re.compile(f"([{_LATIN}{_GREEK}])[{_ACCENTS}]+|([{_CYRILLIC}])([{_ACCENTS}]+)")
_IGNORED = re.compile(f"[{IGNORABLE}]+")
_SEMITIC = re.compile(f"[{''.join(SEMITIC)}]")
_OTHER_LATIN = re.compile(f"[{''.join(LATIN)}]")
ASCII_WORDS = re.compile("[a-z0-9]+")

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
    """Returns the text with spaces for characters that Unicode 14.0 does not have: a later version may fold them."""
    if not _assigned.issuperset(text):
        unknown = {character for character in set(text) - _assigned if kind_of(ord(character)) == "u"}
        _assigned.update(set(text) - unknown)
        for character in unknown:
            text = text.replace(character, " ")
    return text


# Text of ASCII, of common Han characters and of the punctuation that goes with them needs no tables: each of its
# characters folds to one character, whatever stands beside it.
USUAL: Final = (  # these but for full-width letters and digits, as ranges that GLOB takes
    "\x01-\x7f\u2013\u2014\u2018\u2019\u201c\u201d\u3001-\u3029\u4e00-\u9fa5"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff5e"
)
UNUSUAL = re.compile("[^\x00-\x7f\u2013\u2014\u2018\u2019\u201c\u201d\u3001-\u3029\u4e00-\u9fa5\uff01-\uff5e]")
_FULL_WIDTH = re.compile("[\uff01-\uff5e]")


def _to_ascii(match: re.Match[str]) -> str:
    return chr(ord(match[0]) - 0xFEE0)


# With these marks these Cyrillic letters are other letters; on all others the marks show the stress.
_NOT_STRESS: Final = {"\u0433\u0301", "\u043a\u0301", "\u0435\u0300", "\u0438\u0300"}  # ѓ ќ ѐ ѝ
_STRESS: Final = frozenset("\u0300\u0301")
_YO: Final = "\u0435\u0308"  # ё


def _without_accents(match: re.Match[str]) -> str:
    """Returns a decomposed letter without its accents; a Cyrillic one without its stress and without the dots of ё.

    Other marks of Cyrillic letters make other letters of them (й, ї, ў), so they stay.
    """
    letter, cyrillic, accents = match.groups()
    if letter:
        return str(letter)
    pairs = [cyrillic + accent for accent in accents]
    kept = [pair[1] for pair in pairs if pair != _YO and (pair[1] not in _STRESS or pair in _NOT_STRESS)]
    return cyrillic + "".join(kept)


def _without_iota_below(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFD", match[0]).replace(_IOTA_BELOW, "")


# Python's normalization sorts the marks behind a letter one by one, which takes the square of their number: 100,000 of
# them that alternate take fifteen seconds. A run of this many shows in several of the characters that are looked at.
_LONG_RUN: Final = 100
_LOOKED_AT_EVERY: Final = 32
_MARKS: Final = r"[^\w\s\x00-\x7f]"  # marks, and signs that do no harm here; \uff9e and \uff9f are letters to Python
_LONG_RUNS = re.compile(f"(?:{_MARKS}|[\uff9e\uff9f]){{{_LONG_RUN},}}")
_TATWEEL: Final = "\u0640"


def _with_marks_in_order(text: str) -> str:
    """Returns the text with the marks of long runs in the order that normalization gives them."""
    if len(text) < _LONG_RUN or not _LONG_RUNS_SAMPLED.search(text[::_LOOKED_AT_EVERY]):
        return text
    return _LONG_RUNS.sub(_in_order, text)


_LONG_RUNS_SAMPLED = re.compile(f"(?:{_MARKS}|[\uff9e\uff9f]){{{_LONG_RUN // _LOOKED_AT_EVERY},}}")


def _in_order(run: re.Match[str]) -> str:
    """Returns marks that were taken apart, sorted by their classes; those of class 0 stay in their places."""
    marks: list[tuple[int, int, str]] = []
    letters = 0
    for mark in "".join(unicodedata.normalize("NFKD", character) for character in run[0]):
        order = unicodedata.combining(mark)
        letters += order == 0
        marks.append((letters, order, mark))
    return "".join(mark for _, _, mark in sorted(marks, key=itemgetter(0, 1)))


def fold(text: str) -> str:
    """Returns the text without everything that makes no difference to a search.

    That is case; width (NFKC); characters that nobody sees; the accents of Latin and Greek letters, and the strokes and
    hooks of those that do not come apart; the points of Hebrew; the vowel signs of Arabic, its tatweel and the forms of
    its alef; the stress of Cyrillic words and the dots of ё.
    """
    if text.isascii():
        return text.lower()
    if not UNUSUAL.search(text):
        return _FULL_WIDTH.sub(_to_ascii, text).lower()
    text = _with_marks_in_order(_without_unassigned(_IGNORED.sub("", text)))
    text = _WITH_IOTA_BELOW.sub(_without_iota_below, unicodedata.normalize("NFKC", text)).casefold()
    has_tatweel = _TATWEEL in text
    text = _SEMITIC.sub(lambda match: SEMITIC[match[0]], text)
    if has_tatweel:  # it stood between marks, which are one run without it
        text = _with_marks_in_order(text)
    if _HAS_ACCENTS.search(text):
        # NFD takes letters and accents apart, so that the accents can be dropped; NFC below joins what remains.
        text = _WITH_ACCENTS.sub(_without_accents, unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", _OTHER_LATIN.sub(lambda match: LATIN[match[0]], text))


def words(text: str) -> list[str]:
    """Returns the words of a text, in order.

    Example:
        >>> words("Café: 请分析，代码 C++")
        ['cafe', '请', '分', '析', '·', '代', '码', 'c']
    """
    return divide(fold(text))


def divide(folded: str) -> list[str]:
    """Returns the words of folded text, in order."""
    if folded.isascii():
        found = ASCII_WORDS.findall(folded)
        return found if len(folded) <= LONGEST_WORD else [word[:LONGEST_WORD] for word in found]
    divided = folded.translate(_divider).replace(f"{_CLOSE}{_OPEN}", " ")
    found = _GAPS.sub(f" {GAP} ", divided).replace(_OPEN, " ").replace(_CLOSE, " ").split()
    return found if len(folded) <= LONGEST_WORD else [word[:LONGEST_WORD] for word in found]


_TERM = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)')


def parse(query: str) -> tuple[Term, ...]:
    """Returns the terms of a query, each once; none if it has no words.

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
        pieces = words(text)
        if pieces:
            # in foo-* the star belongs to no word, and is ignored
            starred = bool(star) if quoted else bare.endswith("*")
            term = Term(tuple(pieces), starred and bool(words(text[-1:])))
            if term not in terms:
                terms[term] = None
                words_left -= sum(word != GAP for word in pieces)
        if words_left < 0:
            raise InvalidInputError(f"a query may have {MOST_WORDS} words, each Chinese character being one: search "
                                    "for fewer")  # fmt: skip
    if sum(term.prefix for term in terms) > MOST_PREFIXES:
        raise InvalidInputError(f"a query may have {MOST_PREFIXES} words with a star: search for fewer")
    return tuple(terms)
