"""What a provider's test class says of its provider: what it can do, and where it may break the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from batchframe.model import Endpoint, Phase

OPENAI_STATUSES: Mapping[str, Phase] = MappingProxyType(
    {
        "validating": Phase.WAITING,
        "in_progress": Phase.RUNNING,
        "finalizing": Phase.RUNNING,
        "cancelling": Phase.RUNNING,
        "completed": Phase.ENDED,
        "expired": Phase.ENDED,
        "cancelled": Phase.ENDED,
        "failed": Phase.FAILED,
    }
)
"""Every status that OpenAI documents (API reference, 2026-11), and what it means here."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider's batches can do; a test of what is missing is skipped and says so.

    Args:
        endpoints: What requests may be for.
        cancel: A running batch can be stopped.
        partial_results: An expired or cancelled batch keeps the rows that were answered.
        counts_while_running: A running batch says how many rows are done.
        usage_of_batch: An ended batch says what all rows took.
        metadata: The user's own pairs travel with the batch.
        lists: Batches can be listed, which is how one is found whose making was not confirmed.
        statuses: Every documented status, and the phase that it means.
        reasoning: Answers say how many of their tokens were thoughts.
        validates: A batch is refused as a whole when a line of it is wrong.
        files: Results come as files, which can be cut off and gone on with.
        unsupported: Parameters of OpenAI's API that the provider refuses to send.
    """

    endpoints: frozenset[Endpoint] = frozenset({Endpoint.CHAT})
    cancel: bool = True
    partial_results: bool = True
    counts_while_running: bool = True
    usage_of_batch: bool = True
    metadata: bool = True
    lists: bool = True
    statuses: Mapping[str, Phase] = field(default_factory=lambda: OPENAI_STATUSES)
    reasoning: bool = True
    validates: bool = True
    files: bool = True
    unsupported: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why one test of the contract is expected to fail; `link` leads to where it is discussed."""

    kind: Literal["notimpl", "notyet", "never"]
    reason: str
    link: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}{f' ({self.link})' if self.link else ''}"


def notimpl(reason: str) -> Excuse:
    """Say that the provider could, and this library does not do it yet.

    Args:
        reason: What is missing.
    """
    return Excuse("notimpl", reason)


def notyet(reason: str, link: str = "") -> Excuse:
    """Say that somebody is at fault and it will change.

    Args:
        reason: What goes wrong.
        link: Where it is discussed.
    """
    return Excuse("notyet", reason, link)


def never(reason: str) -> Excuse:
    """Say that the provider cannot do it by its nature.

    Args:
        reason: Its nature.
    """
    return Excuse("never", reason)
