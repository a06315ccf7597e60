"""What is written down of a row: an answer or a fault becomes one journal line, the body untouched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from batchframe.dialects import openai
from batchframe.immediate.transport import WORDS, Response, TransportError
from batchframe.redact import quotes_secret, redact, redact_json

EXCERPT = 500
"""Characters that are kept of a body that cannot be used."""

CODES = {
    "refused": "connection",
    "lost": "connection",
    "unsendable": "connection",
    "tls": "tls",
    "timeout": "timeout",
    "cut_off": "invalid_body",
    "too_large": "body_too_large",
}
"""Kind of transport fault -> error code of the row."""

UNREACHED = frozenset({"refused", "tls", "unsendable"})
"""Kinds of fault that cost nothing: the other side never had the request."""

REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id", "x-ms-request-id")

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Effort:
    """What a row took: tries, the last one's seconds, and when it ended (seconds since the epoch).

    `unseen` says that a try may have been paid for whose answer nobody read.
    """

    attempts: int
    latency: float
    at: float
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row's end: the journal line, and what of it the run must know."""

    line: bytes = field(repr=False)
    record: Mapping[str, Any] = field(repr=False)


def parse_body(raw: bytes) -> tuple[object, bytes]:
    """Parse a body and give the bytes that may stand in a journal line; (None, b"") when it is no JSON.

    The bytes are as received, except that line breaks between tokens become spaces. What only
    Python's JSON allows (NaN, halves of surrogate pairs, stray bytes) is paid for all the same: it is
    kept with null or U+FFFD in its place.
    """
    try:
        return orjson.loads(raw), raw.translate(_NO_BREAKS)
    except orjson.JSONDecodeError:
        pass
    try:
        found = json.loads(raw.decode("utf-8-sig", "replace"), parse_constant=lambda _: None)
        text = _SURROGATES.sub("\ufffd", json.dumps(found, ensure_ascii=False))
        clean = text.encode()
        return orjson.loads(clean), clean
    except (ValueError, RecursionError):
        return None, b""


_NO_BREAKS = bytes.maketrans(b"\r\n", b"  ")


def from_response(custom_id: str, response: Response, effort: Effort) -> Outcome:
    """Write down an answer, good or bad.

    Args:
        custom_id: The row.
        response: What came.
        effort: What it took.
    """
    body, raw = parse_body(response.body)
    error = None
    if 200 <= response.status < 300 and not isinstance(body, dict):  # noqa: PLR2004 - HTTP's successes
        what = "no JSON" if body is None else "JSON, but no object"
        message = f"HTTP {response.status} with a body that is {what}: {excerpt(response.body)}"
        error, body, raw = {"code": "invalid_body", "message": message}, None, b"null"
        effort = replace(effort, unseen=True)
    elif not raw:  # a proxy's page: brought to the shape every reader of errors knows
        body = {"error": {"message": excerpt(response.body), "type": None, "code": None}}
        raw = orjson.dumps(body)
    elif _fails(custom_id, response, body):  # it may quote a key
        clean = redact_json(body)
        if clean != body:
            body, raw = clean, orjson.dumps(clean)
    request_id = next((response.headers[n] for n in REQUEST_IDS if n in response.headers), None)
    if request_id is not None and quotes_secret(request_id.encode()):
        request_id = redact(request_id)
    facts = {"status_code": response.status, "request_id": request_id}
    return _outcome(custom_id, facts, (body, raw), error, effort)


def _fails(custom_id: str, response: Response, body: object) -> bool:
    """Whether a body is no answer: by its status, by an error in it, or since nothing is answered.

    The last takes the longest to find out, and counts only where a credential is quoted.
    """
    if not 200 <= response.status < 300 or not isinstance(body, dict) or body.get("error"):  # noqa: PLR2004
        return True
    if not quotes_secret(response.body):
        return False
    line = {
        "custom_id": custom_id,
        "response": {"status_code": response.status, "body": body},
    }
    return openai.decode(line).error is not None


def from_fault(custom_id: str, fault: TransportError, effort: Effort) -> Outcome:
    """Write down that no whole answer came.

    Args:
        custom_id: The row.
        fault: What went wrong.
        effort: What it took.
    """
    message = WORDS[fault.kind]
    if fault.start:
        message += f" after: {excerpt(fault.start)}"
    error = {"code": CODES[fault.kind], "message": message}
    effort = replace(effort, unseen=effort.unseen or fault.kind not in UNREACHED)
    return _outcome(custom_id, None, None, error, effort)


def cancelled(custom_id: str, effort: Effort) -> Outcome:
    """Write down that the run was cancelled while the server worked on the row.

    Args:
        custom_id: The row.
        effort: What it took.
    """
    error = {"code": "cancelled", "message": "the run was cancelled before the answer came"}
    return _outcome(custom_id, None, None, error, replace(effort, unseen=True))


def excerpt(body: bytes) -> str:
    """Give the beginning of a body as text (hostile!), at most `EXCERPT` characters."""
    return redact(body.decode("utf-8", "replace"), EXCERPT) or "(empty)"


def _outcome(
    custom_id: str,
    facts: Mapping[str, Any] | None,
    body: tuple[object, bytes] | None,
    error: Mapping[str, str] | None,
    effort: Effort,
) -> Outcome:
    parsed, raw = body or (None, b"null")
    record = {
        "id": f"immediate-{custom_id}",
        "custom_id": custom_id,
        "response": None if facts is None else {**facts, "body": parsed},
        "error": error,
        "batchframe": {
            "attempts": effort.attempts,
            "latency": round(effort.latency, 6),
            "at": round(effort.at, 3),
            "unseen": effort.unseen,
        },
    }
    response = None if facts is None else {**facts, "body": orjson.Fragment(raw)}
    return Outcome(orjson.dumps({**record, "response": response}), record)
