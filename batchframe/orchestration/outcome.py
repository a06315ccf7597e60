"""How an effect came out: what the table makes of it, what is saved, and what people are told meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchframe.model import Endpoint, ModelRef, Part, Phase, RowError, Ticket
from batchframe.orchestration.steps import Effect, Event

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One effect's outcome.

    Args:
        event: What the table is asked with.
        changes: Columns of the part's row.
        say: What the part waits for, for the job's message; None: nothing worth a word.
        stop: Why the job cannot go on once this is saved; None: it does.
        intent: What stays open: the next step must settle it.
    """

    event: Event
    changes: Mapping[str, Any] = field(default_factory=dict)
    say: str | None = None
    stop: str | None = None
    intent: Effect | None = None


def part_of(job: Row, part: Row) -> Part:
    """Give a part as its provider sees it."""
    return Part(
        job_id=job["id"],
        number=part["number"],
        model=ModelRef(*part["model"].split("/", 1)),
        endpoint=Endpoint(job["endpoint"]),
        rows=part["rows"],
        key=part["key"],
        metadata=job["metadata"],
    )


def provider_of(part: Row) -> str:
    """Name a part's provider."""
    return str(part["model"]).split("/", 1)[0]


def ticket_of(part: Row) -> Ticket:
    """Give a part's ticket."""
    return Ticket(provider_of(part), part["ticket"] or {})


def absent(job: Row, part: Row) -> RowError:
    """Say why a row without a line has none."""
    ticket, name = part["ticket"] or {}, provider_of(part)
    if ticket.get("lost"):
        said = f"{name} no longer knows the batch of this row, and it was given up"
        return RowError("batch_gone", said, retryable=True)
    if ticket.get("gone"):
        files = ", ".join(map(str, ticket["gone"]))
        said = f"{name} no longer has {files}, which may have held this row's answer"
        return RowError("result_gone", said, retryable=True)
    if job["cancel"]:
        return RowError(
            "cancelled", "the job was cancelled before this row was answered", retryable=True
        )
    if part["phase"] == Phase.FAILED:
        cause = part["message"] or "the provider gave no reason"
        return RowError("batch_failed", cause, retryable=True)
    if ticket.get("told"):
        said = f"{ticket['told'].rstrip('.')}: this row's is not among them"
        return RowError("missing", said, retryable=True)
    return RowError("missing", "the provider returned no line for this row", retryable=True)
