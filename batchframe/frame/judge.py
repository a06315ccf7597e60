"""The response model judges answers when they are read, so an edited model needs their texts and nothing else.

What is kept on disk is what the provider said. Whether an answer fits, and what it is typed as, is
found anew by every reader with the model it has at hand.
"""

from __future__ import annotations

import polars as pl

from batchframe.frame.parse import parse
from batchframe.frame.schema import ResponseSchema
from batchframe.model import RowError

CHUNK = 20_000
"""Rows judged at a time: while they are, their answers are Python objects."""

NEEDED = ("ok", "response", "error_code", "error_message", "retryable")
"""What a verdict is made of."""


def judged(outputs: pl.DataFrame, schema: ResponseSchema) -> pl.DataFrame:
    """Add the typed answers; an answer that does not fit becomes a row error, its text stays.

    Args:
        outputs: Outcomes as decoded, with at least the columns `NEEDED`.
        schema: The response model.

    Returns:
        The same rows with `parsed`, and errors where the model does not fit.
    """
    pieces = [_judged(piece, schema) for piece in outputs.iter_slices(CHUNK)]
    return pl.concat(pieces) if pieces else _judged(outputs, schema)


def _judged(frame: pl.DataFrame, schema: ResponseSchema) -> pl.DataFrame:
    texts = frame.select(pl.when("ok").then("response")).to_series()
    parsed = parse(texts, schema)
    wordless = RowError("invalid_response", "the answer holds no text")
    faults = [
        wordless if fault is None and good and text is None else fault
        for fault, good, text in zip(parsed.errors, frame["ok"], frame["response"], strict=True)
    ]
    found = pl.DataFrame(
        [(f.code, f.message, f.retryable) if f else (None, None, None) for f in faults],
        schema={"code": pl.String, "message": pl.String, "again": pl.Boolean},
        orient="row",
    )
    fits = found["code"].is_null()
    return frame.with_columns(
        ok=frame["ok"] & fits,
        error_code=pl.when(fits).then("error_code").otherwise(found["code"]),
        error_message=pl.when(fits).then("error_message").otherwise(found["message"]),
        retryable=pl.when(fits).then("retryable").otherwise(found["again"]),
        parsed=parsed.values,
    )
