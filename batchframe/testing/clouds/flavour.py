"""How one provider differs from the others: its routes, its words, its limits, as one frozen table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from batchframe.model import Json, Limits
from batchframe.testing.clouds.nouns import Batch, Outcome, Pace, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply

if TYPE_CHECKING:
    from batchframe.testing.clouds.cloud import Cloud

Operation = Callable[["Cloud", Call], Reply]
Route = tuple[str, str, str, Operation]
"""HTTP method, path with {names}, operation as the faults call it, and the function."""

DAY = 86_400.0

EMPTY_PURSE = Refused(
    429,
    "You exceeded your current quota, please check your plan and billing details.",
    code="insufficient_quota",
    kind="insufficient_quota",
)
"""How OpenAI, and whoever speaks its words, says that the money is gone."""


def put_word(shown: Json, word: str) -> None:
    """Put a status word into a batch object, in place of its own; made in place."""
    for name in ("status", "state"):
        if isinstance(shown.get(name), str):
            shown[name] = word


@dataclass(frozen=True, slots=True)
class Rules:
    """What the lines of an input file must look like.

    Args:
        addressed: Each has a method and a url.
        modelled: Each body names the model.
        one_model: All name the same.
        url: "endpoint" (all as the batch says), "same" (all alike), "any".
        custom_id: Each has one.
        words: Our code of a problem -> the provider's.
        checked: Whether the bodies are looked at; else a bad one fails alone, when it is run.
        bom: Whether a byte order mark is borne.
        purpose: Whether an input file must have been uploaded as one.
        roles: Whether a message of an unknown role fails the whole.
    """

    addressed: bool = True
    modelled: bool = True
    one_model: bool = True
    url: str = "endpoint"
    custom_id: bool = True
    words: Mapping[str, str] = field(default_factory=dict)
    checked: bool = True
    bom: bool = True
    purpose: bool = True
    roles: bool = False


@dataclass(frozen=True, slots=True)
class Flavour:
    """One provider.

    Args:
        name: The word before the slash.
        key: The API key of its cloud.
        base: What follows the host in its base URL.
        routes: Its REST API.
        batch: A batch in its words.
        file: A file in its words.
        refusal: An error body in its words.
        line: One result line in its words.
        finish: Its additions to an answered body, made in place.
        environment: Its vendor's environment variables.
        unauthorized: The answer to a wrong key, given what was sent.
        limits: The most one file may hold.
        rules: What its lines must look like.
        endpoints: What a batch may be created for; empty: anything.
        window: Seconds after which a batch expires.
        windows: What `completion_window` may say; empty: anything.
        expiry: The least and most seconds that `expires_after` may say.
        retention: Seconds that input and result files live; None: for ever.
        prefixes: What the ids of batches and files begin with.
        ticks: Operations that let `cloud.step` pass.
        file_seconds: How long a new file is not ready.
        reset_unit: Whether its rate limit headers count in durations ("1s") or plain seconds.
        unexecuted: Whether rows that never ran are listed in the error file.
        filed: Whether results are files at all; else they are pages.
        always_files: Whether a batch that ended has both files, empty ones too.
        oversize: How a file that is too large is refused: "upload" or "create".
        direct: The most bytes that one upload call may bring; None: whatever a file may have.
        missing_file: Whether an unknown input file is refused at create ("now") or fails the batch.
        reasoning: Reasoning tokens that answers claim from the beginning.
        headers: What every answer carries.
        identity: Names in a batch object that hold its id.
        spelt: Puts a status word, one of ours or one that nobody knows, into a batch object.
        empty_purse: How a call is refused when the money is gone.
        bill: What an answer costs by its input and output tokens, where answers say it themselves.
    """

    name: str
    key: str
    base: str
    routes: tuple[Route, ...]
    batch: Callable[[Cloud, Batch], Json]
    file: Callable[[Cloud, StoredFile], Json]
    refusal: Callable[[Refused], Any]
    line: Callable[[Batch, Outcome], Any]
    environment: Callable[[Cloud], dict[str, str]]
    unauthorized: Callable[[str], Refused]
    limits: Limits
    finish: Callable[[Json], None] = lambda _body: None
    rules: Rules = field(default_factory=Rules)
    endpoints: tuple[str, ...] = ()
    window: float = DAY
    windows: tuple[str, ...] = ("24h",)
    expiry: tuple[int, int] = (3600, 2_592_000)
    retention: float | None = 30 * DAY
    prefixes: tuple[str, str] = ("batch_", "file-")
    ticks: frozenset[str] = frozenset({"get"})
    file_seconds: float = 0.0
    reset_unit: str = "s"
    unexecuted: bool = True
    filed: bool = True
    always_files: bool = False
    oversize: str = "create"
    direct: int | None = None
    missing_file: str = "later"
    reasoning: int = 0
    headers: Callable[[str], dict[str, str]] = lambda unique: {"x-request-id": f"req_{unique}"}
    pace: Pace = field(default_factory=Pace)
    identity: tuple[str, ...] = ("id",)
    spelt: Callable[[Json, str], None] = put_word
    empty_purse: Refused = EMPTY_PURSE
    bill: Callable[[int, int], Decimal] | None = None

    @property
    def brings(self) -> str:
        """The operation that brings results home, as faults call it."""
        return "content" if self.filed else "results"


def compiled(routes: tuple[Route, ...]) -> list[tuple[str, re.Pattern[str], str, Operation]]:
    """Turn paths with {names} into patterns; a name holds no slash and no colon."""
    return [
        (
            method,
            re.compile(re.sub(r"\\?\{(\w+)\\?\}", r"(?P<\1>[^/:]+)", re.escape(path))),
            name,
            do,
        )
        for method, path, name, do in routes
    ]
