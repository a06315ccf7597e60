"""Where jobs are kept: chosen in three ways, private, and clear when it cannot be used."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.ledger import workspace as workspaces
from batchframe.testing import Fake, registered


@pytest.fixture(autouse=True)
def _own_stack(monkeypatch):
    """Each test chooses for itself."""
    monkeypatch.setattr(workspaces, "_STACK", [])


def test_the_environment_chooses_and_a_call_overrules_it(monkeypatch, tmp_path):
    """BATCHFRAME_HOME, then bf.workspace(path), then a with block."""
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "env"))
    assert bf.workspace().path == tmp_path / "env"
    bf.workspace(tmp_path / "call")
    assert bf.workspace().path == tmp_path / "call"
    with bf.workspace(tmp_path / "block"):
        assert bf.workspace().path == tmp_path / "block"
    assert bf.workspace().path == tmp_path / "call"


def test_without_a_word_it_is_the_platforms_data_folder(monkeypatch, tmp_path):
    """And nothing is made by asking."""
    monkeypatch.delenv("BATCHFRAME_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    path = bf.workspace().path
    assert path.name == "workspace"
    assert "batchframe" in path.parts
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no POSIX modes")
def test_the_folder_is_nobody_elses_business(tmp_path):
    """Prompts and answers are private."""
    with registered(Fake(tmp_path / "cloud")):
        job = pl.DataFrame({"t": ["x"]}).batch.submit(model="fake/m", prompt="{t}").wait()
    home = bf.workspace()
    for folder in (home.path, home.path / "jobs", home.path / "staging", home.job_folder(job.id)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            errno.ENOSPC,
            (
                "The disk that holds {path} is full. What was saved stays saved: free some space and "
                "run the same call again; it goes on where it stopped."
            ),
        ),
        (
            errno.EROFS,
            (
                "{path} cannot be written (Read-only file system). Choose a folder of your own: "
                'bf.workspace("path") or the environment variable BATCHFRAME_HOME.'
            ),
        ),
    ],
)
def test_a_folder_that_cannot_be_made_says_why_and_what_to_do(monkeypatch, tmp_path, code, message):
    """A full and a read-only disk."""

    def refuse(self, *args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    home = bf.workspace(tmp_path / "w")
    with registered(Fake(tmp_path / "cloud")), pytest.raises(errors.StorageError) as caught:
        pl.DataFrame({"t": ["x"]}).batch.submit(model="fake/m", prompt="{t}")
    assert str(caught.value) == message.format(path=home.path / "jobs")


def test_a_disk_that_fills_up_while_writing_leaves_no_half_job(monkeypatch, tmp_path):
    """Nothing staged stays behind, and the same call works afterwards."""
    from batchframe.orchestration import plan

    def full(frame, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    df = pl.DataFrame({"t": ["x"]})
    with registered(Fake(tmp_path / "cloud")):
        with monkeypatch.context() as m:
            m.setattr(plan, "_store_frame", full)
            with pytest.raises(errors.StorageError, match="The disk that holds .* is full"):
                df.batch.submit(model="fake/m", prompt="{t}")
        assert not list((bf.workspace().path / "staging").iterdir())
        assert bf.jobs().height == 0
        assert df.batch.submit(model="fake/m", prompt="{t}").result()["response"].to_list() == ["x"]


def test_a_disk_that_fills_up_while_the_job_runs_is_resumed_by_the_same_call(monkeypatch, tmp_path):
    """The job says why it stopped; what is paid stays paid once."""
    from batchframe.frame import decode

    real = decode.decode_part

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    df = pl.DataFrame({"t": ["x"]})
    with registered(Fake(tmp_path / "cloud")) as fake:
        monkeypatch.setattr(decode, "decode_part", full)
        job = df.batch.submit(model="fake/m", prompt="{t}")
        with pytest.raises(errors.JobFailedError) as caught:
            job.wait()
        assert "is full" in str(caught.value)
        assert isinstance(caught.value.__cause__, errors.StorageError)
        monkeypatch.setattr(decode, "decode_part", real)
        assert df.batch.submit(model="fake/m", prompt="{t}").result()["response"].to_list() == ["x"]
        assert len(fake.batches()) == 1


def test_a_launch_that_died_between_folder_and_ledger_is_taken_over(tmp_path):
    """The folder is there, the row is not: the next launch of the same request takes its place."""
    df = pl.DataFrame({"t": ["x"]})
    with registered(Fake(tmp_path / "cloud")):
        job = df.batch.submit(model="fake/m", prompt="{t}").wait()
        bf.workspace().store.delete_job(job.id)
        again = df.batch.submit(model="fake/m", prompt="{t}").wait()
    assert again.id == job.id
    assert again.result()["response"].to_list() == ["x"]
