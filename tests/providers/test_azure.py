"""Azure's corners: where it asks now, what it uploads, how long it waits, and what it says when it is refused."""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from dataclasses import replace

import openai
import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.model import Endpoint, Phase, Ticket
from batchframe.providers import azure as module
from batchframe.providers import rest, shaped
from batchframe.testing import clouds, registered

DF = pl.DataFrame({"t": ["a", "b", "c"]})
VERSION = "2025-04-01-preview"


@pytest.fixture(params=["v1", "legacy"])
def cloud(request):
    """Each of the two surfaces."""
    with clouds.azure(request.param) as there:
        there.answer = lambda _: "yes"
        yield there


@contextmanager
def connected(cloud, **settings):
    """Put the provider before a cloud, by key unless there is a token."""
    legacy = cloud.flavour is clouds.azure("legacy").flavour
    given = {
        "endpoint": cloud.url,
        "api_version": VERSION if legacy else None,
        "poll_seconds": 0.01,
    }
    if not {"token", "api_key"} & settings.keys():
        given["api_key"] = cloud.key
    with registered(bf.Azure(**given, **settings)) as made:
        yield made
        for client in made.rest._clients.values():
            client.close()


def asked(cloud, how="POST"):
    """Give the paths that were asked, without those of files and batches."""
    return {path for method, path, _ in cloud.log if method == how}


# --- requests sent now


@pytest.mark.parametrize("credential", ["key", "token"])
def test_requests_sent_now_find_their_way_on_both_surfaces(cloud, credential):
    """With the api-version and the deployment in the path where the legacy surface wants them."""
    how = {} if credential == "key" else {"token": lambda: cloud.token}
    with connected(cloud, **how):
        for endpoint in ("chat", "responses"):
            out = DF.batch.run(model="azure/my batch", prompt="{t}", endpoint=endpoint)
            assert out["response"].to_list() == ["yes"] * 3
    legacy = {"/openai/deployments/my batch/chat/completions", "/openai/responses"}
    v1 = {"/openai/v1/chat/completions", "/openai/v1/responses"}
    assert asked(cloud) == (legacy if "/openai/responses" in asked(cloud) else v1)
    assert {status for _, _, status in cloud.log} == {200}


def test_openais_own_client_asks_at_the_same_addresses():
    """`AzureOpenAI` is the judge of what the legacy surface's addresses are."""
    with clouds.azure("legacy") as cloud:
        with openai.AzureOpenAI(
            azure_endpoint=cloud.url, api_key=cloud.key, api_version=VERSION, max_retries=0
        ) as sdk:
            sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
            sdk.responses.create(model="m", input="x")
        theirs, cloud.log[:] = asked(cloud), []
        with connected(cloud):
            for endpoint in ("chat", "responses"):
                DF.batch.run(model="azure/m", prompt="{t}", endpoint=endpoint)
        assert asked(cloud) == theirs


def test_a_deployment_that_is_not_there_stops_a_run_by_name():
    """In the legacy surface's path it is an address, and is told as a name all the same."""
    with clouds.azure("legacy") as cloud, connected(cloud):
        cloud.models = {"other"}
        with pytest.raises(errors.JobFailedError, match="has no model 'mine'.*deploymentnotfound"):
            DF.batch.run(model="azure/mine", prompt="{t}")


def test_a_wrong_key_sent_now_is_told_with_the_line_to_type(cloud):
    """The variable, and that the same call goes on."""
    with connected(cloud, api_key="wrong-key-000"), pytest.raises(errors.JobFailedError) as told:
        DF.batch.run(model="azure/m", prompt="{t}")
    assert str(told.value).partition("untouched. ")[2] == (
        "Set AZURE_OPENAI_API_KEY to a key of the resource at AZURE_OPENAI_ENDPOINT; in a notebook "
        "%env AZURE_OPENAI_API_KEY=... Type: export AZURE_OPENAI_API_KEY=... Then run the same call "
        "again: only rows without an outcome are sent."
    )


def test_tokens_are_asked_for_anew_and_keys_are_not():
    """Tokens last an hour, and a run may take longer."""
    made = bf.Azure(endpoint="https://r.openai.azure.com", token=lambda: "one")
    with made.connect("m", Endpoint.CHAT) as way:
        assert way.renew() == {"authorization": "Bearer one"}
    with bf.Azure(endpoint="https://r.openai.azure.com", api_key="k").connect(
        "m", Endpoint.CHAT
    ) as way:
        assert way.renew is None


# --- files


def test_uploads_always_expire_as_azure_allows_and_are_waited_for(cloud):
    """14 days unless told; a batch is made only when the file is processed."""
    for seconds in (None, 2_592_000):
        with connected(cloud, expires_after=seconds):
            DF.batch.submit(model="azure/m", prompt="{t}", again=True).wait()
    inputs = [file for file in cloud.store.values() if file.purpose == "batch"]
    assert [file.expires - file.created for file in inputs] == [1_209_600, 2_592_000]


@pytest.mark.parametrize("seconds", [1_209_599, 2_592_001, 3600])
def test_an_expiry_that_azure_would_refuse_is_refused_here(seconds):
    """Its range is narrower than OpenAI's."""
    with pytest.raises(
        errors.InputError, match=r"expires_after: Input should be (greater|less) than"
    ):
        bf.Azure(api_key="k", expires_after=seconds)


def test_one_file_too_many_is_told_with_what_to_delete(cloud):
    """500 without expiry, 10,000 with: only the user can say which may go."""
    cloud.faults.file_quota = True
    with connected(cloud), pytest.raises(errors.JobFailedError) as told:
        DF.batch.submit(model="azure/m", prompt="{t}").wait()
    assert (
        "azure could not take the file: The quota for files with expiry is reached. The maximum is "
        "10000 (HTTP 400, quotaExceeded). Delete files that nobody needs any more: bf.job(id).cleanup() "
        "removes those of a job that has ended" in str(told.value)
    )


def test_a_file_that_azure_cannot_process_is_told(cloud, monkeypatch):
    """Its status is an end: waiting would not help."""
    with connected(cloud) as made:
        monkeypatch.setattr(
            type(made), "_get", lambda *_: {"status": "error", "error": {"message": "bad bytes"}}
        )
        with pytest.raises(errors.JobFailedError, match="could not process the file: .*bad bytes"):
            DF.batch.submit(model="azure/m", prompt="{t}").wait()


# --- batches


@pytest.mark.parametrize(
    ("line_url", "endpoint", "sent"),
    [
        (None, "chat", None),
        ("/chat/completions", "chat", "/chat/completions"),
        ("/chat/completions", "responses", "/responses"),
        ("/v1/chat/completions", "responses", "/v1/responses"),
    ],
)
def test_paths_in_the_file_and_at_the_create_are_settings(cloud, line_url, endpoint, sent):
    """Microsoft's own pages disagree on them; the other endpoint follows a path's beginning."""
    legacy = cloud.flavour is clouds.azure("legacy").flavour
    with connected(cloud, line_url=line_url, create_endpoint="/v1/chat/completions"):
        DF.batch.submit(model="azure/my-batch", prompt="{t}", endpoint=endpoint).wait()
    (batch,) = cloud.jobs.values()
    lines = cloud.requests(batch.id)
    default = "/chat/completions" if legacy else "/v1/chat/completions"
    assert {line["url"] for line in lines} == {sent or default}
    assert {line["body"]["model"] for line in lines} == {"my-batch"}
    assert batch.endpoint == "/v1/chat/completions"


@pytest.mark.parametrize("code", ["token_limit_exceeded", "BadRequest"])
def test_regions_that_fail_fast_are_waited_out(cloud, code, monkeypatch):
    """HTTP 400 at the create, which has `token_limit_exceeded` somewhere, is a full queue."""
    monkeypatch.setattr(rest.time, "sleep", lambda _: None)
    cloud.faults.queue_full_at_create, cloud.faults.queue_full_status = 2, 400
    inner = {"code": code, "innererror": {"code": "token_limit_exceeded"}, "message": "No."}
    with connected(cloud):
        cloud.flavour = replace(cloud.flavour, refusal=lambda _: {"error": inner})
        out = DF.batch.submit(model="azure/m", prompt="{t}").result()
    assert out["response"].to_list() == ["yes"] * 3
    assert len(cloud.batches()) == 1


SKU = (
    "The schema of the input line is invalid or the deployment SKU is invalid. Please ensure the "
    "properties of the request match the expected ones, and that the SKU is globalbatch."
)


def test_a_deployment_of_the_wrong_kind_is_told_as_that_and_blames_no_row(cloud, monkeypatch):
    """Azure names line 1, but every other row would fare the same: all stay worth a retry."""
    fault = {"code": "invalid_request", "message": SKU, "line": 1}
    told = {"id": "b", "status": "Failed", "errors": {"data": [fault]}}
    with connected(cloud) as made:
        real = type(made)._get

        def get(self, path, doing):
            return told if path.startswith("/batches") else real(self, path, doing)

        monkeypatch.setattr(type(made), "_get", get)
        job = DF.batch.submit(model="azure/m", prompt="{t}").wait()
    found = job.outputs()
    assert found["error_code"].to_list() == ["batch_failed"] * 3
    assert found["retryable"].to_list() == [True] * 3
    assert found["error_message"][1] == (
        f"invalid_request: {SKU} (line 1) Look at the deployment: it must be of the type Global Batch or "
        "Data Zone Batch."
    )


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("url_mismatch", "All lines have the same path, so the settings are at fault: bf.Azure(line_url=..., create_endpoint=...)."),
        ("model_not_found", "azure/<name> takes the name of a deployment, not of a model; it must be of the type Global Batch or Data Zone Batch."),
        ("model_mismatch", ""),
    ],
)  # fmt: skip
def test_faults_that_are_about_all_lines_blame_no_row(cloud, code, advice, monkeypatch):
    """All our lines have one model and one path."""
    told = {"status": "failed", "errors": {"data": [{"code": code, "message": "Bad.", "line": 1}]}}
    with connected(cloud) as made:
        monkeypatch.setattr(type(made), "_get", lambda *_: told)
        seen = made.poll(Ticket("azure", {"batch": "b"}))
    assert (seen.phase, seen.rejected) == (Phase.FAILED, ())
    assert seen.message == f"{code}: Bad. (line 1) {advice}".strip()


def test_a_batch_over_its_deadline_is_cancelled_once_and_what_is_answered_is_kept(cloud, caplog):
    """Azure itself lets a batch run for ever; so does batchframe, unless told."""
    cloud.faults.hang = 0.5
    with connected(cloud, deadline_hours=5e-5), caplog.at_level(logging.WARNING):
        job = DF.batch.submit(model="azure/m", prompt="{t}").wait()
    assert job.outputs()["response"].to_list() == ["yes", None, None]
    assert sum(path.endswith("/cancel") for _, path, _ in cloud.log) == 1
    assert "is over its deadline of 5e-05 h and is cancelled" in caplog.text


def test_a_cancellation_that_takes_its_time_is_asked_for_once():
    """Azure takes minutes over it, and each look would ask again."""
    made = bf.Azure(endpoint="https://r.openai.azure.com", api_key="k", deadline_hours=1)
    asked = []
    made._get, made._cancel = lambda *_: {"status": "cancelling"}, asked.append
    for batch in ("b1", "b1", "b2", "b1"):
        made.poll(Ticket("azure", {"batch": batch, "intended_at": time.time() - 7200}))
    assert asked == ["b1", "b2"]


@pytest.mark.parametrize(("hours", "over"), [(None, False), (2.0, False), (0.9, True)])
def test_the_deadline_counts_from_the_create(hours, over):
    """An hour ago; without a deadline there is none."""
    made = bf.Azure(endpoint="https://r.openai.azure.com", api_key="k", deadline_hours=hours)
    assert made._is_over(Ticket("azure", {"intended_at": time.time() - 3600})) is over
    assert made._is_over(Ticket("azure", {})) is False


def test_empty_ids_are_no_files_and_an_empty_file_is_one(cloud, tmp_path, monkeypatch):
    """A young batch has "" for both; one that went well has an error file of no bytes."""
    with connected(cloud) as made:
        job = DF.batch.submit(model="azure/m", prompt="{t}").wait()
        (batch,) = cloud.jobs.values()
        assert cloud.store[batch.error_file_id].data == b""
        assert job.outputs()["ok"].all()
        nothing = {"status": "Cancelled", "output_file_id": "", "error_file_id": ""}
        monkeypatch.setattr(type(made), "_get", lambda *_: nothing)
        assert made.fetch(Ticket("azure", {"batch": "b"}), tmp_path) == []


def test_iso_dates_say_which_of_two_batches_is_older():
    """The younger one is a duplicate; "canceled" and "Cancelled" are one status, null counts are unknown."""
    old, new = "2026-11-27T10:00:00.1234567+00:00", "2026-11-27T11:00:00.0000000+00:00"
    assert shaped._age({"created_at": new}) - shaped._age({"created_at": old}) == 3600
    assert shaped._age({"created_at": 1_790_000_000}) == 1_790_000_000
    assert shaped._age({"created_at": None}) == 0
    made = bf.Azure(endpoint="https://r.openai.azure.com", api_key="k")
    counts = {"total": None, "completed": None, "failed": None}
    for status, phase in (
        ("Validating", Phase.WAITING), ("canceled", Phase.ENDED), ("Cancelled", Phase.ENDED),
        ("InProgress", Phase.WAITING), ("Expired", Phase.ENDED), ("Completed", Phase.ENDED),
    ):  # fmt: skip
        made._get = lambda *_, s=status: {"status": s, "request_counts": counts, "created_at": old}
        seen = made.poll(Ticket("azure", {"batch": "b"}))
        assert (seen.phase, seen.total, seen.done, seen.failed) == (phase, None, None, None), status


# --- credentials


def test_what_is_refused_says_which_credential_it_was(cloud, monkeypatch):
    """A key, a token in a variable, a function that gives tokens: each has its own line to type."""
    monkeypatch.setattr(rest.time, "sleep", lambda _: None)
    scope = (
        "The token must be for the scope that the resource wants, now "
        "https://cognitiveservices.azure.com/.default; the other one in use is "
        "https://ai.azure.com/.default. Your identity needs a role on the resource. Type: "
        'bf.register(bf.Azure(entra=True, token_scope="..."))'
    )
    words = {
        "key": (
            "Set AZURE_OPENAI_API_KEY to a key of the resource at AZURE_OPENAI_ENDPOINT; in a notebook "
            "%env AZURE_OPENAI_API_KEY=... Type: export AZURE_OPENAI_API_KEY=..."
        ),
        "variable": (
            "Set AZURE_OPENAI_AD_TOKEN to a fresh token, for they last an hour; in a notebook %env "
            f"AZURE_OPENAI_AD_TOKEN=... Type: export AZURE_OPENAI_AD_TOKEN=... {scope}"
        ),
        "function": scope,
    }
    for how, wanted in words.items():
        if how == "variable":
            monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "stale-token-000")
        given = {
            "key": {"api_key": "wrong-key-000"},
            "variable": {"api_key": None},
            "function": {"token": lambda: "stale-token-000"},
        }[how]
        with connected(cloud, **given) as made, pytest.raises(errors.AuthenticationError) as told:
            made.poll(Ticket("azure", {"batch": "b"}))
        assert str(told.value).partition("(HTTP 401, 401). ")[2] == wanted
        assert "000" not in str(told.value)


def test_a_function_that_gives_no_token_is_told_as_that():
    """Whatever it raises, and without what it quotes."""

    def fails():
        raise ValueError("expired: client_secret=abcdefgh1234")

    made = bf.Azure(endpoint="http://127.0.0.1:9", token=fails)
    with pytest.raises(errors.AuthenticationError) as told:
        made.poll(Ticket("azure", {"batch": "b"}))
    assert str(told.value) == (
        "azure got no Entra ID token (ValueError: expired: client_secret=***). Sign in again (az login), "
        "or put right what bf.Azure(token=...) was given."
    )
    assert told.value.__cause__ is None


def test_what_a_function_raises_is_the_cause_where_it_may_be_shown():
    """Azure's own exceptions say much that a sentence cannot."""
    cause = ValueError("tenant refused")

    def fails():
        raise cause

    made = bf.Azure(endpoint="http://127.0.0.1:9", token=fails)
    with pytest.raises(errors.AuthenticationError, match="tenant refused") as told:
        made.poll(Ticket("azure", {"batch": "b"}))
    assert told.value.__cause__ is cause


@pytest.mark.parametrize(
    ("gives", "told"),
    [
        (None, "what came is of the type NoneType, and a token is a text"),
        (5, "what came is of the type int, and a token is a text"),
        (" ", "what came is blank, or holds a line break"),
        ("abc\ndef", "what came is blank, or holds a line break"),
    ],
)
def test_what_is_no_token_is_told_as_that(gives, told):
    """A broken one was "the connection was lost", again and again."""
    made = bf.Azure(endpoint="http://127.0.0.1:9", token=lambda: gives)
    with pytest.raises(errors.AuthenticationError, match=re.escape(told)):
        made.poll(Ticket("azure", {"batch": "b"}))


def test_a_token_in_place_of_a_function_is_refused_at_once():
    """It was a TypeError when the job was under way."""
    with pytest.raises(errors.InputError, match="token= takes a function"):
        bf.Azure(endpoint="https://r.openai.azure.com", token="abcdefgh")
    with pytest.raises(errors.InputError, match=r"bf.Azure got token= and api_key=.*only one"):
        bf.Azure(endpoint="https://r.openai.azure.com", token=lambda: "t", api_key="k")


def test_arguments_go_before_the_environment(monkeypatch):
    """A key that is given is sent, though a token stands in a variable; without one the token is."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", " env-token-1234\n")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "env-key")
    monkeypatch.setenv("AZURE_OPENAI_POLL_SECONDS", "5")
    assert bf.Azure(api_key="explicit").headers() == {"api-key": "explicit"}
    assert bf.Azure().headers() == {"authorization": "Bearer env-token-1234"}
    assert bf.Azure(token=lambda: "mine").headers() == {"authorization": "Bearer mine"}
    assert bf.Azure().poll_seconds == 5
    assert bf.Azure(poll_seconds=7).poll_seconds == 7
    monkeypatch.delenv("AZURE_OPENAI_POLL_SECONDS")
    assert bf.Azure().poll_seconds == 60


@pytest.mark.parametrize("end", ["", "/", "/openai", "/openai/", "/openai/v1", "/openai/v1/"])
def test_an_endpoint_may_be_written_as_the_portal_shows_it(end):
    """With the path of a surface or without, blanks around it."""
    for version, path in ((None, "/openai/v1"), ("2025-04-01-preview", "/openai")):
        made = bf.Azure(
            endpoint=f" https://r.openai.azure.com{end} ", api_key="k", api_version=version
        )
        assert made.rest.base_url == f"https://r.openai.azure.com{path}"
    with pytest.raises(errors.InputError, match="endpoint: it must begin with https://"):
        bf.Azure(endpoint="r.openai.azure.com", api_key="k")


def test_the_scope_of_entras_tokens_is_a_setting(monkeypatch):
    """Newer pages name another one than the batch pages do."""
    seen = []
    monkeypatch.setattr(module, "_entra", lambda scope: seen.append(scope) or (lambda: "t"))
    bf.Azure(endpoint="https://r.openai.azure.com", entra=True)
    bf.Azure(
        endpoint="https://r.openai.azure.com",
        entra=True,
        token_scope="https://ai.azure.com/.default",
    )
    assert seen == ["https://cognitiveservices.azure.com/.default", "https://ai.azure.com/.default"]
