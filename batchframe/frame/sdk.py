"""Bodies are held against the types of the openai package, which is imported when the first one is.

The package's types say what a request looks like: which keys there are, of which type, and which words
a value may be. They know no ranges (`dialects/parameters.py` does) and are checked strictly: no key
more, no number as text. Its lists are lazy, so what comes back is walked through to the end.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchframe.model import Endpoint, Json

_TAGS = frozenset({"role", "type"})
"""Keys that say which of several types is meant."""

_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "iterable_type": "must be a list",
}
"""What pydantic calls a fault -> what we say."""


@dataclass(frozen=True, slots=True)
class Types:
    """The package's types of one endpoint's body."""

    adapter: Any
    keys: frozenset[str]


@functools.cache
def types(endpoint: Endpoint) -> Types:
    """Load the types of an endpoint; the first call takes as long as importing openai does."""
    from openai.types import embedding_create_params as embedding  # noqa: PLC0415 - half a second
    from openai.types import moderation_create_params as moderation  # noqa: PLC0415
    from openai.types.chat import completion_create_params as chat  # noqa: PLC0415
    from openai.types.responses import response_create_params as responses  # noqa: PLC0415
    from pydantic import TypeAdapter  # noqa: PLC0415

    of: Mapping[Endpoint, Any] = {
        Endpoint.CHAT: chat.CompletionCreateParamsNonStreaming,
        Endpoint.RESPONSES: responses.ResponseCreateParamsNonStreaming,
        Endpoint.EMBEDDINGS: embedding.EmbeddingCreateParams,
        Endpoint.MODERATIONS: moderation.ModerationCreateParams,
    }
    found = of[endpoint]
    return Types(TypeAdapter(found), frozenset(found.__required_keys__ | found.__optional_keys__))


def version() -> str:
    """Give the package's version, for messages."""
    import openai  # noqa: PLC0415

    return str(openai.__version__)


def fault(endpoint: Endpoint, body: Json, *, strict: bool) -> str | None:
    """Find what is wrong with a body, the first thing only.

    Args:
        endpoint: What the body is for.
        body: Plain JSON with its model; members that the package does not know are passed over.
        strict: Keys that OpenAI does not know are faults inside messages, too. Otherwise they, and
            parts and tools of other kinds, are taken for the provider's own.

    Returns:
        A place and what is wrong there, such as "messages[0].role must be 'user' or 'system'".
    """
    from pydantic import ValidationError  # noqa: PLC0415

    known = types(endpoint)
    held = _held({key: value for key, value in body.items() if key in known.keys}, endpoint, strict)
    try:
        found = known.adapter.validate_python(
            held, strict=True, extra="forbid" if strict else "ignore"
        )
    except ValidationError as error:
        return _said(error, (), held)
    return _drained(found, (), held)


def _held(body: Json, endpoint: Endpoint, strict: bool) -> Json:
    """Leave out what the types cannot judge."""
    turned = "input" if endpoint is Endpoint.RESPONSES else "messages"
    turns = body.get(turned)
    if isinstance(turns, list):
        if endpoint is Endpoint.RESPONSES:
            # earlier answers as the API itself takes them: the types want their ids as well
            turns = [turn for turn in turns if not _answer(turn)]
        elif not strict:
            turns = [_plain(turn) for turn in turns]
        body = {**body, turned: turns}
    tools = body.get("tools")
    if isinstance(tools, list) and not strict:
        mine = [t for t in tools if not isinstance(t, dict) or t.get("type") == "function"]
        body = {**body, "tools": mine}
    return body


def _answer(turn: Any) -> bool:
    return (
        isinstance(turn, dict)
        and turn.get("role") == "assistant"
        and isinstance(turn.get("content"), list)
    )


def _plain(turn: Any) -> Any:
    """Give a turn without parts that are not text: other providers have kinds of their own."""
    if not isinstance(turn, dict) or not isinstance(turn.get("content"), list):
        return turn
    parts = [p for p in turn["content"] if not isinstance(p, dict) or p.get("type") == "text"]
    return {**turn, "content": parts}


def _drained(node: Any, path: tuple[Any, ...], given: Any) -> str | None:
    """Walk to the end of every lazy list; give the first fault on the way."""
    from pydantic import ValidationError  # noqa: PLC0415

    if isinstance(node, str | bytes | int | float) or node is None:
        return None
    inner: Iterator[tuple[Any, Any]]
    inner = iter(node.items()) if isinstance(node, Mapping) else enumerate(node)
    while True:
        try:
            key, value = next(inner)
        except StopIteration:
            return None
        except ValidationError as error:
            return _said(error, path, given)
        found = _drained(value, (*path, key), given)
        if found is not None:
            return found


def _said(error: Any, path: tuple[Any, ...], given: Any) -> str:
    """Say what is wrong: of several types that do not fit, the one that was meant."""
    faults = [
        {**one, "loc": (*path, *one["loc"])}
        for one in error.errors(include_url=False, include_input=False)
    ]
    meant = _meant(faults, given)
    if meant is not None:
        return f"{_where(meant['loc'], given)} {_what(meant)}"
    tags = [one for one in faults if _is_tag(one) and _at(one["loc"], given) is not None]
    if not tags:
        return f"{_where(faults[0]['loc'], given)} {_what(faults[0])}"
    where = max((_where(one["loc"], given) for one in tags), key=len)  # the innermost
    tags = [one for one in tags if _where(one["loc"], given) == where]
    words = dict.fromkeys(w for one in tags for w in _choices(one))
    return f"{where} must be {_listed(list(words))}"


def _is_tag(one: Mapping[str, Any]) -> bool:
    return one["type"] == "literal_error" and one["loc"][-1] in _TAGS


def _choices(one: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'[^']*'", str(one["ctx"]["expected"]))


def _meant(faults: Sequence[Mapping[str, Any]], given: Any) -> Mapping[str, Any] | None:
    """Choose the fault to tell; None when no type's tag fits."""
    wrong = {
        one["loc"][:-1]
        for one in faults
        if one["loc"][-1] in _TAGS
        and one["type"] in ("literal_error", "missing", "extra_forbidden")
    }
    # a type whose tag is another one was not meant, nor text where there is a list
    left = [
        one
        for one in faults
        if not any(one["loc"][: len(w)] == w for w in wrong)
        and not (one["type"] == "string_type" and isinstance(_at(one["loc"], given), list))
        and not (one["type"] == "iterable_type" and isinstance(_at(one["loc"], given), str))
    ]
    if left:
        return next((one for one in left if one["type"] == "extra_forbidden"), left[0])
    lacking = [one for one in faults if one["type"] == "missing" and one["loc"][-1] in _TAGS]
    if any(_is_tag(one) and _at(one["loc"], given) is not None for one in faults):
        return None
    return lacking[0] if lacking else None


def _steps(loc: Sequence[Any], given: Any) -> Iterator[tuple[Any, Any]]:
    """Give the steps of a place that are in the body, and what is there; types' names are none."""
    node = given
    for number, step in enumerate(loc):
        if isinstance(node, Mapping) and (step in node or number == len(loc) - 1):
            node = node.get(step)
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            continue
        yield step, node


def _at(loc: Sequence[Any], given: Any) -> Any:
    """Give what stands at a place; None when nothing does."""
    return next((node for _, node in reversed(list(_steps(loc, given)))), None)


def _where(loc: Sequence[Any], given: Any) -> str:
    """Write a place as one writes it in Python."""
    written = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step, _ in _steps(loc, given)
    )
    return written.removeprefix(".")


def _what(one: Mapping[str, Any]) -> str:
    if one["type"] == "literal_error":
        return f"must be {one['ctx']['expected']}"
    words = _WORDS.get(one["type"])
    return words or str(one["msg"]).replace("Input should be", "must be").lower()


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


@functools.cache
def is_open(endpoint: Endpoint, name: str, *, listed: bool) -> bool:
    """Whether any text will do for a parameter, alone or in a list.

    Args:
        endpoint: What the body is for.
        name: The parameter.
        listed: Whether it is a list of texts that is asked about.
    """
    probe = "\x00any text"
    body: Json = {**least(endpoint), name: [probe] if listed else probe}
    return name not in types(endpoint).keys or fault(endpoint, body, strict=True) is None


def least(endpoint: Endpoint) -> Json:
    """Give the smallest body that fits."""
    said: Mapping[Endpoint, Json] = {
        Endpoint.CHAT: {"messages": [{"role": "user", "content": "x"}]},
        Endpoint.RESPONSES: {"input": "x"},
        Endpoint.EMBEDDINGS: {"input": "x"},
        Endpoint.MODERATIONS: {"input": "x"},
    }
    return {"model": "m", **said[endpoint]}
