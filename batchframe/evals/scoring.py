"""From a scorer to one score per row: what may be asked is checked first, what failed is not right.

The rule for rows without a score, the same for every entry and independent of the others:

| the row | `failed="auto"` | `"zero"` | `"skip"` |
|---|---|---|---|
| a frame column that the scorer reads is null, and so is the score | left out | left out | left out |
| failed, or the score is null: a true/false scorer | not right | not right | left out |
| failed, or the score is null: a scorer that gives numbers | left out | 0 | left out |
| of a job that failed as a whole | never measured: left out | left out | left out |

A scorer that itself reads `error` judges failed rows on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from batchframe.errors import ColumnError, InputError, nearest
from batchframe.evals.entries import RESULT_SCHEMA, Entry, Outcome

Failed = Literal["auto", "zero", "skip"]
"""What a row without a score counts; the table above."""

NAMES_TAKEN = frozenset({
    "row", "entry", "model", "variant", "rows", "failed", "note",
    "cost_usd", "cost_per_1k_rows", "input_tokens", "output_tokens",
})  # fmt: skip
"""Columns of the comparison's own tables, which a scorer cannot be called."""

SUFFIXES = ("low", "high", "n", "diff", "diff_low", "diff_high", "p", "verdict")
"""What the leaderboard says of each scorer beside its mean."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A named expression, and which columns it reads under their names in the joined frame."""

    name: str
    expr: pl.Expr
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scores:
    """One scorer over all entries.

    `columns` holds a Series per entry's name, one value per row, null where left out: Boolean where
    `proportion` says so (every entry gave Boolean), else Float64. `errors` holds what the scorer
    raised, by entry.
    """

    scorer: str
    columns: Mapping[str, pl.Series]
    proportion: bool
    errors: Mapping[str, str]


def check(
    scorers: Any,
    columns: Sequence[str],
    entries: Iterable[Entry],
    prefix: str = "",
) -> tuple[Scorer, ...]:
    """Refuse what cannot work, before anything is submitted.

    Args:
        scorers: Mapping of names to expressions.
        columns: The frame's columns.
        entries: Who competes; a scorer that reads `parsed` needs a `response_model` from each.
        prefix: What stands before the result columns' names.

    Returns:
        The scorers in their order.

    Raises:
        InputError: No scorers, or something that is not one expression.
        ColumnError: A name that collides, or a column that will not be there.
    """
    if not scorers or not isinstance(scorers, Mapping):
        what = (
            "`scorers` must be a mapping of names to expressions"
            if scorers
            else "`scorers` is empty"
        )
        raise InputError(
            f'{what}. Type: scorers={{"accuracy": bf.scorers.exact_match("gold")}} '
            'with the name of your column in place of "gold"'
        )
    checked = tuple(_read(name, expr) for name, expr in scorers.items())
    results = [prefix + name for name in RESULT_SCHEMA]
    _check_names(list(scorers), columns, results)
    known = [*columns, *results]
    for scorer in checked:
        for name in sorted(scorer.reads - set(known)):
            raise ColumnError(
                f"The scorer {scorer.name!r} reads the column {name!r}, which neither the frame nor "
                f"the results have.{nearest(name, known)}"
            )
        if f"{prefix}parsed" in scorer.reads:
            _check_parsed(scorer.name, entries, prefix)
    return checked


def _read(name: object, expr: object) -> Scorer:
    """Take one scorer apart."""
    if not isinstance(name, str) or not name:
        raise InputError(
            "A scorer's name is empty or no text; it is the column its scores are shown in."
        )
    if not isinstance(expr, pl.Expr):
        raise InputError(
            f"The scorer {name!r} is a {type(expr).__name__}; it must be a Polars expression. "
            'Type: pl.col("response") == pl.col("gold")'
        )
    if expr.meta.has_multiple_outputs():
        raise InputError(
            f"The scorer {name!r} selects several columns; it must give one score per row. "
            "Type: pl.all_horizontal(...) or pl.mean_horizontal(...) around it"
        )
    return Scorer(name, expr, frozenset(expr.meta.root_names()))


def _check_names(names: list[str], columns: Sequence[str], results: list[str]) -> None:
    """Refuse scorer names that another column of the tables has."""
    derived = {f"{name}_{suffix}": name for name in names for suffix in SUFFIXES}
    for name in names:
        if name in columns:
            whose = "a column of the frame"
        elif name in results or name in NAMES_TAKEN:
            whose = "a column of the results"
        elif name in derived:
            whose = f"what the leaderboard calls a figure of the scorer {derived[name]!r}"
        else:
            continue
        raise ColumnError(
            f"A scorer is called {name!r}, which is also {whose}. Type another name, "
            f'such as "{name}_score"'
        )


def _check_parsed(name: str, entries: Iterable[Entry], prefix: str) -> None:
    for entry in entries:
        if entry.options.get("response_model") is None:
            raise ColumnError(
                f"The scorer {name!r} reads {prefix + 'parsed'!r}, which the entry {entry.name!r} "
                "will not have. Type: response_model=... for it"
            )


def score(
    scorer: Scorer,
    frame: pl.DataFrame,
    outcomes: Sequence[Outcome],
    failed: Failed,
    prefix: str = "",
) -> Scores:
    """Apply a scorer to every entry.

    Args:
        scorer: What to compute.
        frame: The user's frame.
        outcomes: Results by entry, as high as the frame.
        failed: What rows without a score count.
        prefix: What stands before the result columns' names.
    """
    raw: dict[str, pl.Series] = {}
    errors: dict[str, str] = {}
    for outcome in outcomes:
        if outcome.error is None:
            joined = frame.hstack(outcome.results.rename(lambda name: prefix + name))
            found = _evaluate(scorer, joined)
            if isinstance(found, str):
                errors[outcome.entry.name] = found
            else:
                raw[outcome.entry.name] = found
    kinds = {series.dtype for series in raw.values()} - {pl.Null}
    proportion = kinds <= {pl.Boolean}
    lenient = failed == "skip" or (failed == "auto" and not proportion)
    dtype = pl.Boolean if proportion else pl.Float64
    columns = {}
    for outcome in outcomes:
        name = outcome.entry.name
        if name in raw:
            series = raw[name].cast(dtype)
            settled = _settle(scorer, frame, outcome, series, prefix, lenient=lenient)
        else:
            settled = pl.Series([None], dtype=dtype).new_from_index(0, frame.height)
        columns[name] = settled.rename(name)
    return Scores(scorer.name, columns, proportion, errors)


def _evaluate(scorer: Scorer, joined: pl.DataFrame) -> pl.Series | str:
    """Compute one scorer on one entry; what goes wrong is told, not raised."""
    try:
        series = joined.select(scorer.expr.alias(scorer.name)).to_series()
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - the user's code
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    if series.len() != joined.height:
        return f"gave {series.len()} values for {joined.height} rows; it must give one per row"
    if series.dtype in (pl.Boolean, pl.Null):
        return series
    if not series.dtype.is_numeric():
        return f"gave {series.dtype}; it must give Boolean or a number"
    numbers = series.cast(pl.Float64)
    # Neither NaN nor an infinity can be averaged with anything.
    return numbers.set(~numbers.is_finite().fill_null(value=True), None)


def _settle(
    scorer: Scorer,
    frame: pl.DataFrame,
    outcome: Outcome,
    raw: pl.Series,
    prefix: str,
    *,
    lenient: bool,
) -> pl.Series:
    """Decide what the rows without a score count."""
    broken = outcome.results["error"].is_not_null()
    if f"{prefix}error" in scorer.reads:
        broken = broken & raw.is_null()
    # What a failed row happens to contain is no answer, so its own score is not asked.
    absent = broken | raw.is_null()
    gold = [name for name in frame.columns if name in scorer.reads]
    nobody = frame.select(
        pl.any_horizontal(pl.col(name).is_null() for name in gold) if gold else pl.lit(value=False)
    ).to_series()
    if nobody.len() != frame.height:
        nobody = nobody.new_from_index(0, frame.height)
    unscored = raw.is_null() & nobody
    fill = None if lenient else 0
    columns = pl.DataFrame({"raw": raw, "absent": absent, "unscored": unscored})
    return columns.select(
        pl.when("unscored")
        .then(None)
        .when("absent")
        .then(pl.lit(fill).cast(raw.dtype))
        .otherwise("raw")
        .alias(outcome.entry.name)
    ).to_series()
