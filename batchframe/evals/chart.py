"""The picture of a comparison: quality with its interval against cost, or alone where cost says nothing.

Colour and shape say what the statistics allow to say, not which model it is; names stand beside their
points.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from batchframe.errors import missing_extra
from batchframe.evals.figures import interval, money, number
from batchframe.notebook.hostile import clean

if TYPE_CHECKING:
    from batchframe.evals.comparison import Comparison

VERDICTS = {
    "leader": ("#0072B2", "diamond", "leader"),
    "tied": ("#C77700", "circle", "not distinguishable from the leader"),
    "worse": ("#757575", "square", "behind the leader"),
}
"""Colour (told apart by colour-blind eyes too), shape and legend of each verdict."""

INK, SOFT, GRID = "#222222", "#666666", "#e6e6e6"
FONT = "Helvetica Neue, Helvetica, Arial, sans-serif"
NAME_LIMIT = 42
SAME_COST = 0.05
"""Costs within this share of each other are no reason to draw a cost axis."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One entry as a chart shows it; `cost` is US dollars per 1,000 rows."""

    name: str
    mean: float
    low: float
    high: float
    cost: float | None
    verdict: str
    score: str
    price: str
    failed: int

    def datum(self) -> dict[str, Any]:
        """Give the entry as one row of a chart's data."""
        return {**asdict(self), "verdict": VERDICTS[self.verdict][2]}


def altair() -> Any:
    """Import altair.

    Raises:
        MissingExtraError: It is not installed; the message holds the pip line.
    """
    try:
        import altair as alt  # noqa: PLC0415 - optional and heavy
    except ImportError as error:
        raise missing_extra("altair", "evals", "Plotting a comparison") from error
    return alt


def draw(comparison: Comparison, scorer: str) -> Any:
    """Draw one scorer of a comparison.

    Args:
        comparison: What to draw.
        scorer: The name of one of its scorers.

    Returns:
        An altair chart.

    Raises:
        MissingExtraError: altair is not installed.
    """
    from batchframe.evals.ranking import ranking  # noqa: PLC0415 - both stand on this file
    from batchframe.evals.scatter import scatter  # noqa: PLC0415

    alt = altair()
    proportion = next(s.proportion for s in comparison.scores if s.scorer == scorer)
    marks, missing = _marks(comparison, scorer, proportion=proportion)
    against_cost = _costs_differ(marks)
    name = clean(scorer, NAME_LIMIT)
    if against_cost:
        chart = scatter(marks, name, proportion=proportion)
    else:
        chart = ranking(marks, proportion=proportion)
    chart = chart.properties(
        title=alt.TitleParams(
            f"{name} against cost" if against_cost else name,
            subtitle=_subtitle(comparison, scorer, missing),
        )
    )
    return _dressed(chart)


def _costs_differ(marks: list[Mark]) -> bool:
    """Say whether a cost axis would show something: two prices known, and not nearly the same."""
    costs = [mark.cost for mark in marks if mark.cost is not None]
    return len(costs) > 1 and max(costs) - min(costs) > SAME_COST * max(costs) and any(costs)


def _marks(
    comparison: Comparison, scorer: str, *, proportion: bool
) -> tuple[list[Mark], list[str]]:
    """Give the entries to draw, best first, and the names of those that have no score."""
    marks: list[Mark] = []
    missing: list[str] = []
    for line in comparison.leaderboard.iter_rows(named=True):
        name = _distinct(clean(line["entry"], NAME_LIMIT), [*missing, *(m.name for m in marks)])
        mean = line[scorer]
        if mean is None:
            missing.append(name)
            continue
        low, high = line[f"{scorer}_low"], line[f"{scorer}_high"]
        around = interval(low, high, proportion=proportion)
        cost = line["cost_per_1k_rows"]
        marks.append(
            Mark(
                name=name,
                mean=mean,
                low=mean if low is None else low,
                high=mean if high is None else high,
                cost=cost,
                verdict=comparison.standings[scorer][line["entry"]].verdict,
                score=number(mean, proportion=proportion) + (f"  ({around})" if around else ""),
                price=_price(cost),
                failed=line["failed"],
            )
        )
    lower = scorer in comparison.settings.lower_is_better
    return sorted(marks, key=lambda mark: mark.mean if lower else -mark.mean), missing


def _price(cost: float | None) -> str:
    """Say a price per 1,000 rows in words that need no heading."""
    if cost is None:
        return "cost unknown"
    return f"{money(cost)} per 1,000 rows" if cost else "free"


def _distinct(name: str, taken: list[str]) -> str:
    """Keep names apart that were cut to the same beginning."""
    again = sum(other == name or other.startswith(f"{name} (") for other in taken)
    return f"{name} ({again + 1})" if again else name


def _subtitle(comparison: Comparison, scorer: str, missing: list[str]) -> list[str]:
    """Say what the lines are, over how many rows, and who is not in the picture."""
    counts = [its.estimate.n for its in comparison.standings[scorer].values() if its.estimate.n]
    least, most = min(counts, default=0), max(counts, default=0)
    rows = f"{most:,} rows" if least == most else f"{least:,} to {most:,} rows"
    lines = [f"Lines are {comparison.settings.percent} intervals over {rows}"]
    if scorer in comparison.settings.lower_is_better:
        lines[0] += "; lower is better"
    if missing:
        lines.append(clean(f"Not measured: {', '.join(missing)}", 2 * NAME_LIMIT))
    return lines


def span(marks: list[Mark], *, proportion: bool) -> tuple[float, float]:
    """Give the ends of a quality axis: all intervals and a little air, within 0..1 for shares.

    Args:
        marks: What must fit.
        proportion: Whether the scores are shares of rows.
    """
    low = min((mark.low for mark in marks), default=0.0)
    high = max((mark.high for mark in marks), default=1.0)
    air = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    if proportion:
        return max(-0.02, low - air), min(1.02, high + air)
    return low - air, high + air


def quality_axis(*, proportion: bool, title: str | None = None, bare: bool = False) -> Any:
    """Give the axis of scores: shares in per cent, grid lines, and nothing else when `bare`.

    Args:
        proportion: Whether the scores are shares of rows.
        title: What is measured.
        bare: Whether a neighbouring panel already shows the figures.
    """
    alt = altair()
    if bare:
        return alt.Axis(title=None, labels=False, tickCount=6)
    if not proportion:
        return alt.Axis(title=title, tickCount=6, format="~g")
    return alt.Axis(title=title, tickCount=6, labelExpr="format(datum.value * 100, '.2~f') + ' %'")


def verdict_encodings(marks: list[Mark]) -> tuple[Any, Any]:
    """Give the colour and shape encodings, with a legend of the verdicts that occur.

    Args:
        marks: What is drawn.
    """
    alt = altair()
    used = [row for verdict, row in VERDICTS.items() if any(m.verdict == verdict for m in marks)]
    words = [word for _, _, word in used]
    legend = alt.Legend(
        title=None,
        orient="bottom",
        direction="horizontal",
        symbolSize=90,
        symbolOpacity=1,
        labelLimit=400,
    )
    return (
        alt.Color(
            "verdict:N", scale=alt.Scale(domain=words, range=[c for c, _, _ in used]), legend=legend
        ),
        alt.Shape(
            "verdict:N", scale=alt.Scale(domain=words, range=[s for _, s, _ in used]), legend=legend
        ),
    )


def tooltips() -> list[Any]:
    """Give what hovering over a point tells."""
    alt = altair()
    shown = {"name": "entry", "score": "score", "price": "cost", "failed": "failed rows"}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in shown.items()]


def _dressed(chart: Any) -> Any:
    """Give every part of a chart the same plain look."""
    return (
        chart.configure(background="#ffffff", font=FONT, padding=14)
        .configure_view(stroke=None)
        .configure_title(
            anchor="start", frame="group", offset=16, fontSize=16, fontWeight=600, color=INK,
            subtitleColor=SOFT, subtitleFontSize=12, subtitlePadding=5,
        )
        .configure_axis(
            labelColor=INK, labelFontSize=11, titleColor=SOFT, titleFontSize=12, titleFontWeight="normal",
            titlePadding=10, gridColor=GRID, domain=False, ticks=False, labelPadding=8,
        )
        .configure_legend(labelColor=INK, labelFontSize=12, offset=10)
    )  # fmt: skip
