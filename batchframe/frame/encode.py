"""Requests become the provider's batch file, line by line, through the pure dialect."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import polars as pl
import pyarrow.parquet as pq

from batchframe.dialects.dialect import Dialect
from batchframe.ledger.workspace import settle
from batchframe.model import Endpoint

CHUNK = 500
"""Rows read at a time: each is dumped by itself, so more of them would only hold memory."""


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
    with growing.open("wb") as out:
        source = pq.ParquetFile(requests)
        for batch in source.iter_batches(batch_size=CHUNK, columns=["custom_id", "body"]):
            for custom_id, body in pl.DataFrame(batch).iter_rows():
                out.write(encode_line(custom_id, body, model, dialect, endpoint))
                out.write(b"\n")
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
    return orjson.dumps(dialect.line(custom_id, endpoint, {"model": model, **orjson.loads(body)}))
