"""A process that asks the real local model about some rows, and may be killed. usage: FOLDER ROWS"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import batchframe as bf

if __name__ == "__main__":
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    bf.workspace(folder / "workspace")
    df = pl.read_parquet("datasets/reviews.parquet").select("text").head(rows)
    job = df.batch.submit(
        model="local/smollm2",
        prompt="One word: good or bad?\n\n{text}",
        temperature=0,
        max_tokens=4,
    )
    job.result().write_parquet(folder / "out.parquet")
