"""Settings: from arguments first, then from the vendor's own variables; keys stay unseen."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from test_rest import server

import batchframe as bf
from batchframe import errors
from batchframe.model import Endpoint, ModelRef
from batchframe.providers import registry
from batchframe.providers.registry import provider

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No settings of the developer's own."""
    for name in ("OPENAI", "AZURE_OPENAI", "GROQ", "TOGETHER"):
        for rest in ("API_KEY", "BASE_URL", "ENDPOINT", "POLL_SECONDS", "API_VERSION"):
            monkeypatch.delenv(f"{name}_{rest}", raising=False)
    monkeypatch.setattr(registry, "_MADE", {})
    monkeypatch.setattr(registry, "_READ", {})


def test_variables_are_read_when_the_provider_is_first_used_and_when_they_change(monkeypatch):
    """So that %env in a notebook needs no restart."""
    with pytest.raises(errors.MissingCredentialsError) as told:
        provider("openai").check("gpt-5", Endpoint.CHAT)
    assert str(told.value) == (
        "openai needs an API key, and OPENAI_API_KEY is not set; in a notebook %env "
        "OPENAI_API_KEY=... does it without a restart. Type: export OPENAI_API_KEY=..."
    )
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example/v1")
    first = provider("openai")
    first.check("gpt-5", Endpoint.CHAT)
    assert first.rest.base_url == "https://proxy.example/v1"
    assert provider("openai") is first
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "x")
    assert provider("openai") is not first


def test_what_is_registered_stays_whatever_the_variables_say(monkeypatch):
    """Settings of one's own win."""
    mine = bf.OpenAI(api_key=KEY)
    bf.register(mine)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert provider("openai") is mine


@pytest.mark.parametrize(
    "made",
    [
        lambda: bf.OpenAI(api_key=KEY, organization="org-1"),
        lambda: bf.Azure(endpoint="https://r.openai.azure.com", api_key=KEY),
        lambda: bf.Groq(api_key=KEY),
        lambda: bf.Together(api_key=KEY),
        lambda: bf.OpenAICompatible("vllm", "http://x/v1", api_key=KEY, batch=True),
        lambda: bf.OpenAICompatible("vllm", "http://x/v1", api_key=KEY, headers={"x-key": KEY}),
    ],
    ids=["openai", "azure", "groq", "together", "batches", "server"],
)
def test_no_repr_shows_a_key(made):
    """Of the provider or of anything it holds."""
    shown = made()
    assert KEY not in repr(shown) + str(shown) + repr(shown.account)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: bf.OpenAI(api_key=KEY, poll_seconds=0), "The settings of openai were refused: poll_seconds: Input should be greater than 0."),
        (lambda: bf.OpenAI(api_key=KEY, queue_tokens="many"), "The settings of openai were refused: queue_tokens: Input should be a valid integer, unable to parse string as an integer."),
        (lambda: bf.OpenAI(api_key=KEY, base_url="api.openai.com"), "The base_url of openai is 'api.openai.com', and must begin with https:// (or http:// for a server of your own)."),
        (lambda: bf.OpenAI(api_key=5), "The settings of openai were refused: api_key: Input should be a valid string."),
        (lambda: bf.OpenAICompatible("x", "http://x", requests_per_batch=0), "The settings of x were refused: requests_per_batch: Input should be greater than 0."),
        (lambda: bf.OpenAICompatible("x", "http://x", requests_per_batch="5"), "The settings of x were refused: requests_per_batch: Input should be a valid integer."),
        (lambda: bf.OpenAICompatible("x", "http://x", bytes_per_batch=-1), "The settings of x were refused: bytes_per_batch: Input should be greater than 0."),
        (lambda: bf.OpenAICompatible("x", "http://x", headers=["a"]), "The settings of x were refused: headers: Input should be a valid dictionary."),
        (lambda: bf.OpenAICompatible("x", "http://x", headers={"a": 1}), "The settings of x were refused: headers.a: Input should be a valid string."),
        (lambda: bf.OpenAICompatible("x", "http://x", models="abc"), "The settings of x were refused: models: Input should be a valid tuple."),
        (lambda: bf.OpenAICompatible("A b", "http://x"), "A provider cannot be called 'A b': use lower-case letters, digits, '-', '_' and '.', beginning with a letter, as in 'vllm'."),
        (lambda: bf.register("openai"), "register() takes a provider, such as bf.OpenAICompatible('vllm', 'http://...'); got 'openai'."),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_refused(made, message):
    """With the setting's name."""
    with pytest.raises(errors.InputError) as told:
        made()
    assert str(told.value) == message


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_a_base_url_may_be_the_bare_root_that_the_vendors_own_client_wants(end):
    """The variable is theirs; one value must do for both."""
    assert (
        bf.Together(api_key=KEY, base_url=f"https://t.example{end}").rest.base_url
        == "https://t.example/v1"
    )
    groq = bf.Groq(
        api_key=KEY, base_url=f"https://g.example{'/openai' if 'v1' in end else ''}{end}"
    )
    assert groq.rest.base_url == "https://g.example/openai/v1"


def test_azure_without_an_address_says_so():
    """A key alone does not say where."""
    with pytest.raises(errors.MissingCredentialsError) as told:
        bf.Azure(api_key=KEY).check("m", Endpoint.CHAT)
    assert "export AZURE_OPENAI_ENDPOINT=" in str(told.value)


def test_azure_takes_a_token_instead_of_a_key():
    """Anew for each call: tokens age."""
    given = iter(["one", "two"])
    azure = bf.Azure(endpoint="https://r.openai.azure.com/", token=lambda: next(given))
    azure.check("m", Endpoint.CHAT)
    assert azure.headers() == {"authorization": "Bearer one"}
    assert azure.headers() == {"authorization": "Bearer two"}
    assert azure.rest.base_url == "https://r.openai.azure.com/openai/v1"


def test_a_deployment_has_its_models_price():
    """And a data zone costs ten percent more."""
    from batchframe.orchestration.priced import rates_of

    openai = rates_of(ModelRef("openai", "gpt-5-mini"), batch=True, overrides=None)
    for zone, share in ((False, Decimal(1)), (True, Decimal("1.1"))):
        bf.register(
            bf.Azure(
                endpoint="https://r.openai.azure.com", api_key=KEY, data_zone=zone,
                deployments={"mine": "gpt-5-mini"},
            )
        )  # fmt: skip
        found = rates_of(ModelRef("azure", "mine"), batch=True, overrides=None)
        assert found.rows[0].output == openai.rows[0].output * share
    unknown = rates_of(ModelRef("azure", "theirs"), batch=True, overrides=None)
    assert unknown is None
    by_hand = {"azure/mine": {"input": "1", "output": "2"}}
    mine = rates_of(ModelRef("azure", "mine"), batch=True, overrides=by_hand)
    assert mine.rows[0].output == Decimal("0.000002")


def test_an_endpoint_that_a_provider_has_no_batches_for_is_refused_at_once():
    """Before a row is looked at."""
    bf.register(bf.Groq(api_key=KEY))
    with pytest.raises(errors.UnsupportedError) as told:
        pl.DataFrame({"t": ["a"]}).batch.embed("t", model="groq/any")
    assert (
        str(told.value) == "groq has no batches for /v1/embeddings; it has: /v1/chat/completions."
    )


def test_a_server_without_batches_gets_managed_ones():
    """The rows are sent one by one, and the plan says so."""
    from batchframe.testing import clouds

    with clouds.openai() as cloud:
        cloud.answer = lambda _: "yes"
        bf.register(bf.OpenAICompatible("mine", cloud.url, api_key=cloud.key))
        df = pl.DataFrame({"t": ["a", "b"]})
        assert (
            df.batch.submit(model="mine/m", prompt="{t}").result()["response"].to_list()
            == ["yes"] * 2
        )
        assert cloud.batches() == []
        assert any(
            "one by one" in told or "managed" in told
            for told in df.batch.plan(model="mine/m", prompt="{t}!").warnings
        )


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_blank_key_is_told_as_blank_and_not_as_missing(monkeypatch, way):
    """The variable is set, so "not set" would send the reader the wrong way."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY if way == "argument" else "  ")
    made = bf.OpenAI(api_key="" if way == "argument" else None)
    with pytest.raises(errors.MissingCredentialsError) as told:
        made.check("gpt-5", Endpoint.CHAT)
    assert str(told.value) == (
        "openai needs an API key, and the one that it was given (by api_key= or OPENAI_API_KEY) is "
        "blank. Type: export OPENAI_API_KEY=..., and leave api_key= away"
    )
    with pytest.raises(errors.MissingCredentialsError, match="api_key= of vllm is blank"):
        bf.OpenAICompatible("vllm", "http://x/v1", api_key=" ")


def test_a_server_without_batches_that_was_said_to_have_them_says_what_to_type(monkeypatch):
    """At the first call that finds it out, word for word."""
    from batchframe.providers import rest
    from batchframe.testing import registered

    monkeypatch.setattr(rest.time, "sleep", lambda _: None)
    with server((404, {}, b'{"detail":"Not Found"}')) as (url, _):
        made = bf.OpenAICompatible("vllm", url, batch=True, poll_seconds=0.01)
        with registered(made), pytest.raises(errors.JobFailedError) as told:
            pl.DataFrame({"t": ["a"]}).batch.submit(model="vllm/m", prompt="{t}").wait()
        for client in made.rest._clients.values():
            client.close()
    assert (
        "A server without /files and /batches is registered with batch=False, and its rows are sent one "
        f"by one: bf.register(bf.OpenAICompatible('vllm', '{url}', batch=False))."
    ) in str(told.value)
