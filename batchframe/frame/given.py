"""Requests that stand in an OpenAI batch file become the requests of rows, a piece of the file at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from batchframe.dialects.shown import shown
from batchframe.errors import FileError
from batchframe.frame import exact
from batchframe.frame.requests import SCHEMA, Faults, Seen, custom_ids
from batchframe.frame.whole import Judge
from batchframe.ledger.workspace import storage
from batchframe.model import Endpoint, Json

ROWS = 2_000
"""Lines that are Python objects at one time."""

BYTES = 4 << 20
"""Bytes of such lines, where they are long; an object takes several times its own."""

KEYED = pl.Schema([*SCHEMA.items(), ("key", pl.String())])
"""The requests frame, and the `custom_id` that each one had in the file."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A request as it stands in the file."""

    number: int
    custom_id: str
    url: str
    method: str
    body: Json


def endpoint_of(source: Path) -> Endpoint:
    """Say what the requests of a file are for, by the first of them.

    Args:
        source: The file.

    Raises:
        FileError: It holds none, or asks for what nobody knows.
    """
    first = next(_lines(source), None)
    if first is None:
        raise FileError(f"{source} holds no request.")
    path = first.url if first.url.startswith("/v1/") else f"/v1{first.url}"
    for endpoint in Endpoint:
        if endpoint.value == path:
            return endpoint
    raise FileError(
        f"{source} asks {shown(first.url)}, which batchframe does not know. It knows "
        f"{', '.join(Endpoint)}."
    )


def requests(source: Path, judge: Judge, *, faultless: bool) -> Iterator[pl.DataFrame]:
    """Give the requests of a file in its order.

    Args:
        source: OpenAI batch lines; a model in a body gives way to the judge's.
        judge: What holds them to their provider.
        faultless: A request at fault refuses the file.

    Returns:
        Frames with the columns of `KEYED`.

    Raises:
        FileError: A line is no request, an id stands twice, or two lines have different endpoints; the
            second is known only after the last line.
        InputError: Requests are at fault where none may be; known only after the last line.
    """
    seen, faults, start, url = Seen(), Faults(), 0, ""
    for lines in _pieces(source):
        for line in lines:
            url = url or line.url
            if line.url != url:
                raise FileError(
                    f"{source} mixes endpoints: {url} at its beginning and {line.url} in line "
                    f"{line.number}. A batch has one; split the file."
                )
        chunk = _chunk(lines, judge, start)
        seen.add(chunk["custom_id"])
        if faultless:
            faults.add(chunk)
        start += chunk.height
        yield chunk
    twice = seen.twice()
    if twice is not None:
        first, second = (line for row, line in enumerate(_lines(source)) if row in twice)
        raise FileError(
            f"{source} has the custom_id {shown(first.custom_id)} more than once: in lines "
            f"{first.number} and {second.number}."
        )
    faults.refuse()


def _chunk(lines: list[_Line], judge: Judge, start: int) -> pl.DataFrame:
    """Make some lines, the first of which is row `start`, requests or row errors."""
    keys = pl.Series("key", [line.custom_id for line in lines], dtype=pl.String)
    errors = [
        _method(line) or fault
        for line, fault in zip(lines, judge.faults([line.body for line in lines]), strict=True)
    ]
    texts = [
        None if error else exact.dumps(line.body).decode()
        for line, error in zip(lines, errors, strict=True)
    ]
    columns = {
        "row": range(start, start + len(lines)), "custom_id": custom_ids(keys, "custom_id"),
        "model": [judge.model] * len(lines), "body": texts, "error": errors, "key": keys,
    }  # fmt: skip
    return pl.DataFrame(columns, schema=KEYED)


def _method(line: _Line) -> str | None:
    if line.method.upper() == "POST":
        return None
    return f"invalid_request: the method is {shown(line.method)}, and a batch can only POST"


def _pieces(source: Path) -> Iterator[list[_Line]]:
    held: list[_Line] = []
    size = 0
    for line, length in _sized(source):
        held.append(line)
        size += length
        if len(held) >= ROWS or size >= BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _lines(source: Path) -> Iterator[_Line]:
    yield from (line for line, _ in _sized(source))


def _sized(source: Path) -> Iterator[tuple[_Line, int]]:
    """Read the lines that are not blank, each with its bytes."""
    with storage(source), source.open("rb") as file:
        for number, raw in enumerate(file, 1):
            text = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            if text.strip():
                yield _line(text, number, f"Line {number} of {source}"), len(raw)


def _line(raw: bytes, number: int, where: str) -> _Line:
    try:
        line = exact.loads(raw)
    except ValueError as error:
        raise FileError(f"{where} is no JSON: {error}.") from None
    line = line if isinstance(line, dict) else {}
    custom_id, body = line.get("custom_id"), line.get("body")
    if not isinstance(custom_id, str) or not custom_id or not isinstance(body, dict):
        raise FileError(
            f'{where} is no request: it needs "custom_id" (text) and "body" (an object), as in '
            '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}.'
        )
    # a null leaves a parameter out, as it does in a call
    bare = {name: value for name, value in body.items() if name != "model" and value is not None}
    url, method = line.get("url", Endpoint.CHAT.value), line.get("method", "POST")
    return _Line(number, custom_id, str(url), str(method), bare)
