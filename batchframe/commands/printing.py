"""Text for standard output and standard error, which no answer of a model can use to drive a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TextIO

from batchframe.notebook.hostile import clean

CELL = 300
"""Characters of one cell."""

_MESSAGE = 4_000  # characters of one message


def put(stream: TextIO, lines: str) -> None:
    """Write NDJSON: bytes to a pipe or file; to a terminal nothing that could drive it."""
    raw: IO[bytes] | None = getattr(stream, "buffer", None)
    if raw is None or stream.isatty():
        stream.write(_UNSAFE.sub(_escaped, lines))
        return
    stream.flush()
    raw.write(lines.encode())


def _escaped(found: re.Match[str]) -> str:
    """Write a character as JSON's escape: two of them where it needs more than 16 bits."""
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that move a cursor, hide or reorder; in JSON each may be written as an escape."""


def say(message: str) -> None:
    """Print a message on standard error; no text in it can drive the terminal."""
    sys.stderr.write(f"batchframe: {clean(message, _MESSAGE, lines=True)}\n")
    sys.stderr.flush()


def print_line(text: str) -> None:
    """Print a line that was asked for on standard output."""
    sys.stdout.write(text + "\n")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns side by side; a terminal cuts each line at its width, a pipe gets all of it."""
    cells = [list(header), *([clean(cell, CELL) for cell in row] for row in rows)]
    widths = [max(_width(row[i]) for row in cells) for i in range(len(header))]
    most = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in cells:
        padded = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        print_line(_cut("  ".join(padded).rstrip(), most))


def _width(text: str) -> int:
    """Count the terminal cells of a text: Chinese takes two each, an accent none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _cut(line: str, most: int | None) -> str:
    if most is None or _width(line) <= most:
        return line
    while line and _width(line) > most - 1:
        line = line[:-1]
    return line + "…"


_SHELL = (
    (r"bf\.job\('([\w-]+)'\)\.(wait|retry|cancel)\(\)", r"batchframe \2 \1"),
    (r"batchframe wait ", "batchframe watch "),
    (r"bf\.jobs\(\)", "batchframe jobs"),
    (r'bf\.workspace\("path"\)', "--workspace DIR"),
    (r"Job ([\w-]+) is (\w+); job\.wait\(\) first, then retry\.", r"Job \1 is \2. Type: batchframe watch \1, then batchframe retry \1"),
    (r"Job ([\w-]+) is ([\w ]+)\. Type: job\.cancel\(\)\.wait\(\), then job\.forget\(\)\.", r"Job \1 is \2. Type: batchframe cancel \1, then batchframe forget \1"),
    (r'prefix="(\w+)"', r"--prefix \1"),
    (r", or drop yours: df\.drop\([^)]*\)", ""),
    (r"\bagain=True\b", "--again"),
    (r"\bon_invalid='(\w+)'", r"--on-invalid \1"),
    (r"extra_body=\{'(\w+)': \.\.\.\}", r"--extra \1=VALUE"),
    (r"\bkey='([^']*)'", r"--key \1"),
    (r"\bbudget_usd=(?=\W|$)", "--budget-usd"),
    (r"\b(prompt|system|name|prefix)=(?=[\s.,:]|$)", r"--\1"),
    (r"requests\(\) says why in its error column", "batchframe errors says why afterwards"),
)  # fmt: skip
"""What the library's messages say in Python -> the same in a shell."""


def in_shell(message: str) -> str:
    """Say in a shell's words what the library says in Python's."""
    for pattern, said in _SHELL:
        message = re.sub(pattern, said, message)
    return message


@contextlib.contextmanager
def overheard() -> Iterator[None]:
    """Say in a shell's words what the library itself writes on standard error inside the block."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            yield
    finally:
        sys.stderr.write(in_shell(told.getvalue()))


def tolerate(stream: TextIO) -> None:
    """Let a stream that is not UTF-8 print a question mark where it has no sign, and go on."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and (stream.encoding or "").lower().replace("-", "") != "utf8":
        reconfigure(errors="replace")


def reader_left() -> None:
    """End quietly when who reads our output has had enough; Python would complain at its exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
