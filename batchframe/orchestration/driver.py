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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from batchframe.dialects import openai, support
from batchframe.dialects.dialect import Dialect
from batchframe.errors import (
    AuthenticationError,
    BatchframeError,
    JobFailedError,
    ProviderError,
    ProviderUnavailableError,
    QueueFullError,
    QuotaError,
    RateLimitError,
    StorageError,
    UnknownNameError,
)
from batchframe.frame import decode, encode, outputs
from batchframe.frame.parts import part_file
from batchframe.frame.schema import ResponseSchema
from batchframe.frame.scrub import scrub
from batchframe.immediate.managed import Managed, journal_file, wire_file
from batchframe.immediate.retry import Retry
from batchframe.ledger.events import ErrorGroup, JobState, JobView
from batchframe.ledger.journal import is_final
from batchframe.ledger.workspace import Workspace, explain, settle
from batchframe.model import Brought, Endpoint, Patience, Phase, Progress, Reply, RowError
from batchframe.orchestration import background, steps, waits
from batchframe.orchestration.outcome import (
    Outcome,
    Row,
    absent,
    part_of,
    provider_of,
    ticket_of,
)
from batchframe.orchestration.priced import rates_of
from batchframe.orchestration.steps import Effect, Event, PartState
from batchframe.orchestration.view import Speed, groups_to_json, view
from batchframe.orchestration.wholeness import KEPT, Seen, Verdict, judge, keep_larger, shortage
from batchframe.pricing.cost import cost_columns, pricer, row_cost
from batchframe.pricing.rates import Rates
from batchframe.providers.base import BatchProvider, Lifecycle
from batchframe.providers.registry import model_ref, provider, request_model
from batchframe.providers.rest import NotThereError, NotWholeError, RefusedError
from batchframe.redact import redact

SAVE_SECONDS = 0.5
"""Progress goes to the ledger at most this often: other processes look there."""

POLL_SECONDS = 15.0
"""How often a provider is asked, unless its lifecycle says otherwise."""

REPEATABLE = frozenset({Effect.FIND, Effect.POLL, Effect.FETCH})
"""Effects that only look, so trying again costs nothing."""

HICCUPS = 3
"""How often such an effect is tried again while the provider is away."""

LOOKS = 2
"""So often at least a batch that may have been created is looked for again before it counts as absent."""

NAP_SECONDS = 1.0
"""Whoever waits looks this often whether the job was cancelled."""

_NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
"""OSErrors that are about the way to a provider, not about a disk."""

_OUTCOMES = {
    Phase.WAITING: Event.WAITING,
    Phase.RUNNING: Event.RUNNING,
    Phase.ENDED: Event.ENDED,
    Phase.FAILED: Event.ENDED,
    Phase.REFUSED: Event.FULL,
}

_PAUSES = frozenset({Event.WAITING, Event.RUNNING, Event.FULL, Event.SHORT})
"""Outcomes after which the provider needs time."""

Act = Callable[[Row, Row], Outcome]

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a driver is told beside the ledger: things that live in the calling process only.

    Without `schema` the one kept in the ledger is used, which does not run the user's validators.
    """

    schema: ResponseSchema | None = None
    retry: Retry = field(default_factory=Retry)
    concurrency: int | None = None
    prices: Mapping[str, Any] | None = None


@dataclass
class Driver:
    """Drives one job until every row has an outcome, or something other than a row stops it.

    Args:
        workspace: Where the job is kept; the caller holds the job's lock.
        job_id: The job.
        memory: What the calling process knows.
    """

    workspace: Workspace
    job_id: str
    memory: Memory = field(default_factory=Memory)
    _live: dict[int, Progress] = field(default_factory=dict)
    _saved: dict[int, float] = field(default_factory=dict)
    _speed: Speed = field(default_factory=Speed)
    _managed: dict[str, Managed] = field(default_factory=dict)
    _written: set[int] = field(default_factory=set)
    _withdrawn: set[int] = field(default_factory=set)
    _refused: dict[int, int] = field(default_factory=dict)
    _looks: dict[int, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return self.workspace.job_folder(self.job_id)

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
                await self._save(number, message=_words(error))
                await self._save_job(message=_words(error))
                await self._publish()
            except Exception as second:  # noqa: BLE001 - the first failure is the cause
                # a process that ends has no threads left to save anything with; the ledger stands
                level = logging.DEBUG if "shutdown" in str(second) else logging.WARNING
                LOG.log(level, "%s: %s; and %s", self.job_id, _words(error), _words(second))
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
            said = await self._mention(said, outcome.say)
            await self._publish()
            if outcome.stop is not None:
                raise ProviderError(outcome.stop)
            if outcome.event in _PAUSES:
                await self._nap(job, self._pause(job, part))

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

    def _pause(self, job: Row, part: Row) -> float:
        return float(getattr(self._lifecycle(job, part), "poll_seconds", POLL_SECONDS))

    async def _limited(
        self, job: Row, part: Row, intent: Effect | None, error: RateLimitError
    ) -> str:
        """Wait for as long as a rate limit asks, or until the job is cancelled; gives what was said."""
        said = _words(error)
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

    # One method an effect: what it does is written at the method, when it is done stands in steps.py.

    def _encode(self, job: Row, part: Row) -> Outcome:
        self._wire(job, part)
        return Outcome(Event.DONE)

    def _wire(self, job: Row, part: Row) -> Path:
        """Give the part's wire file, written by this very driver.

        What an earlier process left may be damaged or gone; the requests are what counts.
        """
        wire = self.folder / wire_file(part["number"])
        if part["number"] in self._written:
            return wire
        encode.write_wire(
            self.folder / part_file(part["number"]),
            wire,
            model=self._asked(job, part),
            dialect=self._dialect(job, part),
            endpoint=Endpoint(job["endpoint"]),
        )
        self._written.add(part["number"])
        return wire

    def _upload(self, job: Row, part: Row) -> Outcome:
        lifecycle = self._lifecycle(job, part)
        ticket = lifecycle.upload(part_of(job, part), self._wire(job, part))
        return Outcome(Event.DONE, {"ticket": dict(ticket.data)})

    def _create(self, job: Row, part: Row) -> Outcome:
        lifecycle = self._lifecycle(job, part)
        if isinstance(lifecycle, Managed):
            self._wire(job, part)
        try:
            ticket = lifecycle.create(part_of(job, part), ticket_of(part))
        except QueueFullError as error:
            words = _words(error)
            return Outcome(Event.FULL, {"message": words}, say=self._queued(job, part, words))
        # what a full queue said before is no longer so
        return Outcome(Event.DONE, {"ticket": dict(ticket.data), "message": None})

    def _queued(self, job: Row, part: Row, words: str) -> str:
        every = f"{self._pause(job, part):g} s"
        return f"{words} The queue is full: the job waits for its turn and asks every {every}."

    def _find(self, job: Row, part: Row) -> Outcome:
        """Look for a batch; one empty look is no proof, as a list may lag behind what was created."""
        lifecycle, now = self._lifecycle(job, part), time.time()
        try:
            ticket = lifecycle.find(part_of(job, part), ticket_of(part))
        except RefusedError as error:
            return self._unlisted(job, part, error)
        if ticket is not None:
            return Outcome(Event.DONE, {"ticket": waits.stopped(ticket.data, "absent")})
        waiting = waits.started(part["ticket"], "absent", now)
        looks = self._looks[part["number"]] = self._looks.get(part["number"], 0) + 1
        long = job["cancel"] or waits.waited(waiting, "absent", now) >= _patience(lifecycle).absent
        if isinstance(lifecycle, Managed) or (long and looks > LOOKS):
            return Outcome(Event.ABSENT, {"ticket": waits.stopped(waiting, "absent")})
        said = (
            f"{provider_of(part)} did not confirm that it made the batch of part {part['number']}; it "
            "is looked for in the list before it is made again."
        )
        return Outcome(Event.WAITING, {"ticket": waiting}, say=said, intent=Effect.CREATE)

    def _unlisted(self, job: Row, part: Row, error: RefusedError) -> Outcome:
        """Where there is no list, only people can tell whether a batch was made."""
        if job["cancel"]:
            return Outcome(Event.WITHDRAWN)
        name, key, job_id = provider_of(part), part["key"], self.job_id
        stop = (
            f"{_words(error)} So nobody here can tell whether {name} made the batch of part "
            f"{part['number']}, and it is not made again by itself: it could be paid twice. Look for "
            f"{key} among the batches of your account. If it is not there, type: bf.job('{job_id}')"
            f".cancel().wait(), then bf.job('{job_id}').retry(), which sends its rows again."
        )
        return Outcome(Event.WAITING, stop=stop, intent=Effect.CREATE)

    def _poll(self, job: Row, part: Row) -> Outcome:
        lifecycle = self._lifecycle(job, part)
        if job["cancel"]:
            self._withdraw(lifecycle, part)
        elif isinstance(lifecycle, Managed):
            self._wire(job, part)
        try:
            progress = lifecycle.poll(ticket_of(part))
        except NotThereError as error:
            return self._not_there(job, part, error)
        self._live[part["number"]] = progress
        message = None if progress.message is None else redact(progress.message)
        ticket, say, stop = self._unknown(part, lifecycle, progress)
        if progress.rejected:
            told = [
                [line, redact(error.code), redact(error.message)]
                for line, error in progress.rejected
            ]
            ticket["rejected"] = told
        if progress.phase is Phase.ENDED and progress.owed is not None:
            ticket["owed"] = progress.owed
        if progress.phase is Phase.REFUSED:
            say = self._queued(job, part, message or f"{provider_of(part)} turned the batch away.")
        changes = {"phase": progress.phase.value, "message": message, "ticket": ticket}
        counts = self._counts(job, part, progress)
        return Outcome(_OUTCOMES[progress.phase], {**changes, **counts}, say=say, stop=stop)

    def _unknown(
        self, part: Row, lifecycle: Lifecycle, progress: Progress
    ) -> tuple[dict[str, Any], str | None, str | None]:
        """Time a status that nobody knows; gives the ticket, what is said of it, and why to stop."""
        if progress.unknown is None:
            return waits.stopped(part["ticket"], "gone", "unknown"), None, None
        now = time.time()
        ticket = waits.started(waits.stopped(part["ticket"], "gone"), "unknown", now)
        for_ = waits.waited(ticket, "unknown", now)
        word = redact(progress.unknown) or "nothing"
        said = f"{provider_of(part)} says {word!r} of the batch of part {part['number']}, a status that nobody here knows"
        if for_ < _patience(lifecycle).unknown:
            return ticket, f"{said}; it is asked again.", None
        stop = (
            f"{said}, and has said so for {for_ / 3600:.3g} h. Look at the batch in your account. "
            f"bf.job('{self.job_id}').retry() asks for as long again; a newer batchframe may know "
            "the word."
        )
        return waits.stopped(ticket, "unknown"), None, stop

    def _not_there(self, job: Row, part: Row, error: NotThereError) -> Outcome:
        """What to make of a batch that was there and is not: one such answer proves nothing."""
        now, ended = time.time(), PartState(part["state"]) is PartState.ENDED
        ticket = waits.started(part["ticket"], "gone", now)
        gone = waits.waited(ticket, "gone", now) >= _patience(self._lifecycle(job, part)).gone
        if not gone:
            say = f"{_words(error)} The batch was there before, so it is asked for again."
            return Outcome(Event.WAITING, {"ticket": ticket}, say=say)
        if job["cancel"]:
            lost = {**waits.stopped(ticket, "gone"), "lost": True}
            changes = {"ticket": lost, "files": []} if ended else {"ticket": lost}
            return Outcome(Event.DONE if ended else Event.ENDED, changes)
        job_id, name = self.job_id, provider_of(part)
        stop = (
            f"{_words(error)} The batch was there before: a key of another account or project sees "
            f"none of it. With the right settings, go on with bf.job('{job_id}').retry(). If {name} "
            f"has lost it, give it up with bf.job('{job_id}').cancel().wait(); after that retry() sends "
            "its rows again, at the full price."
        )
        return Outcome(Event.WAITING, {"ticket": ticket}, stop=stop)

    def _withdraw(self, lifecycle: Lifecycle, part: Row) -> None:
        """Ask for the end, ever more rarely, until it is granted; a batch may go on to its own."""
        number = part["number"]
        since = self._refused[number] = self._refused.get(number, 0) + 1
        if number in self._withdrawn or since & (since - 1):  # at polls 1, 2, 4, 8 ...
            return
        try:
            lifecycle.cancel(ticket_of(part))
        except (AuthenticationError, ProviderUnavailableError):
            raise
        except ProviderError as error:  # it may agree later, or end by itself
            LOG.warning("%s part %d: %s", self.job_id, number, _words(error))
        else:
            self._withdrawn.add(number)

    def _fetch(self, job: Row, part: Row) -> Outcome:
        lifecycle, ticket = self._lifecycle(job, part), dict(part["ticket"] or {})
        if ticket.get("lost"):
            return Outcome(Event.DONE, {"files": []})
        folder = self.folder
        if not isinstance(lifecycle, Managed):
            # a folder of its own: providers name the files of all batches alike
            folder = self.workspace.folder("jobs", self.job_id, results_folder(part["number"]))
        try:
            brought: list[Path] = lifecycle.fetch(ticket_of(part), folder)
        except NotThereError as error:
            return self._not_there(job, part, error)
        except NotWholeError as error:
            brought = Brought(doubts=[error.why])
        ticket |= {"gone": [*getattr(brought, "gone", ())]}
        ticket |= {"doubts": [redact(doubt) for doubt in getattr(brought, "doubts", ())]}
        if not isinstance(lifecycle, Managed):
            for file in brought:
                scrub(file, self._dialect(job, part))
        files = [*brought, *self._kept(part)]
        if ticket.get("rejected"):
            files.append(self._rejected(part, folder))
        for place in (*files, folder):
            settle(place)  # a torn file would be there, and so not be fetched again
        names = [file.relative_to(self.folder).as_posix() for file in files]
        return Outcome(Event.DONE, {"files": names, "ticket": ticket})

    def _kept(self, part: Row) -> list[Path]:
        """Give what was kept of results that fell short before."""
        files = [self.folder / name for name in part["files"] or () if name.endswith(KEPT)]
        return [file for file in files if file.exists()]

    def _rejected(self, part: Row, folder: Path) -> Path:
        """Write down which rows made the provider refuse the whole file: only the others are worth a retry."""
        requests = pl.scan_parquet(self.folder / part_file(part["number"])).select("custom_id")
        lines = []
        for line, code, message in part["ticket"]["rejected"]:
            for custom_id in requests.slice(line - 1, 1).collect()["custom_id"]:
                error = {"code": code, "message": message}
                lines.append(
                    orjson.dumps({"custom_id": custom_id, "response": None, "error": error})
                )
        target = folder / "rejected.jsonl"
        target.write_bytes(b"".join(line + b"\n" for line in lines))
        return target

    def _decode(self, job: Row, part: Row) -> Outcome:
        files = [self.folder / name for name in part["files"] or ()]
        if not all(file.exists() for file in files):
            return Outcome(Event.ABSENT)
        number = part["number"]
        out = self.folder / decode.outputs_file(number)
        fresh = out.with_name(f"{out.name}.new")
        how = self._decoding(job, part, absent(job, part))
        odd = decode.decode_part(self.folder / part_file(number), files, fresh, how)
        short = self._short(job, part, files, part["rows"] - odd.absent)
        if short is not None:
            fresh.unlink()
            return short
        fresh.replace(out)
        settle(out)
        self._live.pop(number, None)
        message = odd.remark or part["message"]
        totals = outputs.part_totals(out, self.schema(job))
        return Outcome(Event.DONE, {**totals, "message": message})

    def _short(self, job: Row, part: Row, files: list[Path], held: int) -> Outcome | None:
        """Send a part back to be fetched again where its results fall short; None: they are taken."""
        lifecycle, ticket, now = self._lifecycle(job, part), part["ticket"] or {}, time.time()
        seen = Seen(
            part["rows"], held, ticket.get("owed"), bool(ticket.get("gone")),
            bool(ticket.get("doubts")),
        )  # fmt: skip
        told = bool(ticket.get("told"))
        for_ = waits.waited(ticket, "results", now)
        patience = _patience(lifecycle)
        verdict = judge(seen, for_, patience, told=told, cancelled=bool(job["cancel"]))
        if isinstance(lifecycle, Managed) or verdict in (Verdict.WHOLE, Verdict.TAKE):
            return None
        words = shortage(seen, part, ticket)
        kept = [file.relative_to(self.folder).as_posix() for file in keep_larger(files)]
        if verdict is Verdict.AGAIN:
            changes = {"files": kept, "ticket": waits.started(ticket, "results", now)}
            return Outcome(Event.SHORT, changes, say=f"{words} They are fetched again.")
        changes = {"files": kept, "ticket": {**waits.stopped(ticket, "results"), "told": words}}
        stop = (
            f"{words} They were fetched again for {for_ / 60:.3g} minutes. bf.job('{self.job_id}')"
            f".outputs() shows what is there. bf.job('{self.job_id}').retry() fetches for as long "
            "again and pays nothing; what is lacking then becomes an error of its row."
        )
        return Outcome(Event.SHORT, changes, stop=stop)

    def peek(self, number: int, out: Path) -> bool:
        """Decode what the journal of a managed part, or files that fell short, hold so far.

        Args:
            number: The part; it may be worked on meanwhile.
            out: The file to make; rows without a line are not in it.

        Returns:
            False when there is nothing.
        """
        store, journal = self.workspace.store, self.folder / journal_file(number)
        job = store.job(self.job_id)
        parts = {part["number"]: part for part in store.parts(self.job_id)}
        if job is None or number not in parts:
            return False
        part = parts[number]
        files = [journal] if journal.exists() else self._kept(part)
        if not files:
            return False
        try:
            how = self._decoding(job, part, None)
        except UnknownNameError:  # a provider that only the process which sends knows
            return False
        if files == [journal]:
            how = replace(how, dialect=_SETTLED)
        decode.decode_part(self.folder / part_file(number), files, out, how)
        return True

    def _decoding(self, job: Row, part: Row, absent: RowError | None) -> decode.Decoding:
        number, rates = part["number"], self._rates(job, part)
        price: Callable[[Reply], Decimal | None] = lambda reply: row_cost(reply.usage, rates).total  # noqa: E731
        return decode.Decoding(
            part=number,
            dialect=self._dialect(job, part),
            price=price,
            price_source=rates.source if rates else None,
            absent=absent,
            # the part's model is what was asked, whatever name it answers by
            costs=lambda rows: cost_columns(rows.with_columns(model=pl.lit("")), {"": rates})[
                "cost"
            ],
        )

    def _asked(self, job: Row, part: Row) -> str:
        """Give the model's name as the part's requests carry it."""
        ref = model_ref(part["model"])
        return request_model(ref) if isinstance(self._lifecycle(job, part), Managed) else ref.name

    def _dialect(self, job: Row, part: Row) -> Dialect:
        """Give the words of a part's files; what we send ourselves is OpenAI's, parameters' names apart."""
        lifecycle = self._lifecycle(job, part)
        if isinstance(lifecycle, BatchProvider):
            return lifecycle.dialect(Endpoint(job["endpoint"]))
        return support.renaming(openai.DIALECT, model_ref(part["model"]).provider)

    def _lifecycle(self, job: Row, part: Row) -> Lifecycle:
        ref = model_ref(part["model"])
        found = provider(ref.provider)
        if job["mode"] == "batch" and isinstance(found, BatchProvider):
            return found
        if ref.provider not in self._managed:
            prices = self.memory.prices or job["settings"].get("prices")
            self._managed[ref.provider] = Managed(
                found, self.folder, background.loop(), self.memory.retry, self.memory.concurrency,
                lambda model: pricer(rates_of(model, batch=False, overrides=prices)),
            )  # fmt: skip
        return self._managed[ref.provider]

    def _rates(self, job: Row, part: Row) -> Rates | None:
        ref = model_ref(part["model"])
        native = not isinstance(self._lifecycle(job, part), Managed)
        prices = self.memory.prices or job["settings"].get("prices")
        return rates_of(ref, batch=native, overrides=prices)

    def _counts(self, job: Row, part: Row, progress: Progress) -> dict[str, Any]:  # noqa: ARG002 - one shape for all callers
        """Give a running part's columns; a cost where every answer so far has a known price."""
        usage = progress.usage
        tokens = {
            "input_tokens": usage.input,
            "cached_tokens": usage.cached,
            "output_tokens": usage.output,
            "reasoning_tokens": usage.reasoning,
        }
        known = None if progress.cost is None else str(progress.cost)
        return {
            "done": progress.done or 0,
            "failed": progress.failed or 0,
            "cost": None if progress.unpriced else known,
            "known_cost": known if progress.cost else None,  # 0 of unknown is nothing known
            **tokens,
        }

    def schema(self, job: Row) -> ResponseSchema | None:
        """Give the job's response model: the caller's own, or what the ledger keeps of it."""
        if self.memory.schema is not None:
            return self.memory.schema
        kept = job["settings"].get("response_schema")
        return None if kept is None else ResponseSchema.from_json(kept)

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
            state=JobState.FAILED, message=_words(error), ended_at=time.time(), driver=None
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
            LOG.warning("%s: its progress could not be saved: %s", self.job_id, _words(error))

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


def _patience(lifecycle: Lifecycle) -> Patience:
    """Give for how long a provider's word is asked for again; not every provider says."""
    found = getattr(lifecycle, "patience", None)
    return found if isinstance(found, Patience) else Patience()


def _words(error: Exception) -> str:
    """Say what an exception says, with the class of one that is not ours."""
    told = str(error) if isinstance(error, BatchframeError) else f"{type(error).__name__}: {error}"
    return redact(told)


def _let_go(error: BaseException | None) -> None:
    """Empty the frames that a kept exception holds: frames of data hang on them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


_NOBODY = "\0"
"""The id of no row: a key's id is never this."""


def _settled(line: Mapping[str, Any]) -> Reply:
    """Read a journal's line; one that leaves its row open is nobody's."""
    return openai.decode(line) if is_final(line) else Reply(_NOBODY)


_SETTLED = Dialect("journal", openai.line, _settled)


def results_folder(number: int) -> str:
    """Name the folder of a part's result files, as the provider gave them.

    >>> results_folder(7)
    'part-0007.results'
    """
    return f"part-{number:04d}.results"


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
