"""Markdown in HTML: what it becomes, and that no text makes an element, a link or a delay of its own."""

import re
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from our_markup import assert_only_our_elements
from test_html import PNG, links_of, page, text_of

from session_sqlite import Event
from session_sqlite.transcript import colours
from session_sqlite.transcript.markdown import MARKDOWN_CHARACTERS
from session_sqlite.transcript.markup import escaped


def shown(text: str, author: str = "assistant") -> str:
    """What a page shows of a text."""
    markup = page(Event(author, text))
    assert_only_our_elements(markup)
    found = re.search(r'<h2 class="who">.*?</h2>(.*)</li>', markup, re.DOTALL)
    assert found is not None
    return re.sub(' dir="auto"', "", found[1])


BLOCKS = {
    "a list": ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
    "a list with stars": ("* a\n* b", "<ul><li>a</li><li>b</li></ul>"),
    "a numbered list": ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
    "a list that begins later": ("7. a\n8. b", '<ol start="7"><li>a</li><li>b</li></ol>'),
    "a loose list": ("- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
    "lists in lists": ("1. a\n   - b\n     - c", "<ol><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ol>"),
    "code in a list": ("- a\n  ```\n  x < y\n  ```", '<pre tabindex="0"><code>x &lt; y</code></pre></div></li></ul>'),
    "a quote": ("> a\n> b", "<blockquote><p>a<br>b</p></blockquote>"),
    "a list in a quote": ("> - a", "<blockquote><ul><li>a</li></ul></blockquote>"),
    "a quote in a list": ("- > a", "<ul><li><blockquote><p>a</p></blockquote></li></ul>"),
    "a rule": ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
    "headings": ("# a\n## b\ntext", "<h3>a</h3><h4>b</h4><p>text</p>"),
    "headings that leave a level out": ("### a\n###### b\n# c", "<h3>a</h3><h4>b</h4><h3>c</h3>"),
    "underlined headings": ("a\n===\n\nb\n---", "<h3>a</h3><h4>b</h4>"),
    "paragraphs": ("a\n\nb\nc", "<p>a</p><p>b<br>c</p>"),
    "indented code": ("a\n\n    x = 1", '<pre tabindex="0"><code>x = 1</code></pre>'),
    "emphasis": ("*a* _b_ **c** __d__ ***e***",
                 "<em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> <em><strong>e</strong></em>"),
    "emphasis in Chinese": ("这是**重点**。", "这是<strong>重点</strong>。"),
    "strikethrough": ("~~a~~ b", "<s>a</s> b"),
    "code": ("`a < b` ``c`d``", "<code>a &lt; b</code> <code>c`d</code>"),
    "emphasis in emphasis": ("**a *b* `c`**", "<strong>a <em>b</em> <code>c</code></strong>"),
    "escapes": (r"\*a\* 1\. &amp; &lt;b&gt;", "*a* 1. &amp; &lt;b&gt;"),
    "a word with underscores": ("snake_case_name 2*3*4", "snake_case_name"),
    "HTML": ("<b>a</b>\n\n<div>\nb\n</div>", "&lt;b&gt;a&lt;/b&gt;"),
    "a list of tasks": ("- [ ] a\n- [x] **b**\n- c [ ] d",
                        '<ul><li><span class="task">☐</span>a</li>'
                        '<li><span class="task">☑</span><strong>b</strong></li><li>c [ ] d</li></ul>'),
    "a numbered list of tasks": ("1. [X] a", '<ol><li><span class="task">☑</span>a</li></ol>'),
    "a loose list of tasks": ("* [x] a\n\n* [ ]b\n\n  [ ] c",
                              '<li><p><span class="task">☑</span>a</p></li><li><p>[ ]b</p><p>[ ] c</p></li>'),
    "no task": ("[ ] a", "<p>[ ] a</p>"),
    "a line break of HTML": ("a<br>b<BR/>**c<br />d**", "<p>a<br>b<br><strong>c<br>d</strong></p>"),
    "a line break in a cell": ("| a |\n|---|\n| b<br>c |", "<td>b<br>c</td>"),
    "no line break": (r"`<br>` \<br> &lt;br&gt; <br onload=x> < br>",
                      "<p><code>&lt;br&gt;</code> &lt;br&gt; &lt;br&gt; &lt;br onload=x&gt; &lt; br&gt;</p>"),
    "a heading without a space": ("#hashtag", "<p>#hashtag</p>"),
    "code that is not closed": ("~~~\nopen", '<pre tabindex="0"><code>open</code></pre>'),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_markdown_of_a_model_is_shown_as_what_it_means(name: str) -> None:
    text, expected = BLOCKS[name]
    assert expected in shown(text)


def test_a_table_has_heads_cells_and_sides() -> None:
    markup = shown("| a | b | c |\n|:--|--:|:-:|\n| 1 | `2` | **3** |\n| <x> |")
    assert markup.count("<table>") == markup.count("</table>") == 1
    assert '<thead><tr><th>a</th><th class="r">b</th><th class="m">c</th></tr></thead>' in markup
    assert '<tr><td>1</td><td class="r"><code>2</code></td><td class="m"><strong>3</strong></td></tr>' in markup
    assert "<td>&lt;x&gt;</td>" in markup


LINKS = {
    "[a](https://x.org/?a=1&b=2 'title')": [("https://x.org/?a=1&b=2", "a")],
    "[**a** `b`](http://x.org)": [("http://x.org", "a b")],
    "[a][r]\n\n[r]: https://x.org/r": [("https://x.org/r", "a")],
    "<https://x.org/a>": [("https://x.org/a", "https://x.org/a")],
    "<a@x.org> [m](mailto:b@x.org)": [("mailto:a@x.org", "a@x.org"), ("mailto:b@x.org", "m")],
    "see https://x.org/a_b_c?d=e#f.": [("https://x.org/a_b_c?d=e#f", "https://x.org/a_b_c?d=e#f")],
    "(https://x.org/a_(b)) and http://y.org:80, ok": [
        ("https://x.org/a_(b)", "https://x.org/a_(b)"), ("http://y.org:80", "http://y.org:80"),
    ],
    "见https://x.org/a。还有https://y.org中文": [
        ("https://x.org/a", "https://x.org/a"), ("https://y.org", "https://y.org"),
    ],
    "https://zh.example.org/wiki/茶": [
        ("https://zh.example.org/wiki/%E8%8C%B6", "https://zh.example.org/wiki/茶"),
    ],
    "- **https://x.org**": [("https://x.org", "https://x.org")],
    "[https://y.org](https://x.org)": [("https://x.org", "https://y.org")],
    "`https://x.org`": [],
    "```\nhttps://x.org\n```": [],
}  # fmt: skip


@pytest.mark.parametrize("text", LINKS)
def test_a_link_leads_where_it_says_and_tells_nobody_where_it_came_from(text: str) -> None:
    found = links_of(shown(text))
    assert [(link["href"], text) for link, text in found] == LINKS[text]
    for link, _ in found:
        assert link["rel"] == "noopener noreferrer nofollow"
        assert link["referrerpolicy"] == "no-referrer"
        assert link["title"] == link["href"], "what a reader sees before following it"


NO_LINKS = [
    "[a](javascript:pwned())", "[a](JaVaScRiPt:pwned())", "[a](&#106;avascript:pwned())",
    "[a](java&Tab;script:pwned())",
    "[a](java\nscript:pwned())", "[a](\x01javascript:pwned())", "[a](<javascript:pwned()>)",
    "[a][r]\n\n[r]: javascript:x",
    "[a](data:text/html;base64,PHNjcmlwdD4=)", "[a](vbscript:x)", "[a](file:///etc/passwd)", "[a](ftp://x.org)",
    "[a](//x.org)", "[a](/path)", "[a](#anchor)", "[a](?q)", "[a]()", "[a](blob:x.org/1)",
    "[a](in-this-text:0)",
    "[a](view-source:x.org)", "[a](https:x)", "[a](https://)", "<javascript:pwned()>", "<data:text/html,x>",
    "<ftp://x.org>", "javascript:pwned()", "data:text/html,x", "file:///etc/passwd", "a@x.org", "x.org www.x.org",
    "<a href='mailto:x@x.org'>a</a>", "[a](http)", "[a](mailto:)", "[a](tel:123)", "[a](https\x3a\x2f)",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_LINKS)
def test_no_other_link_is_one_and_its_text_stays(text: str) -> None:
    assert links_of(shown(text)) == []
    assert "a" in text_of(shown(text)) or "x" in text_of(shown(text))


BREAK_OUTS = [
    '[a](https://x.org/"onmouseover="pwned())', "[a](https://x.org/'onmouseover='pwned())",
    "[a](<https://x.org/\" onmouseover=\"pwned()>)", "[a](https://x.org '\" onmouseover=\"pwned()')",
    'https://x.org/"onmouseover="pwned()', "https://x.org/'onmouseover='pwned()", "https://x.org/<script>pwned()",
    "<https://x.org/\"onmouseover=\"pwned()>", "[<script>pwned()</script>](https://x.org)",
    "[a](https://x.org/&quot;onmouseover=&quot;pwned())", "[a](https://x.org/\u202egro.live)",
    "https://x.org\u202e@evil.org", '![" onerror="pwned()](https://x.org/a.png)',
    '```py" onmouseover="pwned()\nx\n```', "```<script>\nx\n```", "1. a\n1\" start=\"2. b",
    "|a|\n|:-\" style=\"x|\n|b|",
    "[![a](https://x.org/i.png)](https://x.org)", f"[![a](data:image/png;base64,{PNG})](https://x.org)",
]  # fmt: skip


@pytest.mark.parametrize("text", BREAK_OUTS)
def test_nothing_breaks_out_of_a_link_or_a_block(text: str) -> None:
    markup = shown(text)
    for link, _ in links_of(markup):
        assert re.fullmatch(r"https://[^\s\"<>]+", link["href"] or "")
        assert set(link) == {"href", "title", "rel", "referrerpolicy", "target"}
    assert "\u202e" not in markup
    assert re.search(r"<a[^>]*>(?:(?!</a>).)*<a", markup, re.DOTALL) is None, "a link in a link"


def test_an_image_elsewhere_is_a_link_that_nothing_loads() -> None:
    markup = shown("![a plan](https://x.org/plan.png) ![](http://x.org/2.png)")
    assert "<img" not in markup
    assert [(link["href"], text) for link, text in links_of(markup)] == [
        ("https://x.org/plan.png", "[image: a plan]"), ("http://x.org/2.png", "[image: http://x.org/2.png]"),
    ]  # fmt: skip


def test_an_image_in_a_text_is_shown_in_a_list_and_stays_a_text_in_code() -> None:
    written = f"![a dot](data:image/png;base64,{PNG})"
    assert f'<li>here <img src="data:image/png;base64,{PNG}" alt="a dot"></li>' in shown(f"- here {written}")
    assert text_of(shown(f"`{written}`")) == text_of(shown(f"```\n{written}\n```")) == written
    assert "<img" in shown(f"see {written}", "user")
    long = f"{written} " + "word " * 30_000
    assert "<img" in shown(long), "as many characters as it has"
    assert shown(f"{written}![x](in-this-text:0)![y](in-this-text:7)").count("<img") == 2


def test_the_text_of_a_user_stays_as_it_was_written() -> None:
    text = "# 1\n* a\n*b* `c` [d](https://x.org) https://x.org\n    e\n> f"
    assert shown(text, "user") == f'<div class="text">{text.replace(">", "&gt;")}</div>'
    for author in ("assistant", "system", "planner"):
        assert "<h3>1</h3>" in shown(text, author)


def test_a_notebook_has_no_headings_of_a_conversation() -> None:
    markup = Event("assistant", "# Plan\n\n## Step")._repr_html_() or ""
    assert re.findall(r"<h\d", markup) == []
    assert '<p class="h" dir="auto">Plan</p>' in markup
    assert_only_our_elements(markup)


# ---------------------------------------------------------------- code in colours


def test_code_is_coloured_by_classes_and_says_the_same() -> None:
    code = "@cache\ndef tea(n: int = 1) -> str:  # 茶 <b>\n    return f'{n} \"cups\"' if True else print(None)\n\n"
    markup = shown(f"```python\n{code}```")
    for span in ('<span class="k">def</span>', '<span class="f">tea</span>', '<span class="b">int</span>'):
        assert span in markup
    assert "style=" not in markup
    found = re.search(r"<code>(.*?)</code>", markup, re.DOTALL)
    assert found is not None
    plain = re.sub(r"</?span[^>]*>", "", found[1])
    assert plain == re.search(r"<code>(.*?)</code>", shown(f"```\n{code}```"), re.DOTALL)[1]  # type: ignore[index]


@pytest.mark.parametrize("language", sorted(colours.LANGUAGES))
def test_every_language_is_known_and_loses_nothing(language: str) -> None:
    code = "\n\n  a = 'b' # \t<x> \"é\" 茶 /* 1 */ -- + - @ $y ${z} \\\x0b end\n   \n\n"
    coloured = colours.coloured(code, language.upper())
    assert coloured is not None
    assert re.sub(r"</?span[^>]*>", "", coloured) == escaped(code)


def test_code_is_plain_without_pygments_and_in_a_language_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "<span" not in shown("```klingon\nx = 1\n```")
    assert colours.coloured("a\rb", "python") is None, "a lexer would change the newline"
    assert "<span" not in shown(f"```python\n{'x = 1;' * 2_000}\n```")
    colours._lexer.cache_clear()
    monkeypatch.setitem(sys.modules, "pygments.lexers", None)  # as if it were not installed
    assert '<div class="code" data-language="python"><pre tabindex="0"><code>x = 1</code></pre></div>' in shown(
        "```python\nx = 1\n```"
    )
    colours._lexer.cache_clear()


# ---------------------------------------------------------------- time, memory and anything at all

FLOOD = MARKDOWN_CHARACTERS // 5
FLOODS: dict[str, Any] = {
    "code on which a lexer takes long": f"```c\n{'//' * 4990}\n```\n",
    "brackets": "[", "images": "![", "links": "[a](b", "open links": "[a](<", "titles": '[a](b "', "stars": "*a ",
    "emphasis": "*_", "strong": "**a", "backticks": "`a ``b ", "quotes": "> ", "lists": "- ", "numbers": "1. ",
    "lines": "a\n", "rows": "|a|b\n|-|-\n|c|d\n", "strikes": "~~a", "entities": "&#1234567;", "angles": "<a",
    "references": "[a]: b\n", "fences": "```\n", "code": "```python\n'\n```\n", "URLs": "https://a.b/",
    "ends": "https://a/)))",
    "brackets at the end": f"https://a.b/{')' * 3000} ", "autolinks": "<http:a>",
    "images in lists": "- ![a](http://b)\n",
    "nested": "".join(f"{'  ' * n}- a\n" for n in range(300)),
    "a wide table": f"|{'a|' * 9000}\n|{'-|' * 9000}\n" + "|a\n" * 9000,
    "a quote that grows": "".join(f"{'>' * n} a\n" for n in range(400)), "spaces": " ", "newlines": "\n",
    "tabs": "\t- a\n",
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
def test_no_text_takes_long_or_makes_much_more_of_itself(name: str) -> None:
    text = (FLOODS[name] * FLOOD)[:FLOOD]
    begun = time.perf_counter()
    markup = page(Event("assistant", text))
    assert time.perf_counter() - begun < 60, "it takes some seconds"
    assert len(markup) < 100 * len(text)
    assert_only_our_elements(markup)
    deepest = max(part.count("<ul") + part.count("<blockquote") for part in re.split(r"</(?:ul|blockquote)>", markup))
    assert deepest <= 30


@given(st.text(st.sampled_from("[]()<>!*_~`#->|: \n\tahttps.:/\"'&;1\\=+@{}\u202e茶"), max_size=300))
def test_no_markdown_makes_an_element_of_its_own(text: str) -> None:
    for author in ("assistant", "user"):
        markup = page(Event(author, text, reasoning=text))
        assert_only_our_elements(markup)
        for link, _ in links_of(markup):
            assert re.match(r"https?://|mailto:|#", link["href"] or "")
