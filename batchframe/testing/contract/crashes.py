"""Promise 4: whatever dies whenever, the same call in a new process pays once and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchframe.errors import ProviderUnavailableError
from batchframe.model import Phase, Ticket
from batchframe.testing.contract import child
from batchframe.testing.contract.child import POINTS, asked_at
from batchframe.testing.contract.setting import PATIENCE, TEXTS, Stage, whole

if TYPE_CHECKING:
    from batchframe.providers.base import BatchProvider
    from batchframe.testing.clouds.cloud import Cloud


DAY = 86_400.0


def bill(cloud: Cloud) -> Counter[str]:
    """Count how often each text stands in a batch that would be on the bill."""
    found: Counter[str] = Counter()
    for batch in cloud.batches():
        for line in cloud.requests(batch["id"]):
            found[str(line["body"]["messages"][-1]["content"])] += 1
    return found


class Crashes(Stage):
    """Nothing is paid twice, and nothing is lost."""

    def test_a_process_killed_between_any_two_steps_pays_once(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """One process dies with a job before and after each step; this one makes the same calls."""
        home = tmp_path / "workspace"
        spec = {
            "path": sys.path, "home": str(home), "factory": self.factory, "model": self.model,
            "settings": {"poll_seconds": 0.01, "patience": PATIENCE, **self.settings(cloud)},
        }  # fmt: skip
        command = [sys.executable, child.__file__]
        ended = subprocess.run(  # noqa: S603 - our own file
            command,
            input=json.dumps(spec),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ended.returncode < 0 or ended.returncode > 9, f"it was not killed: {ended.stderr}"  # noqa: PLR2004 - Windows has no signals
        jobs = {point: self.ask(provider, asked_at(point)) for point in POINTS}
        for point, job in jobs.items():
            rows = self.settled(job)
            whole(rows, asked_at(point))
            assert rows["error"].null_count() == rows.height, point
        everything = Counter(text for point in POINTS for text in asked_at(point))
        assert bill(cloud) == everything, "something was asked twice, or never"
        assert len(cloud.batches()) == len(POINTS)

    @pytest.mark.usefixtures("pauses")
    def test_a_batch_whose_making_was_not_confirmed_is_found_again(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """The connection breaks after the provider made it: the same call finds it and makes no other."""
        self.needs("lists")
        cloud.faults.drop_after["create"] = 1
        failure = self.stopped(self.ask(provider))
        assert isinstance(failure.__cause__, ProviderUnavailableError)
        assert len(cloud.batches()) == 1, "a create must not be repeated blindly"
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1

    @pytest.mark.usefixtures("pauses")
    def test_a_batch_is_found_on_whichever_page_it_is(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """Others were made since; a list that ends early would have it paid twice."""
        self.needs("lists")
        cloud.faults.short_pages = 2
        part, ticket = self.begun(provider, tmp_path)
        for _ in range(5):
            self.begun(provider, tmp_path)
        found = provider.find(
            part, Ticket(provider.name, {**self.before(ticket), "intended_at": cloud.clock.now})
        )
        assert found is not None
        assert found.data["batch"] == ticket.data["batch"]

    @pytest.mark.usefixtures("pauses")
    def test_a_batch_is_found_in_a_list_that_begins_with_the_oldest(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """That others are old proves nothing about those after them, unless an order was seen."""
        self.needs("lists")
        cloud.faults.short_pages, cloud.faults.oldest_first = 2, True
        for _ in range(5):
            self.begun(provider, tmp_path)
            cloud.clock.advance(DAY)
        part, ticket = self.begun(provider, tmp_path)
        found = provider.find(
            part, Ticket(provider.name, {**self.before(ticket), "intended_at": cloud.clock.now})
        )
        assert found is not None
        assert found.data["batch"] == ticket.data["batch"]

    @pytest.mark.usefixtures("pauses")
    def test_of_two_batches_the_one_with_results_is_kept(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """Whichever is older; and nobody cancels what has ended."""
        self.needs("lists")
        self.needs("cancel")
        part, first = self.begun(provider, tmp_path)
        before = Ticket(provider.name, {**self.before(first), "intended_at": cloud.clock.now})
        cloud.clock.advance(1)
        second = provider.create(part, before)
        if second.data["batch"] == first.data["batch"]:
            pytest.skip("its batches have ids of our choosing, so there are no twins")
        provider.cancel(first)
        for ticket in (first, second):
            while provider.poll(ticket).phase in (Phase.WAITING, Phase.RUNNING):
                continue
        asked = [path for how, path, _ in cloud.log if how == "POST"]
        found = provider.find(part, before)
        assert found is not None
        assert found.data["batch"] == second.data["batch"]
        assert [path for how, path, _ in cloud.log if how == "POST"] == asked, (
            "what ended was cancelled"
        )

    @pytest.mark.usefixtures("pauses")
    def test_a_create_that_never_arrived_is_made_anew(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """The connection breaks before: the provider says that there is none, and one is made."""
        cloud.faults.drop_before["create"] = 1
        self.stopped(self.ask(provider))
        assert not cloud.batches()
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1

    @pytest.mark.usefixtures("pauses")
    def test_a_list_that_lags_does_not_hide_a_batch_that_the_ledger_knows(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Once the batch's id is saved, no list is asked, however stale."""
        cloud.faults.stale_list = 1e9
        cloud.faults.unauthorized["get"] = 1
        self.stopped(self.ask(provider))
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1

    @pytest.mark.usefixtures("pauses")
    def test_a_list_that_lags_a_little_is_looked_at_again(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """A batch made a moment ago may not be listed yet: one empty list does not mean that there is none."""
        self.needs("lists")
        cloud.flavour = replace(cloud.flavour, ticks=cloud.flavour.ticks | {"list"})
        cloud.faults.stale_list = cloud.step * 1.5
        cloud.faults.drop_after["create"] = 1
        self.stopped(self.ask(provider))
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert len(cloud.batches()) == 1

    def test_a_ticket_survives_json_and_finds_its_batch(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """What is saved is plain JSON; asking twice for a batch gives the same one."""
        self.needs("lists")
        part, ticket = self.begun(provider, tmp_path)
        saved = Ticket(provider.name, json.loads(json.dumps(dict(ticket.data))))
        assert saved == Ticket(provider.name, dict(ticket.data))
        intended = {**self.before(ticket), "intended_at": cloud.clock.now}
        for other in (provider, self.made(cloud)):
            found = other.find(part, Ticket(provider.name, intended))
            assert found is not None
            assert {**found.data, "intended_at": 0} == {**saved.data, "intended_at": 0}
            self.close(other)

    def test_a_batch_of_another_part_is_not_taken_for_ones_own(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """Others' batches stand in the same list."""
        self.needs("lists")
        self.begun(provider, tmp_path)
        other = self.part(provider, len(TEXTS))
        ticket = provider.upload(other, self.wire(provider, tmp_path, TEXTS))
        asked = Ticket(provider.name, {**ticket.data, "intended_at": cloud.clock.now})
        assert provider.find(other, asked) is None

    @pytest.mark.parametrize("ranges", [True, False])
    @pytest.mark.usefixtures("pauses")
    def test_a_download_that_was_cut_is_gone_on_with(
        self, cloud: Cloud, provider: BatchProvider, ranges: bool
    ) -> None:
        """Half a file is never taken for a whole one, whether the server honours ranges or not."""
        brings = cloud.flavour.brings
        cloud.faults.cut[brings], cloud.faults.ranges = 2, ranges
        assert self.answers(self.ask(provider)) == list(TEXTS)
        assert not cloud.faults.cut[brings]
