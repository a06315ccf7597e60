"""What a model's tokens cost in a job: your own prices first, then the list, under the name it has there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from batchframe.dialects.shown import shown
from batchframe.errors import InputError, nearest
from batchframe.model import ModelRef
from batchframe.pricing.rates import Rates, rates_for
from batchframe.providers.registry import listed, model_ref

_FEW = 3  # models that a refusal names


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


def price_names(model: str) -> set[str]:
    """Give the names under which prices by hand count for a model: its own, and the listed one.

    Args:
        model: `provider/model`.

    Raises:
        UnknownNameError: Nobody knows the provider.
    """
    return {model, str(listed(model_ref(model))[0])}


def idle_prices(given: Iterable[str], models: Collection[str]) -> list[str]:
    """Say of each price by hand that is for none of the models asked, with the nearest of them.

    Args:
        given: The models that have prices by hand.
        models: Those that are asked.
    """
    used = {name for model in models for name in price_names(model)}
    return [
        f"prices= names {shown(model)}, which nothing here asks for.{nearest(model, models)}"
        for model in given
        if model not in used
    ]


def refuse_idle(given: Collection[str], models: Collection[str]) -> None:
    """Refuse prices by hand of which none is for a model asked: a slip, and the cost would be another.

    Args:
        given: The models that have prices by hand.
        models: Those that are asked.

    Raises:
        InputError: With the nearest names.
    """
    idle = idle_prices(given, models) if models else []
    if idle and len(idle) == len(given):
        few = ", ".join(shown(model) for model in list(models)[:_FEW])
        raise InputError(f"{' '.join(idle)} Asked: {few}. Correct prices=, or leave it out.")
