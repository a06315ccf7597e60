"""Bodies at the speed of Polars: a shape is cut once at its holes, and the rows are filled in by columns.

Constant JSON between two holes is written once; Polars escapes what varies and joins the two. Only
nested values (conversations, lists of stop words) pass through Python, one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import polars as pl

from batchframe.frame.prompt import Hole, HoleSpec, Shape, Splice, image_url, json_text
from batchframe.frame.rules import held
from batchframe.frame.validation import Guard
from batchframe.model import Json

_SILENT = frozenset({"system", "developer"})
"""Roles whose turns ask nothing by themselves."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hole's JSON goes: after `before`, which a null takes away with it, or bare of brackets."""

    index: int
    before: str = ""
    bare: bool = False


def cut(shape: Shape) -> list[str | Place]:
    """Cut a shape's JSON into constant text and places.

    >>> from batchframe.model import Endpoint
    >>> hole = HoleSpec(pl.col("n"), "n=", "parameter")
    >>> cut(Shape(Endpoint.CHAT, {"messages": [], "n": Hole(0)}, (hole,)))
    ['{"messages":[]', Place(index=0, before=',"n":', bare=False), '}']
    """
    pieces: list[str | Place] = []
    for piece in _walk(shape.body, shape.holes):
        if pieces and isinstance(piece, str) and isinstance(pieces[-1], str):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


def _walk(node: Any, holes: tuple[HoleSpec, ...]) -> Iterator[str | Place]:
    if isinstance(node, Hole):
        yield Place(node.index)
    elif isinstance(node, Splice):
        yield Place(node.index, bare=True)
    elif isinstance(node, dict):
        for number, (name, value) in enumerate(node.items()):
            before = f"{',' if number else ''}{_dumps(name)}:"
            yield "" if number else "{"
            if isinstance(value, Hole) and not holes[value.index].required:
                yield Place(value.index, before)
            else:
                yield before
                yield from _walk(value, holes)
        yield "}" if node else "{}"
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield "," if number else "["
            yield from _walk(value, holes)
        yield "]" if node else "[]"
    else:
        yield _dumps(node)


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


@dataclass
class _Filled:
    """One hole's column as JSON texts, with what is wrong in which row."""

    texts: pl.Series
    faults: list[pl.Series] = field(default_factory=list)
    blank: pl.Series | None = None


def bodies(shape: Shape, values: pl.DataFrame, guard: Guard | None = None) -> pl.DataFrame:
    """Fill the shape's holes, row by row.

    Args:
        shape: The body and its holes.
        values: One column a hole, in order, of shape (rows, holes or more).
        guard: Holds the rows to what their provider takes; `values` then has a column `model`.

    Returns:
        `body` String and `error` String, of shape (rows, 2): one of the two is null in each row, and
        the error is `code: message`.
    """
    filled = [
        _fill(spec, values.to_series(index).alias("v")) for index, spec in enumerate(shape.holes)
    ]
    texts = {f"t{i}": one.texts for i, one in enumerate(filled)}
    faults = {
        f"f{i}.{j}": fault for i, one in enumerate(filled) for j, fault in enumerate(one.faults)
    }
    if guard is not None:
        refused = guard.faults(values, [one.texts for one in filled])
        faults |= {f"g{i}": fault for i, fault in enumerate(refused)}
    blanks = [one.blank for one in filled if one.blank is not None]
    blank = {f"b{i}": series for i, series in enumerate(blanks)}
    error: pl.Expr = pl.coalesce(
        *faults,
        pl.when(pl.all_horizontal(*blank)).then(
            pl.lit("empty_prompt: there is nothing but blanks to ask in this row")
        )
        if blank
        else pl.lit(None, pl.String),
    )
    body = pl.concat_str([_piece(piece) for piece in cut(shape)])
    work = values.with_columns(**texts, **faults, **blank)
    return work.with_columns(error=error, body=body).select(
        pl.when(pl.col("error").is_null()).then("body").alias("body"), "error"
    )


def _piece(piece: str | Place) -> pl.Expr:
    if isinstance(piece, str):
        return pl.lit(piece)
    text = pl.col(f"t{piece.index}")
    if piece.bare:
        return text.str.strip_prefix("[").str.strip_suffix("]")
    if piece.before:
        return pl.when(text.is_null()).then(pl.lit("")).otherwise(pl.lit(piece.before) + text)
    return text


def _fill(spec: HoleSpec, values: pl.Series) -> _Filled:
    """Write one hole's values as JSON."""
    first: list[pl.Series] = []
    if spec.required:
        first = [_where(values.is_null(), f"empty_prompt: {spec.where} is null in this row")]
    elif values.dtype.is_float() and not (finite := values.is_finite()).all():
        told = f"invalid_request: {spec.where} is no finite number in this row"
        first = [_where(~finite, told)]
    if spec.rule is not None:
        values, broken = held(spec.rule, values, spec.where)
        first += broken
    filled = _nested(spec, values) if values.dtype.is_nested() else _flat(spec, values)
    filled.faults = first + filled.faults
    return filled


def _where(mask: pl.Series, message: str) -> pl.Series:
    return pl.select(pl.when(mask).then(pl.lit(message))).to_series()


def _flat(spec: HoleSpec, values: pl.Series) -> _Filled:
    faults = []
    if values.dtype == pl.Binary:
        values = pl.select(image_url(pl.lit(values))).to_series()
        message = f"invalid_image: {spec.where} is no PNG, JPEG, GIF or WebP image in this row"
        faults.append(_where(values == "", message))
    frame = pl.DataFrame({"v": values})
    text = pl.when(pl.col("v").is_not_null()).then(json_text(pl.col("v")))
    blank = frame.select(pl.col("v").str.strip_chars() == "").to_series() if spec.prompt else None
    return _Filled(frame.select(text).to_series(), faults, blank)


def _nested(spec: HoleSpec, values: pl.Series) -> _Filled:
    """Write lists and structs, without the nulls that a struct puts where a value has no such field.

    A null in a list is none of those. A turn that is null is no turn; a parameter of the API has no
    place for one, which is the row's error; whatever goes into `extra_body` is sent as it is.
    """
    nulls: _Nulls = "drop" if spec.kind == "messages" else "keep" if spec.rule is None else "refuse"
    texts: list[str | None] = []
    faults: list[str | None] = []
    blank: list[bool] = []
    for value in values:
        text = fault = None
        if value is not None:
            raw = value.to_list() if isinstance(value, pl.Series) else value
            try:
                known = _known(raw, nulls)
                text = _dumps(known)
            except _NullError:
                known, fault = raw, _NULL.format(spec.where)
            except (TypeError, ValueError) as error:
                known, fault = (
                    raw,
                    f"invalid_request: {spec.where} is not JSON in this row: {error}",
                )
            if spec.kind == "messages":
                blank.append(not any(map(asks, known)))
                if fault is None and any(not turn.get("role") for turn in known):
                    fault = f"invalid_request: a message of {spec.where} has no role in this row"
        elif spec.kind == "messages":
            blank.append(True)
        texts.append(text)
        faults.append(fault)
    return _Filled(
        pl.Series(texts, dtype=pl.String),
        [pl.Series(faults, dtype=pl.String)],
        pl.Series(blank, dtype=pl.Boolean) if spec.kind == "messages" else None,
    )


_Nulls = Literal["drop", "keep", "refuse"]
"""What becomes of a null in a list."""

_NULL = (
    "invalid_request: {} has a null in a list in this row. Take it out, for example with "
    ".list.drop_nulls()"
)


class _NullError(ValueError):
    """There is a null in a list that has no place for one."""


def _known(node: Any, nulls: _Nulls) -> Any:
    """Drop the nulls of structs, and refuse what would silently become a null, or vanish."""
    if isinstance(node, dict):
        return {k: _known(v, nulls) for k, v in node.items() if v is not None}
    if isinstance(node, list):
        if nulls == "refuse" and None in node:
            raise _NullError
        return [_known(v, nulls) for v in node if v is not None or nulls == "keep"]
    if isinstance(node, float) and not math.isfinite(node):
        raise ValueError("a number in it is not finite")
    return node


def asks(turn: Json) -> bool:
    """Whether a turn of a conversation holds anything to answer.

    >>> asks({"role": "user", "content": " "}), asks({"role": "user", "content": "Hi."})
    (False, True)
    """
    if turn.get("role") in _SILENT:
        return False
    content = turn.get("content")
    if isinstance(content, list):
        return any(part.get("type") != "text" or _said(part.get("text")) for part in content)
    return _said(content) or bool(turn.get("tool_calls"))


def _said(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())
