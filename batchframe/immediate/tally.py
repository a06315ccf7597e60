"""How far a run has come: counts, tokens and money, summed as answers arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from batchframe.dialects.openai import spent
from batchframe.model import Usage
from batchframe.pricing.cost import EXACT

_OK = range(200, 300)

Price = Callable[[Usage], Decimal | None]
"""What one answer cost in US dollars; None: unknown."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The rows of one part at one moment.

    `done` counts rows with an outcome in the journal, `failed` those of them that are errors,
    `resumed` those that an earlier run brought; all sums include the earlier runs. Tokens are None
    until some answer gives them. `in_flight` requests are with the server right now. `cost` sums what
    each row cost by itself, since a tier's rates are for a row and not for a sum; None: nobody prices.
    `unpriced` counts what came without a known cost; above 0, `cost` is not the whole.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    resumed: int = 0
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    in_flight: int = 0
    cost: Decimal | None = None
    unpriced: int = 0

    def plus(self, record: Mapping[str, Any], price: Price | None = None) -> Tally:
        """Count one more outcome.

        Args:
            record: A journal line, parsed.
            price: What an answer costs.
        """
        tokens = spent(record)
        return replace(
            self.paid(tokens, price),
            done=self.done + 1,
            failed=self.failed + (not is_success(record)),
            input_tokens=_add(self.input_tokens, tokens.input),
            cached_tokens=_add(self.cached_tokens, tokens.cached),
            output_tokens=_add(self.output_tokens, tokens.output),
            reasoning_tokens=_add(self.reasoning_tokens, tokens.reasoning),
        )

    def paid(self, tokens: Usage, price: Price | None) -> Tally:
        """Count the money of one row, which need not have an outcome.

        Args:
            tokens: What it took.
            price: What that costs; None: money is not counted here.
        """
        if price is None:
            return self
        cost = price(tokens)
        if cost is None:
            return replace(self, unpriced=self.unpriced + 1)
        return replace(self, cost=EXACT.add(self.cost or Decimal(0), cost))


def is_success(record: Mapping[str, Any]) -> bool:
    """Whether a journal line is an answer: no error, a status of 2xx, no error in the body."""
    response = record.get("response")
    if record.get("error") is not None or not isinstance(response, Mapping):
        return False
    body = response.get("body")
    return (
        response.get("status_code") in _OK
        and isinstance(body, Mapping)
        and body.get("error") is None
    )


def _add(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more
