"""What a job left at its provider goes when the user says so, and only when its answers are here."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.testing import clouds, registered

DF = pl.DataFrame({"text": ["a", "b", "c"]})


@pytest.fixture(params=[clouds.openai, clouds.azure, clouds.groq, clouds.together])
def cloud(request):
    """Those whose batches have files."""
    with request.param() as there:
        url = {"endpoint" if there.flavour.name == "azure" else "base_url": there.url}
        kind = {"openai": bf.OpenAI, "azure": bf.Azure, "groq": bf.Groq, "together": bf.Together}
        made = kind[there.flavour.name](api_key=there.key, poll_seconds=0.01, **url)
        with registered(made):
            yield there
        for client in made.rest._clients.values():
            client.close()


def ask(cloud, **more):
    return DF.batch.submit(model=f"{cloud.flavour.name}/m", prompt="{text}", **more)


def test_files_of_a_job_that_ended_go_and_its_answers_stay(cloud):
    """Input, output and error files; a second time there is nothing to do."""
    job = ask(cloud).wait()
    assert cloud.files()
    assert job.cleanup() is job
    assert cloud.files() == {}
    assert job.cleanup().result()["response"].to_list() == ["a", "b", "c"]
    assert bf.job(job.id).outputs()["ok"].all()


def test_files_that_are_still_needed_stay(cloud):
    """A batch that runs keeps its input; so does one whose answers are not here."""
    cloud.faults.hang = 0.5
    job = ask(cloud)
    while not cloud.batches():
        pass
    job.cleanup()
    assert len([file for file in cloud.store.values() if file.purpose.startswith("batch")]) == 1
    job.cancel().wait()
    job.cleanup()
    assert cloud.files() == {}


def test_a_job_whose_rows_were_sent_one_by_one_has_nothing_there(cloud):
    """Nothing is asked."""
    job = ask(cloud, mode="immediate").wait()
    cloud.log.clear()
    job.cleanup()
    assert cloud.log == []


def test_a_provider_that_refuses_is_told(cloud):
    """With its name and what it could not do; the answers are here all the same."""
    job = ask(cloud).wait()
    cloud.faults.unauthorized["*"] = 1
    with pytest.raises(errors.AuthenticationError, match=f"{cloud.flavour.name} could not"):
        job.cleanup()
    assert job.cleanup().result()["response"].to_list() == ["a", "b", "c"]
    assert cloud.files() == {}
