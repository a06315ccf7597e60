"""An edited response model reads the answers again; what was paid is not asked again, nor lost."""

from __future__ import annotations

import decimal
from typing import Annotated

import polars as pl
import pytest
from pydantic import AfterValidator, BaseModel, Field, field_validator

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


def at_most(limit):
    def check(value):
        if len(value) > limit:
            msg = "too long"
            raise ValueError(msg)
        return value

    return check


def test_an_edited_helper_of_a_validator_counts_too():
    """What a closure, a partial or a constant holds is in no schema; every reader judges anew."""

    class Name(BaseModel):
        name: Annotated[str, AfterValidator(at_most(100))]

    assert ask(Name).result()["error"].null_count() == 2

    class Name(BaseModel):
        name: Annotated[str, AfterValidator(at_most(3))]

    assert ask(Name).result()["error"].null_count() == 0


def test_the_card_counts_as_the_reader_judges(cloud):
    """After the edit, and back: in the view and in the list of jobs."""
    ask(short()).result()
    for model, failed in ((capped(), 2), (short(), 0)):
        job = ask(model)
        assert job.view.failed == failed
        assert sum(group.count for group in job.view.errors) == failed
        assert bf.jobs().filter(pl.col("id") == job.id)["failed"].item() == failed


def test_answers_are_judged_without_the_raw_files(cloud):
    """The decoded answers are enough, whatever became of the provider's files and batches."""
    import shutil

    job = ask(short())
    job.result()
    shutil.rmtree(cloud.folder)
    for folder in bf.workspace().job_folder(job.id).glob("*.results"):
        shutil.rmtree(folder)
    found = ask(capped()).result()
    assert found["response"].null_count() == 0
    assert found["error"].str.starts_with("invalid_response").all()
    assert ask(short()).result()["error"].null_count() == 2


def test_readers_with_different_models_do_not_disturb_each_other():
    """Each sees its own verdict, and nobody a row that is pending."""
    from concurrent.futures import ThreadPoolExecutor

    models = [short(), capped(), upper()]
    ask(models[0]).result()

    def read(number):
        return ask(models[number % 3]).result()["error"].to_list()

    with ThreadPoolExecutor(6) as pool:
        seen = {str(error) for errors_ in pool.map(read, range(24)) for error in errors_}
    assert not any("pending" in error for error in seen)


def test_a_job_that_cannot_go_on_gives_what_it_has_under_the_edited_model(tmp_path):
    """Its first part was decoded before the class was edited to another type."""

    class Plain(BaseModel):
        name: str

    def other():
        class Plain(BaseModel):
            x: str = Field(alias="name")

        return Plain

    closed = Fake(tmp_path / "c2", name="fake2", polls=0)
    closed.upload = _no
    with registered(closed):
        options = {"model": pl.col("m"), "prompt": "{t}"}
        with pytest.raises(errors.JobFailedError):
            DF.batch.submit(**options, response_model=Plain).result()
        job = DF.batch.submit(**options, response_model=other())
        with pytest.raises(errors.JobFailedError):
            job.wait()
        assert job.outputs()["parsed"].struct["x"].to_list() == ["a long name", None]


def test_the_schema_sent_by_hand_is_the_same_job_and_takes_no_type_away():
    """`response_format=` and the class that makes it ask the same."""
    from batchframe.frame.schema import response_format, response_schema

    first = ask(short())
    first.result()
    by_hand = response_format(response_schema(short()))
    same = DF.select("t").batch.submit(model="fake/x", prompt="{t}", response_format=by_hand)
    assert same == first
    assert first.result()["parsed"].struct["name"].to_list() == ["a long name"] * 2


def test_a_job_opened_without_the_class_is_read_by_the_rules_of_the_last_call():
    """The ledger keeps the model's rules; validators are code, and stay where the class is."""
    ask(short()).result()
    job = ask(louder())
    job.result()
    from batchframe.orchestration import follow

    follow.drop(bf.workspace(), job.id)  # as in another process
    ask(capped())
    follow.drop(bf.workspace(), job.id)
    assert bf.job(job.id).result()["error"].str.starts_with("invalid_response").all()
    ask(louder())
    follow.drop(bf.workspace(), job.id)
    assert bf.job(job.id).result()["parsed"].struct["name"].to_list() == ["a long name"] * 2


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
