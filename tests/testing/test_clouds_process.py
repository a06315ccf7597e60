"""A cloud in a process of its own, and every cloud's face."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import httpx2
import pytest
from cloudkit import calling, jsonl, line, polled, started

from batchframe.testing import clouds

MAKERS = ("openai", "azure", "groq", "mistral", "together", "fireworks", "xai")
KEYS = {
    "openai": {"OPENAI_API_KEY", "OPENAI_BASE_URL"},
    "azure": {"AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"},
    "groq": {"GROQ_API_KEY", "GROQ_BASE_URL"},
    "mistral": {"MISTRAL_API_KEY", "MISTRAL_BASE_URL"},
    "together": {"TOGETHER_API_KEY", "TOGETHER_BASE_URL"},
    "fireworks": {"FIREWORKS_API_KEY", "FIREWORKS_ACCOUNT_ID", "FIREWORKS_BASE_URL"},
    "xai": {"XAI_API_KEY", "XAI_BASE_URL"},
}
PATHS = {"openai": "/v1", "groq": "/openai/v1", "together": "/v1", "xai": "/v1"}
SYNC = {"azure": "/openai/v1", "mistral": "/v1", "fireworks": "/inference/v1"}


@pytest.mark.parametrize("name", MAKERS)
def test_every_cloud_tells_where_it_is(name):
    """Its address, and the variables that lead there."""
    with getattr(clouds, name)() as cloud:
        assert cloud.url == cloud.root + PATHS.get(name, "")
        found = cloud.environment()
        assert set(found) == KEYS[name]
        assert {cloud.key, cloud.url} <= set(found.values())


@pytest.mark.parametrize("name", MAKERS)
def test_every_cloud_answers_at_once_too(name):
    """By the same model, in the same words; a row's error is then the call's."""
    with getattr(clouds, name)() as cloud, calling(cloud) as client:
        cloud.answer = lambda _body: "hello"
        path = f"{cloud.url}{SYNC.get(name, '')}/chat/completions"
        body = client.post(path, json=line(0)["body"]).json()
        assert body["choices"][0]["message"]["content"] == "hello"
        cloud.answer = lambda _body: {"error": {"message": "no"}}
        assert client.post(path, json=line(0)["body"]).status_code == 400


def test_a_cloud_serves_in_a_process_of_its_own_until_stdin_closes():
    """One line of JSON says where."""
    command = [sys.executable, "-m", "batchframe.testing.clouds", "openai", "--port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        place = json.loads(child.stdout.readline())
        headers = {"authorization": f"Bearer {place['key']}"}
        with httpx2.Client(base_url=place["url"], headers=headers) as client:
            assert client.get("/batches").json()["data"] == []
        child.stdin.close()
        assert child.wait(20) == 0


def test_twenty_thousand_rows_are_answered_soon():
    """The bound is loose, so that a busy machine passes; a quadratic cloud does not."""
    data = jsonl(
        [line(n, messages=[{"role": "user", "content": "x" * 380}]) for n in range(20_000)]
    )
    with clouds.openai() as cloud, calling(cloud) as client:
        begin = time.perf_counter()
        batch = polled(client, started(client, data))
        whole = client.get(f"/v1/files/{batch['output_file_id']}/content").content
        took = time.perf_counter() - begin
    assert whole.count(b"\n") == 20_000
    assert took < 10


def test_what_breaks_inside_a_cloud_is_raised_at_its_end():
    """A test must not take a broken fake for a broken client."""

    def serve():
        with clouds.openai() as cloud, calling(cloud) as client:
            cloud.models = 3
            batch_id = started(client, [line(0)])
            assert client.get(f"/v1/batches/{batch_id}").status_code == 599

    with pytest.raises(TypeError):
        serve()
