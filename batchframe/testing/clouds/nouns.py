"""What a cloud keeps: files, rows and batches, before any provider has put them into its own words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from batchframe.model import Json

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""Stages of a batch after which nothing more happens."""


@dataclass(slots=True)
class StoredFile:
    """A file; `ready` is the moment from which a batch may use it, `expires` the one that removes it."""

    id: str
    name: str
    purpose: str
    data: bytes
    created: float
    expires: float | None = None
    ready: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a batch."""

    custom_id: str | None
    url: str
    body: Json


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row: an HTTP answer, or (status 0) the reason why it was never sent."""

    row: Row
    number: int
    status: int
    body: Any = None
    code: str = ""
    message: str = ""

    @property
    def good(self) -> bool:
        """Whether the row was answered."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the family of HTTP's good answers


@dataclass(frozen=True, slots=True)
class Line:
    """One row's result as its provider writes it."""

    good: bool
    raw: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a whole batch failed; `line` counts from 1 and is None where no line is to blame."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How many seconds a batch spends in each stage."""

    validating: float = 20.0
    running: float = 40.0
    finalizing: float = 10.0
    cancelling: float = 10.0


@dataclass(slots=True)
class Batch:
    """A batch in OpenAI's stages, whatever words its provider uses.

    `share` is how much of it will ever run, `leap` whether the clock leaps to the window's end then,
    `base` how many rows were done when it last began to run, `extra` what only one provider knows.
    """

    id: str
    endpoint: str
    created: float
    expires: float
    pace: Pace
    input_file_id: str | None = None
    metadata: dict[str, Any] | None = None
    name: str | None = None
    model: str | None = None
    stage: str = "validating"
    times: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    failed: int = 0
    base: int = 0
    share: float = 1.0
    leap: bool = False
    problem: Problem | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    tokens: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    extra: Json = field(default_factory=dict)
