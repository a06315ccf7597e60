"""A process that dies with a job before and after each step: started by the contract, killed by itself.

It reads on stdin where the workspace and the cloud are, submits one job per point, lets each run until
its point, and ends as by kill -9 when all of them stand still. A job's point is the first word of its
rows, so that the process that goes on asks exactly the same.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

POINTS = (
    "encode:after",
    "upload:before",
    "upload:after",
    "create:before",
    "create:after",
    "poll:before",
    "poll:after",
    "fetch:before",
    "fetch:after",
    "decode:before",
    "decode:after",
)
"""Step and side; what stands after a step is done and not saved, what stands before is saved."""

SECONDS = 60.0
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows ends a process either way


def asked_at(point: str) -> tuple[str, ...]:
    """Give the rows of the job that stands still at a point.

    >>> asked_at("create:after")
    ('create:after 0', 'create:after 1')
    """
    return tuple(f"{point} {row}" for row in range(2))


def freeze(point: str, stands: threading.Semaphore, jobs: dict[str, str]) -> None:
    """Make the driver stand still for ever at a point of the job that belongs to it."""
    from batchframe.orchestration.driver import Driver  # noqa: PLC0415 - heavy

    step, _, side = point.partition(":")
    real: Callable[..., Any] = getattr(Driver, f"_{step}")

    def still(self: Any, job: Any, part: Any) -> Any:
        ours = jobs.get(job["name"]) == point
        given = None if ours and side == "before" else real(self, job, part)
        if ours:
            stands.release()
            time.sleep(3600)
        return given

    setattr(Driver, f"_{step}", still)


def main() -> None:
    """Submit all jobs, wait until each stands at its point, and die."""
    spec = json.load(sys.stdin)
    sys.path[:] = spec["path"]
    import polars as pl  # noqa: PLC0415 - only now is it known where everything is

    import batchframe as bf  # noqa: PLC0415
    from batchframe.orchestration import background  # noqa: PLC0415
    from batchframe.providers.registry import register  # noqa: PLC0415

    stands = threading.Semaphore(0)
    for point in POINTS:
        freeze(point, stands, {point: point for point in POINTS})
    pool = concurrent.futures.ThreadPoolExecutor(64)  # those that stand still hold a thread each
    background.loop().call_soon_threadsafe(background.loop().set_default_executor, pool)
    module, _, name = spec["factory"].partition(":")
    provider = getattr(importlib.import_module(module), name)(**spec["settings"])
    register(provider)
    bf.workspace(spec["home"])
    for point in POINTS:
        frame = pl.DataFrame({"text": list(asked_at(point))})
        bf.submit(frame, model=f"{provider.name}/{spec['model']}", prompt="{text}", name=point)
    for _ in POINTS:
        if not stands.acquire(timeout=SECONDS):
            sys.stderr.write(f"not all jobs came to their points: {bf.jobs()}\n")
            os._exit(3)
    os.kill(os.getpid(), KILL)
    time.sleep(60)


if __name__ == "__main__":
    main()
