"""The checker of histories finds each kind of wrong answer, and nothing in a history that is right."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from .histories import on_file
from .history import Operation, violations
from .trials import Length


def a_right_history(seed: int) -> list[Operation]:
    """Calls of four processes that overlap, each done at one moment between its call and its answer."""
    dice = random.Random(seed)
    visible: list[tuple[int, str]] = []
    last_seq, operations = 0, []
    for number in range(120):
        moment = number * 10
        invoked, returned = moment - dice.randrange(40), moment + dice.randrange(40)
        kind = dice.choice(("append", "append", "append", "list", "tail", "after", "state", "last_seq", "rewind"))
        asked: Any = None
        answer: Any = None
        match kind:
            case "append":
                asked = tuple(f"{number}.{part}" for part in range(dice.choice((1, 1, 3))))
                answer = tuple(range(last_seq + 1, last_seq + 1 + len(asked)))
                visible += zip(answer, asked, strict=True)
                last_seq += len(asked)
                if dice.random() < 0.1:  # killed before it could say so; some were tried again
                    operations.append(Operation(number % 4, kind, "s", invoked, None, asked))
                    invoked = returned
                    if dice.random() < 0.5:
                        continue
            case "list":
                answer = tuple(visible)
            case "tail":
                asked = dice.choice((1, 4))
                answer = tuple(visible[-asked:])
            case "after":
                asked = dice.randrange(1, 30)
                answer = tuple(event for event in visible if event[0] > asked)
            case "state":
                answer = visible[-1][1] if visible else None
            case "last_seq":
                answer = last_seq
            case "rewind":
                asked = dice.choice((1, 2))
                visible, answer = visible[:-asked], tuple(visible[-asked:])
                invoked, returned = moment - 4, moment + 4  # one process does them, one after the other
        operations.append(Operation(number % 4, kind, "s", invoked, returned, asked, answer))
    operations.append(Operation(-1, "append", "never", 0, None, ("unknown",)))
    return [*operations, Operation(0, "list", "s", 2_000, 2_001, None, tuple(visible))]


def test_a_right_history_has_no_violations() -> None:
    for seed in range(60):
        assert violations(a_right_history(seed)) == [], seed


def read(invoked: int, *events: tuple[int, str], process: int = 1) -> Operation:
    return Operation(process, "list", "s", invoked, invoked + 5, None, events)


def append(invoked: int, *events: tuple[int, str], process: int = 0, took: int = 5) -> Operation:
    seqs, ids = zip(*events, strict=True)
    return Operation(process, "append", "s", invoked, invoked + took, ids, seqs)


A, B, C = (1, "a"), (2, "b"), (3, "c")
PLANTED: dict[str, list[Operation]] = {
    "lost": [append(0, A), append(10, B), read(20, A, B), read(30, A)],
    "lost: the last one, of which nobody else heard": [append(0, A), append(10, B), read(30, A)],
    "doubled: an event": [append(0, A), append(10, B), read(20, A, B, (3, "a"))],
    "doubled: an event in one answer": [append(0, A), append(10, B), read(20, A, A, B)],
    "doubled: a place": [append(0, A), append(0, (1, "b"), process=1), read(20, A)],
    "doubled: an append that was tried again": [
        replace(append(0, A), returned=None), append(10, B), append(20, (3, "a")), read(30, A, B, (3, "a")),
    ],
    "gap": [append(0, A), append(10, C), read(20, A, C)],
    "stale: an old list": [append(0, A), append(10, B), read(20, A), read(30, A, B)],
    "stale: an old number": [append(0, A), Operation(1, "last_seq", "s", 10, 11, None, 0), read(30, A)],
    "stale: an old state": [
        append(0, A), append(10, B), Operation(1, "state", "s", 20, 21, None, "a"), read(30, A, B),
    ],
    "stale: an empty tail": [append(0, A), Operation(1, "tail", "s", 10, 11, 2, ()), read(30, A)],
    "stale: a read after a newer one": [
        append(0, A), append(10, B, took=90), read(20, A, B), read(30, A, process=2), read(200, A, B),
    ],
    "early": [append(0, A), read(10, A, B), append(20, B), read(30, A, B)],
    "reordered": [append(0, B), append(10, A), read(20, A, B)],
    "torn: half of an append": [append(0, A), append(10, B, C), read(12, A, B), read(30, A, B, C)],
    "torn: an answer with a hole": [append(0, A), append(10, B), append(20, C), read(30, A, C), read(40, A, B, C)],
    "torn: two events in another order": [append(0, A), append(10, B), read(20, B, A), read(30, A, B)],
    "torn: an append apart": [append(0, A, C), append(1, B), read(20, A, B, C)],
    "foreign": [append(0, A), read(10, A, (2, "of nobody"))],
    "rewound: an event that is not the latest": [
        append(0, A), append(10, B), Operation(0, "rewind", "s", 20, 21, 2, (B,)), read(30, A),
    ],
    "stale: what was rewound": [
        append(0, A), append(10, B), Operation(0, "rewind", "s", 20, 21, 1, (B,)), read(30, A, B), read(40, A),
    ],
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_bug_of_each_kind_is_caught(planted: str) -> None:
    found = violations(PLANTED[planted])
    assert any(re.match(f"session s: {planted.split(':')[0]}:", wrong) for wrong in found), found


def test_a_wrong_answer_in_a_right_history_is_caught() -> None:
    for seed in range(10):
        operations = a_right_history(seed)
        for number, one in enumerate(operations):
            if one.kind == "list" and one.answer:
                seq, id = one.answer[-1]
                wrong = replace(one, answer=(*one.answer[:-1], (seq + 1_000, id)))
            elif one.kind == "last_seq":
                wrong = replace(one, answer=one.answer + 1_000)
            else:
                continue
            assert violations([*operations[:number], wrong, *operations[number + 1 :]]), (seed, number)


BROKEN = """
import sys
sys.path.insert(0, {folder!r})
import history_worker
from session_sqlite import SQLiteSessionService
append = SQLiteSessionService.append_events
calls = 0
def forgets(self, session, events, **options):
    global calls
    calls += 1
    return [e.__class__(e.author, e.content, id=e.id, seq=1) for e in events] if calls == 9 else append(
        self, session, events, **options)
SQLiteSessionService.append_events = forgets
history_worker.main()
"""


def test_the_trial_fails_with_a_store_that_forgets_an_append(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(folder=str(Path(__file__).parent)))
    with pytest.raises(AssertionError, match=r"lost|doubled"):
        on_file(tmp_path, Length(0.001), script=script)
