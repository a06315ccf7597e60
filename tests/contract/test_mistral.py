"""Mistral keeps the contract: the model on the job, parameters and statuses of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.model import Endpoint
from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, ProviderContract, phases


class TestMistral(ProviderContract):
    capabilities = Capabilities(
        endpoints=frozenset({Endpoint.CHAT, Endpoint.EMBEDDINGS, Endpoint.MODERATIONS}),
        usage_of_batch=False,
        reasoning=False,
        statuses=phases(
            waiting="QUEUED",
            running="RUNNING CANCELLATION_REQUESTED",
            ended="SUCCESS TIMEOUT_EXCEEDED CANCELLED",
            failed="FAILED",
        ),
    )
    factory = "batchframe.providers.mistral:Mistral"
    model = "mistral-small-latest"
    golden = Path(__file__).parents[1] / "wire" / "mistral.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.mistral() as cloud:
            yield cloud
