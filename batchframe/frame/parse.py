"""Answer texts become one typed struct column and one error for each text that does not fit.

A text fits when the model accepts it the way pydantic reads JSON by default (lax: `"3"` is an int,
`1` is true; `strict=True` in the model is obeyed), and every number has room in its column. White
space around it, a byte-order mark and one Markdown fence are taken off; prose before or after the
JSON is an error, because guessing where an answer begins is guessing what it says. Of a key that
stands twice the last one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import ValidationError

from batchframe.frame.typed import typed_column
from batchframe.model import RowError

if TYPE_CHECKING:
    from batchframe.frame.schema import ResponseSchema

CODE = "invalid_response"
"""The error code of a text that does not fit."""

_CHUNK = 10_000  # rows whose Python objects live at once; measured faster than 5,000 and 50,000
_LONGEST = 200  # characters of an error message
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What became of the texts, row by row: `values` (Struct) is null where `errors` has an error."""

    values: pl.Series
    errors: list[RowError | None]


def parse(texts: pl.Series | Sequence[str | None], schema: ResponseSchema) -> Parsed:
    """Read answer texts into the schema's struct type.

    Args:
        texts: What the model wrote (String); None gives null without an error. Shape (rows,).
        schema: From `response_schema` or `ResponseSchema.from_json`.

    Returns:
        A struct series named `parsed` and a list of errors, both of shape (rows,). No text raises.
    """
    chunks, errors = [], list[RowError | None]()
    for start in range(0, len(texts), _CHUNK):
        values, wrong = _chunk(list(texts[start : start + _CHUNK]), schema)
        chunks.append(values)
        errors += wrong
    values = pl.concat(chunks) if chunks else pl.Series(dtype=schema.dtype)
    return Parsed(values.alias("parsed"), errors)


def _chunk(
    texts: list[str | None], schema: ResponseSchema
) -> tuple[pl.Series, list[RowError | None]]:
    """Validate some texts, then build their column."""
    validate = schema.validator.validate_json
    answers: list[Any] = [None] * len(texts)
    errors: list[RowError | None] = [None] * len(texts)
    for row, text in enumerate(texts):
        if text is None:
            continue
        try:
            answers[row] = validate(text if text[:1] == "{" else _unwrapped(text))
        except ValidationError as error:
            errors[row] = _error(_explain(error))
        except Exception as error:  # noqa: BLE001 - a user's validator may raise anything; it is one row's fault
            errors[row] = _error(f"the model's own validator raised {type(error).__name__}")
    column, misfits = typed_column(answers, schema.dtype)
    for row, reason in misfits.found.items():
        errors[row] = _error(reason)
    return column, errors


def _unwrapped(text: str) -> str:
    """Take off white space, a byte-order mark and a Markdown fence around the whole text."""
    bare = text.strip().removeprefix("\ufeff").strip()
    if len(bare) < 2 * len(_FENCE) or not (bare.startswith(_FENCE) and bare.endswith(_FENCE)):
        return bare
    inner = bare[len(_FENCE) : -len(_FENCE)].strip()
    return inner[4:] if inner[:4].lower() == "json" else inner


def _explain(error: ValidationError) -> str:
    """Say where the first fault is and what it is, and how many more there are."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    where = ""
    for step in faults[0]["loc"]:
        where += f"[{step}]" if isinstance(step, int) else f".{step}" if where else str(step)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    message = f"{where}: {faults[0]['msg']}" if where else faults[0]["msg"]
    return _short(message, _LONGEST - len(more)) + more


def _error(message: str) -> RowError:
    # asked again at temperature 0, a model says the same again: whether to try is the user's choice
    return RowError(CODE, _short(message, _LONGEST))


def _short(message: str, most: int) -> str:
    """Keep a message to one printable line: parts of it may come from the model's answer."""
    line = "".join(
        c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in message[: 2 * most]
    )
    return line if len(line) <= most else f"{line[: most - 1]}…"
