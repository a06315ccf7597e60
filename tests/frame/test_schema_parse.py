"""Answers become typed rows; no text, however odd, raises or spoils another row."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import polars as pl
import pydantic
import pytest
from pydantic import BaseModel, Field, RootModel

from batchframe.frame.parse import parse
from batchframe.frame.schema import ResponseSchema, response_schema
from batchframe.model import RowError


class Label(BaseModel):
    """What a review says."""

    sentiment: Literal["positive", "negative"]
    n: int = 0


GOOD = '{"sentiment":"positive","n":1}'
ROW = {"sentiment": "positive", "n": 1}


def one(annotation: Any, text: str) -> tuple[Any, str | None]:
    """Parse one text as a model with the field `v`; give the value and the error message."""
    schema = response_schema(pydantic.create_model("Answer", v=(annotation, ...)))
    parsed = parse([text], schema)
    (value,), (error,) = parsed.values.to_list(), parsed.errors
    return (value and value["v"]), (error and error.message)


def test_each_text_is_a_row_in_its_place() -> None:
    """Null stays null without an error; a misfit is null with one."""
    texts = [GOOD, None, '{"sentiment":"meh"}', GOOD]
    parsed = parse(pl.Series(texts), response_schema(Label))
    assert parsed.values.dtype == pl.Struct(
        {"sentiment": pl.Enum(["positive", "negative"]), "n": pl.Int64}
    )
    assert parsed.values.name == "parsed"
    assert parsed.values.to_list() == [ROW, None, None, ROW]
    message = "sentiment: Input should be 'positive' or 'negative'"
    assert parsed.errors == [
        None,
        None,
        RowError("invalid_response", message),
        None,
    ]


@pytest.mark.parametrize("texts", [[], [None, None], pl.Series([None], dtype=pl.String)])
def test_no_answers_at_all_still_have_the_type(texts: Any) -> None:
    """Empty in, empty out, of the right type."""
    schema = response_schema(Label)
    parsed = parse(texts, schema)
    assert parsed.values.dtype == schema.dtype
    assert parsed.values.null_count() == len(texts)
    assert parsed.errors == [None] * len(texts)


@pytest.mark.parametrize(
    "text",
    [
        f"  {GOOD}\n\n",
        f"\ufeff{GOOD}",
        f"```json\n{GOOD}\n```",
        f"\ufeff\n```JSON\n{GOOD}\n```\n",
        f"```\n{GOOD}```",
        f"```json {GOOD} ```",
    ],
)
def test_wrapping_that_models_add_is_taken_off(text: str) -> None:
    """White space, a byte-order mark, one fence around the whole."""
    parsed = parse([text], response_schema(Label))
    assert (parsed.values.to_list(), parsed.errors) == ([ROW], [None])


@pytest.mark.parametrize(
    "text",
    [
        f"Sure! {GOOD}",
        f"{GOOD} Hope this helps.",
        f"Here:\n```json\n{GOOD}\n```",
        f"```json\n{GOOD}",
        f"```yaml\n{GOOD}\n```",
        f"``````json\n{GOOD}\n``````",
        f"{GOOD}{GOOD}",
        "",
        "   ",
        "```",
        "``````",
        "null",
        "[]",
        '{"sentiment": "positive"',
    ],
)
def test_anything_else_around_the_json_is_an_error(text: str) -> None:
    """Nothing is guessed."""
    parsed = parse([text, GOOD], response_schema(Label))
    assert parsed.values.to_list() == [None, ROW]
    assert parsed.errors[0] is not None


BOMBS = {
    "deep list": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "huge int": '{"sentiment":"positive","n":' + "9" * 5000 + "}",
    "beyond 64 bits": '{"sentiment":"positive","n":9223372036854775808}',
    "nan": '{"sentiment":"positive","n":NaN}',
    "infinity": '{"sentiment":"positive","n":Infinity}',
    "surrogate escape": '{"sentiment":"\\ud800"}',
    "surrogate": '{"sentiment":"\ud800"}',
    "long": '{"sentiment":"' + "x" * 5_000_000 + '"}',
    "nul": "\x00",
    "many keys": json.dumps({f"k{n}": n for n in range(10_000)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_text_is_one_rows_error(name: str) -> None:
    """Its neighbours are untouched, the message is short and can be shown and stored."""
    parsed = parse([GOOD, BOMBS[name], GOOD], response_schema(Label))
    assert parsed.values.to_list() == [ROW, None, ROW]
    assert [error is None for error in parsed.errors] == [True, False, True]
    assert parsed.errors[1] is not None
    assert len(parsed.errors[1].message) <= 200
    assert parsed.errors[1].message.isprintable()


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    """As every common JSON reader does."""
    parsed = parse(
        ['{"sentiment":"negative","sentiment":"positive","n":1}'], response_schema(Label)
    )
    assert parsed.values.to_list() == [ROW]


def test_a_long_string_is_a_value() -> None:
    """Five megabytes of answer are an answer."""
    assert one(str, json.dumps({"v": "x" * 5_000_000})) == ("x" * 5_000_000, None)


def test_a_message_keeps_to_two_hundred_printable_characters() -> None:
    """Names of unexpected fields come from the model, control characters and all."""

    class Closed(BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        a: int

    text = json.dumps({"a": 1, "\x1b[31m\nred" + "x" * 900: 2})
    (error,) = parse([text], response_schema(Closed)).errors
    assert error is not None
    assert error.message == "\ufffd[31m red" + "x" * 190 + "…"


def test_the_place_of_a_fault_is_written_as_one_would_in_python() -> None:
    """`items[1].price`, and how many more faults there are."""
    item = pydantic.create_model("Item", price=(float, ...))
    text = '{"v":[{"price":1},{"price":"cheap"},{}]}'
    assert one(list[item], text) == (  # type: ignore[valid-type] - made at run time
        None,
        "v[1].price: Input should be a valid number, unable to parse string as a number (and 1 more)",
    )


def test_numbers_are_read_the_lax_way_of_pydantic() -> None:
    """A number in quotes is a number, unless the model is strict."""
    assert one(int, '{"v":"3"}') == (3, None)
    assert one(int, '{"v":3.0}') == (3, None)
    assert one(bool, '{"v":"yes"}') == (True, None)
    strict = Field(strict=True)
    model = pydantic.create_model("Answer", v=(int, strict))
    (error,) = parse(['{"v":"3"}'], response_schema(model)).errors
    assert str(error) == "invalid_response: v: Input should be a valid integer"


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (int, "9223372036854775807", 2**63 - 1),
        (int, "-9223372036854775808", -(2**63)),
        (int | float, "1", 1.0),
        (int | float, "1" + "0" * 30, 1e30),
        (float, "1e999", math.inf),
        (Decimal, '"1e3"', Decimal(1000)),
        (Decimal, "0.1", Decimal("0.1")),
        (Decimal, '"1.50000000000000000000000000"', Decimal("1.5")),
        (dt.time, '"01:02:03+05:00"', dt.time(1, 2, 3)),
        (dt.datetime, '"2024-01-01T00:00:00+02:00"', dt.datetime(2023, 12, 31, 22, tzinfo=dt.UTC)),
        (dt.datetime, '"2024-01-01T00:00:00"', dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        (set[str], '["b","a","b"]', ["a", "b"]),
        (UUID, '"00000000000000000000000000000005"', "00000000-0000-0000-0000-000000000005"),
        (Path, '"a//b"', "a/b"),
        (RootModel[list[int]], "[1,2]", [1, 2]),
        (list[list[int] | None], "[[1],null,[]]", [[1], None, []]),
    ],
)
def test_a_value_has_room_in_its_column(annotation: Any, text: str, expected: Any) -> None:
    """The edges of what each column holds."""
    assert one(annotation, f'{{"v":{text}}}') == (expected, None)


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int, "9223372036854775808", "v: an integer outside the 64-bit range of its column"),
        (
            list[int],
            "[1,9223372036854775808]",
            "v[]: an integer outside the 64-bit range of its column",
        ),
        (
            Decimal,
            '"1e-999999"',
            "v: a number with more than 18 decimal places or more than 20 digits before them",
        ),
        (
            Decimal,
            '"1e20"',
            "v: a number with more than 18 decimal places or more than 20 digits before them",
        ),
        (
            dt.datetime,
            '"0001-01-01T00:00:00+02:00"',
            "v: a time outside the years 1 to 9999 in UTC",
        ),
        (dt.timedelta, '"P999999999D"', "v: a timedelta does not fit the column type Duration"),
    ],
)
def test_a_value_without_room_is_an_error_and_never_rounded(
    annotation: Any, text: str, message: str
) -> None:
    """The column would wrap, round or panic; the row says so instead."""
    assert one(annotation, f'{{"v":{text}}}') == (None, message)


def test_one_misfit_leaves_the_rest_of_its_column() -> None:
    """Found value by value, also inside lists of models."""
    item = pydantic.create_model("Item", n=(int, ...))
    schema = response_schema(pydantic.create_model("Answer", v=(list[item], ...)))  # type: ignore[valid-type] - made at run time
    texts = ['{"v":[{"n":1},{"n":2}]}', '{"v":[{"n":3},{"n":9223372036854775808}]}', '{"v":[]}']
    parsed = parse(texts, schema)
    assert parsed.values.to_list() == [{"v": [{"n": 1}, {"n": 2}]}, None, {"v": []}]
    assert [error and error.message for error in parsed.errors] == [
        None,
        "v[].n: an integer outside the 64-bit range of its column",
        None,
    ]


@pytest.mark.parametrize(
    ("gives", "expected"),
    [
        (ZeroDivisionError("x"), "the model's own validator raised ZeroDivisionError"),
        (RecursionError(), "the model's own validator raised RecursionError"),
        (ValueError("no"), "v: Value error, no"),
        (7, "v: an int does not fit the column type String"),
        ("\ud800", "v: a str does not fit the column type String"),
        (object(), "v: an object does not fit the column type String"),
    ],
)
def test_a_users_validator_that_misbehaves_costs_one_row(gives: Any, expected: str) -> None:
    """It may raise or give anything, for one text of many."""

    class Answer(BaseModel):
        v: str

        @pydantic.field_validator("v")
        @classmethod
        def odd(cls, v: str) -> Any:
            """Misbehave for one value."""
            if v != "bad":
                return v
            if isinstance(gives, Exception):
                raise gives
            return gives

    parsed = parse(['{"v":"a"}', '{"v":"bad"}', '{"v":"c"}'], response_schema(Answer))
    assert parsed.values.to_list() == [{"v": "a"}, None, {"v": "c"}]
    assert [error and error.message for error in parsed.errors] == [None, expected, None]


def test_a_validator_that_gives_another_shape_costs_one_row() -> None:
    """A model or list replaced by something else is noticed too."""

    class Inner(BaseModel):
        a: int

    class Answer(BaseModel):
        inner: Inner
        many: list[int]

        @pydantic.field_validator("inner", "many")
        @classmethod
        def other(cls, value: Any) -> Any:
            """Replace what has a 1."""
            return 5 if value in (Inner(a=1), [1]) else value

    texts = [
        '{"inner":{"a":1},"many":[]}',
        '{"inner":{"a":2},"many":[1]}',
        '{"inner":{"a":2},"many":[2]}',
    ]
    parsed = parse(texts, response_schema(Answer))
    assert parsed.values.to_list() == [None, None, {"inner": {"a": 2}, "many": [2]}]
    assert [error and error.message for error in parsed.errors] == [
        "inner: the model's own validator gave an int, not a model",
        "many: the model's own validator gave an int, not a list",
        None,
    ]


def test_validators_decide_what_stands_in_the_column() -> None:
    """What a validator makes of the answer is what the user gets."""

    class Answer(BaseModel):
        word: Literal["yes", "no"]

        @pydantic.field_validator("word", mode="before")
        @classmethod
        def lower(cls, word: str) -> str:
            """Forgive shouting."""
            return word.lower()

    assert parse(['{"word":"YES"}'], response_schema(Answer)).values.to_list() == [{"word": "yes"}]


def test_more_rows_than_one_chunk_stay_in_order() -> None:
    """Chunks are an inner matter."""
    texts = [f'{{"sentiment":"positive","n":{n}}}' if n % 7 else None for n in range(25_001)]
    parsed = parse(texts, response_schema(Label))
    expected = [n if n % 7 else None for n in range(25_001)]
    assert parsed.values.struct.field("n").to_list() == expected
    assert parsed.errors == [None] * 25_001


class Colour(Enum):
    """Plain Enum, whose members are no strings."""

    RED = "red"


class Stars(IntEnum):
    """pydantic reads "1" as a member, which it would not for a Literal."""

    ONE = 1


class Cat(BaseModel):
    """A member of a union whose tag has a default, which does not make it optional."""

    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    """The other member."""

    kind: Literal["dog"]


class Wide(BaseModel):
    """Rules that JSON Schema has no words for."""

    model_config = pydantic.ConfigDict(str_strip_whitespace=True, extra="forbid")
    colour: Colour = Colour.RED
    code: str = Field("ab", validation_alias=pydantic.AliasChoices("code", "kode"), max_length=3)
    day: dt.date = Field(dt.date(2024, 1, 1), ge=dt.date(2024, 1, 1))
    born: pydantic.PastDate | None = None
    price: Decimal = Field(Decimal(1), max_digits=4, decimal_places=1, gt=0)
    wait: dt.timedelta = Field(dt.timedelta(1), le=dt.timedelta(2))
    tags: set[str] = Field(set(), max_length=2)
    exact: float = Field(0.5, strict=True, allow_inf_nan=False)
    site: pydantic.HttpUrl | None = None
    ident: pydantic.UUID4 | None = None
    made: list[int] = Field(default_factory=list)
    low: int = Field(-1, ge=0)
    file: Path | None = None
    stars: Stars = Stars.ONE
    pet: Cat | Dog | None = Field(None, discriminator="kind")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"colour":"red","code":" abc "}',
        '{"kode":"x"}',
        '{"code":"abcd"}',
        '{"day":"2023-12-31"}',
        '{"born":"2999-01-01"}',
        '{"born":"1999-01-01"}',
        '{"price":"1.25"}',
        '{"price":0}',
        '{"price":"999.5"}',
        '{"wait":"P3D"}',
        '{"tags":["a","a","b"]}',
        '{"tags":["a","b","c"]}',
        '{"exact":"1"}',
        '{"exact":NaN}',
        '{"site":"ftp://a.b"}',
        '{"site":"http://a.b"}',
        '{"ident":"00000000-0000-1000-8000-000000000000"}',
        '{"ident":"00000000-0000-4000-8000-000000000000"}',
        '{"low":-1}',
        '{"file":"a//b"}',
        '{"stars":"1"}',
        '{"pet":{}}',
        '{"pet":{"kind":"cat"}}',
        '{"other":1}',
    ],
)
def test_the_rebuilt_model_judges_as_the_class_does(text: str) -> None:
    """The same texts pass, with the same values, and fail with the same words."""
    schema = response_schema(Wide)
    again = ResponseSchema.from_json(json.loads(json.dumps(schema.to_json())))
    here, there = parse([text], schema), parse([text], again)
    assert there.errors == here.errors
    if "made" not in text and here.errors == [None]:
        made = [{**row, "made": None} for row in here.values.to_list()]
        assert [{**row, "made": None} for row in there.values.to_list()] == made
