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
    return await _run(_workers(), functools.partial(function, *args, **kwargs))


async def in_own_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The same in a thread made for it: for what calls the caller's own functions.

    Such a function may wait for the very verbs that need a worker. Sixteen of them in the workers would wait for ever.
    """
    with_one_thread = ThreadPoolExecutor(1, thread_name_prefix="session-sqlite-call")
    try:
        return await _run(with_one_thread, functools.partial(function, *args, **kwargs))
    finally:
        with_one_thread.shutdown(wait=False)


async def to_the_end(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The same to its end also for a caller that is being cancelled, again and again perhaps."""
    work = asyncio.ensure_future(in_thread(function, *args, **kwargs))
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    return work.result()


async def in_thread_with(items: object, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The same for what reads an iterable: a list is only data, anything else runs code of the caller's."""
    run = in_thread if isinstance(items, (list, tuple)) else in_own_thread
    return await run(function, *args, **kwargs)


async def _run(executor: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    context = contextvars.copy_context()
    work = executor.submit(context.run, function)
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
