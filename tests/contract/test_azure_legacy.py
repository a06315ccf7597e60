"""Azure's legacy surface, with its api-version and its older paths, keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from batchframe.testing import clouds
from batchframe.testing.provider_contract import ProviderContract, notimpl

from .test_azure_v1 import AZURE


class TestAzureLegacy(ProviderContract):
    capabilities = AZURE
    factory = "batchframe.providers.azure:Azure"
    model = "my-batch"
    golden = Path(__file__).parents[1] / "wire" / "azure_legacy.jsonl"
    excused: ClassVar = {
        "test_a_request_sent_at_once_is_the_same_as_in_a_batch": notimpl(
            "a Connection has no query, so immediate requests lack the api-version"
        )
    }

    @pytest.fixture
    def cloud(self):
        with clouds.azure("legacy") as cloud:
            yield cloud

    def settings(self, cloud):
        version = "2025-04-01-preview"
        return {"api_key": cloud.key, "endpoint": cloud.url, "api_version": version}
