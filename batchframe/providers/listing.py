"""What a list of batches proves: whether it comes newest first, and which of two twins is to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import ge

from batchframe.model import Phase

ENDED = frozenset({Phase.ENDED, Phase.FAILED, Phase.REFUSED})


def is_past(ages: Sequence[float], since: float) -> bool:
    """Whether all that a list has yet to show is older than a moment.

    Only an order that was seen proves it: a list may come oldest first, or in none.

    Args:
        ages: When each batch seen so far was made, in Unix seconds, in the list's order; 0: unknown.
        since: The moment.

    >>> is_past([30.0, 20.0, 10.0], 15.0), is_past([10.0, 20.0], 15.0), is_past([10.0, 10.0], 15.0)
    (True, False, False)
    """
    known = [age for age in ages if age > 0]
    if len(known) < 2 or known[-1] >= since:  # noqa: PLR2004 - an order is seen between two
        return False
    return known[0] > known[-1] and all(ge(*pair) for pair in pairwise(known))


@dataclass(frozen=True, slots=True)
class Twin:
    """One of several batches of the same part.

    Args:
        id: Its id.
        made: When, in Unix seconds.
        phase: How far it is.
        answers: Whether it has results by counts that are to be trusted.
        files: Whether it has result files at all; those of a cancelled batch may be empty.
    """

    id: str
    made: float
    phase: Phase
    answers: bool
    files: bool = False


def chosen(twins: Sequence[Twin]) -> tuple[Twin, list[Twin]]:
    """Choose the batch to go on with, and name those that are to be cancelled.

    One that has ended with results is paid and done; after those come batches that run, then what
    ended empty. Among equals the older one is kept. What has ended is never cancelled.

    Args:
        twins: At least one.
    """
    first, *others = sorted(twins, key=lambda twin: (_rank(twin), twin.made))
    return first, [twin for twin in others if twin.phase not in ENDED]


def _rank(twin: Twin) -> int:
    if twin.phase not in ENDED:
        return 1
    return 0 if twin.answers else 2 if twin.files else 3
