"""Rows per second from raw result files to the joined frame, beside a bare loop over orjson.

Ours gives every row its answer, tokens, finish reason and cost, saves all of it durably and puts it
beside the frame. The bare loop loads each line and collects id, text and two counts, and that is all.
Both run in one process in turns; memory is that of a process of its own, at two sizes, while the files
are decoded: the joined frame itself must grow with the rows.

    python -m benchmarks.decode [--rows 1000000] [--part 50000]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import polars as pl

from batchframe.dialects import openai
from batchframe.frame.decode import Decoding, decode_part, outputs_file
from batchframe.frame.join import UNUSED, join
from batchframe.frame.outputs import merged, part_totals
from batchframe.frame.parts import PartWriter, part_file
from batchframe.frame.requests import SCHEMA
from batchframe.model import Limits, ModelRef, RowError, Usage
from batchframe.pricing.cost import cost_columns, row_cost
from batchframe.pricing.rates import rates_for

TURNS = 3
LIMIT = 0.7
MEMORY = 300
GROWTH = 60
"""Megabytes by which the peak may differ between the two sizes: what allocators keep is not exact."""

TEXT = 'The reviewer is satisfied with the parcel — "fine", and says so in a café.'
RATES = rates_for(ModelRef("openai", "gpt-5-mini"), batch=True)


def line(row: int) -> bytes:
    """Give a result line as OpenAI writes it."""
    usage = {
        "prompt_tokens": 300 + row % 997, "completion_tokens": 20 + row % 211,
        "total_tokens": 320 + row % 997 + row % 211,
        "prompt_tokens_details": {"cached_tokens": row % 3 * 64, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": row % 13, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip
    message = {
        "role": "assistant",
        "content": f"{TEXT} ({row})",
        "refusal": None,
        "annotations": [],
    }
    body = {
        "id": f"chatcmpl-{row:024x}", "object": "chat.completion", "created": 1711475054,
        "model": "gpt-5-mini-2025-08-07",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage, "service_tier": "default", "system_fingerprint": None,
    }  # fmt: skip
    response = {"status_code": 200, "request_id": f"req_{row:024x}", "body": body}
    return orjson.dumps(
        {"id": f"batch_req_{row:024x}", "custom_id": f"r{row}", "response": response, "error": None}
    )


def make(folder: Path, rows: int, part: int) -> list[int]:
    """Write the parts' requests and result files; gives the parts' numbers."""

    def chunks() -> Iterator[pl.DataFrame]:
        for start in range(0, rows, 10_000):
            run = range(start, min(start + 10_000, rows))
            columns = {
                "row": run, "custom_id": [f"r{i}" for i in run], "model": ["p/m"] * len(run),
                "body": ['{"messages":[]}'] * len(run), "error": [None] * len(run),
            }  # fmt: skip
            yield pl.DataFrame(columns, schema=SCHEMA)

    parts = PartWriter(folder, {"p/m": Limits(part, 10**12, "", "")}).write_all(chunks())
    for one in parts:
        start = one.number * part
        with (folder / f"{one.number}.jsonl").open("wb") as file:
            # results come in any order: here the second half first
            half = one.rows // 2
            for i in (*range(half, one.rows), *range(half)):
                file.write(line(start + i) + b"\n")
    return [one.number for one in parts]


def decoding(number: int) -> Decoding:
    """Give a part's decoding, as a job's driver does."""
    return Decoding(
        number, openai.DIALECT, lambda reply: row_cost(reply.usage, RATES).total, RATES.source,
        RowError("missing", "no line", retryable=True),
        lambda rows: cost_columns(rows.with_columns(model=pl.lit("")), {"": RATES})["cost"],
    )  # fmt: skip


def decoded(folder: Path, numbers: list[int]) -> None:
    """Decode all parts and count them, as a job's driver does."""
    for number in numbers:
        out = folder / outputs_file(number)
        decode_part(folder / part_file(number), [folder / f"{number}.jsonl"], out, decoding(number))
        part_totals(out)


def ours(folder: Path, numbers: list[int], frame: pl.DataFrame) -> pl.DataFrame:
    """Go from the result files to the joined frame."""
    decoded(folder, numbers)
    files = [folder / outputs_file(number) for number in numbers]
    outputs = merged(folder, files, None, leave_out=UNUSED)
    return join(frame, outputs, key=None, prefix="", embedding=False, schema=None)


def bare(folder: Path, numbers: list[int]) -> tuple[list[str], list[str], list[int], list[int]]:
    """Load each line and collect what is wanted of it."""
    ids, texts, inputs, outputs = [], [], [], []
    for number in numbers:
        with (folder / f"{number}.jsonl").open("rb") as file:
            for raw in file:
                found = orjson.loads(raw)
                body = found["response"]["body"]
                ids.append(found["custom_id"])
                texts.append(body["choices"][0]["message"]["content"])
                inputs.append(body["usage"]["prompt_tokens"])
                outputs.append(body["usage"]["completion_tokens"])
    return ids, texts, inputs, outputs


def check(joined: pl.DataFrame, rows: int) -> None:
    """See that every row has what is its own."""
    assert joined.height == rows
    assert joined["error"].null_count() == rows
    for row in (0, rows // 2, rows - 1):
        found = joined.row(row, named=True)
        usage = Usage(300 + row % 997, 20 + row % 211, row % 3 * 64, row % 13)
        assert found["response"] == f"{TEXT} ({row})"
        assert (found["input_tokens"], found["finish_reason"]) == (usage.input, "stop")
        assert found["cost_usd"] == float(row_cost(usage, RATES).total or 0)


def peak() -> int:
    """Give the most megabytes that were resident."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


def grown(rows: int, part: int) -> int:
    """Decode in a process of its own; gives by how many megabytes its memory grew."""
    with tempfile.TemporaryDirectory() as home:
        # the files are made by another process, so that making them leaves nothing behind
        child = [
            sys.executable,
            "-m",
            "benchmarks.decode",
            "--rows",
            str(rows),
            "--part",
            str(part),
        ]
        subprocess.run([*child, "--make", home], check=True)
        out = subprocess.run([*child, "--memory", home], check=True, stdout=subprocess.PIPE).stdout
    return int(out)


def main() -> int:
    """Print one JSON line; fail below a limit."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--rows", type=int, default=200_000)
    reader.add_argument("--part", type=int, default=50_000)
    reader.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    reader.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    given = reader.parse_args()
    if given.make:
        make(given.make, given.rows, given.part)
        return 0
    if given.memory:
        numbers = list(range(-(-given.rows // given.part)))
        before = peak()
        decoded(given.memory, numbers)
        print(peak() - before)
        return 0
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        numbers = make(folder, given.rows, given.part)
        os.sync()  # what was just made is not written to the disk while we are timed
        frame = pl.DataFrame({"n": range(given.rows)})
        for turn in range(TURNS):
            for name in ("ours", "bare") if turn % 2 else ("bare", "ours"):
                start = time.perf_counter()
                found = ours(folder, numbers, frame) if name == "ours" else bare(folder, numbers)
                times[name].append(time.perf_counter() - start)
                if isinstance(found, pl.DataFrame):
                    check(found, given.rows)
                del found
    pairs = zip(times["bare"], times["ours"], strict=True)
    ratios = [plain / mine for plain, mine in pairs]
    memory = {rows: grown(rows, given.part) for rows in {max(1, given.rows // 5), given.rows}}
    sizes = [memory[rows] for rows in sorted(memory)]
    ratio = statistics.median(ratios)
    good = ratio >= LIMIT and max(sizes) <= MEMORY and sizes[-1] - sizes[0] <= GROWTH
    print(json.dumps({
        "benchmark": "decode", "rows": given.rows, "part": given.part,
        "rows_per_s": round(given.rows / statistics.median(times["ours"])),
        "bare_rows_per_s": round(given.rows / statistics.median(times["bare"])),
        "ratio": round(ratio, 3), "ratios": [round(r, 3) for r in ratios], "limit": LIMIT,
        "memory_mb": sizes, "cores": os.cpu_count(), "good": good,
    }))  # fmt: skip
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
