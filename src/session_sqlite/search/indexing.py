"""Indexing: the words of an event, and of a title, that a search index keeps, for every backend that has one."""

from __future__ import annotations

import hashlib
from typing import Final

from session_sqlite.models import Event
from session_sqlite.search.matching import field_texts
from session_sqlite.search.words import GAP, words

LONGEST_TITLE_WORD: Final = 64  # characters; of a longer word only its beginning is kept
MOST_TITLE_WORDS: Final = 200  # a title with more of them has to be read itself
MANY_WORDS: Final = ""  # stands for the words of such a title
TOOL_SCOPE: Final = "tool"  # the scope word of tools' events; it cannot be a hash, which has 16 characters


def scope_word(*names: str | None) -> str:
    """Returns one word for a user of an app, or for a session of such a user."""
    text = "\0".join(name for name in names if name is not None)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def scope_words(event: Event, app_name: str, user_id: str) -> str:
    """Returns the words of the ``scope`` column of an event."""
    names = [scope_word(app_name, user_id), scope_word(app_name, user_id, event.session_id)]
    return " ".join([*names, TOOL_SCOPE] if event.author == "tool" else names)


def index_columns(event: Event) -> dict[str, str]:
    """Returns the words of each field, as the index stores them."""
    return {name: " ".join(words(text)) if text else "" for name, text in field_texts(event).items()}


def title_words(title: object) -> frozenset[str]:
    """Returns the words of a title as an index stores them: none of a damaged one, and one for all if they are many."""
    if not isinstance(title, str):
        return frozenset()
    found = frozenset(word[:LONGEST_TITLE_WORD] for word in words(title)) - {GAP}
    return found if len(found) <= MOST_TITLE_WORDS else frozenset((MANY_WORDS,))
