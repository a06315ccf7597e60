"""Azure's legacy surface, with its api-version and its older paths, keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.testing import clouds
from batchframe.testing.provider_contract import ProviderContract

from .test_azure_v1 import AZURE


class TestAzureLegacy(ProviderContract):
    capabilities = AZURE
    factory = "batchframe.providers.azure:Azure"
    model = "my-batch"
    golden = Path(__file__).parents[1] / "wire" / "azure_legacy.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.azure("legacy") as cloud:
            yield cloud

    def settings(self, cloud):
        version = "2025-04-01-preview"
        return {"api_key": cloud.key, "endpoint": cloud.url, "api_version": version}
