"""Forgetting a job takes two steps, its ledger rows and its files; a marker remembers the second one.

Without it, a process killed in between would leave prompts and answers that nobody finds any more.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import FileLock

from batchframe.ledger.workspace import Workspace, settle, storage

_MARK = "forgotten-"


def changing(workspace: Workspace) -> FileLock:
    """Give the lock under which jobs come and go, over all threads and processes.

    Args:
        workspace: Where the jobs are kept.
    """
    return FileLock(workspace.path / "launch.lock")


def forget_rows(workspace: Workspace, job_id: str) -> None:
    """Remove a job from the ledger, with a note that its files are to go; under `changing`.

    Args:
        workspace: Where the job is kept.
        job_id: The job; nobody drives it.
    """
    mark = workspace.folder("staging") / (_MARK + job_id)
    with storage(mark):
        mark.touch(mode=0o600)
        settle(mark)
    workspace.store.delete_job(job_id)


def forget_files(workspace: Workspace) -> None:
    """Remove the files of all jobs whose rows are gone: this call's, and those a killed one left.

    Args:
        workspace: Where the jobs were kept.
    """
    for mark in workspace.folder("staging").glob(_MARK + "*"):
        folder = workspace.job_folder(mark.name.removeprefix(_MARK))
        with storage(folder), changing(workspace):
            # a job that is (still, or again) in the ledger was not forgotten
            if workspace.store.job(folder.name) is None and folder.exists():
                _remove(folder)
            mark.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():  # something in it vanished at the same time; the rest is still there
            shutil.rmtree(folder)
