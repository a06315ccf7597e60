"""From `prompt`, `system`, `messages` and parameters to a shape: one body with holes, one expression a hole.

All rows of a job share the body and differ in a few values. The body is plain JSON whose varying
places are `Hole(i)`; `holes[i]` is the Polars expression that gives what goes there. A hole in a
text is filled by the whole text, so no row ever needs string surgery.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import polars as pl

from batchframe.errors import ColumnError, InputError
from batchframe.frame.template import Piece, Placeholder, parse
from batchframe.model import Endpoint, Json

Text = str | pl.Expr
"""A template over columns, or an expression that gives the text."""

_IMAGE_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


@dataclass(frozen=True, slots=True)
class Hole:
    """The place in a shape's body that a row's value fills."""

    index: int


@dataclass(frozen=True, slots=True)
class Splice:
    """The place in a list where a row's own list goes: the messages of an expression."""

    index: int


@dataclass(frozen=True, slots=True)
class HoleSpec:
    """What fills a hole: an expression, where it stands, and whether a null there bars the row.

    `prompt` says that the hole is text of the user's own, so a row where all of them are blank has
    no question to ask.
    """

    expr: pl.Expr
    where: str
    required: bool
    prompt: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A body with holes; `endpoint` is the surface it is written for."""

    endpoint: Endpoint
    body: Json
    holes: tuple[HoleSpec, ...]

    def fill(self, values: Sequence[object]) -> Json:
        """Give one row's body.

        Args:
            values: One value a hole, in order; a None for a parameter leaves the parameter out.
        """
        return cast("Json", _fill(self.body, values))


def _fill(node: Any, values: Sequence[object]) -> Any:
    if isinstance(node, Hole):
        return values[node.index]
    if isinstance(node, dict):
        filled = {k: _fill(v, values) for k, v in node.items()}
        return {k: v for k, v in filled.items() if v is not None or not isinstance(node[k], Hole)}
    if isinstance(node, list):
        filled_list: list[Any] = []
        for item in node:
            if isinstance(item, Splice):
                filled_list += _clean(values[item.index])
            else:
                filled_list.append(_fill(item, values))
        return filled_list
    return node


@dataclass
class Builder:
    """Collects holes while a body is written down; lives for one call."""

    schema: Mapping[str, pl.DataType]
    holes: list[HoleSpec] = field(default_factory=list)

    def add(
        self, expr: pl.Expr, where: str, *, required: bool = True, prompt: bool = False
    ) -> Hole:
        """Make a hole that `expr` fills."""
        self.holes.append(HoleSpec(expr, where, required, prompt))
        return Hole(len(self.holes) - 1)

    def text(self, source: Text, where: str, *, prompt: bool = False) -> str | Hole:
        """Write a text: constant text stays as it is, anything that varies becomes a hole."""
        if isinstance(source, pl.Expr):
            return self.add(source.cast(pl.String), where, prompt=prompt)
        if not isinstance(source, str):
            raise InputError(
                f"{where} must be a text with {{column}} placeholders or a pl.Expr, "
                f"not {type(source).__name__}."
            )
        pieces = parse(source, self.schema, where=where)
        if all(isinstance(p, str) for p in pieces):
            return "".join(cast("Sequence[str]", pieces))
        return self.add(self._concat(pieces), where, prompt=prompt)

    def _concat(self, pieces: Sequence[Piece]) -> pl.Expr:
        parts = [pl.lit(p) if isinstance(p, str) else self._column(p) for p in pieces]
        return parts[0] if len(parts) == 1 else pl.concat_str(parts)

    def _column(self, piece: Placeholder) -> pl.Expr:
        expr = pl.col(piece.column)
        dtype: Any = self.schema[piece.column]
        for name in piece.fields:
            fields = dict(dtype) if isinstance(dtype, pl.Struct) else {}
            if name not in fields:
                raise ColumnError(
                    f"The prompt asks for the field '{name}' of '{piece.column}', whose type is "
                    f"{dtype}. Fields: {', '.join(fields) or 'none'}."
                )
            expr, dtype = expr.struct.field(name), fields[name]
        return as_text(expr, dtype, piece.column)


def as_text(expr: pl.Expr, dtype: Any, column: str) -> pl.Expr:
    """Give the expression that writes a column into a prompt: text as it is, nested values as JSON.

    Args:
        expr: The value.
        dtype: Its type in the frame.
        column: The column's name, for the message.

    Raises:
        ColumnError: Binary or Object columns have no text.
    """
    if dtype == pl.String:
        return expr
    if isinstance(dtype, pl.List | pl.Array | pl.Struct):
        wrapped = pl.struct(expr.alias("v")).struct.json_encode()
        # '{"v":' and '}' come off again: Polars encodes structs only
        inner = wrapped.str.slice(5, wrapped.str.len_chars() - 6)
        return pl.when(expr.is_null()).then(None).otherwise(inner)
    if dtype in (pl.Binary, pl.Object):
        raise ColumnError(
            f"The column '{column}' is {dtype} and has no text. Images go into messages=, "
            "as a part {'type': 'image_url', 'image_url': {'url': '{" + column + "}'}}."
        )
    return expr.cast(pl.String)


def image_url(expr: pl.Expr) -> pl.Expr:
    """Give the expression that turns image bytes into a data URI; unknown formats become null.

    Args:
        expr: Binary: the bytes of a PNG, JPEG, GIF or WebP file.
    """
    encoded = expr.bin.encode("base64")
    uri: pl.Expr = pl.lit(None, dtype=pl.String)
    for magic, mime in reversed(_IMAGE_MAGIC):
        named = pl.concat_str(pl.lit(f"data:{mime};base64,"), encoded)
        uri = pl.when(expr.bin.starts_with(magic)).then(named).otherwise(uri)
    return uri


def chat_shape(
    schema: Mapping[str, pl.DataType],
    *,
    prompt: Text | None,
    system: Text | None,
    messages: Sequence[Mapping[str, Any]] | pl.Expr | None,
    parameters: Mapping[str, Any],
) -> Shape:
    """Write the chat body of a job.

    Args:
        schema: The frame's columns and types.
        prompt: The user's turn.
        system: The system turn, before everything else.
        messages: Whole conversations instead of `prompt`: a list of OpenAI messages whose texts are
            templates, or an expression of List(Struct{role, content}).
        parameters: Body parameters; a `pl.Expr` gives one value a row, a null leaves it out there.

    Raises:
        InputError: Neither or both of `prompt` and `messages`, or a message without a role.
        ColumnError: A template names a column that is not there.
    """
    if (prompt is None) == (messages is None):
        what = "Neither was given" if prompt is None else "Both were given"
        raise InputError(f"A job needs prompt= or messages=, one of them. {what}.")
    build = Builder(schema)
    turns: list[Any] = []
    if system is not None:
        turns.append({"role": "system", "content": build.text(system, "system=")})
    if prompt is not None:
        turns.append({"role": "user", "content": build.text(prompt, "prompt=", prompt=True)})
    elif isinstance(messages, pl.Expr):
        turns.append(Splice(build.add(messages, "messages=", prompt=True).index))
    else:
        turns += _messages(build, messages)
    body: Json = {"messages": turns, **_parameters(build, parameters)}
    return _shape(Endpoint.CHAT, body, build)


def _shape(endpoint: Endpoint, body: Json, build: Builder) -> Shape:
    return Shape(endpoint, body, tuple(build.holes))


def embedding_shape(
    schema: Mapping[str, pl.DataType], source: Text, parameters: Mapping[str, Any]
) -> Shape:
    """Write the embedding body of a job.

    Args:
        schema: The frame's columns and types.
        source: A column's name, a template with placeholders, or an expression.
        parameters: Body parameters of the embeddings endpoint.
    """
    build = Builder(schema)
    if isinstance(source, str) and source in schema:
        hole: str | Hole = build.add(
            as_text(pl.col(source), schema[source], source), f"column {source!r}", prompt=True
        )
    else:
        hole = build.text(source, "the text to embed", prompt=True)
        if isinstance(hole, str):
            raise ColumnError(
                f"embed() needs a column; the frame has none called {source!r}. "
                f"Columns: {', '.join(map(repr, schema))}."
            )
    return _shape(Endpoint.EMBEDDINGS, {"input": hole, **_parameters(build, parameters)}, build)


def _messages(build: Builder, messages: Any) -> list[Any]:
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence) or not messages:
        raise InputError("messages= must be a list of {'role': ..., 'content': ...} or a pl.Expr.")
    turns = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if not isinstance(message, Mapping) or "role" not in message:
            raise InputError(f"{where} must be a mapping with a 'role', for example 'user'.")
        turn = {k: v for k, v in message.items() if k != "content"}
        if "content" in message:
            is_question = message["role"] == "user"
            turn["content"] = _content(build, message["content"], where, prompt=is_question)
        turns.append(turn)
    return turns


def _content(build: Builder, content: Any, where: str, *, prompt: bool) -> Any:
    if content is None:
        return None
    if isinstance(content, str | pl.Expr):
        return build.text(content, where, prompt=prompt)
    if not isinstance(content, Sequence):
        raise InputError(f"{where}['content'] must be a text, a pl.Expr or a list of parts.")
    return [
        _part(build, part, f"{where}['content'][{i}]", prompt) for i, part in enumerate(content)
    ]


def _part(build: Builder, part: Any, where: str, prompt: bool) -> Json:
    if not isinstance(part, Mapping) or "type" not in part:
        raise InputError(f"{where} must be a part such as {{'type': 'text', 'text': ...}}.")
    written = dict(part)
    if part["type"] == "text":
        written["text"] = build.text(part.get("text", ""), where, prompt=prompt)
    elif part["type"] == "image_url":
        image = part.get("image_url")
        image = dict(image) if isinstance(image, Mapping) else {"url": image}
        image["url"] = _url(build, image.get("url"), where)
        written["image_url"] = image
    return written


def _url(build: Builder, url: Any, where: str) -> str | Hole:
    """Write an image's address; a placeholder alone over a Binary column becomes a data URI."""
    if isinstance(url, str):
        pieces = parse(url, build.schema, where=where)
        only = pieces[0]
        if len(pieces) == 1 and isinstance(only, Placeholder) and not only.fields:
            if build.schema[only.column] == pl.Binary:
                return build.add(image_url(pl.col(only.column)), where, prompt=True)
            return build.add(pl.col(only.column).cast(pl.String), where, prompt=True)
    return build.text(url, where)


def _parameters(build: Builder, parameters: Mapping[str, Any]) -> Json:
    written: Json = {}
    for name, value in parameters.items():
        if isinstance(value, pl.Expr):
            written[name] = build.add(value, f"{name}=", required=False)
            continue
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"The parameter '{name}' is not JSON: {error}.") from error
        written[name] = value
    return written


def _clean(node: Any) -> Any:
    """Drop the nulls that a struct column puts where a message has no such field."""
    if isinstance(node, dict):
        return {k: _clean(v) for k, v in node.items() if v is not None}
    return [_clean(v) for v in node] if isinstance(node, list) else node
