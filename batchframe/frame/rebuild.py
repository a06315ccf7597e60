"""A contract becomes a pydantic model again, in a process that never saw the user's class.

The rebuilt model accepts and rejects the same texts and gives the same values, save for what only
code can say: the user's own validators do not run.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import warnings
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal, Union
from uuid import UUID

import pydantic
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter
from pydantic.networks import UrlConstraints
from pydantic_core import MultiHostUrl

from batchframe.frame.contract import field_names, note, target
from batchframe.model import Json

_KINDS: dict[str, Any] = {
    "bool": bool,
    "date": dt.date,
    "datetime": dt.datetime,
    "decimal": Decimal,
    "float": float,
    "int": int,
    "multi-host-url": MultiHostUrl,
    "str": str,
    "time": dt.time,
    "timedelta": dt.timedelta,
    "url": pydantic.AnyUrl,
    "uuid": UUID,
}

_SPECIAL: dict[tuple[str, str, Any], Any] = {
    ("date", "now_op", "past"): pydantic.PastDate,
    ("date", "now_op", "future"): pydantic.FutureDate,
    ("datetime", "now_op", "past"): pydantic.PastDatetime,
    ("datetime", "now_op", "future"): pydantic.FutureDatetime,
    ("datetime", "tz_constraint", "aware"): pydantic.AwareDatetime,
    ("datetime", "tz_constraint", "naive"): pydantic.NaiveDatetime,
    ("uuid", "version", 1): pydantic.UUID1,
    ("uuid", "version", 3): pydantic.UUID3,
    ("uuid", "version", 4): pydantic.UUID4,
    ("uuid", "version", 5): pydantic.UUID5,
    ("uuid", "version", 6): pydantic.UUID6,
    ("uuid", "version", 7): pydantic.UUID7,
    ("uuid", "version", 8): pydantic.UUID8,
}
"""Types whose rule is in the type itself."""

_FORMATS: dict[str, Any] = {
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "ipv4network": ipaddress.IPv4Network,
    "ipv6network": ipaddress.IPv6Network,
    "ipv4interface": ipaddress.IPv4Interface,
    "ipv6interface": ipaddress.IPv6Interface,
    "ipvanyaddress": pydantic.IPvAnyAddress,
    "ipvanynetwork": pydantic.IPvAnyNetwork,
    "ipvanyinterface": pydantic.IPvAnyInterface,
    "uuid": UUID,
    "date": dt.date,
    "date-time": dt.datetime,
    "time": dt.time,
    "duration": dt.timedelta,
}

_PATHS = ("path", "file-path", "directory-path", "new-path")

_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
}

_ARRAYS: dict[Any, type] = {"set": set, "frozenset": frozenset, "tuple": tuple}

_MIXINS: dict[str, type] = {"str": str, "int": int, "float": float}

_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of")

_TEXT_RULES = ("strip_whitespace", "to_lower", "to_upper", "strict")


def rebuilt_model(contract: Json, name: str) -> type[BaseModel]:
    """Build a pydantic model from a contract.

    Args:
        contract: What `contract_of` gave, here or in another process.
        name: The model's name, as messages show it.

    Returns:
        A model whose fields are called as the user's.
    """
    with warnings.catch_warnings():
        # A field called `json` or `copy` shadows a method of BaseModel; the user has been told.
        warnings.simplefilter("ignore", UserWarning)
        model: type[BaseModel] = _Builder(contract).model(contract, name)
    return model


class _Builder:
    """One contract; `built` keeps what each definition became."""

    def __init__(self, contract: Json) -> None:
        self.root = contract
        self.built: dict[str, Any] = {}

    def node(self, node: Json) -> Any:
        referred = target(node, self.root)
        if referred is not None:
            name, found = referred
            if name not in self.built:
                self.built[name] = self.plain(found, name)
            return self.built[name]
        return self.plain(node, "Answer")

    def plain(self, node: Json, name: str) -> Any:
        if note(node).get("kind") != "decimal" and ("anyOf" in node or "oneOf" in node):
            return Path if node.get("format") in _PATHS else self.union(node)
        if "enum" in node or "const" in node:
            return _closed(node, name)
        if "properties" in node:
            return self.model(node, name)
        return self.array(node) if node.get("type") == "array" else self.leaf(node)

    def model(self, node: Json, name: str) -> Any:
        names, required = field_names(node), node.get("required", [])
        noted = note(node).get("fields", {})
        fields: dict[str, Any] = {}
        for key, below in node["properties"].items():
            kind = self.node(below)
            options: Json = {} if key in required else {"default": _default(below, kind)}
            paths = noted.get(key, {}).get("paths")
            if paths:
                options["validation_alias"] = pydantic.AliasChoices(
                    *(pydantic.AliasPath(*path) for path in paths)
                )
            elif key != names[key]:
                options["validation_alias"] = key
            fields[names[key]] = (kind, Field(**options))
        closed = node.get("additionalProperties") is False
        config: Any = {
            "protected_namespaces": (),
            "extra": "forbid" if closed else "ignore",
            **note(node).get("config", {}),
        }
        return pydantic.create_model(name, __config__=config, **fields)

    def union(self, node: Json) -> Any:
        members = node.get("anyOf") or node["oneOf"]
        union: Any = Union.__getitem__(tuple(self.node(member) for member in members))
        tag = self.tag(node)
        return Annotated[union, Field(discriminator=tag)] if tag else union

    def tag(self, node: Json) -> str | None:
        """Give the field that tells the members of a union apart, where one was named."""
        key = node.get("discriminator", {}).get("propertyName")
        members = [target(member, self.root) for member in node.get("oneOf", [])]
        names = {field_names(found[1]).get(key) for found in members if found is not None}
        return names.pop() if len(names) == 1 and None not in members else None

    def array(self, node: Json) -> Any:
        kind = note(node).get("kind")
        if "prefixItems" in node:
            made = GenericAlias(tuple, tuple(self.node(member) for member in node["prefixItems"]))
            return _ruled(made, {}, note(node))
        inner = self.node(node["items"])
        origin = _ARRAYS.get(kind, list)
        made = GenericAlias(origin, (inner, ...) if origin is tuple else inner)
        sizes = {"min_length": node.get("minItems"), "max_length": node.get("maxItems")}
        return _ruled(made, sizes, note(node))

    def leaf(self, node: Json) -> Any:
        facts = note(node)
        kind = facts.get("kind")
        if kind is None:
            written = node.get("format", "")
            return _FORMATS.get(written, _TYPES[node["type"]])
        made = _KINDS[kind]
        special = [
            found
            for (of, key, value), found in _SPECIAL.items()
            if of == kind and facts.get(key) == value
        ]
        made = special[0] if special else made
        if kind == "str":
            return _text(node, facts)
        if kind in ("url", "multi-host-url"):
            keys = ("max_length", "allowed_schemes", "host_required")
            given = {key: facts[key] for key in keys if key in facts}
            return Annotated[made, UrlConstraints(**given)]
        parse = TypeAdapter(_KINDS[kind]).validate_python
        rules = {key: parse(facts[key]) for key in _BOUNDS if key in facts}
        keys = ("allow_inf_nan", "max_digits", "decimal_places")
        return _ruled(made, rules | {key: facts.get(key) for key in keys}, facts)


def _text(node: Json, facts: Mapping[str, Any]) -> Any:
    """Build a string type with its rules."""
    rules = StringConstraints(
        min_length=node.get("minLength"),
        max_length=node.get("maxLength"),
        pattern=node.get("pattern"),
        **{key: facts[key] for key in _TEXT_RULES if key in facts},
    )
    if "coerce_numbers_to_str" not in facts:
        return Annotated[str, rules]
    return Annotated[str, rules, Field(coerce_numbers_to_str=facts["coerce_numbers_to_str"])]


def _ruled(made: Any, rules: Mapping[str, Any], facts: Mapping[str, Any]) -> Any:
    """Put on a type the rules that were given; none leaves it as it is."""
    given = {key: value for key, value in rules.items() if value is not None}
    if "strict" in facts:
        given["strict"] = facts["strict"]
    return Annotated[made, Field(**given)] if given else made


def _closed(node: Json, name: str) -> Any:
    """Build a Literal, or an Enum where the user had one: pydantic reads the two a little differently."""
    values = [node["const"]] if "const" in node else node["enum"]
    facts = note(node)
    if facts.get("kind") != "enum":
        return Literal[tuple(values)]
    members = [(f"M{number}", value) for number, value in enumerate(values)]
    mixin = _MIXINS.get(facts.get("sub_type", ""))
    word = re.sub(r"\W", "_", name)
    return Enum(word, members, type=mixin) if mixin else Enum(word, members)


def _default(node: Json, kind: Any) -> Any:
    """Read a field's default back; what only a factory knows, or what is no JSON, is null."""
    default = node.get("default")
    if default is None:
        return None
    try:
        return TypeAdapter(kind).validate_json(json.dumps(default))
    except pydantic.ValidationError:
        return default  # a default need not fit its own type: `n: int = Field(-1, ge=0)`
