"""Outcomes are given in the order of rows, a piece at a time, in whatever order they were written.

Where they rise as they stand they are read as they stand. Otherwise they are dealt out to files of
neighbouring rows, each small enough to be sorted in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from batchframe.frame.decode import SCHEMA

ROWS = 1_000
"""Rows given at a time."""

BYTES = 8 << 20
"""Bytes of outcomes that are sorted at a time."""


def in_order(outcomes: Path, more: pl.DataFrame, aside: Path) -> Iterator[pl.DataFrame]:
    """Give outcomes in the order of rows.

    Args:
        outcomes: A decoded part (`decode.SCHEMA`).
        more: Outcomes of rows that were not sent; the same columns.
        aside: A folder for files in between.
    """
    rows = pl.read_parquet(outcomes, columns=["row"], memory_map=False)["row"]
    if not more.height and rows.is_sorted():
        yield from _pieces(outcomes)
        return
    with pq.ParquetFile(outcomes) as file:
        groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
        size = sum(group.total_byte_size for group in groups)
    every = np.sort(pl.concat([rows, more["row"]]).to_numpy())
    step = max(1, every.size // (size // BYTES + 1) + 1)
    edges = every[step::step]
    for bucket in _dealt(outcomes, more, edges, aside):
        yield from pl.read_parquet(bucket, memory_map=False).sort("row").iter_slices(ROWS)
        bucket.unlink()


def _pieces(outcomes: Path) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(outcomes) as file:
        for number in range(file.num_row_groups):
            yield from map(pl.DataFrame, file.iter_batches(ROWS, row_groups=[number]))


def _dealt(
    outcomes: Path,
    more: pl.DataFrame,
    edges: np.ndarray[tuple[int], np.dtype[np.int64]],
    aside: Path,
) -> list[Path]:
    """Deal outcomes out to files: the first holds the rows below the first edge, and so on."""
    places = [aside / f"rows-{number:04d}.parquet" for number in range(edges.size + 1)]
    schema = pl.DataFrame(schema=SCHEMA).to_arrow().schema
    with ExitStack() as stack:
        writers = [
            stack.enter_context(pq.ParquetWriter(place, schema, compression="lz4"))
            for place in places
        ]
        for piece in (more, *_pieces(outcomes)) if more.height else _pieces(outcomes):
            which = pl.Series(np.searchsorted(edges, piece["row"].to_numpy(), side="right"))
            for number in which.unique():
                mine = piece.filter(which == number).select(SCHEMA.names())
                writers[number].write_table(mine.to_arrow().cast(schema))
    return places
