"""Validation stops at the first bad line and names nothing else, as it does at the real services."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchframe.model import Json
from batchframe.testing.clouds.flavour import Flavour, Rules
from batchframe.testing.clouds.nouns import Problem, Row

SAID = {
    "invalid_json_line": "This line is not parseable as valid JSON.",
    "duplicate_custom_id": "The custom_id for this request is a duplicate of another request. "
    "The custom_id parameter must be unique for each request in a batch.",
    "mismatched_model": "The provided model does not match the model of the other requests in the "
    "batch. Each batch must contain requests for a single model.",
    "invalid_url": "The URL provided for this request does not match the batch endpoint.",
    "model_not_found": "The provided model does not exist or is not supported by the Batch API.",
    "streaming_unsupported": "Streaming is not supported in the Batch API.",
    "empty_file": "The input file is empty. Please ensure that the batch contains at least one "
    "request.",
    "invalid_role": "invalid role in a message, must be 'system', 'user', 'assistant' or 'tool'",
    "invalid_model": "A valid model deployment name couldn't be extracted from the input file.",
}
"""Problem -> what the service says of it; codes are as captured, the sentences are near to them."""

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
NEEDED = {"chat/completions": "messages", "embeddings": "input", "moderations": "input"}
"""The end of a url -> the parameter that its bodies must have."""

BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Found:
    """An input file that was read: its rows up to the first problem, and that problem."""

    rows: list[Row] = field(default_factory=list)
    problem: Problem | None = None


@dataclass(slots=True)
class _Seen:
    ids: set[str] = field(default_factory=set)
    model: str | None = None
    url: str | None = None


def lines_of(data: bytes) -> list[bytes]:
    """Cut a file into its lines; the newline at the end begins no line."""
    return data.removesuffix(b"\n").split(b"\n") if data.strip() else []


def read(
    data: bytes,
    flavour: Flavour,
    *,
    endpoint: str,
    models: Container[str] | None,
    most: int,
    inputs: int | None = None,
) -> Found:
    """Read an input file as the provider's validation does.

    Args:
        data: The file.
        flavour: Whose rules hold.
        endpoint: The batch's.
        models: Those that exist; None: all.
        most: How many requests a file may hold.
        inputs: How many texts its lines may want to have embedded; None: any number.
    """
    found, seen = Found(), _Seen(url=endpoint if flavour.rules.url == "endpoint" else None)
    lines = lines_of(data)
    if not lines:
        found.problem = _problem(flavour, "empty_file", None, None)
    elif len(lines) > most:
        code = flavour.rules.words.get("maximum_requests_exceeded", "maximum_requests_exceeded")
        said = f"The batch input file contains too many requests. The maximum is {most}."
        found.problem = Problem(code, said)
    elif data.startswith(BOM) and not flavour.rules.bom:
        found.problem = _problem(flavour, "invalid_model", None, 1)
    else:
        for number, raw in enumerate(lines, 1):
            row, wrong = _line(raw, flavour, seen, models)
            if wrong is not None:
                found.problem = _problem(flavour, wrong[0], wrong[1], number)
                break
            found.rows.append(row)
    if found.problem is None and inputs is not None and endpoint.endswith("/embeddings"):
        found.problem = _too_many(
            sum(texts_in(row.body.get("input")) for row in found.rows), inputs
        )
    return found


def texts_in(given: Any) -> int:
    """Count the texts of an embedding's `input`; a list of numbers is one, in tokens."""
    numbers = isinstance(given, list) and any(isinstance(one, int) for one in given)
    return len(given) if isinstance(given, list) and not numbers else 1


def _too_many(count: int, most: int) -> Problem | None:
    # OpenAI's guide names the limit; how it is told was never captured
    if count <= most:
        return None
    said = (
        f"The batch input file contains too many embedding inputs: {count}. The maximum is {most}."
    )
    return Problem("maximum_inputs_exceeded", said)


def _line(
    raw: bytes, flavour: Flavour, seen: _Seen, models: Container[str] | None
) -> tuple[Row, tuple[str, str | None] | None]:
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        line = None
    if not isinstance(line, dict):
        return Row(None, "", {}), ("invalid_json_line", None)
    body: Any = line.get("body")
    row = Row(line.get("custom_id"), line.get("url", seen.url or ""), body)
    for wrong in _wrongs(line, row, flavour, seen, models):
        return row, wrong
    return row, None


def _wrongs(
    line: Json, row: Row, flavour: Flavour, seen: _Seen, models: Container[str] | None
) -> Iterator[tuple[str, str | None]]:
    rules = flavour.rules
    yield from _ids(row, rules, seen)
    if rules.addressed:
        yield from _addresses(line, row, rules, seen)
    if not isinstance(line.get("body"), dict):
        yield "missing_required_parameter", "body"
        return
    if rules.modelled:
        yield from _models(row.body, flavour, seen, models)
    if rules.checked:
        yield from _bodies(row)
    if rules.roles and any(one.get("role") not in ROLES for one in row.body.get("messages", [])):
        yield "invalid_role", "body.messages"


def _ids(row: Row, rules: Rules, seen: _Seen) -> Iterator[tuple[str, str | None]]:
    if row.custom_id is None and rules.custom_id:
        yield "missing_required_parameter", "custom_id"
    if row.custom_id in seen.ids:
        yield "duplicate_custom_id", "custom_id"
    if row.custom_id is not None:
        seen.ids.add(row.custom_id)


def _addresses(line: Json, row: Row, rules: Rules, seen: _Seen) -> Iterator[tuple[str, str | None]]:
    for name in ("method", "url"):
        if name not in line:
            yield "missing_required_parameter", name
    seen.url = seen.url or row.url
    if row.url != seen.url and rules.url != "any":
        yield "invalid_url", "url"


def _models(
    body: Json, flavour: Flavour, seen: _Seen, models: Container[str] | None
) -> Iterator[tuple[str, str | None]]:
    model = body.get("model")
    if not model:
        yield "invalid_request", "body.model"
        return
    if flavour.rules.checked and models is not None and model not in models:
        yield "model_not_found", "body.model"
    seen.model = seen.model or model
    if model != seen.model and flavour.rules.one_model:
        yield "mismatched_model", "body.model"


def _bodies(row: Row) -> Iterator[tuple[str, str | None]]:
    if row.body.get("stream"):
        yield "streaming_unsupported", "body.stream"
    for end, name in NEEDED.items():
        if row.url.endswith(end) and name not in row.body:
            yield "missing_required_parameter", f"body.{name}"


def _problem(flavour: Flavour, code: str, param: str | None, line: int | None) -> Problem:
    said = SAID.get(code, f"Missing required parameter: '{(param or '').removeprefix('body.')}'.")
    return Problem(flavour.rules.words.get(code, code), said, param, line)


METADATA = (16, 64, 512)
"""Most pairs, longest key, longest value (OpenAI's reference, 2026-11)."""


def metadata_problem(given: Any) -> tuple[str, str, str] | None:
    """Find what is wrong with a batch's metadata: message, param, code."""
    pairs, key_most, value_most = METADATA
    if given is None:
        return None
    if not isinstance(given, dict):
        return "Invalid type for 'metadata': expected an object.", "metadata", "invalid_type"
    if len(given) > pairs:
        said = f"Expected an object with at most {pairs} properties, but got an object with"
        said = f"Invalid 'metadata': too many properties. {said} {len(given)} properties instead."
        return said, "metadata", "object_above_max_properties"
    for key, value in given.items():
        where = f"metadata.{key}"
        if not isinstance(value, str):
            said = f"Invalid type for '{where}': expected a string, but got {type(value).__name__}"
            return f"{said} instead.", where, "invalid_type"
        for text, most, what in ((key, key_most, "metadata"), (value, value_most, where)):
            if len(text) > most:
                said = f"Expected a string with maximum length {most}, but got a string with length"
                said = f"Invalid '{what}': string too long. {said} {len(text)} instead."
                return said, what, "string_above_max_length"
    return None
