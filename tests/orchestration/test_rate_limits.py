"""A rate limit is waited out whatever it hits; an empty purse stops the job at once and says whose turn it is."""

from __future__ import annotations

import time

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.orchestration import driver
from batchframe.providers import rest
from batchframe.testing import clouds, registered

DF = pl.DataFrame({"text": ["a", "b"]})
STEPS = ("upload", "create", "get", "content")


@pytest.fixture
def cloud(monkeypatch):
    """OpenAI's, with no pauses between the tries of one call."""
    monkeypatch.setattr(rest.time, "sleep", lambda _: None)
    with clouds.openai() as there:
        made = bf.OpenAI(api_key=there.key, base_url=there.url, poll_seconds=0.02)
        with registered(made):
            yield there
        for client in made.rest._clients.values():
            client.close()


def ask(**more):
    return DF.batch.submit(model="openai/gpt-4o-mini", prompt="{text}", **more)


@pytest.mark.parametrize("dialect", ["retry-after-ms", "none"])
@pytest.mark.parametrize("step", STEPS)
def test_a_rate_limit_is_waited_out(cloud, step, dialect):
    """Longer than the tries of one call: 2,000 creations an hour are such a limit; nothing is done twice."""
    cloud.faults.rate_limit[step] = 3 * rest.TRIES
    cloud.faults.rate_limit_dialect, cloud.faults.rate_limit_seconds = dialect, 0.15
    started = time.monotonic()
    job = ask().wait()
    assert job.result()["response"].to_list() == ["a", "b"]
    assert time.monotonic() - started > (0.4 if dialect == "retry-after-ms" else 0.05)
    assert cloud.faults.rate_limit[step] == 0
    assert len(cloud.batches()) == 1
    assert len([path for how, path, code in cloud.log if how == "POST" and code == 200]) == 2
    assert job.view.message is None


def test_a_job_says_what_it_waits_for_and_can_be_cancelled_meanwhile(cloud, monkeypatch):
    """An hour is long; the limit stands in the job's own line."""
    monkeypatch.setattr(driver, "NAP_SECONDS", 0.02)
    cloud.faults.rate_limit["create"], cloud.faults.rate_limit_seconds = 1000, 3600
    job = ask()
    until = time.monotonic() + 20
    while not job.view.message:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert job.view.message == (
        "openai could not create the batch: Rate limit reached in organization org-fake on requests per "
        "min (RPM) (HTTP 429). What is paid is kept."
    )
    assert job.status == "running"
    asked = len(cloud.log)
    time.sleep(0.2)
    assert len(cloud.log) == asked, "an hour was asked for"
    job.cancel().wait()
    assert job.status == "cancelled"
    assert cloud.batches() == []


def test_a_job_killed_while_it_waits_to_create_looks_before_it_creates_no_second_time(cloud):
    """A create that a limit turned away has not happened: the intent is taken back."""
    cloud.faults.rate_limit["create"] = 2 * rest.TRIES
    cloud.faults.rate_limit_dialect = "none"
    ask().wait()
    assert not [path for how, path, _ in cloud.log if how == "GET" and path == "/v1/batches"]


@pytest.mark.parametrize("step", STEPS)
def test_an_empty_purse_stops_the_job_at_once(cloud, step):
    """It is a 429 as well, and no waiting heals it: asked once, and told with what to do."""
    cloud.faults.quota_gone[step] = 1000
    job = ask()
    with pytest.raises(errors.JobFailedError) as told:
        job.wait()
    assert isinstance(told.value.__cause__, errors.QuotaError)
    assert cloud.faults.quota_gone[step] == 999
    assert str(told.value).endswith(
        "You exceeded your current quota, please check your plan and billing details (HTTP 429, "
        "insufficient_quota). Add credit or raise the limit; what is paid is kept. Then go on with it: "
        f"bf.job('{job.id}').retry()"
    )
    cloud.faults.quota_gone.clear()
    assert job.retry().result()["response"].to_list() == ["a", "b"]
    assert len(cloud.batches()) == 1
