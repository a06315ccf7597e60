"""A wire file read lazily: each request's body is a slice of its line, never a new rendering.

Batch mode uploads the file as it stands; what is sent now must be the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from batchframe.errors import StorageError
from batchframe.ledger.workspace import storage

BLOCK = 1 << 20
"""Bytes of lines held at once."""

_USUAL = re.compile(
    rb'\{"custom_id":"([A-Za-z0-9_-]{1,64})","method":"POST","url":"(/[^"\\]*)","body":(\{.*\})\}\s*',
    re.DOTALL,
)
"""A line as our own encoder writes it; the body ends where the line does, if it is JSON itself."""

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Row:
    """One request: `url` is a path below the base URL, `body` its JSON as it stands in the file."""

    custom_id: str
    url: str
    body: bytes = field(repr=False)


def count(path: Path) -> int:
    """Count the requests in a wire file.

    Raises:
        StorageError: The file cannot be read.
    """
    with storage(path), path.open("rb", buffering=BLOCK) as file:
        return sum(1 for line in file if not line.isspace())


def blocks(path: Path, skip: Container[str]) -> Generator[list[Row], None, None]:
    """Give the requests in blocks of about `BLOCK` bytes of file.

    Args:
        path: The wire file.
        skip: Ids to pass over; a block may come out empty.

    Raises:
        StorageError: The file cannot be read, or a line is no request of ours.
    """
    with storage(path), path.open("rb", buffering=BLOCK) as file:
        number = 0
        while lines := file.readlines(BLOCK):
            rows = []
            for number, line in enumerate(lines, number + 1):  # noqa: B020 - goes on counting
                if line.isspace():
                    continue
                row = parse(line)
                if row is None:
                    raise StorageError(
                        f"Line {number} of {path} is damaged: it is not a request. The answers "
                        "before it are kept. Submit the job again to have the file written anew."
                    )
                if row.custom_id not in skip:
                    rows.append(row)
            yield rows


def parse(line: bytes) -> Row | None:
    """Read one line; None when it is no request that may be sent.

    Args:
        line: One JSON object with `custom_id`, `url` and `body`, its keys in any order.
    """
    usual = _USUAL.fullmatch(line)
    if usual is not None:
        custom_id, url, body = usual.groups()
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError:
            return _parse_any(line)
        return Row(custom_id.decode(), url.decode(), body)
    return _parse_any(line)


def _parse_any(line: bytes) -> Row | None:
    try:
        text = line.decode()
        found = dict(_members(text))
    except (ValueError, IndexError, RecursionError):
        return None
    (custom_id, _), (url, _), (body, where) = (
        found.get(name, (None, slice(0))) for name in ("custom_id", "url", "body")
    )
    # A url that is no path would send the credentials to another host.
    if not isinstance(custom_id, str) or not isinstance(url, str) or not url.startswith("/"):
        return None
    if not isinstance(body, dict):
        return None
    return Row(custom_id, url, text[where].encode())


def _members(text: str) -> Iterator[tuple[str, tuple[Any, slice]]]:
    """Walk over the members of one JSON object: key, value, and where in the text the value stands."""
    at = _after_space(text, 0)
    separator = "{"
    while text[at] == separator:
        key, at = _DECODER.raw_decode(text, _after_space(text, at + 1))
        at = _after_space(text, at)
        if not isinstance(key, str) or text[at] != ":":
            raise ValueError("no member")
        start = _after_space(text, at + 1)
        value, end = _DECODER.raw_decode(text, start)
        yield key, (value, slice(start, end))
        at, separator = _after_space(text, end), ","
    if text[at] != "}" or _after_space(text, at + 1) != len(text):
        raise ValueError("no object")


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
