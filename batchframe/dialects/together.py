"""Together's batch lines: no method and no url, and reasoning tokens beside the usage's other counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.dialects.support import renaming
from batchframe.model import Endpoint, Json, Reply


def line(custom_id: str, endpoint: Endpoint, body: Json) -> Json:  # noqa: ARG001 - the batch names the endpoint
    """Give one line of a batch input file.

    Args:
        custom_id: Our id, at most 64 characters.
        endpoint: Named when the batch is made.
        body: The request body, `model` included.

    >>> line("r0", Endpoint.CHAT, {"model": "m", "messages": []})
    {'custom_id': 'r0', 'body': {'model': 'm', 'messages': []}}
    """
    return {"custom_id": custom_id, "body": body}


def decode(found: Mapping[str, Any]) -> Reply:
    """Read one line of an output or error file; error lines have no `response` at all."""
    response = found.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    usage = body.get("usage") if isinstance(body, dict) else None
    if not (isinstance(response, dict) and isinstance(body, dict) and isinstance(usage, dict)):
        return openai.decode(found)
    if "reasoning_tokens" not in usage:
        return openai.decode(found)
    details = usage.get("completion_tokens_details")
    details = dict(details) if isinstance(details, dict) else {}
    details.setdefault("reasoning_tokens", usage["reasoning_tokens"])
    flat = {name: count for name, count in usage.items() if name != "reasoning_tokens"}
    counted = {**body, "usage": {**flat, "completion_tokens_details": details}}
    return openai.decode({**found, "response": {**response, "body": counted}})


DIALECT = renaming(Dialect("together", line, decode, verbatim=True), "together")
