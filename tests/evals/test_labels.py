"""Names beside points: none covers another, none leaves the plot, as long as there is room."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.evals.labels import GLYPH, LINE, Spot, place, spread

places = st.lists(st.floats(-1000, 1000), max_size=12)


def box(label, text):
    """The rectangle a label takes."""
    wide = len(text) * GLYPH
    left = label.x if label.align == "left" else label.x - wide
    return left, label.y - LINE / 2, left + wide, label.y + LINE / 2


def cover(one, other):
    """Whether two rectangles share ground."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    return across > 0.01 and min(one[3], other[3]) - max(one[1], other[1]) > 0.01


@settings(deadline=None)  # the first example may pay for imports
@given(
    st.lists(
        st.tuples(st.floats(20, 540), st.floats(20, 320), st.integers(3, 28)),
        min_size=1,
        max_size=6,
    )
)
def test_six_names_never_cover_each_other_nor_leave_the_plot(raw):
    """Wherever six points lie, in a plot of the size we draw."""
    spots = [Spot(x, y, y, y, "n" * wide) for x, y, wide in raw]
    boxes = [
        box(label, spot.text) for label, spot in zip(place(spots, 560, 340), spots, strict=True)
    ]
    for index, one in enumerate(boxes):
        assert not any(cover(one, other) for other in boxes[:index])
        assert one[0] >= -0.01
        assert one[2] <= 560.01


def test_a_name_stands_right_beside_a_lonely_point():
    """No threads where none are needed."""
    (label,) = place([Spot(100, 100, 60, 140, "model")], 560, 340)
    assert (label.y, label.align) == (100, "left")
    (label,) = place([Spot(550, 100, 60, 140, "model")], 560, 340)
    assert (label.y, label.align) == (100, "right")


@settings(deadline=None)  # the first example may pay for imports
@given(places, st.floats(0.5, 50))
def test_spread_keeps_order_and_distance_and_the_middle(values, gap):
    """No two are nearer than the gap, none overtakes another, and the whole stays where it was."""
    moved = spread(values, gap)
    order = sorted(range(len(values)), key=lambda index: values[index])
    pairs = list(itertools.pairwise(order))
    assert all(moved[b] - moved[a] >= gap - 1e-6 for a, b in pairs)
    assert sum(moved) == pytest.approx(sum(values), abs=1e-6)


def test_spread_leaves_alone_what_is_apart():
    """Costs are moved only where they would hide each other."""
    assert spread([30.0, 10.0], 9.0) == [30.0, 10.0]
