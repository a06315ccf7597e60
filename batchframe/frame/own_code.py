"""A model's own validators, as a digest: an edited one must judge the answers again.

What a function does cannot be compared; what it was compiled to can, within one version of Python.
A change that is none costs one more reading of answers that are here already, and no request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

_THEIRS = ("pydantic", "pydantic_core", "annotated_types", "builtins", "enum", "uuid", "decimal")
"""Packages whose functions come with a type, not from the user."""


def code_of(core_schema: Any) -> str | None:
    """Give a digest of the user's functions in a pydantic core schema; None: there are none.

    Args:
        core_schema: What `TypeAdapter.core_schema` gives.
    """
    own = [function for function in _functions(core_schema) if _is_own(function)]
    if not own:
        return None
    made = hashlib.sha256()
    for function in own:
        made.update(_words(function).encode("utf-8", "surrogatepass"))
    return made.hexdigest()


def _functions(node: Any) -> Iterator[Any]:
    """Walk a schema; where a type refers to itself it does so by name, so this ends."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, Mapping):
            waiting += [value for key, value in here.items() if key not in ("metadata", "cls")]
        elif isinstance(here, list | tuple):
            waiting += here
        elif callable(here) and not isinstance(here, type):
            yield here


def _is_own(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return module.partition(".")[0] not in _THEIRS


def _words(function: Any) -> str:
    """Say what a function is made of, in words that are the same in every process."""
    function = getattr(function, "func", function)  # a partial
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    return _of_code(code) + repr(getattr(function, "__defaults__", None))


def _of_code(code: CodeType) -> str:
    inside = [_of_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {inside}"
