"""Whoever drives a job: takes each part through the state table, one saved step at a time.

No provider is named here. A part's lifecycle is its provider's own batch API or, where there is
none or the mode is immediate, a managed batch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from batchframe.errors import (
    AuthenticationError,
    BatchframeError,
    JobFailedError,
    ProviderError,
    ProviderUnavailableError,
    QuotaError,
    RateLimitError,
    StorageError,
)
from batchframe.frame import decode, outputs
from batchframe.immediate.managed import Managed
from batchframe.ledger.events import ErrorGroup, JobState, JobView
from batchframe.ledger.workspace import explain
from batchframe.orchestration import steps
from batchframe.orchestration.effects import Effects, words
from batchframe.orchestration.outcome import (
    Outcome,
    Row,
    provider_of,
)
from batchframe.orchestration.steps import Effect, Event, PartState
from batchframe.orchestration.view import Speed, groups_to_json, view
from batchframe.providers.registry import model_ref
from batchframe.providers.rest import RefusedError
from batchframe.redact import redact

SAVE_SECONDS = 0.5
"""Progress goes to the ledger at most this often: other processes look there."""
REPEATABLE = frozenset({Effect.FIND, Effect.POLL, Effect.FETCH})
"""Effects that only look, so trying again costs nothing."""

HICCUPS = 3
"""How often such an effect is tried again while the provider is away."""
NAP_SECONDS = 1.0
"""Whoever waits looks this often whether the job was cancelled."""

_NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
"""OSErrors that are about the way to a provider, not about a disk."""
_PAUSES = frozenset({Event.WAITING, Event.RUNNING, Event.FULL, Event.SHORT})
"""Outcomes after which the provider needs time."""

Act = Callable[[Row, Row], Outcome]

LOG = logging.getLogger(__name__)


@dataclass
class Driver(Effects):
    """Drives one job until every row has an outcome, or something other than a row stops it."""

    _saved: dict[int, float] = field(default_factory=dict)
    _speed: Speed = field(default_factory=Speed)

    async def run(self) -> Exception | None:
        """Drive the job to its end; a failure is written down, not raised, wherever that is possible.

        Returns:
            What stopped the job, if anything did.

        Raises:
            StorageError: Not even the failure could be written down.
        """
        failure = None
        try:
            await self._save_job(
                state=JobState.RUNNING, driver=f"{socket.gethostname()}:{os.getpid()}", message=None
            )
            job = await self._job()
            if job["started_at"] is None:
                await self._save_job(started_at=time.time())
            await self._drive_all(await self._parts())
            await asyncio.to_thread(self._finish)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must say so and stay resumable
            failure = await self._fail(error)
        finally:
            for managed in self._managed.values():
                await managed.stop()
        await self._publish()
        return failure

    async def _drive_all(self, parts: list[Row]) -> None:
        """Drive the providers' batches side by side, managed ones after each other.

        A managed part uses the whole machine or the whole rate limit by itself.
        """
        job = await self._job()
        native, managed = list[Row](), list[Row]()
        for part in parts:
            ours = isinstance(self._lifecycle(job, part), Managed)
            (managed if ours else native).append(part)
        ways = [self._told(part["number"]) for part in native]
        ends = await asyncio.gather(*ways, self._one_by_one(managed), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _one_by_one(self, parts: list[Row]) -> None:
        """Drive managed parts; when one provider cannot go on, the others' parts still do."""
        causes: dict[str, Exception] = {}
        for part in parts:
            name = model_ref(part["model"]).provider
            if name in causes:
                continue
            try:
                await self._told(part["number"])
            except Exception as error:  # noqa: BLE001 - raised below, when the others are through
                causes[name] = error
        for cause in causes.values():
            raise cause

    async def _told(self, number: int) -> None:
        """Drive a part, and say at once that it cannot go on: its siblings may take hours."""
        try:
            await self._drive(number)
        except Exception as error:
            try:
                await self._save(number, message=words(error))
                await self._save_job(message=words(error))
                await self._publish()
            except Exception as second:  # noqa: BLE001 - the first failure is the cause
                # a process that ends has no threads left to save anything with; the ledger stands
                level = logging.DEBUG if "shutdown" in str(second) else logging.WARNING
                LOG.log(level, "%s: %s; and %s", self.job_id, words(error), words(second))
            raise

    async def _drive(self, number: int) -> None:
        """Take one part through the table."""
        said: str | None = None
        while True:
            job, part = await self._job(), await self._part(number)
            state = PartState(part["state"])
            intent = Effect(part["intent"]) if part["intent"] else None
            if state is PartState.DECODED:
                return
            try:
                outcome = await self._step(job, part, steps.effect(state, intent), intent)
            except RateLimitError as error:  # rule 7
                said = await self._limited(job, part, intent, error)
                continue
            await self._keep(number, state, outcome)
            if state is not PartState.ENDED or outcome.say:  # what was fetched may fall short again
                said = await self._mention(said, outcome.say)
            await self._publish()
            if outcome.stop is not None:
                raise ProviderError(outcome.stop)
            if outcome.event in _PAUSES:
                hurry = job["cancel"] and outcome.intent is not None  # is there anything to cancel?
                await self._nap(job, NAP_SECONDS if hurry else self._pause(job, part))

    async def _step(
        self, job: Row, part: Row, doing: Effect | None, intent: Effect | None
    ) -> Outcome:
        """Do what a part needs next."""
        if job["cancel"] and steps.may_withdraw(PartState(part["state"]), intent):
            return Outcome(Event.WITHDRAWN)
        assert doing is not None  # only DECODED calls for nothing
        if doing is Effect.CREATE:
            intended = {**(part["ticket"] or {}), "intended_at": time.time()}
            await self._save(part["number"], intent=doing, ticket=intended)
            part = {**part, "ticket": intended}
        act: Act = getattr(self, f"_{doing.value}")
        try:
            return await self._patiently(act, job, part, doing)
        except (RefusedError, AuthenticationError, QuotaError) as error:
            if doing is Effect.CREATE and _is_no(error):
                await self._save(part["number"], intent=None)
            raise

    async def _keep(self, number: int, state: PartState, outcome: Outcome) -> None:
        """Save an outcome; what polls see is saved now and then."""
        after = steps.MOVES[state, outcome.event]
        polled = state in (PartState.CREATED, PartState.RUNNING)
        if not polled or after is not state or outcome.stop or outcome.say or self._due(number):
            self._saved[number] = time.monotonic()
            intent = outcome.intent and outcome.intent.value
            await self._save(number, state=after, intent=intent, **outcome.changes)

    async def _mention(self, before: str | None, now: str | None) -> str | None:
        """Say on the job what a part waits for, or take back what it waited for before; gives what is said."""
        if now is not None and now != before:
            await self._save_job(message=now)
        elif now is None and before is not None and (await self._job())["message"] == before:
            await self._save_job(message=None)  # a sibling may have said another thing
        return now

    async def _nap(self, job: Row, seconds: float) -> None:
        """Wait, or until the job is cancelled."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, NAP_SECONDS))
            if left > NAP_SECONDS and not job["cancel"] and (await self._job())["cancel"]:
                return

    async def _limited(
        self, job: Row, part: Row, intent: Effect | None, error: RateLimitError
    ) -> str:
        """Wait for as long as a rate limit asks, or until the job is cancelled; gives what was said."""
        said = words(error)
        await self._save(part["number"], intent=intent)
        await self._save_job(message=said)
        await self._publish()
        await self._nap(job, max(error.pause or 0.0, self._pause(job, part)))
        return said

    async def _patiently(
        self,
        act: Act,
        job: Row,
        part: Row,
        doing: Effect,
    ) -> Outcome:
        """Do an effect; one that may be repeated freely is, when the provider is away for a moment."""
        for _ in range(HICCUPS if doing in REPEATABLE else 0):
            try:
                return await asyncio.to_thread(_reached, act, job, part)
            except RateLimitError:
                raise
            except ProviderUnavailableError:
                await self._nap(job, self._pause(job, part))
        return await asyncio.to_thread(_reached, act, job, part)

    def _due(self, number: int) -> bool:
        return time.monotonic() - self._saved.get(number, 0.0) >= SAVE_SECONDS

    def _finish(self) -> None:
        """Count the rows once more, exactly, and close the job."""
        store = self.workspace.store
        job, parts = store.job(self.job_id), store.parts(self.job_id)
        assert job is not None  # its lock is held
        files = [self.folder / decode.outputs_file(part["number"]) for part in parts]
        counted = outputs.merged(self.folder, files, self.schema(job), leave_out=outputs.BULKY)
        seen = view({**job, "state": JobState.RUNNING}, parts)
        store.update_job(
            self.job_id,
            state=_end(job, counted),
            done=counted.height,
            failed=int((~counted["ok"]).sum()),
            input_tokens=seen.input_tokens,
            cached_tokens=seen.cached_tokens,
            output_tokens=seen.output_tokens,
            reasoning_tokens=seen.reasoning_tokens,
            cost=None if seen.cost is None else str(seen.cost),
            price=seen.price,
            errors=groups_to_json(outputs.groups(counted)),
            ended_at=time.time(),
            driver=None,
        )

    async def _fail(self, error: Exception) -> Exception | None:
        """Write down why the job cannot go on; what is paid stays and the same call resumes it.

        Returns:
            The failure, for `raise ... from`; None when its own words hold a credential.
        """
        if isinstance(error, OSError) and not isinstance(error, BatchframeError):
            place = self.folder if error.filename is None else Path(os.fsdecode(error.filename))
            error = StorageError(explain(error, place))
        await asyncio.to_thread(self._save_counts)
        await self._save_job(
            state=JobState.FAILED, message=words(error), ended_at=time.time(), driver=None
        )
        _let_go(error)
        return error if redact(str(error)) == str(error) else None

    def _save_counts(self) -> None:
        """Save how far managed parts came: their journals hold it, and people ask.

        Nothing is raised: a job whose figures cannot be saved must still be marked as failed.
        """
        try:
            job = self.workspace.store.job(self.job_id)
            for part in self.workspace.store.parts(self.job_id) if job else ():
                for managed in self._managed.values():
                    progress = managed.seen(part["number"])
                    if job and progress and part["state"] != PartState.DECODED:
                        counts = self._counts(job, part, progress)
                        self.workspace.store.update_part(self.job_id, part["number"], **counts)
        except Exception as error:  # noqa: BLE001 - the failure that brought us here is what counts
            LOG.warning("%s: its progress could not be saved: %s", self.job_id, words(error))

    async def _publish(self) -> None:
        self.workspace.events.publish(await asyncio.to_thread(self.look))

    def look(self) -> JobView:
        """Give the job's view with what the driver knows better than the ledger: now."""
        store = self.workspace.store
        job, parts = store.job(self.job_id), store.parts(self.job_id)
        assert job is not None  # its lock is held
        fresh = []
        for part in parts:
            progress = self._live.get(part["number"])
            fresh.append({**part, **(self._counts(job, part, progress) if progress else {})})
        errors = tuple(
            ErrorGroup(error.code, count, error.message[:300], error.retryable)
            for progress in self._live.values()
            for error, count in progress.errors
        )
        if job["cancel"] and job["state"] == JobState.RUNNING:
            job = {**job, "state": JobState.CANCELLING}
        seen = view(job, fresh)
        rate = self._speed(seen.done)
        ended = seen.state.ended
        return view(
            job, fresh, rate=None if ended else rate, errors=None if ended else errors or None
        )

    async def _job(self) -> Row:
        job = await asyncio.to_thread(self.workspace.store.job, self.job_id)
        if job is None:
            raise JobFailedError(f"Job {self.job_id} was forgotten while it ran.")
        return job

    async def _parts(self) -> list[Row]:
        return await asyncio.to_thread(self.workspace.store.parts, self.job_id)

    async def _part(self, number: int) -> Row:
        return next(part for part in await self._parts() if part["number"] == number)

    async def _save(self, number: int, **changes: Any) -> None:
        store = self.workspace.store
        await asyncio.to_thread(store.update_part, self.job_id, number, **changes)

    async def _save_job(self, **changes: Any) -> None:
        await asyncio.to_thread(self.workspace.store.update_job, self.job_id, **changes)


def _reached(act: Act, job: Row, part: Row) -> Outcome:
    """Do an effect; a broken way to the provider is the provider's error, not the disk's."""
    try:
        return act(job, part)
    except _NETWORK as error:
        if isinstance(error, BatchframeError):
            raise
        name = provider_of(part)
        raise ProviderUnavailableError(
            f"{name} cannot be reached ({type(error).__name__}: {redact(str(error))}). "
            "What is paid is kept."
        ) from error


def _is_no(error: ProviderError) -> bool:
    """Whether a create was surely refused, so that no batch has to be looked for."""
    return not isinstance(error, RefusedError) or 400 <= error.status < 500  # noqa: PLR2004 - the caller's fault


def _let_go(error: BaseException | None) -> None:
    """Empty the frames that a kept exception holds: frames of data hang on them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


_CUT_OFF = (
    "cancelled", "batch_cancelled", "batch_expired", "missing", "batch_gone", "result_gone",
)  # fmt: skip
"""What rows are called that a cancel left without an answer."""


def _end(job: Row, counted: pl.DataFrame) -> JobState:
    """Say how a job ended: a cancel that came after the last answer has cancelled nothing."""
    cut_off = (~pl.col("ok") & pl.col("error_code").is_in(_CUT_OFF)).any()
    if job["cancel"] and counted.select(cut_off).item():
        return JobState.CANCELLED
    return JobState.COMPLETED
