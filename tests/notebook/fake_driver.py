"""Views of jobs that never were, and a driver that plays one: what the faces are tested with."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from decimal import Decimal
from functools import partial

from batchframe.ledger.events import ErrorGroup, Events, JobState, JobView

NOW = 1_767_225_733.0  # seconds since the epoch: a moment on 2026-01-01

RUNNING = JobView(
    id="job-7f3k",
    name="reviews",
    model="local/smollm2",
    mode="immediate",
    state=JobState.RUNNING,
    total=320,
    done=212,
    failed=3,
    created_at=NOW - 30,
    started_at=NOW - 25,
    rate=8.4,
    eta=12.9,
    input_tokens=12_345,
    output_tokens=678,
    cost=Decimal(0),
    price="known",
    errors=(
        ErrorGroup("rate_limit", 2, "Too many requests, slow down.", retryable=True),
        ErrorGroup("invalid_response", 1, "label: Input should be 'good' or 'bad'"),
    ),
)

FORMULA = r"$\href{javascript:window.pwned=1}{x}$ \(a\) $$b$$ \begin{align}c\end{align}"
HOSTILE = (
    "</style></script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
    "\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\u2066 \ud800 \x00\x08 " + FORMULA
)

ENDED = replace(
    RUNNING, state=JobState.COMPLETED, done=320, rate=None, eta=None, ended_at=NOW - 2, phase=""
)

VIEWS: dict[str, JobView] = {
    "queued": replace(
        RUNNING,
        state=JobState.QUEUED,
        done=0,
        failed=0,
        started_at=None,
        rate=None,
        eta=None,
        input_tokens=None,
        output_tokens=None,
        errors=(),
    ),
    "running": replace(RUNNING, phase="part 2 at the provider", parts_total=3, parts_done=1),
    "cancelling": replace(RUNNING, state=JobState.CANCELLING),
    "completed": replace(
        ENDED, cached_tokens=4_000, reasoning_tokens=120, cost=Decimal("0.03127"), mode="batch"
    ),
    "perfect": replace(ENDED, failed=0, errors=(), note="Attached to the job of 09:12, same rows."),
    "cancelled": replace(ENDED, state=JobState.CANCELLED, failed=108),
    "failed": replace(
        RUNNING,
        state=JobState.FAILED,
        done=0,
        failed=0,
        errors=(),
        ended_at=NOW - 2,
        cost=None,
        price="unknown",
        message="openai does not accept the key in OPENAI_API_KEY (401, job-7f3k).\n"
        "Type: bf.job('job-7f3k').retry()",
    ),
    "unknown-price": replace(ENDED, cost=None, price="unknown", model="lab/our-own-7b"),
    "partly-priced": replace(ENDED, cost=Decimal("1.2"), price="partly"),
    "huge": replace(
        RUNNING,
        name="everything that was ever written about anything " * 4,
        total=1_234_567_890,
        done=1_234_567_889,
        failed=1,
        input_tokens=987_654_321_012,
        cached_tokens=87_654_321_012,
        output_tokens=123_456_789_012,
        reasoning_tokens=3_456_789_012,
        cost=Decimal("1234567.891"),
        eta=987_654.0,
        rate=54_321.0,
        started_at=NOW - 9_876_543,
        parts_total=24_692,
        parts_done=24_691,
    ),
    "hostile": replace(
        RUNNING,
        name=HOSTILE,
        model=HOSTILE,
        mode="immediate",
        phase=HOSTILE,
        message="x" * 1_000_000,
        note=HOSTILE + "z̸̡̢" * 50 + "\u0301" * 1000,
        errors=(ErrorGroup(HOSTILE, 3, HOSTILE * 1000, retryable=True),),
    ),
    "empty": replace(
        RUNNING,
        state=JobState.COMPLETED,
        total=0,
        done=0,
        failed=0,
        errors=(),
        input_tokens=None,
        output_tokens=None,
        rate=None,
        eta=None,
        started_at=NOW,
        ended_at=NOW,
    ),
}


class FakeJob:
    """Plays a job on a thread: a row every so often, every fifth one failing.

    Args:
        rows: How many rows.
        pause: Seconds per row.
        deaf: Whether cancelling raises instead.
    """

    def __init__(self, rows: int = 100, pause: float = 0.05, *, deaf: bool = False) -> None:
        self.events = Events()
        self.calls: list[tuple[str, str, float]] = []
        self.done = threading.Event()
        self._stop = threading.Event()
        self._pause, self._deaf = pause, deaf
        self.view = replace(VIEWS["queued"], total=rows, created_at=time.time())
        self.faces = {
            "subscribe": partial(self.events.subscribe, self.view.id),
            "on_cancel": self.cancel,
            "on_retry": self.retry,
        }
        self.shown = {"key": self.view.id, **self.faces}

    def start(self) -> FakeJob:
        threading.Thread(target=self._drive, daemon=True).start()
        return self

    def put(self, **changes: object) -> None:
        self.view = replace(self.view, **changes)
        self.events.publish(self.view)

    def cancel(self) -> None:
        self.calls.append(("cancel", threading.current_thread().name, time.time()))
        if self._deaf:
            msg = "the <b>provider</b> is deaf"
            raise RuntimeError(msg)
        self.put(state=JobState.CANCELLING)
        self._stop.set()

    def retry(self) -> None:
        self.calls.append(("retry", threading.current_thread().name, time.time()))
        self.put(state=JobState.RUNNING, ended_at=None, failed=0, errors=())
        self.put(state=JobState.COMPLETED, ended_at=time.time())

    def _drive(self) -> None:
        started = time.time()
        self.put(state=JobState.RUNNING, started_at=started)
        for row in range(1, self.view.total + 1):
            if self._stop.wait(self._pause):
                break
            failed = row // 5
            errors = (ErrorGroup("rate_limit", failed, "slow down", retryable=True),)
            rate = row / (time.time() - started)
            left = (self.view.total - row) / rate
            self.put(done=row, failed=failed, errors=errors if failed else (), rate=rate, eta=left)
        state = JobState.CANCELLED if self._stop.is_set() else JobState.COMPLETED
        self.put(state=state, ended_at=time.time(), rate=None, eta=None)
        self.done.set()
