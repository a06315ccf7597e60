"""Quality against cost: a point per entry, its interval upright through it, its name beside it.

What has no place on the cost axis (a price nobody knows, free models on a logarithmic axis) stands in
a shaded strip to its left, a column per reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchframe.evals.chart import INK, SOFT, Mark, altair, span, tooltips, verdict_encodings
from batchframe.evals.figures import money
from batchframe.evals.labels import GLYPH, Spot, place

WIDTH, HEIGHT = 560.0, 340.0
INSET = 18.0
"""Pixels from a strip column's edge to its points."""

LOG_RATIO = 8.0
"""From this ratio of dearest to cheapest on, a linear axis would press the cheap ones together."""

COLUMNS = {"free": "free", "unknown": "cost unknown"}
"""The strip's columns, by how `money` writes them."""


@dataclass(frozen=True, slots=True)
class Across:
    """A panel's horizontal axis: how wide, what is drawn where, and back from pixels to its values."""

    width: float
    pixel: Callable[[Mark], float]
    value: Callable[[float], float]
    encoding: Any


@dataclass(frozen=True, slots=True)
class Frame:
    """What all panels share."""

    y: tuple[float, float]
    title: str
    proportion: bool
    everyone: list[Mark]

    def pixel(self, score: float) -> float:
        """Give a score's distance from the top."""
        low, high = self.y
        return (high - score) / (high - low) * HEIGHT

    def score(self, pixel: float) -> float:
        """Give the score at a distance from the top."""
        low, high = self.y
        return high - pixel / HEIGHT * (high - low)


def scatter(marks: list[Mark], title: str, *, proportion: bool) -> Any:
    """Draw quality against cost.

    Args:
        marks: The entries; at least one costs something.
        title: Of the quality axis.
        proportion: Whether the scores are shares of rows.

    Returns:
        An altair chart without title and dress.
    """
    costs = [mark.cost for mark in marks if mark.cost]
    log = max(costs) / min(costs) >= LOG_RATIO
    apart = [mark for mark in marks if mark.cost is None or (log and mark.cost == 0)]
    frame = Frame(span(marks, proportion=proportion), title, proportion, marks)
    placed = [mark for mark in marks if mark not in apart]
    main = _panel(placed, _cost_axis(costs, log=log), frame, axis=not apart)
    if not apart:
        return main
    return altair().hconcat(_panel(apart, _strip_axis(apart), frame, strip=True), main, spacing=14)


def _panel(
    marks: list[Mark], across: Across, frame: Frame, *, axis: bool = True, strip: bool = False
) -> Any:
    """Draw some entries over one horizontal axis."""
    alt = altair()
    spots = [
        Spot(across.pixel(m), *map(frame.pixel, (m.mean, m.high, m.low)), m.name) for m in marks
    ]
    rows = []
    for mark, spot, label in zip(marks, spots, place(spots, across.width, HEIGHT), strict=True):
        away = abs(label.y - spot.y) > 1
        shown = {"x": spot.x, "label_x": label.x, "line_x": label.x if away else spot.x}
        row = {name: across.value(pixel) for name, pixel in shown.items()}
        row |= {"label_y": frame.score(label.y), "line_y": frame.score(label.y if away else spot.y)}
        rows.append(mark.datum() | row | {"align": label.align})
    y_axis = (
        alt.Axis(title=frame.title, format=".0%" if frame.proportion else "~g") if axis else None
    )
    y = alt.Y("mean:Q", scale=alt.Scale(domain=list(frame.y), nice=False, zero=False), axis=y_axis)
    colour, shape = verdict_encodings(frame.everyone)
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=across.encoding)
    named = [
        base.transform_filter(alt.datum.align == align)
        .mark_text(align=align, baseline="middle", fontSize=11, color=INK)
        .encode(x=_other(across, "label_x"), y=alt.Y("label_y:Q"), text="name:N")
        for align in ("left", "right")
    ]
    threads = base.mark_rule(strokeWidth=0.7, color=SOFT).encode(y=y, x2="line_x:Q", y2="line_y:Q")
    lines = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(
        y=alt.Y("low:Q"), y2="high:Q", color=colour
    )
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        y=y, color=colour, shape=shape, tooltip=tooltips()
    )
    panel = alt.layer(threads, lines, points, *named).properties(width=across.width, height=HEIGHT)
    return panel.properties(view=alt.ViewBackground(fill="#f4f4f0")) if strip else panel


def _other(across: Across, field: str) -> Any:
    """Give the horizontal encoding for another field on the same scale."""
    return altair().X(f"{field}:Q", scale=across.encoding.scale, axis=across.encoding.axis)


def _cost_axis(costs: list[float], *, log: bool) -> Across:
    """Build the axis of US dollars, with air for points at its ends."""
    alt = altair()
    forth, back = (math.log10, lambda at: 10.0**at) if log else (float, float)
    air = 0.09 * (forth(max(costs)) - forth(min(costs))) if log else 0.12 * max(costs)
    low = forth(min(costs)) - air if log else -0.04 * max(costs)
    high = forth(max(costs)) + air
    title = f"US dollars per 1,000 rows{', logarithmic' if log else ''}"
    axis = alt.Axis(title=title, format="$~r" if log else "$~f", tickCount=6)
    if log:
        axis.values = _log_ticks(back(low), back(high))
    scale = alt.Scale(type="log" if log else "linear", domain=[back(low), back(high)], nice=False)
    return Across(
        WIDTH,
        lambda mark: (forth(mark.cost or 0.0) - low) / (high - low) * WIDTH,
        lambda pixel: back(low + pixel / WIDTH * (high - low)),
        alt.X("x:Q", scale=scale, axis=axis),
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """Give round amounts within the ends: 1, 2, 5 per decade, or decades alone when there are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)  # noqa: PLR2004 - more would crowd the axis
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _strip_axis(marks: list[Mark]) -> Across:
    """Build the axis of the strip: columns as wide as the names in them need."""
    alt = altair()
    kinds = [kind for kind in COLUMNS if any(money(mark.cost) == kind for mark in marks)]
    starts: dict[str, float] = {}
    width = 0.0
    for kind in kinds:
        starts[kind] = width + INSET
        longest = max(len(mark.name) for mark in marks if money(mark.cost) == kind)
        width += max(110.0, longest * GLYPH + 2 * INSET)
    tests = "".join(f"abs(datum.value - {at}) < 1 ? '{COLUMNS[k]}' : " for k, at in starts.items())
    axis = alt.Axis(
        title="no place on the axis", values=list(starts.values()), labelExpr=f"{tests}''",
        labelAlign="left", labelOffset=-INSET / 2, grid=False, ticks=False,
    )  # fmt: skip
    return Across(
        width,
        lambda mark: starts[money(mark.cost)],
        lambda pixel: pixel,
        alt.X("x:Q", scale=alt.Scale(domain=[0, width], nice=False), axis=axis),
    )
