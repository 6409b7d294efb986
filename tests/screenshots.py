"""Pictures of everything that people look at: ``python tests/screenshots.py FOLDER``.

A transcript, attachments, an index of conversations and a page of it, lists, and each notebook, at the width of a
desktop and of a phone, light and dark. Fails where a page is blank. Whoever changes a look, looks at these.

``python tests/screenshots.py --readme FOLDER`` makes the README's pictures, by default in their place.
"""

from __future__ import annotations

import argparse
import base64
import io
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
from browser import Page, browser
from matplotlib import image
from nbconvert import HTMLExporter
from PIL import Image

from session_sqlite import Event, Session, SQLiteSessionService, ToolCall, Usage
from session_sqlite.messages.langchain import message_to_event
from session_sqlite.transcript import html_page

ROOT = Path(__file__).resolve().parents[1]
README_PICTURES = ROOT / ".github" / "images"
MOST_BYTES = 150_000  # of one of them
WIDTHS = {"desktop": 1280, "phone": 390}
AT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)

FINDING = """Found it: `main.go` opens the file and never closes it, so every call keeps a descriptor.

```go
func read(path string) ([]byte, error) {
\tfile, err := os.Open(path)
\tif err != nil {
\t\treturn nil, fmt.Errorf("open %s: %w", path, err)
\t}
\tdefer file.Close() // 关闭文件
\treturn io.ReadAll(file)
}
```

| file | line | problem |
|---|--:|---|
| `main.go` | 12 | the file is **never closed** |
| `store.go` | 48 | an error is dropped |

1. Close it with `defer`.
2. Return the error:
   - wrap it with `%w`
   - add the path

> Details are in [Effective Go](https://go.dev/doc/effective_go#defer).
"""
PLAIN = """```python
@cache
def tea(cups: int = 1) -> str:
    return f"{cups} cups"  # 茶
```"""
SYSTEM = "You review code, and you are brief and friendly. Always name the file and the line. " * 8


def conversation(service: SQLiteSessionService, most: int | None = None) -> Session:
    """One of everything: languages, calls, reasoning, tables, code, a failed tool, an agent of its own."""
    session = service.create_session(session_id="review-1", title="代码审查 · Code review", agent_id="reviewer")
    calls = [ToolCall("Read", {"path": "main.go"}, id="c1"), ToolCall("Bash", {"command": "go test ./..."}, id="c2")]
    events = [
            Event("system", SYSTEM, created_at=AT),
            Event("user", "请帮我分析代码：main.go 为什么没有关闭文件？", created_at=AT),
            Event("assistant", "Let me look.", reasoning="First the entry point, then what it opens.", actions=calls,
                  usage=Usage("example-model", 812, 64, cache_read_tokens=300, reasoning_tokens=22), created_at=AT),
            Event("tool", "package main", actions=[ToolCall("Read", id="c1")], created_at=AT + timedelta(seconds=1)),
            Event("tool", "FAIL", actions=[ToolCall("Bash", id="c2", error="FAIL")], created_at=AT),
            Event("assistant", actions=[ToolCall("Read", {"path": "store.go"}, output="package store")],
                  usage=Usage("example-model", 1_204, 31), created_at=AT),
            Event("assistant", FINDING, state={"step": 2, "user:lang": "zh-CN"}, created_at=AT + timedelta(minutes=1),
                  usage=Usage("example-model", 1_560, 204)),
            Event("user", "Thanks, please fix it.", created_at=AT + timedelta(minutes=4)),
            Event("assistant", "Done: closed with `defer`. The tests pass.", created_at=AT + timedelta(minutes=5)),
            Event("user", "שלום! האם זה עובד מימין לשמאל? main.go", created_at=AT + timedelta(minutes=6)),  # Hebrew
            Event("assistant", "כן:\n\n- ראשון\n- שני\n\nAnd back to English.", created_at=AT + timedelta(minutes=6)),
            Event("planner", "I take over.", branch="reviewer.planner", created_at=AT + timedelta(days=1)),
    ]  # fmt: skip
    session.add_events(events[:most])
    return session.refresh()


def everything(service: SQLiteSessionService) -> str:
    session = conversation(service)
    many = [
        ToolCall("Search", {"query": f"tea {n}"}, output="x", error="timeout" if n == 3 else None) for n in range(9)
    ]
    session.add_events(
        [
            Event("assistant", PLAIN, actions=many, created_at=AT + timedelta(days=1)),
            Event("assistant", "A reply that st", metadata={"interrupted": "CancelledError"}, created_at=AT),
            *(Event("user" if n % 2 else "assistant", f"Message {n}", created_at=AT) for n in range(12)),
        ]
    )
    return "".join(html_page(session, session.iter_events(), limit=24))


def attachments(service: SQLiteSessionService) -> str:
    from langchain_core.messages import AIMessage, HumanMessage

    session = service.create_session(title="Which tea is it?")
    data = base64.b64encode(bytes(4000)).decode()
    drawn = io.BytesIO()
    Image.linear_gradient("L").resize((180, 90)).save(drawn, "PNG")
    picture = base64.b64encode(drawn.getvalue()).decode()
    blocks = [
        {"type": "text", "text": "Which tea is this, and is it in the list?"},
        {"type": "image", "base64": picture, "mime_type": "image/png"},
        {"type": "file", "base64": data, "mime_type": "application/pdf", "filename": "teas.pdf"},
        {"type": "audio", "base64": data, "mime_type": "audio/wav"},
        {"type": "image", "url": "https://example.org/tea.png"},
    ]
    replies = "Oolong.\n\n![a map](https://example.org/map.png)\n\nSee https://example.org/oolong."
    events = [message_to_event(HumanMessage(blocks)), message_to_event(AIMessage(replies))]
    session.add_events(events)
    return "".join(html_page(session, session.iter_events()))


def folder(service: SQLiteSessionService, path: Path) -> Iterator[tuple[str, str]]:
    titles = (
        "Invoice 4711",
        "订单查询",
        "A title that is a good deal longer than all of the others are",
        "שלום עולם",
        "",
    )
    for number in range(40):
        session = service.create_session(title=titles[number % 5], agent_id="helpdesk")
        session.add_events(
            [
                Event("user", f"Where is my order {4700 + number}? I have waited for it since last week."),
                Event("assistant", "On its way.", usage=Usage("m", 310 + number, 42), actions=[ToolCall("track")]),
            ]
        )
    service.export(f"{path}/", format="html")
    yield "index", (path / "index.html").read_text("utf-8")
    yield "page", max((path / "sessions").iterdir(), key=lambda page: page.stat().st_size).read_text("utf-8")


def lists(service: SQLiteSessionService) -> str:
    parts = (service.list_sessions(limit=8), service.search("where", limit=5), service.usage())
    shown = "".join(part._repr_html_() for part in parts)
    style = "<style>:root{color-scheme:light dark}</style>"
    return f'<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width">{style}{shown}</html>'


def in_notebook(*outputs: tuple[str, object], dark: bool) -> str:
    """A notebook with these cells and what they show, as Jupyter's own styles draw it."""
    cells = []
    for number, (source, value) in enumerate(outputs, start=1):
        cell = nbformat.v4.new_code_cell(source, execution_count=number)
        data = {"text/html": value._repr_html_()}  # type: ignore[attr-defined]  # each shows itself
        cell.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=number)]
        cells.append(cell)
    return exported(nbformat.v4.new_notebook(cells=cells), dark=dark)


def exported(notebook: nbformat.NotebookNode, *, dark: bool) -> str:
    exporter = HTMLExporter(theme="dark" if dark else "light", mathjax_url="", require_js_url="", mermaid_js_url="")
    return str(exporter.from_notebook_node(notebook)[0])


def pages(dark: bool, temporary: Path) -> Iterator[tuple[str, str]]:
    with SQLiteSessionService(":memory:") as service:
        yield "transcript", everything(service)
        yield "attachments", attachments(service)
        yield "notebook", in_notebook(("service.get_session('review-1')", service.get_session("review-1")), dark=dark)
        yield from folder(service, temporary / ("dark" if dark else "light"))
        yield "lists", lists(service)
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield notebook.stem, exported(nbformat.read(notebook, as_version=4), dark=dark)


def readme_pages() -> Iterator[tuple[str, str, bool]]:
    with SQLiteSessionService(":memory:") as service:
        session = conversation(service, 9)
        for dark, theme in ((False, "light"), (True, "dark")):
            yield f"transcript-{theme}", "".join(html_page(session, session.iter_events())), dark
        notebook = in_notebook(("service.list_sessions()", service.list_sessions()), ("session", session), dark=False)
        yield "notebook", notebook, False


def picture(tab: Page, markup: str, file: Path, *, width: int, dark: bool, most: int = 6000) -> bytes:
    file.write_text(markup, "utf-8")
    tab.look(width=width, height=900, dark=dark)
    tab.open(file)
    drawn = tab.screenshot(most=most)
    pixels = image.imread(io.BytesIO(drawn))
    if pixels.shape[0] < 200 or pixels.std() < 0.02:
        raise SystemExit(f"{file.stem} is blank: {pixels.shape}, {pixels.std()}")
    return drawn


def main(folder: Path, *, only: Sequence[str] = ()) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as running, tempfile.TemporaryDirectory() as temporary:
        tab = running.page()
        for theme in ("light", "dark"):
            for name, markup in pages(theme == "dark", Path(temporary)):
                if only and name not in only:
                    continue
                for kind, width in WIDTHS.items():
                    file = Path(temporary, f"{name}.html")
                    drawn = picture(tab, markup, file, width=width, dark=theme == "dark")
                    target = folder / f"{name}-{kind}-{theme}.png"
                    target.write_bytes(drawn)
                    print(target.name)


def readme_pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as running, tempfile.TemporaryDirectory() as temporary:
        tab = running.page()
        for name, markup, dark in readme_pages():
            drawn = picture(tab, markup, Path(temporary, f"{name}.html"), width=860, dark=dark, most=1400)
            target = folder / f"{name}.png"
            Image.open(io.BytesIO(drawn)).convert("RGB").save(target, optimize=True)
            if target.stat().st_size > MOST_BYTES:
                raise SystemExit(f"{target} has {target.stat().st_size:,} bytes")
            print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--readme", action="store_true", help="make the README's pictures")
    parser.add_argument("--only", action="append", default=[], help="only this page; repeatable")
    given = parser.parse_args()
    if given.readme:
        readme_pictures(given.folder or README_PICTURES)
    else:
        main(given.folder or Path("screenshots"), only=given.only)
