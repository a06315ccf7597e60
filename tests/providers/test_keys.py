"""A key that is wrong, missing or without the right: provider, variable and the line to type, word for word."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.providers import rest
from batchframe.testing import clouds, registered

DF = pl.DataFrame({"text": ["a"]})
MADE = {
    "openai": (clouds.openai, bf.OpenAI, "base_url"),
    "azure": (clouds.azure, bf.Azure, "endpoint"),
    "groq": (clouds.groq, bf.Groq, "base_url"),
    "together": (clouds.together, bf.Together, "base_url"),
}
VARIABLE = {name: f"{name.upper()}_API_KEY" for name in MADE} | {"azure": "AZURE_OPENAI_API_KEY"}
WHAT = dict.fromkeys(MADE, "a valid key that may use batches") | {
    "azure": "a key of the resource at AZURE_OPENAI_ENDPOINT"
}
SAID = {
    "openai": "Incorrect API key provided: sk-proj-***0000. You can find your API key at the platform's page (HTTP 401, invalid_api_key).",
    "azure": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource (HTTP 401, 401).",
    "groq": "Invalid API Key (HTTP 401, invalid_api_key).",
    "together": "Invalid API key provided (HTTP 401, invalid_api_key).",
}
PAGE = (
    "it answered with a web page (HTTP 403). What is paid is kept. A firewall or proxy on the way may be the "
    "cause, or else the key."
)
RIGHT = "You have insufficient permissions for this operation. Missing scopes: api.batch.write"


@pytest.fixture(params=MADE)
def cloud(request, monkeypatch):
    """Each cloud with its provider before it."""
    monkeypatch.setattr(rest.time, "sleep", lambda _: None)
    make, kind, where = MADE[request.param]
    with make() as there:
        made = kind(api_key=there.key, poll_seconds=0.01, **{where: there.url})
        with registered(made):
            yield there
        for client in made.rest._clients.values():
            client.close()


def told(cloud, **more):
    """Submit, and give what stops the job: the words after its name, and its cause."""
    job = DF.batch.submit(model=f"{cloud.flavour.name}/m", prompt="{text}", **more)
    with pytest.raises(errors.JobFailedError) as caught:
        job.wait()
    words = str(caught.value).partition(" rows: ")[2]
    way_on = f" Then go on with it: bf.job('{job.id}').retry()"
    return words.removesuffix(way_on), caught.value.__cause__


def help_of(cloud):
    name = cloud.flavour.name
    return (
        f"Set {VARIABLE[name]} to {WHAT[name]}; in a notebook %env {VARIABLE[name]}=... Type: export "
        f"{VARIABLE[name]}=..."
    )


FAULTS = {
    "a key without the right": ("forbidden", 0, errors.AuthenticationError, lambda _: f"{RIGHT} (HTTP 403, missing_scope)."),
    "a page that says 401": ("html", 401, errors.AuthenticationError, lambda _: "it answered with a web page (HTTP 401)."),
    "a page that says 403": ("html", 403, errors.ProviderUnavailableError, lambda _: PAGE),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_a_refusal_names_provider_variable_and_line(cloud, what):
    """JSON or a page, at the first call that meets it."""
    fault, status, kind, words = FAULTS[what]
    getattr(cloud.faults, fault)["*"] = 1000
    cloud.faults.html_status = status
    said, cause = told(cloud)
    assert isinstance(cause, kind)
    name = cloud.flavour.name
    assert said == f"{name} could not take the file: {words(cloud)} {help_of(cloud)}"


def test_a_wrong_key_names_provider_variable_and_line(cloud):
    """In the provider's words; OpenAI's show the ends of the key, and no more of it is let through."""
    cloud.faults.unauthorized["*"] = 1000
    said, cause = told(cloud)
    name = cloud.flavour.name
    assert isinstance(cause, errors.AuthenticationError)
    assert cloud.key not in said
    assert said == f"{name} could not take the file: {SAID[name]} {help_of(cloud)}"


@pytest.mark.parametrize("fault", ["unauthorized", "forbidden"])
def test_so_it_is_where_rows_are_sent_now(cloud, fault):
    """The host is named, the provider by its model; and the way on is the same call."""
    getattr(cloud.faults, fault)["*"] = 1000
    said, cause = told(cloud, mode="immediate")
    assert isinstance(cause, errors.AuthenticationError)
    assert said.endswith(
        f"{help_of(cloud)} Then run the same call again: only rows without an outcome are sent."
    )


@pytest.mark.parametrize("mode", ["batch", "immediate"])
@pytest.mark.parametrize("name", MADE)
def test_a_missing_key_is_told_before_anything_is_written(name, mode, monkeypatch, tmp_path):
    """With both lines: for a notebook and for a shell."""
    variable = VARIABLE[name]
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com")
    with registered(MADE[name][1]()), pytest.raises(errors.MissingCredentialsError) as caught:
        DF.batch.submit(model=f"{name}/m", prompt="{text}", mode=mode)
    assert str(caught.value) == (
        f"{name} needs an API key, and {variable} is not set; in a notebook %env {variable}=... does it "
        f"without a restart. Type: export {variable}=..."
    )
    assert not bf.jobs().height
