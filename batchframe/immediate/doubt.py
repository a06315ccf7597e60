"""Failures that may be everybody's wait here until other rows' fates say whose they are.

A 403 can be a forbidden key or one moderated prompt; a refused connection a dead server or a hiccup.
Stopping for one row's sake would make a job that can never end; writing all rows off one by one would
turn a wrong address into ten million failed rows. So such rows are held: an answer to any other row
makes them the rows' own failures, a streak without one makes them the run's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

STREAK = 20
"""Doubtful ends in a row, with no answer in between, that make a cause certain."""

Held = TypeVar("Held")
Cause = TypeVar("Cause")


@dataclass
class Doubt(Generic[Held, Cause]):
    """The rows held and the first cause of the streak.

    Args:
        streak: How many it takes.
    """

    streak: int = STREAK
    cause: Cause | None = None
    held: list[Held] = field(default_factory=list)

    def hold(self, row: Held, cause: Cause) -> bool:
        """Hold a row; says whether the cause has become certain."""
        if self.cause is None:
            self.cause = cause
        self.held.append(row)
        return len(self.held) >= self.streak

    def release(self) -> list[Held]:
        """An answer came: give back the rows held, whose failures are their own."""
        rows, self.held, self.cause = self.held, [], None
        return rows
