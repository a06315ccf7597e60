"""Whatever model the supported types make up: valid schema, faithful values, the same judge after a round trip."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, IntEnum
from io import BytesIO
from typing import Annotated, Any, Literal
from uuid import UUID

import polars as pl
import pydantic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from batchframe.frame.parse import parse
from batchframe.frame.schema import ResponseSchema, response_schema

quick = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Tone(Enum):
    """A closed set of strings."""

    WARM = "warm"
    COLD = "cold"


class Stars(IntEnum):
    """A closed set of integers."""

    ONE = 1
    TWO = 2


class Cat(BaseModel):
    """One member of a union."""

    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    """The other."""

    kind: Literal["dog"]
    weight: float
    lives: int


Int = st.integers(-(2**53), 2**53)
Float = st.floats(allow_nan=False, allow_infinity=False)
Moment = st.datetimes(
    dt.datetime.fromisoformat("0001-01-02"), dt.datetime.fromisoformat("9999-12-30")
)

LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text()),
    (Annotated[str, Field(min_length=1, max_length=3)], st.text(min_size=1, max_size=3)),
    (Annotated[str, Field(pattern="^[a-c]+$")], st.text("abc", min_size=1)),
    (int, st.integers(-(2**63), 2**63 - 1)),
    (Annotated[int, Field(ge=0, lt=10, multiple_of=2)], st.sampled_from([0, 2, 8])),
    (float, Float),
    (Annotated[float, Field(gt=0, le=1)], st.floats(0, 1, exclude_min=True)),
    (int | float, Int | Float),
    (bool, st.booleans()),
    (Literal["x", "y"], st.sampled_from(["x", "y"])),
    (Literal[3, 4], st.sampled_from([3, 4])),
    (Tone, st.sampled_from(Tone)),
    (Stars, st.sampled_from(Stars)),
    (
        Annotated[Decimal, Field(decimal_places=2, ge=-9999, le=9999)],
        st.decimals(-9999, 9999, places=2),
    ),
    (dt.date, st.dates()),
    (dt.datetime, Moment.map(lambda moment: moment.replace(tzinfo=dt.UTC))),
    (pydantic.AwareDatetime, Moment.map(lambda moment: moment.replace(tzinfo=dt.UTC))),
    (pydantic.NaiveDatetime, Moment.map(lambda moment: moment.replace(microsecond=0))),
    (dt.time, st.times().map(lambda time: time.replace(microsecond=0))),
    (dt.timedelta, st.timedeltas(dt.timedelta(-9999), dt.timedelta(9999))),
    (UUID, st.uuids()),
    (Cat | Dog, st.builds(Cat, lives=Int) | st.builds(Dog, weight=Float, lives=Int)),
    (
        Annotated[Cat | Dog, Field(discriminator="kind")],
        st.builds(Cat, lives=Int) | st.builds(Dog, weight=Float, lives=Int),
    ),
]

numbers = itertools.count()
JSONS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@st.composite
def fields(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """Draw a field's annotation and what values it may have."""
    shape = draw(st.sampled_from(["leaf", "leaf", "optional", "list", "tuple", "set", "model"]))
    if shape == "leaf" or depth == 0:
        return draw(st.sampled_from(LEAVES))
    if shape == "set":
        return set[int], st.sets(Int, max_size=3)
    if shape == "model":
        return draw(models(depth - 1))
    inner, values = draw(fields(depth - 1))
    if shape == "optional":
        return inner | None, st.none() | values
    if shape == "tuple":
        return tuple[inner, inner], st.tuples(values, values)
    return (
        Annotated[list[inner], Field(max_length=3)],  # type: ignore[valid-type] - made at run time
        st.lists(values, max_size=3),
    )


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """Draw a model and its instances; some fields have another name on the wire."""
    drawn = draw(st.lists(fields(depth), min_size=1, max_size=4))
    aliased = draw(st.lists(st.booleans(), min_size=len(drawn), max_size=len(drawn)))
    made: dict[str, Any] = {}
    values: dict[str, st.SearchStrategy[Any]] = {}
    for number, ((annotation, strategy), alias) in enumerate(zip(drawn, aliased, strict=True)):
        wire = Field(alias=f"wire {number}") if alias else Field()
        made[f"f{number}"] = (annotation, wire)
        values[f"f{number}"] = strategy
    config = pydantic.ConfigDict(validate_by_name=True, validate_by_alias=True)
    model = pydantic.create_model(f"M{next(numbers)}", __config__=config, **made)
    return model, st.fixed_dictionaries(values).map(lambda given: model(**given))


def plain(value: Any, dtype: Any) -> Any:
    """Give what the column shows for a value of an instance."""
    if value is None:
        return None
    if isinstance(dtype, pl.Struct):
        given = value.__dict__
        return {field.name: plain(given.get(field.name), field.dtype) for field in dtype.fields}
    if isinstance(dtype, pl.List):
        ordered = sorted(value) if isinstance(value, set) else value
        return [plain(one, dtype.inner) for one in ordered]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value


def wire(value: Any) -> Any:
    """Write an instance as a model would that follows the schema: by alias, decimals as numbers."""
    if isinstance(value, BaseModel):
        described = type(value).model_fields
        return {described[name].alias or name: wire(one) for name, one in value.__dict__.items()}
    if isinstance(value, (list, tuple, set)):
        return [wire(one) for one in value]
    return float(value) if isinstance(value, Decimal) else to_jsonable_python(value)


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Give every schema inside a schema that is sent."""
    yield schema
    below = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    below += schema.get("anyOf", []) + ([schema["items"]] if "items" in schema else [])
    for one in below:
        yield from nodes(one)


@quick
@given(st.data())
def test_the_schema_is_valid_strict_and_met_by_every_instance(data: st.DataObject) -> None:
    """Valid JSON schema, nothing strict mode refuses, and not narrower than the model."""
    model, values = data.draw(models())
    schema = response_schema(model).schema
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(wire(data.draw(values)))
    for node in nodes(schema):
        assert not {"default", "title", "oneOf", "allOf", "const", "minLength"} & set(node)
        assert "$ref" not in node or list(node) == ["$ref"]
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])


@quick
@given(st.data())
def test_an_instance_comes_back_as_it_was(data: st.DataObject) -> None:
    """From JSON to the struct, and through Parquet, for the class and for the rebuilt model."""
    model, values = data.draw(models())
    instances = data.draw(st.lists(st.none() | values, max_size=4))
    schema = response_schema(model)
    again = ResponseSchema.from_json(json.loads(json.dumps(schema.to_json())))
    texts = [None if one is None else json.dumps(wire(one)) for one in instances]
    expected = [plain(one, schema.dtype) for one in instances]
    for reader in (schema, again):
        parsed = parse(texts, reader)
        assert parsed.errors == [None] * len(texts)
        assert parsed.values.dtype == schema.dtype
        assert parsed.values.to_list() == expected
    file = BytesIO()
    parsed.values.to_frame().write_parquet(file)
    file.seek(0)
    read = pl.read_parquet(file).to_series()
    assert read.dtype == schema.dtype
    assert read.to_list() == expected


def damaged(draw: st.DrawFn, value: Any) -> Any:
    """Change something in a JSON value: replace, drop or add, here or further down."""
    if not isinstance(value, (dict, list)) or not value or draw(st.integers(0, 4)) == 0:
        return draw(JSONS | st.lists(JSONS, max_size=2))
    if isinstance(value, list):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], damaged(draw, value[place]), *value[place + 1 :]]
    key = draw(st.sampled_from(sorted(value)))
    how = draw(st.sampled_from(["damage", "damage", "drop", "add"]))
    if how == "drop":
        return {name: one for name, one in value.items() if name != key}
    if how == "add":
        return {**value, draw(st.sampled_from(["f0", "f1", "kind", "new"])): draw(JSONS)}
    return {**value, key: damaged(draw, value[key])}


@quick
@given(st.data())
def test_the_rebuilt_model_accepts_and_rejects_the_same_texts(data: st.DataObject) -> None:
    """Sound or damaged, the judgement and the value are those of the user's class."""
    model, values = data.draw(models())
    schema = response_schema(model)
    again = ResponseSchema.from_json(json.loads(json.dumps(schema.to_json())))
    sound = [wire(one) for one in data.draw(st.lists(values, min_size=1, max_size=3))]
    draw = data.draw
    texts = [json.dumps(damaged(draw, one)) for one in sound for _ in range(3)]
    here, there = parse(texts, schema), parse(texts, again)
    assert [error is None for error in there.errors] == [error is None for error in here.errors]
    assert there.values.equals(here.values, null_equal=True)


@quick
@given(st.lists(st.none() | st.text() | JSONS.map(json.dumps), max_size=6))
def test_no_text_raises(texts: list[str | None]) -> None:
    """Each row gets a value or an error, never both, and nothing for nothing."""
    schema = response_schema(Dog)
    parsed = parse(texts, schema)
    there = parsed.values.is_not_null().to_list()
    for text, value, error in zip(texts, there, parsed.errors, strict=True):
        assert (value, error is not None) == (False, text is not None)
