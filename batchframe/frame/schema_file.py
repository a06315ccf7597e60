"""A JSON schema in a file becomes a response model: what a command line can give in place of a class.

The keywords in `KEYWORDS` are understood and checked on every answer; any other is refused, because a
rule that is silently not kept is worse than none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchframe.errors import FileError, ResponseModelError, nearest
from batchframe.frame.contract import NOTE
from batchframe.frame.dtypes import struct_type
from batchframe.frame.rebuild import rebuilt_model
from batchframe.model import Json

if TYPE_CHECKING:
    from pydantic import BaseModel

_NOTHING = {"title", "examples", "default", "deprecated", "readOnly", "writeOnly", "$comment"}
_ROOT = {"$schema", "$id", "$defs"}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_KINDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_TEMPORAL = {"date": "date", "date-time": "datetime", "time": "time", "duration": "timedelta"}
_BY_POLARS = {"ipv4", "ipv6"}  # formats that the contract reads without a note

KEYWORDS = {
    "type", "format", "properties", "required", "additionalProperties", "items", "enum", "const",
    "anyOf", "oneOf", "$ref", "description", "minLength", "maxLength", "pattern", "minItems",
    "maxItems", *_BOUNDS,
}  # fmt: skip
"""The keywords of JSON Schema (draft 2020-12) that a schema file may use, beside annotations."""


def read_schema(path: Path) -> type[BaseModel]:
    """Read a JSON schema file as a response model.

    Args:
        path: A JSON file: an object schema, or OpenAI's wrapper with it under `schema`.

    Returns:
        A class for `response_model=`; its name is the schema's title, else the file's name.

    Raises:
        FileError: The file is not there, or not JSON.
        ResponseModelError: It is no object schema, or uses a keyword that answers could not be
            checked against; the message holds the place.
    """
    schema = _loaded(path)
    named = schema.get("name") if isinstance(schema.get("schema"), dict) else None
    schema = schema["schema"] if named is not None else schema
    if not isinstance(schema.get("properties"), dict) or schema.get("type", "object") != "object":
        raise ResponseModelError(
            f"{path} is not the schema of an object. "
            'Write {"type": "object", "properties": {"label": {"type": "string"}}}.'
        )
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(named or schema.get("title") or path.stem))[:64]
    try:
        contract = _Reader(path, schema.get("$defs", {})).node(schema, "", ())
        struct_type(contract, name)  # refuses, by its place, what no column can hold
        return _described(rebuilt_model(contract, name), contract)
    except ResponseModelError:
        raise
    except Exception as error:  # a keyword's value may be wrong in any way: a pattern, a bound
        said = str(error).strip().splitlines()[0]
        raise ResponseModelError(f"{path} is not a schema that can be checked: {said}") from error


def _loaded(path: Path) -> Json:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FileError(f"The schema {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"The schema {path} is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise FileError(
            f"The schema {path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})."
        ) from error
    if not isinstance(found, dict):
        raise ResponseModelError(f"{path} is not a JSON schema: it holds no object.")
    return found


def _described(model: type[BaseModel], contract: Json) -> type[BaseModel]:
    """Let the class give the file's schema as its own, with its descriptions, which help the model."""

    def said(_cls: type[BaseModel], _core: Any, _handler: Any) -> Json:
        return contract

    hook = {"__get_pydantic_json_schema__": classmethod(said), "__module__": __name__}
    return type(model.__name__, (model,), hook)


class _Reader:
    """One way down a schema: the same schema with our notes, and every reference written out."""

    def __init__(self, path: Path, definitions: Mapping[str, Any]) -> None:
        self.path = path
        self.definitions = definitions

    def refuse(self, where: str, what: str) -> ResponseModelError:
        place = f" at `{where}`" if where else ""
        return ResponseModelError(f"{self.path}{place}: {what}")

    def node(self, node: Any, where: str, above: tuple[str, ...]) -> Json:
        if not isinstance(node, dict):
            raise self.refuse(where, f"expected a schema, found {json.dumps(node)[:40]}.")
        if "$ref" in node:
            return self.target(node, where, above)
        known = KEYWORDS | _NOTHING | (set() if where else _ROOT)
        strange = sorted(node.keys() - known)
        if strange:
            raise self.refuse(
                where,
                f"the keyword '{strange[0]}' is not supported.{nearest(strange[0], KEYWORDS)} "
                f"Supported: {', '.join(sorted(KEYWORDS))}.",
            )
        kept = {key: value for key, value in node.items() if key in KEYWORDS}
        return self.kept(kept, where, above)

    def target(self, node: Json, where: str, above: tuple[str, ...]) -> Json:
        """Write a reference out; the words beside it go before those of its target."""
        name = str(node["$ref"]).removeprefix("#/$defs/")
        if name not in self.definitions:
            raise self.refuse(where, f"nothing stands at {node['$ref']!r}; use '#/$defs/NAME'.")
        if name in above:
            raise self.refuse(where, f"'{name}' holds itself, which a column cannot.")
        found = self.node(self.definitions[name], where or name, (*above, name))
        words = {key: node[key] for key in ("description",) if key in node}
        return {**found, **words}

    def kept(self, node: Json, where: str, above: tuple[str, ...]) -> Json:
        made = dict(node)
        if isinstance(node.get("type"), list):
            return self.kept(_one_of_types(node), where, above)
        for word in ("anyOf", "oneOf"):
            if word in node:
                made[word] = [self.node(member, where, above) for member in node[word]]
        if "properties" in node:
            made["type"] = "object"
            made["properties"] = {
                key: self.node(below, f"{where}.{key}" if where else key, above)
                for key, below in node["properties"].items()
            }
        if "items" in node:
            made["items"] = self.node(node["items"], f"{where}[]", above)
        facts = _facts(node)
        return {**made, NOTE: facts} if facts else made


def _one_of_types(node: Json) -> Json:
    """Write `type: [a, b]` as alternatives; a closed set of values needs no type."""
    if "enum" in node:
        return {key: value for key, value in node.items() if key != "type"}
    words = {key: node[key] for key in ("description",) if key in node}
    rules = {key: value for key, value in node.items() if key not in words}
    members = [
        {"type": "null"} if one == "null" else {**rules, "type": one} for one in node["type"]
    ]
    return {**words, "anyOf": members} if len(members) > 1 else {**words, **members[0]}


def _facts(node: Json) -> Json:
    """Note what the rebuilt validator goes by: the kind of a leaf, and its bounds."""
    kind = _KINDS.get(str(node.get("type")))
    if kind is None or "enum" in node or "const" in node or node.get("format") in _BY_POLARS:
        return {}
    if kind == "str":
        return {"kind": _TEMPORAL.get(str(node.get("format")), "str")}
    return {"kind": kind, **{rule: node[word] for word, rule in _BOUNDS.items() if word in node}}
