"""Promises 1, 2, 8 and 9: the lines that travel are pure, known to the byte, complete, and the same at once."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson
import polars as pl
import pytest
from pydantic import BaseModel

from batchframe.dialects import support
from batchframe.dialects.parameters import RULES
from batchframe.errors import KeyColumnError, UnsupportedError
from batchframe.model import Endpoint, Part, Phase, Ticket
from batchframe.providers.registry import Labelled
from batchframe.testing.contract import sdk
from batchframe.testing.contract.setting import TEXTS, Stage

if TYPE_CHECKING:
    from batchframe.providers.base import BatchProvider
    from batchframe.testing.clouds.cloud import Cloud

KEYS = ("a", "A-1_b", "x" * 64, "naïve ☃", "two words", "0", '"', "x" * 300)
"""Keys of rows: what providers allow travels as it is, the rest as a hash."""

PIXEL = "data:image/png;base64,iVBORw0KGgo="

SAMPLES: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "mp3"},
    "frequency_penalty": 0.5,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 64,
    "max_tokens": 64,
    "metadata": {"team": "red"},
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "Yes."},
    "presence_penalty": -0.5,
    "prompt_cache_key": "mine",
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "user-7",
    "seed": 7,
    "service_tier": "default",
    "stop": ["\n"],
    "store": False,
    "temperature": 0,
    "tool_choice": "none",
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    "top_logprobs": 2,
    "top_p": 0.9,
    "user": "user-7",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}
"""A legal value for each parameter of OpenAI's chat API."""

_BESIDE: dict[str, dict[str, Any]] = {"top_logprobs": {"logprobs": True}}
"""What must stand beside a parameter."""

_OTHERS = ("metadata", "n")
"""Names that mean something else to our own verbs: they travel in `extra_body`."""

_COMMON = ("max_tokens", "seed", "stop", "temperature", "top_p")


class Mood(BaseModel):
    """What a typed request of the golden lines asks for."""

    mood: str
    sure: bool


def bodies_of(lines: list[bytes]) -> list[dict[str, Any]]:
    """Give the bodies in wire lines of OpenAI's shape, parsed."""
    return [orjson.loads(line)["body"] for line in lines]


class Wire(Stage):
    """What travels is right."""

    def bodies(self, provider: BatchProvider, lines: list[bytes]) -> list[dict[str, Any]]:  # noqa: ARG002 - for those that need it
        """Give the bodies in wire lines, with their model; a provider that wraps or splits them says so here."""
        return [{"model": self.model, **body} for body in bodies_of(lines)]

    def conversations(self, provider: BatchProvider) -> list[dict[str, Any]]:
        """Give the calls whose lines are golden: `submit`'s options, each with a frame of its own."""
        few = {name: SAMPLES[name] for name in _COMMON}
        image = [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": PIXEL}},
        ]
        calls: list[dict[str, Any]] = [
            {"prompt": "{text}"},
            {"prompt": "{text}", "system": "Answer in one word.", **few},
            {"prompt": "{text}", "response_model": Mood},
            {"messages": [{"role": "user", "content": image}]},
            {"prompt": "{text}", "extra_body": {"a_new_parameter": {"nested": [1, None]}}},
        ]
        name = f"{provider.name}/{self.model}"
        return [{"model": name, **call} for call in calls]

    def lines(self, provider: BatchProvider) -> list[bytes]:
        """Give the wire lines of the golden calls."""
        import batchframe as bf  # noqa: PLC0415 - verbs load late

        frame = pl.DataFrame({"text": TEXTS[:3]})
        found: list[bytes] = []
        for call in self.conversations(provider):
            found += [line.encode() for line in bf.preview(frame, 3, **call)]
        return found

    # promise 1

    def test_a_dialect_is_pure(self, provider: BatchProvider) -> None:
        """The same input gives the same line, and is not changed by it."""
        words = provider.dialect(Endpoint.CHAT)
        body = {"model": self.model, "messages": [{"role": "user", "content": "x"}], "seed": 7}
        before = copy.deepcopy(body)
        first = words.line("r0", Endpoint.CHAT, body)
        assert body == before
        assert first == words.line("r0", Endpoint.CHAT, copy.deepcopy(body))
        assert orjson.loads(orjson.dumps(first)) == first, "it is no JSON"

    def test_ids_survive_every_legal_key(self, cloud: Cloud, provider: BatchProvider) -> None:
        """Unicode, 64 characters and more: each row finds its answer by its id."""
        import batchframe as bf  # noqa: PLC0415

        frame = pl.DataFrame({"id": KEYS, "text": [f"says {n}" for n in range(len(KEYS))]})
        name = f"{provider.name}/{self.model}"
        rows = bf.submit(frame, model=name, prompt="{text}", key="id").wait(60).result()
        assert rows["response"].to_list() == frame["text"].to_list()
        sent = {line["custom_id"] for line in cloud.requests(cloud.batches()[0]["id"])}
        assert len(sent) == len(KEYS)
        assert all(1 <= len(one) <= 64 and one.isascii() for one in sent)  # noqa: PLR2004 - Together's limit

    def test_a_key_that_stands_twice_is_refused_before_anything_is_sent(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Two rows of one name would be one answer."""
        import batchframe as bf  # noqa: PLC0415

        frame = pl.DataFrame({"id": ["a", "a"], "text": ["x", "y"]})
        with pytest.raises(KeyColumnError):
            bf.submit(frame, model=f"{provider.name}/{self.model}", prompt="{text}", key="id")
        assert not cloud.log

    # promise 2

    def test_wire_lines_are_the_golden_ones(
        self, provider: BatchProvider, request: pytest.FixtureRequest
    ) -> None:
        """To the byte; `--write-wire` writes the file anew, for a diff to be looked at."""
        found = b"".join(line + b"\n" for line in self.lines(provider))
        if request.config.getoption("--write-wire", default=False):
            self.golden.parent.mkdir(exist_ok=True)
            self.golden.write_bytes(found)
        assert self.golden.exists(), f"{self.golden.name} is missing: run pytest with --write-wire"
        assert found.splitlines() == self.golden.read_bytes().splitlines()

    def test_what_is_uploaded_is_what_the_preview_shows(
        self, cloud: Cloud, provider: BatchProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file that the cloud got, to the byte."""
        import batchframe as bf  # noqa: PLC0415

        frame = pl.DataFrame({"text": TEXTS})
        name = f"{provider.name}/{self.model}"
        call: dict[str, Any] = {"model": name, "prompt": "{text}", "temperature": 0.5}
        shown = b"".join(line.encode() + b"\n" for line in bf.preview(frame, len(TEXTS), **call))
        seen: list[bytes] = []
        upload = provider.upload

        def spy(part: Part, file: Path) -> Ticket:
            seen.append(file.read_bytes())
            return upload(part, file)

        monkeypatch.setattr(provider, "upload", spy)
        bf.submit(frame, **call).wait(60)
        assert seen == [shown]
        assert shown in cloud.files().values()

    def test_request_bodies_are_what_the_openai_sdk_would_send(
        self, provider: BatchProvider
    ) -> None:
        """Its own types, strict: no unknown key, no wrong type, no unknown role.

        Names that the table of parameters has for this provider only are read back into OpenAI's.
        """
        pytest.importorskip("openai", reason="the openai SDK's types are the judge (extra: dev)")
        known, renamed = RULES[Endpoint.CHAT], support.names(provider.name, Endpoint.CHAT)
        ours = {theirs: name for name, theirs in renamed.items() if theirs not in known}
        for sent in self.bodies(provider, self.lines(provider)):
            body = {ours.get(name, name): value for name, value in sent.items()}
            body.pop("a_new_parameter", None)
            assert not sdk.request_faults(Endpoint.CHAT, body), json.dumps(body)

    def test_answers_are_kept_as_openai_objects(self, provider: BatchProvider) -> None:
        """Whatever a provider adds or leaves out: `ChatCompletion` takes the kept body, strictly."""
        pytest.importorskip("openai", reason="the openai SDK's types are the judge (extra: dev)")
        job = self.ask(provider)
        self.settled(job)
        faults = [
            fault
            for body in job.outputs()["body"]
            for fault in sdk.answer_faults(Endpoint.CHAT, orjson.loads(body))
        ]
        assert not faults, sorted(set(faults))

    # promise 8

    def test_each_parameter_is_sent_or_refused(self, provider: BatchProvider) -> None:
        """None is dropped in silence: who asks for a seed gets one, or is told that there is none."""
        import batchframe as bf  # noqa: PLC0415

        frame, name = pl.DataFrame({"text": ["x"]}), f"{provider.name}/{self.model}"
        assert set(SAMPLES) == set(RULES[Endpoint.CHAT]), "a parameter has no sample"
        for parameter, value in SAMPLES.items():
            beside = _BESIDE.get(parameter, {})
            call: dict[str, Any] = {"model": name, "prompt": "{text}", parameter: value, **beside}
            if parameter in _OTHERS:
                call = {"model": name, "prompt": "{text}", "extra_body": {parameter: value}}
            # what the docs' table says is what happens
            told = support.fate(
                provider.name, Endpoint.CHAT, parameter, self.model, {parameter: value}
            )
            refused = parameter in self.capabilities.unsupported
            if refused or (
                told is not None and told.fate == "refused" and "extra_body" not in call
            ):
                with pytest.raises(UnsupportedError, match=parameter):
                    bf.preview(frame, 1, **call)
                continue
            (line,) = bf.preview(frame, 1, **call)
            (body,) = self.bodies(provider, [line.encode()])
            sent_as = told.to if told is not None and told.fate == "renamed" else parameter
            assert body.get(sent_as) == value, f"{parameter} is not sent"

    @pytest.mark.parametrize("endpoint", list(Endpoint), ids=lambda one: str(one.name))
    def test_an_endpoint_has_a_dialect_or_is_refused_by_name(
        self, provider: BatchProvider, endpoint: Endpoint
    ) -> None:
        """What is declared works; what is not raises before anything is sent."""
        if endpoint in self.capabilities.endpoints:
            line = provider.dialect(endpoint).line("r0", endpoint, {"model": self.model})
            assert "r0" in orjson.dumps(line).decode()
            provider.check(self.model, endpoint)
        else:
            with pytest.raises(UnsupportedError, match=provider.name):
                provider.check(self.model, endpoint)

    @pytest.mark.parametrize("verb", ["responses", "moderations"])
    def test_other_endpoints_go_the_same_road(
        self, cloud: Cloud, provider: BatchProvider, verb: Literal["responses", "moderations"]
    ) -> None:
        """Each with the SDK's types as judge of what is sent and of what is kept."""
        pytest.importorskip("openai", reason="the openai SDK's types are the judge (extra: dev)")
        endpoint = {"responses": Endpoint.RESPONSES, "moderations": Endpoint.MODERATIONS}[verb]
        if endpoint not in self.capabilities.endpoints:
            pytest.skip(f"{type(self).__name__} declares no {verb}")
        job = self.ask(provider, endpoint=verb)
        rows = self.settled(job)
        assert rows["error"].null_count() == len(TEXTS), rows["error"].to_list()
        for line in cloud.requests(cloud.batches()[0]["id"]):
            assert not sdk.request_faults(endpoint, line["body"]), json.dumps(line["body"])
        for body in job.outputs()["body"]:
            assert not sdk.answer_faults(endpoint, orjson.loads(body)), body

    def test_embeddings_come_back_as_vectors(self, provider: BatchProvider) -> None:
        """The other endpoint that frames know, over the same road."""
        import batchframe as bf  # noqa: PLC0415

        if Endpoint.EMBEDDINGS not in self.capabilities.endpoints:
            pytest.skip(f"{type(self).__name__} declares no embeddings")
        frame = pl.DataFrame({"text": TEXTS})
        job = bf.embed(frame, "text", model=f"{provider.name}/text-embedding-3-small")
        vectors = job.wait(60).result()["embedding"].to_list()
        assert [vector[0] for vector in vectors] == [float(len(text)) for text in TEXTS]
        body = orjson.loads(job.outputs()["body"][0])
        assert not sdk.answer_faults(Endpoint.EMBEDDINGS, body)

    def test_the_batch_carries_our_key_and_the_users_pairs(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """Its key is how it is found again; there is room for all pairs that a user may give.

        It stands in whatever the provider lets us name: metadata, a name, an id, the file.
        """
        pairs = {f"pair{n}": "red" for n in range(13)}
        job = self.ask(provider, metadata=pairs)
        self.settled(job)
        (batch,) = cloud.batches()
        carried = batch["metadata"] or {}
        named = {
            *carried.values(),
            batch["name"],
            batch["id"],
            cloud.store[batch["input_file_id"]].name,
        }
        assert any(job.id in str(value) for value in named), named
        told = not isinstance(provider, Labelled) or provider.carries_metadata
        assert told is self.capabilities.metadata  # the plan warns where pairs are not carried
        if self.capabilities.metadata:
            assert len(carried) <= 16  # noqa: PLR2004 - OpenAI's limit
            assert {name: carried.get(name) for name in pairs} == pairs

    # promise 9

    def test_a_request_sent_at_once_is_the_same_as_in_a_batch(
        self, cloud: Cloud, provider: BatchProvider
    ) -> None:
        """The provider's model reads the same bytes either way."""
        seen: list[bytes] = []

        def listen(body: dict[str, Any]) -> str:
            seen.append(orjson.dumps(body))
            return "heard"

        cloud.answer = listen
        call: dict[str, Any] = {
            "temperature": 0.5,
            "max_tokens": 64,
            "system": "Answer in one word.",
            "response_model": Mood,
            "extra_body": {"seed": 7},
        }
        self.settled(self.ask(provider, **call))
        batch, seen[:] = sorted(seen), []
        self.settled(self.ask(provider, **call, mode="immediate"))
        assert sorted(seen) == batch
        assert len(batch) == len(TEXTS)

    def test_cleaning_up_removes_our_files_and_may_be_done_twice(
        self, cloud: Cloud, provider: BatchProvider, tmp_path: Path
    ) -> None:
        """What is gone already is fine."""
        _, ticket = self.begun(provider, tmp_path)
        while provider.poll(ticket).phase in (Phase.WAITING, Phase.RUNNING):
            continue
        provider.cleanup(ticket)
        assert not cloud.files()
        provider.cleanup(ticket)
