"""The journal: one answer a line, appended, and an answer counts only once the disk has it.

A line is an OpenAI batch output line with one key more, so that one decoder reads both:

    {"id": ..., "custom_id": ..., "response": {"status_code", "request_id", "body"} | null,
     "error": null | {"code", "message"}, "batchframe": {"attempts", "latency", "at", "unseen"}}

`unseen` says that a try may have been paid for without anybody having seen its tokens.

What a crash may leave is known and cheap to undo. Lines are only appended, so a torn write is at the
end: opening cuts it off. A line damaged in the middle (a flipped bit, NULs after a power loss) is
passed over by readers; its row counts as not answered. A newline is what completes a line.

A row may have two lines: one that says it got no answer (`NOT_ANSWERED`), and a later one of the run
that asked again. No row has two lines that are final.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import orjson

from batchframe.errors import StorageError
from batchframe.ledger.workspace import explain, storage

if TYPE_CHECKING:
    from filelock import BaseFileLock

NOT_ANSWERED = frozenset({"cancelled", "connection", "tls"})
"""Error codes that leave a row open: the next run over the same journal asks it again.

All else is final: whatever status the server gave, and `timeout` or `invalid_body` after the last
try, which may have cost money and would most likely end the same way.
"""

LINE_LIMIT = 128 << 20
"""Bytes; twice the largest body the transport lets through. What is longer is damage, not a line."""

_BLOCK = 1 << 16
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write \r\n without it


@dataclass(frozen=True, slots=True)
class Damage:
    """A place in a journal that is no line: its offset and length in bytes."""

    offset: int
    length: int


OnDamage = Callable[[Damage], None]


class Journal:
    """A journal open for appending, by one writer at a time.

    Many `append`s share one write and one fsync. `commit` begins at once when the last one is `every`
    seconds ago or `lines` lines wait, so a slow source pays one fsync a line and a fast one does not.

    Args:
        path: The file; made when it is not there.
        every: Least seconds between two commits of fewer than `lines` lines.
        lines: How many waiting lines are committed without delay.

    Raises:
        StorageError: On entering: the file cannot be written, is another writer's, or is no journal.
    """

    def __init__(self, path: Path, *, every: float = 0.05, lines: int = 64) -> None:
        self.path = path
        self.cut = 0
        """Bytes of torn tail that opening removed."""
        self._every, self._lines = every, lines
        self._lock: BaseFileLock | None = None
        self._fd = -1
        self._end = 0
        self._buffer: list[bytes] = []
        self._appended = self._committed = 0
        self._queue, self._disk = threading.Lock(), threading.Lock()
        self._broken: str | None = None
        self._full = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None
        self._last = float("-inf")

    def __enter__(self) -> Self:
        """Take the file for this writer and repair its end."""
        self._lock = _exclusive(self.path)
        try:
            with storage(self.path):
                new = not self.path.exists()
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
                if new:
                    _sync_folder(self.path.parent)
                self.cut = repair(self.path)
                self._end = os.lseek(self._fd, 0, os.SEEK_END)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit what was appended and give the file free."""
        if self._flusher is not None:
            self._flusher.cancel()
        try:
            self.sync()
        except StorageError:
            if kind is None:  # what ended the block says more than this would
                raise
        finally:
            self._close()

    def append(self, line: bytes) -> None:
        """Hand in one line; it counts after the next `commit` or `sync`.

        Args:
            line: JSON, without its newline.

        Raises:
            StorageError: An earlier write failed.
        """
        if b"\n" in line:
            raise ValueError("a journal line holds no newline")
        with self._queue:
            if self._broken is not None:
                raise StorageError(self._broken)
            self._buffer.append(line + b"\n")
            self._appended += 1
            if len(self._buffer) >= self._lines:
                self._full.set()

    def sync(self) -> None:
        """Write and fsync everything appended so far.

        Raises:
            StorageError: The disk refuses; what was committed before stays, the rest is not there.
        """
        with self._disk:
            with self._queue:
                if self._broken is not None:
                    raise StorageError(self._broken)
                lines, self._buffer = self._buffer, []
                self._full.clear()
            if not lines:
                return
            try:
                self._write(b"".join(lines))
            except OSError as error:
                self._undo()
                self._broken = explain(error, self.path)
                raise StorageError(self._broken) from error
            self._committed += len(lines)

    async def commit(self) -> None:
        """Come back when everything appended so far is on the disk, together with others' lines.

        Raises:
            StorageError: The disk refuses; what was committed before stays, the rest is not there.
        """
        target = self._appended
        while self._committed < target:
            if self._flusher is None or self._flusher.done():
                self._flusher = asyncio.create_task(self._group())
            await asyncio.shield(self._flusher)  # a waiter that gives up must not take others along

    async def _group(self) -> None:
        pause = self._last + self._every - time.monotonic()
        if pause > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), pause)
        self._last = time.monotonic()
        await asyncio.to_thread(self.sync)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        os.fsync(self._fd)
        self._end += len(data)

    def _undo(self) -> None:
        """Take back half a write; should that fail too, the next opening repairs it."""
        with suppress(OSError):
            os.ftruncate(self._fd, self._end)
            os.lseek(self._fd, self._end, os.SEEK_SET)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def repair(path: Path) -> int:
    """Cut off everything after the last complete, valid line.

    Args:
        path: A journal nobody is writing.

    Returns:
        How many bytes were removed.

    Raises:
        StorageError: The file cannot be changed, or holds complete lines of which none is a
            journal's: then it is some other file, and is left alone.
    """
    with storage(path), path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = _good_end(file, size)
        if end == 0 and _line_start(file, size) > 0:
            raise StorageError(
                f"{path} is not a journal of answers: no line in it is one. Move the file away and "
                "run the same call again."
            )
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
        return size - end


def read(
    path: Path, chunk_bytes: int = 1 << 20, *, on_damage: OnDamage | None = None
) -> Iterator[bytes]:
    """Give the journal's lines in bounded memory, without newlines; a missing file has none.

    A last line without its newline is not given: it is still being written, or never will be.

    Args:
        path: The journal; another process may be appending to it.
        chunk_bytes: How much is read at once.
        on_damage: Told of each place that was passed over.

    Raises:
        StorageError: The file cannot be read.
    """
    for line, _ in _lines(path, chunk_bytes, on_damage):
        yield line


def records(path: Path, *, on_damage: OnDamage | None = None) -> Iterator[Mapping[str, Any]]:
    """Give the journal's lines parsed; as `read` otherwise.

    Args:
        path: The journal.
        on_damage: Told of each place that was passed over.
    """
    for _, record in _lines(path, 1 << 20, on_damage):
        yield record


def answered(path: Path) -> set[str]:
    """Give the `custom_id`s that need not be asked again: answered, or failed for good.

    Args:
        path: The journal.
    """
    return {record["custom_id"] for record in records(path) if is_final(record)}


def is_final(record: Mapping[str, Any]) -> bool:
    """Whether a line settles its row, so that a later run passes over it (see `NOT_ANSWERED`)."""
    error = record.get("error")
    return not (isinstance(error, Mapping) and error.get("code") in NOT_ANSWERED)


def _lines(
    path: Path, chunk_bytes: int, on_damage: OnDamage | None
) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
    if not path.exists():
        return
    with storage(path), path.open("rb", buffering=chunk_bytes) as file:
        offset = 0
        while line := file.readline(LINE_LIMIT):
            start, length, first = offset, len(line), line
            while not line.endswith(b"\n") and (line := file.readline(LINE_LIMIT)):
                length += len(line)
            if not line:
                return  # the file ends without a newline
            offset += length
            record = _parse(first) if length == len(first) else None
            if record is not None:
                yield first[:-1], record
            elif first != b"\n" and on_damage is not None:
                on_damage(Damage(start, length))


def _parse(line: bytes) -> Mapping[str, Any] | None:
    """Parse a line; None for what no journal writes."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if isinstance(record, dict) and isinstance(record.get("custom_id"), str):
        return record
    return None


def _good_end(file: BinaryIO, size: int) -> int:
    """Give the offset just after the last valid line, walking back from the end."""
    end = _line_start(file, size)
    while end > 0:
        start = _line_start(file, end - 1)
        if end - start <= LINE_LIMIT:
            file.seek(start)
            if _parse(file.read(end - start)) is not None:
                return end
        end = start
    return 0


def _line_start(file: BinaryIO, before: int) -> int:
    """Give the offset just after the last newline that stands before `before`, or 0."""
    while before > 0:
        start = max(0, before - _BLOCK)
        file.seek(start)
        found = file.read(before - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        before = start
    return 0


def _exclusive(path: Path) -> BaseFileLock:
    """Take the lock beside the journal; the operating system gives it back when a process dies."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only writers need it

    lock = FileLock(path.with_name(path.name + ".lock"), timeout=0, thread_local=False)
    try:
        with storage(path):
            return _acquired(lock)
    except StorageError as error:
        if isinstance(error.__cause__, Timeout):
            raise StorageError(
                f"{path} is being written by another run. Wait for it or stop it, then run the "
                "same call again: it goes on where the other stopped."
            ) from None
        raise


def _acquired(lock: BaseFileLock) -> BaseFileLock:
    lock.acquire()
    return lock


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content, where the platform can (Windows cannot)."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
