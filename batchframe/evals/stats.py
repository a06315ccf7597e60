"""The numbers behind a comparison: a mean with its interval, a paired difference with its p-value.

Proportions get score intervals, other numbers Student's t; every function is deterministic. The
methods, what they were chosen over and how they were checked: docs/adr/0007-comparison-statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import polars as pl

from batchframe.errors import missing_extra

SMALL_SAMPLE = 30
"""Below this many rows an interval says little; a convention, used for the warning only."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` rows; the interval is None where the rows cannot tell it."""

    n: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of `score - reference score` over the `n` rows that both have, and its p-value.

    `p` is two-sided, for "there is no difference", before any correction.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    p: float | None


def need_scipy() -> None:
    """Make sure that scipy is here.

    Raises:
        MissingExtraError: It is not; the message holds the pip line.
    """
    try:
        import scipy.stats  # noqa: F401, PLC0415 - optional, and slow to import
    except ImportError as error:
        raise missing_extra("scipy", "evals", "Comparing models") from error


def estimate(scores: pl.Series, *, proportion: bool, confidence: float = 0.95) -> Estimate:
    """Give the mean of a score with its interval.

    Args:
        scores: Float64, one per row; nulls are left out.
        proportion: Whether every score is 0 or 1.
        confidence: Coverage the interval aims at, 0..1.
    """
    known = scores.drop_nulls()
    if known.is_empty():
        return Estimate(0, None, None, None)
    mean = float(known.sum()) / known.len()
    if proportion:
        return Estimate(known.len(), mean, *wilson(round(known.sum()), known.len(), confidence))
    return Estimate(known.len(), mean, *_around(mean, student_margin(known, confidence)))


def difference(
    scores: pl.Series, reference: pl.Series, *, proportion: bool, confidence: float = 0.95
) -> Difference:
    """Compare two entries row by row, on the rows where both have a score.

    Args:
        scores: Float64, one per row of the frame.
        reference: The same rows of the entry compared with.
        proportion: Whether every score is 0 or 1.
        confidence: Coverage the interval aims at, 0..1.
    """
    gaps = (scores - reference).drop_nulls()
    n = gaps.len()
    if n == 0:
        return Difference(0, None, None, None, None)
    mean = float(gaps.sum()) / n
    if proportion:
        won, lost = int((gaps > 0).sum()), int((gaps < 0).sum())
        low, high = bonett_price(won, lost, n, confidence)
        return Difference(n, mean, low, high, mcnemar(won, lost))
    low_high = _around(mean, student_margin(gaps, confidence))
    return Difference(n, mean, *low_high, paired_t(gaps))


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give Wilson's score interval for a proportion (E. B. Wilson, 1927), within 0..1.

    Args:
        successes: How many rows are right.
        n: How many rows there are, at least 1.
        confidence: Coverage the interval aims at, 0..1.
    """
    z = _z(confidence)
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    margin = z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    # At 0 and at n the formula meets the bound exactly; rounding must not push it past the mean.
    low = 0.0 if successes == 0 else max(0.0, centre - margin)
    high = 1.0 if successes == n else min(1.0, centre + margin)
    return low, high


def bonett_price(won: int, lost: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the interval of Bonett and Price (2012) for a difference of paired proportions.

    Args:
        won: Rows where the entry is right and the reference is not.
        lost: Rows where it is the other way round.
        n: Rows that both have, the agreeing ones included.
        confidence: Coverage the interval aims at, 0..1.
    """
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    # With no agreeing row the variance can fall a hair below 0 in floating point.
    variance = max(0.0, up + down - (up - down) ** 2) / (n + 2)
    margin = _z(confidence) * math.sqrt(variance)
    return max(-1.0, up - down - margin), min(1.0, up - down + margin)


def mcnemar(won: int, lost: int) -> float:
    """Give the two-sided mid-p value of McNemar's test (Fagerland, Lydersen and Laake, 2013).

    Args:
        won: Rows where the entry is right and the reference is not.
        lost: Rows where it is the other way round.
    """
    from scipy.stats import binom  # noqa: PLC0415 - optional, and slow to import

    if won + lost == 0:
        return 1.0
    fewer, split = min(won, lost), won + lost
    return min(1.0, float(2 * binom.cdf(fewer, split, 0.5) - binom.pmf(fewer, split, 0.5)))


def paired_t(gaps: pl.Series) -> float:
    """Give the two-sided p-value of Student's t for a mean gap of 0.

    When every row has the same gap, t is infinite or undefined; the sign test stands in for it.

    Args:
        gaps: Float64, at least one difference, no nulls.
    """
    from scipy.stats import t  # noqa: PLC0415 - optional, and slow to import

    n = gaps.len()
    if _all_equal(gaps):
        return 1.0 if gaps[0] == 0 else float(2.0 ** (1 - n))
    spread, mean = gaps.std(), gaps.mean()
    assert isinstance(spread, float)
    assert isinstance(mean, float)
    return float(2 * t.sf(abs(mean) / (spread / math.sqrt(n)), n - 1))


def student_margin(values: pl.Series, confidence: float = 0.95) -> float | None:
    """Give half the width of Student's t interval for a mean; None where no spread can be seen.

    Args:
        values: Float64 without nulls.
        confidence: Coverage the interval aims at, 0..1.
    """
    from scipy.stats import t  # noqa: PLC0415 - optional, and slow to import

    if _all_equal(values):
        return None
    spread = values.std()
    assert isinstance(spread, float)
    return float(t.ppf((1 + confidence) / 2, values.len() - 1)) * spread / math.sqrt(values.len())


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct a family of p-values by Holm's step-down procedure (1979), order kept.

    Args:
        p_values: One family; None (nothing to test) stays None and is not counted.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _all_equal(values: pl.Series) -> bool:
    """Say whether there is no spread beyond what floating point leaves behind."""
    least, most = values.min(), values.max()
    assert isinstance(least, float)
    assert isinstance(most, float)
    return most - least <= 1e-12 * max(abs(least), abs(most))


def _around(mean: float, margin: float | None) -> tuple[float | None, float | None]:
    return (None, None) if margin is None else (mean - margin, mean + margin)
