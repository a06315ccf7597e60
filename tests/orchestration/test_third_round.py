"""What two readers of the code found by trying: crashes, lost ledgers, odd bodies, refused cancels."""

from __future__ import annotations

import json
import os
import shutil
import stat
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from pydantic import BaseModel

import batchframe as bf
from batchframe import errors
from batchframe.model import Phase, Progress
from batchframe.orchestration.steps import PartState
from batchframe.testing import Echo, Fake, registered

DF = pl.DataFrame({"text": ["a", "b", "c", "d"]})
KEY = "sk-live-" + "a1b2c3d4" * 3


@pytest.fixture
def cloud(tmp_path):
    """Give a provider with a batch API."""
    with registered(Fake(tmp_path / "cloud", polls=0)) as fake:
        yield fake


def ask(**more):
    return DF.batch.submit(model="fake/m", prompt="{text}", **more)


def test_reading_raw_answers_again_is_one_step_in_the_ledger(cloud, monkeypatch):
    """Killed right after it, the job goes on; killed right before, nothing has changed."""
    from batchframe.orchestration import follow

    job = ask().wait()
    folder = bf.workspace().job_folder(job.id)
    (folder / "part-0000.outputs.parquet").write_bytes(b"x")
    with monkeypatch.context() as killed:
        killed.setattr(type(job), "_drive", lambda _: None)  # before anything is driven
        job.retry()
    assert bf.workspace().store.parts(job.id)[0]["state"] == PartState.FETCHED
    assert job.status == "queued"
    follow.drop(bf.workspace(), job.id)
    assert bf.job(job.id).result()["response"].to_list() == DF["text"].to_list()


def test_a_cancelled_job_stays_so_when_its_files_are_read_again(tmp_path):
    """Nothing is sent, so nothing else may become of its rows."""
    with registered(Fake(tmp_path / "cloud", polls=10**6)):
        job = ask()
        while job.view.phase != "running":
            pass
        job.cancel().wait()
        before = job.outputs()["error_code"].to_list()
        (bf.workspace().job_folder(job.id) / "part-0000.outputs.parquet").write_bytes(b"x")
        job.retry().wait()
        assert job.status == "cancelled"
        assert job.outputs()["error_code"].to_list() == before


def test_a_lost_ledger_costs_nothing_where_the_result_files_are(
    cloud, capsys, monkeypatch, tmp_path
):
    """The folder is named after the request; what had come is not paid for again."""
    ask().result()
    before = bf.workspace().path
    shutil.copytree(before / "jobs", tmp_path / "new" / "jobs")
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "new"))
    capsys.readouterr()
    assert bf.workspace().path != before
    assert ask().result()["response"].to_list() == DF["text"].to_list()
    assert len(cloud.batches()) == 1
    told = capsys.readouterr().err
    assert "answers are taken over" in told
    assert "asked anew" not in told


def test_a_frame_that_only_polars_can_hold_is_attached_to(cloud):
    """Arrow's Parquet reader knows no 128-bit integers."""
    wide = DF.with_columns(big=pl.Series([2**100] * 4, dtype=pl.Int128))
    first = wide.batch.submit(model="fake/m", prompt="{text}").wait()
    again = wide.batch.submit(model="fake/m", prompt="{text}")
    assert again == first
    assert again.result()["big"].to_list() == [2**100] * 4


def test_a_missing_copy_of_the_frame_names_the_call_that_writes_it_again(cloud):
    """A retry could not help."""
    job = ask().wait()
    (bf.workspace().job_folder(job.id) / "frame.parquet").unlink()
    with pytest.raises(errors.StorageError) as told:
        bf.job(job.id).result()
    assert str(told.value).endswith(
        f"The answers are there: bf.job('{job.id}').outputs(). The call that made the job writes the "
        "copy again and asks nothing twice."
    )
    assert ask().result().height == 4
    assert bf.job(job.id).result().height == 4


@pytest.mark.parametrize("depth", [150, 600, 900])
def test_an_error_nested_deeply_is_one_rows_error(tmp_path, depth):
    """And not the end of a job whose other rows are paid."""
    deep = json.loads("[" * depth + f'"{KEY}"' + "]" * depth)

    def answer(body):
        bad = body["messages"][0]["content"] == "d"
        return {"error": {"message": "no", "details": deep}} if bad else "paid"

    for made, model in (
        (Fake(tmp_path / "c", answer, polls=0), "fake/m"),
        (Echo(answer), "echo/m"),
    ):
        with registered(made):
            job = DF.batch.submit(model=model, prompt="{text}").wait()
            assert job.result()["response"].to_list() == ["paid"] * 3 + [None]
            assert KEY not in str(job.outputs()["body"].to_list())


def test_a_job_whose_create_is_in_doubt_is_not_forgotten(tmp_path):
    """Its ticket is all that finds the batch again."""
    fake = Fake(tmp_path / "cloud", polls=0)
    real = fake.create

    def lost(part, ticket):
        real(part, ticket)
        msg = "the connection was lost."
        raise errors.ProviderUnavailableError(msg)

    fake.create = lost
    with registered(fake):
        job = ask()
        with pytest.raises(errors.JobFailedError):
            job.wait()
        with pytest.raises(errors.InputError, match="has a batch that may still run"):
            job.forget()
        fake.create = real
        assert ask().result()["response"].to_list() == DF["text"].to_list()
    assert len(fake.batches()) == 1


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_typed_answers_are_read_in_a_folder_that_may_only_be_read(cloud, tmp_path):
    """Judging needs no lock."""
    _read_only(cloud, tmp_path, lock=True)


def test_typed_answers_are_read_without_taking_a_lock(tmp_path, monkeypatch):
    """The same for root, who may write anywhere: whoever asks for the lock fails."""

    class Name(BaseModel):
        name: str

    with registered(Fake(tmp_path / "cloud", lambda _: '{"name":"x"}', polls=0)):
        job = ask(response_model=Name)
        job.wait()
        monkeypatch.setattr(type(job), "_changing", lambda _: pytest.fail("the lock was taken"))
        assert job.result()["parsed"].struct["name"].to_list() == ["x"] * 4
        assert job.errors().height == 0


def _read_only(cloud, tmp_path, *, lock):
    class Name(BaseModel):
        name: str

    cloud.answer = lambda _: '{"name":"x"}'
    job = ask(response_model=Name)
    job.wait()
    path = bf.workspace().path
    for one in (path, *path.rglob("*")):
        one.chmod(one.stat().st_mode & ~stat.S_IWUSR)
    try:
        assert bf.job(job.id).result()["parsed"].struct["name"].to_list() == ["x"] * 4
    finally:
        for one in (path, *path.rglob("*")):
            one.chmod(one.stat().st_mode | stat.S_IWUSR)


def test_answers_that_were_forgotten_do_not_come_back(tmp_path):
    """A forget() that was killed between its two steps is finished before the same request is made."""
    from batchframe.orchestration import forgetting

    with registered(Echo()) as echo:
        job = DF.batch.submit(model="echo/m", prompt="{text}").wait()
        plan = DF.batch.plan(model="echo/m", prompt="{text}")
        with job._changing():
            forgetting.forget_rows(bf.workspace(), job.id)
        plan.submit().wait()
        assert len(echo.asked) == 8
    assert not list(bf.workspace().path.rglob("*.orphan-*"))


def test_a_key_in_a_batchs_own_failure_is_taken_out(tmp_path):
    """Providers quote keys; the ledger, the page and the rows keep what they say."""
    fake = Fake(tmp_path / "cloud", polls=0, end="failed")
    fake.poll = lambda _: Progress(Phase.FAILED, 4, message=f"Incorrect API key provided: {KEY}.")
    with registered(fake):
        job = ask().wait()
        assert "Incorrect API key provided: ***" in job.errors()["error_message"][0]
        shown = str(job._repr_mimebundle_())
    assert KEY not in shown
    for file in bf.workspace().path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file.name


def test_a_cancel_that_failed_names_the_line_that_cancels(tmp_path):
    """Its retry would run the batch to its end."""
    fake = Fake(tmp_path / "cloud", polls=10**6)
    real = fake.cancel

    def refused(_):
        msg = "the key is not accepted."
        raise errors.AuthenticationError(msg)

    fake.cancel = refused
    with registered(fake):
        job = ask()
        while job.view.phase != "running":
            pass
        with pytest.raises(errors.JobFailedError) as told:
            job.cancel().wait()
        assert str(told.value).endswith(f"Then stop it: bf.job('{job.id}').cancel()")
        fake.cancel = real
        assert job.cancel().wait().status == "cancelled"


def test_what_is_known_of_a_cost_stays_known_at_the_end(tmp_path):
    """One answer without usage hides only its own price."""

    def answer(body):
        text = body["messages"][0]["content"]
        usage = {} if text == "d" else {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], **usage}

    prices = {"fake/m": {"input": "1", "output": "1"}}
    with registered(Fake(tmp_path / "cloud", answer, polls=0)):
        job = ask(prices=prices).wait()
        assert job.cost is None
        assert (job.view.price, job.view.cost) == ("partly", Decimal("0.000006"))


def test_a_job_forgotten_while_it_is_looked_at_says_so(cloud, monkeypatch):
    """Another process was faster."""
    from batchframe.orchestration.driver import Driver

    job = ask().wait()
    driver = Driver(bf.workspace(), job.id)
    bf.workspace().store.delete_job(job.id)
    assert driver.peek(0, Path("nowhere")) is False
    shutil.rmtree(bf.workspace().job_folder(job.id))
