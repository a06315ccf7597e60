"""The Together cloud: wrapped once, bare after; upper case, no counts, strings for errors."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from cloudkit import CHAT, bare, calling, jsonl, rows

from batchframe.testing import clouds


@pytest.fixture
def cloud():
    with clouds.together() as running:
        yield running


@pytest.fixture
def client(cloud):
    with calling(cloud) as calls:
        yield calls


def lines(count):
    return [bare(n, model="openai/gpt-oss-20b") for n in range(count)]


def upload(client, given):
    form = {"purpose": "batch-api", "file_name": "in.jsonl"}
    return client.post("/v1/files/upload", data=form, files={"file": ("x", jsonl(given))}).json()


def created(client, given):
    asked = {"input_file_id": upload(client, given)["id"], "endpoint": CHAT}
    answer = client.post("/v1/batches", json=asked)
    assert answer.status_code == 201
    return answer.json()["job"]


def ended(client, job_id):
    for _ in range(4):
        job = client.get(f"/v1/batches/{job_id}").json()
    return job


def test_a_job_runs_and_tells_only_its_progress(cloud, client):
    """The create answer is wrapped, later ones are bare; there are no counts and no metadata."""
    job = created(client, lines(4))
    assert (job["status"], job["progress"]) == ("VALIDATING", 0)
    assert not {"metadata", "request_counts", "output_file_id", "model_id"} & set(job)
    seen = [client.get(f"/v1/batches/{job['id']}").json() for _ in range(3)]
    assert [(one["status"], one["progress"]) for one in seen] == [
        ("IN_PROGRESS", 25),
        ("IN_PROGRESS", 100),
        ("COMPLETED", 100),
    ]
    assert "error_file_id" not in seen[-1]
    (first, *_) = rows(client, seen[-1]["output_file_id"])
    assert set(first) == {"id", "custom_id", "response"}
    assert first["response"]["body"]["prompt"] == []
    assert first["response"]["body"]["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 2,
        "total_tokens": 4,
        "reasoning_tokens": 0,
    }
    assert client.get("/v1/batches").json() == [seen[-1]]


def test_rows_fail_one_by_one_when_they_are_run(cloud, client):
    """An unknown model fails its row, not the job; the error file has nothing but the error."""
    cloud.models = {"openai/gpt-oss-20b"}
    job = ended(client, created(client, [*lines(1), bare(1, model="no/model")])["id"])
    assert job["status"] == "COMPLETED"
    (row,) = rows(client, job["error_file_id"])
    assert set(row) == {"id", "custom_id", "error"}
    assert row["error"] == {
        "code": "batch_client_error",
        "message": "Unable to access model no/model.",
    }


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("{", "input format error: Line 2 (within chunk): Invalid JSON format"),
        (bare(1), "Line 2 (within chunk)"),
    ],
)
def test_a_bad_line_fails_the_job_with_one_sentence(cloud, client, second, said):
    """`error` is a string, and there are no files."""
    job = ended(client, created(client, [*lines(1), second])["id"])
    assert (job["status"], said in job["error"]) == ("FAILED", True)
    assert not {"output_file_id", "error_file_id"} & set(job)


def test_an_unknown_file_is_taken_and_fails_later(cloud, client):
    """201 first."""
    answer = client.post("/v1/batches", json={"input_file_id": "file-no", "endpoint": CHAT})
    assert answer.status_code == 201
    assert "404" in ended(client, answer.json()["job"]["id"])["error"]


def test_cancelling_has_one_l_and_what_is_over_cannot_be_cancelled(cloud, client):
    """CANCELING, CANCELLED, then 409."""
    job_id = created(client, lines(4))["id"]
    client.get(f"/v1/batches/{job_id}")
    assert client.post(f"/v1/batches/{job_id}/cancel").json()["status"] == "CANCELING"
    job = ended(client, job_id)
    assert (job["status"], len(rows(client, job["output_file_id"]))) == ("CANCELLED", 1)
    again = client.post(f"/v1/batches/{job_id}/cancel")
    assert again.status_code == 409
    assert again.json()["error"] == "Cannot cancel job - already in terminal state: CANCELLED"


def test_an_expired_job_keeps_its_rows(cloud, client):
    """What was not run is in neither file."""
    cloud.faults.expire = 0.5
    job = ended(client, created(client, lines(4))["id"])
    assert (job["status"], len(rows(client, job["output_file_id"]))) == ("EXPIRED", 2)
    assert "error_file_id" not in job


def test_errors_are_strings_here_and_objects_there(cloud, client):
    """Unknown jobs and unknown files."""
    assert client.get("/v1/batches/no").json()["error"] == "Job not found"
    assert "message" in client.get("/v1/files/no").json()["error"]


def test_a_caller_without_a_name_meets_cloudflare(cloud, client):
    """403 and HTML, though the key is right."""
    asked = urllib.request.Request(
        f"{cloud.url}/batches", headers={"Authorization": f"Bearer {cloud.key}"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    with refused.value as answer:
        assert (answer.code, b"1010" in answer.read()) == (403, True)


def test_the_vendors_sdk_uploads_in_three_steps(cloud, client):
    """Announce, put, preprocess."""
    form = {"purpose": "batch-api", "file_name": "in.jsonl", "file_type": "jsonl"}
    told = client.post("/v1/files", data=form)
    assert told.status_code == 302
    file_id = told.headers["x-together-file-id"]
    assert client.put(told.headers["location"], content=jsonl(lines(2))).status_code == 200
    file = client.post(f"/v1/files/{file_id}/preprocess").json()
    assert (file["LineCount"], file["Processed"]) == (2, True)
    assert client.delete(f"/v1/files/{file_id}").json() == {"id": file_id, "deleted": True}
