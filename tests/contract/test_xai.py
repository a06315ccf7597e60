"""xAI keeps the contract: counters for a status, pages for files, a name for metadata, its own price."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, Phase, ProviderContract

STATUSES = {
    "num_requests=0": Phase.WAITING,
    "num_requests=6 num_pending=6": Phase.WAITING,
    "num_requests=6 num_pending=2 num_success=3 num_error=1": Phase.RUNNING,
    "num_requests=6 num_success=2 num_pending=4 cancel_time=2026-11-23": Phase.RUNNING,
    "num_requests=6 num_success=5 num_error=1": Phase.ENDED,
    "num_requests=6 num_success=2 num_cancelled=4 cancel_by_xai_message=stopped": Phase.ENDED,
    "num_requests=0 cancel_time=2026-11-23 cancel_by_xai_message=refused": Phase.FAILED,
}


class TestXAI(ProviderContract):
    capabilities = Capabilities(metadata=False, usage_of_batch=False, statuses=STATUSES)
    factory = "batchframe.providers.xai:XAI"
    model = "grok-4.20-non-reasoning"
    golden = Path(__file__).parents[1] / "wire" / "xai.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.xai() as cloud:
            yield cloud

    def settings(self, cloud):
        return {"api_key": cloud.key, "base_url": cloud.url, "settle_seconds": 0.3}
