"""Rows per second from part files to the provider's batch file, beside a bare loop over orjson.

Every dialect there is, in files of one shape and of mixed ones. Both ways read the same part files and
write the same bytes. The bare loop does per row what cannot be left out: load the body, put the model
in, let the dialect write the line, dump it. Each workload runs in a process of its own, at two sizes:
memory must not grow with the rows.

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

from batchframe.dialects import fireworks, mistral, openai, together, xai
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

CHAT, RESPONSES, VECTORS = Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.EMBEDDINGS
FILES: Mapping[str, tuple[Dialect, Endpoint]] = {
    "openai": (openai.DIALECT, CHAT),
    "openai responses": (openai.DIALECT, RESPONSES),
    "openai embeddings": (openai.DIALECT, VECTORS),
    "mistral": (mistral.DIALECT, CHAT),
    "mistral embeddings": (mistral.DIALECT, VECTORS),
    "together": (together.DIALECT, CHAT),
    "fireworks": (fireworks.DIALECT, CHAT),
    "xai": (xai.DIALECT, CHAT),
}
"""Whose files, and what for: every dialect there is; Azure, Groq and others write OpenAI's."""


def same_shape(row: int, endpoint: Endpoint) -> str:
    """Give a body of the shape that all rows share."""
    if endpoint is VECTORS:
        return f'{{"input":"{WORDS * 3}{row}"}}'
    if endpoint is RESPONSES:
        return (
            f'{{"input":"{WORDS * 3}{row}","instructions":"You label reviews.","temperature":0,'
            '"max_output_tokens":20}'
        )
    return (
        '{"messages":[{"role":"system","content":"You label reviews."},{"role":"user","content":"'
        f'{WORDS * 3}{row}"}}],"temperature":0,"max_tokens":20}}'
    )


def mixed_shapes(row: int, endpoint: Endpoint) -> str:
    """Give bodies of which every third has a shape of its own, and every tenth a member that some rename."""
    if row % 3 == 0:
        what = {CHAT: "messages", RESPONSES: "input", VECTORS: "input"}[endpoint]
        turn = "{0}" if endpoint is VECTORS else '{{"role":"user","content":{0}}}'
        turns = ",".join(turn.format(f'"{WORDS}{n}"') for n in range(row % 7 + 1))
        return f'{{"{what}":[{turns}],"metadata":{{"k{row % 97}":"v"}}}}'
    renamed = {CHAT: "max_completion_tokens", RESPONSES: "top_logprobs", VECTORS: "dimensions"}
    more = f',"{renamed[endpoint]}":{row}' if row % 10 == 0 else ""
    return same_shape(row, endpoint)[:-1] + more + "}"


Shape = Callable[[int, Endpoint], str]
SHAPES: Mapping[str, Shape] = {"same": same_shape, "mixed": mixed_shapes}


def make(
    folder: Path, rows: int, shape: Shape, dialect: Dialect, endpoint: Endpoint
) -> list[PartSize]:
    """Write the part files, as a submit would."""

    def chunks() -> Iterator[pl.DataFrame]:
        for start in range(0, rows, CHUNK):
            run = range(start, min(start + CHUNK, rows))
            columns = {
                "row": run, "custom_id": [f"r{i}" for i in run], "model": ["p/m-1"] * len(run),
                "body": [shape(i, endpoint) for i in run], "error": [None] * len(run),
            }  # fmt: skip
            yield pl.DataFrame(columns, schema=SCHEMA)

    limits = {"p/m-1": Limits(50_000, 200_000_000, "", "")}
    measure = line_bytes("m-1", dialect, endpoint)
    return PartWriter(folder, limits, lines=lambda _: measure).write_all(chunks())


def bare(requests: Path, wire: Path, dialect: Dialect, endpoint: Endpoint) -> None:
    """Write a wire file by a plain loop."""
    source = pq.ParquetFile(requests)
    with wire.open("wb") as out:
        for batch in source.iter_batches(batch_size=CHUNK, columns=["custom_id", "body"]):
            for custom_id, body in pl.DataFrame(batch).iter_rows():
                whole = {"model": "m-1", **orjson.loads(body)}
                out.write(orjson.dumps(dialect.line(custom_id, endpoint, whole)))
                out.write(b"\n")


def peak() -> int:
    """Give the most megabytes that were resident since the last `reset`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def measured(folder: Path, rows: int, shape: str, name: str) -> dict[str, object]:
    """Time both ways in turns, part by part, and watch the memory of ours."""
    dialect, endpoint = FILES[name]
    parts = make(folder, rows, SHAPES[shape], dialect, endpoint)
    ours, plain = folder / "ours.jsonl", folder / "bare.jsonl"
    ratios, seconds, size = [], [], 0
    before = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20
    Path("/proc/self/clear_refs").write_text("5")
    for turn in range(TURNS):
        took, bare_took = 0.0, 0.0
        for part in parts:
            requests = folder / part_file(part.number)
            start = time.perf_counter()
            wrote = write_wire(requests, ours, model="m-1", dialect=dialect, endpoint=endpoint)
            took += time.perf_counter() - start
            assert wrote == part.bytes or (dialect.rewrites and wrote <= part.bytes)
            start = time.perf_counter()
            bare(requests, plain, dialect, endpoint)
            bare_took += time.perf_counter() - start
            if turn == 0:
                size += wrote
                assert ours.read_bytes() == plain.read_bytes() if part.number == 0 else True
        ratios.append(bare_took / took)
        seconds.append(took)
    rate = rows / statistics.median(seconds)
    return {
        "files": name, "shapes": shape, "rows": rows, "rows_per_s": round(rate),
        "mb_per_s": round(size / statistics.median(seconds) / 1e6),
        "ratio": round(statistics.median(ratios), 2), "ratios": [round(r, 2) for r in ratios],
        "memory_mb": peak() - before,
    }  # fmt: skip


def main() -> int:
    """Print one JSON line; fail below a limit."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--rows", type=int, default=200_000)
    reader.add_argument("--one", nargs=2, metavar=("SHAPE", "FILES"), help=argparse.SUPPRESS)
    given = reader.parse_args()
    if given.one:
        shape, name = given.one
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(Path(folder), given.rows, shape, name)))
        return 0
    found = []
    for name in FILES:
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
