"""A response model becomes the schema that is sent, the parameter of the body and a Polars type."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import json
import subprocess
import sys
import textwrap
from decimal import Decimal
from enum import Enum, IntEnum
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import polars as pl
import pydantic
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypedDict

from batchframe.errors import LedgerVersionError, ResponseModelError
from batchframe.frame.parse import parse
from batchframe.frame.schema import ResponseSchema, response_format, response_schema


class Tone(Enum):
    """How a review sounds."""

    WARM = "warm"
    COLD = "cold"


class Stars(IntEnum):
    """A rating."""

    ONE = 1
    TWO = 2


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    """A dog."""

    kind: Literal["dog"]
    weight: float
    lives: int


class Line(BaseModel):
    """One line of an order."""

    sku: str = Field(alias="SKU", min_length=1, max_length=9, pattern="^[A-Z]+$")
    price: Decimal = Field(ge=0, decimal_places=2)


class Label(BaseModel):
    """What a review says."""

    sentiment: Literal["positive", "negative"] = Field(description="The overall verdict.")
    score: float = Field(ge=0, le=1)
    note: str | None = None


@dataclasses.dataclass(slots=True)
class Point:
    """A dataclass without `__dict__`."""

    x: int
    y: int = 0


class Named(TypedDict, total=False):
    """A TypedDict whose keys may be absent."""

    name: str
    at: list[Point]


def dtype_of(annotation: object) -> pl.DataType:
    """Give the Polars type of one field."""
    model = pydantic.create_model("Answer", value=(annotation, ...))
    return response_schema(model).dtype.fields[0].dtype


def test_the_schema_that_is_sent_is_in_the_strict_dialect() -> None:
    """All properties are required, objects are closed, defaults and titles are gone, words stay."""
    assert response_format(response_schema(Label)) == {
        "type": "json_schema",
        "json_schema": {
            "name": "Label",
            "strict": True,
            "schema": {
                "description": "What a review says.",
                "type": "object",
                "properties": {
                    "sentiment": {
                        "description": "The overall verdict.",
                        "type": "string",
                        "enum": ["positive", "negative"],
                    },
                    "score": {"type": "number", "minimum": 0, "maximum": 1},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
                "required": ["sentiment", "score", "note"],
                "additionalProperties": False,
            },
        },
    }


def test_definitions_stay_unless_a_field_has_words_of_its_own() -> None:
    """Nothing may stand beside `$ref`, so a described reference is written out; the rest is shared."""

    class Order(BaseModel):
        lines: list[Line]
        first: Line
        tone: Tone = Field(description="Of the letter.")

    line = {
        "description": "One line of an order.",
        "type": "object",
        "properties": {
            "SKU": {"type": "string", "pattern": "^[A-Z]+$"},
            "price": {"type": "number", "minimum": 0.0},
        },
        "required": ["SKU", "price"],
        "additionalProperties": False,
    }
    assert response_schema(Order).schema == {
        "type": "object",
        "properties": {
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            "first": {"$ref": "#/$defs/Line"},
            "tone": {"description": "Of the letter.", "type": "string", "enum": ["warm", "cold"]},
        },
        "required": ["lines", "first", "tone"],
        "additionalProperties": False,
        "$defs": {"Line": line},
    }


def test_a_property_called_like_a_keyword_is_a_property() -> None:
    """Only keywords are dropped, never fields that share their names."""

    class Book(BaseModel):
        title: str
        default: int
        description: str

    schema = response_schema(Book).schema
    assert list(schema["properties"]) == ["title", "default", "description"]


def test_a_pattern_that_looks_around_is_checked_here_only() -> None:
    """Strict mode refuses look-arounds; the answer is still held to them."""

    class Word(BaseModel):
        model_config = ConfigDict(regex_engine="python-re")
        text: str = Field(pattern=r"^(?!bad)\w+$")

    schema = response_schema(Word)
    assert schema.schema["properties"]["text"] == {"type": "string"}
    again = ResponseSchema.from_json(schema.to_json())
    for reader in (schema, again):
        errors = parse(['{"text":"good"}', '{"text":"bad"}'], reader).errors
        assert [error is None for error in errors] == [True, False]


def test_times_without_an_offset_are_asked_for_without_one() -> None:
    """The formats `time` and `date-time` demand an offset, which these types refuse."""

    class When(BaseModel):
        clock: dt.time
        naive: pydantic.NaiveDatetime
        moment: dt.datetime

    properties = response_schema(When).schema["properties"]
    check = Draft202012Validator(properties["naive"])
    assert check.is_valid("2024-02-29T23:59:59")
    assert not check.is_valid("2024-02-29T23:59:59Z")
    assert Draft202012Validator(properties["clock"]).is_valid("23:59:59")
    assert not Draft202012Validator(properties["clock"]).is_valid("24:00:00")
    assert properties["moment"] == {"type": "string", "format": "date-time"}


@pytest.mark.parametrize(
    ("annotation", "dtype"),
    [
        (str, pl.String()),
        (UUID, pl.String()),
        (pydantic.HttpUrl, pl.String()),
        (ipaddress.IPv4Address, pl.String()),
        (Path, pl.String()),
        (Literal["b", "a"], pl.Enum(["b", "a"])),
        (Literal["a", None], pl.Enum(["a"])),  # noqa: PYI061 - the spelling under test
        (Tone, pl.Enum(["warm", "cold"])),
        (Tone | Literal["new"], pl.Enum(["warm", "cold", "new"])),
        (Tone | str, pl.String()),
        (int, pl.Int64()),
        (Stars, pl.Int64()),
        (Literal[1, 2], pl.Int64()),
        (float, pl.Float64()),
        (int | float, pl.Float64()),
        (bool, pl.Boolean()),
        (Literal[True], pl.Boolean()),
        (int | None, pl.Int64()),
        (Decimal, pl.Decimal(38, 18)),
        (Annotated[Decimal, Field(decimal_places=2)], pl.Decimal(38, 2)),
        (dt.date, pl.Date()),
        (dt.time, pl.Time()),
        (dt.timedelta, pl.Duration("us")),
        (dt.datetime, pl.Datetime("us", "UTC")),
        (pydantic.AwareDatetime, pl.Datetime("us", "UTC")),
        (pydantic.NaiveDatetime, pl.Datetime("us")),
        (list[int], pl.List(pl.Int64())),
        (set[str], pl.List(pl.String())),
        (tuple[int, ...], pl.List(pl.Int64())),
        (tuple[float, float], pl.List(pl.Float64())),
        (list[int] | list[float], pl.List(pl.Float64())),
        (RootModel[list[int]], pl.List(pl.Int64())),
        (Line, pl.Struct({"sku": pl.String(), "price": pl.Decimal(38, 2)})),
        (
            Cat | Dog,
            pl.Struct(
                {
                    "kind": pl.Enum(["cat", "dog"]),
                    "lives": pl.Int64(),
                    "weight": pl.Float64(),
                }
            ),
        ),
    ],
    ids=str,
)
def test_a_field_becomes_the_column_type_of_the_table(
    annotation: object, dtype: pl.DataType
) -> None:
    """The table in `dtypes`, line by line, and each line survives Parquet."""
    found = dtype_of(annotation)
    assert found == dtype
    file = BytesIO()
    pl.DataFrame({"x": pl.Series([None], dtype=pl.Struct({"v": found}))}).write_parquet(file)
    file.seek(0)
    assert pl.read_parquet(file).schema["x"] == pl.Struct({"v": found})


def test_dataclasses_and_typed_dicts_are_models_too() -> None:
    """Whatever pydantic describes as an object with fields will do."""

    schema = response_schema(Named)
    answers = parse(['{"name":"a","at":[{"x":1}]}', '{"at":[]}'], schema)
    assert answers.errors == [None, None]
    assert answers.values.to_list() == [
        {"name": "a", "at": [{"x": 1, "y": 0}]},
        {"name": None, "at": []},
    ]
    assert response_schema(Point).name == "Point"


def test_a_generic_model_is_sent_under_a_name_the_provider_accepts() -> None:
    """Names on the wire hold letters, digits, `_` and `-` only, 64 at most."""
    model = pydantic.create_model("Box[int] " + "x" * 99, value=(int, ...))
    assert response_schema(model).name == "Box_int__" + "x" * 55


def test_a_job_is_read_in_a_process_without_the_class(tmp_path: Path) -> None:
    """`from_json` needs nothing but the JSON, in a new process too."""
    saved = tmp_path / "schema.json"
    schema = response_schema(Label)
    saved.write_text(json.dumps(schema.to_json()))
    program = """
        import json, sys
        from batchframe.frame.parse import parse
        from batchframe.frame.schema import ResponseSchema
        schema = ResponseSchema.from_json(json.load(open(sys.argv[1])))
        texts = ['{"sentiment":"positive","score":1}', '{"sentiment":"positive","score":2}']
        parsed = parse(texts, schema)
        print(parsed.values.to_list(), parsed.errors[1].message)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(saved)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == (
        "[{'sentiment': 'positive', 'score': 1.0, 'note': None}, None] "
        "score: Input should be less than or equal to 1\n"
    )


def test_the_round_trip_through_json_keeps_everything() -> None:
    """What comes back is equal and asks for the same bytes."""
    schema = response_schema(Label)
    again = ResponseSchema.from_json(json.loads(json.dumps(schema.to_json())))
    assert again == schema
    assert json.dumps(response_format(again)) == json.dumps(response_format(schema))


def test_with_the_class_at_hand_its_own_validators_run() -> None:
    """Rules in code are not in the JSON; giving the class brings them back."""

    class Even(BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def even(cls, n: int) -> int:
            """Refuse odd numbers."""
            if n % 2:
                msg = "must be even"
                raise ValueError(msg)
            return n

    saved = response_schema(Even).to_json()
    assert parse(['{"n":3}'], ResponseSchema.from_json(saved)).errors == [None]
    (error,) = parse(['{"n":3}'], ResponseSchema.from_json(saved, Even)).errors
    assert str(error) == "invalid_response: n: Value error, must be even"


def test_another_class_than_the_jobs_is_refused() -> None:
    """A model that changed since cannot read the old answers as if it had asked for them."""
    saved = response_schema(Label).to_json()
    with pytest.raises(ResponseModelError) as raised:
        ResponseSchema.from_json(saved, Line)
    assert str(raised.value) == (
        "response_model Line is not the model this job was submitted with (Label): the fields or "
        "their rules differ. Leave response_model out to read the answers as they were asked for."
    )


def test_json_of_a_newer_batchframe_is_refused_with_the_line_to_type() -> None:
    """An old reader must not guess at a new form."""
    with pytest.raises(LedgerVersionError) as raised:
        ResponseSchema.from_json({**response_schema(Label).to_json(), "version": 2})
    assert str(raised.value) == (
        "This job's response model was saved by a newer batchframe (form 2; this one reads up to "
        "1). Type: pip install --upgrade batchframe"
    )


def test_a_field_that_no_caller_may_give_is_not_asked_for() -> None:
    """pydantic would refuse every answer that follows such a schema."""

    @dataclasses.dataclass
    class Counted:
        a: int
        made: int = dataclasses.field(init=False, default=1)

    assert list(response_schema(Counted).schema["properties"]) == ["a"]


def test_a_field_left_out_of_the_schema_is_no_column() -> None:
    """`SkipJsonSchema` hides a field; the others keep their names."""

    class Partly(BaseModel):
        hidden: SkipJsonSchema[int] = 0
        shown: str = Field(alias="Shown")

    schema = response_schema(Partly)
    assert list(schema.schema["properties"]) == ["Shown"]
    assert parse(['{"Shown":"a"}'], schema).values.to_list() == [{"shown": "a"}]


def test_a_model_that_goes_by_field_names_is_asked_by_field_names() -> None:
    """With `validate_by_alias=False` pydantic reads no alias, so none is sent."""

    class Named(BaseModel):
        model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)
        x: int = Field(alias="X")

    schema = response_schema(Named)
    (key,) = schema.schema["properties"]
    for reader in (schema, ResponseSchema.from_json(schema.to_json())):
        assert parse([f'{{"{key}":1}}'], reader).values.to_list() == [{"x": 1}]
