"""The contracts of `session_sqlite.testing`: each has a sentence of its own, and finds the backend that breaks it."""

from __future__ import annotations

import functools
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from wrong_backends import FAULTS, RIGHT, Fault

from session_sqlite import testing
from session_sqlite.testing.chat_histories import ChatHistoryContracts

TESTS = Path(__file__).parent
README = (TESTS.parent / "README.md").read_text("utf-8")
BACKEND = [base for base in testing.BackendContracts.__mro__[1:] if issubclass(base, testing.Contracts)][:-1]
SUBJECTS = [*BACKEND, ChatHistoryContracts]


def contracts() -> Iterator[tuple[str, str]]:
    """The name and the sentence of each."""
    for subject in SUBJECTS:
        for name, function in vars(subject).items():
            if name.startswith("test_"):
                yield name, inspect.getdoc(function) or ""


def test_every_contract_has_a_sentence_that_is_not_its_name() -> None:
    found = list(contracts())
    assert len(found) > 150
    for name, sentence in found:
        assert re.fullmatch(r"[^ a-z].*\.", sentence.partition("\n")[0]), f"{name}: {sentence}"
        assert re.sub(r"\W+", "_", sentence.lower()).strip("_") != name.removeprefix("test_"), name
    assert len({sentence for _, sentence in found}) == len(found)


def test_no_subject_hides_a_contract_of_another() -> None:
    names = [name for name, _ in contracts()]
    assert sorted(set(names)) == sorted(names)


def test_every_subject_is_among_the_contracts_of_a_backend() -> None:
    exported = {getattr(testing, name) for name in testing.__all__ if name.endswith("Contracts")}
    assert exported == {*BACKEND, testing.Contracts, testing.BackendContracts}


def run(*arguments: str, folder: Path = TESTS) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, encoding="utf-8", cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@functools.cache
def results(*options: str) -> dict[str, dict[str, list[str]]]:
    """The contracts that passed and failed, by the backend."""
    found: dict[str, dict[str, list[str]]] = json.loads(run("wrong_backends.py", *options).splitlines()[-1])
    return found


def assert_found_by_its_contract_alone(fault: Fault, found: dict[str, list[str]]) -> None:
    assert set(found["failed"]) == {fault.contract}
    assert set(found["passed"]) - {fault.contract}, "and the others hold"


def name_of(fault: Fault) -> str:
    return str(fault.wrong.__name__)


@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_a_fault_is_found_by_the_contract_that_names_it_and_by_no_other_of_its_subject(fault: Fault) -> None:
    assert_found_by_its_contract_alone(fault, results()[name_of(fault)])


def test_the_right_backend_and_history_keep_the_contracts_that_the_wrong_ones_break() -> None:
    passed = [name for right in RIGHT for name in results()[name_of(right)]["passed"]]
    assert set(passed) == {fault.contract for fault in FAULTS}
    assert not any(results()[name_of(right)]["failed"] for right in RIGHT)


@pytest.mark.faults
def test_no_other_contract_at_all_fails_on_a_wrong_backend_and_none_on_the_right_one() -> None:
    for fault in FAULTS:
        assert_found_by_its_contract_alone(fault, results("--all")[name_of(fault)])
    for right in RIGHT:
        assert results("--all")[name_of(right)]["failed"] == []


def test_the_example_of_the_readme_runs_the_contracts(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(# test_mine\.py\n.*?)```", README, re.DOTALL)
    (tmp_path / "test_mine.py").write_text(block, "utf-8")
    few = "sent_twice or list_of_messages or levels or latest_change"
    said = run("-m", "pytest", "-p", "no:cacheprovider", "-v", "-k", few, "test_mine.py", folder=tmp_path)
    assert "TestMyBackend::test_a_list_of_sessions_has_the_latest_change_first PASSED" in said
    assert "TestMyHistory::test_a_list_of_messages_is_a_copy PASSED" in said
    assert " 3 passed" in said


@pytest.mark.parametrize("module", ["session_sqlite.testing", "session_sqlite.testing.state"])
def test_without_pytest_the_contracts_say_what_is_missing(module: str) -> None:
    code = f"import sys; sys.modules['pytest'] = None; import session_sqlite; import {module}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    said = result.stderr.splitlines()[-1]
    missing = "session_sqlite.testing needs pytest, which is not installed: pip install pytest"
    assert said == f"ModuleNotFoundError: {missing}"


def test_the_package_itself_asks_for_no_pytest() -> None:
    code = "import sys, session_sqlite; assert not {'pytest', 'session_sqlite.testing'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
