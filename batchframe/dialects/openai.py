"""The OpenAI body and the OpenAI batch line: the words in which every other dialect is explained.

A request is a body for `/v1/chat/completions` or `/v1/embeddings`; a result is one line of a batch
output file. Parameter names and shapes follow OpenAI's API reference as of 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchframe.errors import UnknownNameError, UnsupportedError, nearest
from batchframe.model import Endpoint, Json, Reply, RowError, Usage

CHAT_PARAMETERS = frozenset(
    {
        "audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "metadata", "modalities", "n", "parallel_tool_calls", "prediction",
        "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort",
        "response_format", "safety_identifier", "seed", "service_tier", "stop", "store",
        "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
        "web_search_options",
    }
)  # fmt: skip
"""Body parameters of chat completions beside `model` and `messages`."""

EMBEDDING_PARAMETERS = frozenset({"dimensions", "encoding_format", "user"})
"""Body parameters of embeddings beside `model` and `input`."""

PARAMETERS = {Endpoint.CHAT: CHAT_PARAMETERS, Endpoint.EMBEDDINGS: EMBEDDING_PARAMETERS}

REFUSED = {
    "stream": "a batch has no one to stream to; leave it out",
    "stream_options": "a batch has no one to stream to; leave it out",
    "functions": "it is OpenAI's old name; use tools=[...]",
    "function_call": "it is OpenAI's old name; use tool_choice=...",
}
"""Parameters the API knows and a batch cannot use, and what to do instead."""

RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "n": (1, 128),
    "max_tokens": (1, float("inf")),
    "max_completion_tokens": (1, float("inf")),
    "dimensions": (1, float("inf")),
}
"""Inclusive bounds of numeric parameters (OpenAI's API reference, 2026-11)."""

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
_OK = range(200, 300)


def check_parameters(
    parameters: Mapping[str, Any], endpoint: Endpoint, *, known_elsewhere: frozenset[str]
) -> None:
    """Refuse body parameters that the endpoint does not know or whose constant value is out of range.

    Args:
        parameters: Name to constant value; per-row values are given as None.
        endpoint: The surface the body is for.
        known_elsewhere: batchframe's own argument names, as candidates for a spelling hint.

    Raises:
        UnknownNameError: No such parameter.
        UnsupportedError: Known, but senseless in a batch.
        InputError: A value outside the documented range (as UnsupportedError).
    """
    known = PARAMETERS[endpoint]
    for name, value in parameters.items():
        if name in REFUSED:
            raise UnsupportedError(f"The parameter '{name}' was refused: {REFUSED[name]}.")
        if name not in known:
            hint = nearest(name, known | known_elsewhere)
            raise UnknownNameError(
                f"No parameter '{name}' for {endpoint.value}.{hint} "
                f"A parameter only your server knows goes into extra_body={{'{name}': ...}}."
            )
        _check_range(name, value)


def _check_range(name: str, value: object) -> None:
    if name not in RANGES or value is None:
        return
    low, high = RANGES[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        upto = f"{low:g} to {high:g}" if high != float("inf") else f"at least {low:g}"
        raise UnsupportedError(f"The parameter {name}={value!r} was refused: it must be {upto}.")


def line(custom_id: str, endpoint: Endpoint, body: Json) -> Json:
    """Give one line of a batch input file.

    Args:
        custom_id: Our id, unique in the file.
        endpoint: Written as the line's `url`.
        body: The request body, `model` included.
    """
    return {"custom_id": custom_id, "method": "POST", "url": endpoint.value, "body": body}


def decode(line: Mapping[str, Any]) -> Reply:
    """Read one line of a batch output or error file, or of our journal, which has the same shape.

    A row is answered only when `error` is null, the status is 2xx and the body holds no error:
    refused rows carry a null `error` and a 4xx body (seen at OpenAI, 2026-09). Whatever the line
    lacks, it becomes a row error; nothing is raised.

    Args:
        line: The parsed line; `custom_id` must be a string, the rest may be anything.
    """
    custom_id = str(line.get("custom_id"))
    ours = _mapping(line.get("batchframe"))
    response = _mapping(line.get("response"))
    body = _mapping(response.get("body"))
    attempts, latency = ours.get("attempts"), ours.get("latency")
    facts: dict[str, Any] = {
        "custom_id": custom_id,
        "request_id": _text(response.get("request_id")) or _text(line.get("id")),
        "attempts": attempts if isinstance(attempts, int) else None,
        "latency": float(latency) if isinstance(latency, int | float) else None,
    }
    error = _line_error(line, response, body)
    if error is not None:
        return Reply(error=error, body=body or None, **facts)
    if isinstance(body.get("data"), list):
        return _embedding(body, facts)
    return _chat(body, facts)


def _line_error(
    line: Mapping[str, Any], response: Mapping[str, Any], body: Mapping[str, Any]
) -> RowError | None:
    """Find the error of a line in any of the places where servers put it."""
    raw = line.get("error")
    status = response.get("status_code")
    status = status if isinstance(status, int) else None
    if raw is None and body.get("error") is not None:
        raw = body["error"]
    if raw is not None:
        return _row_error(raw, status)
    if status is not None and status not in _OK:
        return _row_error({"message": f"HTTP status {status}"}, status)
    if not body:
        return RowError("invalid_body", "the answer has no body", retryable=True)
    return None


def _row_error(raw: object, status: int | None) -> RowError:
    """Bring an error of any shape (object, string, nested object) to a code and a message."""
    found = _mapping(raw)
    message = _text(found.get("message")) or (raw if isinstance(raw, str) else "") or ""
    code = _text(found.get("code")) or _text(found.get("type")) or (str(status) if status else "")
    code = code or "error"
    retryable = code in RETRYABLE_CODES or (
        status is not None and (status in _RETRYABLE_STATUS or status >= _SERVER_ERRORS)
    )
    if code == "insufficient_quota":
        retryable = True  # the row is fine: it was the purse that was empty
    return RowError(code, message, retryable)


def _chat(body: Mapping[str, Any], facts: Mapping[str, Any]) -> Reply:
    choices = body.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    message = _mapping(choice.get("message"))
    text = message.get("content")
    text = text if isinstance(text, str) else None
    finish = _text(choice.get("finish_reason"))
    error = None
    if not choice:
        error = RowError("invalid_body", "the answer holds no choices", retryable=True)
    elif text is None and _text(message.get("refusal")):
        error = RowError("refusal", str(message["refusal"]))
    return Reply(
        body=body, error=error, text=text, finish_reason=finish,
        model=_text(body.get("model")), usage=usage(body.get("usage")), **facts,
    )  # fmt: skip


def _embedding(body: Mapping[str, Any], facts: Mapping[str, Any]) -> Reply:
    data = body["data"]
    vector = _mapping(data[0]).get("embedding") if data else None
    good = isinstance(vector, list) and all(type(v) in (float, int) for v in vector) and vector
    error = None if good else RowError("invalid_body", "the answer holds no vector", retryable=True)
    return Reply(
        body=body, error=error, model=_text(body.get("model")), usage=usage(body.get("usage")),
        embedding=tuple(float(v) for v in vector) if good and isinstance(vector, list) else None,
        **facts,
    )  # fmt: skip


def usage(raw: object) -> Usage:
    """Read OpenAI's `usage` object; what is absent, negative or not a whole number is None."""
    found = _mapping(raw)
    prompt, completion = _count(found.get("prompt_tokens")), _count(found.get("completion_tokens"))
    inside = _mapping(found.get("prompt_tokens_details"))
    outside = _mapping(found.get("completion_tokens_details"))
    return Usage(
        input=prompt,
        output=completion,
        cached=_count(inside.get("cached_tokens")),
        reasoning=_count(outside.get("reasoning_tokens")),
        cache_write=_count(inside.get("cache_write_tokens")),
    )


def _count(raw: object) -> int | None:
    return raw if type(raw) is int and 0 <= raw < 2**63 else None


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) and raw else None
