"""Conversations that are trees: each edit of a prompt and each new answer is a branch.

The path to what the person saw last is the session. What is left over is shared out among branches: sessions of their
own, with the place where they left their parent and only what it does not have. Each message is stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from session_sqlite.models import Event
from session_sqlite.operations.whole_sessions import Arrival, Fault, LeftOut, Note
from session_sqlite.transfer.importers.blocks import Calls
from session_sqlite.transfer.importers.ids import kept_id

Said = Iterable[Event | Fault | Note | LeftOut]


def sessions_of_tree(
    arrival: Arrival, parents: Mapping[str, str | None], leaf: str | None, events_of: Callable[[str, Calls], Said]
) -> Iterator[Arrival | Fault | Note | LeftOut]:
    """The session of a tree and its branches.

    Args:
        arrival: The session, without its events.
        parents: The parent of each message, in the order in which they were made.
        leaf: The message that the person saw last; the latest if it is not known.
        events_of: Gives the events of a message.
    """
    arrival = replace(arrival, tree=arrival.id)
    calls = Calls()
    places: dict[str, tuple[str, int]] = {}  # of each message: its session, and how many events that had after it
    for path in paths_of(parents, leaf):
        is_main = not places
        id = arrival.id if is_main else kept_id(f"{arrival.id}:{path[0]}")
        said: list[Event | Fault | Note | LeftOut] = []
        count = 0
        before = places.get(parents.get(path[0]) or "", (arrival.id, 0))
        for name in path:
            for one in events_of(name, calls):
                said.append(one)
                count += isinstance(one, Event)
            places[name] = (id, count) if is_main or count else before
        if is_main:
            yield replace(arrival, events=said)
        elif count:
            yield replace(
                arrival, id=id, events=said, parent_id=before[0], parent_seq=before[1], updated_at=None, state={}
            )
        else:
            for one in said:
                if not isinstance(one, Event):
                    yield one
    if not places:
        yield arrival


def paths_of(parents: Mapping[str, str | None], leaf: str | None) -> list[list[str]]:
    """The messages of a tree as paths: first that to the leaf, then each branch from where it leaves another path.

    Example:
        >>> paths_of({"a": None, "b": "a", "c": "b", "d": "b"}, "c")
        [['a', 'b', 'c'], ['d']]
    """
    if not parents:
        return []
    at = leaf if leaf in parents else list(parents)[-1]
    main: dict[str, None] = {}
    while at is not None and at in parents and at not in main:
        main[at] = None
        at = parents[at]
    paths: list[list[str]] = [list(main)[::-1]]
    ends: dict[str, list[str]] = {}  # the branches by their last message
    for name in after_parents(parents):
        if name in main:
            continue
        path = ends.pop(parents[name] or "", [])
        if not path:
            paths.append(path)
        path.append(name)
        ends[name] = path
    return paths


def after_parents(parents: Mapping[str, str | None]) -> Sequence[str]:
    """The messages, none before its parent, otherwise in their order."""
    done: dict[str, None] = {}
    for name in parents:
        chain: dict[str, None] = {}
        at: str | None = name
        while at is not None and at in parents and at not in done and at not in chain:
            chain[at] = None
            at = parents[at]
        done.update(dict.fromkeys(reversed(chain)))
    return list(done)
