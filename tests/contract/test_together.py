"""Together keeps the contract, without metadata, counts and usage of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.model import Phase
from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, ProviderContract

STATUSES = {
    "VALIDATING": Phase.WAITING,
    "IN_PROGRESS": Phase.RUNNING,
    "CANCELING": Phase.RUNNING,
    "COMPLETED": Phase.ENDED,
    "EXPIRED": Phase.ENDED,
    "CANCELLED": Phase.ENDED,
    "FAILED": Phase.FAILED,
}


class TestTogether(ProviderContract):
    capabilities = Capabilities(
        metadata=False,
        counts_while_running=False,
        usage_of_batch=False,
        validates=False,
        statuses=STATUSES,
    )
    factory = "batchframe.providers.together:Together"
    model = "openai/gpt-oss-20b"
    golden = Path(__file__).parents[1] / "wire" / "together.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.together() as cloud:
            yield cloud
