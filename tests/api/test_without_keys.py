"""Nothing is sent by looking: plans, previews and files need no key; a submit asks for it before all else."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.providers import registry

DF = pl.DataFrame({"text": ["good", "bad"]})
ASK = {"prompt": "{text}"}
MODELS = {
    "openai": "OPENAI", "azure": "AZURE_OPENAI", "groq": "GROQ", "together": "TOGETHER",
    "mistral": "MISTRAL", "fireworks": "FIREWORKS", "xai": "XAI",
}  # fmt: skip


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """An environment without any provider's settings."""
    import os

    for name in os.environ:
        if name.startswith(tuple(f"{prefix}_" for prefix in MODELS.values())):
            monkeypatch.delenv(name)
    monkeypatch.setattr(registry, "_MADE", {})
    monkeypatch.setattr(registry, "_READ", {})


@pytest.mark.parametrize("name", MODELS)
def test_looking_needs_no_key(name, tmp_path):
    """Whatever provider; names may come from a column, too."""
    model = f"{name}/m"
    assert DF.batch.requests(model=model, **ASK)["error"].null_count() == 2
    assert len(DF.batch.preview(1, model=model, **ASK)) == 1
    assert len(DF.batch.encode(tmp_path / "files", model=model, **ASK)) == 1
    plan = DF.batch.plan(model=pl.lit(model), **ASK)
    assert plan.rows == 2
    assert [f"{name} needs" in said for said in plan.refusals] == [True]


@pytest.mark.parametrize("mode", ["batch", "immediate"])
@pytest.mark.parametrize("model", ["openai/m", pl.lit("openai/m")], ids=["name", "column"])
def test_sending_asks_for_the_key_first(mode, model):
    """Before a job is there, and the plan says so as well."""
    with pytest.raises(errors.MissingCredentialsError, match="export OPENAI_API_KEY="):
        DF.batch.submit(model=model, mode=mode, **ASK)
    with pytest.raises(errors.MissingCredentialsError):
        DF.batch.plan(model=model, mode=mode, **ASK).submit()
    assert not bf.jobs().height


def test_a_large_frame_is_not_read_for_a_key_that_is_missing():
    """It may take minutes."""
    read = []
    lazy = DF.lazy().map_batches(lambda frame: read.append(1) or frame)
    with pytest.raises(errors.MissingCredentialsError):
        bf.submit(lazy, model="openai/m", **ASK)
    assert not read


def test_what_no_key_would_help_is_still_refused():
    """An endpoint that a provider does not have."""
    with pytest.raises(errors.UnsupportedError, match="groq"):
        DF.batch.plan(model="groq/m", prompt="{text}", endpoint="responses")
