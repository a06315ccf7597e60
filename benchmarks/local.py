"""Rows per second through `df.batch` beside a bare loop on the same model server: at least 0.9.

Both send the same bodies with the same number of requests in flight to the same server, in turns;
each turn has rows of its own, so that no cache can help the second. The ratio is that of the medians.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import polars as pl

import batchframe as bf
from batchframe.model import Connection, Endpoint
from batchframe.providers.registry import provider

ROWS, TURNS = 40, 5
LIMIT = 0.9
PROMPT = "Is this review positive or negative? Answer with one word.\n\n{text}"
OPTIONS = {"model": "local/smollm2", "prompt": PROMPT, "temperature": 0, "max_tokens": 8}


def ours(rows: pl.DataFrame) -> float:
    """Seconds for some rows through a job: encode, ledger, journal, decode, join and all."""
    start = time.perf_counter()
    out = rows.batch.submit(**OPTIONS).result()
    assert out["error"].null_count() == rows.height, out["error"].drop_nulls()[0]
    return time.perf_counter() - start


def bare(rows: pl.DataFrame, connection: Connection) -> float:
    """Seconds for the same rows by a plain loop with as many requests in flight."""
    bodies = [json.loads(line)["body"] for line in rows.batch.preview(rows.height, **OPTIONS)]

    def ask(body: dict[str, object]) -> None:
        request = urllib.request.Request(
            connection.base_url + Endpoint.CHAT.value,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **connection.headers},
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            json.load(response)

    start = time.perf_counter()
    with ThreadPoolExecutor(connection.concurrency or 1) as pool:
        list(pool.map(ask, bodies))
    return time.perf_counter() - start


def main() -> int:
    """Print the medians and their ratio; fail below the limit."""
    texts = pl.read_parquet("datasets/reviews.parquet").filter(pl.col("language") == "en")["text"]
    frames = [
        pl.DataFrame({"text": [f"{text} ({turn})" for text in texts.head(ROWS)]})
        for turn in range(TURNS)
    ]
    times: dict[str, list[float]] = {"batchframe": [], "bare": []}
    with tempfile.TemporaryDirectory() as home, bf.workspace(home):
        local = provider("local")
        with local.connect("smollm2", Endpoint.CHAT) as connection:
            warm = pl.DataFrame({"text": ["warm", "up"]})
            bare(warm, connection)
            ours(warm)  # loads what is loaded once per process
            for turn, frame in enumerate(frames):
                pair = [("batchframe", lambda f=frame: ours(f)),
                        ("bare", lambda f=frame: bare(f, connection))]  # fmt: skip
                for name, run in pair if turn % 2 else reversed(pair):
                    times[name].append(run())
            slots = connection.concurrency
    rate = {name: ROWS / statistics.median(seconds) for name, seconds in times.items()}
    ratio = rate["batchframe"] / rate["bare"]
    print(
        json.dumps(
            {
                "benchmark": "local",
                "rows_per_s": round(rate["batchframe"], 2),
                "bare_rows_per_s": round(rate["bare"], 2),
                "ratio": round(ratio, 3),
                "limit": LIMIT,
                "rows": ROWS,
                "turns": TURNS,
                "in_flight": slots,
            }
        )
    )
    return 0 if ratio >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
