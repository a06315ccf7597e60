"""The immediate engine: a wire file in, one journal line for each row out, whatever happens between.

A few workers share one lazy feed of rows, so the number of rows is no number of tasks. A row's way is
feed -> try, and try again -> journal -> commit -> count; a worker takes its next row only when the
last one is on the disk, so a killed process has to ask again at most the rows it had in flight.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import orjson

from batchframe.dialects.openai import spent
from batchframe.errors import InputError
from batchframe.immediate import outcome as write
from batchframe.immediate import wire as wires
from batchframe.immediate.clock import Clock, SystemClock
from batchframe.immediate.doubt import Doubt
from batchframe.immediate.outcome import Effort, Outcome
from batchframe.immediate.retry import (
    FAULTS,
    INVALID_BODY,
    Again,
    Final,
    Retry,
    Stop,
    Verdict,
    backoff,
    judge,
    tries,
)
from batchframe.immediate.stops import stopped
from batchframe.immediate.tally import Price, Tally, is_success
from batchframe.immediate.transport import (
    PyreqwestTransport,
    Response,
    Transport,
    TransportError,
)
from batchframe.immediate.wire import Row
from batchframe.ledger.journal import Damage, Journal, is_final, records
from batchframe.model import Connection
from batchframe.redact import remember_headers

__all__ = ["CONCURRENCY", "GRACE", "OnProgress", "OnReply", "Tally", "join", "run_part"]

CONCURRENCY = 32
"""Requests in flight where nobody says how many the other side takes."""

GRACE = 0.5
"""Seconds that requests in flight have left after a cancel; their answers are paid for."""

LOG = logging.getLogger(__name__)

OnProgress = Callable[[Tally], None]
OnReply = Callable[[bytes], None]


async def run_part(
    wire: Path,
    journal: Path,
    connection: Connection,
    *,
    cancel: asyncio.Event,
    on_progress: OnProgress,
    on_reply: OnReply | None = None,
    transport: Transport | None = None,
    concurrency: int | None = None,
    retry: Retry | None = None,
    clock: Clock | None = None,
    random: Callable[[], float] = _random.random,
    price: Price | None = None,
) -> Tally:
    """Send every row of a wire file that the journal does not settle, and journal each outcome.

    A cancel ends the run within a second: requests in flight get `GRACE` seconds, then a line
    `cancelled`, as does a row left open of which a try may have been paid for; rows not sent get no
    line. Callbacks run on the event loop and must be quick; what
    they raise ends the run, with everything committed kept.

    Args:
        wire: OpenAI batch input lines; each body is sent byte for byte.
        journal: Appended to; the rows it settles are not sent again.
        connection: Where to send; `base_url` with or without a closing `/v1`.
        cancel: Set it to end the run early.
        on_progress: Called at the start and after each outcome.
        on_reply: Called with each journal line once it is on the disk.
        transport: How to send; by default a new `PyreqwestTransport`, closed at the end.
        concurrency: Requests in flight; by default what the connection says, else 32.
        retry: When to try again.
        clock: Time.
        random: Numbers from 0 to 1, for the jitter.
        price: What an answer costs; without it the counts hold no money.

    Returns:
        The counts at the end.

    Raises:
        AuthenticationError, UnknownNameError, ProviderError: A cause common to all rows stopped the
            run; rows without a line are untouched.
        StorageError: The journal or the wire file cannot be used; what was committed stays.
    """
    workers = connection.concurrency if concurrency is None else concurrency
    workers = CONCURRENCY if workers is None else workers
    if workers < 1:
        raise InputError(f"concurrency={workers} was refused: it must be at least 1.")
    with Journal(journal, lines=max(1, workers // 2)) as book:
        past = await _past(journal, cancel, price)
        total = await asyncio.to_thread(wires.count, wire)
        async with _opened(transport) as way, _Feed(wires.blocks(wire, past.settled)) as feed:
            run = _Run(
                feed=feed,
                journal=book,
                connection=connection,
                transport=way,
                retry=retry or Retry(),
                cancel=cancel,
                on_progress=on_progress,
                on_reply=on_reply,
                clock=clock or SystemClock(),
                random=random,
                tally=replace(past.tally, total=total),
                proven=past.proven,
                price=price,
                unseen=past.unseen,
            )
            return await run.drive(workers)


@dataclass
class _Past:
    """What earlier runs left in the journal: settled ids, their sums, and whether any row succeeded.

    `unseen` holds the rows left open of which a try may have been paid for.
    """

    settled: set[str]
    tally: Tally
    price: Price | None = None
    proven: bool = False
    unseen: set[str] = field(default_factory=set)

    def fold(self, some: Iterator[Mapping[str, Any]]) -> int:
        """Take some lines in; says how many there were."""
        number = 0
        for number, record in enumerate(some, 1):  # noqa: B007 - the last one is the answer
            if not is_final(record):
                if spent(record).unseen:
                    self.unseen.add(record["custom_id"])
            elif record["custom_id"] not in self.settled:
                self.settled.add(record["custom_id"])
                self.tally = self.tally.plus(record, self.price)
                self.proven = self.proven or is_success(record)
        return number


async def _past(journal: Path, cancel: asyncio.Event, price: Price | None) -> _Past:
    """Read the journal off the loop, in pieces, so that a cancel need not wait for the end of it."""
    damaged: list[Damage] = []
    past = _Past(set(), Tally(cost=None if price is None else Decimal(0)), price)
    lines = records(journal, on_damage=damaged.append)
    while await asyncio.to_thread(past.fold, islice(lines, 1000)) and not cancel.is_set():
        pass
    past.tally = replace(past.tally, resumed=past.tally.done)
    if damaged:
        LOG.warning(
            "%d damaged places in %s are passed over; their rows are asked again",
            len(damaged),
            journal,
        )
    return past


@asynccontextmanager
async def _opened(transport: Transport | None) -> AsyncIterator[Transport]:
    """Give the caller's transport, or one of our own that is closed afterwards."""
    if transport is not None:
        yield transport
        return
    own = PyreqwestTransport()
    try:
        yield own
    finally:
        await own.close()


CLOSE_TRIES, CLOSE_PAUSE = 100, 0.01
"""How often, and how many seconds apart, a file that is being read is tried to be closed."""


class _Feed:
    """The rows not yet taken; reads the next block when the last one is used up."""

    def __init__(self, blocks: Generator[list[Row], None, None]) -> None:
        self._blocks = blocks
        self._rows: deque[Row] = deque()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_why: object) -> None:
        """Close the file: a run that was stopped has not come to its end."""
        for _ in range(CLOSE_TRIES):
            try:
                self._blocks.close()
            except ValueError:  # a worker that was cancelled left its reading to a thread
                await asyncio.sleep(CLOSE_PAUSE)
            else:
                return

    async def next(self) -> Row | None:
        """Take a row; None when there are no more."""
        async with self._lock:
            while not self._rows:
                block = await asyncio.to_thread(next, self._blocks, None)
                if block is None:
                    return None
                self._rows.extend(block)
            return self._rows.popleft()


@dataclass
class _Run:
    """One run over one part: the workers' shared state."""

    feed: _Feed
    journal: Journal
    connection: Connection
    transport: Transport
    retry: Retry
    cancel: asyncio.Event
    on_progress: OnProgress
    on_reply: OnReply | None
    clock: Clock
    random: Callable[[], float]
    tally: Tally
    proven: bool
    price: Price | None
    unseen: set[str]

    def __post_init__(self) -> None:
        self._headers = _headers(self.connection.headers)
        self._query = urlencode(self.connection.params)
        self._renewing = asyncio.Lock()
        self._halt = asyncio.Event()  # no new tries: cancelled, or stopped by a common cause
        self._stop: tuple[Stop, Row] | None = None
        self._doubt: Doubt[Outcome, tuple[Stop, Row]] = Doubt()
        self._uncounted: deque[Outcome] = deque()
        self._not_before = 0.0  # a server's "not before" holds for all rows

    async def drive(self, workers: int) -> Tally:
        """Run the workers to the end of the rows, a cancel, a stop, or an exception."""
        self.on_progress(self.tally)
        work = asyncio.create_task(self._work(workers))
        cancelled = asyncio.create_task(self.cancel.wait())
        try:
            await asyncio.wait({work, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._halt.set()
                await asyncio.wait({work}, timeout=GRACE)
        finally:
            self._halt.set()  # a worker whose cancel a library swallowed must not take another row
            await _ended(work, cancelled)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise _first(error)
        await self._settle()
        self.on_progress(self.tally)  # with what was left open, too: it may have been paid for
        if self._stop is not None:
            stop, row = self._stop
            raise stopped(
                stop,
                url=self._url(row),
                model=_model(row),
                kept=self.tally.done,
                key_help=self.connection.key_help,
            )
        return self.tally

    async def _work(self, workers: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())
        if self._halt.is_set():
            return
        doubtful = self._doubt.cause
        if doubtful is not None and doubtful[0].why != "refused" and not self.proven:
            self._stop = doubtful
        else:
            await self._record(*self._doubt.release())

    async def _worker(self) -> None:
        while not self._halt.is_set():
            row = await self.feed.next()
            if row is None:
                return
            try:
                await self._ask(row)
            except BaseException as error:
                self._halt.set()  # for the others: a library may swallow the group's cancel
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    # Out of a task these leave the loop at once, and nothing would be closed.
                    raise _InterruptError(error) from None
                raise

    async def _ask(self, row: Row) -> None:
        """Try a row until it has an outcome, or the run halts: then it is left as it was."""
        attempt, unseen = 0, row.custom_id in self.unseen
        while await self._open():
            attempt += 1
            outcome, verdict = await self._try(row, attempt, unseen=unseen)
            if isinstance(verdict, Stop):
                await self._doubted(outcome, verdict, row)
                return
            if isinstance(verdict, Final) or attempt >= tries(self.retry, verdict):
                await self._ended_with(outcome, verdict, row)
                return
            tokens = spent(outcome.record)  # of an answer that is thrown away
            unseen = bool(tokens.unseen) or tokens.input is not None
            await self._pause(self._wait(attempt, verdict))
        if unseen and attempt:
            self._left_open(row, Effort(attempt, 0.0, self.clock.time()))

    def _left_open(self, row: Row, effort: Effort) -> None:
        """Write down that a row without an outcome may have been paid for."""
        outcome = write.cancelled(row.custom_id, effort)
        self.journal.append(outcome.line)
        self.tally = self.tally.paid(spent(outcome.record), self.price)

    async def _try(self, row: Row, attempt: int, *, unseen: bool) -> tuple[Outcome, Verdict]:
        """Send once; a cancel in the middle leaves a line that says so."""
        started = self.clock.monotonic()

        def effort() -> Effort:
            took = self.clock.monotonic() - started
            return Effort(attempt, took, self.clock.time(), unseen)

        headers = await self._fresh()
        self.tally = replace(self.tally, in_flight=self.tally.in_flight + 1)
        try:
            response = await self.transport.post(
                self._url(row), headers, row.body, self.connection.timeout
            )
        except TransportError as fault:
            return write.from_fault(row.custom_id, fault, effort()), FAULTS[fault.kind]
        except asyncio.CancelledError:
            if self.cancel.is_set():
                self._left_open(row, effort())
            raise
        finally:
            self.tally = replace(self.tally, in_flight=self.tally.in_flight - 1)
        outcome = write.from_response(row.custom_id, response, effort())
        return outcome, self._judged(response, outcome)

    def _judged(self, response: Response, outcome: Outcome) -> Verdict:
        if outcome.record["error"] is not None:
            return INVALID_BODY
        body = outcome.record["response"]["body"]
        return judge(response.status, response.headers, body, now=self.clock.time())

    async def _ended_with(self, outcome: Outcome, verdict: Again | Final, row: Row) -> None:
        """Write an outcome down; one that another row's fate may explain is held back first."""
        error = outcome.record["error"]
        if error is not None and error["code"] in ("connection", "tls"):
            await self._doubted(outcome, Stop("refused", code=error["code"], certain=False), row)
            return
        if isinstance(verdict, Final):
            self.proven = self.proven or is_success(outcome.record)
            await self._record(*self._doubt.release(), outcome)
        else:
            await self._record(outcome)

    async def _doubted(self, outcome: Outcome, stop: Stop, row: Row) -> None:
        if outcome.record["batchframe"]["unseen"]:  # this outcome may never be written down
            self._left_open(row, Effort(1, 0.0, self.clock.time()))
        if stop.certain or self._doubt.hold(outcome, (stop, row)):
            self._stop = self._stop or (stop, row)
            self._halt.set()

    async def _record(self, *outcomes: Outcome) -> None:
        """Append, commit, and only then count."""
        for outcome in outcomes:
            self.journal.append(outcome.line)
            self._uncounted.append(outcome)
        await self._settle()

    async def _settle(self) -> None:
        """Commit, then count what this commit covers; others' outcomes may be among them."""
        seen = tuple(self._uncounted)
        await self.journal.commit()
        for outcome in seen:
            if self._uncounted and self._uncounted[0] is outcome:
                self._uncounted.popleft()
                self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        self.tally = self.tally.plus(outcome.record, self.price)
        if self.on_reply is not None:
            self.on_reply(outcome.line)
        self.on_progress(self.tally)

    async def _open(self) -> bool:
        """Wait until trying is allowed; False when the run halts."""
        while not self._halt.is_set():
            wait = self._not_before - self.clock.monotonic()
            if wait <= 0:
                return True
            await self._pause(wait)
        return False

    def _wait(self, attempt: int, verdict: Again) -> float:
        drawn = backoff(self.retry, attempt, self.random)
        if verdict.wait is None:
            return drawn
        self._not_before = max(self._not_before, self.clock.monotonic() + verdict.wait)
        return verdict.wait + min(drawn, verdict.wait)  # apart from each other, but not earlier

    async def _pause(self, seconds: float) -> None:
        """Let time pass, or less when the run halts."""
        timers = [
            asyncio.create_task(self.clock.sleep(seconds)),
            asyncio.create_task(self._halt.wait()),
        ]
        try:
            await asyncio.wait(timers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(*timers)

    async def _fresh(self) -> Mapping[str, str]:
        """Give the headers; where they age they are asked for anew, by whoever keeps them while they last.

        One asks at a time: what a user's function does between two calls is not known here.
        """
        renew = self.connection.renew
        if renew is not None:
            async with self._renewing:
                self._headers = _headers(await asyncio.to_thread(renew))
        return self._headers

    def _url(self, row: Row) -> str:
        way = self.connection
        url = join(way.base_url, row.url, unversioned=way.unversioned)
        return f"{url}?{self._query}" if self._query else url


def join(base_url: str, path: str, *, unversioned: bool = False) -> str:
    """Put a wire line's path below a base URL; a `/v1` that both have stands once.

    Args:
        base_url: Where the API begins.
        path: Beginning with a slash.
        unversioned: The base URL stands for a path's `/v1`, however it ends.

    >>> join("http://127.0.0.1:8000/v1/", "/v1/embeddings")
    'http://127.0.0.1:8000/v1/embeddings'
    >>> join("https://r.openai.azure.com/openai", "/v1/responses", unversioned=True)
    'https://r.openai.azure.com/openai/responses'
    """
    base = base_url.rstrip("/")
    return base + (path.removeprefix("/v1") if unversioned or base.endswith("/v1") else path)


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    """Give a connection's headers with those that every request has; what they hold is known to `redact`."""
    remember_headers(given)
    return {
        "content-type": "application/json",
        "user-agent": "batchframe",  # some edges refuse a request without one
        **{name.lower(): value for name, value in given.items()},
    }


def _model(row: Row) -> str:
    model = orjson.loads(row.body).get("model")
    return model if isinstance(model, str) else ""


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and see them end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _InterruptError(Exception):
    """Carries an interrupt out of a worker to where the run can end in order."""

    def __init__(self, interrupt: BaseException) -> None:
        super().__init__(interrupt)
        self.interrupt = interrupt


def _first(error: BaseException) -> BaseException:
    """Unwrap what a task group wraps: the first failure is the cause of the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.interrupt if isinstance(error, _InterruptError) else error
