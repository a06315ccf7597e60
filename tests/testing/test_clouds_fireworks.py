"""The Fireworks cloud: datasets, jobs with ids of the caller's choice, results behind signed addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cloudkit import bare, calling, jsonl, parsed

from batchframe.testing import clouds

MODEL = "accounts/fireworks/models/llama"


@pytest.fixture
def cloud():
    with clouds.fireworks() as running:
        yield running


@pytest.fixture
def client(cloud):
    with calling(cloud) as calls:
        calls.base_url = f"{cloud.url}/v1/accounts/{cloud.environment()['FIREWORKS_ACCOUNT_ID']}"
        yield calls


def dataset(client, lines, name="in", count=None):
    told = {"userUploaded": {}, "exampleCount": str(count or len(lines))}
    client.post("/datasets", json={"datasetId": name, "dataset": told}).raise_for_status()
    sent = client.post(f"/datasets/{name}:upload", files={"file": ("in.jsonl", jsonl(lines))})
    sent.raise_for_status()
    return name


def job(client, source, name="job-1", **more):
    given = {"model": MODEL, "inputDatasetId": source, **more}
    return client.post("/batchInferenceJobs", params={"batchInferenceJobId": name}, json=given)


def ended(client, name="job-1"):
    for _ in range(4):
        found = client.get(f"/batchInferenceJobs/{name}").json()
    return found


def files(client, found):
    target = found["outputDatasetId"].rpartition("/")[2]
    urls = client.get(f"/datasets/{target}:getDownloadEndpoint").json()["filenameToSignedUrls"]
    return {name.rpartition("/")[2]: client.get(url).content for name, url in urls.items()}


def test_a_job_runs_and_its_results_lie_in_a_dataset(cloud, client):
    """The rows have no status around them, and the error file is there though empty."""
    made = job(client, dataset(client, [bare(n) for n in range(4)])).json()
    assert made["state"] == "JOB_STATE_VALIDATING"
    assert made["name"].endswith("/batchInferenceJobs/job-1")
    assert made["jobProgress"] is None
    seen = [client.get("/batchInferenceJobs/job-1").json() for _ in range(3)]
    assert [one["state"] for one in seen] == [
        "JOB_STATE_RUNNING",
        "JOB_STATE_WRITING_RESULTS",
        "JOB_STATE_COMPLETED",
    ]
    assert [one["jobProgress"]["percent"] for one in seen] == [25, 100, 100]
    got = files(client, seen[-1])
    assert got["error-data"] == b""
    first = parsed(got["BIJOutputSet.jsonl"])[0]
    assert set(first) == {"custom_id", "response"}
    assert first["response"]["object"] == "chat.completion"
    assert first["response"]["model"] == MODEL


def test_an_id_that_is_taken_is_refused(cloud, client):
    """Which makes the call safe to repeat: one job on the bill."""
    source = dataset(client, [bare(0)])
    assert job(client, source).status_code == 200
    again = job(client, source)
    assert (again.status_code, again.json()["code"]) == (409, 6)
    assert len(cloud.batches()) == 1


def test_failed_rows_lie_in_the_error_file(cloud, client):
    """By custom id, with a message."""
    cloud.answer = lambda body: (
        {"error": {"message": "no", "code": "bad"}}
        if body["messages"][0]["content"] == "word 0"
        else "fine"
    )
    job(client, dataset(client, [bare(0), bare(1)]))
    found = ended(client)
    assert found["jobProgress"]["failedRequests"] == 1
    assert parsed(files(client, found)["error-data"]) == [
        {"custom_id": "r-0", "error": {"message": "no", "code": "bad"}}
    ]


@pytest.mark.parametrize(
    "bad", ["{", bare(0), {"body": {}}, bare(1, messages=[{"role": "bananas", "content": "x"}])]
)
def test_a_bad_line_fails_the_job_and_there_is_no_result_dataset(cloud, client, bad):
    """The status says why."""
    job(client, dataset(client, [bare(0), bad]))
    found = ended(client)
    assert (found["state"], found["status"]["code"]) == ("JOB_STATE_FAILED", "INVALID_ARGUMENT")
    assert found["status"]["message"].startswith("Dataset has a syntax error: chat dataset")
    target = found["outputDatasetId"].rpartition("/")[2]
    answer = client.get(f"/datasets/{target}:getDownloadEndpoint")
    assert (answer.status_code, answer.json()) == (
        404,
        {"code": 5, "message": "resource not found", "details": []},
    )


def test_the_count_of_examples_must_be_told_and_is_not_checked(cloud, client):
    """It comes back as the total, whatever was uploaded."""
    answer = client.post("/datasets", json={"datasetId": "x", "dataset": {"userUploaded": {}}})
    assert answer.json()["message"] == "example_count is required for uploaded datasets"
    job(client, dataset(client, [bare(n) for n in range(3)], count=1))
    progress = ended(client)["jobProgress"]
    assert (progress["totalInputRequests"], progress["totalProcessedRequests"]) == (1, 3)


def test_deleting_a_job_stops_and_then_removes_it(cloud, client):
    """There is no cancel; the bill keeps it."""
    job(client, dataset(client, [bare(n) for n in range(4)]))
    client.get("/batchInferenceJobs/job-1")
    cloud.step = 0
    assert client.delete("/batchInferenceJobs/job-1").json() == {}
    state = client.get("/batchInferenceJobs/job-1").json()["state"]
    assert state == "JOB_STATE_DELETING_CLEANING_UP"
    cloud.clock.advance(60)
    assert client.get("/batchInferenceJobs/job-1").status_code == 404
    assert client.get("/batchInferenceJobs").json()["batchInferenceJobs"] == []
    assert cloud.batches()[0]["answered"] == 1


def test_an_expired_job_keeps_its_rows_and_another_goes_on(cloud, client):
    """`continuedFromJobName` runs what was left, and only that."""
    cloud.faults.expire = 0.5
    job(client, dataset(client, [bare(n) for n in range(4)]))
    found = ended(client)
    assert found["state"] == "JOB_STATE_EXPIRED"
    assert len(parsed(files(client, found)["BIJOutputSet.jsonl"])) == 2
    cloud.faults.expire = None
    given = {"continuedFromJobName": found["name"]}
    client.post("/batchInferenceJobs", params={"batchInferenceJobId": "job-2"}, json=given)
    rest = parsed(files(client, ended(client, "job-2"))["BIJOutputSet.jsonl"])
    assert [one["custom_id"] for one in rest] == ["r-2", "r-3"]


def test_large_files_go_to_a_signed_address(cloud, client):
    """Asked for, put, validated."""
    told = {"userUploaded": {}, "exampleCount": "1"}
    client.post("/datasets", json={"datasetId": "big", "dataset": told})
    data = jsonl([bare(0)])
    asked = {"filenameToSize": {"in.jsonl": str(len(data))}}
    urls = client.post("/datasets/big:getUploadEndpoint", json=asked).json()["filenameToSignedUrls"]
    signed = {
        "content-type": "application/octet-stream",
        "x-goog-content-length-range": f"{len(data)},{len(data)}",
    }
    with calling(cloud, a="b") as stranger:
        url = urls["in.jsonl"]
        assert stranger.put(url, content=data).status_code == 403
        assert stranger.put(url, content=data + b"\n", headers=signed).status_code == 400
        assert stranger.put(url, content=data, headers=signed).status_code == 200
    assert client.get("/datasets/big").json()["state"] == "UPLOADING"
    client.post("/datasets/big:validateUpload", json={})
    assert client.get("/datasets/big").json()["state"] == "READY"
    assert job(client, "big").status_code == 200


def test_one_call_brings_only_so_much_and_a_dataset_has_a_limit_of_its_own(cloud, client):
    """Two figures: 150 MB in one call, 500 MB in all."""
    assert (cloud.direct, cloud.limits.bytes) == (150_000_000, 500_000_000)
    data = jsonl([bare(0)])
    cloud.direct = len(data) - 1
    told = {"userUploaded": {}, "exampleCount": "1"}
    client.post("/datasets", json={"datasetId": "big", "dataset": told})
    sent = client.post("/datasets/big:upload", files={"file": ("in.jsonl", data)})
    assert sent.status_code == 413
    cloud.limits = replace(cloud.limits, bytes=len(data) - 1)
    asked = {"filenameToSize": {"in.jsonl": str(len(data))}}
    url = client.post("/datasets/big:getUploadEndpoint", json=asked).json()["filenameToSignedUrls"]
    span = f"{len(data)},{len(data)}"
    signed = {"content-type": "application/octet-stream", "x-goog-content-length-range": span}
    with calling(cloud, **signed) as stranger:
        assert stranger.put(url["in.jsonl"], content=data).status_code == 200
    assert client.post("/datasets/big:validateUpload", json={}).status_code == 413
    assert client.get("/datasets/big").json()["state"] == "UPLOADING"


def test_an_account_without_money_is_a_412(cloud, client):
    """In OpenAI's body."""
    cloud.faults.quota_gone["datasets"] = 1
    answer = client.get("/datasets")
    assert (answer.status_code, answer.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")


def test_a_model_that_is_not_there_fails_the_job(cloud, client):
    """It stands on the job, not in the lines."""
    cloud.models = ()
    job(client, dataset(client, [bare(0)]))
    found = ended(client)
    assert (found["state"], found["status"]["message"][:13]) == (
        "JOB_STATE_FAILED",
        "Invalid model",
    )


def test_a_wrong_key_is_a_403_and_another_account_too(cloud, client):
    """In two different bodies."""
    with calling(cloud, authorization="Bearer no") as stranger:
        answer = stranger.get("/v1/accounts/fake-account/datasets")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "UNAUTHORIZED")
    with calling(cloud) as other:
        assert other.get("/v1/accounts/somebody/datasets").status_code == 403


def test_a_download_address_is_asked_for_without_a_body(cloud, client):
    """As the real one wants it."""
    dataset(client, [bare(0)])
    path = "/datasets/in:getDownloadEndpoint"
    assert client.request("GET", path, json={}).status_code == 400
    assert list(client.get(path).json()["filenameToSignedUrls"]) == ["dataset/in/in.jsonl"]


def test_lists_are_paged_and_datasets_can_be_deleted(cloud, client):
    """Newest first, by token."""
    source = dataset(client, [bare(0)])
    for number in range(3):
        job(client, source, f"job-{number}")
    page = client.get("/batchInferenceJobs", params={"pageSize": 2}).json()
    assert [one["name"][-5:] for one in page["batchInferenceJobs"]] == ["job-2", "job-1"]
    assert page["totalSize"] == 3
    rest = {"pageSize": 2, "pageToken": page["nextPageToken"]}
    assert client.get("/batchInferenceJobs", params=rest).json()["nextPageToken"] == ""
    assert client.delete("/datasets/in").json() == {}
    assert cloud.files() == {}
