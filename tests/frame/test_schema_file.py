"""A JSON schema file is a response model: what it says is sent, checked, and typed."""

from __future__ import annotations

import json

import polars as pl
import pytest
from pydantic import ValidationError

from batchframe.errors import FileError, ResponseModelError
from batchframe.frame.schema import ResponseSchema, response_schema
from batchframe.frame.schema_file import read_schema

LABEL = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Label",
    "type": "object",
    "required": ["label"],
    "additionalProperties": False,
    "properties": {
        "label": {"type": "string", "enum": ["good", "bad"], "description": "The verdict."},
        "stars": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "maxItems": 2},
        "day": {"type": "string", "format": "date"},
        "share": {"type": "number", "exclusiveMinimum": 0},
        "code": {"type": "string", "pattern": "^[A-Z]+$", "minLength": 2},
        "fine": {"type": "boolean"},
        "host": {"type": "string", "format": "ipv4"},
    },
    "$defs": {"Tag": {"type": "object", "properties": {"name": {"type": "string"}}}},
}
FULL = {
    "label": "good",
    "stars": 4,
    "tags": [{"name": "x"}],
    "day": "2026-01-02",
    "share": 0.5,
    "code": "AB",
    "fine": True,
    "host": "10.0.0.1",
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def read(tmp_path):
    """Write a schema file and read it."""

    def reading(content, name="answer.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return read_schema(path.relative_to(tmp_path))

    return reading


def test_the_column_has_the_types_of_the_file(read):
    """Closed sets, dates, lists and nested objects are typed, as with a class."""
    assert response_schema(read(LABEL)).dtype == pl.Struct(
        {
            "label": pl.Enum(["good", "bad"]),
            "stars": pl.Int64,
            "tags": pl.List(pl.Struct({"name": pl.String})),
            "day": pl.Date,
            "share": pl.Float64,
            "code": pl.String,
            "fine": pl.Boolean,
            "host": pl.String,
        }
    )


def test_what_is_sent_says_what_the_file_says(read):
    """Name, descriptions and bounds reach the model; references are written out."""
    made = response_schema(read(LABEL))
    assert made.name == "Label"
    assert made.schema["properties"]["label"] == {
        "type": "string",
        "enum": ["good", "bad"],
        "description": "The verdict.",
    }
    assert made.schema["properties"]["stars"] == {
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, {"type": "null"}]
    }
    assert made.schema["additionalProperties"] is False


WRONG = [
    {"label": "so-so"},
    {"stars": 6},
    {"tags": [{"name": "x"}] * 3},
    {"day": "yesterday"},
    {"share": 0},
    {"code": "ab"},
    {"code": "A"},
    {"host": "example"},
    {"more": 1},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_breaks_a_rule_is_found_in_this_and_in_another_process(read, wrong):
    """Every keyword that is accepted is kept; a later process has the ledger's JSON only."""
    made = response_schema(read(LABEL))
    again = ResponseSchema.from_json(json.loads(json.dumps(made.to_json())))
    for schema in (made, again):
        schema.validator.validate_json(json.dumps(FULL))
        with pytest.raises(ValidationError):
            schema.validator.validate_json(json.dumps({**FULL, **wrong}))


def test_openais_wrapper_is_unwrapped(read):
    """People keep the schema as they send it elsewhere."""
    inner = {"type": "object", "properties": {"a": {"type": "string"}}}
    made = response_schema(read({"name": "Wrapped", "strict": True, "schema": inner}))
    assert (made.name, made.dtype) == ("Wrapped", pl.Struct({"a": pl.String}))


def test_a_schema_without_a_title_is_called_as_its_file(read):
    """The name travels with the request, so it is made of what the provider allows."""
    schema = {"properties": {"a": {"type": "string"}}}
    assert response_schema(read(schema, "my label.json")).name == "my_label"


OBJECT = '{"type": "object", "properties": {"label": {"type": "string"}}}'
SUPPORTED = (
    "Supported: $ref, additionalProperties, anyOf, const, description, enum, exclusiveMaximum, "
    "exclusiveMinimum, format, items, maxItems, maxLength, maximum, minItems, minLength, minimum, "
    "multipleOf, oneOf, pattern, properties, required, type."
)


def one(field):
    return {"properties": {"a": field}}


REFUSED = [
    ([], "answer.json is not a JSON schema: it holds no object."),
    ({"type": "array"}, f"answer.json is not the schema of an object. Write {OBJECT}."),
    (
        one({"type": "string", "not": {}}),
        f"answer.json at `a`: the keyword 'not' is not supported. {SUPPORTED}",
    ),
    (
        one({"type": "integer", "minimun": 1}),
        ("answer.json at `a`: the keyword 'minimun' is not supported. Did you mean 'minimum'? "
        f"{SUPPORTED}"),
    ),
    (one("text"), 'answer.json at `a`: expected a schema, found "text".'),
    (
        one({"$ref": "#/definitions/X"}),
        "answer.json at `a`: nothing stands at '#/definitions/X'; use '#/$defs/NAME'.",
    ),
    (
        {**one({"$ref": "#/$defs/T"}), "$defs": {"T": {"properties": {"t": {"$ref": "#/$defs/T"}}}}},
        "answer.json at `a.t`: 'T' holds itself, which a column cannot.",
    ),
    (
        one({"type": "object"}),
        ("response_model answer: `a` is a model without fields, which a Polars column cannot hold. "
        "Write at least one field."),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "message"), REFUSED)
def test_a_schema_that_could_not_be_kept_is_refused_by_its_place(read, schema, message):
    """A keyword that would be ignored is refused: a rule silently dropped is worse than none."""
    with pytest.raises(ResponseModelError) as caught:
        read(schema)
    assert str(caught.value) == message


def test_a_pattern_that_is_none_is_refused(read):
    """What pydantic says of it is passed on, without a traceback."""
    with pytest.raises(ResponseModelError, match=r"^answer\.json is not a schema that can be chec"):
        read(one({"type": "string", "pattern": "("}))


def test_a_file_that_is_no_json_is_refused_with_the_place(read, tmp_path):
    """Missing, not UTF-8, not JSON."""
    with pytest.raises(FileError) as caught:
        read('{"a":\n x}')
    assert str(caught.value) == (
        "The schema answer.json, line 2, column 2: not JSON (Expecting value)."
    )
    (tmp_path / "b.json").write_bytes(b"\xff")
    for name, said in (
        ("b.json", "is not UTF-8"),
        ("c.json", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(FileError) as caught:
            read_schema(tmp_path.joinpath(name).relative_to(tmp_path))
        assert str(caught.value) == f"The schema {name} {said}."
