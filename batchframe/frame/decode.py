"""Result files become one outcome per row, whatever the files hold.

Lines may be shuffled, doubled, cut off, unknown or missing: every row of the part comes out exactly
once, as an answer or as an error. A success beats an error, the first success beats later ones, the last error earlier ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from batchframe.dialects import normal
from batchframe.dialects.dialect import Dialect
from batchframe.frame import fitting
from batchframe.frame.cutting import Cut, Cutter, lines_of
from batchframe.frame.fitting import Costs
from batchframe.frame.opened import opened
from batchframe.frame.reading import said
from batchframe.frame.roll import Roll, Rows
from batchframe.ledger.workspace import settle
from batchframe.model import Reply, RowError, Usage
from batchframe.redact import redact, redact_json

Price = Callable[[Reply], Decimal | None]
"""What a reply cost; it may look at the reply's model and usage only."""

_Record = tuple[Any, ...]

CHUNK = 15_000
"""Rows held at a time."""

CHUNK_BYTES = 12 << 20
"""Bytes of lines held at a time, where lines are long; as many again wait to be written."""

HEAVY = 4
"""A line that does not fit OpenAI's own types takes so many times the memory of one that does."""

READ_BYTES = 4 << 20
"""Bytes of lines that are read at a time."""

PIECE = 1_000
"""Answers turned into columns at a time."""

_PARQUET: Mapping[str, Any] = {
    "compression": "lz4", "write_statistics": False,
    "use_dictionary": ["model", "finish_reason", "error_code", "error_message", "price_source"],
}  # fmt: skip
"""Bodies and ids are all different: a dictionary of them would only be built and thrown away."""

_PRICES = 100_000
_CENT = Decimal("1e-18")
_MOST_DOLLARS = Decimal("1e19")
_EXACT = Context(prec=60)

TOLD = "as the provider counted it"
"""The source of a price that came with its answer."""

_COLUMNS: Mapping[str, Any] = {
    "row": pl.Int64,
    "custom_id": pl.String,
    "part": pl.Int32,
    "ok": pl.Boolean,
    "response": pl.String,
    "embedding": pl.List(pl.Float32),
    "error_code": pl.String,
    "error_message": pl.String,
    "error_status": pl.Int64,
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
    "extra": pl.String,
}

SCHEMA = pl.Schema(_COLUMNS)
"""One decoded row, before a response model has judged it (`judge.py`).

`body` of an answer is in OpenAI's normal form (`dialects.normal`), and `extra` holds what had no place
in it, as JSON; null where nothing was left over. The body of an error is what the provider sent.
"""


def outputs_file(number: int) -> str:
    """Name the file that holds a part's outcomes.

    >>> outputs_file(7)
    'part-0007.outputs.parquet'
    """
    return f"part-{number:04d}.outputs.parquet"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a part's lines are read: its dialect, its price, its absent rows.

    `absent` is the error of a row for which no line came; None: such rows are left out. `costs` says
    for many answers at once what `price` says of each; None: they are priced one by one.
    """

    part: int
    dialect: Dialect
    price: Price
    price_source: str | None
    absent: RowError | None
    costs: Costs | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was odd about the files: lines that could not be read, lines of unknown rows, rows without a line."""

    damaged: int = 0
    foreign: int = 0
    doubled: int = 0
    absent: int = 0

    @property
    def remark(self) -> str:
        """What was odd about the lines, in words; empty when nothing was.

        >>> Reading(damaged=2, foreign=1).remark
        'the result files held 2 unreadable lines, 1 unknown line'
        """
        counts = ((self.damaged, "unreadable"), (self.foreign, "unknown"))
        odd = [f"{count:,} {what} line{'s' * (count > 1)}" for count, what in counts if count]
        return f"the result files held {', '.join(odd)}" if odd else ""


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
    roll, damaged, absent = Roll.read(requests), 0, 0
    growing = out.with_name(out.name + ".tmp")
    cutter = Cutter() if how.dialect.typical else None
    with _Writer(growing, how) as writer:
        for path in files:
            for lines in _read(path, cutter):
                damaged += _take(lines, roll, how, writer)
        if how.absent is not None:
            for custom_id, row in roll.absent():
                absent += 1
                writer.add(Reply(custom_id, error=how.absent), row, 0)
    if roll.doubled:
        _keep_best(growing)
    settle(growing)
    growing.replace(out)
    settle(out)
    return Reading(damaged, roll.foreign, roll.doubled, absent)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Some lines of a file: answers that were cut out of them, and the lines that are left.

    The first `size` bytes of `data` are all of them as they came.
    """

    cuts: list[Cut]
    left: list[bytes]
    data: bytes
    size: int


def _read(path: Path, cutter: Cutter | None) -> Iterator[_Lines]:
    """Read a file a piece at a time; lines that are alike are cut, where they are OpenAI's own."""
    rest = b""
    with opened(path) as file:
        while data := rest + file.read(READ_BYTES):
            size = data.rfind(b"\n") + 1
            if not size:  # a long line, or the last one without its newline
                data += file.readline()
                size = len(data)
            rest = data[size:]
            cuts, left = ([], lines_of(data[:size])) if cutter is None else cutter.cut(data, size)
            yield _Lines(cuts, left, data, size)


def _take(lines: _Lines, roll: Roll, how: Decoding, writer: _Writer) -> int:
    """Take in some lines: all at once where that says the same as one after the other.

    Returns:
        How many lines could not be read.
    """
    outcomes, damaged = _said(lines.left, how)
    if lines.cuts:
        ids = pl.concat([cut.frame["custom_id"] for cut in lines.cuts])
        numbers = np.concatenate([cut.numbers for cut in lines.cuts])
        apart = not outcomes or not ids.is_in([one.custom_id for one in outcomes]).any()
        rows = roll.admit_new(ids, numbers) if apart else None
        if rows is None:
            outcomes, damaged = _said(lines_of(lines.data[: lines.size]), how)
        else:
            writer.add_frames(
                [cut.frame for cut in lines.cuts], rows, lines.size - sum(map(len, lines.left))
            )
    _admit(outcomes, roll, writer)
    return damaged


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one line said: an answer that fits the types, or whatever the dialect makes of it."""

    custom_id: str
    size: int
    fields: fitting.Fields | None = None
    reply: Reply | None = None


def _said(lines: Iterable[bytes], how: Decoding) -> tuple[list[_Outcome], int]:
    """Read lines one by one; gives what they said, and how many said nothing that can be read."""
    outcomes: list[_Outcome] = []
    damaged = 0
    for raw in lines:
        found = fitting.fields(raw) if how.dialect.typical else None
        if found is not None:
            outcomes.append(_Outcome(found[0], len(raw), found))
            continue
        line = said(raw, how.dialect)
        damaged += line.damaged
        share = len(raw) // max(1, len(line.replies))
        outcomes += [_Outcome(reply.custom_id, share, reply=reply) for reply in line.replies]
    return outcomes, damaged


def _admit(outcomes: list[_Outcome], roll: Roll, writer: _Writer) -> None:
    """Write down what counts of what lines said."""
    found = [one.fields for one in outcomes if one.fields is not None]
    if found and len(found) == len(outcomes):
        rows = roll.admit_new(pl.Series([one.custom_id for one in outcomes], dtype=pl.String))
        if rows is not None:
            writer.add_fitting(found, rows.tolist(), sum(one.size for one in outcomes))
            return
    for one in outcomes:
        good = one.reply is None or one.reply.error is None
        row = roll.admit(one.custom_id, good=good)
        if row is None:
            continue
        if one.fields is not None:
            writer.add_fitting([one.fields], [row], one.size)
        elif one.reply is not None:
            writer.add(one.reply, row, one.size)


class _Writer:
    """Gathers outcomes and writes them a table at a time, in a thread of its own.

    A table is full when it has many rows, or when its lines were long; at most one waits to be written
    while the next one is gathered.
    """

    def __init__(self, path: Path, how: Decoding) -> None:
        self._how = how
        self._price = _remembering(how.price)
        self._costs = how.costs or fitting.one_by_one(_by_counts(self._price))
        self._file = pq.ParquetWriter(path, _ARROW, **_PARQUET)
        self._thread = ThreadPoolExecutor(1, "batchframe-decode")
        self._waiting: Future[None] | None = None
        self._clear()

    def _clear(self) -> None:
        self._records: list[_Record] = []
        self._found: list[fitting.Fields] = []
        self._rows: list[int] = []
        self._pieces: list[pl.DataFrame] = []
        self._count = 0
        self._held = 0

    def add(self, reply: Reply, row: int, size: int) -> None:
        """Take in an outcome whose line had `size` bytes."""
        self._records.append(_record(reply, row, self._how, self._price))
        self._full(size * HEAVY)

    def add_fitting(self, found: list[fitting.Fields], rows: list[int], size: int) -> None:
        """Take in answers that fit OpenAI's own types, from lines of `size` bytes in all."""
        self._found += found
        self._rows += rows
        if len(self._found) >= PIECE:
            self._gather()
        self._full(size, len(found))

    def add_frames(self, frames: list[pl.DataFrame], rows: Rows, size: int) -> None:
        """Take in answers as columns (`fitting.PIECE` without `row`), from lines of `size` bytes in all."""
        start = 0
        for frame in frames:
            those = pl.Series("row", rows[start : start + frame.height])
            self._pieces.append(frame.hstack([those])[fitting.PIECE.names()])
            start += frame.height
        self._full(size, len(rows))

    def _gather(self) -> None:
        """Turn what is there of answers into columns, while it is fresh in the processor's cache."""
        if self._found:
            self._pieces.append(fitting.columns(self._found, self._rows))
            self._found, self._rows = [], []

    def _full(self, size: int, count: int = 1) -> None:
        self._held += size
        self._count += count
        if self._held >= CHUNK_BYTES or self._count >= CHUNK:
            self._send()

    def _send(self) -> None:
        self._gather()
        if self._waiting is not None:
            self._waiting.result()
        self._waiting = self._thread.submit(self._write, self._records, self._pieces)
        self._clear()

    def _write(self, records: list[_Record], pieces: list[pl.DataFrame]) -> None:
        for table in self._tables(records, pieces):
            self._file.write_table(table)

    def _tables(self, records: list[_Record], pieces: list[pl.DataFrame]) -> list[pa.Table]:
        """Give what is gathered as it is written."""
        how, made = self._how, []
        if pieces:
            alike = {"part": how.part, "ok": True, "price_source": how.price_source}
            made.append(fitting.table(pieces, SCHEMA, self._costs, alike))
        if records:
            made.append(_frame(records))
        return [frame.to_arrow().cast(_ARROW) for frame in made]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._gather()
                # the last table is made here while the one before it is written there
                tables = self._tables(self._records, self._pieces)
                if self._waiting is not None:
                    self._waiting.result()
                for table in tables:
                    self._file.write_table(table)
        finally:
            self._thread.shutdown()
            self._file.close()


def ids_in(path: Path, dialect: Dialect) -> Iterator[str]:
    """Give the ids of a result file's lines as they come; lines that cannot be read are passed over.

    Args:
        path: The file.
        dialect: Its words.
    """
    with opened(path) as file:
        for raw in file:
            yield from (reply.custom_id for reply in said(raw, dialect).replies)


def _record(reply: Reply, row: int, how: Decoding, price: Price) -> _Record:
    """Make a reply one row of `SCHEMA`: flat, so that parsed bodies can go."""
    error, usage = reply.error, reply.usage
    body, extra, finish = reply.body, None, reply.finish_reason
    if error is not None:
        reply, body = _clean(reply, error), redact_json(body)
        error, finish = reply.error, reply.finish_reason
    elif body is not None:
        body, extra = normal.normalised(body)
        finish = None if finish is None else normal.finish_reason(finish)
    return (
        row, reply.custom_id, how.part, error is None, reply.text, reply.embedding,
        error.code if error else None, error.message if error else None,
        reply.status if error else None,
        error.retryable if error else None, reply.model, finish,
        usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning,
        price(reply), how.price_source if reply.cost is None else TOLD, reply.request_id,
        reply.attempts, reply.latency, _text(body), _text(extra),
    )  # fmt: skip


def _clean(reply: Reply, error: RowError) -> Reply:
    """Give a failed reply without credentials: any of its words may be the provider's own."""
    words: dict[str, Any] = {
        name: redact(said)
        for name in ("model", "finish_reason", "request_id")
        if (said := getattr(reply, name)) is not None
    }
    told = replace(error, code=redact(error.code), message=redact(error.message))
    return replace(reply, error=told, **words)


def _remembering(price: Price) -> Price:
    """Price each combination of tokens once: answers of a job repeat them."""
    known: dict[Any, Decimal | None] = {}

    def remembered(reply: Reply) -> Decimal | None:
        if reply.cost is not None:
            return _money(reply.cost)
        key = (reply.model, reply.usage)
        if key not in known:
            if len(known) >= _PRICES:
                known.clear()
            known[key] = _money(price(reply))
        return known[key]

    return remembered


def _by_counts(price: Price) -> Callable[[Any], Decimal | None]:
    """Price a model and counts as `fitting.COUNTS` has them."""

    def priced(key: tuple[Any, ...]) -> Decimal | None:
        model, input_, cached, written, output, reasoning = key
        usage = Usage(input_, output, cached, reasoning, written)
        return price(Reply("", model=model, usage=usage))

    return priced


def _money(price: Decimal | None) -> Decimal | None:
    """Bring a price to what the column holds; one that has no room there is unknown."""
    if price is None or not price.is_finite() or abs(price) >= _MOST_DOLLARS:
        return None
    return price.quantize(_CENT, context=_EXACT)


def _text(body: Any) -> str | None:
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
        pq.ParquetWriter(thinned, source.schema_arrow, **_PARQUET) as writer,
    ):
        for number in range(source.num_row_groups):
            piece = source.read_row_group(number)
            writer.write_table(piece.filter(kept.slice(start, piece.num_rows).to_arrow()))
            start += piece.num_rows
    thinned.replace(path)
