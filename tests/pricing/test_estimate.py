"""Estimates: ranges with their reasons, unknown money kept unknown, and budgets that hold."""

from __future__ import annotations

import socket
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.errors import BudgetError, InputError
from batchframe.model import ModelRef
from batchframe.pricing.estimate import Estimate, budget, combine, count_tokens, estimate
from batchframe.pricing.rates import Rates
from batchframe.pricing.tokens import assumptions, count_requests, leaves, reasons, tokenizer_for

GPT = ModelRef("openai", "gpt-4o")
MINI = ModelRef("openai", "gpt-5-mini")
OLD = ModelRef("openai", "gpt-3.5-turbo")
CLAUDE = ModelRef("anthropic", "claude-opus-5-5")
D = Decimal
RATES = Rates(D("1e-6"), None, None, D("2e-6"), source="a list")


def chat(text: str, **parameters: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], **parameters}


# --- counting


def test_texts_are_counted_with_the_models_own_encoding():
    """Counts as OpenAI's cookbook gives them for its encodings: 8 in o200k, 9 in cl100k."""
    texts = ["antidisestablishmentarianism", "", "お誕生日おめでとう"]
    assert count_tokens(texts, GPT) == [6, 0, 8]
    assert count_tokens(texts, OLD) == [6, 0, 9]


def test_special_tokens_in_a_text_are_ordinary_characters():
    """A row that quotes one must neither fail nor count as 1."""
    assert count_tokens(["<|endoftext|>"], GPT)[0] > 1


def test_texts_of_any_length_and_broken_unicode_are_counted():
    """The tokenizer itself refuses a million characters."""
    long, broken = count_tokens(["word " * 300_000, "x\ud800"], GPT)
    assert 299_990 <= long <= 300_050
    assert broken >= 1


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("openai/gpt-4", "cl100k_base"),
        ("openai/gpt-4-turbo", "cl100k_base"),
        ("openai/text-embedding-3-small", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("openai/gpt-4o-mini", "o200k_base"),
        ("openai/gpt-4.1", "o200k_base"),
        ("openai/o3", "o200k_base"),
        ("openai/gpt-6-sol", "o200k_base"),
        ("mistral/mistral-small-latest", "o200k_base"),
    ],
)
def test_gpt_4o_parts_the_encodings(model, encoding):
    """cl100k before it, o200k from it on and as an approximation for everyone else."""
    assert tokenizer_for(ModelRef(*model.split("/", 1))).encoding == encoding


def test_a_chat_costs_three_tokens_a_message_and_three_for_the_answers_start():
    """OpenAI's rule; role and name are texts too."""
    body = {
        "messages": [
            {"role": "system", "content": "hello world"},
            {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "hello world"}]},
        ]
    }
    # start 3; system 3 + 1 + 2; user 3 + 1 + 2, name 1 + 1
    assert count_requests([body], GPT)[0].text == 3 + 6 + 6 + 2


def test_tools_tool_calls_and_the_answers_schema_are_counted():
    """Each makes the request longer by about its JSON."""
    base = count_requests([chat("hi")], GPT)[0].text
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
    schema = {"type": "object", "properties": {"label": {"type": "string"}}}
    wrapped = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    calls = [{"id": "1", "function": {"name": "look_up", "arguments": "{}"}}]
    spoken = {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]}
    assert count_requests([chat("hi", tools=[tool])], GPT)[0].text > base + 10
    assert count_requests([chat("hi", response_format=wrapped)], GPT)[0].text > base + 10
    assert count_requests([spoken], GPT)[0].text > base + 5


def test_images_get_the_documented_range_and_detail_low_its_low_end():
    """gpt-4o: 765 for 1024 x 1024."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    small = {"type": "image_url", "image_url": {"url": "x", "detail": "low"}}
    one = count_requests([{"messages": [{"role": "user", "content": [image]}]}], GPT)[0]
    two = count_requests([{"messages": [{"role": "user", "content": [image, small]}]}], GPT)[0]
    assert one.images == (75, 765, 1536)
    assert two.images == (150, 840, 2301)


def test_embeddings_are_counted_as_text_texts_or_tokens():
    """The three shapes of `input`."""
    model = ModelRef("openai", "text-embedding-3-small")
    bodies = [{"input": "hello world"}, {"input": ["hello world"] * 2}, {"input": [1, 2, 3]}]
    assert [each.text for each in count_requests(bodies, model)] == [2, 4, 3]
    assert count_requests([{"input": [[1, 2], [3]]}], model)[0].text == 3


def test_counting_and_pricing_open_no_connection(monkeypatch):
    """Price list and tokenizer are installed, not fetched."""

    def refuse(*_: object, **__: object) -> None:
        msg = "a connection was opened"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert estimate([chat("hi")], 1, MINI, batch=True).cost_usd[2] > 0


# --- what a model will write


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("openai/o3", {}, True),
        ("openai/gpt-5-mini", {}, True),
        ("openai/gpt-5-mini", {"reasoning_effort": "none"}, False),
        ("openai/gpt-5-chat-latest", {}, False),
        ("openai/gpt-4o", {}, False),
        ("groq/openai/gpt-oss-120b", {}, True),
        ("anthropic/claude-opus-5-5", {}, False),
        ("anthropic/claude-opus-5-5", {"reasoning_effort": "high"}, True),
        ("local/smollm2", {}, False),
    ],
)
def test_who_thinks_is_known_by_name_or_by_request(model, body, expected):
    """It decides the likely length of an answer."""
    assert reasons(ModelRef(*model.split("/", 1)), body) is expected


def test_max_tokens_is_the_high_end_of_the_output():
    """The body's own first, then the argument, then the assumed cap."""
    outputs = [
        estimate([body], 1, GPT, batch=True, max_tokens=given).output_tokens
        for body, given in [
            (chat("hi", max_tokens=7), 50),
            (chat("hi", max_completion_tokens=9), None),
            (chat("hi"), 50),
            (chat("hi"), None),
            (chat("hi", n=3), 50),
        ]
    ]
    assert outputs == [(1, 7, 7), (1, 9, 9), (1, 50, 50), (1, 256, 2048), (3, 150, 150)]


def test_a_provider_that_ends_answers_itself_is_the_high_end_where_nobody_else_is():
    """The request's own cap goes first, and the basis says which of them it was."""
    local = ModelRef("local", "smollm2")
    found = [
        estimate([body], 1, local, batch=False, max_tokens=given, answer_tokens=512)
        for body, given in [
            (chat("hi"), None),
            (chat("hi", max_tokens=900), None),
            (chat("hi"), 20),
            (chat("hi", max_tokens="many", n="x"), None),  # as extra_body= may have it
        ]
    ]
    assert [one.output_tokens[2] for one in found] == [512, 900, 20, 512]
    ends = "output up to 512 tokens a row, where local/smollm2 ends without max_tokens;"
    assert [ends in one.basis for one in found] == [True, False, False, True]
    assert "output up to max_tokens;" in found[1].basis


def test_max_tokens_per_row_count_row_by_row():
    """A null leaves the parameter out of the body, where the assumption stands in."""
    bodies = [chat("hi", max_tokens=10), chat("hi", max_tokens=30), chat("hi")]
    assert estimate(bodies, 3, GPT, batch=True).output_tokens == (3, 10 + 30 + 256, 10 + 30 + 2048)
    assert estimate(bodies, 3, GPT, batch=True, answer_tokens=50).output_tokens[2] == 90


def test_answers_of_sampled_rows_with_caps_of_their_own_have_a_range_too():
    """Rows that were not seen may ask for longer answers; equal caps leave nothing to guess."""
    equal = estimate([chat("hi", max_tokens=20)] * 10, 100, GPT, batch=True)
    assert equal.output_tokens[2] == 2000
    mixed = [chat("hi", max_tokens=10 if i % 2 else 30) for i in range(10)]
    wide = estimate(mixed, 100, GPT, batch=True, rates=RATES)
    assert wide.output_tokens[1] == 2000
    assert 2000 < wide.output_tokens[2] < 4000
    low, likely, high = wide.cost_usd
    assert low < likely < high
    assert high >= wide.output_tokens[2] * RATES.output


def test_a_reasoning_model_is_given_a_wider_range():
    """It may think long before a short answer."""
    plain, thinking = (estimate([chat("hi")], 1, m, batch=True).output_tokens for m in (GPT, MINI))
    assert thinking[2] > plain[2]
    assert thinking[1] > plain[1]


def test_a_schema_narrows_the_likely_output():
    """Two fields and a list of one: five plain values at 15 tokens."""
    schema = {
        "properties": {
            "label": {"type": "string"},
            "why": {"properties": {"text": {"type": "string"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
        }
    }
    assert leaves(schema) == 5
    inside = estimate([chat("hi")], 1, GPT, batch=True, response_schema=schema)
    assert inside.output_tokens == (15, 75, 2048)
    assert inside.input_tokens > estimate([chat("hi")], 1, GPT, batch=True).input_tokens


# --- the range


def test_every_row_counted_by_its_own_tokenizer_leaves_a_narrow_range():
    """8 tokens a row: 3 + 3, role and text; two per cent either way, rounded outwards."""
    whole = estimate([chat("hi")] * 10, 10, GPT, batch=True, rates=RATES, max_tokens=5)
    assert whole.input_tokens == (70, 80, 90)
    assert whole.output_tokens == (10, 50, 50)
    # 70 at 1 + 10 at 2, 80 + 100, 90 + 100, per million
    assert whole.cost_usd == (D("0.00009"), D("0.00018"), D("0.00019"))


def test_another_providers_tokenizer_widens_the_range_and_is_named():
    """The same rows to Claude."""
    ours = estimate([chat("hi " * 50)], 1, GPT, batch=True)
    theirs = estimate([chat("hi " * 50)], 1, CLAUDE, batch=True)
    assert theirs.input_tokens[0] < ours.input_tokens[0]
    assert theirs.input_tokens[2] > ours.input_tokens[2]
    assert "an approximation (true count 0.9 to 1.6 of it)" in theirs.basis


def test_a_sample_is_scaled_with_a_range_that_shrinks_as_it_grows():
    """And that never falls below what was seen."""
    rows = [chat("word " * (i % 20)) for i in range(400)]
    few, many = (estimate(rows[:n], 400, GPT, batch=True).input_tokens for n in (20, 200))
    assert few[2] - few[0] > many[2] - many[0]
    truth = estimate(rows, 400, GPT, batch=True).input_tokens
    assert few[0] <= truth[1] <= few[2]
    assert many[0] <= truth[1] <= many[2]


def test_what_was_seen_is_the_least_and_money_follows_the_tokens():
    """Two very different rows of three: the spread is wide, and only input is sampled."""
    rows = [chat("hi"), chat("word " * 1000)]
    seen = estimate(rows, 2, GPT, batch=True, rates=RATES, max_tokens=1)
    found = estimate(rows, 3, GPT, batch=True, rates=RATES, max_tokens=1)
    assert found.input_tokens[0] >= seen.input_tokens[0]
    assert found.input_tokens[2] > 2 * seen.input_tokens[2]
    for end in (0, 1, 2):
        # 1 USD per million in, 2 out; rounded to the microdollar
        paid = D(found.input_tokens[end] + 2 * found.output_tokens[end]) / 1_000_000
        assert abs(found.cost_usd[end] - paid) <= D("0.000002")


def test_one_row_of_many_is_half_to_twice():
    """A single row says nothing of the spread."""
    low, mid, high = estimate([chat("word " * 500)], 1000, GPT, batch=True).input_tokens
    assert low * 2 <= mid
    assert mid * 2 <= high


words = st.integers(0, 60).map(lambda n: chat("word " * n))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(words, min_size=1, max_size=8),
    st.integers(0, 50),
    st.none() | st.integers(0, 3000),
    st.sampled_from([GPT, MINI, OLD, CLAUDE, ModelRef("groq", "unheard-of")]),
)
def test_the_three_ends_are_always_in_order(rows, more, max_tokens, model):
    """Tokens and money, whatever the sample."""
    found = estimate(rows, len(rows) + more, model, batch=True, max_tokens=max_tokens)
    for triple in (found.input_tokens, found.output_tokens, found.cost_usd):
        if None not in triple:
            assert 0 <= triple[0] <= triple[1] <= triple[2]


def test_long_rows_are_estimated_at_their_tier():
    """gpt-5.4 above 272,000 tokens reads at 2.5 and writes at 11.25 per million, as a batch."""
    model = ModelRef("openai", "gpt-5.4")
    body = {"messages": [{"role": "user", "content": "word " * 300_000}], "max_tokens": 1000}
    found = estimate([body], 1, model, batch=True)
    expected = D(found.input_tokens[1]) * D("2.5e-6") + D(found.output_tokens[1]) * D("11.25e-6")
    assert found.cost_usd[1] == round(expected, 6)


def test_an_unknown_price_leaves_the_tokens():
    """And says so."""
    found = estimate([chat("hi")], 1, ModelRef("groq", "llama-3.3-70b-versatile"), batch=True)
    assert found.cost_usd == (None, None, None)
    assert found.input_tokens[1] == 8
    assert found.basis.endswith("; price not known.")


def test_parts_that_nobody_can_count_leave_the_high_end_unknown():
    """The low end stands."""
    part = {"type": "input_audio", "input_audio": {}}
    found = estimate([{"messages": [{"role": "user", "content": [part]}]}], 1, GPT, batch=True)
    assert found.cost_usd[0] > 0
    assert found.cost_usd[1:] == (None, None)
    assert found.basis.endswith("; not counted: input_audio.")


def test_an_empty_job_costs_nothing_and_a_wrong_sample_is_refused():
    """None of none, some of fewer, none of some."""
    empty = estimate([], 0, GPT, batch=True)
    assert (empty.input_tokens, empty.cost_usd) == ((0, 0, 0), (D(0),) * 3)
    for sample, rows in (([], 5), ([chat("hi")] * 3, 2)):
        with pytest.raises(InputError) as caught:
            estimate(sample, rows, GPT, batch=True)
        assert str(caught.value) == (
            f"An estimate for {rows} rows needs between 1 and {rows} sample bodies, "
            f"and {len(sample)} were given."
        )


def test_an_estimate_reads_as_a_sentence_with_its_reasons():
    """For a terminal; a dollar or more to the cent, less with two digits."""
    found = estimate([chat("hi")] * 2, 2, GPT, batch=True, rates=RATES, max_tokens=5)
    assert str(found) == (
        "2 rows: cost about $0.000036 ($0.000018 to $0.000038); input about 16 tokens (14 to 18); "
        "output about 10 tokens (2 to 10). Basis: openai/gpt-4o as a batch; input counted in every row "
        "with o200k_base; output up to max_tokens; price from a list, no cache hits assumed."
    )
    dark = Estimate(1, (1, 1, 1), (1, 1, 1), (D("1.239"), None, None), "Basis: none.")
    assert str(dark) == (
        "1 row: cost unknown, at least $1.23; input about 1 tokens (1 to 1); "
        "output about 1 tokens (1 to 1). Basis: none."
    )


def test_estimates_of_parts_add_up_and_unknown_stays_unknown():
    """As for a job with two models."""
    one = estimate([chat("hi")], 1, GPT, batch=True, rates=RATES, max_tokens=5)
    both = combine([one, one])
    assert both.rows == 2
    assert both.input_tokens == tuple(2 * n for n in one.input_tokens)
    assert both.cost_usd == tuple(2 * n for n in one.cost_usd)
    assert both.basis == one.basis
    dark = estimate([chat("hi")], 1, ModelRef("x", "y"), batch=True)
    assert combine([one, dark]).cost_usd == (None, None, None)


# --- the budget

WIDE = Estimate(1000, (1, 1, 1), (1, 1, 1), (D("0.0512"), D(3), D("12.301")), "")


def test_a_budget_holds_when_the_high_end_fits():
    """Exactly equal is within."""
    for amount in (D("12.301"), "12.301", 12.301, 100):
        budget(WIDE, amount)


def test_a_budget_below_the_high_end_is_refused_with_what_to_type():
    """Both ends, the budget, and three ways on."""
    with pytest.raises(BudgetError) as caught:
        budget(WIDE, 5)
    assert str(caught.value) == (
        "The estimate for 1,000 rows is $0.051 to $12.31, and its high end is above the budget of "
        "$5.00. Nothing was sent. Give a smaller max_tokens=, send fewer rows (df.head(406)), or raise "
        "the budget: budget_usd=12.31."
    )
    with pytest.raises(BudgetError) as caught:
        budget(WIDE, 0)
    assert (
        "the budget of $0. Nothing was sent. Give a smaller max_tokens=, send fewer or shorter"
        in (str(caught.value))
    )


def test_a_budget_cannot_be_kept_when_the_price_is_unknown():
    """Unknown is not cheap."""
    dark = Estimate(1, (1, 1, 1), (1, 1, 1), (None, None, None), "")
    with pytest.raises(BudgetError) as caught:
        budget(dark, 5)
    assert str(caught.value) == (
        "The cost of 1 row cannot be told beforehand, so a budget of $5.00 cannot be kept. "
        "Nothing was sent. Choose a model whose price is known, or leave out budget_usd=."
    )
    half = Estimate(2, (1, 1, 1), (1, 1, 1), (D("0.5"), None, None), "")
    with pytest.raises(BudgetError, match=r"kept\. It is at least \$0\.50\. Nothing"):
        budget(half, 5)


@pytest.mark.parametrize("bad", [-1, "NaN", "much", float("inf")])
def test_a_budget_must_be_an_amount(bad):
    """The message holds the line to type."""
    with pytest.raises(InputError) as caught:
        budget(WIDE, bad)
    assert str(caught.value) == (
        f"budget_usd={bad!r} is not an amount in US dollars. Type: budget_usd=10"
    )


def test_every_assumption_is_dated_sourced_and_ordered():
    """They age."""
    table = assumptions()
    for row in [*table["tokenizer"], *table["image"], table["overhead"]]:
        assert row["source"]
        assert row["as_of"]
    assert all(row["tokens"] == sorted(row["tokens"]) for row in table["image"])
    assert all(D(row["low"]) <= 1 <= D(row["high"]) for row in table["tokenizer"])
    assert [table[name][-1]["models"] for name in ("tokenizer", "image")] == [["*"], ["*"]]
