"""From `prompt`, `system`, `messages` and parameters to a shape: one body with holes, one expression a hole.

All rows of a job share the body and differ in a few values. The body is plain JSON whose varying
places are `Hole(i)`; `holes[i].expr` is the Polars expression that gives what goes there. A hole in a
text is filled by the whole text, so no row ever needs string surgery. Expressions are checked against
the frame's schema here, before a row is looked at.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import orjson
import polars as pl

from batchframe.dialects import responses
from batchframe.dialects.parameters import RULES, Rule
from batchframe.dialects.shown import shown
from batchframe.errors import ColumnError, InputError, nearest
from batchframe.frame.rules import refuse_type
from batchframe.frame.template import Piece, Placeholder, parse
from batchframe.model import Endpoint, Json

Text = str | pl.Expr
"""A template over columns, or an expression that gives the text."""

Kind = Literal["text", "prompt", "image", "messages", "parameter"]
"""What a hole is for. `prompt` is text of the user's own: a row where all of them are blank has no
question to ask. `image` may be Binary, still to be written as a data URI."""

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
"""Who may speak in OpenAI's chat completions (API reference, 2026-11)."""

_IMAGES = (
    ((0, b"\x89PNG\r\n\x1a\n"), "image/png"),
    ((0, b"\xff\xd8\xff"), "image/jpeg"),
    ((0, b"GIF8"), "image/gif"),
    ((8, b"WEBP"), "image/webp"),  # after RIFF and a length; RIFF alone may be sound or film
)
"""Where the bytes of a format begin that tell it from others, and its media type."""


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
    """What fills a hole: an expression, where it stands in the call, and what it is for.

    `local` says that a row's value surely depends on that row alone; a window's does not. `rule` is
    what a parameter's values must be, where that is known.
    """

    expr: pl.Expr
    where: str
    kind: Kind
    local: bool = False
    rule: Rule | None = None

    @property
    def required(self) -> bool:
        """Whether a null bars the row; a parameter is left out instead."""
        return self.kind != "parameter"

    @property
    def prompt(self) -> bool:
        """Whether the hole is part of what is asked."""
        return self.kind in ("prompt", "image", "messages")


@dataclass(frozen=True, slots=True)
class Shape:
    """A body with holes; `endpoint` is the surface it is written for."""

    endpoint: Endpoint
    body: Json
    holes: tuple[HoleSpec, ...]


@dataclass
class Builder:
    """Collects holes while a body is written down; lives for one call."""

    schema: Mapping[str, pl.DataType]
    holes: list[HoleSpec] = field(default_factory=list)

    def add(
        self, expr: pl.Expr, where: str, kind: Kind, *, local: bool, rule: Rule | None = None
    ) -> Hole:
        """Make a hole that `expr` fills."""
        self.holes.append(HoleSpec(expr, where, kind, local, rule))
        return Hole(len(self.holes) - 1)

    def dtype(self, expr: pl.Expr, where: str) -> Any:
        """Find the type of an expression over the frame, without looking at a row.

        Raises:
            ColumnError: It asks for a column that is not there, or gives several columns.
            InputError: Polars cannot make sense of it.
        """
        try:
            found = pl.LazyFrame(schema=dict(self.schema)).select(expr).collect_schema()
        except pl.exceptions.PolarsError as error:
            raise explained(error, where, self.schema) from error
        if len(found) != 1:
            names = ", ".join(map(repr, found)) or "none"
            raise ColumnError(
                f"{where} must be one column, and the expression gives {len(found)}: {names}. "
                "Put them together with pl.concat_str(...) or pl.format(...)."
            )
        return found.dtypes()[0]

    def text(self, source: Text, where: str, kind: Kind = "text") -> str | Hole:
        """Write a text: constant text stays as it is, anything that varies becomes a hole."""
        if isinstance(source, pl.Expr):
            dtype = self.dtype(source, where)
            text = _text(source, dtype, f"The expression of {where}")
            return self.add(text, where, kind, local=is_local(source))
        if not isinstance(source, str):
            raise InputError(
                f"{where} must be a text with {{column}} placeholders or a pl.Expr, "
                f"not {type(source).__name__}."
            )
        pieces = parse(unicode(source, where), self.schema, where=where)
        if all(isinstance(p, str) for p in pieces):
            return "".join(cast("Sequence[str]", pieces))
        return self.add(self._concat(pieces, where), where, kind, local=True)

    def _concat(self, pieces: Sequence[Piece], where: str) -> pl.Expr:
        parts = [pl.lit(p) if isinstance(p, str) else self._column(p, where) for p in pieces]
        return parts[0] if len(parts) == 1 else pl.concat_str(parts)

    def _column(self, piece: Placeholder, where: str) -> pl.Expr:
        expr, dtype = self.field(piece, where)
        return as_text(expr, dtype, piece.column)

    def field(self, piece: Placeholder, where: str) -> tuple[pl.Expr, Any]:
        """Give the expression of a placeholder, and its type.

        Raises:
            ColumnError: The column has no such field.
        """
        expr = _col(piece.column)
        dtype: Any = self.schema[piece.column]
        for name in piece.fields:
            fields = dict(dtype) if isinstance(dtype, pl.Struct) else {}
            if name not in fields:
                known = ", ".join(map(repr, fields)) or f"none, its type is {dtype}"
                raise ColumnError(
                    f"{where} asks for the field '{name}' of the column '{piece.column}', which it "
                    f"does not have.{nearest(name, fields)} Fields: {known}."
                )
            expr, dtype = expr.struct.field(name), fields[name]
        return expr, dtype


def is_local(expr: pl.Expr) -> bool:
    """Whether an expression of the user's is a plain column, so that parts of a frame can be evaluated."""
    return expr.meta.is_column()


def _col(name: str) -> pl.Expr:
    """Name a column literally: pl.col reads '^...$' as a pattern and '*' as all columns."""
    return pl.selectors.by_name(name).as_expr()


def unicode(text: str, where: str) -> str:
    """See that a text can be written down, and give it back.

    Args:
        text: What a user wrote.
        where: What to call it in the message.

    Raises:
        InputError: It holds half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} holds half of a surrogate pair at character {error.start}, {_HALF}"
        ) from error
    return text


_HALF = "which no JSON can carry. Type: text.encode('utf-8', 'replace').decode()"


def explained(error: Exception, where: str, columns: Mapping[str, pl.DataType]) -> InputError:
    """Turn what Polars says of an expression into our own error, with the nearest column.

    Args:
        error: What was raised.
        where: The argument that held the expression.
        columns: The frame's columns.
    """
    said = (str(error).splitlines() or [""])[0]
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        missing = said.split('"')[1] if said.count('"') > 1 else said
        return ColumnError(
            f"{where} asks for the column '{missing}', which the frame does not have."
            f"{nearest(missing, columns)} Columns: {', '.join(map(repr, list(columns)[:8])) or 'none'}."
        )
    return InputError(f"{where} cannot be evaluated: {type(error).__name__}: {said}")


def as_text(expr: pl.Expr, dtype: Any, column: str) -> pl.Expr:
    """Give the expression that writes a column into a prompt: text as it is, nested values as JSON.

    Numbers, dates and times are written as Polars writes them, a Duration as ISO 8601 (`P1DT3S`).

    Args:
        expr: The value.
        dtype: Its type in the frame.
        column: The column's name, for the message.

    Raises:
        ColumnError: Binary or Object columns have no text.
    """
    return _text(expr, dtype, f"The column '{column}'", column)


def _text(expr: pl.Expr, dtype: Any, subject: str, column: str = "column") -> pl.Expr:
    if dtype == pl.String:
        return expr
    if _holds(dtype, pl.Binary, pl.Object):
        raise ColumnError(
            f"{subject} is {dtype} and has no text. Images go into messages=, "
            "as a part {'type': 'image_url', 'image_url': {'url': '{" + column + "}'}}."
        )
    if dtype.is_nested():
        return pl.when(expr.is_null()).then(None).otherwise(json_text(expr))
    if dtype == pl.Duration:
        return expr.dt.to_string("iso")
    return expr.cast(pl.String)


def json_text(expr: pl.Expr) -> pl.Expr:
    r"""Give the expression that writes values as JSON, byte for byte as orjson does for strings.

    Polars encodes structs only, so '{"v":' and '}' come off again. A null becomes the text `null`.

    >>> pl.select(json_text(pl.lit('a "quote"'))).item()
    '"a \\"quote\\""'
    """
    wrapped = pl.struct(expr.alias("v")).struct.json_encode()
    return wrapped.str.strip_prefix('{"v":').str.strip_suffix("}")


def _holds(dtype: Any, *wanted: Any) -> bool:
    """Whether a type is, or has somewhere inside it, one of the wanted types."""
    if isinstance(dtype, pl.Struct):
        return any(_holds(inner.dtype, *wanted) for inner in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return _holds(dtype.inner, *wanted)
    return dtype in wanted


def image_url(expr: pl.Expr) -> pl.Expr:
    """Give the expression that turns image bytes into a data URI; unknown formats become "".

    Args:
        expr: Binary: the bytes of a PNG, JPEG, GIF or WebP file.
    """
    encoded = expr.bin.encode("base64")
    uri: pl.Expr = pl.lit("")
    for (offset, magic), mime in reversed(_IMAGES):
        named = pl.concat_str(pl.lit(f"data:{mime};base64,"), encoded)
        is_it = expr.bin.slice(offset, len(magic)) == pl.lit(magic)
        uri = pl.when(is_it).then(named).otherwise(uri)
    return pl.when(expr.is_not_null()).then(uri)


def chat_shape(
    schema: Mapping[str, pl.DataType],
    *,
    prompt: Text | None,
    system: Text | None,
    messages: Sequence[Mapping[str, Any]] | pl.Expr | None,
    parameters: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None = None,
    endpoint: Endpoint = Endpoint.CHAT,
) -> Shape:
    """Write the body of a job that asks: a chat completion's, or a response's.

    Args:
        schema: The frame's columns and types.
        prompt: The user's turn.
        system: The system turn, before everything else.
        messages: Whole conversations instead of `prompt`: a list of OpenAI messages whose texts are
            templates, or an expression of List(Struct{role, content}).
        parameters: Body parameters; a `pl.Expr` gives one value a row, a null leaves it out there.
        extra_body: Parameters that go beside them as they are, held to no rule.
        endpoint: Chat completions or responses; what is written in a chat's words becomes the other's.

    Raises:
        InputError: Neither or both of `prompt` and `messages`, or a message without a role.
        ColumnError: A template names a column that is not there, or a parameter's column is of the
            wrong type.
    """
    if (prompt is None) == (messages is None):
        what = "Neither was given" if prompt is None else "Both were given"
        raise InputError(f"A job needs prompt= or messages=, one of them. {what}.")
    build = Builder(schema)
    turns: list[Any] = []
    if system is not None:
        if isinstance(system, str) and not system.strip():
            raise InputError("system= is blank. Leave it out, or say who answers and how.")
        turns.append({"role": "system", "content": build.text(system, "system=")})
    if prompt is not None:
        turns.append({"role": "user", "content": _question(build, prompt)})
    elif isinstance(messages, pl.Expr):
        turns.append(_conversation(build, messages))
    else:
        turns += _messages(build, messages)
    # messages first: a parameter that is left out takes the comma before it along
    turned = (
        {"input": responses.items(turns)} if endpoint is Endpoint.RESPONSES else {"messages": turns}
    )
    body: Json = {
        **turned,
        **_parameters(build, parameters, RULES[endpoint]),
        **_parameters(build, extra_body or {}, {}),
    }
    return Shape(endpoint, body, tuple(build.holes))


def moderation_shape(schema: Mapping[str, pl.DataType], prompt: Text | None) -> Shape:
    """Write the moderation body of a job: the text alone.

    Args:
        schema: The frame's columns and types.
        prompt: What is to be judged.

    Raises:
        InputError: There is none.
    """
    if prompt is None:
        raise InputError('A moderation needs prompt=, for example prompt="{text}".')
    build = Builder(schema)
    body: Json = {"input": _question(build, prompt)}
    return Shape(Endpoint.MODERATIONS, body, tuple(build.holes))


def embedding_shape(
    schema: Mapping[str, pl.DataType],
    source: Text,
    parameters: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None = None,
) -> Shape:
    """Write the embedding body of a job.

    Args:
        schema: The frame's columns and types.
        source: A column's name, a template with placeholders, or an expression.
        parameters: Body parameters of the embeddings endpoint.
        extra_body: Parameters that go beside them as they are, held to no rule.

    Raises:
        ColumnError: There is no such column, or it has no text.
    """
    build = Builder(schema)
    if isinstance(source, str) and source in schema:
        text = as_text(_col(source), schema[source], source)
        hole: str | Hole = build.add(text, f"the column {source!r}", "prompt", local=True)
    else:
        hole = build.text(source, "the text to embed", "prompt")
        if isinstance(hole, str):
            raise ColumnError(
                f"embed() needs a column; the frame has none called {source!r}."
                f"{nearest(str(source), schema)} Columns: {', '.join(map(repr, schema)) or 'none'}."
            )
    body: Json = {
        "input": hole,
        **_parameters(build, parameters, RULES[Endpoint.EMBEDDINGS]),
        **_parameters(build, extra_body or {}, {}),
    }
    return Shape(Endpoint.EMBEDDINGS, body, tuple(build.holes))


def _question(build: Builder, prompt: Text) -> str | Hole:
    """Write the user's turn; a blank constant would ask nothing of every row."""
    if isinstance(prompt, str) and not prompt.strip():
        raise InputError('prompt= is blank. Ask something, for example prompt="Translate: {text}".')
    return build.text(prompt, "prompt=", "prompt")


def _conversation(build: Builder, messages: pl.Expr) -> Splice:
    """Write a place for each row's own messages."""
    dtype = build.dtype(messages, "messages=")
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    if not isinstance(inner, pl.Struct) or "role" not in {f.name for f in inner.fields}:
        raise ColumnError(
            f"messages= must be a list of structs with 'role' and 'content', not {dtype}. For "
            "example: pl.concat_list(pl.struct(role=pl.lit('user'), content='text'))."
        )
    _refuse_unwritable(dtype, "messages=")
    return Splice(build.add(messages, "messages=", "messages", local=is_local(messages)).index)


def _messages(build: Builder, messages: Any) -> list[Any]:
    if isinstance(messages, str | bytes) or not isinstance(messages, Sequence) or not messages:
        raise InputError("messages= must be a list of {'role': ..., 'content': ...} or a pl.Expr.")
    turns = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        if not isinstance(role, str) or not role:
            raise InputError(f"{where} must be a mapping with a 'role', for example 'user'.")
        if role not in _ROLES:
            raise InputError(
                f"{where} has the role {shown(role)}.{nearest(role, _ROLES)} "
                f"Roles: {', '.join(_ROLES)}."
            )
        _refuse_silent(message, role, where)
        turn = {}
        for name, value in message.items():
            if name == "content":
                turn[name] = _content(build, value, where, "prompt" if role == "user" else "text")
            else:
                turn[name] = plain(value, f"{where}['{name}']")
        turns.append(turn)
    return turns


def _refuse_silent(message: Mapping[str, Any], role: str, where: str) -> None:
    """Refuse a turn of the user's that says nothing, to whichever row."""
    content = message.get("content")
    empty = isinstance(content, list | tuple) and not content  # an expression has no truth value
    silent = content is None or empty or (isinstance(content, str) and not content.strip())
    if role == "user" and silent:
        raise InputError(
            f"{where} is a user's and has no 'content'. For example: "
            "{'role': 'user', 'content': 'Translate: {text}'}."
        )


def _content(build: Builder, content: Any, where: str, kind: Kind) -> Any:
    if content is None:
        return None
    if isinstance(content, str | pl.Expr):
        return build.text(content, where, kind)
    if isinstance(content, bytes) or not isinstance(content, Sequence):
        raise InputError(f"{where}['content'] must be a text, a pl.Expr or a list of parts.")
    return [_part(build, part, f"{where}['content'][{i}]", kind) for i, part in enumerate(content)]


def _part(build: Builder, part: Any, where: str, kind: Kind) -> Json:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InputError(f"{where} must be a part such as {{'type': 'text', 'text': ...}}.")
    if part["type"] == "text":
        text = cast("Text", part.get("text"))
        return {**_rest(part, "text", where), "text": build.text(text, where, kind)}
    if part["type"] == "image_url":
        image = part.get("image_url")
        image = image if isinstance(image, Mapping) else {"url": image}
        written = {**_rest(image, "url", where), "url": _url(build, image.get("url"), where)}
        return {**_rest(part, "image_url", where), "image_url": written}
    return {k: v if k == "type" else _templated(build, v, where) for k, v in part.items()}


def _rest(given: Mapping[str, Any], name: str, where: str) -> Json:
    return {k: plain(v, f"{where}['{k}']") for k, v in given.items() if k != name}


def _templated(build: Builder, node: Any, where: str) -> Any:
    """Write a part of another kind (sound, a file): every text in it is a template."""
    if isinstance(node, str | pl.Expr):
        return build.text(node, where)
    if isinstance(node, Mapping):
        return {k: _templated(build, v, where) for k, v in node.items()}
    return plain(node, where)


def _url(build: Builder, url: Any, where: str) -> str | Hole:
    """Write an image's address; a placeholder alone over a Binary column becomes a data URI."""
    if isinstance(url, pl.Expr):
        if build.dtype(url, where) == pl.Binary:
            return build.add(url, where, "image", local=is_local(url))
    elif isinstance(url, str):
        pieces = parse(url, build.schema, where=where)
        only = pieces[0]
        if len(pieces) == 1 and isinstance(only, Placeholder):
            expr, dtype = build.field(only, where)
            image = expr if dtype == pl.Binary else as_text(expr, dtype, only.column)
            return build.add(image, where, "image", local=True)
    return build.text(url, where)


def _parameters(build: Builder, parameters: Mapping[str, Any], rules: Mapping[str, Rule]) -> Json:
    written: Json = {}
    for name, value in parameters.items():
        if isinstance(value, pl.Expr):
            where = f"{name}="
            dtype = build.dtype(value, where)
            _refuse_unwritable(dtype, where)
            rule = rules.get(name)
            if rule is not None:
                refuse_type(rule, dtype, where)
            expr = _parameter(value, dtype)
            written[name] = build.add(expr, where, "parameter", local=is_local(value), rule=rule)
        else:
            written[name] = plain(value, f"The parameter '{name}'")
    return written


def _parameter(expr: pl.Expr, dtype: Any) -> pl.Expr:
    """Bring a parameter's values to what JSON has: numbers stay numbers, the rest is text."""
    if dtype.is_decimal():
        return expr.cast(pl.Float64)
    if dtype.is_numeric() or dtype.is_nested() or dtype in (pl.Boolean, pl.Null):
        return expr
    return _text(expr, dtype, "")


def _refuse_unwritable(dtype: Any, where: str) -> None:
    """Refuse what JSON cannot carry, or could carry in more than one way."""
    if _holds(dtype, pl.Binary, pl.Object) or (
        dtype.is_nested() and _holds(dtype, pl.Decimal, pl.Duration)
    ):
        raise ColumnError(
            f"{where} is {dtype}, which JSON cannot carry. Cast it first, for example with "
            ".cast(pl.String) or .cast(pl.Float64)."
        )


def plain(value: Any, where: str) -> Any:
    """Give a constant as plain JSON: tuples as lists, keys as text, a copy of its own.

    Args:
        value: Whatever the call held.
        where: What to call it in the message.

    Raises:
        InputError: It is not JSON; NaN and infinities are not.

    >>> plain({50256: -100, "stop": ("a", "b")}, "extra_body=")
    {'50256': -100, 'stop': ['a', 'b']}
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=_number)
        text.encode()
        found = json.loads(text)
        orjson.dumps(found)  # which refuses what few parsers read: numbers of more than 64 bits
    except UnicodeEncodeError as error:
        raise InputError(f"{where} holds half of a surrogate pair, {_HALF}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}.") from error
    return found


def _number(value: Any) -> int | float:
    """Give a number of NumPy's as Python's own."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
