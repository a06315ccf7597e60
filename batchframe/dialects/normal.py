"""The normal form: what providers answer, as the very objects that OpenAI's reference describes.

A body in it passes `model_validate(strict=True, extra="forbid")` of the OpenAI SDK's types (3.54,
2026-11). What has no place in the form is handed back beside it, so that nothing is lost. The form is
a table below; walking it is pure, never raises, and leaves a normal body as it is.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batchframe.model import Json

_NO: Final = object()
"""There is no value."""

_Found = tuple[Any, Any]
"""(the value in the normal form or `_NO`, what was left over or `_NO`)."""

_Form = Callable[[Any], _Found]
"""What one place holds."""


def normalised(body: Mapping[str, Any]) -> tuple[Json, Json | None]:
    """Bring an answered row's body into the normal form of what it claims to be.

    Args:
        body: A parsed body: a chat completion (it has `choices`), an embedding (`data`) or a response
            (`output`). Any other one stays as it is.

    Returns:
        The body, and what was left over: an object of the same outline, where the items of a list
        that left nothing over are null. None when nothing was.

    >>> normalised({"choices": [], "usage": 5})
    ({'id': '', 'choices': [], 'created': 0, 'model': '', 'object': 'chat.completion'}, {'usage': 5})
    """
    for name, form in _CLAIMS.items():
        if isinstance(body.get(name), list):
            value, rest = form(body)
            return value, None if rest is _NO else rest
    return dict(body), None


def finish_reason(word: str) -> str:
    """Give the nearest of OpenAI's words for why an answer ended.

    >>> finish_reason("model_length"), finish_reason("end_turn")
    ('length', 'stop')
    """
    return word if word in _FINISHED else _ENDINGS.get(word.lower(), "stop")


_FINISHED = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_ENDINGS = {
    "max_tokens": "length", "max_output_tokens": "length", "model_length": "length",
    "max_length": "length", "token_limit": "length", "length_limit": "length",
    "tool_use": "tool_calls", "tool_call": "tool_calls", "tool": "tool_calls",
    "function": "function_call", "safety": "content_filter", "refusal": "content_filter",
    "content_filtered": "content_filter", "recitation": "content_filter",
    "blocklist": "content_filter", "guardrail_intervened": "content_filter",
    "sensitive": "content_filter", "abort": "stop", "eos": "stop", "end_turn": "stop",
    "stop_sequence": "stop", "complete": "stop", "completed": "stop",
}  # fmt: skip


# --- the words in which the tables are written


def _text(raw: Any) -> _Found:
    return (raw, _NO) if isinstance(raw, str) else (_NO, raw)


def _whole(raw: Any) -> _Found:
    if type(raw) is float and raw.is_integer():
        return int(raw), _NO
    return (raw, _NO) if type(raw) is int else (_NO, raw)


def _number(raw: Any) -> _Found:
    fits = type(raw) is int or (type(raw) is float and math.isfinite(raw))
    return (raw, _NO) if fits else (_NO, raw)


def _flag(raw: Any) -> _Found:
    return (raw, _NO) if isinstance(raw, bool) else (_NO, raw)


def _open(raw: Any) -> _Found:
    """Any JSON object: OpenAI does not say what is in it."""
    return (raw, _NO) if isinstance(raw, dict) else (_NO, raw)


def _texts(raw: Any) -> _Found:
    """An object of texts."""
    fits = isinstance(raw, dict) and all(isinstance(value, str) for value in raw.values())
    return (raw, _NO) if fits else (_NO, raw)


def _one_of(*words: str) -> _Form:
    return lambda raw: (raw, _NO) if isinstance(raw, str) and raw in words else (_NO, raw)


def _or_null(form: _Form) -> _Form:
    return lambda raw: (None, _NO) if raw is None else form(raw)


@dataclass(frozen=True)
class _Many:
    """A list whose items have one form; others are left over."""

    item: _Form

    def __call__(self, raw: Any) -> _Found:
        if not isinstance(raw, list):
            return _NO, raw
        kept, left = [], []
        for item in raw:
            value, rest = self.item(item)
            if value is not _NO:
                kept.append(value)
            left.append(None if rest is _NO else rest)
        return kept, left if any(one is not None for one in left) else _NO


@dataclass(frozen=True)
class _Object:
    """An object of these members and no others.

    `needed` ones are filled with `filled` where they lack (a function of the object so far, or a
    value); one that nothing can fill makes the whole object no such object.
    """

    needed: Mapping[str, _Form]
    filled: Mapping[str, Any] = field(default_factory=dict)
    free: Mapping[str, _Form] = field(default_factory=dict)

    def __call__(self, raw: Any) -> _Found:
        if not isinstance(raw, dict):
            return _NO, raw
        made: Json = {}
        left: Json = {}
        for name, value in raw.items():
            form = self.needed.get(name) or self.free.get(name)
            found, rest = (_NO, value) if form is None else form(value)
            if found is not _NO:
                made[name] = found
            # a null where something must be says nothing that could be lost
            if rest is not _NO and not (rest is None and name in self.needed):
                left[name] = rest
        for name in self.needed:
            if name not in made:
                if name not in self.filled:
                    return _NO, raw
                given = self.filled[name]
                made[name] = given(made) if callable(given) else given
        return made, left or _NO


@dataclass(frozen=True)
class _Tagged:
    """An object whose `type` says which it is; one without a type is the first."""

    kinds: Mapping[str, _Form]

    def __call__(self, raw: Any) -> _Found:
        if not isinstance(raw, dict):
            return _NO, raw
        kind = raw.get("type", next(iter(self.kinds)))
        form = self.kinds.get(kind) if isinstance(kind, str) else None
        return (_NO, raw) if form is None else form(raw)


def _numbered(form: _Form) -> _Form:
    """A list whose items say their place, and are told it where they do not."""
    listed = _Many(form)

    def walk(raw: Any) -> _Found:
        found, rest = listed(raw)
        if found is not _NO:
            found = [{"index": place} | one for place, one in enumerate(found)]
        return found, rest

    return walk


# --- the leaves that need a thought


def _finish(raw: Any) -> _Found:
    if not isinstance(raw, str):
        return _NO, raw
    word = finish_reason(raw)
    return word, _NO if word == raw else raw


def _content(raw: Any) -> _Found:
    """A message's text; reasoning models at Mistral answer with a list of parts."""
    if raw is None or isinstance(raw, str):
        return raw, _NO
    if not isinstance(raw, list):
        return _NO, raw
    said = [
        part["text"]
        for part in raw
        if isinstance(part, dict)
        and part.get("type") in ("text", "output_text")
        and isinstance(part.get("text"), str)
    ]
    return "".join(said) if said else None, raw


def _vector(raw: Any) -> _Found:
    """A vector's numbers; `encoding_format="base64"` holds the same ones as little-endian Float32."""
    if isinstance(raw, str):
        try:
            packed = base64.b64decode(raw, validate=True)
            raw_numbers = list(struct.unpack(f"<{len(packed) // 4}f", packed))
        except (ValueError, struct.error):
            return _NO, raw
        return _vector(raw_numbers)[0], _NO
    fits = isinstance(raw, list) and all(_number(one)[0] is not _NO for one in raw)
    return (raw, _NO) if fits else (_NO, raw)


def _total(first: str, second: str) -> Callable[[Json], Any]:
    return lambda made: made[first] + made.get(second, 0)


# --- chat completions

_INPUT_DETAILS = _Object({}, free=dict.fromkeys(
    ("audio_tokens", "cache_write_tokens", "cached_tokens", "image_tokens", "text_tokens"),
    _or_null(_whole),
))  # fmt: skip
_OUTPUT_DETAILS = _Object({}, free=dict.fromkeys(
    ("accepted_prediction_tokens", "audio_tokens", "reasoning_tokens", "rejected_prediction_tokens",
     "text_tokens"),
    _or_null(_whole),
))  # fmt: skip
_USAGE = _Object(
    {"completion_tokens": _whole, "prompt_tokens": _whole, "total_tokens": _whole},
    {"total_tokens": _total("prompt_tokens", "completion_tokens")},
    {
        "completion_tokens_details": _or_null(_OUTPUT_DETAILS),
        "prompt_tokens_details": _or_null(_INPUT_DETAILS),
    },
)
_BYTES = _or_null(_Many(_whole))
_LIKELY = _Many(_Object({"token": _text, "logprob": _number}, free={"bytes": _BYTES}))
_LOGPROBS = _or_null(_Many(_Object(
    {"token": _text, "logprob": _number, "top_logprobs": _LIKELY},
    {"top_logprobs": lambda _: []}, {"bytes": _BYTES},
)))  # fmt: skip
_CALLED = _Object({"arguments": _text, "name": _text}, {"arguments": ""})
_TOOL_CALLS = _Many(_Tagged({
    "function": _Object(
        {"id": _text, "function": _CALLED, "type": _one_of("function")},
        {"id": "", "type": "function"},
    ),
    "custom": _Object(
        {"id": _text, "custom": _Object({"input": _text, "name": _text}),
         "type": _one_of("custom")},
        {"id": ""},
    ),
}))  # fmt: skip
_CITED = _Object({"end_index": _whole, "start_index": _whole, "title": _text, "url": _text})
_MESSAGE = _Object(
    {"role": _one_of("assistant")},
    {"role": "assistant"},
    {
        "content": _content,
        "refusal": _or_null(_text),
        "annotations": _or_null(
            _Many(_Object({"type": _one_of("url_citation"), "url_citation": _CITED}))
        ),
        "audio": _or_null(_Object(
            {"id": _text, "data": _text, "expires_at": _whole, "transcript": _text}
        )),
        "function_call": _or_null(_CALLED),
        "tool_calls": _or_null(_TOOL_CALLS),
    },
)  # fmt: skip
_CHOICE = _Object(
    {"finish_reason": _finish, "message": _MESSAGE},
    {"finish_reason": "stop", "message": lambda _: {"role": "assistant"}},
    {
        "index": _whole,
        "logprobs": _or_null(_Object({}, free={"content": _LOGPROBS, "refusal": _LOGPROBS})),
    },
)
_TIER = _one_of("auto", "default", "flex", "scale", "priority", "fast")
CHAT = _Object(
    {
        "id": _text, "choices": _numbered(_CHOICE), "created": _whole, "model": _text,
        "object": _one_of("chat.completion"),
    },
    {
        "id": "", "choices": lambda _: [], "created": 0, "model": "", "object": "chat.completion",
    },
    {
        "metadata": _or_null(_texts),
        "service_tier": _or_null(_TIER),
        "system_fingerprint": _or_null(_text),
        "usage": _or_null(_USAGE),
    },
)  # fmt: skip

# --- embeddings

_VECTOR_USAGE = _Object(
    {"prompt_tokens": _whole, "total_tokens": _whole},
    {"total_tokens": _total("prompt_tokens", "")},
)
EMBEDDINGS = _Object(
    {
        "data": _numbered(_Object(
            {"embedding": _vector, "object": _one_of("embedding")}, {"object": "embedding"},
            {"index": _whole},
        )),
        "model": _text,
        "object": _one_of("list"),
        "usage": _VECTOR_USAGE,
    },
    {
        "data": lambda _: [], "model": "", "object": "list",
        # the type allows no unknown counts; the columns of tokens do
        "usage": lambda _: {"prompt_tokens": 0, "total_tokens": 0},
    },
)  # fmt: skip

# --- responses: messages, reasoning and calls of functions; what else there is is left over

_STATE = _one_of("in_progress", "completed", "incomplete")
_SAID = _Many(_Tagged({
    "output_text": _Object(
        {"annotations": lambda raw: ([], _NO if raw == [] else raw), "text": _text,
         "type": _one_of("output_text")},
        {"annotations": lambda _: [], "type": "output_text"},
    ),
    "refusal": _Object({"refusal": _text, "type": _one_of("refusal")}),
}))  # fmt: skip


def _written(kind: str) -> _Form:
    return _Many(_Object({"text": _text, "type": _one_of(kind)}, {"type": kind}))


_OUTPUT = _Many(_Tagged({
    "message": _Object(
        {"id": _text, "content": _SAID, "role": _one_of("assistant"), "status": _STATE,
         "type": _one_of("message")},
        {"id": "", "content": lambda _: [], "role": "assistant", "status": "completed",
         "type": "message"},
        {"phase": _or_null(_one_of("commentary", "final_answer"))},
    ),
    "reasoning": _Object(
        {"id": _text, "summary": _written("summary_text"), "type": _one_of("reasoning")},
        {"id": "", "summary": lambda _: []},
        {"content": _or_null(_written("reasoning_text")), "encrypted_content": _or_null(_text),
         "status": _or_null(_STATE)},
    ),
    "function_call": _Object(
        {"arguments": _text, "call_id": _text, "name": _text, "type": _one_of("function_call")},
        {"arguments": "", "call_id": ""},
        {"id": _or_null(_text), "status": _or_null(_STATE)},
    ),
}))  # fmt: skip
_RESPONSE_USAGE = _Object(
    {
        "input_tokens": _whole,
        "input_tokens_details": _Object(
            {"cache_write_tokens": _whole, "cached_tokens": _whole},
            {"cache_write_tokens": 0, "cached_tokens": 0},
        ),
        "output_tokens": _whole,
        "output_tokens_details": _Object({"reasoning_tokens": _whole}, {"reasoning_tokens": 0}),
        "total_tokens": _whole,
    },
    {
        "input_tokens_details": lambda _: {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens_details": lambda _: {"reasoning_tokens": 0},
        "total_tokens": _total("input_tokens", "output_tokens"),
    },
)
_TOOLS = _Many(_Tagged({
    "function": _Object(
        {"name": _text, "type": _one_of("function")}, {},
        {"parameters": _or_null(_open), "strict": _or_null(_flag), "description": _or_null(_text)},
    )
}))  # fmt: skip
RESPONSE = _Object(
    {
        "id": _text, "created_at": _number, "model": _text, "object": _one_of("response"),
        "output": _OUTPUT, "parallel_tool_calls": _flag,
        "tool_choice": _one_of("none", "auto", "required"), "tools": _TOOLS,
    },
    {
        "id": "", "created_at": 0, "model": "", "object": "response", "output": lambda _: [],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": lambda _: [],
    },
    {
        **dict.fromkeys(("temperature", "top_p", "completed_at"), _or_null(_number)),
        **dict.fromkeys(("max_output_tokens", "max_tool_calls", "top_logprobs"), _or_null(_whole)),
        **dict.fromkeys(
            ("instructions", "previous_response_id", "prompt_cache_key", "safety_identifier", "user"),
            _or_null(_text),
        ),
        "background": _or_null(_flag),
        "error": lambda raw: (None, _NO if raw is None else raw),
        "incomplete_details": _or_null(_Object({}, free={"reason": _or_null(
            _one_of("max_output_tokens", "max_messages", "content_filter", "steered")
        )})),
        "metadata": _or_null(_texts),
        "service_tier": _or_null(_one_of("auto", "default", "flex", "scale", "priority", "fast")),
        "status": _or_null(_one_of(
            "completed", "failed", "in_progress", "cancelled", "queued", "incomplete"
        )),
        "truncation": _or_null(_one_of("auto", "disabled")),
        "usage": _or_null(_RESPONSE_USAGE),
    },
)  # fmt: skip

_CLAIMS: Mapping[str, _Form] = {"choices": CHAT, "data": EMBEDDINGS, "output": RESPONSE}
