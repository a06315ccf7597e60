"""The OpenAI cloud: lifecycle, shapes and refusals, over plain HTTP and through OpenAI's own SDK."""

from __future__ import annotations

import json

import openai
import pytest
from cloudkit import CHAT, calling, create, jsonl, line, polled, rows, started, upload
from openai.types import Batch, CreateEmbeddingResponse, FileObject, ModerationCreateResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from batchframe.model import Limits
from batchframe.testing import clouds


@pytest.fixture
def cloud():
    with clouds.openai() as running:
        yield running


@pytest.fixture
def client(cloud):
    with calling(cloud) as calls:
        yield calls


def test_a_batch_ends_after_three_polls(cloud, client):
    """Validating at create, then in progress, finalizing, completed; all rows in the output file."""
    batch_id = started(client, [line(n) for n in range(10)], metadata={"job": "7"})
    seen = [client.get(f"/v1/batches/{batch_id}").json() for _ in range(3)]
    assert [one["status"] for one in seen] == ["in_progress", "finalizing", "completed"]
    assert [one["request_counts"]["completed"] for one in seen] == [2, 10, 10]
    assert seen[-1]["error_file_id"] is None
    found = rows(client, seen[-1]["output_file_id"])
    assert {one["custom_id"] for one in found} == {f"r-{n}" for n in range(10)}
    assert [one["status"] for one in cloud.batches()] == ["completed"]
    assert cloud.batches()[0]["rows"] == 10
    assert cloud.batches()[0]["metadata"] == {"job": "7"}


def test_only_the_clock_moves_time_when_the_step_is_zero(cloud, client):
    """Polling alone changes nothing then; advancing the clock does."""
    cloud.step = 0
    batch_id = started(client, [line(n) for n in range(4)])
    assert polled(client, batch_id)["status"] == "validating"
    counts = []
    for seconds in (20, 10, 10, 10, 10):
        cloud.clock.advance(seconds)
        batch = client.get(f"/v1/batches/{batch_id}").json()
        counts.append(batch["request_counts"]["completed"])
    assert counts == [0, 1, 2, 3, 4]
    assert batch["status"] == "finalizing"
    assert batch["finalizing_at"] - batch["created_at"] == 60


def test_every_object_is_what_the_sdk_calls_strictly_right(cloud, client):
    """Batches in each state, and files, hold exactly the fields that OpenAI's models know."""
    file = upload(client, [line(0)]).json()
    FileObject.model_validate(file, strict=True, extra="forbid")
    batch = create(client, file["id"]).json()
    Batch.model_validate(batch, strict=True, extra="forbid")
    for _ in range(3):
        batch = client.get(f"/v1/batches/{batch['id']}").json()
        Batch.model_validate(batch, strict=True, extra="forbid")
    assert batch["usage"]["total_tokens"] == 4
    assert batch["model"] == "gpt-4o-mini-2024-07-18"


@pytest.mark.parametrize(
    ("url", "body", "model"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "a b"}]},
            ChatCompletion,
        ),
        ("/v1/responses", {"input": "a b"}, Response),
        ("/v1/embeddings", {"input": ["a", "b"]}, CreateEmbeddingResponse),
        ("/v1/moderations", {"input": "a b"}, ModerationCreateResponse),
    ],
)
def test_answers_have_the_shape_of_their_endpoint(cloud, client, url, body, model):
    """Each endpoint's body passes the SDK's model with nothing over."""
    cloud.reasoning_tokens = 3
    asked = {"custom_id": "x", "method": "POST", "url": url, "body": {"model": "m", **body}}
    batch = polled(client, started(client, [asked], endpoint=url))
    (row,) = rows(client, batch["output_file_id"])
    assert set(row) == {"id", "custom_id", "response", "error"}
    model.model_validate(row["response"]["body"], strict=True, extra="forbid")
    now = client.post(url, json=asked["body"]).json()
    assert set(now) == set(row["response"]["body"])


def test_embeddings_answer_each_input_in_the_asked_width(client):
    """Three inputs, four dimensions, base64 where it is asked for."""
    given = {"model": "m", "input": ["a", "bb", "ccc"], "dimensions": 4}
    found = client.post("/v1/embeddings", json=given).json()
    assert [one["embedding"][:2] for one in found["data"]] == [[1, 0], [2, 1], [3, 2]]
    assert {len(one["embedding"]) for one in found["data"]} == {4}
    coded = client.post("/v1/embeddings", json={**given, "encoding_format": "base64"}).json()
    assert isinstance(coded["data"][0]["embedding"], str)


def test_failed_rows_are_in_the_error_file_only(cloud, client):
    """A refused row keeps its body and has a null error; a raising model is a 500."""

    def model(body):
        text = body["messages"][0]["content"]
        if text == "word 1":
            return {"error": {"message": "no", "code": "content_filter"}, "status_code": 403}
        if text == "word 2":
            raise ValueError(text)
        return "fine"

    cloud.answer = model
    batch = polled(client, started(client, [line(0), line(1), line(2), line(3, temperature=5)]))
    assert batch["request_counts"] == {"total": 4, "completed": 1, "failed": 3}
    bad = {one["custom_id"]: one for one in rows(client, batch["error_file_id"])}
    assert {name: one["response"]["status_code"] for name, one in bad.items()} == {
        "r-1": 403,
        "r-2": 500,
        "r-3": 400,
    }
    assert all(one["error"] is None for one in bad.values())
    assert bad["r-3"]["response"]["body"]["error"]["code"] == "decimal_above_max_value"
    assert [one["custom_id"] for one in rows(client, batch["output_file_id"])] == ["r-0"]


def test_a_batch_whose_rows_all_failed_is_complete_and_has_no_output(cloud, client):
    """Completed does not mean success."""
    cloud.answer = lambda _body: {"error": {"message": "no"}}
    batch = polled(client, started(client, [line(0), line(1)]))
    assert (batch["status"], batch["output_file_id"]) == ("completed", None)
    assert batch["usage"]["total_tokens"] == 0
    assert len(rows(client, batch["error_file_id"])) == 2


STREAM = line(1, stream=True)
BARE_BODY = {key: value for key, value in line(1).items() if key != "custom_id"}
NO_MODEL = {**line(1), "body": {"messages": []}}
NO_MESSAGES = {**line(1), "body": {"model": "gpt-4o-mini"}}


@pytest.mark.parametrize(
    ("second", "code", "param"),
    [
        ('{"custom_id": "r-1", ', "invalid_json_line", None),
        ("", "invalid_json_line", None),
        ("[1]", "invalid_json_line", None),
        (line(0), "duplicate_custom_id", "custom_id"),
        (BARE_BODY, "missing_required_parameter", "custom_id"),
        (NO_MESSAGES, "missing_required_parameter", "body.messages"),
        (line(1, model="gpt-4o"), "mismatched_model", "body.model"),
        (line(1, model="gpt-9"), "model_not_found", "body.model"),
        (NO_MODEL, "invalid_request", "body.model"),
        (line(1, url="/v1/embeddings"), "invalid_url", "url"),
        (STREAM, "streaming_unsupported", "body.stream"),
    ],
)
def test_one_bad_line_fails_the_batch_and_is_the_only_one_named(cloud, client, second, code, param):
    """Nothing runs, no files, counts of zero, and lines count from 1."""
    cloud.models = {"gpt-4o-mini", "gpt-4o"}
    batch = polled(client, started(client, [line(0), second, "also bad"]))
    Batch.model_validate(batch, strict=True, extra="forbid")
    (error,) = batch["errors"]["data"]
    assert (batch["status"], error["code"], error["param"]) == ("failed", code, param)
    assert error["line"] == 2
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)


def test_a_file_that_is_empty_or_missing_or_of_another_purpose_fails_the_batch(cloud, client):
    """All three are found after create, with no line to blame."""
    wrong = upload(client, [line(0)], purpose="fine-tune").json()["id"]
    empty = upload(client, b"").json()["id"]
    found = {}
    for name, file_id in (("empty", empty), ("wrong", wrong), ("gone", "file-nope")):
        answer = create(client, file_id)
        assert answer.status_code == 200
        (found[name],) = polled(client, answer.json()["id"])["errors"]["data"]
    assert {name: one["code"] for name, one in found.items()} == {
        "empty": "empty_file",
        "wrong": "invalid_request",
        "gone": "invalid_request",
    }
    assert found["gone"]["line"] is None
    assert found["gone"]["param"] == "file_id"


def test_a_batch_at_the_limit_passes_and_one_row_more_does_not(cloud, client):
    """The count is of lines."""
    cloud.limits = Limits(3, 10_000, "here", "now")
    assert polled(client, started(client, [line(n) for n in range(3)]))["status"] == "completed"
    batch = polled(client, started(client, [line(n) for n in range(4)]))
    assert batch["errors"]["data"][0]["code"] == "maximum_requests_exceeded"


def test_a_file_over_the_bytes_is_refused_at_create(cloud, client):
    """The message names the figure and the model."""
    data = jsonl([line(n) for n in range(3)])
    cloud.limits = Limits(50, len(data), "here", "now")
    assert create(client, upload(client, data).json()["id"]).status_code == 200
    answer = create(client, upload(client, data + b" ").json()["id"])
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == (
        f"The batch input file is larger than the {len(data)} maximum for the gpt-4o-mini model"
    )


def test_an_expired_batch_keeps_what_was_done(cloud, client):
    """The rest is in the error file as never sent; the window's end is where it says."""
    cloud.faults.expire = 0.6
    batch = polled(client, started(client, [line(n) for n in range(10)]))
    assert batch["status"] == "expired"
    assert batch["expired_at"] == batch["expires_at"] == batch["created_at"] + 86_400
    assert len(rows(client, batch["output_file_id"])) == 6
    rest = rows(client, batch["error_file_id"])
    assert [one["custom_id"] for one in rest] == ["r-6", "r-7", "r-8", "r-9"]
    assert {one["error"]["code"] for one in rest} == {"batch_expired"}
    assert {one["response"] for one in rest} == {None}


def test_a_cancelled_batch_passes_through_cancelling_and_keeps_what_was_done(cloud, client):
    """Rows that were never sent say so."""
    batch_id = started(client, [line(n) for n in range(8)])
    client.get(f"/v1/batches/{batch_id}")
    assert client.post(f"/v1/batches/{batch_id}/cancel").json()["status"] == "cancelling"
    batch = polled(client, batch_id)
    assert batch["status"] == "cancelled"
    assert len(rows(client, batch["output_file_id"])) == 2
    assert {one["error"]["code"] for one in rows(client, batch["error_file_id"])} == {
        "batch_cancelled"
    }
    assert client.post(f"/v1/batches/{batch_id}/cancel").status_code == 409


def test_a_cancellation_may_come_too_late(cloud, client):
    """The batch completes all the same."""
    cloud.faults.cancel_late = True
    batch_id = started(client, [line(n) for n in range(8)])
    client.get(f"/v1/batches/{batch_id}")
    client.post(f"/v1/batches/{batch_id}/cancel")
    batch = polled(client, batch_id)
    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 8)


def test_a_batch_that_hangs_stays_in_progress_until_its_window_closes(cloud, client):
    """Only the clock ends it."""
    cloud.faults.hang = 0.5
    batch_id = started(client, [line(n) for n in range(4)])
    assert polled(client, batch_id, times=20)["status"] == "in_progress"
    cloud.clock.advance(86_400)
    assert polled(client, batch_id)["status"] == "expired"


def test_lists_come_newest_first_in_pages(cloud, client):
    """`after` goes on where the page ended; a limit beyond 100 is refused."""
    ids = [started(client, [line(0)]) for _ in range(5)]
    first = client.get("/v1/batches", params={"limit": 2}).json()
    assert [one["id"] for one in first["data"]] == ids[:2:-1]
    assert first["has_more"] is True
    rest = client.get("/v1/batches", params={"limit": 3, "after": first["last_id"]}).json()
    assert [one["id"] for one in rest["data"]] == ids[2::-1]
    assert rest["has_more"] is False
    assert client.get("/v1/batches", params={"limit": 101}).status_code == 400


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({f"k{n}": "v" for n in range(17)}, "object_above_max_properties"),
        ({"k" * 65: "v"}, "string_above_max_length"),
        ({"k": "v" * 513}, "string_above_max_length"),
        ({"k": 1}, "invalid_type"),
    ],
)
def test_metadata_over_the_limits_is_refused(cloud, client, metadata, code):
    """16 pairs, 64 and 512 characters, strings only; nothing is created."""
    answer = create(client, upload(client, [line(0)]).json()["id"], metadata=metadata)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert cloud.batches() == []


def test_metadata_at_the_limits_is_taken(cloud, client):
    """The last value that fits."""
    metadata = {f"{n:064}": "v" * 512 for n in range(16)}
    answer = create(client, upload(client, [line(0)]).json()["id"], metadata=metadata)
    assert answer.json()["metadata"] == metadata


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/chat/completions"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": ""}, "input_file_id"),
    ],
)
def test_a_create_with_a_wrong_value_is_refused(client, change, param):
    """The parameter is named."""
    answer = client.post(
        "/v1/batches",
        json={"input_file_id": "f", "endpoint": CHAT, "completion_window": "24h", **change},
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_only_the_right_key_is_accepted(cloud):
    """A wrong one and none at all are two different 401s; neither is shown whole."""
    with calling(cloud, authorization="Bearer sk-wrong-and-secret-key") as client:
        wrong = client.get("/v1/batches")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "secret" not in wrong.text
    with calling(cloud, x="y") as client:
        assert client.get("/v1/batches").status_code == 401


def test_unknown_things_are_not_found_in_the_services_words(client):
    """Batches, files and paths."""
    assert client.get("/v1/batches/batch_no").json() == {
        "error": {
            "message": "No batch found with id 'batch_no'.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }
    assert client.get("/v1/files/file-no/content").status_code == 404
    assert client.get("/v1/nothing").status_code == 404


def test_files_expire_and_can_be_deleted(cloud, client):
    """After an hour where asked so, after 30 days by themselves."""
    short = upload(
        client,
        [line(0)],
        **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"},
    )
    long = upload(client, [line(0)])
    assert short.json()["expires_at"] - short.json()["created_at"] == 3600
    assert upload(client, [line(0)], **{"expires_after[seconds]": "60"}).status_code == 400
    cloud.clock.advance(3600)
    assert list(cloud.files()) == [long.json()["id"]]
    assert client.get(f"/v1/files/{short.json()['id']}").status_code == 404
    gone = client.delete(f"/v1/files/{long.json()['id']}").json()
    assert gone == {"id": long.json()["id"], "object": "file", "deleted": True}
    assert cloud.files() == {}


def test_result_files_live_as_long_as_the_create_call_says(cloud, client):
    """`output_expires_after` is counted from their making."""
    expiry = {"anchor": "created_at", "seconds": 3600}
    batch = polled(client, started(client, [line(0)], output_expires_after=expiry))
    assert rows(client, batch["output_file_id"])
    cloud.clock.advance(3700)
    assert client.get(f"/v1/files/{batch['output_file_id']}/content").status_code == 404


def test_ids_of_any_letters_come_back_as_they_were(client):
    """Blanks, slashes, umlauts, a hundred characters."""
    name = "row|7 — ü/" * 12
    batch = polled(client, started(client, [{**line(0), "custom_id": name}]))
    assert rows(client, batch["output_file_id"])[0]["custom_id"] == name


def test_the_whole_way_through_the_vendors_sdk(cloud, monkeypatch):
    """Found by the vendor's environment variables alone."""
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    with openai.OpenAI(max_retries=0) as sdk:
        file = sdk.files.create(
            file=("a.jsonl", jsonl([line(n) for n in range(3)])), purpose="batch"
        )
        batch = sdk.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"k": "v"}
        )
        for _ in range(3):
            batch = sdk.batches.retrieve(batch.id)
        assert batch.status == "completed"
        found = [
            json.loads(one) for one in sdk.files.content(batch.output_file_id).text.splitlines()
        ]
        assert len(found) == 3
        assert [one.id for one in sdk.batches.list(limit=1)] == [batch.id]
        assert [one.id for one in sdk.files.list(purpose="batch")] == [file.id]
        assert sdk.files.delete(file.id).deleted is True
        with pytest.raises(openai.NotFoundError):
            sdk.batches.retrieve("batch_no")
    assert cloud.log[0] == ("POST", "/v1/files", 200)


def test_what_was_sent_can_be_read_back(cloud, client):
    """Before and after validation."""
    batch_id = started(client, [line(0), line(1)])
    assert [one["custom_id"] for one in cloud.requests(batch_id)] == ["r-0", "r-1"]
    polled(client, batch_id)
    assert cloud.requests(batch_id)[1]["body"] == line(1)["body"]
