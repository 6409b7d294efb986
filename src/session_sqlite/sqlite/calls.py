"""Calls that are under way, and the turns in which they write.

An interrupt (Ctrl-C, or an exception that another thread sends) may come between any two steps of Python, also
between taking a lock and the ``try`` behind it. Therefore nothing is held by a counter or a flag that somebody must
take back: it is held by a call, a call is the frame of the function that makes it, and a frame that was left, in
whatever way, holds nothing any more.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from types import FrameType
from typing import Final

from session_sqlite.sqlite.driver import Connection

STEP_SECONDS: Final = 0.05  # how long a call waits before it looks whether the one before it has ended


class Call:
    """A function that is running, and what it holds: a connection of its own, a cursor.

    Args:
        frame: The frame of the function; not of a generator, which is suspended now and then.
    """

    __slots__ = ("_frame", "connection", "cursor", "thread", "woken")

    def __init__(self, frame: FrameType) -> None:
        self._frame: FrameType | None = frame
        self.connection: Connection | None = None
        self.cursor: sqlite3.Cursor | None = None
        self.thread = threading.get_ident()
        self.woken = threading.Lock()

    def ended(self) -> bool:
        """True once the function was left; what its frame still refers to, in a traceback, is then let go."""
        if self._frame is None:
            return True
        try:
            self._frame.clear()
        except RuntimeError:  # it is running
            return False
        return True

    def release(self) -> None:
        """Closes what the call holds. Each is forgotten only after it was closed: an interrupt may come between."""
        if self.cursor is not None:
            with contextlib.suppress(sqlite3.Error):  # its connection was closed
                self.cursor.close()
            self.cursor = None
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def finish(self) -> None:
        """Ends the call by its own word, and the cycle of references between it and its frame."""
        self._frame = None


class Turns:
    """A lock that calls hold in the order in which they came.

    The first of the queue has the turn. Standing in it is one step, so there is no moment at which the lock is taken
    and nobody knows by whom; one that an interrupt left in the queue is taken out by whoever finds it.
    """

    def __init__(self) -> None:
        self._queue: deque[Call] = deque()

    def take(self, call: Call, timeout: float) -> bool:
        """Waits for the call's turn; False if it did not come in time."""
        deadline = time.monotonic() + timeout
        call.woken.acquire(blocking=False)
        self._queue.append(call)
        while (first := self._queue[0]) is not call:
            if first.ended():
                self.leave(first)
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                self.leave(call)
                return False
            call.woken.acquire(timeout=min(STEP_SECONDS, left))
        return True

    def has(self, call: Call) -> bool:
        """True if it is this call's turn."""
        try:
            return self._queue[0] is call
        except IndexError:
            return False

    def leave(self, call: Call) -> None:
        """Takes a call out of the queue, if it is in it, and wakes the next."""
        with contextlib.suppress(ValueError):
            self._queue.remove(call)
        # The next may have gone meanwhile, or be awake already.
        with contextlib.suppress(IndexError, RuntimeError):
            self._queue[0].woken.release()
