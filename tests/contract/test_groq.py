"""Groq keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, ProviderContract


class TestGroq(ProviderContract):
    capabilities = Capabilities(usage_of_batch=False, reasoning=False)
    factory = "batchframe.providers.groq:Groq"
    model = "openai/gpt-oss-20b"
    golden = Path(__file__).parents[1] / "wire" / "groq.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.groq() as cloud:
            yield cloud
