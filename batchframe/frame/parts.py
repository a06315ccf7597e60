"""A job's requests on disk, cut into parts: one Parquet file a part, one for rows that are not sent.

What the provider's limits allow decides where a part ends; rows of different models never share one.
A row that no part has room for is not sent: it becomes a row error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from batchframe.frame.requests import SCHEMA
from batchframe.ledger.workspace import settle
from batchframe.model import Limits

LINE_OVERHEAD = 160
"""Bytes that id, method and url add to a body on the wire, rounded up; the model's name comes on top."""

UNSENT = "unsent.parquet"


def part_file(number: int) -> str:
    """Name the file that holds a part's requests.

    >>> part_file(7)
    'part-0007.requests.parquet'
    """
    return f"part-{number:04d}.requests.parquet"


@dataclass(frozen=True, slots=True)
class PartSize:
    """One part as it came out: its model, rows and the bytes its wire file is expected to have."""

    number: int
    model: str
    rows: int
    bytes: int


@dataclass
class PartWriter:
    """Takes requests in chunks and writes the part files; for one submit.

    Args:
        folder: Where the files go.
        limits: Model (`provider/name`) -> what one part may hold.
        first: Number of the first part.
    """

    folder: Path
    limits: Mapping[str, Limits]
    first: int = 0
    parts: list[PartSize] = field(default_factory=list)
    unsent: int = 0
    _open: dict[str, tuple[PartSize, pq.ParquetWriter]] = field(default_factory=dict)
    _unsent: pq.ParquetWriter | None = None

    def write(self, requests: pl.DataFrame) -> None:
        """Sort a chunk of requests into its parts."""
        sized = requests.with_columns(bytes=_wire_bytes())
        refused = [requests.filter(pl.col("error").is_not_null())]
        sent = sized.filter(pl.col("error").is_null())
        for chunk in sent.partition_by("model", maintain_order=True):
            model = str(chunk["model"][0])
            limits = self.limits[model]
            fits = pl.col("bytes") <= limits.bytes
            refused.append(_too_large(chunk.filter(~fits), model, limits))
            self._write_model(model, limits, chunk.filter(fits))
        self._refuse(pl.concat(refused).sort("row"))

    def _refuse(self, refused: pl.DataFrame) -> None:
        if not refused.height:
            return
        self.unsent += refused.height
        if self._unsent is None:
            path = self.folder / UNSENT
            # a retry adds to what the first submit refused
            before = pq.read_table(path) if path.exists() else None
            self._unsent = _writer(path.with_suffix(".tmp"))
            if before is not None:
                self._unsent.write_table(before.cast(_ARROW))
        self._unsent.write_table(_table(refused))

    def _write_model(self, model: str, limits: Limits, chunk: pl.DataFrame) -> None:
        """Append rows to the model's open part, and begin another where the limits end it."""
        sizes = chunk["bytes"].to_list()
        start = 0
        while start < chunk.height:
            size = self._part(model)
            end, total = start, size.bytes
            while end < chunk.height:
                rows = size.rows + end - start
                full = rows >= limits.requests or total + sizes[end] > limits.bytes
                if rows and full:  # an empty part takes its first row, so this comes to an end
                    break
                total += sizes[end]
                end += 1
            if end > start:
                writer = self._open[model][1]
                writer.write_table(_table(chunk.slice(start, end - start).select(SCHEMA.names())))
                grown = PartSize(size.number, model, size.rows + end - start, total)
                self._open[model] = (grown, writer)
            if end < chunk.height:
                self._close(model)
            start = end

    def _part(self, model: str) -> PartSize:
        if model not in self._open:
            number = self.first + len(self.parts) + len(self._open)
            writer = _writer(self.folder / part_file(number))
            self._open[model] = (PartSize(number, model, 0, 0), writer)
        return self._open[model][0]

    def _close(self, model: str) -> None:
        size, writer = self._open.pop(model)
        writer.close()
        settle(self.folder / part_file(size.number))
        self.parts.append(size)

    def close(self) -> list[PartSize]:
        """Finish all files; gives the parts in order."""
        for model in list(self._open):
            self._close(model)
        if self._unsent is not None:
            self._unsent.close()
            (self.folder / UNSENT).with_suffix(".tmp").replace(self.folder / UNSENT)
            settle(self.folder / UNSENT)
        self.parts.sort(key=lambda part: part.number)
        return self.parts

    def write_all(self, chunks: Iterable[pl.DataFrame]) -> list[PartSize]:
        """Write every chunk and finish."""
        try:
            for chunk in chunks:
                self.write(chunk)
        finally:
            parts = self.close()
        return parts


def _wire_bytes() -> pl.Expr:
    """Give the most bytes that a row's line can have in the provider's file."""
    texts = pl.col("body").str.len_bytes() + pl.col("model").str.len_bytes()
    return texts.cast(pl.Int64) + LINE_OVERHEAD


def _too_large(rows: pl.DataFrame, model: str, limits: Limits) -> pl.DataFrame:
    """Give rows that exceed the limit by themselves as row errors."""
    message = pl.format(
        "request_too_large: this row's request has {} bytes, and {} takes at most {} a batch",
        "bytes",
        pl.lit(model),
        pl.lit(limits.bytes),
    )
    return rows.with_columns(error=message, body=pl.lit(None, pl.String)).select(SCHEMA.names())


def _table(frame: pl.DataFrame) -> Any:
    return frame.to_arrow().cast(_ARROW)


def _writer(path: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, _ARROW, compression="zstd")


_ARROW = pl.DataFrame(schema=SCHEMA).to_arrow().schema
