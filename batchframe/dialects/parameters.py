"""Which body parameters OpenAI's API knows, and what each one's value must be.

Names, types and ranges follow OpenAI's API reference as of 2026-11. A constant is checked here; a
value per row is held to the same rule by `frame/rules.py`.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from batchframe.dialects import contents
from batchframe.dialects.shown import shown
from batchframe.errors import UnknownNameError, UnsupportedError, nearest
from batchframe.model import Endpoint

Kind = Literal["number", "whole number", "text", "flag", "list", "object"]
"""What JSON tells apart, and whole numbers."""

_SAID: Mapping[Kind, str] = {
    "number": "a number",
    "whole number": "a whole number",
    "text": "text",
    "flag": "True or False",
    "list": "a list",
    "object": "a dict",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a parameter's value must be: of one of the `kinds`, a number within inclusive bounds.

    `most` is how many entries a list may have.
    """

    kinds: tuple[Kind, ...]
    low: float | None = None
    high: float | None = None
    most: int | None = None

    def __str__(self) -> str:
        words = " or ".join(_SAID[kind] for kind in self.kinds)
        if self.most is not None:
            words += f" of at most {self.most}"
        if self.low is None:
            return words
        if self.high is None:
            return f"{words}, at least {self.low:g}"
        if self.low == self.high:
            return f"{self.low:g}"
        return f"{words} from {self.low:g} to {self.high:g}"

    def allows(self, kind: Kind) -> bool:
        """Whether a value of this kind may do; a number may turn out to be whole."""
        return kind in self.kinds or (
            (kind == "number" and "whole number" in self.kinds)
            or (kind == "whole number" and "number" in self.kinds)
        )

    def fits(self, value: object) -> bool:
        """Whether a constant does."""
        kind = _kind(value)
        if kind is None or not (
            kind in self.kinds or (kind == "whole number" and "number" in self.kinds)
        ):
            return False
        if self.most is not None and isinstance(value, list | tuple):
            return len(value) <= self.most
        if self.low is None or not isinstance(value, numbers.Real):
            return True
        number: Any = value  # a Real compares with a float, which its type does not say
        return bool(self.low <= number and (self.high is None or number <= self.high))


def _kind(value: object) -> Kind | None:
    kinds: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
        (bool, "flag"),  # before the numbers, of which it is one
        (numbers.Integral, "whole number"),
        (numbers.Real, "number"),
        (str, "text"),
        (Mapping, "object"),
        ((list, tuple), "list"),
    )
    return next((kind for of, kind in kinds if isinstance(value, of)), None)


_WHOLE = Rule(("whole number",))
_TEXT, _FLAG, _LIST, _OBJECT = Rule(("text",)), Rule(("flag",)), Rule(("list",)), Rule(("object",))
_COUNT = Rule(("whole number",), 1)

RULES: Mapping[Endpoint, Mapping[str, Rule]] = {
    Endpoint.CHAT: {
        "audio": _OBJECT,
        "frequency_penalty": Rule(("number",), -2, 2),
        "logit_bias": _OBJECT,
        "logprobs": _FLAG,
        "max_completion_tokens": _COUNT,
        "max_tokens": _COUNT,
        "metadata": _OBJECT,
        "modalities": _LIST,
        "n": Rule(("whole number",), 1, 1),  # a row has one answer: to sample several, repeat it
        "parallel_tool_calls": _FLAG,
        "prediction": _OBJECT,
        "presence_penalty": Rule(("number",), -2, 2),
        "prompt_cache_key": _TEXT,
        "prompt_cache_retention": _TEXT,
        "reasoning_effort": _TEXT,
        "response_format": _OBJECT,
        "safety_identifier": _TEXT,
        "seed": _WHOLE,
        "service_tier": _TEXT,
        "stop": Rule(("text", "list"), most=4),
        "store": _FLAG,
        "temperature": Rule(("number",), 0, 2),
        "tool_choice": Rule(("text", "object")),
        "tools": _LIST,
        "top_logprobs": Rule(("whole number",), 0, 20),
        "top_p": Rule(("number",), 0, 1),
        "user": _TEXT,
        "verbosity": _TEXT,
        "web_search_options": _OBJECT,
    },
    Endpoint.RESPONSES: {
        "include": _LIST,
        "instructions": _TEXT,
        "max_output_tokens": _COUNT,
        "max_tool_calls": _COUNT,
        "metadata": _OBJECT,
        "parallel_tool_calls": _FLAG,
        "previous_response_id": _TEXT,
        "prompt_cache_key": _TEXT,
        "prompt_cache_retention": _TEXT,
        "reasoning": _OBJECT,
        "safety_identifier": _TEXT,
        "service_tier": _TEXT,
        "store": _FLAG,
        "temperature": Rule(("number",), 0, 2),
        "text": _OBJECT,
        "tool_choice": Rule(("text", "object")),
        "tools": _LIST,
        "top_logprobs": Rule(("whole number",), 0, 20),
        "top_p": Rule(("number",), 0, 1),
        "truncation": _TEXT,
        "user": _TEXT,
    },
    Endpoint.MODERATIONS: {},
    Endpoint.EMBEDDINGS: {"dimensions": _COUNT, "encoding_format": _TEXT, "user": _TEXT},
}
"""Body parameters beside `model`, `messages` and `input`, by endpoint."""

REFUSED = {
    "stream": "a batch has no one to stream to; leave it out",
    "stream_options": "a batch has no one to stream to; leave it out",
    "functions": "it is OpenAI's old name; use tools=[...]",
    "function_call": "it is OpenAI's old name; use tool_choice=...",
    "background": "a batch is in the background by itself; leave it out",
    "conversation": "rows of a batch are answered in any order; leave it out",
}
"""Parameters the API knows and a batch cannot use, and what to do instead."""


def check_parameters(
    parameters: Mapping[str, Any], endpoint: Endpoint, *, known_elsewhere: frozenset[str]
) -> None:
    """Refuse body parameters that the endpoint does not know, and constants that break their rule.

    Args:
        parameters: Name to constant value; per-row values are given as None.
        endpoint: The surface the body is for.
        known_elsewhere: batchframe's own argument names, as candidates for a spelling hint.

    Raises:
        UnknownNameError: No such parameter.
        UnsupportedError: Known, but senseless in a batch; or of the wrong type, or out of range.
    """
    known = RULES[endpoint]
    for name, value in parameters.items():
        if name in REFUSED:
            raise UnsupportedError(f"The parameter '{name}' was refused: {REFUSED[name]}.")
        if name not in known:
            hint = nearest(name, sorted(known.keys() | known_elsewhere))
            raise UnknownNameError(
                f"No parameter '{name}' for {endpoint.value}.{hint} "
                f"A parameter only your server knows goes into extra_body={{'{name}': ...}}."
            )
        if value is not None and not known[name].fits(value):
            raise UnsupportedError(
                f"The parameter {name}={shown(value)} was refused: it must be {known[name]}."
                f"{_instead(name, value)}"
            )
        if value is not None and (fault := contents.wrong(parameters, name, endpoint)) is not None:
            raise UnsupportedError(
                f"The parameter '{name}' was refused: {fault}. To send it all the same: "
                f"extra_body={{'{name}': ...}}."
            )


def _instead(name: str, value: object) -> str:
    """Say what was probably meant."""
    if name == "response_format" and isinstance(value, type):
        return f" A pydantic model has its own argument: response_model={value.__name__}."
    if type(value).__module__.partition(".")[0] == "polars":
        return f" For a value per row name its column: {name}=pl.col('...')."
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and name != "stop":
        return f" For a value per row make it a column, and then {name}=pl.col('...')."
    return ""
