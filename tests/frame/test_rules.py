"""A value per row is held to the rule that a constant is held to: a row that breaks it is an error, the rest go."""

from __future__ import annotations

import decimal
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.dialects.parameters import RULES
from batchframe.errors import ColumnError, UnsupportedError
from batchframe.model import Endpoint
from tests.frame.asking import ask, bodies

NAN, INF = float("nan"), float("inf")


def told(name, values, dtype=None):
    """Give each row's error for a parameter with these values."""
    frame = pl.DataFrame({"c": pl.Series(values, dtype=dtype)})
    return ask(frame, "q", **{name: pl.col("c")})["error"].to_list()


def sent(name, values, dtype=None):
    """Give each row's value of a parameter as it is sent; None where the row or the value is not."""
    frame = pl.DataFrame({"c": pl.Series(values, dtype=dtype)})
    found = bodies(frame, "q", **{name: pl.col("c")})
    return [None if body is None else body.get(name) for body in found]


@pytest.mark.parametrize(
    ("name", "values", "dtype"),
    [
        ("stop", [["x"], ["x", None], [None], [], None], pl.List(pl.String)),
        ("modalities", [["text"], ["text", None], [None], [], None], pl.List(pl.String)),
        ("stop", [["x", "y"], ["x", None], [None, None], ["z", "z"], None], pl.Array(pl.String, 2)),
    ],
)
def test_a_null_in_a_list_is_the_rows_error_and_never_vanishes(name, values, dtype):
    """Sent without it, the row would ask something else than its list says."""
    fault = (
        f"invalid_request: {name}= has a null in a list in this row. Take it out, for example with "
        ".list.drop_nulls()"
    )
    assert told(name, values, dtype) == [None, fault, fault, None, None]
    assert sent(name, values, dtype) == [values[0], None, None, values[3], None]


def test_a_null_in_a_list_further_inside_is_the_rows_error_too():
    """While a null in a struct says that the row has no such member."""
    tools = [
        [{"type": "function", "function": {"name": "f", "enum": ["a", "b"]}}],
        [{"type": "function", "function": {"name": "f", "enum": ["a", None]}}],
        [{"type": "function", "function": {"name": "f", "enum": None}}],
        [{"type": "function", "function": {"name": "f", "enum": ["a"]}}, None],
    ]
    found = [error is not None for error in told("tools", tools)]
    assert found == [False, True, False, True]
    assert sent("tools", tools)[2] == [{"type": "function", "function": {"name": "f"}}]


def test_what_only_the_server_knows_is_sent_with_its_nulls():
    """It is held to nothing, so it is sent as the row says."""
    import batchframe as bf

    frame = pl.DataFrame({"c": [[1, None, 2], [None], None]})
    asked = bf.requests(frame, model="local/smollm2", prompt="q", extra_body={"mine": pl.col("c")})
    members = [json.loads(body).get("mine", "absent") for body in asked["body"]]
    assert members == [[1, None, 2], [None], "absent"]


def test_a_constant_with_a_null_in_a_list_is_refused():
    """By the types of the openai package, with the way to send it all the same."""
    import batchframe as bf
    from batchframe.testing import registered

    frame = pl.DataFrame({"c": ["x"]})
    with registered(bf.OpenAI(api_key="k")), pytest.raises(UnsupportedError, match="extra_body="):
        bf.requests(frame, model="openai/gpt-4o", prompt="q", stop=["x", None])


@pytest.mark.parametrize("dtype", [pl.List(pl.String), pl.Array(pl.String, 5)])
def test_a_list_that_is_too_long_is_its_rows_error(dtype):
    """As OpenAI counts: four ends of an answer are the most."""
    rows = (
        [list("abcde"), None]
        if isinstance(dtype, pl.Array)
        else [list("abcde"), None, list("abcd"), []]
    )
    found = told("stop", pl.Series(rows, dtype=dtype))
    said = "invalid_request: stop= has 5 entries in this row, and it must be text or a list of at most 4"
    assert found == [said, *[None] * (len(rows) - 1)]


def test_a_row_out_of_range_is_an_error_and_the_others_are_sent():
    """The bounds belong to the range; a null leaves the parameter out."""
    low = "invalid_request: temperature= is -0.1 in this row, and it must be a number from 0 to 2"
    high = "invalid_request: temperature= is 2.1 in this row, and it must be a number from 0 to 2"
    values = [0.0, 2.0, -0.1, 2.1, None, 1.0]
    assert told("temperature", values) == [None, None, low, high, None, None]
    assert sent("temperature", values) == [0.0, 2.0, None, None, None, 1.0]
    frame = pl.DataFrame({"c": [None, 9.0]}, schema={"c": pl.Float64})
    (left_out, _) = bodies(frame, "q", temperature=pl.col("c"))
    assert "temperature" not in left_out


def test_a_count_that_is_not_whole_is_an_error_and_whole_floats_become_integers():
    """A column that came from pandas holds 10.0, which servers refuse as a count."""
    whole = "in this row, and it must be a whole number, at least 1"
    values = [10.0, 1.5, 0.0, None, 1e300, 2.0**60]
    assert told("max_tokens", values) == [
        None,
        f"invalid_request: max_tokens= is 1.5 {whole}",
        f"invalid_request: max_tokens= is 0.0 {whole}",
        None,
        f"invalid_request: max_tokens= is 1e+300 {whole}",
        f"invalid_request: max_tokens= is 1.152921504606847e+18 {whole}",
    ]
    assert json.dumps(sent("max_tokens", values)) == "[10, null, null, null, null, null]"


@pytest.mark.parametrize("name", ["temperature", "max_tokens", "seed"])
def test_what_is_no_number_at_all_says_so_first(name):
    """NaN and infinity are out of every range, and that is not what is wrong with them."""
    said = f"invalid_request: {name}= is no finite number in this row"
    assert told(name, [NAN, INF, -INF, 1.0]) == [said, said, said, None]


@pytest.mark.parametrize(
    ("values", "dtype", "errors"),
    [
        ([1, 3], pl.Int8, 1),
        ([1, 3], pl.UInt64, 1),
        ([1.0, 3.0], pl.Float32, 1),
        ([decimal.Decimal("1.5"), decimal.Decimal("2.5")], None, 1),
        ([None, None], pl.Null, 0),
        ([None, None], pl.Float64, 0),
        ([], pl.Float64, 0),
    ],
)
def test_every_type_of_number_is_held_to_the_range(values, dtype, errors):
    """As it stands in the frame."""
    assert sum(error is not None for error in told("temperature", values, dtype)) == errors


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        (
            "temperature",
            pl.String(),
            (
                "temperature= is String in this frame, and it must be a number from 0 to 2. "
                "Cast it first, for example with .cast(pl.Float64)."
            ),
        ),
        (
            "temperature",
            pl.Boolean(),
            (
                "temperature= is Boolean in this frame, and it must be a number from 0 to 2. "
                "Cast it first, for example with .cast(pl.Float64)."
            ),
        ),
        (
            "max_tokens",
            pl.Date(),
            (
                "max_tokens= is Date in this frame, and it must be a whole number, at least 1. "
                "Cast it first, for example with .cast(pl.Int64)."
            ),
        ),
        (
            "user",
            pl.Int64(),
            (
                "user= is Int64 in this frame, and it must be text. "
                "Cast it first, for example with .cast(pl.String)."
            ),
        ),
        (
            "logprobs",
            pl.Int64(),
            (
                "logprobs= is Int64 in this frame, and it must be True or False. "
                "Cast it first, for example with .cast(pl.Boolean)."
            ),
        ),
        (
            "tools",
            pl.String(),
            "tools= is String in this frame, and it must be a list.",
        ),
        (
            "stop",
            pl.Struct({"a": pl.String()}),
            (
                "stop= is Struct({'a': String}) in this frame, and it must be text or a list "
                "of at most 4. Cast it first, for example with .cast(pl.String)."
            ),
        ),
    ],
    ids=str,
)
def test_a_column_of_which_no_value_could_do_is_refused(name, dtype, message):
    """Before a row is looked at: a cast is what helps, not a column of errors."""
    with pytest.raises(ColumnError) as raised:
        ask(pl.DataFrame(schema={"c": dtype}), "q", **{name: pl.col("c")})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "values", "dtype"),
    [
        ("stop", [["a", "b"], None], None),
        ("stop", ["a", None], None),
        ("logprobs", [True, None], None),
        ("user", ["u", None], pl.Categorical),
        ("seed", [-5, None], None),
        ("metadata", [{"k": "v"}, None], None),
    ],
)
def test_columns_of_the_right_type_pass(name, values, dtype):
    """With the null left out."""
    assert told(name, values, dtype) == [None, None]
    assert sent(name, values, dtype) == values


def test_what_goes_into_extra_body_is_held_to_no_rule():
    """It is sent as it is: the server may know better."""
    from batchframe.frame.prompt import chat_shape
    from batchframe.frame.requests import Recipe, chunks

    frame = pl.DataFrame({"c": [9.0]})
    shape = chat_shape(
        frame.schema,
        prompt="q",
        system=None,
        messages=None,
        parameters={},
        extra_body={"temperature": pl.col("c")},
    )
    (chunk,) = chunks(frame, Recipe(shape, "m/x"))
    assert json.loads(chunk["body"][0])["temperature"] == 9.0


NUMBERS = ["temperature", "top_p", "presence_penalty", "top_logprobs", "n", "max_tokens", "seed"]
VALUES = st.lists(
    st.none() | st.integers(-(10**6), 10**6) | st.integers(-3, 22), min_size=1, max_size=20
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NUMBERS), VALUES, st.booleans())
def test_a_row_passes_when_the_constant_would(name, values, as_floats):
    """One rule, two ways to hold a value to it."""
    rule = RULES[Endpoint.CHAT][name]
    dtype = pl.Float64 if as_floats else pl.Int64
    errors = told(name, values, dtype)
    assert [error is None for error in errors] == [v is None or rule.fits(v) for v in values]
