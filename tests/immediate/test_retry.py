"""What an answer means is a table, and waiting is arithmetic."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.errors import InputError
from batchframe.immediate.retry import Again, Final, Retry, Stop, backoff, judge, told, tries

NOW = 1_800_000_000.0


def error(code: str | None = None, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, **more}}


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, {"choices": []}, Final()),
        (200, {"error": None}, Final()),
        (200, error(code=None), Final()),
        (200, {"error": {"code": 502, "message": "upstream"}}, Again()),
        (400, error("context_length_exceeded"), Final()),
        (413, None, Final()),
        (422, {"error": "a string"}, Final()),
        (429, error("rate_limit_exceeded"), Again()),
        (429, error("insufficient_quota"), Stop("quota", 429, "insufficient_quota")),
        (429, error(None, type="insufficient_quota"), Stop("quota", 429, "insufficient_quota")),
        (429, error("credit_balance_exhausted"), Stop("quota", 429, "credit_balance_exhausted")),
        (400, error("billing_hard_limit_reached"), Stop("quota", 400, "billing_hard_limit_reached")),
        (402, None, Stop("quota", 402)),
        (401, error("invalid_api_key"), Stop("authentication", 401, "invalid_api_key")),
        (401, None, Stop("authentication", 401)),
        (400, error(None, "Incorrect API key provided: xai-1"),
         Stop("authentication", 400, certain=False)),
        (412, error("PRECONDITION_FAILED", "Account x is suspended, possibly due to reaching the monthly "
                    "spending limit or failure to pay past invoices."),
         Stop("quota", 412, "precondition_failed", certain=False)),
        (429, {"code": "x", "error": "Your team y has either used all available credits or reached its "
                                     "monthly spending limit."},
         Stop("quota", 429, certain=False)),
        (404, error("model_not_found"), Stop("model", 404, "model_not_found")),
        (404, error("DeploymentNotFound"), Stop("model", 404, "deploymentnotfound")),
        (404, "Not Found", Stop("address", 404, certain=False)),
        (403, error("moderation"), Stop("permission", 403, "moderation", certain=False)),
        (308, None, Stop("redirect", 308, certain=False)),
        (408, None, Again()),
        (409, None, Again()),
        (498, None, Again()),
        (500, None, Again()),
        (501, None, Final()),
        (502, [], Again()),
        (503, error("slow_down"), Again()),
        (529, error(None, type="overloaded_error"), Again()),
        (400, [{"error": {"code": 400, "message": "API key not valid.", "status": "X"}}],
         Stop("authentication", 400, "x", certain=False)),
    ],
)  # fmt: skip
def test_each_answer_has_its_meaning(status: int, body: object, verdict: object) -> None:
    """Codes before statuses; the known dialects of six providers."""
    assert judge(status, {}, body, now=NOW) == verdict


@given(
    st.integers(100, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "code", "type", "message"]), inner)
        ),
    ),
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"]), st.text()
    ),
)
def test_no_answer_is_an_exception(status: int, body: object, headers: dict[str, str]) -> None:
    """Bodies and headers are the other side's, and may be anything."""
    judge(status, headers, body, now=NOW)


def test_the_server_may_say_itself_whether_to_retry() -> None:
    """OpenAI's x-should-retry decides over the status, not over an empty purse."""
    assert judge(500, {"x-should-retry": "false"}, None, now=NOW) == Final()
    assert judge(400, {"x-should-retry": "true"}, None, now=NOW) == Again()
    quota = judge(429, {"x-should-retry": "true"}, error("insufficient_quota"), now=NOW)
    assert quota == Stop("quota", 429, "insufficient_quota")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "850"}, 0.85),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "86400"}, 120.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "nan"}, None),
        ({"x-ratelimit-reset-requests": "9s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12"}, 12.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m junk"}, None),
    ],
)
def test_the_server_may_say_how_long_to_wait(
    headers: dict[str, str], seconds: float | None
) -> None:
    """Every dialect of "not now", capped, and nonsense ignored."""
    assert told(headers, now=NOW) == (None if seconds is None else pytest.approx(seconds))


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_backoff_stays_under_its_cap(attempt: int, drawn: float) -> None:
    """Full jitter: anything from nothing to the doubled base, never above the cap."""
    ceiling = min(30.0, 0.5 * 2 ** min(attempt - 1, 60))
    assert backoff(Retry(), attempt, lambda: drawn) == pytest.approx(drawn * ceiling)


def test_tries_that_may_have_been_paid_for_end_sooner() -> None:
    """An answer that broke off may cost as much as a whole one."""
    assert tries(Retry(attempts=9), Again()) == 9
    assert tries(Retry(attempts=9), Again(maybe_paid=True)) == 3
    assert tries(Retry(attempts=2), Again(maybe_paid=True)) == 2


def test_a_senseless_policy_is_refused() -> None:
    """At once, and in words."""
    with pytest.raises(InputError) as caught:
        Retry(attempts=0)
    assert str(caught.value) == (
        "Retry(attempts=0, base=0.5, cap=30.0) was refused: attempts must be at least 1, base and "
        "cap at least 0 seconds."
    )
