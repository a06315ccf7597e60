"""Quality against cost: a point per entry, its interval upright through it, its name beside it.

What has no place on the cost axis (a price nobody knows, free models on a logarithmic axis) stands in
a shaded strip to its left, a column per reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchframe.evals.chart import (
    INK,
    SOFT,
    Mark,
    altair,
    quality_axis,
    span,
    tooltips,
    verdict_encodings,
)
from batchframe.evals.labels import GLYPH, Spot, place, spread

WIDTH, HEIGHT = 560.0, 340.0
BESIDE_STRIP = 440.0
"""Width of the cost axis where a strip stands beside it, so that both fit a notebook's cell."""

APART = 9.0
"""Pixels kept between intervals: entries of nearly the same cost are drawn side by side."""

INSET = 18.0
"""Pixels from a strip column's edge to its points."""

LOG_RATIO = 8.0
"""From this ratio of dearest to cheapest on, a linear axis would press the cheap ones together."""

COLUMNS = ("free", "cost unknown")
"""The strip's columns: what a mark's price may say."""

DODGE = 16.0
"""Pixels between entries of one column, so that no interval covers another."""


@dataclass(frozen=True, slots=True)
class Across:
    """A panel's horizontal axis: how wide, what is drawn where, and back from pixels to its values."""

    width: float
    pixel: Callable[[Mark], float]
    value: Callable[[float], float]
    scale: Any
    axis: Any

    def at(self, field: str) -> Any:
        """Give the encoding that puts a field on this axis."""
        return altair().X(f"{field}:Q", scale=self.scale, axis=self.axis)


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
    main = _panel(
        placed, _cost_axis(costs, BESIDE_STRIP if apart else WIDTH, log=log), frame, axis=not apart
    )
    if not apart:
        return main
    return altair().hconcat(_panel(apart, _strip_axis(apart), frame, strip=True), main, spacing=14)


def _panel(
    marks: list[Mark], across: Across, frame: Frame, *, axis: bool = True, strip: bool = False
) -> Any:
    """Draw some entries over one horizontal axis."""
    alt = altair()
    columns = spread([across.pixel(mark) for mark in marks], APART)
    spots = [
        Spot(x, frame.pixel(mark.mean), frame.pixel(mark.high), frame.pixel(mark.low), mark.name)
        for mark, x in zip(marks, columns, strict=True)
    ]
    rows = []
    for mark, spot, label in zip(marks, spots, place(spots, across.width, HEIGHT), strict=True):
        away = abs(label.y - spot.y) > 1
        shown = {"x": spot.x, "label_x": label.x, "line_x": label.x if away else spot.x}
        row = {name: across.value(pixel) for name, pixel in shown.items()}
        row |= {"label_y": frame.score(label.y), "line_y": frame.score(label.y if away else spot.y)}
        rows.append(mark.datum() | row | {"align": label.align})
    y_axis = quality_axis(proportion=frame.proportion, title=frame.title, bare=not axis)
    y_scale = alt.Scale(domain=list(frame.y), nice=False, zero=False)

    def down(field: str) -> Any:
        return alt.Y(f"{field}:Q", scale=y_scale, axis=y_axis)

    colour, shape = verdict_encodings(frame.everyone)
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=across.at("x"))
    named = [
        base.transform_filter(alt.datum.align == align)
        .mark_text(align=align, baseline="middle", fontSize=11, color=INK)
        .encode(x=across.at("label_x"), y=down("label_y"), text="name:N")
        for align in ("left", "right")
    ]
    threads = base.mark_rule(strokeWidth=0.7, color=SOFT).encode(
        y=down("mean"), x2="line_x:Q", y2="line_y:Q"
    )
    lines = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(
        y=down("low"), y2="high:Q", color=colour
    )
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        y=down("mean"), color=colour, shape=shape, tooltip=tooltips()
    )
    panel = alt.layer(threads, lines, points, *named).properties(width=across.width, height=HEIGHT)
    return panel.properties(view=alt.ViewBackground(fill="#f4f4f0")) if strip else panel


def _cost_axis(costs: list[float], width: float, *, log: bool) -> Across:
    """Build the axis of US dollars, with air for points at its ends."""
    alt = altair()
    forth, back = (math.log10, lambda at: 10.0**at) if log else (float, float)
    air = 0.09 * (forth(max(costs)) - forth(min(costs))) if log else 0.12 * max(costs)
    low = forth(min(costs)) - air if log else -0.04 * max(costs)
    high = forth(max(costs)) + air
    ticks = _log_ticks(back(low), back(high)) if log else []
    cents = 0.05 <= max(costs) < 20 and all(tick >= 0.01 for tick in ticks)  # noqa: PLR2004 - money
    title = f"US dollars per 1,000 rows{', logarithmic' if log else ''}"
    axis = alt.Axis(title=title, format="$,.2f" if cents else "$,~f", tickCount=6)
    if log:
        axis.values = ticks
    scale = alt.Scale(type="log" if log else "linear", domain=[back(low), back(high)], nice=False)
    return Across(
        width,
        lambda mark: (forth(mark.cost or 0.0) - low) / (high - low) * width,
        lambda pixel: back(low + pixel / width * (high - low)),
        scale,
        axis,
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
    places: dict[str, float] = {}
    heads: dict[str, float] = {}
    width = 0.0
    for kind in COLUMNS:
        inside = [mark for mark in marks if mark.price == kind]
        if not inside:
            continue
        heads[kind] = width + INSET
        places |= {mark.name: width + INSET + DODGE * n for n, mark in enumerate(inside)}
        longest = max(len(mark.name) for mark in inside)
        width += max(110.0, longest * GLYPH + DODGE * len(inside) + 2 * INSET)
    tests = "".join(f"abs(datum.value - {at}) < 1 ? '{kind}' : " for kind, at in heads.items())
    axis = alt.Axis(
        title="no place on the axis", values=list(heads.values()), labelExpr=f"{tests}''",
        labelAlign="left", labelOffset=-INSET / 2, grid=False,
    )  # fmt: skip
    scale = alt.Scale(domain=[0, width], nice=False)
    return Across(width, lambda mark: places[mark.name], lambda pixel: pixel, scale, axis)
