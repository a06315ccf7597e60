"""Fireworks' batch lines: the model stands on the job, and an answer stands in its line without a wrapper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.model import Endpoint, Json, Reply

_WRAPPED = ("body", "status_code")
_DIGITS = 3


def line(custom_id: str, endpoint: Endpoint, body: Json) -> Json:  # noqa: ARG001 - there is but one endpoint
    """Give one line of a dataset.

    Args:
        custom_id: Our id.
        endpoint: Always chat.
        body: The request body, whose `model` goes to the job.

    >>> line("r0", Endpoint.CHAT, {"model": "m", "messages": []})
    {'custom_id': 'r0', 'body': {'messages': []}}
    """
    said = {name: value for name, value in body.items() if name != "model"}
    return {"custom_id": custom_id, "body": said}


def decode(found: Mapping[str, Any]) -> Reply:
    """Read one line of the results or of the error file.

    The documentation shows neither whole; a wrapper with a status, should there be one, is understood.
    """
    told = dict(found)
    response, error = found.get("response"), found.get("error")
    if isinstance(response, dict) and not any(name in response for name in _WRAPPED):
        told["response"] = {"request_id": response.get("id"), "body": response}
    if isinstance(error, dict):
        told["error"] = {**error, "code": _number(error.get("code"))}
    return openai.decode(told)


def _number(code: object) -> object:
    """Give an HTTP status that was written as text as the number it is."""
    if isinstance(code, str) and len(code) == _DIGITS and code.isdecimal():
        return int(code)
    return code


DIALECT = Dialect("fireworks", line, decode, verbatim=True)
