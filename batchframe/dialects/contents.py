"""What must stand inside a parameter's value, where its type alone does not say it.

Lengths, ranges and names follow OpenAI's API reference as of 2026-11; the service answers 400 to the
rest, for each row by itself and after the upload. What another server takes all the same goes into
`extra_body`, which no rule holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batchframe.dialects.shown import shown
from batchframe.model import Endpoint

BIAS = (-100, 100)
"""The least and the most that `logit_bias` may add to a token."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME_SAID = "letters, digits, '_' and '-', at most 64"


def wrong(parameters: Mapping[str, Any], name: str, endpoint: Endpoint) -> str | None:
    """Say what is wrong inside a constant; None when nothing is.

    Args:
        parameters: All that were given; those with a value per row are None.
        name: The one to look at.
        endpoint: The surface that they are for.

    >>> wrong({"logit_bias": {"50256": -1000}}, "logit_bias", Endpoint.CHAT)
    "logit_bias['50256'] is -1000, and it must be a number from -100 to 100"
    """
    look = LOOKS.get(name)
    if look is None or parameters[name] is None:
        return None
    return next(look(parameters, endpoint), None)


def _bias(parameters: Mapping[str, Any], _endpoint: Endpoint) -> Iterator[str]:
    for token, bias in parameters["logit_bias"].items():
        if not str(token).isdecimal():
            yield (
                f"logit_bias has the key {shown(token)}, and its keys are numbers of tokens, such as "
                "'50256'"
            )
        number = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not number or not BIAS[0] <= bias <= BIAS[1]:
            yield (
                f"logit_bias[{shown(token)}] is {shown(bias)}, and it must be a number from "
                f"{BIAS[0]} to {BIAS[1]}"
            )


def _logprobs(parameters: Mapping[str, Any], endpoint: Endpoint) -> Iterator[str]:
    # a column has its values row by row, and is there as None
    if endpoint is not Endpoint.CHAT:
        return  # the Responses API has no such switch
    if "logprobs" not in parameters or parameters["logprobs"] is False:
        yield "top_logprobs needs logprobs=True beside it"


def _tools(parameters: Mapping[str, Any], _endpoint: Endpoint) -> Iterator[str]:
    for number, tool in enumerate(parameters["tools"]):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if isinstance(name, str) and not _NAME.fullmatch(name):
            yield f"tools[{number}] is called {shown(name)}, and a name holds {_NAME_SAID}"


def _format(parameters: Mapping[str, Any], _endpoint: Endpoint) -> Iterator[str]:
    inner = parameters["response_format"].get("json_schema")
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield f"its schema is called {shown(name)}, and a name holds {_NAME_SAID}"


LOOKS: Mapping[str, Callable[[Mapping[str, Any], Endpoint], Iterator[str]]] = {
    "logit_bias": _bias,
    "response_format": _format,
    "tools": _tools,
    "top_logprobs": _logprobs,
}
"""Parameter -> what looks into it."""
