"""OpenAI keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.model import Endpoint
from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, ProviderContract


class TestOpenAI(ProviderContract):
    capabilities = Capabilities(endpoints=frozenset(Endpoint))
    factory = "batchframe.providers.openai:OpenAI"
    model = "gpt-4o-mini"
    golden = Path(__file__).parents[1] / "wire" / "openai.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.openai() as cloud:
            yield cloud
