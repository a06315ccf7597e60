"""Answers back onto the frame: the same rows in the same order, with our columns after theirs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from batchframe.errors import ColumnError
from batchframe.frame.requests import custom_ids, position_ids
from batchframe.frame.schema import ResponseSchema

CHAT_COLUMNS = (
    "response", "parsed", "error", "model", "finish_reason", "input_tokens", "cached_tokens",
    "output_tokens", "reasoning_tokens", "cost_usd",
)  # fmt: skip
UNUSED = ("body", "extra", "request_id", "latency")
"""Columns of outputs that no result shows: large ones, mostly."""

EMBEDDING_COLUMNS = ("embedding", "error", "model", "input_tokens", "cost_usd")


def added_columns(*, embedding: bool, parsed: bool, prefix: str = "") -> list[str]:
    """Name the columns that `result()` adds, in order.

    Args:
        embedding: Whether the job embeds rather than asks.
        parsed: Whether it has a response model.
        prefix: Put before each name.

    >>> added_columns(embedding=True, parsed=False, prefix="e_")
    ['e_embedding', 'e_error', 'e_model', 'e_input_tokens', 'e_cost_usd']
    """
    names = EMBEDDING_COLUMNS if embedding else CHAT_COLUMNS
    return [prefix + name for name in names if name != "parsed" or parsed]


def refuse_collisions(
    columns: Collection[str], *, embedding: bool, parsed: bool, prefix: str
) -> None:
    """Refuse a frame whose own columns would be overwritten by ours.

    Raises:
        ColumnError: With the prefix that would work.
    """
    ours = added_columns(embedding=embedding, parsed=parsed, prefix=prefix)
    taken = [name for name in ours if name in columns]
    if not taken:
        return
    free = next(
        p
        for p in ("llm_", "bf_", "answer_", *(f"bf{i}_" for i in range(1, 1000)))
        if not any(
            n in columns for n in added_columns(embedding=embedding, parsed=parsed, prefix=p)
        )
    )
    names = ", ".join(repr(n) for n in taken)
    raise ColumnError(
        f"The frame already has {names}, which the result would add. "
        f'Keep both with prefix="{free}", or drop yours: df.drop({names}).'
    )


def join(
    frame: pl.DataFrame,
    outputs: pl.DataFrame,
    *,
    key: str | None,
    prefix: str,
    embedding: bool,
    schema: ResponseSchema | None,
) -> pl.DataFrame:
    """Put each row's outcome beside it.

    Args:
        frame: The user's frame.
        outputs: What `frame.outputs.merged` gives: one row a request.
        key: The column that identifies rows; None: their position.
        prefix: Put before each added name.
        embedding: Whether the job embeds.
        schema: The response model, if any.

    Returns:
        The frame with our columns after its own; rows that the job does not know get an error.
    """
    if key is None:
        ids = position_ids(pl.int_range(frame.height, eager=True))
    else:
        ids = pl.Series("custom_id", custom_ids(frame[key], key), pl.String)
    wanted = added_columns(embedding=embedding, parsed=schema is not None)
    unknown = pl.lit("missing: the job has no outcome for this row")
    text = pl.concat_str(
        pl.col("error_code").fill_null("error"),
        pl.when(pl.col("error_message").fill_null("") != "")
        .then(pl.concat_str(pl.lit(": "), "error_message"))
        .otherwise(pl.lit("")),
    )
    answers = outputs.with_columns(
        error=pl.when("ok").then(None).otherwise(text),
        cost_usd=pl.col("cost_usd").cast(pl.Float64),
        known=pl.lit(value=True),
    )
    joined = answers
    if ids.len() != answers.height or not (answers["custom_id"] == ids).all():
        joined = ids.to_frame("custom_id").join(
            answers, on="custom_id", how="left", maintain_order="left", validate="m:1"
        )
    joined = joined.with_columns(
        error=pl.when(pl.col("known").is_null()).then(unknown).otherwise("error")
    ).select(wanted)
    if embedding:
        joined = joined.with_columns(_fixed_width(joined["embedding"]))
    return frame.hstack(joined.rename({name: prefix + name for name in wanted}))


def _fixed_width(vectors: pl.Series) -> pl.Series:
    """Make vectors of one length an Array column; of several lengths they stay lists."""
    widths = vectors.list.len().drop_nulls().unique()
    if len(widths) != 1:
        return vectors
    return vectors.cast(pl.Array(pl.Float32, int(widths[0])))


def storable(schema: Mapping[str, pl.DataType]) -> list[str]:
    """Name the columns that a Parquet file can hold; Python objects are the ones it cannot."""
    return [name for name, dtype in schema.items() if dtype != pl.Object]
