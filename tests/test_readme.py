"""What the documentation shows runs: every Python block of the README, and every example."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import backends
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


@dataclass
class Claim:
    """An output that a comment states: behind a ``print`` and in the comment lines below it, or behind an expression.

    ``…`` stands for any text, and runs of white space count as one. A comment behind anything else is prose, and so is
    one behind an expression that is no Python value.
    """

    lines: range
    stated: str
    shown: list[str] = field(default_factory=list)

    def holds(self) -> bool:
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in self.stated.split("…"))
        text = " ".join(" ".join(self.shown).split())
        # White space beside a placeholder belongs to it.
        return re.fullmatch(pattern.replace(".*\\ ", ".*").replace("\\ .*", ".*"), text) is not None


class Block:
    """A Python block that notes what it prints, and where."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.tree = ast.parse(code)
        self.outputs: list[str] = []
        self.claims: list[Claim] = []
        self.unstated: list[int] = []
        self.comments = {
            token.start[0]: token
            for token in tokenize.generate_tokens(io.StringIO(code).readline)
            if token.type == tokenize.COMMENT
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr):
                self._read(node)

    def _read(self, node: ast.Expr) -> None:
        end = node.end_lineno or node.lineno
        is_print = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "print"
        stated = [self.text(end)] if end in self.comments else []
        if not is_print and not (stated and is_value(stated[0])):
            return
        below = end + 1
        while (
            is_print
            and below in self.comments
            and not self.comments[below].line[: self.comments[below].start[1]].strip()
        ):
            stated.append(self.text(below))
            below += 1
        if not stated:
            self.unstated.append(end)
        self.claims.append(Claim(range(node.lineno, end + 1), "\n".join(stated)))
        if not is_print:
            call = ast.Call(
                ast.Name("print", ast.Load()), [ast.Call(ast.Name("repr", ast.Load()), [node.value], [])], []
            )
            node.value = ast.fix_missing_locations(ast.copy_location(call, node.value))

    def text(self, line: int) -> str:
        return self.comments[line].string.removeprefix("#")

    def run(self, name: str, namespace: dict[str, Any]) -> None:
        def noted(*values: object, sep: str = " ") -> None:
            line = sys._getframe(1).f_lineno
            text = sep.join(map(str, values))
            self.outputs.append(text)
            for claim in self.claims:
                if line in claim.lines:
                    claim.shown.append(text)

        namespace["print"] = noted
        exec(compile(self.tree, name, "exec"), namespace)  # noqa: S102 - the README is our own code


def is_value(comment: str) -> bool:
    """True for a comment that states a value, and not prose."""
    try:
        ast.literal_eval(comment.strip())
    except (ValueError, SyntaxError):
        return False
    return True


ON_A_SERVER = '["SESSION_SQLITE_URL"]'  # what a block that needs a server says


def assert_prints_what_it_states(blocks: list[str]) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    for code in blocks:
        block = Block(code)
        block.run(str(ROOT / "README.md"), namespace)
        for claim in block.claims:
            assert claim.holds(), f"README.md:{claim.lines[-1]} states {claim.stated!r}, and shows {claim.shown}"
        assert block.unstated == [], "a print in the README without a comment that states what it prints"
        assert any(claim.stated.replace("…", "").strip(" []()") for claim in block.claims), "nothing worth seeing"


def test_the_readme_prints_what_its_comments_state() -> None:
    """As a reader meets them: the file that one section makes is there for the next; names are a section's own."""
    for blocks in sections().values():
        if not any(ON_A_SERVER in code for code in blocks):
            assert_prints_what_it_states(blocks)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_readme_prints_on_a_server_what_its_comments_state(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_SQLITE_URL", backends.empty_store(kind))
    on_a_server = [blocks for blocks in sections().values() if any(ON_A_SERVER in code for code in blocks)]
    assert on_a_server
    for blocks in on_a_server:
        assert_prints_what_it_states(blocks)


@pytest.mark.parametrize(
    ("code", "is_true"),
    [
        ("print(1 + 1)  # 2", True),
        ("print(1 + 1)  # 3", False),
        ("print(1 + 1)  # 2: as it must be", False),
        ("print('a', 5)  # a …", True),
        ("print('b', 5)  # a …", False),
        ("for n in (1, 2):\n    print(n)\n    # 1\n    # 2", True),
        ("for n in (1, 2):\n    print(n)\n    # 1", False),
        ("print(\n    7,\n)  # 7", True),
        ("print(\n    7,\n)  # 8", False),
        ("if False:\n    print(1)  # 1", False),
        ("[1, 2]  # [1, 2]", True),
        ("[1, 2]  # [1, 3]", False),
        ("[1, 2]  # a list of numbers", True),
    ],
)
def test_a_comment_that_states_another_output_is_found(code: str, is_true: bool) -> None:
    block = Block(code)
    block.run("block", {})
    assert all(claim.holds() for claim in block.claims) == is_true


def test_no_example_or_notebook_states_an_output_that_nobody_compares() -> None:
    """Their outputs are compared as a whole, and those in docstrings by doctest."""
    sources = {path.name: path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources |= {f"{path.name}, {i}": "".join(cell["source"]) for i, cell in enumerate(cells)
                    if cell["cell_type"] == "code"}  # fmt: skip
    stated = {name: [claim.stated for claim in Block(code).claims if claim.stated] for name, code in sources.items()}
    assert {name: claims for name, claims in stated.items() if claims} == {}


def test_what_the_readme_erases_is_nowhere_in_the_file() -> None:
    for title, blocks in sections().items():
        namespace: dict[str, Any] = {"__name__": "readme"}
        for code in blocks:
            Block(code).run(title, namespace)
        if title.startswith("Branch"):
            break
    files = [path for path in Path().iterdir() if path.name.startswith("sessions.db")]
    assert files
    for secret in (b"Where to?", b"555-0199", b"messages about a trip"):
        assert not any(secret in path.read_bytes() for path in files)
    assert b"Where to?" in Path("backup.db").read_bytes(), "the text would not be found if it were there"


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


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_chat_service_runs_on_a_server_as_it_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_file = run_example(ROOT / "examples" / "chat_service.py")
    monkeypatch.setenv("SESSION_SQLITE_URL", backends.empty_store(kind))
    assert run_example(ROOT / "examples" / "chat_service.py") == on_a_file


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


def test_the_readme_shows_what_the_agent_that_recalls_prints() -> None:
    shown = re.search(r"<!-- agent_that_recalls -->\n```text\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None
    said = re.sub(r" Lines that begin .*", " …", run_example(ROOT / "examples" / "agent_that_recalls.py"))
    dates = re.compile(r"\d{4}-\d\d-\d\d")
    assert dates.sub("", said).split() == dates.sub("", shown[1]).split()
    assert run_example(ROOT / "examples" / "agent_that_recalls.py").endswith('in session "catalogue".\n')


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
