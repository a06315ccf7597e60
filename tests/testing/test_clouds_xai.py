"""The xAI cloud: counters for a status, pages for files, strings for errors, ticks for money."""

from __future__ import annotations

import pytest
from cloudkit import calling, jsonl, line, upload

from batchframe.testing import clouds


@pytest.fixture
def cloud():
    with clouds.xai() as running:
        yield running


@pytest.fixture
def client(cloud):
    with calling(cloud) as calls:
        yield calls


def created(client, lines, name="n"):
    file_id = upload(client, lines).json()["id"]
    return client.post("/v1/batches", json={"name": name, "input_file_id": file_id}).json()


def state(client, batch_id):
    return client.get(f"/v1/batches/{batch_id}").json()["state"]


def results(client, batch_id, limit=1000):
    found, token = [], None
    while True:
        query = {"limit": limit, **({"pagination_token": token} if token else {})}
        page = client.get(f"/v1/batches/{batch_id}/results", params=query).json()
        found += page["results"]
        token = page["pagination_token"]
        if not token:
            return found


def test_a_batch_has_counters_and_no_status(cloud, client):
    """Zero requests while the file is read, then pending ones, then none."""
    batch = created(client, [line(n) for n in range(8)], name="mine")
    assert set(batch) == {
        "batch_id",
        "name",
        "create_time",
        "expire_time",
        "create_api_key_id",
        "cancel_time",
        "cancel_by_xai_message",
        "state",
        "input_file_id",
    }
    assert (batch["name"], len(batch["create_time"])) == ("mine", 10)
    seen = [batch["state"], *(state(client, batch["batch_id"]) for _ in range(3))]
    assert [(one["num_requests"], one["num_pending"], one["num_success"]) for one in seen] == [
        (0, 0, 0),
        (8, 6, 2),
        (8, 0, 8),
        (8, 0, 8),
    ]
    assert cloud.batches()[0]["name"] == "mine"


def test_results_come_in_pages_sorted_by_id(cloud, client):
    """Every row once, whatever the page; the body is wrapped."""
    batch_id = created(client, [line(n) for n in (3, 1, 2, 0)])["batch_id"]
    for _ in range(3):
        state(client, batch_id)
    found = results(client, batch_id, limit=3)
    assert [one["batch_request_id"] for one in found] == ["r-0", "r-1", "r-2", "r-3"]
    body = found[0]["batch_result"]["response"]["chat_get_completion"]
    assert body["choices"][0]["message"]["content"] == "word 0"
    assert len(cloud.files()) == 1


def test_a_file_needs_no_purpose(cloud, client):
    """Uploaded without one, its batch runs."""
    file = client.post("/v1/files", files={"file": ("x.jsonl", jsonl([line(0)]))}).json()
    batch = client.post("/v1/batches", json={"name": "n", "input_file_id": file["id"]}).json()
    for _ in range(3):
        found = state(client, batch["batch_id"])
    assert (found["num_success"], file["purpose"]) == (1, "")


def test_reasoning_stands_outside_the_completion(cloud, client):
    """The total holds both, and the ticks are there; responses become completions."""
    asked = {"model": "grok-4.3", "input": "a b c"}
    row = {"custom_id": "x", "method": "POST", "url": "/v1/responses", "body": asked}
    batch_id = created(client, [row, line(1)])["batch_id"]
    for _ in range(3):
        state(client, batch_id)
    for one in results(client, batch_id):
        body = one["batch_result"]["response"]["chat_get_completion"]
        usage = body["usage"]
        assert body["object"] == "chat.completion"
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 7
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] + 7
        assert usage["cost_in_usd_ticks"] > 0


def test_a_row_that_fails_is_a_bare_string(cloud, client):
    """No code, no status."""
    batch_id = created(client, [line(0), line(1, max_tokens=-5)])["batch_id"]
    for _ in range(3):
        found = state(client, batch_id)
    assert (found["num_success"], found["num_error"]) == (1, 1)
    assert isinstance(results(client, batch_id)[1]["batch_result"]["error"], str)


def test_a_bad_file_is_cancelled_by_xai(cloud, client):
    """With a sentence, a time, and zeros."""
    batch_id = created(client, [line(0), "{"])["batch_id"]
    batch = client.get(f"/v1/batches/{batch_id}").json()
    assert batch["cancel_by_xai_message"] == "JSONL file validation failed: line 2: invalid JSON"
    assert batch["cancel_time"] is not None
    assert set(batch["state"].values()) == {0}


def test_a_cancelled_batch_tells_what_was_not_run(cloud, client):
    """Counters at once; rows that never ran are errors once it is over."""
    batch_id = created(client, [line(n) for n in range(8)])["batch_id"]
    state(client, batch_id)
    batch = client.post(f"/v1/batches/{batch_id}:cancel").json()
    assert batch["state"]["num_cancelled"] == 6
    assert state(client, batch_id)["num_cancelled"] == 6
    found = [one["batch_result"].get("error") for one in results(client, batch_id)]
    assert found.count("Batch cancelled") == 6


def test_cancelled_counters_may_turn_into_successes(cloud, client):
    """When the cancellation came too late."""
    cloud.faults.cancel_late = True
    batch_id = created(client, [line(n) for n in range(4)])["batch_id"]
    state(client, batch_id)
    first = client.post(f"/v1/batches/{batch_id}:cancel").json()["state"]
    assert (first["num_success"], first["num_cancelled"]) == (1, 3)
    later = state(client, batch_id)
    assert (later["num_success"], later["num_cancelled"]) == (4, 0)
    assert len(results(client, batch_id)) == 4


def test_a_row_may_hang_without_a_deadline(cloud, client):
    """Pending, and results of the others can be read meanwhile."""
    cloud.faults.hang = 0.5
    batch_id = created(client, [line(n) for n in range(4)])["batch_id"]
    for _ in range(20):
        found = state(client, batch_id)
    assert (found["num_pending"], found["num_success"]) == (2, 2)
    assert len(results(client, batch_id)) == 2


def test_a_batch_without_a_file_is_filled_by_calls(cloud, client):
    """All or none; the same again is nothing new; a file's batch is sealed."""
    batch_id = client.post("/v1/batches", json={"name": "n"}).json()["batch_id"]

    def add(*texts, name="a"):
        many = [
            {
                "batch_request_id": f"{name}{index}",
                "batch_request": {
                    "chat_get_completion": line(0, messages=[{"role": "user", "content": text}])[
                        "body"
                    ]
                },
            }
            for index, text in enumerate(texts)
        ]
        return client.post(f"/v1/batches/{batch_id}/requests", json={"batch_requests": many})

    assert add("x", "y").status_code == 200
    assert add("x", "y").status_code == 200
    assert add("x", "z").status_code == 412
    assert state(client, batch_id)["num_requests"] == 2
    for _ in range(3):
        state(client, batch_id)
    assert len(results(client, batch_id)) == 2
    assert add("w", name="b").status_code == 200
    for _ in range(3):
        found = state(client, batch_id)
    assert found["num_success"] == 3
    states = client.get(f"/v1/batches/{batch_id}/requests").json()["batch_request_metadata"]
    assert {one["state"] for one in states} == {"succeeded"}
    sealed = created(client, [line(0)])["batch_id"]
    answer = client.post(f"/v1/batches/{sealed}/requests", json={"batch_requests": []})
    assert answer.status_code == 412


def test_a_wrong_key_is_a_400(cloud):
    """With two strings for a body."""
    with calling(cloud, authorization="Bearer xai-wrong-key") as client:
        answer = client.get("/v1/batches")
    assert answer.status_code == 400
    assert answer.json()["code"] == "Client specified an invalid argument"
    assert answer.json()["error"].startswith("Incorrect API key provided: ")
    assert "wrong" not in answer.text


def test_lists_are_paged_by_token(cloud, client):
    """Newest first."""
    ids = [created(client, [line(0)])["batch_id"] for _ in range(3)]
    page = client.get("/v1/batches", params={"limit": 2}).json()
    assert [one["batch_id"] for one in page["batches"]] == ids[:0:-1]
    rest = {"limit": 2, "pagination_token": page["pagination_token"]}
    assert client.get("/v1/batches", params=rest).json()["pagination_token"] is None


def test_pages_suffer_from_the_faults_of_lines(cloud, client):
    """Missing, doubled, unknown."""
    cloud.faults.missing, cloud.faults.duplicated, cloud.faults.unknown_ids = 1, 1, 1
    batch_id = created(client, [line(n) for n in range(3)])["batch_id"]
    for _ in range(3):
        state(client, batch_id)
    found = [one["batch_request_id"] for one in results(client, batch_id)]
    assert found == ["r-0", "r-1", "r-0", "nobody-0"]
