"""Where names go beside points so that none covers another: greedy, in pixels, pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

GLYPH = 6.4
"""Width in pixels allowed per character of an 11 px sans-serif; wide letters make it an upper guess."""

LINE = 15.0
"""Height in pixels of one label with the air around it."""

GAP = 9.0
"""Pixels between a point's centre and its label."""

STEPS = (0.0, -1.0, 1.0, -2.0, 2.0, -3.0, 3.0, -4.0, 4.0, -5.0, 5.0, -6.0, 6.0)
"""Shifts tried, in lines: beside the point first, then ever farther away."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A point in pixels with the vertical reach of its interval and the name to write."""

    x: float
    y: float
    top: float
    bottom: float
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    """Where a name starts (`left`) or ends (`right`), in pixels; `y` is its middle."""

    x: float
    y: float
    align: Literal["left", "right"]


Box = tuple[float, float, float, float]


def place(spots: Sequence[Spot], width: float, height: float) -> list[Label]:
    """Find a place for every name, in the spots' order.

    A place must lie within the plot and clear of points, intervals and names placed before; where
    no place is free, the one that covers least is taken.

    Args:
        spots: What is named.
        width: Of the plot, pixels.
        height: Of the plot, pixels.
    """
    blocked: list[Box] = [(s.x - 6, s.y - 7, s.x + 6, s.y + 7) for s in spots]
    blocked += [(s.x - 3, s.top - 1, s.x + 3, s.bottom + 1) for s in spots]
    chosen: list[Label] = []
    for spot in spots:
        best = min(
            _candidates(spot),
            key=lambda label: _cost(_box(label, spot.text), blocked, width, height),
        )
        chosen.append(best)
        blocked.append(_box(best, spot.text))
    return chosen


def _candidates(spot: Spot) -> list[Label]:
    """Give the places to try, the most natural first (`min` keeps the first of equals)."""
    places = []
    for step in STEPS:
        y = spot.y + step * LINE
        places.append(Label(spot.x + GAP, y, "left"))
        places.append(Label(spot.x - GAP, y, "right"))
    return places


def _box(label: Label, text: str) -> Box:
    wide = len(text) * GLYPH
    left = label.x if label.align == "left" else label.x - wide
    return left, label.y - LINE / 2, left + wide, label.y + LINE / 2


def _cost(box: Box, blocked: list[Box], width: float, height: float) -> float:
    """Give the area in square pixels that a place covers or that hangs out of the plot."""
    left, top, right, bottom = box
    whole = (right - left) * (bottom - top)
    inside = _overlap(box, (0.0, 0.0, width, height))
    return whole - inside + sum(_overlap(box, other) for other in blocked)


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across * down if across > 0 and down > 0 else 0.0


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move numbers apart until none is nearer than `gap` to the next; crowds stay where they were.

    Args:
        places: In any order; the answer keeps it.
        gap: The least distance.

    >>> spread([5.0, 5.0, 100.0], 10.0)
    [0.0, 10.0, 100.0]
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    crowds: list[list[int]] = []
    for index in order:
        crowds.append([index])
        while len(crowds) > 1 and _end(crowds[-2], places, gap) + gap > _start(
            crowds[-1], places, gap
        ):
            last = crowds.pop()
            crowds[-1] += last
    moved = [0.0] * len(places)
    for crowd in crowds:
        first = _start(crowd, places, gap)
        for step, index in enumerate(crowd):
            moved[index] = first + step * gap
    return moved


def _start(crowd: Sequence[int], places: Sequence[float], gap: float) -> float:
    """Give where a crowd begins when it stands around its own middle."""
    return sum(places[index] for index in crowd) / len(crowd) - gap * (len(crowd) - 1) / 2


def _end(crowd: Sequence[int], places: Sequence[float], gap: float) -> float:
    return _start(crowd, places, gap) + gap * (len(crowd) - 1)
