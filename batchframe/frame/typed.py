"""Validated answers become one typed column, built leaf by leaf; what no column can hold is one row's error.

A validator of the user may give anything, whatever the field's type says, and a number may be too
large for its column. So a leaf is built in one go when every value is of the expected type, and value
by value when not: the misfits become nulls with a reason, the others stay.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import functools
import ipaddress
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from itertools import chain
from pathlib import PurePath
from typing import Any
from uuid import UUID

import polars as pl
from pydantic import AnyUrl, BaseModel, RootModel
from pydantic_core import MultiHostUrl, Url

_TEXTUAL = (
    UUID,
    AnyUrl,
    Url,
    MultiHostUrl,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)
"""Values whose `str` is what the model wrote."""

_NATIVE: dict[type[pl.DataType], frozenset[type]] = {
    pl.Boolean: frozenset({bool}),
    pl.Date: frozenset({dt.date}),
    pl.Duration: frozenset({dt.timedelta}),
    pl.Enum: frozenset({str}),
    pl.Float64: frozenset({float, int}),
    pl.Int64: frozenset({int}),
    pl.String: frozenset({str}),
}
"""Python types that Polars takes as they are; the other leaves are converted value by value."""

_REFUSALS = (TypeError, ValueError, OverflowError, ArithmeticError, pl.exceptions.PolarsError)


class _MisfitError(Exception):
    """A value that its column cannot hold, and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Misfits:
    """Why rows could not be held: row number -> reason, the first one found."""

    found: dict[int, str] = dataclasses.field(default_factory=dict)

    def add(self, row: int, path: str, reason: str) -> None:
        """Note a reason, unless the row has one."""
        self.found.setdefault(row, f"{path}: {reason}" if path else reason)


def typed_column(values: Sequence[Any], dtype: pl.Struct) -> tuple[pl.Series, Misfits]:
    """Build the struct column of validated answers.

    Args:
        values: Instances of the model, or None; shape (rows,).
        dtype: The column's type.

    Returns:
        The column, null where the value was None or does not fit, and the reasons for the latter.
    """
    misfits = Misfits()
    column = _column(values, dtype, range(len(values)), "", misfits)
    if misfits.found:
        fits = pl.Series([row not in misfits.found for row in range(len(values))], dtype=pl.Boolean)
        column = _nulled(column, fits)
    return column, misfits


def _column(
    values: Sequence[Any], dtype: Any, rows: Sequence[int], path: str, misfits: Misfits
) -> pl.Series:
    """Build one column; `rows` says for each value which answer it belongs to."""
    if isinstance(dtype, pl.Struct):
        return _struct(values, dtype, rows, path, misfits)
    if isinstance(dtype, pl.List):
        return _list(values, dtype, rows, path, misfits)
    return _leaf(values, dtype, rows, path, misfits)


def _struct(
    values: Sequence[Any], dtype: pl.Struct, rows: Sequence[int], path: str, misfits: Misfits
) -> pl.Series:
    parts = _converted(values, _parts, rows, path, misfits)
    children = []
    for field in dtype.fields:
        name = field.name
        below = [None if part is None else part.get(name) for part in parts]
        children.append(
            _column(below, field.dtype, rows, f"{path}.{name}" if path else name, misfits).alias(
                name
            )
        )
    column = pl.DataFrame(children).to_struct()
    if None not in parts:
        return column
    return _nulled(column, pl.Series([part is not None for part in parts], dtype=pl.Boolean))


def _list(
    values: Sequence[Any], dtype: pl.List, rows: Sequence[int], path: str, misfits: Misfits
) -> pl.Series:
    lists = _converted(values, _items, rows, path, misfits)
    flat = list(chain.from_iterable(one for one in lists if one))
    owners = [row for row, one in zip(rows, lists, strict=True) if one for _ in one]
    inner = _column(flat, dtype.inner, owners, f"{path}[]", misfits)
    places = [place for place, one in enumerate(lists) if one for _ in one]
    grouped = (
        pl.DataFrame({"place": pl.Series(places, dtype=pl.UInt32), "items": inner})
        .group_by("place", maintain_order=True)
        .agg("items")
    )
    here = pl.DataFrame(
        {
            "place": pl.Series(range(len(lists)), dtype=pl.UInt32),
            "there": pl.Series([one is not None for one in lists], dtype=pl.Boolean),
        }
    )
    items = pl.col("items").fill_null(pl.lit([], dtype=dtype))
    return (
        here.join(grouped, on="place", how="left", maintain_order="left")
        .select(pl.when("there").then(items))
        .to_series()
    )


def _leaf(
    values: Sequence[Any], dtype: pl.DataType, rows: Sequence[int], path: str, misfits: Misfits
) -> pl.Series:
    base = type(dtype)
    if {type(value) for value in values} - {type(None)} <= _NATIVE.get(base, frozenset()):
        try:
            return _made(values, dtype)
        except _REFUSALS:
            pass  # found value by value below
    convert = _CONVERT[base]

    def held(value: Any) -> Any:
        plain = convert(_bare(value), dtype)
        try:
            _made([plain], dtype)
        except _REFUSALS as error:
            raise _misfit(value, dtype) from error
        return plain

    if base in _NATIVE:
        return _made(_converted(values, held, rows, path, misfits), dtype)
    plain = _converted(values, lambda value: convert(_bare(value), dtype), rows, path, misfits)
    return _made(plain, dtype)


def _made(values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """Build a leaf column strictly."""
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return pl.Series(values, dtype=pl.Datetime("us")).dt.replace_time_zone(dtype.time_zone)
    return pl.Series(values, dtype=dtype, strict=True)


def _nulled(column: pl.Series, there: pl.Series) -> pl.Series:
    """Make a struct column null where it is not there."""
    frame = pl.DataFrame({"column": column, "there": there})
    return frame.select(pl.when("there").then("column").alias(column.name)).to_series()


def _converted(
    values: Sequence[Any],
    convert: Callable[[Any], Any],
    rows: Sequence[int],
    path: str,
    misfits: Misfits,
) -> list[Any]:
    """Convert each value; one that does not fit becomes None and its row's reason."""
    made: list[Any] = []
    for value, row in zip(values, rows, strict=True):
        if value is None:
            made.append(None)
            continue
        try:
            made.append(convert(value))
        except _MisfitError as misfit:
            misfits.add(row, path, str(misfit))
            made.append(None)
    return made


def _bare(value: Any) -> Any:
    """Give the value inside root models and Enum members."""
    while isinstance(value, RootModel):
        value = value.root
    return value.value if isinstance(value, Enum) else value


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Give the fields of a model, dataclass or TypedDict by name."""
    if isinstance(value, RootModel):
        value = _bare(value)
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, BaseModel):
        return value.__dict__
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    raise _MisfitError(f"the model's own validator gave {_article(value)}, not a model")


def _items(value: Any) -> Sequence[Any] | None:
    """Give the elements of a list; those of a set sorted, because its order is chance."""
    bare = _bare(value)
    if isinstance(bare, (set, frozenset)):
        plain = [_bare(one) for one in bare]
        try:
            return sorted(plain)
        except TypeError:
            return sorted(plain, key=str)
    if bare is None or isinstance(bare, (list, tuple)):
        return bare
    if isinstance(bare, deque):
        return list(bare)
    raise _MisfitError(f"the model's own validator gave {_article(bare)}, not a list")


def _misfit(value: Any, dtype: pl.DataType) -> _MisfitError:
    kind = type(dtype).__name__  # an Enum written out would list every category
    return _MisfitError(f"{_article(value)} does not fit the column type {kind}")


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIO" else f"a {name}"


def _text(value: Any, dtype: pl.DataType) -> str:
    if isinstance(value, PurePath):
        return value.as_posix()  # the same column on every system
    if isinstance(value, (str, *_TEXTUAL)):
        return str(value)
    raise _misfit(value, dtype)


def _integer(value: Any, dtype: pl.DataType) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _misfit(value, dtype)
    if not -(2**63) <= value < 2**63:
        raise _MisfitError("an integer outside the 64-bit range of its column")
    return int(value)


def _float(value: Any, dtype: pl.DataType) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _misfit(value, dtype)
    try:
        return float(value)
    except OverflowError as error:
        raise _MisfitError("an integer outside the range of a float") from error


def _exactly(kind: type) -> Callable[[Any, pl.DataType], Any]:
    """Take values of this very type: a datetime is a date to Python, and loses its time in a Date."""

    def convert(value: Any, dtype: pl.DataType) -> Any:
        if type(value) is not kind:
            raise _misfit(value, dtype)
        return value

    return convert


def _time(value: Any, dtype: pl.DataType) -> dt.time:
    if not isinstance(value, dt.time):
        raise _misfit(value, dtype)
    return value.replace(tzinfo=None)


def _datetime(value: Any, dtype: pl.DataType) -> dt.datetime:
    """Give the moment in UTC without its offset, or the wall clock where the column has no zone."""
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    if not isinstance(value, dt.datetime) or (zone is None and value.tzinfo is not None):
        raise _misfit(value, dtype)
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise _MisfitError("a time outside the years 1 to 9999 in UTC") from error


_EXACT = decimal.Context(prec=38, traps=[decimal.Inexact, decimal.InvalidOperation])
"""Refuses to round, and to go beyond the digits of a Polars Decimal."""


@functools.cache
def _quantum(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def _decimal(value: Any, dtype: pl.DataType) -> Decimal:
    """Give the number with exactly the column's places; Polars itself would round in silence."""
    places = dtype.scale if isinstance(dtype, pl.Decimal) else 0
    if not isinstance(value, (Decimal, int)) or isinstance(value, bool):
        raise _misfit(value, dtype)
    number = Decimal(value)
    if not number.is_finite():
        raise _MisfitError("a number that is not finite, which a Decimal column cannot hold")
    try:
        return number.quantize(_quantum(places), context=_EXACT)
    except ArithmeticError as error:
        raise _MisfitError(
            f"a number with more than {places} decimal places or more than "
            f"{38 - places} digits before them"
        ) from error


_CONVERT: dict[type[pl.DataType], Callable[[Any, Any], Any]] = {
    pl.Boolean: _exactly(bool),
    pl.Date: _exactly(dt.date),
    pl.Datetime: _datetime,
    pl.Decimal: _decimal,
    pl.Duration: _exactly(dt.timedelta),
    pl.Enum: _text,
    pl.Float64: _float,
    pl.Int64: _integer,
    pl.String: _text,
    pl.Time: _time,
}
