"""Who leads and by how much: each entry's estimate, its gap to a reference, and what may be said.

All entries answer the same rows, so gaps are paired. The leader is picked from the data; whatever is
said about it is therefore corrected over all pairs of entries, and what is said about a baseline named
beforehand over the entries compared with it. Each scorer is a family of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import polars as pl

from batchframe.evals.scoring import Scores
from batchframe.evals.stats import SMALL_SAMPLE, Difference, Estimate, difference, estimate, holm

Verdict = Literal["leader", "tied", "worse", "unmeasured"]
"""Against the leader: it, not distinguishable from it, measurably behind it, or without a score."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What one scorer says of one entry.

    `gap` is to `reference` (None for the reference itself), `p` its p-value corrected by Holm.
    `p_leader` is the corrected p-value against the leader, on which `verdict` rests.
    """

    entry: str
    scorer: str
    estimate: Estimate
    reference: str | None
    gap: Difference | None
    p: float | None
    p_leader: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Settings:
    """How a comparison is judged: see `compare`."""

    confidence: float = 0.95
    baseline: str | None = None
    lower_is_better: frozenset[str] = frozenset()

    @property
    def percent(self) -> str:
        """The confidence as people write it."""
        return f"{self.confidence * 100:.4g} %"


def stand(scores: Scores, settings: Settings) -> dict[str, Standing]:
    """Judge all entries by one scorer.

    Args:
        scores: One value per row and entry.
        settings: Confidence, baseline and direction.

    Returns:
        Standings by entry, in the entries' order.
    """
    columns = {name: series.cast(pl.Float64) for name, series in scores.columns.items()}
    estimates = {
        name: estimate(series, proportion=scores.proportion, confidence=settings.confidence)
        for name, series in columns.items()
    }
    leader = _leader(estimates, lower=scores.scorer in settings.lower_is_better)
    reference = settings.baseline or leader

    def gap(name: str, other: str) -> Difference:
        return difference(
            columns[name],
            columns[other],
            proportion=scores.proportion,
            confidence=settings.confidence,
        )

    pairs = list(combinations(columns, 2))
    corrected = holm([gap(*pair).p for pair in pairs])
    over_all = {frozenset(pair): p for pair, p in zip(pairs, corrected, strict=True)}
    others = [name for name in columns if name != reference]
    gaps = {} if reference is None else {name: gap(name, reference) for name in others}
    # A leader found by looking needs the wide family; a baseline named beforehand the narrow one.
    if settings.baseline is not None:
        p_values = dict(zip(others, holm([gaps[name].p for name in others]), strict=True))
    else:
        p_values = {name: over_all[frozenset((name, reference or ""))] for name in gaps}
    found = {}
    for name, its in estimates.items():
        p_leader = over_all.get(frozenset((name, leader or "")))
        found[name] = Standing(
            entry=name,
            scorer=scores.scorer,
            estimate=its,
            reference=reference if name in gaps else None,
            gap=gaps.get(name),
            p=p_values.get(name),
            p_leader=p_leader,
            verdict=_verdict(name, leader, its, p_leader, settings),
        )
    return found


def _leader(estimates: dict[str, Estimate], *, lower: bool) -> str | None:
    """Give the best mean; of equal ones the first."""
    means = {name: its.mean for name, its in estimates.items() if its.mean is not None}
    if not means:
        return None
    return (min if lower else max)(means, key=lambda name: means[name])


def _verdict(
    name: str, leader: str | None, its: Estimate, p_leader: float | None, settings: Settings
) -> Verdict:
    if its.mean is None:
        return "unmeasured"
    if name == leader:
        return "leader"
    if p_leader is not None and p_leader < 1 - settings.confidence:
        return "worse"
    return "tied"


def words(standing: Standing, settings: Settings, *, entries: int) -> str:
    """Say a verdict in words.

    Args:
        standing: What to say.
        settings: The confidence it is said with.
        entries: How many entries there are; one alone leads nobody.
    """
    match standing.verdict:
        case "leader":
            return "leader" if entries > 1 else "the only entry"
        case "worse":
            assert standing.p_leader is not None
            return f"behind the leader ({p_text(standing.p_leader)})"
        case "tied":
            return f"not distinguishable from the leader at {settings.percent}"
        case "unmeasured":
            return "not measured"


def p_text(p: float) -> str:
    """Write a p-value: `p = 0.012`, `p < 0.001`.

    Args:
        p: The value, 0..1.
    """
    if p < 0.001:  # noqa: PLR2004 - where counting zeros stops helping
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"  # noqa: PLR2004 - two figures are enough


def cautions(standings: Sequence[Standing], scores: Scores) -> list[str]:
    """Say what weakens one scorer's figures, most important first.

    Args:
        standings: One scorer's.
        scores: What they rest on.
    """
    name = scores.scorer
    counts = {its.estimate.n for its in standings if its.estimate.n}
    said = []
    if counts and min(counts) < SMALL_SAMPLE:
        said.append(
            f"{name}: only {min(counts)} scored rows; intervals are wide and differences easily missed."
        )
    if len(counts) > 1:
        said.append(
            f"{name}: entries are scored on {min(counts)} to {max(counts)} rows; "
            "gaps use the rows that both have."
        )
    flat = [its.entry for its in standings if its.estimate.n and its.estimate.low is None]
    if flat:
        said.append(f"{name}: all scores are equal for {', '.join(flat)}, so there is no interval.")
    if not scores.proportion and _only_0_and_1(scores):
        said.append(f"{name}: holds only 0 and 1; give true/false for an interval made for that.")
    return said


def _only_0_and_1(scores: Scores) -> bool:
    known = pl.concat([series.rename("s") for series in scores.columns.values()]).drop_nulls()
    return known.len() > 0 and bool(known.is_in([0.0, 1.0]).all())
