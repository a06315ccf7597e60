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


def phases(
    *,
    waiting: str = "",
    running: str = "",
    ended: str = "",
    failed: str = "",
    prefix: str = "",
) -> Mapping[str, Phase]:
    """Write a provider's statuses down by what they mean, each of them a word.

    Args:
        waiting: Those of a batch of which nothing runs yet.
        running: Those of one that runs or is being ended.
        ended: Those of one that is over, whatever the cause, and may have answers.
        failed: Those of one that is over, and of which no row was answered.
        prefix: What each begins with.

    >>> phases(waiting="QUEUED", ended="SUCCESS CANCELLED", prefix="JOB_")["JOB_SUCCESS"]
    <Phase.ENDED: 'ended'>
    """
    said = {
        Phase.WAITING: waiting, Phase.RUNNING: running, Phase.ENDED: ended, Phase.FAILED: failed,
    }  # fmt: skip
    return MappingProxyType(
        {f"{prefix}{word}": phase for phase, words in said.items() for word in words.split()}
    )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider's batches can do; a test of what is missing is skipped and says so.

    Args:
        endpoints: What requests may be for.
        cancel: A running batch can be stopped.
        partial_results: An expired batch keeps the rows that were answered.
        cancel_keeps: A cancelled batch keeps the rows that were answered.
        counts_while_running: A running batch says how many rows are done.
        usage_of_batch: An ended batch says what all rows took.
        metadata: The user's own pairs travel with the batch; our key is found there all the same.
        lists: Batches can be listed, which is how one is found whose making was not confirmed.
        statuses: Every documented status, as `faults.status_word` takes it, and the phase that it means.
        reasoning: Answers say how many of their tokens were thoughts.
        validates: A batch is refused as a whole when a line of it is wrong.
        unsupported: Parameters of OpenAI's API that the provider refuses to send.
    """

    endpoints: frozenset[Endpoint] = frozenset({Endpoint.CHAT})
    cancel: bool = True
    partial_results: bool = True
    cancel_keeps: bool = True
    counts_while_running: bool = True
    usage_of_batch: bool = True
    metadata: bool = True
    lists: bool = True
    statuses: Mapping[str, Phase] = field(default_factory=lambda: OPENAI_STATUSES)
    reasoning: bool = True
    validates: bool = True
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
