"""Rows per second of submit and of collect against a fake OpenAI server, ledger and all, waiting excluded.

Submit is from the call to the moment when the ledger says that the batch is there: staging, the wire
file, the upload and the create in between. Collect is from the moment when the batch has ended to the
joined frame: download, decoding, counting, joining. The server is a process of its own; while it
answers the rows, nobody's clock runs. Beside them stands what cannot be left out: the same lines dumped
by orjson in a bare loop and sent by the same HTTP library, and fetched and loaded likewise.

    python -m benchmarks.roundtrip [--rows 20000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import polars as pl

import batchframe as bf
from batchframe.ledger.store import Store
from batchframe.providers.registry import registered

TURNS = 5
LIMIT = 60_000
"""Rows per second, submit and collect alike."""

MODEL = "gpt-5-mini"
QUESTION = "Is this review positive or negative? Answer with one word."
TEXT = "It came on time, the handle is loose, and the colour is not what the picture shows."


@contextlib.contextmanager
def cloud() -> Iterator[dict[str, Any]]:
    """Serve a fake OpenAI in a process of its own."""
    command = [sys.executable, "-m", "batchframe.testing.clouds", "openai", "--port", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield json.loads(server.stdout.readline())
        server.stdin.close()


@contextlib.contextmanager
def noted() -> Iterator[dict[str, float]]:
    """Note when the ledger has saved that a part has come to a state."""
    real, when = Store.update_part, dict[str, float]()

    def update(store: Store, job_id: str, number: int, **changes: Any) -> None:
        real(store, job_id, number, **changes)
        if "state" in changes:
            when.setdefault(str(changes["state"]), time.perf_counter())

    Store.update_part = update  # type: ignore[method-assign]  # for the length of a benchmark
    try:
        yield when
    finally:
        Store.update_part = real  # type: ignore[method-assign]


def ours(df: pl.DataFrame) -> tuple[float, float]:
    """Give the seconds of submit and of collect."""
    with noted() as when:
        start = time.perf_counter()
        job = df.batch.submit(model=f"openai/{MODEL}", system=QUESTION, prompt="{text}")
        out = job.result()
        end = time.perf_counter()
    assert out["error"].null_count() == df.height, out["error"].drop_nulls()[0]
    return when["created"] - start, end - when["ended"]


def bare(df: pl.DataFrame, server: dict[str, Any]) -> tuple[float, float]:
    """Give the same for a loop that keeps nothing, checks nothing and joins nothing."""
    headers = {"authorization": f"Bearer {server['key']}"}
    with httpx2.Client(base_url=server["url"], headers=headers, timeout=60) as client:
        start = time.perf_counter()
        lines = [
            orjson.dumps(
                {
                    "custom_id": f"r{row}", "method": "POST", "url": "/v1/chat/completions",
                    "body": {"model": MODEL, "messages": [
                        {"role": "system", "content": QUESTION}, {"role": "user", "content": text},
                    ]},
                }
            )
            for row, text in enumerate(df["text"])
        ]  # fmt: skip
        file = {"file": ("in.jsonl", io.BytesIO(b"\n".join(lines)))}
        made = client.post("/files", data={"purpose": "batch"}, files=file).json()
        body = {"input_file_id": made["id"], "endpoint": "/v1/chat/completions"}
        batch = client.post("/batches", json={**body, "completion_window": "24h"}).json()
        sent = time.perf_counter() - start
        while batch["status"] != "completed":
            batch = client.get(f"/batches/{batch['id']}").json()
        start = time.perf_counter()
        raw = client.get(f"/files/{batch['output_file_id']}/content").content
        found = {}
        for one in raw.splitlines():
            line = orjson.loads(one)
            found[line["custom_id"]] = line["response"]["body"]["choices"][0]["message"]["content"]
        assert len(found) == df.height
        return sent, time.perf_counter() - start


def main() -> int:
    """Print the medians and their ratios; fail below the limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    times: dict[str, list[tuple[float, float]]] = {"batchframe": [], "bare": []}
    with tempfile.TemporaryDirectory() as home, bf.workspace(home), cloud() as server:
        provider = bf.OpenAI(api_key=server["key"], base_url=server["url"], poll_seconds=0.05)
        with registered(provider):
            ours(pl.DataFrame({"text": ["warm", "up"]}))
            for turn in range(TURNS):
                texts = [f"{TEXT * 3} ({turn}/{row})" for row in range(rows)]
                df = pl.DataFrame({"text": texts})
                times["batchframe"].append(ours(df))
                times["bare"].append(bare(df, server))
    rates = {
        name: [round(rows / statistics.median(turn[i] for turn in turns)) for i in (0, 1)]
        for name, turns in times.items()
    }
    submit, collect = rates["batchframe"]
    told = {
        "benchmark": "roundtrip",
        "rows": rows,
        "submit_rows_per_second": submit,
        "collect_rows_per_second": collect,
        "bare_rows_per_second": rates["bare"],
        "ratio": [round(ours / loop, 3) for ours, loop in zip(*rates.values(), strict=True)],
        "limit_rows_per_second": LIMIT,
    }
    print(json.dumps(told))
    return 0 if min(submit, collect) >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
