"""What a model's tokens cost in a job: your own prices first, then the list, under the name it has there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchframe.model import ModelRef
from batchframe.pricing.rates import Rates, rates_for
from batchframe.providers.registry import listed


def rates_of(ref: ModelRef, *, batch: bool, overrides: Mapping[str, Any] | None) -> Rates | None:
    """Find the rates of a model as users name it; an Azure deployment has its model's.

    Args:
        ref: The model.
        batch: Whether the provider's own batch API runs the rows.
        overrides: Your own prices, by `provider/model`.
    """
    if overrides is not None and str(ref) in overrides:
        return rates_for(ref, batch=batch, overrides=overrides)
    name, data_zone = listed(ref)
    return rates_for(name, batch=batch, overrides=overrides, data_zone=data_zone)
