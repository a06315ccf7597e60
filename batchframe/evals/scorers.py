"""Ready-made scorers: each is a Polars expression over the frame and its result columns.

A scorer gives True/False or a number per row. Where the gold column is null nobody can be right, so
these give null and the row is left out; what a missing answer counts is the comparison's rule.
A `gold` or `answer` is a column's name or any expression.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Literal, NoReturn

import polars as pl

from batchframe.errors import InputError

Column = str | pl.Expr
"""A column by its name, or any expression."""

NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
"""A decimal number in running text, thousands commas allowed."""


def exact_match(
    gold: Column, answer: Column = "response", *, strip: bool = True, casefold: bool = False
) -> pl.Expr:
    """Score whether the answer is the gold text.

    Args:
        gold: The right text, String.
        answer: What is judged, String.
        strip: Ignore white space around both.
        casefold: Ignore upper and lower case.
    """
    return _text(answer, strip=strip, casefold=casefold) == _text(
        gold, strip=strip, casefold=casefold
    )


def contains(
    gold: Column, answer: Column = "response", *, strip: bool = True, casefold: bool = False
) -> pl.Expr:
    """Score whether the gold text occurs in the answer, letter by letter (no pattern).

    Args:
        gold: The text to find, String.
        answer: What is judged, String.
        strip: Ignore white space around both.
        casefold: Ignore upper and lower case.
    """
    wanted = _text(gold, strip=strip, casefold=casefold)
    return _text(answer, strip=strip, casefold=casefold).str.contains(wanted, literal=True)


def one_of(
    choices: Collection[str],
    answer: Column = "response",
    *,
    strip: bool = True,
    casefold: bool = False,
) -> pl.Expr:
    """Score whether the answer is one of the allowed words: that it answers, not that it is right.

    Args:
        choices: The allowed texts.
        answer: What is judged, String.
        strip: Ignore white space around it.
        casefold: Ignore upper and lower case.

    Raises:
        InputError: No choices, or one bare string.
    """
    if isinstance(choices, str) or not choices:
        raise InputError('`choices` must be a list of texts. Type: one_of(["yes", "no"])')
    allowed = [choice.strip() if strip else choice for choice in choices]
    allowed = [choice.lower() if casefold else choice for choice in allowed]
    return _text(answer, strip=strip, casefold=casefold).is_in(allowed)


def regex(pattern: str, answer: Column = "response") -> pl.Expr:
    """Score whether a pattern is found in the answer.

    Args:
        pattern: A regular expression as Polars reads it (no look-around); `^...$` for the whole text.
        answer: What is judged, String.

    Raises:
        InputError: The pattern cannot be read.
    """
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        raise InputError(f"The pattern {pattern!r} cannot be read: {error}") from error
    return _column(answer).str.contains(pattern)


def field_match(
    field: str, gold: Column | None = None, *, answer: Column = "parsed", casefold: bool = False
) -> pl.Expr:
    """Score whether a field of the parsed answer equals the gold column.

    Args:
        field: A field of the `response_model`; any type that compares with the gold column.
        gold: The right value; default: the frame's column of the field's name.
        answer: The Struct judged.
        casefold: Ignore upper and lower case and white space around both; String fields only.
    """
    found, wanted = _column(answer).struct.field(field), _column(field if gold is None else gold)
    if casefold:
        return exact_match(wanted, found, casefold=True)
    return found == wanted


def numeric_close(
    gold: Column,
    answer: Column = "response",
    *,
    absolute: float = 1e-6,
    relative: float = 0.0,
    which: Literal["first", "last"] = "last",
) -> pl.Expr:
    """Score whether a number in the answer is near the gold number.

    Right means `|found - gold| <= max(absolute, relative * |gold|)`; no number is not right.

    Args:
        gold: The right number, any numeric type.
        answer: Text that holds a number, or a number.
        absolute: Tolerance in the number's own unit.
        relative: Tolerance as a share of the gold number.
        which: The number to take when the text holds several; "last" suits worked answers.
    """
    numbers = _column(answer).cast(pl.String).str.extract_all(NUMBER)
    chosen = numbers.list.first() if which == "first" else numbers.list.last()
    found = chosen.str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
    wanted = _column(gold).cast(pl.Float64)
    margin = pl.max_horizontal(pl.lit(absolute), wanted.abs() * relative)
    return (found - wanted).abs() <= margin


def json_valid(answer: Column = "response") -> pl.Expr:
    """Score whether the answer is one JSON value as RFC 8259 has it, and nothing around it.

    Args:
        answer: What is judged, String.
    """
    return _column(answer).map_batches(
        lambda texts: pl.Series(texts.name, [_is_json(text) for text in texts], dtype=pl.Boolean),
        return_dtype=pl.Boolean,
        is_elementwise=True,
    )


def length_between(
    low: int,
    high: int,
    answer: Column = "response",
    *,
    unit: Literal["characters", "words"] = "characters",
) -> pl.Expr:
    """Score whether the answer's length is within bounds, both included.

    Args:
        low: The least.
        high: The most.
        answer: What is judged, String.
        unit: What is counted; words are runs without white space.

    Raises:
        InputError: `low` is above `high`.
    """
    if low > high:
        raise InputError(f"length_between: low ({low}) is above high ({high}).")
    text = _column(answer)
    length = text.str.len_chars() if unit == "characters" else text.str.count_matches(r"\S+")
    return length.is_between(low, high)


def _column(column: Column) -> pl.Expr:
    return pl.col(column) if isinstance(column, str) else column


def _text(column: Column, *, strip: bool, casefold: bool) -> pl.Expr:
    text = _column(column)
    text = text.str.strip_chars() if strip else text
    return text.str.to_lowercase() if casefold else text


def _is_json(text: str | None) -> bool | None:
    if text is None:
        return None
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(constant)
