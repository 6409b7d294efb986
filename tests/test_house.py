"""The rules of the house, checked on the source as it stands: what may import what, and where a thing is said."""

import ast
import doctest
import graphlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from packaging.requirements import Requirement

import session_sqlite

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "session_sqlite"
SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = ["session_sqlite"] + [
    module.name for module in pkgutil.walk_packages(session_sqlite.__path__, prefix="session_sqlite.")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def run_python(code: str) -> str:
    """What a new interpreter prints, started in the root of the project."""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def imported_packages(node: ast.AST) -> Iterator[str]:
    """The top-level packages that the code imports when it runs, inside functions too."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield (node.module or "").partition(".")[0]
    for child in ast.iter_child_nodes(node):
        if not is_for_type_checkers(child):
            yield from imported_packages(child)


def importers_of(*packages: str) -> set[str]:
    return {
        name
        for name, path in SOURCES.items()
        if not set(packages).isdisjoint(imported_packages(ast.parse(path.read_text("utf-8"))))
    }


def test_imports_run_downwards_only() -> None:
    run_python("import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")


def test_langchain_is_imported_only_under_langchain_by_the_form_of_its_messages_and_for_contracts() -> None:
    importers = importers_of("langchain", "langchain_classic", "langchain_core", "langgraph")
    assert {name for name in importers if not name.startswith("langchain/")} <= {
        "messages/langchain.py",
        "testing/chat_histories.py",
    }


def test_sqlite_utils_is_imported_only_by_the_sqlite_backend() -> None:
    assert {name for name in importers_of("sqlite_utils") if not name.startswith("sqlite/")} == set()


def test_sqlalchemy_is_imported_only_by_the_server_backend() -> None:
    importers = importers_of("sqlalchemy", "psycopg", "pymysql")
    assert {name for name in importers if not name.startswith("server/")} == set()


def test_no_import_of_our_own_hides_in_a_string() -> None:
    """A lazy import is a statement in a function; only the face of the package looks names up, for its lazy ones."""
    hidden = [
        f"{name}:{node.lineno}"
        for name, path in SOURCES.items()
        if name != "__init__.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in {"import_module", "__import__"}
        and "session_sqlite" in ast.unparse(node)
    ]
    assert hidden == []


def imports_of_ours(name: str) -> Iterator[tuple[str, bool]]:
    """The modules of ours that a module imports, wherever it does so, and whether only a type checker sees it."""

    def visit(node: ast.AST, for_types: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, for_types) for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                part = f"{node.module}.{alias.name}"
                yield (part if part in MODULES else node.module), for_types
        for child in ast.iter_child_nodes(node):
            yield from visit(child, for_types or is_for_type_checkers(child))

    source = importlib.util.find_spec(name)
    assert source is not None
    assert source.origin is not None
    yield from visit(ast.parse(Path(source.origin).read_text("utf-8")), False)


def test_the_imports_have_no_circle_types_and_lazy_ones_included() -> None:
    """The session and the service are the one pair that names each other, for type checkers only."""
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for name in MODULES:
        for imported, for_types in imports_of_ours(name):
            if (name, imported, for_types) != ("session_sqlite.session", "session_sqlite.service", True):
                graph[name].add(imported)
    graph["session_sqlite"] = set()  # the face of the package hands on what is below it
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("langchain_core", "markdown_it", "pandas", "pydantic", "pygments", "sqlalchemy", "asyncio",
             "session_sqlite.async_service", "session_sqlite.transfer")  # fmt: skip
    loaded = run_python(f"import sys, session_sqlite; print(*(name for name in {heavy} if name in sys.modules))")
    assert loaded.split() == []


def test_sql_stands_only_in_the_queries_the_schema_and_the_backend() -> None:
    statement = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|ALTER|DROP|PRAGMA|WITH|BEGIN)\s")
    found = [
        f"{name}:{node.lineno}: {node.value.strip()[:40]}"
        for name, path in SOURCES.items()
        if name not in {"queries.py", "transfer/importers/databases.py"}
        and not name.startswith(("sqlite/", "server/", "testing/"))  # contracts ask `query`, as an owner does
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and statement.match(node.value)
    ]
    assert found == []


@pytest.mark.parametrize("name", session_sqlite.__all__)
def test_every_public_name_can_be_imported_and_has_a_docstring(name: str) -> None:
    value = getattr(session_sqlite, name)
    if not isinstance(value, type) and not inspect.isfunction(value):
        return  # an alias or a mark: the comment behind it says what it is, which Python does not keep
    text = inspect.getdoc(value) or ""
    assert text, f"{name} has no docstring"
    assert not text.startswith(f"{name}("), f"{name} has only the signature that @dataclass writes"


def test_the_public_names_are_listed_once_and_shown_by_dir() -> None:
    assert len(session_sqlite.__all__) == len(set(session_sqlite.__all__))
    assert set(session_sqlite.__all__) <= set(dir(session_sqlite))


@pytest.mark.parametrize("name", MODULES)
def test_every_example_in_a_docstring_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed: see the output"


def project_files() -> Iterator[tuple[str, str]]:
    """Name and text of every text file that git knows or would take."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git checkout, so it is not known which files are the project's")
    for name in listing.stdout.splitlines():
        try:
            yield name, (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # a picture; a file that was removed but not yet from git
            continue


def test_the_files_name_no_machine_no_registry_and_no_working_papers() -> None:
    elsewhere = re.compile(
        r"/wor[k]/|(?:DESIGN|STYLE|TRAPS)[.]md|shared/(?:[A-Z]|hooks|tools)|pypi[.]org|pythonhosted[.]org"
    )
    real_data = re.compile(r"shared/dat[a]")
    may_use_real_data = {".ci/run", "tests/real_conversations.py"}
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in project_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if elsewhere.search(line) or (real_data.search(line) and name not in may_use_real_data)
    ]
    assert found == []


def requirements() -> list[Requirement]:
    texts = PROJECT["dependencies"] + [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_requirement_has_a_floor_and_is_no_pin(requirement: Requirement) -> None:
    operators = {specifier.operator for specifier in requirement.specifier}
    assert ">=" in operators
    assert operators <= {">=", "<", "!="}


def test_the_workflow_runs_the_test_command_of_the_readme() -> None:
    after = (ROOT / "README.md").read_text("utf-8").partition("<!-- test command -->")[2]
    command = next(line for line in after.splitlines() if line and not line.startswith("```"))
    assert f"run: {command}\n" in (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")


def test_the_types_of_choices_and_filters_are_what_the_verbs_take() -> None:
    from session_sqlite import SessionService, filters, queries, search
    from session_sqlite.operations import analytics
    from session_sqlite.transfer import EXPORT_FORMATS
    from session_sqlite.transfer.importers import FORMATS

    assert set(get_args(filters.ImportFormat)) == {"auto", *FORMATS}
    assert set(get_args(filters.ExportFormat)) == {"auto", *EXPORT_FORMATS}
    assert get_args(filters.SearchField) == search.FIELDS
    assert get_args(filters.SessionOrder) == ("newest", "best")
    assert get_args(filters.ToolStatus) == analytics.TOOL_STATUSES
    assert set(get_args(filters.UsageGroup)) == set(queries.USAGE_GROUPS)
    assert set(get_args(filters.ActivityGroup)) == set(queries.ACTIVITY_GROUPS)
    events = inspect.signature(SessionService.list_events).parameters
    assert {*filters.EventFilters.__annotations__, "self", "session", "limit"} == set(events)
    recall_verb = inspect.signature(SessionService.recall).parameters
    assert {*filters.RecallFilters.__annotations__, "self", "question", "session", "app_name", "user_id"} == set(
        recall_verb
    )
    search_verb = inspect.signature(SessionService.search).parameters
    assert {*filters.SearchFilters.__annotations__, "self", "query", "session", "app_name", "user_id"} == set(
        search_verb
    )


def test_a_docstring_begins_with_a_sentence_and_no_riddle() -> None:
    """``What …`` and the like begin a clause without its sentence: a function *returns what*, a class is a noun."""
    clause = re.compile(r"(What|Which|Where|How|Whose|Whether|The same|As)\b")
    found = [
        f"{name}:{node.lineno}: {text.splitlines()[0][:60]}"
        for name, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and (text := ast.get_docstring(node) or "")
        and clause.match(text)
    ]
    assert found == []
