"""Mistral: jobs that hold the model, of files or of requests in the call, and lists that filter."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from batchframe.model import Json, Limits
from batchframe.testing.clouds import checks, lifecycle
from batchframe.testing.clouds import operations as ops
from batchframe.testing.clouds.clock import seconds
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.clouds.flavour import Flavour, Rules
from batchframe.testing.clouds.nouns import Batch, Outcome, Row, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply, reply

STATUS = {
    "validating": "QUEUED",
    "in_progress": "RUNNING",
    "finalizing": "RUNNING",
    "completed": "SUCCESS",
    "failed": "FAILED",
    "expired": "TIMEOUT_EXCEEDED",
    "cancelling": "CANCELLATION_REQUESTED",
    "cancelled": "CANCELLED",
}
INLINE = 10_000
"""Requests that one call may hold."""

HOURS = (1, 168)
"""What `timeout_hours` may be."""

FILTERS = (
    "page",
    "page_size",
    "model",
    "agent_id",
    "created_after",
    "created_by_me",
    "status",
    "order_by",
)
"""What a list's query means by itself; all other names are metadata, as the vendor's SDK sends it."""

SAMPLES = {"output": "batch_result", "error": "batch_error"}


def create(cloud: Cloud, call: Call) -> Reply:
    """POST batch/jobs."""
    given = call.json()
    files, requests = given.get("input_files") or [], given.get("requests")
    _check(given, files, requests)
    ops.check_queue(cloud, files[0] if files else None)
    for file_id in files:
        ops.check_file(cloud, file_id)
    now = cloud.clock.now
    batch = Batch(
        cloud.new_id(""),
        given["endpoint"],
        now,
        now + given.get("timeout_hours", 24) * 3600.0,
        cloud.flavour.pace,
        input_file_id=files[0] if files else None,
        metadata=given.get("metadata"),
        model=given.get("model"),
    )
    batch.extra.update(model=given.get("model"), agent_id=given.get("agent_id"), files=files)
    cloud.begin(batch)
    if requests is not None:
        batch.rows = [Row(one.get("custom_id"), batch.endpoint, one["body"]) for one in requests]
        batch.extra["inline"] = True
    data = cloud.store[files[0]].data if files else b""
    batch.extra["total"] = len(checks.lines_of(data)) if files else len(batch.rows)
    return reply(cloud.shown(batch))


def _check(given: Json, files: list[str], requests: list[Json] | None) -> None:
    if not given.get("endpoint"):
        raise Refused(422, "Field required", param="endpoint")
    if bool(files) == (requests is not None):
        raise Refused(
            422, "Exactly one of input_files and requests must be given", param="requests"
        )
    if requests is not None and len(requests) > INLINE:
        raise Refused(422, f"List should have at most {INLINE} items", param="requests")
    if not given.get("model") and not given.get("agent_id"):
        raise Refused(422, "Either model or agent_id must be given", param="model")
    least, most = HOURS
    if not least <= given.get("timeout_hours", 24) <= most:
        raise Refused(422, f"Input should be from {least} to {most}", param="timeout_hours")
    wrong = checks.metadata_problem(given.get("metadata"))
    if wrong is not None:
        raise Refused(422, wrong[0], param="metadata")


def _the_job(cloud: Cloud, call: Call) -> Batch:
    batch = cloud.job(call.ids["batch"])
    if batch is None or batch.extra.get("deleted"):
        raise Refused(404, "Job not found")
    return batch


def get(cloud: Cloud, call: Call) -> Reply:
    """GET batch/jobs/{id}; with `inline=true` the results come along."""
    batch = _the_job(cloud, call)
    shown = cloud.shown(batch)
    if call.asked("inline") == "true" and batch.stage in ("completed", "expired", "cancelled"):
        shown["outputs"] = [orjson.Fragment(one.raw) for one in batch.lines]
    return reply(shown)


def list_jobs(cloud: Cloud, call: Call) -> Reply:
    """GET batch/jobs: filtered by whatever the query names."""
    found = [cloud.shown(batch) for batch in cloud.listed() if _wanted(call, batch)]
    if call.asked("order_by", "-created") == "created":
        found.reverse()
    size, number = int(call.asked("page_size", "100")), int(call.asked("page", "0"))
    size = min(size, cloud.faults.short_pages or size)
    cut = found[number * size : (number + 1) * size]
    return reply({"total": len(found), "data": cut, "object": "list"})


def _wanted(call: Call, batch: Batch) -> bool:
    meant: Json = {
        name: values[-1]
        for name, values in call.query.items()
        if name not in (*FILTERS, "metadata")
    }
    meant = {name.removeprefix("metadata[").rstrip("]"): value for name, value in meant.items()}
    if call.asked("metadata"):
        meant |= orjson.loads(call.asked("metadata"))
    if batch.extra.get("deleted"):
        return False
    if any((batch.metadata or {}).get(name) != value for name, value in meant.items()):
        return False
    if call.query.get("status") and STATUS[batch.stage] not in call.query["status"]:
        return False
    if call.asked("model") and batch.extra["model"] != call.asked("model"):
        return False
    after = call.asked("created_after")
    return not after or batch.created > datetime.fromisoformat(after).timestamp()


def cancel(cloud: Cloud, call: Call) -> Reply:
    """POST batch/jobs/{id}/cancel."""
    batch = _the_job(cloud, call)
    lifecycle.cancel(cloud, batch)
    return reply(cloud.shown(batch))


def delete(cloud: Cloud, call: Call) -> Reply:
    """DELETE batch/jobs/{id}: hides it; what was run stays on the bill."""
    batch = _the_job(cloud, call)
    batch.extra["deleted"] = True
    return reply({"id": batch.id, "object": "batch", "deleted": True})


def batch_object(_cloud: Cloud, batch: Batch) -> Json:
    """Give a job."""
    done = len(batch.lines)
    status = STATUS[batch.stage]
    if batch.stage == "completed" and batch.rows and batch.failed == len(batch.rows):
        status = "FAILED"
    causes = [{"message": message, "count": count} for message, count in batch.causes.items()]
    if batch.stage == "failed" and batch.problem:
        causes = [{"message": batch.problem.message, "count": 1}]
    ends = ("completed", "failed", "expired", "cancelled")
    return {
        "id": batch.id,
        "object": "batch",
        "input_files": batch.extra["files"],
        "endpoint": batch.endpoint,
        "model": batch.extra["model"],
        "agent_id": batch.extra["agent_id"],
        "errors": causes,
        "status": status,
        "created_at": seconds(batch.created),
        "started_at": seconds(batch.times.get("in_progress")),
        "completed_at": seconds(
            next((batch.times[end] for end in ends if end in batch.times), None)
        ),
        "total_requests": batch.extra["total"],
        "completed_requests": done,
        "succeeded_requests": done - batch.failed,
        "failed_requests": batch.failed,
        "metadata": batch.metadata,
        "output_file": batch.output_file_id,
        "error_file": batch.error_file_id,
        "outputs": None,
    }


def file_object(_cloud: Cloud, file: StoredFile) -> Json:
    """Give a file."""
    kind = file.name.rpartition("_")[2].removesuffix(".jsonl")
    mine = file.purpose == "batch_output"
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": seconds(file.created),
        "filename": file.name,
        "purpose": "batch",
        "sample_type": SAMPLES[kind] if mine else "batch_request",
        "num_lines": len(checks.lines_of(file.data)),
        "mimetype": "application/jsonl",
        "source": "mistral" if mine else "upload",
        "signature": None,
        "expires_at": seconds(file.expires),
        "visibility": "workspace",
    }


def list_files(cloud: Cloud, call: Call) -> Reply:
    """GET files."""
    kept = [
        file_object(cloud, file) for file in reversed(cloud.store.values()) if cloud.stored(file.id)
    ]
    size, number = int(call.asked("page_size", "100")), int(call.asked("page", "0"))
    cut = kept[number * size : (number + 1) * size]
    return reply({"data": cut, "object": "list", "total": len(kept)})


def signed_url(cloud: Cloud, call: Call) -> Reply:
    """GET files/{id}/url: where to download it without a key."""
    return reply({"url": f"{cloud.root}/signed/{ops.the_file(cloud, call).id}"})


def line(batch: Batch, outcome: Outcome) -> Json:
    """Give one result line; what was refused keeps its body, what broke has none but a sentence."""
    broke = outcome.status >= 500  # noqa: PLR2004 - HTTP's family of the server's own faults
    response = {"status_code": outcome.status, "body": None if broke else outcome.body}
    given = {"id": f"batch-{batch.id[-8:]}-{outcome.number}", "custom_id": outcome.row.custom_id}
    return {**given, "response": response, "error": outcome.message if broke else None}


def finish(body: Json) -> None:
    """Leave out what only OpenAI has."""
    for name in ("service_tier", "system_fingerprint"):
        body.pop(name, None)
    usage = body.get("usage", {})
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        usage.pop(name, None)
    for choice in body.get("choices", []):
        message = {"role": "assistant", "content": choice["message"]["content"]}
        choice["message"] = {**message, "tool_calls": None, "prefix": False}
        choice.pop("logprobs")


def refusal(refused: Refused) -> Any:
    """Give an error body: `detail` for what never reached the API, an object for the rest."""
    if refused.status in (401, 403):
        return {"detail": "Unauthorized" if refused.status == 401 else refused.message}  # noqa: PLR2004
    if refused.param:
        where = ["body", refused.param]
        return {"detail": [{"type": "value_error", "loc": where, "msg": refused.message}]}
    kind = {"type": refused.kind, "param": None, "code": refused.code}
    return {"object": "error", "message": refused.message, **kind}


FLAVOUR = Flavour(
    name="mistral",
    key="fakemistral0000000000000000000ab",
    base="",
    routes=(
        ("POST", "/v1/files", "upload", ops.upload),
        ("GET", "/v1/files", "files", list_files),
        ("GET", "/v1/files/{file}", "file", ops.get_file),
        ("GET", "/v1/files/{file}/content", "content", ops.content),
        ("GET", "/v1/files/{file}/url", "file", signed_url),
        ("GET", "/signed/{file}", "blob", ops.content),
        ("DELETE", "/v1/files/{file}", "delete_file", ops.delete_file),
        *ops.sync_routes("/v1"),
        ("POST", "/v1/batch/jobs", "create", create),
        ("GET", "/v1/batch/jobs", "list", list_jobs),
        ("GET", "/v1/batch/jobs/{batch}", "get", get),
        ("POST", "/v1/batch/jobs/{batch}/cancel", "cancel", cancel),
        ("DELETE", "/v1/batch/jobs/{batch}", "delete", delete),
    ),
    batch=batch_object,
    file=file_object,
    refusal=refusal,
    line=line,
    finish=finish,
    environment=lambda cloud: {"MISTRAL_API_KEY": cloud.key, "MISTRAL_BASE_URL": cloud.url},
    unauthorized=lambda _given: Refused(401, "Unauthorized"),
    limits=Limits(
        1_000_000, 512_000_000, "Mistral's docs (requests), files API (bytes)", "2026-11-23"
    ),
    rules=Rules(addressed=False, modelled=False, custom_id=False, checked=False),
    retention=None,
    prefixes=("", ""),
    unexecuted=False,
    oversize="upload",
    missing_file="now",
    headers=lambda unique: {"mistral-correlation-id": unique},
)
