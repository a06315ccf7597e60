"""One daemon thread runs one event loop: jobs are driven there, so that no cell ever waits for them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_GUARD = threading.Lock()
_LOOPS: list[asyncio.AbstractEventLoop] = []


def loop() -> asyncio.AbstractEventLoop:
    """Give the loop, started at first use."""
    with _GUARD:
        if not _LOOPS:
            made = asyncio.new_event_loop()
            thread = threading.Thread(target=_run, args=(made,), name="batchframe", daemon=True)
            thread.start()
            _LOOPS.append(made)
        return _LOOPS[0]


def start(work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Run a coroutine in the background; the future may be waited for in any thread."""
    return asyncio.run_coroutine_threadsafe(work, loop())


def _run(made: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(made)
    made.run_forever()


def _forget() -> None:
    """A forked child has the loop's object but not its thread."""
    global _GUARD  # noqa: PLW0603 - the lock may be held by a thread that does not exist here
    _GUARD = threading.Lock()
    _LOOPS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
