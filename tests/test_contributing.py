"""What contributors read is true: each path and each command that it names is there, and the map has every module."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "session_sqlite"
GITHUB = ROOT / ".github"
DOCUMENTS = [GITHUB / "CONTRIBUTING.md", GITHUB / "SECURITY.md", GITHUB / "CHANGELOG.md", ROOT / "tests" / "README.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ENDINGS = (".py", ".md", ".toml", ".yml", "/", "/run")
SOURCES_OF_TESTS = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "test_contributing.py"]


def code_in(text: str) -> list[str]:
    """What stands between back-quotes, and each line of a block."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def named_paths(text: str) -> set[str]:
    words = {word for code in code_in(text) for word in code.split()}
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text))
    named = {word for word in words - {*ENDINGS} if word.endswith(ENDINGS) and re.fullmatch(r"[\w./-]+", word)}
    return linked | {word for word in named if not word.isupper()}  # `FOLDER/` stands for any


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_is_named_is_there(document: Path) -> None:
    places = (ROOT, PACKAGE, document.parent, ROOT / "tests")
    missing = [
        name for name in named_paths(document.read_text("utf-8")) if not any((p / name).exists() for p in places)
    ]
    assert missing == []


def test_paths_are_found_in_the_documents_at_all() -> None:
    found = named_paths(DOCUMENTS[0].read_text("utf-8"))
    assert {"tests/test_copies.py", ".ci/run", "operations/", "sqlite/schema.py", "CHANGELOG.md"} <= found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_can_be_run(document: Path) -> None:
    programs = {"bash", "lint-imports", "mypy", "pip", "pre-commit", "pytest", "python", "ruff", "session-sqlite", "."}
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    steps = [step.split() for block in blocks for line in block.splitlines() for step in line.split("&&")]
    shells = {step[0] for step in steps if step}
    assert shells <= programs
    ours = {word for code in code_in(document.read_text("utf-8")) if (word := code.split()[0]) in programs}
    for program in ours - {".", "bash", "pip", "pre-commit", "python"}:
        assert shutil.which(program, path=str(Path(sys.executable).parent)), program
    if "pre-commit" in ours:
        assert (ROOT / ".pre-commit-config.yaml").exists()


def layers() -> list[set[str]]:
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    return [{name.strip() for name in re.split(r"[|:]", layer)} for layer in contract["layers"]]


def test_the_map_names_every_module_in_the_order_of_the_layers() -> None:
    text = DOCUMENTS[0].read_text("utf-8").partition("## The map of the house")[2].partition("\n### ")[0]
    rows = [
        re.findall(r"`(\w+)(?:\.py|/)`", line.split("|")[1]) for line in text.splitlines() if line.startswith("| `")
    ]
    named = [name for row in rows for name in row]
    here = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(named) == sorted(here - {"__init__"})
    place = {name: number for number, layer in enumerate(layers()) for name in layer}
    assert [place[name] for name in named] == sorted(place[name] for name in named)


def test_the_ways_to_add_something_name_what_there_is() -> None:
    from backends import BACKENDS

    from session_sqlite import EventFilters, SessionService, filters
    from session_sqlite.server import schema as server_schema
    from session_sqlite.sqlite import schema
    from session_sqlite.transfer.importers import FORMATS

    assert BACKENDS
    assert FORMATS
    assert get_args(filters.ImportFormat)
    assert EventFilters.__annotations__
    assert hasattr(SessionService, "_event_query")
    assert schema.STEPS
    assert server_schema.STEPS
    assert {"counted_events", "tokens", "tool_calls"} <= schema.VIEWS.keys()


def test_every_dependency_has_its_reason_in_the_security_document() -> None:
    text = (GITHUB / "SECURITY.md").read_text("utf-8")
    table = set(re.findall(r"^\| `([\w-]+)` \| .+ \|$", text, re.MULTILINE))
    assert table == {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    for extra, lines in PROJECT["project"]["optional-dependencies"].items():
        assert f"`{extra}`" in text
        if not extra.endswith("test"):
            assert all(f"`{Requirement(line).name.lower()}`" in text for line in lines)


def test_every_test_file_has_its_place_in_the_table() -> None:
    text = (ROOT / "tests" / "README.md").read_text("utf-8")
    files = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    assert files == set(re.findall(r"`(test_\w+\.py)`", text.partition("## Environment")[0]))


def test_the_environment_variables_of_the_tests_are_those_of_the_table() -> None:
    text = (ROOT / "tests" / "README.md").read_text("utf-8").partition("## Environment")[2]
    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    source = "\n".join(path.read_text("utf-8") for path in SOURCES_OF_TESTS)
    used = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", source))
    used |= set(re.findall(r"\"([A-Z_]+)\" (?:not )?in os\.environ", source))
    of_the_system = {"PATH", "PYENV_ROOT", "NO_COLOR", "LD_PRELOAD", "PYTHONPATH"}
    assert named == used - of_the_system
