"""Quality alone, best first: what is drawn where costs are unknown or all alike, and no axis is worth it."""

from __future__ import annotations

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

WIDTH, STEP = 380, 38


def ranking(marks: list[Mark], *, proportion: bool) -> Any:
    """Draw an interval per entry, with its figures and its price in words beside it.

    Args:
        marks: The entries, best first.
        proportion: Whether the scores are shares of rows.

    Returns:
        An altair chart without title and dress.
    """
    alt = altair()
    base = alt.Chart(alt.InlineData(values=[mark.datum() for mark in marks]))
    # The same order in every panel, named outright: Vega would sort by letter.
    order = [mark.name for mark in marks]
    names = alt.Y(
        "name:N", sort=order, title=None,
        axis=alt.Axis(labelLimit=320, labelFontSize=12, labelPadding=12),
    )  # fmt: skip
    domain = list(span(marks, proportion=proportion))
    x = alt.X(
        "mean:Q", scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=quality_axis(proportion=proportion),
    )  # fmt: skip
    colour, shape = verdict_encodings(marks)
    lines = base.mark_rule(strokeWidth=3, opacity=0.55, strokeCap="round").encode(
        y=names, x=alt.X("low:Q"), x2="high:Q", color=colour
    )
    points = base.mark_point(filled=True, size=120, opacity=1).encode(
        y=names, x=x, color=colour, shape=shape, tooltip=tooltips()
    )
    height = STEP * max(1, len(marks))
    picture = alt.layer(lines, points).properties(width=WIDTH, height=height)
    bare = alt.Y("name:N", sort=order, axis=None)
    columns = [
        base.mark_text(align="left", baseline="middle", fontSize=12, color=ink)
        .encode(y=bare, x=alt.value(0), text=f"{field}:N")
        .properties(width=width, height=height)
        for field, width, ink in (("score", 170, INK), ("price", 150, SOFT))
    ]
    return alt.hconcat(picture, *columns, spacing=16)
