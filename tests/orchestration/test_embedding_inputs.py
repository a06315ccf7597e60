"""A batch of embeddings holds 50,000 texts in all its lines; what is cut by that is taken by the cloud."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

import batchframe as bf
from batchframe.ledger import workspace
from batchframe.model import Endpoint, ModelRef
from batchframe.orchestration import offline
from batchframe.orchestration.plan import limits_of
from batchframe.providers.openai import LIMITS
from batchframe.testing import clouds, registered

MODEL = "openai/text-embedding-3-small"
DF = pl.DataFrame({"t": [f"text {n}" for n in range(7)]})


@pytest.fixture
def cloud():
    """OpenAI's, whose batches hold three texts."""
    with clouds.openai() as there:
        made = bf.OpenAI(api_key=there.key, base_url=there.url, poll_seconds=0.01)
        made.limits = replace(made.limits, inputs=3)
        there.limits = replace(there.limits, inputs=3)
        with registered(made):
            yield there
        for client in made.rest._clients.values():
            client.close()


def test_the_limit_is_openais_and_dated():
    """And only for embeddings: a response's `input` is a conversation."""
    assert LIMITS.inputs == 50_000
    assert "50,000 embedding inputs" in LIMITS.source
    made = bf.OpenAI(api_key="k", queue_tokens=9)
    assert limits_of(made, Endpoint.EMBEDDINGS) == replace(LIMITS, queue_tokens=9)
    for other in (Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.MODERATIONS):
        assert limits_of(made, other) == replace(LIMITS, queue_tokens=9, inputs=None)


def test_a_job_is_cut_by_its_texts_and_the_cloud_takes_each_part(cloud):
    """As few batches as will do; a retry keeps to it as well."""
    job = bf.embed(DF, "t", model=MODEL).wait()
    assert job.result()["error"].null_count() == 7
    assert sorted(batch["rows"] for batch in cloud.batches()) == [1, 3, 3]


def test_rows_sent_again_are_cut_by_it_too(cloud):
    """All batches expire unanswered; the second time they are answered."""
    cloud.faults.expire = 0.0
    job = bf.embed(DF, "t", model=MODEL).wait()
    cloud.faults.expire = None
    assert job.retry().wait().result()["error"].null_count() == 7
    assert sorted(batch["rows"] for batch in cloud.batches()) == [1, 1, 3, 3, 3, 3]


def test_the_cloud_refuses_one_text_too_many(cloud):
    """Otherwise the tests above would show nothing."""
    with registered(bf.OpenAI(api_key=cloud.key, base_url=cloud.url, poll_seconds=0.01)) as made:
        job = bf.embed(DF, "t", model=MODEL).wait()
        for client in made.rest._clients.values():
            client.close()
    assert "too many embedding inputs: 7. The maximum is 3" in job.outputs()["error_message"][0]


def test_responses_are_not_counted_by_their_input(cloud):
    """Seven conversations are one batch."""
    DF.batch.submit(model="openai/gpt-5-mini", prompt="{t}", endpoint="responses").wait()
    assert [batch["rows"] for batch in cloud.batches()] == [7]


@pytest.mark.usefixtures("cloud")
def test_lines_that_have_lists_are_cut_by_their_texts(tmp_path):
    """What is translated from a file may have several texts a line."""
    lists = [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"], "alone"]
    source = tmp_path / "in.jsonl"
    source.write_text(
        "".join(
            json.dumps(
                {
                    "custom_id": f"r{n}",
                    "method": "POST",
                    "url": "/v1/embeddings",
                    "body": {"input": some},
                }
            )
            + "\n"
            for n, some in enumerate(lists)
        )
    )
    ref = ModelRef(*MODEL.split("/"))
    files = offline.encode_lines(workspace.current(), source, ref, tmp_path / "out").files
    cut = [
        [json.loads(line)["custom_id"] for line in file.read_text().splitlines()] for file in files
    ]
    assert cut == [["r0", "r1"], ["r2"], ["r4"]]
    told = pl.read_parquet(tmp_path / "out" / "ids.parquet").filter(pl.col("error").is_not_null())
    assert told.select("row", "error").rows() == [
        (
            3,
            f"request_too_large: this row's request has 4 inputs to embed, and {MODEL} takes at most 3 a batch",
        )
    ]
