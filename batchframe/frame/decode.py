"""Result files become one outcome per row, whatever the files hold.

Lines may be shuffled, doubled, cut off, unknown or missing: every row of the part comes out exactly
once, as an answer or as an error. A success beats an error, the first success beats later ones, the last error earlier ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow.parquet as pq

from batchframe.dialects.dialect import Decode, Dialect
from batchframe.ledger.workspace import settle
from batchframe.model import Reply, RowError
from batchframe.redact import redact_json

Price = Callable[[Reply], Decimal | None]
"""What a reply cost; it may look at the reply's model and usage only."""

_Record = tuple[Any, ...]

CHUNK = 20_000
"""Rows held at a time."""

CHUNK_BYTES = 8 << 20
"""Bytes of lines held at a time, where lines are long; a line takes about ten times its bytes here."""

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n\x0b\x0c" + _BOM
_SURROGATES = re.compile("[\ud800-\udfff]")
_PRICES = 100_000
_CENT = Decimal("1e-18")
_MOST_DOLLARS = Decimal("1e19")
_EXACT = Context(prec=60)

_COLUMNS: Mapping[str, Any] = {
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

SCHEMA = pl.Schema(_COLUMNS)
"""One decoded row, before a response model has judged it (`judge.py`)."""


def outputs_file(number: int) -> str:
    """Name the file that holds a part's outcomes.

    >>> outputs_file(7)
    'part-0007.outputs.parquet'
    """
    return f"part-{number:04d}.outputs.parquet"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a part's lines are read: its dialect, its price, its absent rows.

    `absent` is the error of a row for which no line came; None: such rows are left out.
    """

    part: int
    dialect: Dialect
    price: Price
    price_source: str | None
    absent: RowError | None


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
    record = _recorder(rows, how)
    with pq.ParquetWriter(growing, _ARROW, compression="zstd") as writer:
        answered = _replies(files, rows, settled, counts, how.dialect.decode)
        absent = ((Reply(i, error=how.absent), 0) for i in rows if how.absent and i not in settled)
        # `absent` is looked at when `answered` is through
        for records in _batched((record(r), size) for r, size in chain(answered, absent)):
            writer.write_table(_frame(records).to_arrow().cast(_ARROW))
    if counts["doubled"]:
        _keep_best(growing)
    settle(growing)
    growing.replace(out)
    settle(out)
    return Reading(**counts)


def _replies(
    files: Iterable[Path],
    rows: Mapping[str, int],
    settled: dict[str, bool],
    counts: dict[str, int],
    decode: Decode,
) -> Iterator[tuple[Reply, int]]:
    """Give the replies that count and their lines' bytes; a success may come after an error."""
    for path in files:
        with path.open("rb") as file:
            for raw in file:
                line = _line(raw)
                if line is None:
                    counts["damaged"] += bool(raw.strip(_BLANK))
                    continue
                reply = decode(line)
                if reply.custom_id not in rows:
                    counts["foreign"] += 1
                    continue
                before = settled.get(reply.custom_id)
                good = reply.error is None
                if before is not None:
                    counts["doubled"] += 1
                    if before:
                        continue
                settled[reply.custom_id] = good
                yield reply, len(raw)


def _line(raw: bytes) -> Mapping[str, Any] | None:
    """Read one line; None when it is no JSON object with an id."""
    try:
        line = orjson.loads(raw.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        line = _lenient(raw)
    named = isinstance(line, dict) and isinstance(line.get("custom_id"), str)
    return line if named else None


def ids_in(path: Path, dialect: Dialect) -> Iterator[str]:
    """Give the ids of a result file's lines as they come; lines that cannot be read are passed over.

    Args:
        path: The file.
        dialect: Its words.
    """
    with path.open("rb") as file:
        for raw in file:
            line = _line(raw)
            if line is not None:
                yield dialect.decode(line).custom_id


def _lenient(raw: bytes) -> Any:
    """Read what only Python's JSON allows: such a line is paid for all the same.

    NaN becomes null, half of a surrogate pair and a stray byte U+FFFD.
    """
    try:
        found = json.loads(raw.decode("utf-8-sig", "replace"), parse_constant=lambda _: None)
        return json.loads(_SURROGATES.sub("\ufffd", json.dumps(found, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None


def _batched(records: Iterable[tuple[_Record, int]]) -> Iterator[list[_Record]]:
    """Gather records until there are many, or until their lines were long."""
    batch: list[_Record] = []
    held = 0
    for record, size in records:
        batch.append(record)
        held += size
        if len(batch) >= CHUNK or held >= CHUNK_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _recorder(rows: Mapping[str, int], how: Decoding) -> Callable[[Reply], _Record]:
    """Give the function that makes a reply one row of `SCHEMA`: flat, so that parsed bodies can go."""
    price = _remembering(how.price)

    def record(reply: Reply) -> _Record:
        error, usage = reply.error, reply.usage
        return (
            rows[reply.custom_id], reply.custom_id, how.part, error is None, reply.text, reply.embedding,
            error.code if error else None, error.message if error else None,
            error.retryable if error else None, reply.model, reply.finish_reason,
            usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning,
            price(reply), how.price_source, reply.request_id, reply.attempts, reply.latency,
            _text(reply.body if error is None else redact_json(reply.body)),
        )  # fmt: skip

    return record


def _remembering(price: Price) -> Price:
    """Price each combination of tokens once: answers of a job repeat them."""
    known: dict[Any, Decimal | None] = {}

    def remembered(reply: Reply) -> Decimal | None:
        key = (reply.model, reply.usage)
        if key not in known:
            if len(known) >= _PRICES:
                known.clear()
            known[key] = _money(price(reply))
        return known[key]

    return remembered


def _money(price: Decimal | None) -> Decimal | None:
    """Bring a price to what the column holds; one that has no room there is unknown."""
    if price is None or not price.is_finite() or abs(price) >= _MOST_DOLLARS:
        return None
    return price.quantize(_CENT, context=_EXACT)


def _text(body: Mapping[str, Any] | None) -> str | None:
    """Give a body as JSON text; None where it is nested too deeply for any writer."""
    if body is None:
        return None
    try:
        return orjson.dumps(body).decode()
    except TypeError:
        pass  # whole numbers of more than 64 bits, or more than 254 levels
    try:
        return json.dumps(body, ensure_ascii=False)
    except RecursionError:
        return None


def _frame(records: list[_Record]) -> pl.DataFrame:
    """Give some records as a frame."""
    columns = zip(*records, strict=True)
    return pl.DataFrame(
        [
            pl.Series(name, values, dtype)
            for (name, dtype), values in zip(SCHEMA.items(), columns, strict=True)
        ]
    )


_ARROW = pl.DataFrame(schema=SCHEMA).to_arrow().schema


def _keep_best(path: Path) -> None:
    """Keep one outcome a row: the success where there is one, else the last error.

    Only rows and their success are looked at as a whole; the answers pass through in the pieces in
    which they were written.
    """
    tries = pl.read_parquet(path, columns=["row", "ok"], memory_map=False).with_row_index("place")
    best = tries.sort("ok", maintain_order=True).unique("row", keep="last")["place"]
    kept = tries["place"].is_in(best.implode())
    thinned, start = path.with_name(path.name + ".best"), 0
    with (
        pq.ParquetFile(path) as source,
        pq.ParquetWriter(thinned, source.schema_arrow, compression="zstd") as writer,
    ):
        for number in range(source.num_row_groups):
            piece = source.read_row_group(number)
            writer.write_table(piece.filter(kept.slice(start, piece.num_rows).to_arrow()))
            start += piece.num_rows
    thinned.replace(path)
