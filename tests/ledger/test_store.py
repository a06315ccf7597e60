"""The ledger: all or nothing, the same for every process, and clear when it cannot be used."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest
import sqlalchemy as sa

from batchframe.errors import LedgerVersionError, StorageError
from batchframe.ledger import store as store_module
from batchframe.ledger.schema import MIGRATIONS
from batchframe.ledger.store import Store


def job(identity: str = "job-a", **changes: object) -> dict[str, object]:
    """Give a job's row."""
    return {
        "id": identity, "fingerprint": identity, "run": 0, "name": "n", "model": "fake/m",
        "mode": "batch", "endpoint": "/v1/chat/completions", "state": "queued", "total": 1,
        "created_at": 1.0, **changes,
    }  # fmt: skip


def part(number: int = 0, **changes: object) -> dict[str, object]:
    """Give a part's row."""
    return {
        "job_id": "job-a", "number": number, "state": "planned", "key": f"job-a-{number}",
        "model": "fake/m", "rows": 1, "retry": False, **changes,
    }  # fmt: skip


def test_a_job_and_its_parts_are_written_together_or_not_at_all(tmp_path):
    """A part that cannot be written takes its job with it."""
    store = Store(tmp_path / "l.sqlite3")
    assert not store.add_job(job(), [part(0), part(0)])
    assert store.job("job-a") is None
    assert store.add_job(job(), [part(0), part(1)])
    assert [p["number"] for p in store.parts("job-a")] == [0, 1]


def test_a_job_of_the_same_id_or_fingerprint_and_run_is_refused(tmp_path):
    """What makes two submits of one request one job."""
    store = Store(tmp_path / "l.sqlite3")
    assert store.add_job(job(), [])
    assert not store.add_job(job(), [])
    assert not store.add_job(job("job-b", fingerprint="job-a"), [])
    assert store.add_job(job("job-b", fingerprint="job-a", run=1), [])
    assert [row["id"] for row in store.runs("job-a")] == ["job-a", "job-b"]


def test_what_one_store_saved_another_one_reads(tmp_path):
    """Two processes on one workspace."""
    first, second = Store(tmp_path / "l.sqlite3"), Store(tmp_path / "l.sqlite3")
    first.add_job(job(), [part()])
    first.update_part("job-a", 0, state="created", ticket={"batch": "b1"})
    second.update_job("job-a", cancel=True)
    assert second.parts("job-a")[0]["ticket"] == {"batch": "b1"}
    assert first.job("job-a")["cancel"] is True


def test_a_reader_does_not_wait_for_a_writer(tmp_path):
    """WAL: faces look while a driver saves."""
    store = Store(tmp_path / "l.sqlite3")
    store.add_job(job(), [part()])
    writer = sqlite3.connect(tmp_path / "l.sqlite3", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE jobs SET name = 'other'")
    start = time.monotonic()
    assert store.job("job-a")["name"] == "n"
    assert time.monotonic() - start < 5
    writer.execute("ROLLBACK")
    writer.close()


def test_many_threads_write_and_nothing_is_lost(tmp_path):
    """Writers wait for each other."""
    store = Store(tmp_path / "l.sqlite3")
    for n in range(8):
        store.add_job(job(f"job-{n}"), [])

    def work(n: int) -> None:
        for value in range(20):
            store.update_job(f"job-{n}", done=value + 1)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["done"] for row in store.jobs()} == {20}


def test_two_that_read_first_and_then_write_wait_for_each_other(tmp_path, monkeypatch):
    """Two processes open a new workspace at once: both look at its version, one makes the tables."""
    path, real, looked, stores = tmp_path / "l.sqlite3", store_module._version, [], []

    def slow(connection, where):
        found = real(connection, where)
        looked.append(found)
        time.sleep(0.3)  # whoever may look at the same time does so now
        return found

    monkeypatch.setattr(store_module, "_version", slow)
    threads = [threading.Thread(target=lambda: stores.append(Store(path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 2
    # the maker looks once more when it has the tables; who waited finds them made
    assert looked == [0, 0, len(MIGRATIONS)]


def test_what_is_saved_is_there_after_a_power_cut(tmp_path):
    """Each commit is brought to the disk: SQLite's `synchronous` is FULL (2), its journal a WAL."""
    asked = []

    def note(connection, *_more):
        cursor = connection.cursor()
        asked.extend(
            cursor.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "foreign_keys")
        )
        cursor.close()

    store = Store(tmp_path / "l.sqlite3")
    store.close()
    sa.event.listen(store._engine, "connect", note)  # after the store's own preparations
    assert store.add_job(job(), [])
    assert asked == [2, "wal", 1]


def test_a_ledger_of_a_newer_batchframe_is_left_alone(tmp_path):
    """The message says what to type."""
    path = tmp_path / "l.sqlite3"
    Store(path).close()
    newer = len(MIGRATIONS) + 1
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE ledger SET version = {newer}")
    connection.close()
    with pytest.raises(LedgerVersionError) as caught:
        Store(path)
    assert str(caught.value) == (
        f"The ledger {path} was written by a newer batchframe (ledger version {newer}, this one "
        f"knows {len(MIGRATIONS)}). Type: pip install --upgrade batchframe. "
        "Or keep apart from it: bf.workspace('another folder')."
    )


def test_a_file_that_is_no_ledger_is_named(tmp_path):
    """Not a traceback from SQLite."""
    path = tmp_path / "l.sqlite3"
    path.write_bytes(b"this is a diary, not a database" * 100)
    with pytest.raises(StorageError) as caught:
        Store(path)
    assert str(caught.value) == (
        f"The ledger {path}: it is damaged, or another program's file. The jobs' files beside it "
        "are still there; keep a copy of the folder and go on in another: bf.workspace('path')."
    )


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    """A ledger that may not grow any more keeps what it has."""
    path = tmp_path / "l.sqlite3"
    store = Store(path)
    store.add_job(job(), [])

    def full(connection, _record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(store._engine, "connect", full)
    store.close()
    with pytest.raises(StorageError) as caught:
        for n in range(500):
            store.add_job(job(f"job-{n}", name="x" * 1000), [])
    assert str(caught.value) == (
        f"The ledger {path}: the disk is full. Free some space and run the same call again; "
        "nothing is lost."
    )
    store.close()
    assert Store(path).job("job-a")["name"] == "n"
