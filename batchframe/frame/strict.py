"""A contract becomes the JSON schema that is sent: the part of JSON Schema that strict mode accepts.

Every object is closed and requires all its properties; defaults, titles and whatever strict mode does
not know is left out, descriptions stay because they help the model. The full contract is still
checked when the answer comes back, so what is left out here is not lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from batchframe.frame.contract import note, target
from batchframe.model import Json

# Keywords and formats: OpenAI, "Structured model outputs", section "Supported schemas", as of 2025-11.
_KEYWORDS = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "pattern",
    "minItems",
    "maxItems",
]
_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)

_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")
"""Strict mode's regular expressions are automata: an expression with these is checked here only."""

_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DAY = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"

_WORDS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def strict_schema(contract: Json) -> Json:
    """Write the schema for a request.

    Args:
        contract: What `contract_of` gave, already found to have a Polars type.

    Returns:
        A JSON schema (draft 2020-12) within OpenAI's strict dialect; `$defs` hold what is used.
    """
    used: dict[str, Json] = {}
    schema = _Writer(contract, used).node(contract)
    return {**schema, "$defs": used} if used else schema


class _Writer:
    """One way down a contract; `used` collects the definitions that are really referred to."""

    def __init__(self, contract: Json, used: dict[str, Json]) -> None:
        self.root = contract
        self.used = used

    def node(self, node: Json) -> Json:
        referred = target(node, self.root)
        if referred is None:
            body = self.body(node)
            return {"description": node["description"], **body} if "description" in node else body
        name, found = referred
        if "description" in node:
            # Strict mode allows nothing beside `$ref`, and the field's own words say more.
            return self.node({**found, "description": node["description"]})
        if name not in self.used:
            self.used[name] = {}  # reserves the place: definitions stand in order of first use
            self.used[name] = self.node(found)
        return {"$ref": node["$ref"]}

    def body(self, node: Json) -> Json:
        if note(node).get("kind") == "decimal":
            # A number can carry the bounds, which a string cannot; pydantic reads both.
            return self.plain(node["anyOf"][0])
        if "anyOf" in node or "oneOf" in node:
            return _any_of([self.node(member) for member in node.get("anyOf") or node["oneOf"]])
        if "enum" in node or "const" in node:
            return _closed([node["const"]] if "const" in node else node["enum"])
        if "properties" in node:
            properties = {key: self.node(below) for key, below in node["properties"].items()}
            return {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
        return self.plain(node)

    def plain(self, node: Json) -> Json:
        facts = note(node)
        if facts.get("kind") == "time":
            # RFC 3339's `time` asks for an offset, which a wall clock has not.
            return {"type": "string", "pattern": f"^{_CLOCK}$"}
        if facts.get("kind") == "datetime" and facts.get("tz_constraint") == "naive":
            return {"type": "string", "pattern": f"^{_DAY}T{_CLOCK}$"}
        body: Json = {"type": node["type"]}
        if node.get("format") in _FORMATS:
            body["format"] = node["format"]
        body |= {key: node[key] for key in _KEYWORDS if key in node and _expressible(node[key])}
        items = node["prefixItems"][0] if "prefixItems" in node else node.get("items")
        return body if items is None else {**body, "items": self.node(items)}


def _expressible(value: Any) -> bool:
    """Tell whether strict mode can read this bound or regular expression."""
    if isinstance(value, str):
        return not any(sign in value for sign in _LOOK_AROUND)
    return math.isfinite(value)


def _any_of(members: Sequence[Json]) -> Json:
    """Join alternatives flat, each once: strict mode has `anyOf` and no `oneOf`."""
    flat: list[Json] = []
    for member in members:
        for one in member["anyOf"] if list(member) == ["anyOf"] else [member]:
            if one not in flat:
                flat.append(one)
    return {"anyOf": flat} if len(flat) > 1 else flat[0]


def _closed(values: Sequence[Any]) -> Json:
    """Write a closed set of values, null apart from the others."""
    kinds = {type(value) for value in values if value is not None}
    word = _WORDS[kinds.pop()] if len(kinds) == 1 else "number"
    body = {"type": word, "enum": [value for value in values if value is not None]}
    return {"anyOf": [body, {"type": "null"}]} if None in values else body
