"""xAI's lines: OpenAI's going, wrapped coming, with reasoning beside the output and a price in ticks."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.dialects import openai
from batchframe.dialects.xai import DIALECT, decode
from batchframe.model import Reply, RowError, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)
NUMBERS = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": JSON,
        "completion_tokens": JSON,
        "total_tokens": JSON,
        "completion_tokens_details": JSON | st.fixed_dictionaries({"reasoning_tokens": JSON}),
        "cost_in_usd_ticks": JSON,
    },
)
BODIES = st.fixed_dictionaries({}, optional={"choices": JSON, "usage": JSON | NUMBERS, "id": JSON})
RESULTS = st.fixed_dictionaries(
    {},
    optional={
        "error": JSON,
        "response": JSON | BODIES | st.fixed_dictionaries({"chat_get_completion": JSON | BODIES}),
    },
)
LINES = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": JSON,
        "batch_request_id": JSON,
        "batch_result": JSON | RESULTS,
        "error": JSON,
    },
)


def result(wrapper="chat_get_completion", **usage):
    """Give a line with an answer."""
    body = {
        "id": "c1",
        "model": "grok-4.3",
        "choices": [{"index": 0, "message": {"content": "pong"}, "finish_reason": "stop"}],
        "usage": usage,
    }
    response = {wrapper: body} if wrapper else body
    return {"batch_request_id": "r", "batch_result": {"response": response}}


USAGE = {
    "prompt_tokens": 198,
    "completion_tokens": 1,
    "total_tokens": 317,
    "prompt_tokens_details": {"cached_tokens": 192},
    "completion_tokens_details": {"reasoning_tokens": 118},
    "cost_in_usd_ticks": 2747200,
}


def test_a_line_is_openais():
    """Word for word."""
    assert DIALECT.line is openai.line
    assert DIALECT.verbatim


@pytest.mark.parametrize("wrapper", ["chat_get_completion", "", "some_new_name"])
def test_an_answer_becomes_a_reply(wrapper):
    """Reasoning is part of the output, and the price is exact."""
    reply = decode(result(wrapper, **USAGE))
    assert (reply.custom_id, reply.text, reply.error) == ("r", "pong", None)
    assert reply.usage == Usage(input=198, output=119, cached=192, reasoning=118)
    assert reply.body["usage"]["completion_tokens"] == 119
    assert reply.cost == Decimal("0.00027472")
    assert (reply.request_id, reply.model) == ("c1", "grok-4.3")


def test_reasoning_that_is_counted_already_is_not_added():
    """The total says so."""
    inside = {**USAGE, "completion_tokens": 119}
    assert decode(result(**inside)).usage.output == 119
    without = {name: value for name, value in USAGE.items() if name != "total_tokens"}
    assert decode(result(**without)).usage.output == 119


@pytest.mark.parametrize("ticks", [None, -1, 1.5, True, "7", 10**19, [], {}])
def test_a_price_that_is_none_is_unknown(ticks):
    """Never 0."""
    assert decode(result(**{**USAGE, "cost_in_usd_ticks": ticks})).cost is None


def test_the_id_is_ours_where_fetch_wrote_it():
    """Its own name for it does as well."""
    assert decode({"custom_id": "a", "batch_request_id": "b", "batch_result": {}}).custom_id == "a"
    assert decode({"custom_id": 3, "batch_request_id": "b", "batch_result": {}}).custom_id == "b"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("max_tokens must be positive", RowError("error", "max_tokens must be positive")),
        ("Batch cancelled", RowError("batch_cancelled", "Batch cancelled", retryable=True)),
        ("Internal error: x", RowError("internal_error", "Internal error: x", retryable=True)),
        (
            "Rate limit reached",
            RowError("rate_limit_exceeded", "Rate limit reached", retryable=True),
        ),
        ({"code": "bad", "message": "no"}, RowError("bad", "no")),
    ],
)
def test_an_error_is_a_bare_sentence(raw, said):
    """Some of them say that the row was not at fault; what was refused cost nothing."""
    reply = decode({"batch_request_id": "r", "batch_result": {"error": raw}})
    assert reply.error == said
    assert reply.cost is None
    assert DIALECT.decode({"batch_request_id": "r", "batch_result": {}}).error == RowError(
        "invalid_body", "the answer has no body", retryable=True
    )


@given(LINES)
def test_no_line_raises(found):
    """Whatever a file holds; a price is never negative."""
    reply = decode(found)
    assert isinstance(reply, Reply)
    assert reply.cost is None or reply.cost >= 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_counts_add_up(asked, said, thought):
    """Whichever way xAI counts, input and output are the total."""
    details = {"completion_tokens_details": {"reasoning_tokens": thought}}
    for shown in (said, said + thought):
        usage = {"prompt_tokens": asked, "completion_tokens": shown, **details}
        reply = decode(result(**usage, total_tokens=asked + said + thought))
        assert reply.usage.output == said + thought
