"""`response_model=`: a pydantic model becomes the schema in the request and a typed struct in the result."""

from __future__ import annotations

import dataclasses
import re
import typing
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import typing_extensions
from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticUndefinedAnnotation,
    PydanticUserError,
)
from pydantic_core import SchemaError

from batchframe.errors import LedgerVersionError, ResponseModelError
from batchframe.frame.contract import contract_of
from batchframe.frame.dtypes import struct_type
from batchframe.frame.rebuild import rebuilt_model
from batchframe.frame.strict import strict_schema
from batchframe.model import Json

VERSION = 1
"""Of the JSON that `to_json` writes."""

_NO_SCHEMA = (
    PydanticUserError,
    PydanticInvalidForJsonSchema,
    PydanticUndefinedAnnotation,
    SchemaError,
)
"""What pydantic raises for a class it cannot describe."""

_EXAMPLE = "class Answer(pydantic.BaseModel): {}"


@dataclass(frozen=True, slots=True)
class ResponseSchema:
    """What a job asks of every answer: the schema it sends and the column the answers become.

    `schema` is JSON schema in OpenAI's strict dialect, `dtype` the struct type of the column,
    `contract` the full rules as plain JSON, `validator` what checks a text (it has `validate_json`).
    Two are equal when they ask the same, whoever validates.
    """

    name: str
    schema: Json
    dtype: pl.Struct
    contract: Json = field(repr=False)
    validator: Any = field(repr=False, compare=False)

    @classmethod
    def from_model(cls, model: Any) -> ResponseSchema:
        """Read a pydantic model, dataclass or TypedDict; its own validators will run.

        Args:
            model: The class.

        Raises:
            ResponseModelError: It is no such class, or a field has no schema or no Polars type.
        """
        name = _checked_name(model)
        try:
            adapter = TypeAdapter[Any](model)
            contract = contract_of(adapter)
        except _NO_SCHEMA as error:
            raise _undescribed(name, error) from error
        dtype = struct_type(contract, name)
        try:
            made = cls(name, strict_schema(contract), dtype, contract, adapter.validator)
            # Proven now, before anything is paid: another process must be able to read the answers.
            cls.from_json(made.to_json())
        except Exception as error:
            raise _undescribed(name, error) from error
        return made

    def to_json(self) -> Json:
        """Give plain JSON from which any process can rebuild this."""
        return {
            "version": VERSION,
            "name": self.name,
            "schema": self.schema,
            "contract": self.contract,
        }

    @classmethod
    def from_json(cls, data: Json, model: Any = None) -> ResponseSchema:
        """Rebuild from what `to_json` gave.

        Args:
            data: The JSON.
            model: The user's class, where it is at hand, so that its own validators run.

        Raises:
            LedgerVersionError: A newer batchframe wrote it.
            ResponseModelError: `model` asks for something else than the JSON.
        """
        if data["version"] > VERSION:
            raise LedgerVersionError(
                f"This job's response model was saved by a newer batchframe (form {data['version']}; "
                f"this one reads up to {VERSION}). Type: pip install --upgrade batchframe"
            )
        name, contract = data["name"], data["contract"]
        if model is not None:
            made = cls.from_model(model)
            if made.contract != contract:
                raise ResponseModelError(
                    f"response_model {made.name} is not the model this job was submitted with "
                    f"({name}): the fields or their rules differ. Leave response_model out to read "
                    "the answers as they were asked for."
                )
            return made
        validator = TypeAdapter(rebuilt_model(contract, name)).validator
        return cls(name, data["schema"], struct_type(contract, name), contract, validator)


def response_schema(model: Any) -> ResponseSchema:
    """Turn a `response_model` into the schema to send and the type to expect.

    Args:
        model: A pydantic model class; a dataclass or a TypedDict will do too.

    Raises:
        ResponseModelError: It is no such class, or a field has no schema or no Polars type.
    """
    return ResponseSchema.from_model(model)


def response_format(schema: ResponseSchema) -> Json:
    """Give the OpenAI body parameter `response_format` for a schema."""
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.name, "strict": True, "schema": schema.schema},
    }


def _undescribed(name: str, error: Exception) -> ResponseModelError:
    """Say in our words why pydantic cannot describe a class."""
    if getattr(error, "code", "") in ("class-not-fully-defined", "undefined-annotation"):
        return ResponseModelError(
            f"response_model {name} names a type that is not defined. Define that type before this "
            "call, at the top level of the module or notebook."
        )
    return ResponseModelError(
        f"response_model {name} has no JSON schema: {str(error).splitlines()[0]}"
    )


def _checked_name(model: Any) -> str:
    """Give the name a model is sent by, or refuse what is no model."""
    if isinstance(model, BaseModel) or (
        dataclasses.is_dataclass(model) and not isinstance(model, type)
    ):
        name = type(model).__name__
        raise ResponseModelError(
            f"response_model is an instance of {name}. Write the class: response_model={name}"
        )
    if isinstance(model, type) and typing.get_origin(model) is None:
        described = (
            (issubclass(model, BaseModel) and not issubclass(model, RootModel))
            or dataclasses.is_dataclass(model)
            or typing_extensions.is_typeddict(model)
        )
        if described:
            return re.sub(r"[^A-Za-z0-9_-]", "_", model.__name__)[:64]
    shown, wanted = _shown(model)
    raise ResponseModelError(
        f"response_model is {shown}, not a pydantic model. "
        f"Write `{_EXAMPLE.format(wanted)}` and response_model=Answer"
    )


def _shown(model: Any) -> tuple[str, str]:
    """Say what was given in place of a model, and the field that would hold it; values stay unsaid."""
    if model is None:
        return "None", "value: str"
    if isinstance(model, type) and issubclass(model, RootModel):
        return f"the root model {model.__name__}", "items: list[str]"
    if typing.get_origin(model) is not None:
        short = re.sub(r"(?:[\w<>]+\.)+", "", str(model))  # without the modules in front of names
        return f"the type {short}", f"value: {short}"
    if isinstance(model, type):
        return f"the type {model.__name__}", f"value: {model.__name__}"
    return f"an instance of {type(model).__name__}", "value: str"
