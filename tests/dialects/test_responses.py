"""The Responses API and moderations: bodies out of a chat's words, answers back into them."""

from __future__ import annotations

import json

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from batchframe import errors
from batchframe.dialects import openai, responses
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"t": ["a", 'say "b"'], "u": ["https://x/1.png", "https://x/2.png"]})


def bodies(**options):
    found = DF.batch.requests(model="fake/m", endpoint="responses", **options)
    return [orjson.loads(body) for body in found["body"]]


def line(body):
    return {"custom_id": "r0", "response": {"status_code": 200, "body": body}, "error": None}


@pytest.fixture(autouse=True)
def cloud(tmp_path):
    """A provider that takes any endpoint."""
    with registered(Fake(tmp_path / "cloud", answer, polls=0)) as fake:
        yield fake


def answer(body):
    """Answer as the Responses API does, with the last text that came."""
    if "input" in body and isinstance(body["input"], str):
        flagged = "b" in body["input"]
        return {"id": "modr-1", "model": "omni", "results": [{"flagged": flagged}]}
    content = body["input"][-1]["content"]
    text = json.dumps({"said": content if isinstance(content, str) else content[0]["text"]})
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m-1",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": []},
            {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]},
        ],
        "usage": {
            "input_tokens": 16, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 25,
        },
    }  # fmt: skip


def test_a_prompt_becomes_input_items():
    """With the system turn first and that API's own parameters."""
    assert bodies(prompt="{t}", system="Short.", max_output_tokens=9)[1] == {
        "input": [
            {"role": "system", "content": "Short."},
            {"role": "user", "content": 'say "b"'},
        ],
        "max_output_tokens": 9,
    }


def test_the_parts_of_a_message_get_that_apis_names():
    """Texts and images, constant and per row; an assistant's texts are output."""
    told = bodies(
        messages=[
            {"role": "assistant", "content": [{"type": "text", "text": "Before."}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "{t}"},
                    {"type": "image_url", "image_url": {"url": "{u}", "detail": "low"}},
                ],
            },
        ]
    )
    assert told[0]["input"] == [
        {"role": "assistant", "content": [{"type": "output_text", "text": "Before."}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "https://x/1.png", "detail": "low"},
            ],
        },
    ]


def test_the_bodies_pass_the_sdks_own_types():
    """Unknown keys and wrong roles included: nothing is lazy here."""
    from openai.types.responses import response_create_params

    class Said(BaseModel):
        said: str

    adapter = TypeAdapter(response_create_params.ResponseCreateParamsNonStreaming)
    for options in (
        {"prompt": "{t}", "system": "x", "temperature": 0, "response_model": Said},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "{t}"}]}]},
    ):
        for body in bodies(**options):
            found = adapter.validate_python({"model": "m", **body}, strict=True, extra="forbid")
            assert found["model"] == "m"


def test_answers_come_back_in_a_chats_words():
    """Text, typed answer, finish reason, tokens with what is cached and reasoned."""

    class Said(BaseModel):
        said: str

    job = DF.batch.submit(model="fake/m", endpoint="responses", prompt="{t}", response_model=Said)
    found = job.result()
    assert found["parsed"].struct["said"].to_list() == DF["t"].to_list()
    assert found["finish_reason"].to_list() == ["stop"] * 2
    counts = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    assert found.select(counts).row(0) == (16, 4, 9, 5)


def test_a_moderation_gives_its_verdict_as_json():
    """It judges the prompt alone and counts no tokens."""
    job = DF.batch.submit(model="fake/m", endpoint="moderations", prompt="{t}")
    verdicts = [json.loads(text) for text in job.result()["response"]]
    assert verdicts == [{"flagged": False}, {"flagged": True}]
    assert job.result()["input_tokens"].null_count() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "chats", "prompt": "x"}, "endpoint='chats': it is 'chat', 'responses', 'moderations'. Did you mean 'chat'? For vectors: df.batch.embed(...)."),
        ({"endpoint": "moderations", "prompt": "x", "system": "y"}, "/v1/moderations judges the text of prompt= alone; leave system= out."),
        ({"endpoint": "moderations"}, 'A moderation needs prompt=, for example prompt="{text}".'),
        ({"endpoint": "moderations", "prompt": "x", "temperature": 0}, "No parameter 'temperature' for /v1/moderations. A parameter only your server knows goes into extra_body={'temperature': ...}."),
        ({"endpoint": "responses", "prompt": "x", "background": True}, "The parameter 'background' was refused: a batch is in the background by itself; leave it out."),
    ],
)  # fmt: skip
def test_wrong_calls_are_refused(options, message):
    """Before anything is sent."""
    with pytest.raises(errors.InputError) as told:
        DF.batch.submit(model="fake/m", **options)
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("changes", "code", "finish"),
    [
        ({"output": []}, "empty_answer", "stop"),
        ({"output": [], "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "empty_answer", "length"),
        ({"output": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, None, "tool_calls"),
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]}, "refusal", "stop"),
        ({"status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}}, "server_error", None),
    ],
)  # fmt: skip
def test_an_answer_without_text_says_why(changes, code, finish):
    """As in a chat."""
    body = {**answer({"input": [{"content": "x"}]}), **changes}
    found = openai.decode(line(body))
    assert (found.error.code if found.error else None, found.finish_reason) == (code, finish)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "text", "content", "output", "refusal", "results", "status", "incomplete_details", "reason", "input_tokens"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    output=st.lists(JSON, max_size=4), rest=st.dictionaries(st.text(max_size=4), JSON, max_size=3)
)
def test_whatever_stands_there_nothing_is_raised(output, rest):
    """Model output and providers are hostile."""
    for name in ("output", "results"):
        assert openai.decode(line({**rest, name: output})).custom_id == "r0"


@given(turns=st.lists(JSON, max_size=4))
def test_items_are_pure(turns):
    """Twice the same, and what was given stays as it was."""
    before = json.dumps(turns)
    mappings = [turn for turn in turns if isinstance(turn, dict)]
    assert responses.items(mappings) == responses.items(mappings)
    assert json.dumps(turns) == before
