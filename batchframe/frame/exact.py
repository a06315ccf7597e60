"""JSON is read and written with whole numbers of any length as they are: orjson makes floats of long ones."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONG = re.compile(rb"[0-9]{19}")
"""Digits that may be more than 64 bits hold."""


def loads(raw: bytes) -> Any:
    """Read JSON as orjson does, long whole numbers included.

    Args:
        raw: UTF-8.

    Raises:
        ValueError: It is no JSON, or nobody can read it.

    >>> loads(b'{"seed": 18446744073709551616}')
    {'seed': 18446744073709551616}
    """
    found = orjson.loads(raw)  # the stricter of the two says whether it is JSON
    if not _LONG.search(raw):
        return found
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def dumps(value: Any) -> bytes:
    """Write compact JSON, whole numbers of any length as they are.

    Args:
        value: Plain JSON.

    Raises:
        ValueError: It is nested too deeply, or holds half of a surrogate pair.

    >>> dumps({"seed": 2**64})
    b'{"seed":18446744073709551616}'
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass  # whole numbers of more than 64 bits, or more than 254 levels
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
