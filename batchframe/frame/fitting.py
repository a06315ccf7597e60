"""Lines that fit OpenAI's own types become columns, with no dictionary of theirs in between.

They are answers by definition, and their bodies are in the normal form as they stand; what does not
fit is none of this file's business. Costs are worked out for all rows of a table at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from batchframe.dialects.answers import MISFITS, Chat, body_of, read

Fields = tuple[Any, ...]
"""(custom_id, text, vector, model, finish_reason, the five counts, request id, body as bytes)."""

COUNTS = (
    "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip

Costs = Callable[[pl.DataFrame], pl.Series]
"""What rows cost: a frame with `model` (String) and `COUNTS` (Int64) -> Decimal(38, 18) USD, null
where unknown."""

_CLOSED, _BEGUN = b'}},"error":null}\n', b'"body":'
_CLOSED_WIDE, _BEGUN_WIDE = b'}}, "error": null}\n', b'"body": '
"""How a body ends and begins in a line: as compact writers have it, and as Python's own does."""


def fields(raw: bytes) -> Fields | None:
    """Read one line.

    Args:
        raw: The line, newline and all.

    Returns:
        None when it does not fit.
    """
    try:
        line = read(raw)
    except MISFITS:
        return None
    response = line.response
    body = response.body
    request = response.request_id or line.id or None
    if not isinstance(body, Chat):
        return (
            line.custom_id, None, body.data[0].embedding, body.model or None, None,
            body.usage.prompt_tokens, None, None, None, None, request, _cut(raw),
        )  # fmt: skip
    choice, usage = body.choices[0], body.usage
    cached = written = reasoning = None
    if (inside := usage.prompt_tokens_details) is not None:
        cached, written = inside.cached_tokens, inside.cache_write_tokens
    if (outside := usage.completion_tokens_details) is not None:
        reasoning = outside.reasoning_tokens
    return (
        line.custom_id, choice.message.content, None, body.model or None, choice.finish_reason,
        usage.prompt_tokens, cached, written, usage.completion_tokens, reasoning, request,
        _cut(raw),
    )  # fmt: skip


def _cut(raw: bytes) -> bytes:
    """Cut the body out of a line that fits, as it is written there.

    In such a line a quote that is not escaped begins or ends a string, and only one member is called
    `body`, the one object in `response`: behind its name it begins, and where the line ends as usual it
    ends there. A member that stands twice is seen to by `bodies`; any other line is read once more.
    """
    if raw.endswith(_CLOSED):
        start = raw.find(_BEGUN)
        if start >= 0:
            return raw[start + len(_BEGUN) : 1 - len(_CLOSED)]
    elif raw.endswith(_CLOSED_WIDE):
        start = raw.find(_BEGUN_WIDE)
        if start >= 0:
            return raw[start + len(_BEGUN_WIDE) : 1 - len(_CLOSED_WIDE)]
    return body_of(raw)


_COLUMNS: Mapping[str, Any] = {
    "custom_id": pl.String, "response": pl.String, "model": pl.String, "finish_reason": pl.String,
    "request_id": pl.String, "row": pl.Int64, **dict.fromkeys(COUNTS, pl.Int64),
    "embedding": pl.List(pl.Float32), "body": pl.String,
}  # fmt: skip

PIECE = pl.Schema(_COLUMNS)
"""Some answers as columns, before what can be said of many more at once."""


def columns(found: Sequence[Fields], rows: Sequence[int]) -> pl.DataFrame:
    """Give some answers as columns (`PIECE`).

    Args:
        found: What `fields` gave, one at least.
        rows: Their rows.
    """
    ids, texts, vectors, models, ends, *counts, requests, written = zip(*found, strict=True)
    bodies = pl.Series("body", written, pl.Binary).cast(pl.String)
    made: dict[str, Any] = {
        "custom_id": ids, "response": texts, "model": models, "finish_reason": ends,
        "request_id": requests, "row": rows, **dict(zip(COUNTS, counts, strict=True)),
        "embedding": vectors, "body": _last(bodies),
    }  # fmt: skip
    return pl.DataFrame([pl.Series(name, made[name], kind) for name, kind in PIECE.items()])


def table(
    pieces: Sequence[pl.DataFrame],
    schema: Mapping[str, pl.DataType],
    costs: Costs,
    alike: Mapping[str, object],
) -> pl.DataFrame:
    """Give answers as a whole table.

    Args:
        pieces: Frames of the columns of `PIECE`, one at least.
        schema: The table's columns; those that answers do not have are null.
        costs: What they cost.
        alike: Columns that have one value in every row.
    """
    whole = pl.concat(pieces)
    known = {"cost_usd": costs(whole[["model", *COUNTS]])}
    # put together column by column: a query plan would take longer than what it does
    columns = [
        whole[name]
        if name in PIECE
        else known[name].alias(name)
        if name in known
        else pl.Series(name, [alike.get(name)], kind).new_from_index(0, whole.height)
        for name, kind in schema.items()
    ]
    return pl.DataFrame(columns)


_TWICE = ['"body"', *(rf"\u00{digits}" for digits in ("62", "6f", "6F", "64", "79"))]
"""The word, and escapes of its letters, any of which may stand in the word instead."""


def _last(bodies: pl.Series) -> pl.Series:
    """Look again at bodies that hold the word `body`, escaped or not: the member may have stood twice.

    Args:
        bodies: Texts from the first `body` to the end of `response`; of two, the last one counts.
    """
    odd = bodies.str.contains_any(_TWICE)
    if not odd.any():
        return bodies
    head = b'{"custom_id":"","response":{"status_code":200,"body":'
    again = [
        body_of(head + text.encode() + b"}}").decode() if it else None
        for text, it in zip(bodies, odd, strict=True)
    ]
    return bodies.zip_with(~odd, pl.Series(again, dtype=pl.String))


def one_by_one(price: Callable[[Any], Decimal | None]) -> Costs:
    """Give costs from a function that prices one row, asked once for each combination.

    Args:
        price: (model, the counts in the order of `COUNTS`) -> USD.
    """

    def costs(rows: pl.DataFrame) -> pl.Series:
        keys = rows.select("model", *COUNTS).rows()
        return pl.Series([price(key) for key in keys], dtype=pl.Decimal(38, 18))

    return costs
