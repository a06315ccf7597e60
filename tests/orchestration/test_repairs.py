"""Small ways in which a job could go wrong, each seen once."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"text": ["a", "b"]})


@pytest.fixture(autouse=True)
def cloud(tmp_path):
    """A provider with a batch API."""
    with registered(Fake(tmp_path / "cloud")) as fake:
        yield fake


def test_a_plan_may_be_submitted_twice(cloud):
    """The first took what was staged; the second attaches, or writes it anew after a forget."""
    plan = DF.batch.plan(model="fake/m", prompt="{text}")
    first = plan.submit().wait()
    assert plan.submit().id == first.id
    assert len(cloud.batches()) == 1
    first.forget()
    assert plan.submit().result()["response"].to_list() == ["a", "b"]


def test_attaching_leaves_nothing_staged():
    """A cell that is run a hundred times keeps one copy of the frame."""
    for _ in range(3):
        DF.batch.submit(model="fake/m", prompt="{text}").wait()
    assert not list((bf.workspace().path / "staging").iterdir())


@pytest.mark.parametrize("name", ["^a.*$", "*"])
def test_a_column_whose_name_reads_like_a_pattern_is_a_column(name):
    """It is kept, and does not multiply."""
    df = pl.DataFrame({name: ["R", "S"], "abc": ["q", "r"]})
    job = df.batch.submit(model="fake/m", prompt="{abc}").wait()
    assert bf.job(job.id).result().columns[:2] == [name, "abc"]


@pytest.mark.parametrize(
    "options",
    [{"budget_usd": "abc"}, {"concurrency": "x"}, {"prefix": None}, {"key": 1}, {"retry": 3}],
)
def test_an_argument_of_the_wrong_type_is_refused_before_anything_is_written(options):
    """And from our own tree of errors."""
    with pytest.raises(errors.InputError):
        DF.batch.submit(model="fake/m", prompt="{text}", **options)
    assert bf.jobs().height == 0


def test_the_sample_for_the_estimate_is_bounded(monkeypatch):
    """However large the bodies are: promise 9."""
    from batchframe.orchestration import plan as planning

    monkeypatch.setattr(planning, "SAMPLE_BYTES", 10_000)
    df = pl.DataFrame({"text": ["x" * 1_000 + str(i) for i in range(300)]})
    staged = df.batch.plan(model="fake/m", prompt="{text}").staged
    assert sum(map(len, staged.samples["fake/m"])) <= 12_000


def test_a_forget_that_was_cut_off_is_finished_by_whatever_is_planned_next():
    """Prompts and answers that no ledger names would stay for ever."""
    from batchframe.orchestration import forgetting

    gone = DF.batch.submit(model="fake/m", prompt="{text}").wait()
    kept = DF.batch.submit(model="fake/m", prompt="other {text}").wait()
    folders = bf.workspace().path / "jobs"
    forgetting.forget_rows(bf.workspace(), gone.id)  # and here the process dies
    (bf.workspace().path / "staging" / f"forgotten-{kept.id}").touch()  # died one step earlier
    DF.batch.plan(model="fake/m", prompt="third {text}")
    assert [path.name for path in folders.iterdir()] == [kept.id]
    assert kept.result()["response"].to_list() == ["other a", "other b"]
    assert not list((bf.workspace().path / "staging").glob("forgotten-*"))
