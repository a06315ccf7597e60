"""A process that takes one job through a verb and dies at a point of the code, as by kill -9.

usage: point_child.py FOLDER submit|open|retry|forget [MODULE:NAME:before|after[:COUNT]]

The point is a function or a method; COUNT says which of its calls is the last one.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import polars as pl

import batchframe as bf
from batchframe.testing import Fake, registered

ROWS = 10
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows ends a process either way


def die() -> None:
    """End as if the power were gone."""
    os.kill(os.getpid(), KILL)
    time.sleep(60)


def arm(point: str) -> None:
    """Make the process die at a point."""
    module, name, when, *count = point.split(":")
    owner = importlib.import_module(module)
    *path, name = name.split(".")
    for step in path:
        owner = getattr(owner, step)
    real, left = getattr(owner, name), [int(count[0]) if count else 1]

    def deadly(*args, **kwargs):
        left[0] -= 1
        if not left[0] and when == "before":
            die()
        given = real(*args, **kwargs)
        if not left[0]:
            die()
        return given

    setattr(owner, name, deadly)


def verbs(verb: str, folder: Path) -> None:
    """Do what the command line says; what came out is left in `out.json`."""
    df = pl.DataFrame({"text": [f"row {i}" for i in range(ROWS)]})
    if verb == "submit":
        job = df.batch.submit(model="fake/m", prompt="{text}")
    else:
        job = bf.job(bf.jobs()["id"][0])
    if verb == "forget":
        job.forget()
        return
    if verb == "retry":
        job.retry()
    out = job.wait(60).result()
    said = {"id": job.id, "status": job.status, "rows": out["response"].to_list()}
    (folder / "out.json").write_text(json.dumps(said))


def main() -> None:
    folder, verb = Path(sys.argv[1]), sys.argv[2]
    bf.workspace(folder / "workspace")
    end = (folder / "end").read_text() if (folder / "end").exists() else "completed"
    with registered(Fake(folder / "cloud", end=end)):
        if len(sys.argv) > 3:
            arm(sys.argv[3])
        verbs(verb, folder)


if __name__ == "__main__":
    main()
