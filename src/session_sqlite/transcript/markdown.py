"""Markdown as HTML that can do no harm.

`markdown-it-py` takes a text apart, and each of its tokens is written here, by the tables below: its own HTML is never
used. So no element or attribute comes from a text. HTML in a text is text, but for a line break (``<br>``). A link
leads to ``http``, ``https`` or ``mailto``, or stays as it was written; a browser that follows it tells nobody where it
came from.

An image in the text itself (a data URL) is taken out before the text is read, since it may have millions of characters;
a short place holder stands for it meanwhile.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from session_sqlite.transcript.markup import escaped, lang

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

MARKDOWN_CHARACTERS: Final = 100_000  # a longer text is shown plain: reading it may take seconds, and drawing it too
BLOCK_CHARACTERS: Final = 20_000  # a plain text is split: the layout of one block of millions takes a browser minutes
MOST_NESTED: Final = 20  # lists in lists, quotes in quotes, and so on
LINK_CHARACTERS: Final = 4_000

_TAGS: Final = frozenset({
    "p", "blockquote", "ul", "ol", "li", "thead", "tbody", "tr", "th", "td", "em", "strong", "s",
})  # fmt: skip
_OWN_DIRECTION: Final = frozenset({
    "paragraph_open", "heading_open", "bullet_list_open", "ordered_list_open", "blockquote_open",
})  # fmt: skip
_WHOLE_LINK: Final = re.compile(r"(?:https?://|mailto:)[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)
# A host has no Chinese in it: what follows a URL without a space between is no part of it.
_BARE_LINK: Final = re.compile(
    r"(?<![a-z0-9])https?://(?:\[[0-9a-f:.]+\]|[a-z0-9\u00a1-\u1fff\u2070-\u2e7f.-]+)(?::\d{1,5})?"
    r"(?:[/?#][^\s<>\"`\u2018-\u201d\u2026\u3000-\u303f\uff01-\uff0f\uff1a-\uff1e]*)?",
    re.IGNORECASE,
)
_IMAGE: Final = re.compile(r"!\[([^\]\n]{0,200})\]\(data:([a-z]{1,20}/[a-z0-9+.-]{1,40});base64,([A-Za-z0-9+/=]+)\)")
_PLACE: Final = re.compile(r"!\[[^\]\n]{0,200}\]\(in-this-text:(\d{1,7})\)")
_TASK: Final = re.compile(r"\[([ xX])\][ \t]+")
_LINE_BREAK: Final = re.compile(r"<br {0,5}/?>", re.IGNORECASE)  # the one tag that models write: in a table's cell
_PLACE_LINK: Final = re.compile(r"in-this-text:(\d{1,7})")
# Without one of these a text is a paragraph of plain text, or several.
_MARKS: Final = re.compile(r"[\\`*_~\[\]<>#|&!=]|://|^[ \t]*(?:[-+]|\d{1,9}[.)])|^(?: {4}| {0,3}\t)", re.MULTILINE)


@dataclass
class Renderer:
    """A way to write what a text of Markdown holds.

    Attributes:
        code: A function that returns a block of code as HTML, given the code and its language.
        image: A function that returns an image as HTML, given its media type, its base64 text and its description.
        remote_image: A function that returns a mark for an image that is elsewhere, given its address and description.
        heading: The level of the heading that the text stands below; 0 if its headings are no headings of the page.
        left_out: How many characters of the text were not written.
    """

    code: Callable[[str, str], str]
    image: Callable[[str, str, str], str]
    remote_image: Callable[[str, str], str]
    heading: int = 0
    left_out: int = 0
    _images: list[re.Match[str]] = field(default_factory=list)
    _level: int = 0
    _is_in_link: bool = False

    def blocks(self, text: str, most: int | None = None) -> Iterator[str]:
        """Yields a text as HTML; of a text with more than ``most`` characters, images not counted, the first."""
        text = self._begun(text, most)
        self._level = self.heading
        if len(text) > MARKDOWN_CHARACTERS:
            yield from self._plain(text)
        elif _MARKS.search(text):
            yield f'<div class="md" dir="auto"{lang(text)}>{"".join(self._blocks(_parser().parse(text)))}</div>'
        else:
            paragraphs = (part.strip() for part in re.split(r"\n\s*\n", text))
            shown = "".join(f"<p>{escaped(part).replace(chr(10), '<br>')}</p>" for part in paragraphs if part)
            yield f'<div class="md" dir="auto"{lang(text)}>{shown}</div>' if shown else ""

    def plain(self, text: str, most: int | None = None) -> Iterator[str]:
        """Yields a text as it was written, but for the images in it."""
        yield from self._plain(self._begun(text, most))

    def _begun(self, text: str, most: int | None) -> str:
        text = _IMAGE.sub(self._taken, text)
        shown = text[:most]
        self.left_out = len(text) - len(shown)
        return shown

    def _plain(self, text: str) -> Iterator[str]:
        position = 0
        for place in _PLACE.finditer(text):
            if (image := self._image_at(place[1])) is not None:
                yield from plain_blocks(text[position : place.start()])
                yield self.image(image[2], image[3], image[1])
                position = place.end()
        yield from plain_blocks(text[position:])

    # ------------------------------------------------------------ blocks

    def _blocks(self, tokens: Iterable[Token]) -> Iterator[str]:
        begins_item = False
        for token in tokens:
            if token.type == "inline":
                yield _task(token) if begins_item else ""
                yield from self._inline(token.children or ())
            elif token.type in ("fence", "code_block"):
                yield self.code(self._restored(token.content).removesuffix("\n"), token.info.strip().partition(" ")[0])
            elif token.type == "hr":
                yield "<hr>"
            elif token.tag == "table":  # a wide one is scrolled in its box
                yield '<div class="scroll" tabindex="0"><table>' if token.nesting > 0 else "</table></div>"
            elif token.type in ("heading_open", "heading_close"):
                yield self._heading(token)
            elif token.tag in _TAGS and not token.hidden:
                yield _tag(token)
            elif token.content:
                yield escaped(token.content)
            begins_item = token.type == "list_item_open" or (begins_item and token.type == "paragraph_open")

    def _heading(self, token: Token) -> str:
        if not self.heading:  # in a notebook: a heading would stand among those of the notebook
            return f'<p class="h"{_direction(token)}>' if token.nesting > 0 else "</p>"
        if token.nesting > 0:  # no level is left out
            self._level = min(self.heading + int(token.tag[1]), self._level + 1, 6)
        return f"<h{self._level}{_direction(token)}>" if token.nesting > 0 else f"</h{self._level}>"

    # ------------------------------------------------------------ in a line

    def _inline(self, tokens: Iterable[Token]) -> Iterator[str]:
        for token in tokens:
            if token.type == "text":
                text = self._restored(token.content)
                yield escaped(text) if self._is_in_link else linked(text)
            elif token.type in ("softbreak", "hardbreak"):
                yield "<br>"
            elif token.type == "code_inline":
                yield f"<code>{escaped(self._restored(token.content))}</code>"
            elif token.type == "link_open":
                opening = link_start(str(token.attrs.get("href", "")))
                self._is_in_link = bool(opening)
                yield opening
            elif token.type == "link_close":
                yield "</a>" if self._is_in_link else ""
                self._is_in_link = False
            elif token.type == "image":
                yield self._image(token)
            elif token.tag in _TAGS:
                yield _tag(token)
            else:
                yield escaped(token.content)

    def _image(self, token: Token) -> str:
        source, description = str(token.attrs.get("src", "")), _text_of(token)
        place = _PLACE_LINK.fullmatch(source)
        if place is None:
            return escaped(f"[image: {description}]") if self._is_in_link else self.remote_image(source, description)
        image = self._image_at(place[1])
        return escaped(description) if image is None else self.image(image[2], image[3], image[1])

    # ------------------------------------------------------------ images that the text holds

    def _taken(self, image: re.Match[str]) -> str:
        self._images.append(image)
        return f"![{image[1]}](in-this-text:{len(self._images) - 1})"

    def _image_at(self, number: str) -> re.Match[str] | None:
        return self._images[int(number)] if int(number) < len(self._images) else None

    def _restored(self, text: str) -> str:
        """Returns a text with the images in it as they were written, where they are no images: in code."""
        if not self._images or "](in-this-text:" not in text:
            return text
        return _PLACE.sub(lambda place: (self._image_at(place[1]) or place)[0], text)


def linked(text: str) -> str:
    """Returns a text as HTML in which the bare URLs are links."""
    if "://" not in text:
        return escaped(text)
    pieces, position = [], 0
    for match in _BARE_LINK.finditer(text):
        url = _without_end(match[0]) if len(match[0]) <= LINK_CHARACTERS else ""
        if opening := link_start(url):
            pieces += [escaped(text[position : match.start()]), opening, escaped(url), "</a>"]
            position = match.start() + len(url)
    return "".join([*pieces, escaped(text[position:])])


def link_start(url: str) -> str:
    """Returns the start of a link; nothing if it leads elsewhere than to the web or to a mailbox."""
    whole = _parser().normalizeLink(url)
    if not is_link(whole):
        return ""
    return (
        f'<a href="{escaped(whole)}" title="{escaped(whole)}" rel="noopener noreferrer nofollow" '
        'referrerpolicy="no-referrer" target="_blank">'
    )


def is_link(url: str) -> bool:
    """Returns True if a link may lead to this address."""
    return len(url) <= LINK_CHARACTERS and _WHOLE_LINK.fullmatch(url) is not None


def plain_blocks(text: str) -> Iterator[str]:
    """Yields a text as it was written, a long one in several blocks."""
    text = text.strip("\n")
    if not text.strip():
        return
    for start in range(0, len(text), BLOCK_CHARACTERS):
        piece = text[start : start + BLOCK_CHARACTERS]
        yield f'<div class="text" dir="auto"{lang(piece)}>{escaped(piece)}</div>'


def _without_end(url: str) -> str:
    """Returns a URL without what belongs to the sentence around it: a full stop, a bracket that it does not open."""
    while url and (url[-1] in ".,;:!?'*_~" or any(_is_closed_only(url, *pair) for pair in ("()", "[]"))):
        url = url[:-1]
    return url


def _is_closed_only(url: str, opening: str, closing: str) -> bool:
    return url[-1] == closing and url.count(closing) > url.count(opening)


def _tag(token: Token) -> str:
    if token.nesting < 0:
        return f"</{token.tag}>"
    more = ""
    if token.tag == "ol" and str(start := token.attrs.get("start", "")).isascii() and str(start).isdigit():
        more = f' start="{start}"'
    if token.tag in ("th", "td") and (side := str(token.attrs.get("style", "")).removeprefix("text-align:")):
        more = {"right": ' class="r"', "center": ' class="m"'}.get(side, "")
    return f"<{token.tag}{more}{_direction(token)}>"


def _task(token: Token) -> str:
    """Takes the ``[x]`` of a task from the beginning of a list's item, and returns a box for it."""
    first = token.children[0] if token.children else token
    task = _TASK.match(first.content) if first.type == "text" else None
    if task is None:
        return ""
    first.content = first.content[task.end() :]
    return f'<span class="task">{"☐" if task[1] == " " else "☑"}</span>'


def _direction(token: Token) -> str:
    # The blocks of a text find their own direction: one in Hebrew may stand between two in English.
    return ' dir="auto"' if token.level == 0 and token.type in _OWN_DIRECTION else ""


def _text_of(token: Token) -> str:
    return "".join(child.content for child in token.children or ())[:200]


def _line_break(state: StateInline, silent: bool) -> bool:
    """Reads a line break that is written as HTML; a rule of the parser."""
    found = _LINE_BREAK.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # here, so that who only stores and reads does not load it

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": MOST_NESTED}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("autolink", "line_break", _line_break)
    # A link that leads elsewhere stays as it was written.
    parser.validateLink = lambda url: is_link(url) or _PLACE_LINK.fullmatch(url) is not None  # type: ignore[method-assign]
    return parser
