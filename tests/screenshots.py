"""Pictures of everything that people look at: ``python tests/screenshots.py FOLDER``.

A transcript, a list of sessions and each notebook, at the width of a desktop and of a phone, light and dark. Fails
where a page is blank. Whoever changes the look of something looks at these.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
from browser import browser
from matplotlib import image
from nbconvert import HTMLExporter

from session_sqlite import Event, SQLiteSessionService, ToolCall, Usage
from session_sqlite.transcript import html_page

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {"desktop": 1200, "phone": 390}
CODE = "好的：\n\n```go\nfunc main() {\n\tdefer file.Close() // 关闭文件\n}\n```\n\n**Done.** The tests pass."


def conversation(service: SQLiteSessionService) -> str:
    session = service.create_session(title="代码审查 · Code review", agent_id="reviewer")
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    calls = [ToolCall("Read", {"path": "main.go"}, id="c1"), ToolCall("Bash", {"command": "go test ./..."}, id="c2")]
    session.add_events(
        [
            Event("system", "You review code. Be brief.", created_at=at),
            Event("user", "请帮我分析代码：main.go 为什么没有关闭文件？", created_at=at),
            Event("assistant", "Let me look.", reasoning="First the entry point.", actions=calls, created_at=at,
                  usage=Usage("example-model", 812, 64, cache_read_tokens=300, reasoning_tokens=22)),
            Event("tool", "package main", actions=[ToolCall("Read", id="c1")], created_at=at + timedelta(seconds=1)),
            Event("tool", "FAIL", actions=[ToolCall("Bash", id="c2", error="FAIL")], created_at=at),
            Event("assistant", CODE, state={"step": 2, "user:lang": "zh-CN"}, created_at=at + timedelta(seconds=9)),
            Event("user", "שלום! האם זה עובד מימין לשמאל? main.go", created_at=at),  # Hebrew
            Event("planner", "I take over.", branch="reviewer.planner", created_at=at),
            *(Event("user" if n % 2 else "assistant", f"Message {n}", created_at=at) for n in range(30)),
        ]
    )  # fmt: skip
    return "".join(html_page(session, session.iter_events(), limit=16))


def sessions(service: SQLiteSessionService) -> str:
    for name in ("Invoice", "订单查询", "A title that is a good deal longer than all of the others are", "שלום"):
        service.create_session(title=name, agent_id="helpdesk").add_event("user", f"{name}: where is it?")
    shown = "".join(part._repr_html_() for part in (service.list_sessions(), service.search("where"), service.usage()))
    style = "<style>:root{color-scheme:light dark}</style>"
    return f'<!DOCTYPE html><html lang="en"><meta name="viewport" content="width=device-width">{style}{shown}</html>'


def pages(dark: bool) -> Iterator[tuple[str, str]]:
    with SQLiteSessionService(":memory:") as service:
        yield "transcript", conversation(service)
        yield "sessions", sessions(service)
    exporter = HTMLExporter(theme="dark" if dark else "light", mathjax_url="", require_js_url="", mermaid_js_url="")
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield notebook.stem, exporter.from_notebook_node(nbformat.read(notebook, as_version=4))[0]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as running, tempfile.TemporaryDirectory() as temporary:
        tab = running.page()
        for theme in ("light", "dark"):
            for name, markup in pages(theme == "dark"):
                file = Path(temporary, f"{name}.html")
                file.write_text(markup, "utf-8")
                for kind, width in WIDTHS.items():
                    tab.look(width=width, height=900, dark=theme == "dark")
                    tab.open(file)
                    picture = tab.screenshot()
                    target = folder / f"{name}-{kind}-{theme}.png"
                    target.write_bytes(picture)
                    pixels = image.imread(io.BytesIO(picture))
                    if pixels.shape[0] < 200 or pixels.std() < 0.02:
                        raise SystemExit(f"{target} is blank")
                    print(f"{target.name}: {pixels.shape[1]} × {pixels.shape[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))
