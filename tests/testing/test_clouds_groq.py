"""The Groq cloud: OpenAI's surface below another path, with its own windows and fewer fields."""

from __future__ import annotations

import openai
import pytest
from cloudkit import CHAT, calling, create, jsonl, line, polled, rows, started, upload

from batchframe.testing import clouds

BASE = "/openai/v1"


@pytest.fixture
def cloud():
    with clouds.groq() as running:
        yield running


@pytest.fixture
def client(cloud):
    with calling(cloud) as calls:
        yield calls


def test_a_batch_completes_and_tells_neither_model_nor_usage(cloud, client):
    """The rows do."""
    batch = polled(client, started(client, [line(n) for n in range(3)], BASE), BASE)
    assert batch["status"] == "completed"
    assert not {"model", "usage"} & set(batch)
    body = rows(client, batch["output_file_id"], BASE)[0]["response"]["body"]
    assert body["usage"]["total_tokens"] == 4
    assert body["x_groq"]["id"].startswith("req_")


@pytest.mark.parametrize(("window", "days"), [("24h", 1), ("7d", 7), ("168h", 7)])
def test_windows_reach_to_seven_days(cloud, client, window, days):
    """And the batch expires when they close."""
    file_id = upload(client, [line(0)], BASE).json()["id"]
    batch = create(client, file_id, BASE, completion_window=window).json()
    assert batch["expires_at"] - batch["created_at"] == days * 86_400
    assert create(client, file_id, BASE, completion_window="8d").status_code == 400


def test_only_chat_is_batched_and_unknown_files_are_refused(cloud, client):
    """Both at create."""
    file_id = upload(client, [line(0)], BASE).json()["id"]
    assert create(client, file_id, BASE, endpoint="/v1/embeddings").status_code == 400
    assert create(client, "file_no", BASE).status_code == 404


def test_a_list_has_no_pages(cloud, client):
    """Only the data."""
    ids = [started(client, [line(0)], BASE) for _ in range(3)]
    found = client.get(f"{BASE}/batches", params={"limit": 1}).json()
    assert set(found) == {"object", "data"}
    assert [one["id"] for one in found["data"]] == ids[::-1]


def test_a_wrong_key_is_refused(cloud):
    """In Groq's words."""
    with calling(cloud, authorization="Bearer no") as client:
        answer = client.get(f"{BASE}/batches")
    assert (answer.status_code, answer.json()) == (
        401,
        {
            "error": {
                "message": "Invalid API Key",
                "type": "invalid_request_error",
                "code": "invalid_api_key",
            }
        },
    )


def test_the_whole_way_through_openais_sdk(cloud):
    """With `cloud.url` as its base."""
    assert cloud.environment() == {"GROQ_API_KEY": cloud.key, "GROQ_BASE_URL": cloud.url}
    with openai.OpenAI(base_url=cloud.url, api_key=cloud.key, max_retries=0) as sdk:
        file = sdk.files.create(file=("a.jsonl", jsonl([line(0)])), purpose="batch")
        batch = sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        for _ in range(3):
            batch = sdk.batches.retrieve(batch.id)
        assert batch.status == "completed"
        assert "word 0" in sdk.files.content(batch.output_file_id).text
        # only the first page: without `has_more` the SDK would ask for ever
        assert [one.id for one in sdk.batches.list().data] == [batch.id]
