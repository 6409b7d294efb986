"""What the documentation shows runs: every Python and console block of the README, and every example.

What a Python block prints stands in a comment behind it, or in a ``text`` block below the Python block. A ``console``
block has commands behind ``$``, each with its output. ``…`` stands for any text, and alone on a line for any lines.
"""

import ast
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tokenize
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import backends
import pytest
from click.testing import CliRunner

from session_sqlite import SQLiteSessionService
from session_sqlite.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
# The one with a window needs a screen: see test_desktop.py.
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "desktop_chat.py")

ANY_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
RUN_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$(?:\s*^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
WITHOUT_BLOCKS = ANY_BLOCK.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), README)


@dataclass
class Shown:
    """A block that is run.

    Attributes:
        language: ``python`` or ``console``.
        code: The block, behind as many blank lines as stand before it in the README.
        output: The text of the ``text`` block below it; None if there is none.
        is_before: True for what people had before they came here: it runs in a process of its own, where other
            packages may warn as they like.
    """

    language: str
    code: str
    output: str | None
    is_before: bool

    @property
    def line(self) -> int:
        return len(self.code) - len(self.code.lstrip("\n")) + 1


def sections() -> dict[str, list[Shown]]:
    """The blocks that are run, under each ``##`` heading."""
    titles = re.finditer(r"(?m)^## +(.+)$", WITHOUT_BLOCKS)
    headings = [(0, "top"), *((match.start(), match[1]) for match in titles)]
    found: dict[str, list[Shown]] = {}
    for block in RUN_BLOCK.finditer(README):
        heading = next(title for start, title in reversed(headings) if start <= block.start())
        code = "\n" * README.count("\n", 0, block.start(2)) + block[2]
        is_before = README[: block.start()].rstrip().rpartition("\n\n")[2].startswith("Before")
        found.setdefault(heading, []).append(Shown(block[1], code, block[3], is_before))
    return found


def is_shown(stated: str, printed: str) -> bool:
    """True if a text is what was printed, but for what ``…`` stands for and for white space at the ends of lines."""
    pattern = ""
    for line in stated.rstrip().splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ \t]*\n"
    return re.fullmatch(pattern, printed.rstrip() + "\n") is not None


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that documentation makes land here, and what matplotlib keeps for a person does too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PYTHONUTF8", "1")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "mplconfigdir"))
    with zipfile.ZipFile(tmp_path / "chatgpt-export.zip", "w") as archive:
        archive.writestr(
            "conversations.json",
            json.dumps(
                [talk("a", "Which tea?", "Try an oolong."), talk("b", "Where do I see maple leaves?", "In Kyoto.")]
            ),
        )


def talk(id: str, question: str, answer: str) -> dict[str, Any]:
    """A conversation as ChatGPT exports it."""
    at = datetime(2026, 1, 1, 10, tzinfo=UTC).timestamp()
    said = [(f"{id}1", None, "user", question), (f"{id}2", f"{id}1", "assistant", answer)]
    mapping = {
        name: {
            "id": name,
            "parent": before,
            "message": {
                "id": name, "author": {"role": role}, "create_time": at, "recipient": "all",
                "content": {"content_type": "text", "parts": [text]},
            },
        }
        for name, before, role, text in said
    }  # fmt: skip
    return {"id": id, "title": question, "create_time": at, "mapping": mapping, "current_node": said[-1][0]}


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


def assert_prints_what_it_states(blocks: list[Shown]) -> None:
    namespace: dict[str, Any] = {"__name__": "readme"}
    for shown in blocks:
        if shown.language == "console":
            assert_commands_print_what_is_stated(shown)
            continue
        if shown.is_before:
            run_program("-W", "ignore", "-c", shown.code)
            continue
        block = Block(shown.code)
        block.run(str(ROOT / "README.md"), namespace)
        if shown.output is not None:  # then a comment behind a print is prose
            printed = "\n".join(block.outputs)
            assert is_shown(shown.output, printed), f"README.md:{shown.line}: the output below is not this:\n{printed}"
            continue
        for claim in block.claims:
            assert claim.holds(), f"README.md:{claim.lines[-1]} states {claim.stated!r}, and shows {claim.shown}"
        assert block.unstated == [], f"README.md:{shown.line}: a print, and nothing states what it prints"
        assert any(claim.stated.replace("…", "").strip(" []()") for claim in block.claims), "nothing worth seeing"


def assert_commands_print_what_is_stated(shown: Shown) -> None:
    """Runs the commands of a console block; what is printed for people on the error output is output, too."""
    for command, stated in re.findall(r"(?m)^\$ (.+)\n((?:(?!\$ ).*\n)*)", shown.code):
        program, *arguments = shlex.split(command, comments=True)
        assert program == "session-sqlite", f"README.md:{shown.line}: {program} is no command of ours"
        result = CliRunner().invoke(main, arguments)
        assert is_shown(stated, result.output), f"README.md:{shown.line}: {command} prints this:\n{result.output}"


def needs_a_server(blocks: list[Shown]) -> bool:
    return any(ON_A_SERVER in shown.code for shown in blocks)


def test_the_readme_prints_what_it_states() -> None:
    """As a reader meets them: the file that one section makes is there for the next; names are a section's own."""
    for blocks in sections().values():
        if not needs_a_server(blocks):
            assert_prints_what_it_states(blocks)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_readme_prints_on_a_server_what_it_states(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_SQLITE_URL", backends.empty_store(kind))
    on_a_server = [blocks for blocks in sections().values() if needs_a_server(blocks)]
    assert on_a_server
    for blocks in on_a_server:
        assert_prints_what_it_states(blocks)


@pytest.mark.parametrize(
    ("stated", "printed", "is_true"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a\nc\n", False),
        ("a … c", "a b c", True),
        ("a … c", "a b\n c", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "a\nd", True),
        ("a\n…\nd", "a\nb", False),
        ("", "a", False),
    ],
)
def test_an_output_that_differs_is_found(stated: str, printed: str, is_true: bool) -> None:
    assert is_shown(stated, printed) == is_true


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
    for blocks in sections().values():
        if not needs_a_server(blocks):
            assert_prints_what_it_states(blocks)
        if any(".erase(" in shown.code for shown in blocks):
            break
    files = [path for path in Path().iterdir() if path.name.startswith("sessions.db")]
    assert files
    for secret in (b"Where to?", b"555-0199", b"messages about a trip"):
        assert not any(secret in path.read_bytes() for path in files)
    assert b"Where to?" in Path("backup.db").read_bytes(), "the text would not be found if it were there"


def test_no_python_block_of_the_readme_escapes() -> None:
    assert "<!-- no test -->" not in README
    fences = re.findall(r"^[ \t]*(?:```|~~~)[ \t]*(py\w*|console)", README, re.MULTILINE | re.IGNORECASE)
    assert len(fences) == sum(map(len, sections().values())), "a block that is indented, or not called python"


def test_every_verb_in_a_shell_block_of_the_readme_is_a_command() -> None:
    blocks = "".join(re.findall(r"(?ms)^```bash\n(.*?)^```$", README))
    verbs = set(re.findall(r"(?m)^session-sqlite (?:--?\w+ \S+ )*([a-z]+)", blocks))
    assert verbs
    assert verbs <= set(main.commands)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def test_every_link_in_the_readme_leads_somewhere() -> None:
    anchors = {anchor(title) for title in re.findall(r"(?m)^#+ +(.+)$", WITHOUT_BLOCKS)}
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", WITHOUT_BLOCKS)
    for link in {one or other for one, other in links}:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("https://"):
            assert (ROOT / link.partition("#")[0]).exists(), link


def test_every_section_of_the_readme_is_in_its_contents() -> None:
    titles = re.findall(r"(?m)^## +(.+)$", WITHOUT_BLOCKS)
    contents = WITHOUT_BLOCKS.split("\n## Contents\n")[1].split("\n## ")[0]
    linked = re.findall(r"\(#([^)]+)\)", contents)
    assert linked == [anchor(title) for title in titles[titles.index("Contents") + 1 :]]


def test_the_readme_prints_no_warning_and_says_how_to_keep_one_out() -> None:
    """Warnings are errors here; LangChain's own on its deprecated chains is ignored by pytest's configuration."""
    section = README.split("\n## Memory for a chain\n")[1].split("\n## ")[0]
    code = "".join(shown.code for shown in sections()["Memory for a chain"])
    assert "deprecated" in section
    result = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert "MessageHistory" not in result.stderr


def run_example(example: Path, typed: str = "") -> str:
    return run_program(str(example), typed=typed)


def run_program(*arguments: str, typed: str = "") -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
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


def test_the_readme_shows_what_its_main_command_prints_when_it_is_run_again() -> None:
    behind = README.split("<!-- main command -->\n```bash\n")[1]
    command = behind.partition("\n")[0]
    stated = behind.split("```text\n")[1].partition("```")[0]
    example = ROOT / command.rpartition(" ")[2]
    run_example(example)
    assert is_shown(stated, run_example(example))


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
