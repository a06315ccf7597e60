"""What a dialect is: how one provider writes a request's line and a result's line, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchframe.model import Endpoint, Json, Reply

Line = Callable[[str, Endpoint, Json], Json]
"""(custom_id, endpoint, OpenAI body with its model) -> one line of the provider's batch file."""

Decode = Callable[[Mapping[str, Any]], Reply]
"""One parsed line of a result file -> the row's outcome in OpenAI terms; it raises nothing."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One provider's batch lines.

    Args:
        name: The word for it in docs and golden files.
        line: Writes a request's line.
        decode: Reads a result's line.
        verbatim: The line holds the body's members as they are, in their order, after the model or
            without it; so the encoder may run `line` once for a whole file.
        rewrites: Top-level members of a body that `line` renames, drops or changes all the same: a
            body that has one is written by itself.
        typical: Result lines may be OpenAI's own: one that fits `dialects.answers` is read by those
            types, and `decode` would say the same of it.
        ids: Members of a result's line that may hold its id, the first that is text counts.
    """

    name: str
    line: Line
    decode: Decode
    verbatim: bool = False
    rewrites: frozenset[str] = frozenset()
    typical: bool = False
    ids: tuple[str, ...] = ("custom_id",)
