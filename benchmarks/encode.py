"""Rows per second from part files to the provider's batch file, beside a bare loop over orjson.

Both read the same part files and write the same bytes. The bare loop does per row what cannot be left
out: load the body, put the model in, let the dialect write the line, dump it. Each workload runs in a
process of its own, at two sizes: memory must not grow with the rows.

    python -m benchmarks.encode [--rows 1000000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import orjson
import polars as pl
import pyarrow.parquet as pq

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.frame.encode import line_bytes, write_wire
from batchframe.frame.parts import PartSize, PartWriter, part_file
from batchframe.frame.requests import SCHEMA
from batchframe.model import Endpoint, Limits

TURNS = 3
CHUNK = 10_000
SAME, MIXED = 1.5, 1.0
MEMORY = 300
GROWTH = 60
"""Megabytes by which the peak may differ between the two sizes: what allocators keep is not exact."""

WORDS = 'The parcel came late, and the box was torn. Café au lait — \\"quoted\\" and \\n broken. '

bare_line = Dialect("custom_id and body", lambda i, _, body: {"custom_id": i, "body": body},
                    openai.decode, verbatim=True)  # fmt: skip
jobwide = Dialect(
    "model on the job",
    lambda i, _, body: {
        "custom_id": i,
        "body": {("random_seed" if k == "seed" else k): v for k, v in body.items() if k != "model"},
    },
    openai.decode, verbatim=True, rewrites=frozenset({"seed"}),
)  # fmt: skip
DIALECTS: Mapping[str, Dialect] = {d.name: d for d in (openai.DIALECT, bare_line, jobwide)}


def same_shape(row: int) -> str:
    """Give a body of the shape that all rows share."""
    return (
        '{"messages":[{"role":"system","content":"You label reviews."},{"role":"user","content":"'
        f'{WORDS * 3}{row}"}}],"temperature":0,"max_tokens":20}}'
    )


def mixed_shapes(row: int) -> str:
    """Give bodies of which every third has a shape of its own, and every tenth a renamed member."""
    if row % 3 == 0:
        turns = ",".join(f'{{"role":"user","content":"{WORDS}{n}"}}' for n in range(row % 7 + 1))
        return f'{{"messages":[{turns}],"metadata":{{"k{row % 97}":"v"}}}}'
    seed = f',"seed":{row}' if row % 10 == 0 else ""
    return same_shape(row)[:-1] + seed + "}"


SHAPES: Mapping[str, Callable[[int], str]] = {"same": same_shape, "mixed": mixed_shapes}


def make(folder: Path, rows: int, shape: Callable[[int], str], dialect: Dialect) -> list[PartSize]:
    """Write the part files, as a submit would."""

    def chunks() -> Iterator[pl.DataFrame]:
        for start in range(0, rows, CHUNK):
            run = range(start, min(start + CHUNK, rows))
            columns = {
                "row": run, "custom_id": [f"r{i}" for i in run], "model": ["p/m-1"] * len(run),
                "body": [shape(i) for i in run], "error": [None] * len(run),
            }  # fmt: skip
            yield pl.DataFrame(columns, schema=SCHEMA)

    limits = {"p/m-1": Limits(50_000, 200_000_000, "", "")}
    measure = line_bytes("m-1", dialect, Endpoint.CHAT)
    return PartWriter(folder, limits, lines=lambda _: measure).write_all(chunks())


def bare(requests: Path, wire: Path, dialect: Dialect) -> None:
    """Write a wire file by a plain loop."""
    source = pq.ParquetFile(requests)
    with wire.open("wb") as out:
        for batch in source.iter_batches(batch_size=CHUNK, columns=["custom_id", "body"]):
            for custom_id, body in pl.DataFrame(batch).iter_rows():
                whole = {"model": "m-1", **orjson.loads(body)}
                out.write(orjson.dumps(dialect.line(custom_id, Endpoint.CHAT, whole)))
                out.write(b"\n")


def peak() -> int:
    """Give the most megabytes that were resident since the last `reset`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def measured(folder: Path, rows: int, shape: str, dialect: Dialect) -> dict[str, object]:
    """Time both ways in turns, part by part, and watch the memory of ours."""
    parts = make(folder, rows, SHAPES[shape], dialect)
    ours, plain = folder / "ours.jsonl", folder / "bare.jsonl"
    ratios, seconds, size = [], [], 0
    before = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20
    Path("/proc/self/clear_refs").write_text("5")
    for turn in range(TURNS):
        took, bare_took = 0.0, 0.0
        for part in parts:
            requests = folder / part_file(part.number)
            start = time.perf_counter()
            wrote = write_wire(requests, ours, model="m-1", dialect=dialect, endpoint=Endpoint.CHAT)
            took += time.perf_counter() - start
            assert wrote == part.bytes or (dialect.rewrites and wrote <= part.bytes)
            start = time.perf_counter()
            bare(requests, plain, dialect)
            bare_took += time.perf_counter() - start
            if turn == 0:
                size += wrote
                assert ours.read_bytes() == plain.read_bytes() if part.number == 0 else True
        ratios.append(bare_took / took)
        seconds.append(took)
    rate = rows / statistics.median(seconds)
    return {
        "dialect": dialect.name, "shapes": shape, "rows": rows, "rows_per_s": round(rate),
        "mb_per_s": round(size / statistics.median(seconds) / 1e6),
        "ratio": round(statistics.median(ratios), 2), "ratios": [round(r, 2) for r in ratios],
        "memory_mb": peak() - before,
    }  # fmt: skip


def main() -> int:
    """Print one JSON line; fail below a limit."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--rows", type=int, default=200_000)
    reader.add_argument("--one", nargs=2, metavar=("SHAPE", "DIALECT"), help=argparse.SUPPRESS)
    given = reader.parse_args()
    if given.one:
        shape, name = given.one
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(Path(folder), given.rows, shape, DIALECTS[name])))
        return 0
    found = []
    for name in DIALECTS:
        for shape in SHAPES:
            for rows in sorted({max(1, given.rows // 5), given.rows}):
                command = [sys.executable, "-m", "benchmarks.encode", "--rows", str(rows)]
                out = subprocess.run(
                    [*command, "--one", shape, name], check=True, stdout=subprocess.PIPE
                ).stdout
                found.append(json.loads(out))
    small, large = found[::2], found[1::2]
    grown = [b["memory_mb"] - a["memory_mb"] for a, b in zip(small, large, strict=True)]
    good = (
        all(
            one["ratio"] >= {"same": SAME, "mixed": MIXED}[one["shapes"]]
            and one["memory_mb"] <= MEMORY
            for one in found
        )
        and max(grown) <= GROWTH
    )
    print(json.dumps({
        "benchmark": "encode", "results": found, "memory_grown_mb": max(grown),
        "limits": {"same": SAME, "mixed": MIXED, "memory_mb": MEMORY, "grown_mb": GROWTH},
        "good": good,
    }))  # fmt: skip
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
