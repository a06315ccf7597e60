"""One stream of snapshots per job: whoever drives a job publishes, every face only looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

PriceKnown = Literal["known", "partly", "unknown"]


class JobState(StrEnum):
    """A job's state as people see it; the parts' finer states stay in the ledger."""

    QUEUED = "queued"  # in the ledger, nobody drives it at the moment
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"  # every row has an outcome; some may be errors
    CANCELLED = "cancelled"  # every row has an outcome; rows not sent are errors `cancelled`
    FAILED = "failed"  # something other than a row stopped it; `message` says what and what to type

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen without a new call."""
        return self in (JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failed rows with one cause: how many, and one message as an example (hostile text!)."""

    code: str
    count: int
    example: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class JobView:
    """Everything a face may show of a job at one moment.

    Times are seconds since the epoch, `rate` is rows per second over the recent past, `eta` seconds
    to go (None: unknown). `done` counts rows with an outcome, `failed` those of them that are errors.
    `cost` is exact and in US dollars; `price` says whether every row's price is known. Texts may come
    from a model or a provider: escape them.
    """

    id: str
    name: str
    model: str
    mode: str
    state: JobState
    total: int
    done: int
    failed: int
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    rate: float | None = None
    eta: float | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Decimal | None = None
    price: PriceKnown = "unknown"
    errors: tuple[ErrorGroup, ...] = ()
    parts_total: int = 1
    parts_done: int = 0
    phase: str = ""
    message: str | None = None
    note: str | None = None

    @property
    def ok(self) -> int:
        """Rows answered without an error."""
        return self.done - self.failed

    @property
    def fraction(self) -> float:
        """Share of rows with an outcome, 0..1; an empty job is whole."""
        return self.done / self.total if self.total else 1.0


Observer = Callable[[JobView], None]


class Events:
    """Who looks at which job of one workspace. Thread-safe; a failing observer never disturbs the driver.

    Ids say nothing across workspaces: the same call has the same id in each.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._observers: dict[str, dict[int, Observer]] = {}
        self._next = 0

    def subscribe(self, job_id: str, observer: Observer) -> Callable[[], None]:
        """Call `observer` with each new view of a job; gives the function that ends it.

        Args:
            job_id: The job.
            observer: Called from the driver's thread: quick, and thread-safe.
        """
        with self._lock:
            number = self._next = self._next + 1
            self._observers.setdefault(job_id, {})[number] = observer

        def unsubscribe() -> None:
            self._drop(job_id, number)

        return unsubscribe

    def publish(self, view: JobView) -> None:
        """Show a view to everyone who looks at its job; an observer that raises is taken off."""
        with self._lock:
            observers = list(self._observers.get(view.id, {}).items())
        for number, observer in observers:
            try:
                observer(view)
            except Exception:  # noqa: BLE001 - a broken face must not stop a paid job
                self._drop(view.id, number)

    def _drop(self, job_id: str, number: int) -> None:
        with self._lock:
            watching = self._observers.get(job_id, {})
            watching.pop(number, None)
            if not watching:
                self._observers.pop(job_id, None)
