"""The contracts of `session_sqlite.testing`: each has a sentence of its own, and finds the backend that breaks it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from session_sqlite import testing

SUBJECTS = [base for base in testing.BackendContracts.__mro__[1:] if issubclass(base, testing.Contracts)][:-1]


def contracts() -> Iterator[tuple[str, str]]:
    """The name and the sentence of each."""
    for subject in SUBJECTS:
        for name, function in vars(subject).items():
            if name.startswith("test_"):
                yield name, inspect.getdoc(function) or ""


def test_every_contract_has_a_sentence_that_is_not_its_name() -> None:
    found = list(contracts())
    assert len(found) > 70
    for name, sentence in found:
        assert re.fullmatch(r"[^ a-z].*\.", sentence.partition("\n")[0]), f"{name}: {sentence}"
        assert re.sub(r"\W+", "_", sentence.lower()).strip("_") != name.removeprefix("test_"), name
    assert len({sentence for _, sentence in found}) == len(found)


def test_no_subject_hides_a_contract_of_another() -> None:
    names = [name for name, _ in contracts()]
    assert sorted(set(names)) == sorted(names)


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
