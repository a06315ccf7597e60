"""What batches of OpenAI's shape say of themselves: reasons in any form, and faults that name a line."""

from __future__ import annotations

from types import MappingProxyType

import pytest

import batchframe as bf
from batchframe.model import Phase, Ticket


class Nowhere:
    advice = MappingProxyType({})

    def __init__(self, answer):
        self.answer = answer

    def call(self, *_args, **_more):
        return self.answer


def poll(**batch):
    made = bf.OpenAI(api_key="k" * 10)
    made.rest = Nowhere({"id": "b", "status": "failed", **batch})
    return made.poll(Ticket("openai", {"batch": "b"}))


@pytest.mark.parametrize(
    "said",
    [
        {"errors": "boom"},
        {"errors": {"data": ["boom"]}},
        {"errors": ["boom"]},
        {"errors": {"message": "boom"}},
        {"errors": {"object": "list", "data": [{"message": "boom"}]}},
        {"error": {"message": "boom"}},
        {"error": "boom"},
        {"errors": None, "error": "boom"},
        {"errors": {"object": "list", "data": []}, "error": "boom"},
    ],
)
def test_a_reason_is_told_whatever_form_it_has(said):
    """Nothing that a provider says of a failure is thrown away."""
    seen = poll(**said)
    assert (seen.phase, seen.message) == (Phase.FAILED, "boom")


@pytest.mark.parametrize(
    "code", ["model_not_found", "mismatched_model", "brand_new", "invalid_request", None]
)
def test_a_fault_that_names_a_line_is_that_lines(code):
    """Whatever its code: the next batch would fail by the same line."""
    ((line, error),) = poll(errors={"data": [{"code": code, "message": "no", "line": 2}]}).rejected
    assert (line, error.code, error.retryable) == (2, code or "invalid_request", False)


@pytest.mark.parametrize("code", ["invalid_url", "url_mismatch", "too_many_tasks"])
def test_a_fault_that_is_about_all_lines_blames_none(code):
    """All lines of ours have the same address."""
    assert poll(errors={"data": [{"code": code, "message": "no", "line": 2}]}).rejected == ()


@pytest.mark.parametrize(
    ("status", "counts", "owed"),
    [
        ("completed", {"total": 4, "completed": 3, "failed": 1}, 4),
        ("completed", None, 1),
        ("completed", {"completed": "x"}, 1),
        ("expired", {"total": 4, "completed": 2, "failed": 0}, 2),
        ("cancelled", {"total": 4, "completed": 2, "failed": 0}, None),
        ("failed", {"total": 0, "completed": 0, "failed": 0}, None),
        ("in_progress", {"total": 4, "completed": 2, "failed": 0}, None),
    ],
)
def test_what_a_batch_owes_is_what_it_counts(status, counts, owed):
    """Those of a cancelled batch were seen to be wrong."""
    assert poll(status=status, request_counts=counts).owed == owed
