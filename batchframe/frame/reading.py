"""A result line is read as far as anybody can read it: it is paid for, however it is written.

What no reader of JSON takes is still its row's: it becomes an error that says what is wrong, and the
line is kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from batchframe.dialects.dialect import Dialect
from batchframe.model import Reply, RowError, Usage

BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n\x0b\x0c" + BOM
_BRACKETS = frozenset({b"[", b"]", b","})
"""What stands alone in a line where an array has one object a line."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_HALVES = re.compile(r"\\u[dD][89a-fA-F]")
_SPACE = re.compile(r"\s*")
_DIGITS = 4_000
"""Python reads whole numbers of so many digits, and a few more."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DEEP = "it is nested too deeply"


@dataclass(frozen=True, slots=True)
class Said:
    """What a line said: replies, and how many things in it could not be read."""

    replies: list[Reply]
    damaged: int = 0


def said(raw: bytes, dialect: Dialect) -> Said:
    """Read one line.

    Args:
        raw: The line, newline and all. It may hold an array of results, or stand in one.
        dialect: The words of the file.
    """
    text = raw.strip(_BLANK)
    if not text or text in _BRACKETS:
        return Said([])
    found, wrong = _parsed(text)
    if wrong is not None:
        # a last line without its end is one that was cut off: its row counts as missing
        kept = _kept(text, wrong, dialect) if raw.endswith(b"\n") or wrong == _DEEP else None
        return Said([] if kept is None else [kept], 1)
    lines = found if isinstance(found, list) and found else [found]
    named = [line for line in lines if _is_named(line, dialect)]
    return Said([dialect.decode(line) for line in named], len(lines) - len(named))


def _is_named(line: object, dialect: Dialect) -> bool:
    return isinstance(line, dict) and any(isinstance(line.get(name), str) for name in dialect.ids)


def _parsed(text: bytes) -> tuple[Any, str | None]:
    """Read JSON, the strictest reader first; gives what is wrong with it where none can."""
    bare = text.removeprefix(b"," if text.startswith(b",") else b"[").strip(_BLANK)
    bare = bare.removesuffix(b"," if bare.endswith(b",") else b"]").strip(_BLANK)
    tried = [text] if bare == text else [text, bare]
    for one in tried:
        try:
            return orjson.loads(one), None
        except orjson.JSONDecodeError:
            continue
    wrong = ""
    for one in tried:
        try:
            return _lenient(one), None
        except RecursionError:
            wrong = _DEEP
        except ValueError as error:
            wrong = wrong or str(error)
    return None, wrong


def _lenient(text: bytes) -> Any:
    """Read what only Python's JSON allows.

    NaN and numbers that no reader holds become null, half of a surrogate pair and a stray byte U+FFFD;
    control characters in texts stay. Several objects in one line are a list.
    """
    given = text.decode("utf-8", "replace").strip()
    found, end = _READER.raw_decode(given)
    if end < len(given):  # a newline was lost, and the next line stands behind this one
        found = [found]
        while end < len(given):
            space = _SPACE.match(given, end)
            one, end = _READER.raw_decode(given, space.end() if space else end)
            found.append(one)
    if not _HALVES.search(given):
        return found
    return json.loads(_SURROGATES.sub("\ufffd", json.dumps(found, ensure_ascii=False)))


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _DIGITS else None


def _number(written: str) -> float | None:
    number = float(written)
    return number if math.isfinite(number) else None


_READER = json.JSONDecoder(
    strict=False, parse_constant=lambda _: None, parse_int=_whole, parse_float=_number
)


def _kept(text: bytes, wrong: str, dialect: Dialect) -> Reply | None:
    """Make a line that nobody can read an error of its row; None where not even the id can be read."""
    custom_id = _id(text, dialect)
    if custom_id is None:
        return None
    message = f"the line that came for this row cannot be read: {wrong}. It is kept in body"
    body: Mapping[str, Any] = {"unreadable": text.decode("utf-8", "replace")}
    error = RowError("invalid_body", message, retryable=True)
    return Reply(custom_id, body=body, error=error, usage=Usage(unseen=True))


def _id(text: bytes, dialect: Dialect) -> str | None:
    """Find the id of a line among the members of its outermost object."""
    if not text.startswith(b"{"):
        return None
    for name in dialect.ids:
        member = re.compile(rb'"' + name.encode() + rb'"\s*:\s*("(?:[^"\\]|\\.)*")')
        for found in member.finditer(text):
            # in a string its quotes would be escaped; further inside, brackets are open
            before = _STRING.sub(b"", text[: found.start()])
            opened = before.count(b"{") + before.count(b"[")
            if opened - before.count(b"}") - before.count(b"]") == 1:
                try:
                    return str(orjson.loads(found[1]))
                except orjson.JSONDecodeError:
                    continue
    return None
