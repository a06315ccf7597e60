"""Promise 5 over whole jobs: a cost that is not known is null, in rows, job, list and while it runs."""

from __future__ import annotations

import time
from contextlib import contextmanager
from decimal import Decimal

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.immediate.retry import Retry
from batchframe.ledger.events import JobState
from batchframe.model import Connection, ModelRef, Phase, Progress, Usage
from batchframe.orchestration import effects, priced
from batchframe.orchestration.view import view
from batchframe.pricing.rates import rates_for
from batchframe.testing import Echo, Fake, completion, registered

D = Decimal
FAKE = {"fake/m": {"input": "1", "output": "1"}}
ECHO = {"echo/m": {"input": "1", "output": "1"}}
ONCE = Retry(attempts=1, base=0)


def frame(*texts):
    """Give rows with these texts."""
    return pl.DataFrame({"text": texts})


def with_usage(body, text="yes", **counts):
    """Give an answer with the usage of one's choice, or with none."""
    given = completion(body, text)
    given["usage"] = {f"{name}_tokens": n for name, n in counts.items()} or None
    return given


def said(body):
    """Give the text of the last message."""
    return body["messages"][-1]["content"]


class Short(Echo):
    """An Echo whose connections have little time."""

    @contextmanager
    def connect(self, model, endpoint):
        with super().connect(model, endpoint) as wide:
            yield Connection(wide.base_url, {}, self.concurrency, timeout=0.3)


def seen(job):
    """Give what every place says a job cost."""
    return (job.cost, job.view.price, bf.jobs()["cost_usd"].to_list()[0])


def until(holds):
    """Wait for what the driver brings about."""
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError("it never came")


# what may have been paid for unseen


def test_a_timeout_may_have_been_paid_for():
    """The server may have answered after we had gone."""

    def slow(body):
        time.sleep(0.6 if said(body) == "slow" else 0)
        return with_usage(body, prompt=2, completion=1)

    with registered(Short(answer=slow)):
        job = frame("slow", "fast").batch.submit(
            model="echo/m", prompt="{text}", prices=ECHO, retry=ONCE
        )
        job.wait()
    assert job.outputs()["error_code"].to_list() == ["timeout", None]
    assert job.outputs()["cost_usd"].to_list() == [None, D("0.000003")]
    assert seen(job) == (None, "partly", None)


def test_an_answer_after_a_timeout_has_an_unknown_cost():
    """The first try may be on the bill beside the second."""
    tries = []

    def slow_once(body):
        tries.append(body)
        time.sleep(0.6 if len(tries) == 1 else 0)
        return with_usage(body, prompt=2, completion=1)

    with registered(Short(answer=slow_once)):
        job = frame("a").batch.submit(
            model="echo/m", prompt="{text}", prices=ECHO, retry=Retry(base=0)
        )
        out = job.result()
    assert out["error"].to_list() == [None]
    assert out["cost_usd"].to_list() == [None]
    assert seen(job) == (None, "unknown", None)


def test_an_unreadable_answer_may_have_been_paid_for():
    """HTTP 200 and a body that is no answer."""
    with registered(Echo(answer=lambda _: {"choices": []})):
        job = frame("a").batch.submit(model="echo/m", prompt="{text}", prices=ECHO).wait()
    assert job.outputs()["error_code"].to_list() == ["invalid_body"]
    assert seen(job) == (None, "unknown", None)


def test_a_row_cancelled_in_flight_may_have_been_paid_for():
    """Those that were never sent cost nothing, and cannot make the job's cost known."""
    with registered(Echo(answer=lambda _: time.sleep(2) or "late", concurrency=1)) as server:
        job = frame("a", "b").batch.submit(model="echo/m", prompt="{text}", prices=ECHO)
        until(lambda: server.asked)
        job.cancel().wait()
    assert job.outputs()["attempts"].to_list() == [1, None]
    assert seen(job) == (None, "unknown", None)


def test_a_row_missing_from_the_result_may_have_been_paid_for(tmp_path):
    """Its line may be the one that could not be read."""
    with registered(Fake(tmp_path, lines=lambda lines: lines[:1])):
        job = frame("a", "b").batch.submit(model="fake/m", prompt="{text}", prices=FAKE).wait()
    assert job.outputs()["error_code"].to_list() == [None, "missing"]
    assert seen(job) == (None, "partly", None)


def test_parts_whose_cost_is_known_are_said_beside_the_others(tmp_path):
    """Partly known is neither known nor unknown."""

    def answer(body):
        return with_usage(body, prompt=3, completion=1) if said(body) != "b" else with_usage(body)

    limits = Fake(tmp_path).limits
    one_a_part = type(limits)(1, limits.bytes, "", "")
    with registered(Fake(tmp_path, answer=answer, limits=one_a_part)):
        job = frame("a", "b").batch.submit(model="fake/m", prompt="{text}", prices=FAKE).wait()
    assert (job.view.cost, *seen(job)) == (D("0.000004"), None, "partly", None)


# what surely cost nothing


def test_a_refused_row_costs_a_known_zero_where_there_is_a_price(tmp_path):
    """A 4xx without usage is not billed; nor is an expired row."""
    refuse = {"error": {"message": "no", "code": "bad_request"}}
    with registered(Fake(tmp_path / "a", answer=lambda _: refuse)):
        job = frame("a", None).batch.submit(model="fake/m", prompt="{text}", prices=FAKE).wait()
        assert seen(job) == (D(0), "known", 0.0)
        unpriced = frame("b").batch.submit(model="fake/m", prompt="{text}").wait()
        assert seen(unpriced) == (None, "unknown", None)
    with registered(Fake(tmp_path / "b", end="expired")):
        job = frame("a", "b").batch.submit(model="fake/m", prompt="{text}", prices=FAKE).wait()
        assert job.outputs()["error_code"].to_list() == [None, "batch_expired"]
        assert (job.cost, job.view.price) == (job.outputs()["cost_usd"].sum(), "known")


def test_a_batch_that_was_refused_whole_costs_a_known_zero(tmp_path):
    """The provider says that no row was answered."""
    with registered(Fake(tmp_path, end="failed")):
        job = frame("a").batch.submit(model="fake/m", prompt="{text}", prices=FAKE).wait()
    assert job.outputs()["error_code"].to_list() == ["batch_failed"]
    assert seen(job) == (D(0), "known", 0.0)


def test_a_free_model_costs_a_known_zero_whatever_happens():
    """A local model's lost answer costs as little as a good one."""
    free = {"echo/m": dict.fromkeys(("input", "cached", "cache_write", "output"), 0)}
    slow = Short(answer=lambda _: time.sleep(0.6) or "late")
    with registered(slow):
        job = frame("a").batch.submit(model="echo/m", prompt="{text}", prices=free, retry=ONCE)
        job.wait()
    assert job.view.failed == 1
    assert seen(job) == (D(0), "known", 0.0)


# rows and job agree


def test_a_retry_without_usage_makes_the_row_as_unknown_as_the_job(tmp_path):
    """The first try's dollars alone would look like the whole."""
    answers = iter(
        [{"error": {"message": "x", "code": "server_error"}, "usage": {"prompt_tokens": 4}}]
    )

    def answer(body):
        return next(answers, None) or with_usage(body)

    prices = {"fake/m": {"input": "1", "output": "0"}}
    with registered(Fake(tmp_path, answer=answer)):
        job = frame("q").batch.submit(model="fake/m", prompt="{text}", prices=prices).wait()
        assert job.cost == D("0.000004")
        job.retry(codes=["server_error"]).wait()
    assert job.outputs()["cost_usd"].to_list() == [None]
    assert job.result()["cost_usd"].to_list() == [None]
    assert job.result()["input_tokens"].to_list() == [None]
    assert (job.cost, job.view.price) == (None, "partly")


# while it runs


def running(answer, rows, look, **options):
    """Submit to an Echo that answers one by one; give its views until `look` says so, and the job."""
    views = []

    def enough():
        views.append(job.view)
        return look(views[-1])

    with registered(Echo(answer=answer, concurrency=1)):
        job = frame(*map(str, range(rows))).batch.submit(model="echo/m", prompt="{text}", **options)
        until(enough)
        job.wait()
    return views, job


def test_a_running_job_says_that_some_answers_have_no_price():
    """Half of them without usage: the sum of the others is a part."""
    count = []

    def answer(body):
        count.append(body)
        time.sleep(0.03)
        return with_usage(body) if len(count) % 2 else with_usage(body, prompt=2, completion=1)

    views, job = running(answer, 30, lambda v: v.done >= 10 and v.price == "partly", prices=ECHO)
    assert views[-1].state == "running"
    assert 0 < views[-1].cost < D("0.00009")
    assert all(found.price != "known" for found in views if found.done)
    assert seen(job) == (None, "partly", None)


def test_a_running_job_without_any_usage_has_an_unknown_cost():
    """Not a known zero."""

    def answer(body):
        time.sleep(0.03)
        return with_usage(body)

    views, _ = running(answer, 20, lambda v: v.done >= 5, prices=ECHO)
    assert views[-1].state == "running"
    assert {(found.cost, found.price) for found in views if found.done} == {(None, "unknown")}


def test_a_running_job_is_priced_answer_by_answer(monkeypatch):
    """Many short rows together do not reach the tier of one long row."""
    tiered = ModelRef("gemini", "gemini-2.5-pro")
    monkeypatch.setattr(priced, "rates_for", lambda *_, **__: rates_for(tiered, batch=False))

    def answer(body):
        time.sleep(0.02)
        return with_usage(body, prompt=10_000, completion=100)

    views, job = running(answer, 40, lambda v: v.done >= 30)
    assert views[-1].state == "running"
    assert {found.price for found in views if found.done} == {"known"}
    assert views[-1].cost / views[-1].done == job.cost / 40 == D("0.0135")


def part(**facts):
    """Give a part's ledger row."""
    plain = dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"))
    plain |= {"state": "running", "cost": None, "done": 0, "failed": 0, "rows": 9}
    return {**plain, "retry": False, "phase": None, "message": None, **facts}


@pytest.mark.parametrize(
    ("parts", "cost"),
    [
        ([part(input_tokens=5, state="created")], (None, "unknown")),
        ([part(done=1, state="created")], (None, "unknown")),
        ([part()], (None, "unknown")),
        ([part(state="created")], (D(0), "known")),
        ([part(cost="0")], (D(0), "known")),
        ([part(state="ended")], (None, "unknown")),
        ([part(state="fetched")], (None, "unknown")),
        ([part(state="decoded")], (None, "unknown")),
        ([part(known_cost=D("0.5"))], (D("0.5"), "partly")),
        ([part(cost="1", known_cost=D(1)), part(known_cost=D("0.5"))], (D("1.5"), "partly")),
        ([part(cost="1"), part(state="planned")], (D(1), "known")),
        ([part(cost="1e18"), part(cost="1e-18")], (D("1000000000000000000.000000000000000001"), "known")),
    ],
    ids=str,
)  # fmt: skip
def test_a_part_that_may_hold_answers_and_has_no_cost_is_unknown(parts, cost):
    """Only what was never asked of anyone costs a known zero."""
    times = dict.fromkeys(("created_at", "started_at", "ended_at"), 1.0)
    job = {"id": "j", "name": "n", "model": "m", "mode": "batch", "errors": None, "message": None}
    job |= {"state": "running", "total": 9, "unsent": 0, **times}
    found = view(job, parts)
    assert (found.cost, found.price) == cost


def test_a_job_that_failed_midway_says_what_is_unknown():
    """What the ledger keeps of it is null, not the sum of what was counted."""
    count = []

    def answer(body):
        count.append(body)
        if len(count) > 4:
            return {"error": {"message": "bad key", "code": "invalid_api_key"}}
        return with_usage(body) if len(count) == 2 else with_usage(body, prompt=2, completion=1)

    with registered(Echo(answer=answer, concurrency=1)):
        job = frame(*"abcdefgh").batch.submit(model="echo/m", prompt="{text}", prices=ECHO)
        with pytest.raises(errors.JobFailedError):
            job.wait()
    assert job.view.done == 4
    assert job.cost is None
    assert bf.workspace().store.parts(job.id)[0]["cost"] is None


# counts that no request can have


@pytest.mark.parametrize("count", [2**31, 2**62, 2**63 - 1])
def test_absurd_counts_are_no_counts_and_stop_nothing(count):
    """Their sums would overflow the ledger and the columns."""
    with registered(Echo(answer=lambda body: with_usage(body, prompt=count, completion=count))):
        job = frame("a", "b", "c").batch.submit(model="echo/m", prompt="{text}", prices=ECHO).wait()
    assert job.status == "completed"
    assert job.outputs()["input_tokens"].to_list() == [None] * 3
    assert (job.view.input_tokens, job.view.output_tokens) == (None, None)
    assert seen(job) == (None, "unknown", None)


def test_the_largest_count_is_summed():
    """Above what 32 bits hold."""
    most = 2**31 - 1
    with registered(Echo(answer=lambda body: with_usage(body, prompt=most, completion=1))):
        job = frame("a", "b", "c").batch.submit(model="echo/m", prompt="{text}", prices=ECHO).wait()
    assert job.view.input_tokens == 3 * most
    assert job.cost == D(3 * most + 3) / 1_000_000


def test_figures_that_cannot_be_saved_do_not_keep_a_job_from_failing(monkeypatch):
    """It must be marked as failed whatever its counts are."""
    usage = Usage(input=2**70)
    monkeypatch.setattr(
        effects.Managed, "seen", lambda *_: Progress(Phase.RUNNING, done=1, usage=usage)
    )
    refuse = {"error": {"message": "bad key", "code": "invalid_api_key"}}
    with registered(Echo(answer=lambda _: refuse)):
        job = frame("a").batch.submit(model="echo/m", prompt="{text}")
        with pytest.raises(errors.JobFailedError):
            job.wait()
    assert job.view.state is JobState.FAILED
