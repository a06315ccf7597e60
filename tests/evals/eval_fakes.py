"""A submit that answers at once, from a table: what a comparison sees of jobs, without any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import polars as pl

COLUMNS = ("response", "error", "model", "finish_reason")
COUNTS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


@dataclass
class FakeJob:
    """A job whose result is there, or whose failure is."""

    id: str
    frame: pl.DataFrame
    cost: Decimal | None = None
    on_wait: BaseException | None = None
    waited: int = 0

    def wait(self):
        """Count, and fail when told to."""
        self.waited += 1
        if self.on_wait is not None:
            raise self.on_wait

    def result(self):
        """Give the frame with its answers."""
        return self.frame


def answered(
    frame, responses, *, model="m", errors=None, parsed=None, prefix="", tokens=10, cost=0.001
) -> pl.DataFrame:
    """Give a frame as a job gives it back."""
    errors = errors or [None] * frame.height
    columns = {"response": pl.Series(responses, dtype=pl.String)}
    if parsed is not None:
        columns["parsed"] = parsed
    columns |= {
        "error": pl.Series(errors, dtype=pl.String),
        "model": pl.Series([f"{model}-2026"] * frame.height, dtype=pl.String),
        "finish_reason": pl.Series(["stop"] * frame.height, dtype=pl.String),
    }
    for name in COUNTS:
        columns[name] = pl.Series([tokens] * frame.height, dtype=pl.Int64)
    columns["cost_usd"] = pl.Series([cost] * frame.height, dtype=pl.Float64)
    return frame.with_columns(**{prefix + name: series for name, series in columns.items()})


Answer = Callable[[pl.DataFrame, dict], FakeJob]


@dataclass
class FakeSubmit:
    """Answers by model; keeps what it was asked, in order."""

    answers: dict[str, object]
    cost: dict[str, Decimal | None] = field(default_factory=dict)
    calls: list[dict] = field(default_factory=list)
    jobs: list[FakeJob] = field(default_factory=list)

    def __call__(self, frame, /, **options):
        self.calls.append(options)
        answer = self.answers[options["model"]]
        if isinstance(answer, BaseException):
            raise answer
        job = answer(frame, options) if callable(answer) else self._job(frame, options, answer)
        self.jobs.append(job)
        return job

    def _job(self, frame, options, responses):
        model = options["model"]
        errors = ["boom: no answer" if text is None else None for text in responses]
        out = answered(
            frame, responses, model=model, errors=errors, prefix=options.get("prefix") or ""
        )
        return FakeJob(f"job-{len(self.jobs)}", out, self.cost.get(model, Decimal("0.01")))
