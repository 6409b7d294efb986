"""Search: text to words, a query to terms, terms to matches and snippets; and searching without an index.

All but `scanning` is pure functions. A search itself is a `Request` to the port: see `database`.
"""

from session_sqlite.search.indexing import (
    LONGEST_TITLE_WORD,
    MANY_WORDS,
    TOOL_SCOPE,
    index_columns,
    scope_word,
    scope_words,
    title_words,
)
from session_sqlite.search.matching import FIELDS, Span, field_texts, quick_test, score, searched_texts
from session_sqlite.search.narrowing import is_one_letter, present, terms_typed
from session_sqlite.search.recall import asked
from session_sqlite.search.scanning import ScannedPostings, in_order, of_tenant, scan, terms_in, titled
from session_sqlite.search.snippets import LOOKED_AT, SNIPPET_CHARACTERS, cut, locate, snippet
from session_sqlite.search.words import (
    GAP,
    LONGEST_QUERY,
    MOST_PREFIXES,
    MOST_WORDS,
    USUAL,
    WORDS_VERSION,
    fold,
    parse,
    words,
)

__all__ = [
    "FIELDS",
    "GAP",
    "LONGEST_QUERY",
    "LONGEST_TITLE_WORD",
    "LOOKED_AT",
    "MANY_WORDS",
    "MOST_PREFIXES",
    "MOST_WORDS",
    "SNIPPET_CHARACTERS",
    "TOOL_SCOPE",
    "USUAL",
    "WORDS_VERSION",
    "ScannedPostings",
    "Span",
    "asked",
    "cut",
    "field_texts",
    "fold",
    "in_order",
    "index_columns",
    "is_one_letter",
    "locate",
    "of_tenant",
    "parse",
    "present",
    "quick_test",
    "scan",
    "scope_word",
    "scope_words",
    "score",
    "searched_texts",
    "snippet",
    "terms_in",
    "terms_typed",
    "title_words",
    "titled",
    "words",
]
