"""Running calls, and the turns in which they write.

An interrupt (Ctrl-C, or an exception that another thread sends) may come between any two steps of Python, also
between taking a lock and the ``try`` behind it. Therefore no counter or flag that somebody must take
back says what is held. Everything is held by a call, and a call is the frame of the function that makes it: a frame
that was left, in whatever way, holds nothing any more.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from session_sqlite.sqlite.driver import Connection

STEP_SECONDS: Final = 0.05  # a waiting call checks this often whether the call before it has ended


class Call:
    """A running function, with what it holds: a connection of its own, a cursor.

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
        """Returns True once the function was left, and clears its frame, which a traceback may keep alive."""
        if self._frame is None:
            return True
        try:
            self._frame.clear()
        except RuntimeError:  # a running frame cannot be cleared
            return False
        return True

    def release(self) -> None:
        """Closes what the call holds. Each is forgotten after it was closed, lest an interrupt lose it."""
        if self.cursor is not None:
            with contextlib.suppress(sqlite3.Error):  # the connection of the cursor was closed
                self.cursor.close()
            self.cursor = None
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def finish(self) -> None:
        """Ends the call, and breaks the cycle of references between it and its frame."""
        self._frame = None


class Turns:
    """A lock that calls hold in the order in which they came.

    The first of the queue has the turn. Standing in it is one step, so there is no moment at which the lock is taken
    and nobody knows by whom; one that an interrupt left in the queue is taken out by whoever finds it.
    """

    def __init__(self) -> None:
        self._queue: deque[Call] = deque()

    def take(self, call: Call, timeout: float) -> bool:
        """Waits for the call's turn; returns False if it did not come in time."""
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
        """Returns True if it is this call's turn."""
        try:
            return self._queue[0] is call
        except IndexError:
            return False

    def holder(self) -> Call | None:
        """Returns the call whose turn it is."""
        try:
            return self._queue[0]
        except IndexError:
            return None

    def leave(self, call: Call) -> None:
        """Takes a call out of the queue, if it is in it, and wakes the next."""
        # An exception that is raised and suppressed costs a tenth of an append: it is left to where threads meet.
        if call in self._queue:
            with contextlib.suppress(ValueError):  # whoever found it has taken it out
                self._queue.remove(call)
        if self._queue:
            # The next call may have left the queue meanwhile, or may be awake already.
            with contextlib.suppress(IndexError, RuntimeError):
                self._queue[0].woken.release()


class SharedConnection(Connection):
    """A connection that its user executes statements on, outside of any call, and that any thread may close.

    A statement that is running closes it at its end. Each side first says what it is about to do and then looks at
    what the other has said, so one of the two always sees the other.
    """

    _ending = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Executes a statement; if the connection is closed meanwhile, its rows cannot be fetched."""
        return self._run(lambda: sqlite3.Connection.execute(self, sql, parameters))

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """Executes a statement once for each set of parameters."""
        return self._run(lambda: sqlite3.Connection.executemany(self, sql, parameters))

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Executes several statements."""
        return self._run(lambda: sqlite3.Connection.executescript(self, sql_script))

    def _run(self, statement: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        call = Call(sys._getframe())
        running: set[Call] = vars(self).setdefault("_running", set())
        try:
            running.add(call)
            if self._ending:
                raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
            return statement()
        finally:
            call.finish()
            running.discard(call)
            if self._ending:
                self.close()

    def close(self) -> None:
        """Closes the connection, or has the statement that another thread executes close it at its end."""
        self._ending = True
        if all(call.ended() for call in tuple(vars(self).get("_running", ()))):
            Connection.close(self)
