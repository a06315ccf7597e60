"""Promise 3: every row comes back exactly once, as its own answer or as an error, whatever the files hold."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from batchframe.testing.contract.setting import SECONDS, TEXTS, Stage, paid, whole

if TYPE_CHECKING:
    from batchframe.orchestration.job import Job
    from batchframe.providers.base import BatchProvider
    from batchframe.testing.clouds.cloud import Cloud
    from batchframe.testing.clouds.faults import Wrong

DAMAGE: dict[str, tuple[dict[str, Any], int]] = {
    "shuffled and doubled": ({"shuffle": True, "duplicated": 3}, 0),
    "missing": ({"missing": 2}, 2),
    "truncated": ({"truncated": True}, 1),
    "garbage and strangers": ({"garbage": 6, "unknown_ids": 3}, 0),
    "no status": ({"status_zero": 2}, 2),
}
"""What is wrong with a result file: the faults, and how many rows it must cost."""

WRONG: tuple[Wrong, ...] = ("page", "error", "nothing", "half", "packed")

REFUSED = {"no such model": "model", "too many requests": "too many requests"}
"""Why a provider refuses a whole batch -> what each row's error must say."""


def _fails(body: dict[str, Any]) -> str | dict[str, Any]:
    text = str(body["messages"][-1]["content"])
    if text == TEXTS[1]:
        return {"error": {"message": "no such tool", "code": "invalid_request"}}
    if text == TEXTS[2]:
        raise RuntimeError("the model stumbled")
    return text


def _refused(_body: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"message": "not for you", "code": "content_policy"}}


class Rows(Stage):
    """Every row comes back exactly once."""

    def test_every_row_comes_back_as_itself(self, cloud: Cloud, provider: BatchProvider) -> None:
        """The plain way: one batch, each row with its own answer, in the frame's order."""
        job = self.ask(provider)
        rows = self.settled(job)
        whole(rows)
        assert rows["error"].null_count() == len(TEXTS)
        assert (job.status, len(cloud.batches())) == ("completed", 1)

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_damaged_result_lines_cost_only_their_own_rows(
        self, cloud: Cloud, provider: BatchProvider, damage: str
    ) -> None:
        """Lines may be moved, doubled, lost, cut or nonsense: the other rows do not notice."""
        faults, lost = DAMAGE[damage]
        for name, value in faults.items():
            setattr(cloud.faults, name, value)
        job = self.ask(provider)
        # of a page, which is whole or nothing, the last result is cut and not the last line
        short = damage == "missing" or (damage == "truncated" and cloud.flavour.filed)
        rows = self.taken(job) if short else self.settled(job)
        whole(rows)
        assert len(cloud.batches()) == 1, "what is lacking is not paid for again unasked"
        failed = job.outputs().filter(~pl.col("ok"))
        assert failed.height == lost
        assert failed["retryable"].all(), "a row whose line was lost can be sent again"

    @pytest.mark.parametrize("wrong", WRONG)
    @pytest.mark.parametrize("times", [1, 6])
    @pytest.mark.usefixtures("pauses")
    def test_what_comes_in_place_of_results_is_not_taken_for_them(
        self, cloud: Cloud, wrong: Wrong, times: int
    ) -> None:
        """Pages, errors, half files and packed ones come under HTTP 200; the results are fetched again."""
        brings = cloud.flavour.brings
        cloud.faults.wrong, cloud.faults.instead[brings] = wrong, times
        with self.patient(cloud) as provider:
            assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1, "nothing is paid for twice"
        assert cloud.faults.instead[brings] < times, "nothing wrong came"

    @pytest.mark.usefixtures("pauses")
    def test_what_can_be_read_is_there_though_results_fall_short(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """The job stops and says what the provider counts; later the rest comes, and nothing is paid again."""
        self.needs("counts_while_running")
        real = cloud.faults.missing = 2
        job = self.ask(provider)
        told = str(self.stopped(job))
        assert f"{provider.name} counts {len(TEXTS)} results" in told
        seen = job.outputs()
        assert seen.filter("ok").height == len(TEXTS) - real
        assert set(seen.filter(~pl.col("ok"))["error_code"]) == {"pending"}
        assert job.status == "failed"

    def test_a_batch_that_has_ended_may_name_its_files_later(self, cloud: Cloud) -> None:
        """`completed` without files is no end: the counts say that there are answers."""
        cloud.faults.late_files = 4
        with self.patient(cloud) as provider:
            assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1

    def test_a_row_that_failed_is_an_error_and_the_others_are_answers(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Output and error files are both read; a refusal stays refused, a stumble may be retried."""
        cloud.answer = _fails
        job = self.ask(provider)
        whole(self.settled(job))
        failed = job.outputs().filter(~pl.col("ok"))
        assert failed["row"].to_list() == [1, 2]
        assert "no such tool" in failed["error_message"][0]

    def test_a_batch_whose_rows_were_all_refused_is_no_failure(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """There is no output file then; every row has the provider's own reason."""
        cloud.answer = _refused
        job = self.ask(provider)
        rows = self.settled(job)
        whole(rows)
        assert job.status == "completed"
        assert all("not for you" in error for error in rows["error"]), rows["error"].to_list()

    def test_an_expired_batch_keeps_what_was_answered_and_the_rest_can_be_sent_again(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Half a batch is paid, and half of it is asked anew, in a batch of its own."""
        self.needs("partial_results")
        cloud.faults.expire = 0.5
        job = self.ask(provider)
        whole(self.settled(job))
        failed = job.outputs().filter(~pl.col("ok"))
        assert failed["row"].to_list() == [3, 4, 5]
        assert failed["retryable"].all()
        cloud.faults.expire = None
        assert self.answers(job.retry()) == list(TEXTS)
        assert [batch["rows"] for batch in cloud.batches()] == [6, 3]

    def test_a_cancelled_batch_keeps_what_was_answered(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """What is paid is kept where the provider keeps it; the others say that they were cancelled."""
        self.needs("cancel")
        cloud.faults.hang = 0.5
        job = self.ask(provider)
        self._half(job, cloud)
        rows = self.settled(job.cancel())
        whole(rows)
        kept = len(TEXTS) // 2 if self.capabilities.cancel_keeps else 0
        assert job.status == "cancelled"
        assert [error is None for error in rows["error"]] == [n < kept for n in range(len(TEXTS))]
        lost = job.outputs().filter(~pl.col("ok"))
        assert all("cancel" in code for code in lost["error_code"]), lost["error_code"].to_list()
        assert lost["retryable"].all()

    def test_a_batch_that_ends_before_its_cancellation_is_complete(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """The provider may be too late, and take its time to say so; then every answer counts."""
        self.needs("cancel")
        cloud.faults.hang, cloud.faults.cancel_late = 0.5, True
        job = self.ask(provider)
        self._half(job, cloud)
        cloud.step = cloud.flavour.pace.cancelling / 4  # several looks see it half-way
        assert self.answers(job.cancel()) == list(TEXTS)
        assert job.status == "completed"

    def _half(self, job: Job, cloud: Cloud) -> None:
        """Wait until half of the rows are answered there."""
        until = time.monotonic() + SECONDS
        while not any(batch["answered"] for batch in cloud.batches()):
            assert time.monotonic() < until, f"nothing was answered: {job}"
            time.sleep(0.01)
        while cloud.batches()[0]["answered"] < len(TEXTS) // 2:
            time.sleep(0.01)

    def test_pages_are_read_to_the_last(self, cloud: Cloud, provider: BatchProvider) -> None:
        """However little a page holds: no row and no batch is beyond the first one."""
        cloud.faults.short_pages = 2
        for turn in range(3):
            texts = tuple(f"{turn} {text}" for text in TEXTS)
            rows = self.settled(self.ask(provider, texts))
            whole(rows, texts)
            assert rows["error"].null_count() == len(texts)

    @pytest.mark.parametrize("why", REFUSED)
    def test_a_batch_that_failed_gives_each_row_the_providers_reason(
        self, cloud: Cloud, provider: BatchProvider, why: str
    ) -> None:
        """A refused file is told row by row; nothing was answered, and nothing is on the bill."""
        if why == "no such model":
            self.needs("validates")
            cloud.models = ()
        else:
            cloud.limits = replace(cloud.limits, requests=1)
        job = self.ask(provider)
        rows = self.settled(job)
        whole(rows)
        assert rows["response"].null_count() == len(TEXTS)
        assert all(REFUSED[why] in error for error in rows["error"]), rows["error"].to_list()
        assert not paid(cloud)
