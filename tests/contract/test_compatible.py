"""A server with OpenAI's surface, batches and all, keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.model import Endpoint
from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, ProviderContract


class TestCompatible(ProviderContract):
    capabilities = Capabilities(endpoints=frozenset(Endpoint))
    factory = "batchframe.providers.compatible:OpenAICompatible"
    model = "Qwen/Qwen3-8B"
    golden = Path(__file__).parents[1] / "wire" / "compatible.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.openai() as cloud:
            yield cloud

    def settings(self, cloud):
        return {"name": "acme", "batch": True, "api_key": cloud.key, "base_url": cloud.url}
