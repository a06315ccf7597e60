"""The cloud's time stands still until somebody moves it: a day passes in no time, and nothing sleeps."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Seconds since 1970, as a cloud sees them; it begins at the present, so that dates look right.

    >>> clock = Clock(start=1000.0)
    >>> clock.advance(3600)
    >>> clock.now
    4600.0
    """

    def __init__(self, start: float | None = None) -> None:
        self.now = float(int(time.time())) if start is None else start

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds: How much; less than 0 is refused, as batches do not grow younger.
        """
        if seconds < 0:
            raise ValueError(f"a cloud's clock does not run back ({seconds} seconds)")
        self.now += seconds

    def reach(self, moment: float) -> None:
        """Let time pass until `moment`; a moment that is past changes nothing."""
        self.now = max(self.now, moment)


def seconds(moment: float | None) -> int | None:
    """Give a moment as OpenAI writes it: whole seconds since 1970."""
    return None if moment is None else int(moment)


def iso(moment: float | None, *, places: int = 0, zone: str = "Z") -> str | None:
    """Give a moment in ISO 8601, with `places` digits of a second and the zone as `zone` spells it.

    >>> iso(0.0)
    '1970-01-01T00:00:00Z'
    """
    if moment is None:
        return None
    fraction = f".{int(moment % 1 * 10**places):0{places}d}" if places else ""
    return f"{datetime.fromtimestamp(int(moment), UTC):%Y-%m-%dT%H:%M:%S}{fraction}{zone}"
