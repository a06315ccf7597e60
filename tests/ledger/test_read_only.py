"""A workspace that may not be written can be looked at, and says so when something must be written."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.ledger.schema import LEDGER
from batchframe.testing import Fake, registered

LOOK = r"""
import ctypes, os, sys
import polars as pl, sqlalchemy, filelock
import batchframe as bf
from batchframe.orchestration import job, launch

class Head(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

class Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32),
                ("inheritable", ctypes.c_uint32)]

if os.getuid() == 0:  # root may write anywhere, until it gives that up
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = Head(0x20080522, 0), (Sets * 2)()
    assert libc.capget(ctypes.byref(head), sets) == 0
    sets[0].effective &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(ctypes.byref(head), sets) == 0
space, done, open_ = sys.argv[1:]
try:
    open(space + "/probe", "w")
    sys.exit("the folder can be written: nothing is tested")
except PermissionError:
    pass
bf.workspace(space)
print(sorted(bf.jobs()["state"].to_list()))
print(bf.job(done).result()["response"].to_list())
print(bf.job(open_).status, bf.job(open_).outputs()["error_code"].to_list())
for act in (lambda: bf.job(open_).wait(), lambda: bf.job(done).forget(),
            lambda: pl.DataFrame({"text": ["new"]}).batch.submit(model="local/smollm2", prompt="{text}")):
    try:
        act()
        print("nothing was said")
    except bf.BatchframeError as error:
        print(type(error).__name__, "|", error)
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="the child gives up root's rights as Linux has them"
)
@pytest.mark.parametrize("log", ["with a log", "without a log"])
def test_a_read_only_workspace_shows_its_jobs(tmp_path, log):
    """Jobs, results, outputs; whatever would have to write is refused with a clear sentence."""
    space = tmp_path / "archive"
    with bf.workspace(space) as here, registered(Fake(tmp_path / "cloud", polls=0)) as fake:
        done = (
            pl.DataFrame({"text": ["a", "b"]}).batch.submit(model="fake/m", prompt="{text}").wait()
        )
        fake.create = _refuse
        half = pl.DataFrame({"text": ["c"]}).batch.submit(model="fake/m", prompt="{text}")
        with pytest.raises(errors.JobFailedError):
            half.wait()
        here.store.update_job(half.id, state="running", message=None)
        if log == "without a log":
            here.store.close()
            (space / "ledger.sqlite3-wal").unlink(missing_ok=True)
    folders = [path for path in space.rglob("*") if path.is_dir()]
    files = [path for path in space.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o444)
    for path in [*folders, space]:
        path.chmod(0o555)
    try:
        asked = [sys.executable, "-c", LOOK, str(space), done.id, half.id]
        ran = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for path in [space, *folders]:
            path.chmod(0o700)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[:3] == ["['completed', 'running']", "['a', 'b']", "running ['pending']"]
    assert all(line.startswith("StorageError | ") for line in lines[3:]), lines
    assert all("Choose a folder of your own" in line for line in lines[3:]), lines
    assert len(lines) == 6


def test_an_old_ledger_that_cannot_be_brought_up_to_date_is_refused(tmp_path, monkeypatch):
    """Looking at it with today's columns would fail later and less clearly."""
    from batchframe.ledger import store as module

    path = tmp_path / "ledger.sqlite3"
    store = module.Store(path)
    with store._begin() as connection:
        connection.execute(LEDGER.update().values(version=0))
    store.close()
    monkeypatch.setattr(module, "_writable", lambda _: False)
    with pytest.raises(errors.StorageError) as caught:
        module.Store(path)
    assert str(caught.value) == (
        f"The ledger {path}: it cannot be written. Choose a folder of your own: "
        "bf.workspace('path') or the environment variable BATCHFRAME_HOME."
    )


def _refuse(*_args):
    msg = "no."
    raise errors.AuthenticationError(msg)
