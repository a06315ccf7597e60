"""Mistral's batch lines: the model stands on the job, and a few parameters have names of their own.

Names and shapes follow Mistral's API as of its SDK 3.7 (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchframe.dialects import openai, support
from batchframe.dialects.dialect import Dialect
from batchframe.model import Endpoint, Json, Reply

NAMES: Mapping[Endpoint, Mapping[str, str]] = {
    endpoint: support.names("mistral", endpoint)
    for endpoint in (Endpoint.CHAT, Endpoint.EMBEDDINGS)
}
"""OpenAI's name of a parameter -> Mistral's, which refuses names that it does not know."""

_MOST_FAULTS = 5


def line(custom_id: str, endpoint: Endpoint, body: Json) -> Json:
    """Give one line of a batch input file.

    Args:
        custom_id: Our id.
        endpoint: Named when the job is made; it says which parameters have other names here.
        body: The request body, whose `model` goes to the job. Where it has a parameter under both
            names, Mistral's own counts.

    >>> line("r0", Endpoint.CHAT, {"model": "m", "messages": [], "seed": 7})
    {'custom_id': 'r0', 'body': {'messages': [], 'random_seed': 7}}
    """
    names = NAMES.get(endpoint, {})
    said = {
        names.get(name, name): value
        for name, value in body.items()
        if name != "model" and not (name in names and names[name] in body)
    }
    return {"custom_id": custom_id, "body": said}


def decode(found: Mapping[str, Any]) -> Reply:
    """Read one line of an output or error file; a refusal may be a list of faults, as FastAPI gives it."""
    response = found.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    detail = body.get("detail") if isinstance(body, dict) else None
    if not (isinstance(response, dict) and isinstance(body, dict) and isinstance(detail, list)):
        return openai.decode(found)
    told = {**body, "detail": "; ".join(_fault(one) for one in detail[:_MOST_FAULTS])}
    reply = openai.decode({**found, "response": {**response, "body": told}})
    return replace(reply, body=body)


def _fault(raw: object) -> str:
    """Say what is wrong, and where."""
    if not isinstance(raw, dict):
        return raw if isinstance(raw, str) else "unknown fault"
    where, said = raw.get("loc"), raw.get("msg")
    place = (
        ".".join(str(one) for one in where if isinstance(one, str | int))
        if isinstance(where, list)
        else ""
    )
    words = said if isinstance(said, str) else "not accepted"
    return f"{place}: {words}" if place else words


DIALECT = Dialect(
    "mistral",
    line,
    decode,
    verbatim=True,
    rewrites=frozenset(name for names in NAMES.values() for name in names),
)
