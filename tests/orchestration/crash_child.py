"""A process that submits one job and may be killed: at a step of the fake's life, or from outside.

usage: crash_child.py FOLDER native|managed ROWS [STEP:before|STEP:after]
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import polars as pl

import batchframe as bf
from batchframe.testing import Echo, Fake, registered

STEPS = ("upload", "create", "find", "poll", "fetch", "cleanup")


def deadly(fake: Fake, at: str) -> Fake:
    """Make the process die before or after one of the fake's methods."""
    step, when = at.split(":")
    real = getattr(fake, step)

    def method(*args):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(fake, step, method)
    return fake


def main() -> None:
    folder, kind, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    bf.workspace(folder / "workspace")
    asked = (folder / "asked.log").open("a", buffering=1)

    def answer(body):
        text = body["messages"][-1]["content"]
        asked.write(text + "\n")
        time.sleep(0.02)
        return text.upper()

    if kind == "native":
        provider = Fake(folder / "cloud")
        if len(sys.argv) > 4:
            deadly(provider, sys.argv[4])
    else:
        provider = Echo(answer=answer, name="fake", concurrency=4)
    df = pl.DataFrame({"text": [f"row {i}" for i in range(rows)]})
    with registered(provider):
        job = df.batch.submit(model="fake/m", prompt="{text}")
        out = job.result()
    out.write_parquet(folder / "out.parquet")
    sys.stdout.write(job.id + "\n")


if __name__ == "__main__":
    main()
