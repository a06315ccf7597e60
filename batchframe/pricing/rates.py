"""A price is the provider's own, of one day, with its source; a price nobody knows is None, never 0.

Standard prices come from genai-prices, which is installed with batchframe and asked without network.
What a batch costs is its batch row where it has one, read through `batch_rules.toml` beside this file.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

from batchframe.errors import InputError, nearest
from batchframe.model import ModelRef

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

PER_MILLION = Decimal("1e-6")
PLACES = 18
"""Decimals of a rate per token. With it and `MOST`, a row's cost fits Polars' Decimal(38, 18) exactly."""

MOST = Decimal(1)
"""The highest rate accepted, in USD per token: a million dollars per million tokens is a slip."""

BATCH = {"processing": "batch"}
"""What genai-prices calls a batch; with any other key it would silently give the full price."""

LISTED_AS = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
}
"""Our components of a price, and their names in genai-prices."""

_SNAPSHOT = re.compile(r"[-@](20\d{2}-\d{2}-\d{2}|20\d{6})$")


@dataclass(frozen=True, slots=True)
class Tier:
    """The rates of a row with more than `start` input tokens, in USD per token; None is unknown.

    Raises:
        InputError: A rate is negative, not finite, above 1 USD per token or finer than 18 decimals.
    """

    start: int
    input: Decimal | None
    cached: Decimal | None
    cache_write: Decimal | None
    output: Decimal | None

    def __post_init__(self) -> None:
        for name in LISTED_AS:
            _check(name, getattr(self, name))

    @property
    def cached_or_bound(self) -> Decimal | None:
        """The cached rate, or the input rate as its upper bound."""
        return self.input if self.cached is None else self.cached

    def times(self, share: Decimal) -> Tier:
        """Give every rate multiplied by `share`."""
        return Tier(
            self.start,
            _times(self.input, share),
            _times(self.cached, share),
            _times(self.cache_write, share),
            _times(self.output, share),
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """What one model's tokens cost, in USD per token; None is an unknown component.

    `tiers` apply to a whole row when its input is longer than their start. `source` names the price
    list, `as_of` is the day the price is for (ISO). `batch` says that these are the prices of a
    batch, really found and not inferred from the standard ones. `embedding` says that answers have no
    output tokens.
    """

    input: Decimal | None
    cached: Decimal | None
    cache_write: Decimal | None
    output: Decimal | None
    tiers: tuple[Tier, ...] = ()
    source: str = ""
    as_of: str = ""
    batch: bool = False
    note: str = ""
    embedding: bool = False
    rows: tuple[Tier, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        base = Tier(-1, self.input, self.cached, self.cache_write, self.output)
        steps = sorted(self.tiers, key=lambda tier: tier.start)
        object.__setattr__(self, "rows", (base, *steps))

    def at(self, input_tokens: int) -> Tier:
        """Give the rates of a row with this many input tokens."""
        return next(row for row in reversed(self.rows) if input_tokens > row.start)


@dataclass(frozen=True, slots=True)
class BatchRule:
    """One row of `batch_rules.toml`; the file's head says what the words mean."""

    provider: str
    models: Sequence[str]
    price: str
    source: str
    as_of: str
    cached: str = "unknown"
    note: str = ""


def rates_for(
    model: ModelRef,
    *,
    batch: bool,
    at: dt.date | None = None,
    overrides: Mapping[str, Mapping[str, Decimal | str | float]] | None = None,
    data_zone: bool = False,
) -> Rates | None:
    """Find what a model's tokens cost on a day.

    Args:
        model: The model; a dated snapshot (`gpt-4o-mini-2024-07-18`) has its base model's price.
        batch: Whether the provider's own batch API runs the rows. A managed batch is not one.
        at: The day of the price; today in UTC when not given.
        overrides: Your own prices in USD per million tokens, by `provider/model`:
            `{"openai/my-model": {"input": "0.25", "output": "2"}}`, also `cached` and `cache_write`.
            They are taken as they stand, batch or not.
        data_zone: Whether an Azure deployment is of a data zone, which costs 10 % more.

    Returns:
        The rates, or None when the model's price, or its price as a batch, is not known.

    Raises:
        InputError: A price given by hand is not one.
    """
    if overrides is not None and str(model) in overrides:
        return _by_hand(model, overrides[str(model)], batch=batch)
    day = at or dt.datetime.now(dt.UTC).date()
    if model.provider == "local":
        zero = Decimal(0)
        source = "local model, billed by nobody"
        return Rates(zero, zero, zero, zero, source=source, as_of=day.isoformat(), batch=batch)
    found = _find(model)
    rates = _listed(model, found, day, batch=batch) if found else None
    if rates is None or not (data_zone and model.provider == "azure"):
        return rates
    return _scaled(rates, Decimal(_rules()["azure"]["data_zone"]), "data zone deployment")


# --- prices given by hand


def _by_hand(model: ModelRef, prices: Mapping[str, Decimal | str | float], *, batch: bool) -> Rates:
    for name in prices:
        if name not in LISTED_AS:
            raise InputError(
                f"The price given for '{model}' has an entry '{name}', which is no kind of token."
                f"{nearest(name, LISTED_AS)} Type some of: {', '.join(LISTED_AS)} (USD per million)."
            )
    read = {name: _amount(model, name, prices.get(name)) for name in LISTED_AS}
    return Rates(
        read["input"],
        read["cached"],
        read["cache_write"],
        read["output"],
        source="prices given by hand",
        batch=batch,
        embedding=_is_embedding(model.name, read["input"], read["output"]),
    )


def _amount(model: ModelRef, name: str, given: Decimal | str | float | None) -> Decimal | None:
    if given is None:
        return None
    fault = f"The price given for '{model}', {name}={given!r}, is not"
    try:
        # A float means what it prints, to the picodollar: 0.1 + 0.2 is 0.3.
        value = round(Decimal(str(given)), 12) if isinstance(given, float) else Decimal(given)
        rate = value * PER_MILLION
        _check(name, rate)
    except (InvalidOperation, InputError, TypeError, ValueError) as error:
        raise InputError(
            f"{fault} a price in USD per million tokens: a number from 0 to 1,000,000 with at most "
            f"12 decimals. Type it as a string, such as {name}='0.25'."
        ) from error
    return rate


def _check(name: str, rate: Decimal | None) -> None:
    if rate is None:
        return
    if not (rate.is_finite() and 0 <= rate <= MOST and rate == round(rate, PLACES)):
        raise InputError(
            f"The {name} rate {rate} is not a price in USD per token: "
            f"it must lie between 0 and {MOST} and have at most {PLACES} decimals."
        )


# --- prices of the list


@dataclass(frozen=True, slots=True)
class _Price:
    """One component in USD per token: below the first tier, and above each tier's start."""

    base: Decimal | None = None
    tiers: Mapping[int, Decimal | None] = field(default_factory=dict)

    def times(self, share: Decimal) -> _Price:
        tiers = {start: _times(rate, share) for start, rate in self.tiers.items()}
        return _Price(_times(self.base, share), tiers)

    def at(self, start: int) -> Decimal | None:
        below = [step for step in self.tiers if step <= start]
        return self.tiers[max(below)] if below else self.base


_Prices = Mapping[str, _Price]
_UNKNOWN = _Price()


def _listed(model: ModelRef, found: ModelInfo, day: dt.date, *, batch: bool) -> Rates | None:
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    of_the_day = found.get_prices(noon)
    prices: _Prices | None = _read(of_the_day)
    source, notes = _list_name(), []
    if batch and prices is not None:
        rule = _rule(model)
        prices = _as_batch(prices, _batch_row(found, noon), rule)
        if rule is not None:
            source = f"{source}, batchframe rules {rule.as_of}"
            notes = [rule.note] if rule.note else []
    if prices is None or all(price.base is None for price in prices.values()):
        return None
    if of_the_day.cache_write_1h_mtok is not None:
        notes.append("cache writes at the five-minute price")
    starts = sorted({start for price in prices.values() for start in price.tiers})
    return Rates(
        **{name: price.base for name, price in prices.items()},
        tiers=tuple(
            Tier(start, **{name: price.at(start) for name, price in prices.items()})
            for start in starts
        ),
        source=source,
        as_of=day.isoformat(),
        batch=batch,
        note="; ".join(notes),
        embedding=_is_embedding(found.id, prices["input"].base, prices["output"].base),
    )


def _as_batch(standard: _Prices, listed: _Prices | None, rule: BatchRule | None) -> _Prices | None:
    """Turn standard prices into a batch's; None when no source says what the batch costs."""
    if rule is None or rule.price == "none":
        return None
    if rule.price != "listed":
        share = Decimal(rule.price)
        batch = {name: standard[name].times(share) for name in ("input", "output")}
        batch["cache_write"] = standard["cache_write"] if share == 1 else _UNKNOWN
        return {**batch, "cached": _cached(standard, batch["input"], rule)}
    if listed is None:
        return None
    if all(price is _UNKNOWN for price in listed.values()):
        # A batch row without prices is the list's way to say that there is no discount.
        return standard
    batch = {name: _with_steps(listed[name], standard[name]) for name in LISTED_AS}
    if listed["cached"] is _UNKNOWN:
        batch["cached"] = _cached(standard, batch["input"], rule)
    return batch


def _cached(standard: _Prices, batch_input: _Price, rule: BatchRule) -> _Price:
    if rule.cached == "input":
        return batch_input
    return _UNKNOWN if rule.cached == "unknown" else standard["cached"].times(Decimal(rule.cached))


def _with_steps(batch: _Price, standard: _Price) -> _Price:
    """Where the batch row knows no long-context step that the standard has, the long rate is unknown."""
    if batch is _UNKNOWN or batch.tiers or not standard.tiers:
        return batch
    return _Price(batch.base, dict.fromkeys(standard.tiers))


def _read(prices: ModelPrice) -> _Prices:
    return {name: _price(prices.__dict__.get(key)) for name, key in LISTED_AS.items()}


def _price(listed: Any) -> _Price:
    if listed is None:
        return _UNKNOWN
    if isinstance(listed, Decimal):
        return _Price(listed * PER_MILLION)
    return _Price(
        listed.base * PER_MILLION, {tier.start: tier.price * PER_MILLION for tier in listed.tiers}
    )


def _batch_row(found: ModelInfo, noon: dt.datetime) -> _Prices | None:
    """Give the list's batch row of that day, the first in force; None when there is none."""
    for variant in found.price_variants or ():
        in_force = variant.constraint is None or variant.constraint.active(noon)
        if variant.when == BATCH and in_force:
            return _read(variant.prices)
    return None


def _find(model: ModelRef) -> ModelInfo | None:
    # Imported late: genai-prices takes 0.2 s, and a session may never ask for a price.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    snapshot = get_snapshot()
    providers = {provider.id: provider for provider in snapshot.providers}
    for listed in _rules()["lists"].get(model.provider, ()):
        for name in _spellings(model):
            # Without the other providers: a model resold has a price of its own, or none we know.
            if found := providers[listed].find_model(name):
                return found
    return None


def _spellings(model: ModelRef) -> Iterator[str]:
    """Names under which the list may know the model: as written first, without its date last."""
    rules = _rules()
    name = model.name
    for prefix in rules["strip"].get(model.provider, ()):
        name = name.removeprefix(prefix)
    base = _SNAPSHOT.sub("", name)
    for written in dict.fromkeys((name, base)):
        yield written
        for prefix in rules["prefixes"].get(model.provider, ()):
            yield f"{prefix}{written}"


# --- the rules, and small change


def _rule(model: ModelRef) -> BatchRule | None:
    names = [name.lower() for name in _spellings(model)]
    rows: list[BatchRule] = _rules()["batch"]
    for row in rows:
        if row.provider == model.provider and any(
            fnmatchcase(name, pattern) for pattern in row.models for name in names
        ):
            return row
    return None


@functools.cache
def _rules() -> Mapping[str, Any]:
    text = resources.files("batchframe.pricing").joinpath("batch_rules.toml").read_text("utf-8")
    rules = tomllib.loads(text)
    known = {field.name for field in fields(BatchRule)}
    rows = [BatchRule(**{k: v for k, v in row.items() if k in known}) for row in rules["batch"]]
    return {**rules, "batch": rows}


@functools.cache
def _list_name() -> str:
    return f"genai-prices {metadata.version('genai-prices')}"


def _is_embedding(name: str, input_: Decimal | None, output: Decimal | None) -> bool:
    return "embed" in name.lower() or (input_ is not None and output is None)


def _times(rate: Decimal | None, share: Decimal) -> Decimal | None:
    return None if rate is None else rate * share


def _scaled(rates: Rates, share: Decimal, note: str) -> Rates:
    base, *steps = (row.times(share) for row in rates.rows)
    return replace(
        rates,
        **{name: getattr(base, name) for name in LISTED_AS},
        tiers=tuple(steps),
        note=f"{rates.note}; {note}" if rates.note else note,
    )
