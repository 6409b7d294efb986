"""Worker threads that run blocking functions for asyncio, a whole operation in each call."""

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
    """Runs a blocking function in a worker thread.

    If the caller is cancelled before the function has begun, it never runs. If the function has begun, the cancelled
    caller waits for its end.
    """
    return await _run(_workers(), functools.partial(function, *args, **kwargs))


async def in_own_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function in a new thread instead of a worker; needed if it calls functions of the caller.

    Such a function may itself wait for a verb that needs a worker. If sixteen of them held all the workers, they would
    wait for ever.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="session-sqlite-call")
    try:
        return await _run(executor, functools.partial(function, *args, **kwargs))
    finally:
        executor.shutdown(wait=False)


async def to_the_end(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a blocking function in a worker thread to its end, even if the caller is cancelled, once or repeatedly."""
    work = asyncio.ensure_future(in_thread(function, *args, **kwargs))
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    return work.result()


async def in_thread_with(items: object, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function that reads ``items``: in a worker if they are a list, which runs no code of the caller."""
    run = in_thread if isinstance(items, (list, tuple)) else in_own_thread
    return await run(function, *args, **kwargs)


async def _run(executor: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    context = contextvars.copy_context()
    work = executor.submit(context.run, function)
    result = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        if not work.cancel():  # the function has begun
            while not result.done():
                # Another cancellation ends wait(), but not the function: keep waiting for it.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([result])
            if not result.cancelled():
                result.exception()  # retrieved, or asyncio would log an exception that nobody has seen
        raise


_executor: ThreadPoolExecutor | None = None


def _workers() -> ThreadPoolExecutor:
    """Returns the pool of workers, a pool of our own: the application may keep all threads of the loop's pool busy."""
    global _executor  # made at the first use, and made again after a fork
    if _executor is None:
        _executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="session-sqlite")
    return _executor


def _forget_workers() -> None:
    global _executor  # threads do not cross a fork
    _executor = None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_workers)
