"""A workspace is one folder: the ledger of all jobs and, for each job, its files.

<workspace>/ledger.sqlite3        every job and part, every step before and after it is taken
<workspace>/jobs/<job id>/        what was asked, what was sent, what was answered
<workspace>/staging/              a submit in the making; its folder becomes the job's by one rename
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from batchframe.errors import StorageError
from batchframe.ledger.events import Events

if TYPE_CHECKING:
    from batchframe.ledger.store import Store

PRIVATE = 0o700
"""Prompts and answers are nobody else's business (Windows keeps a profile folder private itself)."""

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


@dataclass(frozen=True)
class Workspace:
    """A folder that keeps jobs; made when it is first used.

    Args:
        path: The folder.
    """

    path: Path

    @cached_property
    def store(self) -> Store:
        """The ledger, opened (and brought up to date) at first use."""
        from batchframe.ledger.store import Store  # noqa: PLC0415 - SQLAlchemy loads at first use

        self.folder()
        return Store(self.path / "ledger.sqlite3")

    @cached_property
    def events(self) -> Events:
        """What happens to the workspace's jobs, as this process knows it."""
        return Events()

    def folder(self, *names: str) -> Path:
        """Give a folder inside the workspace, made private and ready.

        Args:
            names: Path components below the workspace.

        Raises:
            StorageError: It cannot be made.
        """
        folder = self.path.joinpath(*names)
        with storage(folder):
            for step in [
                self.path,
                *(self.path.joinpath(*names[: i + 1]) for i in range(len(names))),
            ]:
                step.mkdir(mode=PRIVATE, parents=step == self.path, exist_ok=True)
        return folder

    def job_folder(self, job_id: str) -> Path:
        """Give the folder of a job (it need not exist)."""
        return self.path / "jobs" / job_id

    def staging(self) -> Path:
        """Make an empty folder for a submit in the making."""
        self.folder("jobs")
        return self.folder("staging", uuid.uuid4().hex)

    def __enter__(self) -> Self:
        """Make this the current workspace for the block."""
        if self in _FRESH:
            _FRESH.clear()  # `workspace(path)` has put it on the stack already
        else:
            _STACK.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        """Go back to the workspace that was chosen before."""
        last = len(_STACK) - 1 - _STACK[::-1].index(self)
        del _STACK[last]


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals about `path` into a StorageError that says what to do.

    Args:
        path: What is being written or read.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(explain(error, path)) from error


def explain(error: OSError, path: Path) -> str:
    """Say what an OSError means for a workspace and whose turn it is."""
    if error.errno in _FULL:
        return (
            f"The disk that holds {path} is full. What was saved stays saved: free some space and "
            "run the same call again; it goes on where it stopped."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{path} cannot be written ({error.strerror}). Choose a folder of your own: "
            'bf.workspace("path") or the environment variable BATCHFRAME_HOME.'
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return (
            f"{path} cannot be made: it, or a folder above it, is a file. Choose a folder: "
            'bf.workspace("path") or the environment variable BATCHFRAME_HOME.'
        )
    return f"{path} cannot be used: {error.strerror or error}. Run the same call again afterwards."


_STACK: list[Workspace] = []
_FRESH: list[Workspace] = []  # chosen by the last call, and not yet the subject of a `with`
_OPEN: dict[Path, Workspace] = {}


def workspace(path: str | os.PathLike[str] | None = None) -> Workspace:
    """Choose where jobs are kept, for this process; without a path, say where that is.

    The order: the path given here, the environment variable `BATCHFRAME_HOME`, the platform's
    folder for user data. The value works in a `with` block, too, which ends with the block.

    Args:
        path: A folder; made when it is first used, private to the user.

    Returns:
        The workspace.
    """
    if path is None:
        return current()
    chosen = opened(Path(path))
    _STACK.append(chosen)
    _FRESH[:] = [chosen]
    return chosen


def current() -> Workspace:
    """Give the workspace that calls use now."""
    if _STACK:
        return _STACK[-1]
    home = os.environ.get("BATCHFRAME_HOME")
    if home:
        return opened(Path(home))
    from platformdirs import user_data_path  # noqa: PLC0415 - only where nothing else was said

    return opened(user_data_path("batchframe", appauthor=False) / "workspace")


def settle(path: Path) -> None:
    """Bring a finished file or folder, and its name, to the disk: what the ledger says must be there.

    Args:
        path: It must not be open for writing any more.
    """
    for place in (path, path.parent):
        try:
            handle = os.open(place, os.O_RDONLY)
        except OSError:
            continue  # Windows opens no folders, and needs no more than the file's own flush
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno in _FULL:
                raise
        finally:
            os.close(handle)


def _forget_stores() -> None:
    """A forked child must not share its parent's connections."""
    for known in _OPEN.values():
        known.__dict__.pop("store", None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_stores)


def opened(path: Path) -> Workspace:
    """One object a folder, so that a process opens each ledger once."""
    path = path.expanduser().absolute()
    return _OPEN.setdefault(path.resolve(), Workspace(path))
