"""Mistral's jobs, against a server that behaves as Mistral's does, faults included."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from native import (
    JSON,
    PATIENCE,
    Nowhere,
    begun,
    close,
    finished,
    objects,
    part,
    polled,
    quicken,
    replies,
    wire,
)

from batchframe.errors import (
    AuthenticationError,
    InputError,
    MissingCredentialsError,
    ProviderUnavailableError,
    QueueFullError,
    UnsupportedError,
)
from batchframe.model import Endpoint, Phase, Ticket
from batchframe.providers.mistral import Mistral
from batchframe.providers.registry import registered
from batchframe.testing import clouds
from batchframe.testing.clouds.flavours import mistral as flavour

PART = part("mistral/mistral-small-latest")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Real patience takes real time, and the environment may hold real keys."""
    made = quicken(monkeypatch, "MISTRAL_")
    yield
    close(made)


@pytest.fixture
def cloud():
    """A Mistral on this machine."""
    with clouds.mistral() as up:
        up.answer = lambda body: body["messages"][-1]["content"].upper()
        yield up


@pytest.fixture
def provider(cloud):
    """Its provider."""
    return Mistral(api_key=cloud.key, base_url=cloud.url, poll_seconds=0.01, patience=PATIENCE)


def submitted(provider, rows=8):
    """Take a frame all the way."""
    frame = pl.DataFrame({"text": [f"row {n}" for n in range(rows)]})
    with registered(provider):
        job = frame.batch.submit(model="mistral/mistral-small-latest", prompt="{text}", seed=7)
        return job, finished(job)


def test_a_frame_goes_there_and_back(cloud, provider):
    """The model stands on the job, the lines have none; answers, tokens and cost come home."""
    job, result = submitted(provider)
    assert result["response"].to_list() == [f"ROW {n}" for n in range(8)]
    assert result["input_tokens"].sum() > 0
    assert (job.status, job.view.price) == ("completed", "known")
    (batch,) = cloud.batches()
    assert set(batch["metadata"]) == {"batchframe", "job", "part"}
    lines = cloud.requests(batch["id"])
    assert {tuple(line["body"]) for line in lines} == {("messages", "random_seed")}
    assert cloud.jobs[batch["id"]].extra["model"] == "mistral-small-latest"


def test_the_window_is_a_setting(cloud, tmp_path):
    """It goes along as `timeout_hours`."""
    asked = Mistral(api_key=cloud.key, base_url=cloud.url, timeout_hours=100)
    begun(asked, PART, tmp_path)
    (batch,) = cloud.jobs.values()
    assert batch.expires - batch.created == 100 * 3600
    with pytest.raises(InputError, match="timeout_hours"):
        Mistral(timeout_hours=169)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_the_address_has_a_version_or_has_none(cloud, end, tmp_path):
    """Mistral's own clients want the root, everybody else's `/v1`."""
    provider = Mistral(api_key=cloud.key, base_url=cloud.url + end)
    begun(provider, PART, tmp_path)
    with provider.connect("m", Endpoint.CHAT) as way:
        assert way.base_url == f"{cloud.url}/v1"


STATUSES = {
    "QUEUED": Phase.WAITING,
    "RUNNING": Phase.RUNNING,
    "SUCCESS": Phase.ENDED,
    "FAILED": Phase.FAILED,
    "TIMEOUT_EXCEEDED": Phase.ENDED,
    "CANCELLATION_REQUESTED": Phase.RUNNING,
    "CANCELLED": Phase.ENDED,
    "success": Phase.ENDED,
}


@pytest.mark.parametrize(("status", "phase"), STATUSES.items())
def test_each_status_is_a_phase(cloud, provider, tmp_path, status, phase):
    """In either case of letters."""
    cloud.step = 0
    ticket = begun(provider, PART, tmp_path)
    cloud.faults.status_word = status
    assert provider.poll(ticket).phase is phase


def test_an_unknown_status_waits_and_is_told_once(cloud, provider, tmp_path, caplog):
    """It may be the next release's word for running."""
    ticket = begun(provider, PART, tmp_path)
    cloud.faults.status_word = "PONDERING"
    with caplog.at_level(logging.WARNING):
        assert [provider.poll(ticket).phase for _ in range(3)] == [Phase.WAITING] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "mistral: the job status 'PONDERING' is unknown; it is polled on"
    ]
    cloud.faults.missing_fields = ("status", "total_requests", "errors")
    assert provider.poll(ticket).phase is Phase.WAITING


def test_counts_grow_while_it_runs(cloud, provider, tmp_path):
    """Done holds the failed ones."""
    cloud.answer = lambda body: {"error": {"message": "no"}} if "3" in str(body) else "yes"
    ticket = begun(provider, PART, tmp_path)
    last = polled(provider, ticket)
    assert (last.phase, last.total, last.done, last.failed) == (Phase.ENDED, 6, 6, 1)


# --- once and only once


def test_a_lost_answer_to_create_is_found_again(cloud, provider, tmp_path):
    """The connection broke after the job was made: it is not made twice."""
    ticket = provider.upload(PART, wire(provider, PART, tmp_path))
    cloud.faults.drop_after["create"] = 1
    with pytest.raises(ProviderUnavailableError):
        provider.create(PART, ticket)
    found = provider.find(PART, ticket)
    assert len(cloud.batches()) == 1
    assert found == Ticket("mistral", {**ticket.data, "batch": cloud.batches()[0]["id"]})


def test_nothing_is_found_where_nothing_was_made(cloud, provider, tmp_path):
    """The call never arrived; another part's job is not ours."""
    begun(provider, part("mistral/m", key="job-b-0-22"), tmp_path)
    ticket = provider.upload(PART, wire(provider, PART, tmp_path))
    cloud.faults.drop_before["create"] = 1
    with pytest.raises(ProviderUnavailableError):
        provider.create(PART, ticket)
    assert provider.find(PART, ticket) is None
    assert provider.find(PART, None) is None


@pytest.mark.parametrize("kind", ["ignored", "broken"])
def test_the_list_is_believed_and_not_its_filter(cloud, provider, tmp_path, monkeypatch, kind):
    """A server that ignores the filter gives everything, one that misreads it nothing."""
    for number in range(3):
        begun(provider, part("mistral/m", key=f"job-b-{number}"), tmp_path)
    ticket = begun(provider, PART, tmp_path)
    broken = kind == "broken"
    monkeypatch.setattr(
        flavour, "_wanted", lambda call, _batch: not (broken and "batchframe" in call.query)
    )
    assert provider.find(PART, None).data["batch"] == ticket.data["batch"]
    assert provider.find(part("mistral/m", key="job-c"), None) is None


def test_a_list_is_read_to_its_end(cloud, provider, tmp_path, monkeypatch):
    """Page by page; what is older than the intent is not ours."""
    monkeypatch.setattr("batchframe.providers.mistral.PAGE", 2)
    monkeypatch.setattr(flavour, "_wanted", lambda _call, _batch: True)
    ticket = begun(provider, PART, tmp_path)
    for number in range(5):
        cloud.clock.advance(1)
        begun(provider, part("mistral/m", key=f"job-b-{number}"), tmp_path)
    assert provider.find(PART, None).data["batch"] == ticket.data["batch"]
    later = Ticket("mistral", {"intended_at": cloud.clock.now + 90_000})
    before = len(cloud.log)
    assert provider.find(part("mistral/m", key="job-c"), later) is None
    assert len(cloud.log) - before == 2  # one page with the filter, one without


def test_of_two_jobs_the_younger_is_cancelled(cloud, provider, tmp_path, caplog):
    """The same rows are not paid for twice."""
    first = begun(provider, PART, tmp_path)
    cloud.clock.advance(5)
    second = begun(provider, PART, tmp_path)
    with caplog.at_level(logging.WARNING):
        assert provider.find(PART, None).data["batch"] == first.data["batch"]
    assert cloud.jobs[second.data["batch"]].stage == "cancelling"
    assert "is a duplicate of" in caplog.text


def test_a_full_queue_is_no_failure(cloud, provider, tmp_path):
    """Whether it says so at once or afterwards; such a job is not found again."""
    cloud.faults.queue_full_at_create = 1
    with pytest.raises(QueueFullError, match="Enqueued token limit reached"):
        begun(provider, PART, tmp_path)
    cloud.faults.queue_full_after_create = 1
    ticket = begun(provider, PART, tmp_path)
    last = polled(provider, ticket)
    assert last.phase is Phase.REFUSED
    assert "Enqueued token limit reached" in last.message
    assert provider.find(PART, ticket) is None


def test_a_full_queue_is_waited_out_by_a_job(cloud, provider):
    """Nothing is paid for twice."""
    cloud.faults.queue_full_at_create, cloud.faults.queue_full_after_create = 1, 1
    _, result = submitted(provider)
    assert result["error"].null_count() == 8
    assert [batch["answered"] for batch in cloud.batches()] == [0, 8]


# --- what goes wrong


@pytest.mark.parametrize("kind", ["retry-after", "date", "retry-after-ms", "reset", "none"])
@pytest.mark.parametrize("operation", ["upload", "create", "get", "list", "content"])
def test_a_429_is_waited_out(cloud, provider, tmp_path, kind, operation):
    """In every form, and at `create` as well: nothing was done."""
    cloud.faults.rate_limit, cloud.faults.rate_limit_dialect = {operation: 2}, kind
    cloud.faults.rate_limit_seconds = 0
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    assert len(provider.fetch(ticket, tmp_path)) == 1
    assert provider.find(PART, ticket) is not None
    assert len(cloud.batches()) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_is_gone_on_with(cloud, provider, tmp_path, ranges):
    """A result file is there whole or not at all."""
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    cloud.faults.cut, cloud.faults.ranges = {"content": 2}, ranges
    (file,) = provider.fetch(ticket, tmp_path)
    assert file.read_bytes() in cloud.files().values()
    assert len(replies(provider, [file])) == 6
    cloud.faults.server_error["content"] = 99
    assert provider.fetch(ticket, tmp_path) == [file]  # it is there: nobody is asked


def test_an_html_page_is_no_answer(cloud, provider, tmp_path):
    """Cloudflare's pages are for waiting; nothing of ours is in the message."""
    cloud.faults.html["get"] = 9
    ticket = begun(provider, PART, tmp_path)
    with pytest.raises(ProviderUnavailableError) as caught:
        provider.poll(ticket)
    assert str(caught.value) == (
        "mistral could not look at the job: it answered with a web page (HTTP 520). What is paid is kept."
    )


def test_a_wrong_key_is_told_without_it(cloud, tmp_path):
    """The message names the variable."""
    provider = Mistral(api_key="mistralwrongkey0000", base_url=cloud.url)
    with pytest.raises(AuthenticationError) as caught:
        begun(provider, PART, tmp_path)
    assert str(caught.value) == (
        "mistral could not take the file: Unauthorized (HTTP 401). "
        "Set MISTRAL_API_KEY to a valid key that may use batches; in a notebook %env MISTRAL_API_KEY=... "
        "Type: export MISTRAL_API_KEY=..."
    )
    assert "mistralwrongkey0000" not in repr(provider) + str(caught.value)
    with pytest.raises(MissingCredentialsError, match="export MISTRAL_API_KEY"):
        Mistral().check("m", Endpoint.CHAT)


def test_every_row_is_accounted_for(cloud, provider):
    """Shuffled, doubled, lost, foreign and unreadable lines."""
    faults = cloud.faults
    faults.shuffle, faults.missing, faults.duplicated = True, 2, 3
    faults.garbage, faults.unknown_ids, faults.status_zero = 4, 2, 1
    _, result = submitted(provider)
    assert result.height == 8
    codes = result["error"].str.split(":").list.first()
    assert sorted(codes.drop_nulls()) == ["error", "missing", "missing"]


def test_a_line_without_an_id_leaves_its_row_missing(cloud, provider):
    """It is counted and not lost."""
    nameless = flavour.FLAVOUR.line

    def line(batch, outcome):
        told = nameless(batch, outcome)
        if outcome.number == 2:
            del told["custom_id"]
        return told

    cloud.flavour = replace(cloud.flavour, line=line)
    job, result = submitted(provider)
    assert result["error"].to_list()[2].startswith("missing: mistral counts 8 results of part 0")
    assert result["error"].null_count() == 7
    assert job.status == "completed"


def test_what_was_answered_before_the_end_comes_home(cloud, provider):
    """The window closed: half is there, half may be sent again."""
    cloud.faults.expire = 0.5
    _, result = submitted(provider)
    assert result["response"].drop_nulls().len() == 4
    assert result["error"].drop_nulls().unique().to_list() == [
        "missing: the provider returned no line for this row"
    ]


def test_what_was_answered_before_a_cancel_comes_home(cloud, provider, tmp_path):
    """A job that hangs is cancelled, and has files all the same."""
    cloud.faults.hang = 0.5
    ticket = begun(provider, PART, tmp_path)
    for _ in range(4):
        provider.poll(ticket)
    provider.cancel(ticket)
    assert polled(provider, ticket).phase is Phase.ENDED
    assert len(replies(provider, provider.fetch(ticket, tmp_path))) == 3


def test_causes_are_told_with_their_counts(cloud, provider, tmp_path):
    """The commonest first; and the error file holds the rows."""

    def answer(body):
        if "0" in str(body["messages"]):
            raise RuntimeError("broke")
        return {"error": {"message": "no such tool", "code": "bad"}, "status_code": 422}

    cloud.answer = answer
    ticket = begun(provider, PART, tmp_path)
    last = polled(provider, ticket)
    assert last.phase is Phase.FAILED
    assert last.message == "no such tool (5 times); broke (1 times)"
    got = replies(provider, provider.fetch(ticket, tmp_path))
    assert [(got[f"r{n}"].error.code, got[f"r{n}"].error.retryable) for n in range(2)] == [
        ("500", True),
        ("bad", False),
    ]


def test_a_result_file_that_is_gone_is_told(cloud, provider, tmp_path):
    """It says which one."""
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    gone = cloud.jobs[ticket.data["batch"]].output_file_id
    del cloud.store[gone]
    assert provider.fetch(ticket, tmp_path).gone == (gone,)


def test_cleaning_up_twice_is_fine(cloud, provider, tmp_path):
    """All files go; a job that is gone is no obstacle."""
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    provider.cleanup(ticket)
    assert cloud.files() == {}
    provider.cleanup(ticket)
    provider.cleanup(Ticket("mistral", {"batch": "nothing", "file": "nothing"}))
    provider.cleanup(Ticket("mistral", {}))


def test_other_endpoints_are_refused(provider):
    """Chat, embeddings and moderations have batches here."""
    with pytest.raises(UnsupportedError) as caught:
        provider.check("m", Endpoint.RESPONSES)
    assert str(caught.value) == (
        "mistral has no batches for /v1/responses; it has: /v1/chat/completions, /v1/embeddings, "
        "/v1/moderations."
    )
    provider.check("m", Endpoint.EMBEDDINGS)


NOBODY = Mistral(api_key="k", base_url="http://127.0.0.1:1", poll_seconds=0.01)
JOBS = objects("status", "errors", "total_requests", "completed_requests", "metadata", "id",
               "failed_requests", "input_files", "created_at", "data")  # fmt: skip


@settings(deadline=None)
@given(answer=JSON | JOBS | JOBS.map(lambda job: {"data": [job, {**job, "id": "x"}]}))
def test_no_answer_breaks_it(answer):
    """Whatever a server says: no id is our error, anything else is waited for."""
    provider = NOBODY
    provider.rest = Nowhere(answer)
    ticket = Ticket("mistral", {"file": "f", "batch": "b"})
    assert provider.poll(ticket).phase in Phase
    provider.find(PART, ticket)
    with suppress(ProviderUnavailableError):  # it has no id
        provider.create(PART, ticket)
