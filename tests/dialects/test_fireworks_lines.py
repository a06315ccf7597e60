"""Fireworks' lines: no model in them, and answers without a wrapper."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.dialects.fireworks import DIALECT, decode, line
from batchframe.model import Endpoint, Reply, RowError, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)
LINES = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": JSON,
        "error": JSON | st.fixed_dictionaries({"code": JSON | st.text("0123456789²٣", max_size=4)}),
        "response": JSON
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("choices", "usage", "id", "body", "status_code"), JSON)
        ),
    },
)
BODY = {
    "id": "c1",
    "model": "accounts/fireworks/models/m",
    "choices": [{"index": 0, "message": {"content": "Paris"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 4},
    },
}


def test_a_line_has_neither_model_nor_address():
    """The members stay in their order."""
    body = {"model": "m", "messages": [], "max_tokens": 100}
    assert json.dumps(line("r0", Endpoint.CHAT, body)) == (
        '{"custom_id": "r0", "body": {"messages": [], "max_tokens": 100}}'
    )
    assert DIALECT.verbatim


def test_an_answer_needs_no_wrapper_and_may_have_one():
    """Either is the same reply."""
    expected = Reply(
        "r", body=BODY, text="Paris", model=BODY["model"], finish_reason="stop",
        usage=Usage(input=9, output=1, cached=4), request_id="c1",
    )  # fmt: skip
    assert decode({"custom_id": "r", "response": BODY}) == expected
    wrapped = {"status_code": 200, "request_id": "c1", "body": BODY}
    assert decode({"custom_id": "r", "response": wrapped, "error": None}) == replace(
        expected, status=200
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"error": {"message": "no", "code": "500"}}, RowError("500", "no", retryable=True)),
        ({"error": {"message": "no", "code": 429}}, RowError("429", "no", retryable=True)),
        ({"error": {"message": "no", "code": "400"}}, RowError("400", "no")),
        ({"error": {"message": "no", "code": "bad"}}, RowError("bad", "no")),
        ({"error": "no"}, RowError("error", "no")),
        ({"response": {"error": {"message": "no", "code": "bad"}}}, RowError("bad", "no")),
        (
            {"response": {"status_code": 503, "body": None}},
            RowError("503", "HTTP status 503", retryable=True),
        ),
        ({}, RowError("invalid_body", "the answer has no body", retryable=True)),
        ({"response": []}, RowError("invalid_body", "the answer has no body", retryable=True)),
    ],
)
def test_errors_of_every_shape(found, said):
    """A status that is written as text is one all the same."""
    assert decode({"custom_id": "r", **found}).error == said


@given(LINES)
def test_no_line_raises(found):
    """Whatever a file holds."""
    assert isinstance(decode(found), Reply)
