"""Bad input: one clear exception that says what to do, compared as a whole sentence."""

from __future__ import annotations

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})


@pytest.fixture(autouse=True)
def _fake(tmp_path):
    with registered(Fake(tmp_path / "cloud")):
        yield


CALLS = {
    "a missing column": (
        {"prompt": "{txet}"},
        errors.ColumnError,
        (
            "prompt= asks for the column 'txet', which the frame does not have. Did you mean 'text'? "
            "Columns: 'text', 'label', 'k', 'n'. For a brace in the text, write '{{' or '}}'."
        ),
    ),
    "a lone brace": (
        {"prompt": "json: { here"},
        errors.ColumnError,
        "prompt= has a lone '{' at character 6: write '{{' for a brace, or {column} for a column. JSON in a prompt needs all its braces twice; a column whose own name holds braces needs an expression, such as pl.format('... {}', pl.col('a{b')).",
    ),
    "no prompt": (
        {},
        errors.InputError,
        "A job needs prompt= or messages=, one of them. Neither was given.",
    ),
    "an unknown provider": (
        {"model": "locall/smollm2", "prompt": "{text}"},
        errors.UnknownNameError,
        "No provider 'locall'. Did you mean 'local'? Providers: azure, fake, fireworks, groq, local, mistral, openai, together, xai.",
    ),
    "a misspelt parameter": (
        {"prompt": "{text}", "temprature": 0},
        errors.UnknownNameError,
        (
            "No parameter 'temprature' for /v1/chat/completions. Did you mean 'temperature'? A "
            "parameter only your server knows goes into extra_body={'temprature': ...}."
        ),
    ),
    "a misspelt argument": (
        {"prompt": "{text}", "response_modle": dict},
        errors.UnknownNameError,
        "No parameter 'response_modle' for /v1/chat/completions. Did you mean 'response_model' or 'response_format'? A parameter only your server knows goes into extra_body={'response_modle': ...}.",
    ),
    "a parameter out of range": (
        {"prompt": "{text}", "temperature": 3},
        errors.UnsupportedError,
        "The parameter temperature=3 was refused: it must be a number from 0 to 2.",
    ),
    "streaming": (
        {"prompt": "{text}", "stream": True},
        errors.UnsupportedError,
        "The parameter 'stream' was refused: a batch has no one to stream to; leave it out.",
    ),
    "a key that repeats": (
        {"prompt": "{text}", "key": "k"},
        errors.KeyColumnError,
        (
            "key='k' says the same thing in rows 0 and 1. Keep one row a key, for example "
            "df.unique('k', maintain_order=True), or leave key= out."
        ),
    ),
    "a key that is null": (
        {"prompt": "{text}", "key": "n"},
        errors.KeyColumnError,
        "key='n' is null in row 1. Every row needs a key of its own; fill the nulls, or leave key= out.",
    ),
    "a key that is no column": (
        {"prompt": "{text}", "key": "lable"},
        errors.KeyColumnError,
        "key='lable' is not a column. Did you mean 'label'? Columns: 'text', 'label', 'k', 'n'.",
    ),
    "a column of the result's name": (
        {"prompt": "{text}", "frame": DF.with_columns(response=pl.lit("mine"))},
        errors.ColumnError,
        (
            "The frame already has 'response', which the result would add. Keep both with "
            "prefix=\"llm_\", or drop yours: df.drop('response')."
        ),
    ),
    "a mode that is none": (
        {"prompt": "{text}", "mode": "instant"},
        errors.InputError,
        "mode='instant': it is 'batch' or 'immediate'.",
    ),
    "a body parameter twice": (
        {"prompt": "{text}", "extra_body": {"messages": []}},
        errors.InputError,
        "extra_body= must not hold 'messages': it has an argument of its own.",
    ),
    "metadata too long": (
        {"prompt": "{text}", "metadata": {"k": "v" * 600}},
        errors.InputError,
        "metadata['k'] is too long: keys up to 64, values up to 512 characters.",
    ),
    "an expression over a missing column": (
        {"prompt": pl.col("txet")},
        errors.ColumnError,
        "prompt= asks for the column 'txet', which the frame does not have. Did you mean 'text'? Columns: 'text', 'label', 'k', 'n'.",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_bad_input_is_refused_with_the_line_that_helps(case):
    """And nothing was written or sent."""
    options, kind, message = CALLS[case]
    frame = options.pop("frame", DF.with_columns(k=pl.lit(1), n=pl.Series([1, None])))
    with pytest.raises(kind) as caught:
        frame.batch.submit(**{"model": "fake/m", **options})
    assert str(caught.value) == message
    assert bf.jobs().height == 0


def test_what_is_no_frame_is_refused():
    """With the line for pandas users."""
    with pytest.raises(errors.InputError) as caught:
        bf.submit([1, 2], model="fake/m", prompt="x")
    assert str(caught.value) == (
        "batchframe works on a Polars DataFrame or LazyFrame, not list. "
        "For pandas: pl.from_pandas(df)."
    )


def test_an_unknown_job_is_refused_with_the_nearest():
    """And with the way to see all."""
    job = DF.batch.submit(model="fake/m", prompt="{text}").wait()
    with pytest.raises(errors.UnknownNameError) as caught:
        bf.job(job.id + "x")
    assert str(caught.value) == (
        f"No job '{job.id}x' in {bf.workspace().path}. Did you mean '{job.id}'? "
        f"The newest: {job.id}. All of them: bf.jobs()."
    )


def test_a_model_without_a_provider_is_refused_with_an_example():
    """The slash is what people forget."""
    with pytest.raises(errors.UnknownNameError, match="A model is written provider/model"):
        DF.batch.submit(model="smollm2", prompt="{text}")


def test_rows_with_null_prompts_are_errors_and_are_not_sent(tmp_path):
    """The frame is not at fault as a whole."""
    df = pl.DataFrame({"text": ["a", None, "  "]})
    seen = df.batch.requests(model="fake/m", prompt="{text}")
    assert seen["error"].to_list() == [
        None,
        "empty_prompt: prompt= is null in this row",
        "empty_prompt: there is nothing but blanks to ask in this row",
    ]
    out = df.batch.submit(model="fake/m", prompt="{text}").result()
    assert out["error"].str.starts_with("empty_prompt").to_list() == [None, True, True]
    (sent,) = (tmp_path / "cloud").glob("*.input.jsonl")
    assert len(sent.read_bytes().splitlines()) == 1


def test_secrets_in_a_connection_never_show():
    """The headers hold keys."""
    from batchframe.model import Connection

    assert "sk-secret" not in repr(Connection("http://x", {"Authorization": "sk-secret"}))
