"""In this process, each open job has one follower: it drives the job if nobody does, else it watches.

The job's lock file decides: the operating system lets go of it when a driver dies, however it dies,
so a job whose driver was killed is taken over at the next look.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from batchframe.errors import JobError
from batchframe.ledger.events import JobState, JobView
from batchframe.ledger.workspace import Workspace, storage
from batchframe.orchestration import background
from batchframe.orchestration.driver import Driver
from batchframe.orchestration.effects import Memory
from batchframe.orchestration.view import Speed, view

WATCH_SECONDS = 0.5
"""How often a job that another process drives is looked at."""


@dataclass
class Follower:
    """One job, followed in this process.

    `drive` may turn from False to True while it watches: a face only looks, a `wait()` wants an end.
    """

    workspace: Workspace
    job_id: str
    memory: Memory
    drive: bool
    future: concurrent.futures.Future[None] | None = None
    last: JobView | None = None
    failure: Exception | None = None
    called: bool = False
    leaving: bool = False
    _speed: Speed = field(default_factory=Speed)

    async def run(self) -> None:
        """Follow the job until it has ended."""
        unsubscribe = self.workspace.events.subscribe(
            self.job_id, lambda seen: setattr(self, "last", seen)
        )
        try:
            await self._run()
        finally:
            unsubscribe()

    async def _run(self) -> None:
        lock = lock_of(self.workspace, self.job_id)
        while await self._goes_on():
            if self.drive and _acquired(lock):
                try:
                    if not (await self._look()).state.ended:
                        self.failure = await Driver(self.workspace, self.job_id, self.memory).run()
                finally:
                    lock.release()
            else:
                await asyncio.sleep(WATCH_SECONDS)

    async def _goes_on(self) -> bool:
        """Look; an end counts only when nobody has asked for the job since the look began."""
        with _GUARD:
            self.called = False
        ended = (await self._look()).state.ended
        while ended:
            with _GUARD:
                if not self.called:
                    self.leaving = True
                    return False
                self.called = False
            ended = (await self._look()).state.ended
        return True

    async def _look(self) -> JobView:
        seen = await asyncio.to_thread(look, self.workspace, self.job_id)
        rate = self._speed(seen.done)
        if seen.state is JobState.RUNNING and rate:
            seen = await asyncio.to_thread(look, self.workspace, self.job_id, rate)
        self.workspace.events.publish(seen)
        return seen


def look(workspace: Workspace, job_id: str, rate: float | None = None) -> JobView:
    """Give a job's view as the ledger has it.

    Args:
        workspace: Where the job is kept.
        job_id: The job.
        rate: Rows per second, if someone knows.

    Raises:
        JobError: There is no such job any more.
    """
    job = workspace.store.job(job_id)
    if job is None:
        raise JobError(f"Job {job_id} is not in the workspace {workspace.path} any more.")
    if job["cancel"] and not JobState(job["state"]).ended:
        job = {**job, "state": JobState.CANCELLING}
    return view(job, workspace.store.parts(job_id), rate=rate)


def now(workspace: Workspace, job_id: str) -> JobView:
    """Give a job's view as this process knows it best.

    The ledger's word, with the live figures (rate, causes) where the job is followed here; a job
    whose driver died is `queued`: in the ledger, and nobody drives it.

    Args:
        workspace: Where the job is kept.
        job_id: The job.
    """
    seen = look(workspace, job_id)
    with _GUARD:
        follower = _FOLLOWERS.get((str(workspace.path), job_id))
    here = follower is not None and follower.future is not None and not follower.future.done()
    if seen.state.ended:
        return seen
    if (
        here
        and follower is not None
        and follower.last is not None
        and follower.last.done >= seen.done
    ):
        return replace(follower.last, state=seen.state)
    if not here and seen.state is not JobState.QUEUED:
        lock = lock_of(workspace, job_id)
        # where nothing may be written, nobody can tell whether another machine drives it
        if not workspace.store.read_only and _acquired(lock):
            lock.release()
            return replace(seen, state=JobState.QUEUED)
    return seen


def failure_of(workspace: Workspace, job_id: str) -> Exception | None:
    """Give the exception that stopped a job, where this process was the one that saw it.

    Args:
        workspace: Where the job is kept.
        job_id: The job.
    """
    with _GUARD:
        known = _FOLLOWERS.get((str(workspace.path), job_id))
        return known.failure if known else None


def drop(workspace: Workspace, job_id: str) -> None:
    """Forget what this process was told about a job."""
    with _GUARD:
        _FOLLOWERS.pop((str(workspace.path), job_id), None)


def _forget_all() -> None:
    """A forked child has the followers' objects but none of their threads."""
    global _GUARD  # noqa: PLW0603 - the lock may be held by a thread that does not exist here
    _GUARD = threading.Lock()
    _FOLLOWERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def lock_of(workspace: Workspace, job_id: str) -> FileLock:
    """Give the lock that whoever drives a job holds."""
    return FileLock(workspace.job_folder(job_id) / "driver.lock", thread_local=False)


def _acquired(lock: FileLock) -> bool:
    with storage(Path(lock.lock_file)):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
    return True


_FOLLOWERS: dict[tuple[str, str], Follower] = {}
_GUARD = threading.Lock()


def follow(
    workspace: Workspace, job_id: str, *, drive: bool, memory: Memory | None = None
) -> concurrent.futures.Future[None]:
    """Follow a job in the background; the future ends when the job has.

    Args:
        workspace: Where the job is kept.
        job_id: The job.
        drive: Whether to drive it when nobody else does.
        memory: What only this process knows of the job; without it, what an earlier call told.
    """
    where = (str(workspace.path), job_id)
    with _GUARD:
        known = _FOLLOWERS.get(where)
        alive = known is not None and known.future is not None and not known.future.done()
        if known is not None and known.future is not None and alive and not known.leaving:
            known.called = True
            known.drive = known.drive or drive
            if memory is not None:
                known.memory = memory
            return known.future
        told = memory or (known.memory if known else Memory())
        made = _FOLLOWERS[where] = Follower(workspace, job_id, told, drive)
        made.future = background.start(made.run())
        return made.future


def tell(workspace: Workspace, job_id: str, memory: Memory) -> None:
    """Remember what only this process knows of a job, without following it.

    Args:
        workspace: Where the job is kept.
        job_id: The job.
        memory: What a call said.
    """
    where = (str(workspace.path), job_id)
    with _GUARD:
        known = _FOLLOWERS.setdefault(where, Follower(workspace, job_id, memory, drive=False))
        known.memory = memory


def memory_of(workspace: Workspace, job_id: str) -> Memory:
    """Give what this process was told about a job."""
    with _GUARD:
        known = _FOLLOWERS.get((str(workspace.path), job_id))
        return known.memory if known else Memory()
