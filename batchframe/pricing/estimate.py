"""An estimate is a range with its reasons: low, likely and high tokens and money, before anything is sent."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any

from batchframe.errors import BudgetError, InputError
from batchframe.model import Cost, Json, ModelRef, Usage
from batchframe.pricing.cost import row_cost
from batchframe.pricing.rates import Rates, rates_for
from batchframe.pricing.tokens import (
    Request,
    Three,
    Tokenizer,
    assumptions,
    count_requests,
    count_tokens,
    leaves,
    reasons,
    schema_of,
    tokenizer_for,
)

__all__ = ["Estimate", "Money", "budget", "combine", "count_tokens", "estimate", "said"]

Money = tuple[Decimal | None, Decimal | None, Decimal | None]
"""The low, the likely and the high end in USD; None is unknown."""

MICROS = 6
"""Decimals of an estimate in USD."""

ERRORS = 3
"""Half width of a sampled range, in standard errors of the mean."""

ROUNDING = (math.floor, round, math.ceil)
"""How the low, the likely and the high end are rounded: outwards."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What rows will take: each triple is (low, likely, high), money in USD, None where unknown.

    `basis` says in words how it was computed and what was assumed.
    """

    rows: int
    input_tokens: Three
    output_tokens: Three
    cost_usd: Money
    basis: str

    def __str__(self) -> str:
        low, mid, _ = self.cost_usd
        cost = (
            f"cost unknown{'' if low is None else f', at least {_usd(low, ROUND_FLOOR)}'}"
            if mid is None
            else f"cost about {_usd(mid, ROUND_HALF_EVEN)} ({_range(self.cost_usd)})"
        )
        return (
            f"{_rows(self.rows)}: {cost}; input {_tokens(self.input_tokens)}; "
            f"output {_tokens(self.output_tokens)}. {self.basis}"
        )


def estimate(
    bodies_sample: Sequence[Mapping[str, Any]],
    total_rows: int,
    model: ModelRef,
    *,
    batch: bool,
    max_tokens: int | None = None,
    answer_tokens: int | None = None,
    rates: Rates | None = None,
    response_schema: Json | None = None,
) -> Estimate:
    """Estimate tokens and cost of a job from some of its request bodies.

    Args:
        bodies_sample: Bodies of rows drawn evenly from the job, or all of them.
        total_rows: How many rows the job has.
        model: Who will answer.
        batch: Whether the provider's own batch API runs the rows.
        max_tokens: The most output tokens of one answer; what a body itself says goes first.
        answer_tokens: Where the provider itself ends an answer for which neither of them is given.
        rates: The model's rates, looked up for today when not given.
        response_schema: The JSON schema of the answers, where the bodies do not hold it.

    Returns:
        The estimate; where the price is unknown its money is None and its tokens stand.

    Raises:
        InputError: The sample is empty or larger than the job.
    """
    sampled = _check_sample(len(bodies_sample), total_rows)
    rates = rates or rates_for(model, batch=batch)
    tokenizer = tokenizer_for(model)
    requests = _with_schema(bodies_sample, model, response_schema)
    inputs = [_input(request, tokenizer) for request in requests]
    ends = _Ends(model, max_tokens, answer_tokens)
    outputs = [_output(body, ends, response_schema) for body in bodies_sample]
    spread = _spread([mid for _, mid, _ in inputs], total_rows)
    # answers of rows with caps of their own differ as prompts do; equal ones stand for the rest
    answers = [end for _, _, end in outputs]
    outward = _spread(answers if len(set(answers)) > 1 else [], total_rows)
    scale = Fraction(total_rows, max(sampled, 1))
    uncounted = sorted({kind for request in requests for kind in request.uncounted})
    money = _money(inputs, outputs, rates, scale, (spread, outward))
    return Estimate(
        rows=total_rows,
        input_tokens=_total(inputs, [scale * factor for factor in spread]),
        output_tokens=_total(outputs, [scale * factor for factor in outward]),
        cost_usd=(money[0], None, None) if uncounted else money,
        basis=_basis(
            f"{sampled:,} of {total_rows:,} rows" if sampled < total_rows else "every row",
            f"{model} {'as a batch' if batch else 'one by one'}",
            tokenizer,
            _cap(bodies_sample, ends),
            rates,
            uncounted,
        ),
    )


def combine(estimates: Sequence[Estimate]) -> Estimate:
    """Add up the estimates of a job's parts; money that is unknown for one is unknown for all."""

    def tokens(triples: Sequence[Three]) -> Three:
        low, mid, high = (sum(triple[end] for triple in triples) for end in range(3))
        return low, mid, high

    def money(end: int) -> Decimal | None:
        parts = [each.cost_usd[end] for each in estimates]
        return (
            sum((part for part in parts if part is not None), Decimal(0))
            if None not in parts
            else None
        )

    return Estimate(
        rows=sum(each.rows for each in estimates),
        input_tokens=tokens([each.input_tokens for each in estimates]),
        output_tokens=tokens([each.output_tokens for each in estimates]),
        cost_usd=(money(0), money(1), money(2)),
        basis=" ".join(dict.fromkeys(each.basis for each in estimates)),
    )


def budget(estimate: Estimate, budget_usd: Decimal | float | str) -> None:
    """Let an estimate pass that surely stays within a budget.

    Args:
        estimate: The estimate; its high end decides.
        budget_usd: The most the job may cost, in USD.

    Raises:
        BudgetError: The high end is above the budget, or the price is unknown.
        InputError: The budget is not an amount.
    """
    most = _amount(budget_usd)
    low, _, high = estimate.cost_usd
    if high is None:
        known = "" if low is None else f" It is at least {_usd(low, ROUND_FLOOR)}."
        raise BudgetError(
            f"The cost of {_rows(estimate.rows)} cannot be told beforehand, so a budget of "
            f"{_usd(most)} cannot be kept.{known} Nothing was sent. Choose a model whose price is "
            "known, or leave out budget_usd=."
        )
    if high <= most:
        return
    fewer = int(estimate.rows * most / high)
    rows = f"send fewer rows (df.head({fewer}))" if fewer else "send fewer or shorter rows"
    raise BudgetError(
        f"The estimate for {_rows(estimate.rows)} is {_range(estimate.cost_usd)}, and its high end is "
        f"above the budget of {_usd(most)}. Nothing was sent. Give a smaller max_tokens=, {rows}, or "
        f"raise the budget: budget_usd={high.quantize(Decimal('0.01'), ROUND_CEILING)}."
    )


# --- one row


def _check_sample(sampled: int, total: int) -> int:
    if sampled > total or (total and not sampled):
        raise InputError(
            f"An estimate for {total} rows needs between 1 and {total} sample bodies, "
            f"and {sampled} were given."
        )
    return sampled


def _with_schema(
    bodies: Sequence[Mapping[str, Any]], model: ModelRef, schema: Json | None
) -> list[Request]:
    """Count the bodies as they will be sent: with the schema, where it is not in them yet."""
    wrapped = {"type": "json_schema", "json_schema": {"schema": schema}}
    full = [
        {**body, "response_format": wrapped} if schema and schema_of(body) is None else body
        for body in bodies
    ]
    return count_requests(full, model)


def _input(request: Request, tokenizer: Tokenizer) -> Three:
    low, mid, high = request.images
    return (
        math.floor(request.text * tokenizer.low) + low,
        request.text + mid,
        math.ceil(request.text * tokenizer.high) + high,
    )


@dataclass(frozen=True, slots=True)
class _Ends:
    """What ends an answer: the request's own cap, the provider's, or else what we assume."""

    model: ModelRef
    max_tokens: int | None
    answer_tokens: int | None

    def of(self, body: Mapping[str, Any]) -> int | None:
        """Give the cap of a body; None where nobody has set one."""
        for name in ("max_completion_tokens", "max_tokens"):
            own = body.get(name)
            if isinstance(own, int | float) and not isinstance(own, bool) and own >= 0:
                return int(own)
        return self.answer_tokens if self.max_tokens is None else self.max_tokens

    def asked(self, body: Mapping[str, Any]) -> bool:
        """Whether the cap is the request's."""
        return replace(self, answer_tokens=None).of(body) is not None


def _output(body: Mapping[str, Any], ends: _Ends, schema: Json | None) -> Three:
    if "messages" not in body:
        return (0, 0, 0)
    assumed = assumptions()["output"]
    thinks = reasons(ends.model, body)
    kind = assumed["reasoning" if thinks else "plain"]
    low, mid, cap = kind["low"], kind["mid"], kind["cap"]
    if schema := schema_of(body) or schema:
        fields = leaves(schema)
        low = low if thinks else assumed["schema"]["low"] * fields
        mid = assumed["schema"]["mid"] * fields + (mid if thinks else 0)
    limit = ends.of(body)
    high = max(cap, mid) if limit is None else limit
    asked = body.get("n")
    answers = asked if isinstance(asked, int) and asked > 0 else 1
    return min(low, high) * answers, min(mid, high) * answers, high * answers


# --- all rows


def _spread(values: Sequence[int], total: int) -> tuple[Fraction, Fraction, Fraction]:
    """How far the mean of all rows may lie from the sample's, as factors around 1."""
    count = len(values)
    if count == total or not any(values):
        return Fraction(1), Fraction(1), Fraction(1)
    if count == 1:
        return Fraction(1, 2), Fraction(1), Fraction(2)
    left_out = 1 - count / total
    error = statistics.stdev(values) / statistics.fmean(values) * math.sqrt(left_out / count)
    width = Fraction(ERRORS * error).limit_denominator(10**6)
    # The rows that were seen are certain.
    return max(Fraction(count, total), 1 - width), Fraction(1), 1 + width


def _total(rows: Sequence[Three], factors: Sequence[Fraction]) -> Three:
    low, mid, high = (sum(row[end] for row in rows) * factors[end] for end in range(3))
    return math.floor(low), round(mid), math.ceil(high)


def _money(
    inputs: Sequence[Three],
    outputs: Sequence[Three],
    rates: Rates | None,
    scale: Fraction,
    spreads: tuple[Sequence[Fraction], Sequence[Fraction]],
) -> Money:
    """Price every sampled row at its own tier, without cache hits, and scale the sums.

    `spreads` are those of input and output.
    """

    def end(which: int) -> Decimal | None:
        costs: list[Cost] = [
            row_cost(Usage(given[which], answer[which]), rates)
            for given, answer in zip(inputs, outputs, strict=True)
        ]
        read, written = Fraction(0), Fraction(0)
        for cost in costs:
            if cost.total is None or cost.input is None or cost.output is None:
                return None
            read, written = read + Fraction(cost.input), written + Fraction(cost.output)
        exact = (read * spreads[0][which] + written * spreads[1][which]) * scale
        return Decimal(ROUNDING[which](exact * 10**MICROS)).scaleb(-MICROS)

    return (None, None, None) if rates is None else (end(0), end(1), end(2))


def _basis(
    read: str,
    way: str,
    tokenizer: Tokenizer,
    cap: str,
    rates: Rates | None,
    uncounted: Sequence[str],
) -> str:
    """Say how the figures came about, in one sentence."""
    exact = tokenizer.high < Decimal("1.05")
    how = (
        ""
        if exact
        else f", an approximation (true count {tokenizer.low} to {tokenizer.high} of it)"
    )
    parts = [
        f"Basis: {way}",
        f"input counted in {read} with {tokenizer.encoding}{how}",
        cap,
        f"price from {rates.source}, no cache hits assumed" if rates else "price not known",
    ]
    if uncounted:
        parts.append(f"not counted: {', '.join(uncounted)}")
    return f"{'; '.join(parts)}."


def _cap(bodies: Sequence[Mapping[str, Any]], ends: _Ends) -> str:
    """Say what bounds the answers' length."""
    chats = [body for body in bodies if "messages" in body]
    if not chats:
        return "no output tokens"
    if all(ends.asked(body) for body in chats):
        return "output up to max_tokens"
    if ends.answer_tokens is not None:
        most = ends.answer_tokens
        return f"output up to {most:,} tokens a row, where {ends.model} ends without max_tokens"
    kind = "reasoning" if any(reasons(ends.model, body) for body in chats) else "plain"
    most = assumptions()["output"][kind]["cap"]
    return f"output up to {most:,} tokens a row, our assumption where no max_tokens is given"


# --- in words


def _amount(given: Decimal | float | str) -> Decimal:
    try:
        value = Decimal(str(given))
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise InputError(
            f"budget_usd={given!r} is not an amount in US dollars. Type: budget_usd=10"
        )
    return value


def _usd(amount: Decimal, rounding: str = ROUND_CEILING) -> str:
    """Write dollars: to the cent from a dollar on, below it with two significant digits."""
    if amount == 0:
        return "$0"
    step = Decimal("0.01") if amount >= 1 else Decimal(1).scaleb(amount.adjusted() - 1)
    cut = amount.quantize(step, rounding)
    return f"${cut:,.2f}" if cut >= 1 else f"${cut:f}"


def said(money: Money) -> tuple[str, str, str]:
    """Say the low, the likely and the high end in words, rounded outwards.

    >>> said((Decimal("0.00281"), Decimal("0.05"), None))
    ('$0.0028', '$0.050', 'unknown')
    """
    ends = zip(money, (ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_CEILING), strict=True)
    low, likely, high = (
        "unknown" if amount is None else _usd(amount, rounding) for amount, rounding in ends
    )
    return low, likely, high


def _range(money: Money) -> str:
    low, _, high = money
    floor = "unknown" if low is None else _usd(low, ROUND_FLOOR)
    return f"{floor} to {'unknown' if high is None else _usd(high)}"


def _tokens(triple: Three) -> str:
    low, mid, high = triple
    return f"about {mid:,} tokens ({low:,} to {high:,})"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
