"""The nouns of batchframe: frozen data on the standard library only, which every room may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

Json = dict[str, Any]
"""One JSON object, as `json.loads` gives it."""

Mode = Literal["batch", "immediate"]
"""How a job's requests travel: as the provider's batch, or now, one by one."""


class Endpoint(StrEnum):
    """The OpenAI surface a request is written for; the value is its path below the base URL."""

    CHAT = "/v1/chat/completions"
    RESPONSES = "/v1/responses"
    EMBEDDINGS = "/v1/embeddings"
    MODERATIONS = "/v1/moderations"


class Phase(StrEnum):
    """How far a batch has come at its provider, whatever words that provider uses."""

    WAITING = "waiting"  # accepted, validating, queued, or a status we do not know yet
    RUNNING = "running"  # rows are being answered
    ENDED = "ended"  # nothing more will happen; files may hold answers whatever the cause
    FAILED = "failed"  # ended, and the provider says that no row was answered
    REFUSED = "refused"  # its queue is full: nothing was begun, and it may be created again later


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as users name it: `provider/name`, split at the first slash.

    >>> str(ModelRef("local", "smollm2"))
    'local/smollm2'
    """

    provider: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, counted as the provider counted them.

    `input` includes `cached` and `cache_write`; `output` includes `reasoning`. None is "the provider
    did not say", which is not 0. `unseen` says whether tries may have been paid for whose tokens
    nobody counted: then the cost is unknown; False with no counts is a row that surely cost nothing.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    cache_write: int | None = None
    unseen: bool | None = None


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one row has no usable answer.

    `code` is a short stable word (`empty_prompt`, `invalid_response`, `cancelled`, `missing`, or the
    provider's own code); `retryable` says whether sending the same row again could help.
    """

    code: str
    message: str
    retryable: bool = False

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


@dataclass(frozen=True, slots=True)
class Reply:
    """One row's outcome in OpenAI terms: a body, or an error, and what it took.

    `body` is the provider's answer normalised to an OpenAI object; it may stand beside an `error`
    (a refusal, an answer cut off). `latency` is in seconds. `text` is null for embeddings. `cost` is
    what the provider itself says that the answer cost, in US dollars: it stands above any price list.
    `status` is the HTTP status that came with the row, where one did.
    """

    custom_id: str
    body: Mapping[str, Any] | None = None
    error: RowError | None = None
    text: str | None = None
    embedding: tuple[float, ...] | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    attempts: int | None = None
    latency: float | None = None
    cost: Decimal | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a provider says of a running batch: its phase and, where it counts, its rows.

    `usage` is the sum over answered rows, and `errors` an example and a count per cause, where they
    are known while the batch runs. `cost` is what answers cost so far whose price is known, each
    priced by itself, in US dollars; None: nobody priced them. Where `unpriced` is above 0, `cost` is
    not the whole. `rejected` names lines of the file, counted from 1, that made the provider refuse all
    of it, each with what is wrong. `owed` is how many lines the result files of a batch that has ended
    must hold, by the provider's own counts; None where it does not count, or its counts are not to be
    trusted, as those of a cancelled batch. `unknown` is a status word that nobody here knows.
    """

    phase: Phase
    total: int | None = None
    done: int | None = None
    failed: int | None = None
    usage: Usage = field(default_factory=Usage)
    message: str | None = None
    errors: tuple[tuple[RowError, int], ...] = ()
    cost: Decimal | None = None
    unpriced: int = 0
    rejected: tuple[tuple[int, RowError], ...] = ()
    owed: int | None = None
    unknown: str | None = None


class Brought(list[Path]):
    """The result files that a provider gave: a list of paths that may say what is odd about them.

    Args:
        files: What came.
        gone: Each file that the provider says it has no more, by the provider's name for it.
        doubts: What speaks against the files' being whole, each a few words.
    """

    def __init__(
        self,
        files: Iterable[Path] = (),
        *,
        gone: Iterable[str] = (),
        doubts: Iterable[str] = (),
    ) -> None:
        super().__init__(files)
        self.gone, self.doubts = tuple(gone), tuple(doubts)


@dataclass(frozen=True, slots=True)
class Part:
    """The requests of one job that share one provider-side batch.

    `key` is unique over all jobs and the same on every try: what a provider's idempotency token,
    metadata or label is made of.
    """

    job_id: str
    number: int
    model: ModelRef
    endpoint: Endpoint
    rows: int
    key: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What finds a batch again in any process on any day: plain JSON, no secrets."""

    provider: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one provider-side batch may hold; `source` and `as_of` say whence the figures.

    `line_bytes` is the most that one request's line may have. `queue_tokens` is how many prompt
    tokens of a model may wait at the provider at once: no part may have more. `inputs` is how many
    texts a batch of embeddings may have in all its lines together.
    """

    requests: int
    bytes: int
    source: str
    as_of: str
    line_bytes: int | None = None
    queue_tokens: int | None = None
    inputs: int | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a provider's word is asked for again before it counts, in seconds.

    Args:
        results: Result files that hold less than the provider has counted, or are no result files at
            all, are fetched again for so long; half an hour by default. Then the job stops and says so.
        gone: A batch or a file that was there and is answered with "there is no such thing" (HTTP 404)
            may appear again for so long; two minutes by default.
        absent: A batch whose creation was not confirmed is looked for in the provider's list for so
            long before it counts as never made; five minutes by default.
        unknown: A batch may have a status that nobody here knows for so long; two days by default,
            twice the window of most providers. Then the job stops and says so.

    The defaults are of our own choosing, 2026-11-27: no provider says how far its lists and files lag.
    """

    results: float = 1800.0
    gone: float = 120.0
    absent: float = 300.0
    unknown: float = 172_800.0

    def __post_init__(self) -> None:
        for name in ("results", "gone", "absent", "unknown"):
            given = getattr(self, name)
            if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
                raise ValueError(
                    f"Patience({name}={given!r}) was refused: give seconds, 0 or more, such as "
                    f"bf.Patience({name}=600)."
                )


@dataclass(frozen=True, slots=True)
class Connection:
    """Where and how synchronous requests go: what the immediate engine needs to know of a provider.

    `headers` may hold credentials: never log, store or show a Connection. `concurrency` is how many
    requests the other side can work on at once, when it knows. `params` is the query of every request.
    `unversioned` says that `base_url` stands for the `/v1` of a request's path, although it does not
    end so. `renew` gives the headers anew, where they hold tokens that age. `key_help` is what to type
    when the credentials are refused.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    concurrency: int | None = None
    timeout: float = 600.0
    params: Mapping[str, str] = field(default_factory=dict)
    unversioned: bool = False
    renew: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False)
    key_help: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """Money in US dollars for some rows, with what it is made of; every part is exact.

    `total` is None when any part of the price is unknown. `source` names the price list and its date.
    """

    total: Decimal | None
    input: Decimal | None = None
    output: Decimal | None = None
    cached: Decimal | None = None
    source: str | None = None
