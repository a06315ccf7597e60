"""What a second round of attackers found: each thing seen once, and not again."""

from __future__ import annotations

import asyncio
import gc
import threading

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.testing import Echo, Fake, registered

DF = pl.DataFrame({"text": [f"t{i}" for i in range(12)]})
KEY = "sk-live-0123456789abcdefABCDEF"


def test_two_lazy_handles_of_one_job_keep_their_own_frames(tmp_path):
    """The copy that a handle joins onto is its own, and goes with it."""
    with registered(Fake(tmp_path / "cloud", polls=0)):
        options = {"model": "fake/m", "prompt": "{text}", "key": "text"}
        DF.lazy().batch.submit(**options).wait()
        mine = DF.lazy().with_columns(mine=1).batch.submit(**options)
        other = DF.reverse().lazy().with_columns(other=2).batch.submit(**options)
        assert mine.result().columns[:2] == ["text", "mine"]
        assert other.result()["text"].to_list() == DF["text"].reverse().to_list()
        folder = bf.workspace().job_folder(mine.id)
        assert len(list(folder.glob("frame-*.parquet"))) == 2
        del mine, other
        gc.collect()
        assert not list(folder.glob("frame-*.parquet"))


def test_a_frame_changed_after_planning_is_not_what_was_planned():
    """In place, rows swapped, rows added: the plan keeps what it saw."""
    df = pl.DataFrame({"t": ["m1", "m2"], "k": [1, 2]})
    with registered(Echo()):
        plan = df.batch.plan(model="echo/x", prompt="q {t}", key="k")
        df[0, "k"], df[1, "k"] = 2, 1
        df.extend(pl.DataFrame({"t": ["m3"], "k": [3]}))
        out = plan.submit().result()
    assert out.select("k", "t", "response").rows() == [(1, "m1", "q m1"), (2, "m2", "q m2")]


def _half(most):
    asked = []

    def answer(body):
        asked.append(body)
        if len(asked) > most:
            return {"error": {"message": "no such key", "code": "invalid_api_key"}}
        return "fine"

    return answer


def test_the_paid_answers_of_a_failed_managed_job_are_shown():
    """An account out of credit must not hide what it bought."""
    with registered(Echo(answer=_half(5))):
        job = DF.batch.submit(model="echo/m", prompt="{text}", concurrency=1)
        with pytest.raises(errors.JobFailedError):
            job.wait()
        (journal,) = bf.workspace().job_folder(job.id).glob("*.journal.jsonl")
        with journal.open(
            "a"
        ) as file:  # what a cancel leaves of a row in flight: it is asked again
            file.write('{"custom_id":"r9","response":null,"error":{"code":"cancelled"}}\n')
        seen, failed = job.outputs(), job.errors()
    assert seen.height == 12
    assert seen["ok"].sum() == 5
    assert seen.filter("ok")["response"].to_list() == ["fine"] * 5
    assert seen.filter("ok")["input_tokens"].null_count() == 0
    assert set(seen.filter(~pl.col("ok"))["error_code"]) == {"pending"}
    assert failed.height == 0


def test_the_answers_of_a_running_managed_job_are_shown():
    """`outputs()` gives everything known so far, and does not wait."""
    gate, asked = threading.Event(), []

    def answer(body):
        asked.append(body)
        if len(asked) > 4:
            gate.wait(20)
        return "fine"

    with registered(Echo(answer=answer)):
        job = DF.batch.submit(model="echo/m", prompt="{text}", concurrency=1)
        while job.view.done < 4:
            pass
        seen = job.outputs()
        gate.set()
        assert seen["ok"].sum() == 4
        assert job.status in ("running", "completed")
        assert job.result()["response"].to_list() == ["fine"] * 12


@pytest.mark.parametrize("kind", ["managed", "native"])
def test_a_key_that_a_server_quotes_in_a_rows_error_is_kept_nowhere(tmp_path, kind):
    """In its code, its message and a field of its own; the provider's own result file apart."""

    def refuse(body):
        if body["messages"][0]["content"] != "t0":
            return "fine"
        return {
            "error": {"message": f"Incorrect API key provided: {KEY}.", "code": KEY, "token": KEY}
        }

    provider = Echo(refuse) if kind == "managed" else Fake(tmp_path / "cloud", refuse, polls=0)
    with registered(provider):
        job = DF.batch.submit(model=f"{provider.name}/m", prompt="{text}").wait()
        (text,) = job.errors()["error_message"]
    assert text == "Incorrect API key provided: ***."
    shown = [str(job._repr_mimebundle_()), str(job.outputs().rows()), str(bf.jobs().rows())]
    assert not [one for one in shown if KEY in one]
    files = [path for path in bf.workspace().path.rglob("*") if path.is_file()]
    leaky = [path.name for path in files if KEY.encode() in path.read_bytes()]
    assert leaky == ([] if kind == "managed" else ["batch-0000.result.jsonl"])


def test_a_job_forgotten_while_its_call_was_repeated_is_made_anew(monkeypatch):
    """Another process forgets it between the look and the attaching."""
    from batchframe.orchestration import launch

    with registered(Echo()):
        first = DF.batch.submit(model="echo/x", prompt="{text}").wait()
        real, calls = launch._mended, []

        def late(*args):
            if not calls:
                calls.append(1)
                first.forget()
            return real(*args)

        monkeypatch.setattr(launch, "_mended", late)
        second = DF.batch.submit(model="echo/x", prompt="{text}")
        assert second.result()["response"].to_list() == DF["text"].to_list()
    assert bf.jobs().height == 1


def test_a_providers_code_pending_is_an_error_like_any_other():
    """What is not decided yet has no part; the word alone decides nothing."""
    with registered(Echo(lambda _: {"error": {"code": "pending", "message": "no"}})):
        job = DF.head(1).batch.submit(model="echo/x", prompt="{text}").wait()
    assert job.errors()["error_code"].to_list() == ["pending"]


def test_codes_of_a_retry_are_checked():
    """A bare word is one code; a slip of the pen is told; nonsense is refused."""
    tries = []

    def answer(_body):
        tries.append(1)
        return {"error": {"code": "content_filter", "message": "no"}} if len(tries) == 1 else "fine"

    with registered(Echo(answer)):
        job = DF.head(1).batch.submit(model="echo/x", prompt="{text}").wait()
        with pytest.raises(errors.UnknownNameError) as caught:
            job.retry(codes=["content_filtre"])
        assert str(caught.value) == (
            "No row failed with 'content_filtre'. Did you mean 'content_filter'? See job.errors()."
        )
        for wrong in (1, [1], [None]):
            with pytest.raises(errors.InputError, match="give error codes"):
                job.retry(codes=wrong)
        with pytest.raises(errors.InputError, match="give seconds"):
            job.wait(timeout="x")
        assert job.retry(codes=["timeout"]).view.failed == 1  # nothing to do is no mistake
        assert job.retry(codes="content_filter").result()["response"].to_list() == ["fine"]


def test_a_batch_that_can_no_longer_be_cancelled_goes_on_to_its_end(tmp_path):
    """A refused cancel is asked ever more rarely and fails nothing; all rows answered: completed."""
    fake, asked = Fake(tmp_path / "cloud", polls=30), []

    def refuse(_ticket):
        asked.append(1)
        msg = "409: the batch is finalizing."
        raise errors.ProviderError(msg)

    fake.cancel = refuse
    with registered(fake):
        job = DF.batch.submit(model="fake/m", prompt="{text}")
        while job.view.phase != "running":
            pass
        assert job.cancel().wait().status == "completed"
        assert job.result()["response"].to_list() == DF["text"].to_list()
    assert 2 <= len(asked) <= 6  # of 30 polls: at the first, second, fourth, eighth ...


def test_a_cancel_that_was_refused_at_first_is_granted_later(tmp_path):
    """A batch under validation cannot be stopped yet."""
    fake, asked = Fake(tmp_path / "cloud", polls=10**6), []
    real = fake.cancel

    def later(ticket):
        asked.append(1)
        if len(asked) < 3:
            msg = "409: the batch is being validated; cancel later."
            raise errors.ProviderError(msg)
        real(ticket)

    fake.cancel = later
    with registered(fake):
        job = DF.batch.submit(model="fake/m", prompt="{text}")
        while job.view.phase != "running":
            pass
        assert job.cancel().wait(60).status == "cancelled"
    assert len(asked) == 3


def test_result_files_of_two_parts_may_have_one_name(tmp_path):
    """Providers call them all alike."""
    from dataclasses import replace

    from batchframe.testing.fake import LIMITS

    class SameName(Fake):
        def fetch(self, ticket, folder):
            (file,) = super().fetch(ticket, folder)
            return [file.rename(folder / "output.jsonl")]

    with registered(SameName(tmp_path / "cloud", polls=0, limits=replace(LIMITS, requests=5))):
        job = DF.batch.submit(model="fake/m", prompt="{text}")
        assert job.result()["response"].to_list() == DF["text"].to_list()


def test_one_managed_providers_trouble_does_not_stop_anothers_rows():
    """The job fails in the end, and the other provider's answers are there."""
    df = DF.with_columns(
        m=pl.when(pl.int_range(12) < 6).then(pl.lit("aaa/x")).otherwise(pl.lit("bbb/x"))
    )
    with registered(Echo(_half(0), name="aaa")), registered(Echo(name="bbb")):
        job = df.batch.submit(model=pl.col("m"), prompt="{text}")
        with pytest.raises(errors.JobFailedError, match="aaa"):
            job.wait()
        assert job.outputs()["ok"].sum() == 6


def test_a_retry_just_when_the_follower_leaves_is_driven(monkeypatch):
    """The follower has had its last look, and has not gone yet."""
    from batchframe.orchestration import follow

    real = follow.Follower._look
    tries = []

    async def slow(self):
        seen = await real(self)
        if seen.state.ended:
            await asyncio.sleep(0.3)
        return seen

    def answer(_body):
        tries.append(1)
        return {"error": {"code": "timeout", "message": "no"}} if len(tries) == 1 else "fine"

    with registered(Echo(answer)):
        job = DF.head(1).batch.submit(model="echo/x", prompt="{text}").wait()
        monkeypatch.setattr(follow.Follower, "_look", slow)
        bf.job(job.id).on_done(lambda _: None)  # a follower that will leave in 0.3 s
        job.retry()
        for _ in range(100):
            if bf.jobs()["state"].item() == "completed":
                break
            threading.Event().wait(0.05)
        assert job.outputs()["response"].to_list() == ["fine"]
