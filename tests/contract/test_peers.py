"""The same lifecycle against fake servers that nobody here wrote: llmock (PyPI) and aimock (npm).

    pip install 'llmock==0.2.2'
    npm install --no-save --prefix build/peers @copilotkit/aimock@1.43.0

Where one is missing its tests are skipped and say so. Nothing here reaches beyond loopback.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

import batchframe as bf
from batchframe.errors import ProviderError
from batchframe.model import Endpoint, ModelRef, Part, Phase, Ticket
from batchframe.providers.compatible import OpenAICompatible
from batchframe.providers.groq import Groq
from batchframe.providers.openai import OpenAI
from batchframe.testing import registered

ROOT = Path(__file__).parents[2]
AIMOCK = ROOT / "build/peers/node_modules/@copilotkit/aimock/dist/aimock-cli.js"
TEXTS = [f"row {n}" for n in range(5)]
KEY = "sk-peer-000000000000"
SECONDS = 30
PATIENT = {"api_key": KEY, "poll_seconds": 0.05}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(command, port, folder):
    """Run a server until the block ends; gives its address when it answers."""
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            while not _answers(url):
                said = (folder / "server.log").read_text(errors="replace")
                assert server.poll() is None, f"the peer ended: {said}"
                assert time.monotonic() < until, f"the peer does not answer: {said}"
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()
            server.wait(SECONDS)


def _answers(url):
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url + "/health").close()
    except urllib.error.HTTPError as error:
        error.close()  # it is up, and has no such page
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def llmock(tmp_path_factory):
    """Give the address of llmock."""
    if importlib.util.find_spec("llmock") is None:
        pytest.skip("llmock is not installed: pip install 'llmock==0.2.2'")
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--response-style", "echo"]
    command = [sys.executable, "-m", "llmock.cli", "serve", *options, "--log-level", "warning"]
    with serving(command, port, tmp_path_factory.mktemp("llmock")) as url:
        yield url


@pytest.fixture(scope="module")
def aimock(tmp_path_factory):
    """Give the address of aimock."""
    node = shutil.which("node")
    if node is None or not AIMOCK.exists():
        pytest.skip(
            "aimock or node is missing: "
            "npm install --no-save --prefix build/peers @copilotkit/aimock@1.43.0"
        )
    folder, port = tmp_path_factory.mktemp("aimock"), free_port()
    (folder / "answers").mkdir()
    (folder / "answers" / "none.json").write_text('{"fixtures": []}')
    (folder / "aimock.json").write_text('{"llm": {"fixtures": "./answers"}}')
    command = [node, str(AIMOCK), "-c", "aimock.json", "-p", str(port)]
    with serving(command, port, folder) as url:
        yield url


def asked(name, model="gpt-4o-mini", **options):
    frame = pl.DataFrame({"text": TEXTS})
    return bf.submit(frame, model=f"{name}/{model}", prompt="{text}", **options)


def begun(provider, folder):
    """Make a batch by the provider's own methods."""
    part = Part(
        "job-peer", 0, ModelRef(provider.name, "gpt-4o-mini"), Endpoint.CHAT, 2, "key-of-peer"
    )
    line = provider.dialect(Endpoint.CHAT).line
    message = {"role": "user", "content": "x"}
    lines = [
        line(f"r{n}", Endpoint.CHAT, {"model": "gpt-4o-mini", "messages": [message]})
        for n in range(2)
    ]
    file = folder / "wire.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    before = provider.upload(part, file)
    return part, before, provider.create(part, before)


def found_again_and_cleaned(provider, folder):
    """What is begun is found by its key, stopped, and removed."""
    part, before, ticket = begun(provider, folder)
    intended = Ticket(provider.name, {**before.data, "intended_at": time.time()})
    found = provider.find(part, intended)
    assert found is not None
    assert found.data["batch"] == ticket.data["batch"]
    provider.cancel(ticket)
    assert provider.poll(ticket).phase in (Phase.RUNNING, Phase.ENDED)
    provider.cleanup(ticket)
    # one peer refuses a file that it does not know, the other a batch
    with pytest.raises(ProviderError, match=f"{provider.name} could not"):
        provider.create(part, Ticket(provider.name, {"file": "file-nobody-knows"}))
        provider.poll(Ticket(provider.name, {"batch": "batch_nobody_knows"}))


def test_two_providers_are_answered_by_llmock(llmock):
    """OpenAI and Groq side by side: each row with its own answer, tokens and all.

    Its Together takes no files at `/files/upload`, where Together's own documentation sends them.
    """
    made = (
        OpenAI(base_url=f"{llmock}/v1", **PATIENT),
        Groq(base_url=f"{llmock}/groq/openai/v1", **PATIENT),
    )
    with registered(made[0]), registered(made[1]):
        jobs = [asked(provider.name) for provider in made]
        for job in jobs:  # its batches take three seconds each, whatever is in them
            rows = job.wait(SECONDS).result()
            assert rows["response"].to_list() == [f"Hello! You said: {text}" for text in TEXTS]
            assert rows["input_tokens"].null_count() == 0
            assert job.status == "completed"
        assert asked("openai").id == jobs[0].id


def test_batches_at_llmock_are_found_again_and_cleaned_up(llmock, tmp_path):
    """What a crash needs: the list, the metadata, the cancellation."""
    found_again_and_cleaned(OpenAI(base_url=f"{llmock}/v1", **PATIENT), tmp_path)


def test_openai_is_answered_by_aimock(aimock):
    """Its answers are all the same; its ids are ours."""
    with registered(OpenAI(base_url=f"{aimock}/v1", **PATIENT)):
        job = asked("openai")
        rows = job.wait(SECONDS).result()
    assert rows["response"].to_list() == ["Mock batch completion"] * len(TEXTS)
    assert job.status == "completed"


def test_batches_at_aimock_are_found_again_and_cleaned_up(aimock, tmp_path):
    """It disagrees with llmock on much, and not on this."""
    found_again_and_cleaned(OpenAI(base_url=f"{aimock}/v1", **PATIENT), tmp_path)


@pytest.mark.parametrize("end", ["failed", "expired", "cancelled"])
def test_however_a_batch_ends_at_aimock_each_row_has_an_outcome(aimock, end):
    """Its header forces the end; no row is lost, and none is taken for an answer."""
    headers = {"X-AIMock-Batch-Outcome": end}
    server = OpenAICompatible("peer", f"{aimock}/v1", batch=True, headers=headers, **PATIENT)
    with registered(server):
        job = asked("peer")
        rows = job.wait(SECONDS).result()
    assert rows["text"].to_list() == TEXTS
    assert rows["response"].null_count() == len(TEXTS)
    assert rows["error"].null_count() == 0
