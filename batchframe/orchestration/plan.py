"""A plan is a submit that has not happened: its parts are on disk, its cost is estimated, nothing is sent.

What is staged here becomes the job's folder by one rename, so a crash at any moment leaves either
nothing or a whole job.
"""

from __future__ import annotations

import base64
import errno
import os
import secrets
import shutil
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
import polars.selectors as cs

from batchframe.dialects import openai, support
from batchframe.errors import FileError, InputError, SetupError
from batchframe.frame.encode import line_bytes
from batchframe.frame.join import storable
from batchframe.frame.parts import PartSize, PartWriter
from batchframe.frame.requests import KEPT_ROWS, Fingerprint, Recipe, chunks
from batchframe.frame.schema import ResponseSchema
from batchframe.ledger.events import JobState
from batchframe.ledger.workspace import Workspace, settle, storage
from batchframe.model import Endpoint, Limits, Mode, ModelRef
from batchframe.notebook.hostile import clean
from batchframe.orchestration.effects import Memory
from batchframe.orchestration.forgetting import forget_files
from batchframe.orchestration.priced import idle_prices, rates_of, refuse_idle
from batchframe.orchestration.steps import PartState
from batchframe.pricing.estimate import Estimate, budget, combine, estimate, said
from batchframe.providers.base import BatchProvider, Provider
from batchframe.providers.registry import (
    answer_tokens,
    carries_metadata,
    check,
    listed,
    model_ref,
    provider,
    request_model,
)

if TYPE_CHECKING:
    from batchframe.orchestration.job import Job

FRAME_FILE = "frame.parquet"
SAMPLE = 200
"""Rows of each chunk that the token estimate looks at."""

SAMPLE_BYTES = 8_000_000
"""Characters of bodies that are kept for it at most, over all chunks of a model."""

_LINE = 1_000  # characters that a model's line has in `repr(plan)`

_FULL = ("No space left", "Disk quota exceeded", "not enough space on the disk")
"""How Linux and macOS (the first two) and Windows say through Polars that a disk is full."""

_IN_EXPRESSION = "This error occurred in the following expression"
"""What Polars 2.1 writes under an error of the query itself, which a source's error lacks."""

_CAUSE = 300  # characters of Polars' own text in a message

STALE_SECONDS = 86_400
"""A staging folder older than this belongs to a process that is gone."""

Frame = pl.DataFrame | pl.LazyFrame


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a verb, checked: what to ask of which frame, and how the job is kept.

    `settings` is what `result()` needs in another process; plain JSON.
    """

    frame: Frame
    recipe: Recipe
    mode: Mode
    name: str
    settings: Mapping[str, Any]
    memory: Memory
    metadata: Mapping[str, str] = field(default_factory=dict)
    budget_usd: Decimal | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    schema: ResponseSchema | None = None
    strict: bool = False


@dataclass
class Staged:
    """A request written down: its folder, its parts, its fingerprint, some bodies of each model."""

    folder: Path
    parts: list[PartSize]
    total: int
    unsent: int
    fingerprint: str
    samples: dict[str, list[str]]

    def discard(self) -> None:
        """Remove the folder, if it has not become a job."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stage(workspace: Workspace, request: Request) -> Staged:
    """Write a request's parts and frame into a staging folder.

    Args:
        workspace: Where the job would be kept.
        request: What to ask.

    Returns:
        What was written; call `discard()` on it, or make it a job.
    """
    folder = workspace.staging()
    _sweep(folder.parent)
    forget_files(workspace)
    try:
        with storage(folder):
            return _stage(folder, request)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _stage(folder: Path, request: Request) -> Staged:
    recipe = request.recipe
    # kept first, and asked from what is kept: a query run twice may give its rows in another order
    kept = folder / FRAME_FILE
    _store_frame(request.frame, kept)
    settle(kept)
    frame = request.frame if isinstance(request.frame, pl.DataFrame) else pl.scan_parquet(kept)
    fingerprint = Fingerprint(
        {"mode": request.mode, "endpoint": recipe.shape.endpoint, "key": recipe.key},
        ordered=recipe.key is None,
    )
    limits = _LimitsByModel(recipe)
    writer = PartWriter(folder, limits, lines=line_sizes(request.mode, recipe.shape.endpoint))
    seen = _Seen(limits, fingerprint)
    parts = writer.write_all(seen.passing(chunks(frame, recipe, kept=True)))
    if not parts:  # nothing is asked, so only the way of asking tells two such jobs apart
        fingerprint.mix(f"{recipe.model} {recipe.shape.body}")
    return Staged(folder, parts, seen.total, writer.unsent, fingerprint.hexdigest(), seen.samples)


@dataclass
class _Seen:
    """What is noted of the requests while they pass: their number, their digest, some bodies."""

    limits: Mapping[str, Limits]
    fingerprint: Fingerprint
    total: int = 0
    samples: dict[str, list[str]] = field(default_factory=dict)
    kept_bytes: dict[str, int] = field(default_factory=dict)

    def passing(self, requests: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Let chunks pass; a model nobody knows is refused at its first row."""
        for chunk in requests:
            self.total += chunk.height
            self.fingerprint.add(chunk)
            sent = chunk.filter(pl.col("error").is_null())
            for model in sent["model"].unique(maintain_order=True):
                self.limits[model]
            step = max(1, sent.height // SAMPLE)
            for model, body in sent.gather_every(step).select("model", "body").iter_rows():
                self._keep(model, body)
            yield chunk

    def _keep(self, model: str, body: str) -> None:
        """Take a body into the sample; a sample that grows too large loses every second one."""
        kept = self.samples.setdefault(model, [])
        kept.append(body)
        self.kept_bytes[model] = self.kept_bytes.get(model, 0) + len(body)
        while len(kept) > 1 and (len(kept) > 10 * SAMPLE or self.kept_bytes[model] > SAMPLE_BYTES):
            del kept[1::2]
            self.kept_bytes[model] = sum(map(len, kept))


class _LimitsByModel(dict[str, Limits]):
    """Looks each model up once, at its first row, so that a wrong name is refused before the rest."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._endpoint = recipe.shape.endpoint

    def __missing__(self, model: str) -> Limits:
        ref = model_ref(model)
        check(ref, self._endpoint)
        self[model] = limits_of(provider(ref.provider), self._endpoint)
        return self[model]


def ready(model: str, endpoint: Endpoint) -> None:
    """See that a model can be asked now, credentials and all.

    Args:
        model: `provider/model`.
        endpoint: What it is asked for.

    Raises:
        MissingCredentialsError: No key was found; nothing was sent.
    """
    ref = model_ref(model)
    provider(ref.provider).check(ref.name, endpoint)


def limits_of(found: Provider, endpoint: Endpoint) -> Limits:
    """Say what one part of a provider's may hold.

    Args:
        found: The provider.
        endpoint: What its requests are for: only embeddings are counted by their inputs.
    """
    limits = found.limits
    return limits if endpoint is Endpoint.EMBEDDINGS else replace(limits, inputs=None)


def line_sizes(mode: Mode, endpoint: Endpoint) -> Callable[[str], pl.Expr]:
    """Give what measures a model's lines, in the words of the file that will be written.

    Args:
        mode: How the job's requests travel.
        endpoint: What they are for.
    """

    def measure(model: str) -> pl.Expr:
        ref = model_ref(model)
        found = provider(ref.provider)
        if mode == "batch" and isinstance(found, BatchProvider):
            return line_bytes(ref.name, found.dialect(endpoint), endpoint)
        # what we send ourselves is written down as OpenAI would have it
        return line_bytes(request_model(ref), openai.DIALECT, endpoint)

    return measure


def tabled(model: str) -> tuple[str, str]:
    """Give a model as the tables of parameters have it: its provider, and its name there.

    Args:
        model: `provider/model`.
    """
    word, _, name = model.partition("/")
    # a deployment's own name says nothing; a provider nobody knows is refused elsewhere
    known = word in support.SURFACES
    return word, listed(ModelRef(word, name))[0].name if known else name


def warned(request: Request, models: Iterable[str]) -> list[str]:
    """Say which parameters of a request will not do at its models what they say.

    Args:
        request: The call.
        models: `provider/model`, those that are asked.
    """
    guard = request.recipe.guard
    return [] if guard is None else [text for model in models for text in guard.warnings(model)]


def refuse(warnings: Sequence[str]) -> None:
    """Refuse a strict call that has warnings.

    Raises:
        InputError: With all of them.
    """
    if warnings:
        said = "; ".join(clean(text, _LINE) for text in warnings)
        raise InputError(
            f"strict=True refuses what would only be a warning: {said}. To send it all the same: "
            "strict=False."
        )


def is_native(ref: ModelRef, mode: Mode) -> bool:
    """Whether rows of this model would run in the provider's own batch."""
    return mode == "batch" and isinstance(provider(ref.provider), BatchProvider)


def _store_frame(frame: Frame, path: Path) -> None:
    """Keep the user's frame beside the job, so that any process can join the answers onto it."""
    names = storable(frame.collect_schema())
    # by exact name: a name such as "^a$" or "*" would be read as a pattern
    chosen = frame.select(cs.by_name(*names)) if names else frame.select()
    try:
        if isinstance(chosen, pl.LazyFrame):
            chosen.sink_parquet(path, row_group_size=KEPT_ROWS)  # a piece is held whole
        else:
            chosen.write_parquet(path)
    # a source or function of the user's may raise anything, and Polars panics over some damaged files
    except (Exception, pl.exceptions.PanicException) as error:
        if any(said in str(error) for said in _FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        # Polars cuts long paths at their beginning; the folder's own name is in what is left
        if isinstance(error, OSError) and (
            path.parent.name in str(error) or isinstance(frame, pl.DataFrame)
        ):
            raise
        raise _unkept(error, lazy=isinstance(frame, pl.LazyFrame)) from error


def _unkept(error: BaseException, *, lazy: bool) -> InputError:
    """Say whether it is a LazyFrame's source, its query, or the frame that cannot be written down."""
    text = str(error)
    # the first line alone: under it stand advice about arguments that are not ours, and the plan
    said = clean((text.splitlines() or [""])[0], _CAUSE)
    if not lazy:
        return InputError(f"The frame cannot be kept beside the job: {said}")
    reading = isinstance(error, OSError | pl.exceptions.ComputeError | pl.exceptions.PanicException)
    if reading and _IN_EXPRESSION not in text:
        return FileError(
            f"The LazyFrame's source cannot be read: {said.rstrip('.')}. Put the source right and "
            "make the LazyFrame anew; nothing was sent."
        )
    return InputError(f"The LazyFrame cannot be evaluated: {type(error).__name__}: {said}")


def _sweep(staging: Path) -> None:
    """Remove what processes that are gone left behind."""
    for folder in staging.iterdir():
        try:
            stale = time.time() - folder.stat().st_mtime > STALE_SECONDS
        except OSError:
            continue  # another process was faster
        if stale:
            shutil.rmtree(folder, ignore_errors=True)


def job_id(fingerprint: str, run: int) -> str:
    """Name a job: the same request always has the same name, so two processes cannot make two.

    >>> job_id("00" * 20, 0)
    'job-aaaaaaaaaa'
    """
    raw = (int(fingerprint, 16) + run * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276B) % 2**160
    return "job-" + base64.b32encode(raw.to_bytes(20)).decode().lower()[:10]


def ledger_rows(
    staged: Staged, request: Request, run: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give the rows that make a staged request a job."""
    identity = job_id(staged.fingerprint, run)
    models = sorted({part.model for part in staged.parts})
    constant = request.recipe.model
    model = constant if isinstance(constant, str) else " + ".join(models) or "no model"
    job = {
        "id": identity,
        "fingerprint": staged.fingerprint,
        "run": run,
        "name": request.name,
        "model": model,
        "mode": request.mode,
        "endpoint": request.recipe.shape.endpoint.value,
        "state": JobState.QUEUED.value,
        "total": staged.total,
        "unsent": staged.unsent,
        "settings": dict(request.settings),
        "metadata": dict(request.metadata),
        "created_at": time.time(),
    }
    parts = [part_row(identity, size) for size in staged.parts]
    return job, parts


def part_row(identity: str, size: PartSize, *, retry: bool = False) -> dict[str, Any]:
    """Give the ledger's row of a new part."""
    return {
        "job_id": identity,
        "number": size.number,
        "state": PartState.PLANNED.value,
        # not made of the request alone: a job forgotten, or of another workspace, had the same
        "key": f"{identity}-{size.number}-{secrets.token_hex(4)}",
        "model": size.model,
        "rows": size.rows,
        "retry": retry,
    }


@dataclass
class Plan:
    """What a submit would do: parts, tokens and dollars with their range, refusals and warnings.

    Nothing is sent until `submit()`. `refusals` would raise there; `warnings` would not.
    """

    workspace: Workspace
    request: Request
    staged: Staged
    launch: Callable[[Plan], Job]

    def __post_init__(self) -> None:
        weakref.finalize(self, self.staged.discard)

    def submit(self) -> Job:
        """Make the job: what `df.batch.submit(...)` does after planning.

        Raises:
            BudgetError: The estimate does not fit `budget_usd`.
            InputError: There are warnings, and `strict=True`.
            MissingCredentialsError: No key was found.
        """
        self.check()
        if not self.staged.folder.exists():  # submitted before, or swept away after a day
            self.staged = stage(self.workspace, self.request)
        return self.launch(self)

    @property
    def rows(self) -> int:
        """Rows of the frame."""
        return self.staged.total

    @property
    def parts(self) -> list[PartSize]:
        """The provider-side batches."""
        return self.staged.parts

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """The estimate of each model; computed when it is first asked for: counting takes a second."""
        sizes: dict[str, int] = {}
        for part in self.staged.parts:
            sizes[part.model] = sizes.get(part.model, 0) + part.rows
        return {model: self._estimate(model, rows) for model, rows in sizes.items()}

    def _estimate(self, model: str, rows: int) -> Estimate:
        ref = model_ref(model)
        native = is_native(ref, self.request.mode)
        given = self.request.parameters
        cap = given.get("max_completion_tokens", given.get("max_tokens"))
        return estimate(
            [orjson.loads(body) for body in self.staged.samples[model]],
            rows,
            ref,
            batch=native,
            max_tokens=cap if isinstance(cap, int) else None,
            answer_tokens=answer_tokens(ref),
            rates=rates_of(ref, batch=native, overrides=self.request.memory.prices),
        )

    @property
    def estimate(self) -> Estimate:
        """Tokens and dollars of the whole job, each as (low, likely, high); None: unknown."""
        return combine(list(self.estimates.values()))

    def check(self) -> None:
        """Raise what stands in the way of submitting.

        Raises:
            BudgetError: The high end of the estimate exceeds the budget, or a price is unknown.
            InputError: Prices by hand are for none of the models; or there are warnings, and
                `strict=True`.
            MissingCredentialsError: No key was found; planning needs none.
        """
        self._check_budget()
        self._check_prices()
        self._check_warnings()
        self._check_ready()

    def _check_budget(self) -> None:
        if self.request.budget_usd is not None and self.staged.parts:
            budget(self.estimate, self.request.budget_usd)

    def _check_prices(self) -> None:
        refuse_idle(self.request.memory.prices or {}, self.staged.samples)

    def _check_ready(self) -> None:
        for model in self.staged.samples:
            ready(model, self.request.recipe.shape.endpoint)

    def _check_warnings(self) -> None:
        if self.request.strict:
            refuse(self.warnings)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why `submit()` would raise; empty when it would not."""
        found = []
        ways = (self._check_budget, self._check_prices, self._check_warnings, self._check_ready)
        for way in ways:
            try:
                way()
            except (InputError, SetupError) as error:
                found.append(str(error))
        return tuple(found)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth knowing before the money is spent."""
        found = []
        if self.staged.unsent:
            count = self.staged.unsent
            rows = "row" if count == 1 else "rows"
            found.append(
                f"{count} {rows} will not be sent; requests() says why in its error column"
            )
        for model in self.staged.samples:
            ref = model_ref(model)
            native = is_native(ref, self.request.mode)
            if self.request.metadata and native and not carries_metadata(ref.provider):
                found.append(
                    f"batches at {ref.provider} carry no metadata: metadata= stays with the job"
                )
            managed = self.request.mode == "batch" and not native
            if managed and ref.provider != "local":
                found.append(
                    f"{ref.provider} has no batch API: rows are sent one by one, at the ordinary price"
                )
        idle = idle_prices(self.request.memory.prices or {}, self.staged.samples)
        found += [text.rstrip(".") for text in idle]
        return (*dict.fromkeys(found), *warned(self.request, self.staged.samples))

    def __repr__(self) -> str:
        count, sent = len(self.parts), self.rows - self.staged.unsent
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        head = f"Plan: {rows}, {sent:,} to send in {count:,} part{'s' * (count != 1)}"
        lines = [f"{head}, mode {self.request.mode}"]
        # a model's name may come out of the frame, and then it is as hostile as any text there
        lines += [f"  {clean(f'{model}: {one}', _LINE)}" for model, one in self.estimates.items()]
        lines += [f"  warning: {text}" for text in self.warnings]
        lines += [f"  refused: {text}" for text in self.refusals]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Draw the plan for a notebook: a table of models, tokens and dollars."""
        from batchframe.notebook.plan_html import PlanLine, PlanView, html  # noqa: PLC0415

        def line(model: str, parts: int, one: Estimate) -> PlanLine:
            return PlanLine(
                model, parts, one.rows, one.input_tokens, one.output_tokens, said(one.cost_usd)
            )

        counts = Counter(part.model for part in self.parts)
        return html(
            PlanView(
                name=self.request.name,
                mode=self.request.mode,
                rows=self.rows,
                unsent=self.staged.unsent,
                lines=tuple(line(m, counts[m], one) for m, one in self.estimates.items()),
                total=line("all", len(self.parts), self.estimate),
                warnings=self.warnings,
                refusals=self.refusals,
                basis=tuple(dict.fromkeys(one.basis for one in self.estimates.values())),
            )
        )
