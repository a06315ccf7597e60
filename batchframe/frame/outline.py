"""Lines of one outline differ in a few values only, and are cut where these stand, a block at a time.

One line is taken apart; what stands between its values must then stand in every other line of its
outline, byte for byte, and each value must be of its kind. Where quotes and escapes stand is found for
all lines at once, so no line is read by itself. What is of no known outline is not this file's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from batchframe.dialects.answers import Kind, Path

Places = npt.NDArray[np.int64]
"""Positions in a block, or numbers of its lines; shape (lines,)."""

Mask = npt.NDArray[np.bool_]

_NEWLINE, _QUOTE, _ESCAPE, _CODED, _ZERO, _SPACE = (ord(one) for one in '\n"\\u0 ')

_WIDE = 128
"""ASCII ends below."""

_LONGEST = 18
"""Digits of a whole number that surely fit 64 bits."""

_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|true|false|null|[{}\[\],:]|[ \t\r\n]+', re.DOTALL
)


class Block:
    """Some whole lines, and where their quotes and escapes stand."""

    def __init__(self, data: bytes, size: int) -> None:
        """Look at some lines.

        Args:
            data: The lines; each ends with a newline.
            size: So many bytes of the data are the lines, one at least.
        """
        self.data = data
        self.octets = np.frombuffer(data, np.uint8, size)
        marks = np.flatnonzero(self.octets < _SPACE)
        self.plain = bool((self.octets[marks] == _NEWLINE).all())
        """Whether newlines are the only control characters, as in every line without odd spaces."""
        self.ends: Places = marks if self.plain else np.flatnonzero(self.octets == _NEWLINE)
        self.starts: Places = np.concatenate([np.zeros(1, np.int64), self.ends[:-1] + 1])

    @cached_property
    def text(self) -> bool:
        """Whether all of it is valid UTF-8."""
        if self.octets.max(initial=0) < _WIDE:
            return True
        ends = pa.py_buffer(np.array([0, self.octets.size]))
        whole = pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(self.data)])
        try:
            whole.validate(full=True)
        except pa.ArrowInvalid:
            return False
        return True

    @cached_property
    def escapes(self) -> Places:
        """Where backslashes stand."""
        return np.flatnonzero(self.octets == _ESCAPE)

    @cached_property
    def coded(self) -> bool:
        """Whether a character may be written as its code point: a `u` behind a backslash."""
        return bool((self.octets[self.escapes + 1] == _CODED).any())

    @cached_property
    def quotes(self) -> Places:
        """Where strings begin and end: quotes behind an even number of backslashes."""
        quotes, escapes = np.flatnonzero(self.octets == _QUOTE), self.escapes
        if not escapes.size:
            return quotes
        gaps = np.flatnonzero(np.diff(escapes) != 1)
        begun = escapes[np.concatenate([np.zeros(1, np.int64), gaps + 1])]
        ended = escapes[np.concatenate([gaps, np.array([escapes.size - 1])])]
        odd = (ended - begun) % 2 == 0
        escaped = ended[odd & (self.octets[ended + 1] == _QUOTE)] + 1
        return np.delete(quotes, np.searchsorted(quotes, escaped))

    @cached_property
    def first(self) -> Places:
        """The number of each line's first quote, and how many there are in all; shape (lines + 1,)."""
        inner = np.searchsorted(self.quotes, self.starts)
        return np.append(inner, self.quotes.size)

    def line(self, number: int) -> bytes:
        """Give one line, newline and all."""
        return self.data[self.starts[number] : self.ends[number] + 1]

    def says(self, at: Places, text: bytes) -> Mask:
        """Tell where a text stands.

        Args:
            at: Positions, which may lie outside.
            text: What must begin there.
        """
        last = self.octets.size - len(text)
        if not text or last < 0:
            return np.full(at.size, not text)
        windows = np.ndarray((last + 1,), f"V{len(text)}", self.data, strides=(1,))
        inside = np.minimum(np.maximum(at, 0), last)
        there = windows[inside].view(np.uint8).reshape(-1, len(text))
        same = there == np.frombuffer(text, np.uint8)
        found: Mask = inside == at
        return found if same.all() else found & same.all(axis=1)

    def escaped(self, begun: Places, ended: Places) -> Places:
        """Count the backslashes between two places of each line."""
        if not self.escapes.size:
            return np.zeros(begun.size, np.int64)
        return np.searchsorted(self.escapes, ended) - np.searchsorted(self.escapes, begun)


@dataclass(frozen=True, slots=True)
class _Place:
    """A place that is told by a quote of its line: so many bytes behind it.

    Quote -1 is the byte before the line, and the one behind the last is the line's end.
    """

    quote: int
    offset: int


class _Lines:
    """Lines of a block that have the same number of quotes."""

    def __init__(self, block: Block, lines: Places, quotes: int, asked: Sequence[int]) -> None:
        """Look at some lines.

        Args:
            block: The block.
            lines: Numbers of lines in it.
            quotes: How many quotes each has.
            asked: The quotes by which places will be told, rising.
        """
        self.starts = block.starts[lines]
        self.ends = block.ends[lines]
        self._last = quotes
        self._where = {quote: place for place, quote in enumerate(asked)}
        if lines.size * quotes == block.quotes.size:  # all lines of the block that have any
            table = block.quotes.reshape(lines.size, quotes)[:, list(asked)]
        else:
            table = block.quotes[block.first[lines, None] + np.array(asked, np.int64)]
        self._table = np.ascontiguousarray(table.T)

    def at(self, place: _Place) -> Places:
        """Find a place in each line."""
        if place.quote < 0:
            return self.starts + (place.offset - 1)
        if place.quote >= self._last:
            return self.ends + place.offset
        found: Places = self._table[self._where[place.quote]]
        return found + place.offset


@dataclass(frozen=True, slots=True)
class Hole:
    """Where a value stands, what it is, and the fixed text before it."""

    path: Path
    kind: Kind
    begun: _Place
    ended: _Place
    before: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands in some lines: it begins at one place and ends before the other.

    `values` are those of whole numbers, -1 where it is none.
    """

    begun: Places
    ended: Places
    values: Places | None = None

    def kept(self, good: Mask) -> Span:
        """Give those of some lines only."""
        values = None if self.values is None else self.values[good]
        return Span(self.begun[good], self.ended[good], values)


@dataclass(frozen=True, slots=True)
class Found:
    """The lines of an outline, where their values stand, and where their bodies do."""

    lines: Places
    spans: Mapping[Path, Span]
    body: Span


@dataclass(frozen=True)
class Outline:
    """What lines have in common: their fixed texts, and holes between them."""

    quotes: int
    holes: Sequence[Hole]
    after: bytes
    body: tuple[_Place, _Place]

    @cached_property
    def asked(self) -> Sequence[int]:
        """The quotes that tell its places."""
        places = [
            *self.body,
            *(hole.begun for hole in self.holes),
            *(hole.ended for hole in self.holes),
        ]
        return sorted({place.quote for place in places if 0 <= place.quote < self.quotes})

    def find(self, block: Block, lines: Places) -> Found:
        """Find those lines that are of this outline.

        Args:
            block: The block.
            lines: Numbers of lines in it.
        """
        lines = lines[block.first[lines + 1] - block.first[lines] == self.quotes]
        those = _Lines(block, lines, self.quotes, self.asked)
        last = those.starts
        good = np.ones(lines.size, np.bool_)
        free = np.zeros(lines.size, np.int64)
        spans: dict[Path, Span] = {}
        for hole in self.holes:
            begun = those.at(hole.begun)
            # its quotes are in their places then, so that the value begins where it ends
            good &= block.says(last, hole.before)
            last = those.at(hole.ended)
            values = None
            if hole.kind.whole:
                values = whole_numbers(block.octets, begun, last)
                good &= (values >= 0) & (values <= hole.kind.most)
            elif hole.kind.escapes:
                free += block.escaped(begun, last)
            else:
                good &= last > begun
            spans[hole.path] = Span(begun, last, values)
        good &= (those.ends - last == len(self.after)) & block.says(last, self.after)
        good &= block.escaped(those.starts, those.ends) == free
        body = Span(those.at(self.body[0]), those.at(self.body[1]))
        if good.all():
            return Found(lines, spans, body)
        spans = {path: span.kept(good) for path, span in spans.items()}
        return Found(lines[good], spans, body.kept(good))


def whole_numbers(octets: npt.NDArray[np.uint8], begun: Places, ended: Places) -> Places:
    """Read numbers as JSON writes whole ones that are not negative; -1 where something else stands.

    Args:
        octets: The bytes.
        begun: Where each begins; may lie outside, as may the next.
        ended: Where each has ended, one byte before the end at least; one near the very beginning is
            not read.
    """
    length = ended - begun
    good = (length > 0) & (length <= _LONGEST) & (ended < octets.size)
    width = int(length[good].max(initial=1))
    good &= ended >= width
    at = np.minimum(np.maximum(ended - width, 0), max(octets.size - width, 0))
    windows = np.ndarray((octets.size - width + 1,), f"V{width}", octets, strides=(1,))
    digits = windows[at].view(np.uint8).reshape(-1, width).T - np.uint8(_ZERO)
    inside = np.arange(width, 0, -1)[:, None] <= length
    good &= ((digits < 10) | ~inside).all(axis=0)  # noqa: PLR2004 - of one digit
    # a longer number with a leading zero is none in JSON
    good &= (octets[np.minimum(begun, octets.size - 1)] != _ZERO) | (length == 1)
    values = np.zeros(begun.size, np.int64)
    for digit in digits * inside:
        values = values * 10 + digit
    return np.where(good, values, -1)


def learn(line: bytes, kinds: Mapping[Path, Kind], body: Path) -> Outline | None:
    """Take a line apart.

    Args:
        line: A line of JSON, which fits what `kinds` are about, newline and all.
        kinds: What may differ from line to line.
        body: The path of the body.

    Returns:
        Its outline; None when the line has no body, a member that stands twice, or an escape where
        none is looked for.
    """
    block = Block(line, len(line))
    if block.starts.size != 1 or not block.plain:
        return None
    marks = np.concatenate([np.array([-1]), block.quotes, block.ends])
    found = list(_values(line))
    tokens = {path: (start, end) for path, start, end in found}
    if body not in tokens or len(tokens) < len(found):
        return None  # of a member that stands twice, only the last one counts
    holes: list[Hole] = []
    last = 0
    for path, (start, end) in sorted(tokens.items(), key=lambda one: one[1]):
        kind = kinds.get(path)
        text = line[start:end]
        if kind is None or not kind.holds(text):
            continue
        if not kind.whole:
            start, end = start + 1, end - 1  # noqa: PLW2901 - a string's inside
        holes.append(Hole(path, kind, _behind(marks, start), _before(marks, end), line[last:start]))
        last = end
    outline = Outline(
        block.quotes.size, tuple(holes), line[last : int(block.ends[0])],
        (_behind(marks, tokens[body][0]), _before(marks, tokens[body][1])),
    )  # fmt: skip
    return outline if outline.find(block, np.zeros(1, np.int64)).lines.size else None


def _behind(marks: Places, place: int) -> _Place:
    """Tell a place by the quote before it."""
    quote = int(np.searchsorted(marks, place)) - 1
    return _Place(quote - 1, place - int(marks[quote]))


def _before(marks: Places, place: int) -> _Place:
    """Tell a place by the quote at or behind it."""
    quote = int(np.searchsorted(marks, place))
    return _Place(quote - 1, place - int(marks[quote]))


def _values(line: bytes) -> Iterator[tuple[Path, int, int]]:
    """Give path, start and end of every value in a line of valid JSON, the inner ones first."""
    path: list[str | int] = []
    opened: list[tuple[int, bool]] = []
    named = False
    for token in _TOKEN.finditer(line):
        start, end, mark = token.start(), token.end(), token.group()[:1]
        if mark in b"{[":
            opened.append((start, mark == b"{"))
            path.append("" if mark == b"{" else 0)
            named = False
        elif mark in b"}]":
            path.pop()
            yield tuple(path), opened.pop()[0], end
        elif mark == b",":
            named = False
            if not opened[-1][1]:
                path[-1] = int(path[-1]) + 1
        elif mark == b":":
            named = True
        elif mark.isspace():
            continue
        elif opened and opened[-1][1] and not named:
            path[-1] = orjson.loads(token.group())
        else:
            yield tuple(path), start, end
