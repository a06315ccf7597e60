"""OpenAI's own surface: the one that the others are variations of."""

from __future__ import annotations

from typing import Any

from batchframe.model import Json, Limits
from batchframe.testing.clouds import operations as ops
from batchframe.testing.clouds.clock import seconds
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.clouds.flavour import Flavour, Route
from batchframe.testing.clouds.nouns import Batch, Outcome, Problem, StoredFile
from batchframe.testing.clouds.wire import Refused

ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
MOMENTS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
"""Stages whose beginning a batch object tells, as `<stage>_at`."""


def routes(base: str) -> tuple[Route, ...]:
    """Give OpenAI's routes below a base path."""
    return (
        ("POST", f"{base}/files", "upload", ops.upload),
        ("GET", f"{base}/files", "files", ops.list_files),
        ("GET", f"{base}/files/{{file}}", "file", ops.get_file),
        ("GET", f"{base}/files/{{file}}/content", "content", ops.content),
        ("DELETE", f"{base}/files/{{file}}", "delete_file", ops.delete_file),
        *ops.sync_routes(base),
        ("POST", f"{base}/batches", "create", ops.create),
        ("GET", f"{base}/batches", "list", ops.list_batches),
        ("GET", f"{base}/batches/{{batch}}", "get", ops.get),
        ("POST", f"{base}/batches/{{batch}}/cancel", "cancel", ops.cancel),
    )


def batch_object(cloud: Cloud, batch: Batch) -> Json:
    """Give a batch as the API gives it."""
    given: Json = {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": errors(batch.problem) if batch.stage == "failed" else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.extra["completion_window"],
        "status": batch.stage,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": seconds(batch.created),
        "expires_at": seconds(batch.expires),
        **{f"{stage}_at": seconds(batch.times.get(stage)) for stage in MOMENTS},
        "request_counts": counts(batch),
        "usage": usage(batch),
        "metadata": batch.metadata,
    }
    cancelled = batch.stage == "cancelled" and cloud.flavour.name == "openai"
    if cancelled and not batch.output_file_id:  # seen live: the count of done rows fell back to 0
        given["request_counts"]["completed"] = 0
    return given


def counts(batch: Batch) -> Json:
    """Give how many rows there are, were answered, and failed."""
    unrun = len(batch.rows) - len(batch.lines) if batch.stage == "expired" else 0
    return {
        "total": 0 if batch.stage == "validating" else len(batch.rows),
        "completed": len(batch.lines) - batch.failed,
        "failed": batch.failed + unrun,
    }


def usage(batch: Batch) -> Json | None:
    """Give the tokens of all answered rows, once the batch is complete."""
    if batch.stage != "completed":
        return None
    tokens = batch.tokens
    return {
        "input_tokens": tokens["input"],
        "input_tokens_details": {"cached_tokens": tokens["cached"]},
        "output_tokens": tokens["output"],
        "output_tokens_details": {"reasoning_tokens": tokens["reasoning"]},
        "total_tokens": tokens["input"] + tokens["output"],
    }


def errors(problem: Problem | None) -> Json | None:
    """Give the one problem of a failed batch."""
    if problem is None:
        return None
    names = ("code", "message", "param", "line")
    return {"object": "list", "data": [{name: getattr(problem, name) for name in names}]}


def file_object(_cloud: Cloud, file: StoredFile) -> Json:
    """Give a file as the API gives it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": seconds(file.created),
        "expires_at": seconds(file.expires),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def line(batch: Batch, outcome: Outcome) -> Json:
    """Give one line of an output or error file."""
    unique = f"{batch.id[-12:]}{outcome.number:08x}"
    given: Json = {"id": f"batch_req_{unique}", "custom_id": outcome.row.custom_id}
    if outcome.status == 0:
        error = {"code": outcome.code, "message": outcome.message}
        return {**given, "response": None, "error": error}
    response = {
        "status_code": outcome.status,
        "request_id": f"req_{unique}",
        "body": outcome.body,
    }
    return {**given, "response": response, "error": None}


def refusal(refused: Refused) -> Any:
    """Give an error body."""
    return {
        "error": {
            "message": refused.message,
            "type": refused.kind,
            "param": refused.param,
            "code": refused.code,
        }
    }


def unauthorized(given: str) -> Refused:
    """Refuse a key; the real service shows its ends."""
    if not given:
        said = "You didn't provide an API key. You need to provide your API key in an Authorization"
        return Refused(
            401, f"{said} header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
    shown = f"{given[:8]}***{given[-4:]}"
    said = f"Incorrect API key provided: {shown}. You can find your API key at the platform's page."
    return Refused(401, said, code="invalid_api_key")


FLAVOUR = Flavour(
    name="openai",
    key="sk-proj-fake0000000000000000",
    base="/v1",
    routes=routes("/v1"),
    batch=batch_object,
    file=file_object,
    refusal=refusal,
    line=line,
    environment=lambda cloud: {"OPENAI_API_KEY": cloud.key, "OPENAI_BASE_URL": cloud.url},
    unauthorized=unauthorized,
    limits=Limits(
        50_000, 209_715_200, "OpenAI's batch guide and its error text", "2026-11-23", inputs=50_000
    ),
    endpoints=ENDPOINTS,
)
