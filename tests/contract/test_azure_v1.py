"""Azure's v1 surface keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.model import Endpoint
from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, ProviderContract

AZURE = Capabilities(endpoints=frozenset({Endpoint.CHAT, Endpoint.RESPONSES}), usage_of_batch=False)


class TestAzureV1(ProviderContract):
    capabilities = AZURE
    factory = "batchframe.providers.azure:Azure"
    model = "my-batch"
    golden = Path(__file__).parents[1] / "wire" / "azure_v1.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.azure("v1") as cloud:
            yield cloud

    def settings(self, cloud):
        return {"api_key": cloud.key, "endpoint": cloud.url}
