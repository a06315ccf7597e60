"""Answers of known outlines become columns a block at a time, without being read one by one.

Outlines are learnt from the lines themselves: the first line of a kind is read by the types
(`dialects.answers`), the others like it are cut. What fits no outline is handed back as it came.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from batchframe.dialects.answers import BODY, CONTENT, VARYING, Path
from batchframe.frame import fitting
from batchframe.frame.outline import Block, Found, Outline, Places, Span, learn, whole_numbers

FEWEST = 32
"""So many lines of a block at least, or they are read one by one."""

_MOST_KNOWN = 8
_MOST_TRIES = 16
"""Lines that may be learnt from in vain before files are taken to be of no outline."""

_USAGE = (*BODY, "usage")
_COUNTED: Mapping[str, Path] = {
    "input_tokens": (*_USAGE, "prompt_tokens"),
    "cached_tokens": (*_USAGE, "prompt_tokens_details", "cached_tokens"),
    "cache_write_tokens": (*_USAGE, "prompt_tokens_details", "cache_write_tokens"),
    "output_tokens": (*_USAGE, "completion_tokens"),
    "reasoning_tokens": (*_USAGE, "completion_tokens_details", "reasoning_tokens"),
}
_REQUEST: Path = ("response", "request_id")
_LINE: Path = ("id",)
_MODEL: Path = (*BODY, "model")
_CUSTOM: Path = ("custom_id",)


@dataclass(slots=True)
class _Known:
    """An outline, and what the line said that it was learnt from."""

    outline: Outline
    sample: fitting.Fields


@dataclass(frozen=True, slots=True)
class Cut:
    """Answers that were cut out of a block.

    Args:
        frame: The columns of `fitting.PIECE`, but for `row`.
        numbers: What follows the `r` of ids that are `r` and a number, -1 for others; shape (rows,).
    """

    frame: pl.DataFrame
    numbers: Places


class Cutter:
    """Cuts blocks of lines, and learns outlines as they come."""

    def __init__(self) -> None:
        self._known: list[_Known] = []
        self._tries = _MOST_TRIES

    def cut(self, data: bytes, size: int) -> tuple[list[Cut], list[bytes]]:
        """Cut some lines.

        Args:
            data: The lines.
            size: So many bytes of the data are whole lines.

        Returns:
            The answers, and the lines that are left over, in their order.
        """
        if not self._tries and not self._known:
            return [], lines_of(data[:size])
        block = Block(data, size) if data[size - 1 : size] == b"\n" else None
        if block is None or block.starts.size < FEWEST or not (block.plain and block.text):
            return [], lines_of(data[:size])
        left: Places = np.arange(block.starts.size)
        cuts: list[Cut] = []
        single: list[int] = []
        for known in (*self._known,):
            left = self._cut_known(known, block, left, cuts)
        while left.size >= FEWEST and self._tries and len(self._known) < _MOST_KNOWN:
            known_or_none = self._learn(block.line(int(left[0])))
            if known_or_none is None:
                single.append(int(left[0]))
                left = left[1:]
                continue
            before = left.size
            left = self._cut_known(known_or_none, block, left, cuts)
            if before - left.size >= FEWEST:
                self._known.append(known_or_none)
                self._tries = _MOST_TRIES
        return cuts, [block.line(number) for number in sorted({*single, *left.tolist()})]

    def _learn(self, line: bytes) -> _Known | None:
        self._tries -= 1
        sample = fitting.fields(line)
        outline = None if sample is None else learn(line, VARYING, BODY)
        if sample is None or outline is None:
            return None
        paths = {hole.path for hole in outline.holes}
        return _Known(outline, sample) if {CONTENT, _CUSTOM} <= paths else None

    def _cut_known(self, known: _Known, block: Block, left: Places, cuts: list[Cut]) -> Places:
        """Cut the lines of one outline; gives those that are left."""
        found = known.outline.find(block, left)
        if not found.lines.size:
            return left
        frame, good = _frame(known, block, found)
        numbers = _numbers(block, found.spans[_CUSTOM])
        taken = found.lines
        if good is not None:
            right = good.to_numpy()
            frame, numbers, taken = frame.filter(good), numbers[right], taken[right]
        cuts.append(Cut(frame, numbers))
        if taken.size == left.size:
            return left[:0]
        return np.setdiff1d(left, taken, assume_unique=True)


def lines_of(data: bytes) -> list[bytes]:
    """Give the lines of some bytes, newlines and all."""
    return io.BytesIO(data).readlines()


def _frame(known: _Known, block: Block, found: Found) -> tuple[pl.DataFrame, pl.Series | None]:
    """Give the lines of an outline as columns, and which of them are right; None: all are."""
    spans = found.spans
    texts = {
        "custom_id": spans[_CUSTOM], "response": spans[CONTENT], "model": spans.get(_MODEL),
        "body": found.body, "request_id": spans.get(_REQUEST) or spans.get(_LINE),
    }  # fmt: skip
    columns = [strings(name, block, span) for name, span in texts.items() if span is not None]
    good = None
    if block.escapes.size:
        columns[1] = unescaped(columns[1], coded=block.coded)
        good = columns[1].is_not_null() if columns[1].null_count() else None
    for name, path in _COUNTED.items():
        if path in spans:
            columns.append(pl.Series(name, spans[path].values))
    there = {column.name for column in columns}
    said = dict(zip(_FIELDS, known.sample, strict=True))
    for name in (*_CONSTANT, *_COUNTED):
        if name not in there:
            one = pl.Series(name, [said[name]], fitting.PIECE[name])
            columns.append(one.new_from_index(0, found.lines.size))
    return pl.DataFrame(columns), good


def _numbers(block: Block, ids: Span) -> Places:
    """Read the numbers of ids that are an `r` and a number."""
    numbers = whole_numbers(block.octets, ids.begun + 1, ids.ended)
    return np.where(block.octets[ids.begun] == _ROW, numbers, -1)


_ROW = ord("r")
"""How the ids of rows begin that are known by their place (`requests.position_ids`)."""

_INLINE = 12
"""Bytes of a text that Arrow keeps within its view."""


def strings(name: str, block: Block, span: Span) -> pl.Series:
    """Give what stands in a span of each line as a column, which shares the block's memory.

    Args:
        name: The column's name.
        block: The block, all of it valid UTF-8.
        span: Where the texts stand.
    """
    # Arrow's views: length, first four bytes, number of the buffer, offset; or length and a short text
    views = np.zeros((span.begun.size, 4), np.uint32)
    length = span.ended - span.begun
    views[:, 0] = length
    views[:, 1] = _windows(block, span.begun, 4).view(np.uint32)
    views[:, 3] = span.begun
    short = np.flatnonzero(length <= _INLINE)
    if short.size:
        those = _windows(block, span.begun[short], _INLINE).view(np.uint8).reshape(-1, _INLINE)
        inside = np.arange(_INLINE) < length[short, None]
        views[short, 1:] = np.ascontiguousarray(those * inside).view(np.uint32)
    buffers = [None, pa.py_buffer(views), pa.py_buffer(block.data)]
    return pl.Series(name, pa.Array.from_buffers(pa.string_view(), length.size, buffers))


def _windows(block: Block, begun: Places, width: int) -> npt.NDArray[np.void]:
    """Give so many bytes from each place on; behind the block's end there are zeros."""
    data = block.data
    if begun.size and begun.max() + width > len(data):
        data += bytes(width)
    windows = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
    return windows[begun]


def unescaped(texts: pl.Series, *, coded: bool) -> pl.Series:
    r"""Read strings of JSON.

    Args:
        texts: What stands between the quotes, without control characters.
        coded: Whether there may be characters written as their code points.

    Returns:
        The strings; null where there is an escape that JSON does not have.

    >>> unescaped(pl.Series("t", [r"a\n", "b", r"\q"]), coded=False).to_list()
    ['a\n', 'b', None]
    """
    if not coded:  # Polars 2.1 reads half of a surrogate pair as a null character
        quoted = pl.concat_str(pl.lit('"'), texts.name, pl.lit('"')).alias(texts.name)
        try:
            return texts.to_frame().select(quoted.str.json_decode(pl.String)).to_series()
        except pl.exceptions.ComputeError:
            pass  # one that JSON does not have: found text by text
    return pl.Series(texts.name, [_string(text) for text in texts], pl.String)


_CONSTANT = ("model", "finish_reason", "request_id", "embedding")
"""Columns that all lines of an outline may have in common, beside the counts."""

_FIELDS = (
    "custom_id", "response", "embedding", "model", "finish_reason", *fitting.COUNTS, "request_id",
    "body",
)  # fmt: skip
"""The columns of `fitting.Fields`, in their order."""


def _string(text: str | None) -> str | None:
    r"""Read what stands between the quotes of a string of JSON; None where it is none.

    >>> _string(r"caf\u00e9"), _string(r"half a pair: \ud83d")
    ('café', None)
    """
    try:
        return None if text is None else str(orjson.loads(f'"{text}"'))
    except orjson.JSONDecodeError:
        return None
