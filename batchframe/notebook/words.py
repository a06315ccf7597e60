"""How a figure is said: times, rates, counts, money and states, the same in every face."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from batchframe.ledger.events import JobState, JobView


@dataclass(frozen=True, slots=True)
class StateFace:
    """How a state looks: a sign beside the word (colour alone tells nobody), and a tone for the CSS."""

    sign: str
    word: str
    tone: str


STATES: dict[JobState, StateFace] = {
    JobState.QUEUED: StateFace("○", "queued", "calm"),
    JobState.RUNNING: StateFace("●", "running", "busy"),
    JobState.CANCELLING: StateFace("◌", "cancelling", "warn"),
    JobState.COMPLETED: StateFace("✓", "completed", "good"),
    JobState.CANCELLED: StateFace("■", "cancelled", "calm"),
    JobState.FAILED: StateFace("✕", "failed", "bad"),
}

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"))
_SPANS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))
_EXACT_BELOW = 10_000_000
_ROUNDS_UP = 0.9995  # from here on three figures are those of the next unit
_DAY = 86_400


def count(number: int) -> str:
    """Say a count exactly.

    >>> count(12345)
    '12,345'
    """
    return f"{number:,}"


def short_count(number: int) -> str:
    """Say a count in at most ten characters: exact below ten million.

    >>> short_count(1_234_567_890)
    '1.23 B'
    """
    if abs(number) < _EXACT_BELOW:
        return count(number)
    for scale, letter in _UNITS:
        if _ROUNDS_UP * scale <= abs(number) < _ROUNDS_UP * scale * 1000:
            return f"{number / scale:.3g} {letter}"
    return f"{number:.2e}"


def duration(seconds: float) -> str:
    """Say a time span.

    >>> duration(13), duration(3_723), duration(90_061)
    ('0:13', '1:02:03', '1 d 1:01:01')
    """
    whole = max(0, round(seconds))
    days, rest = divmod(whole, _DAY)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days:,} d {hours}:{minutes:02}:{secs:02}"
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def rate(per_second: float) -> str:
    """Say a speed in the unit that gives a figure of at least one.

    >>> rate(8.4), rate(0.2), rate(12_000.0)
    ('8.4 rows/s', '12 rows/min', '12,000 rows/s')
    """
    size, unit = next((s for s in _SPANS if per_second * s[0] >= 1), _SPANS[-1])
    value = per_second * size
    tenths = round(value, 1)
    shown = f"{tenths:,.1f}" if tenths < 10 and tenths != int(tenths) else f"{value:,.0f}"  # noqa: PLR2004 - two digits are read at a glance
    return f"{shown} rows/{unit}"


def dollars(amount: Decimal) -> str:
    """Say an amount of US dollars: cents, and below a dime two figures that count.

    >>> dollars(Decimal("1234.567")), dollars(Decimal("0.00123")), dollars(Decimal(0))
    ('$1,234.57', '$0.0012', '$0.00')
    """
    if not amount.is_finite():
        return "price unknown"
    if 0 < abs(amount) < Decimal("0.000001"):
        return "< $0.000001"
    two_figures = round(amount, 1 - amount.adjusted())
    if amount == 0 or abs(two_figures) >= Decimal("0.1"):
        return f"${amount:,.2f}"
    return f"${two_figures:f}"


def cost(view: JobView) -> str:
    """Say what a job cost so far; an unknown price is said to be unknown, never shown as 0.

    Args:
        view: The job.
    """
    if view.cost is None or view.price == "unknown":
        return "price unknown"
    known = dollars(view.cost)
    return known if view.price == "known" else f"{known} + unknown prices"


def percent(view: JobView) -> int:
    """Give the share of rows with an outcome in whole per cent; 100 only when all have one.

    Args:
        view: The job.
    """
    return max(0, min(100, math.floor(view.fraction * 100)))


def known(number: float | None) -> float | None:
    """Give a figure that can be said, or None for none, NaN, infinity and nonsense below 0."""
    return number if number is not None and math.isfinite(number) and number >= 0 else None


def elapsed(view: JobView, now: float) -> float | None:
    """Give the seconds a job has run, or None before it started.

    Args:
        view: The job.
        now: Seconds since the epoch; counts while the job has not ended.
    """
    if view.started_at is None:
        return None
    return known(max(0.0, (now if view.ended_at is None else view.ended_at) - view.started_at))


def tokens(view: JobView) -> list[tuple[str, int]]:
    """Give the token counts that are known, each with its word.

    Args:
        view: The job.
    """
    pairs = (
        ("in", view.input_tokens),
        ("cached", view.cached_tokens),
        ("out", view.output_tokens),
        ("reasoning", view.reasoning_tokens),
    )
    return [(word, number) for word, number in pairs if number is not None]
