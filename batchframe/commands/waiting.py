"""A job is shown until it has ended, or left to its provider once its batch is there."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import batchframe as bf
from batchframe.commands.printing import print_line, say
from batchframe.errors import JobFailedError
from batchframe.ledger.events import JobState, JobView

if TYPE_CHECKING:
    from batchframe.orchestration.job import Job

_LOOK_SECONDS = 0.2  # between two looks at a job that is being handed over

_NOT_YET_THERE = ("planned", "encoded", "uploaded")
"""States of a part in which its provider knows of no batch."""


def follow_job(job: Job) -> JobView:
    """Drive a job if nobody does, and show it on standard error until it has ended."""
    from rich.console import Console  # noqa: PLC0415 - who only lists does not wait for rich

    from batchframe.notebook import terminal  # noqa: PLC0415
    from batchframe.orchestration.follow import follow  # noqa: PLC0415

    future = follow(bf.workspace(), job.id, drive=True)
    latest: list[JobView] = []

    def look() -> JobView:
        if future.done():
            future.result()
        seen = job.view
        # only who drives knows the speed; the ledger has the rest
        speed = latest[-1] if latest and not seen.state.ended else seen
        return dataclasses.replace(seen, rate=speed.rate, eta=speed.eta, note=None)

    def subscribe(observer: Callable[[JobView], None]) -> Callable[[], None]:
        def see(view: JobView) -> None:
            latest[:] = [view]
            observer(view)

        return bf.workspace().events.subscribe(job.id, see)

    try:
        view = terminal.follow(subscribe, look, console=Console(stderr=True))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(job)) from None
    if view.state is JobState.FAILED:
        raise JobFailedError(
            f"Job {job.id} ({view.model}) stopped after {view.done:,} of {view.total:,} rows: "
            f"{view.message} Then go on with it: batchframe retry {job.id}"
        )
    return view


def _kept(job: Job) -> str:
    return (
        f"Interrupted. Job {job.id} is kept, and a batch that is at its provider goes on there. "
        f"Type: batchframe watch {job.id}"
    )


def _is_native(view: JobView) -> bool:
    from batchframe.orchestration.plan import is_native  # noqa: PLC0415 - the road is loaded by now
    from batchframe.providers.registry import model_ref  # noqa: PLC0415

    return is_native(model_ref(view.model), "batch" if view.mode == "batch" else "immediate")


def hand_over(job: Job) -> None:
    """Leave a job to its provider once its batch is there; say so when there is nobody to leave it to."""
    if not _is_native(job.view):
        told = (
            f"{job.view.model} has no batch of its own to leave the rows to: they are sent by a "
            "batchframe process, and this one ends here. The job is kept and goes on while this "
            f"runs: batchframe watch {job.id}"
        )
    else:
        _until_created(job)
        count, where = job.view.parts_total, job.view.model.partition("/")[0]
        told = (
            f"The batch is at {where} and goes on there. "
            if count == 1
            else f"All {count} batches are at {where} and go on there. "
        ) + f"To fetch the answers: batchframe watch {job.id}"
    print_line(job.id)
    say(told)


def _until_created(job: Job) -> None:
    """Wait until every batch exists at its provider: the others would not be made without us."""
    store = bf.workspace().store
    try:
        while not (view := job.view).state.ended and any(
            part["state"] in _NOT_YET_THERE for part in store.parts(job.id)
        ):
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_kept(job)) from None
    if view.state is JobState.FAILED:
        raise JobFailedError(
            f"Job {job.id} ({view.model}) could not be handed over: {view.message} "
            f"Then go on with it: batchframe retry {job.id}"
        )
