"""A LazyFrame that cannot be read is told as such: its source, its query, or our own disk, never another."""

from __future__ import annotations

import errno
import re
import shutil

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.orchestration import plan as planning
from batchframe.testing import Fake, registered


@pytest.fixture(autouse=True)
def _cloud(tmp_path):
    """A provider with a batch API."""
    with registered(Fake(tmp_path / "cloud")):
        yield


def refusal(frame, error):
    """Give the text of the error that a submit raises; nothing may be left behind."""
    with pytest.raises(error) as raised:
        frame.batch.submit(model="fake/m", prompt="{t}")
    assert type(raised.value) is error
    assert bf.jobs().height == 0
    assert list((bf.workspace().path / "staging").iterdir()) == []
    return str(raised.value)


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson", "ipc"])
def test_a_source_that_is_gone_is_named(tmp_path, kind):
    """The schema was known before the file went, so it is the reading that fails."""
    path = tmp_path / f"source.{kind}"
    getattr(pl.DataFrame({"t": ["x"]}), f"write_{kind}")(path)
    frame = getattr(pl, f"scan_{kind}")(path)
    frame.collect_schema()
    path.unlink()
    # Polars cuts the beginning of a long path, and says how to see it whole
    assert re.fullmatch(
        r"The LazyFrame's source cannot be read: No such file or directory \(os error 2\): "
        rf"\S+[/\\]source\.{kind}( \(set POLARS_VERBOSE=1 to see full path\))?\. "
        r"Put the source right and make the LazyFrame anew; nothing was sent\.",
        refusal(frame, errors.FileError),
    )


def test_a_csv_that_cannot_be_parsed_is_told_in_one_line(tmp_path):
    """Without the advice that Polars gives to whoever called it."""
    path = tmp_path / "source.csv"
    path.write_text("t,n\n" + "a,1\n" * 300 + "b,many\n")
    assert refusal(pl.scan_csv(path), errors.FileError) == (
        "The LazyFrame's source cannot be read: could not parse `many` as dtype `i64` at column 'n' "
        "(column number 2). Put the source right and make the LazyFrame anew; nothing was sent."
    )


def test_what_a_file_holds_is_shown_printable_and_cut(tmp_path):
    """Polars quotes the cell, which may hold anything of any length."""
    path = tmp_path / "source.csv"
    path.write_text("n,t\n" + "1,a\n" * 300 + "\x1b[31m" + "x" * 5_000 + ",b\n")
    message = refusal(pl.scan_csv(path), errors.FileError)
    assert message.isprintable()
    assert len(message) < 450


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            lambda frame: frame.with_columns(n=pl.col("t").str.to_integer()),
            (
                "The LazyFrame cannot be evaluated: ComputeError: strict integer parsing failed for "
                '1 value(s): ["x"]; error message for the first shown value: \'invalid digit found '
                "in string' (consider non-strict parsing)"
            ),
        ),
        (
            lambda frame: frame.map_batches(lambda _: 1 / 0),
            "The LazyFrame cannot be evaluated: ZeroDivisionError: division by zero",
        ),
    ],
    ids=["an expression", "a function"],
)
def test_a_query_that_fails_is_not_called_a_file(query, message):
    """The source is fine, and what was made of it is not."""
    assert refusal(query(pl.LazyFrame({"t": ["x"]})), errors.InputError) == message


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        "parquet: File out of specification: underlying IO error: No space left on device (os error 28)",
        "parquet: File out of specification: underlying IO error: Disk quota exceeded (os error 122)",
        "There is not enough space on the disk. (os error 112)",
    ],
)
@pytest.mark.parametrize("kind", [OSError, pl.exceptions.ComputeError])
def test_a_full_disk_is_a_full_disk(monkeypatch, tmp_path, lazy, said, kind):
    """However Polars words it, and whichever way the frame is written."""

    def full(*_args, **_options):
        raise kind(said)

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", full)
    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    frame = pl.DataFrame({"t": ["x"]})
    with pytest.raises(OSError, match="No space left") as raised:
        planning._store_frame(frame.lazy() if lazy else frame, tmp_path / "frame.parquet")
    assert raised.value.errno == errno.ENOSPC
    told = refusal(frame.lazy() if lazy else frame, errors.StorageError)
    assert told.endswith(
        " is full. What was saved stays saved: free some space and run the same call again; it goes "
        "on where it stopped."
    )


def test_our_own_folder_that_is_gone_is_not_the_source(tmp_path):
    """Then it is the workspace that cannot be used."""
    with pytest.raises(FileNotFoundError, match=r"frame\.parquet"):
        planning._store_frame(pl.LazyFrame({"t": ["x"]}), tmp_path / "gone" / "frame.parquet")


def test_a_source_that_is_put_right_is_asked_by_the_same_call(tmp_path):
    """Nothing of the failed call stands in the way."""
    path = tmp_path / "source.parquet"
    pl.DataFrame({"t": ["x"]}).write_parquet(path)
    frame = pl.scan_parquet(path)
    frame.collect_schema()
    shutil.move(path, tmp_path / "away.parquet")
    refusal(frame, errors.FileError)
    shutil.move(tmp_path / "away.parquet", path)
    assert frame.batch.submit(model="fake/m", prompt="{t}").result()["response"].to_list() == ["x"]
