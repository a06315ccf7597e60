"""A staged request becomes a job, or is recognised as one that exists.

The folder is renamed into place before the ledger's row is written: a crash between the two leaves
a folder that no row names, and the next launch of the same request takes its place.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from batchframe.frame.decode import outputs_file
from batchframe.ledger.events import JobState
from batchframe.ledger.workspace import Workspace, settle, storage
from batchframe.notebook.display import in_notebook
from batchframe.orchestration import follow as following
from batchframe.orchestration.effects import results_folder
from batchframe.orchestration.forgetting import changing, forget_files
from batchframe.orchestration.job import Job
from batchframe.orchestration.mend import mend
from batchframe.orchestration.plan import FRAME_FILE, Frame, Request, Staged, job_id, ledger_rows
from batchframe.orchestration.steps import PartState

OWN_FRAME_SECONDS = 30 * 86_400
"""A handle's copy of its frame older than this belongs to a process that is gone."""


def launch(workspace: Workspace, request: Request, staged: Staged, *, again: bool) -> Job:
    """Give the job of a request, made now or before, and drive it.

    Args:
        workspace: Where it is kept.
        request: What to ask.
        staged: The request written down; used up or removed.
        again: Make a new job although one exists.
    """
    while True:
        runs = workspace.store.runs(staged.fingerprint)
        if runs and not again:
            row = dict(runs[-1])
            if not _mended(workspace, request, staged, row):
                continue  # forgotten since it was seen
            frame, kept = _own_frame(workspace, request, staged, str(row["id"]))
            staged.discard()
            job = _attach(workspace, request, row, frame)
            if kept is not None:
                weakref.finalize(job, _unlink, kept)
            return job
        run = max((row["run"] for row in runs), default=-1) + 1
        if _made(workspace, request, staged, run):
            identity = job_id(staged.fingerprint, run)
            following.follow(workspace, identity, drive=True, memory=request.memory)
            # a LazyFrame's source may change while the job runs: what was kept is what was asked
            own = request.frame if isinstance(request.frame, pl.DataFrame) else None
            return Job(workspace, identity, frame=own)


def _made(workspace: Workspace, request: Request, staged: Staged, run: int) -> bool:
    job, parts = ledger_rows(staged, request, run)
    folder = workspace.job_folder(job["id"])
    forget_files(workspace)  # a killed forget() may have left the answers of this very request
    # two processes with the same request at the same instant: one makes the job, one finds it
    with storage(folder), changing(workspace):
        if workspace.store.job(job["id"]) is not None:
            return False
        if folder.exists():  # a launch died between its two steps, or the ledger was lost
            parts = _adopt(folder, staged.folder, parts)
        staged.folder.rename(folder)
        settle(folder)
        return workspace.store.add_job(job, parts)


def _adopt(orphan: Path, staged: Path, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take over the answers of a job's folder that no ledger names; keep the rest of it aside.

    The folder's name is made of the request, so its answers are this very request's.

    Returns:
        The parts' ledger rows; one whose result files had all come begins there.
    """
    journals = sorted(orphan.glob("*.journal.jsonl"))
    decoded = sorted(orphan.glob("*.outputs.parquet"))
    results = [folder for folder in sorted(orphan.glob("part-*.results")) if any(folder.iterdir())]
    if not journals and not decoded and not results:
        shutil.rmtree(orphan)
        return parts
    for journal in journals:
        shutil.copy2(journal, staged / journal.name)
    for folder in results:
        shutil.copytree(folder, staged / folder.name)
    aside = orphan.with_name(f"{orphan.name}.orphan-{secrets.token_hex(4)}")
    orphan.rename(aside)
    rows = [_taken_over(part, staged, {file.name for file in decoded}) for part in parts]
    open_ = sum(part["state"] == PartState.PLANNED for part in rows)
    sys.stderr.write(
        f"batchframe: the ledger knows nothing of {orphan.name}, whose folder is there: its "
        f"answers are taken over, and the folder is kept as {aside.name}"
        + (f"; what {open_} of {len(rows)} parts lack is asked anew\n" if open_ else "\n")
    )
    return rows


def _taken_over(part: dict[str, Any], staged: Path, decoded: set[str]) -> dict[str, Any]:
    """Give a part's row as far as its files show that it had come."""
    folder = staged / results_folder(part["number"])
    # only a part that was decoded surely had all its files
    if outputs_file(part["number"]) not in decoded or not folder.exists():
        return part
    files = [file.relative_to(staged).as_posix() for file in sorted(folder.iterdir())]
    for file in folder.iterdir():
        settle(file)
    return {**part, "state": PartState.FETCHED.value, "files": files}


def _mended(workspace: Workspace, request: Request, staged: Staged, row: dict[str, object]) -> bool:
    """Write again what is damaged in the job's folder; a job that failed is looked at closely.

    Returns:
        False when there is no such job any more.
    """
    identity = str(row["id"])
    folder = workspace.job_folder(identity)
    with storage(folder), changing(workspace):
        now = workspace.store.job(identity)
        if now is None:
            return False
        _retype(workspace, request, now)
        replaced = mend(
            folder,
            workspace.store.parts(identity),
            staged,
            by_key=request.recipe.key is not None,
            thoroughly=row["state"] == JobState.FAILED,
        )
    if replaced:
        tell(f"damaged files of {identity} were written again: {', '.join(replaced)}")
    return True


def _retype(workspace: Workspace, request: Request, row: Mapping[str, Any]) -> None:
    """Keep this call's response model: it asks the same, and may read the answers differently."""
    wanted = json.loads(json.dumps(request.settings.get("response_schema")))
    # a call that sends the schema itself, without the class, takes nothing away from others
    if wanted is not None and wanted != row["settings"].get("response_schema"):
        settings = {**row["settings"], "response_schema": wanted}
        workspace.store.update_job(row["id"], settings=settings)


def tell(text: str) -> None:
    """Say something that nobody has to act on."""
    # a notebook paints stderr red, and nothing is wrong here
    out = sys.stdout if in_notebook() else sys.stderr
    out.write(f"batchframe: {text}\n")


def _own_frame(
    workspace: Workspace, request: Request, staged: Staged, identity: str
) -> tuple[Frame, Path | None]:
    """Give this call's frame in the order in which its rows were recognised, and the file it is in.

    A LazyFrame may give its rows in another order when it is run again, so what was staged is kept
    beside the job for as long as the handle lives.
    """
    if isinstance(request.frame, pl.DataFrame):
        return request.frame, None
    kept = workspace.job_folder(identity) / f"frame-{secrets.token_hex(8)}.parquet"
    with storage(kept):
        _sweep_frames(kept.parent)
        (staged.folder / FRAME_FILE).replace(kept)
    return pl.scan_parquet(kept), kept


def _sweep_frames(folder: Path) -> None:
    """Remove copies that handles of processes long gone left behind."""
    for old in folder.glob("frame-*.parquet"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > OWN_FRAME_SECONDS:
                old.unlink()


def _unlink(path: Path) -> None:
    with suppress(OSError):  # Windows keeps a file that is being read; the sweep removes it later
        path.unlink(missing_ok=True)


def _attach(workspace: Workspace, request: Request, row: dict[str, object], frame: Frame) -> Job:
    """Open the job that the same call made before, and go on with it where it stopped."""
    identity, state = str(row["id"]), JobState(str(row["state"]))
    if state is JobState.FAILED:
        workspace.store.update_job(
            identity, state=JobState.QUEUED.value, cancel=False, message=None, ended_at=None
        )
    if not state.ended or state is JobState.FAILED:
        following.follow(workspace, identity, drive=True, memory=request.memory)
    following.tell(workspace, identity, request.memory)
    told = {
        JobState.FAILED: "it had stopped and goes on now",
        JobState.CANCELLED: f"it was cancelled; bf.job('{identity}').retry() sends the rest",
    }.get(state, f"it is {state.value}")
    note = (
        f"attached to {identity}, which this very call has made before ({told}); "
        "again=True runs and pays anew"
    )
    tell(note)
    prefix = str(request.settings["prefix"])
    job = Job(workspace, identity, frame=frame, prefix=prefix, note=note)
    job.recount()
    return job
