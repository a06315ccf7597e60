"""Requests become the provider's batch file, line by line, through the pure dialect."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import orjson
import polars as pl
import pyarrow.parquet as pq

from batchframe.ledger.workspace import settle
from batchframe.model import Json

Line = Callable[[str, Json], Json]
"""(custom_id, OpenAI body with its model) -> one line of the provider's file."""

CHUNK = 500
"""Rows read at a time: each is dumped by itself, so more of them would only hold memory."""


def write_wire(requests: Path, wire: Path, *, model: str, line: Line) -> int:
    """Write a part's wire file; it appears under its name only when it is complete.

    Args:
        requests: The part's Parquet file (`frame.requests.SCHEMA`).
        wire: The JSONL file to make.
        model: The model's name as the provider knows it.
        line: The dialect's line function.

    Returns:
        Bytes written.
    """
    growing = wire.with_name(wire.name + ".tmp")
    with growing.open("wb") as out:
        source = pq.ParquetFile(requests)
        for batch in source.iter_batches(batch_size=CHUNK, columns=["custom_id", "body"]):
            for custom_id, body in pl.DataFrame(batch).iter_rows():
                out.write(encode_line(custom_id, body, model=model, line=line))
                out.write(b"\n")
        out.flush()
        os.fsync(out.fileno())
        size = out.tell()
    growing.replace(wire)
    settle(wire)
    return size


def encode_line(custom_id: str, body: str, *, model: str, line: Line) -> bytes:
    """Give one wire line, without its newline.

    Args:
        custom_id: The row's id.
        body: The OpenAI body as JSON text, without a model.
        model: The model's name as the provider knows it.
        line: The dialect's line function.

    >>> encode_line("r0", '{"input":"hi"}', model="m", line=lambda i, body: {"id": i, "body": body})
    b'{"id":"r0","body":{"model":"m","input":"hi"}}'
    """
    return orjson.dumps(line(custom_id, {"model": model, **orjson.loads(body)}))
