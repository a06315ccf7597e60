"""Every switch of a cloud's faults does what it says, as often as it says, and nothing when off."""

from __future__ import annotations

import email.utils
import json
import time

import httpx2
import pytest
from cloudkit import CHAT, calling, create, line, polled, rows, started, upload

from batchframe.testing import clouds
from batchframe.testing.clouds.clock import Clock


@pytest.fixture
def cloud():
    with clouds.openai() as running:
        yield running


@pytest.fixture
def client(cloud):
    with calling(cloud) as calls:
        yield calls


def test_a_fault_by_call_hits_as_often_as_it_is_told(cloud, client):
    """Two creates fail, the third passes; other calls pass meanwhile."""
    file_id = upload(client, [line(0)]).json()["id"]
    cloud.faults.server_error["create"] = 2
    cloud.faults.server_status = 503
    assert create(client, file_id).status_code == 503
    assert client.get("/v1/batches").status_code == 200
    assert create(client, file_id).status_code == 503
    assert create(client, file_id).status_code == 200
    assert len(cloud.batches()) == 1


def test_a_star_hits_whatever_comes_next(cloud, client):
    """Any operation counts."""
    cloud.faults.server_error["*"] = 1
    assert client.get("/v1/batches").status_code == 500
    assert client.get("/v1/batches").status_code == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("quota_gone", 429, "insufficient_quota"),
        ("unauthorized", 401, "invalid_api_key"),
        ("forbidden", 403, "missing_scope"),
        ("rate_limit", 429, "rate_limit_exceeded"),
        ("server_error", 500, None),
    ],
)
def test_refusals_by_call_have_their_status_and_code(cloud, client, fault, status, code):
    """The body is the service's."""
    getattr(cloud.faults, fault)["list"] = 1
    answer = client.get("/v1/batches")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert client.get("/v1/batches").status_code == 200


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("retry-after", {"retry-after": "3"}),
        ("retry-after-ms", {"retry-after-ms": "2500"}),
        ("reset", {"x-ratelimit-reset-requests": "2.5s", "x-ratelimit-remaining-requests": "0"}),
        ("none", {}),
    ],
)
def test_a_rate_limit_speaks_each_dialect(cloud, client, dialect, expected):
    """Only the dialect's own headers are there."""
    cloud.faults.rate_limit["list"] = 1
    cloud.faults.rate_limit_dialect, cloud.faults.rate_limit_seconds = dialect, 2.5
    headers = client.get("/v1/batches").headers
    found = {k: v for k, v in headers.items() if k.startswith(("retry", "x-ratelimit-re"))}
    assert found == expected


def test_a_rate_limit_may_name_a_date(cloud, client):
    """An HTTP date that lies ahead."""
    cloud.faults.rate_limit["list"] = 1
    cloud.faults.rate_limit_dialect, cloud.faults.rate_limit_seconds = "date", 100
    told = client.get("/v1/batches").headers["retry-after"]
    ahead = email.utils.parsedate_to_datetime(told).timestamp() - time.time()
    assert 90 < ahead < 101


@pytest.mark.parametrize("status", [403, 520, 502])
def test_an_error_page_is_html(cloud, client, status):
    """No JSON anywhere."""
    cloud.faults.html["get"], cloud.faults.html_status = 1, status
    answer = client.get("/v1/batches/x")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_a_connection_dropped_before_the_call_leaves_nothing_behind(cloud, client):
    """No batch exists."""
    file_id = upload(client, [line(0)]).json()["id"]
    cloud.faults.drop_before["create"] = 1
    with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
        create(client, file_id)
    assert cloud.batches() == []
    assert cloud.log[-1] == ("POST", "/v1/batches", 0)


def test_a_connection_dropped_after_the_call_leaves_a_batch_behind(cloud, client):
    """The client sees a reset, the bill says one."""
    file_id = upload(client, [line(0)]).json()["id"]
    cloud.faults.drop_after["create"] = 1
    with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
        create(client, file_id, metadata={"k": "v"})
    assert [one["metadata"] for one in cloud.batches()] == [{"k": "v"}]
    assert client.get("/v1/batches").json()["data"][0]["metadata"] == {"k": "v"}


@pytest.mark.parametrize(("honoured", "status"), [(True, 206), (False, 200)])
def test_a_download_cut_in_the_middle_can_be_resumed_or_not(cloud, client, honoured, status):
    """Half the body comes; a `Range` then gets the rest, or all of it again."""
    batch = polled(client, started(client, [line(n) for n in range(20)]))
    path = f"/v1/files/{batch['output_file_id']}/content"
    whole = client.get(path).content
    cloud.faults.cut["content"], cloud.faults.ranges = 1, honoured
    got = b""
    with pytest.raises(httpx2.RemoteProtocolError), client.stream("GET", path) as answer:
        for chunk in answer.iter_raw():
            got += chunk
    assert got == whole[: len(whole) // 2]
    rest = client.get(path, headers={"range": f"bytes={len(got)}-"})
    assert rest.status_code == status
    assert (got + rest.content if honoured else rest.content) == whole
    beyond = client.get(path, headers={"range": f"bytes={len(whole)}-"})
    assert beyond.status_code == (416 if honoured else 200)


@pytest.mark.parametrize("status", [400, 429])
def test_a_full_queue_refuses_the_next_creates_with_the_phrase(cloud, client, status):
    """The code and the sentence are both there; the file stays good."""
    file_id = upload(client, [line(0)]).json()["id"]
    cloud.faults.queue_full_at_create, cloud.faults.queue_full_status = 1, status
    answer = create(client, file_id)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, "token_limit_exceeded")
    assert error["message"].startswith(
        "Enqueued token limit reached for gpt-4o-mini in organization"
    )
    assert create(client, file_id).status_code == 200
    assert len(cloud.batches()) == 1


def test_a_full_queue_may_fail_the_next_batches_after_create(cloud, client):
    """Created, then failed with no line to blame; the next one runs."""
    cloud.faults.queue_full_after_create = 1
    batch = polled(client, started(client, [line(0)]))
    (error,) = batch["errors"]["data"]
    assert (batch["status"], error["code"], error["line"]) == (
        "failed",
        "token_limit_exceeded",
        None,
    )
    assert polled(client, started(client, [line(0)]))["status"] == "completed"


def test_slow_validation_holds_a_batch(cloud, client):
    """For as many seconds as told."""
    cloud.faults.validating = 900
    batch_id = started(client, [line(0)])
    assert polled(client, batch_id, times=10)["status"] == "validating"
    cloud.clock.advance(900)
    assert polled(client, batch_id)["status"] == "completed"


def test_a_status_word_nobody_knows_is_shown(cloud, client):
    """While the switch is on."""
    batch_id = started(client, [line(0)])
    cloud.faults.status_word = "pondering"
    assert client.get(f"/v1/batches/{batch_id}").json()["status"] == "pondering"
    cloud.faults.status_word = None
    assert polled(client, batch_id)["status"] == "completed"


def test_a_batch_object_may_lack_fields(cloud, client):
    """Those that are named, and no others."""
    batch_id = started(client, [line(0)])
    whole = client.get(f"/v1/batches/{batch_id}").json()
    cloud.faults.missing_fields = ("status", "request_counts")
    assert set(whole) - set(client.get(f"/v1/batches/{batch_id}").json()) == {
        "status",
        "request_counts",
    }


def test_a_stale_list_does_not_show_a_new_batch(cloud, client):
    """Until the seconds have passed; reading it by id works at once."""
    cloud.faults.stale_list, cloud.step = 60, 0
    batch_id = started(client, [line(0)])
    assert client.get("/v1/batches").json()["data"] == []
    assert client.get(f"/v1/batches/{batch_id}").status_code == 200
    cloud.clock.advance(60)
    assert [one["id"] for one in client.get("/v1/batches").json()["data"]] == [batch_id]


def result_of(cloud, client, count=10):
    batch = polled(client, started(client, [line(n) for n in range(count)]))
    return client.get(f"/v1/files/{batch['output_file_id']}/content").content


def test_result_lines_may_be_shuffled(cloud, client):
    """All are there, in another order."""
    cloud.faults.shuffle = True
    ids = [json.loads(one)["custom_id"] for one in result_of(cloud, client).splitlines()]
    assert ids != [f"r-{n}" for n in range(10)]
    assert sorted(ids) == [f"r-{n}" for n in range(10)]


def test_result_lines_may_be_missing_doubled_or_strangers(cloud, client):
    """Two fewer, one twice, one that nobody sent; the counts do not betray it."""
    cloud.faults.missing, cloud.faults.duplicated, cloud.faults.unknown_ids = 2, 1, 1
    ids = [json.loads(one)["custom_id"] for one in result_of(cloud, client).splitlines()]
    assert ids == [*(f"r-{n}" for n in range(8)), "r-0", "nobody-0"]


def test_the_last_result_line_may_be_cut(cloud, client):
    """It is no JSON, and there is no newline."""
    cloud.faults.truncated = True
    lines = result_of(cloud, client).split(b"\n")
    assert len(lines) == 10
    assert json.loads(lines[-2])["custom_id"] == "r-8"
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines[-1])


def test_result_lines_may_be_garbage(cloud, client):
    """Between whole ones, and of more than one kind."""
    cloud.faults.garbage = 6
    good, bad = [], []
    for one in result_of(cloud, client).split(b"\n")[:-1]:
        try:
            (good if isinstance(json.loads(one), dict) else bad).append(one)
        except ValueError:
            bad.append(one)
    assert len(good) == 10
    assert len(set(bad)) == 6


def test_rows_of_status_zero_stand_in_the_output_file(cloud, client):
    """As users reported."""
    cloud.faults.status_zero = 2
    found = [json.loads(one)["response"] for one in result_of(cloud, client).splitlines()]
    assert [one["status_code"] for one in found][:3] == [0, 0, 200]
    assert found[0]["body"] is None


def test_no_fault_is_on_unless_it_is_switched_on(cloud, client):
    """A whole run is clean."""
    batch = polled(client, started(client, [line(n) for n in range(3)]))
    assert len(rows(client, batch["output_file_id"])) == 3
    assert {status for _, _, status in cloud.log} == {200}


def test_the_clock_runs_forward_only():
    """A negative step is refused."""
    clock = Clock(start=10.0)
    with pytest.raises(ValueError, match="does not run back"):
        clock.advance(-1)
    clock.reach(5)
    assert clock.now == 10


def test_a_cloud_that_is_not_up_says_so():
    """Its address exists only inside the block."""
    with pytest.raises(RuntimeError, match="the openai cloud is not up: use it in a with block"):
        _ = clouds.openai().url


def test_a_body_in_chunks_is_read(cloud, client):
    """A client need not know how long it is."""
    given = {"input_file_id": "f", "endpoint": CHAT, "completion_window": "24h"}
    raw = json.dumps(given).encode()
    answer = client.post("/v1/batches", content=iter([raw[:9], raw[9:]]))
    assert answer.json()["input_file_id"] == "f"
