"""Groq: OpenAI's surface below another path, windows up to 7 days, and objects with less in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchframe.model import Json, Limits
from batchframe.testing.clouds import operations as ops
from batchframe.testing.clouds.cloud import Cloud
from batchframe.testing.clouds.flavours import openai
from batchframe.testing.clouds.nouns import Batch, StoredFile
from batchframe.testing.clouds.wire import Call, Refused, Reply, reply

BASE = "/openai/v1"


def batch_object(cloud: Cloud, batch: Batch) -> Json:
    """Give a batch, which tells neither model nor usage."""
    given = openai.batch_object(cloud, batch)
    return {name: value for name, value in given.items() if name not in ("model", "usage")}


def file_object(cloud: Cloud, file: StoredFile) -> Json:
    """Give a file, which has no status."""
    given = openai.file_object(cloud, file)
    names = ("id", "object", "bytes", "created_at", "filename", "purpose")
    return {name: given[name] for name in names}


def list_batches(cloud: Cloud, _call: Call) -> Reply:
    """GET batches: all of them, there are no pages."""
    data = [cloud.shown(batch) for batch in cloud.listed()]
    return reply({"object": "list", "data": data})


def finish(body: Json) -> None:
    """Say how long it took, and leave out what only OpenAI counts."""
    if body.get("object") != "chat.completion":
        return
    usage = body["usage"]
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        usage.pop(name)
    body["usage"] = {"queue_time": 0.01, "prompt_time": 0.002, "completion_time": 0.03, **usage}
    body["usage"]["total_time"] = 0.032
    body["system_fingerprint"] = "fp_fake"
    body["x_groq"] = {"id": body["id"].replace("chatcmpl-", "req_")}
    for choice in body["choices"]:
        choice["message"] = {"role": "assistant", "content": choice["message"]["content"]}


def refusal(refused: Refused) -> Any:
    """Give an error body: message, type, and a code where there is one."""
    inner = {"message": refused.message, "type": refused.kind}
    return {"error": {**inner, "code": refused.code} if refused.code else inner}


FLAVOUR = replace(
    openai.FLAVOUR,
    name="groq",
    key="gsk_fake0000000000000000",
    base=BASE,
    routes=tuple(
        (method, path, name, list_batches if do is ops.list_batches else do)
        for method, path, name, do in openai.routes(BASE)
    ),
    batch=batch_object,
    file=file_object,
    refusal=refusal,
    finish=finish,
    environment=lambda cloud: {"GROQ_API_KEY": cloud.key, "GROQ_BASE_URL": cloud.url},
    unauthorized=lambda _given: Refused(401, "Invalid API Key", code="invalid_api_key"),
    limits=Limits(50_000, 100_000_000, "groq SDK 1.7.0 (its docs say 200 MB)", "2026-11-23"),
    endpoints=("/v1/chat/completions",),
    windows=(
        "24h",
        *(f"{day}d" for day in range(1, 8)),
        "48h",
        "72h",
        "96h",
        "120h",
        "144h",
        "168h",
    ),
    prefixes=("batch_", "file_"),
    oversize="upload",
    missing_file="now",
)
