"""One request a row: the frame's values meet the shape, and every row gets an id or a reason why not.

The rows are taken in chunks of `CHUNK` rows, so that a LazyFrame larger than memory streams through.
Expressions are evaluated over the whole frame first, so windows and ranks mean what they say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl

from batchframe.errors import ColumnError, InputError, KeyColumnError, nearest
from batchframe.frame.prompt import HoleSpec, Shape

CHUNK = 50_000
"""Rows worked on at a time: large enough for Polars, small enough for memory."""

_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HASHED = "h-"
_INDEX = "__batchframe_row"

SCHEMA = pl.Schema(
    {
        "row": pl.Int64,
        "custom_id": pl.String,
        "model": pl.String,
        "body": pl.String,
        "error": pl.String,
    }
)
"""The requests frame: `body` is the OpenAI body as JSON, null where `error` says why none is sent."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that turns a frame into requests; built once per call.

    `model` is one name for all rows, or the expression that gives each row's.
    """

    shape: Shape
    model: str | pl.Expr
    key: str | None = None


def chunks(frame: pl.DataFrame | pl.LazyFrame, recipe: Recipe) -> Iterator[pl.DataFrame]:
    """Give the requests in the frame's order, in chunks of at most `CHUNK` rows.

    Args:
        frame: Any frame; it is not changed.
        recipe: What to ask.

    Returns:
        Frames with the columns of `SCHEMA`.

    Raises:
        KeyColumnError: The key has nulls, or says the same thing twice.
        ColumnError: An expression asks for a column that is not there.
        InputError: An expression cannot be evaluated.
    """
    seen: dict[str, int] = {}
    start = 0
    for values in _values(frame, recipe):
        chunk = _chunk(values, recipe, start)
        if recipe.key is not None:
            _refuse_duplicates(chunk["custom_id"].to_list(), seen, start, recipe.key)
        start += chunk.height
        yield chunk


def _values(frame: pl.DataFrame | pl.LazyFrame, recipe: Recipe) -> Iterator[pl.DataFrame]:
    """Evaluate holes, model and key over the frame."""
    wanted = [hole.expr.alias(f"h{i}") for i, hole in enumerate(recipe.shape.holes)]
    if isinstance(recipe.model, pl.Expr):
        wanted.append(recipe.model.cast(pl.String).alias("model"))
    if recipe.key is not None:
        wanted.append(pl.col(recipe.key).alias("key"))
    # the index rides along so that a constant expression is repeated for each row
    query = frame.lazy().with_row_index(_INDEX).select(_INDEX, *wanted)
    try:
        if isinstance(frame, pl.DataFrame):
            yield from query.collect().iter_slices(CHUNK)
        else:
            yield from query.collect_batches(chunk_size=CHUNK, maintain_order=True)
    except pl.exceptions.ColumnNotFoundError as error:
        known = frame.collect_schema().names()
        missing = str(error).split("\n", maxsplit=1)[0].strip('"')
        raise ColumnError(
            f"An expression asks for the column '{missing}', which the frame does not have."
            f"{nearest(missing, known)}"
        ) from error
    except pl.exceptions.PolarsError as error:
        raise InputError(f"An expression of the request cannot be evaluated: {error}") from error


def _chunk(values: pl.DataFrame, recipe: Recipe, start: int) -> pl.DataFrame:
    count = values.height
    columns = [values[f"h{i}"].to_list() for i in range(len(recipe.shape.holes))]
    rows = list(zip(*columns, strict=True)) if columns else [()] * count
    models = (
        values["model"].to_list() if isinstance(recipe.model, pl.Expr) else [recipe.model] * count
    )
    bodies: list[str | None] = []
    errors: list[str | None] = []
    for row, model in zip(rows, models, strict=True):
        body, error = _body(recipe.shape, row, model)
        bodies.append(body)
        errors.append(error)
    keys = values["key"] if recipe.key is not None else None
    ids = custom_ids(keys, str(recipe.key)) if keys is not None else positions(start, count)
    return pl.DataFrame(
        {
            "row": range(start, start + count),
            "custom_id": ids,
            "model": models,
            "body": bodies,
            "error": errors,
        },
        schema=SCHEMA,
    )


def _body(shape: Shape, row: Sequence[object], model: str | None) -> tuple[str | None, str | None]:
    """Fill one row's body; a row that cannot be asked gets its `code: message` instead."""
    error = why_not(shape.holes, row)
    if error is None and not model:
        error = "no_model: the model expression gives null for this row"
    if error is None:
        try:
            return orjson.dumps(shape.fill(row)).decode(), None
        except (TypeError, ValueError) as fault:
            error = f"invalid_request: {fault}"
    return None, error


def why_not(holes: Sequence[HoleSpec], row: Sequence[object]) -> str | None:
    """Say why a row is not sent, or None: a null in a text, or nothing but blanks to ask.

    Args:
        holes: What the values are for.
        row: The row's values.

    >>> why_not([HoleSpec(pl.col("text"), "prompt=", required=True, prompt=True)], [None])
    'empty_prompt: prompt= is null in this row'
    """
    asked = blank = 0
    for hole, value in zip(holes, row, strict=True):
        if value is None and hole.required:
            return f"empty_prompt: {hole.where} is null in this row"
        if hole.prompt:
            asked += 1
            blank += _is_blank(value)
    if asked and asked == blank:
        return "empty_prompt: there is nothing but blanks to ask in this row"
    return None


def _is_blank(value: object) -> bool:
    """Whether a text, or a conversation, asks nothing."""
    if isinstance(value, list):
        turns = [turn for turn in value if isinstance(turn, dict)]
        return not any(turn.get("content") for turn in turns if turn.get("role") == "user")
    return isinstance(value, str) and not value.strip()


def positions(start: int, count: int) -> list[str]:
    """Give the ids of rows that are known by their place: r0, r1, ..."""
    return [f"r{i}" for i in range(start, start + count)]


def custom_ids(keys: pl.Series, name: str) -> list[str]:
    """Give the ids of rows that a key column names: the key itself where providers allow it.

    Every other key becomes `h-` and a hash, so the id is the same in every process.

    Args:
        keys: Any dtype that has a text; no nulls.
        name: The column's name, for messages.

    Raises:
        KeyColumnError: The key is null somewhere, or has no text.
    """
    if keys.null_count():
        row = int(keys.is_null().arg_true()[0])
        raise KeyColumnError(
            f"key='{name}' is null in {keys.null_count()} rows (the first: row {row}). "
            "Every row needs a key of its own; fill the nulls, or leave key= out."
        )
    try:
        texts = keys.cast(pl.String).to_list()
    except pl.exceptions.PolarsError as error:
        raise KeyColumnError(
            f"key='{name}' has the type {keys.dtype}, which has no text to identify rows by. "
            "Use a column of numbers or strings."
        ) from error
    return [_id(text) for text in texts]


def _id(key: str) -> str:
    if _LEGAL_ID.fullmatch(key) and not key.startswith(_HASHED):
        return key
    return (
        _HASHED + hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    )


def _refuse_duplicates(ids: Sequence[str], seen: dict[str, int], start: int, name: str) -> None:
    for offset, custom_id in enumerate(ids):
        first = seen.setdefault(custom_id, start + offset)
        if first != start + offset:
            raise KeyColumnError(
                f"key='{name}' says the same thing in rows {first} and {start + offset}. "
                f"Keep one row a key, for example df.unique('{name}', maintain_order=True), "
                "or leave key= out."
            )


class Fingerprint:
    """What makes two calls the same job: every row's id, model and body, under the same settings.

    With a key the order of rows does not matter: their digests are added up.
    """

    def __init__(self, settings: Mapping[str, object], *, ordered: bool) -> None:
        head = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
        self._hash = hashlib.blake2b(head, digest_size=20)
        self._sum = 0
        self._ordered = ordered

    def add(self, requests: pl.DataFrame) -> None:
        """Take in a chunk of requests."""
        rows = requests.select("custom_id", "model", "body", "error").iter_rows()
        for row in rows:
            digest = hashlib.blake2b(orjson.dumps(row), digest_size=16).digest()
            if self._ordered:
                self._hash.update(digest)
            else:
                self._sum = (self._sum + int.from_bytes(digest)) % 2**128

    def hexdigest(self) -> str:
        """Give the fingerprint as 40 hexadecimal digits."""
        final = self._hash.copy()
        final.update(self._sum.to_bytes(16))
        return final.hexdigest()
