"""A row's cost is its tokens times its rates, exactly; one unknown factor makes the total unknown.

A total is never negative and never 0 for unknown: counts that contradict each other (more cached than
input, more reasoning than output, a negative count) have no cost. `row_cost` prices one row,
`cost_columns` a whole frame, and both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from batchframe.errors import ColumnError
from batchframe.model import Cost, Usage
from batchframe.pricing.rates import LISTED_AS, PLACES, Rates

if TYPE_CHECKING:
    import polars as pl

MOST_TOKENS = 10**12
"""A count above this is no count; below it, `MOST` per token fits Decimal(38, 18)."""

UPPER_BOUND = "cached tokens at the input rate, an upper bound"

EXACT = Context(prec=100)
"""Wide enough that no product or sum here is ever rounded."""

COUNTS = (
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
)


def row_cost(usage: Usage, rates: Rates | None) -> Cost:
    """Price one answer.

    Args:
        usage: Its tokens. A provider that says nothing of cached or written tokens had none.
        rates: Its model's rates; None when they are unknown.

    Returns:
        The cost: `input` holds fresh input and cache writes, `cached` the cached input; the three
        parts add up to `total`. A row without usage has a total of None, unless it surely cost
        nothing (`Usage.unseen` is False) or all its model's rates are 0. Where the cached rate is
        unknown the input rate stands in, and `source` says so.
    """
    if rates is None:
        return Cost(None)
    nothing = usage.unseen is False and usage.input is None and usage.output is None
    if nothing or _is_free(rates):
        zero = Decimal(0)
        return Cost(zero, zero, zero, zero, rates.source)
    if usage.unseen or usage.input is None or not _consistent(usage):
        return Cost(None, source=rates.source)
    cached, written = usage.cached or 0, usage.cache_write or 0
    row = rates.at(usage.input)
    fresh = _price(usage.input - cached - written, row.input)
    input_ = _sum(fresh, _price(written, row.cache_write))
    reread = _price(cached, row.cached_or_bound)
    output = _output(usage.output, row.output, embedding=rates.embedding)
    bound = cached > 0 and row.cached is None and row.input is not None
    return Cost(
        total=_sum(input_, reread, output),
        input=input_,
        output=output,
        cached=reread,
        source=f"{rates.source}; {UPPER_BOUND}" if bound else rates.source,
    )


def pricer(rates: Rates | None) -> Callable[[Usage], Decimal | None]:
    """Give the function that prices answers one by one and remembers what it has priced.

    Args:
        rates: Their model's rates; None when they are unknown.
    """

    @lru_cache(maxsize=10_000)
    def price(usage: Usage) -> Decimal | None:
        return row_cost(usage, rates).total

    return price


def total_cost(costs: Iterable[Cost]) -> tuple[Decimal, int, int]:
    """Add up what is known.

    Returns:
        The exact sum in USD of the known totals, how many were known, and how many were not.
    """
    total, known, unknown = Decimal(0), 0, 0
    for cost in costs:
        if cost.total is None:
            unknown += 1
        else:
            total, known = EXACT.add(total, cost.total), known + 1
    return total, known, unknown


def _is_free(rates: Rates) -> bool:
    """Whether no token of any kind costs anything: then counts do not matter."""
    rows = rates.rows
    return all(
        row.input == row.cached_or_bound == row.cache_write == row.output == 0 for row in rows
    )


def _consistent(usage: Usage) -> bool:
    counts = (usage.input, usage.cached, usage.output, usage.reasoning, usage.cache_write)
    if any(count is not None and not 0 <= count <= MOST_TOKENS for count in counts):
        return False
    from_cache = (usage.cached or 0) + (usage.cache_write or 0)
    if from_cache > (usage.input or 0):
        return False
    # Reasoning counted beside the output means that the output is too small.
    return usage.reasoning is None or usage.output is None or usage.reasoning <= usage.output


def _output(count: int | None, rate: Decimal | None, *, embedding: bool) -> Decimal | None:
    if count is None:
        return Decimal(0) if embedding or rate == 0 else None
    return _price(count, rate)


def _price(count: int, rate: Decimal | None) -> Decimal | None:
    if count == 0:
        return Decimal(0)
    return None if rate is None else EXACT.multiply(Decimal(count), rate)


def _sum(*parts: Decimal | None) -> Decimal | None:
    total = Decimal(0)
    for part in parts:
        if part is None:
            return None
        total = EXACT.add(total, part)
    return total


# --- a whole frame at once


def cost_columns(frame: pl.DataFrame, rates_by_model: Mapping[str, Rates | None]) -> pl.DataFrame:
    """Price a whole frame exactly as `row_cost` prices its rows.

    Args:
        frame: Columns `model` (String) and `input_tokens`, `output_tokens` (integers), and where the
            provider counts them `cached_tokens`, `reasoning_tokens`, `cache_write_tokens`.
        rates_by_model: Rates by the words in `model`; a model that is not there has no known price.

    Returns:
        As many rows in the same order: `cost`, `cost_input`, `cost_cached`, `cost_output`, each
        Decimal(38, 18) in USD and null when unknown, and `cost_source` (String).

    Raises:
        ColumnError: `model`, `input_tokens` or `output_tokens` is missing.
    """
    import polars as pl  # noqa: PLC0415 - the rest of this room does without Polars

    for name in ("model", "input_tokens", "output_tokens"):
        if name not in frame.columns:
            raise ColumnError(
                f"The column '{name}' is missing, and costs need it. "
                f"Columns here: {', '.join(map(repr, frame.columns))}."
            )
    table, slots, starts = _rate_table(rates_by_model)
    work = frame.select(
        pl.col("model").replace_strict(slots, default=None, return_dtype=pl.UInt32).alias("slot")
        if slots
        else pl.lit(None, pl.UInt32).alias("slot"),
        *(
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(pl.Int64).alias(name)
            for name in COUNTS
        ),
    )
    row = pl.col("slot")
    for step in starts:
        above = pl.col("input_tokens") > pl.lit(step).gather(pl.col("slot"))
        row = row + above.fill_null(value=False).cast(pl.UInt32)
    rates = work.select(pl.lit(table[name]).gather(row).alias(name) for name in table.columns)
    # step by step: one expression that repeats its parts takes Polars longer to plan than to compute
    counted = work.hstack(rates).with_columns(_known()).with_columns(_counts())
    parts = counted.select(*_parts(), _marked())
    total = pl.col("cost_input") + pl.col("cost_cached") + pl.col("cost_output")
    return parts.select(total.alias("cost"), pl.all())


def _rate_table(
    rates_by_model: Mapping[str, Rates | None],
) -> tuple[pl.DataFrame, dict[str, int], list[pl.Series]]:
    """Lay all rates below each other: the table, each model's first row, and its steps' starts."""
    import polars as pl  # noqa: PLC0415 - the rest of this room does without Polars

    known = {name: rates for name, rates in rates_by_model.items() if rates is not None}
    slots: dict[str, int] = {}
    lines: list[dict[str, object]] = []
    for name, rates in known.items():
        slots[name] = len(lines)
        lines += [
            {
                "rate_input": row.input,
                "rate_cached": row.cached_or_bound,
                "rate_cache_write": row.cache_write,
                "rate_output": row.output,
                "bound": row.cached is None and row.input is not None,
                "embedding": rates.embedding,
                "free": _is_free(rates),
                "source": rates.source,
            }
            for row in rates.rows
        ]
    money = pl.Decimal(38, PLACES)
    schema = {f"rate_{name}": money for name in LISTED_AS}
    yes_or_no = dict.fromkeys(("bound", "embedding", "free"), pl.Boolean())
    table = pl.DataFrame(lines, schema={**schema, **yes_or_no, "source": pl.String()})
    most = max((len(rates.tiers) for rates in known.values()), default=0)
    starts = []
    for number in range(most):
        column: list[int | None] = [None] * len(lines)
        for name, rates in known.items():
            if number < len(rates.tiers):
                column[slots[name]] = rates.rows[number + 1].start
        starts.append(pl.Series(column, dtype=pl.Int64))
    return table, slots, starts


def _cached_and_written() -> tuple[pl.Expr, pl.Expr]:
    import polars as pl  # noqa: PLC0415 - the rest of this room does without Polars

    return pl.col("cached_tokens").fill_null(0), pl.col("cache_write_tokens").fill_null(0)


def _known() -> pl.Expr:
    """Say which rows have a price, and counts that make sense."""
    import polars as pl  # noqa: PLC0415 - the rest of this room does without Polars

    count = {name: pl.col(name) for name in COUNTS}
    input_, output = count["input_tokens"], count["output_tokens"]
    cached, written = _cached_and_written()
    sane = pl.all_horizontal(
        each.is_null() | each.is_between(0, MOST_TOKENS) for each in count.values()
    )
    known = (
        pl.col("source").is_not_null()
        & input_.is_not_null()
        & sane
        & (cached + written <= input_)
        & ~(count["reasoning_tokens"] > output).fill_null(value=False)
    )
    return known.alias("known")


def _counts() -> list[pl.Expr]:
    """Give the counts that are priced; null where `_known` says no.

    A nonsense count must not overflow the products beside it.
    """
    import polars as pl  # noqa: PLC0415 - the rest of this room does without Polars

    known = pl.col("known")
    input_, output = pl.col("input_tokens"), pl.col("output_tokens")
    cached, written = _cached_and_written()
    no_output = output.is_null() & (pl.col("embedding") | (pl.col("rate_output") == 0))
    return [
        pl.when(known).then(input_ - cached - written).alias("uncached"),
        pl.when(known).then(cached).alias("cached"),
        pl.when(known).then(written).alias("written"),
        pl.when(known).then(pl.when(no_output).then(0).otherwise(output)).alias("output"),
    ]


def _parts() -> list[pl.Expr]:
    """Price the counts of `_counts`."""
    import polars as pl  # noqa: PLC0415 - the rest of this room does without Polars

    zero = pl.lit(Decimal(0), pl.Decimal(38, PLACES))

    def price(tokens: str, rate: str) -> pl.Expr:
        product = pl.when(pl.col(tokens) == 0).then(zero).otherwise(pl.col(tokens) * pl.col(rate))
        return pl.when("free").then(zero).otherwise(product)

    uncached, written = price("uncached", "rate_input"), price("written", "rate_cache_write")
    return [
        (uncached + written).alias("cost_input"),
        price("cached", "rate_cached").alias("cost_cached"),
        price("output", "rate_output").alias("cost_output"),
    ]


def _marked() -> pl.Expr:
    """Give the source of a price, and whether it is an upper bound."""
    import polars as pl  # noqa: PLC0415 - the rest of this room does without Polars

    bound = pl.col("known") & (pl.col("cached") > 0) & pl.col("bound") & ~pl.col("free")
    source = pl.col("source")
    marked = pl.when(bound).then(source + pl.lit(f"; {UPPER_BOUND}")).otherwise(source)
    return marked.alias("cost_source")
