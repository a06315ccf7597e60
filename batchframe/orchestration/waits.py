"""What a part waits for is timed by clocks in its ticket: they outlive the process that started them.

Clocks are Unix seconds under `waits`, by what is waited for. All functions are pure; the ticket that
they give is to be saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

What = Literal["results", "gone", "absent", "unknown"]
"""As the fields of `model.Patience`, which say for how long."""

Told = Mapping[str, Any]
"""A ticket's data."""


def started(ticket: Told | None, what: What, now: float) -> dict[str, Any]:
    """Give the ticket with a clock running; one that runs already goes on."""
    data = dict(ticket or {})
    return {**data, "waits": {what: now, **data.get("waits", {})}}


def stopped(ticket: Told | None, *which: What) -> dict[str, Any]:
    """Give the ticket without some clocks."""
    data = dict(ticket or {})
    left = {what: since for what, since in data.pop("waits", {}).items() if what not in which}
    return {**data, "waits": left} if left else data


def waited(ticket: Told | None, what: What, now: float) -> float:
    """Say for how many seconds a clock has been running; 0 where none does.

    >>> waited(started({}, "gone", 10.0), "gone", 12.5), waited({}, "gone", 12.5)
    (2.5, 0.0)
    """
    since = (ticket or {}).get("waits", {}).get(what, now)
    return max(0.0, now - float(since))
