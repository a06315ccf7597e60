"""xAI: counters in place of a status, results in pages in place of files, a name in place of metadata."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from batchframe.model import Json, Limits
from batchframe.testing.clouds import lifecycle, results
from batchframe.testing.clouds import operations as ops
from batchframe.testing.clouds.clock import iso, seconds
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.clouds.flavour import DAY, Flavour, Rules
from batchframe.testing.clouds.nouns import ENDED, Batch, Outcome, Pace, Row, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply, reply

MOST = 1000
"""Results on one page, at most."""

TICKS = (20_000, 100_000)
"""What an input and an output token cost in 1e-10 USD; only that it adds up is true of these."""

PACE = Pace(finalizing=0.0, cancelling=20.0)
"""When nothing is pending it is over; a cancellation that came too late was seen to turn into successes
20 seconds after.
"""

COUNTERS = ("num_requests", "num_pending", "num_success", "num_error", "num_cancelled")

EMPTY_PURSE = Refused(
    429,
    "Your team 00000000-fake has either used all available credits or reached its monthly spending "
    "limit. To continue making API requests, please purchase more credits or raise your spending limit.",
    code="Some resource has been exhausted",
)
"""As it answered in 2026-02; in 2026-08 with 403."""


def create(cloud: Cloud, call: Call) -> Reply:
    """POST batches: of a file, or empty, to be filled by calls."""
    given = call.json()
    if not given.get("name"):
        raise Refused(422, "Failed to deserialize the JSON body: missing field `name`")
    file_id = given.get("input_file_id")
    ops.check_queue(cloud, file_id)
    if file_id is not None:
        ops.check_file(cloud, file_id)
    now = cloud.clock.now
    batch = Batch(
        cloud.new_id("batch_"),
        "/v1/chat/completions",
        now,
        now + 30 * DAY,
        cloud.flavour.pace,
        input_file_id=file_id,
        name=given["name"],
    )
    cloud.begin(batch)
    if file_id is None:
        batch.stage, batch.times["in_progress"] = "waiting", now
    return reply(cloud.shown(batch))


def add(cloud: Cloud, call: Call) -> Reply:
    """POST batches/{id}/requests: all of them or none."""
    batch = _the_batch(cloud, call)
    if batch.input_file_id is not None:
        raise Refused(412, "Cannot add inline requests to a file-based batch", code="412")
    if "cancelling" in batch.times:
        raise Refused(403, "Cannot add requests to a cancelled batch", code="403")
    rows: list[Row] = []
    known = {row.custom_id: row.body for row in batch.rows}
    for request in call.json().get("batch_requests", []):
        body = request["batch_request"]["chat_get_completion"]
        name = request.get("batch_request_id") or cloud.new_id("batch_request_")
        if cloud.models is not None and body.get("model") not in cloud.models:
            said = f"Model {body.get('model')} is not supported for batch processing."
            raise Refused(400, said)
        if known.setdefault(name, body) != body:
            said = f"batch_request_id '{name}' content differs from originally submitted"
            raise Refused(412, said, code="412")
        if name not in {row.custom_id for row in (*batch.rows, *rows)}:
            rows.append(Row(name, "/v1/chat/completions", body))
    batch.rows += rows
    batch.base = len(batch.lines)
    batch.stage, batch.times["in_progress"] = "in_progress", cloud.clock.now
    return reply({})


def _the_batch(cloud: Cloud, call: Call) -> Batch:
    batch = cloud.jobs.get(call.ids["batch"])
    if batch is None:
        raise Refused(404, f"Batch {call.ids['batch']} not found", code="Some requested entity was")
    lifecycle.settle(cloud, batch)
    return batch


def get(cloud: Cloud, call: Call) -> Reply:
    """GET batches/{id}."""
    return reply(cloud.shown(_the_batch(cloud, call)))


def list_batches(cloud: Cloud, call: Call) -> Reply:
    """GET batches: in pages."""
    shown = [cloud.shown(batch) for batch in cloud.listed()]
    cut, token = _cut(cloud, call, shown, 100)
    return reply({"batches": cut, "pagination_token": token})


def cancel(cloud: Cloud, call: Call) -> Reply:
    """POST batches/{id}:cancel: the counters say at once that it has happened."""
    batch = _the_batch(cloud, call)
    if batch.stage not in ENDED and "cancelling" not in batch.times:
        lifecycle.cancel(cloud, batch)
    return reply(cloud.shown(batch))


def list_requests(cloud: Cloud, call: Call) -> Reply:
    """GET batches/{id}/requests: what became of each."""
    batch = _the_batch(cloud, call)
    states = ["succeeded" if line.good else "failed" for line in batch.lines]
    rest = "cancelled" if "cancelling" in batch.times else "pending"
    states += [rest] * (len(batch.rows) - len(states))
    rows = [
        {
            "batch_request_id": row.custom_id,
            "endpoint": "xai_api.Chat/GetCompletion",
            "state": state,
            "create_time": iso(batch.created),
        }
        for row, state in zip(batch.rows, states, strict=True)
    ]
    cut, token = _cut(cloud, call, rows, 100)
    return reply({"batch_request_metadata": cut, "pagination_token": token})


def list_results(cloud: Cloud, call: Call) -> Reply:
    """GET batches/{id}/results: what there is so far, by id, in pages."""
    batch = _the_batch(cloud, call)
    raw = {
        row.custom_id or "": line.raw for row, line in zip(batch.rows, batch.lines, strict=False)
    }
    if batch.stage == "cancelled":
        for row in batch.rows[len(batch.lines) :]:
            cancelled = Outcome(row, 0, 0, None, "cancelled", "Batch cancelled")
            raw[row.custom_id or ""] = orjson.dumps(line(batch, cancelled))
    ordered = [raw[name] for name in sorted(raw)]
    if batch.stage in ENDED:
        ordered = results.paged(ordered, cloud.faults)
    cut, token = _cut(cloud, call, ordered, 100)
    fragments = [orjson.Fragment(one) for one in cut]
    return reply({"results": fragments, "pagination_token": token})


def _cut(cloud: Cloud, call: Call, items: list[Any], usual: int) -> tuple[list[Any], str | None]:
    limit = min(int(call.asked("limit", str(usual))), cloud.faults.short_pages or MOST)
    start = int(call.asked("pagination_token") or 0)
    end = start + limit
    return items[start:end], str(end) if end < len(items) else None


def batch_object(_cloud: Cloud, batch: Batch) -> Json:
    """Give a batch: there is no status, only counters, and dates without a time of day."""
    done, total = len(batch.lines), len(batch.rows)
    cancelled = "cancelling" in batch.times and batch.stage != "completed"
    over = cancelled or batch.stage == "expired"
    pending, gone = (0, total - done) if over else (total - done, 0)
    state = dict(
        zip(COUNTERS, (total, pending, done - batch.failed, batch.failed, gone), strict=True)
    )
    ended = batch.times.get("cancelling", batch.times.get("failed"))
    given: Json = {
        "batch_id": batch.id,
        "name": batch.name,
        "create_time": _day(batch.created),
        "expire_time": _day(batch.expires),
        "create_api_key_id": "fake",
        "cancel_time": _day(ended),
        "cancel_by_xai_message": said(batch),
        "state": state,
    }
    return given if batch.input_file_id is None else {**given, "input_file_id": batch.input_file_id}


def put_word(shown: Json, word: str) -> None:
    """Put other counters and times into a batch: it has no status, so words stand for the whole of them.

    "num_requests=6 num_pending=2 cancel_time=2026-11-23" are three; of a word without "=" nobody knows
    what it means, and it stands where the counters were.
    """
    told = dict(one.lower().split("=", 1) for one in word.split() if "=" in one)
    known = {name: int(told.pop(name, 0)) for name in COUNTERS}
    shown["state"] = known if "=" in word else {"phase": word}
    shown.update(told)


def bill(asked: int, said: int) -> Decimal:
    """Give what an answer costs, in US dollars.

    Args:
        asked: Input tokens.
        said: Output tokens, thoughts included.
    """
    return Decimal(asked * TICKS[0] + said * TICKS[1]).scaleb(-10)


def said(batch: Batch) -> str | None:
    """Give the sentence with which xAI cancels a batch whose file it does not like."""
    if batch.stage != "failed" or batch.problem is None:
        return None
    problem = batch.problem
    where = f"line {problem.line}: " if problem.line else ""
    what = "invalid JSON" if problem.code == "invalid_json_line" else problem.message
    return f"JSONL file validation failed: {where}{what}"


def _day(moment: float | None) -> str | None:
    found = iso(moment)
    return found[:10] if found else None


def file_object(_cloud: Cloud, file: StoredFile) -> Json:
    """Give a file."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": seconds(file.created),
        "expires_at": seconds(file.expires),
        "filename": file.name,
        "purpose": file.purpose,
    }


def upload(cloud: Cloud, call: Call) -> Reply:
    """POST files: no purpose is asked for, and nothing expires unless told."""
    form = call.form()
    if "file" not in form:
        raise Refused(400, "Missing file")
    name, data = form["file"]
    ops.check_size(cloud, data)
    purpose = form.get("purpose", (None, b""))[1].decode()
    kept = cloud.keep(name or "file", data, purpose=purpose, seconds=ops.expiry(cloud, form))
    return reply(file_object(cloud, kept))


def line(_batch: Batch, outcome: Outcome) -> Json:
    """Give one result: the body in a wrapper that names the chat API, or a bare string."""
    result: Json = {"error": outcome.message}
    if outcome.good:
        result = {"response": {"chat_get_completion": outcome.body}}
    return {"batch_request_id": outcome.row.custom_id, "batch_result": result}


def finish(body: Json) -> None:
    """Turn whatever was asked into a chat completion whose reasoning stands beside its output."""
    if body.get("object") == "response":
        _as_chat(body)
    usage = body.get("usage")
    if not isinstance(usage, dict) or "prompt_tokens" not in usage:
        return
    usage.setdefault("completion_tokens_details", {"reasoning_tokens": 0})
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    whole = usage.get("completion_tokens", 0)
    usage["completion_tokens"] = whole - thought
    usage["num_sources_used"] = 0
    usage["cost_in_usd_ticks"] = usage["prompt_tokens"] * TICKS[0] + whole * TICKS[1]


def _as_chat(body: Json) -> None:
    usage, text = body["usage"], body["output"][-1]["content"][0]["text"]
    thought = usage["output_tokens_details"]["reasoning_tokens"]
    message = {"role": "assistant", "content": text, "refusal": None}
    chat = {
        "id": body["id"],
        "object": "chat.completion",
        "created": body["created_at"],
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": thought},
        },
    }
    body.clear()
    body.update(chat)


def refusal(refused: Refused) -> Any:
    """Give an error body: two strings."""
    code = refused.code or "Client specified an invalid argument"
    return {"code": code, "error": refused.message}


def unauthorized(given: str) -> Refused:
    """Refuse a key, with 400."""
    shown = f"{given[:2]}***{given[-2:]}"
    return Refused(400, f"Incorrect API key provided: {shown}. You can obtain one at the console.")


FLAVOUR = Flavour(
    name="xai",
    key="xai-fake0000000000000000",
    base="/v1",
    routes=(
        ("POST", "/v1/files", "upload", upload),
        ("GET", "/v1/files", "files", ops.list_files),
        ("GET", "/v1/files/{file}", "file", ops.get_file),
        ("GET", "/v1/files/{file}/content", "content", ops.content),
        ("DELETE", "/v1/files/{file}", "delete_file", ops.delete_file),
        *ops.sync_routes("/v1"),
        ("POST", "/v1/batches", "create", create),
        ("GET", "/v1/batches", "list", list_batches),
        ("GET", "/v1/batches/{batch}", "get", get),
        ("POST", "/v1/batches/{batch}:cancel", "cancel", cancel),
        ("POST", "/v1/batches/{batch}/requests", "requests", add),
        ("GET", "/v1/batches/{batch}/requests", "requests", list_requests),
        ("GET", "/v1/batches/{batch}/results", "results", list_results),
    ),
    batch=batch_object,
    file=file_object,
    refusal=refusal,
    line=line,
    finish=finish,
    environment=lambda cloud: {"XAI_API_KEY": cloud.key, "XAI_BASE_URL": cloud.url},
    unauthorized=unauthorized,
    limits=Limits(50_000, 200_000_000, "xAI's batch guide", "2026-11-23"),
    rules=Rules(one_model=False, url="any", purpose=False),
    window=30 * DAY,
    retention=None,
    prefixes=("batch_", "file_"),
    unexecuted=False,
    filed=False,
    pace=PACE,
    identity=("batch_id",),
    spelt=put_word,
    empty_purse=EMPTY_PURSE,
    bill=bill,
    oversize="upload",
    missing_file="now",
    reasoning=7,
)
