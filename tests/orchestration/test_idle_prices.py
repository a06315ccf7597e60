"""Prices by hand for a model that nothing asks for are told, never taken in silence: the cost would be another."""

from __future__ import annotations

import json

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.evals import scorers
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"text": ["a", "b"], "which": ["fake/one", "fake/two"]})
ONE = {"input": "1", "output": "2"}
SLIP = (
    "prices= names 'fake/onne', which nothing here asks for. Did you mean 'fake/one'? Asked: 'fake/one'. "
    "Correct prices=, or leave it out."
)


@pytest.fixture(autouse=True)
def cloud(tmp_path):
    """A provider with a batch API."""
    with registered(Fake(tmp_path / "cloud")) as fake:
        yield fake


def test_a_slip_in_the_only_price_is_refused(cloud):
    """By submit and run before anything is sent; a plan says so."""
    call = {"prompt": "{text}", "model": "fake/one", "prices": {"fake/onne": ONE}}
    plan = DF.batch.plan(**call)
    assert plan.refusals == (SLIP,)
    for ask in (
        DF.batch.submit,
        lambda **more: DF.batch.embed("text", model=more["model"], prices=more["prices"]),
    ):
        with pytest.raises(errors.InputError) as told:
            ask(**call)
        assert str(told.value) == SLIP
    assert cloud.batches() == []
    assert not bf.jobs().height


def test_one_price_too_many_is_a_warning_and_strict_refuses_it():
    """A list of prices may serve several jobs."""
    call = {"prompt": "{text}", "model": "fake/one", "prices": {"fake/one": ONE, "other/two": ONE}}
    with registered(Fake(bf.workspace().path / "other", name="other")):
        plan = DF.batch.plan(**call)
        told = "prices= names 'other/two', which nothing here asks for"
        assert (plan.warnings, plan.refusals) == ((told,), ())
        with pytest.raises(errors.InputError, match="prices= names 'other/two'"):
            DF.batch.submit(**call, strict=True)
        assert DF.batch.submit(**call).result()["cost_usd"].null_count() == 0


def test_models_of_rows_all_count():
    """Only a name of none of them is idle; a job that asks nothing has no idle price."""
    call = {"prompt": "{text}", "model": pl.col("which")}
    plan = DF.batch.plan(**call, prices={"fake/two": ONE})
    assert (plan.warnings, plan.refusals) == ((), ())
    (refused,) = DF.batch.plan(**call, prices={"fake/three": ONE}).refusals
    assert "Asked: 'fake/one', 'fake/two'." in refused
    assert DF.head(0).batch.plan(**call, prices={"fake/three": ONE}).refusals == ()


def test_a_deployment_takes_its_models_price():
    """A price under the listed name is used, so it is not idle."""
    azure = bf.Azure(
        endpoint="https://r.openai.azure.com", api_key="k", deployments={"mine": "gpt-5-mini"}
    )
    with registered(azure):
        for name, idle in (("azure/mine", 0), ("azure/gpt-5-mini", 0), ("azure/gpt-5", 1)):
            plan = DF.batch.plan(prompt="{text}", model="azure/mine", prices={name: ONE})
            assert len(plan.refusals) == idle


def test_a_comparison_gives_each_job_its_own_prices():
    """Each model's job would otherwise warn of all the others; a name of none is refused."""
    call = {"models": ["fake/one", "fake/two"], "prompt": "{text}", "strict": True}
    score = {"scorers": {"right": scorers.exact_match("text")}}
    found = DF.batch.compare(**call, **score, prices={"fake/two": ONE})
    assert list(found.jobs) == ["fake/one", "fake/two"]
    costs = {row["entry"]: row["cost_usd"] for row in found.leaderboard.to_dicts()}
    assert costs["fake/one"] is None
    assert costs["fake/two"] > 0
    with pytest.raises(
        errors.InputError, match="prices= names 'fake/tow'.*Did you mean 'fake/two'"
    ):
        DF.batch.compare(**call, **score, prices={"fake/two": ONE, "fake/tow": ONE})


def test_result_files_are_not_priced_by_a_slip(tmp_path):
    """They have one model."""
    file = tmp_path / "out.jsonl"
    body = {
        "choices": [{"message": {"content": "x"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    file.write_text(
        json.dumps({"custom_id": "r0", "response": {"status_code": 200, "body": body}}) + "\n"
    )
    with pytest.raises(errors.InputError) as told:
        bf.decode(file, model="fake/one", prices={"fake/onne": ONE})
    assert str(told.value) == SLIP
    assert bf.decode(file, model="fake/one", prices={"fake/one": ONE})["cost_usd"].item() > 0
