"""Histories: what several processes did with a store and what it answered, and what is wrong in it.

A history is a list of operations, each with the time of its call and of its answer, on one clock. It is right if the
store could have done all of them one after the other, each at a moment between its call and its answer, so that each
answer is that of the store at that moment. In general that takes a search through all orders. Here the store says the
order of the writes itself: an event's ``seq`` is never given twice, and a rewind removes the latest events, so that it
lies behind all ``seq`` that were removed until then and before the next one. Only one process may rewind a session.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

Placed = tuple[int, str]
"""The ``seq`` of an event, and its id."""

READS: Final = {"list", "tail", "after", "state", "last_seq"}


@dataclass(frozen=True)
class Operation:
    """One call by one process.

    ======== ============================ ==================================================
    kind     asked                        answer
    ======== ============================ ==================================================
    append   the ids, appended at once    the ``seq`` of each
    rewind   how many events              the events that were removed
    list                                  all events
    tail     how many events              the latest events
    after    a ``seq``                    the events after it
    state                                 the id of the latest event, which each event sets
    last_seq                              the highest ``seq`` that was given
    ======== ============================ ==================================================
    """

    process: int
    kind: str
    session: str
    invoked: int
    returned: int | None  # None: the process was killed, or learned only that the store was gone
    asked: Any = None
    answer: Any = None


@dataclass
class _Write:
    """A write with its place among the writes of its session, and all that the session has after it."""

    place: float
    operation: Operation
    visible: tuple[Placed, ...] = ()
    last_seq: int = 0


def violations(operations: Iterable[Operation]) -> list[str]:
    """Returns what no store that keeps its promises could have answered; the last list of a session is its end."""
    of_session: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        of_session[operation.session].append(operation)
    return [f"session {name}: {wrong}" for name, one in sorted(of_session.items()) for wrong in _of_session(one)]


def _of_session(operations: list[Operation]) -> list[str]:
    appends = _retries_merged(operations)
    found: list[str] = []
    places = _places(operations, appends, found)
    writes = [*_placed_appends(appends, places, found), *_placed_rewinds(operations)]
    writes.sort(key=lambda write: write.place)
    found += _lost(operations, appends)
    _replay(writes, found)
    found += _order_of(writes)
    if not found:  # a read is judged by the writes, so they come first
        found += _reads(operations, writes)
    return found


def _retries_merged(operations: Iterable[Operation]) -> list[Operation]:
    """The appends; one that was tried again with the same ids is one append, from its first call on."""
    appends: dict[Any, Operation] = {}
    for one in sorted((each for each in operations if each.kind == "append"), key=lambda each: each.invoked):
        first = appends.get(one.asked)
        appends[one.asked] = one if first is None else replace(one, invoked=first.invoked)
    return list(appends.values())


def _places(operations: Iterable[Operation], appends: Iterable[Operation], found: list[str]) -> dict[int, str]:
    """The id of the event at each ``seq``, as the answers say."""
    ids = {id for one in appends for id in one.asked}
    seen: list[Placed] = []
    for one in operations:
        if one.returned is not None and one.kind in ("list", "tail", "after", "rewind"):
            seen += one.answer
            if len(set(one.answer)) < len(one.answer):
                found.append(f"doubled: {one} has an event twice")
    for one in appends:
        if one.returned is not None:
            seen += zip(one.answer, one.asked, strict=True)
    at: dict[int, str] = {}
    seq_of: dict[str, int] = {}
    for seq, id in sorted(set(seen)):
        if id not in ids:
            found.append(f"foreign: nobody appended {id!r}, which stands at {seq}")
        if at.setdefault(seq, id) != id:
            found.append(f"doubled: the place {seq} was given to {at[seq]!r} and to {id!r}")
        if seq_of.setdefault(id, seq) != seq:
            found.append(f"doubled: {id!r} stands at {seq_of[id]} and at {seq}")
    return at


def _placed_appends(appends: Iterable[Operation], places: dict[int, str], found: list[str]) -> list[_Write]:
    """The appends that happened; one without an answer did if an event of it was ever seen, and then all of it did."""
    seq_of = {id: seq for seq, id in places.items()}
    writes = []
    for one in appends:
        known = [seq_of[id] - number for number, id in enumerate(one.asked) if id in seq_of]
        if not known:
            continue
        if len(set(known)) > 1:
            found.append(f"torn: the events of {one} do not stand side by side")
        places.update({known[0] + number: id for number, id in enumerate(one.asked)})
        seqs = tuple(range(known[0], known[0] + len(one.asked)))
        writes.append(_Write(seqs[-1], replace(one, answer=seqs)))
    missing = set(range(1, max(places, default=0) + 1)) - set(places)
    if missing:
        found.append(f"gap: no event was ever at {sorted(missing)}")
    return writes


def _placed_rewinds(operations: Iterable[Operation]) -> list[_Write]:
    """The rewinds, behind all that they and the rewinds before them removed."""
    writes: list[_Write] = []
    highest = 0
    rewinds = [one for one in operations if one.kind == "rewind" and one.returned is not None and one.answer]
    for number, one in enumerate(sorted(rewinds, key=lambda one: one.invoked), start=1):
        highest = max(highest, *(seq for seq, _ in one.answer))
        writes.append(_Write(highest + number / (len(rewinds) + 1), one))
    return writes


def _lost(operations: Sequence[Operation], appends: Iterable[Operation]) -> list[str]:
    """Acknowledged events that are not there at the end, though no rewind removed them."""
    lists = [one for one in operations if one.kind == "list" and one.returned is not None]
    if not lists:
        return []
    end = max(lists, key=lambda one: one.invoked)
    there = {id for _, id in end.answer}
    there |= {id for one in operations if one.kind == "rewind" and one.returned is not None for _, id in one.answer}
    acknowledged = [one for one in appends if one.returned is not None and one.returned < end.invoked]
    return [f"lost: {one}" for one in acknowledged if not there.issuperset(one.asked)]


def _replay(writes: Iterable[_Write], found: list[str]) -> None:
    """Works out what the session has after each write."""
    visible: tuple[Placed, ...] = ()
    last_seq = 0
    for write in writes:
        one = write.operation
        if one.kind == "append":
            visible += tuple(zip(one.answer, one.asked, strict=True))
            last_seq = max(last_seq, int(write.place))
        else:
            gone = visible[-one.asked :]
            if gone != one.answer:
                found.append(f"rewound: {one} removed other events than the latest, {gone}")
            visible = visible[: -one.asked]
        write.visible, write.last_seq = visible, last_seq


def _order_of(writes: Sequence[_Write]) -> list[str]:
    """Writes whose answer came before the call of another that the store has before them."""
    found = []
    places = _Latest((write.operation.returned, write.place) for write in writes)
    for write in writes:
        before = places.before(write.operation.invoked)
        if before >= write.place:
            found.append(f"reordered: {write.operation} stands before what was acknowledged before it, at {before}")
    return found


class _Latest:
    """The highest of the places that were known before a time."""

    def __init__(self, known: Iterable[tuple[int | None, float]]) -> None:
        ordered = sorted((time, place) for time, place in known if time is not None)
        self._times = [time for time, _ in ordered]
        self._places = list(itertools.accumulate((place for _, place in ordered), max))

    def before(self, time: int) -> float:
        index = bisect.bisect_left(self._times, time)
        return self._places[index - 1] if index else 0


def _reads(operations: Iterable[Operation], writes: Sequence[_Write]) -> list[str]:
    """Reads that saw what never was, or not any more, or not yet."""
    found = []
    states = _States(writes)
    written = _Latest((write.operation.returned, write.place) for write in writes)
    by_call = sorted((write.operation.invoked, write.place) for write in writes)
    calls = [time for time, _ in by_call]
    lowest = [*itertools.accumulate((place for _, place in reversed(by_call)), min)][::-1]
    reads = [one for one in operations if one.returned is not None and (one.kind in READS or _took_nothing(one))]
    # In the order of the calls the earliest place that a read can have is also the best for all that come after it.
    read: list[tuple[int, float]] = []  # the times of the answers, and the highest place of all reads until then
    pending: list[tuple[int, float]] = []
    for one in sorted(reads, key=lambda one: one.invoked):
        assert one.returned is not None
        pending.sort()
        while pending and pending[0][0] < one.invoked:
            time, place = pending.pop(0)
            read.append((time, max(place, read[-1][1] if read else 0)))
        begin = max(written.before(one.invoked), read[-1][1] if read else 0)
        index = bisect.bisect_right(calls, one.returned)
        end = lowest[index] if index < len(calls) else float("inf")
        places = states.that_answer(one)
        fitting = bisect.bisect_left(places, begin)
        if not places:
            found.append(f"torn: {one} is no state that the session ever had")
        elif fitting == len(places):
            found.append(f"stale: {one} does not know what was written or read before it, up to {begin}")
        elif places[fitting] >= end:
            found.append(f"early: {one} knows what was written after it, from {end} on")
        else:
            pending.append((one.returned, places[fitting]))
    return found


def _took_nothing(one: Operation) -> bool:
    return one.kind == "rewind" and not one.answer


class _States:
    """The places at which a session had what a read answers."""

    def __init__(self, writes: Sequence[_Write]) -> None:
        self._writes = [_Write(0, Operation(0, "append", "", 0, 0)), *writes]
        self._known: dict[tuple[str, Any], dict[Any, list[float]]] = {}

    def that_answer(self, read: Operation) -> list[float]:
        question = (read.kind, read.asked)
        if question not in self._known:
            places = self._known[question] = defaultdict(list)
            for write in self._writes:
                places[_answer_of(write, *question)].append(write.place)
        return self._known[question].get(read.answer, [])


def _answer_of(write: _Write, kind: str, asked: Any) -> Any:
    """What a session answers that has what it has after a write."""
    visible = write.visible
    match kind:
        case "list":
            return visible
        case "tail":
            return visible[-asked:]
        case "after":
            return tuple(event for event in visible if event[0] > asked)
        case "state":
            return visible[-1][1] if visible else None
        case "last_seq":
            return write.last_seq
        case _:  # a rewind that removed nothing: there was nothing
            return visible[-1:]
