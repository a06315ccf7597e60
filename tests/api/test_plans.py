"""What a plan reckons with: the caps of its rows, the provider's own end of an answer, refused rows."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe.providers.local import DEFAULT_TOKENS, Local
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"text": ["good", "bad", "so so"], "t": [0.5, 9.0, 1.0], "m": [10, 20, None]})


@pytest.fixture(autouse=True)
def cloud(tmp_path, monkeypatch):
    """A provider with a batch API, and local models that need no weights to be planned."""
    monkeypatch.setattr(Local, "check", lambda *_args: None)
    with registered(Fake(tmp_path / "cloud")) as fake:
        yield fake


def test_a_local_answer_ends_where_the_local_provider_ends_it():
    """Not at the length assumed of who knows whom."""
    local = DF.batch.plan(model="local/smollm2", prompt="{text}").estimate
    assert local.output_tokens[2] == 3 * DEFAULT_TOKENS
    other = DF.batch.plan(model="fake/x", prompt="{text}").estimate
    assert other.output_tokens[2] > local.output_tokens[2]


def test_caps_per_row_count_in_a_plan():
    """A null has no cap of its own, and the provider's stands in."""
    plan = DF.batch.plan(model="local/smollm2", prompt="{text}", max_tokens=pl.col("m"))
    assert plan.estimate.output_tokens[2] == 10 + 20 + DEFAULT_TOKENS


def test_refused_rows_are_seen_by_every_verb_and_sent_by_none(cloud):
    """The value of one row bars that row."""
    call = {"model": "fake/x", "prompt": "{text}", "temperature": pl.col("t")}
    said = "invalid_request: temperature= is 9.0 in this row, and it must be a number from 0 to 2"
    assert DF.batch.requests(**call)["error"].to_list() == [None, said, None]
    assert len(DF.batch.preview(3, **call)) == 2
    plan = DF.batch.plan(**call)
    assert plan.warnings == ("1 row will not be sent; requests() says why in its error column",)
    out = plan.submit().result()
    assert out["error"].to_list() == [None, said, None]
    (sent,) = cloud.folder.glob("*.input.jsonl")
    assert len(sent.read_bytes().splitlines()) == 2


def test_a_plan_of_nothing_but_refused_rows_shows_itself_and_makes_a_job():
    """There is nothing to pay, so no budget stands in the way."""
    call = {"model": "fake/x", "prompt": "{text}", "temperature": pl.col("t") + 9}
    assert DF.batch.preview(3, **call) == []
    plan = DF.batch.plan(**call, budget_usd=0)
    assert repr(plan).startswith(
        "Plan: 3 rows, 0 to send in 0 parts, mode batch\n  warning: 3 rows"
    )
    assert "There is nothing to send" in plan._repr_html_()
    assert plan.submit().result()["error"].null_count() == 0
    assert bf.jobs()["failed"].to_list() == [3]
