"""How many of the right events recall finds, beside plain FTS5, and how long it takes.

*Recall at 10* is the mean over questions of the share of the right events among the first ten. *MRR* is the mean of one
divided by the place of the first right one. FTS5 stands for what is there without us: any word of the question, by
BM25, a Chinese character being a word.

The sets are our own questions (`memory_questions`), the questions of `real_conversations.MEMORY_QUESTIONS` where that
file is, and LoCoMo's where the environment variable LOCOMO names a clone of snap-research/locomo. Its licence, CC
BY-NC, lets us measure with it, and copy nothing of it.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import sqlite3
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from real_conversations import DATA, MEMORY_QUESTIONS

from session_sqlite import ANY, Event, SQLiteSessionService
from session_sqlite.models import AnyOf
from session_sqlite.sqlite.driver import Connection

from . import corpus, searching
from .measuring import Figure
from .memory_questions import Conversation, Turn, conversations

if TYPE_CHECKING:
    from .cases import Sizes

AT = 10
LOCOMO_TUNED = ("26", "30", "41", "42", "43")  # conversations 1 to 5, on which the weights were chosen
LOCOMO_OTHERS = ("44", "47", "48", "49", "50")
SMALL_LIMIT, LARGE_MEDIAN, LARGE_SLOW = 0.003, 0.03, 0.1  # seconds
SMALL = 600  # events


class Quality(NamedTuple):
    """Recall at 10, and MRR."""

    recall: float
    mrr: float


class Set(NamedTuple):
    """A set of questions, with the least recall that it is to reach without times, and with what the MRR beats FTS5."""

    name: str
    stores: list[Conversation]
    target: float | None


Ask = Callable[[str], list[str]]


def memory_questions(language: str) -> list[Conversation]:
    """The questions of the file beside the repository, in one language; none where it is not."""
    if not (DATA / MEMORY_QUESTIONS).exists():
        return []
    stores: dict[str, Conversation] = {}
    with gzip.open(DATA / MEMORY_QUESTIONS, "rt", encoding="utf-8") as lines:
        for one in map(json.loads, lines):
            if one["lang"] != language:
                continue
            store = stores.setdefault(one["user"], Conversation([], []))
            if one["kind"] == "turn":
                day = datetime.fromisoformat(one["session"]).replace(tzinfo=UTC)
                store.turns.append(Turn(one["session"], one["id"], one["role"], one["text"], day))
            else:
                store.questions.append((one["question"], one["evidence"]))
    return list(stores.values())


def locomo(names: Sequence[str]) -> list[Conversation]:
    """Conversations of LoCoMo with their questions, but for those that have no answer; none without a clone."""
    if "LOCOMO" not in os.environ:
        return []
    folder = Path(os.environ["LOCOMO"]) / "data"
    if (folder / "locomo10.json").exists():
        samples = {one["sample_id"].removeprefix("conv-"): one
                   for one in json.loads((folder / "locomo10.json").read_text("utf-8"))}  # fmt: skip
        return [_locomo({**samples[name]["conversation"], "qa": samples[name]["qa"]}) for name in names]
    with zipfile.ZipFile(folder / "locomo10.zip") as archive:
        paths = {Path(path).stem: path for path in archive.namelist() if path.endswith(".json")}
        return [_locomo(json.loads(archive.read(paths[name]))) for name in names]


def _locomo(data: dict[str, Any]) -> Conversation:
    turns = []
    for number in range(1, 100):
        for said in data.get(f"session_{number}", ()):
            day = datetime.strptime(data[f"session_{number}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
            author = "user" if said["speaker"] == data["speaker_a"] else "assistant"
            text = f"{said['speaker']}: {said['text']} {said.get('blip_caption', '')}".strip()
            turns.append(Turn(f"session {number}", said["dia_id"], author, text, day))
    known = {turn.id for turn in turns}
    asked = []
    for one in data["qa"]:
        named = re.findall(r"D\d+:\d+", " ".join(one["evidence"]))
        if (evidence := [id for id in dict.fromkeys(named) if id in known]) and one["category"] != 5:
            asked.append((one["question"], evidence))
    return Conversation(turns, asked)


def by_fts5(store: Conversation) -> Ask:
    """Returns the ids that FTS5 finds: any word, by its BM25."""
    connection = sqlite3.connect(":memory:", factory=Connection)  # which closes itself
    connection.execute("CREATE VIRTUAL TABLE turns USING fts5 (text)")
    rows = [(number, _apart(turn.text)) for number, turn in enumerate(store.turns)]
    connection.executemany("INSERT INTO turns (rowid, text) VALUES (?, ?)", rows)

    def ask(question: str) -> list[str]:
        words = dict.fromkeys(re.findall(r"\w+", _apart(question)))
        found = connection.execute(
            "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), AT),
        )
        return [store.turns[row].id for (row,) in found.fetchall()]

    return ask


def _apart(text: str) -> str:
    return re.sub("([\u3040-\u9fff\uac00-\ud7a3])", r" \1 ", text)


def by_recall(store: Conversation, *, times: bool) -> Ask:
    """Returns the ids that recall finds, with the turns written as of their days, or all at once."""
    service = SQLiteSessionService(":memory:")
    fill(service, store, times=times)
    return lambda question: [hit.event.id for hit in service.recall(question, limit=AT)]


def fill(service: SQLiteSessionService, store: Conversation, *, times: bool) -> None:
    """Writes the turns of a conversation into a store."""
    sessions: dict[str, list[Event]] = {}
    for turn in store.turns:
        event = Event(turn.author, turn.text, id=turn.id, created_at=turn.time if times else None)
        sessions.setdefault(turn.session, []).append(event)
    for name, events in sessions.items():
        service.create_session(session_id=name).add_events(events)


def quality(stores: Sequence[Conversation], way: Callable[[Conversation], Ask]) -> Quality:
    """Asks all questions and says how many of the right events were found."""
    shares, firsts = [], []
    for store in stores:
        ask = way(store)
        for question, right in store.questions:
            found = ask(question)
            shares.append(len(set(found) & set(right)) / len(right))
            firsts.append(next((1 / place for place, id in enumerate(found, 1) if id in right), 0.0))
    return Quality(statistics.mean(shares), statistics.mean(firsts))


def recall(folder: Path, sizes: Sizes) -> Iterable[Figure]:
    """Prints the table of what is found, and yields the times beside what they may be."""
    own = conversations()
    sets = [
        Set("our own, English", [own["en"]], None),
        Set("our own, Chinese", [own["zh"]], None),
        Set("memory questions, English", memory_questions("en"), 0.91),
        Set("memory questions, Chinese", memory_questions("cn"), 0.94),
        Set("LoCoMo 1-5", locomo(LOCOMO_TUNED), 0.70),
        Set("LoCoMo 6-10, untuned", locomo(LOCOMO_OTHERS), None),
    ]
    _print_qualities([one for one in sets if one.stores])
    yield from _times(folder, sizes)


def _print_qualities(sets: Sequence[Set]) -> None:
    print(f"{'recall at 10 / MRR':28}{'questions':>10}{'FTS5':>16}{'recall':>16}{'with times':>16}{'target':>8}")
    tuned = None
    for name, stores, target in sets:
        floor = quality(stores, by_fts5)
        ours = quality(stores, partial(by_recall, times=False))
        timed = quality(stores, partial(by_recall, times=True))
        if name == "LoCoMo 1-5":
            tuned = ours.recall
        if target is None and name.startswith("LoCoMo") and tuned is not None:
            target = tuned - 0.04
        missed = (target is not None and ours.recall < target) or ours.mrr < 1.1 * floor.mrr
        count = sum(len(store.questions) for store in stores)
        shown = "".join(f"{f'{one.recall:.3f} / {one.mrr:.3f}':>16}" for one in (floor, ours, timed))
        goal = "" if target is None else f"{target:.2f}"
        print(f"{name:28}{count:>10,}{shown}{goal:>8}{'  missed' if missed else ''}")
    if not any(name.startswith("LoCoMo") for name, *_ in sets):
        print("LoCoMo is left out: name a clone of snap-research/locomo in LOCOMO", file=sys.stderr)


def _times(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    with SQLiteSessionService(folder / "recall.db") as service:
        generator = corpus.Generator()
        for number in range(SMALL // 20):
            language = "zh" if number % 2 else "en"
            service.create_session(session_id=f"{number}").add_events(list(generator.events(20, language)))
        for language in ("en", "zh"):
            taken = _taken(service, _questions(language, sizes.rounds * 4), None)
            case = f"recall in {SMALL} events ({language}), floor: 3 ms"
            yield Figure(case, statistics.median(taken), SMALL_LIMIT, 1)
    with searching.opened(folder, sizes) as (service, floor):
        count = floor.execute("SELECT count(*) FROM events").fetchone()[0]
        scopes: dict[str, str | AnyOf] = {"": ANY, " of one user": searching.USERS[1]}
        for of_whom, user in scopes.items():
            for language in ("en", "zh"):
                taken = _taken(service, _questions(language, sizes.rounds * 4), user)
                slow = sorted(taken)[int(0.95 * len(taken))]
                case = f"recall in {count:,} events{of_whom} ({language})"
                yield Figure(f"{case}, floor: 30 ms", statistics.median(taken), LARGE_MEDIAN, 1)
                yield Figure(f"{case}, slowest 5 %, floor: 100 ms", slow, LARGE_SLOW, 1)


def _questions(language: str, count: int) -> list[str]:
    """Questions of words of the corpus, common and rare, as often as they are in it."""
    generator = corpus.Generator()
    chance = random.Random(5)
    if language == "zh":
        return [f"我们说过{generator.chinese(chance.randint(3, 7))}？" for _ in range(count)]
    return [f"What did we say about {generator.english(chance.randint(3, 8))[:-1].lower()}?" for _ in range(count)]


def _taken(service: SQLiteSessionService, questions: Sequence[str], user: str | AnyOf | None) -> list[float]:
    for question in questions[:3]:  # caches, prepared statements
        service.recall(question, user_id=user)
    taken = []
    for question in questions:
        begin = time.perf_counter()
        service.recall(question, user_id=user)
        taken.append(time.perf_counter() - begin)
    return taken
