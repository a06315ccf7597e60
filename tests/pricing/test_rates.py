"""Rates: what a token costs, as a batch or not, by whom it is said, and None where nobody says it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from importlib import metadata

import pytest

from batchframe.errors import InputError
from batchframe.model import ModelRef
from batchframe.pricing import rates as room
from batchframe.pricing.rates import LISTED_AS, Rates, Tier, rates_for

DAY = dt.date(2026, 11, 23)
LIST = f"genai-prices {metadata.version('genai-prices')}"


def ref(text: str) -> ModelRef:
    return ModelRef(*text.split("/", 1))


def known(text: str, *, batch: bool, at: dt.date = DAY) -> Rates:
    rates = rates_for(ref(text), batch=batch, at=at)
    assert rates is not None, text
    return rates


def per_million(rates: Rates) -> dict[str, Decimal | None]:
    values = {name: getattr(rates, name) for name in LISTED_AS}
    return {name: None if v is None else v * 1_000_000 for name, v in values.items()}


def usd(**given: str | None) -> dict[str, Decimal | None]:
    return {name: None if (v := given.get(name)) is None else Decimal(v) for name in LISTED_AS}


# --- the list's batch prices are really read


def listed_batches() -> list[str]:
    """Our names of every text model for which the list has a batch row in force."""
    from genai_prices.data_snapshot import get_snapshot

    noon = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
    ours = {"x-ai": "xai", "google": "gemini"}
    names = []
    for provider in get_snapshot().providers:
        for model in provider.models:
            rows = [v for v in model.price_variants or () if v.when == {"processing": "batch"}]
            texts = model.get_prices(noon).input_mtok is not None
            # Some rows stand for a prefix or an alias and do not answer to their own id.
            if rows and texts and provider.find_model(model.id) is model:
                names.append(f"{ours.get(provider.id, provider.id)}/{model.id}")
    return names


ODD = {
    "openai/gpt-3.5-turbo-1106",  # the list says: no discount
}


def test_batch_is_cheaper_than_standard_for_every_model_with_a_listed_batch_price():
    """A wrong key would silently give the full price; some hundred models are compared."""
    names = [name for name in listed_batches() if name not in ODD]
    assert len(names) > 95
    for name in names:
        batch, standard = known(name, batch=True), known(name, batch=False)
        assert batch.batch
        assert not standard.batch
        assert batch.input < standard.input, name
        if standard.output is not None:
            assert batch.output < standard.output, name


def test_the_key_for_batch_is_the_one_genai_prices_answers_to():
    """Through the package's own calculator, which ignores a key that it does not know."""
    from genai_prices import Usage, calc_price

    when = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    usage = Usage(input_tokens=1_000_000)
    cost = {
        key: calc_price(
            usage,
            "o3",
            provider_id="openai",
            genai_request_timestamp=when,
            price_context={key: "batch"},
        ).total_price
        for key in (*room.BATCH, "no_such_key")
    }
    assert cost == {"processing": Decimal(1), "no_such_key": Decimal(2)}


def test_before_the_list_knew_batches_the_batch_price_is_unknown_not_full():
    """The batch rows start on 2026-10-14."""
    assert rates_for(ref("openai/o3"), batch=True, at=dt.date(2026, 10, 13)) is None
    assert rates_for(ref("openai/o3"), batch=True, at=dt.date(2026, 10, 14)) is not None


def test_a_dated_price_change_takes_effect_on_its_day():
    """gemini-4-argon's batch price doubles on 2026-12-01."""
    before = known("gemini/gemini-4-argon", batch=True, at=dt.date(2026, 11, 30))
    after = known("gemini/gemini-4-argon", batch=True, at=dt.date(2026, 12, 1))
    assert (before.input * 2, before.output * 2) == (after.input, after.output)


# --- prices read off the providers' pages, by hand


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # Before GPT-5 OpenAI's batch table has no cached column: 1 and 4, cached like input.
        ("openai/o3", usd(input="1", cached="1", output="4")),
        ("openai/gpt-4.1-mini", usd(input="0.2", cached="0.2", output="0.8")),
        ("openai/gpt-4o-mini", usd(input="0.075", cached="0.075", output="0.3")),
        # From GPT-5 on it has: half of 0.25, 0.025 and 2.
        ("openai/gpt-5-mini", usd(input="0.125", cached="0.0125", output="1")),
        # Half of 2, 0.2 (fresh), 2.5 (written), 10.
        ("openai/gpt-6-sol", usd(input="1", cached="0.1", cache_write="1.25", output="5")),
        # Groq: half of 0.15 and 0.6; cached stays at the 0.075 it has already.
        ("groq/openai/gpt-oss-120b", usd(input="0.075", cached="0.075", output="0.3")),
        # Together: nothing off for this one, half of 0.88 for the next.
        ("together/openai/gpt-oss-120b", usd(input="0.15", output="0.6")),
        (
            "together/meta-llama/Llama-3.3-70B-Instruct-Turbo",
            usd(input="0.44", output="0.44"),
        ),
        # xAI: a fifth off 1.25, 0.2 and 2.5.
        ("xai/grok-4.3", usd(input="1", cached="0.16", output="2")),
        # Mistral: half of 0.15, 0.015 and 0.6.
        ("mistral/mistral-small-latest", usd(input="0.075", cached="0.0075", output="0.3")),
        # Anthropic: half of 4, 0.2, 5 and 20.
        (
            "anthropic/claude-opus-5-5",
            usd(input="2", cached="0.1", cache_write="2.5", output="10"),
        ),
        # Gemini 2.5: half of 0.3 and 2.5, cached at the standard 0.03; on Vertex half of that too.
        ("gemini/gemini-2.5-flash", usd(input="0.15", cached="0.03", output="1.25")),
        ("vertex/gemini-2.5-flash", usd(input="0.15", cached="0.015", output="1.25")),
        # Vertex: a fifth off 0.15.
        ("vertex/gemini-embedding-001", usd(input="0.12")),
        # Fireworks: half of 0.15 and 0.6, cached not published.
        ("fireworks/gpt-oss-120b", usd(input="0.075", output="0.3")),
        # No discount on embeddings until someone shows one.
        ("openai/text-embedding-3-small", usd(input="0.02")),
        ("openai/gpt-3.5-turbo-1106", usd(input="1", output="2")),
        # Bedrock, regional: half of 3.3 and 16.5.
        (
            "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            usd(input="1.65", output="8.25"),
        ),
    ],
)
def test_a_batch_price_equals_the_one_computed_by_hand(model, expected):
    """Each row of the rules, with one model; the comment beside it says how."""
    assert per_million(known(model, batch=True)) == expected


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "gpt-5-mini", "o3", "gpt-4o"])
def test_azure_global_batch_is_half_of_openais_global_price(model):
    """Azure's own list is thin: deployments named after the model are priced as OpenAI's."""
    batch, standard = known(f"azure/{model}", batch=True), known(f"openai/{model}", batch=False)
    assert (batch.input * 2, batch.output * 2) == (standard.input, standard.output)
    assert known(f"azure/{model}", batch=False).input == standard.input


def test_an_azure_data_zone_costs_a_tenth_more_on_every_tier():
    """gpt-5.4, long and short; other providers have no data zones."""
    plain = known("azure/gpt-5.4", batch=True)
    zone = rates_for(ref("azure/gpt-5.4"), batch=True, at=DAY, data_zone=True)
    assert zone.input == plain.input * Decimal("1.1")
    assert zone.at(272_001).output == plain.at(272_001).output * Decimal("1.1")
    assert zone.note.endswith("; data zone deployment")
    elsewhere = rates_for(ref("openai/gpt-5.4"), batch=True, at=DAY, data_zone=True)
    assert elsewhere.input == plain.input


# --- unknown stays unknown


@pytest.mark.parametrize(
    "model",
    [
        "groq/llama-3.3-70b-versatile",  # priced, but not in the batch list
        "xai/grok-4.5",  # cannot run as a batch
        "openai/gpt-5-chat-latest",  # shares gpt-5's row in the list, has no batch endpoint
        "openai/gpt-5.1-codex",
        "openai/gpt-4o-mini-search-preview",
        "azure/text-embedding-3-small",
        "azure/phi-4",
        "bedrock/amazon.nova-lite-v1:0",  # AWS rounds: half is not exact
        "gemini/gemini-embedding-001",
        "vertex/claude-opus-4-8",
    ],
)
def test_a_batch_price_that_nobody_publishes_is_none_though_the_standard_is_known(model):
    """Neither the full price nor half of it."""
    assert rates_for(ref(model), batch=True, at=DAY) is None
    assert known(model, batch=False).input > 0


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-99",
        "nobody/gpt-4o",
        "azure/my-deployment",
        "azure/grok-4.3",  # resold: not xAI's price
        "mistral/mistral-small-24b-instruct-2501:free",  # listed without any price
    ],
)
def test_an_unknown_price_is_none_and_never_zero(model, batch):
    """Whatever the reason."""
    assert rates_for(ref(model), batch=batch, at=DAY) is None


def test_a_local_model_is_known_to_cost_nothing():
    """A zero that is known, for every kind of token."""
    rates = known("local/smollm2", batch=True)
    assert per_million(rates) == usd(input="0", cached="0", cache_write="0", output="0")
    assert rates.source == "local model, billed by nobody"


# --- names


@pytest.mark.parametrize(
    ("dated", "base"),
    [
        ("openai/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("openai/gpt-4.1-2031-01-31", "openai/gpt-4.1"),  # not in the list yet
        ("openai/gpt-4.1-20310131", "openai/gpt-4.1"),
        ("vertex/gemini-2.5-flash@20310131", "vertex/gemini-2.5-flash"),
        ("gemini/models/gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("vertex/publishers/google/models/gemini-2.5-flash", "vertex/gemini-2.5-flash"),
        ("fireworks/accounts/fireworks/models/gpt-oss-120b", "fireworks/gpt-oss-120b"),
    ],
)
@pytest.mark.parametrize("batch", [True, False])
def test_a_dated_or_prefixed_name_costs_what_its_base_costs(dated, base, batch):
    """As answers name their model."""
    assert known(dated, batch=batch) == known(base, batch=batch)


def test_a_snapshot_with_a_price_of_its_own_keeps_it():
    """gpt-4o-2024-05-13 costs twice what gpt-4o costs."""
    old, new = known("openai/gpt-4o-2024-05-13", batch=True), known("openai/gpt-4o", batch=True)
    assert old.input == new.input * 2


# --- tiers


def test_a_row_above_the_step_is_priced_whole_at_the_long_rate():
    """gpt-5.4 as a batch: 1.25 up to 272,000 tokens, then 2.5; output 7.5, then 11.25."""
    rates = known("openai/gpt-5.4", batch=True)
    assert [rates.at(n).input * 1_000_000 for n in (0, 272_000, 272_001)] == [
        Decimal("1.25"),
        Decimal("1.25"),
        Decimal("2.5"),
    ]
    assert rates.at(272_001).output * 1_000_000 == Decimal("11.25")


def test_a_long_rate_missing_from_the_batch_list_is_unknown():
    """gpt-5.5-pro has a step at 272,000 tokens in the standard list only."""
    rates = known("openai/gpt-5.5-pro", batch=True)
    assert rates.at(272_000).input * 1_000_000 == Decimal(15)
    assert rates.at(272_001).input is None
    assert rates.at(272_001).output is None


# --- prices by hand


def test_prices_given_by_hand_win_and_are_usd_per_million_tokens():
    """Strings, Decimals and floats; a kind not given is unknown."""
    prices = {"openai/o3": {"input": "0.25", "output": Decimal(2), "cached": 0.1 + 0.2}}
    rates = rates_for(ref("openai/o3"), batch=True, overrides=prices)
    assert per_million(rates) == usd(input="0.25", output="2", cached="0.3")
    assert rates.source == "prices given by hand"
    assert rates_for(ref("openai/o4-mini"), batch=True, at=DAY, overrides=prices).source != (
        rates.source
    )


@pytest.mark.parametrize("bad", ["-1", "NaN", "inf", "cheap", -0.5, float("nan"), "1e7", "1e-13"])
def test_a_price_given_by_hand_must_be_a_price(bad):
    """The message holds the model, the entry and the line to type."""
    with pytest.raises(InputError) as caught:
        rates_for(ref("openai/mine"), batch=True, overrides={"openai/mine": {"output": bad}})
    assert str(caught.value) == (
        f"The price given for 'openai/mine', output={bad!r}, is not a price in USD per million "
        "tokens: a number from 0 to 1,000,000 with at most 12 decimals. Type it as a string, such as "
        "output='0.25'."
    )


def test_a_misspelt_kind_of_token_is_refused_with_the_nearest():
    """Otherwise the price would be silently unknown."""
    with pytest.raises(InputError) as caught:
        rates_for(ref("openai/mine"), batch=True, overrides={"openai/mine": {"inputs": "1"}})
    assert str(caught.value) == (
        "The price given for 'openai/mine' has an entry 'inputs', which is no kind of token. "
        "Did you mean 'input'? Type some of: input, cached, cache_write, output (USD per million)."
    )


def test_rates_refuse_what_could_not_be_priced_exactly():
    """Built by hand: negative, endless, or finer than a Decimal(38, 18) holds."""
    for bad in (Decimal(-1), Decimal("NaN"), Decimal(2), Decimal("1e-19")):
        with pytest.raises(InputError):
            Tier(0, bad, None, None, None)
        with pytest.raises(InputError):
            Rates(None, None, None, bad)


# --- provenance


def test_source_and_note_say_whose_price_it_is_and_what_was_decided():
    """A list and its version; the rules and their date where they had a say."""
    standard, batch = known("openai/o3", batch=False), known("openai/o3", batch=True)
    assert (standard.source, standard.as_of, standard.note) == (LIST, "2026-11-23", "")
    assert batch.source == f"{LIST}, batchframe rules 2026-11-23"
    assert batch.note == (
        "cached tokens at the batch input price, where the batch list has no cached price"
    )
    assert known("anthropic/claude-opus-5-5", batch=False).note == (
        "cache writes at the five-minute price"
    )


def test_every_rule_is_legal_dated_sourced_and_reachable():
    """A row below a catch-all of its provider would never be read."""
    closed: set[str] = set()
    for row in room._rules()["batch"]:
        assert row.provider not in closed, row
        if row.models == ["*"]:
            closed.add(row.provider)
        assert row.source
        assert dt.date.fromisoformat(row.as_of) <= DAY
        assert row.price in ("listed", "none") or 0 < Decimal(row.price) <= 1
        assert row.cached in ("input", "unknown") or 0 < Decimal(row.cached) <= 1
        assert all(pattern == pattern.lower() for pattern in row.models)


def test_every_provider_of_ours_has_a_list_that_exists():
    """All but the local one, which nobody bills."""
    from genai_prices.data_snapshot import get_snapshot

    ours = "openai azure mistral groq together fireworks xai anthropic bedrock vertex gemini"
    lists = room._rules()["lists"]
    assert set(lists) == set(ours.split())
    there = {provider.id for provider in get_snapshot().providers}
    assert {name for names in lists.values() for name in names} <= there


def test_importing_the_room_loads_no_price_list_no_tokenizer_and_no_polars():
    """They take half a second each, and a session may never need them."""
    code = (
        "import sys, batchframe\n"
        "before = set(sys.modules)\n"
        "import batchframe.pricing.rates, batchframe.pricing.cost, batchframe.pricing.estimate\n"
        "print('genai_prices' in sys.modules, 'bpe_openai' in sys.modules)\n"
        "print(sorted({'polars', 'pydantic'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["False False", "[]"]
