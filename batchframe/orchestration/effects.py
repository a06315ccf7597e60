"""The effects of the state table on a job's parts: one method an effect; what is done stands there, when it is done in `steps.py`.

No provider is named here. A part's lifecycle is its provider's own batch API or, where there is
none or the mode is immediate, a managed batch. Nothing here saves: outcomes are given back.
"""

from __future__ import annotations

import logging
import time
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
    ProviderError,
    ProviderUnavailableError,
    QueueFullError,
    UnknownNameError,
)
from batchframe.frame import decode, encode, outputs
from batchframe.frame.parts import part_file
from batchframe.frame.schema import ResponseSchema
from batchframe.frame.scrub import scrub
from batchframe.immediate.managed import Managed, journal_file, wire_file
from batchframe.immediate.retry import Retry
from batchframe.ledger.journal import is_final
from batchframe.ledger.workspace import Workspace, settle
from batchframe.model import Brought, Endpoint, Patience, Phase, Progress, Reply, RowError
from batchframe.orchestration import background, waits
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
from batchframe.orchestration.wholeness import KEPT, Seen, Verdict, judge, keep_larger, shortage
from batchframe.pricing.cost import cost_columns, pricer, row_cost
from batchframe.pricing.rates import Rates
from batchframe.providers.base import BatchProvider, Lifecycle
from batchframe.providers.registry import model_ref, provider, request_model
from batchframe.providers.rest import NotThereError, NotWholeError, RefusedError
from batchframe.redact import redact

POLL_SECONDS = 15.0
"""How often a provider is asked, unless its lifecycle says otherwise."""
LOOKS = 2
"""So often at least a batch that may have been created is looked for again before it counts as absent."""
_OUTCOMES = {
    Phase.WAITING: Event.WAITING,
    Phase.RUNNING: Event.RUNNING,
    Phase.ENDED: Event.ENDED,
    Phase.FAILED: Event.ENDED,
    Phase.REFUSED: Event.FULL,
}
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
class Effects:
    """What can be done for the parts of one job.

    Args:
        workspace: Where the job is kept; the caller holds the job's lock.
        job_id: The job.
        memory: What the calling process knows.
    """

    workspace: Workspace
    job_id: str
    memory: Memory = field(default_factory=Memory)
    _live: dict[int, Progress] = field(default_factory=dict)
    _managed: dict[str, Managed] = field(default_factory=dict)
    _written: set[int] = field(default_factory=set)
    _withdrawn: set[int] = field(default_factory=set)
    _refused: dict[int, int] = field(default_factory=dict)
    _looks: dict[int, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The job's folder."""
        return self.workspace.job_folder(self.job_id)

    def _pause(self, job: Row, part: Row) -> float:
        return float(getattr(self._lifecycle(job, part), "poll_seconds", POLL_SECONDS))

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
            told = words(error)
            return Outcome(Event.FULL, {"message": told}, say=self._queued(job, part, told))
        # what a full queue said before is no longer so
        return Outcome(Event.DONE, {"ticket": dict(ticket.data), "message": None})

    def _queued(self, job: Row, part: Row, said: str) -> str:
        every = f"{self._pause(job, part):g} s"
        return f"{said} The queue is full: the job waits for its turn and asks every {every}."

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
            f"{words(error)} So nobody here can tell whether {name} made the batch of part "
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
            say = f"{words(error)} The batch was there before, so it is asked for again."
            return Outcome(Event.WAITING, {"ticket": ticket}, say=say)
        if job["cancel"]:
            lost = {**waits.stopped(ticket, "gone"), "lost": True}
            changes = {"ticket": lost, "files": []} if ended else {"ticket": lost}
            return Outcome(Event.DONE if ended else Event.ENDED, changes)
        job_id, name = self.job_id, provider_of(part)
        stop = (
            f"{words(error)} The batch was there before: a key of another account or project sees "
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
            LOG.warning("%s part %d: %s", self.job_id, number, words(error))
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
        lack = shortage(seen, part, ticket)
        kept = [file.relative_to(self.folder).as_posix() for file in keep_larger(files)]
        if verdict is Verdict.AGAIN:
            changes = {"files": kept, "ticket": waits.started(ticket, "results", now)}
            return Outcome(Event.SHORT, changes, say=f"{lack} They are fetched again.")
        changes = {"files": kept, "ticket": {**waits.stopped(ticket, "results"), "told": lack}}
        stop = (
            f"{lack} They were fetched again for {for_ / 60:.3g} minutes. bf.job('{self.job_id}')"
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


def _patience(lifecycle: Lifecycle) -> Patience:
    """Give for how long a provider's word is asked for again; not every provider says."""
    found = getattr(lifecycle, "patience", None)
    return found if isinstance(found, Patience) else Patience()


def words(error: Exception) -> str:
    """Say what an exception says, with the class of one that is not ours."""
    told = str(error) if isinstance(error, BatchframeError) else f"{type(error).__name__}: {error}"
    return redact(told)


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
