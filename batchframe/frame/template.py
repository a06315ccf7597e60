"""A prompt template is text with `{column}` in it; `{{` and `}}` are braces. Nothing else is special."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from batchframe.errors import ColumnError, nearest

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `{column}` or `{column.field}` of a template."""

    column: str
    fields: tuple[str, ...] = ()


Piece = str | Placeholder


def parse(template: str, columns: Collection[str], *, where: str) -> tuple[Piece, ...]:
    r"""Cut a template into literal text and placeholders.

    A column whose name holds dots wins over a struct field of the same spelling.

    Args:
        template: For example "Is this positive?\\n\\n{text}".
        columns: The frame's columns.
        where: The argument that held the template, for messages.

    Raises:
        ColumnError: A column is missing (nearest names in the message), or a brace stands alone.
    """
    pieces: list[Piece] = []
    literal = ""
    end = 0
    for token in _TOKEN.finditer(template):
        literal += template[end : token.start()]
        end = token.end()
        found = token.group()
        if found in ("{{", "}}"):
            literal += found[0]
        elif token.group(1) is None:
            raise ColumnError(
                f"{where} has a lone '{found}' at character {token.start()}: "
                f"write '{found * 2}' for a brace, or {{column}} for a column."
            )
        else:
            if literal:
                pieces.append(literal)
            literal = ""
            pieces.append(_placeholder(token.group(1), columns, where))
    literal += template[end:]
    if literal or not pieces:
        pieces.append(literal)
    return tuple(pieces)


def _placeholder(name: str, columns: Collection[str], where: str) -> Placeholder:
    if name in columns:
        return Placeholder(name)
    head, *fields = name.split(".")
    if fields and head in columns:
        return Placeholder(head, tuple(fields))
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "..."
    known = ", ".join(repr(c) for c in list(columns)[:8]) or "none"
    raise ColumnError(
        f"{where} asks for the column '{shown}', which the frame does not have."
        f"{nearest(name, columns)} Columns: {known}. "
        "For a brace in the text, write '{{' or '}}'."
    )
