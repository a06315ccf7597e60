"""How a comparison's numbers are written, the same in tables, charts and plain text."""

from __future__ import annotations

import math


def number(value: float | None, *, proportion: bool = False) -> str:
    """Write a score: 0.625 as `62.5 %`, other numbers with three figures; a dash when unknown.

    Args:
        value: The score.
        proportion: Whether it is a share of rows.

    >>> number(0.625, proportion=True), number(1234.5)
    ('62.5 %', '1,234')
    """
    if value is None:
        return "–"  # noqa: RUF001 - a dash is meant
    return f"{value * 100:.1f} %" if proportion else _three(value, "")


def gain(value: float, *, proportion: bool = False) -> str:
    """Write a difference with its sign; of shares, in percentage points.

    Args:
        value: The difference.
        proportion: Whether it is one of shares of rows.

    >>> gain(-0.0125, proportion=True), gain(0.5)
    ('-1.2 points', '+0.500')
    """
    return f"{value * 100:+.1f} points" if proportion else _three(value, "+")


def gain_interval(low: float | None, high: float | None, *, proportion: bool = False) -> str:
    """Write the interval of a difference, in the unit of `gain`; empty when there is none.

    Args:
        low: Its lower end.
        high: Its upper end.
        proportion: Whether it is a difference of shares of rows.
    """
    if low is None or high is None:
        return ""
    if proportion:
        return f"{low * 100:+.1f} to {high * 100:+.1f}"
    return f"{_three(low, '+')} to {_three(high, '+')}"


def _three(value: float, sign: str) -> str:
    """Write three figures, with powers of ten where zeros would crowd them out."""
    if value and not 1e-3 <= abs(value) < 1e6:  # noqa: PLR2004 - where people stop counting zeros
        return f"{value:{sign}.2e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:{sign},.{digits}f}"


def interval(low: float | None, high: float | None, *, proportion: bool = False) -> str:
    """Write an interval: `50.1 to 73.3 %`; empty when there is none.

    Args:
        low: Its lower end.
        high: Its upper end.
        proportion: Whether the ends are shares of rows.
    """
    if low is None or high is None:
        return ""
    if proportion:
        return f"{low * 100:.1f} to {high * 100:.1f} %"
    return f"{number(low)} to {number(high)}"


def money(value: float | None) -> str:
    """Write US dollars: three figures below a dollar, cents above, `free` and `unknown` in words.

    Args:
        value: US dollars; None when the price is unknown.

    >>> money(0.01234), money(12.5), money(0), money(None)
    ('$0.0123', '$12.50', 'free', 'unknown')
    """
    if value is None:
        return "unknown"
    if value == 0:
        return "free"
    if value >= 1:
        return f"${value:,.2f}"
    digits = min(8, 2 - math.floor(math.log10(value)))
    return f"${value:.{digits}f}"


def count(value: int | None) -> str:
    """Write a count with thousands commas; a dash when unknown.

    Args:
        value: The count.
    """
    return "–" if value is None else f"{value:,}"  # noqa: RUF001 - a dash is meant
