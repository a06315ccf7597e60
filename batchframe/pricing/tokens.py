"""Tokens of a request before it is sent: counted where a tokenizer is known, a range where it is not."""

from __future__ import annotations

import functools
import json
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any

from batchframe.model import Json, ModelRef

PIECE = 100_000
"""Characters tokenized at once; bpe-openai refuses a million, and cutting costs a token a piece."""

Three = tuple[int, int, int]
"""The low, the likely and the high value of one quantity."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one body holds, in tokens: of its texts, of its images, and kinds that nobody can count."""

    text: int
    images: Three = (0, 0, 0)
    uncounted: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """Which encoding counts for a model, and the margins of the provider's own count around ours."""

    encoding: str
    low: Decimal
    high: Decimal


def count_tokens(texts: Sequence[str], model: ModelRef) -> list[int]:
    """Count the tokens of texts, without network.

    Args:
        texts: Any texts; special tokens written in them count as ordinary characters.
        model: Who will read them. OpenAI models are counted with their own encoding (cl100k before
            gpt-4o, o200k from then on); for others o200k stands in, see `tokenizer_for`.

    Returns:
        One count per text.
    """
    encoding = _encoding(tokenizer_for(model).encoding)
    # A system prompt shared by all rows is cut once.
    counts = {
        text: sum(
            len(encoding.encode_ordinary(text[start : start + PIECE]))
            for start in range(0, len(text), PIECE)
        )
        for text in set(texts)
    }
    return [counts[text] for text in texts]


def count_requests(bodies: Sequence[Mapping[str, Any]], model: ModelRef) -> list[Request]:
    """Count the tokens of whole OpenAI bodies, chat or embeddings.

    Args:
        bodies: Request bodies. Messages, names, tool calls, tools and the response schema are
            counted, schemas and tools as their compact JSON. Images get the range of
            `assumptions.toml`. Audio, files and other parts cannot be counted and are named.
        model: Who will read them.
    """
    opened = [_open(body, model) for body in bodies]
    counts = iter(count_tokens([text for texts, *_ in opened for text in texts], model))
    requests = []
    for texts, extra, images, uncounted in opened:
        text = sum(next(counts) for _ in texts) + extra
        low, mid, high = (sum(image[end] for image in images) for end in range(3))
        requests.append(Request(text, (low, mid, high), frozenset(uncounted)))
    return requests


def tokenizer_for(model: ModelRef) -> Tokenizer:
    """Give the encoding that counts for a model, and how far off it may be."""
    row = _first("tokenizer", model)
    return Tokenizer(row["encoding"], Decimal(row["low"]), Decimal(row["high"]))


def reasons(model: ModelRef, body: Mapping[str, Any]) -> bool:
    """Say whether the model will think before it answers, as far as its name and the request tell."""
    effort = body.get("reasoning_effort")
    if effort is not None or "thinking" in body or "reasoning" in body:
        return effort not in ("none", "disable")
    table = assumptions()["reasoning"]
    return _fits(model, table["models"]) and not _fits(model, table["never"])


@functools.cache
def assumptions() -> Mapping[str, Any]:
    """Read `assumptions.toml`, once."""
    text = resources.files("batchframe.pricing").joinpath("assumptions.toml").read_text("utf-8")
    return tomllib.loads(text)


# --- inside one body

_Opened = tuple[list[str], int, list[Three], set[str]]
"""Texts to count, tokens beside them, images, and kinds of content that cannot be counted."""


def _open(body: Mapping[str, Any], model: ModelRef) -> _Opened:
    if "messages" not in body:
        return _open_embedding(body.get("input"))
    overhead = assumptions()["overhead"]
    extra = int(overhead["per_request"])
    texts: list[str] = []
    images: list[Three] = []
    uncounted: set[str] = set()
    for message in body["messages"]:
        extra += overhead["per_message"]
        texts.append(str(message.get("role", "")))
        if name := message.get("name"):
            extra += overhead["per_name"]
            texts.append(str(name))
        texts += [_json(call) for call in message.get("tool_calls") or ()]
        for kind, value in _parts(message.get("content")):
            if kind == "text":
                texts.append(value)
            elif kind == "image":
                images.append(_image(model, value))
            else:
                uncounted.add(kind)
    texts += [_json(tool) for tool in body.get("tools") or ()]
    if schema := schema_of(body):
        texts.append(_json(schema))
    return texts, extra, images, uncounted


def _open_embedding(given: Any) -> _Opened:
    items = given if isinstance(given, list) else [given]
    if items and all(isinstance(item, int) for item in items):
        return [], len(items), [], set()
    texts = [item for item in items if isinstance(item, str)]
    return texts, sum(len(item) for item in items if isinstance(item, list)), [], set()


def _parts(content: Any) -> Iterator[tuple[str, Any]]:
    """Give what a message holds as ("text", text), ("image", part) or (another kind, part)."""
    if isinstance(content, str):
        yield "text", content
    elif isinstance(content, list):
        for part in content:
            kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
            if kind in ("text", "refusal"):
                yield "text", part.get(kind) or "" if isinstance(part, Mapping) else str(part)
            else:
                yield "image" if kind == "image_url" else str(kind), part


def schema_of(body: Mapping[str, Any]) -> Json | None:
    """Give the JSON schema a chat body asks its answer to follow, if any."""
    wanted = body.get("response_format")
    inner = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    return schema if isinstance(schema, dict) else None


def leaves(schema: Any) -> int:
    """Count the fields of a JSON schema that hold a plain value; a list counts as three items."""
    if not isinstance(schema, Mapping):
        return 1
    if isinstance(schema.get("properties"), Mapping):
        return sum(leaves(inner) for inner in schema["properties"].values())
    return 3 * leaves(schema["items"]) if "items" in schema else 1


def _image(model: ModelRef, part: Mapping[str, Any]) -> Three:
    low, mid, high = _first("image", model)["tokens"]
    inner = part.get("image_url")
    small = isinstance(inner, Mapping) and inner.get("detail") == "low"
    return (low, low, mid) if small else (low, mid, high)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


# --- reading the assumptions


def _first(table: str, model: ModelRef) -> Mapping[str, Any]:
    rows: list[Mapping[str, Any]] = assumptions()[table]
    return next(row for row in rows if _fits(model, row["models"]))


def _fits(model: ModelRef, patterns: Sequence[str]) -> bool:
    name = str(model).lower()
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@functools.cache
def _encoding(name: str) -> Any:
    # Imported late: the tables take half a second, and a session may never estimate. Their loader
    # (0.1.4) opens package data the old way, which is no news for a user.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai  # noqa: PLC0415 - see above

        return bpe_openai.get_encoding(name)
