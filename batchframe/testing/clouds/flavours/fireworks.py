"""Fireworks: datasets in place of files, jobs whose id the caller chooses, and deleting as cancelling."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from batchframe.model import Json, Limits
from batchframe.testing.clouds import lifecycle
from batchframe.testing.clouds import operations as ops
from batchframe.testing.clouds.clock import iso, seconds
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.clouds.flavour import DAY, Flavour, Rules
from batchframe.testing.clouds.nouns import ENDED, Batch, Outcome, Problem, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply, reply

ACCOUNT = "fake-account"
BASE = "/v1/accounts/{account}"
STATE = {
    "validating": "JOB_STATE_VALIDATING",
    "in_progress": "JOB_STATE_RUNNING",
    "finalizing": "JOB_STATE_WRITING_RESULTS",
    "completed": "JOB_STATE_COMPLETED",
    "failed": "JOB_STATE_FAILED",
    "expired": "JOB_STATE_EXPIRED",
    "cancelling": "JOB_STATE_DELETING_CLEANING_UP",
    "cancelled": "JOB_STATE_DELETED",
}
OCTETS, XML = "application/octet-stream", "application/xml"
GRPC = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 413: 3, 429: 8, 500: 13, 503: 14}
"""HTTP status -> the number that gRPC has for it."""

DIRECT_BYTES = 150_000_000
"""The most that one upload call may bring ("up to 150Mb", upload-dataset-files page, 2026-11)."""

SIGNED = ("content-type", "host", "x-goog-content-length-range")
"""The headers that a signed address was signed with; a PUT must have them."""

EMPTY_PURSE = Refused(
    412,
    "Account fake-account is suspended, possibly due to reaching the monthly spending limit or failure "
    "to pay past invoices. Please go to https://fireworks.ai/account/billing for more information.",
    code="PRECONDITION_FAILED",
)
"""As it answered in 2026-07 and 2026-09."""

NAMES = {"output": "BIJOutputSet.jsonl", "error": "error-data"}
"""The two files of a result dataset."""

DATASET = {
    "averageTurnCount": 0,
    "createdBy": "user@example.com",
    "displayName": "",
    "encryptionState": "ENCRYPTION_STATE_PLAINTEXT",
    "estimatedTokenCount": "0",
    "externalUrl": "",
    "format": "FORMAT_UNSPECIFIED",
    "sourceJobName": "",
    "status": {"code": "OK", "message": ""},
    "userUploaded": {},
}


def _datasets(cloud: Cloud) -> dict[str, Json]:
    found: dict[str, Json] = cloud.extra.setdefault("datasets", {})
    return found


def _account(call: Call) -> None:
    if call.ids["account"] != ACCOUNT:
        raise Refused(403, "permission denied", code="grpc")


def _the_dataset(cloud: Cloud, call: Call) -> Json:
    _account(call)
    found = _datasets(cloud).get(call.ids["dataset"])
    if found is None:
        raise Refused(404, "resource not found")
    return found


def create_dataset(cloud: Cloud, call: Call) -> Reply:
    """POST datasets: an empty one, whose count of examples must be told and is not checked."""
    _account(call)
    given = call.json()
    told, name = given.get("dataset") or {}, given.get("datasetId")
    if not name:
        raise Refused(400, "dataset_id is required")
    if not told.get("exampleCount"):
        raise Refused(400, "example_count is required for uploaded datasets")
    if name in _datasets(cloud):
        raise Refused(409, f"dataset {name} already exists")
    _datasets(cloud)[name] = _new(cloud, name, "UPLOADING", str(told["exampleCount"]))
    return reply(_dataset_object(_datasets(cloud)[name]))


def _new(cloud: Cloud, name: str, state: str, count: str) -> Json:
    now = iso(cloud.clock.now, places=6)
    full = f"accounts/{ACCOUNT}/datasets/{name}"
    facts = {"name": full, "state": state, "exampleCount": count}
    return {**DATASET, **facts, "createTime": now, "updateTime": now, "_files": {}}


def _dataset_object(dataset: Json) -> Json:
    return {name: value for name, value in dataset.items() if not name.startswith("_")}


def upload(cloud: Cloud, call: Call) -> Reply:
    """POST datasets/{id}:upload: the dataset is ready at once."""
    dataset = _the_dataset(cloud, call)
    form = call.form()
    if "file" not in form:
        raise Refused(400, "file is required")
    name, data = form["file"]
    ops.check_size(cloud, data)
    kept = cloud.keep(name or "file.jsonl", data)
    dataset["_files"][kept.name] = kept.id
    dataset["state"] = "READY"
    return reply(
        {
            "id": dataset["name"],
            "object": "file",
            "bytes": len(data),
            "created_at": seconds(cloud.clock.now),
            "filename": kept.name,
            "purpose": "dataset",
        }
    )


def upload_endpoint(cloud: Cloud, call: Call) -> Reply:
    """POST datasets/{id}:getUploadEndpoint: where to put large files."""
    dataset = _the_dataset(cloud, call)
    urls = {}
    for name, size in call.json().get("filenameToSize", {}).items():
        kept = cloud.keep(name, b"")
        dataset["_files"][name] = kept.id
        cloud.extra.setdefault("sizes", {})[kept.id] = int(size)
        signed = quote(";".join(SIGNED), safe="")
        urls[name] = f"{cloud.root}/signed/{kept.id}?X-Goog-SignedHeaders={signed}"
    return reply({"filenameToSignedUrls": urls})


def put(cloud: Cloud, call: Call) -> Reply:
    """PUT the bytes at a signed address, with the headers that it was signed with, of the size told."""
    file = ops.the_file(cloud, call)
    size = cloud.extra["sizes"][file.id]
    signed = {"content-type": OCTETS, "x-goog-content-length-range": f"{size},{size}"}
    if any(call.headers.get(name) != value for name, value in signed.items()):
        return Reply(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", kind=XML)
    if len(call.body) != size:
        return Reply(400, b"<Error><Code>EntityTooLarge</Code></Error>", kind=XML)
    file.data = call.body
    return Reply(200)


def validate_upload(cloud: Cloud, call: Call) -> Reply:
    """POST datasets/{id}:validateUpload."""
    dataset = _the_dataset(cloud, call)
    for file_id in dataset["_files"].values():
        ops.check_size(cloud, cloud.store[file_id].data, direct=False)
    dataset["state"] = "READY"
    return reply({})


def get_dataset(cloud: Cloud, call: Call) -> Reply:
    """GET datasets/{id}."""
    return reply(_dataset_object(_the_dataset(cloud, call)))


def list_datasets(cloud: Cloud, call: Call) -> Reply:
    """GET datasets."""
    _account(call)
    found = [_dataset_object(one) for one in reversed(_datasets(cloud).values())]
    cut, token = _cut(cloud, call, found)
    return reply({"datasets": cut, "nextPageToken": token, "totalSize": len(found)})


def delete_dataset(cloud: Cloud, call: Call) -> Reply:
    """DELETE datasets/{id}."""
    for file_id in _the_dataset(cloud, call)["_files"].values():
        cloud.store.pop(file_id, None)
    del _datasets(cloud)[call.ids["dataset"]]
    return reply({})


def download_endpoint(cloud: Cloud, call: Call) -> Reply:
    """GET datasets/{id}:getDownloadEndpoint: an address for each file; a body is not borne."""
    dataset = _the_dataset(cloud, call)
    if call.body:
        return Reply(400, b"<html>Error 400 (Bad Request)</html>", {}, kind="text/html")
    name = call.ids["dataset"]
    urls = {
        f"dataset/{name}/{file}": f"{cloud.root}/signed/{file_id}"
        for file, file_id in dataset["_files"].items()
    }
    return reply({"filenameToSignedUrls": urls})


def create(cloud: Cloud, call: Call) -> Reply:
    """POST batchInferenceJobs: an id that is taken is refused, which makes the call safe to repeat."""
    _account(call)
    given = call.json()
    batch_id = call.asked("batchInferenceJobId") or cloud.new_id("bij-")
    if batch_id in cloud.jobs:
        raise Refused(409, f"batch inference job {batch_id} already exists")
    older = _short(given.get("continuedFromJobName"))
    source = _short(given.get("inputDatasetId"))
    if older and older in cloud.jobs:
        source = source or _short(cloud.jobs[older].extra["source"])
        given.setdefault("model", cloud.jobs[older].extra["model"])
    if not given.get("model"):
        raise Refused(400, "model is required")
    dataset = _datasets(cloud).get(source)
    if dataset is None:
        raise Refused(404, "resource not found")
    if dataset["state"] != "READY":
        raise Refused(400, f"dataset {source} is not ready")
    file_id = next(iter(dataset["_files"].values()))
    ops.check_queue(cloud, file_id)
    return reply(cloud.shown(_begin(cloud, batch_id, given, source, file_id)))


def _begin(cloud: Cloud, batch_id: str, given: Json, source: str, file_id: str) -> Batch:
    now = cloud.clock.now
    batch = Batch(
        batch_id,
        "/v1/chat/completions",
        now,
        now + DAY,
        cloud.flavour.pace,
        input_file_id=file_id,
        name=given.get("displayName", ""),
        model=given["model"],
    )
    older = cloud.jobs.get(_short(given.get("continuedFromJobName")))
    done = older.rows[: len(older.lines)] if older else []
    batch.extra["done"] = {row.custom_id for row in done}
    target = _short(given.get("outputDatasetId")) or cloud.new_id("bij-")
    batch.extra.update(
        model=given["model"],
        source=source,
        target=target,
        declared=int(_datasets(cloud)[source]["exampleCount"]),
        parameters={"extraBody": "{}", **given.get("inferenceParameters", {})},
        continued=given.get("continuedFromJobName", ""),
    )
    return cloud.begin(batch)


def _short(name: str | None) -> str:
    return (name or "").rpartition("/")[2]


def _the_job(cloud: Cloud, call: Call) -> Batch:
    _account(call)
    batch = cloud.job(call.ids["batch"])
    if batch is None or batch.stage == "cancelled":
        raise Refused(404, "resource not found")
    _publish(cloud, batch)
    return batch


def _publish(cloud: Cloud, batch: Batch) -> None:
    """Make a dataset of the results of a job that has ended well enough to have some."""
    if batch.stage not in ("completed", "expired") or batch.extra["target"] in _datasets(cloud):
        return
    dataset = _new(cloud, batch.extra["target"], "READY", str(len(batch.lines)))
    for kind, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
        dataset["_files"][NAMES[kind]] = file_id or cloud.keep_results(batch, kind, b"")
    _datasets(cloud)[batch.extra["target"]] = dataset


def get(cloud: Cloud, call: Call) -> Reply:
    """GET batchInferenceJobs/{id}."""
    return reply(cloud.shown(_the_job(cloud, call)))


def list_jobs(cloud: Cloud, call: Call) -> Reply:
    """GET batchInferenceJobs."""
    _account(call)
    found = [cloud.shown(batch) for batch in cloud.listed() if batch.stage != "cancelled"]
    cut, token = _cut(cloud, call, found)
    return reply({"batchInferenceJobs": cut, "nextPageToken": token, "totalSize": len(found)})


def _cut(cloud: Cloud, call: Call, items: list[Json]) -> tuple[list[Json], str]:
    size, start = int(call.asked("pageSize", "50")), int(call.asked("pageToken") or 0)
    end = start + min(size, cloud.faults.short_pages or 200)
    return items[start:end], str(end) if end < len(items) else ""


def delete(cloud: Cloud, call: Call) -> Reply:
    """DELETE batchInferenceJobs/{id}: stops it and removes it, results and all."""
    batch = _the_job(cloud, call)
    if batch.stage in ENDED:
        batch.stage = "cancelled"
    else:
        lifecycle.cancel(cloud, batch)
    return reply({})


def batch_object(_cloud: Cloud, batch: Batch) -> Json:
    """Give a job."""
    start = f"accounts/{ACCOUNT}"
    latest = max(batch.times.values())
    problem = batch.problem if batch.stage == "failed" else None
    begun = "in_progress" in batch.times or batch.stage == "failed"
    times = batch.times
    lifecycle_times = {
        "endTime": iso(times.get(batch.stage), places=6) if batch.stage in ENDED else None,
        "runStartTime": iso(times.get("in_progress"), places=6),
        "validatedTime": iso(times.get("in_progress"), places=6),
    }
    return {
        "continuedFromJobName": batch.extra["continued"],
        "createTime": iso(batch.created, places=6),
        "createdBy": "user@example.com",
        "displayName": batch.name,
        "expireTime": iso(batch.expires, places=6),
        "inferenceParameters": batch.extra["parameters"],
        "inputDatasetId": f"{start}/datasets/{batch.extra['source']}",
        "jobProgress": _progress(batch) if begun else None,
        "lifecycle": lifecycle_times if begun else None,
        "maxJobDuration": None,
        "model": batch.extra["model"],
        "name": f"{start}/batchInferenceJobs/{batch.id}",
        "outputDatasetId": f"{start}/datasets/{batch.extra['target']}",
        "placement": None,
        "precision": "BF16",
        "state": STATE[batch.stage],
        "status": {
            "code": "INVALID_ARGUMENT" if problem else "OK",
            "message": _said(problem) if problem else "",
        },
        "systemPrompt": "",
        "updateTime": iso(latest, places=6),
        "waitingOnCapacity": False,
    }


def _said(problem: Problem) -> str:
    if problem.code in ("model_not_found", "token_limit_exceeded"):
        return problem.message
    where = f"input.jsonl:{problem.line}: " if problem.line else ""
    return f"Dataset has a syntax error: chat dataset validation failed on {where}{problem.message}"


def _progress(batch: Batch) -> Json:
    done = len(batch.lines)
    ran = "in_progress" in batch.times and bool(done)
    return {
        "cachedInputTokenCount": batch.tokens["cached"],
        "epoch": 0,
        "failedRequests": batch.failed,
        "inputTokens": batch.tokens["input"],
        "outputRows": done - batch.failed,
        "outputTokens": batch.tokens["output"],
        "percent": 100 * done // len(batch.rows) if batch.rows else 0,
        "successfullyProcessedRequests": done - batch.failed,
        "totalInputRequests": batch.extra["declared"] if ran else 0,
        "totalProcessedRequests": done,
    }


def file_object(_cloud: Cloud, file: StoredFile) -> Json:
    """Give a file; only this house's own tests see it."""
    return {"id": file.id, "bytes": len(file.data), "filename": file.name}


def line(_batch: Batch, outcome: Outcome) -> Json:
    """Give one result line: the body itself, no status around it."""
    given = {"custom_id": outcome.row.custom_id}
    if outcome.good:
        return {**given, "response": outcome.body}
    code = outcome.code or str(outcome.status)
    return {**given, "error": {"message": outcome.message, "code": code}}


def finish(body: Json) -> None:
    """Leave out what only OpenAI has."""
    if body.get("object") != "chat.completion":
        return
    for name in ("service_tier", "system_fingerprint"):
        body.pop(name)
    usage = body["usage"]
    usage["prompt_tokens_details"] = {"cached_tokens": 0}
    thought = usage.pop("completion_tokens_details")["reasoning_tokens"]
    if thought:
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    for choice in body["choices"]:
        choice["message"] = {"role": "assistant", "content": choice["message"]["content"]}
        choice.pop("logprobs")


def refusal(refused: Refused) -> Any:
    """Give an error body: gRPC's, but for a bad key and an account without money, which get OpenAI's."""
    if refused.code in ("UNAUTHORIZED", "PRECONDITION_FAILED"):
        inner = {"message": refused.message, "param": None, "code": refused.code, "type": "error"}
        return {"error": inner, "request_id": "fake"}
    return {"code": GRPC.get(refused.status, 2), "message": refused.message, "details": []}


def environment(cloud: Cloud) -> dict[str, str]:
    """Give key, account and address."""
    return {
        "FIREWORKS_API_KEY": cloud.key,
        "FIREWORKS_ACCOUNT_ID": ACCOUNT,
        "FIREWORKS_BASE_URL": cloud.url,
    }


FLAVOUR = Flavour(
    name="fireworks",
    key="fw_fake0000000000000000",
    base="",
    routes=(
        ("POST", f"{BASE}/datasets", "dataset", create_dataset),
        ("GET", f"{BASE}/datasets", "datasets", list_datasets),
        ("GET", f"{BASE}/datasets/{{dataset}}", "dataset", get_dataset),
        ("DELETE", f"{BASE}/datasets/{{dataset}}", "delete_file", delete_dataset),
        ("POST", f"{BASE}/datasets/{{dataset}}:upload", "upload", upload),
        ("POST", f"{BASE}/datasets/{{dataset}}:getUploadEndpoint", "upload", upload_endpoint),
        ("POST", f"{BASE}/datasets/{{dataset}}:validateUpload", "upload", validate_upload),
        ("GET", f"{BASE}/datasets/{{dataset}}:getDownloadEndpoint", "results", download_endpoint),
        ("PUT", "/signed/{file}", "blob", put),
        ("GET", "/signed/{file}", "content", ops.content),
        *ops.sync_routes("/inference/v1"),
        ("POST", f"{BASE}/batchInferenceJobs", "create", create),
        ("GET", f"{BASE}/batchInferenceJobs", "list", list_jobs),
        ("GET", f"{BASE}/batchInferenceJobs/{{batch}}", "get", get),
        ("DELETE", f"{BASE}/batchInferenceJobs/{{batch}}", "cancel", delete),
    ),
    batch=batch_object,
    file=file_object,
    refusal=refusal,
    line=line,
    finish=finish,
    environment=environment,
    unauthorized=lambda _given: Refused(
        403, "The API key you provided is invalid.", code="UNAUTHORIZED"
    ),
    limits=Limits(
        1_000_000,
        500_000_000,
        "Fireworks' batch guide; of requests it names no number",
        "2026-11-27",
    ),
    direct=DIRECT_BYTES,
    identity=("name",),
    empty_purse=EMPTY_PURSE,
    rules=Rules(addressed=False, modelled=False, checked=False, roles=True),
    retention=None,
    prefixes=("bij-", "blob-"),
    unexecuted=False,
    oversize="upload",
    missing_file="now",
)
