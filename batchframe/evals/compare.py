"""Run models and prompts over one frame: everything is submitted, then waited for, then scored.

An entry that fails stays in the comparison as a failure and never spoils the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, get_args

import polars as pl

from batchframe.dialects.shown import shown
from batchframe.errors import ColumnError, InputError, nearest
from batchframe.evals.comparison import Comparison, resolve_baseline
from batchframe.evals.entries import (
    RESULT_SCHEMA,
    Entry,
    JobLike,
    Outcome,
    Submit,
    build,
    failed_results,
)
from batchframe.evals.scoring import Failed, check, score
from batchframe.evals.standings import Settings
from batchframe.evals.stats import need_scipy

__all__ = ["Comparison", "compare"]


def compare(
    frame: pl.DataFrame | pl.LazyFrame,
    *,
    models: Sequence[str] | Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    scorers: Mapping[str, pl.Expr],
    submit: Submit,
    confidence: float = 0.95,
    baseline: str | None = None,
    failed: Failed = "auto",
    lower_is_better: Collection[str] = (),
    **options: Any,
) -> Comparison:
    """Compare models and prompts on the same rows.

    One job is submitted per model and variant, all of them before the first is waited for. Running
    the same cell again attaches to the jobs that exist and pays nothing twice.

    Args:
        frame: The rows; a LazyFrame is collected once, so that all entries see the same ones.
        models: `provider/model` strings, or labels for anything `submit` takes as `model=`.
        variants: Options by name that win over the common ones: prompts, parameters, response models.
        scorers: Expressions over the frame and its result columns, one Boolean or number per row. The
            first one ranks.
        submit: What starts a job.
        confidence: Of the intervals, 0..1.
        baseline: The entry to compare with, by its name, or its model or variant; default: the leader.
        failed: What rows without an answer count: "auto" (not right in true/false scores, left out of
            numbers), "zero" or "skip".
        lower_is_better: Scorers for which less is better.
        **options: What `submit` takes.

    Raises:
        InputError: Something cannot be compared; nothing was sent.
        ColumnError: A scorer reads a column that will not be there; nothing was sent.
        MissingExtraError: scipy is not installed; nothing was sent.
    """
    need_scipy()
    data = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    entries = build(models, variants, options)
    prefix = str(options.get("prefix") or "")
    for entry in entries:
        if str(entry.options.get("prefix") or "") != prefix:
            raise InputError(
                "`prefix` must be the same for all variants. Give it once, beside them"
            )
    asked = check(scorers, data.columns, entries, prefix)
    _check_choices(failed, lower_is_better, scorers, confidence)
    named = resolve_baseline(baseline, [(e.name, e.model, e.variant) for e in entries])
    outcomes = _run(data, entries, submit, prefix)
    return Comparison(
        frame=data,
        outcomes=outcomes,
        scores=tuple(score(scorer, data, outcomes, failed, prefix) for scorer in asked),
        settings=Settings(confidence, named, frozenset(lower_is_better)),
        prefix=prefix,
    )


def _check_choices(
    failed: str, lower_is_better: Collection[str], scorers: Mapping[str, pl.Expr], confidence: Any
) -> None:
    """Refuse options that mean nothing."""
    number = isinstance(confidence, int | float) and not isinstance(confidence, bool)
    if not number or not 0 < confidence < 1:
        percent = number and 1 < confidence < 100  # noqa: PLR2004 - percent
        hint = f" Type: confidence={confidence / 100:g}" if percent else ""
        raise InputError(f"confidence={shown(confidence)} is not between 0 and 1.{hint}")
    if failed not in get_args(Failed):
        raise InputError(
            f'failed={failed!r} is none of "auto", "zero", "skip".{nearest(failed, get_args(Failed))}'
        )
    if isinstance(lower_is_better, str):
        raise InputError(
            f"`lower_is_better` must be a list. Type: lower_is_better=[{lower_is_better!r}]"
        )
    for name in lower_is_better:
        if name not in scorers:
            raise InputError(
                f"`lower_is_better` names {name!r}, which is no scorer.{nearest(name, scorers)}"
            )


def _run(
    frame: pl.DataFrame, entries: tuple[Entry, ...], submit: Submit, prefix: str
) -> tuple[Outcome, ...]:
    """Submit every entry, then wait for every job."""
    jobs: dict[str, JobLike] = {}
    refused: dict[str, Exception] = {}
    with _come_back(jobs):
        for entry in entries:
            try:
                jobs[entry.name] = submit(frame, **entry.options)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other entries go on
                refused[entry.name] = error
        if not jobs:
            raise _nothing_sent(refused)
        return tuple(
            _failure(entry, frame, refused[entry.name])
            if entry.name in refused
            else _finish(entry, frame, jobs[entry.name], prefix)
            for entry in entries
        )


def _finish(entry: Entry, frame: pl.DataFrame, job: JobLike, prefix: str) -> Outcome:
    """Wait for one job and take its results; a job that failed as a whole is an outcome too."""
    try:
        job.wait()
        results = _results(job.result(), frame, prefix)
        cost = job.cost
    except Exception as error:  # noqa: BLE001 - whatever it is, the other entries go on
        return _failure(entry, frame, error, job)
    return Outcome(entry, results, job, cost=cost)


def _results(out: pl.DataFrame, frame: pl.DataFrame, prefix: str) -> pl.DataFrame:
    """Take the result columns, under their plain names, from a job's frame."""
    if out.height != frame.height:
        raise InputError(f"The job gave {out.height} rows for a frame of {frame.height}.")
    absent = [n for n in RESULT_SCHEMA if n != "parsed" and prefix + n not in out.columns]
    if absent:
        raise ColumnError(f"The job gave no column {prefix + absent[0]!r}.")
    return out.select(
        pl.col(prefix + n).alias(n) for n in RESULT_SCHEMA if prefix + n in out.columns
    )


def _failure(
    entry: Entry, frame: pl.DataFrame, error: Exception, job: JobLike | None = None
) -> Outcome:
    message = f"{type(error).__name__}: {error}"
    cost = None
    if job is not None:
        with suppress(Exception):  # the failure to tell is the first one
            cost = job.cost
    return Outcome(entry, failed_results(frame.height, message), job, error=message, cost=cost)


def _nothing_sent(refused: Mapping[str, Exception]) -> Exception:
    """Give what to raise when no entry could be submitted: the one reason, or a list of them."""
    reasons = {str(error) for error in refused.values()}
    if len(reasons) == 1:
        return next(iter(refused.values()))
    lines = "\n".join(f"  {name}: {error}" for name, error in refused.items())
    return InputError(f"None of the {len(refused)} entries could be submitted:\n{lines}")


@contextmanager
def _come_back(jobs: Mapping[str, JobLike]) -> Iterator[None]:
    """Say on an interrupt which jobs go on and how to come back to them."""
    try:
        yield
    except KeyboardInterrupt:
        ids = ", ".join(job.id for job in jobs.values()) or "none yet"
        raise KeyboardInterrupt(
            f"Interrupted; the jobs submitted go on ({ids}). "
            "Run the same cell again: it attaches to them and pays nothing twice"
        ) from None
