"""What people see of a job, computed from the ledger's rows: one snapshot, no state of its own.

A retry sends rows again that an earlier part had counted: its rows are taken off before its own
counts are added, so a row is never counted twice.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchframe.ledger.events import ErrorGroup, JobState, JobView, PriceKnown
from batchframe.orchestration.steps import PartState
from batchframe.pricing.cost import EXACT

_ASKED = frozenset({PartState.RUNNING, PartState.ENDED, PartState.FETCHED, PartState.DECODED})

_REMARK = "the result files held "
"""How the driver begins what it says of a part whose files were odd."""

_TOLD = 3
"""Parts whose oddities are told one by one."""

WINDOW = 30.0
"""Seconds over which the rate is taken."""


def view(
    job: Mapping[str, Any],
    parts: Sequence[Mapping[str, Any]],
    *,
    rate: float | None = None,
    errors: tuple[ErrorGroup, ...] | None = None,
    note: str | None = None,
) -> JobView:
    """Give the snapshot of a job.

    Args:
        job: Its row in the ledger.
        parts: Its parts' rows.
        rate: Rows per second over the recent past.
        errors: Failed rows by cause, where they are known better than the ledger knows.
        note: A line about how this process came to the job.
    """
    state = JobState(job["state"])
    if state in (JobState.COMPLETED, JobState.CANCELLED):  # counted once more, exactly
        done, failed = job["done"], job["failed"]
    else:
        done, failed = _count(job, parts, "done"), _count(job, parts, "failed")
    left = job["total"] - done
    cost, price = _cost(parts)
    return JobView(
        id=job["id"],
        name=job["name"],
        model=job["model"],
        mode=job["mode"],
        state=state,
        total=job["total"],
        done=done,
        failed=failed,
        created_at=job["created_at"],
        started_at=job["started_at"],
        ended_at=job["ended_at"],
        rate=rate,
        eta=left / rate if rate and not state.ended else None,
        input_tokens=_sum(parts, "input_tokens"),
        cached_tokens=_sum(parts, "cached_tokens"),
        output_tokens=_sum(parts, "output_tokens"),
        reasoning_tokens=_sum(parts, "reasoning_tokens"),
        cost=cost,
        price=price,
        errors=errors if errors is not None else groups_from_json(job["errors"]),
        parts_total=len(parts),
        parts_done=sum(part["state"] == PartState.DECODED for part in parts),
        phase="" if state.ended else _phase(parts),
        message=job["message"] or _remark(parts),
        note=note,
    )


def _remark(parts: Sequence[Mapping[str, Any]]) -> str | None:
    """Say what was odd about the result files; what was said while a part ran is no news any more."""
    odd = [
        part
        for part in parts
        if part["state"] == PartState.DECODED and (part["message"] or "").startswith(_REMARK)
    ]
    if len(parts) == 1:
        return odd[0]["message"] if odd else None
    told = [f"part {part['number']}: {part['message']}" for part in odd[:_TOLD]]
    more = [f"{len(odd) - _TOLD} more parts"] if len(odd) > _TOLD else []
    return "; ".join([*told, *more]) or None


def _count(job: Mapping[str, Any], parts: Iterable[Mapping[str, Any]], column: str) -> int:
    counted = int(job["unsent"])
    for part in parts:
        counted += part[column] - (part["rows"] if part["retry"] else 0)
    return max(0, min(counted, int(job["total"])))


def _sum(parts: Iterable[Mapping[str, Any]], column: str) -> int | None:
    known = [part[column] for part in parts if part[column] is not None]
    return sum(known) if known else None


def _cost(parts: Sequence[Mapping[str, Any]]) -> tuple[Decimal | None, PriceKnown]:
    """Add up the parts' costs.

    A part that may hold answers and has no cost is unknown, except for `known_cost`: what those of its
    answers cost whose price is known.
    """
    open_ = [part for part in parts if part["cost"] is None]
    known = [Decimal(part["cost"]) for part in parts if part["cost"] is not None]
    known += [Decimal(part["known_cost"]) for part in open_ if part.get("known_cost")]
    total = known[0] if known else Decimal(0)
    for more in known[1:]:
        total = EXACT.add(total, more)
    if any(map(_answered, open_)):
        return (total, "partly") if known else (None, "unknown")
    return total, "known"


def _answered(part: Mapping[str, Any]) -> bool:
    """Whether a part may hold answers: counted ones, or whatever a provider's batch has by now."""
    return part["state"] in _ASKED or part["done"] > 0 or part["input_tokens"] is not None


def _phase(parts: Iterable[Mapping[str, Any]]) -> str:
    for part in parts:
        if part["state"] != PartState.DECODED:
            return str(part["phase"] or part["state"])
    return ""


def groups_to_json(groups: Iterable[ErrorGroup]) -> list[dict[str, Any]]:
    """Write error groups for the ledger."""
    return [
        {"code": g.code, "count": g.count, "example": g.example, "retryable": g.retryable}
        for g in groups
    ]


def groups_from_json(raw: Iterable[Mapping[str, Any]] | None) -> tuple[ErrorGroup, ...]:
    """Read error groups from the ledger."""
    return tuple(ErrorGroup(**group) for group in raw or ())


@dataclass
class Speed:
    """Rows per second over the last `WINDOW` seconds, as a driver sees them pass."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def __call__(self, done: int, now: float | None = None) -> float | None:
        """Note how many rows are done; gives the rate, None until it can be told.

        Args:
            done: Rows with an outcome.
            now: Seconds of a clock that does not jump; None: `time.monotonic()`.
        """
        now = time.monotonic() if now is None else now
        if not self._seen or self._seen[-1][1] != done:
            self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW:  # noqa: PLR2004 - a rate needs two points
            self._seen.popleft()
        (start, before) = self._seen[0]
        return (done - before) / (now - start) if now > start and done > before else None
