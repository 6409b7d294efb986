"""What the documentation shows runs: every Python block of the README, and every example."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_sqlite import SQLiteSessionService

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
# The one with a window needs a screen: see test_desktop.py.
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "desktop_chat.py")

PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def sections() -> dict[str, list[str]]:
    """The Python blocks under each ``##`` heading, padded with blank lines so that line numbers are the README's."""
    without_blocks = ANY_BLOCK.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), README)
    headings = [(0, "top"), *((match.start(), match[1]) for match in re.finditer(r"(?m)^## +(.+)$", without_blocks))]
    found: dict[str, list[str]] = {}
    for block in PYTHON_BLOCK.finditer(README):
        heading = next(title for start, title in reversed(headings) if start <= block.start())
        found.setdefault(heading, []).append("\n" * README.count("\n", 0, block.start(1)) + block[1])
    return found


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that documentation makes land here, and what matplotlib keeps for a person does too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PYTHONUTF8", "1")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mplconfigdir"))


def test_the_python_blocks_of_the_readme_run_in_order() -> None:
    """As a reader meets them: the file that one section makes is there for the next; names are a section's own."""
    for blocks in sections().values():
        namespace: dict[str, Any] = {"__name__": "readme"}
        for block in blocks:
            exec(compile(block, str(ROOT / "README.md"), "exec"), namespace)  # noqa: S102 - the README is our own code


def test_no_python_block_of_the_readme_escapes() -> None:
    assert "<!-- no test -->" not in README
    fences = re.findall(r"^[ \t]*(?:```|~~~)[ \t]*(py\w*)", README, re.MULTILINE | re.IGNORECASE)
    assert len(fences) == sum(map(len, sections().values())), "a Python block that is indented, or not called python"


def run_example(example: Path, typed: str = "") -> str:
    result = subprocess.run(
        [sys.executable, str(example)],
        input=typed,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs_and_says_something(example: Path) -> None:
    assert run_example(example).strip()


@pytest.mark.parametrize("name", ["chain_with_memory", "langgraph_node"])
def test_an_example_runs_again_on_what_it_remembers(name: str) -> None:
    example = ROOT / "examples" / f"{name}.py"
    assert run_example(example) != run_example(example), "the second run shows nothing of the first"


def test_the_agent_with_memory_goes_on_in_another_process_in_both_modes() -> None:
    example = ROOT / "examples" / "agent_with_memory.py"
    assert run_example(example).count("You have not asked for any tea yet.") == 2
    again = run_example(example)
    assert again.count("You asked about: sencha: 12 €") == 2
    assert again.count("Here you are. oolong: 15 €") == 2


def test_the_terminal_chat_resumes_and_obeys_its_commands() -> None:
    example = ROOT / "examples" / "cli_chat.py"
    assert "I am listening." in run_example(example, "I like oolong.\n")
    again = run_example(example, "/find oolong\nWhy?\n/undo\n/quit\nnever read\n")
    assert "2 messages so far" in again
    assert "user | I like oolong." in again
    assert "1 | I like oolong." in again
    assert "Your message 2 in this session." in again
    assert "Forgotten: 2 messages." in again
    assert "2 messages so far" in run_example(example)


def test_the_readme_names_every_table_column_and_view() -> None:
    with SQLiteSessionService(":memory:") as service:
        columns = {
            table: [column["name"] for column in service.query(f"PRAGMA table_info({table})")]
            for table in ("sessions", "events", "state")
        }
        views = [row["name"] for row in service.query("SELECT name FROM sqlite_master WHERE type = 'view'")]
    for table, names in columns.items():
        row = re.search(rf"^\| `{table}` \| `([^`]+)` \|$", README, re.MULTILINE)
        assert row is not None, table
        assert sorted(row[1].split()) == sorted(names)
    assert all(f"| `{view}` |" in README for view in views)
