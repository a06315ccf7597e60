"""A process that does one stage of a job over few rows, then over ten times as many, and says how its peak grew.

usage: memory_child.py FOLDER STAGE ROWS WIDTH; prints {"grown": bytes, "data": bytes}
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import batchframe as bf
from batchframe import cli
from batchframe.dialects import openai
from batchframe.frame import decode, encode, outputs
from batchframe.frame.parts import PartWriter, part_file
from batchframe.frame.requests import SCHEMA
from batchframe.model import Endpoint, Limits, RowError
from batchframe.testing import Fake, registered

PIECE = 4_000_000  # bytes of texts made at a time, so that making them costs little memory


def peak() -> int:
    """The most bytes that were ever resident."""
    status = Path("/proc/self/status")
    if (
        status.exists()
    ):  # what rusage says counts the parent in, from before the child's own program
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def pieces(rows: int, width: int) -> Iterator[range]:
    """Cut the rows into runs of about `PIECE` bytes."""
    step = max(1, PIECE // width)
    for start in range(0, rows, step):
        yield range(start, min(start + step, rows))


def write_requests(folder: Path, rows: int, width: int) -> None:
    """Write one part with all rows, as a submit would."""

    def chunks() -> Iterator[pl.DataFrame]:
        for run in pieces(rows, width):
            bodies = [
                f'{{"messages":[{{"role":"user","content":"{i} {"x" * width}"}}]}}' for i in run
            ]
            yield (
                pl.DataFrame({"row": run, "custom_id": [f"r{i}" for i in run], "body": bodies})
                .select(
                    pl.col("row").cast(pl.Int64),
                    "custom_id",
                    pl.lit("m/x").alias("model"),
                    "body",
                    pl.lit(None, pl.String).alias("error"),
                )
                .select(SCHEMA.names())
            )

    PartWriter(folder, {"m/x": Limits(10**9, 10**12, "", "")}).write_all(chunks())


def write_results(folder: Path, rows: int, width: int, *, doubled: bool) -> None:
    """Write the result file; `doubled` brings every hundredth line twice."""
    with (folder / "results.jsonl").open("wb") as file:
        for i in range(rows):
            body = {
                "model": "m",
                "choices": [
                    {"message": {"content": f"{i} {'y' * width}"}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 5, "completion_tokens": i % 1000},
            }
            response = {"status_code": 200, "request_id": "q", "body": body}
            line = json.dumps({"custom_id": f"r{i}", "response": response, "error": None}) + "\n"
            file.write(line.encode() * (2 if doubled and i % 100 == 0 else 1))


def encoded(folder: Path, rows: int, width: int) -> None:
    """A part becomes its wire file."""
    write_requests(folder, rows, width)
    encode.write_wire(
        folder / part_file(0),
        folder / "wire.jsonl",
        model="x",
        dialect=openai.DIALECT,
        endpoint=Endpoint.CHAT,
    )


def decoded(folder: Path, rows: int, width: int, *, doubled: bool = False) -> None:
    """A result file becomes outcomes, and those are counted."""
    write_requests(folder, rows, 1)
    write_results(folder, rows, width, doubled=doubled)
    out = folder / decode.outputs_file(0)
    how = decode.Decoding(
        0, openai.DIALECT, lambda _: Decimal(1), "a list", RowError("missing", "no line")
    )
    decode.decode_part(folder / part_file(0), [folder / "results.jsonl"], out, how)
    outputs.part_totals(out)
    outputs.groups(outputs.merged(folder, [out], None, leave_out=outputs.BULKY))


def doubled(folder: Path, rows: int, width: int) -> None:
    """The same where lines came twice."""
    decoded(folder, rows, width, doubled=True)


def job(folder: Path, rows: int, width: int) -> None:
    """A LazyFrame goes all the way to its outcomes; the fake itself holds one part at a time."""
    source = folder / "source.parquet"
    schema = pa.schema([("text", pa.large_string())])
    with pq.ParquetWriter(source, schema, compression="zstd") as writer:
        for run in pieces(rows, width):
            texts = [f"{i} {'x' * width}" for i in run]
            writer.write_table(pa.table({"text": texts}, schema=schema))
    small = Limits(requests=max(1, PIECE // width), bytes=10**9, source="", as_of="")
    bf.workspace(folder / "workspace")
    with registered(Fake(folder / "cloud", polls=0, limits=small)):
        done = bf.submit(pl.scan_parquet(source), model="fake/m", prompt="{text}").wait()
    assert done.view.done == rows
    assert not done.view.failed


def lines_encoded(folder: Path, rows: int, width: int) -> None:
    """`batchframe encode` of a file of requests."""
    source = folder / "requests.jsonl"
    with source.open("w") as file:
        for i in range(rows):
            body = {"messages": [{"role": "user", "content": f"{i} {'x' * width}"}]}
            file.write(json.dumps({"custom_id": f"q-{i}", "body": body}) + "\n")
    command("encode", source, "--model", "openai/m", "--out", folder / "out", home=folder)


def lines_decoded(folder: Path, rows: int, width: int) -> None:
    """`batchframe decode` of results in the opposite order of the map's rows, which must be sorted."""
    ids = {"row": [rows - i for i in range(rows)], "custom_id": [f"r{i}" for i in range(rows)]}
    pl.DataFrame(ids).write_parquet(folder / "ids.parquet")
    del ids
    write_results(folder, rows, width, doubled=False)
    out = folder / "out.jsonl"
    words = ("--model", "openai/m", "--ids", folder / "ids.parquet", "--out", out)
    command("decode", folder / "results.jsonl", *words, home=folder)
    with out.open("rb") as file:
        assert json.loads(file.readline())["custom_id"] == f"r{rows - 1}"


def command(*words: object, home: Path) -> None:
    """Run a command of the command line in this process."""
    os.environ.update(OPENAI_API_KEY="no-key-at-all", BATCHFRAME_HOME=str(home / "home"))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert cli.main([str(word) for word in words]) == 0


STAGES = {
    "encode": encoded, "decode": decoded, "doubled": doubled, "job": job,
    "encode lines": lines_encoded, "decode lines": lines_decoded,
}  # fmt: skip


def main() -> None:
    folder, stage = Path(sys.argv[1]), STAGES[sys.argv[2]]
    rows, width = int(sys.argv[3]), int(sys.argv[4])
    peaks = []
    for count in (rows // 10, rows):
        (folder / str(count)).mkdir()
        stage(folder / str(count), count, width)
        peaks.append(peak())
    sys.stdout.write(json.dumps({"grown": peaks[1] - peaks[0], "data": rows * width}))


if __name__ == "__main__":
    main()
