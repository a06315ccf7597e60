"""Outcomes become lines of an OpenAI result file; read again, they say the same.

As at OpenAI a row that was refused has its status and the reason in its body, and no `error` of its
own; a row that nobody answered has an `error` and no response.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import polars as pl

COLUMNS = (
    "custom_id", "ok", "body", "error_code", "error_message", "error_status", "request_id",
)  # fmt: skip
"""What a line is made of."""

_OK = range(200, 300)
_FINE = 200


def lines(outcomes: pl.DataFrame) -> Iterator[bytes]:
    """Give outcomes as lines, without their newlines.

    Args:
        outcomes: `COLUMNS`, with the id that the line shall have as `custom_id`.
    """
    for custom_id, ok, body, code, message, status, request_id in outcomes.select(
        COLUMNS
    ).iter_rows():
        response: Any
        error = None
        if ok:
            response = {"status_code": _FINE, "body": orjson.Fragment(body)}
        else:
            response, error = _failed(body, code, message, status)
        if response is not None:
            response = {
                "status_code": response["status_code"],
                "request_id": request_id,
                **response,
            }
        line = {"custom_id": custom_id, "response": response, "error": error}
        yield orjson.dumps({"id": f"batchframe-{custom_id}", **line})


def _failed(
    body: str | None, code: str | None, message: str | None, status: int | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Give response and error of a row that failed."""
    error = {"code": code, "message": message}
    said = orjson.loads(body) if body is not None else None
    if status is not None and status not in _OK:
        told = isinstance(said, dict) and isinstance(said.get("error"), dict)
        inner = said if told else {"error": {**error, "type": None, "param": None}}
        return {"status_code": status, "body": inner}, None
    answered = isinstance(said, dict) and not {"error", "unreadable"} & said.keys()
    if answered or status is not None:
        return {"status_code": status or _FINE, "body": said if answered else None}, error
    return None, error
