"""A managed batch: the lifecycle of a provider's batch, lived by our own engine.

A provider without a batch API gets batches all the same: its rows are sent one by one over its
`Connection`, and the journal takes the place of the result file. Creating twice is harmless, since
rows that the journal holds are never asked again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson

from batchframe.dialects import openai
from batchframe.immediate.engine import Tally, run_part
from batchframe.immediate.retry import Retry
from batchframe.immediate.tally import Price
from batchframe.model import (
    Endpoint,
    Limits,
    ModelRef,
    Part,
    Phase,
    Progress,
    RowError,
    Ticket,
    Usage,
)
from batchframe.providers.base import Provider

POLL_SECONDS = 0.2
"""How often to look: looking costs nothing here."""


def wire_file(number: int) -> str:
    """Name the file that holds a part's wire lines."""
    return f"part-{number:04d}.jsonl"


def journal_file(number: int) -> str:
    """Name the file that holds a managed part's answers."""
    return f"part-{number:04d}.journal.jsonl"


@dataclass
class _Run:
    """One part being worked on in this process."""

    future: concurrent.futures.Future[Tally] | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tally: Tally = field(default_factory=Tally)
    errors: dict[str, tuple[RowError, int]] = field(default_factory=dict)


@dataclass
class Managed:
    """The batch API of a provider that has none; one for each job that is driven.

    Args:
        provider: Who answers.
        folder: The job's folder, with the wire files.
        loop: The loop that the engine runs on.
        retry: How often a row is tried.
        concurrency: Requests at once; None: what the connection says.
        pricing: Gives what prices a model's answers; None: what the job costs is not told meanwhile.
    """

    provider: Provider
    folder: Path
    loop: asyncio.AbstractEventLoop
    retry: Retry = field(default_factory=Retry)
    concurrency: int | None = None
    pricing: Callable[[ModelRef], Price] | None = None
    poll_seconds: float = POLL_SECONDS
    _runs: dict[int, _Run] = field(default_factory=dict)
    _cancelled: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.provider.name

    @property
    def limits(self) -> Limits:
        """What one part may hold."""
        return self.provider.limits

    def upload(self, part: Part, file: Path) -> Ticket:
        """Nothing to bring anywhere: the wire file is where it is needed."""
        ticket = {"number": part.number, "model": part.model.name, "endpoint": part.endpoint.value}
        return Ticket(self.name, {**ticket, "file": file.name})

    def create(self, part: Part, ticket: Ticket) -> Ticket:  # noqa: ARG002 - the protocol's signature
        """Begin to send; rows that the journal holds already are left out."""
        self._start(ticket)
        return ticket

    def find(self, part: Part, ticket: Ticket | None) -> Ticket | None:
        """A journal says that sending had begun."""
        return ticket if (self.folder / journal_file(part.number)).exists() else None

    def poll(self, ticket: Ticket) -> Progress:
        """Say how far the engine is; its failure as a whole is raised here.

        A part that another process had begun is gone on with, unless it was cancelled since.
        """
        number = ticket.data["number"]
        if number not in self._runs:
            if number in self._cancelled:
                return Progress(Phase.ENDED)
            self._start(ticket)
        run = self._runs[number]
        ended = run.future is not None and run.future.done()
        if ended and run.future is not None:
            run.tally = run.future.result()
        return _progress(run, Phase.ENDED if ended else Phase.RUNNING)

    def seen(self, number: int) -> Progress | None:
        """Give a part's last figures, also of a run that failed; None: not begun here."""
        run = self._runs.get(number)
        return None if run is None else _progress(run, Phase.RUNNING)

    def fetch(self, ticket: Ticket, folder: Path) -> list[Path]:
        """The journal is the result file."""
        journal = folder / journal_file(ticket.data["number"])
        return [journal] if journal.exists() else []

    def cancel(self, ticket: Ticket) -> None:
        """Stop sending; what is answered stays."""
        self._cancelled.add(ticket.data["number"])
        run = self._runs.get(ticket.data["number"])
        if run is not None:
            self.loop.call_soon_threadsafe(run.stop.set)

    def cleanup(self, ticket: Ticket) -> None:
        """Nothing was left anywhere."""

    async def stop(self) -> None:
        """Stop all parts of this process and wait until their journals are closed."""
        for run in self._runs.values():
            run.stop.set()
        futures = [run.future for run in self._runs.values() if run.future is not None]
        await asyncio.gather(*(asyncio.wrap_future(f) for f in futures), return_exceptions=True)

    def _start(self, ticket: Ticket) -> None:
        number = ticket.data["number"]
        fresh = self.pricing is not None and not (self.folder / journal_file(number)).exists()
        run = self._runs[number] = _Run(tally=Tally(cost=Decimal(0) if fresh else None))
        run.future = asyncio.run_coroutine_threadsafe(self._send(ticket, run), self.loop)

    async def _send(self, ticket: Ticket, run: _Run) -> Tally:
        """Open the way to the model, send the part's rows, close it again."""
        number = ticket.data["number"]
        price = None
        if self.pricing is not None:  # off the loop: a price list takes its time to load
            model = ModelRef(self.name, ticket.data["model"])
            price = await asyncio.to_thread(self.pricing, model)
        connecting = self.provider.connect(ticket.data["model"], Endpoint(ticket.data["endpoint"]))
        connection = await asyncio.to_thread(connecting.__enter__)
        try:
            return await run_part(
                self.folder / wire_file(number),
                self.folder / journal_file(number),
                connection,
                concurrency=self.concurrency,
                retry=self.retry,
                cancel=run.stop,
                on_progress=lambda tally: setattr(run, "tally", tally),
                on_reply=_counter(run.errors),
                price=price,
            )
        finally:
            await asyncio.to_thread(connecting.__exit__, None, None, None)


def _progress(run: _Run, phase: Phase) -> Progress:
    tally = run.tally
    return Progress(
        phase,
        total=tally.total,
        done=tally.done,
        failed=tally.failed,
        usage=Usage(
            tally.input_tokens, tally.output_tokens, tally.cached_tokens, tally.reasoning_tokens
        ),
        errors=tuple(run.errors.values()),
        cost=tally.cost,
        unpriced=tally.unpriced,
    )


def _counter(errors: dict[str, tuple[RowError, int]]) -> Callable[[bytes], None]:
    """Give the function that counts failures by cause as they come."""

    def count(line: bytes) -> None:
        error = openai.decode(orjson.loads(line)).error
        if error is not None:
            example, before = errors.get(error.code, (error, 0))
            errors[error.code] = (example, before + 1)

    return count
