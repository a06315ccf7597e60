"""The statistics against figures from elsewhere: by hand, by brute force, by other code, by simulation."""

from __future__ import annotations

import itertools
import math
import random

import polars as pl
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.evals.stats import (
    bonett_price,
    difference,
    estimate,
    holm,
    mcnemar,
    paired_t,
    wilson,
)

scores = st.lists(st.sampled_from([0.0, 1.0, None]), max_size=40)


def test_wilson_agrees_with_figures_worked_by_hand():
    """8 of 10: centre (0.8 + 0.19207) / 1.38415, margin 1.95996 * sqrt(0.016 + 0.0096036) / 1.38415."""
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=2e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=2e-6)
    assert wilson(10, 10) == pytest.approx((0.722467, 1.0), abs=2e-6)


@settings(deadline=None)  # the first example may pay for imports
@given(n=st.integers(1, 400), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(n, share, confidence):
    """Another implementation gives the same ends, and they hold the mean."""
    k = round(share * n)
    theirs = scipy.stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    low, high = wilson(k, n, confidence)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= low <= k / n <= high <= 1


def exact_coverage(n, share):
    """Probability that Wilson's interval holds the truth, summed over every outcome."""
    return sum(
        scipy.stats.binom.pmf(k, n, share)
        for k in range(n + 1)
        if wilson(k, n)[0] <= share <= wilson(k, n)[1]
    )


@pytest.mark.parametrize("n", [15, 60, 250])
def test_wilson_covers_what_it_claims_on_average(n):
    """Over true shares from 2 to 98 %, the exact coverage averages to 95 % within a point."""
    shares = [i / 50 for i in range(1, 50)]
    coverage = sum(exact_coverage(n, share) for share in shares) / len(shares)
    assert coverage == pytest.approx(0.95, abs=0.01)


def test_the_t_interval_agrees_with_scipy_and_covers():
    """On seeded normal samples of 12 rows it holds the true mean in about 95 % of cases."""
    rng = random.Random(20)
    held = 0
    for _ in range(800):
        rows = [rng.gauss(3, 2) for _ in range(12)]
        found = estimate(pl.Series(rows), proportion=False)
        held += found.low <= 3 <= found.high
    theirs = scipy.stats.ttest_1samp(rows, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert 0.93 <= held / 800 <= 0.97


def test_the_paired_interval_covers_and_mcnemar_keeps_its_level():
    """Two models that are equally good on 60 shared rows: 5 % false alarms at most, 95 % covered."""
    rng = random.Random(4)
    held = alarms = 0
    for _ in range(800):
        ability = [rng.random() for _ in range(60)]
        one, two = ([float(rng.random() < p) for p in ability] for _ in range(2))
        found = difference(pl.Series(one), pl.Series(two), proportion=True)
        held += found.low <= 0 <= found.high
        alarms += found.p < 0.05
    assert held / 800 >= 0.93
    assert alarms / 800 <= 0.06


def by_counting(won, lost):
    """McNemar's mid-p by listing every way to split the disagreeing rows."""
    n, fewer = won + lost, min(won, lost)
    splits = [sum(way) for way in itertools.product([0, 1], repeat=n)]
    below = sum(s < fewer for s in splits) / 2**n
    equal = sum(s == fewer for s in splits) / 2**n
    return min(1.0, 2 * (below + equal / 2))


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (3, 3), (1, 9), (2, 8), (12, 0)])
def test_mcnemar_agrees_with_counting_every_split(won, lost):
    """The closed form is the sum over all outcomes, both ways round."""
    assert mcnemar(won, lost) == pytest.approx(by_counting(won, lost))
    assert mcnemar(lost, won) == pytest.approx(by_counting(won, lost))


def test_bonett_price_agrees_with_figures_worked_by_hand():
    """9 against 2 of 40: shares 10/42 and 3/42, gap 1/6, variance (13/42 - 1/36) / 42."""
    margin = 1.959964 * math.sqrt((13 / 42 - 1 / 36) / 42)
    assert bonett_price(9, 2, 40) == pytest.approx((1 / 6 - margin, 1 / 6 + margin), abs=1e-6)


def test_agreement_on_every_row_still_leaves_an_interval():
    """Two entries that never differ on 20 rows may yet differ on others."""
    low, high = bonett_price(0, 0, 20)
    assert low == pytest.approx(-high)
    assert high > 0.1


def test_the_paired_test_of_numbers_agrees_with_scipy():
    """The same p-value as a paired t-test from elsewhere."""
    one, two = [1.0, 2.5, 3.0, 4.5, 2.0], [0.5, 2.0, 3.5, 3.0, 1.0]
    found = difference(pl.Series(one), pl.Series(two), proportion=False)
    assert found.p == pytest.approx(scipy.stats.ttest_rel(one, two).pvalue)
    assert found.mean == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("gaps", "p"), [([0.0, 0.0, 0.0], 1.0), ([0.5], 1.0), ([0.1] * 6, 2 / 64), ([-0.1] * 6, 2 / 64)]
)
def test_gaps_without_spread_are_judged_by_their_sign(gaps, p):
    """Student's t would divide by 0; the sign test does not."""
    assert paired_t(pl.Series(gaps)) == p


def test_holm_agrees_with_figures_worked_by_hand():
    """0.01 * 3, then 0.03 * 2, then 0.04 raised to the one before; what is not tested is not counted."""
    assert holm([0.04, None, 0.01, 0.03]) == pytest.approx([0.06, None, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_no_rows_and_one_row_and_no_spread_are_told_apart():
    """Nothing is known, nothing of the spread is known, and a proportion knows even then."""
    none = estimate(pl.Series([None, None], dtype=pl.Float64), proportion=True)
    assert (none.n, none.mean, none.low, none.high) == (0, None, None, None)
    one = estimate(pl.Series([2.5]), proportion=False)
    assert (one.n, one.mean, one.low, one.high) == (1, 2.5, None, None)
    flat = estimate(pl.Series([0.1] * 50), proportion=False)
    assert (flat.low, flat.high) == (None, None)
    right = estimate(pl.Series([1.0] * 50), proportion=True)
    assert (right.mean, right.high) == (1.0, 1.0)
    assert right.low == pytest.approx(0.9287, abs=1e-4)


@settings(deadline=None)  # the first example may pay for imports
@given(one=scores, two=scores)
def test_a_difference_only_uses_rows_that_both_have_and_turns_with_its_sides(one, two):
    """Swapping the sides swaps the signs and nothing else."""
    rows = min(len(one), len(two))
    a = pl.Series(one[:rows], dtype=pl.Float64)
    b = pl.Series(two[:rows], dtype=pl.Float64)
    there = difference(a, b, proportion=True)
    back = difference(b, a, proportion=True)
    both = [(x, y) for x, y in zip(one, two, strict=False) if None not in (x, y)]
    assert there.n == back.n == len(both)
    if both:
        assert there.mean == pytest.approx(sum(x - y for x, y in both) / len(both))
        assert (there.mean, there.low, there.p) == pytest.approx((-back.mean, -back.high, back.p))
