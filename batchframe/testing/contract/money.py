"""Promise 7: tokens are those that the provider counted, dollars are exact, and unknown is never 0."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from batchframe.testing.clouds.answers import words
from batchframe.testing.contract.setting import TEXTS, Stage

if TYPE_CHECKING:
    from batchframe.providers.base import BatchProvider
    from batchframe.testing.clouds.cloud import Cloud

REASONING = 5
PRICES = {"input": "0.15", "output": "0.60"}
"""US dollars per million tokens, made up."""


def _listed(asked: int, said: int) -> Decimal:
    return (asked * Decimal(PRICES["input"]) + said * Decimal(PRICES["output"])) / 1_000_000


class Money(Stage):
    """The bill is right to the last digit."""

    def test_tokens_and_dollars_are_what_the_answers_say(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Row by row: input, output with its thoughts, and the exact price of both."""
        cloud.reasoning_tokens = REASONING
        ref = f"{provider.name}/{self.model}"
        job = self.ask(provider, prices={ref: PRICES})
        self.settled(job)
        rows = job.outputs()
        took = [words(text) for text in TEXTS]
        said = [words(text) + REASONING for text in TEXTS]
        assert rows["input_tokens"].to_list() == took
        assert rows["output_tokens"].to_list() == said
        if self.capabilities.reasoning:
            assert rows["reasoning_tokens"].to_list() == [REASONING] * len(TEXTS)
        # what the provider itself says that an answer costs stands above any list
        price = cloud.flavour.bill or _listed
        assert rows["cost_usd"].to_list() == [price(a, b) for a, b in zip(took, said, strict=True)]
        assert job.cost == sum(rows["cost_usd"].to_list())

    def test_a_model_without_a_price_costs_null_and_not_nothing(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Tokens are known, dollars are not: that is no zero. Unless the provider says them itself."""
        job = self.ask(provider, model=f"{provider.name}/nobody-knows-this-model")
        rows = self.settled(job)
        assert rows["output_tokens"].null_count() == 0
        told = cloud.flavour.bill is not None
        assert rows["cost_usd"].null_count() == (0 if told else len(TEXTS))
        assert (job.cost is not None) is told
        assert job.cost != 0
        assert len(cloud.batches()) == 1
