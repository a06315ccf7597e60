"""An edited response model reads the answers again; what was paid is not asked again, nor lost."""

from __future__ import annotations

import decimal
from typing import Annotated

import polars as pl
import pytest
from pydantic import BaseModel, Field, field_validator

import batchframe as bf
from batchframe import errors
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"t": ["a", "b"], "m": ["fake/x", "fake2/x"]})


@pytest.fixture(autouse=True)
def cloud(tmp_path):
    """A provider with a batch API whose answers fit `Name`."""
    with registered(Fake(tmp_path / "cloud", lambda _: '{"name":"a long name"}', polls=0)) as fake:
        yield fake


def short():
    """The model of the first try: the same name and the same sent schema as those below."""

    class Name(BaseModel):
        name: str

    return Name


def capped():
    class Name(BaseModel):
        name: Annotated[str, Field(max_length=3)]

    return Name


def upper():
    class Name(BaseModel):
        name: Annotated[str, Field(json_schema_extra=None), Field()]

        @field_validator("name")
        @classmethod
        def loud(cls, value):
            return value.upper()

    return Name


def louder():
    class Name(BaseModel):
        name: Annotated[str, Field(json_schema_extra=None), Field()]

        @field_validator("name")
        @classmethod
        def loud(cls, value):
            return value.upper() + "!"

    return Name


def ask(model, **more):
    return DF.select("t").batch.submit(model="fake/x", prompt="{t}", response_model=model, **more)


def test_an_edited_model_types_and_judges_the_same_answers_anew(cloud):
    """The loop of every notebook: edit the class, run the cell."""
    first = ask(short())
    assert first.result()["parsed"].struct["name"].to_list() == ["a long name"] * 2
    assert ask(capped()).result()["error"].str.starts_with("invalid_response").all()
    assert ask(upper()).result()["parsed"].struct["name"].to_list() == ["A LONG NAME"] * 2
    last = ask(louder())
    assert last.result()["parsed"].struct["name"].to_list() == ["A LONG NAME!"] * 2
    assert last.errors().height == 0
    assert last == first
    assert len(cloud.batches()) == 1


def test_a_retry_right_after_the_edit_goes_by_the_edited_model(cloud):
    """Rows that do not fit it any more are asked again; rows that fit it now are not."""
    ask(short()).result()
    job = ask(capped())
    job.retry(codes=["invalid_response"]).wait()
    assert len(cloud.batches()) == 2
    ask(upper()).retry(codes=["invalid_response"]).wait()
    assert len(cloud.batches()) == 2


def test_the_same_model_is_not_read_twice(monkeypatch):
    """A cell that is run again costs nothing; nor does a class that was only defined again."""
    from batchframe.frame import decode

    ask(upper()).result()
    monkeypatch.setattr(decode, "decode_part", lambda *_: pytest.fail("decoded again"))
    assert ask(upper()).result()["error"].null_count() == 2
    assert bf.job(ask(upper()).id).result()["error"].null_count() == 2


def test_a_job_opened_without_the_class_shows_what_the_last_call_made_of_it():
    """The ledger keeps the model of the last call."""
    ask(short()).result()
    job = ask(louder())
    job.result()
    from batchframe.orchestration import follow

    follow.drop(bf.workspace(), job.id)  # as in another process
    assert bf.job(job.id).result()["parsed"].struct["name"].to_list() == ["A LONG NAME!"] * 2


def test_parts_decoded_by_two_models_are_read_again_by_the_last(tmp_path):
    """Half of the job was decoded before the class was edited."""
    answer = '{"usd":"1.256"}'

    class Plain(BaseModel):
        usd: decimal.Decimal

    def edited():
        class Plain(BaseModel):
            usd: Annotated[decimal.Decimal, Field(decimal_places=2)]

        return Plain

    def alias():
        class Plain(BaseModel):
            x: decimal.Decimal = Field(alias="usd")

        return Plain

    closed = Fake(tmp_path / "c2", lambda _: answer, "fake2", polls=0)
    real, closed.upload = closed.upload, _no
    with registered(Fake(tmp_path / "c1", lambda _: answer, polls=0)), registered(closed):
        options = {"model": pl.col("m"), "prompt": "{t}"}
        with pytest.raises(errors.JobFailedError):
            DF.batch.submit(**options, response_model=Plain).result()
        closed.upload = real
        job = DF.batch.submit(**options, response_model=edited())
        assert job.result()["error"].str.starts_with("invalid_response").all()
        again = DF.batch.submit(**options, response_model=alias())
        assert again.result()["parsed"].struct["x"].cast(pl.String).str.starts_with("1.256").all()
    assert len(closed.batches()) == 1


def _no(*_args):
    msg = "no."
    raise errors.ProviderError(msg)
