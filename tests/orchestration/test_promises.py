"""The promises of the architecture, each as a test that fails when it is broken."""

from __future__ import annotations

import json
import random
import threading
import time
from decimal import Decimal

import polars as pl
import pytest
from pydantic import BaseModel

import batchframe as bf
from batchframe import errors
from batchframe.orchestration import follow
from batchframe.testing import Echo, Fake, completion, registered


class Label(BaseModel):
    """What the answers are parsed into."""

    label: str
    score: int


@pytest.fixture
def df() -> pl.DataFrame:
    """Twenty rows, one of them without a text."""
    return pl.DataFrame(
        {"text": [f"text {i}" if i != 3 else None for i in range(20)], "gold": list(range(20))}
    )


@pytest.fixture
def cloud(tmp_path):
    """A provider with a batch API."""
    with registered(Fake(tmp_path / "cloud")) as fake:
        yield fake


# 1. never pays twice


def test_the_same_call_twice_is_one_job_and_one_paid_batch(df, cloud, capsys):
    """Running a cell again attaches, says so and names the way to really run again."""
    first = df.batch.submit(model="fake/m", prompt="{text}").wait()
    second = df.batch.submit(model="fake/m", prompt="{text}")
    assert second.id == first.id
    assert len(cloud.batches()) == 1
    said = capsys.readouterr().err
    assert said == (
        f"batchframe: attached to {first.id}, which this very call has made before "
        "(it is completed); again=True runs and pays anew\n"
    )
    assert second.result().equals(first.result())


def test_again_makes_a_second_job(df, cloud):
    """`again=True` is the explicit wish to pay once more."""
    first = df.batch.submit(model="fake/m", prompt="{text}").wait()
    second = df.batch.submit(model="fake/m", prompt="{text}", again=True).wait()
    assert second.id != first.id
    assert len(cloud.batches()) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": "other {text}"},
        {"temperature": 0},
        {"model": "fake/other"},
        {"system": "Be brief."},
        {"key": "gold"},
        {"mode": "immediate", "model": "echo/m"},
    ],
)
def test_a_call_that_asks_something_else_is_another_job(df, cloud, changed):
    """Whatever changes the request, the model or the way it travels makes another job."""
    with registered(Echo()):
        first = df.batch.submit(model="fake/m", prompt="{text}").wait()
        second = df.batch.submit(**{"model": "fake/m", "prompt": "{text}", **changed}).wait()
    assert second.id != first.id


def test_a_changed_cell_is_another_job_and_an_unused_column_is_not(df, cloud):
    """What identifies a job is what is asked, not the columns beside it."""
    first = df.batch.submit(model="fake/m", prompt="{text}").wait()
    wider = df.with_columns(extra=pl.lit("x"))
    attached = wider.batch.submit(model="fake/m", prompt="{text}")
    assert attached.id == first.id
    assert "extra" in attached.result().columns
    assert df[:-1].batch.submit(model="fake/m", prompt="{text}").wait().id != first.id


def test_with_a_key_a_shuffled_frame_is_the_same_job_and_answers_find_their_rows(df, cloud):
    """The key says which row is which, so their order is free."""
    first = df.batch.submit(model="fake/m", prompt="{text}", key="gold").wait()
    shuffled = df.sample(fraction=1, shuffle=True, seed=7)
    again = shuffled.batch.submit(model="fake/m", prompt="{text}", key="gold")
    assert again.id == first.id
    out = again.result()
    assert out["gold"].to_list() == shuffled["gold"].to_list()
    assert out["response"].to_list() == shuffled["text"].to_list()


def test_two_threads_with_the_same_call_make_one_job(df, cloud):
    """The ledger decides who makes it; both get it."""
    jobs, start = [], threading.Barrier(4)

    def call() -> None:
        start.wait()
        jobs.append(df.batch.submit(model="fake/m", prompt="{text}"))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.wait().id for job in jobs}) == 1
    assert len(cloud.batches()) == 1


# 2. never loses a paid result


def test_an_expired_batch_keeps_what_was_answered(df, tmp_path):
    """Rows answered before the window closed are there; the others can be sent again."""
    with registered(Fake(tmp_path / "cloud", end="expired")) as fake:
        job = df.batch.submit(model="fake/m", prompt="{text}").wait()
        out = job.result()
        assert out["response"].drop_nulls().len() == 9
        assert out["error"][15] == "batch_expired: the window closed before this row"
        fake.end = "completed"
        again = job.retry().wait().result()
    assert again["response"].drop_nulls().len() == 19
    assert again["error"].drop_nulls().len() == 1
    requests = next((tmp_path / "cloud").glob(f"{job.id}-1-*.jsonl")).read_bytes().splitlines()
    assert len(requests) == 10, "only the unanswered rows are paid for again"


def test_a_cancelled_batch_keeps_what_was_answered(df, tmp_path):
    """Cancel stops the rest, not what is paid."""
    with registered(Fake(tmp_path / "cloud", polls=10**9)):
        job = df.batch.submit(model="fake/m", prompt="{text}")
        while bf.workspace().store.parts(job.id)[0]["state"] != "running":
            time.sleep(0.01)
        job.cancel().wait(30)
        out = job.result()
    assert job.status == "cancelled"
    assert out["response"].drop_nulls().len() == 9
    assert out["error"].drop_nulls().len() == 11


def test_a_batch_that_failed_gives_errors_with_the_providers_reason(df, tmp_path):
    """Nothing was answered, so every row says why."""
    with registered(Fake(tmp_path / "cloud", end="failed")):
        out = df.batch.submit(model="fake/m", prompt="{text}").result()
    assert out["error"][0] == "batch_failed: the fake was told to fail"
    assert out["error"].null_count() == 0


# 3. every input row comes back exactly once, in its place


def _hostile(lines):
    """Shuffle, drop, double, cut and spoil result lines."""
    lines = list(lines)
    random.Random(3).shuffle(lines)
    spoiled = lines[1:]  # the first is lost
    spoiled.insert(2, spoiled[4])  # doubled
    spoiled.insert(3, b"not json at all\n")
    spoiled.insert(5, b'{"custom_id": "stranger", "response": null, "error": null}\n')
    spoiled[-1] = spoiled[-1][:25]  # cut off
    return spoiled


def test_rows_come_back_once_and_in_place_whatever_the_result_file_holds(df, tmp_path):
    """Two rows are lost by the provider; they are errors, and the rest stands where it belongs."""
    with registered(Fake(tmp_path / "cloud", lines=_hostile)):
        job = df.batch.submit(model="fake/m", prompt="{text}")
        out = job.result()
    assert out.select(df.columns).equals(df)
    answered = out.filter(pl.col("response").is_not_null())
    assert answered["response"].to_list() == answered["text"].to_list()
    assert answered.height == 17
    lost = out.filter(pl.col("error").str.starts_with("missing"))
    assert lost["error"].unique().to_list() == [
        "missing: the provider returned no line for this row"
    ]
    assert lost.height == 2
    assert job.view.message == "the result files held 2 unreadable lines, 1 unknown line"


@pytest.mark.parametrize("rows", [0, 1])
def test_an_empty_frame_and_one_row_are_jobs_like_any_other(rows, cloud):
    """No special case at the small end."""
    df = pl.DataFrame({"text": ["hello"][:rows]}, schema={"text": pl.String})
    job = df.batch.submit(model="fake/m", prompt="{text}", response_model=Label)
    out = job.result()
    assert out.height == rows
    assert out.schema["parsed"] == pl.Struct({"label": pl.String, "score": pl.Int64})
    assert job.status == "completed"


# 4. a failed row is a value, a failed job is an exception


def test_one_bad_row_does_not_spoil_the_others(df, tmp_path):
    """A refused row keeps its reason; retry does not send it again."""

    def answer(body):
        if body["messages"][0]["content"] == "text 5":
            return {"error": {"message": "too long", "code": "context_length_exceeded"}}
        return "fine"

    with registered(Fake(tmp_path / "cloud", answer=answer)) as fake:
        job = df.batch.submit(model="fake/m", prompt="{text}")
        out = job.result()
        assert out["error"][5] == "context_length_exceeded: too long"
        assert out["response"].drop_nulls().len() == 18
        job.retry().wait()
        assert len(fake.batches()) == 1


def test_a_job_that_fails_names_provider_job_cause_and_the_next_line(df, tmp_path):
    """And goes on with that line."""
    fake = Fake(tmp_path / "cloud")

    def down(*_args):
        msg = "fake cannot be reached."
        raise errors.ProviderUnavailableError(msg)

    real, fake.create = fake.create, down
    with registered(fake):
        job = df.batch.submit(model="fake/m", prompt="{text}")
        with pytest.raises(errors.JobFailedError) as caught:
            job.result()
        assert str(caught.value) == (
            f"Job {job.id} (fake/m) stopped after 1 of 20 rows: fake cannot be reached. "
            f"Then go on with it: bf.job('{job.id}').retry()"
        )
        assert isinstance(caught.value.__cause__, errors.ProviderUnavailableError)
        fake.create = real
        assert bf.job(job.id).retry().wait().status == "completed"
        assert len(fake.batches()) == 1


def test_a_failed_job_is_gone_on_with_by_the_same_call(df, tmp_path, capsys):
    """The tired user runs the cell again, and that is right."""
    fake = Fake(tmp_path / "cloud")
    real = fake.fetch
    fake.fetch = lambda *_: (_ for _ in ()).throw(errors.ProviderUnavailableError("down."))
    with registered(fake):
        with pytest.raises(errors.JobFailedError):
            df.batch.submit(model="fake/m", prompt="{text}").wait()
        fake.fetch = real
        job = df.batch.submit(model="fake/m", prompt="{text}").wait()
    assert job.status == "completed"
    assert len(fake.batches()) == 1
    assert "it had stopped and goes on now" in capsys.readouterr().err


# 5. a cost that is not known is null


def test_an_unknown_price_is_null_and_never_zero(df, cloud):
    """Nobody knows what fake/m costs."""
    job = df.batch.submit(model="fake/m", prompt="{text}").wait()
    assert job.cost is None
    assert job.result()["cost_usd"].null_count() == 20
    assert bf.jobs()["cost_usd"].to_list() == [None]


def test_a_price_by_hand_is_exact_to_the_last_digit(df, cloud):
    """19 rows x (4 input words x 0.25 + 2 output words x 2) / 1M."""
    job = df.batch.submit(
        model="fake/m", prompt="{text}", prices={"fake/m": {"input": "0.25", "output": "2"}}
    ).wait()
    tokens = job.outputs().select(pl.sum("input_tokens", "output_tokens")).row(0)
    expected = (Decimal(tokens[0]) * Decimal("0.25") + tokens[1] * 2) / 1_000_000
    assert job.cost == expected
    assert job.outputs()["cost_usd"].sum() == expected
    assert job.result()["cost_usd"][3] is None


def test_a_budget_is_refused_before_anything_is_sent(df, cloud):
    """Neither an upload nor a batch exists after the refusal, nor a job."""
    with pytest.raises(errors.BudgetError):
        df.batch.submit(
            model="fake/m", prompt="{text}", budget_usd=0.000001,
            prices={"fake/m": {"input": 1, "output": 1}},
        )  # fmt: skip
    assert not cloud.folder.exists()
    assert bf.jobs().height == 0


def test_what_a_retry_costs_is_added_to_the_row_and_the_job(df, tmp_path):
    """A row that was asked twice cost twice."""
    answers = iter(["no json"] * 19 + ['{"label": "a", "score": 1}'] * 19)
    prices = {"fake/m": {"input": "1", "output": "1"}}
    with registered(Fake(tmp_path / "cloud", answer=lambda _: next(answers))):
        job = df.batch.submit(
            model="fake/m", prompt="{text}", response_model=Label, prices=prices
        ).wait()
        first = job.cost
        assert job.view.failed == 20
        job.retry(codes=["invalid_response"]).wait()
    assert job.view.failed == 1
    assert job.view.done == 20
    assert job.cost > first
    assert job.outputs()["cost_usd"].sum() == job.cost
    assert job.result()["parsed"].struct.field("label").drop_nulls().len() == 19


# 7. model output is hostile text


def test_hostile_answers_are_escaped_wherever_they_are_shown(tmp_path):
    """An error message that is a script stays text."""
    attack = "<script>alert(1)</script>\x1b[31m"
    answer = {"error": {"message": attack, "code": "<b>code</b>"}}
    with registered(Fake(tmp_path / "cloud", answer=lambda _: answer)):
        job = pl.DataFrame({"text": ["x"]}).batch.submit(model="fake/m", prompt="{text}").wait()
        shown = job._repr_mimebundle_()
    assert "<script>" not in shown["text/html"]
    assert "<b>code</b>" not in shown["text/html"]
    assert "&lt;script&gt;" in shown["text/html"]
    assert "\x1b" not in shown["text/plain"]


# jobs outlive the process that made them


def test_a_job_opens_by_id_in_another_handle_with_frame_and_types(df, tmp_path):
    """The stored frame, the stored schema and the stored answers are enough."""
    answer = json.dumps({"label": "a", "score": 2})
    with registered(Fake(tmp_path / "cloud", answer=lambda _: answer)):
        job = df.batch.submit(model="fake/m", prompt="{text}", response_model=Label)
        out = job.result()
        follow.drop(bf.workspace(), job.id)  # as in a process that was told nothing
        assert bf.job(job.id[:8]).result().equals(out)
    assert out["parsed"][0] == {"label": "a", "score": 2}


async def _awaited(job):
    return await job


def test_await_gives_the_result(df, cloud):
    """`out = await job` in a cell."""
    import asyncio

    job = df.batch.submit(model="fake/m", prompt="{text}")
    assert asyncio.run(_awaited(job)).equals(job.result())


def test_on_done_is_called_once_with_the_job(df, cloud):
    """Also when the job has ended before."""
    done = threading.Event()
    df.batch.submit(model="fake/m", prompt="{text}").wait().on_done(lambda job: done.set())
    assert done.wait(10)


def test_forget_removes_the_job_and_its_files(df, cloud):
    """Nothing of it stays in the workspace."""
    job = df.batch.submit(model="fake/m", prompt="{text}").wait()
    folder = bf.workspace().job_folder(job.id)
    assert folder.exists()
    job.forget()
    assert not folder.exists()
    assert bf.jobs().height == 0


def test_wait_gives_up_after_its_timeout_and_the_job_runs_on(df, tmp_path):
    """The message holds the line that waits again."""
    with registered(Fake(tmp_path / "cloud", polls=10**9)) as fake:
        job = df.batch.submit(model="fake/m", prompt="{text}")
        with pytest.raises(errors.JobTimeoutError) as caught:
            job.wait(timeout=0.2)
        assert str(caught.value) == (
            f"Job {job.id} has not ended after 0.2 s; it runs on. Type: bf.job('{job.id}').wait()"
        )
        fake.polls = 0
        assert job.wait(30).status == "completed"


def test_a_managed_batch_gives_what_a_native_one_gives(df, cloud):
    """Same rows, same answers, whichever way they travelled."""
    native = df.batch.submit(model="fake/m", prompt="{text}").result()
    with registered(Echo()):
        managed = df.batch.submit(model="echo/m", prompt="{text}").result()
        now = df.batch.run(model="echo/m", prompt="{text}")
    assert managed.equals(native)
    assert now.equals(native)


def test_per_row_models_and_parameters(cloud):
    """Rows of different models are parts of one job."""
    df = pl.DataFrame({"text": ["a", "b", "c"], "m": ["fake/x", "fake/y", "fake/x"]})
    job = df.batch.submit(model=pl.col("m"), prompt="{text}", max_tokens=pl.col("text").len() + 1)
    assert job.result()["model"].to_list() == ["x", "y", "x"]
    assert len(cloud.batches()) == 2


def test_the_frame_is_never_changed_and_a_lazy_frame_is_as_good(df, cloud):
    """LazyFrame in, the same job out."""
    before = df.clone()
    job = df.batch.submit(model="fake/m", prompt="{text}")
    out = job.result()
    assert df.equals(before)
    lazy = df.lazy().batch.submit(model="fake/m", prompt="{text}")
    assert lazy.id == job.id
    assert lazy.result().equals(out)


def test_attaching_joins_onto_the_frame_of_this_call(df, cloud):
    """A LazyFrame with more columns, and another prefix, are this call's own business."""
    df.batch.submit(model="fake/m", prompt="{text}").wait()
    wider = df.lazy().with_columns(extra=pl.lit(1))
    out = wider.batch.submit(model="fake/m", prompt="{text}", prefix="my_").result()
    assert "extra" in out.columns
    assert out["my_response"].to_list() == df["text"].to_list()


def test_the_parts_of_a_native_job_are_with_the_provider_side_by_side(tmp_path):
    """The second batch does not wait for the first one's end."""
    df = pl.DataFrame({"text": ["a", "b"], "m": ["fake/x", "fake/y"]})
    with registered(Fake(tmp_path / "cloud", polls=10**9)) as fake:
        job = df.batch.submit(model=pl.col("m"), prompt="{text}")
        until = time.monotonic() + 30
        while len(fake.batches()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert len(fake.batches()) == 2
        job.cancel().wait(30)


def test_a_job_that_nobody_drives_is_queued_not_running(df, tmp_path):
    """What a second process sees after the first one's death."""
    with registered(Fake(tmp_path / "cloud")):
        job = df.batch.submit(model="fake/m", prompt="{text}").wait()
    bf.workspace().store.update_job(job.id, state="running", ended_at=None)
    assert job.status == "queued"


def test_a_cancelled_await_leaves_the_driver_alone(df, tmp_path):
    """Whoever stops waiting must not stop a step that pays, and so cause a second payment."""
    import asyncio

    fake = Fake(tmp_path / "cloud")
    real = fake.create

    def slow(*args):
        time.sleep(0.5)
        return real(*args)

    fake.create = slow

    async def impatient(job):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_awaited(job), 0.2)

    with registered(fake):
        job = df.batch.submit(model="fake/m", prompt="{text}")
        asyncio.run(impatient(job))
        assert job.wait(30).status == "completed"
    assert len(fake.batches()) == 1


def test_a_frame_changed_in_place_keeps_the_rows_that_were_asked(cloud):
    """What the user does to the frame after submit was not asked."""
    df = pl.DataFrame({"text": ["a", "b"]})
    job = df.batch.submit(model="fake/m", prompt="{text}")
    df[0, "text"] = "Z"
    assert job.result().select("text", "response").rows() == [("a", "a"), ("b", "b")]


def test_an_attached_lazy_frame_whose_source_was_reordered_keeps_its_rows(tmp_path, cloud):
    """The order in which the rows were recognised is the order of the answers."""
    path = tmp_path / "in.csv"
    path.write_text("text\na\nb\nc\n")
    pl.scan_csv(path).batch.submit(model="fake/m", prompt="{text}").wait()
    attached = pl.scan_csv(path).batch.submit(model="fake/m", prompt="{text}")
    path.write_text("text\nc\nb\na\n")
    out = attached.result()
    assert out["text"].to_list() == out["response"].to_list() == ["a", "b", "c"]


def test_answers_without_usage_have_an_unknown_cost_not_a_known_zero(df, tmp_path):
    """Promise 5 for the job and the list of jobs, too."""

    def no_usage(body):
        return {**completion(body, "fine"), "usage": None}

    prices = {"fake/m": {"input": 1, "output": 1}}
    with registered(Fake(tmp_path / "cloud", answer=no_usage)):
        job = df.batch.submit(model="fake/m", prompt="{text}", prices=prices).wait()
    assert job.cost is None
    assert job.view.price == "unknown"
    assert bf.jobs()["cost_usd"].to_list() == [None]


def test_prices_by_hand_are_known_to_whoever_finishes_the_job(df, cloud):
    """They are in the ledger, not in one process's memory."""
    prices = {"fake/m": {"input": 1, "output": 1}}
    job = df.batch.submit(model="fake/m", prompt="{text}", prices=prices).wait()
    cost = job.cost
    assert cost is not None
    assert cost > 0
    follow.drop(bf.workspace(), job.id)
    bf.workspace().store.update_part(job.id, 0, state="fetched", cost=None)
    bf.workspace().store.update_job(job.id, state="queued", ended_at=None)
    assert bf.job(job.id).wait().cost == cost


def test_a_forgotten_jobs_batch_is_not_taken_for_a_new_jobs(df, cloud):
    """The provider's key of a part is not made of the request alone."""
    job = df.batch.submit(model="fake/m", prompt="{text}").wait()
    job.forget()
    assert repr(job) == f"{job.id} (forgotten)"
    df.batch.submit(model="fake/m", prompt="{text}").wait()
    assert len({batch["key"] for batch in cloud.batches()}) == 2


def test_again_is_a_new_job_also_after_one_was_forgotten(df, cloud):
    """Run numbers are not reused."""
    first = df.batch.submit(model="fake/m", prompt="{text}").wait()
    second = df.batch.submit(model="fake/m", prompt="{text}", again=True).wait()
    first.forget()
    third = df.batch.submit(model="fake/m", prompt="{text}", again=True).wait()
    assert third.id not in (first.id, second.id)


def test_empty_frames_asked_differently_are_different_jobs(cloud):
    """Nothing is sent, and yet the types of the result differ."""
    df = pl.DataFrame({"text": []}, schema={"text": pl.String})
    plain = df.batch.submit(model="fake/m", prompt="{text}")
    typed = df.batch.submit(model="fake/m", prompt="{text}", response_model=Label)
    assert plain.id != typed.id
    assert "parsed" in typed.result().columns


def test_a_lost_ledger_costs_no_answers_of_a_managed_job(df, tmp_path, capsys):
    """The folder's name is made of the request, so its journal answers the same request."""
    asked = []
    with registered(Echo(answer=lambda body: asked.append(1) or "x")):
        job = df.batch.submit(model="echo/m", prompt="{text}").wait()
        before = len(asked)
        bf.workspace().store.delete_job(job.id)
        again = df.batch.submit(model="echo/m", prompt="{text}").wait()
    assert again.result()["response"].drop_nulls().len() == 19
    assert len(asked) == before
    assert "its answers are taken over" in capsys.readouterr().err


def test_a_damaged_outputs_file_is_named_and_read_again_from_the_raw_answers(df, cloud):
    """Promise 2: what is paid is there twice, and the message holds the line."""
    job = df.batch.submit(model="fake/m", prompt="{text}").wait()
    whole = job.result()
    (file,) = bf.workspace().job_folder(job.id).glob("*.outputs.parquet")
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(errors.StorageError, match=r"retry\(\) reads them again"):
        job.result()
    assert job.retry().wait().result().equals(whole)
    assert len(cloud.batches()) == 1


def test_a_provider_that_is_away_for_a_moment_does_not_fail_the_job(df, tmp_path):
    """Looking again costs nothing."""
    fake = Fake(tmp_path / "cloud")
    real, faults = fake.poll, iter([True, True])

    def shaky(ticket):
        if next(faults, False):
            msg = "away"
            raise errors.ProviderUnavailableError(msg)
        return real(ticket)

    fake.poll = shaky
    with registered(fake):
        assert df.batch.submit(model="fake/m", prompt="{text}").wait().status == "completed"


def test_a_failed_jobs_batch_can_still_be_cancelled_and_is_not_forgotten_alive(df, tmp_path):
    """A job that stopped here may go on being paid for there."""
    fake = Fake(tmp_path / "cloud", polls=10**9)
    real = fake.poll
    fake.poll = lambda *_: (_ for _ in ()).throw(errors.AuthenticationError("no."))
    with registered(fake):
        job = df.batch.submit(model="fake/m", prompt="{text}")
        with pytest.raises(errors.JobFailedError):
            job.wait()
        with pytest.raises(errors.InputError, match="has a batch that may still run"):
            job.forget()
        fake.poll = real
        assert job.cancel().wait(30).status == "cancelled"
    assert fake.batches()[0]["cancelled"]


def test_two_retries_at_once_send_the_rows_once(df, tmp_path):
    """The second finds that the first has reopened the job."""
    with registered(Fake(tmp_path / "cloud", end="expired")) as fake:
        job = df.batch.submit(model="fake/m", prompt="{text}").wait()
        fake.end = "completed"
        outcomes = []

        def again():
            try:
                bf.job(job.id).retry()
            except errors.InputError:
                outcomes.append("refused")

        threads = [threading.Thread(target=again) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        job.wait(30)
        assert len(fake.batches()) == 2
    assert job.view.failed == 1


def test_a_cancelled_managed_job_says_so_in_the_rows_it_did_not_ask_and_retry_sends_them(tmp_path):
    """Answered rows are kept; the others are errors `cancelled`, worth sending again."""
    df = pl.DataFrame({"text": [f"t{i}" for i in range(60)]})

    def slow(body):
        time.sleep(0.02)
        return body["messages"][-1]["content"]

    with registered(Echo(answer=slow, concurrency=2)):
        job = df.batch.submit(model="echo/m", prompt="{text}")
        while job.view.done < 5:
            time.sleep(0.01)
        out = job.cancel().wait(30).result()
        answered = out["response"].drop_nulls().len()
        assert 5 <= answered < 60
        codes = out["error"].drop_nulls().str.split(":").list.first().unique().to_list()
        assert codes == ["cancelled"]
        assert job.retry().wait(60).result()["response"].to_list() == df["text"].to_list()
