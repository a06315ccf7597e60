"""Together's lines: no address in them, error lines without a response, and flat reasoning tokens."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.dialects import openai
from batchframe.dialects.together import DIALECT, decode, line
from batchframe.model import Endpoint, Reply, RowError, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)
NUMBERS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("prompt_tokens", "reasoning_tokens", "completion_tokens_details"), JSON
    ),
)
BODIES = st.fixed_dictionaries({}, optional={"choices": JSON, "usage": JSON | NUMBERS})
LINES = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": JSON,
        "error": JSON,
        "response": JSON | st.fixed_dictionaries({"status_code": JSON, "body": JSON | BODIES}),
    },
)


def answered(**usage):
    """Give a line with an answer."""
    body = {
        "model": "openai/gpt-oss-20b",
        "choices": [{"index": 0, "message": {"content": "1"}, "finish_reason": "stop"}],
        "usage": usage,
    }
    return {"id": "br_1", "custom_id": "r", "response": {"status_code": 200, "body": body}}


def test_a_line_has_a_model_and_no_address():
    """The body is as it was."""
    body = {"model": "m", "messages": []}
    assert json.dumps(line("r0", Endpoint.CHAT, body)) == (
        '{"custom_id": "r0", "body": {"model": "m", "messages": []}}'
    )
    assert DIALECT.verbatim


def test_flat_reasoning_tokens_are_counted():
    """In the place that OpenAI has for them; the line is not touched."""
    given = answered(prompt_tokens=73, completion_tokens=42, total_tokens=115, reasoning_tokens=30)
    before = copy.deepcopy(given)
    reply = decode(given)
    assert reply.usage == Usage(input=73, output=42, reasoning=30)
    assert reply.body["usage"] == {
        "prompt_tokens": 73,
        "completion_tokens": 42,
        "total_tokens": 115,
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    assert (reply.text, reply.error, reply.request_id) == ("1", None, "br_1")
    assert given == before


def test_details_that_are_there_stay():
    """They know better."""
    details = {"reasoning_tokens": 5, "audio_tokens": 1}
    given = answered(completion_tokens=9, reasoning_tokens=7, completion_tokens_details=details)
    assert decode(given).body["usage"]["completion_tokens_details"] == details


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"error": {"code": "batch_client_error", "message": "Unable to access model x."}},
            RowError("batch_client_error", "Unable to access model x."),
        ),
        ({"error": "no"}, RowError("error", "no")),
        ({}, RowError("invalid_body", "the answer has no body", retryable=True)),
    ],
)
def test_an_error_line_has_no_response(found, said):
    """Whatever shape its error has."""
    assert decode({"custom_id": "r", **found}).error == said


@given(LINES)
def test_no_line_raises(found):
    """Whatever a file holds; without flat reasoning tokens it is OpenAI's line."""
    reply = decode(found)
    assert isinstance(reply, Reply)
    if "reasoning_tokens" not in repr(found):
        assert repr(reply) == repr(openai.decode(found))
