"""The one way of text into HTML: `escaped`. What is HTML already is `Markup`, and is not escaped again."""

from __future__ import annotations

import html
import re
from typing import Final

from session_sqlite.transcript.text import visible

NAME_CHARACTERS: Final = 200

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]")
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")


class Markup(str):
    """A text that is HTML already, and is not escaped again."""

    __slots__ = ()


def escaped(value: object) -> str:
    """Returns any value as text that is safe in HTML; all text from outside passes through this function."""
    return html.escape(visible(value, block=True))


def cut(text: str, most: int) -> str:
    """Returns a text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def isolated(value: object) -> str:
    """Returns a name as HTML, which does not turn the direction of the line around it."""
    text = str(value)
    return f"<bdi{lang(text)}>{escaped(cut(text, NAME_CHARACTERS))}</bdi>"


def lang(text: str) -> str:
    """Returns a ``lang`` attribute for Chinese, Japanese or Korean text; else Chinese is drawn in a Japanese font."""
    start = text[:2000]
    if start.isascii():
        return ""
    if _KANA.search(start):
        return ' lang="ja"'
    if _HANGUL.search(start):
        return ' lang="ko"'
    return ' lang="zh"' if _HAN.search(start) else ""
