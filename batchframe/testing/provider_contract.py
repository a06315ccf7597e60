"""The contract that every provider with a batch API passes: about ten lines, and all promises are tested.

    from batchframe.testing import clouds
    from batchframe.testing.provider_contract import Capabilities, ProviderContract

    class TestGroq(ProviderContract):
        capabilities = Capabilities(usage_of_batch=False, reasoning=False)
        factory = "batchframe.providers.groq:Groq"
        model = "openai/gpt-oss-20b"
        golden = Path(__file__).parent / "wire" / "groq.jsonl"

        @pytest.fixture
        def cloud(self):
            with clouds.groq() as cloud:
                yield cloud

A test that must fail for now has an excuse, and turns the suite red on the day it passes:
`excused = {"test_a_dialect_is_pure": notyet("why", "link")}`. In a `conftest.py`, call
`pytest.register_assert_rewrite("batchframe.testing.contract")` before this import for good messages.
"""

from __future__ import annotations

from batchframe.model import Phase
from batchframe.testing.contract.crashes import Crashes
from batchframe.testing.contract.declared import (
    OPENAI_STATUSES,
    Capabilities,
    Excuse,
    never,
    notimpl,
    notyet,
    phases,
)
from batchframe.testing.contract.failures import Failures
from batchframe.testing.contract.limits import LimitsHold
from batchframe.testing.contract.money import Money
from batchframe.testing.contract.rows import Rows
from batchframe.testing.contract.statuses import Statuses
from batchframe.testing.contract.wire import Wire

__all__ = [
    "OPENAI_STATUSES",
    "Capabilities",
    "Excuse",
    "Phase",
    "ProviderContract",
    "never",
    "notimpl",
    "notyet",
    "phases",
]


class ProviderContract(Wire, Rows, Crashes, Statuses, LimitsHold, Money, Failures):
    """All promises; see `batchframe.testing.contract.setting.Stage` for what a class must set."""
