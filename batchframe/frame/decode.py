"""Result files become one outcome per row, whatever the files hold.

Lines may be shuffled, doubled, cut off, unknown or missing: every row of the part comes out exactly
once, as an answer or as an error. A success beats an error, and the first success beats later ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batchframe.frame.parse import parse
from batchframe.frame.schema import ResponseSchema
from batchframe.model import Reply, RowError

Decode = Callable[[Mapping[str, Any]], Reply]
Price = Callable[[Reply], Decimal | None]

CHUNK = 20_000

SCHEMA: Any = pl.Schema(
    {
        "row": pl.Int64,
        "custom_id": pl.String,
        "part": pl.Int32,
        "ok": pl.Boolean,
        "response": pl.String,
        "embedding": pl.List(pl.Float32),
        "error_code": pl.String,
        "error_message": pl.String,
        "retryable": pl.Boolean,
        "model": pl.String,
        "finish_reason": pl.String,
        "input_tokens": pl.Int64,
        "cached_tokens": pl.Int64,
        "cache_write_tokens": pl.Int64,
        "output_tokens": pl.Int64,
        "reasoning_tokens": pl.Int64,
        "cost_usd": pl.Decimal(38, 18),
        "price_source": pl.String,
        "request_id": pl.String,
        "attempts": pl.Int64,
        "latency": pl.Float64,
        "body": pl.String,
    }
)
"""One decoded row; `parsed` follows when the job has a response model."""


def outputs_file(number: int) -> str:
    """Name the file that holds a part's outcomes."""
    return f"part-{number:04d}.outputs.parquet"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a part's lines are read: its dialect, its price, its response model, its absent rows.

    `absent` is the error of a row for which no line came.
    """

    part: int
    decode: Decode
    price: Price
    price_source: str | None
    schema: ResponseSchema | None
    absent: RowError


@dataclass(frozen=True, slots=True)
class Reading:
    """What was odd about the files: lines that could not be read, and lines of unknown rows."""

    damaged: int = 0
    foreign: int = 0
    doubled: int = 0


def decode_part(requests: Path, files: Iterable[Path], out: Path, how: Decoding) -> Reading:
    """Read a part's result files and write its outcomes, all rows or nothing.

    Args:
        requests: The part's requests, which say what rows there are.
        files: Result and error files, or the journal.
        out: The Parquet file to make (`SCHEMA`).
        how: How to read a line.

    Returns:
        What was odd.
    """
    table = pq.read_table(requests, columns=["custom_id", "row"])
    rows = dict(zip(*(table[name].to_pylist() for name in ("custom_id", "row")), strict=True))
    growing = out.with_name(out.name + ".tmp")
    settled: dict[str, bool] = {}
    counts = {"damaged": 0, "foreign": 0, "doubled": 0}
    schema = _arrow(how.schema)
    with pq.ParquetWriter(growing, schema, compression="zstd") as writer:
        for replies in _batched(_replies(files, rows, settled, counts, how.decode)):
            writer.write_table(_frame(replies, rows, how).to_arrow().cast(schema))
        missing = (Reply(i, error=how.absent) for i in rows if i not in settled)
        for replies in _batched(missing):
            writer.write_table(_frame(replies, rows, how).to_arrow().cast(schema))
    if counts["doubled"]:
        _keep_best(growing)
    growing.replace(out)
    return Reading(**counts)


def _replies(
    files: Iterable[Path],
    rows: Mapping[str, int],
    settled: dict[str, bool],
    counts: dict[str, int],
    decode: Decode,
) -> Iterator[Reply]:
    """Give the replies that count; a later success after an error comes too, to be chosen later."""
    for path in files:
        with path.open("rb") as file:
            for raw in file:
                line = _line(raw)
                if line is None:
                    counts["damaged"] += bool(raw.strip())
                    continue
                reply = decode(line)
                if reply.custom_id not in rows:
                    counts["foreign"] += 1
                    continue
                before = settled.get(reply.custom_id)
                good = reply.error is None
                if before is not None:
                    counts["doubled"] += 1
                    if before or not good:
                        continue
                settled[reply.custom_id] = good
                yield reply


def _line(raw: bytes) -> Mapping[str, Any] | None:
    try:
        line = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return None
    named = isinstance(line, dict) and isinstance(line.get("custom_id"), str)
    return line if named else None


def _batched(replies: Iterable[Reply]) -> Iterator[list[Reply]]:
    batch: list[Reply] = []
    for reply in replies:
        batch.append(reply)
        if len(batch) >= CHUNK:
            yield batch
            batch = []
    if batch:
        yield batch


def _frame(replies: list[Reply], rows: Mapping[str, int], how: Decoding) -> pl.DataFrame:
    """Give the outcomes of some replies as a frame."""
    frame = pl.DataFrame(
        [_record(reply, rows[reply.custom_id], how) for reply in replies],
        schema=SCHEMA,
        orient="row",
    )
    return frame if how.schema is None else _with_parsed(frame, how.schema)


def _record(reply: Reply, row: int, how: Decoding) -> tuple[Any, ...]:
    error, usage = reply.error, reply.usage
    body = None if reply.body is None else orjson.dumps(reply.body).decode()
    return (
        row, reply.custom_id, how.part, error is None, reply.text, reply.embedding,
        error.code if error else None, error.message if error else None,
        error.retryable if error else None, reply.model, reply.finish_reason,
        usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning,
        how.price(reply), how.price_source, reply.request_id, reply.attempts, reply.latency, body,
    )  # fmt: skip


def _with_parsed(frame: pl.DataFrame, schema: ResponseSchema) -> pl.DataFrame:
    """Add the typed answers; an answer that does not fit becomes a row error, its text stays."""
    texts = frame.select(pl.when("ok").then("response")).to_series()
    parsed = parse(texts, schema)
    codes, messages, oks = [], [], []
    columns = ("error_code", "error_message", "ok", "response")
    for fault, (code, message, good, text) in zip(
        parsed.errors, frame.select(columns).iter_rows(), strict=True
    ):
        found = fault
        if found is None and good and text is None:
            found = RowError("invalid_response", "the answer holds no text")
        codes.append(found.code if found else code)
        messages.append(found.message if found else message)
        oks.append(good and found is None)
    return frame.with_columns(
        pl.Series("error_code", codes, pl.String),
        pl.Series("error_message", messages, pl.String),
        pl.Series("retryable", frame["retryable"], pl.Boolean),
        pl.Series("ok", oks, pl.Boolean),
        parsed.values.alias("parsed"),
    ).with_columns(
        pl.when(pl.col("error_code") == "invalid_response")
        .then(pl.lit(value=False))
        .otherwise("retryable")
        .alias("retryable")
    )


def _arrow(schema: ResponseSchema | None) -> pa.Schema:
    columns: dict[str, Any] = dict(SCHEMA)
    if schema is not None:
        columns["parsed"] = schema.dtype
    return pl.DataFrame(schema=columns).to_arrow().schema


def _keep_best(path: Path) -> None:
    """Keep one outcome a row: the success where there is one."""
    frame = pl.read_parquet(path, memory_map=False)
    best = frame.sort("ok", descending=True, maintain_order=True).unique("row", keep="first")
    best.sort("row").write_parquet(path)
