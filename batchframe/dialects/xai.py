"""xAI's batch lines: OpenAI's on the way there; on the way back wrapped twice, with a price in ticks.

Shapes follow xAI's batch guide and live answers of 2026-08 and 2026-09.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.model import Reply

WRAPPER = "chat_get_completion"
"""Under which a result's response holds the body, whatever was asked for."""

TICK_PLACES = 10
"""A tick is 1e-10 US dollars."""

MEANT: tuple[tuple[str, str], ...] = (
    ("batch cancelled", "batch_cancelled"),
    ("batch was cancelled", "batch_cancelled"),
    ("rate limit", "rate_limit_exceeded"),
    ("timed out", "timeout"),
    ("internal error", "internal_error"),
    ("internal server error", "internal_error"),
    ("service unavailable", "overloaded"),
    ("at capacity", "overloaded"),
)
"""What an error, which is a bare sentence here, has in it -> the code that it stands for."""

_MOST_TICKS = 10**18


def decode(found: Mapping[str, Any]) -> Reply:
    """Read one result; its id is `batch_request_id`, beside which `fetch` writes `custom_id`.

    Args:
        found: The parsed line.

    >>> decode({"batch_request_id": "r0", "batch_result": {"error": "bad"}}).error
    RowError(code='error', message='bad', retryable=False)
    """
    named = found.get("custom_id")
    custom_id = named if isinstance(named, str) else found.get("batch_request_id")
    if "batch_result" not in found:
        return openai.decode({**found, "custom_id": custom_id})
    result = _mapping(found["batch_result"])
    body = _body(_mapping(result.get("response")))
    told = {
        "custom_id": custom_id,
        "response": {"request_id": body.get("id"), "body": _counted(body)},
        "error": _error(result.get("error")),
    }
    return replace(openai.decode(told), cost=cost(body.get("usage")))


def cost(usage: object) -> Decimal | None:
    """Give what xAI says that an answer cost, in US dollars; None where it does not say.

    Args:
        usage: The body's `usage`, or anything.

    >>> cost({"cost_in_usd_ticks": 2747200})
    Decimal('0.0002747200')
    """
    ticks = _mapping(usage).get("cost_in_usd_ticks")
    if type(ticks) is not int or not 0 <= ticks <= _MOST_TICKS:
        return None
    return Decimal(ticks).scaleb(-TICK_PLACES)


def _body(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the body out of its wrapper, should that one day be called otherwise, too."""
    if "choices" in response:
        return response
    if isinstance(response.get(WRAPPER), dict):
        return _mapping(response[WRAPPER])
    inner = list(response.values())
    return inner[0] if len(inner) == 1 and isinstance(inner[0], dict) else response


def _counted(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add reasoning to the output, as OpenAI counts, unless the total says that it is in there."""
    usage = _mapping(body.get("usage"))
    thought = _mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")
    said, asked = usage.get("completion_tokens"), usage.get("prompt_tokens")
    if type(thought) is not int or type(said) is not int or thought < 0:
        return body
    if type(asked) is int and usage.get("total_tokens") == asked + said:
        return body
    return {**body, "usage": {**usage, "completion_tokens": said + thought}}


def _error(raw: object) -> object:
    """Give a sentence the code that it stands for, where it is one of those we know."""
    if not isinstance(raw, str):
        return raw
    code = next((code for words, code in MEANT if words in raw.lower()), None)
    return raw if code is None else {"code": code, "message": raw}


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


DIALECT = Dialect("xai", openai.line, decode, verbatim=True, ids=("custom_id", "batch_request_id"))
