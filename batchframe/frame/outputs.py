"""One row per request over all parts: the best outcome of each row, with everything it cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Context, Decimal
from pathlib import Path

import polars as pl

from batchframe.frame.decode import SCHEMA
from batchframe.frame.judge import NEEDED, judged
from batchframe.frame.parts import UNSENT
from batchframe.frame.schema import ResponseSchema
from batchframe.ledger.events import ErrorGroup, PriceKnown

_SUMMED = (
    "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "cost_usd", "attempts",
)  # fmt: skip
"""What every try adds to: a row that was asked twice cost twice."""

_COUNTED = ("row", "part", "ok", "error_code", "error_message", "retryable")

BULKY = (*(name for name in SCHEMA if name not in _COUNTED), "parsed")
"""Columns that count for nothing where only outcomes are counted."""

_EXACT = Context(prec=60)
"""Wide enough that no sum of Decimal(38, 18) is rounded."""

_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")

_UNASKED = (
    pl.col("error_code").is_in(["cancelled", "batch_failed"]).fill_null(value=False)
    & pl.col("attempts").is_null()
    & pl.col("cost_usd").is_null()
)
"""Rows that no provider ever worked on; every other one without a cost has an unknown one."""


def merged(
    folder: Path,
    outputs: Sequence[Path],
    schema: ResponseSchema | None,
    *,
    sent: Sequence[Path] = (),
    leave_out: Collection[str] = (),
) -> pl.DataFrame:
    """Give the outcomes of all rows in row order, one a row.

    A row that several parts asked keeps its success, or else its latest error; tokens, costs and
    attempts are the sums over all tries, since all were paid.

    Args:
        folder: The job's folder.
        outputs: The decoded parts' files, in part order.
        schema: The job's response model, if any.
        sent: Requests of parts that are not decoded yet: their rows come out as `pending` errors.
        leave_out: Columns that the caller has no use for, such as the raw bodies: they stay on disk.
            Sums over tries are made only where all the columns are there that have any.
    """
    columns = dict(SCHEMA) if schema is None else {**SCHEMA, "parsed": schema.dtype}
    columns = {name: dtype for name, dtype in columns.items() if name not in leave_out}
    frames = [_read(path, columns, schema) for path in outputs]
    decoded = pl.concat([pl.DataFrame(schema=columns), *frames], how="vertical")
    if len(outputs) > 1 and decoded["row"].n_unique() < decoded.height:
        decoded = _best(decoded)
    unsent = folder / UNSENT
    if unsent.exists():
        # a row that was sent once and is too large for today's limits keeps what it got
        fresh = refused(pl.read_parquet(unsent)).join(decoded, on="row", how="anti")
        fresh = fresh.select([name for name in SCHEMA if name in columns])
        decoded = pl.concat([decoded, fresh], how="diagonal")
    for path in sent:
        waiting = pl.read_parquet(path, columns=["row", "custom_id"])
        fresh = waiting.join(decoded, on="row", how="anti")
        decoded = pl.concat([decoded, _pending(fresh)], how="diagonal")
    return decoded.select(list(columns)).sort("row")


def _read(path: Path, columns: Mapping[str, object], schema: ResponseSchema | None) -> pl.DataFrame:
    """Read a decoded part, judged by the response model if there is one."""
    asked = [name for name in SCHEMA if name in columns]
    wanted = asked if schema is None else list(dict.fromkeys([*asked, *NEEDED]))
    there = pl.read_parquet_schema(path)  # a file of before a column was thought of lacks it
    found = pl.read_parquet(path, columns=[name for name in wanted if name in there])
    absent = [pl.lit(None, SCHEMA[name]).alias(name) for name in wanted if name not in there]
    found = found.with_columns(absent).select(wanted)
    return found if schema is None else judged(found, schema).select(list(columns))


def _best(decoded: pl.DataFrame) -> pl.DataFrame:
    order = decoded.sort("ok", "part", descending=[True, True], maintain_order=True)
    best = order.unique("row", keep="first", maintain_order=True)
    return _with_sums(best, decoded) if set(_SUMMED) <= set(decoded.columns) else best


def _with_sums(best: pl.DataFrame, decoded: pl.DataFrame) -> pl.DataFrame:
    """Put the sums over all tries in the place of what the best one took."""
    unknown = pl.col("price_source").is_not_null() & pl.col("cost_usd").is_null() & ~_UNASKED
    counted = [pl.col(name).is_not_null() for name in _TOKENS]
    worked = pl.any_horizontal("ok", unknown, *counted)
    whole = {"cost_usd": ~_UNASKED, "input_tokens": worked, "output_tokens": worked}
    sums = [_sum(name, whole.get(name)) for name in _SUMMED]
    tries = decoded.group_by("row").agg(*sums)
    return best.drop(_SUMMED).join(tries, on="row", how="left").select(decoded.columns)


def _sum(name: str, among: pl.Expr | None) -> pl.Expr:
    """Add up a column's known values; where `among` is given, one unknown of those makes it unknown."""
    if among is None:
        return pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name)
    values = pl.col(name).filter(among)
    known = (values.len() > 0) & (values.null_count() == 0)
    return pl.when(known).then(values.sum()).alias(name)


def refused(unsent: pl.DataFrame) -> pl.DataFrame:
    """Give rows that were not sent as outcomes: their requests' `code: message` is what came of them.

    Args:
        unsent: `row`, `custom_id` and `error`.

    Returns:
        The columns of `decode.SCHEMA`.
    """
    cut = pl.col("error").str.splitn(": ", 2)
    found = unsent.select(
        "row",
        "custom_id",
        ok=pl.lit(value=False),
        error_code=cut.struct.field("field_0"),
        error_message=cut.struct.field("field_1"),
        retryable=pl.lit(value=False),
    )
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in SCHEMA.items() if n not in found.columns]
    return found.with_columns(absent).select(SCHEMA.names())


def _pending(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        ok=pl.lit(value=False),
        error_code=pl.lit("pending"),
        error_message=pl.lit("no answer yet"),
        retryable=pl.lit(value=False),
    )


def groups(outputs: pl.DataFrame, *, most: int = 20) -> tuple[ErrorGroup, ...]:
    """Group failed rows by cause, the most frequent first.

    Args:
        outputs: What `merged` gives.
        most: How many groups to keep.
    """
    failed = outputs.filter(~pl.col("ok"))
    found = (
        failed.group_by("error_code")
        .agg(
            pl.len().alias("count"),
            pl.col("error_message").drop_nulls().first().alias("example"),
            pl.col("retryable").any().alias("retryable"),
        )
        .sort("count", "error_code", descending=[True, False])
        .head(most)
    )
    return tuple(
        ErrorGroup(code or "error", count, (example or "")[:300], bool(retryable))
        for code, count, example, retryable in found.iter_rows()
    )


def cost(outputs: pl.DataFrame) -> tuple[Decimal | None, PriceKnown]:
    """Add up what the answers cost: the exact sum of known prices, and whether all were known.

    Args:
        outputs: What `merged` gives; rows that nobody worked on cost nothing.
    """
    sent = pl.col("part").is_not_null()
    paid = outputs.filter(sent & ~_UNASKED)  # an answer without usage cost something
    unknown = paid["cost_usd"].null_count()
    if paid.height == 0:
        return Decimal(0), "known"
    if unknown == paid.height:
        return None, "unknown"
    total = paid["cost_usd"].sum()
    return Decimal(str(total)).normalize(_EXACT), "partly" if unknown else "known"


def part_totals(path: Path, schema: ResponseSchema | None = None) -> dict[str, object]:
    """Count one decoded part for the ledger: rows, failures, tokens and the exact cost as text.

    Args:
        path: The part's outputs file.
        schema: The job's response model, if any: what does not fit it has failed.
    """
    facts = ("ok", "part", "error_code", "attempts", "cost_usd", *_TOKENS)
    frame = _read(path, dict.fromkeys(facts), schema)
    total, price = cost(frame)
    totals: dict[str, object] = {
        "done": frame.height,
        "failed": int((~frame["ok"]).sum()),
        "cost": str(total) if price == "known" else None,
        "known_cost": None if total is None else str(total),
    }
    for name in _TOKENS:
        known = frame[name].drop_nulls()
        totals[name] = int(known.sum()) if len(known) else None
    return totals
