"""A result file is lines, whatever it came wrapped in: gzip is unpacked, an array of objects taken apart."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

_GZIP = b"\x1f\x8b"
_HEAD = 4_096
_PIECE = 1 << 16
_UNPACKED = 1 << 20
_TORN = b"\n<the rest of the file cannot be unpacked>\n"
"""The line that stands for what gzip could not give: it counts as one that cannot be read."""

_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*\{\s*\n")
"""How an array begins whose objects go over several lines; one object a line is read as lines."""

_MARK = re.compile(rb'\\.|["{}\[\]]', re.DOTALL)
_ELEMENT = 2
"""So many brackets are open inside an element of the array."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a result file.

    Args:
        path: A plain or gzipped file of lines, or of one JSON array.
    """
    with path.open("rb") as plain:
        packed = plain.read(len(_GZIP)) == _GZIP
        plain.seek(0)
        pieces = _unpacked(plain) if packed else iter(lambda: plain.read(_PIECE), b"")
        head = b""
        while len(head) < _HEAD and (piece := next(pieces, b"")):
            head += piece
        whole = itertools.chain([head], pieces)
        if _ARRAY.match(head):
            yield _file(_elements(whole))
        elif packed:
            yield _file(whole)
        else:
            plain.seek(0)
            yield plain


def _unpacked(packed: IO[bytes]) -> Iterator[bytes]:
    """Unpack gzip as far as it goes."""
    inner = zlib.decompressobj(31)
    begun = False
    while data := packed.read(_PIECE):
        while data:
            try:
                piece = inner.decompress(data, _UNPACKED)
            except zlib.error:
                yield _TORN
                return
            if piece:
                yield piece
            begun, data = True, inner.unconsumed_tail
            if inner.eof:  # another one may follow, as `cat a.gz b.gz` makes them
                begun, data, inner = False, inner.unused_data, zlib.decompressobj(31)
    if begun:
        yield inner.flush() + _TORN


def _elements(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the objects of an array as lines; what follows the array is given as it is."""
    depth, quoted, held, tail = 0, False, b"", b""
    rest = iter(pieces)
    for piece in rest:
        data = tail + piece
        # half of an escape waits for its other half
        tail = data[-1:] if (len(data) - len(data.rstrip(b"\\"))) % 2 else b""
        data = data[: len(data) - len(tail)]
        start = 0
        for found in _MARK.finditer(data):
            mark = found.group()
            if mark == b'"':
                quoted = not quoted
            elif quoted or mark.startswith(b"\\"):
                continue
            elif mark in b"{[":
                depth += 1
                if depth == _ELEMENT:
                    start = found.start()
            else:
                depth -= 1
                if depth == _ELEMENT - 1:
                    yield (held + data[start : found.end()]).replace(b"\n", b" ") + b"\n"
                    held = b""
                elif depth < 1:
                    yield data[found.end() :] + tail
                    yield from rest
                    return
        if depth >= _ELEMENT:
            held += data[start:]
    yield held.replace(b"\n", b" ")


class _Pieces(io.RawIOBase):
    """What a generator gives, as a file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._left = b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the next piece goes."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _file(pieces: Iterable[bytes]) -> IO[bytes]:
    return io.BufferedReader(_Pieces(pieces), _UNPACKED)
