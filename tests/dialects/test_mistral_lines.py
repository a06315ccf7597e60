"""Mistral's lines: no model in them, names of its own, and refusals of every shape."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.dialects import openai
from batchframe.dialects.mistral import DIALECT, NAMES, decode, line
from batchframe.model import Endpoint, Reply, RowError, Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)
BODIES = JSON | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("choices", "usage", "detail", "message", "data", "error"), JSON)
)
LINES = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": JSON,
        "error": JSON,
        "id": JSON,
        "response": JSON | st.fixed_dictionaries({"status_code": JSON, "body": BODIES}),
    },
)


def test_a_line_has_neither_model_nor_address():
    """The members stay in their order; the body is not touched."""
    body = {"model": "m", "messages": [], "temperature": 0.5}
    before = copy.deepcopy(body)
    assert json.dumps(line("r0", Endpoint.CHAT, body)) == (
        '{"custom_id": "r0", "body": {"messages": [], "temperature": 0.5}}'
    )
    assert body == before


def test_some_parameters_have_other_names():
    """Mistral refuses names it does not know; its own name, where both are given, counts."""
    given = {"seed": 1, "max_completion_tokens": 5, "n": 2}
    assert line("r", Endpoint.CHAT, given)["body"] == {"random_seed": 1, "max_tokens": 5, "n": 2}
    both = {"max_completion_tokens": 5, "max_tokens": 9}
    assert line("r", Endpoint.CHAT, both)["body"] == {"max_tokens": 9}
    assert line("r", Endpoint.EMBEDDINGS, {"input": "x", "dimensions": 8, "seed": 1})["body"] == {
        "input": "x",
        "output_dimension": 8,
        "seed": 1,
    }


def test_what_is_rewritten_is_declared():
    """A body without those may be copied as it is."""
    assert DIALECT.rewrites == {name for names in NAMES.values() for name in names}
    assert DIALECT.verbatim


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_a_body_without_those_is_the_same_but_for_its_model(body):
    """What `verbatim` promises."""
    plain = {name: value for name, value in body.items() if name not in DIALECT.rewrites}
    expected = [(name, value) for name, value in plain.items() if name != "model"]
    made = line("r", Endpoint.CHAT, plain)["body"]
    assert repr(list(made.items())) == repr(expected)


def test_an_answer_becomes_a_reply():
    """As OpenAI's does."""
    body = {
        "model": "mistral-small-latest",
        "choices": [{"index": 0, "message": {"content": "Comté."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
    }
    given = {
        "id": "b-1",
        "custom_id": "0",
        "response": {"status_code": 200, "body": body},
        "error": None,
    }
    assert decode(given) == Reply(
        "0", body=body, text="Comté.", model="mistral-small-latest", finish_reason="stop",
        usage=Usage(input=10, output=4), request_id="b-1", status=200,
    )  # fmt: skip


DETAIL = [
    {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"},
    "odd",
    7,
    {"loc": [], "msg": None},
]


@pytest.mark.parametrize(
    ("response", "error", "said"),
    [
        (
            {"status_code": 429, "body": None},
            None,
            RowError("429", "HTTP status 429", retryable=True),
        ),
        ({"status_code": 500, "body": None}, "broke", RowError("500", "broke", retryable=True)),
        (
            {"status_code": 400, "body": None},
            {"code": "bad", "message": "no"},
            RowError("bad", "no"),
        ),
        (None, "lost", RowError("error", "lost")),
        (
            {
                "status_code": 400,
                "body": {"object": "error", "message": "too long", "code": "3051"},
            },
            None,
            RowError("3051", "too long"),
        ),
        (
            {"status_code": 422, "body": {"detail": DETAIL}},
            None,
            RowError(
                "422",
                "body.seed: Extra inputs are not permitted; odd; unknown fault; not accepted",
            ),
        ),
        (
            {"status_code": 401, "body": {"detail": "Unauthorized"}},
            None,
            RowError("401", "Unauthorized"),
        ),
    ],
)
def test_errors_of_every_shape(response, error, said):
    """A sentence, an object, none at all; a body, a list of faults, none at all."""
    reply = decode({"custom_id": "r", "response": response, "error": error})
    assert reply.error == said
    assert reply.body == ((response or {}).get("body") or None)


@given(LINES)
def test_no_line_raises(found):
    """Whatever a file holds."""
    reply = decode(found)
    assert isinstance(reply, Reply)
    body = (
        (found.get("response") or {}).get("body")
        if isinstance(found.get("response"), dict)
        else None
    )
    if not (isinstance(body, dict) and isinstance(body.get("detail"), list)):
        assert repr(reply) == repr(openai.decode(found))
