"""A comparison: the frame's rows seen through several models and prompts, as tables and as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from batchframe.errors import InputError, UnknownNameError, nearest
from batchframe.evals.entries import RESULT_SCHEMA, JobLike, Outcome
from batchframe.evals.scoring import SUFFIXES, Scores
from batchframe.evals.standings import Settings, Standing, cautions, stand, words

FIGURES: Mapping[str, type[pl.DataType]] = {
    **dict.fromkeys(SUFFIXES, pl.Float64),
    "n": pl.Int64,
    "verdict": pl.String,
}
"""Types of what the leaderboard says of each scorer."""

ERROR_SCHEMA = {"entry": pl.String, "scorer": pl.String, "error": pl.String}


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What came of `compare`: quality beside cost, entry by entry and row by row.

    Attributes:
        frame: The user's frame.
        outcomes: Results by entry, in the order asked.
        scores: Scores by scorer, in the order asked; the first one ranks.
        settings: Confidence, baseline and direction.
        prefix: What stands before the result columns' names.
    """

    frame: pl.DataFrame
    outcomes: tuple[Outcome, ...]
    scores: tuple[Scores, ...]
    settings: Settings
    prefix: str = ""

    @cached_property
    def standings(self) -> Mapping[str, Mapping[str, Standing]]:
        """What may be said, by scorer and entry."""
        return {scores.scorer: stand(scores, self.settings) for scores in self.scores}

    @property
    def entries(self) -> list[str]:
        """The entries' names, in the order asked."""
        return [outcome.entry.name for outcome in self.outcomes]

    @property
    def scorers(self) -> list[str]:
        """The scorers' names, in the order asked."""
        return [scores.scorer for scores in self.scores]

    @property
    def jobs(self) -> dict[str, JobLike]:
        """The jobs that were submitted, by entry."""
        return {o.entry.name: o.job for o in self.outcomes if o.job is not None}

    @property
    def errors(self) -> pl.DataFrame:
        """What went wrong beyond single rows: entry, scorer (null: the whole job), error."""
        rows = [(o.entry.name, None, o.error) for o in self.outcomes if o.error is not None]
        found = [(e, s.scorer, text) for s in self.scores for e, text in s.errors.items()]
        return pl.DataFrame([*rows, *found], schema=ERROR_SCHEMA, orient="row")

    @property
    def notes(self) -> list[str]:
        """What weakens the figures, in sentences."""
        said = []
        for outcome in self.outcomes:
            failed = _failed(outcome)
            if outcome.error is None and failed and failed == self.frame.height:
                said.append(f"{outcome.entry.name}: every row failed.")
        for scores in self.scores:
            said += cautions(list(self.standings[scores.scorer].values()), scores)
        return said

    @cached_property
    def leaderboard(self) -> pl.DataFrame:
        """One row per entry, best first by the first scorer, then the cheaper.

        Returns:
            `entry`, `model`, `variant`; per scorer its mean under the scorer's name and `_low`,
            `_high`, `_n` (rows scored), `_diff`, `_diff_low`, `_diff_high`, `_p` (against the baseline,
            or the leader when none was named; corrected by Holm) and `_verdict`; then `rows`, `failed`,
            `cost_usd` (US dollars, null when unknown), `cost_per_1k_rows`, `input_tokens`,
            `output_tokens` and `note` (why the job failed as a whole).
        """
        lines = [self._leader_line(outcome) for outcome in self.outcomes]
        first = self.scorers[0]
        return pl.DataFrame(lines, schema=self._leader_types()).sort(
            [first, "cost_per_1k_rows"],
            descending=[first not in self.settings.lower_is_better, False],
            nulls_last=True,
            maintain_order=True,
        )

    def _leader_line(self, outcome: Outcome) -> dict[str, Any]:
        """Give one entry's line of the leaderboard."""
        entry, rows, cost = outcome.entry, self.frame.height, outcome.cost
        line: dict[str, Any] = {"entry": entry.name, "model": entry.model, "variant": entry.variant}
        for scorer, standings in self.standings.items():
            its = standings[entry.name]
            mean, gap = its.estimate, its.gap
            line |= {
                scorer: mean.mean,
                f"{scorer}_low": mean.low,
                f"{scorer}_high": mean.high,
                f"{scorer}_n": mean.n,
                f"{scorer}_diff": gap.mean if gap else None,
                f"{scorer}_diff_low": gap.low if gap else None,
                f"{scorer}_diff_high": gap.high if gap else None,
                f"{scorer}_p": its.p,
                f"{scorer}_verdict": words(its, self.settings, entries=len(self.outcomes)),
            }
        return line | {
            "rows": rows,
            "failed": _failed(outcome),
            "cost_usd": None if cost is None else float(cost),
            "cost_per_1k_rows": None if cost is None or not rows else float(cost * 1000 / rows),
            "input_tokens": _total(outcome.results["input_tokens"]),
            "output_tokens": _total(outcome.results["output_tokens"]),
            "note": outcome.error,
        }

    def _leader_types(self) -> dict[str, type[pl.DataType]]:
        """Give the leaderboard's columns in their order."""
        types: dict[str, type[pl.DataType]] = dict.fromkeys(
            ("entry", "model", "variant"), pl.String
        )
        for scorer in self.scorers:
            types |= {scorer: pl.Float64}
            types |= {f"{scorer}_{suffix}": FIGURES[suffix] for suffix in SUFFIXES}
        types |= {"rows": pl.Int64, "failed": pl.Int64}
        types |= {"cost_usd": pl.Float64, "cost_per_1k_rows": pl.Float64}
        return types | {"input_tokens": pl.Int64, "output_tokens": pl.Int64, "note": pl.String}

    @property
    def long(self) -> pl.DataFrame:
        """One row per row and entry: entry after entry, rows in the frame's order.

        Returns:
            `row` (position in the frame, from 0), `entry`, `model` (as asked for), `variant`, the
            frame's columns, the result columns and the scores. The model that answered is
            `answered_by`. Where entries parse into different types, `parsed` is JSON text. A column of
            the frame that has one of these names gets `_frame` at its end.
        """
        ours = {"row", "entry", "model", "variant", "answered_by", *self.scorers}
        ours |= {self.prefix + name for name in RESULT_SCHEMA}
        data = self.frame.rename(_renamed(self.frame.columns, ours))
        data = data.with_row_index("row").cast({"row": pl.Int64})
        parts = []
        for outcome, parsed in zip(self.outcomes, self._parsed(), strict=True):
            entry = outcome.entry
            answered = outcome.results["model"].alias("answered_by")
            results = outcome.results.drop("model", "parsed", strict=False)
            scores = [s.columns[entry.name].alias(s.scorer) for s in self.scores]
            part = data.with_columns(
                pl.lit(entry.name).alias("entry"),
                pl.lit(entry.model).alias("model"),
                pl.lit(entry.variant, pl.String).alias("variant"),
            ).select(
                "row", "entry", "model", "variant", pl.exclude("row", "entry", "model", "variant")
            )
            answers = results.rename(lambda name: self.prefix + name).get_columns()
            parts.append(part.hstack([*answers, *parsed, answered, *scores]))
        return pl.concat(parts)

    def _parsed(self) -> Iterable[list[pl.Series]]:
        """Give every entry's parsed answers under one type, or as JSON text when there is no such."""
        name = self.prefix + "parsed"
        found = [
            o.results["parsed"] if "parsed" in o.results.columns else None for o in self.outcomes
        ]
        types = {series.dtype for series in found if series is not None}
        if not types:
            return [[] for _ in found]
        one = types.pop() if len(types) == 1 else None
        rows = self.frame.height
        aligned = []
        for series in found:
            if series is None:
                column = pl.Series([None], dtype=one or pl.String).new_from_index(0, rows)
            elif one is None:
                text = pl.when(series.is_not_null()).then(series.struct.json_encode())
                column = pl.select(text).to_series()
            else:
                column = series
            aligned.append([column.rename(name)])
        return aligned

    @property
    def wide(self) -> pl.DataFrame:
        """The frame, row for row, with every entry's answers and scores beside it.

        Returns:
            The frame's columns under their own names, then per entry `<entry>: response`,
            `<entry>: parsed` (with a response model), `<entry>: error` and one column per scorer.
        """
        taken = set(self.frame.columns)
        table = self.frame
        for outcome in self.outcomes:
            name = outcome.entry.name
            shown = [c for c in ("response", "parsed", "error") if c in outcome.results.columns]
            columns = [outcome.results[c] for c in shown]
            columns += [s.columns[name].rename(s.scorer) for s in self.scores]
            for column in columns:
                label = _free(f"{name}: {column.name}", taken)
                taken.add(label)
                table = table.hstack([column.rename(label)])
        return table

    def disagreements(self, scorer: str | None = None) -> pl.DataFrame:
        """Give the rows on which entries differ, most divided first: what one looks at first.

        Args:
            scorer: By which scores; default: the first scorer.

        Returns:
            Rows of `wide` with `row`, their position in the frame, in front.

        Raises:
            UnknownNameError: No such scorer.
        """
        scores = self._of(scorer)
        table = pl.DataFrame([s.cast(pl.Float64) for s in scores.columns.values()])
        spread = table.select(pl.concat_list(pl.all()).list.drop_nulls().list.std()).to_series()
        order = pl.DataFrame({"spread": spread}).with_row_index("row").filter(pl.col("spread") > 0)
        rows = order.sort("spread", descending=True, maintain_order=True)["row"]
        label = _free("row", set(self.wide.columns))
        return self.wide.with_row_index(label)[rows.to_list()]

    def plot(self, scorer: str | None = None) -> Any:
        """Draw quality with its interval against cost per 1,000 rows; quality alone when all is free.

        Args:
            scorer: Which score; default: the first scorer.

        Returns:
            An altair chart.

        Raises:
            UnknownNameError: No such scorer.
            MissingExtraError: altair is not installed.
        """
        from batchframe.evals.chart import draw  # noqa: PLC0415 - altair is optional and heavy

        return draw(self, self._of(scorer).scorer)

    def save(self, path: str | Path) -> Path:
        """Write a report as one HTML file that opens anywhere, without network.

        Args:
            path: The file to write; an existing one is replaced.

        Raises:
            FileError: The file cannot be written.
        """
        from batchframe.evals.report import write  # noqa: PLC0415 - only here

        return write(self, Path(path))

    def _repr_html_(self) -> str:
        from batchframe.evals.report import fragment  # noqa: PLC0415 - only in notebooks

        return fragment(self)

    def __repr__(self) -> str:
        from batchframe.evals.report import plain  # noqa: PLC0415 - only when shown

        return plain(self)

    def _of(self, scorer: str | None) -> Scores:
        for scores in self.scores:
            if scorer in (None, scores.scorer):
                return scores
        raise UnknownNameError(
            f"There is no scorer {scorer!r} in this comparison.{nearest(str(scorer), self.scorers)} "
            f"It has: {', '.join(map(repr, self.scorers))}"
        )


def resolve_baseline(
    baseline: str | None, outcomes: Iterable[tuple[str, str, str | None]]
) -> str | None:
    """Find the entry a baseline means: by its name, or by its model or variant where one has it.

    Args:
        baseline: What was written.
        outcomes: Name, model and variant of every entry.

    Raises:
        UnknownNameError: No such entry.
        InputError: Several entries have this model or variant.
    """
    if baseline is None:
        return None
    known = list(outcomes)
    names = [name for name, _, _ in known]
    if baseline in names:
        return baseline
    meant = [name for name, *parts in known if baseline in parts]
    if len(meant) > 1:
        raise InputError(
            f"baseline={baseline!r} means several entries. Type one of: {', '.join(map(repr, meant))}"
        )
    if not meant:
        raise UnknownNameError(
            f"baseline={baseline!r} is none of the entries.{nearest(str(baseline), names)} "
            f"They are: {', '.join(map(repr, names))}"
        )
    return meant[0]


def _failed(outcome: Outcome) -> int:
    return int(outcome.results["error"].is_not_null().sum())


def _total(tokens: pl.Series) -> int | None:
    """Sum what is known; null when no row says anything."""
    return None if tokens.null_count() == tokens.len() else int(tokens.sum() or 0)


def _free(name: str, taken: set[str]) -> str:
    """Give a name nobody has, by lengthening it."""
    while name in taken:
        name += "_"
    return name


def _renamed(columns: list[str], ours: set[str]) -> dict[str, str]:
    """Say which of the frame's columns give way to ours, and under what names they stay."""
    taken = ours | set(columns)
    renamed = {}
    for column in columns:
        if column in ours:
            renamed[column] = _free(f"{column}_frame", taken)
            taken.add(renamed[column])
    return renamed
