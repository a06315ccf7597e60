"""What a provider would refuse is refused here, before anything is staged: once per shape, cheaply per row."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors

DF = pl.DataFrame({"t": ["a", "b", "c"], "x": [0.0, 1.0, None], "n": [3, 9, 5]})


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    """Keys that are none: nothing is sent."""
    for vendor in ("OPENAI", "MISTRAL", "GROQ", "TOGETHER", "FIREWORKS", "XAI"):
        monkeypatch.setenv(f"{vendor}_API_KEY", "no-key-at-all")
    monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", "me")


def refused(model, **options):
    with pytest.raises(errors.InputError) as told:
        DF.batch.plan(model=model, **{"prompt": "{t}", **options})
    assert bf.jobs().height == 0
    return str(told.value)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("openai/gpt-5-mini", {"temperature": 0}, "openai/gpt-5-mini takes no temperature=0: it is a reasoning model. Leave it out. To send it all the same: extra_body={'temperature': ...}."),
        ("openai/o3", {"max_tokens": 5}, "openai/o3 takes no max_tokens=: there reasoning counts as well. Type: max_completion_tokens=..., with room to think. To send it all the same: extra_body={'max_tokens': ...}."),
        ("groq/openai/gpt-oss-20b", {"logit_bias": {}}, "groq/openai/gpt-oss-20b takes no logit_bias=: none of its models supports it, and it answers 400. Leave it out. To send it all the same: extra_body={'logit_bias': ...}."),
        ("openai/gpt-4.1-mini", {"tools": [{"type": "function"}]}, "openai would refuse every row: tools[0].function is missing, by the types of the openai package. To send it all the same: extra_body={'tools': ...}."),
        ("openai/gpt-4.1-mini", {"response_format": {"type": "json"}}, "openai would refuse every row: response_format.type must be 'text', 'json_schema' or 'json_object', by the types of the openai package. To send it all the same: extra_body={'response_format': ...}."),
    ],
)  # fmt: skip
def test_a_constant_that_every_row_would_fail_by_is_refused(model, options, message):
    """With the parameter, the model, the reason and the line to type."""
    assert refused(model, **options) == message


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("openai/gpt-5-mini", {"temperature": 1, "reasoning_effort": "low"}),
        ("openai/gpt-5-mini", {"extra_body": {"temperature": 0}}),
        ("openai/gpt-4.1-mini", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("groq/openai/gpt-oss-20b", {"reasoning_effort": "default"}),
        ("together/openai/gpt-oss-20b", {"max_completion_tokens": 9, "extra_body": {"top_k": 4}}),
        ("mistral/mistral-small-latest", {"seed": 1, "tool_choice": "any"}),
        ("local/smollm2", {"logit_bias": {}, "temperature": 0}),
    ],
)
def test_what_a_provider_takes_is_not_refused(model, options):
    """Its own values, its own parameters by extra_body, and everything at a server of one's own."""
    assert DF.batch.plan(model=model, prompt="{t}", **options).refusals == ()


def test_a_rows_value_that_its_model_refuses_is_that_rows_error():
    """A null leaves the parameter out; what every reasoning model takes may pass."""
    found = DF.batch.requests(model="openai/gpt-5-mini", prompt="{t}", temperature=pl.col("x"))
    assert found["error"].is_null().to_list() == [False, True, True]
    assert found["error"][0].startswith("invalid_request: openai/gpt-5-mini takes no temperature=")


def test_models_per_row_are_each_held_to_their_own():
    """The same column, two models."""
    models = pl.DataFrame({"t": ["a", "b"], "m": ["openai/gpt-5-mini", "openai/gpt-4.1-mini"]})
    two = models.with_columns(x=pl.lit(0.0))
    found = two.batch.requests(model=pl.col("m"), prompt="{t}", temperature=pl.col("x"))
    assert found["error"].is_null().to_list() == [False, True]


def test_conversations_of_their_own_shape_are_looked_at_row_by_row():
    """A role that nobody has is that row's error; the verdict is asked once per skeleton."""
    turns = [
        [{"role": "user", "content": "x"}],
        [{"role": "robot", "content": "y"}],
        [{"role": "user", "content": "z"}],
    ]
    frame = pl.DataFrame({"turns": turns})
    found = frame.batch.requests(model="openai/gpt-4.1-mini", messages=pl.col("turns"))
    assert found["error"].is_null().to_list() == [True, False, True]
    assert "role must be" in found["error"][1]
    with pytest.raises(errors.InputError) as told:
        frame.batch.requests(
            model="openai/gpt-4.1-mini", messages=pl.col("turns"), on_invalid="raise"
        )
    assert "row 1" in str(told.value)


def test_a_warning_is_in_the_plan_and_strict_refuses_it():
    """What a provider ignores is no error, unless one wants it to be."""
    options = {"model": "groq/openai/gpt-oss-20b", "prompt": "{t}", "presence_penalty": 1}
    told = "groq/openai/gpt-oss-20b: presence_penalty= is sent, and none of its models heeds it"
    assert told in DF.batch.plan(**options).warnings
    with pytest.raises(errors.InputError) as refusal:
        DF.batch.requests(**options, strict=True)
    assert str(refusal.value) == (
        f"strict=True refuses what would only be a warning: {told}. To send it all the same: "
        "strict=False."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_invalid": "rise"}, "on_invalid='rise': it is 'row_error' or 'raise'. Did you mean 'raise'?"),
        ({"strict": 1}, "strict=1: it is True or False."),
    ],
)  # fmt: skip
def test_the_two_arguments_are_checked(options, message):
    """As all are."""
    assert refused("openai/gpt-4.1-mini", **options) == message


def test_local_models_need_no_sdk(monkeypatch):
    """Half a second that only remote providers cost."""
    from batchframe.frame import sdk

    monkeypatch.setattr(sdk, "types", lambda _: pytest.fail("the SDK was asked"))
    DF.batch.plan(model="local/smollm2", prompt="{t}", temperature=0)
