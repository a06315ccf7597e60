"""kill -9 inside the steps themselves: the same call in a new process ends well and pays once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from batchframe.ledger.workspace import opened

CHILD = Path(__file__).with_name("point_child.py")
ALL = [f"row {i}" for i in range(10)]


def child(folder: Path, verb: str, point: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the process that may die."""
    command = [sys.executable, str(CHILD), str(folder), verb, *([point] if point else [])]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def killed(folder: Path, verb: str, point: str) -> None:
    """Run a process that must die at its point, and see that what it leaves is whole."""
    ended = child(folder, verb, point)
    assert ended.returncode != 0, "the child was meant to die"
    assert "Traceback" not in ended.stderr, ended.stderr
    whole(folder)


def lives(folder: Path, verb: str) -> dict[str, object]:
    """Run a process that must live; gives what came out."""
    ended = child(folder, verb)
    assert ended.returncode == 0, ended.stderr
    out = folder / "out.json"
    return json.loads(out.read_text()) if out.exists() else {}


def jobs(folder: Path) -> list[str]:
    """The ids that the ledger knows."""
    workspace = opened(folder / "workspace")
    found = [str(row["id"]) for row in workspace.store.jobs()]
    workspace.store.close()
    return found


def folders(folder: Path) -> set[str]:
    """The folders of jobs that are there."""
    return {path.name for path in (folder / "workspace" / "jobs").glob("*")}


def whole(folder: Path) -> None:
    """Whatever the ledger lists has its folder: a job that anyone can go on with."""
    if (folder / "workspace" / "ledger.sqlite3").exists():
        assert set(jobs(folder)) <= folders(folder)


def asked(folder: Path) -> Counter[str]:
    """Count how often each text stands in a batch that would be on the bill."""
    found: Counter[str] = Counter()
    for state in (folder / "cloud").glob("batch-*/state.json"):
        sent = (folder / "cloud" / json.loads(state.read_text())["input"]).read_text()
        lines = [json.loads(line) for line in sent.splitlines()]
        found.update(line["body"]["messages"][-1]["content"] for line in lines)
    return found


def tidy(folder: Path) -> None:
    """Nothing is left that somebody would have to clean by hand: no orphan, nothing half-written."""
    assert folders(folder) == set(jobs(folder))
    left = [path.name for path in (folder / "workspace").rglob("*.tmp")]
    assert not left


SUBMIT = {
    "a part's file is written": "batchframe.frame.parts:PartWriter.write:after",
    "all is staged": "batchframe.orchestration.launch:_made:before",
    "before the folder takes its place": "pathlib:Path.rename:before",
    "after the folder has its place": "pathlib:Path.rename:after",
    "before the ledger's row": "batchframe.ledger.store:Store.add_job:before",
    "after the ledger's row": "batchframe.ledger.store:Store.add_job:after",
    "in the middle of the wire file": "batchframe.frame.encode:_filled:after",
    "before the wire file is there": "pathlib:Path.replace:before",
    "in the middle of the result": "batchframe.frame.decode:_read:before",
    "before the outcomes are there": "batchframe.frame.decode:settle:before",
    "after the outcomes are there": "batchframe.frame.decode:settle:after:2",
    "while the rows are counted": "batchframe.frame.outputs:merged:after",
}


@pytest.mark.parametrize("point", SUBMIT.values(), ids=SUBMIT.keys())
def test_a_submit_killed_anywhere_is_gone_on_with_and_pays_once(tmp_path, point):
    """The same call again: one job, one batch, every row answered, nothing to clean by hand."""
    killed(tmp_path, "submit", point)
    out = lives(tmp_path, "submit")
    assert (out["status"], out["rows"]) == ("completed", ALL)
    assert asked(tmp_path) == Counter(ALL)
    assert jobs(tmp_path) == [out["id"]]
    tidy(tmp_path)


@pytest.mark.parametrize("where", ["after the ledger's row", "in the middle of the wire file"])
def test_a_job_that_the_ledger_lists_needs_no_frame_to_go_on(tmp_path, where):
    """`bf.job(id)` in a new process is enough: its folder holds all that is to be asked."""
    killed(tmp_path, "submit", SUBMIT[where])
    assert lives(tmp_path, "open")["rows"] == ALL
    assert asked(tmp_path) == Counter(ALL)


def test_a_process_killed_while_it_asks_the_provider_asks_again(tmp_path):
    """An open intent stays open until the answer to "did it happen?" is saved."""
    cloud = "batchframe.testing.fake:Fake"
    killed(tmp_path, "submit", f"{cloud}.create:after")
    killed(tmp_path, "submit", f"{cloud}.find:before")
    killed(tmp_path, "submit", f"{cloud}.find:after")
    assert lives(tmp_path, "submit")["rows"] == ALL
    assert asked(tmp_path) == Counter(ALL)


RETRY = {
    "the new part is half written": "batchframe.frame.parts:PartWriter.write:after",
    "the new part is written": "batchframe.ledger.store:Store.add_parts:before",
    "the new part is in the ledger": "batchframe.ledger.store:Store.add_parts:after",
    "the new batch is made": "batchframe.testing.fake:Fake.create:after",
}


@pytest.mark.parametrize("point", RETRY.values(), ids=RETRY.keys())
def test_a_retry_killed_anywhere_sends_the_failed_rows_once(tmp_path, point):
    """After it, the verb again or, where the job was open already, its next reader ends it."""
    (tmp_path / "end").write_text("expired")
    assert lives(tmp_path, "submit")["rows"] == ALL[:5] + [None] * 5
    (tmp_path / "end").write_text("completed")
    killed(tmp_path, "retry", point)
    reopened = "add_parts:before" not in point and "PartWriter" not in point
    out = lives(tmp_path, "open" if reopened else "retry")
    assert out["rows"] == ALL
    assert asked(tmp_path) == Counter(ALL) + Counter(ALL[5:])
    tidy(tmp_path)


def test_a_forget_killed_before_the_ledger_forgets_can_be_said_again(tmp_path):
    """The job is listed as before, and goes with all its files at the second word."""
    lives(tmp_path, "submit")
    killed(tmp_path, "forget", "batchframe.ledger.store:Store.delete_job:before")
    assert len(jobs(tmp_path)) == 1
    lives(tmp_path, "forget")
    assert not jobs(tmp_path)
    assert not folders(tmp_path)


FORGOTTEN = {
    "before the files go": "shutil:rmtree:before",
    "when the files are gone": "os:rmdir:before",
}


@pytest.mark.parametrize("point", FORGOTTEN.values(), ids=FORGOTTEN.keys())
def test_a_forget_killed_after_the_ledger_forgot_is_in_nobodys_way(tmp_path, point):
    """The same call asks again, since it was told to forget, and takes the folder's place."""
    lives(tmp_path, "submit")
    killed(tmp_path, "forget", point)
    assert not jobs(tmp_path)
    out = lives(tmp_path, "submit")
    assert out["rows"] == ALL
    assert asked(tmp_path) == Counter(ALL) + Counter(ALL)
    assert str(out["id"]) in folders(tmp_path)
    tidy(tmp_path)
