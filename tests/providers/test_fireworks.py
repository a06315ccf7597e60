"""Fireworks' jobs, against a server that behaves as Fireworks' does, faults included."""

from __future__ import annotations

import logging
import re
import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    ProviderError,
    ProviderUnavailableError,
    QueueFullError,
    QuotaError,
    UnsupportedError,
)
from batchframe.model import Endpoint, Phase, Ticket
from batchframe.providers.fireworks import (
    DIRECT_BYTES,
    LIMITS,
    Fireworks,
    identity_of,
    model_path,
)
from batchframe.providers.registry import registered
from batchframe.testing import clouds

PART = part("fireworks/llama-v3p3-70b-instruct")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Real patience takes real time, and the environment may hold real keys."""
    made = quicken(monkeypatch, "FIREWORKS_")
    yield
    close(made)


@pytest.fixture
def cloud():
    """A Fireworks on this machine."""
    with clouds.fireworks() as up:
        up.answer = lambda body: body["messages"][-1]["content"].upper()
        yield up


@pytest.fixture
def provider(cloud):
    """Its provider."""
    return Fireworks(
        api_key=cloud.key,
        account_id="fake-account",
        base_url=cloud.url,
        poll_seconds=0.01,
        patience=PATIENCE,
    )


FULL = "accounts/fireworks/models/llama-v3p3-70b-instruct"


def submitted(provider, rows=8):
    """Take a frame all the way."""
    frame = pl.DataFrame({"text": [f"row {n}" for n in range(rows)]})
    with registered(provider):
        job = frame.batch.submit(model="fireworks/llama-v3p3-70b-instruct", prompt="{text}")
        return job, finished(job)


def test_a_frame_goes_there_and_back(cloud, provider):
    """The model stands on the job, as a path; the lines have neither model nor address."""
    job, result = submitted(provider)
    assert result["response"].to_list() == [f"ROW {n}" for n in range(8)]
    assert result["input_tokens"].sum() > 0
    assert job.status == "completed"
    (batch,) = cloud.batches()
    assert {tuple(line["body"]) for line in cloud.requests(batch["id"])} == {("messages",)}
    assert cloud.jobs[batch["id"]].extra["model"] == FULL
    assert cloud.jobs[batch["id"]].extra["declared"] == 8


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama-v3p3-70b-instruct", FULL),
        (FULL, FULL),
        ("accounts/me/models/mine", "accounts/me/models/mine"),
    ],
)
def test_a_model_has_two_forms(name, path):
    """Bare names are Fireworks' own."""
    assert model_path(name) == path


@pytest.mark.parametrize("end", ["", "/", "/v1", "/inference/v1", "/inference/v1/"])
def test_the_address_may_be_the_one_of_inference(cloud, end, tmp_path):
    """Batches live beside it; requests go to it. The account may be written as a path."""
    provider = Fireworks(
        api_key=cloud.key, base_url=cloud.url + end, account_id="accounts/fake-account/"
    )
    begun(provider, PART, tmp_path)
    with provider.connect("m", Endpoint.CHAT) as way:
        assert way.base_url == f"{cloud.url}/inference/v1"


def test_key_and_account_are_needed(monkeypatch):
    """Each is asked for by the name of its variable."""
    with pytest.raises(MissingCredentialsError, match="export FIREWORKS_API_KEY"):
        Fireworks().check("m", Endpoint.CHAT)
    monkeypatch.setenv("FIREWORKS_API_KEY", "fw_12345678")
    with pytest.raises(MissingCredentialsError) as caught:
        Fireworks().check("m", Endpoint.CHAT)
    assert str(caught.value) == (
        "fireworks needs an account id, and none was found. Type: export FIREWORKS_ACCOUNT_ID=... (in "
        "a notebook: %env FIREWORKS_ACCOUNT_ID=...), then make the call again in a new process."
    )
    monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", "me")
    Fireworks().check("m", Endpoint.CHAT)
    with pytest.raises(UnsupportedError) as refused:
        Fireworks().check("m", Endpoint.EMBEDDINGS)
    assert str(refused.value) == (
        "fireworks has no batches for /v1/embeddings; it has: /v1/chat/completions."
    )


@given(st.text(min_size=1, max_size=90), st.text(min_size=1, max_size=90))
def test_ids_are_allowed_and_tell_keys_apart(one, other):
    """Small letters, digits and hyphens, at most 63 with what is put behind them."""
    first, second = identity_of(one), identity_of(other)
    assert re.fullmatch(r"bf(-[a-z0-9-]*)?[a-z0-9]", first)
    assert len(f"{first}-r999") <= 63
    assert (first == second) == (one == other)
    assert identity_of(one) == first


STATES = {
    "UNSPECIFIED": Phase.WAITING,
    "CREATING": Phase.WAITING,
    "RUNNING": Phase.RUNNING,
    "COMPLETED": Phase.ENDED,
    "FAILED": Phase.FAILED,
    "CANCELLED": Phase.ENDED,
    "DELETING": Phase.RUNNING,
    "WRITING_RESULTS": Phase.RUNNING,
    "VALIDATING": Phase.WAITING,
    "DELETING_CLEANING_UP": Phase.RUNNING,
    "PENDING": Phase.WAITING,
    "EXPIRED": Phase.ENDED,
    "RE_QUEUEING": Phase.WAITING,
    "CREATING_INPUT_DATASET": Phase.WAITING,
    "IDLE": Phase.WAITING,
    "CANCELLING": Phase.RUNNING,
    "EARLY_STOPPED": Phase.ENDED,
    "PAUSED": Phase.WAITING,
}


@pytest.mark.parametrize(("state", "phase"), STATES.items())
def test_each_state_is_a_phase(cloud, provider, tmp_path, state, phase):
    """All eighteen."""
    ticket = begun(provider, PART, tmp_path)
    cloud.step, cloud.faults.status_word = 0, f"JOB_STATE_{state}"
    assert provider.poll(ticket).phase is phase


def test_an_unknown_state_waits_and_is_told_once(cloud, provider, tmp_path, caplog):
    """It may be the next release's word for running."""
    ticket = begun(provider, PART, tmp_path)
    cloud.faults.status_word = "JOB_STATE_PONDERING"
    with caplog.at_level(logging.WARNING):
        assert [provider.poll(ticket).phase for _ in range(3)] == [Phase.WAITING] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "fireworks: the job state 'PONDERING' is unknown; it is polled on"
    ]
    cloud.faults.missing_fields = ("state", "jobProgress", "status")
    assert provider.poll(ticket).phase is Phase.WAITING


def test_counts_and_tokens_grow_while_it_runs(cloud, provider, tmp_path):
    """Done holds the failed ones."""
    cloud.answer = lambda body: {"error": {"message": "no"}} if "row 3" in str(body) else "yes"
    ticket = begun(provider, PART, tmp_path)
    last = polled(provider, ticket)
    assert (last.phase, last.total, last.done, last.failed) == (Phase.ENDED, 6, 6, 1)
    assert (last.usage.input, last.usage.output) == (10, 5)


def test_counts_of_64_bits_are_text(provider):
    """So does gRPC write them."""
    progress = {"totalInputRequests": "7", "totalProcessedRequests": "3", "inputTokens": "x"}
    provider.rest = Nowhere({"state": "JOB_STATE_RUNNING", "jobProgress": progress})
    seen = provider.poll(Ticket("fireworks", {"batch": "b"}))
    assert (seen.total, seen.done, seen.failed, seen.usage.input) == (7, 3, None, None)


# --- once and only once


def test_a_lost_answer_to_create_is_found_again(cloud, provider, tmp_path):
    """The connection broke after the job was made: it is not made twice."""
    ticket = provider.upload(PART, wire(provider, PART, tmp_path))
    cloud.faults.drop_after["create"] = 1
    with pytest.raises(ProviderUnavailableError):
        provider.create(PART, ticket)
    assert len(cloud.batches()) == 1
    found = provider.find(PART, ticket)
    assert found == Ticket(
        "fireworks", {**ticket.data, "batch": cloud.batches()[0]["id"], "turn": 0}
    )
    assert provider.find(PART, None) == found


def test_a_create_that_is_repeated_makes_nothing(cloud, provider, tmp_path):
    """The id is taken, which says that it happened; even while the job is not shown yet."""
    ticket = provider.upload(PART, wire(provider, PART, tmp_path))
    first = provider.create(PART, ticket)
    assert provider.create(PART, ticket) == first
    cloud.jobs[first.data["batch"]].stage = "cancelled"  # the cloud answers 404
    assert provider.create(PART, ticket) == first
    assert len(cloud.batches()) == 1


def test_nothing_is_found_where_nothing_was_made(cloud, provider, tmp_path):
    """The call never arrived; another part's job is not ours."""
    begun(provider, part("fireworks/m", key="job-b-0-22"), tmp_path)
    ticket = provider.upload(PART, wire(provider, PART, tmp_path))
    cloud.faults.drop_before["create"] = 1
    with pytest.raises(ProviderUnavailableError):
        provider.create(PART, ticket)
    assert provider.find(PART, ticket) is None
    assert provider.find(PART, None) is None


def test_an_upload_that_is_repeated_goes_on(cloud, provider, tmp_path):
    """A dataset that is ready is the same file; one that never got its file gets it now."""
    file = wire(provider, PART, tmp_path)
    cloud.faults.server_error["upload"] = 4
    with pytest.raises(ProviderUnavailableError):
        provider.upload(PART, file)
    ticket = provider.upload(PART, file)
    assert provider.upload(PART, file) == ticket
    assert list(cloud.files().values()) == [file.read_bytes()]


def test_one_call_brings_no_more_than_fireworks_takes(cloud):
    """What is above goes another way, so the two figures must agree."""
    assert cloud.direct == DIRECT_BYTES < LIMITS.bytes == cloud.limits.bytes


@pytest.mark.parametrize(("spare", "puts"), [(0, 0), (-1, 1)])
def test_a_file_that_is_too_large_for_one_call_goes_to_a_signed_address(
    cloud, provider, tmp_path, monkeypatch, spare, puts
):
    """Exactly the limit still goes up in one; either way the job has all of it."""
    size = wire(provider, PART, tmp_path).stat().st_size
    cloud.direct = size + spare
    monkeypatch.setattr("batchframe.providers.fireworks.DIRECT_BYTES", cloud.direct)
    ticket = begun(provider, PART, tmp_path)
    assert polled(provider, ticket).phase is Phase.ENDED
    assert len(replies(provider, provider.fetch(ticket, tmp_path))) == 6
    assert sum(method == "PUT" for method, _, _ in cloud.log) == puts


def test_a_broken_upload_to_a_signed_address_is_begun_again(cloud, provider, tmp_path, monkeypatch):
    """The address may be used twice; a dataset is ready only when the file is whole."""
    monkeypatch.setattr("batchframe.providers.fireworks.DIRECT_BYTES", 10)
    cloud.faults.drop_before["blob"], cloud.faults.server_error["upload"] = 2, 1
    file = wire(provider, PART, tmp_path)
    ticket = provider.upload(PART, file)
    assert list(cloud.files().values()) == [file.read_bytes()]
    assert provider.upload(PART, file) == ticket


def test_a_dataset_may_have_as_many_bytes_as_the_settings_say(monkeypatch):
    """500 MB unless told: versions of Fireworks' own page say 500 MB and 1 GB."""
    assert Fireworks(api_key="k").limits == LIMITS
    assert Fireworks(api_key="k", dataset_bytes=10**9).limits.bytes == 10**9
    monkeypatch.setenv("FIREWORKS_DATASET_BYTES", "700000000")
    made = Fireworks(api_key="k")
    assert (made.limits.bytes, made.limits.source) == (700_000_000, LIMITS.source)
    monkeypatch.setenv("FIREWORKS_DATASET_BYTES", "0")
    with pytest.raises(InputError, match="dataset_bytes"):
        Fireworks(api_key="k")


def test_an_account_without_money_is_told_as_one(cloud, provider, tmp_path):
    """With HTTP 412, which says nothing by itself; asking again would not help."""
    cloud.faults.quota_gone["create"] = 1
    with pytest.raises(QuotaError) as caught:
        begun(provider, PART, tmp_path)
    assert str(caught.value) == (
        "fireworks could not create the job: Account fake-account is suspended, possibly due to "
        "reaching the monthly spending limit or failure to pay past invoices. Please go to "
        "https://fireworks.ai/account/billing for more information (HTTP 412, PRECONDITION_FAILED). "
        "Add credit or raise the limit; what is paid is kept."
    )


def test_a_full_queue_is_no_failure(cloud, provider, tmp_path):
    """A job that was turned away keeps its id, so the next one has another."""
    cloud.faults.queue_full_at_create = 1
    with pytest.raises(QueueFullError, match="Enqueued token limit reached"):
        begun(provider, PART, tmp_path)
    cloud.faults.queue_full_after_create = 2
    ticket = begun(provider, PART, tmp_path)
    for turn in range(3):
        last = polled(provider, ticket)
        if turn == 2:
            break
        assert last.phase is Phase.REFUSED
        assert "Enqueued token limit reached" in last.message
        assert provider.find(PART, ticket) is None
        ticket = provider.create(PART, ticket)
    assert last.phase is Phase.ENDED
    assert [batch["answered"] for batch in cloud.batches()] == [0, 0, 6]


def test_a_full_queue_is_waited_out_by_a_job(cloud, provider):
    """Nothing is paid for twice."""
    cloud.faults.queue_full_at_create, cloud.faults.queue_full_after_create = 1, 1
    _, result = submitted(provider)
    assert result["error"].null_count() == 8
    assert [batch["answered"] for batch in cloud.batches()] == [0, 8]


# --- what goes wrong


@pytest.mark.parametrize("kind", ["retry-after", "date", "retry-after-ms", "reset", "none"])
@pytest.mark.parametrize("operation", ["dataset", "upload", "create", "get", "results", "content"])
def test_a_429_is_waited_out(cloud, provider, tmp_path, kind, operation):
    """In every form, and at `create` as well: nothing was done."""
    cloud.faults.rate_limit, cloud.faults.rate_limit_dialect = {operation: 2}, kind
    cloud.faults.rate_limit_seconds = 0
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    assert len(provider.fetch(ticket, tmp_path)) == 2
    assert len(cloud.batches()) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_is_gone_on_with(cloud, provider, tmp_path, ranges):
    """A result file is there whole or not at all."""
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    cloud.faults.cut, cloud.faults.ranges = {"content": 2}, ranges
    files = provider.fetch(ticket, tmp_path)
    assert {file.read_bytes() for file in files} <= set(cloud.files().values())
    assert len(replies(provider, files)) == 6
    cloud.faults.server_error["content"] = 99
    assert provider.fetch(ticket, tmp_path) == files  # they are there: nobody is asked


def test_a_signed_address_keeps_its_query(provider, tmp_path):
    """Without its signature it would be refused."""
    asked = []

    class Signed(Nowhere):
        def download(self, path, target, _doing, params):
            asked.append((path, params))
            return target

    urls = {"dataset/o/a.jsonl": "https://blob.example/a?X-Sig=a%2Fb%3D&X-Date=1"}
    provider.rest = Signed({"filenameToSignedUrls": urls})
    (file,) = provider.fetch(Ticket("fireworks", {"batch": "b"}), tmp_path)
    assert asked == [("https://blob.example/a", {"X-Sig": "a/b=", "X-Date": "1"})]
    assert file.parent == tmp_path


def test_hostile_file_names_stay_in_their_folder(provider, tmp_path):
    """And two files never share a name."""

    class Naming(Nowhere):
        def download(self, _path, target, _doing, params):
            return target

    names = ["d/../../etc/passwd", "d/x.jsonl", "e/x.jsonl", "", "d/", "..", "d/\\..\\x", "é" * 300]
    provider.rest = Naming({"filenameToSignedUrls": dict.fromkeys(names, "https://b.example/x")})
    files = provider.fetch(Ticket("fireworks", {"batch": "b"}), tmp_path)
    assert len(set(files)) == len(names)
    assert all(file.parent == tmp_path and len(file.name) < 60 for file in files)


def test_a_wrong_key_is_told_without_it(cloud, tmp_path):
    """The message names the variables."""
    provider = Fireworks(api_key="fw_wrongkey0000", base_url=cloud.url, account_id="fake-account")
    with pytest.raises(AuthenticationError) as caught:
        begun(provider, PART, tmp_path)
    assert str(caught.value) == (
        "fireworks could not make a dataset: The API key you provided is invalid (HTTP 403, "
        "UNAUTHORIZED). Set FIREWORKS_API_KEY to a valid key that may use batches; in a notebook %env "
        "FIREWORKS_API_KEY=... Type: export FIREWORKS_API_KEY=... And FIREWORKS_ACCOUNT_ID names the "
        "account that it is of."
    )
    assert "fw_wrongkey0000" not in repr(provider) + str(caught.value)


def test_an_html_page_is_no_answer(cloud, provider, tmp_path):
    """Cloudflare's pages are for waiting."""
    cloud.faults.html["get"] = 9
    ticket = begun(provider, PART, tmp_path)
    with pytest.raises(ProviderUnavailableError) as caught:
        provider.poll(ticket)
    assert str(caught.value) == (
        "fireworks could not look at the job: it answered with a web page (HTTP 520). "
        "What is paid is kept."
    )


def test_another_account_does_not_lose_the_batch(cloud, provider, tmp_path):
    """There the job would seem not to exist, and its rows to be missing."""
    ticket = begun(provider, PART, tmp_path)
    other = Fireworks(api_key=cloud.key, base_url=cloud.url, account_id="other")
    for step in (other.poll, other.cancel, other.cleanup, lambda it: other.find(PART, it)):
        with pytest.raises(ProviderError) as caught:
            step(ticket)
        assert str(caught.value) == (
            "fireworks has this batch in the account 'fake-account', and the settings name 'other'. "
            "Type: export FIREWORKS_ACCOUNT_ID=fake-account (in a notebook: %env "
            "FIREWORKS_ACCOUNT_ID=fake-account), then make the call again in a new process."
        )


def test_every_row_is_accounted_for(cloud, provider):
    """Shuffled, doubled, lost, foreign and unreadable lines."""
    faults = cloud.faults
    faults.shuffle, faults.missing, faults.duplicated = True, 2, 3
    faults.garbage, faults.unknown_ids = 4, 2
    _, result = submitted(provider)
    assert result.height == 8
    codes = result["error"].str.split(":").list.first()
    assert sorted(codes.drop_nulls()) == ["missing", "missing"]


def test_errors_come_from_the_error_file(cloud, provider):
    """A status that is written as text is one all the same."""

    def answer(body):
        if "row 1" in str(body):
            raise RuntimeError("broke")
        return {"error": {"message": "no", "code": "bad"}} if "row 2" in str(body) else "yes"

    cloud.answer = answer
    _, result = submitted(provider, rows=3)
    assert result["error"].to_list() == [None, "500: broke", "bad: no"]


def test_what_was_answered_before_the_end_comes_home(cloud, provider):
    """The job expired: half is there, half may be sent again."""
    cloud.faults.expire = 0.5
    _, result = submitted(provider)
    assert result["response"].drop_nulls().len() == 4
    assert result["error"].drop_nulls().unique().to_list() == [
        "missing: the provider returned no line for this row"
    ]


def test_cancelling_is_deleting(cloud, provider, tmp_path):
    """The job is gone at once or a little later, and that is its end; again is fine."""
    cloud.faults.hang = 0.5
    ticket = begun(provider, PART, tmp_path, intended_at=time.time())
    for _ in range(4):
        provider.poll(ticket)
    provider.cancel(ticket)
    assert polled(provider, ticket).phase is Phase.ENDED
    provider.cancel(ticket)
    assert provider.fetch(ticket, tmp_path) == []


def test_a_job_that_is_not_shown_yet_is_waited_for(cloud, provider, tmp_path):
    """For two minutes; after that it was deleted by somebody else."""
    ticket = begun(provider, PART, tmp_path, intended_at=time.time())
    cloud.jobs[ticket.data["batch"]].stage = "cancelled"  # the cloud answers 404
    assert provider.poll(ticket).phase is Phase.WAITING
    old = Ticket("fireworks", {**ticket.data, "intended_at": time.time() - 121})
    assert provider.poll(old).phase is Phase.ENDED


def test_a_failed_job_says_why(cloud, provider, tmp_path):
    """In the provider's words; there are no results."""
    file = wire(provider, PART, tmp_path)
    file.write_bytes(b'{"custom_id": "a", "body": {"messages": []}}\n{nonsense\n')
    ticket = provider.create(PART, provider.upload(PART, file))
    last = polled(provider, ticket)
    assert last.phase is Phase.FAILED
    assert last.message.startswith("INVALID_ARGUMENT: Dataset has a syntax error")
    assert provider.fetch(ticket, tmp_path) == []


def test_cleaning_up_twice_is_fine(cloud, provider, tmp_path):
    """Both datasets go; what is gone is no obstacle."""
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    provider.cleanup(ticket)
    assert cloud.files() == {}
    provider.cleanup(ticket)
    provider.cleanup(Ticket("fireworks", {"batch": "nothing", "dataset": "nothing"}))
    provider.cleanup(Ticket("fireworks", {}))


NOBODY = Fireworks(api_key="k", account_id="me", base_url="http://127.0.0.1:1", poll_seconds=0.01)
JOBS = objects("state", "status", "jobProgress", "outputDatasetId", "filenameToSignedUrls", "code")


@settings(deadline=None)
@given(answer=JSON | JOBS | JOBS.map(lambda job: {**job, "state": "JOB_STATE_FAILED"}))
def test_no_answer_breaks_it(answer):
    """Whatever a server says."""
    NOBODY.rest = Nowhere(answer)
    ticket = Ticket("fireworks", {"dataset": "f", "batch": "b"})
    assert NOBODY.poll(ticket).phase in Phase
    NOBODY.find(PART, ticket)
    NOBODY.cancel(ticket)
    NOBODY.cleanup(ticket)
    NOBODY.create(PART, ticket)
    urls = answer.get("filenameToSignedUrls") if isinstance(answer, dict) else 0
    if (urls and not isinstance(urls, dict)) or not isinstance(answer, dict):
        with pytest.raises(ProviderUnavailableError):
            NOBODY.fetch(ticket, None)
