"""A prompt template is text with `{column}` in it; `{{` and `}}` are braces. Nothing else is special."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from batchframe.errors import ColumnError, nearest

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_JSON = re.compile(r"[\"\n]|^\s*$")
"""What stands between braces in JSON or code and hardly ever in a column's name."""

_SHOWN = 30
_LISTED = 8


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

    >>> parse("Answer {{}} for {text}", ["text"], where="prompt=")
    ('Answer {} for ', Placeholder(column='text', fields=()))
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
                f"write '{found * 2}' for a brace, or {{column}} for a column. "
                "JSON in a prompt needs all its braces twice; a column whose own name holds braces "
                "needs an expression, such as pl.format('... {}', pl.col('a{b'))."
            )
        else:
            if literal:
                pieces.append(literal)
            literal = ""
            pieces.append(_placeholder(token.group(1), columns, where, token.start()))
    literal += template[end:]
    if literal or not pieces:
        pieces.append(literal)
    return tuple(pieces)


def _placeholder(name: str, columns: Collection[str], where: str, at: int) -> Placeholder:
    if name in columns:
        return Placeholder(name)
    head, *fields = name.split(".")
    if fields and head in columns:
        return Placeholder(head, tuple(fields))
    shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "..."
    known = ", ".join(repr(c) for c in list(columns)[:_LISTED]) or "none"
    if _JSON.search(name):
        raise ColumnError(
            f"{where} has '{{{shown}}}' at character {at}, which reads like JSON and is no column. "
            "Write every brace of the text twice, '{{' and '}}'; only a column stands in single "
            f"ones. Columns: {known}."
        )
    raise ColumnError(
        f"{where} asks for the column '{shown}', which the frame does not have."
        f"{_hint(name, columns)} Columns: {known}. "
        "For a brace in the text, write '{{' or '}}'."
    )


def _hint(name: str, columns: Collection[str]) -> str:
    """Give the nearest columns, or the one that is meant under a format such as `{price:.2f}`."""
    bare = re.split("[:!]", name)[0].strip()
    if bare not in columns:
        return nearest(name, columns)
    return f" Write '{{{bare}}}': a placeholder holds the column's name and nothing else."
