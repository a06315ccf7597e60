"""Who competes: one entry per model and variant, and what a comparison asks of a job.

The job machinery is met through two protocols only, so a comparison runs on anything that answers
like a job: the real thing, a fake, a saved run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import polars as pl

from batchframe.dialects.shown import shown
from batchframe.errors import InputError, UnknownNameError
from batchframe.orchestration.priced import idle_prices, price_names

RESULT_SCHEMA: Mapping[str, pl.DataType] = {
    "response": pl.String(),
    "parsed": pl.Null(),  # a Struct that only the response model knows; absent without one
    "error": pl.String(),
    "model": pl.String(),
    "finish_reason": pl.String(),
    "input_tokens": pl.Int64(),
    "cached_tokens": pl.Int64(),
    "output_tokens": pl.Int64(),
    "reasoning_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
}
"""The columns a job adds to the frame, in their order."""


class JobLike(Protocol):
    """What a comparison needs of a job."""

    @property
    def id(self) -> str:
        """The name by which the job is found again."""
        ...

    @property
    def cost(self) -> Decimal | None:
        """US dollars, exact; None while or where a price is unknown."""
        ...

    def wait(self) -> Any:
        """Block until nothing more will happen."""
        ...

    def result(self) -> pl.DataFrame:
        """The frame, same rows, same order, plus the result columns."""
        ...


class Submit(Protocol):
    """What starts a job, or attaches to the one that exists for the same request."""

    def __call__(self, frame: pl.DataFrame, /, **options: Any) -> JobLike:
        """Submit the frame with `model=` and the other options of one entry."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One competitor: a model under one variant of the request.

    `options` is the whole call, `model=` included; it may hold prompts, so it stays out of reprs.
    """

    name: str
    model: str
    variant: str | None
    options: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry: its result columns, or the reason why there are none.

    `results` has one row per row of the frame and only the columns a job adds, under their plain
    names. `error` is set when the job as a whole failed; every row then holds it.
    """

    entry: Entry
    results: pl.DataFrame
    job: JobLike | None = None
    error: str | None = None
    cost: Decimal | None = None


def build(
    models: Sequence[str] | Mapping[str, Any],
    variants: Any,
    options: Mapping[str, Any],
) -> tuple[Entry, ...]:
    """Cross models with variants; a variant's options win over the common ones.

    Args:
        models: `provider/model` strings, or labels for anything `submit` takes as `model=`.
        variants: Mapping of the variant's name to its options; None for a comparison of models alone.
        options: What all entries share.

    Returns:
        Entries in the order written, models first. An entry is called like its model, or
        `model [variant]` where there are variants; a job's `name=` gets the entry's name added.

    Raises:
        InputError: Nothing to compare, a name twice, or a variant that sets `model`.
    """
    labelled = _labelled(models)
    _refuse_idle_prices(labelled, options.get("prices"))
    if variants is not None and not (
        isinstance(variants, Mapping) and all(isinstance(v, Mapping) for v in variants.values())
    ):
        raise InputError(
            "`variants` holds options by name, in a mapping of mappings. "
            'Type: variants={"short": {"prompt": ...}}'
        )
    if variants is not None and not variants:
        raise InputError('`variants` is empty. Leave it out, or type: variants={"short": {...}}')
    crossed: list[tuple[str | None, Mapping[str, Any]]] = [*(variants or {}).items()]
    entries = []
    for label, model in labelled.items():
        for variant, own in crossed or [(None, {})]:
            if "model" in own:
                raise InputError(
                    f"The variant {variant!r} sets `model`, which every entry takes from `models`. "
                    f"Type: models=[{own['model']!r}, ...] and remove it from the variant"
                )
            name = label if variant is None else f"{label} [{variant}]"
            call = _priced({**options, **own, "model": model})
            if call.get("name"):
                call["name"] = f"{call['name']}: {name}"
            entries.append(Entry(name, label, variant, call))
    if len({entry.name for entry in entries}) < len(entries):
        raise InputError("Two entries have the same name. Rename a variant or a label in `models`")
    return tuple(entries)


def _refuse_idle_prices(labelled: Mapping[str, Any], prices: Any) -> None:
    """Refuse a price by hand that is for none of the models: each job is given its own only."""
    names = list(labelled.values())
    if not isinstance(prices, Mapping) or not all(isinstance(name, str) for name in names):
        return  # of an expression's models only the rows know
    idle: list[str] = []
    with suppress(UnknownNameError):  # a model that nobody knows is its own entry's failure
        idle = idle_prices([name for name in prices if isinstance(name, str)], names)
    if idle:
        raise InputError(f"{' '.join(idle)} Correct prices=, or leave it out.")


def _priced(call: dict[str, Any]) -> dict[str, Any]:
    """Give an entry's call with those prices alone that are for its model."""
    prices, model = call.get("prices"), call["model"]
    if not isinstance(prices, Mapping) or not isinstance(model, str):
        return call
    with suppress(UnknownNameError):
        names = price_names(model)
        call["prices"] = {name: row for name, row in prices.items() if name in names} or None
    return call


def _labelled(models: Any) -> dict[str, Any]:
    """Give every model a label; plain strings are their own."""
    if isinstance(models, Mapping):
        labelled: dict[Any, Any] = dict(models)
    else:
        if not isinstance(models, Iterable):
            raise InputError(
                f"`models` is {shown(models)}, not a list of names. "
                'Type: models=["local/smollm2", ...]'
            )
        names: list[Any] = [models] if isinstance(models, str) else list(models)
        for name in names:
            if not isinstance(name, str):
                raise InputError(
                    f"`models` holds a {type(name).__name__}, which has no name to show. "
                    'Type: models={"a name": ...}'
                )
        labelled = {name: name for name in names}
        if len(labelled) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"`models` holds {twice!r} twice. To compare prompts, use variants=")
    if not labelled:
        raise InputError('`models` is empty. Type: models=["local/smollm2", ...]')
    if not all(isinstance(label, str) and label for label in labelled):
        raise InputError(
            "A label in `models` is empty or no text; it is the name the model is shown by."
        )
    return labelled


def failed_results(rows: int, message: str) -> pl.DataFrame:
    """Give the result columns of an entry whose job failed as a whole: every row holds the message.

    Args:
        rows: Height of the frame.
        message: Why there are no answers.
    """
    empty = pl.DataFrame(schema={n: t for n, t in RESULT_SCHEMA.items() if n != "parsed"})
    return empty.clear(rows).with_columns(error=pl.lit(f"job_failed: {message}", pl.String))
