"""The contract of an answer: pydantic's JSON schema of a model, annotated until nothing about it is lost.

JSON Schema alone forgets what a job must know when it is opened again without the user's class: that
a number was a Decimal, how many places it has, that strings are stripped, which field an alias stands
for. The contract keeps pydantic's schema as it is and adds such facts under one keyword, `NOTE`, on
the node they belong to. What is sent, the Polars type and the rebuilt validator all come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from batchframe.model import Json

NOTE = "x-batchframe"
"""The keyword our facts stand under: `kind` is pydantic's name of the type, the rest are `KEPT`."""

NOTED = [
    "any",
    "bool",
    "bytes",
    "call",
    "callable",
    "complex",
    "date",
    "datetime",
    "decimal",
    "dict",
    "enum",
    "float",
    "frozenset",
    "generator",
    "int",
    "json",
    "list",
    "multi-host-url",
    "named-tuple",
    "set",
    "str",
    "time",
    "timedelta",
    "tuple",
    "url",
    "uuid",
]
"""Kinds of pydantic-core schema that get a note: what JSON Schema blurs."""

KEPT = [
    "strict",
    "strip_whitespace",
    "to_lower",
    "to_upper",
    "coerce_numbers_to_str",
    "allow_inf_nan",
    "decimal_places",
    "max_digits",
    "tz_constraint",
    "now_op",
    "allowed_schemes",
    "host_required",
    "max_length",
    "version",
    "sub_type",
    "gt",
    "ge",
    "lt",
    "le",
    "multiple_of",
]
"""What decides which answers are accepted and has no exact place in JSON Schema."""

CONFIG = [
    "strict",
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
    "str_min_length",
    "str_max_length",
    "coerce_numbers_to_str",
    "allow_inf_nan",
    "regex_engine",
    "validate_by_name",
    "validate_by_alias",
    "val_temporal_unit",
]
"""The same for a model's `model_config`."""

_UNREACHABLE = {
    "kind": "unsupported",
    "what": "a field whose alias is a path (AliasPath)",
    "write": "Write a plain alias.",
}

_SHARED = {
    "kind": "unsupported",
    "what": "an alias that two fields share",
    "write": "Give each field its own.",
}


def contract_of(adapter: TypeAdapter[Any]) -> Json:
    """Describe a type so that its schema, its Polars type and its validator can be rebuilt from JSON.

    Args:
        adapter: The type, as pydantic sees it.

    Returns:
        A JSON schema (draft 2020-12) with `NOTE` annotations; plain JSON.
    """
    described: Json = adapter.json_schema(schema_generator=_Annotated, mode="validation")
    return described


def note(node: Mapping[str, Any]) -> Json:
    """Give what is noted on a node; nothing is an empty dict."""
    found: Json = node.get(NOTE, {})
    return found


def target(node: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[str, Json] | None:
    """Give the name and the node a `$ref` leads to, or None when the node is no reference."""
    ref = node.get("$ref")
    if ref is None:
        return None
    name = ref.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
    return name, root["$defs"][name]


def field_names(node: Mapping[str, Any]) -> dict[str, str]:
    """Give the field name behind each property of an object, in order."""
    fields = note(node).get("fields", {})
    return {key: fields.get(key, {}).get("name", key) for key in node.get("properties", {})}


class _Annotated(GenerateJsonSchema):
    """pydantic's generator, which also writes down what JSON Schema has no word for."""

    # A default that is no JSON, or a union member we refuse by name later, is no news to the user.
    ignored_warning_kinds: set[Any] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic declares it so

    def build_schema_type_to_method(self) -> dict[Any, Callable[[Any], Json]]:
        methods: dict[Any, Callable[[Any], Json]] = {**super().build_schema_type_to_method()}
        return methods | {
            # Not every pydantic has every kind: a NamedTuple is a `call` in older ones.
            kind: _noted(methods[kind])
            for kind in NOTED
            if kind in methods
        }

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Json:  # noqa: ARG002 - pydantic's signature
        # An error here would not say where; a marked node is refused later, by its path.
        return {NOTE: {"kind": "unsupported"}}

    def model_schema(self, schema: Any) -> Json:
        return _configured(super().model_schema(schema), schema)

    def typed_dict_schema(self, schema: Any) -> Json:
        made = _named(super().typed_dict_schema(schema), list(schema["fields"].items()))
        return _configured(made, schema)

    def dataclass_schema(self, schema: Any) -> Json:
        return _configured(super().dataclass_schema(schema), schema)

    def model_fields_schema(self, schema: Any) -> Json:
        return _named(super().model_fields_schema(schema), list(schema["fields"].items()))

    def dataclass_args_schema(self, schema: Any) -> Json:
        # A field that no caller may give (`init=False`) is none to ask a model for.
        asked = [field for field in schema["fields"] if field.get("init", True)]
        given: Any = {**schema, "fields": asked}
        made = super().dataclass_args_schema(given)
        return _named(made, [(field["name"], field) for field in asked])


def _noted(method: Callable[[Any], Json]) -> Callable[[Any], Json]:
    """Wrap the generator's method for one kind of schema so that the kind is noted."""

    def described(schema: Any) -> Json:
        kept = {key: schema[key] for key in KEPT if schema.get(key) is not None}
        return {**method(schema), NOTE: {"kind": schema["type"], **to_jsonable_python(kept)}}

    return described


def _configured(made: Json, schema: Mapping[str, Any]) -> Json:
    """Note the part of a model's configuration that decides which answers are accepted."""
    config = schema.get("config") or {}
    kept = {key: config[key] for key in CONFIG if config.get(key) is not None}
    return {**made, NOTE: {**note(made), "config": kept}} if kept else made


def _named(made: Json, fields: Iterable[tuple[str, Mapping[str, Any]]]) -> Json:
    """Note which field each property stands for, and every other key that leads to it."""
    properties: Json = dict(made.get("properties", {}))
    known: Json = {}
    for name, field in fields:
        alias = field.get("validation_alias", name)
        paths = [[alias]] if isinstance(alias, str) else alias
        if not isinstance(paths[0], list):
            paths = [paths]  # an AliasPath alone
        plain = [path[0] for path in paths if len(path) == 1]
        key = plain[0] if plain and plain[0] in properties else name
        if key not in properties:
            continue  # SkipJsonSchema: nobody is asked for it
        if key in known:
            properties[key] = {NOTE: _SHARED}
        elif not plain:
            properties[key] = {NOTE: _UNREACHABLE}
        known[key] = {"name": name, **({"paths": paths} if len(paths) > 1 else {})}
    told = {key: field for key, field in known.items() if field != {"name": key}}
    return {**made, "properties": properties, NOTE: {"fields": told}}
