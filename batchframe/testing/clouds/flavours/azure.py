"""Azure OpenAI: OpenAI's surface with files that must ripen, rows without ids, and oddities in objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from batchframe.model import Json, Limits
from batchframe.testing.clouds import answers
from batchframe.testing.clouds import operations as ops
from batchframe.testing.clouds.clock import iso, seconds
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.clouds.flavour import Flavour, Route, Rules
from batchframe.testing.clouds.flavours import openai
from batchframe.testing.clouds.nouns import Batch, Outcome, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply

API_VERSION = "2024-10-21"
WORDS = {
    "mismatched_model": "model_mismatch",
    "invalid_url": "url_mismatch",
    "maximum_requests_exceeded": "too_many_tasks",
    "invalid_model": "invalid_request",
}
"""Azure's own codes of problems that OpenAI names otherwise."""

SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
UNSET = ("model", "usage")
"""What Azure's batch objects lack."""


def batch_object(cloud: Cloud, batch: Batch) -> Json:
    """Give a batch as the documentation's samples show it, with all their inconsistencies."""
    given = openai.batch_object(cloud, batch)
    for name in UNSET:
        del given[name]
    if batch.stage == "validating":
        legacy = cloud.flavour is SURFACES["legacy"]
        given |= _young_legacy(batch) if legacy else {"output_file_id": "", "error_file_id": ""}
    if batch.stage == "completed":
        given["endpoint"] = None
    if batch.stage == "failed" and batch.output_file_id:
        given["completed_at"] = seconds(batch.times["failed"])
        given["request_counts"] = {"total": 0, "completed": None, "failed": None}
    return given


def _young_legacy(batch: Batch) -> Json:
    return {
        "status": "Validating",
        "created_at": iso(batch.created, places=7, zone="+00:00"),
        "expires_at": iso(batch.expires, places=7, zone="+00:00"),
        "request_counts": {"total": None, "completed": None, "failed": None},
    }


def file_object(cloud: Cloud, file: StoredFile) -> Json:
    """Give a file, which is pending until it is processed."""
    given = openai.file_object(cloud, file)
    del given["status_details"]
    return {**given, "status": "processed" if cloud.clock.now >= file.ready else "pending"}


def line(batch: Batch, outcome: Outcome) -> Json:
    """Give one result line, without an id."""
    given = openai.line(batch, outcome)
    del given["id"]
    return given


def finish(body: Json) -> None:
    """Add what the content filter found."""
    if body.get("object") != "chat.completion":
        return
    del body["service_tier"]
    for choice in body["choices"]:
        choice["content_filter_results"] = SAFE
    jailbreak = {**SAFE, "jailbreak": {"filtered": False, "detected": False}}
    body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": jailbreak}]


def refusal(refused: Refused) -> Any:
    """Give an error body: code and message."""
    inner: Json = {"code": refused.code or str(refused.status), "message": refused.message}
    if refused.param:
        inner["param"] = refused.param
    return {"error": inner}


def unauthorized(_given: str) -> Refused:
    """Refuse a key."""
    said = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide"
    )
    said += " a valid key for an active subscription and use a correct regional API endpoint for"
    return Refused(401, f"{said} your resource.", code="401")


def at_deployment(cloud: Cloud, call: Call) -> Reply:
    """POST deployments/{deployment}/...: the answer at once; the path names the model."""
    name = unquote(call.ids["deployment"])
    if cloud.models is not None and name not in cloud.models:
        said = "The API deployment for this resource does not exist. If you created the deployment"
        said += " within the last 5 minutes, please wait a moment and try again."
        raise Refused(404, said, code="DeploymentNotFound")
    return ops.sync(cloud, call)


def legacy_routes() -> tuple[Route, ...]:
    """Give the legacy surface's routes, as openai 3.54's AzureOpenAI asks for them."""
    ends = {f"/openai{end}" for end in answers.SHAPES if end != "/responses"}
    kept = [route for route in openai.routes("/openai") if route[1] not in ends]
    below = "/openai/deployments/{deployment}"
    made: list[Route] = [
        ("POST", below + end, "sync", at_deployment) for end in ("/chat/completions", "/embeddings")
    ]
    return tuple((how, path, name, _versioned(do)) for how, path, name, do in (*kept, *made))


def _versioned(do: Any) -> Any:
    def operation(cloud: Cloud, call: Call) -> Reply:
        if not call.asked("api-version"):
            raise Refused(404, "Resource not found", code="404")
        answered: Reply = do(cloud, call)
        return answered

    return operation


def environment(cloud: Cloud) -> dict[str, str]:
    """Give the variables of Azure's resource; the legacy surface needs a version."""
    given = {"AZURE_OPENAI_ENDPOINT": cloud.url, "AZURE_OPENAI_API_KEY": cloud.key}
    legacy = cloud.flavour is SURFACES["legacy"]
    return {**given, "OPENAI_API_VERSION": API_VERSION} if legacy else given


V1 = Flavour(
    name="azure",
    key="fake00azure00key00000000000000ab",
    base="",
    routes=openai.routes("/openai/v1"),
    batch=batch_object,
    file=file_object,
    refusal=refusal,
    line=line,
    finish=finish,
    environment=environment,
    unauthorized=unauthorized,
    limits=Limits(100_000, 200_000_000, "Azure's global batch limits", "2026-11-23"),
    rules=Rules(url="same", words=WORDS, bom=False),
    expiry=(1_209_600, 2_592_000),
    retention=None,
    prefixes=("batch_", "file-"),
    ticks=frozenset({"get", "file"}),
    file_seconds=20.0,
    reset_unit="",
    always_files=True,
    oversize="upload",
    missing_file="now",
    headers=lambda unique: {"apim-request-id": unique, "x-ms-request-id": unique},
)
SURFACES = {
    "v1": V1,
    "legacy": replace(
        V1,
        routes=legacy_routes(),
    ),
}
