"""What cannot be a column is refused before anything is sent, by its path, with what to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
import pytest
from pydantic import BaseModel, Field, RootModel

from batchframe.errors import ResponseModelError
from batchframe.frame.schema import response_schema


class Label(BaseModel):
    """A model that is fine."""

    text: str


class Numbers(RootModel[list[int]]):
    """A model without a name for its value."""


class Node(BaseModel):
    """A tree."""

    kids: list[Node]


class Empty(BaseModel):
    """A model without fields."""


class Free(BaseModel):
    """A model that takes more fields than it names."""

    model_config = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int]
    a: int


class Pair(NamedTuple):
    """A tuple with names."""

    a: int
    b: int


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int


def refusal(model: object) -> str:
    """Give the message a model is refused with."""
    with pytest.raises(ResponseModelError) as raised:
        response_schema(model)
    return str(raised.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            int,
            (
                "response_model is the type int, not a pydantic model. Write "
                "`class Answer(pydantic.BaseModel): value: int` and response_model=Answer"
            ),
        ),
        (
            list[Label],
            (
                "response_model is the type list[Label], not a pydantic model. Write "
                "`class Answer(pydantic.BaseModel): value: list[Label]` and response_model=Answer"
            ),
        ),
        (
            None,
            (
                "response_model is None, not a pydantic model. Write "
                "`class Answer(pydantic.BaseModel): value: str` and response_model=Answer"
            ),
        ),
        (
            {"type": "object"},
            (
                "response_model is an instance of dict, not a pydantic model. Write "
                "`class Answer(pydantic.BaseModel): value: str` and response_model=Answer"
            ),
        ),
        (
            Numbers,
            (
                "response_model is the root model Numbers, not a pydantic model. Write "
                "`class Answer(pydantic.BaseModel): items: list[str]` and response_model=Answer"
            ),
        ),
        (
            Label(text="secret"),
            "response_model is an instance of Label. Write the class: response_model=Label",
        ),
        (
            Point(1),
            "response_model is an instance of Point. Write the class: response_model=Point",
        ),
        (
            Empty,
            (
                "response_model Empty is a model without fields, which a Polars column cannot hold. "
                "Write at least one field."
            ),
        ),
        (
            Node,
            (
                "response_model Node: `kids[]` is a model inside itself, which a Polars column cannot "
                "hold. Write out as many levels as you need, or a list of items that name their parent."
            ),
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value)[:20],
)
def test_what_is_no_model_is_answered_with_what_to_write(model: object, message: str) -> None:
    """The message never shows a value, only types."""
    assert refusal(model) == message


_FIELDS = {
    "any": (Any, "anything at all (Any or object)", "Write the type you expect, such as str."),
    "dict": (
        dict[str, int],
        "a dict with free keys",
        "Write a list of a small model with a `key: str` and a `value` field.",
    ),
    "extra": (
        Free,
        "a dict with free keys",
        "Write a list of a small model with a `key: str` and a `value` field.",
    ),
    "int or str": (
        int | str,
        "sometimes an int and sometimes a str",
        "Write one type, or a field for each.",
    ),
    "model or int": (
        Label | int,
        "sometimes a model and sometimes an int",
        "Write one type, or a field for each.",
    ),
    "mixed tuple": (
        tuple[int, str],
        "a tuple of several types",
        "Write a model with a field for each place.",
    ),
    "named tuple": (Pair, "a NamedTuple", "Write a model with a field for each place."),
    "mixed literal": (
        Literal["a", 1],
        "a closed set of values of several types",
        "Write values of one type.",
    ),
    "null": (
        None,
        "always null",
        "Write the type it has when it is there, such as `str | None`.",
    ),
    "bytes": (bytes, "bytes", "Write str."),
    "iterable": (Iterable[int], "an Iterable", "Write a list."),
    "callable": (Callable[[], int], "a callable", "Write a type that JSON has."),
    "json": (pydantic.Json[int], "JSON inside a string", "Write the inner type itself."),
    "complex": (complex, "a complex number", "Write two float fields."),
    "secret": (
        pydantic.SecretStr,
        "a secret",
        "Write str: what a model answers is no secret.",
    ),
    "regex": (
        __import__("re").Pattern,
        "a string of format 'regex'",
        "Write str and convert it afterwards.",
    ),
    "places": (
        Annotated[Decimal, Field(decimal_places=40)],
        "a Decimal with 40 places",
        "Write decimal_places=38 or fewer.",
    ),
    "empty": (Empty, "a model without fields", "Write at least one field."),
}


@pytest.mark.parametrize("case", _FIELDS)
def test_a_field_no_column_can_hold_is_named_by_its_path(case: str) -> None:
    """From the root down: `items[].price`."""
    annotation, what, write = _FIELDS[case]
    item = pydantic.create_model("Item", price=(annotation, ...))
    order = pydantic.create_model("Order", items=(list[item], ...))  # type: ignore[valid-type] - made at run time
    assert refusal(order) == (
        f"response_model Order: `items[].price` is {what}, which a Polars column cannot hold. {write}"
    )


def test_models_of_a_union_must_agree_on_shared_fields() -> None:
    """One column holds all members, so a shared name has one type; the path leads to it."""
    one = pydantic.create_model("One", size=(int, ...))
    other = pydantic.create_model("Other", size=(str, ...))
    model = pydantic.create_model("Both", pet=(one | other, ...))
    assert refusal(model) == (
        "response_model Both: `pet.size` is sometimes an int and sometimes a str, which a Polars "
        "column cannot hold. Write one type, or a field for each."
    )


def test_a_field_reached_by_a_path_only_is_refused() -> None:
    """An answer follows the schema, and a schema cannot say `AliasPath`."""
    model = pydantic.create_model(
        "Deep", x=(int, Field(validation_alias=pydantic.AliasPath("a", 0)))
    )
    assert refusal(model) == (
        "response_model Deep: `x` is a field whose alias is a path (AliasPath), which a Polars "
        "column cannot hold. Write a plain alias."
    )


def test_two_fields_under_one_alias_are_refused() -> None:
    """One property cannot become two columns."""
    model = pydantic.create_model("Twin", x=(int, Field(alias="a")), y=(str, Field(alias="a")))
    assert refusal(model) == (
        "response_model Twin: `y` is an alias that two fields share, which a Polars column cannot "
        "hold. Give each field its own."
    )


def test_a_class_that_pydantic_cannot_finish_is_refused_in_our_words() -> None:
    """A forward reference to nowhere is the user's to repair."""

    class Late(BaseModel):
        later: Nowhere  # type: ignore[name-defined]  # noqa: F821 - a name that is nowhere is the case

    assert refusal(Late) == (
        "response_model Late names a type that is not defined. Define that type before this call, "
        "at the top level of the module or notebook."
    )


def test_a_class_that_could_not_be_rebuilt_is_refused_before_anything_is_paid() -> None:
    """A later process must be able to read the answers, so it is tried at once."""

    @dataclasses.dataclass
    class Hidden:
        _x: int

    assert refusal(Hidden) == (
        "response_model Hidden has no JSON schema: Fields must not use names with leading "
        "underscores; e.g., use 'x' instead of '_x'."
    )


@pytest.mark.parametrize("written", [{}, {"type": ["string", "null"]}, {"type": "odd"}])
def test_a_hand_written_schema_we_cannot_read_is_refused(written: dict[str, Any]) -> None:
    """`WithJsonSchema` may say anything; only what the rooms below understand is let through."""
    model = pydantic.create_model("Odd", x=(Annotated[str, pydantic.WithJsonSchema(written)], ...))
    assert refusal(model).startswith("response_model Odd: `x` is a")
