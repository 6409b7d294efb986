"""Blocking work for asyncio: one hop to a worker thread for a whole operation."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

WORKERS: Final = 16


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a blocking function in a worker thread; a cancelled caller gets away only when it is over.

    A function that has not begun when its caller is cancelled never runs.
    """
    context = contextvars.copy_context()
    work = _workers().submit(context.run, functools.partial(function, *args, **kwargs))
    result = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        if not work.cancel():  # it runs
            while not result.done():
                # wait() leaves the work alone when it is cancelled itself, which may happen again and again
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([result])
            if not result.cancelled():
                result.exception()  # it was seen: asyncio need not report it
        raise


_executor: ThreadPoolExecutor | None = None


def _workers() -> ThreadPoolExecutor:
    """Threads of our own: the loop's default ones may all be busy with the application's work."""
    global _executor  # made at the first use, and again after a fork
    if _executor is None:
        _executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="session-sqlite")
    return _executor


def _forget_workers() -> None:
    global _executor  # threads do not cross a fork
    _executor = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_workers)
