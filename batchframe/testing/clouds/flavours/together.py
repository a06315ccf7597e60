"""Together: a wrapped answer once and bare ones after, no counts, no metadata, errors that are strings."""

from __future__ import annotations

from typing import Any

from batchframe.model import Json, Limits
from batchframe.testing.clouds import checks, lifecycle
from batchframe.testing.clouds import operations as ops
from batchframe.testing.clouds.clock import iso, seconds
from batchframe.testing.clouds.cloud import HTML, Cloud
from batchframe.testing.clouds.flavour import DAY, Flavour, Operation, Rules
from batchframe.testing.clouds.nouns import ENDED, Batch, Outcome, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply, reply

STATUS = {
    "validating": "VALIDATING",
    "in_progress": "IN_PROGRESS",
    "finalizing": "IN_PROGRESS",
    "completed": "COMPLETED",
    "failed": "FAILED",
    "expired": "EXPIRED",
    "cancelling": "CANCELING",
    "cancelled": "CANCELLED",
}
ENDPOINTS = ("/v1/chat/completions", "/v1/audio/transcriptions", "/v1/audio/translations")
BARRED = 1010
"""Cloudflare's number for a client that does not say what it is."""


def named(do: Operation) -> Operation:
    """Let only callers with a User-Agent through: Cloudflare stands before the API."""

    def operation(cloud: Cloud, call: Call) -> Reply:
        agent = call.headers.get("user-agent", "")
        if not agent or agent.startswith("Python-urllib"):
            return Reply(403, HTML % (403, BARRED), {"server": "cloudflare"}, kind="text/html")
        return do(cloud, call)

    return operation


def upload(cloud: Cloud, call: Call) -> Reply:
    """POST files/upload: the whole file in one form."""
    form = call.form()
    if "file" not in form:
        raise Refused(400, "Missing file")
    name, data = form["file"]
    ops.check_size(cloud, data)
    told = form.get("file_name", (None, b""))[1].decode()
    purpose = form.get("purpose", (None, b"batch-api"))[1].decode()
    return reply(
        file_object(cloud, cloud.keep(told or name or "file.jsonl", data, purpose=purpose))
    )


def announce(cloud: Cloud, call: Call) -> Reply:
    """POST files: as the vendor's SDK begins an upload; the answer says where to put the bytes."""
    form = call.form()
    kept = cloud.keep(form["file_name"][1].decode(), b"", purpose=form["purpose"][1].decode())
    where = {"location": f"{cloud.root}/put/{kept.id}", "x-together-file-id": kept.id}
    return Reply(302, b"", where)


def put(cloud: Cloud, call: Call) -> Reply:
    """PUT the bytes of a file that was announced."""
    file = ops.the_file(cloud, call)
    ops.check_size(cloud, call.body)
    file.data = call.body
    return Reply(200)


def create(cloud: Cloud, call: Call) -> Reply:
    """POST batches: the answer is wrapped, and nothing is looked at yet."""
    given = call.json()
    file_id = given.get("input_file_id")
    if not file_id:
        raise Refused(400, "input_file_id is required")
    if given.get("endpoint") not in ENDPOINTS:
        raise Refused(400, f"invalid endpoint: {given.get('endpoint')}")
    ops.check_queue(cloud, file_id)
    now = cloud.clock.now
    pace, base = cloud.flavour.pace, cloud.new_id("")
    batch_id = f"{base[:8]}-{base[8:12]}-4000-8000-{base[-12:]}"
    batch = Batch(batch_id, given["endpoint"], now, now + DAY, pace, input_file_id=file_id)
    file = cloud.stored(file_id)
    batch.extra["size"] = len(file.data) if file else 0
    return reply({"job": cloud.shown(cloud.begin(batch))}, 201)


def _the_job(cloud: Cloud, call: Call) -> Batch:
    batch = cloud.job(call.ids["batch"])
    if batch is None:
        raise Refused(404, "Job not found", kind="job")
    return batch


def get(cloud: Cloud, call: Call) -> Reply:
    """GET batches/{id}: bare."""
    return reply(cloud.shown(_the_job(cloud, call)))


def list_jobs(cloud: Cloud, _call: Call) -> Reply:
    """GET batches: a bare array."""
    return reply([cloud.shown(batch) for batch in cloud.listed()])


def cancel(cloud: Cloud, call: Call) -> Reply:
    """POST batches/{id}/cancel."""
    batch = _the_job(cloud, call)
    if batch.stage in ENDED:
        said = f"Cannot cancel job - already in terminal state: {STATUS[batch.stage]}"
        raise Refused(409, said, kind="job")
    lifecycle.cancel(cloud, batch)
    return reply(cloud.shown(batch))


def batch_object(_cloud: Cloud, batch: Batch) -> Json:
    """Give a job; what it has not got is not there."""
    total = len(batch.rows)
    given: Json = {
        "id": batch.id,
        "user_id": "user-fake",
        "input_file_id": batch.input_file_id,
        "file_size_bytes": batch.extra["size"],
        "status": STATUS[batch.stage],
        "job_deadline": iso(batch.expires),
        "created_at": iso(batch.created),
        "endpoint": batch.endpoint,
        "progress": 100 * len(batch.lines) / total if total else 0,
    }
    ended = batch.times.get("completed")
    later = {
        "model_id": batch.model if "in_progress" in batch.times else None,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "completed_at": iso(ended),
        "error": said(batch),
    }
    return given | {name: value for name, value in later.items() if value is not None}


def said(batch: Batch) -> str | None:
    """Give the one sentence of a failed job."""
    problem = batch.problem
    if batch.stage != "failed" or problem is None:
        return None
    if problem.param == "file_id":
        return f"Failed to download input file: file {batch.input_file_id}: 404 Not Found"
    if problem.line is None:
        return problem.message
    what = "Invalid JSON format" if problem.code == "invalid_json_line" else problem.message
    where = f"Line {problem.line} (within chunk)"
    return f"Failed to calculate tokens: input format error: {where}: {what}"


def file_object(_cloud: Cloud, file: StoredFile) -> Json:
    """Give a file."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": seconds(file.created),
        "filename": file.name,
        "purpose": file.purpose,
        "processing_status": "COMPLETED",
        "LineCount": len(checks.lines_of(file.data)),
        "Processed": True,
        "FileType": "jsonl",
    }


def list_files(cloud: Cloud, _call: Call) -> Reply:
    """GET files."""
    kept = [
        file_object(cloud, file) for file in reversed(cloud.store.values()) if cloud.stored(file.id)
    ]
    return reply({"data": kept})


def delete_file(cloud: Cloud, call: Call) -> Reply:
    """DELETE files/{id}."""
    file = ops.the_file(cloud, call)
    del cloud.store[file.id]
    return reply({"id": file.id, "deleted": True})


def line(batch: Batch, outcome: Outcome) -> Json:
    """Give one result line; there is no `error` beside an answer, and nothing but it beside none."""
    given = {"id": f"br_{batch.id[-12:]}{outcome.number:08x}", "custom_id": outcome.row.custom_id}
    if outcome.good:
        return {**given, "response": {"status_code": outcome.status, "body": outcome.body}}
    refused = outcome.status < 500  # noqa: PLR2004 - HTTP's family of the server's own faults
    code = "batch_client_error" if refused else "batch_server_error"
    return {**given, "error": {"code": code, "message": outcome.message}}


def finish(body: Json) -> None:
    """Say it as Together does: an empty prompt, reasoning beside the text and flat in the usage."""
    if body.get("object") != "chat.completion":
        return
    for name in ("service_tier", "system_fingerprint"):
        body.pop(name)
    body["prompt"], body["metadata"] = [], {"weight_version": "default"}
    usage = body["usage"]
    usage.pop("prompt_tokens_details")
    usage["reasoning_tokens"] = usage.pop("completion_tokens_details")["reasoning_tokens"]
    for choice in body["choices"]:
        message = {"role": "assistant", "content": choice["message"]["content"]}
        choice["message"] = {**message, "reasoning": "", "tool_calls": []}
        choice["seed"] = None


def refusal(refused: Refused) -> Any:
    """Give an error body: a string where it is about jobs, an object elsewhere."""
    if refused.kind == "job":
        return {"error": refused.message, "request_id": "fake"}
    inner = {"message": refused.message, "type": refused.kind}
    return {"id": "fake", "error": {**inner, "param": refused.param, "code": refused.code}}


def unauthorized(_given: str) -> Refused:
    """Refuse a key."""
    return Refused(401, "Invalid API key provided.", code="invalid_api_key")


ROUTES: tuple[tuple[str, str, str, Operation], ...] = (
    ("POST", "/v1/files/upload", "upload", upload),
    ("POST", "/v1/files", "upload", announce),
    ("PUT", "/put/{file}", "blob", put),
    ("POST", "/v1/files/{file}/preprocess", "file", ops.get_file),
    ("GET", "/v1/files", "files", list_files),
    ("GET", "/v1/files/{file}", "file", ops.get_file),
    ("GET", "/v1/files/{file}/content", "content", ops.content),
    ("DELETE", "/v1/files/{file}", "delete_file", delete_file),
    *ops.sync_routes("/v1"),
    ("POST", "/v1/batches", "create", create),
    ("GET", "/v1/batches", "list", list_jobs),
    ("GET", "/v1/batches/{batch}", "get", get),
    ("POST", "/v1/batches/{batch}/cancel", "cancel", cancel),
)

FLAVOUR = Flavour(
    name="together",
    key="tgp_fake0000000000000000",
    base="/v1",
    routes=tuple((method, path, name, named(do)) for method, path, name, do in ROUTES),
    batch=batch_object,
    file=file_object,
    refusal=refusal,
    line=line,
    finish=finish,
    environment=lambda cloud: {"TOGETHER_API_KEY": cloud.key, "TOGETHER_BASE_URL": cloud.url},
    unauthorized=unauthorized,
    limits=Limits(50_000, 100_000_000, "Together's batch overview", "2026-11-23"),
    rules=Rules(addressed=False, one_model=False, checked=False, purpose=False),
    retention=None,
    prefixes=("", "file-"),
    unexecuted=False,
    oversize="upload",
)
