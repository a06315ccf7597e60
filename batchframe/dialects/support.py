"""How each provider takes each parameter: sent, under another name, refused, or with a warning.

Every row carries its source and its date. What no row names is sent; where the provider's own
reference does not list it, that is marked as unsure. Providers that stand here not at all (`local`,
servers of your own) are sent everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from batchframe.dialects.dialect import Dialect
from batchframe.dialects.parameters import RULES, Rule
from batchframe.dialects.shown import shown
from batchframe.model import Endpoint, Json

Fate = Literal["sent", "renamed", "refused", "warned"]
"""What becomes of a parameter."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact was read, and the day."""

    said: str
    as_of: str


_READ = "2026-11-24"

SOURCES: Mapping[str, Source] = {
    "openai": Source("OpenAI API reference; Python SDK 3.54", _READ),
    "openai-reasoning": Source(
        "OpenAI guide to its latest models, parameter compatibility; SDK 3.54 on max_tokens and stop",
        _READ,
    ),
    "azure": Source("Azure OpenAI v1 reference, which follows OpenAI's", _READ),
    "azure-reasoning": Source("Azure OpenAI reasoning models, 'Not supported'", _READ),
    "mistral": Source(
        "Mistral SDK 3.7; its API answers 422 extra_forbidden to other names", _READ
    ),
    "groq": Source("Groq SDK 1.7; Groq's page on OpenAI compatibility", _READ),
    "groq-errors": Source("Groq's answers of 2025-11 to 2026-04: property '...' is unsupported", _READ),
    "together": Source("Together SDK 3.1", _READ),
    "fireworks": Source("Fireworks SDK 1.2", _READ),
    "xai": Source("xAI REST reference; xAI guide to reasoning", _READ),
    "xai-errors": Source("xAI's answers of 2026-05: does not support parameter reasoningEffort", _READ),
}  # fmt: skip
"""Sources by the word that rows use."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What a provider's own reference lists for an endpoint.

    Args:
        source: Key of `SOURCES`.
        unlisted: Parameters of `RULES` that it does not list.
        own_values: Parameters whose values are the provider's own, not OpenAI's.
    """

    source: str
    unlisted: frozenset[str] = frozenset()
    own_values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One fact: what becomes of some parameters at a provider.

    Args:
        names: The parameters.
        fate: What becomes of them.
        why: After "takes no x=: " for a refusal, after "x= " for a warning.
        source: Key of `SOURCES`.
        instead: What to do instead, as a sentence.
        to: The other name.
        models: A pattern at the beginning of the model's name; "" is any.
        who: Those models in words.
        fine: Values to which this does not apply.
        unless: A parameter and its value that lift this.
        unsure: The source does not say so outright.
    """

    names: tuple[str, ...]
    fate: Fate
    why: str = ""
    source: str = ""
    instead: str = ""
    to: str = ""
    models: str = ""
    who: str = ""
    fine: Rule | None = None
    unless: tuple[str, Any] | None = None
    unsure: bool = False

    def about(self, name: str, model: str) -> bool:
        """Whether this row speaks of a parameter at a model."""
        return name in self.names and (not self.models or bool(re.match(self.models, model)))

    def lifted(self, given: Mapping[str, Any]) -> bool:
        """Whether another parameter's constant lifts this."""
        return self.unless is not None and given.get(self.unless[0]) == self.unless[1]


_EXTRAS = ("audio", "modalities", "prediction", "web_search_options")
_OPENAI_ONLY = ("prompt_cache_retention", "safety_identifier", "verbosity")

_CHAT, _RESPONSES = Endpoint.CHAT, Endpoint.RESPONSES
_EMBEDDINGS, _MODERATIONS = Endpoint.EMBEDDINGS, Endpoint.MODERATIONS

SURFACES: Mapping[str, Mapping[Endpoint, Surface]] = {
    "openai": {each: Surface("openai") for each in Endpoint},
    "azure": {
        _CHAT: Surface("azure", frozenset({"web_search_options"})),
        _RESPONSES: Surface("azure"),
    },
    "mistral": {
        _CHAT: Surface("mistral", own_values=frozenset({"service_tier", "tool_choice", "prediction"})),
        _EMBEDDINGS: Surface("mistral"),
        _MODERATIONS: Surface("mistral"),
    },
    "groq": {
        _CHAT: Surface("groq", own_values=frozenset({"reasoning_effort", "service_tier"})),
    },
    "together": {
        _CHAT: Surface(
            "together",
            frozenset(
                {
                    *_EXTRAS, *_OPENAI_ONLY, "metadata", "parallel_tool_calls", "prompt_cache_key",
                    "service_tier", "store", "user",
                }
            ),
            frozenset({"tool_choice"}),
        ),
    },
    "fireworks": {
        _CHAT: Surface(
            "fireworks",
            frozenset({"audio", "modalities", "store", "web_search_options", *_OPENAI_ONLY}),
            frozenset({"reasoning_effort", "tool_choice", "service_tier"}),
        ),
    },
    "xai": {
        _CHAT: Surface(
            "xai",
            frozenset({"audio", "modalities", "prediction", "store", *_OPENAI_ONLY}),
            frozenset({"service_tier", "web_search_options"}),
        ),
    },
}  # fmt: skip
"""Provider -> endpoint -> what its reference lists."""

_ONE = Rule(("number",), 1, 1)
_NONE = Rule(("number",), 0, 0)

_THINKERS = r"(ft:)?(o\d|gpt-5(-(mini|nano|pro|codex))?(-\d{4}|$|:))"
_WHO_THINKERS = "o-series and GPT-5 models"
_LATER = r"(ft:)?gpt-(5\.\d|[6-9])(?!.*chat)"
_WHO_LATER = "models from GPT-5.1 on"
_LEAVE = "Leave it out."
_EFFORT_NONE = ("reasoning_effort", "none")


def _reasoning(source: str) -> tuple[Row, ...]:
    """Give the rows of OpenAI's reasoning models, which Azure hosts, too."""
    think: dict[str, Any] = {"source": source, "models": _THINKERS, "who": _WHO_THINKERS}
    later: dict[str, Any] = {"source": source, "models": _LATER, "who": _WHO_LATER}
    why = "it is a reasoning model"
    effort = "is sent, and refused there unless reasoning_effort='none'"
    return (
        Row(("temperature", "top_p"), "refused", why, instead=_LEAVE, fine=_ONE, **think),
        Row(
            ("presence_penalty", "frequency_penalty"),
            "refused", why, instead=_LEAVE, fine=_NONE, **think,
        ),
        Row(("logprobs", "top_logprobs", "logit_bias"), "refused", why, instead=_LEAVE, **think),
        Row(
            ("max_tokens",), "refused", "there reasoning counts as well",
            instead="Type: max_completion_tokens=..., with room to think.", **think,
        ),
        Row(
            ("max_tokens",), "refused", "there reasoning counts as well",
            instead="Type: max_completion_tokens=..., with room to think.", **later,
        ),
        Row(
            ("temperature", "top_p"), "warned", effort, fine=_ONE, unless=_EFFORT_NONE, **later,
        ),
        Row(("logprobs", "top_logprobs"), "warned", effort, unless=_EFFORT_NONE, **later),
        Row(
            ("stop",), "refused", "the latest reasoning models have none", source, _LEAVE,
            models=r"(ft:)?(o3|o4-mini)", who="o3 and o4-mini",
        ),
    )  # fmt: skip


def _thinking_responses(source: str) -> tuple[Row, ...]:
    wanted = {"temperature", "top_p", "top_logprobs"}
    effort = "is sent, and refused there unless reasoning={'effort': 'none'}"
    said: dict[str, Any] = {"why": effort, "unless": ("reasoning", {"effort": "none"})}
    return tuple(
        replace(row, names=names, **(said if row.fate == "warned" else {}))
        for row in _reasoning(source)
        if (names := tuple(name for name in row.names if name in wanted))
    )


_MISTRAL_LACKS = "it answers 422 to names that it does not know"
_GROQ_LACKS = "it answers 400 to names that it does not know"
_XAI_THINKERS = r"grok-(3-mini|4|[5-9]|code)(?!.*non-reasoning)"
_XAI_WHO = "reasoning models"

ROWS: Mapping[str, Mapping[Endpoint, tuple[Row, ...]]] = {
    "openai": {
        _CHAT: (
            *_reasoning("openai-reasoning"),
            Row(
                ("reasoning_effort",), "refused", "it does not reason", "openai-reasoning", _LEAVE,
                models=r"(ft:)?(gpt-3\.5|gpt-4)", who="GPT-3.5 and GPT-4 models",
            ),
        ),
        _RESPONSES: _thinking_responses("openai-reasoning"),
    },
    "azure": {
        _CHAT: _reasoning("azure-reasoning"),
        _RESPONSES: _thinking_responses("azure-reasoning"),
    },
    "mistral": {
        _CHAT: (
            Row(("seed",), "renamed", to="random_seed", source="mistral"),
            Row(("max_completion_tokens",), "renamed", to="max_tokens", source="mistral"),
            Row(
                (
                    "audio", "logit_bias", "modalities", "store", "user", "web_search_options",
                    *_OPENAI_ONLY,
                ),
                "refused", _MISTRAL_LACKS, "mistral", _LEAVE,
            ),
        ),
        _EMBEDDINGS: (
            Row(("dimensions",), "renamed", to="output_dimension", source="mistral"),
            Row(("user",), "refused", _MISTRAL_LACKS, "mistral", _LEAVE),
        ),
    },
    "groq": {
        _CHAT: (
            Row(
                ("logprobs", "top_logprobs", "logit_bias"),
                "refused", "none of its models supports it, and it answers 400", "groq", _LEAVE,
            ),
            Row(
                ("audio", "modalities", "prediction", "prompt_cache_key", "web_search_options",
                 *_OPENAI_ONLY),
                "refused", _GROQ_LACKS, "groq-errors", _LEAVE,
            ),
            Row(
                ("metadata",), "refused", "it answers 400 to it", "groq-errors",
                "Leave it out; submit(metadata=...) stays with the job.",
            ),
            Row(
                ("presence_penalty", "frequency_penalty"),
                "warned", "is sent, and none of its models heeds it", "groq",
            ),
            Row(
                ("store",), "warned", "is sent, and not supported: such rows may be refused",
                "groq", unsure=True,
            ),
        ),
    },
    "together": {
        _CHAT: (
            Row(("max_completion_tokens",), "renamed", to="max_tokens", source="together"),
            Row(
                ("logprobs",), "warned",
                "is sent as True or False, and a number is asked for: extra_body={'logprobs': 5}",
                "together",
            ),
            Row(
                ("top_logprobs",), "warned",
                "is sent, and not known there: extra_body={'logprobs': 5} asks for five", "together",
            ),
        ),
    },
    "fireworks": {
        _CHAT: (
            Row(
                ("top_logprobs",), "refused", "it gives at most 5", "fireworks",
                "Type: top_logprobs=5.", fine=Rule(("whole number",), 0, 5),
            ),
        ),
    },
    "xai": {
        _CHAT: (
            Row(
                ("stop", "presence_penalty", "frequency_penalty"),
                "refused", "it is a reasoning model", "xai", _LEAVE,
                models=_XAI_THINKERS, who=_XAI_WHO,
            ),
            Row(
                ("presence_penalty",), "refused", "it does not know it", "xai", _LEAVE,
                models=r"grok-3(?!-mini)", who="grok-3",
            ),
            Row(
                ("reasoning_effort",), "refused", "it thinks as it likes", "xai-errors", _LEAVE,
                models=r"grok-(3(?!-mini)|4(?!\.)|4\.20(?!-multi-agent)|code)",
                who="all models but grok-3-mini, grok-4.20-multi-agent, and grok-4.3 and later",
            ),
            Row(
                ("logprobs", "top_logprobs"), "warned", "is sent, and ignored there", "xai",
                models=r"grok-(4\.(20|[3-9])|[5-9])", who="grok-4.20 and newer",
            ),
            Row(
                ("top_logprobs",), "refused", "it gives at most 8", "xai",
                "Type: top_logprobs=8.", fine=Rule(("whole number",), 0, 8),
            ),
            Row(("logit_bias",), "warned", "is sent, and not heeded", "xai"),
            Row(
                ("metadata",), "warned",
                "is sent, and not listed there: such rows may be refused", "xai", unsure=True,
            ),
        ),
    },
}  # fmt: skip
"""Provider -> endpoint -> the facts that are not "sent"; of several about one parameter the first counts."""

STRICT = frozenset({"openai", "azure"})
"""Where a key inside a message or tool that OpenAI does not know is a mistake, and not the provider's own."""


def surface(provider: str, endpoint: Endpoint) -> Surface | None:
    """Give what a provider lists for an endpoint; None for one that does not stand here."""
    return SURFACES.get(provider, {}).get(endpoint)


def rows(provider: str, endpoint: Endpoint, name: str, model: str) -> Iterator[Row]:
    """Give what is known about a parameter at a model, the first that matters first."""
    for row in ROWS.get(provider, {}).get(endpoint, ()):
        if row.about(name, model):
            yield row


def fate(
    provider: str, endpoint: Endpoint, name: str, model: str, given: Mapping[str, Any]
) -> Row | None:
    """Say what becomes of a constant; None when it is sent as it is.

    Args:
        provider: The word before the slash.
        endpoint: What the request is for.
        name: The parameter, one of `RULES`.
        model: The model's name as the tables have it, without the provider.
        given: All constants of the call, this one among them.

    >>> row = fate("xai", Endpoint.CHAT, "stop", "grok-4", {"stop": "."})
    >>> row.fate, row.why
    ('refused', 'it is a reasoning model')
    """
    for row in rows(provider, endpoint, name, model):
        value = given[name]
        if row.lifted(given) or (row.fine is not None and row.fine.fits(value)):
            continue
        return row
    return None


def refusal(row: Row, name: str, model: str, value: object = ...) -> str:
    """Say why a parameter was refused, and what to type instead.

    Args:
        row: The fact.
        name: The parameter.
        model: `provider/model`.
        value: The constant, where its value matters.
    """
    said = "" if value is ... or row.fine is None else shown(value)
    return (
        f"{model} takes no {name}={said}: {row.why}. {row.instead} "
        f"To send it all the same: extra_body={{'{name}': ...}}."
    )


def warning(row: Row, name: str, model: str) -> str:
    """Say what will happen to a parameter."""
    return f"{model}: {name}= {row.why}"


def names(provider: str, endpoint: Endpoint) -> dict[str, str]:
    """Give OpenAI's names of parameters -> the provider's, where they differ.

    >>> names("mistral", Endpoint.EMBEDDINGS)
    {'dimensions': 'output_dimension'}
    """
    found = ROWS.get(provider, {}).get(endpoint, ())
    return {name: row.to for row in found if row.fate == "renamed" for name in row.names}


def rename(provider: str, endpoint: Endpoint, body: Json) -> Json:
    """Give a body with the provider's names; where it holds both, the provider's own counts.

    >>> rename("mistral", Endpoint.CHAT, {"seed": 7, "top_k": 1})
    {'random_seed': 7, 'top_k': 1}
    """
    other = names(provider, endpoint)
    if not other.keys() & body.keys():
        return body
    return {
        other.get(name, name): value
        for name, value in body.items()
        if not (name in other and other[name] in body)
    }


def rewrites(provider: str) -> frozenset[str]:
    """Give the names that `rename` changes at any endpoint, for `Dialect.rewrites`."""
    return frozenset(name for each in Endpoint for name in names(provider, each))


def renaming(dialect: Dialect, provider: str) -> Dialect:
    """Give a dialect whose lines hold the provider's names of parameters.

    Args:
        dialect: The one that writes everything else.
        provider: The word before the slash; one without names of its own gets the dialect back.
    """
    changed = rewrites(provider)
    if not changed:
        return dialect

    def line(custom_id: str, endpoint: Endpoint, body: Json) -> Json:
        return dialect.line(custom_id, endpoint, rename(provider, endpoint, body))

    return replace(dialect, line=line, rewrites=dialect.rewrites | changed)


def unsure(provider: str, endpoint: Endpoint, name: str) -> bool:
    """Whether a parameter is sent although the provider's reference does not list it."""
    found = surface(provider, endpoint)
    return found is not None and name in found.unlisted and name in RULES[endpoint]
