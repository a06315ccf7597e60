"""What must outlast a power cut, a late failure and another process on the same workspace."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from stat import S_ISDIR

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.ledger.store import Store
from batchframe.ledger.workspace import opened
from batchframe.model import Limits
from batchframe.testing import Echo, Fake, registered

DF = pl.DataFrame({"text": [f"t{i}" if i != 3 else None for i in range(20)]})


# A batch that failed late


def test_a_batch_that_failed_late_keeps_what_was_answered(tmp_path):
    """Promise 2: the answers given before the failure are paid; only the rest is sent again."""
    with registered(Fake(tmp_path / "cloud", end="failed_late")) as fake:
        job = DF.batch.submit(model="fake/m", prompt="{text}").wait()
        out = job.result()
        assert out["response"].drop_nulls().to_list() == DF["text"].drop_nulls()[:9].to_list()
        assert out["error"][15] == "batch_failed: the fake was told to fail"
        fake.end = "completed"
        assert job.retry().wait().result()["response"].to_list() == DF["text"].to_list()
    sent = next((tmp_path / "cloud").glob(f"{job.id}-1-*.jsonl")).read_bytes().splitlines()
    assert len(sent) == 10, "what is answered is not paid for again"


# A power cut


class Disk:
    """What a power cut would leave of a folder: bytes and names that an fsync has reached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self._bytes: dict[tuple[int, int], int] = {}
        self._names: dict[tuple[tuple[int, int], str], int] = {}

    def synced(self, handle: int) -> None:
        """Note what one fsync brings to the disk."""
        stat = os.fstat(handle)
        where = (stat.st_dev, stat.st_ino)
        self._bytes[where] = stat.st_size
        if S_ISDIR(stat.st_mode):
            with os.scandir(handle) as entries:
                self._names |= {(where, entry.name): entry.inode() for entry in entries}

    def has_bytes(self, path: Path) -> bool:
        """Whether a file's content as it is now would be there."""
        stat = path.stat()
        return self._bytes.get((stat.st_dev, stat.st_ino)) == stat.st_size

    def has_name(self, path: Path) -> bool:
        """Whether a file or folder would be found under its name."""
        folder = path.parent.stat()
        led_to = self._names.get(((folder.st_dev, folder.st_ino), path.name))
        return led_to == path.stat().st_ino  # what was replaced has the name, and is not the file

    def expect(self, moment: str, *paths: Path) -> None:
        """Note as faults what would be lost of these files."""
        for path in paths:
            lost = [
                w
                for w, has in (("bytes", self.has_bytes), ("name", self.has_name))
                if not has(path)
            ]
            self.faults += [f"{moment}: the {word} of {path.name}" for word in lost]


@pytest.fixture
def disk(monkeypatch):
    """Watch every fsync; a file that takes its place before its bytes are safe is a fault."""
    if os.name == "nt":
        pytest.skip("Windows opens no folders, so names cannot be made durable there")
    found = Disk(bf.workspace().path)
    fsync, replace = os.fsync, Path.replace

    def sync(handle):
        fsync(handle)
        found.synced(handle)

    def take_place(self, target):
        if self.is_relative_to(found.folder / "jobs") and not found.has_bytes(self):
            found.faults.append(f"replaced early: {Path(target).name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", take_place)
    return found


def before(monkeypatch, method, call):
    """Call something with the arguments of a method of the ledger just before it is done."""
    real = getattr(Store, method)

    def watched(self, *args, **changes):
        call(*args, **changes)
        return real(self, *args, **changes)

    monkeypatch.setattr(Store, method, watched)


def test_a_job_is_on_the_disk_before_the_ledger_names_it(disk, tmp_path, monkeypatch):
    """Its requests, the rows that are not sent, the frame's copy, and the folder's own name."""
    seen = []

    def named(job, _parts):
        folder = bf.workspace().job_folder(job["id"])
        files = sorted(folder.iterdir())
        seen.extend(path.name for path in files)
        disk.expect("add_job", *files)
        if not disk.has_name(folder):
            disk.faults.append("add_job: the folder's name")

    before(monkeypatch, "add_job", named)
    with registered(Fake(tmp_path / "cloud")):
        DF.batch.submit(model="fake/m", prompt="{text}").wait()
    assert seen == ["frame.parquet", "part-0000.requests.parquet", "unsent.parquet"]
    assert [fault for fault in disk.faults if fault.startswith("add_job")] == []


MADE = {
    "encoded": "part-0000.jsonl",
    "ended": "part-0000.journal.jsonl",
    "decoded": "part-0000.outputs.parquet",
}
"""State of a managed part -> the file that it says is whole."""


def test_a_file_is_on_the_disk_before_the_ledger_says_that_a_step_is_done(disk, monkeypatch):
    """The wire file, the answers and their outcomes, each before its step is saved."""
    seen = []

    def saved(job_id, _number, **changes):
        if changes.get("state") in MADE:
            seen.append(str(changes["state"]))
            disk.expect(
                str(changes["state"]), bf.workspace().job_folder(job_id) / MADE[changes["state"]]
            )

    before(monkeypatch, "update_part", saved)
    with registered(Echo()):
        DF.batch.submit(model="echo/m", prompt="{text}").wait()
    assert seen == list(MADE)
    assert [fault for fault in disk.faults if fault.startswith(tuple(MADE))] == []


def test_a_providers_result_files_are_on_the_disk_before_they_count_as_fetched(
    disk, tmp_path, monkeypatch
):
    """A torn one would be there, and so not be fetched again; its rows would be paid for twice."""
    seen = []

    def saved(job_id, _number, **changes):
        if changes.get("state") == "fetched":
            folder = bf.workspace().job_folder(job_id)
            files = [folder / name for name in changes["files"]]
            seen.extend(file.name for file in files)
            disk.expect("fetched", *files)
            if not disk.has_name(files[0].parent):
                disk.faults.append("fetched: the folder's name")

    before(monkeypatch, "update_part", saved)
    with registered(Fake(tmp_path / "cloud")):
        DF.batch.submit(model="fake/m", prompt="{text}").wait()
    assert seen == ["batch-0000.result.jsonl"]
    assert [fault for fault in disk.faults if fault.startswith("fetched")] == []


def test_no_file_takes_the_place_of_another_before_its_bytes_are_safe(disk, tmp_path):
    """A name that leads to an empty file is what a power cut makes of a hurried rename."""
    with registered(Fake(tmp_path / "cloud")):
        job = DF.batch.submit(model="fake/m", prompt="{text}").wait()
        outputs = bf.workspace().job_folder(job.id) / "part-0000.outputs.parquet"
        requests = bf.workspace().job_folder(job.id) / "part-0000.requests.parquet"
        outputs.write_bytes(b"damaged")
        job.retry().wait()
        requests.write_bytes(b"damaged")
        DF.batch.submit(model="fake/m", prompt="{text}").wait()
    assert pl.read_parquet(requests).height == 19
    disk.expect("at last", outputs, requests)
    assert disk.faults == []


def test_a_forget_is_noted_on_the_disk_before_the_ledger_forgets(disk, tmp_path, monkeypatch):
    """Else a power cut between the two would leave prompts that nobody finds any more."""
    marks = []

    def forgotten(job_id):
        marks.append(bf.workspace().path / "staging" / f"forgotten-{job_id}")
        disk.expect("forget", *marks)

    with registered(Fake(tmp_path / "cloud")):
        job = DF.batch.submit(model="fake/m", prompt="{text}").wait()
    before(monkeypatch, "delete_job", forgotten)
    job.forget()
    assert len(marks) == 1
    assert [fault for fault in disk.faults if fault.startswith("forget")] == []


# Managed parts


def test_managed_parts_are_sent_one_after_another():
    """Each uses the whole rate limit, or the whole machine, by itself."""
    guard, flying, most = threading.Lock(), [0], [0]

    def answer(_body):
        with guard:
            flying[0] += 1
            most[0] = max(most[0], flying[0])
        time.sleep(0.03)
        with guard:
            flying[0] -= 1
        return "x"

    small = Limits(requests=10, bytes=10**6, source="a test", as_of="2026-11-24")
    with registered(Echo(answer, concurrency=2, limits=small)):
        job = DF.batch.submit(model="echo/m", prompt="{text}").wait()
    assert job.view.parts_total == 2
    assert most == [2]


# Two processes on one workspace


def test_a_job_that_is_forgotten_while_the_list_is_made_is_left_out(tmp_path, monkeypatch):
    """Another process may take it away between the listing and the look at it."""
    real = Store.jobs
    with registered(Fake(tmp_path / "cloud")):
        kept = DF[:2].batch.submit(model="fake/m", prompt="{text}").wait()
        gone = DF[:1].batch.submit(model="fake/m", prompt="{text}").wait()

    def listed(self):
        rows = real(self)
        monkeypatch.setattr(Store, "jobs", real)
        gone.forget()
        return rows

    monkeypatch.setattr(Store, "jobs", listed)
    assert bf.jobs()["id"].to_list() == [kept.id]


ASKING = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    import polars as pl
    import batchframe as bf
    from batchframe.testing import Echo, registered

    name, workspace, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    bf.workspace(workspace)

    def answer(body):
        text = body["messages"][-1]["content"]
        with (folder / f"asked-{name}.log").open("a") as log:
            log.write(text + "\\n")
        deadline = time.monotonic() + 50
        while not (folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return text.upper()

    df = pl.DataFrame({"text": [f"t{i}" for i in range(6)]})
    with registered(Echo(answer, name="fake", concurrency=2)):
        job = df.batch.submit(model="fake/m", prompt="{text}")
        (folder / f"submitted-{name}").touch()
        print(job.id, *job.result()["response"])
    """
)


def test_a_process_that_finds_another_at_work_says_so_and_waits_for_its_answers(tmp_path):
    """One drives, both have the answers, and no row is asked twice."""

    def started(name):
        command = [sys.executable, "-c", ASKING, name, str(bf.workspace().path), str(tmp_path)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def until(name):
        deadline = time.monotonic() + 60
        while not (tmp_path / name).exists():
            assert time.monotonic() < deadline, f"{name} did not come"
            time.sleep(0.01)

    one = started("one")
    until("asked-one.log")
    two = started("two")
    until("submitted-two")
    time.sleep(0.3)  # were the second to drive as well, it would have asked by now
    (tmp_path / "go").touch()
    said = [process.communicate(timeout=60) for process in (one, two)]
    identity = said[0][0].split()[0]
    assert said == [
        (f"{identity} T0 T1 T2 T3 T4 T5\n", ""),
        (
            f"{identity} T0 T1 T2 T3 T4 T5\n",
            (
                f"batchframe: attached to {identity}, which this very call has made before "
                "(it is running); again=True runs and pays anew\n"
            ),
        ),
    ]
    asked = (tmp_path / "asked-one.log").read_text().split()
    assert sorted(asked) == [f"t{i}" for i in range(6)]
    assert not (tmp_path / "asked-two.log").exists()


def test_a_handle_of_a_job_that_another_process_forgot_says_so(tmp_path):
    """A look at what is gone is an error that names the job and the place."""
    with registered(Fake(tmp_path / "cloud")):
        job = DF.batch.submit(model="fake/m", prompt="{text}").wait()
    opened(bf.workspace().path).store.delete_job(job.id)
    with pytest.raises(errors.JobError) as caught:
        job.view  # noqa: B018 - looking is what is tried
    assert (
        str(caught.value) == f"Job {job.id} is not in the workspace {bf.workspace().path} any more."
    )
