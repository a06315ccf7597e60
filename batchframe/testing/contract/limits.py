"""Promise 6: parts are as large as the provider allows and no larger; a full queue is waited out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchframe.errors import ProviderError
from batchframe.model import Phase, Progress, Ticket
from batchframe.testing.contract.setting import TEXTS, Stage, paid, whole

if TYPE_CHECKING:
    from batchframe.providers.base import BatchProvider
    from batchframe.testing.clouds.cloud import Cloud

MOST = 3
"""Rows that a batch of the shrunken cloud may hold."""

MOST_BYTES = 700


class LimitsHold(Stage):
    """What is sent is accepted, and would not be if it were one more."""

    def test_limits_are_dated_and_no_larger_than_the_clouds(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """A figure without a source and a day cannot be checked when it has changed."""
        ours, theirs = provider.limits, cloud.limits
        assert ours.requests <= theirs.requests
        assert ours.bytes <= theirs.bytes
        assert ours.source
        assert ours.as_of[:2] == "20"

    def _end(self, provider: BatchProvider, folder: Path, texts: tuple[str, ...]) -> Progress:
        """Send texts as one batch; gives how it ended, a refusal as a failure."""
        try:
            _, ticket = self.begun(provider, folder, texts)
            seen = provider.poll(ticket)
            while seen.phase in (Phase.WAITING, Phase.RUNNING):
                seen = provider.poll(ticket)
        except ProviderError as error:
            return Progress(Phase.FAILED, message=str(error))
        return seen

    def test_a_batch_of_the_most_rows_is_taken_and_one_more_is_not(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """The cloud itself is the judge: the limit means what the provider thinks it means."""
        cloud.limits = replace(cloud.limits, requests=MOST)
        assert self._end(provider, tmp_path, TEXTS[:MOST]).phase is Phase.ENDED
        refused = self._end(provider, tmp_path, TEXTS[: MOST + 1])
        assert refused.phase is Phase.FAILED
        assert refused.message

    def test_a_file_of_the_most_bytes_is_taken_and_one_more_is_not(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """Exactly the limit is allowed."""
        size = self.wire(provider, tmp_path, TEXTS).stat().st_size
        cloud.limits = replace(cloud.limits, bytes=size)
        assert self._end(provider, tmp_path, TEXTS).phase is Phase.ENDED
        cloud.limits = replace(cloud.limits, bytes=size - 1)
        assert self._end(provider, tmp_path, TEXTS).phase is Phase.FAILED

    def test_a_job_is_cut_into_parts_that_the_cloud_takes(
        self, cloud: Cloud, provider: BatchProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By rows: as few batches as will do, each as full as it may be, every row answered."""
        cloud.limits = replace(cloud.limits, requests=MOST)
        monkeypatch.setattr(provider, "limits", replace(provider.limits, requests=MOST))
        texts = tuple(f"row {n}" for n in range(2 * MOST + 1))
        rows = self.settled(self.ask(provider, texts))
        whole(rows, texts)
        assert rows["error"].null_count() == len(texts)
        assert sorted(batch["rows"] for batch in cloud.batches()) == [1, MOST, MOST]

    def test_bytes_cut_a_job_too_and_a_row_that_is_too_large_is_an_error(
        self, cloud: Cloud, provider: BatchProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No file outgrows the limit; the row that would is named, and the others are answered."""
        cloud.limits = replace(cloud.limits, bytes=MOST_BYTES)
        monkeypatch.setattr(provider, "limits", replace(provider.limits, bytes=MOST_BYTES))
        texts = (*TEXTS * 4, "x" * MOST_BYTES)
        job = self.ask(provider, texts)
        rows = self.settled(job)
        whole(rows, texts)
        assert [error is None for error in rows["error"]] == [True] * len(TEXTS) * 4 + [False]
        assert job.outputs()["error_code"][-1] == "request_too_large"
        assert len(cloud.batches()) > 1

    def test_a_line_may_have_as_many_bytes_as_the_provider_says(
        self, cloud: Cloud, provider: BatchProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a provider limits the single line, a longer row is an error and is not sent."""
        limits = replace(provider.limits, line_bytes=MOST_BYTES)
        monkeypatch.setattr(provider, "limits", limits)
        job = self.ask(provider, (*TEXTS, "x" * MOST_BYTES))
        rows = self.settled(job)
        assert [error is None for error in rows["error"]] == [True] * len(TEXTS) + [False]
        assert cloud.batches()[0]["rows"] == len(TEXTS)

    @pytest.mark.parametrize("status", [400, 429])
    @pytest.mark.usefixtures("pauses")
    def test_a_queue_that_is_full_is_waited_out(
        self, cloud: Cloud, provider: BatchProvider, status: int
    ) -> None:
        """The create is refused for a while; the file stays, and one batch comes of it."""
        cloud.faults.queue_full_at_create, cloud.faults.queue_full_status = 2, status
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1
        assert len([name for name in cloud.files() if name == _input(cloud)]) == 1

    def test_a_queue_that_turns_a_batch_away_is_waited_out(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """The batch was made and failed at once: another is made later, and only that one is paid."""
        cloud.faults.queue_full_after_create = 2
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert (len(cloud.batches()), len(paid(cloud))) == (3, 1)

    def test_a_batch_that_was_turned_away_is_not_found(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """After a crash it must not be taken for the batch that runs."""
        self.needs("lists")
        cloud.faults.queue_full_after_create = 1
        part, ticket = self.begun(provider, tmp_path)
        seen = provider.poll(ticket)
        while seen.phase is Phase.WAITING:
            seen = provider.poll(ticket)
        assert seen.phase is Phase.REFUSED
        asked = Ticket(provider.name, {**self.before(ticket), "intended_at": cloud.clock.now})
        assert provider.find(part, asked) is None


def _input(cloud: Cloud) -> str:
    return str(cloud.batches()[0]["input_file_id"])
