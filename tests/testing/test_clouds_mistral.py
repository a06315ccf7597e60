"""The Mistral cloud: jobs with the model on them, of files or of requests, in lists that filter."""

from __future__ import annotations

import pytest
from cloudkit import CHAT, bare, calling, jsonl, rows, upload

from batchframe.testing import clouds

JOBS = "/v1/batch/jobs"


@pytest.fixture
def cloud():
    with clouds.mistral() as running:
        yield running


@pytest.fixture
def client(cloud):
    with calling(cloud) as calls:
        yield calls


def created(client, lines, **more):
    file_id = upload(client, lines).json()["id"]
    given = {"input_files": [file_id], "endpoint": CHAT, "model": "mistral-small-latest", **more}
    return client.post(JOBS, json=given).json()


def ended(client, job_id, times=4, **query):
    for _ in range(times):
        job = client.get(f"{JOBS}/{job_id}", params=query).json()
    return job


def test_a_job_runs_through_its_states_and_counts(cloud, client):
    """Queued, running, success; the model is the job's."""
    job = created(client, [bare(n) for n in range(4)], metadata={"job": "t"})
    seen = [job, *(client.get(f"{JOBS}/{job['id']}").json() for _ in range(3))]
    assert [one["status"] for one in seen] == ["QUEUED", "RUNNING", "RUNNING", "SUCCESS"]
    assert [one["completed_requests"] for one in seen] == [0, 1, 4, 4]
    assert {one["total_requests"] for one in seen} == {4}
    (first, *_) = rows(client, seen[-1]["output_file"])
    assert (first["response"]["status_code"], first["error"]) == (200, None)
    assert first["response"]["body"]["model"] == "mistral-small-latest"
    file = client.get(f"/v1/files/{seen[-1]['output_file']}").json()
    assert (file["sample_type"], file["source"], file["num_lines"]) == (
        "batch_result",
        "mistral",
        4,
    )


def test_a_job_whose_rows_all_failed_has_failed(cloud, client):
    """Causes are counted, without a line; there is no output file."""
    cloud.answer = lambda _body: {"error": {"message": "invalid request"}}
    job = ended(client, created(client, [bare(0), bare(1)])["id"])
    assert (job["status"], job["output_file"]) == ("FAILED", None)
    assert job["errors"] == [{"message": "invalid request", "count": 2}]
    assert len(rows(client, job["error_file"])) == 2


def test_a_row_that_broke_has_no_body_but_a_sentence(cloud, client):
    """A refused one has a body and no sentence."""

    def model(body):
        if body["messages"][0]["content"] == "word 0":
            raise ValueError("broken")
        return {"error": {"message": "refused"}}

    cloud.answer = model
    job = ended(client, created(client, [bare(0), bare(1)])["id"])
    broke, refused = rows(client, job["error_file"])
    assert (broke["response"], broke["error"]) == ({"status_code": 500, "body": None}, "broken")
    assert (refused["response"]["status_code"], refused["error"]) == (400, None)


def test_requests_may_come_with_the_call_and_results_with_the_job(cloud, client):
    """No file is uploaded."""
    given = {"requests": [bare(n) for n in range(3)], "endpoint": CHAT, "model": "m"}
    job = client.post(JOBS, json=given).json()
    assert (job["total_requests"], job["input_files"]) == (3, [])
    done = ended(client, job["id"], inline="true")
    assert [one["custom_id"] for one in done["outputs"]] == ["r-0", "r-1", "r-2"]
    assert ended(client, job["id"])["outputs"] is None


def test_rows_need_no_custom_id(cloud, client):
    """They come back without one."""
    job = ended(client, created(client, [{"body": bare(0)["body"]}])["id"])
    assert rows(client, job["output_file"])[0]["custom_id"] is None


@pytest.mark.parametrize("form", ["{name}", "metadata[{name}]"])
def test_a_list_finds_a_job_by_its_metadata(cloud, client, form):
    """As the vendor's SDK sends it, and in brackets."""
    made = [created(client, [bare(0)], metadata={"part": str(n)})["id"] for n in range(3)]
    found = client.get(JOBS, params={form.format(name="part"): "1"}).json()
    assert ([one["id"] for one in found["data"]], found["total"]) == ([made[1]], 1)


def test_a_list_filters_by_status_and_turns_around(cloud, client):
    """Newest first unless told."""
    made = [created(client, [bare(0)])["id"] for _ in range(2)]
    ended(client, made[0])
    made.append(created(client, [bare(0)])["id"])
    found = client.get(JOBS, params={"status": "QUEUED"}).json()["data"]
    assert [one["id"] for one in found] == [made[2]]
    turned = client.get(JOBS, params={"order_by": "created"}).json()["data"]
    assert [one["id"] for one in turned] == made


def test_a_job_that_runs_out_of_time_or_is_cancelled_keeps_what_was_done(cloud, client):
    """What was not run is in neither file."""
    cloud.faults.expire = 0.5
    job = ended(client, created(client, [bare(n) for n in range(4)], timeout_hours=2)["id"])
    assert (job["status"], len(rows(client, job["output_file"]))) == ("TIMEOUT_EXCEEDED", 2)
    assert job["error_file"] is None
    cloud.faults.expire = None
    job_id = created(client, [bare(n) for n in range(4)])["id"]
    client.get(f"{JOBS}/{job_id}")
    assert client.post(f"{JOBS}/{job_id}/cancel").json()["status"] == "CANCELLATION_REQUESTED"
    job = ended(client, job_id)
    assert (job["status"], job["succeeded_requests"]) == ("CANCELLED", 1)


def test_a_file_that_is_no_jsonl_fails_the_job(cloud, client):
    """A sentence and no line number."""
    job = ended(client, created(client, [bare(0), "{"])["id"])
    assert job["status"] == "FAILED"
    assert set(job["errors"][0]) == {"message", "count"}


@pytest.mark.parametrize(
    "given",
    [
        {"input_files": ["x"], "requests": [], "model": "m", "endpoint": CHAT},
        {"model": "m", "endpoint": CHAT},
        {"requests": [], "endpoint": CHAT},
        {"requests": [], "endpoint": CHAT, "model": "m", "timeout_hours": 169},
    ],
)
def test_calls_that_make_no_sense_are_refused(cloud, client, given):
    """Both ways or none, no model, too long."""
    answer = client.post(JOBS, json=given)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], list)


def test_keys_unknown_jobs_and_deleted_ones(cloud, client):
    """401 with a detail, 404 with a message; what is deleted stays on the bill."""
    job_id = created(client, [bare(0)])["id"]
    assert client.delete(f"{JOBS}/{job_id}").json()["deleted"] is True
    assert client.get(f"{JOBS}/{job_id}").status_code == 404
    assert client.get(JOBS).json()["total"] == 0
    assert len(cloud.batches()) == 1
    with calling(cloud, authorization="Bearer no") as stranger:
        answer = stranger.get(JOBS)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})


def test_a_signed_address_needs_no_key(cloud, client):
    """It is its own right."""
    file_id = upload(client, [bare(0)]).json()["id"]
    url = client.get(f"/v1/files/{file_id}/url").json()["url"]
    with calling(cloud, a="b") as stranger:
        assert stranger.get(url).content == jsonl([bare(0)])
