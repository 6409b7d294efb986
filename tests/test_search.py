# ruff: noqa: RUF001  # characters that look like others are what these tests are about
"""Search finds what its model says: no more, no less, at once, with or without an index, in every process.

The model is `found`, some twenty lines of plain Python over `unicodedata`. Everything else is compared with it.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import gzip
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_sqlite import (
    ANY,
    Event,
    InvalidInputError,
    Page,
    SearchHit,
    Session,
    SessionNotFoundError,
    SQLiteSessionService,
    StoreClosedError,
    StoreFullError,
    ToolCall,
    search,
)
from session_sqlite.database import Request
from session_sqlite.search import unicode_table
from session_sqlite.search.words import _with_marks_in_order
from session_sqlite.sqlite import search_index
from session_sqlite.testing import SearchContracts

SRC = Path(search.__file__).parents[2]
DIALOGUES = Path(__file__).parents[2] / "shared" / "data" / "chinese-conversations.jsonl.gz"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ALL_OF_THEM = 100_000

# ---------------------------------------------------------------- the model

CJK_NAMES = re.compile("CJK|IDEOGRAPH|HENTAIGANA|HIRAGANA|KATAKANA|HANGUL|KANGXI")
UNSPACED_NAMES = re.compile("(THAI|LAO|KHMER|MYANMAR) ")
# Unicode's Default_Ignorable_Code_Point, which `unicodedata` does not have.
IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
LATIN_BY_NAME = re.compile("LATIN SMALL LETTER (?:DOTLESS )?([A-Z]|AE|OE) WITH ")
OTHER_LATIN = dict(zip("ıȷæœðþŋĸɵʉɛɔəɡ", ("i", "j", "ae", "oe", "d", "th", "n", "q", *"oueoeg"), strict=True))
IOTA_BELOW = "\u0345"  # a mark of Greek vowels, of which folding case makes a letter
Piece = tuple[str, bool, bool]  # the word, whether it is a character that is always a word, whether it follows at once


def name(character: str) -> str:
    return unicodedata.name(character, "")


def without_marks(text: str) -> str:
    """Without the marks of Hebrew and Arabic that may be left out, in composed text, where hamza on waw is a letter."""
    kept = []
    for character in text:
        if re.match("ARABIC LETTER ALEF (WITH|WASLA)", name(character)):
            character = "ا"
        elif character == "\u0640" or (
            name(character).startswith(("ARABIC", "HEBREW")) and unicodedata.category(character) == "Mn"
        ):
            continue
        kept.append(character)
    return "".join(kept)


def folded(text: str) -> str:
    text = unicodedata.normalize("NFKC", re.sub(f"[{IGNORABLE}]", "", text))
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).replace(IOTA_BELOW, ""))
    text = without_marks(unicodedata.normalize("NFC", text.casefold()))
    clusters: list[list[str]] = []
    for character in unicodedata.normalize("NFD", text):
        if clusters and name(character).startswith("COMBINING") and "KATAKANA" not in name(character):
            clusters[-1].append(character)
        else:
            clusters.append([character])
    kept = []
    for letter, *accents in clusters:
        if name(letter).startswith(("LATIN", "GREEK")):
            by_name = LATIN_BY_NAME.match(name(letter))
            kept.append(OTHER_LATIN.get(letter) or (by_name[1].lower() if by_name else letter))
        elif name(letter).startswith("CYRILLIC"):
            # Stress goes, but where it makes a letter; the dots of ё go.
            letters = ("е\u0300", "и\u0300", "г\u0301", "к\u0301")
            accents = [one for one in accents if one not in "\u0300\u0301" or letter + one in letters]
            kept += [letter, *(one for one in accents if letter + one != "е\u0308")]
        else:
            kept += [letter, *accents]
    return unicodedata.normalize("NFC", "".join(kept))


def is_single(character: str) -> bool:
    """True for a letter or digit of East Asia, and for those and the marks of the scripts south of it."""
    category = unicodedata.category(character)[0]
    if UNSPACED_NAMES.match(name(character)):
        return category in "LMN"
    return category in "LN" and bool(CJK_NAMES.match(name(character)))


def pieces(text: str) -> list[Piece]:
    found: list[Piece] = []
    before = "separator"
    for character in folded(text):
        category = unicodedata.category(character)
        if is_single(character):
            kind = "cjk"
        else:
            kind = "run" if category[0] in "LMN" else "symbol" if category == "So" else "separator"
        if kind == before == "run":
            found[-1] = (found[-1][0] + character, *found[-1][1:])
        elif kind != "separator":
            found.append((character, kind == "cjk", before != "separator"))
        before = kind
    return found


def has(text: str, term: str, prefix: bool) -> bool:
    """True if the pieces of the term stand side by side in the text; with nothing between CJK ones that had nothing."""
    sought, there = pieces(term), pieces(text)

    def fits(index: int, offset: int) -> bool:
        (word, cjk, at_once), (other, other_cjk, other_at_once) = sought[offset], there[index + offset]
        same = word == other or (prefix and offset == len(sought) - 1 and other.startswith(word))
        both_cjk = offset > 0 and cjk and other_cjk and sought[offset - 1][1]
        return same and (not both_cjk or at_once == other_at_once)

    return any(
        all(fits(index, offset) for offset in range(len(sought))) for index in range(len(there) - len(sought) + 1)
    )


def terms_of(query: str) -> list[tuple[str, bool]]:
    terms = []
    for quoted, star, bare in re.findall(r'"([^"]*)"(\*?)|([^\s"]+)', query):
        term = quoted or bare.removesuffix("*")
        starred = bool(star) if quoted else bare.endswith("*")
        if pieces(term):
            terms.append((term, starred and bool(pieces(term[-1]))))
    return terms


def found(texts: list[str], query: str) -> bool:
    """Whether an event with these texts is a hit."""
    terms = terms_of(query)
    return bool(terms) and all(any(has(text, *term) for text in texts) for term in terms)


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [] if value is None else [value if isinstance(value, str) else json.dumps(value)]


def texts_of(event: Event, fields: tuple[str, ...]) -> list[str]:
    texts = {"content": event.content, "reasoning": event.reasoning}
    texts["tools"] = "\n".join(
        text
        for action in event.actions
        for text in (
            action.name,
            *strings(action.args),
            *strings(action.output),
            *([] if event.author == "tool" and action.error == event.content else strings(action.error)),
        )
    )
    chosen = [texts[field] for field in fields]
    if event.author == "tool" and "tools" in fields:  # the output of a tool's own event is its content
        chosen.append(event.content)
    return chosen


def test_the_model_itself_says_what_the_design_says() -> None:
    assert found(["请帮我分析这段代码"], "代码")
    assert not found(["代，码"], "代码")
    assert found(["c, c#"], "C++")
    assert found(["The Café"], "CAFE the")
    assert not found(["said the main"], '"the said"')
    assert found(["coding"], "cod*")
    assert not found(["coding"], "cod")
    assert not found(["anything"], "… !")
    assert found(["ok👍fine"], "👍")
    assert found(["ＡＢＣ ｶﾞ"], "abc ガ")
    assert not found(["и"], "й")
    assert found(["Đà Nẵng"], "da nang")
    assert found(["Łódź", "Øresund"], "lodz ORESUND")
    assert found(["za\u00adkaz"], "zakaz")
    assert found(["مُحَـمَّد وأَحمَد", "שָׁלוֹם"], "محمد שלום واحمد")
    assert found(["Ναί, το πήρα", "ёлка за\u0301мок"], "ναι πηρα елка замок")
    assert found(["ἐν τῷ ᾍδῃ", "τῇ ᾠδῇ"], "τω αδη ωδη")
    assert found(["ѐ ѝ"], "ѐ")
    assert not found(["їж"], "іж")
    assert found(["ภาษาไทยง่าย"], "ไทย")
    assert not found(["ไท ย"], "ไทย")


# ---------------------------------------------------------------- search() is the model

FRAGMENTS = [
    *"đĐłŁøØæÆœŒǿəŋħÞðɓ", *"ёЁѐѝїў", "ё\u0308", "а\u0301", "г\u0301", "е\u0301\u0308", *"ήΐΰῷὰᾼᾍ", "α\u0301",
    *"أإآٱؤئىة", "\u064e", "\u0651", "\u0640", "\u0654", "م\u064e", "שָׁלוֹם", "\u05b8", "a\u064b\u0301", "شّ",
    "ไทย", "ที่", "น้ำ", *"กา", "\u0e48", "ລາວ", "ខ្មែរ", "ភាសា", "\u17b4", "မြန်မာ", "၅", "๒", "฿", "။",
    *"aAbzåéÉßıİſøñ", "e\u0301", "e\u0327\u0301", "ﬁ", "Ａ", "ᵃ", "Ⅳ", *"яЯйёЙ", "и\u0306", *"σςΣάΆ", "α\u0345",
    *"代码请分析吗々〇", "代码", "\u2f00", "㍿", *"かがカガーっ", "か\u3099", "か\u309a", *"ｶｱﾞﾟｰ", *"한국",
    "\u1112\u1161\u11ab",
    "\u1112", "\u1161", "\u11ab", *"ㅋㅠㄱㅏㄳ", "ﾡ", "ￂ",
    *"😀👍☺⭐", "❤\ufe0f", "👨\u200d👩\u200d👧", "👍🏽", "🇩🇪", "1\ufe0f\u20e3", *"0129２①²½",
    *"श", "क\u094d\u0937", "\u09c7\u09be", "ก\u0e48\u0e33", "\u0627\u0654",
    *"+-_·・,.;:!?/\\<>()[]{}^~$€→|#@%&=", *"，。！？、「」…—", "\u00ad", "\u200b", "\u200d", "\ufeff", "\u0301",
    "\u3099", "\u0308",
    *" \n\t\r\u3000\xa0\u2028", *"\x01\x02\x03\x1f\x7f\x85", '"', "*", "'", "’", "AND", "OR", "NOT", "NEAR(", "tool",
    " ", " ", " ", "a", "b", "代", "码",
]  # fmt: skip
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)
arguments = st.dictionaries(texts, texts | st.integers() | st.booleans() | st.none() | st.lists(texts), max_size=2)
calls = st.builds(
    lambda name, args, output, error: ToolCall(f"t{name}", args, output=output, error=error),
    texts, arguments, texts | st.none() | arguments, texts | st.none(),
)  # fmt: skip
events = st.builds(
    lambda author, content, reasoning, actions: Event(author, content, reasoning=reasoning, actions=actions),
    st.sampled_from(["user", "assistant", "tool"]), texts, texts, st.lists(calls, max_size=2),
)  # fmt: skip
some_fields = st.lists(st.sampled_from(search.FIELDS), min_size=1, unique=True).map(tuple)


@st.composite
def questions(draw: st.DrawFn, said: list[Event]) -> str:
    """Mostly pieces of what was said, so that something is found."""
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        source = "".join(texts_of(draw(st.sampled_from(said)), search.FIELDS))
        begin = draw(st.integers(0, len(source)))
        piece = source[begin : begin + draw(st.integers(1, 6))] if draw(st.integers(0, 3)) else draw(texts)
        quote = draw(st.sampled_from(["", "", '"']))
        terms.append(f"{quote}{piece}{quote}{draw(st.sampled_from(['', '', '*']))}")
    return " ".join(terms)


class Stores:
    """One store with an index, one without, and a read-only opener of the first."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "indexed.db"
        self.indexed = SQLiteSessionService(self.path, durability="fast")
        self.plain = SQLiteSessionService(folder / "plain.db", durability="fast", search=False)
        self.reader = SQLiteSessionService(self.path, read_only=True)
        self.other = sqlite3.connect(self.path, isolation_level=None)

    def close(self) -> None:
        self.other.close()
        for service in (self.reader, self.plain, self.indexed):
            service.close()


def use_the_index_whatever_it_takes(patch: pytest.MonkeyPatch) -> None:
    """Short sessions are read instead, and a busy store is waited for a little."""
    patch.setattr(search_index, "CATCH_UP_PATIENCE", 0)
    patch.setattr(search_index, "SCANNED_SESSION", 0)
    patch.setattr(search_index, "SCANNED_SESSION_WITH_PREFIX", 0)
    patch.setattr(search_index, "RANKED_IN_SESSION", 3)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with closing(Stores(tmp_path_factory.mktemp("stores"))) as stores, pytest.MonkeyPatch.context() as patch:
        use_the_index_whatever_it_takes(patch)
        yield stores


def seqs(page: Page[SearchHit]) -> list[int]:
    return [hit.event.seq for hit in page]


def check_hits(page: Page[SearchHit], query: str, fields: tuple[str, ...]) -> None:
    """Every hit shows a piece of its text, and its spans are the query's terms and nothing else."""
    for hit in page:
        body = hit.snippet.strip("…")
        assert any(body in text or text.strip("…") in hit.snippet for text in texts_of(hit.event, fields))
        assert hit.spans
        for begin, end in hit.spans:
            assert 0 <= begin < end <= len(hit.snippet)
            assert any(has(hit.snippet[begin:end], *term) for term in terms_of(query))
        assert hit.score > 0


@settings(max_examples=120)
@given(st.data())
def test_search_is_its_model_with_an_index_without_one_and_behind_one(stores: Stores, data: st.DataObject) -> None:
    said = data.draw(st.lists(events, min_size=1, max_size=4))
    queries = data.draw(st.lists(questions(said), min_size=1, max_size=6))
    fields = data.draw(some_fields)
    newest_first, in_session = data.draw(st.booleans()), data.draw(st.booleans())
    user = uuid.uuid4().hex
    mixed = stores.indexed.create_session(user_id=user)
    plain = stores.plain.create_session(user_id=user)
    said = mixed.add_events(said)
    plain.add_events(said)
    expected = {query: [event.seq for event in said if found(texts_of(event, fields), query)] for query in queries}

    def same(service: SQLiteSessionService, session: Session) -> None:
        for query, seq in expected.items():
            where = {"session": session} if in_session else {"user_id": user}
            hits = service.search(query, fields=fields, newest_first=newest_first, **where)
            assert (seqs(hits) == seq[::-1]) if newest_first else (sorted(seqs(hits)) == seq), query
            assert len({hit.event for hit in hits}) == len(hits)
            check_hits(hits, query, fields)

    same(stores.plain, plain)
    same(stores.reader, mixed)  # nothing of it is indexed
    stores.other.execute("BEGIN IMMEDIATE")
    try:
        same(stores.indexed, mixed)
    finally:
        stores.other.execute("ROLLBACK")
    same(stores.indexed, mixed)  # which indexes
    same(stores.reader, mixed)


@settings(max_examples=300)
@given(texts, texts)
def test_words_are_those_of_the_model(text: str, other: str) -> None:
    expected: list[str] = []
    was_cjk = False
    for word, cjk, at_once in pieces(text):
        expected += [search.GAP, word] if cjk and was_cjk and not at_once else [word]
        was_cjk = cjk
    assert search.words(text) == expected
    assert search.fold(search.fold(text)) == search.fold(text)
    assert search.words(search.fold(text)) == search.words(text)
    # What separates words divides a text into texts, but for the gap between two CJK words.
    apart = [word for word in search.words(f"{text}\n{other}") if word != search.GAP]
    assert apart == [word for word in search.words(text) + search.words(other) if word != search.GAP]


def test_ascii_text_has_the_same_words_alone_and_among_other_text() -> None:
    for code in range(128):
        text = f"a{chr(code)}b"
        assert search.words(f"{text} 代") == [*search.words(text), "代"]


# ---------------------------------------------------------------- real text


@pytest.mark.skipif(not DIALOGUES.exists(), reason="the shared data is not beside this checkout")
def test_han_characters_are_found_exactly_as_by_a_plain_scan(tmp_path: Path) -> None:
    said: dict[tuple[str, int], str] = {}
    with SQLiteSessionService(tmp_path / "zh.db", durability="fast") as service, gzip.open(DIALOGUES, "rt") as lines:
        for number, line in enumerate(lines):
            session = service.create_session(session_id=str(number))
            messages = json.loads(line)["messages"]
            for event in session.add_events([Event(one["role"], one["content"]) for one in messages]):
                said[session.id, event.seq] = event.content
        runs = [run for content in said.values() for run in re.findall("[\u4e00-\u9fff]+", content)]
        chance = random.Random(20260131)
        words = set()
        while len(words) < 500:
            run = chance.choice(runs)
            length = chance.randint(1, 6)
            begin = chance.randrange(max(1, len(run) - length + 1))
            words.add(run[begin : begin + length])
        for word in sorted(words):
            expected = {place for place, content in said.items() if word in content}
            hits = service.search(word, limit=ALL_OF_THEM)
            assert {(hit.session.id, hit.event.seq) for hit in hits} == expected, word
            assert len(hits) == len(expected)
            assert all(hit.snippet[begin:end] == word or len(set(word)) == 1 or word * 2 in hit.snippet
                       for hit in hits for begin, end in hit.spans)  # fmt: skip


# ---------------------------------------------------------------- what people type


NASTY = [
    "don't", "foo-bar", "C++", "a:b", '"x', "*", "NEAR(", "AND", "OR", "NOT", "^", "{}", "-", '""', "col:x",
    "content:foo",
    "foo AND", "(foo", "foo)", "foo*bar", "*foo", "foo**", "f*", '"foo bar"*', '"foo* bar"',
    "'; DROP TABLE events --", "\\",
    "%", "_", "foo\x00bar", "\x00", "\x02代\x03", "{content}: foo", "scope : tool", "- foo", "+foo", "foo NEAR/2 bar",
    "NEAR(foo bar)",
    "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace"), "“foo bar”", "代*", '"代" *', "·", "x·y",
    "rank", "rowid", " \n\t ", "",
    '"" "', '"""', "foo\u200bbar", "ﬀ*", "²", "½",
]  # fmt: skip


@pytest.mark.parametrize("index", [True, False])
def test_nothing_that_people_type_is_an_error(path: Path, index: bool) -> None:
    contents = [
        "I don't know", "don t", "foo-bar", "foo bar", "bar foo", "C++ is not C#", "a:b", "x", "NEAR AND OR NOT",
        "content: foo",
        "drop table events", "foobar", "代码", "scope tool", "rank rowid", "x·y", "ff", "2", "1⁄2", "FOO NEAR 2 BAR",
    ]  # fmt: skip
    with SQLiteSessionService(path, search=index) as service:
        service.create_session().add_events([Event("user", content) for content in contents])
        for query in NASTY:
            expected = sorted(content for content in contents if found([content], query))
            hits = service.search(query, limit=ALL_OF_THEM)
            assert sorted(hit.event.content for hit in hits) == expected, query
            check_hits(hits, query, ("content",))
        assert len(service.search("don't")) == 2
        assert len(service.search("C++")) == 1
        assert service.search(" * ") == []


def test_arguments_that_make_no_sense_are_refused(service: SQLiteSessionService) -> None:
    service.create_session(session_id="s").add_event("user", "word")
    for wrong in (
        {"fields": []}, {"fields": ["body"]}, {"fields": "rank"}, {"fields": 3}, {"fields": [1]}, {"limit": -1},
        {"limit": True},
        {"limit": "3"}, {"limit": 2**64}, {"since": NOON.replace(tzinfo=None)}, {"until": "2026-01-01"}, {"author": ""},
        {"author": 3},
        {"cursor": "x"}, {"cursor": 3}, {"session": 3}, {"user_id": " "},
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            service.search("word", **wrong)
    for query in (None, 3, b"word", "\ud800"):
        with pytest.raises(InvalidInputError):
            service.search(query)  # type: ignore[arg-type]
    with pytest.raises(SessionNotFoundError):
        service.search("word", session="missing")
    with pytest.raises(SessionNotFoundError):
        service.search("…", session="missing")


def test_the_largest_limit_is_no_error(service: SQLiteSessionService) -> None:
    service.create_session().add_event("user", "word")
    for limit in (2**31, 2**62, 2**63 - 1):
        try:
            hits = service.search("word", limit=limit)
        except InvalidInputError:
            continue
        assert len(hits) == 1


def test_a_closed_service_searches_no_more(path: Path) -> None:
    service = SQLiteSessionService(path)
    service.close()
    for query in ("word", "", "…"):
        with pytest.raises(StoreClosedError):
            service.search(query)
    with pytest.raises(StoreClosedError):
        service.search("word", limit=0)


def test_equal_terms_count_once(three: SQLiteSessionService) -> None:
    session = three.create_session()
    session.add_events([Event("user", "hello hello you"), Event("user", "hello"), Event("user", "代码代码")])
    for query, once in [
        ("hello " * 10_000, "hello"), ("a* h* " * 500, "a* h*"), ('"hello you" ' * 300, '"hello you"'),
        ("代码 " * 300, "代码"), ("Hello HELLO " * 100, "hello"), ("hello? hello! " * 100, "hello"),
    ]:  # fmt: skip
        assert search.parse(query) == search.parse(once)
        for where in ({}, {"session": session}):
            hits = three.search(query, **where)  # type: ignore[arg-type]
            assert [(hit.event, hit.score) for hit in hits] == [
                (hit.event, hit.score)
                for hit in three.search(once, **where)  # type: ignore[arg-type]
            ]


def test_a_query_has_a_limit(three: SQLiteSessionService) -> None:
    session = three.create_session()
    words = [f"w{number}" for number in range(search.MOST_WORDS + 1)]
    chinese = [chr(0x4E00 + number) for number in range(search.MOST_WORDS + 1)]
    prefixes = [f"w{number}*" for number in range(search.MOST_PREFIXES + 1)]
    session.add_event("user", " ".join(words) + " " + "".join(chinese))
    for found in (
        " ".join(words[:-1]), f'"{" ".join(words[:-1])}"', "".join(chinese[:-1]), ",".join(words[:-1]),
        " ".join(prefixes[:-1]), "w1 " * (search.LONGEST_QUERY // 3),
    ):  # fmt: skip
        assert len(three.search(found)) == len(three.search(found, session=session)) == 1
    for refused in (
        " ".join(words), f'"{" ".join(words)}"', f"{' '.join(words[:50])} \"{' '.join(words[:51])}\"",
        "".join(chinese), " ".join(prefixes), "w1 " * search.LONGEST_QUERY, "代" * 300_000,
        f'"{"hello " * 10_000}"', "c* " + '"a ' * 2000 + ' "b ' + " ".join(words),
    ):  # fmt: skip
        for where in ({}, {"session": session}):
            with pytest.raises(InvalidInputError, match="a query may have"):
                three.search(refused, **where)  # type: ignore[arg-type]


def hostile_queries() -> dict[str, str]:
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return {
        "one word": "hello", "one letter's words": "e*", "the same prefix": "a* " * 500,
        "many prefixes": " ".join(f"{letter}*" for letter in letters),
        "as many prefixes as may be": " ".join(f"{letter}*" for letter in letters[: search.MOST_PREFIXES]),
        "a long phrase of one word": f'"{"hello " * search.MOST_WORDS}"', "ten thousand words": "hello " * 10_000,
        "a phrase of ten thousand": f'"{"hello " * 10_000}"', "one character": "代" * search.MOST_WORDS,
        "300,000 characters": "代" * 300_000, "quotes that are not closed": '"hello ' * 5_000 + '"',
        "quotes": '"' * 90_000, "stars": "*" * 90_000, "a word without end": "a" * 90_000, "punctuation": "!?" * 40_000,
        "a hundred words": " ".join(f"hello{number}" for number in range(search.MOST_WORDS)),
        "accents": "e\u0301" * 40_000, "joiners": "\u200d" * 90_000, "marks": "\u0301" * 90_000,
    }  # fmt: skip


@pytest.fixture(scope="module", params=["index", "scan", "read-only and not indexed"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLiteSessionService]:
    """20,000 events, one session of 2,000 among them."""
    path = tmp_path_factory.mktemp("large") / "large.db"
    chance = random.Random(9)
    vocabulary = [
        "".join(chance.choices("etaoinshrdlucmfwypvbgkjqxz", range(26, 0, -1), k=chance.randint(2, 9)))
        for _ in range(3000)
    ]
    with SQLiteSessionService(path, durability="fast", search=request.param != "scan") as service:
        for number in range(10):
            service.create_session(session_id=str(number)).add_events(
                [
                    Event("user", f"hello {' '.join(chance.choices(vocabulary, k=25))} 代码" + "代" * (step % 7))
                    for step in range(1998)
                ]
                + [Event("user", "hello " * 3000), Event("user", "代" * 9000)]
            )
        if request.param == "index":
            service.search("index")
    with SQLiteSessionService(path, read_only=request.param.startswith("read-only")) as service:
        yield service


@pytest.mark.parametrize("name", hostile_queries())
def test_no_query_takes_long(large: SQLiteSessionService, name: str) -> None:
    """Two seconds, where this runs alone; the bound is for a machine that has other things to do."""
    for where in ({}, {"session": "3"}, {"newest_first": True}):
        began = time.process_time()
        with contextlib.suppress(InvalidInputError):
            large.search(hostile_queries()[name], **where)
        assert time.process_time() - began < 10, where


# ---------------------------------------------------------------- no room


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_search_on_a_full_disk_reads_what_it_cannot_index(path: Path, newest_first: bool) -> None:
    with SQLiteSessionService(path) as service:
        session = service.create_session()
        session.add_events([Event("user", f"word {number}") for number in range(200)])
        service.search("word")
        session.add_events([Event("user", f"late word {number} {uuid.uuid4().hex * 9}") for number in range(200)])
        with service._database.connection_to_write() as connection:
            [pages] = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")  # as if the disk was full
        with pytest.raises(StoreFullError):
            session.add_event("user", "x" * 100_000)
        before = progress(service)
        assert len(service.search("word", limit=ALL_OF_THEM, newest_first=newest_first)) == 400
        assert len(service.search("late", limit=7, newest_first=newest_first)) == 7
        assert progress(service) == before  # it could not catch up
        with service._database.connection_to_write() as connection:
            connection.execute("PRAGMA max_page_count = 1000000")
        assert len(service.search("word", limit=ALL_OF_THEM)) == 400
        assert progress(service) == (400, search.WORDS_VERSION)


# ---------------------------------------------------------------- fields and filters


@pytest.fixture(params=["index", "scan", "tail"])
def three(
    request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SQLiteSessionService]:
    """A store with an index, one without, and one whose index cannot follow since another process holds the lock."""
    use_the_index_whatever_it_takes(monkeypatch)
    if request.param == "tail":

        def is_busy(self: search_index.SQLiteSearchIndex) -> tuple[int, int]:
            return self._database.read(
                "SELECT indexed, (SELECT max(row_id) FROM events) FROM search_progress", {}, tuple
            )[0]

        monkeypatch.setattr(search_index.SQLiteSearchIndex, "_catch_up", is_busy)
    with SQLiteSessionService(path, search=request.param != "scan") as service:
        yield service


class TestAFile(SearchContracts):
    """With an index, without one, and with one that is behind."""

    @pytest.fixture
    def service(self, three: SQLiteSessionService) -> SQLiteSessionService:
        return three


# ---------------------------------------------------------------- order and pages


def pages(service: SQLiteSessionService, query: str, **filters: Any) -> list[SearchHit]:
    hits: list[SearchHit] = []
    cursor = None
    while True:
        page = service.search(query, cursor=cursor, **filters)
        hits += page
        if (cursor := page.next_cursor) is None:
            return hits
        assert len(page) == filters["limit"]


@pytest.mark.parametrize(
    "filters",
    [{}, {"newest_first": True}, {"author": "user"}, {"author": "user", "newest_first": True}, {"session": "0"},
     {"app_name": ANY, "user_id": ANY}, {"app_name": ANY}, {"user_id": ANY}, {"fields": ["tools"]}],
)  # fmt: skip
@pytest.mark.parametrize("limit", [1, 7, 60, 61])
def test_all_pages_together_are_all_hits(three: SQLiteSessionService, filters: dict[str, Any], limit: int) -> None:
    chance = random.Random(limit)
    for number in range(3):
        three.create_session(session_id=str(number)).add_events(
            [
                Event(
                    "user" if index % 2 else "tool", "word " * chance.randint(1, 2) + "pad " * chance.choice([0, 0, 9])
                )
                for index in range(20)
            ]
        )
        if number == 1 and three._database.index is not None:
            three._database.index.rebuild()  # type: ignore[attr-defined]  # so that the third is the tail alone
    every = three.search("word", limit=ALL_OF_THEM, **filters)
    hits = pages(three, "word", limit=limit, **filters)
    assert len(set(hits)) == len(hits) == len(every)
    if filters.get("newest_first"):
        # Later sessions were filled later.
        order = [(hit.session.id, hit.event.seq) for hit in hits]
        assert order == sorted(order, reverse=True)
        assert hits == every
    else:
        assert set(hits) == set(every)
    assert every.next_cursor is None


@pytest.mark.parametrize(
    "filters",
    [{}, {"newest_first": True}, {"author": "user"}, {"author": "user", "newest_first": True}, {"session": "0"},
     {"session": "0", "newest_first": True}, {"app_name": ANY, "user_id": ANY}, {"user_id": ANY, "newest_first": True},
     {"fields": ["content"]}],
)  # fmt: skip
@pytest.mark.parametrize("query", ["word pad", "wo* pad*"])
def test_each_hit_is_on_one_page_whatever_is_appended_between_the_pages(
    three: SQLiteSessionService, filters: dict[str, Any], query: str
) -> None:
    chance = random.Random(5)

    def append(count: int) -> None:
        # What they say changes how rare a word is and how long events are, and so the ranks of all others.
        for _ in range(count):
            words = " ".join(chance.choices(["word", "word", "pad", "pad", "other"], k=chance.choice([2, 5, 40])))
            three.append_events(chance.choice("01"), [Event("user", words), Event("assistant", words + " more")])

    for name in "01":
        three.create_session(session_id=name)
    append(30)
    three.search("word")
    append(5)
    every = three.search(query, limit=ALL_OF_THEM, **filters)
    seen: list[SearchHit[Any]] = []
    cursor = None
    while True:
        page = three.search(query, cursor=cursor, limit=5, **filters)
        seen += page
        if (cursor := page.next_cursor) is None:
            break
        append(chance.choice([0, 1, 6, 20]))
        if chance.random() < 0.5:
            three.search("word")
    assert len(seen) == len(every)
    assert {hit.event for hit in seen} == {hit.event for hit in every}
    if filters.get("newest_first"):
        assert [hit.event for hit in seen] == [hit.event for hit in every]


def test_a_cursor_of_many_pages_stays_short_and_a_forged_one_is_refused(service: SQLiteSessionService) -> None:
    service.create_session().add_events([Event("user", "word")] * 3000)
    page = service.search("word", limit=2000)
    assert page.next_cursor is not None
    assert len(page.next_cursor) < 6000
    assert len(service.search("word", limit=2000, cursor=page.next_cursor)) == 1000
    scope = json.loads(base64.urlsafe_b64decode(page.next_cursor + "=="))[:-2]
    for position in ([3], [-1, ""], [2**70, ""], [3, "no base 85 \x7f"], [3, "abcdef"], ["3", ""], [3, 3]):
        forged = base64.urlsafe_b64encode(json.dumps([*scope, *position]).encode()).decode().rstrip("=")
        with pytest.raises(InvalidInputError):
            service.search("word", cursor=forged)


def test_a_page_is_whole_when_another_process_indexes_in_between(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SQLiteSessionService(path) as service, SQLiteSessionService(path, read_only=True) as reader:
        service.create_session().add_events([Event("user", "word")] * 50)
        service.search("word")
        service.get_session(service.list_sessions()[0].id).add_events([Event("user", "word")] * 10)
        indexed = search_index.SQLiteSearchIndex._indexed
        meanwhile = [lambda: service.search("word")]

        def late(self: Any, *args: Any) -> Any:
            if self._database.read_only and meanwhile:
                meanwhile.pop()()
            return indexed(self, *args)

        monkeypatch.setattr(search_index.SQLiteSearchIndex, "_indexed", late)
        page = reader.search("word", limit=20)
        assert len({hit.event for hit in page}) == 20
        assert page.next_cursor is not None
        assert len(set(pages(reader, "word", limit=20))) == 60


# ---------------------------------------------------------------- at once, everywhere


def elsewhere(path: Path, query: str, **options: Any) -> list[int]:
    """What another process finds."""
    code = (
        "import sys; from session_sqlite import SQLiteSessionService as S\n"
        f"with S(sys.argv[1], **{options!r}) as service:\n"
        "    print(sorted(hit.event.seq for hit in service.search(sys.argv[2], limit=9999)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONUTF8": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(path), query],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    numbers: list[int] = ast.literal_eval(run.stdout)
    return numbers


def test_another_process_finds_an_event_as_soon_as_its_append_has_returned(
    path: Path, service: SQLiteSessionService
) -> None:
    session = service.create_session()
    session.add_event("user", "请帮我分析这段代码")
    assert elsewhere(path, "代码") == [1]  # and indexes it
    session.add_event("user", "代码")
    assert elsewhere(path, "代码", read_only=True) == [1, 2]
    assert seqs(service.search("代码", newest_first=True)) == [2, 1]


def test_events_are_found_while_another_writer_holds_the_lock(path: Path, service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_event("user", "word")
    service.search("word")
    session.add_event("user", "word")
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        SQLiteSessionService(path, read_only=True) as reader,
    ):
        other.execute("BEGIN IMMEDIATE")
        began = datetime.now(UTC)
        assert seqs(service.search("word", newest_first=True)) == [2, 1]
        assert seqs(reader.search("word", newest_first=True)) == [2, 1]
        assert datetime.now(UTC) - began < timedelta(seconds=5)
        other.execute("ROLLBACK")
    assert service.query("SELECT indexed FROM search_progress") == [{"indexed": 1}]
    assert len(service.search("word")) == 2
    assert service.query("SELECT indexed FROM search_progress") == [{"indexed": 2}]


def test_a_file_that_was_opened_read_only_from_its_beginning_is_searched(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        service.create_session().add_event("user", "word")
    with SQLiteSessionService(path, read_only=True) as reader:
        assert seqs(reader.search("word")) == [1]
    assert elsewhere(path, "word", read_only=True) == [1]


def test_the_index_survives_a_vacuum(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        sessions = [service.create_session(session_id=str(number)) for number in range(3)]
        for session in sessions:
            session.add_events([Event("user", f"word s{session.id}n{number}") for number in range(20)])
        service.search("word")
        sessions[0].delete()  # leaves gaps before the others
    with closing(sqlite3.connect(path)) as other:
        other.execute("VACUUM")
    with SQLiteSessionService(path) as service:
        assert len(service.search("word", limit=ALL_OF_THEM)) == 40
        for session in sessions[1:]:
            for number in range(20):
                [hit] = service.search(f"s{session.id}n{number}")
                assert (hit.session.id, hit.event.seq) == (session.id, number + 1)
        assert service.check().ok


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is not of this system")
def test_what_was_appended_before_a_kill_is_found_after_it(path: Path) -> None:
    code = (
        "import sys; from session_sqlite import SQLiteSessionService as S\n"
        "service = S(sys.argv[1], durability='fast'); session = service.create_session(session_id='s')\n"
        "while True:\n"
        "    event = session.add_event('user', '代码 word'); print(event.seq, flush=True)\n"
        "    if event.seq % 7 == 0: service.search('word')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= 150:
                break
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
    seen = max([150, *(int(number) for number in rest if number.isdigit())])
    with SQLiteSessionService(path) as service:
        assert set(range(1, seen)) <= set(seqs(service.search("代码", limit=ALL_OF_THEM)))
        assert len(service.search("word", limit=ALL_OF_THEM)) == service.db["events"].count
        assert service.check().ok


# ---------------------------------------------------------------- no ghosts


def test_random_changes_leave_the_index_as_a_scan_would_have_it(tmp_path: Path) -> None:
    chance = random.Random(7)
    with SQLiteSessionService(tmp_path / "a.db", durability="fast") as service:
        names = ["a", "b", "c"]
        for step in range(250):
            name = chance.choice(names)
            session = service.create_session(session_id=name, exist_ok=True)
            action = chance.randrange(10)
            if action < 5:
                session.add_events(
                    [
                        Event("user", f"w{chance.randrange(6)} w{chance.randrange(6)}")
                        for _ in range(chance.randint(1, 4))
                    ]
                )
            elif action == 5:
                session.clear()
            elif action == 6:
                session.delete()
            elif action == 7 and session.last_seq and session.events():
                session.rewind(turns=1)
            elif action == 8 and step > 100:
                service.redact(f"w{chance.randrange(6)}", replacement=f"w{chance.randrange(6)}")
            if chance.random() < 0.4:
                word = f"w{chance.randrange(6)}"
                expected = {
                    (one.id, event.seq)
                    for one in service.list_sessions()
                    for event in one.events()
                    if word in event.content
                }
                hits = service.search(word, limit=ALL_OF_THEM)
                assert {(hit.session.id, hit.event.seq) for hit in hits} == expected
                assert len(hits) == len(expected)
        assert service.check().ok


def test_a_damaged_row_does_not_stop_a_search(path: Path) -> None:
    for number, content in enumerate(["CAST(x'776f7264ff' AS TEXT)", "x'776f7264ff'", "x'00'", "3", "'word'"]):
        for before in (True, False):
            file = path.with_name(f"{number}{before}.db")
            with SQLiteSessionService(file) as service:
                session = service.create_session()
                session.add_events([Event("user", "word one"), Event("user", "word two"), Event("user", "word three")])
                if before:
                    service.search("word")
                with closing(sqlite3.connect(file)) as other:
                    other.execute(
                        f"UPDATE events SET content = {content}, actions = '[', metadata = '{{' WHERE seq = 2"
                    )
                    other.commit()
                for _ in range(2):
                    assert {1, 3} <= set(seqs(service.search("word"))), (content, before)
                assert session.clear() == 3
                assert service.search("word") == []
                session.add_event("user", "word again")
                assert len(service.search("again")) == 1


def test_an_event_that_another_program_changed_can_be_removed_and_leaves_search_whole(tmp_path: Path) -> None:
    """A contentless index breaks when other words are taken out than were put in: it is made anew then."""
    for number, content in enumerate(["other", "word two three", "", "two"]):
        for kept in (0, 3):
            file = tmp_path / f"{number}{kept}.db"
            with SQLiteSessionService(file) as service, SQLiteSessionService(file, read_only=True) as reader:
                service.create_session().add_events([Event("user", "word kept")] * kept)
                session = service.create_session()
                session.add_events([Event("user", "word one"), Event("user", "word two"), Event("user", "word three")])
                service.search("word")
                with closing(sqlite3.connect(file)) as other:
                    other.execute("UPDATE events SET content = ? WHERE content = 'word two'", [content])
                    other.commit()
                assert session.clear() == 3
                for one in (reader, service):
                    assert len(one.search("word")) == kept, content
                    assert one.search("two") == []
                session.add_event("user", "word again")
                assert len(service.search("word")) == kept + 1
                service.redact("again")
                assert service.search("again") == []
                assert len(service.search("redacted")) == 1


# ---------------------------------------------------------------- a long tail


def test_appends_index_a_tail_that_has_become_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "LONGEST_TAIL", 30)
    monkeypatch.setattr(search_index, "CHECK_EVERY", 10)
    monkeypatch.setattr(search_index, "CHUNK_EVENTS", 25)
    with SQLiteSessionService(path, durability="fast") as service:
        session = service.create_session()
        longest = 0
        for number in range(200):
            session.add_event("user", f"word n{number}")
            longest = max(longest, number + 1 - service.query("SELECT indexed FROM search_progress")[0]["indexed"])
        assert 30 <= longest <= 60
        session.add_events([Event("user", "word")] * 300)
        assert len(service.search("word", limit=ALL_OF_THEM)) == 500
        assert seqs(service.search("n77")) == [78]
        assert service.check().ok


def test_a_search_indexes_more_than_one_chunk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "CHUNK_EVENTS", 7)
    with SQLiteSessionService(path) as service:
        service.create_session().add_events([Event("user", f"word n{number}") for number in range(50)])
        assert len(service.search("word", limit=ALL_OF_THEM)) == 50
        assert service.query("SELECT indexed FROM search_progress") == [{"indexed": 50}]


# ---------------------------------------------------------------- snippets

VISIBLE = [
    "👨\u200d👩\u200d👧\u200d👦", "🇩🇪", "👍🏽", "❤\ufe0f", "1\ufe0f\u20e3",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "e\u0301", "か\u3099", "か\u309a", "ｶﾞ", "ｱﾞ", "\u1112\u1161\u11ab", "क\u094d\u0937", "ก\u0e48", "代", "码", "한",
    "word", "Übung", "слово",
    " ", "，", " ", "\n", "😀", "葛\U000e0100",
]  # fmt: skip


def snippet_of(text: str, query: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """What a hit shows of a text, and the places of the query in it."""
    request = Request(search.parse(query), ("content",), None, None, None, (), {}, newest_first=False)
    return search.snippet(Event("user", text), request)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(VISIBLE), max_size=200), st.lists(st.sampled_from(VISIBLE), max_size=200),
    st.sampled_from(["❋", "靶", " target ", "ta* "])
)  # fmt: skip
def test_a_snippet_is_cut_between_words_and_between_visible_characters(
    before: list[str], after: list[str], aim: str
) -> None:
    said = " target " if aim == "ta* " else aim
    units = [*before, said, *after]
    text = "".join(units)
    snippet, spans = snippet_of(text, aim)
    body = snippet.removeprefix("…").removesuffix("…")
    bounds, place = {0}, 0
    run = re.compile(r"(word|Übung|слово|e\u0301|क\u094d\u0937|ก\u0e48)+")
    for unit in units:
        place += len(unit)
        bounds.add(place)
    bounds.update((text.find("target"), text.find("target") + 6))
    bounds -= {inside for match in run.finditer(text) for inside in range(match.start() + 1, match.end())}
    starts = [match.start() for match in re.finditer(f"(?={re.escape(body)})", text)]
    assert any(start in bounds and start + len(body) in bounds for start in starts)
    assert len(body) <= search.SNIPPET_CHARACTERS + 40
    assert spans
    assert all(has(snippet[begin:end], *terms_of(aim)[0]) for begin, end in spans)
    assert snippet.startswith("…") or text.startswith(body)
    assert snippet.endswith("…") or text.endswith(body)


OTHER_TERMS = " ".join(f"other{number}" for number in range(30))  # with so many a text is read in another way


@pytest.mark.parametrize("more", ["", OTHER_TERMS], ids=["few terms", "many terms"])
@pytest.mark.parametrize(
    ("text", "query", "places"),
    [
        ("tea and teapot, tea; and tea", "tea te*", [(0, 3), (8, 10), (16, 19), (25, 28)]),
        ("tea and teapot, tea", "te* tea*", [(0, 3), (8, 11), (16, 19)]),
        ("tea and teapot, tea", '"and tea"*', [(4, 11)]),
        ("tea and teapot, tea and more", '"tea and" "and more"', [(0, 7), (16, 28)]),
        ("tea and pot; tea and pot", '"tea and pot" and', [(0, 11), (13, 24)]),
        ("写代码，改代码，写代码", "代码 写代 码", [(0, 3), (5, 7), (8, 11)]),
        ("ab代码cd代码", "代码", [(2, 4), (6, 8)]),
        ("слово, слова, слово", "слово слов*", [(0, 5), (7, 11), (14, 19)]),
        ("tea", "teapot", []),
        ("steam team", "tea", []),
    ],
)  # fmt: skip
def test_the_places_of_terms_are_merged_where_they_overlap(
    more: str, text: str, query: str, places: list[tuple[int, int]]
) -> None:
    assert search.locate(text, search.parse(f"{more} {query}")) == places


@pytest.mark.parametrize(
    ("text", "found"), [("tea and te", [(4, 7)]), ("teas and tea", [(5, 8), (9, 11)]), ("a and b", [(2, 5)])]
)
def test_a_word_that_a_piece_may_have_cut_off_is_no_place(text: str, found: list[tuple[int, int]]) -> None:
    terms = search.parse("te* tea* and")
    assert search.locate(text, terms, is_begin=False, is_end=False) == found


@pytest.mark.parametrize("letter", ["码", "か", "한"])
def test_a_text_without_spaces_is_cut_between_any_two_characters(letter: str) -> None:
    text = letter * 300 + "，" + letter * 20 + "❋" + letter * 20 + "，" + letter * 300
    snippet, _ = snippet_of(text, "❋")
    assert len(snippet.strip("…")) == search.SNIPPET_CHARACTERS


@pytest.mark.parametrize("word", ["слово", "Übung", "ελληνικά", "palavra"])
@pytest.mark.parametrize("space", [" ", ", ", "—"])
def test_a_text_with_spaces_is_cut_between_two_words(word: str, space: str) -> None:
    text = (word + space) * 100 + "❋" + (space + word) * 100
    snippet, _ = snippet_of(text, "❋")
    assert {*re.split(r"\W+", snippet.strip("…").replace("❋", " "))} <= {word, ""}


@pytest.mark.parametrize("count", [300, 301, 302, 303])
def test_a_row_of_flags_is_cut_between_two_flags(count: int) -> None:
    for before in ("", "x", "🇩🇪"):
        text = before + "🇩🇪🇫🇷🇪🇸"[: 2 * (count % 3 + 1)] + "🇯🇵" * count + "❋" + "🇰🇷" * count
        snippet, _ = snippet_of(text, "❋")
        shown = snippet.strip("…").split("❋")
        assert [len(flags) % 2 for flags in shown] == [0, 0]
        assert {*shown[0][::2], *shown[1][::2]} <= set("🇩🇪🇫🇷🇪🇸🇯🇵🇰🇷"[::2])


@pytest.fixture(params=["index", "scan", "read-only and not indexed"])
def searched(request: pytest.FixtureRequest, path: Path) -> Iterator[Callable[[list[Event]], SQLiteSessionService]]:
    """Returns a function that stores events, and returns a store that finds them in one of three ways."""
    way: str = request.param
    with contextlib.ExitStack() as stack:

        def filled(events: list[Event]) -> SQLiteSessionService:
            service = stack.enter_context(SQLiteSessionService(path, search=way != "scan"))
            service.create_session(session_id="s").add_events(events)
            if way.startswith("read-only"):
                return stack.enter_context(SQLiteSessionService(path, read_only=True))
            return service

        yield filled


@pytest.mark.parametrize(
    ("args", "query"),
    [
        ({"path": "main.go"}, "main"), ({"path": "src/Main.GO"}, '"main go"'), ({"lines": [12, 50]}, "12"),
        ({"share": 12.5}, '"12 5"'), ({"text": "日本語"}, "日本"), ({"text": "a\"quoted\"word"}, "quoted"),
        ({"text": "caf\u00e9 au lait"}, "cafe"), ({"text": "tab\there"}, "here"), ({"text": "é\t代码"}, "代码"),
        ({"big": "x " * 20_000 + "end"}, "end"), ({"huge": "x " * 200_000 + "end 7"}, "7"),
    ],
)  # fmt: skip
def test_a_word_in_a_call_is_found_in_every_way(
    searched: Callable[[list[Event]], SQLiteSessionService], args: dict[str, Any], query: str
) -> None:
    service = searched([
        Event("assistant", "calls", reasoning="hm", actions=[ToolCall("run", args)]),
        Event("assistant", "calls", actions=[ToolCall("other", {"none": "of it"})]),
    ])  # fmt: skip
    for where in ({}, {"session": "s"}):  # a short session is read otherwise
        assert [hit.event.seq for hit in service.search(query, **where)] == [1]


def test_a_number_in_a_call_is_found_however_another_program_wrote_it(path: Path) -> None:
    with SQLiteSessionService(path) as service:
        event = Event("assistant", actions=[ToolCall("run", {"share": 12.5, "text": "代码"})])
        service.create_session(session_id="s").add_events([event])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        actions = '[{"name":"run","args":{"share":1.25e1,"text":"\\u4ee3\\u7801"}}]'
        connection.execute("UPDATE events SET actions = ?", (actions,))
    with SQLiteSessionService(path, read_only=True) as service:
        for where in ({}, {"session": "s"}):
            assert [len(service.search(query, **where)) for query in ('"12 5"', "代码", "13")] == [1, 1, 0]


def test_a_character_that_unicode_14_does_not_have_stands_between_words(
    searched: Callable[[list[Event]], SQLiteSessionService],
) -> None:
    service = searched([Event("user", "tea\U0001fae8cup")])  # of Unicode 15
    assert [len(service.search(query)) for query in ("tea", "cup", '"tea cup"', "teacup")] == [1, 1, 1, 0]


def test_a_snippet_stays_short_in_text_that_has_no_place_to_cut(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_event("user", "zq" + "A9" * 200_000)
    session.add_event("user", "é zw" + "A9" * 200_000)
    session.add_event("user", "\u0301" * 200_000 + " mark")
    session.add_event("user", "请" * 200_000)
    session.add_event("assistant", "x", reasoning="👨\u200d" * 200_000 + " family")
    began = datetime.now(UTC)
    for query in ("zq*", "zw*", "mark", "请请", "family"):
        [hit] = service.search(query)
        assert len(hit.snippet) < 1000, query
        assert hit.spans
    assert datetime.now(UTC) - began < timedelta(seconds=15)


LONG_TEXTS = {
    "ASCII": ("word lorem ipsum dolor sit amet ", 7_000_000, "word"),
    "one word": ("word ", 7_000_000, "word"),
    "Chinese": ("代码请帮我分析这段。", 2_300_000, "代码"),
    "accents": ("café déjà vu naïve word ", 3_000_000, "deja"),
    "marks": ("слово ёлка за\u0301мок ❤️ 👨\u200d👩\u200d👧 ", 1_500_000, "елка"),
    "Thai": ("ประเทศไทย น้ำ ", 2_300_000, "ไทย"),
}


@pytest.mark.parametrize("name", LONG_TEXTS)
@pytest.mark.parametrize("in_tools", [False, True])
def test_one_long_event_does_not_make_a_search_slow(service: SQLiteSessionService, name: str, in_tools: bool) -> None:
    unit, length, query = LONG_TEXTS[name]
    text = unit * (length // len(unit))
    session = service.create_session()
    session.add_events([Event("user", f"{unit} {number}") for number in range(19)])
    session.add_event(
        "assistant", "…" if in_tools else text, actions=[ToolCall("Read", {"file": text})] if in_tools else []
    )
    service.search("index")
    for where in ({}, {"session": session}, {"newest_first": True}):
        began = time.process_time()
        hits = service.search(query, **where)
        assert time.process_time() - began < 1  # half a second, on a machine that has nothing else to do
        assert len(hits) == 20
        for hit in hits:
            assert hit.spans
            assert all(has(hit.snippet[begin:end], query, prefix=False) for begin, end in hit.spans)
            assert len(hit.snippet) < 500


@pytest.mark.parametrize("unit", ["a few words, ", "слово ёлка ❤️ ", "代码。", "ไทย "])
def test_a_word_far_into_a_long_text_is_shown(service: SQLiteSessionService, unit: str) -> None:
    session = service.create_session()
    for place in (0, 900, 5_000, 99_999, 150_000, 600_000, 2_000_000):
        session.clear()
        text = unit * (place // len(unit)) + " Target-Word here " + unit * 3000
        session.add_event("user", text.replace("Target-Word", "target-word") if place > search.LOOKED_AT else text)
        for query, slices in (("target", ["arget"]), ('"target word"', ["arget-", "ord"]), ("tar* her*", ["ar", "er"])):
            for where in ({}, {"session": session}, {"newest_first": True}):
                [hit] = service.search(query, **where)
                shown = [hit.snippet[begin:end] for begin, end in hit.spans]
                assert shown, (query, place)
                assert all(part in "".join(shown) for part in slices)


def test_spans_are_exactly_what_matched(service: SQLiteSessionService) -> None:
    session = service.create_session()
    for content, query, slices in [
        ("请帮我分析这段代码，代码", "代码", ["代码", "代码"]),
        ("The CAFÉ, a cafe\u0301!", "cafe", ["CAFÉ", "cafe\u0301"]),
        ("ｶﾞｿﾘﾝ", "ガソリン", ["ｶﾞｿﾘﾝ"]),
        ("Straße", "strasse", ["Straße"]),
        ("the ﬁne ﬁsh", "fi*", ["ﬁ", "ﬁ"]),
        ("coding codes", "cod*", ["cod", "cod"]),
        ("I love C++ and c.", "C++", ["C", "c"]),
        ("say hello, world", '"hello world"', ["hello, world"]),
        ("ok ❤️ fine", "❤", ["❤️"]),
        ("好👨‍👩‍👧好", "👩", ["👩"]),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "국", ["\u1100\u116e\u11a8"]),
        ("ㄱㅏ", "가", ["ㄱㅏ"]),
        ("ㅠㅠㅠ", "ㅠ", ["ㅠ", "ㅠ", "ㅠ"]),
        ("\u09c7\u09be x", "ো", ["\u09c7\u09be"]),
        ("か\U000e0100\u3099", "が", ["か\U000e0100\u3099"]),
        ("aaa aaa aaa", "aaa", ["aaa", "aaa", "aaa"]),
        ("to Đà Nẵng, by Łódź", "lodz da", ["Đà", "Łódź"]),
        ("Æsop and Encyclopædia", "aes* encyclopaedia", ["Æs", "Encyclopædia"]),
        ("Æsop and æ", "a*", ["Æ", "a", "æ"]),
        ("za\u00adkaz ab\u200bcd\u200b ef", "zakaz abc* ef", ["za\u00adkaz", "ab\u200bc", "ef"]),
        ("e\u00ad\u0301tude \u200bx\u200b", "etude x", ["e\u00ad\u0301tude", "x"]),
        ("قال مُحَـمَّدٌ نعم", "محمد", ["مُحَـمَّدٌ"]),
        ("שָׁלוֹם לך", "שלום", ["שָׁלוֹם"]),
        ("за\u0301мок и ёлка", "замок елка", ["за\u0301мок", "ёлка"]),
        ("Ναί, το πήρα", "ναι πηρα", ["Ναί", "πήρα"]),
        ("ประเทศไทยน้ำ", "ไทย น้ำ", ["ไทย", "น้ำ"]),
        ("ភាសាខ្មែរ", "ខ្មែរ", ["ខ្មែរ"]),
        ("a\u0640\u0301b", "ab", ["a\u0640\u0301b"]),
    ]:
        session.clear()
        session.add_event("user", content)
        [hit] = service.search(query)
        assert hit.snippet == content
        assert [hit.snippet[begin:end] for begin, end in hit.spans] == slices


def test_hostile_text_is_shown_as_it_is_and_escaped_in_html(service: SQLiteSessionService) -> None:
    content = "<script>alert('word')</script> \u202e evil \x1b[31m {{word}} & \"quoted\""
    session = service.create_session(title="<b>title</b>")
    session.add_event("user", content)
    hits = service.search("word")
    assert hits[0].snippet == content
    assert [hits[0].snippet[begin:end] for begin, end in hits[0].spans] == ["word", "word"]
    shown = hits._repr_html_()
    assert "<script>" not in shown
    assert "<b>title" not in shown
    assert "&lt;script&gt;" in shown


def test_hits_are_values(service: SQLiteSessionService) -> None:
    session = service.create_session()
    session.add_event("user", "word")
    [one], [same] = service.search("word"), service.search("word")
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same}) == 1
    assert one.event.session_id == one.session.id == session.id
    assert one.session.events()[0] == one.event  # its verbs work
    with pytest.raises(AttributeError):
        one.snippet = ""  # type: ignore[misc]
    assert "word" in service.search("word")._repr_html_()
    assert "<table" in Page[SearchHit]()._repr_html_()


# ---------------------------------------------------------------- the same words everywhere


def kind_now(code: int) -> str:
    category = unicodedata.category(chr(code))
    return "u" if category == "Cn" else "w" if category[0] in "LMN" else "s" if category == "So" else "o"


@pytest.mark.skipif(unicodedata.unidata_version != unicode_table.VERSION, reason="another version of Unicode")
def test_the_table_is_what_unicodedata_says() -> None:
    assert [code for code in range(0x110000) if unicode_table.kind_of(code) != kind_now(code)] == []
    for code in range(0x110000):
        character = chr(code)
        if unicode_table.is_single(code):
            assert is_single(character) or CJK_NAMES.search(name(character)) or "HANGZHOU" in name(character), hex(code)
        elif is_single(character) and unicodedata.category(character) != "No" and search.fold(character) == character:
            # These are used in running text of other words, and are of no script by Unicode's own table.
            assert character in "〆〼〱〲〳〴〵", name(character)


def indexed_with_older_words(path: Path, contents: list[str]) -> None:
    """A store whose index an earlier release has filled, with other words than these."""
    with SQLiteSessionService(path) as service, pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_index, "OUR_WORDS", {"words": 1})
        patch.setattr(search, "words", lambda text: text.lower().split())
        service.create_session(session_id="s").add_events([Event("user", content) for content in contents])
        service.search("index")
        progress = service.query("SELECT indexed, words FROM search_progress")
        assert progress == [{"indexed": len(contents), "words": 1}]


def progress(service: SQLiteSessionService) -> tuple[int, int]:
    [row] = service.query("SELECT indexed, words FROM search_progress")
    return row["indexed"], row["words"]


OLDER = ["Đà Nẵng", "I see,you", "ประเทศไทย", "see you"]


def check_that_words_are_new(service: SQLiteSessionService, extra: int = 0) -> None:
    for query, expected in (
        ("da nang", [1]),
        ("ไทย", [3]),
        ("see", [2, 4]),
        ('"see you"', [2, 4]),
        ("see,you", [2, 4]),
    ):
        assert sorted(seqs(service.search(query))) == expected, query
    assert len(service.search("more")) == extra


def test_an_index_of_older_words_is_made_anew_once_and_searches_scan_until_then(path: Path) -> None:
    indexed_with_older_words(path, OLDER)
    with SQLiteSessionService(path, read_only=True) as reader, SQLiteSessionService(path) as service:
        check_that_words_are_new(reader)
        service.append_event("s", Event("user", "more"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            check_that_words_are_new(service, extra=1)
            other.execute("ROLLBACK")
        assert progress(reader) == (4, 1)
        assert service.check().ok
        check_that_words_are_new(service, extra=1)
        assert progress(reader) == (5, search.WORDS_VERSION)
        check_that_words_are_new(reader, extra=1)
        assert service.check().ok
        before = service.query("SELECT * FROM search_index_data")
    with SQLiteSessionService(path) as service:
        check_that_words_are_new(service, extra=1)
        assert service.query("SELECT * FROM search_index_data") == before


def test_appending_leaves_an_index_of_older_words_to_searches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "LONGEST_TAIL", 3)
    monkeypatch.setattr(search_index, "CHECK_EVERY", 1)
    indexed_with_older_words(path, OLDER)
    with SQLiteSessionService(path) as service:
        service.append_events("s", [Event("user", "more")] * 10)
        assert progress(service) == (4, 1)
        assert len(service.search("more")) == 10
        assert progress(service) == (14, search.WORDS_VERSION)


@pytest.mark.parametrize("remove", ["clear", "erase", "rewind", "redact", "delete"])
def test_words_of_an_older_index_are_gone_when_its_events_are(path: Path, remove: str) -> None:
    indexed_with_older_words(path, ["kept secretword,x"] * 2)
    with SQLiteSessionService(path) as service:
        session = service.get_session("s")
        {
            "clear": session.clear, "erase": lambda: service.erase(session), "rewind": lambda: session.rewind(turns=2),
            "redact": lambda: service.redact("secretword"), "delete": session.delete,
        }[remove]()  # fmt: skip
        assert service.query("SELECT * FROM search_index('secretword')") == []
        fresh = service.create_session()
        fresh.add_events([Event("user", "other")] * 2)
        assert service.search("secretword") == []
        assert len(service.search("other")) == 2
        assert len(service.search("x")) == (2 if remove == "redact" else 0)
        assert service.check().ok


def test_words_of_a_later_release_are_not_understood_and_made_anew(path: Path) -> None:
    with SQLiteSessionService(path) as service, SQLiteSessionService(path, read_only=True) as reader:
        service.create_session().add_events([Event("user", "one word")] * 3)
        service.search("word")
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE search_progress SET words = words + 1")
            other.commit()
        for one in (reader, service):
            assert len(one.search("word")) == 3
        assert progress(service) == (3, search.WORDS_VERSION)
        assert service.check().ok


WORDS_OF_EVERYTHING = """
import hashlib, sys, types
package = types.ModuleType("session_sqlite")  # without what it imports: only this module and those below it
package.__path__ = [sys.argv[1]]
sys.modules["session_sqlite"] = package
from session_sqlite.search import fold, words
digest = hashlib.sha256()
for code in (*range(0xD800), *range(0xF900, 0x33480), *range(0xE0000, 0xE0200)):  # the rest is for private use
    c = chr(code)
    text = f"é{c}代" if code < 0x20000 else c
    digest.update(repr((code, words(text))).encode())
print(digest.hexdigest())
"""


def other_pythons() -> list[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for minor in (11, 12, 13, 14):
        installed = sorted(root.glob(f"3.{minor}.*/bin/python"))
        found += [str(installed[-1])] if installed and sys.version_info[1] != minor else []
    return found


# The words of everything by their version: files that have an index of them are out there.
DIGESTS = {
    2: "62fd643c60d5c5c9625b5b4b5764958393e18b850b3054d312eddcee15342d82",
    3: "2a642d33c8e7aec53fd0912cdd9407cd01d6dc260de5e68b934e92461ccdc475",
}


def test_the_same_text_has_the_same_words_in_every_python() -> None:
    started = [
        subprocess.Popen(
            [python, "-c", WORDS_OF_EVERYTHING, str(SRC / "session_sqlite")], stdout=subprocess.PIPE, text=True
        )
        for python in (sys.executable, *other_pythons())
    ]
    digests = [process.communicate(timeout=120)[0].strip() for process in started]
    assert all(process.returncode == 0 for process in started)
    assert len(set(digests)) == 1
    assert digests[0] == DIGESTS[search.WORDS_VERSION], "other words need another version"


# ---------------------------------------------------------------- text and queries that are made to be slow


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of the package's own code run: a measure of work that no load on the machine changes."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if "session_sqlite" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("word", ["a", "\N{LATIN SMALL LETTER ETH}", "\N{CYRILLIC SMALL LETTER ZHE}"])
@pytest.mark.parametrize("end", ["", " b", " b*"])
def test_a_longer_phrase_takes_no_more_steps_at_each_place_where_it_may_stand(word: str, end: str) -> None:
    text = f"{word} " * 2000

    def work(length: int) -> int:
        terms = search.parse(f'"{" ".join([word] * length)}{end}"')
        return lines_run(lambda: search.locate(text, terms))

    work(25)  # learns the characters
    assert work(99) < 2 * work(25)


def test_a_word_is_found_where_a_longer_one_of_many_letters_stands_before_it() -> None:
    text = "\N{CYRILLIC SMALL LETTER ZHE}" * 100_000 + " \N{CYRILLIC SMALL LETTER YA}"
    assert search.locate(text, search.parse("\N{CYRILLIC SMALL LETTER YA}")) == [(100_001, 100_002)]


MARKS = st.sampled_from(
    "\u0301\u0316\u0344\u0345\u0f71\u0f73\u0f81\u3099\uff9e\uff9f\u05b0\u064b\u0651\u20dd\u0300\u0308\u094d\u0300!\u00a8"
)


@given(st.lists(MARKS, min_size=1, max_size=8), st.sampled_from(["", "e", "\u0435", "\u0627", "\u304b", "\u0905"]))
def test_sorting_the_marks_of_a_long_run_changes_nothing_but_the_time(pattern: list[str], letter: str) -> None:
    text = letter + "".join(pattern) * 120
    sorted_text = _with_marks_in_order(text)
    assert unicodedata.normalize("NFKC", sorted_text) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize("letter", ["e", "\u0435", "\u304b", "\u05d0", ""])
@pytest.mark.parametrize(
    "marks",
    [
        "\u0301\u0316",
        "\uff9e\u0301",
        "\u0f73",
        "\u0f71\u0f72\u0f74",
        "\u0301\u0640\u0316\u0640",
        "\u1dce\u1dcd\ufe20\u1dca",
    ],
)
def test_any_number_of_marks_in_any_order_is_folded_in_time(letter: str, marks: str) -> None:
    begin = time.monotonic()
    search.fold(letter + marks * (200_000 // len(marks)))
    assert time.monotonic() - begin < 10  # it takes a fifth of a second; sorted one by one it takes a minute
