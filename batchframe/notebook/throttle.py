"""Calls made seldom: at most once per span of time, and once more after the last wish."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class Throttle:
    """Runs one action in a thread of its own, one call at a time, not more often than asked.

    The action gives the seconds after which it wants to run unasked, or None. An action that raises
    is not run again: a picture that cannot be drawn must not cost a thread for ever.

    Args:
        action: What to run.
        every: The least number of seconds between two runs.
    """

    def __init__(self, action: Callable[[], float | None], every: float) -> None:
        self._action = action
        self._every = every
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._due = math.inf
        self._last = -math.inf
        self._busy = False
        self._stopped = False

    def ask(self, *, now: bool = False) -> None:
        """Wish for a run soon; cheap, and safe from any thread.

        Args:
            now: Whether this one run may come sooner than the others.
        """
        with self._lock:
            at = time.monotonic()
            self._plan(at if now else max(at, self._last + self._every))

    def stop(self) -> None:
        """Run no more; a run under way ends by itself."""
        with self._lock:
            self._stopped = True
            if self._timer is not None:
                self._timer.cancel()

    def _plan(self, due: float) -> None:
        """Set the timer to the earliest wish; the lock is held."""
        if self._stopped or due >= self._due:
            return
        self._due = due
        if self._busy:
            return  # the run under way sets the timer when it ends
        if self._timer is not None:
            self._timer.cancel()
        self._start()

    def _start(self) -> None:
        wait = max(0.0, self._due - time.monotonic())
        self._timer = threading.Timer(wait, self._run, (self._due,))
        self._timer.name = "batchframe-face"
        self._timer.daemon = True
        self._timer.start()

    def _run(self, due: float) -> None:
        with self._lock:
            if self._stopped or self._busy or due != self._due:
                return  # cancelled too late to hold it back
            self._busy, self._due, self._last = True, math.inf, time.monotonic()
        try:
            wanted = self._action()
        except Exception:  # noqa: BLE001 - a picture must never disturb what it shows
            _LOG.debug("a face could not be drawn and rests", exc_info=True)
            with self._lock:
                self._stopped = True
            return
        with self._lock:
            self._busy = False
            if wanted is not None:
                self._due = min(self._due, time.monotonic() + max(wanted, self._every))
            if self._due < math.inf and not self._stopped:
                self._start()
