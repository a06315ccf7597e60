"""A provider's word is asked for again before it counts, people are told meanwhile, and there is always a way on."""

from __future__ import annotations

import time

import polars as pl
import pytest

import batchframe as bf
from batchframe.errors import JobFailedError
from batchframe.testing import clouds, registered

DF = pl.DataFrame({"t": ["a", "b"]})
SHORT = {"results": 0.1, "gone": 0.05, "absent": 0.05}


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "workspace"))


@pytest.fixture
def cloud():
    with clouds.openai() as up:
        up.answer = lambda _: "yes"
        yield up


def ours(cloud, **more):
    return registered(
        bf.OpenAI(
            api_key=cloud.key,
            base_url=cloud.url,
            **{"poll_seconds": 0.01, "patience": SHORT, **more},
        )
    )


def ask():
    return DF.batch.submit(model="openai/gpt-4o-mini", prompt="{t}")


def stopped(job):
    with pytest.raises(JobFailedError) as caught:
        job.wait(30)
    return str(caught.value)


def until(true, job):
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, job
        time.sleep(0.01)


def test_a_batch_that_its_provider_no_longer_knows_can_be_asked_for_and_given_up(cloud):
    """A wrong account sees none of it, so nothing is given up unasked; every line that is named works."""
    cloud.faults.not_found["get"] = 100_000
    with ours(cloud):
        job = ask()
        told = stopped(job)
        assert f"bf.job('{job.id}').retry()" in told
        assert f"bf.job('{job.id}').cancel()" in told
        assert stopped(job.retry()) == told
        assert len(cloud.batches()) == 1
        out = job.cancel().wait(30).outputs()
        assert set(out["error_code"]) == {"batch_gone"}
        assert job.status == "cancelled"
        cloud.faults.not_found.clear()
        assert job.retry().wait(30).outputs()["ok"].all()
        assert len(cloud.batches()) == 2


def test_a_batch_that_is_known_again_is_gone_on_with(cloud):
    """The right key, and retry()."""
    cloud.faults.not_found["get"] = 100_000
    with ours(cloud):
        job = ask()
        stopped(job)
        cloud.faults.not_found.clear()
        assert job.retry().wait(30).outputs()["ok"].all()
        assert len(cloud.batches()) == 1


def test_where_there_is_no_list_nothing_is_made_again_and_the_way_on_is_named(cloud):
    """Nobody can tell whether the batch was made: people look, and say."""
    cloud.faults.drop_after["create"] = 1
    cloud.faults.not_found["list"] = 100_000
    with ours(cloud):
        job = ask()
        stopped(job)
        told = stopped(job.retry())
        assert "paid twice" in told
        assert f"bf.job('{job.id}').cancel().wait()" in told
        assert set(job.cancel().wait(30).outputs()["error_code"]) == {"cancelled"}
        assert len(cloud.batches()) == 1
        assert job.retry().wait(30).outputs()["ok"].all()
        assert len(cloud.batches()) == 2


def test_a_batch_is_not_made_again_before_patience_is_over(cloud):
    """A list that lags by many looks hides nothing."""
    cloud.faults.drop_after["create"] = 1
    cloud.faults.stale_list = 1e9
    with ours(cloud, patience={**SHORT, "absent": 60}):
        job = ask()
        stopped(job)
        job.retry()
        until(
            lambda: (
                sum(path.endswith("/batches") for how, path, _ in cloud.log if how == "GET") > 8
            ),
            job,
        )
        assert "is looked for in the list" in job.view.message
        cloud.faults.stale_list = 0
        assert job.wait(30).outputs()["ok"].all()
        assert job.view.message is None
        assert len(cloud.batches()) == 1


def test_a_cancel_is_heard_while_a_batch_is_looked_for(cloud):
    """It does not wait for the next look."""
    cloud.faults.drop_before["create"] = 1
    with ours(cloud, poll_seconds=60, patience={**SHORT, "absent": 600}):
        job = ask()
        stopped(job)
        job.retry()
        until(lambda: "is looked for" in (job.view.message or ""), job)
        start = time.monotonic()
        job.cancel().wait(30)
        assert time.monotonic() - start < 20
        assert job.status == "cancelled"


def test_a_full_queue_is_seen_by_every_face(cloud):
    """In the view, the line, the card and the list; and no more when it is over."""
    cloud.faults.queue_full_at_create = 100_000
    with ours(cloud):
        job = ask()
        until(lambda: "The queue is full" in (job.view.message or ""), job)
        assert "nqueued token limit" in repr(job)
        assert "nqueued token limit" in str(job._repr_mimebundle_())
        assert "nqueued token limit" in bf.jobs()["message"][0]
        cloud.faults.queue_full_at_create = 0
        assert job.wait(30).outputs()["ok"].all()
        assert job.view.message is None


def test_a_row_above_the_queue_is_its_own_error(cloud):
    """It would make a part that never fits; the plan says so, too."""
    frame = pl.DataFrame({"t": ["a", "x" * 40_000, "b"]})
    with ours(cloud, queue_tokens=1000):
        plan = frame.batch.plan(model="openai/gpt-4o-mini", prompt="{t}")
        assert any("1 row will not be sent" in told for told in plan.warnings)
        out = plan.submit().wait(30).outputs()
    assert out["ok"].to_list() == [True, False, True]
    assert out["error_code"][1] == "request_too_large"
    assert "takes at most 1000 a queue" in out["error_message"][1]


def test_a_refused_create_needs_no_looking_for(cloud):
    """The provider said no: the same call creates at once, however patient one is."""
    cloud.faults.quota_gone["create"] = 1
    with ours(cloud, patience={**SHORT, "absent": 600}):
        job = ask()
        stopped(job)
        assert job.retry().wait(30).outputs()["ok"].all()
    assert not [path for how, path, _ in cloud.log if how == "GET" and path.endswith("/batches")]


def test_what_is_waited_for_is_said_all_the_while(cloud):
    """Fetching once more is no news; the words stay until the results are whole, or the job stops."""
    cloud.faults.late_files = 100_000
    with ours(cloud, patience={**SHORT, "results": 60}):
        job = ask()
        until(lambda: "They are fetched again" in (job.view.message or ""), job)
        seen = {job.view.message for _ in range(100)}
        cloud.faults.late_files = 0
        assert job.wait(30).outputs()["ok"].all()
    assert seen == {
        "openai counts 2 results of part 0, and its files hold those of 0 rows. They are fetched again."
    }
    assert job.view.message is None
