"""Whatever is pasted into an argument: one clear exception of ours, before anything is staged or sent."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from pydantic import BaseModel

import batchframe as bf
from batchframe import api, errors
from batchframe.testing import Fake, registered

DF = pl.DataFrame({"text": ["good", "bad"], "label": ["pos", "neg"], "x": [0.5, 9.0]})
NAN = float("nan")
BATCHES = {"model": "fake/m", "prompt": "{text}"}


class Label(BaseModel):
    """A response model."""

    label: str


@pytest.fixture(autouse=True)
def cloud(tmp_path):
    """A provider of whose bill we can be sure."""
    with registered(Fake(tmp_path / "cloud")) as fake:
        yield fake


WRONG = [
    # model
    ({"model": None}, "model= must be 'provider/model' or a pl.Expr, not None."),
    ({"model": 5}, "model= must be 'provider/model' or a pl.Expr, not 5."),
    ({"model": ["fake/m"]}, "model= must be 'provider/model' or a pl.Expr, not a list."),
    (
        {"model": ""},
        "A model is written provider/model, for example 'local/smollm2'; got ''.",
    ),
    (
        {"model": "smollm2"},
        (
            "A model is written provider/model, for example 'local/smollm2'; got 'smollm2'. Did you "
            "mean 'local/smollm2'?"
        ),
    ),
    (
        {"model": pl.col("x")},
        "model= is Float64 in this frame; each row's must be text such as 'local/smollm2'.",
    ),
    (
        {"model": pl.col("y")},
        (
            "model= asks for the column 'y', which the frame does not have. Columns: 'text', 'label', "
            "'x'."
        ),
    ),
    # prompt, system, messages
    ({"prompt": None}, "A job needs prompt= or messages=, one of them. Neither was given."),
    (
        {"prompt": 5},
        "prompt= must be a text with {column} placeholders or a pl.Expr, not int.",
    ),
    (
        {"prompt": DF["text"]},
        "prompt= must be a text with {column} placeholders or a pl.Expr, not Series.",
    ),
    (
        {"prompt": ""},
        'prompt= is blank. Ask something, for example prompt="Translate: {text}".',
    ),
    (
        {"prompt": "{}"},
        (
            "prompt= has '{}' at character 0, which reads like JSON and is no column. Write every brace "
            "of the text twice, '{{' and '}}'; only a column stands in single ones. Columns: 'text', "
            "'label', 'x'."
        ),
    ),
    ({"system": " "}, "system= is blank. Leave it out, or say who answers and how."),
    (
        {"system": b"x"},
        "system= must be a text with {column} placeholders or a pl.Expr, not bytes.",
    ),
    (
        {"prompt": None, "messages": []},
        "messages= must be a list of {'role': ..., 'content': ...} or a pl.Expr.",
    ),
    (
        {"prompt": None, "messages": {"role": "user", "content": "x"}},
        "messages= must be a list of {'role': ..., 'content': ...} or a pl.Expr.",
    ),
    (
        {"prompt": None, "messages": ["hi"]},
        "messages[0] must be a mapping with a 'role', for example 'user'.",
    ),
    (
        {"prompt": None, "messages": [{"role": "usr", "content": "x"}]},
        (
            "messages[0] has the role 'usr'. Did you mean 'user'? Roles: system, developer, user, "
            "assistant, tool, function."
        ),
    ),
    (
        {"prompt": None, "messages": [{"role": "user"}]},
        (
            "messages[0] is a user's and has no 'content'. For example: {'role': 'user', 'content': "
            "'Translate: {text}'}."
        ),
    ),
    (
        {"prompt": None, "messages": [{"role": "user", "content": []}]},
        (
            "messages[0] is a user's and has no 'content'. For example: {'role': 'user', 'content': "
            "'Translate: {text}'}."
        ),
    ),
    (
        {"prompt": None, "messages": pl.col("text")},
        (
            "messages= must be a list of structs with 'role' and 'content', not String. For example: "
            "pl.concat_list(pl.struct(role=pl.lit('user'), content='text'))."
        ),
    ),
    # response_model
    (
        {"response_model": Label(label="x")},
        "response_model is an instance of Label. Write the class: response_model=Label",
    ),
    (
        {"response_model": Label, "response_format": {"type": "json_object"}},
        "response_model= writes response_format itself; give only one of them.",
    ),
    (
        {"response_format": Label},
        (
            "The parameter response_format=the class Label was refused: it must be a dict. A pydantic "
            "model has its own argument: response_model=Label."
        ),
    ),
    # parameters
    (
        {"temperature": "hot"},
        "The parameter temperature='hot' was refused: it must be a number from 0 to 2.",
    ),
    (
        {"temperature": NAN},
        "The parameter temperature=nan was refused: it must be a number from 0 to 2.",
    ),
    (
        {"temperature": DF["x"]},
        (
            "The parameter temperature=a Series was refused: it must be a number from 0 to 2. For a "
            "value per row name its column: temperature=pl.col('...')."
        ),
    ),
    (
        {"temperature": [0, 1]},
        (
            "The parameter temperature=a list was refused: it must be a number from 0 to 2. For a value "
            "per row make it a column, and then temperature=pl.col('...')."
        ),
    ),
    (
        {"temperature": pl.col("text")},
        (
            "temperature= is String in this frame, and it must be a number from 0 to 2. Cast it first, "
            "for example with .cast(pl.Float64)."
        ),
    ),
    (
        {"max_tokens": 1.5},
        "The parameter max_tokens=1.5 was refused: it must be a whole number, at least 1.",
    ),
    (
        {"max_tokens": float("inf")},
        "The parameter max_tokens=inf was refused: it must be a whole number, at least 1.",
    ),
    (
        {"max_tokens": -(10**5000)},
        (
            "The parameter max_tokens=a number of more than 40 digits was refused: it must be a whole "
            "number, at least 1."
        ),
    ),
    (
        {"seed": 2**64},
        "The parameter 'seed' is not JSON: Integer exceeds 64-bit range.",
    ),
    ({"user": 5}, "The parameter user=5 was refused: it must be text."),
    (
        {"tools": {"type": "function"}},
        "The parameter tools=a dict was refused: it must be a list.",
    ),
    ({"stop": 5}, "The parameter stop=5 was refused: it must be text or a list of at most 4."),
    (
        {"stop": list("abcde")},
        "The parameter stop=a list was refused: it must be text or a list of at most 4.",
    ),
    (
        {"logit_bias": {"50256": -1000}},
        "The parameter 'logit_bias' was refused: logit_bias['50256'] is -1000, and it must be a number from -100 to 100. To send it all the same: extra_body={'logit_bias': ...}.",
    ),
    (
        {"logit_bias": {"abc": 5}},
        "The parameter 'logit_bias' was refused: logit_bias has the key 'abc', and its keys are numbers of tokens, such as '50256'. To send it all the same: extra_body={'logit_bias': ...}.",
    ),
    (
        {"top_logprobs": 5},
        "The parameter 'top_logprobs' was refused: top_logprobs needs logprobs=True beside it. To send it all the same: extra_body={'top_logprobs': ...}.",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "has space"}}]},
        "The parameter 'tools' was refused: tools[0] is called 'has space', and a name holds letters, digits, '_' and '-', at most 64. To send it all the same: extra_body={'tools': ...}.",
    ),
    (
        {"endpoint": "responses", "tools": [{"type": "function", "name": "a.b"}]},
        "The parameter 'tools' was refused: tools[0] is called 'a.b', and a name holds letters, digits, '_' and '-', at most 64. To send it all the same: extra_body={'tools': ...}.",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
        "The parameter 'response_format' was refused: its schema is called 'a b', and a name holds letters, digits, '_' and '-', at most 64. To send it all the same: extra_body={'response_format': ...}.",
    ),
    (
        {"extra_body": {"\ud800": 1}},
        "extra_body={'\\ud800': ...}: the name holds half of a surrogate pair at character 0, which no JSON can carry. Type: text.encode('utf-8', 'replace').decode()",
    ),
    (
        {"extra_body": {"a": ["\ud800"]}},
        "The parameter 'a' holds half of a surrogate pair, which no JSON can carry. Type: text.encode('utf-8', 'replace').decode()",
    ),
    (
        {"user": "\udfff"},
        "The parameter 'user' holds half of a surrogate pair, which no JSON can carry. Type: text.encode('utf-8', 'replace').decode()",
    ),
    ({"extra_body": 5}, "extra_body=5: it is a mapping, for example {'top_k': 40}."),
    ({"extra_body": {1: 2}}, "extra_body={1: ...}: a parameter's name is text."),
    (
        {"extra_body": {"top_k": {1}}},
        "The parameter 'top_k' is not JSON: Object of type set is not JSON serializable.",
    ),
    # mode, key, prefix, name
    ({"mode": None}, "mode=None: it is 'batch' or 'immediate'."),
    ({"mode": []}, "mode=a list: it is 'batch' or 'immediate'."),
    (
        {"mode": "imediate"},
        "mode='imediate': it is 'batch' or 'immediate'. Did you mean 'immediate'?",
    ),
    (
        {"key": "lable"},
        "key='lable' is not a column. Did you mean 'label'? Columns: 'text', 'label', 'x'.",
    ),
    ({"key": ""}, "key='' is not a column. Columns: 'text', 'label', 'x'."),
    (
        {"key": ["text", "label"]},
        (
            "key=a list: it is the name of one column. For several, make one of them: "
            "df.with_columns(id=pl.concat_str('a', 'b', separator='-'))."
        ),
    ),
    ({"prefix": None}, "prefix=None: it is text, put before the added columns' names."),
    (
        {"prefix": "\ud800"},
        "prefix= holds half of a surrogate pair at character 0, which no column's name can carry.",
    ),
    ({"name": 5}, "name=5: it must be text."),
    ({"name": []}, "name=a list: it must be text."),
    # money
    (
        {"budget_usd": -1},
        "budget_usd=-1: it is an amount of US dollars, for example 2.50.",
    ),
    (
        {"budget_usd": NAN},
        "budget_usd=nan: it is an amount of US dollars, for example 2.50.",
    ),
    (
        {"budget_usd": "ten"},
        "budget_usd='ten': it is an amount of US dollars, for example 2.50.",
    ),
    (
        {"budget_usd": "1e999999"},
        "budget_usd='1e999999': it is an amount of US dollars, for example 2.50.",
    ),
    (
        {"budget_usd": 10**5000},
        (
            "budget_usd=a number of more than 40 digits: it is an amount of US dollars, for example "
            "2.50."
        ),
    ),
    (
        {"budget_usd": True},
        "budget_usd=True: it is an amount of US dollars, for example 2.50.",
    ),
    (
        {"prices": 5},
        (
            'prices=5: it is a mapping of models to prices. Type: prices={"provider/model": {"input": '
            '"0.25", "output": "2"}}'
        ),
    ),
    (
        {"prices": {"fake/m": 2}},
        (
            "prices={'fake/m': 2}: each model has a mapping of its own. Type: prices={\"provider/model\": "
            '{"input": "0.25", "output": "2"}}'
        ),
    ),
    (
        {"prices": {"fake/m": {}}},
        (
            "prices={'fake/m': a dict}: each model has a mapping of its own. Type: "
            'prices={"provider/model": {"input": "0.25", "output": "2"}}'
        ),
    ),
    (
        {"prices": {"fake/m": {"inptu": 1}}},
        (
            "The price given for 'fake/m' has an entry 'inptu', which is no kind of token. Did you mean "
            "'input'? Type some of: input, cached, cache_write, output (USD per million)."
        ),
    ),
    *(
        (
            {"prices": {"fake/m": {"input": wrong}}},
            (
                f"The price given for 'fake/m', input={said}, is not a price in USD per million tokens: a "
                "number from 0 to 1,000,000 with at most 12 decimals. Type it as a string, such as "
                "input='0.25'."
            ),
        )
        for wrong, said in ((True, "'True'"), (-1, "-1"), (NAN, "'nan'"), ("cheap", "'cheap'"))
    ),
    # the rest
    ({"metadata": 5}, "metadata=5: it is a mapping of text to text."),
    ({"metadata": {"run": 3}}, "metadata={'run': 3}: keys and values must be text."),
    ({"metadata": {"run": "\ud800"}}, "metadata['run'] holds half of a surrogate pair."),
    ({"retry": 3}, "retry=3: it is a bf.Retry(attempts=...)."),
    ({"concurrency": 0}, "concurrency=0: it is a whole number, at least 1."),
    ({"concurrency": 1.5}, "concurrency=1.5: it is a whole number, at least 1."),
    ({"again": "no"}, "again='no': it is True or False."),
]


@pytest.mark.parametrize("verb", ["submit", "plan", "requests", "preview"])
@pytest.mark.parametrize(
    ("wrong", "message"), WRONG, ids=[f"{i} {'+'.join(w)}" for i, (w, _) in enumerate(WRONG)]
)
def test_a_wrong_argument_is_one_clear_refusal_by_every_verb(verb, wrong, message):
    """The same words whichever verb is tried, and the workspace stays as empty as it was."""
    with pytest.raises(errors.InputError) as raised:
        getattr(bf, verb)(DF, **{**BATCHES, **wrong})
    assert str(raised.value) == message
    here = bf.workspace().path
    assert list(here.glob("staging/*")) == list(here.glob("jobs/*")) == []
    assert bf.jobs().height == 0


EMBED = [
    (
        (5, {}),
        "the text to embed must be a text with {column} placeholders or a pl.Expr, not int.",
    ),
    (
        ("", {}),
        "embed() needs a column; the frame has none called ''. Columns: 'text', 'label', 'x'.",
    ),
    (
        ("txet", {}),
        (
            "embed() needs a column; the frame has none called 'txet'. Did you mean 'text'? Columns: "
            "'text', 'label', 'x'."
        ),
    ),
    (
        ("text", {"dimensions": 0}),
        "The parameter dimensions=0 was refused: it must be a whole number, at least 1.",
    ),
    (
        ("text", {"dimensions": pl.col("x")}),
        "dimensions= is one number: all vectors of a column are of one length.",
    ),
    (("text", {"name": 5}), "name=5: it must be text."),
]


@pytest.mark.parametrize(("call", "message"), EMBED, ids=lambda v: str(v)[:50])
def test_a_wrong_argument_of_embed_is_refused(call, message):
    """As for the other verbs."""
    column, wrong = call
    with pytest.raises(errors.InputError) as raised:
        bf.embed(DF, column, **{"model": "fake/m", **wrong})
    assert str(raised.value) == message
    assert bf.jobs().height == 0


RIGHT = pl.col("response") == pl.col("label")
COMPARE = [
    ({"models": 5}, '`models` is 5, not a list of names. Type: models=["local/smollm2", ...]'),
    ({"models": []}, '`models` is empty. Type: models=["local/smollm2", ...]'),
    (
        {"models": [""]},
        "A label in `models` is empty or no text; it is the name the model is shown by.",
    ),
    (
        {"models": {5: "fake/m"}},
        "A label in `models` is empty or no text; it is the name the model is shown by.",
    ),
    (
        {"models": ["fake/m", 5]},
        '`models` holds a int, which has no name to show. Type: models={"a name": ...}',
    ),
    (
        {"variants": ["short"]},
        (
            "`variants` holds options by name, in a mapping of mappings. Type: "
            'variants={"short": {"prompt": ...}}'
        ),
    ),
    (
        {"variants": {"short": "x"}},
        (
            "`variants` holds options by name, in a mapping of mappings. Type: "
            'variants={"short": {"prompt": ...}}'
        ),
    ),
    ({"confidence": "95%"}, "confidence='95%' is not between 0 and 1."),
    ({"confidence": 95}, "confidence=95 is not between 0 and 1. Type: confidence=0.95"),
    ({"confidence": NAN}, "confidence=nan is not between 0 and 1."),
]


@pytest.mark.parametrize(("wrong", "message"), COMPARE, ids=lambda v: str(v)[:50])
def test_a_wrong_argument_of_compare_is_refused(wrong, message):
    """Before any entry is submitted."""
    call = {"models": ["fake/m"], "scorers": {"right": RIGHT}, "prompt": "{text}", **wrong}
    with pytest.raises(errors.InputError) as raised:
        bf.compare(DF, **call)
    assert str(raised.value) == message
    assert bf.jobs().height == 0


@pytest.mark.parametrize("scorers", [5, [], {}, {"right": "response"}, {1: RIGHT}, {"": RIGHT}])
def test_scorers_that_are_none_are_refused_by_compare(scorers):
    """Whatever they are instead."""
    with pytest.raises(errors.InputError):
        bf.compare(DF, models=["fake/m"], scorers=scorers, prompt="{text}")
    assert bf.jobs().height == 0


@pytest.mark.parametrize("baseline", [5, "nobody", ["fake/m"]])
def test_a_baseline_that_does_not_compete_is_refused(baseline):
    """Of whatever type."""
    with pytest.raises(errors.InputError):
        bf.compare(DF, models=["fake/m"], scorers={"r": RIGHT}, prompt="{text}", baseline=baseline)
    assert bf.jobs().height == 0


@pytest.mark.parametrize("verb", ["submit", "plan", "requests", "preview", "compare", "run"])
def test_what_is_no_frame_is_refused_by_every_verb(verb):
    """With the line for pandas users."""
    more = {"models": ["fake/m"], "scorers": {"r": RIGHT}} if verb == "compare" else {}
    call = {"prompt": "x"} if more else BATCHES
    with pytest.raises(errors.InputError) as raised:
        getattr(bf, verb)({"text": ["x"]}, **call, **more)
    assert str(raised.value) == (
        "batchframe works on a Polars DataFrame or LazyFrame, not dict. For pandas: pl.from_pandas(df)."
    )


@pytest.mark.parametrize(("n", "said"), [(-1, "-1"), ("3", "'3'"), (True, "True"), (1.5, "1.5")])
def test_a_preview_of_no_number_of_rows_is_refused(n, said):
    """`head(-1)` would be all rows but the last."""
    with pytest.raises(errors.InputError) as raised:
        DF.batch.preview(n, **BATCHES)
    assert str(raised.value) == f"n={said}: it is a number of rows, 0 or more."


def test_a_preview_has_as_many_lines_as_there_are_rows_to_send():
    """More than the frame has is all of it; a refused row has no line."""
    assert DF.batch.preview(0, **BATCHES) == []
    assert len(DF.batch.preview(10**30, **BATCHES)) == 2
    assert len(DF.batch.preview(10, temperature=pl.col("x"), **BATCHES)) == 1


@pytest.mark.parametrize("job_id", [None, 5, b"job-"])
def test_a_job_is_named_by_text(job_id):
    """The way to find it follows."""
    with pytest.raises(errors.InputError, match=r"A job's id is text .* See bf\.jobs\(\)\."):
        bf.job(job_id)


def test_requests_and_preview_take_the_whole_call_of_submit():
    """Who changes the verb in a cell need not touch its arguments."""
    call = {
        **BATCHES,
        "name": "n",
        "budget_usd": 1,
        "mode": "immediate",
        "again": True,
        "prefix": "p_",
    }
    assert DF.batch.requests(**call).equals(DF.batch.requests(**BATCHES))
    assert DF.batch.preview(1, **call) == DF.batch.preview(1, **BATCHES)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, "{text}"), ("", "{text}"), ("\x1b[2J\u202ehi\x00", "2J hi"), ("🎉", "{text}"),
        ("n" * 200, "n" * 79 + "…"),
    ],
)  # fmt: skip
def test_a_jobs_name_is_printable_and_never_empty(name, said):
    """Control characters go; what nothing is left of is as if it had not been given."""
    assert DF.batch.plan(name=name, **BATCHES).request.name == said


def test_prices_of_any_form_mean_what_they_print_and_survive_the_ledger():
    """A float's noise would be refused when another process read it back."""
    forms = {"input": 0.1 + 0.2, "output": Decimal(2), "cached": "0.05", "cache_write": None}
    plan = DF.batch.plan(prices={"fake/m": forms}, **BATCHES)
    kept = plan.request.settings["prices"]
    assert kept == {"fake/m": {"input": "0.300000000000", "output": "2", "cached": "0.05"}}
    assert plan.submit().wait().cost > 0


def test_numbers_of_numpy_are_numbers():
    """They come out of loops over arrays."""
    np = pytest.importorskip("numpy")
    (first, _) = DF.batch.requests(temperature=np.float64(0.5), max_tokens=np.int64(5), **BATCHES)[
        "body"
    ]
    assert first.endswith('"temperature":0.5,"max_tokens":5}')


def test_every_argument_of_submit_is_known_as_ours():
    """Or a spelling hint would miss it."""
    import inspect

    from batchframe.arguments import NAMES

    ours = {
        name
        for name, one in inspect.signature(api.submit).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    }
    assert ours == NAMES
