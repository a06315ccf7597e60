"""xAI's batches, against a server that behaves as xAI does, faults included."""

from __future__ import annotations

import datetime as dt
import json
import logging
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

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
    MissingCredentialsError,
    ProviderUnavailableError,
    QueueFullError,
    QuotaError,
    UnsupportedError,
)
from batchframe.model import Endpoint, Phase, RowError, Ticket
from batchframe.providers import rest
from batchframe.providers.registry import registered
from batchframe.providers.xai import XAI
from batchframe.testing import clouds
from batchframe.testing.clouds.flavours import xai as flavour
from batchframe.testing.clouds.wire import Refused

PART = part("xai/grok-4.3")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Real patience takes real time, and the environment may hold real keys."""
    made = quicken(monkeypatch, "XAI_")
    yield
    close(made)


@pytest.fixture
def cloud():
    """An xAI on this machine."""
    with clouds.xai() as up:
        up.answer = lambda body: body["messages"][-1]["content"].upper()
        yield up


@pytest.fixture
def provider(cloud):
    """Its provider."""
    return XAI(
        api_key=cloud.key,
        base_url=cloud.url,
        poll_seconds=0.01,
        settle_seconds=0,
        patience=PATIENCE,
    )


def submitted(provider, rows=8):
    """Take a frame all the way."""
    frame = pl.DataFrame({"text": [f"row {n}" for n in range(rows)]})
    with registered(provider):
        job = frame.batch.submit(model="xai/grok-4.3", prompt="{text}")
        return job, finished(job)


def state(total=0, pending=0, good=0, bad=0, cancelled=0, **batch):
    """Give a batch with these counters."""
    names = ("num_requests", "num_pending", "num_success", "num_error", "num_cancelled")
    values = (total, pending, good, bad, cancelled)
    return {"batch_id": "b", "state": dict(zip(names, values, strict=True)), **batch}


def looked(answer, settle=0.0, **data):
    """Poll once where this is the answer."""
    provider = XAI(api_key="k", base_url="http://127.0.0.1:1", settle_seconds=settle)
    provider.rest = Nowhere(answer)
    return provider.poll(Ticket("xai", {"batch": "b", **data}))


def test_a_frame_goes_there_and_back(cloud, provider):
    """Reasoning counts as output, and the price is the one that came with the answers."""
    cloud.reasoning_tokens = 7
    job, result = submitted(provider)
    assert result["response"].to_list() == [f"ROW {n}" for n in range(8)]
    assert result["output_tokens"].sum() == result["reasoning_tokens"].sum() + 16 == 7 * 8 + 16
    ticks = sum(
        flavour.TICKS[0] * asked + flavour.TICKS[1] * said
        for asked, said in result.select("input_tokens", "output_tokens").rows()
    )
    assert job.view.cost == Decimal(ticks).scaleb(-10)
    assert (job.status, job.view.price) == ("completed", "known")
    (batch,) = cloud.batches()
    assert batch["name"].startswith(job.id)
    (line, *_) = cloud.requests(batch["id"])
    assert line["url"] == "/v1/chat/completions"
    assert line["body"]["model"] == "grok-4.3"


def test_a_price_of_its_own_needs_no_price_list(cloud, provider):
    """A model that no list knows has a cost all the same."""
    frame = pl.DataFrame({"text": ["a"]})
    with registered(provider):
        job = frame.batch.submit(model="xai/grok-unheard-of", prompt="{text}")
        job.result()
        outputs = job.outputs()
    assert job.view.cost == outputs["cost_usd"][0] > 0
    assert outputs["price_source"].to_list() == ["as the provider counted it"]


@pytest.mark.parametrize("end", ["", "/"])
def test_the_address_has_a_version_or_has_none(cloud, end, tmp_path):
    """It is brought to one form."""
    for base in (cloud.url, cloud.root):
        provider = XAI(api_key=cloud.key, base_url=base + end)
        begun(provider, PART, tmp_path)
        with provider.connect("m", Endpoint.CHAT) as way:
            assert way.base_url == f"{cloud.root}/v1"


# --- what the counters mean

PHASES = [
    ("reading", state(), Phase.WAITING),
    ("nothing said", {}, Phase.WAITING),
    ("odd", {"state": {"num_requests": "8", "num_pending": -1}}, Phase.WAITING),
    ("begun", state(8, 8), Phase.WAITING),
    ("running", state(8, 3, 4, 1), Phase.RUNNING),
    ("done", state(8, 0, 7, 1), Phase.ENDED),
    ("cancelled", state(8, 0, 2, 0, 6, cancel_time="2026-08-28"), Phase.ENDED),
    ("cancelling", state(8, 3, 2, 0, 3, cancel_time="2026-08-28"), Phase.RUNNING),
    ("cancelled early", state(0, 0, cancel_time="2026-08-28"), Phase.ENDED),
    (
        "refused file",
        state(cancel_time="2026-08-28", cancel_by_xai_message="bad line"),
        Phase.FAILED,
    ),
    ("stopped on the way", state(8, 0, 2, 0, 6, cancel_by_xai_message="no"), Phase.ENDED),
    ("full", state(cancel_by_xai_message="Enqueued token limit reached for m"), Phase.REFUSED),
]


@pytest.mark.parametrize(
    ("batch", "phase"), [row[1:] for row in PHASES], ids=[r[0] for r in PHASES]
)
def test_each_state_of_the_counters_is_a_phase(batch, phase):
    """There is no status."""
    assert looked(batch).phase is phase


def test_counters_are_told():
    """Done holds the failed ones; a refused file says why."""
    seen = looked(state(8, 3, 4, 1))
    assert (seen.total, seen.done, seen.failed, seen.message) == (8, 5, 1, None)
    assert looked(state(cancel_by_xai_message="line 2: invalid JSON")).message == (
        "line 2: invalid JSON"
    )
    assert (looked({}).total, looked({}).done) == (None, None)


def test_counters_of_a_cancelled_batch_are_not_believed_at_once(monkeypatch):
    """They were seen to change back into successes within 20 seconds."""
    now = [100.0]
    monkeypatch.setattr("batchframe.providers.xai.time.monotonic", lambda: now[0])
    provider = XAI(api_key="k", base_url="http://127.0.0.1:1")
    ticket, phases = Ticket("xai", {"batch": "b"}), []
    for moment, good in ((0, 2), (15, 2), (19, 8), (38, 8), (39, 8)):
        now[0] = 100.0 + moment
        provider.rest = Nowhere(state(8, 0, good, 0, 8 - good, cancel_time="2026-08-28"))
        phases.append(provider.poll(ticket).phase)
    assert phases == [Phase.RUNNING] * 4 + [Phase.ENDED]


def test_a_batch_that_lacks_requests_is_not_over_at_once(monkeypatch):
    """Its file may still be being read."""
    assert looked(state(3, 0, 3), settle=60, rows=8).phase is Phase.RUNNING
    assert looked(state(3, 0, 3), settle=0, rows=8).phase is Phase.ENDED
    assert looked(state(8, 0, 8), settle=60, rows=8).phase is Phase.ENDED


# --- rows that hang


def test_a_batch_over_its_deadline_is_cancelled(cloud, tmp_path, caplog):
    """What it has by then comes home."""
    provider = XAI(
        api_key=cloud.key, base_url=cloud.url, settle_seconds=0, poll_seconds=0.01, deadline_hours=2
    )
    cloud.faults.hang = 0.5
    young = begun(provider, PART, tmp_path, intended_at=time.time() - 7000)
    for _ in range(5):
        assert provider.poll(young).phase in (Phase.WAITING, Phase.RUNNING)
    assert "cancel" not in str(cloud.log)
    old = Ticket("xai", {**young.data, "intended_at": time.time() - 7300})
    with caplog.at_level(logging.WARNING):
        assert polled(provider, old).phase is Phase.ENDED
    assert "is over its deadline with 3 requests pending and is cancelled" in caplog.text
    assert sum(path.endswith(":cancel") for _, path, _ in cloud.log) == 1
    got = replies(provider, provider.fetch(old, tmp_path))
    codes = [reply.error and reply.error.code for _, reply in sorted(got.items())]
    assert codes == [None] * 3 + ["batch_cancelled"] * 3


def test_without_a_deadline_it_is_waited_for_until_it_expires():
    """A date alone is that day's end."""
    today = dt.datetime.now(dt.UTC)
    for days, phase in ((0, Phase.RUNNING), (3, Phase.ENDED)):
        end = (today - dt.timedelta(days=days)).date().isoformat()
        batch = state(8, 3, 5, expire_time=end, cancel_time="2026-08-28")
        assert looked(batch).phase is phase


# --- once and only once


def test_a_lost_answer_to_create_is_found_again(cloud, provider, tmp_path, monkeypatch):
    """On whichever page of the list it is."""
    monkeypatch.setattr("batchframe.providers.xai.LISTED", 2)
    ticket = provider.upload(PART, wire(provider, PART, tmp_path))
    cloud.faults.drop_after["create"] = 1
    with pytest.raises(ProviderUnavailableError):
        provider.create(PART, ticket)
    for number in range(5):
        begun(provider, part("xai/grok-4.3", key=f"job-b-{number}"), tmp_path)
    ours = cloud.batches()[0]["id"]
    assert provider.find(PART, ticket) == Ticket("xai", {**ticket.data, "batch": ours, "rows": 6})
    assert provider.find(PART, None).data["file"] == ticket.data["file"]
    assert provider.find(part("xai/grok-4.3", key="job-c"), ticket) is None


def test_of_two_batches_the_younger_is_cancelled(cloud, provider, tmp_path, caplog):
    """The same rows are not paid for twice."""
    first = begun(provider, PART, tmp_path)
    cloud.clock.advance(90_000)
    second = begun(provider, PART, tmp_path)
    with caplog.at_level(logging.WARNING):
        assert provider.find(PART, None).data["batch"] == first.data["batch"]
    assert cloud.jobs[second.data["batch"]].stage == "cancelling"
    assert "is a duplicate of" in caplog.text


def test_a_full_queue_is_no_failure(cloud, provider, tmp_path):
    """Whether it says so at once or afterwards; such a batch is not found again."""
    cloud.faults.queue_full_at_create = 1
    with pytest.raises(QueueFullError, match="Enqueued token limit reached"):
        begun(provider, PART, tmp_path)
    cloud.faults.queue_full_after_create = 1
    ticket = begun(provider, PART, tmp_path)
    assert polled(provider, ticket).phase is Phase.REFUSED
    assert provider.find(PART, ticket) is None


def test_a_full_queue_is_waited_out_by_a_job(cloud, provider):
    """Nothing is paid for twice."""
    cloud.faults.queue_full_at_create, cloud.faults.queue_full_after_create = 1, 1
    _, result = submitted(provider)
    assert result["error"].null_count() == 8
    assert [batch["answered"] for batch in cloud.batches()] == [0, 8]


# --- results in pages


@pytest.fixture
def paged(cloud, provider, tmp_path, monkeypatch):
    """A batch that is over, whose results take three pages."""
    monkeypatch.setattr("batchframe.providers.xai.PAGE", 2)
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    return ticket


def test_all_pages_make_one_file(cloud, provider, paged, tmp_path):
    """Each line with the id under the name that every other provider has for it."""
    (file,) = provider.fetch(paged, tmp_path)
    assert sorted(replies(provider, [file])) == [f"r{n}" for n in range(6)]
    first = json.loads(file.read_bytes().splitlines()[0])
    assert first["custom_id"] == first["batch_request_id"] == "r0"
    assert sum("results" in path for _, path, _ in cloud.log) == 3
    assert {one.name for one in tmp_path.iterdir()} == {"part.jsonl", "results.jsonl"}


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_broken_fetch_goes_on_where_it_was(cloud, provider, paged, tmp_path, monkeypatch, pages):
    """No half file is taken for a whole one, and no page is asked for twice."""
    calls, call = [], rest.Rest.call

    def failing(self, method, path, doing, **more):
        if path.endswith("results"):
            calls.append(more["params"].get("pagination_token"))
            if len(calls) == pages + 1:
                raise ProviderUnavailableError("away")
        return call(self, method, path, doing, **more)

    monkeypatch.setattr(rest.Rest, "call", failing)
    with pytest.raises(ProviderUnavailableError):
        provider.fetch(paged, tmp_path)
    assert not (tmp_path / "results.jsonl").exists()
    with (tmp_path / "results.jsonl.tmp").open("ab") as torn:
        torn.write(b'{"custom_id": "r0", "batch_res')
    (file,) = provider.fetch(paged, tmp_path)
    assert [json.loads(line)["custom_id"] for line in file.read_bytes().splitlines()] == [
        f"r{n}" for n in range(6)
    ]
    assert calls == [None, "2", "4"][: pages + 1] + [None, "2", "4"][pages:]


@pytest.mark.parametrize(
    "mark", [b"", b"[]", b'{"token": 3, "size": 1}', b'{"token":"2","size":9999999}']
)
def test_a_torn_note_of_the_place_begins_again(provider, paged, tmp_path, mark):
    """Nothing is taken on trust."""
    (tmp_path / "results.jsonl.mark").write_bytes(mark)
    (tmp_path / "results.jsonl.tmp").write_bytes(b"half a li")
    (file,) = provider.fetch(paged, tmp_path)
    assert len(replies(provider, [file])) == 6


def test_a_place_that_is_no_longer_known_begins_again(provider, paged, tmp_path, monkeypatch):
    """Tokens age."""
    call = rest.Rest.call

    def forgetful(self, method, path, doing, **more):
        if more.get("params", {}).get("pagination_token") == "old":
            raise rest.RefusedError("no such token", 400, None)
        return call(self, method, path, doing, **more)

    monkeypatch.setattr(rest.Rest, "call", forgetful)
    (tmp_path / "results.jsonl.mark").write_bytes(b'{"token":"old","size":3}')
    (tmp_path / "results.jsonl.tmp").write_bytes(b"{}\n")
    (file,) = provider.fetch(paged, tmp_path)
    assert len(file.read_bytes().splitlines()) == 6


def test_a_page_without_results_is_no_end(provider, tmp_path):
    """It is asked for again later: what is there is paid."""
    provider.rest = Nowhere({"pagination_token": None})
    with pytest.raises(ProviderUnavailableError):
        provider.fetch(Ticket("xai", {"batch": "b"}), tmp_path)
    assert not (tmp_path / "results.jsonl").exists()


def test_a_token_that_comes_again_ends_the_list(provider, tmp_path):
    """Else it would go round for ever; deep and odd results are written as they are."""
    deep = "x"
    for _ in range(400):
        deep = [deep]
    provider.rest = Nowhere(
        {"results": [deep, 3, {"batch_request_id": 7}], "pagination_token": "t"}
    )
    (file,) = provider.fetch(Ticket("xai", {"batch": "b"}), tmp_path)
    assert len(file.read_bytes().splitlines()) == 6


# --- what goes wrong


@pytest.mark.parametrize("kind", ["retry-after", "date", "retry-after-ms", "reset", "none"])
@pytest.mark.parametrize("operation", ["upload", "create", "get", "list", "results"])
def test_a_429_is_waited_out(cloud, provider, tmp_path, kind, operation):
    """In every form, and at `create` as well: nothing was done."""
    cloud.faults.rate_limit, cloud.faults.rate_limit_dialect = {operation: 2}, kind
    cloud.faults.rate_limit_seconds = 0
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    assert len(provider.fetch(ticket, tmp_path)) == 1
    assert provider.find(PART, ticket) is not None
    assert len(cloud.batches()) == 1


def test_a_cut_page_is_asked_for_again(cloud, provider, paged, tmp_path):
    """Half a page is none."""
    cloud.faults.cut["results"] = 2
    (file,) = provider.fetch(paged, tmp_path)
    assert len(replies(provider, [file])) == 6


def test_a_wrong_key_is_one_though_it_is_http_400(cloud, tmp_path):
    """The message names the variable and not the key."""
    provider = XAI(api_key="xai-wrongkey0000", base_url=cloud.url)
    for step in (
        lambda: begun(provider, PART, tmp_path),
        lambda: provider.create(PART, Ticket("xai", {"file": "f"})),
        lambda: provider.poll(Ticket("xai", {"batch": "b"})),
    ):
        with pytest.raises(AuthenticationError) as caught:
            step()
        assert str(caught.value).endswith(
            "You can obtain one at the console (HTTP 400). Set XAI_API_KEY to a "
            "valid key that may use batches; in a notebook %env XAI_API_KEY=... Type: export XAI_API_KEY=..."
        )
        assert "xai-wrongkey0000" not in repr(provider) + str(caught.value)
    with pytest.raises(MissingCredentialsError, match="export XAI_API_KEY"):
        XAI().check("m", Endpoint.CHAT)


@pytest.mark.parametrize("status", [400, 403, 429])
def test_an_empty_purse_is_one_whatever_the_status(cloud, provider, status):
    """No waiting helps against it, so it is asked once."""
    said = "Your team has either used all available credits or reached its monthly spending limit."
    cloud.flavour = replace(cloud.flavour, empty_purse=Refused(status, said))
    cloud.faults.quota_gone["get"] = 9
    with pytest.raises(QuotaError) as caught:
        provider.poll(Ticket("xai", {"batch": "b"}))
    assert str(caught.value) == (
        f"xai could not look at the batch: {said[:-1]} (HTTP {status}). "
        "Add credit or raise the limit; what is paid is kept."
    )
    assert len(cloud.log) == 1


def test_counters_that_nobody_knows_are_told_once(caplog):
    """It is polled for hours, and one line of the log says why."""
    provider = XAI(api_key="k", base_url="http://127.0.0.1:1")
    provider.rest = Nowhere({"batch_id": "b", "state": {"waiting_for": 3}})
    with caplog.at_level(logging.WARNING):
        phases = [provider.poll(Ticket("xai", {"batch": "b"})).phase for _ in range(3)]
    assert phases == [Phase.WAITING] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "xai: the batch state {'waiting_for': 3} is unknown; it is polled on"
    ]


def test_a_job_with_a_row_that_hangs_ends_at_its_deadline(cloud):
    """Nobody has to look: what is answered is kept, and the rest may be sent again."""
    cloud.faults.hang = 0.5
    provider = XAI(
        api_key=cloud.key, base_url=cloud.url, poll_seconds=0.01, settle_seconds=0,
        deadline_hours=0.3 / 3600,
    )  # fmt: skip
    job, result = submitted(provider)
    assert result["response"].drop_nulls().len() == 4
    assert result["error"].drop_nulls().to_list() == ["batch_cancelled: Batch cancelled"] * 4
    assert job.outputs()["retryable"].drop_nulls().to_list().count(True) == 4
    assert sum(path.endswith(":cancel") for _, path, _ in cloud.log) == 1


@pytest.mark.parametrize(("settle", "kept"), [(0.3, 6), (0.0, 3)])
def test_cancel_counters_that_turn_into_successes_are_waited_for(cloud, tmp_path, settle, kept):
    """Believed at once they cost what was paid for: the second case is why there is a setting."""
    cloud.faults.hang, cloud.faults.cancel_late = 0.5, True
    provider = XAI(api_key=cloud.key, base_url=cloud.url, settle_seconds=settle)
    ticket = begun(provider, PART, tmp_path)
    for _ in range(4):
        provider.poll(ticket)
    provider.cancel(ticket)
    cloud.step = 5.0  # the counters say "cancelled" for four looks
    deadline = time.monotonic() + 20
    while provider.poll(ticket).phase is not Phase.ENDED:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    got = replies(provider, provider.fetch(ticket, tmp_path))
    assert sum(reply.error is None for reply in got.values()) == kept


def test_an_html_page_is_no_answer(cloud, provider, tmp_path):
    """Cloudflare's pages are for waiting."""
    cloud.faults.html["get"] = 9
    ticket = begun(provider, PART, tmp_path)
    with pytest.raises(ProviderUnavailableError) as caught:
        provider.poll(ticket)
    assert str(caught.value) == (
        "xai could not look at the batch: it answered with a web page (HTTP 520). What is paid is kept."
    )


def test_every_row_is_accounted_for(cloud, provider):
    """Shuffled, doubled, lost, foreign lines; a refusal is a bare sentence here."""
    faults = cloud.faults
    faults.shuffle, faults.missing, faults.duplicated, faults.unknown_ids = True, 2, 3, 2
    cloud.flavour = replace(cloud.flavour, pace=replace(flavour.PACE, finalizing=0.0))
    cloud.answer = lambda body: {"error": "too long"} if "row 1" in str(body) else "yes"
    _, result = submitted(provider)
    error, *missing = sorted(result["error"].drop_nulls())
    assert error == "error: too long"
    assert len(missing) == 2
    assert all(one.startswith("missing: xai counts 8 results of part 0") for one in missing)


def test_what_was_answered_before_the_end_comes_home(cloud, provider):
    """The batch expired: half is there, half may be sent again."""
    cloud.faults.expire = 0.5
    _, result = submitted(provider)
    assert result["response"].drop_nulls().len() == 4
    assert result["error"].drop_nulls().unique().to_list() == [
        "missing: the provider returned no line for this row"
    ]


def test_what_was_answered_before_a_cancel_comes_home(cloud, provider, tmp_path):
    """What was not is a row that may be sent again."""
    cloud.faults.hang = 0.5
    ticket = begun(provider, PART, tmp_path)
    for _ in range(4):
        provider.poll(ticket)
    provider.cancel(ticket)
    assert polled(provider, ticket).phase is Phase.ENDED
    got = replies(provider, provider.fetch(ticket, tmp_path))
    assert sum(reply.error is None for reply in got.values()) == 3
    assert {reply.error for reply in got.values() if reply.error} == {
        RowError("batch_cancelled", "Batch cancelled", retryable=True)
    }


def test_a_refused_file_fails_the_batch(cloud, provider, tmp_path):
    """With xAI's own sentence; there are no results."""
    file = wire(provider, PART, tmp_path)
    file.write_bytes(file.read_bytes() + b"{nonsense\n")
    ticket = provider.create(PART, provider.upload(PART, file))
    last = polled(provider, ticket)
    assert last.phase is Phase.FAILED
    assert last.message == "JSONL file validation failed: line 7: invalid JSON"
    (file,) = provider.fetch(ticket, tmp_path)
    assert file.read_bytes() == b""


def test_cleaning_up_twice_is_fine(cloud, provider, tmp_path):
    """The input file goes; what is gone is no obstacle."""
    ticket = begun(provider, PART, tmp_path)
    polled(provider, ticket)
    provider.cleanup(ticket)
    assert cloud.files() == {}
    provider.cleanup(ticket)
    provider.cleanup(Ticket("xai", {}))


def test_other_endpoints_are_refused(provider):
    """Only chat has batches here."""
    with pytest.raises(UnsupportedError) as caught:
        provider.check("m", Endpoint.EMBEDDINGS)
    assert (
        str(caught.value) == "xai has no batches for /v1/embeddings; it has: /v1/chat/completions."
    )


NOBODY = XAI(api_key="k", base_url="http://127.0.0.1:1", poll_seconds=0.01, settle_seconds=0)
BATCHES = objects("state", "cancel_time", "cancel_by_xai_message", "expire_time", "name", "batch_id",
                  "batches", "results", "create_time", "pagination_token")  # fmt: skip


@settings(deadline=None)
@given(
    answer=JSON
    | BATCHES
    | BATCHES.map(lambda one: {"batches": [one, {**one, "name": PART.key, "batch_id": "x"}]})
)
def test_no_answer_breaks_it(answer):
    """Whatever a server says: no id is our error, anything else is waited for."""
    NOBODY.rest = Nowhere(answer)
    ticket = Ticket("xai", {"file": "f", "batch": "b"})
    assert NOBODY.poll(ticket).phase in Phase
    NOBODY.find(PART, ticket)
    with suppress(ProviderUnavailableError):  # it has no id
        NOBODY.create(PART, ticket)
    with tempfile.TemporaryDirectory() as folder, suppress(ProviderUnavailableError):
        NOBODY.fetch(ticket, Path(folder))
