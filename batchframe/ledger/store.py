"""The ledger: one row a job, one row a part, each change one short transaction.

SQLite in WAL mode: readers never wait, writers wait for each other up to `BUSY_SECONDS`. A ledger
that may not be written (an archive, a colleague's folder) can still be looked at.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from batchframe.errors import LedgerVersionError, StorageError
from batchframe.ledger.schema import JOBS, LEDGER, MIGRATIONS, PARTS
from batchframe.ledger.workspace import storage

BUSY_SECONDS = 30

Row = Mapping[str, Any]


class Store:
    """One ledger, safe for many threads and processes.

    Args:
        path: The SQLite file; made when it is not there.

    Raises:
        LedgerVersionError: A newer batchframe wrote it.
        StorageError: It cannot be opened, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_only = not _writable(path)
        if self.read_only:
            self._engine = sa.create_engine(
                "sqlite://", creator=lambda: _looking(path), poolclass=sa.QueuePool
            )
        else:
            url = sa.URL.create("sqlite", database=str(path))
            self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
            sa.event.listen(self._engine, "connect", _prepare)
        # a pool that is collected with open connections is a warning from Python 3.13 on
        weakref.finalize(self, self._engine.dispose)
        sa.event.listen(self._engine, "begin", _begin)
        with self._begin(read=self.read_only) as connection:
            if _version(connection, path) < len(MIGRATIONS):
                _migrate(connection, path)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def _begin(self, *, read: bool = False) -> Iterator[sa.Connection]:
        engine = self._engine.execution_options(batchframe_read=True) if read else self._engine
        try:
            with engine.begin() as connection:
                yield connection
        except sa.exc.DatabaseError as error:
            if isinstance(error, sa.exc.IntegrityError):
                raise
            raise StorageError(_explain(str(error.orig), self.path)) from error

    def _select(self, query: sa.Select[Any]) -> list[Row]:
        with self._begin(read=True) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def add_job(self, job: Row, parts: Sequence[Row]) -> bool:
        """Write a job and its parts, all or nothing.

        Returns:
            False when a job of the same id, or fingerprint and run, is there already.
        """
        try:
            with self._begin() as connection:
                connection.execute(sa.insert(JOBS), [dict(job)])
                if parts:
                    connection.execute(sa.insert(PARTS), [dict(part) for part in parts])
        except sa.exc.IntegrityError:
            return False
        return True

    def add_parts(
        self, job_id: str, parts: Sequence[Row], states: Mapping[int, str], **changes: Any
    ) -> None:
        """Add parts to a job, change the states of others and the job's row, all or nothing."""
        with self._begin() as connection:
            for number, state in states.items():
                here = (PARTS.c.job_id == job_id) & (PARTS.c.number == number)
                connection.execute(sa.update(PARTS).where(here).values(state=state))
            if parts:
                connection.execute(sa.insert(PARTS), [dict(part) for part in parts])
            connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(**changes))

    def job(self, job_id: str) -> Row | None:
        """Give a job's row, or None."""
        found = self._select(sa.select(JOBS).where(JOBS.c.id == job_id))
        return found[0] if found else None

    def runs(self, fingerprint: str) -> list[Row]:
        """Give all jobs with this fingerprint, the first run first."""
        query = sa.select(JOBS).where(JOBS.c.fingerprint == fingerprint).order_by(JOBS.c.run)
        return self._select(query)

    def jobs(self) -> list[Row]:
        """Give all jobs, the newest first."""
        query = sa.select(JOBS).order_by(JOBS.c.created_at.desc(), JOBS.c.id)
        return self._select(query)

    def parts(self, job_id: str) -> list[Row]:
        """Give a job's parts in order."""
        query = sa.select(PARTS).where(PARTS.c.job_id == job_id).order_by(PARTS.c.number)
        return self._select(query)

    def update_job(self, job_id: str, **changes: Any) -> None:
        """Change columns of a job's row."""
        with self._begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(**changes))

    def update_part(self, job_id: str, number: int, **changes: Any) -> None:
        """Change columns of a part's row."""
        here = (PARTS.c.job_id == job_id) & (PARTS.c.number == number)
        with self._begin() as connection:
            connection.execute(sa.update(PARTS).where(here).values(**changes))

    def delete_job(self, job_id: str) -> None:
        """Remove a job and its parts."""
        with self._begin() as connection:
            connection.execute(sa.delete(PARTS).where(PARTS.c.job_id == job_id))
            connection.execute(sa.delete(JOBS).where(JOBS.c.id == job_id))


def _writable(path: Path) -> bool:
    """Make the file where it is not there; False for one that is, and may only be read."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it names jobs by their prompts
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and path.exists():
            return False
        with storage(path):
            raise
    return os.access(path.parent, os.W_OK)  # SQLite makes its log beside it


def _looking(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading only.

    Without a log beside it, SQLite is told that the file does not change: it would have to write
    there otherwise. With one, it needs the log's index, which whoever wrote the log has left.
    """
    log = path.with_name(path.name + "-wal")
    quiet = "" if log.exists() and log.stat().st_size else "&immutable=1"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro{quiet}", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
    )
    connection.isolation_level = None
    return connection


def _prepare(connection: Any, _record: object) -> None:
    """Set a new SQLite connection up: WAL, and transactions begun by us rather than the driver."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a step that was saved is there after a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    """Writers take the lock at once: upgrading later fails instead of waiting. Readers take none."""
    read = connection.get_execution_options().get("batchframe_read")
    connection.exec_driver_sql("BEGIN" if read else "BEGIN IMMEDIATE")


def _version(connection: sa.Connection, path: Path) -> int:
    """Give how many steps this ledger has seen; one from the future is refused."""
    if not sa.inspect(connection).has_table(LEDGER.name):
        return 0
    version = connection.execute(sa.select(LEDGER.c.version)).scalar() or 0
    if version > len(MIGRATIONS):
        raise LedgerVersionError(
            f"The ledger {path} was written by a newer batchframe (ledger version {version}, this "
            f"one knows {len(MIGRATIONS)}). Type: pip install --upgrade batchframe. "
            "Or keep apart from it: bf.workspace('another folder')."
        )
    return version


def _migrate(connection: sa.Connection, path: Path) -> None:
    """Apply the steps that this ledger has not seen."""
    LEDGER.create(connection, checkfirst=True)
    version = _version(connection, path)
    for step in MIGRATIONS[version:]:
        step(connection)
    connection.execute(sa.delete(LEDGER))
    connection.execute(sa.insert(LEDGER).values(version=len(MIGRATIONS)))


_CAUSES = (
    ("full", "the disk is full. Free some space and run the same call again; nothing is lost."),
    (
        "readonly",
        (
            "it cannot be written. Choose a folder of your own: bf.workspace('path') or the "
            "environment variable BATCHFRAME_HOME."
        ),
    ),
    (
        "unable to open",
        (
            "it cannot be opened. Choose a folder of your own: bf.workspace('path') or the "
            "environment variable BATCHFRAME_HOME."
        ),
    ),
    (
        "malformed",
        (
            "it is damaged. The jobs' files beside it are still there; keep a copy of the folder and "
            "go on in another: bf.workspace('path')."
        ),
    ),
    (
        "not a database",
        (
            "it is damaged, or another program's file. The jobs' files beside it are still there; keep "
            "a copy of the folder and go on in another: bf.workspace('path')."
        ),
    ),
    ("locked", "another process has held it for too long. Run the same call again."),
)


def _explain(cause: str, path: Path) -> str:
    for word, advice in _CAUSES:
        if word in cause:
            return f"The ledger {path}: {advice}"
    return f"The ledger {path} cannot be used: {cause}."
