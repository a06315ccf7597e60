"""The normal form: whatever providers answer, what comes out is an object of OpenAI's."""

from __future__ import annotations

import base64
import json
import struct

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.dialects.normal import finish_reason, normalised

types = pytest.importorskip("openai.types")
MODELS = {
    "choices": pytest.importorskip("openai.types.chat").ChatCompletion,
    "data": types.CreateEmbeddingResponse,
    "output": pytest.importorskip("openai.types.responses").Response,
}
"""The SDK's own types by the member that a body claims them with."""


def valid(body):
    """See that a body is what it claims to be, to the letter."""
    name = next(name for name in MODELS if isinstance(body.get(name), list))
    try:
        written = orjson.dumps(body)
    except TypeError:  # a number of more than 64 bits
        written = json.dumps(body)
    MODELS[name].model_validate(json.loads(written), strict=True, extra="forbid")


CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 5,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "x", "refusal": None, "annotations": []},
            "logprobs": {
                "content": [
                    {"token": "x", "bytes": [120], "logprob": -0.5, "top_logprobs": []},
                ],
                "refusal": None,
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": None,
    },
    "service_tier": "default",
    "system_fingerprint": None,
}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
VECTOR = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}],
    "model": "e",
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}
RESPONSE = {
    "id": "r",
    "object": "response",
    "created_at": 1762445017,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "m",
    "output": [
        {"id": "rs", "type": "reasoning", "summary": []},
        {
            "id": "msg",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "text": "Hi."}],
        },
        {"type": "function_call", "id": "f", "call_id": "c", "name": "n", "arguments": "{}"},
    ],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 16,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 217,
        "output_tokens_details": {"reasoning_tokens": 192},
        "total_tokens": 233,
    },
}


@pytest.mark.parametrize("body", [CHAT, VECTOR, RESPONSE], ids=["chat", "vector", "response"])
def test_a_normal_body_stays_as_it_is(body):
    """And leaves nothing over."""
    valid(body)
    assert normalised(body) == (body, None)


TABLE = {
    "azure": (
        {
            "choices": [
                {
                    "content_filter_results": {"hate": {"filtered": False}},
                    "finish_reason": "stop",
                    "index": 0,
                    "logprobs": None,
                    "message": {"content": "x", "role": "assistant"},
                }
            ],
            "prompt_filter_results": [{"prompt_index": 0}],
        },
        {
            "choices": [{"content_filter_results": {"hate": {"filtered": False}}}],
            "prompt_filter_results": [{"prompt_index": 0}],
        },
    ),
    "together": (
        {
            "prompt": [],
            "choices": [
                {
                    "finish_reason": "eos",
                    "seed": None,
                    "message": {"role": "assistant", "content": "1", "reasoning": "…"},
                }
            ],
            "usage": {"prompt_tokens": 73.0, "completion_tokens": 42, "reasoning_tokens": 0},
        },
        {
            "prompt": [],
            "choices": [{"finish_reason": "eos", "seed": None, "message": {"reasoning": "…"}}],
            "usage": {"reasoning_tokens": 0},
        },
    ),
    "a thinking mistral": (
        {
            "choices": [
                {
                    "message": {
                        "content": [
                            {"type": "thinking", "thinking": []},
                            {"type": "text", "text": "So: "},
                            {"type": "text", "text": "yes"},
                        ]
                    },
                    "finish_reason": "model_length",
                }
            ]
        },
        None,
    ),
    "tools": (
        {
            "choices": [
                {
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [CALL, {"type": "magic"}, {"function": {"name": "g"}}],
                    },
                    "finish_reason": "tool_use",
                }
            ],
            "service_tier": "on_demand",
        },
        {
            "choices": [
                {
                    "finish_reason": "tool_use",
                    "message": {"tool_calls": [None, {"type": "magic"}, None]},
                }
            ],
            "service_tier": "on_demand",
        },
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_providers_add_stands_beside_the_body(name):
    """Nothing of it is lost, and the body passes the SDK's own types."""
    body, extra = TABLE[name]
    made, left = normalised(body)
    valid(made)
    assert normalised(made) == (made, None)
    if extra is not None:
        assert left == extra
    if name == "a thinking mistral":
        assert made["choices"][0]["message"]["content"] == "So: yes"
        assert left["choices"][0]["message"]["content"] == body["choices"][0]["message"]["content"]
        assert made["choices"][0]["finish_reason"] == "length"
    if name == "together":
        assert made["usage"] == {"prompt_tokens": 73, "completion_tokens": 42, "total_tokens": 115}


def test_packed_vectors_become_numbers():
    """They are the same ones, so nothing is left over."""
    packed = base64.b64encode(struct.pack("<2f", 0.5, -2)).decode()
    made, left = normalised({**VECTOR, "data": [{"object": "embedding", "embedding": packed}]})
    valid(made)
    assert made["data"] == [{"index": 0, "object": "embedding", "embedding": [0.5, -2.0]}]
    assert left is None


def test_a_usage_that_says_too_little_is_left_over():
    """No count is invented."""
    made, left = normalised({**CHAT, "usage": {"prompt_tokens": 1}})
    valid(made)
    assert "usage" not in made
    assert left == {"usage": {"prompt_tokens": 1}}


def test_a_number_that_is_none_is_left_over():
    """No JSON can say infinity."""
    token = {"token": "x", "logprob": float("-inf"), "top_logprobs": []}
    choice = {**CHAT["choices"][0], "logprobs": {"content": [token]}}
    made, left = normalised({**CHAT, "choices": [choice]})
    valid(made)
    assert made["choices"][0]["logprobs"] == {"content": []}
    assert left == {"choices": [{"logprobs": {"content": [token]}}]}


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("stop", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"),
     ("end_turn", "stop"), ("tool_use", "tool_calls"), ("?", "stop"), ("", "stop")],
)  # fmt: skip
def test_the_nearest_of_the_words_for_an_end(word, nearest):
    """An unknown one is an ordinary end."""
    assert finish_reason(word) == nearest


values = st.recursive(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 1.0, 2.5, 1e300, float("inf"), float("nan"), 10**30, "", "x",
         "stop", "text", "message", "function", "reasoning", "output_text", "AAAA"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["id", "index", "type", "text", "content", "message", "choices", "usage", "function",
             "name", "arguments", "prompt_tokens", "completion_tokens", "total_tokens", "logprobs",
             "token", "logprob", "bytes", "summary", "tool_calls", "role", "embedding", "zzz"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


def paths(node, path=()):
    """Give the paths of everything inside a body."""
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for name, value in inner:
        yield (*path, name)
        yield from paths(value, (*path, name))


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_whatever_came_what_goes_is_normal(name, data):
    """Nothing raises; the SDK's types take it; and once more changes nothing."""
    body = json.loads(json.dumps({"choices": CHAT, "data": VECTOR, "output": RESPONSE}[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(paths(body))))
        node = body
        for step in path[:-1]:
            node = node[step]
        kind = data.draw(st.sampled_from(["set", "drop", "add"]))
        if kind == "drop":
            del node[path[-1]]
        elif kind == "add" and isinstance(node, dict):
            node["reasoning"] = data.draw(values)
        else:
            node[path[-1]] = data.draw(values)
        if not body:
            break
    made, left = normalised(body)
    if not isinstance(body.get(name), list):
        return
    valid(made)
    assert normalised(made) == (made, None)
    assert left is None or isinstance(left, dict)
