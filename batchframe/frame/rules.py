"""A parameter's rule meets a column: its type before a row is looked at, its values row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from batchframe.dialects.parameters import Kind, Rule
from batchframe.errors import ColumnError

_CASTS: Mapping[Kind, str] = {
    "number": "pl.Float64",
    "whole number": "pl.Int64",
    "text": "pl.String",
    "flag": "pl.Boolean",
}
"""The type to cast to, where a cast can help."""

_EXACT = 2**53  # from here on a float no longer tells one whole number from the next


def refuse_type(rule: Rule, dtype: Any, where: str) -> None:
    """Refuse a column none of whose values could do.

    Args:
        rule: The parameter's.
        dtype: The column's type.
        where: What to call it in the message.

    Raises:
        ColumnError: With the cast that may help.
    """
    kind = _kind(dtype)
    if kind is None or rule.allows(kind):
        return
    cast = _CASTS.get(rule.kinds[0])
    hint = f" Cast it first, for example with .cast({cast})." if cast else ""
    raise ColumnError(f"{where} is {dtype} in this frame, and it must be {rule}.{hint}")


def held(rule: Rule, values: pl.Series, where: str) -> tuple[pl.Series, list[pl.Series]]:
    """Hold a column's values to a rule; nulls pass, they leave the parameter out.

    Args:
        rule: The parameter's.
        values: One value a row, of a type that `refuse_type` let pass.
        where: What to call it in the message.

    Returns:
        The values, whole numbers among floats as integers; and for each way in which some row broke
        the rule its messages: String, null where a row did not.
    """
    kind = _kind(values.dtype)
    if kind == "list" and rule.most is not None:
        return values, [_too_long(values, where, rule)]
    if kind not in ("number", "whole number"):
        return values, []
    # a row that breaks the rule is rare: one look tells
    least: Any = values.min()
    most: Any = values.max()
    said = pl.concat_str(pl.lit(f"{where} is "), pl.lit(values))
    faults = []
    if rule.low is not None and least is not None and least < rule.low:
        faults.append(_told(values < rule.low, said, rule))
    if rule.high is not None and most is not None and most > rule.high:
        faults.append(_told(values > rule.high, said, rule))
    if kind == "number" and "number" not in rule.kinds:
        broken = (values != values.floor()) | (values.abs() > _EXACT)
        faults.append(_told(broken, said, rule))
        values = values.cast(pl.Int64, strict=False)
    return values, faults


def _too_long(values: pl.Series, where: str, rule: Rule) -> pl.Series:
    """Write the message where a row's list has too many entries."""
    listed = isinstance(values.dtype, pl.Array)
    lengths = values.arr.to_list().list.len() if listed else values.list.len()
    said = pl.concat_str(pl.lit(f"{where} has "), pl.lit(lengths), pl.lit(" entries"))
    return _told((lengths > (rule.most or 0)).fill_null(value=False), said, rule)


def _told(broken: pl.Series, said: pl.Expr, rule: Rule) -> pl.Series:
    """Write the message where a row breaks the rule."""
    message = pl.concat_str(
        pl.lit("invalid_request: "), said, pl.lit(f" in this row, and it must be {rule}")
    )
    return pl.select(pl.when(broken).then(message)).to_series()


def _kind(dtype: Any) -> Kind | None:
    """Give the JSON kind that a column's values become; None when that is not known."""
    if dtype.is_integer():
        return "whole number"
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "flag"
    if isinstance(dtype, pl.Struct):
        return "object"
    if dtype.is_nested():
        return "list"
    return None if dtype in (pl.Null, pl.Unknown, pl.Object, pl.Binary) else "text"
