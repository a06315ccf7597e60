"""The OpenAI line: how it is written, and how any line becomes a row's outcome."""

from __future__ import annotations

import base64
import copy
import functools
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.dialects.openai import decode, line, usage
from batchframe.model import Endpoint, Reply, RowError, Usage


def answered(body=None, **changes):
    """Give a line with a body."""
    response = {"status_code": 200, "request_id": "q1", "body": body, **changes}
    return {"id": "b1", "custom_id": "r0", "response": response, "error": None}


def chat(message=None, finish="stop", **body):
    """Give the line of a chat answer."""
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return answered({"choices": [choice], "model": "m-1", **body})


# --- lines


def test_a_line_has_the_order_of_the_reference():
    """Byte for byte the same on every run; the body is not touched."""
    body = {"model": "m", "messages": [{"role": "user", "content": "é"}]}
    before = copy.deepcopy(body)
    assert json.dumps(line("r0", Endpoint.CHAT, body)) == (
        '{"custom_id": "r0", "method": "POST", "url": "/v1/chat/completions", "body": '
        '{"model": "m", "messages": [{"role": "user", "content": "\\u00e9"}]}}'
    )
    assert line("e", Endpoint.EMBEDDINGS, {})["url"] == "/v1/embeddings"
    assert body == before


def test_an_answer_becomes_a_reply():
    """Text, model, reason, tokens, and what our own journal adds."""
    given = chat(
        {"content": "Yes."},
        usage={
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    )
    given["batchframe"] = {"attempts": 2, "latency": 1.5}
    before = copy.deepcopy(given)
    assert decode(given) == Reply(
        "r0",
        body=given["response"]["body"],
        text="Yes.",
        model="m-1",
        finish_reason="stop",
        usage=Usage(input=9, output=4, cached=3, reasoning=1, cache_write=2),
        request_id="q1",
        attempts=2,
        latency=1.5,
        status=200,
    )
    assert given == before


INVALID = "invalid_body"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        # no answer in it
        ({"custom_id": "r0"}, RowError(INVALID, "the answer has no body", retryable=True)),
        (answered(), RowError(INVALID, "the answer has no body", retryable=True)),
        (answered("text"), RowError(INVALID, "the answer has no body", retryable=True)),
        (answered([1]), RowError(INVALID, "the answer has no body", retryable=True)),
        (answered({"x": 1}), RowError(INVALID, "the answer holds no choices", retryable=True)),
        (
            answered({"choices": []}),
            RowError(INVALID, "the answer holds no choices", retryable=True),
        ),
        (
            answered({"choices": [7]}),
            RowError(INVALID, "the answer holds no choices", retryable=True),
        ),
        (
            chat({"content": None}, "length"),
            RowError("empty_answer", "the answer holds no text (finish_reason: length)"),
        ),
        (chat(None), RowError("empty_answer", "the answer holds no text (finish_reason: stop)")),
        (
            chat({"content": 5}, None),
            RowError("empty_answer", "the answer holds no text (finish_reason: None)"),
        ),
        (chat({"content": None, "refusal": "I won't."}), RowError("refusal", "I won't.")),
        (
            chat({"content": None}, "content_filter"),
            RowError("content_filter", "the provider's filter held the answer back"),
        ),
        # an error where OpenAI puts it
        (
            {"custom_id": "r0", "error": {"code": "batch_expired", "message": "late"}},
            RowError("batch_expired", "late", retryable=True),
        ),
        (
            answered(
                {"error": {"code": "bad", "type": "invalid", "message": "x"}}, status_code=400
            ),
            RowError("bad", "x"),
        ),
        (
            answered({"error": {"code": None, "type": "invalid", "message": "x"}}, status_code=400),
            RowError("invalid", "x"),
        ),
        (
            answered({"error": {"code": "insufficient_quota", "message": "x"}}, status_code=429),
            RowError("insufficient_quota", "x", retryable=True),
        ),
        # an error where others put it
        (
            answered({"error": {"code": "server_error", "message": "x"}, "choices": [{}]}),
            RowError("server_error", "x", retryable=True),
        ),
        ({"custom_id": "r0", "error": "boom"}, RowError("error", "boom")),
        ({"custom_id": "r0", "error": ["boom"]}, RowError("error", "")),
        ({"custom_id": "r0", "error": 7}, RowError("error", "")),
        (
            {"custom_id": "r0", "error": {"error": {"type": "overloaded", "message": "x"}}},
            RowError("overloaded", "x", retryable=True),
        ),
        (
            {"custom_id": "r0", "error": {"code": 503, "message": "x"}},
            RowError("503", "x", retryable=True),
        ),
        (
            {
                "custom_id": "r0",
                "error": functools.reduce(lambda e, _: {"error": e}, range(2000), "x"),
            },
            RowError("error", "x"),
        ),
        ({"custom_id": "r0", "error": {"code": 10**9}}, RowError("1000000000", "")),
        (
            answered({"error": "model not found"}, status_code=404),
            RowError("404", "model not found"),
        ),
        (
            answered({"object": "error", "message": "too long", "type": "bad"}, status_code=400),
            RowError("bad", "too long"),
        ),
        (answered({"detail": "Not Found"}, status_code=404), RowError("404", "Not Found")),
        (
            answered({"detail": [{"loc": []}]}, status_code=422),
            RowError("422", "HTTP status 422"),
        ),
        # statuses
        (answered({"x": 1}, status_code=500), RowError("500", "HTTP status 500", retryable=True)),
        (answered(None, status_code=408), RowError("408", "HTTP status 408", retryable=True)),
        (answered({}, status_code=0), RowError("error", "HTTP status 0", retryable=True)),
        (answered({}, status_code=302), RowError("302", "HTTP status 302")),
    ],
    ids=lambda p: p.code if isinstance(p, RowError) else "",
)
def test_an_error_of_any_shape_becomes_a_row_error(given, error):
    """Wherever the server puts it."""
    assert decode(given).error == error


@pytest.mark.parametrize("empty", [None, "", {}, [], False])
def test_an_empty_error_is_none(empty):
    """A paid answer beside it is an answer."""
    given = chat({"content": "Yes."}, error=empty)
    given["error"] = empty
    found = decode(given)
    assert (found.error, found.text) == (None, "Yes.")


@pytest.mark.parametrize("status", [None, "200", True, 200, 201, 299])
def test_a_status_that_says_nothing_bad_is_fine(status):
    """Missing, or in a form of its own."""
    given = chat({"content": "Yes."})
    given["response"]["status_code"] = status
    assert decode(given).text == "Yes."


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": []}, {"type": "text", "text": "b"}], "b"),
        ([{"type": "output_text", "text": "a"}, 7, {"type": "text", "text": 8}], "a"),
    ],
    ids=repr,
)
def test_text_may_come_in_parts(content, text):
    """Thoughts are not the answer, and an empty text is one."""
    found = decode(chat({"content": content}))
    assert (found.text, found.error) == (text, None)


@pytest.mark.parametrize("name", ["tool_calls", "function_call", "audio"])
def test_an_answer_may_be_no_text(name):
    """A tool call or a sound answers too; the body has it."""
    found = decode(chat({"content": None, name: [{"id": "1"}]}, "tool_calls"))
    assert (found.text, found.error, found.finish_reason) == (None, None, "tool_calls")


def test_a_refused_row_keeps_what_it_cost():
    """Some providers count the tokens of what their filter held back."""
    given = answered({"error": {"code": "x"}, "usage": {"prompt_tokens": 5}}, status_code=400)
    found = decode(given)
    assert found.usage.input == 5
    assert found.body == given["response"]["body"]


def test_a_provider_cannot_flood_the_ledger():
    """Codes and messages are cut; the body has them whole."""
    found = decode({"custom_id": "r0", "error": {"code": "c" * 999, "message": "m" * 9999}})
    assert found.error == RowError("c" * 64, "m" * 2000)


@pytest.mark.parametrize(
    ("vector", "found"),
    [
        ([0.5, 1, -2], (0.5, 1.0, -2.0)),
        (base64.b64encode(struct.pack("<2f", 0.5, -2)).decode(), (0.5, -2.0)),
        ([], None),
        (None, None),
        ("", None),
        ("no base64!", None),
        (base64.b64encode(b"12345").decode(), None),
        ([0.5, None], None),
        ([True], None),
        ([[0.5]], None),
        ([10**400], None),
    ],
    ids=repr,
)
def test_a_vector_is_numbers_or_their_base64(vector, found):
    """Anything else is an error that a second try may mend."""
    reply = decode(answered({"data": [{"embedding": vector}], "usage": {"prompt_tokens": 3}}))
    assert reply.embedding == found
    assert reply.usage.input == 3
    wrong = RowError(INVALID, "the answer holds no vector", retryable=True)
    assert reply.error == (None if found else wrong)


@pytest.mark.parametrize("data", [[], [7], [None]])
def test_no_vector_at_all_is_an_error(data):
    """As an empty one is."""
    assert decode(answered({"data": data})).error is not None


@pytest.mark.parametrize("count", [-1, 1.5, 2.0, True, "5", 2**31, 10**30, None, [], {}])
def test_a_count_that_is_no_count_is_unknown(count):
    """Unknown is not 0."""
    raw = {
        "prompt_tokens": count,
        "completion_tokens": 2**31 - 1,
        "prompt_tokens_details": {"cached_tokens": count},
        "completion_tokens_details": count,
    }
    assert usage(raw) == Usage(output=2**31 - 1)
    assert usage(count) == Usage()


@pytest.mark.parametrize("odd", [-1, "1", True, 10**400, [], float("inf")])
def test_our_own_facts_are_not_trusted_either(odd):
    """A journal may be damaged."""
    given = chat({"content": "x"})
    given["batchframe"] = {"attempts": odd, "latency": odd}
    found = decode(given)
    assert (found.attempts, found.latency) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "custom_id",
                    "error",
                    "code",
                    "message",
                    "type",
                    "detail",
                    "response",
                    "status_code",
                    "body",
                    "choices",
                    "data",
                    "usage",
                    "embedding",
                    "content",
                    "refusal",
                    "finish_reason",
                    "model",
                    "id",
                    "batchframe",
                    "latency",
                    "prompt_tokens",
                    "prompt_tokens_details",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["error", "response", "batchframe", "id"]), JSON), JSON)
def test_no_line_raises(given, body):
    """Whatever stands where: there is an answer or an error, and no count is negative."""
    for one in (given, answered(body), answered({"choices": [{"message": body}]})):
        found = decode({**one, "custom_id": "r0"})
        assert found.custom_id == "r0"
        assert found.error is None or found.error.code
        assert found.error is not None or found.body
        counts = (found.usage.input, found.usage.cached, found.attempts)
        assert all(count is None or count >= 0 for count in counts)
