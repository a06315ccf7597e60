"""Which word before the slash is which provider; a module is imported when its provider is first used."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.dialects.shown import shown
from batchframe.errors import InputError, MissingCredentialsError, UnknownNameError, nearest
from batchframe.model import Endpoint, ModelRef
from batchframe.providers.base import BatchProvider, Provider


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the registry: where the provider is made, and which variables it reads."""

    module: str
    factory: str
    variables: tuple[str, ...] = ()
    """Beginnings of the environment variables that its settings come from."""


KNOWN: dict[str, Entry] = {
    "azure": Entry("batchframe.providers.azure", "Azure", ("AZURE_OPENAI_", "OPENAI_API_VERSION")),
    "fireworks": Entry("batchframe.providers.fireworks", "Fireworks", ("FIREWORKS_",)),
    "groq": Entry("batchframe.providers.groq", "Groq", ("GROQ_",)),
    "local": Entry("batchframe.providers.local", "Local"),
    "mistral": Entry("batchframe.providers.mistral", "Mistral", ("MISTRAL_",)),
    "openai": Entry("batchframe.providers.openai", "OpenAI", ("OPENAI_",)),
    "together": Entry("batchframe.providers.together", "Together", ("TOGETHER_",)),
    "xai": Entry("batchframe.providers.xai", "XAI", ("XAI_",)),
}

_MADE: dict[str, Provider] = {}
"""Providers that were registered, or made from the environment."""

_READ: dict[str, tuple[tuple[str, str], ...]] = {}
"""Provider made from the environment -> the variables that it saw."""


def names() -> list[str]:
    """Name all providers."""
    return sorted({*KNOWN, *_MADE})


def provider(name: str) -> Provider:
    """Give a provider, made once per process; made anew when its environment variables have changed.

    Args:
        name: The word before the slash.

    Raises:
        UnknownNameError: Nobody knows it.
    """
    entry = KNOWN.get(name)
    seen = _variables(entry) if entry else ()
    if name not in _MADE or _READ.get(name, seen) != seen:
        if entry is None:
            raise UnknownNameError(
                f"No provider '{name}'.{nearest(name, names())} Providers: {', '.join(names())}."
            )
        factory = getattr(importlib.import_module(entry.module), entry.factory)
        made = cast("Callable[[], Provider]", factory)()
        if name not in _MADE or name in _READ:  # a test may have put its own in place meanwhile
            _MADE[name], _READ[name] = made, seen
    return _MADE[name]


def _variables(entry: Entry) -> tuple[tuple[str, str], ...]:
    """Give the environment variables that a provider reads, as they are now."""
    if not entry.variables:
        return ()
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith(entry.variables)))


def register(provider: Provider) -> None:
    """Make a provider known under its name for this process, in place of any other of that name.

    Args:
        provider: What `bf.OpenAI(...)`, `bf.OpenAICompatible(...)` and their like give.

    Raises:
        InputError: It is no provider.
    """
    if not isinstance(provider, Provider):
        raise InputError(
            f"register() takes a provider, such as bf.OpenAICompatible('vllm', 'http://...'); got "
            f"{shown(provider)}."
        )
    _MADE[provider.name] = provider
    _READ.pop(provider.name, None)


@contextmanager
def registered(made: Provider) -> Iterator[Provider]:
    """Make a provider known for the length of a block: what tests want."""
    before, read = _MADE.get(made.name), _READ.pop(made.name, None)
    _MADE[made.name] = made
    try:
        yield made
    finally:
        if before is None:
            _MADE.pop(made.name, None)
        else:
            _MADE[made.name] = before
            if read is not None:
                _READ[made.name] = read


def model_ref(text: str) -> ModelRef:
    """Read `provider/model`.

    Args:
        text: What the user wrote.

    Raises:
        UnknownNameError: There is no slash, or nobody knows the provider.
    """
    name, slash, rest = text.partition("/")
    if not slash or not name or not rest:
        full = {f"{p}/{m}": f"{p}/{m}" for p in names() for m in provider(p).models()}
        meant = full | {ref.partition("/")[2]: ref for ref in full}  # the provider was left out
        near = difflib.get_close_matches(text, meant, n=2)
        hint = " or ".join(repr(ref) for ref in dict.fromkeys(meant[one] for one in near))
        raise UnknownNameError(
            f"A model is written provider/model, for example 'local/smollm2'; got {shown(text)}."
            + (f" Did you mean {hint}?" if hint else "")
        )
    provider(name)
    return ModelRef(name, rest)


def dialect_of(ref: ModelRef, endpoint: Endpoint) -> Dialect:
    """Give the words of the files in which a model's batches travel.

    Args:
        ref: The model; one without a batch API is asked in OpenAI's words.
        endpoint: What the requests are for.
    """
    found = provider(ref.provider)
    return found.dialect(endpoint) if isinstance(found, BatchProvider) else openai.DIALECT


def check(ref: ModelRef, endpoint: Endpoint) -> None:
    """Find out whether a model can be asked, once there are credentials: to plan, none are needed.

    Args:
        ref: The model.
        endpoint: What it is asked for.

    Raises:
        UnknownNameError: And what else `Provider.check` raises, but for a key that is missing.
    """
    with suppress(MissingCredentialsError):
        provider(ref.provider).check(ref.name, endpoint)


@runtime_checkable
class Capped(Protocol):
    """A provider that ends an answer by itself where the request does not say `max_tokens`."""

    def answer_tokens(self, model: str) -> int | None:
        """The most output tokens of such an answer; None: it has no such end, or nobody knows it."""
        ...


@runtime_checkable
class Named(Protocol):
    """A provider whose requests carry models under fuller names than users may give."""

    def request_model(self, model: str) -> str:
        """Give a model's name as a request carries it."""
        ...


def request_model(ref: ModelRef) -> str:
    """Give a model's name as a request that we send ourselves carries it.

    Args:
        ref: The model as users name it.
    """
    found = provider(ref.provider)
    return found.request_model(ref.name) if isinstance(found, Named) else ref.name


@runtime_checkable
class Listed(Protocol):
    """A provider whose models are listed in price lists under other names than their own."""

    def listed(self, model: str) -> tuple[ModelRef, bool]:
        """Say under which name a model's price is listed, and whether a data zone's share comes on top."""
        ...


@runtime_checkable
class Labelled(Protocol):
    """A provider that says whether its batches have a place for metadata."""

    @property
    def carries_metadata(self) -> bool:
        """Whether the user's pairs go to the provider."""
        ...


def carries_metadata(name: str) -> bool:
    """Say whether a provider's batches carry the user's metadata; one that does not say does.

    Args:
        name: The word before the slash.
    """
    found = provider(name)
    return not isinstance(found, Labelled) or found.carries_metadata


def listed(ref: ModelRef) -> tuple[ModelRef, bool]:
    """Say under which name a model's price is listed, and whether it is a data zone's.

    Args:
        ref: The model as users name it.
    """
    found = provider(ref.provider)
    return found.listed(ref.name) if isinstance(found, Listed) else (ref, False)


def answer_tokens(ref: ModelRef) -> int | None:
    """Say where a model's answers end when the request does not, for the estimate.

    Args:
        ref: The model.

    Returns:
        Tokens, or None where the provider does not say.
    """
    found = provider(ref.provider)
    return found.answer_tokens(ref.name) if isinstance(found, Capped) else None
