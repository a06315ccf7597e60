"""A contract becomes one Polars struct type, or an error that names the field no column can hold.

| in the model | in the column |
|---|---|
| `str`, UUID, URL, IP address, path | String |
| `Literal[...]` of strings, Enum of strings | `pl.Enum` of exactly these, in order: a closed set |
| `int`, int Literal, IntEnum | Int64 |
| `float`, `int | float`, Enum of floats | Float64 |
| `bool` | Boolean |
| `Decimal` | `Decimal(38, places)`; 18 places when the model names none |
| `date`, `time`, `timedelta` | Date, Time (wall clock, an offset is dropped), Duration("us") |
| `datetime`, `AwareDatetime` | Datetime("us", "UTC"); a time without an offset counts as UTC |
| `NaiveDatetime` | Datetime("us") |
| list, set (sorted), tuple of one type | List |
| model, dataclass, TypedDict | Struct, by field name |
| union of models | one Struct with the fields of all; a field that a member lacks is null |
| `X | None` | as `X`, null |

What a column cannot hold is refused: recursive models, `Any`, `int | str`, tuples of several types,
and `dict`, whose free keys strict mode cannot express either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from batchframe.errors import ResponseModelError
from batchframe.frame.contract import field_names, note, target
from batchframe.model import Json

DECIMAL_DIGITS = 38
"""Most significant digits of a Polars Decimal."""

DECIMAL_PLACES = 18
"""Places of a Decimal without `decimal_places`: room for every digit a float can print."""

_LEAVES: dict[str, pl.DataType] = {
    "bool": pl.Boolean(),
    "date": pl.Date(),
    "float": pl.Float64(),
    "int": pl.Int64(),
    "multi-host-url": pl.String(),
    "str": pl.String(),
    "time": pl.Time(),
    "timedelta": pl.Duration("us"),
    "url": pl.String(),
    "uuid": pl.String(),
}

_TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
}

TEXT_FORMATS = frozenset(
    [
        "ipv4",
        "ipv6",
        "ipvanyaddress",
        "ipv4network",
        "ipv6network",
        "ipvanynetwork",
        "ipv4interface",
        "ipv6interface",
        "ipvanyinterface",
        "path",
        "email",
        "uuid",
        "uri",
        "date-time",
        "date",
        "time",
        "duration",
    ]
)
"""String formats of types that pydantic builds from text and that are text again in the column."""

_NAMED_TUPLE = ("a NamedTuple", "Write a model with a field for each place.")

_REFUSED: dict[str, tuple[str, str]] = {
    "any": ("anything at all (Any or object)", "Write the type you expect, such as str."),
    "bytes": ("bytes", "Write str."),
    "call": _NAMED_TUPLE,
    "callable": ("a callable", "Write a type that JSON has."),
    "complex": ("a complex number", "Write two float fields."),
    "dict": (
        "a dict with free keys",
        "Write a list of a small model with a `key: str` and a `value` field.",
    ),
    "generator": ("an Iterable", "Write a list."),
    "json": ("JSON inside a string", "Write the inner type itself."),
    "named-tuple": _NAMED_TUPLE,
    "null": ("always null", "Write the type it has when it is there, such as `str | None`."),
    "unsupported": ("a type that has no JSON schema", "Write a type that JSON has."),
}


def struct_type(contract: Json, model: str) -> pl.Struct:
    """Find the Polars type of a whole answer.

    Args:
        contract: What `contract_of` gave.
        model: The model's name, for messages.

    Returns:
        A struct with one field for each field of the model, by field name.

    Raises:
        ResponseModelError: A field cannot be held; the message holds its path and what to write.
    """
    found = _Walk(contract, model).node(contract, "", ())
    if not isinstance(found, pl.Struct):
        raise ResponseModelError(
            f"response_model {model} is not an object but {found}. Write a model with a field: "
            "class Answer(pydantic.BaseModel): value: ..."
        )
    return found


class _Walk:
    """One way down a contract; `path` is where we are, `above` which definitions we are inside of."""

    def __init__(self, contract: Json, model: str) -> None:
        self.root = contract
        self.model = model

    def refuse(self, path: str, what: str, write: str) -> ResponseModelError:
        where = f"response_model {self.model}: `{path}`" if path else f"response_model {self.model}"
        return ResponseModelError(f"{where} is {what}, which a Polars column cannot hold. {write}")

    def node(self, node: Json, path: str, above: tuple[str, ...]) -> pl.DataType:
        referred = target(node, self.root)
        if referred is not None:
            name, found = referred
            if name in above:
                raise self.refuse(
                    path,
                    "a model inside itself",
                    "Write out as many levels as you need, or a list of items that name their parent.",
                )
            return self.node(found, path, (*above, name))
        return self.plain(node, path, above)

    def plain(self, node: Json, path: str, above: tuple[str, ...]) -> pl.DataType:
        if note(node).get("kind") == "decimal":
            return pl.Decimal(DECIMAL_DIGITS, self.places(node, path))
        if "anyOf" in node or "oneOf" in node:
            return self.union(node.get("anyOf") or node["oneOf"], path, above)
        if "enum" in node or "const" in node:
            return self.closed([node["const"]] if "const" in node else node["enum"], path)
        if "properties" in node or node.get("type") == "object":
            return self.struct(node, path, above)
        if node.get("type") == "array" and note(node).get("kind") not in _REFUSED:
            return self.array(node, path, above)
        return self.leaf(node, path)

    def leaf(self, node: Json, path: str) -> pl.DataType:
        facts = note(node)
        kind, written = facts.get("kind"), str(node.get("type", "any"))
        if kind == "datetime":
            return pl.Datetime("us", None if facts.get("tz_constraint") == "naive" else "UTC")
        if node.get("format") == "password":
            raise self.refuse(path, "a secret", "Write str: what a model answers is no secret.")
        if kind in _LEAVES:
            return _LEAVES[kind]
        if kind is None and written == "string" and node.get("format", "email") not in TEXT_FORMATS:
            shown = f"a string of format {node['format']!r}"
            raise self.refuse(path, shown, "Write str and convert it afterwards.")
        if kind is None and written in _TYPES:
            return _TYPES[written]
        what, write = _REFUSED.get(kind or written, _REFUSED["unsupported"])
        raise self.refuse(path, facts.get("what", what), facts.get("write", write))

    def places(self, node: Json, path: str) -> int:
        places: int = note(node).get("decimal_places", DECIMAL_PLACES)
        if places > DECIMAL_DIGITS:
            raise self.refuse(
                path,
                f"a Decimal with {places} places",
                f"Write decimal_places={DECIMAL_DIGITS} or fewer.",
            )
        return places

    def closed(self, values: Sequence[Any], path: str) -> pl.DataType:
        kinds = {type(value) for value in values if value is not None}
        if kinds == {str}:
            return pl.Enum([value for value in dict.fromkeys(values) if value is not None])
        if kinds == {bool}:
            return pl.Boolean()
        if kinds == {int}:
            return pl.Int64()
        if kinds and kinds <= {int, float}:
            return pl.Float64()
        if not kinds:
            raise self.refuse(path, *_REFUSED["null"])
        raise self.refuse(
            path, "a closed set of values of several types", "Write values of one type."
        )

    def struct(self, node: Json, path: str, above: tuple[str, ...]) -> pl.DataType:
        kind = note(node).get("kind")
        if kind in _REFUSED or not isinstance(node.get("additionalProperties", False), bool):
            raise self.refuse(path, *_REFUSED["dict" if kind not in _REFUSED else kind])
        if not node.get("properties"):
            raise self.refuse(path, "a model without fields", "Write at least one field.")
        names = field_names(node)
        return pl.Struct(
            [
                pl.Field(names[key], self.node(below, _under(path, names[key]), above))
                for key, below in node["properties"].items()
            ]
        )

    def array(self, node: Json, path: str, above: tuple[str, ...]) -> pl.DataType:
        items = f"{path}[]"
        if "prefixItems" not in node:
            return pl.List(self.node(node.get("items", {}), items, above))
        members = node["prefixItems"]
        found = [self.node(member, items, above) for member in members]
        if any(other != found[0] for other in found):
            raise self.refuse(
                path, "a tuple of several types", "Write a model with a field for each place."
            )
        return pl.List(found[0])

    def union(self, members: Sequence[Json], path: str, above: tuple[str, ...]) -> pl.DataType:
        found = [
            self.node(member, path, above) for member in members if member.get("type") != "null"
        ]
        if not found:
            raise self.refuse(path, *_REFUSED["null"])
        merged = found[0]
        for other in found[1:]:
            merged = self.merge(merged, other, path)
        return merged

    def merge(self, one: pl.DataType, other: pl.DataType, path: str) -> pl.DataType:
        """Find the one type that holds both, without losing what either says."""
        if one == other:
            return one
        if isinstance(one, pl.Struct) and isinstance(other, pl.Struct):
            fields = {field.name: _made(field.dtype) for field in one.fields}
            for field in other.fields:
                below = _made(field.dtype)
                held = fields.get(field.name)
                fields[field.name] = (
                    below if held is None else self.merge(held, below, _under(path, field.name))
                )
            return pl.Struct(fields)
        if isinstance(one, pl.List) and isinstance(other, pl.List):
            return pl.List(self.merge(_made(one.inner), _made(other.inner), f"{path}[]"))
        if isinstance(one, pl.Enum) and isinstance(other, pl.Enum):
            return pl.Enum(list(dict.fromkeys([*one.categories, *other.categories])))
        pair = {type(one), type(other)}
        if pair == {pl.Int64, pl.Float64}:
            return pl.Float64()
        if pair == {pl.String, pl.Enum}:
            return pl.String()
        raise self.refuse(
            path,
            f"sometimes {_say(one)} and sometimes {_say(other)}",
            "Write one type, or a field for each.",
        )


_WORDS: dict[type[pl.DataType], str] = {
    pl.Boolean: "a bool",
    pl.Date: "a date",
    pl.Datetime: "a datetime",
    pl.Decimal: "a Decimal",
    pl.Duration: "a timedelta",
    pl.Enum: "one of a closed set of strings",
    pl.Float64: "a float",
    pl.Int64: "an int",
    pl.List: "a list",
    pl.String: "a str",
    pl.Struct: "a model",
    pl.Time: "a time",
}


def _say(dtype: pl.DataType) -> str:
    return _WORDS[type(dtype)]


def _made(dtype: Any) -> pl.DataType:
    """Give a type as an instance: Polars lets a class stand for one."""
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
