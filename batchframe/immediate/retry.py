"""What an answer means for its row and for the run: final, again, or stop; tables, no I/O.

Codes stand before statuses: an empty purse and a full minute are both 429. Which provider says what
was read from the providers' error guides in 2026-11 (OpenAI, Azure, Anthropic, Groq, OpenRouter).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from batchframe.errors import InputError
from batchframe.immediate.transport import Kind

Why = Literal[
    "authentication", "permission", "quota", "model", "address", "redirect", "unsendable", "refused"
]
"""Why a whole run stops."""

MAYBE_PAID_TRIES = 3
"""Tries after which a row is given up that may have been paid for each time: an answer was under way
but did not arrive whole. OpenAI's SDK tries as often (its default of 2 retries, 2026-11)."""

LONGEST_TOLD = 120.0
"""Seconds; a server that asks for more is asked again after this (as far as OpenAI's SDK obeys)."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a row is tried, and how long to wait in between.

    The wait before try n+1 is drawn evenly from 0 to `min(cap, base * 2**(n-1))`: full jitter, so
    that rows which failed together do not come back together. What a server asks for in `retry-after`
    is obeyed instead. Tries that may have been paid for (a timeout, an answer that broke off) end
    after three, whatever `attempts` says.

    Args:
        attempts: Tries in all, at least 1.
        base: Seconds.
        cap: Seconds.
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base < 0 or self.cap < 0:
            raise InputError(
                f"{self} was refused: attempts must be at least 1, base and cap at least 0 seconds."
            )


@dataclass(frozen=True, slots=True)
class Final:
    """The row has its outcome, good or bad."""


@dataclass(frozen=True, slots=True)
class Again:
    """Another try may help; `wait` is what the server asked for, in seconds."""

    wait: float | None = None
    maybe_paid: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Every other row would fare the same.

    `certain` is False where the row itself could be the reason (a 403 may be a moderated prompt):
    then other rows' answers decide.
    """

    why: Why
    status: int = 0
    code: str = ""
    certain: bool = True


Verdict = Final | Again | Stop

STOP_CODES: Mapping[str, Why] = {
    "insufficient_quota": "quota",
    "credit_balance_exhausted": "quota",
    "organization_spend_limit_exceeded": "quota",
    "project_spend_limit_exceeded": "quota",
    "organization_usage_limit_exceeded": "quota",
    "billing_not_active": "quota",
    "billing_hard_limit_reached": "quota",
    "enforced_spend_limit_reached": "quota",
    "invalid_api_key": "authentication",
    "authentication_error": "authentication",
    "account_deactivated": "authentication",
    "model_not_found": "model",
    "deploymentnotfound": "model",
}

STOP_STATUS: Mapping[int, Stop] = {
    401: Stop("authentication"),
    402: Stop("quota"),
    403: Stop("permission", certain=False),
    404: Stop("address", certain=False),
    405: Stop("address", certain=False),
}

STOP_PHRASES: Mapping[str, Why] = {
    "incorrect api key": "authentication",  # xAI, with status 400
    "api key not valid": "authentication",  # Gemini, with status 400
    "credit balance is too low": "quota",  # Anthropic, with status 400
    "possibly due to reaching the monthly spending limit": "quota",  # Fireworks, with status 412
    "has either used all available credits": "quota",  # xAI, with status 429 or 403
}
"""Sentences, in lower case, of those who have no code for it; never certain, being free text."""

AGAIN_STATUS = frozenset({408, 409, 425, 429, 498, *range(500, 600)} - {501, 505})
"""498 is Groq's "no flex capacity", 529 Anthropic's "overloaded"."""

AGAIN_CODES = frozenset(
    {"rate_limit_exceeded", "server_error", "overloaded_error", "slow_down", "resource_unavailable"}
)

FAULTS: Mapping[Kind, Verdict] = {
    "refused": Again(),
    "tls": Again(),
    "lost": Again(maybe_paid=True),
    "timeout": Again(maybe_paid=True),
    "cut_off": Again(maybe_paid=True),
    "too_large": Final(),  # it was paid for, and would be as large again
    "unsendable": Stop("unsendable"),
}
"""What a request without a whole answer means for its row."""

INVALID_BODY = Again(maybe_paid=True)
"""A success whose body is not what was asked for: a proxy's page, or an answer cut off."""

_OK = range(200, 300)
_REDIRECT = range(300, 400)
_ERRORS = range(400, 600)


def judge(status: int, headers: Mapping[str, str], body: object, *, now: float) -> Verdict:
    """Say what an answer means.

    Args:
        status: HTTP status.
        headers: Response headers, names in lower case.
        body: The parsed body, whatever it is; None when it is no JSON.
        now: Seconds since the epoch, for dates in headers.
    """
    error = _error(body)
    if status in _OK:
        if error is None:
            return Final()
        status = _inner_status(error)  # OpenRouter reports an upstream failure inside a 200
    codes = _codes(error)
    for code in codes:
        if code in STOP_CODES:
            return Stop(STOP_CODES[code], status, code)
    shown = codes[0] if codes else ""
    if status in STOP_STATUS or status in _REDIRECT:
        stop = STOP_STATUS.get(status, Stop("redirect", certain=False))
        return Stop(stop.why, status, shown, stop.certain)
    message = _message(error).lower()
    for phrase, why in STOP_PHRASES.items():
        if phrase in message:
            return Stop(why, status, shown, certain=False)
    if _worth_another(status, headers, codes):
        return Again(told(headers, now=now))
    return Final()


def tries(retry: Retry, verdict: Again) -> int:
    """Give how many tries a row has in all, judging by its last one."""
    return min(retry.attempts, MAYBE_PAID_TRIES) if verdict.maybe_paid else retry.attempts


def backoff(retry: Retry, attempt: int, random: Callable[[], float]) -> float:
    """Draw the seconds to wait after a failed try.

    Args:
        retry: The policy.
        attempt: Which try failed, from 1.
        random: Gives numbers from 0 to 1.
    """
    return random() * min(retry.cap, retry.base * 2.0 ** min(attempt - 1, 60))


def told(headers: Mapping[str, str], *, now: float) -> float | None:
    """Give the seconds a server asks to wait, at most `LONGEST_TOLD`; None when it does not say.

    The dialects: `retry-after-ms`; `retry-after` in seconds or as an HTTP date; where neither is
    there, `x-ratelimit-reset-*` of a budget that has nothing remaining (a duration such as `6m0s`
    or `120ms` at OpenAI and Groq, plain seconds at Azure).
    """
    for seconds in (
        _number(headers.get("retry-after-ms"), 0.001),
        _number(headers.get("retry-after")),
        _until(headers.get("retry-after"), now),
        *(
            _duration(headers.get(f"x-ratelimit-reset-{budget}"))
            for budget in ("requests", "tokens")
            if headers.get(f"x-ratelimit-remaining-{budget}") == "0"
        ),
    ):
        if seconds is not None:
            return min(max(seconds, 0.0), LONGEST_TOLD)
    return None


def _worth_another(status: int, headers: Mapping[str, str], codes: list[str]) -> bool:
    said = headers.get("x-should-retry", "").lower()
    if said in ("true", "false"):
        return said == "true"
    return status in AGAIN_STATUS or not AGAIN_CODES.isdisjoint(codes)


def _error(body: object) -> object:
    """Find the error: an object, a string (Together), or an object in a list (Gemini)."""
    if isinstance(body, list) and body:
        body = body[0]
    return body.get("error") if isinstance(body, Mapping) else None


def _codes(error: object) -> list[str]:
    """Give the words that name an error, the most telling first, in lower case."""
    if not isinstance(error, Mapping):
        return []
    named = (error.get(name) for name in ("code", "error_code", "type", "status"))
    return [code.lower() for code in named if isinstance(code, str)]


def _message(error: object) -> str:
    message: Any = error.get("message") if isinstance(error, Mapping) else error
    return message if isinstance(message, str) else ""


def _inner_status(error: object) -> int:
    code: Any = error.get("code") if isinstance(error, Mapping) else None
    return code if type(code) is int and code in _ERRORS else 0


def _number(text: str | None, scale: float = 1.0) -> float | None:
    found = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{0,9})?)\s*", text or "", re.ASCII)
    return float(found[1]) * scale if found else None


def _until(text: str | None, now: float) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(text: str | None) -> float | None:
    """Read `1h2m59.5s`, `120ms` or `12`."""
    parts = re.findall(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)", text or "", re.ASCII)
    if parts and "".join(a + b for a, b in parts) == text:
        return sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    return _number(text)
