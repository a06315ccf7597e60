"""Promise 5: every documented status is understood, and one that nobody knows means: look again later."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchframe.model import Phase
from batchframe.testing.contract.setting import SECONDS, TEXTS, Stage

if TYPE_CHECKING:
    from batchframe.orchestration.job import Job
    from batchframe.providers.base import BatchProvider
    from batchframe.testing.clouds.cloud import Cloud

STRANGE = "quantum_leaping"


class Statuses(Stage):
    """Statuses are an open set."""

    def test_every_documented_status_has_its_phase(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """In the provider's own spelling, and in capitals: Azure and others write both.

        Time stands still meanwhile: no row is answered that could speak against a word.
        """
        assert self.capabilities.statuses, "what is documented?"
        _, ticket = self.begun(provider, tmp_path)
        cloud.step = 0.0
        for word, phase in self.capabilities.statuses.items():
            for spelt in (word, word.upper(), word.lower()):
                cloud.faults.status_word = spelt
                assert provider.poll(ticket).phase is phase, spelt

    def test_an_unknown_status_means_waiting_and_is_logged_once(
        self,
        cloud: Cloud,
        provider: BatchProvider,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A provider may invent words any day; its batch is paid for all the same."""
        _, ticket = self.begun(provider, tmp_path)
        cloud.faults.status_word = STRANGE
        with caplog.at_level(logging.WARNING):
            phases = [provider.poll(ticket).phase for _ in range(3)]
        assert phases == [Phase.WAITING] * 3
        told = [record.getMessage().lower() for record in caplog.records]
        assert sum(STRANGE in words for words in told) == 1

    @pytest.mark.parametrize("oddity", ["a status that nobody knows", "an object without fields"])
    def test_a_job_outlives_odd_batch_objects(
        self, cloud: Cloud, provider: BatchProvider, oddity: str
    ) -> None:
        """It asks on, and ends when the batch is described as it should be."""
        if oddity.startswith("a status"):
            cloud.faults.status_word = STRANGE
        else:
            cloud.faults.missing_fields = ("*",)
        job = self.ask(provider)
        self._polled(job, cloud, 6)
        assert not job.view.state.ended
        until = time.monotonic() + SECONDS / 10
        while "a status that nobody here knows" not in (job.view.message or ""):
            assert time.monotonic() < until, f"nobody is told: {job}"
            time.sleep(0.01)
        assert not oddity.startswith("a status") or STRANGE in str(job.view.message).lower()
        cloud.faults.status_word, cloud.faults.missing_fields = None, ()
        assert self.answers(job) == list(TEXTS)
        assert job.view.message is None, "what is over is not said any more"

    def test_an_unknown_status_is_not_asked_for_ever(self, cloud: Cloud) -> None:
        """After a time of its own the job stops and says the word; it goes on when it is told to."""
        cloud.faults.status_word = STRANGE
        with self.patient(cloud, unknown=0.05) as provider:
            job = self.ask(provider)
            told = str(self.stopped(job))
            assert STRANGE in told.lower()
            assert f"bf.job('{job.id}').retry()" in told
            cloud.faults.status_word = None
            assert self.answers(job.retry()) == list(TEXTS)
        assert len(cloud.batches()) == 1

    def test_a_batch_that_failed_late_keeps_what_was_answered(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """A provider may call failed what has answers: they are paid, and come home."""
        words = [
            word for word, phase in self.capabilities.statuses.items() if phase is Phase.FAILED
        ]
        assert words, "how does it say that a batch failed?"
        cloud.faults.status_word, cloud.step = words[0], 3600.0  # all is answered at the first look
        assert self.answers(self.ask(provider)) == list(TEXTS)

    def _polled(self, job: Job, cloud: Cloud, times: int) -> None:
        until = time.monotonic() + SECONDS
        while sum(method == "GET" for method, _, _ in cloud.log) < times:
            assert not job.view.state.ended, f"it took it for the end: {job}"
            assert time.monotonic() < until, f"it is not asked for: {job}"
            time.sleep(0.01)

    def test_counts_and_tokens_of_a_batch_are_told_while_it_runs(
        self, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """They rise to the number of rows; what the provider does not say is None, never 0."""
        _, ticket = self.begun(provider, tmp_path)
        seen = [provider.poll(ticket)]
        while seen[-1].phase in (Phase.WAITING, Phase.RUNNING):
            seen.append(provider.poll(ticket))
            assert len(seen) < 20, "the batch does not end"  # noqa: PLR2004 - it takes four looks
        last = seen[-1]
        if self.capabilities.counts_while_running:
            assert (last.total, last.done, last.failed) == (len(TEXTS), len(TEXTS), 0)
        else:
            assert last.done is None
        if self.capabilities.usage_of_batch:
            assert last.usage.output == sum(len(text.split()) for text in TEXTS)
        else:
            assert last.usage.output is None
