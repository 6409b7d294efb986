"""Code with its words in spans whose classes the style sheet colours, where Pygments is installed (extra ``notebook``).

A text may be written so that a lexer's regular expressions take minutes on it. So only the lexers of common languages
are used, on blocks of some thousand characters, and one that has used up its time is left: the block has one colour.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Final

from session_sqlite.transcript.markup import escaped

COLOURED_CHARACTERS: Final = 10_000  # of one block of code; a longer one is shown in one colour
SECONDS: Final = 0.5  # of this thread's own time, so that it makes no difference how busy the machine is
LANGUAGES: Final = frozenset({
    "bash", "c", "c++", "console", "cpp", "cs", "csharp", "css", "diff", "docker", "dockerfile", "go", "golang",
    "html", "ini", "java", "javascript", "js", "json", "kotlin", "lua", "make", "makefile", "php",
    "powershell", "py", "python", "python3", "r", "rb", "rs", "ruby", "rust", "scala", "sh", "shell", "sql",
    "swift", "toml", "ts", "typescript", "xml", "yaml", "yml", "zsh",
})  # fmt: skip

# The classes of the style sheet, by Pygments' names of tokens; one inside of another comes first.
_CLASSES: Final = {
    "Comment": "c", "Keyword.Constant": "n", "Keyword": "k", "Operator.Word": "k", "Literal.String": "s",
    "Literal.Number": "n", "Name.Function": "f", "Name.Class": "f", "Name.Decorator": "f", "Name.Builtin": "b",
    "Name.Exception": "b", "Name.Tag": "k", "Name.Attribute": "f", "Generic.Inserted": "i", "Generic.Deleted": "d",
    "Generic.Heading": "k", "Generic.Subheading": "f", "Generic.Prompt": "c", "Generic.Output": "c",
}  # fmt: skip


def coloured(code: str, language: str) -> str | None:
    """Returns code as HTML with spans; None in an unknown language, if it takes too long, or without Pygments."""
    language = language.lower()
    if language not in LANGUAGES or len(code) > COLOURED_CHARACTERS or (lexer := _lexer(language)) is None:
        return None
    pieces: list[tuple[str, str]] = []
    end = time.thread_time() + SECONDS
    for kind, text in lexer.get_tokens(code):
        if time.thread_time() > end:
            return None
        name = _class(kind)
        if pieces and pieces[-1][0] == name:
            text = pieces.pop()[1] + text
        pieces.append((name, text))
    if "".join(text for _, text in pieces) != code:  # a lexer may change newlines: what was said comes first
        return None
    return "".join(f'<span class="{name}">{escaped(text)}</span>' if name else escaped(text) for name, text in pieces)


@functools.cache
def _lexer(language: str) -> Any:
    try:
        from pygments.lexers import get_lexer_by_name
    except ImportError:
        return None
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@functools.cache
def _class(kind: Any) -> str:
    full = str(kind).removeprefix("Token.") + "."
    return next((mark for name, mark in _CLASSES.items() if full.startswith(f"{name}.")), "")
