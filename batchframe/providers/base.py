"""What a provider is: a name, its models, and how requests or whole batches live there.

Two kinds share the road. A provider with a batch API implements `BatchProvider`: its methods are
called from worker threads, one at a time per part, and each may be called again after a crash. One
without implements `Provider` only; its batches are *managed*: the immediate engine sends the rows
over the `Connection` that `connect` gives.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from batchframe.dialects.dialect import Dialect
from batchframe.model import Connection, Endpoint, Limits, Part, Progress, Ticket


@runtime_checkable
class Provider(Protocol):
    """Something that answers OpenAI-shaped requests, now."""

    @property
    def name(self) -> str:
        """The word before the slash in `provider/model`."""
        ...

    @property
    def limits(self) -> Limits:
        """The most one part may hold."""
        ...

    def models(self) -> list[str]:
        """Names of models known to work here; others may too."""
        ...

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Find out, without network, whether this model can be asked at this endpoint.

        Raises:
            UnknownNameError: No such model; the message holds the nearest names.
            MissingModelError: The weights are not here; the message holds the line that fetches them.
            MissingExtraError: A package is not installed; the message holds the pip line.
            MissingCredentialsError: No key was found.
        """
        ...

    def connect(self, model: str, endpoint: Endpoint) -> AbstractContextManager[Connection]:
        """Open the way to the model: start a server or look up a key; leaving the block closes it."""
        ...


class Lifecycle(Protocol):
    """How one batch lives: the steps that whoever drives a job takes it through."""

    def upload(self, part: Part, file: Path) -> Ticket:
        """Bring the part's file over; repeating it costs nothing but an orphaned file."""
        ...

    def create(self, part: Part, ticket: Ticket) -> Ticket:
        """Start the batch: the one step that costs money and must not happen twice.

        Raises:
            QueueFullError: The provider's queue is full; nothing was begun.
        """
        ...

    def find(self, part: Part, ticket: Ticket | None) -> Ticket | None:
        """Answer "did `create` happen?" after a crash, by `part.key`; None when it surely did not.

        `ticket.data["intended_at"]` is when it was about to be asked for, in Unix seconds. A batch that
        a full queue turned away does not count.
        """
        ...

    def poll(self, ticket: Ticket) -> Progress:
        """Ask how far the batch is; a status nobody knows is WAITING, never an error.

        REFUSED says that a full queue turned the batch away: it is created again later.
        """
        ...

    def fetch(self, ticket: Ticket, folder: Path) -> list[Path]:
        """Bring every result and error file home, whatever the batch's end; complete files only.

        A `Brought` also says what is gone and what is in doubt: then the others come all the same.
        """
        ...

    def cancel(self, ticket: Ticket) -> None:
        """Ask the provider to stop; rows already answered stay paid and are fetched later."""
        ...

    def cleanup(self, ticket: Ticket) -> None:
        """Remove what `upload` and the batch left at the provider; missing things are fine."""
        ...


@runtime_checkable
class BatchProvider(Provider, Lifecycle, Protocol):
    """A provider whose own batch API runs the rows, usually at a lower price.

    It may have a `poll_seconds`, how often its batches are asked for, and a `patience`, for how long its
    word is asked for again before it counts.
    """

    def dialect(self, endpoint: Endpoint) -> Dialect:
        """Give the words of its batch files.

        Raises:
            UnsupportedError: Its batches have no such endpoint.
        """
        ...
