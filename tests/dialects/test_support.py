"""The table of parameters by provider: total, sourced, and what the code goes by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.dialects import mistral, support, together
from batchframe.dialects.parameters import REFUSED, RULES
from batchframe.model import Endpoint

FACTS = [
    (provider, endpoint, row)
    for provider, endpoints in support.ROWS.items()
    for endpoint, rows in endpoints.items()
    for row in rows
]


def test_every_fact_has_a_source_and_says_what_to_do():
    """A refusal names the way on, a new name is given, a warning says what will happen."""
    for provider, endpoint, row in FACTS:
        assert row.source in support.SOURCES, (provider, row)
        assert set(row.names) <= RULES[endpoint].keys(), (provider, row)
        assert bool(row.to) == (row.fate == "renamed")
        assert bool(row.why) == (row.fate != "renamed")
        assert bool(row.instead) == (row.fate == "refused"), (provider, row)
        assert bool(row.models) == bool(row.who), (provider, row)


def test_what_a_reference_does_not_list_is_a_parameter_of_ours():
    """A misspelt one would never be shown."""
    for endpoints in support.SURFACES.values():
        for endpoint, surface in endpoints.items():
            assert surface.unlisted | surface.own_values <= RULES[endpoint].keys()
            assert surface.source in support.SOURCES


@pytest.mark.parametrize(
    ("model", "parameter", "value", "fate"),
    [
        ("openai/gpt-5-mini", "temperature", 0, "refused"),
        ("openai/gpt-5-mini", "temperature", 1, None),
        ("openai/gpt-5-mini-2025-08-07", "max_tokens", 9, "refused"),
        ("openai/gpt-4.1-mini", "temperature", 0, None),
        ("openai/gpt-4.1-mini", "max_tokens", 9, None),
        ("openai/gpt-4o", "reasoning_effort", "low", "refused"),
        ("openai/gpt-5.1", "temperature", 0, "warned"),
        ("openai/o3", "stop", "x", "refused"),
        ("azure/gpt-5", "logprobs", True, "refused"),
        ("mistral/mistral-small-latest", "seed", 7, "renamed"),
        ("mistral/mistral-small-latest", "user", "x", "refused"),
        ("groq/openai/gpt-oss-20b", "logprobs", True, "refused"),
        ("groq/openai/gpt-oss-20b", "presence_penalty", 1, "warned"),
        ("together/openai/gpt-oss-20b", "max_completion_tokens", 9, "renamed"),
        ("fireworks/accounts/x/models/y", "top_logprobs", 6, "refused"),
        ("fireworks/accounts/x/models/y", "top_logprobs", 5, None),
        ("xai/grok-4.3", "stop", "x", "refused"),
        ("local/smollm2", "logit_bias", {}, None),
    ],
)
def test_the_table_says_what_becomes_of_a_parameter(model, parameter, value, fate):
    """By provider, by model, by value."""
    provider, _, name = model.partition("/")
    row = support.fate(provider, Endpoint.CHAT, parameter, name, {parameter: value})
    assert (row.fate if row else None) == fate


def test_another_parameter_may_lift_a_warning():
    """Without reasoning the newest models take a temperature."""
    given_ = {"temperature": 0, "reasoning_effort": "none"}
    assert support.fate("openai", Endpoint.CHAT, "temperature", "gpt-5.1", given_) is None


BODIES = st.dictionaries(
    st.sampled_from(["model", "seed", "random_seed", "max_tokens", "max_completion_tokens", "x"]),
    st.integers(),
)


@given(BODIES, st.sampled_from(["mistral", "together", "openai", "nobody"]))
def test_renaming_is_pure_loses_nothing_and_is_done_once(body, provider):
    """Where a body has both names, the provider's own counts."""
    before = dict(body)
    once = support.rename(provider, Endpoint.CHAT, body)
    assert body == before
    assert support.rename(provider, Endpoint.CHAT, once) == once
    names = support.names(provider, Endpoint.CHAT)
    assert not names.keys() & once.keys()
    for name, value in body.items():
        own = names.get(name, name)
        assert once[own] == body.get(own, value)


def test_dialects_write_the_tables_names():
    """The table and the wire cannot say different things."""
    body = {"model": "m", "messages": [], "seed": 7, "max_completion_tokens": 9}
    assert mistral.line("r0", Endpoint.CHAT, body)["body"] == {
        "messages": [],
        "random_seed": 7,
        "max_tokens": 9,
    }
    said = together.DIALECT.line("r0", Endpoint.CHAT, body)["body"]
    assert said == {"model": "m", "messages": [], "seed": 7, "max_tokens": 9}
    assert together.DIALECT.rewrites == {"max_completion_tokens"}


OMITTED = {
    Endpoint.CHAT: {"messages", "model", "moderation", "prompt_cache_options"},
    Endpoint.RESPONSES: {
        "input", "model", "context_management", "moderation", "prompt", "prompt_cache_options",
        "stream", "access_programs", "background_options", "image",
    },
    Endpoint.EMBEDDINGS: {"input", "model"},
    Endpoint.MODERATIONS: {"input", "model"},
}  # fmt: skip
"""What the SDK's types have and we do not pass on by name: the turns, the model, and what came later."""


@pytest.mark.parametrize("endpoint", list(Endpoint))
def test_a_new_sdk_with_new_parameters_is_noticed(endpoint):
    """Every member of its types is known here, refused here, or left out on purpose."""
    from batchframe.frame import sdk

    known = RULES[endpoint].keys() | REFUSED.keys() | OMITTED[endpoint]
    assert sdk.types(endpoint).keys - known == set()
