"""Requests become the provider's batch file, line by line, through the pure dialect.

A dialect that puts the body into its line as it is runs once for a whole file: its line for a
placeholder is cut where the placeholders stand, and Polars fills the pieces. Any other dialect, and
any body that it would rewrite, goes row by row. Both ways give the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import polars as pl
import pyarrow.parquet as pq

from batchframe.dialects.dialect import Dialect
from batchframe.frame import exact
from batchframe.ledger.workspace import settle
from batchframe.model import Endpoint

CHUNK = 500
"""Rows read at a time where each is dumped by itself: more of them would only hold memory."""

PIECE_ROWS = 10_000
"""Rows filled at a time, of ordinary length."""

PIECE_BYTES = 8 << 20
"""Bytes of bodies filled at a time, where rows are long; filling holds about three times as many."""

LINE_OVERHEAD = 160
"""Bytes that id, method and url add to a body on the wire, rounded up; the model's name comes on top."""

_ID, _MEMBER = "--the-id--", "--the-members--"


def write_wire(
    requests: Path, wire: Path, *, model: str, dialect: Dialect, endpoint: Endpoint
) -> int:
    """Write a part's wire file; it appears under its name only when it is complete.

    Args:
        requests: The part's Parquet file (`frame.requests.SCHEMA`).
        wire: The JSONL file to make.
        model: The model's name as the provider knows it.
        dialect: The words of the provider's files.
        endpoint: What the bodies are for.

    Returns:
        Bytes written.
    """
    growing = wire.with_name(wire.name + ".tmp")
    with growing.open("wb") as out, pq.ParquetFile(requests) as source:
        stencil = Stencil.cut(model, dialect, endpoint)
        if stencil is None:
            _row_by_row(source, out, model, dialect, endpoint)
        else:
            for piece in _pieces(source):
                out.write(_filled(piece, stencil, model, dialect, endpoint))
        out.flush()
        os.fsync(out.fileno())
        size = out.tell()
    growing.replace(wire)
    settle(wire)
    return size


def encode_line(
    custom_id: str, body: str, model: str, dialect: Dialect, endpoint: Endpoint
) -> bytes:
    """Give one wire line, without its newline.

    Args:
        custom_id: The row's id.
        body: The OpenAI body as JSON text, without a model.
        model: The model's name as the provider knows it.
        dialect: The words of the provider's files.
        endpoint: What the body is for.
    """
    return exact.dumps(
        dialect.line(custom_id, endpoint, {"model": model, **exact.loads(body.encode())})
    )


def line_bytes(model: str, dialect: Dialect, endpoint: Endpoint) -> pl.Expr:
    """Give the bytes of each row's line, its newline included.

    Args:
        model: The model's name as the provider knows it.
        dialect: The words of the provider's files.
        endpoint: What the bodies are for.

    Returns:
        Int64 over `custom_id` and `body`: exact where the dialect passes a body on as it is, else
        the most that the line can have.
    """
    most = pl.col("body").str.len_bytes().cast(pl.Int64) + len(model.encode()) + LINE_OVERHEAD
    stencil = Stencil.cut(model, dialect, endpoint)
    if stencil is None:
        return most
    texts = pl.col("custom_id").str.len_bytes() + pl.col("body").str.len_bytes()
    exact = texts.cast(pl.Int64) + stencil.constant - len("{}")
    return pl.when(_by_itself(dialect)).then(most).otherwise(exact)


def _row_by_row(
    source: pq.ParquetFile, out: BinaryIO, model: str, dialect: Dialect, endpoint: Endpoint
) -> None:
    for batch in source.iter_batches(batch_size=CHUNK, columns=["custom_id", "body"]):
        for custom_id, body in pl.DataFrame(batch).iter_rows():
            out.write(encode_line(custom_id, body, model, dialect, endpoint))
            out.write(b"\n")


def _pieces(source: pq.ParquetFile) -> Iterator[pl.DataFrame]:
    """Read rows in pieces of bounded size, whatever the length of a row."""
    for number in range(source.num_row_groups):
        group = source.metadata.row_group(number)
        each = max(1, group.total_byte_size // max(1, group.num_rows))
        rows = max(1, min(PIECE_ROWS, PIECE_BYTES // each))
        batches = source.iter_batches(rows, row_groups=[number], columns=["custom_id", "body"])
        yield from map(pl.DataFrame, batches)


def _by_itself(dialect: Dialect) -> pl.Expr:
    """Say which bodies the dialect's line function must see: empty ones, and ones it rewrites.

    A name inside a text is never taken for a member: its quotes are escaped there. A member further
    inside is, and then the line is the same as filled.
    """
    bare = pl.col("body") == "{}"  # no member to put after the model's comma
    names = [f'"{name}":' for name in sorted(dialect.rewrites)]
    return bare | pl.col("body").str.contains_any(names) if names else bare


def _filled(
    piece: pl.DataFrame, stencil: Stencil, model: str, dialect: Dialect, endpoint: Endpoint
) -> memoryview:
    """Give the lines of some rows as they stand in the file."""
    lines = stencil.lines()
    odd = piece.select(_by_itself(dialect)).to_series()
    if odd.any():
        rows = zip(piece["custom_id"], piece["body"], odd, strict=True)
        dumped = [
            encode_line(custom_id, body, model, dialect, endpoint).decode() + "\n" if it else None
            for custom_id, body, it in rows
        ]
        lines = pl.coalesce(pl.Series(dumped, dtype=pl.String), lines)
    return _bytes_of(piece.select(lines).to_series())


@dataclass(frozen=True, slots=True)
class Stencil:
    """A line of one dialect and model, cut where the id and the body's members stand.

    `texts` are the line's own words, one more than there are `places`.
    """

    texts: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def cut(cls, model: str, dialect: Dialect, endpoint: Endpoint) -> Stencil | None:
        """Run the dialect's line function on placeholders.

        Args:
            model: The model's name as the provider knows it.
            dialect: The words of the provider's files.
            endpoint: What the bodies are for.

        Returns:
            None where the dialect does not pass bodies on as they are, or the placeholders cannot
            be told from the line's own words.
        """
        if not dialect.verbatim:
            return None
        raw = orjson.dumps(dialect.line(_ID, endpoint, {"model": model, _MEMBER: 0})).decode()
        texts, places = _PLACES.split(raw)[::2], _PLACES.findall(raw)
        if sorted(places) != sorted(_FILLED_BY):
            return None
        return cls((*texts[:-1], texts[-1] + "\n"), tuple(places))

    @property
    def constant(self) -> int:
        """The bytes of a line besides its id and its body's members."""
        return len("".join(self.texts).encode()) + len('""')

    def lines(self) -> pl.Expr:
        """Give the lines of rows, newlines included.

        They need `custom_id`, of characters that JSON leaves as they are, and `body`, compact JSON
        objects of at least one member.
        """
        pieces = [pl.lit(self.texts[0])]
        for place, text in zip(self.places, self.texts[1:], strict=True):
            pieces += [_FILLED_BY[place], pl.lit(text)]
        return pl.concat_str(pieces)


_PLACES = re.compile(f'("{_ID}"|"{_MEMBER}":0)')
_FILLED_BY = {
    f'"{_ID}"': pl.concat_str(pl.lit('"'), "custom_id", pl.lit('"')),
    f'"{_MEMBER}":0': pl.col("body").str.strip_prefix("{").str.strip_suffix("}"),
}
"""What stands in a line where its placeholders stood."""


def _bytes_of(texts: pl.Series) -> memoryview:
    """Give texts as the one Arrow buffer that holds them all, one behind the other."""
    arrow: Any = texts.to_arrow()
    offsets = memoryview(arrow.buffers()[1]).cast("q")
    start, end = offsets[arrow.offset], offsets[arrow.offset + len(arrow)]
    return memoryview(arrow.buffers()[2])[start:end]
