"""Fireworks keeps the contract: ids of our choice, datasets for files, deleting for cancelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchframe.testing import clouds
from batchframe.testing.provider_contract import Capabilities, ProviderContract, phases


class TestFireworks(ProviderContract):
    capabilities = Capabilities(
        cancel_keeps=False,  # the job is deleted, and its results with it
        metadata=False,
        statuses=phases(
            prefix="JOB_STATE_",
            waiting="UNSPECIFIED CREATING CREATING_INPUT_DATASET VALIDATING PENDING RE_QUEUEING IDLE PAUSED",
            running="RUNNING WRITING_RESULTS CANCELLING DELETING DELETING_CLEANING_UP",
            ended="COMPLETED EXPIRED EARLY_STOPPED CANCELLED",
            failed="FAILED",
        ),
    )
    factory = "batchframe.providers.fireworks:Fireworks"
    model = "gpt-oss-20b"  # jobs and requests name it accounts/fireworks/models/gpt-oss-20b
    golden = Path(__file__).parents[1] / "wire" / "fireworks.jsonl"

    @pytest.fixture
    def cloud(self):
        with clouds.fireworks() as cloud:
            yield cloud

    def settings(self, cloud):
        return {"api_key": cloud.key, "base_url": cloud.url, "account_id": "fake-account"}
