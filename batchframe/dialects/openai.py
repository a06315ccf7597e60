"""The OpenAI body and the OpenAI batch line: the words in which every other dialect is explained.

A request is a body for one of the `Endpoint`s; a result is one line of a batch output file. Names and shapes follow OpenAI's API reference as of 2026-11.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchframe.dialects import responses
from batchframe.dialects.dialect import Dialect
from batchframe.model import Endpoint, Json, Reply, RowError, Usage
from batchframe.redact import redact

RETRYABLE_CODES = frozenset(
    {
        "batch_expired", "batch_cancelled", "cancelled", "missing", "rate_limit_exceeded",
        "server_error", "timeout", "connection", "invalid_body", "overloaded", "slow_down",
        "resource_unavailable", "internal_error", "tls",
    }
)  # fmt: skip
"""Error codes of rows that were not at fault themselves."""

_RETRYABLE_STATUS = frozenset({0, 408, 409, 429})
_SERVER_ERRORS = 500
_NO_STATUS = 600
_OK = range(200, 300)
_REFUSALS = range(400, 600)
_STATUSES = range(1000)
"""What may be a status; 0 stands for none at all (seen at Groq)."""

_GATEWAYS = frozenset({502, 504, 520, 524})
"""Statuses of a proxy that lost the answer on its way; the model behind it may have given one."""

_MAYBE_PAID_CODES = frozenset({"timeout", "invalid_body", "body_too_large", "connection"})

_MOST_COUNTED = 2**31 - 1
"""No request holds more tokens; sums of such counts fit 64 bits for four billion rows."""

_LONGEST_CODE, _LONGEST_MESSAGE = 64, 2_000
"""Characters of an error that are kept; the whole of it stays in the body."""

_TEXTS = frozenset({"text", "output_text"})
_OTHER_ANSWERS = ("tool_calls", "function_call", "audio")
_NOTHING: Mapping[str, Any] = {}


def line(custom_id: str, endpoint: Endpoint, body: Json) -> Json:
    """Give one line of a batch input file.

    Args:
        custom_id: Our id, unique in the file.
        endpoint: Written as the line's `url`.
        body: The request body, `model` included.

    >>> line("r0", Endpoint.EMBEDDINGS, {"model": "m", "input": "hi"})["url"]
    '/v1/embeddings'
    """
    return {"custom_id": custom_id, "method": "POST", "url": endpoint.value, "body": body}


def decode(line: Mapping[str, Any]) -> Reply:
    """Read one line of a batch output or error file, or of our journal, which has the same shape.

    A row is answered only when `error` is empty, the status is 2xx and the body holds no error:
    refused rows carry a null `error` and a 4xx body (seen at OpenAI, 2026-09). Whatever the line
    lacks, it becomes a row error; nothing is raised.

    Args:
        line: The parsed line; `custom_id` must be a string, the rest may be anything.

    >>> body = {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}
    >>> decode({"custom_id": "r0", "response": {"status_code": 200, "body": body}}).text
    'Yes.'
    """
    custom_id = str(line.get("custom_id"))
    ours = _mapping(line.get("batchframe"))
    response = _mapping(line.get("response"))
    body = _mapping(response.get("body"))
    facts: dict[str, Any] = {
        "custom_id": custom_id,
        "request_id": _word(response.get("request_id")) or _word(line.get("id")),
        "attempts": _count(ours.get("attempts")),
        "latency": _seconds(ours.get("latency")),
        "usage": spent(line),
    }
    error, status = _line_error(line, response, body)
    facts["status"] = status if status in _STATUSES else None
    if error is not None:
        # a refused row may have been paid for all the same
        return Reply(error=error, body=body or None, **facts)
    if isinstance(body.get("data"), list):
        return _embedding(body, facts)
    if isinstance(body.get("output"), list):
        return _response(body, facts)
    if isinstance(body.get("results"), list):
        return _moderation(body, facts)
    return _chat(body, facts)


def _line_error(
    line: Mapping[str, Any], response: Mapping[str, Any], body: Mapping[str, Any]
) -> tuple[RowError | None, int | None]:
    """Find the error of a line in any of the places where servers put it, and the status it came with."""
    status = response.get("status_code")
    status = status if type(status) is int else None
    raw = line.get("error") or body.get("error")
    if raw:
        return _row_error(raw, status)
    if status is not None and status not in _OK:
        # Mistral and vLLM put `message` or `detail` into the body itself
        return _row_error({"message": f"HTTP status {status}", **body}, status)
    if not body:
        return RowError("invalid_body", "the answer has no body", retryable=True), status
    return None, status


def _row_error(raw: object, status: int | None) -> tuple[RowError, int | None]:
    """Bring an error of any shape (object, string, object in an object) to a code and a message."""
    found = _mapping(raw)
    while found.get("error") and not _word(found.get("code")):
        raw = found["error"]
        found = _mapping(raw)
    message = (
        raw if isinstance(raw, str) else _word(found.get("detail")) or _word(found.get("message"))
    )
    number = found.get("code")
    if type(number) is int and (status is None or (status in _OK and number in _REFUSALS)):
        status = number  # a status of 200 beside it is the line's, not the row's
    code = _word(number) or _word(found.get("type")) or (str(status) if status else "error")
    retryable = code in RETRYABLE_CODES or (
        status is not None
        and (status in _RETRYABLE_STATUS or _SERVER_ERRORS <= status < _NO_STATUS)
    )
    if code == "insufficient_quota":
        retryable = True  # the row is fine: it was the purse that was empty
    # servers quote keys: "Incorrect API key provided: sk-..."
    words = redact(message or "", _LONGEST_MESSAGE)
    return RowError(redact(code, _LONGEST_CODE), words, retryable), status


def _chat(body: Mapping[str, Any], facts: Mapping[str, Any]) -> Reply:
    choices = body.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message = _mapping(choice.get("message"))
    text = _content(message.get("content"))
    finish = _word(choice.get("finish_reason"))
    error = None
    if not choice:
        error = RowError("invalid_body", "the answer holds no choices", retryable=True)
    elif text is None:
        error = _wordless(message, finish)
    return Reply(
        body=body, error=error, text=text, finish_reason=finish,
        model=_word(body.get("model")), **facts,
    )  # fmt: skip


def _response(body: Mapping[str, Any], facts: Mapping[str, Any]) -> Reply:
    """Read an answer of `/v1/responses`."""
    text, refusal, finish = responses.said(body)
    error = None
    if text is None and refusal:
        error = RowError("refusal", refusal)
    elif text is None and finish != "tool_calls":
        error = RowError("empty_answer", f"the answer holds no text (finish_reason: {finish})")
    return Reply(
        body=body, error=error, text=text, finish_reason=finish,
        model=_word(body.get("model")), **facts,
    )  # fmt: skip


def _moderation(body: Mapping[str, Any], facts: Mapping[str, Any]) -> Reply:
    """Read an answer of `/v1/moderations`: the verdict as JSON text; it costs nothing and counts nothing."""
    verdict = body["results"][0] if body["results"] else None
    error = None
    if not isinstance(verdict, dict):
        error = RowError("invalid_body", "the answer holds no verdict", retryable=True)
    text = None if error else json.dumps(verdict, ensure_ascii=False)
    return Reply(body=body, error=error, text=text, model=_word(body.get("model")), **facts)


def _content(raw: object) -> str | None:
    """Give a message's text; reasoning models at Mistral answer with a list of parts."""
    if not isinstance(raw, list):
        return raw if isinstance(raw, str) else None
    said = [p.get("text") for p in map(_mapping, raw) if _word(p.get("type")) in _TEXTS]
    return "".join(text for text in said if isinstance(text, str)) if said else None


def _wordless(message: Mapping[str, Any], finish: str | None) -> RowError | None:
    """Say why an answer has no text; a call of a tool needs none."""
    refusal = _word(message.get("refusal"))
    if refusal:
        return RowError("refusal", refusal)
    if finish == "content_filter":
        return RowError("content_filter", "the provider's filter held the answer back")
    if any(message.get(name) for name in _OTHER_ANSWERS):
        return None
    return RowError("empty_answer", f"the answer holds no text (finish_reason: {finish})")


def _embedding(body: Mapping[str, Any], facts: Mapping[str, Any]) -> Reply:
    data = body["data"]
    vector = _vector(_mapping(data[0]).get("embedding") if data else None)
    error = None
    if vector is None:
        error = RowError("invalid_body", "the answer holds no vector", retryable=True)
    return Reply(
        body=body, error=error, model=_word(body.get("model")), embedding=vector, **facts,
    )  # fmt: skip


def _vector(raw: object) -> tuple[float, ...] | None:
    """Read a vector: a list of numbers, or with `encoding_format="base64"` little-endian Float32."""
    if isinstance(raw, str):
        try:
            packed = base64.b64decode(raw, validate=True)
            return struct.unpack(f"<{len(packed) // 4}f", packed) or None
        except (ValueError, struct.error):
            return None
    if not isinstance(raw, list) or not all(type(v) in (float, int) for v in raw):
        return None
    try:
        return tuple(map(float, raw)) or None
    except OverflowError:
        return None


def spent(line: Mapping[str, Any]) -> Usage:
    """Say what a line's row took, and whether it may have taken what nobody counted.

    Args:
        line: As for `decode`.

    >>> refused = {"response": {"status_code": 400, "body": {"error": {"code": "bad"}}}}
    >>> spent(refused).unseen, spent({"response": {"status_code": 200, "body": {}}}).unseen
    (False, True)
    """
    response, ours = _mapping(line.get("response")), _mapping(line.get("batchframe"))
    counts = usage(_mapping(response.get("body")).get("usage"))
    before = ours.get("unseen")
    if before is True:
        return replace(counts, unseen=True)
    if counts.input is not None:
        return counts
    status, error = response.get("status_code"), line.get("error")
    if type(status) is int:
        unseen = status in _OK or status in _GATEWAYS
    elif before is False:  # our engine says that the row never reached the other side
        unseen = False
    else:
        code = _word(_mapping(error).get("code"))
        unseen = not error or code in _MAYBE_PAID_CODES or (code == "cancelled" and bool(ours))
    return replace(counts, unseen=unseen)


def usage(raw: object) -> Usage:
    """Read OpenAI's `usage` object; what is absent, negative, too large or no whole number is None.

    >>> usage({"prompt_tokens": 9, "completion_tokens": -1}).input
    9
    """
    found = _mapping(raw)
    # the Responses API has its own names
    ins, outs = ("prompt", "completion") if "prompt_tokens" in found else ("input", "output")
    inside = _mapping(found.get(f"{ins}_tokens_details"))
    outside = _mapping(found.get(f"{outs}_tokens_details"))
    return Usage(
        input=_count(found.get(f"{ins}_tokens")),
        output=_count(found.get(f"{outs}_tokens")),
        cached=_count(inside.get("cached_tokens")),
        reasoning=_count(outside.get("reasoning_tokens")),
        cache_write=_count(inside.get("cache_write_tokens")),
    )


def _count(raw: object) -> int | None:
    return raw if type(raw) is int and 0 <= raw <= _MOST_COUNTED else None


def _seconds(raw: object) -> float | None:
    if type(raw) not in (int, float):
        return None
    try:
        seconds = float(raw)  # type: ignore[arg-type]  # an int or a float, as just seen
    except OverflowError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else _NOTHING


def _word(raw: object) -> str | None:
    return raw if isinstance(raw, str) and raw else None


DIALECT = Dialect("openai", line, decode, verbatim=True, typical=True)
"""OpenAI's own batch files, and those of everyone who copied them."""
