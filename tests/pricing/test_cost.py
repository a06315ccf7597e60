"""Cost: tokens times rates, exact, the same for a row and for a frame, None when anything is unknown."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from batchframe.errors import ColumnError
from batchframe.model import Cost, ModelRef, Usage
from batchframe.pricing.cost import (
    COUNTS,
    MOST_TOKENS,
    UPPER_BOUND,
    cost_columns,
    pricer,
    row_cost,
    total_cost,
)
from batchframe.pricing.rates import Rates, Tier, rates_for

DAY = dt.date(2026, 11, 23)
D = Decimal


def rates_of(model: str, *, batch: bool = True) -> Rates | None:
    return rates_for(ModelRef(*model.split("/", 1)), batch=batch, at=DAY)


PLAIN = Rates(D("1e-6"), D("1e-7"), D("2e-6"), D("3e-6"), source="a list")


# --- one row, by hand


@pytest.mark.parametrize(
    ("model", "prompt", "completion"),
    [
        # 100,000 input tokens, 80,000 of them cached, and 10,000 output tokens, as a batch.
        ("openai/o3", "0.1000", "0.04"),  # 100k at 1; 10k at 4
        ("openai/gpt-4.1-mini", "0.0200", "0.008"),  # 100k at 0.2; 10k at 0.8
        ("openai/gpt-5-mini", "0.0035", "0.01"),  # 20k at 0.125 + 80k at 0.0125; 10k at 1
        ("openai/gpt-5.4", "0.0354", "0.075"),  # 20k at 1.25 + 80k at 0.13; 10k at 7.5
        ("groq/openai/gpt-oss-120b", "0.0075", "0.003"),  # 100k at 0.075; 10k at 0.3
        ("together/openai/gpt-oss-120b", "0.0150", "0.006"),  # 100k at 0.15; 10k at 0.6
        ("gemini/gemini-2.5-flash", "0.0054", "0.0125"),  # 20k at 0.15 + 80k at 0.03; 10k at 1.25
        ("anthropic/claude-opus-5-5", "0.048", "0.1"),  # 20k at 2 + 80k at 0.1; 10k at 10
        ("mistral/mistral-small-latest", "0.0021", "0.003"),  # 20k at 0.075 + 80k at 0.0075
        ("xai/grok-4.3", "0.0328", "0.02"),  # 20k at 1 + 80k at 0.16; 10k at 2
        ("azure/gpt-4.1-mini", "0.0200", "0.008"),  # as OpenAI
    ],
)
def test_a_row_costs_what_the_hand_computed(model, prompt, completion):
    """In USD per million tokens, as the comments say."""
    cost = row_cost(Usage(input=100_000, cached=80_000, output=10_000), rates_of(model))
    assert cost.input + cost.cached == D(prompt)
    assert cost.output == D(completion)
    assert cost.total == D(prompt) + D(completion)


def test_cache_writes_are_priced_apart_and_belong_to_the_input():
    """700 fresh at 1, 200 written at 2, 100 cached at 0.1, 10 out at 3, all per million."""
    usage = Usage(input=1000, cached=100, cache_write=200, output=10, reasoning=9)
    assert row_cost(usage, PLAIN) == Cost(
        total=D("0.00114"),
        input=D("0.0011"),
        cached=D("0.00001"),
        output=D("0.00003"),
        source="a list",
    )


def test_a_long_row_is_priced_whole_at_its_tier():
    """Two rows one token apart."""
    rates = Rates(D(1), D(1), D(1), D(1), tiers=(Tier(10, *(D("0.5"),) * 4),))
    assert row_cost(Usage(10, 1), rates).total == 11
    assert row_cost(Usage(11, 1), rates).total == 6


# --- unknown


@pytest.mark.parametrize(
    ("usage", "rates"),
    [
        (Usage(), PLAIN),  # a failed row
        (Usage(input=5), PLAIN),
        (Usage(output=5), PLAIN),
        (Usage(5, 5), None),
        (Usage(5, 5), Rates(None, None, None, D(1))),
        (Usage(5, 5), Rates(D(1), None, None, None)),
        (Usage(5, 5, cache_write=1), Rates(D(1), None, None, D(1))),
    ],
)
def test_what_is_not_known_has_no_total(usage, rates):
    """Neither zero nor a part of the sum."""
    assert row_cost(usage, rates).total is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10, 5, cached=11),
        Usage(10, 5, cached=6, cache_write=5),
        Usage(10, 5, reasoning=6),
        Usage(-1, 5),
        Usage(10, -5),
        Usage(10, 5, cached=-1),
        Usage(10, 5, cache_write=-1),
        Usage(10, 5, reasoning=-1),
        Usage(MOST_TOKENS + 1, 5),
    ],
)
def test_counts_that_contradict_each_other_have_no_cost(usage):
    """The sum could be negative, or too small."""
    assert row_cost(usage, PLAIN) == Cost(None, source="a list")


def test_an_unknown_cached_rate_is_bounded_by_the_input_rate_and_said():
    """Only where tokens were cached."""
    rates = Rates(D("1e-6"), None, None, D("1e-6"), source="a list")
    cost = row_cost(Usage(10, 0, cached=4), rates)
    assert (cost.input, cost.cached, cost.total) == (D("6e-6"), D("4e-6"), D("10e-6"))
    assert cost.source == "a list; cached tokens at the input rate, an upper bound"
    assert row_cost(Usage(10, 0, cached=0), rates).source == "a list"


def test_an_embedding_has_no_output_to_pay():
    """Providers leave the count out; the rate is unknown because there is none."""
    cost = row_cost(Usage(input=1_000_000), rates_of("openai/text-embedding-3-small"))
    assert cost.total == D("0.02")
    assert row_cost(Usage(input=1_000_000), rates_of("mistral/mistral-embed")).total == D("0.05")


def test_a_local_row_costs_a_known_zero():
    """Also where the server counts no output, as for embeddings."""
    assert row_cost(Usage(5, 5), rates_of("local/smollm2")).total == 0
    assert row_cost(Usage(input=5), rates_of("local/e5")).total == 0
    for odd in (Usage(), Usage(unseen=True), Usage(5, 5, cached=9), Usage(2**40)):
        assert row_cost(odd, rates_of("local/smollm2")).total == 0


def test_a_price_of_zero_for_some_tokens_is_no_free_model():
    """What was written to a cache may cost."""
    assert row_cost(Usage(), Rates(D(0), D(0), None, D(0))).total is None
    tiers = (Tier(10, D(1), D(0), D(0), D(0)),)
    assert row_cost(Usage(), Rates(D(0), D(0), D(0), D(0), tiers=tiers)).total is None
    assert row_cost(Usage(), Rates(D(0), None, D(0), D(0))).total == 0


def test_a_try_that_nobody_counted_makes_the_cost_unknown():
    """Whatever the counts beside it say; what surely was not paid is 0 where there is a price."""
    assert row_cost(Usage(5, 5, unseen=True), PLAIN).total is None
    assert row_cost(Usage(5, 5, unseen=False), PLAIN).total == D("0.00002")
    assert row_cost(Usage(unseen=False), PLAIN) == Cost(D(0), D(0), D(0), D(0), "a list")
    assert row_cost(Usage(output=5, unseen=False), PLAIN).total is None
    assert row_cost(Usage(unseen=False), None).total is None


def test_a_pricer_says_what_row_cost_says():
    """Again and again."""
    price = pricer(PLAIN)
    assert [price(Usage(5, 5)), price(Usage(5, 5)), price(Usage())] == [D("0.00002")] * 2 + [None]
    assert pricer(None)(Usage(5, 5)) is None


def test_a_total_counts_what_is_known_and_what_is_not():
    """The sum keeps every digit."""
    costs = [Cost(D("0.1")), Cost(None), Cost(D("1e-18")), Cost(D("1e12"))]
    assert total_cost(costs) == (D("1000000000000.100000000000000001"), 3, 1)
    assert total_cost([]) == (D(0), 0, 0)


# --- an independent calculator


@pytest.mark.parametrize("tokens", [(1000, 400, 77), (500_000, 123_456, 9_999)])
def test_standard_prices_agree_with_genai_prices_own_arithmetic(tokens):
    """Every text model of every list we read, short and long."""
    from genai_prices import Usage as Theirs
    from genai_prices.data_snapshot import get_snapshot

    ours = {
        "openai": "openai",
        "mistral": "mistral",
        "groq": "groq",
        "together": "together",
        "x-ai": "xai",
        "anthropic": "anthropic",
        "google": "gemini",
        "aws": "bedrock",
    }
    noon = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
    input_, cached, output = tokens
    theirs = Theirs(input_tokens=input_, cache_read_tokens=cached, output_tokens=output)
    compared = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            rates = None
            if provider.id in ours:
                rates = rates_for(ModelRef(ours[provider.id], model.id), batch=False, at=DAY)
            if rates is None or rates.input is None or rates.output is None:
                continue
            if provider.find_model(model.id) is not model:
                continue
            prices = model.get_prices(noon)
            text = {"input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok"}
            if not {k for k, v in prices.__dict__.items() if v is not None} <= text:
                continue
            expected = prices.calc_price(theirs)["total_price"]
            assert row_cost(Usage(input_, output, cached), rates).total == expected, model.id
            compared += 1
    assert compared > 150


# --- a frame


MODELS = [
    "openai/gpt-5-mini",
    "openai/gpt-5.4",
    "openai/gpt-5.5-pro",
    "openai/text-embedding-3-small",
    "gemini/gemini-2.5-pro",
    "together/openai/gpt-oss-120b",
    "anthropic/claude-haiku-5-5",
    "groq/llama-3.3-70b-versatile",
    "local/smollm2",
]
RATES = {name: rates_of(name) for name in MODELS} | {
    "by hand": PLAIN,
    "dear": Rates(D(1), D("0.999999999999999999"), None, D("1e-18"), source="dear"),
    "two steps": Rates(
        D("1e-6"),
        None,
        D("1e-6"),
        None,
        tiers=(Tier(50, *(D("2e-6"),) * 4), Tier(20, None, D("1e-7"), D(0), D(0))),
        source="steps",
    ),
}

edges = st.sampled_from([0, 1, 10, 20, 21, 50, 51, 272_000, 272_001, MOST_TOKENS, MOST_TOKENS + 1])
counts = st.none() | st.integers(-3, 60) | edges | st.integers(-(2**63), 2**63 - 1)
rows = st.fixed_dictionaries(
    {"model": st.none() | st.sampled_from([*RATES, "unheard of"])} | dict.fromkeys(COUNTS, counts)
)
SCHEMA = {"model": pl.String} | dict.fromkeys(COUNTS, pl.Int64)


def one_by_one(frame: pl.DataFrame) -> pl.DataFrame:
    money = pl.Decimal(38, 18)
    found = []
    for row in frame.iter_rows(named=True):
        usage = Usage(**{name.removesuffix("_tokens"): row[name] for name in COUNTS})
        cost = row_cost(usage, RATES.get(row["model"]))
        found.append((cost.total, cost.input, cost.cached, cost.output, cost.source))
    names = ("cost", "cost_input", "cost_cached", "cost_output")
    schema = dict.fromkeys(names, money) | {"cost_source": pl.String}
    return pl.DataFrame(found, schema=schema, orient="row")


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, max_size=12))
def test_a_frame_is_priced_exactly_as_its_rows(lines):
    """To the last digit, nonsense counts and unknown models included."""
    frame = pl.DataFrame(lines, schema=SCHEMA)
    assert_frame_equal(cost_columns(frame, RATES), one_by_one(frame), check_exact=True)


sane = st.tuples(st.integers(0, 400_000), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**5))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(RATES)), sane), min_size=1, max_size=20))
def test_sane_rows_are_priced_alike_and_their_parts_add_up(lines):
    """Against fractions, which share no code with either way."""
    frame = pl.DataFrame(
        [
            {
                "model": model,
                "input_tokens": size,
                "cached_tokens": int(size * a),
                "cache_write_tokens": int((size - int(size * a)) * b),
                "output_tokens": output,
                "reasoning_tokens": output // 2,
            }
            for model, (size, a, b, output) in lines
        ],
        schema=SCHEMA,
    )
    priced = cost_columns(frame, RATES)
    assert_frame_equal(priced, one_by_one(frame), check_exact=True)
    for row, cost in zip(frame.iter_rows(named=True), priced.iter_rows(named=True), strict=True):
        if cost["cost"] is None:
            continue
        at = RATES[row["model"]].at(row["input_tokens"])
        fresh = row["input_tokens"] - row["cached_tokens"] - row["cache_write_tokens"]
        paid = [
            (fresh, at.input),
            (row["cached_tokens"], at.input if at.cached is None else at.cached),
            (row["cache_write_tokens"], at.cache_write),
            (row["output_tokens"], at.output),
        ]
        assert Fraction(cost["cost"]) == sum(n * Fraction(rate or 0) for n, rate in paid)


def test_a_frame_steps_up_where_its_rows_do():
    """At the step's start still the short rate, one token later the long one."""
    sizes = [20, 21, 50, 51, 272_000, 272_001]
    frame = pl.DataFrame(
        [
            {"model": model, "input_tokens": size, "output_tokens": 1, "cached_tokens": 1}
            for model in RATES
            for size in sizes
        ],
        schema=SCHEMA,
    )
    assert_frame_equal(cost_columns(frame, RATES), one_by_one(frame), check_exact=True)


def test_columns_a_provider_does_not_count_may_be_missing():
    """Nothing cached, nothing written, nothing reasoned."""
    frame = pl.DataFrame({"model": ["m"], "input_tokens": [10], "output_tokens": [1]})
    assert cost_columns(frame, {"m": PLAIN})["cost"].to_list() == [D("0.000013")]


def test_a_frame_without_any_known_price_is_all_null():
    """And an empty one stays empty."""
    frame = pl.DataFrame({"model": ["m"], "input_tokens": [10], "output_tokens": [1]})
    assert cost_columns(frame, {"m": None}).row(0) == (None,) * 5
    assert cost_columns(frame.clear(), {"m": PLAIN}).height == 0


def test_a_missing_column_is_named():
    """With the columns that are there."""
    with pytest.raises(ColumnError) as caught:
        cost_columns(pl.DataFrame({"model": ["m"], "output_tokens": [1]}), {})
    assert str(caught.value) == (
        "The column 'input_tokens' is missing, and costs need it. Columns here: 'model', 'output_tokens'."
    )


def test_the_upper_bound_is_marked_in_the_frame_too():
    """Per row."""
    rates = Rates(D("1e-6"), None, None, D("1e-6"), source="a list")
    frame = pl.DataFrame(
        {
            "model": ["m", "m"],
            "input_tokens": [9, 9],
            "output_tokens": [1, 1],
            "cached_tokens": [0, 1],
        }
    )
    assert cost_columns(frame, {"m": rates})["cost_source"].to_list() == [
        "a list",
        f"a list; {UPPER_BOUND}",
    ]
