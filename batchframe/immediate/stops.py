"""The exception a stopped run raises: who refused, why, what is kept, and what to type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from batchframe.errors import (
    AuthenticationError,
    BatchframeError,
    ProviderError,
    ProviderUnavailableError,
    UnknownNameError,
)
from batchframe.immediate.retry import Stop, Why

_RESUME = "then run the same call again: only rows without an outcome are sent."

CAUSES: Mapping[Why, tuple[type[BatchframeError], str, str]] = {
    "authentication": (
        AuthenticationError,
        "{host} does not accept the API key",
        f"Set a valid key, {_RESUME}",
    ),
    "permission": (
        AuthenticationError,
        "{host} refuses this API key here; the model or the region may not be open to it",
        f"Set a key that may use the model, {_RESUME}",
    ),
    "quota": (
        ProviderError,
        "{host} takes no more requests: the account's credit or spending limit is used up",
        f"Add credit or raise the limit, {_RESUME}",
    ),
    "model": (
        UnknownNameError,
        "{host} has no model {model!r}",
        'Submit again with a model it has: model="provider/name".',
    ),
    "address": (
        ProviderError,
        "{host} answers no requests at {path}",
        f"Correct the provider's base_url, {_RESUME}",
    ),
    "redirect": (
        ProviderError,
        "{host} redirects elsewhere, which is not followed because the API key would go along",
        f"Set the provider's base_url to the final address, {_RESUME}",
    ),
    "unsendable": (
        ProviderError,
        "No request to {host} can be built: the base_url or a header (a broken key?) is malformed",
        f"Correct it, {_RESUME}",
    ),
    "refused": (
        ProviderUnavailableError,
        "{host} cannot be reached, or drops every connection",
        f"Start the server or wait for it, {_RESUME}",
    ),
}
"""Why -> class, what happened, whose turn it is."""

_PLAIN_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def stopped(stop: Stop, *, url: str, model: str, kept: int, key_help: str = "") -> BatchframeError:
    """Build the error for a run that a cause common to all rows has stopped.

    The provider's own sentence stays out: such sentences quote keys.

    Args:
        stop: The cause.
        url: Where the request went.
        model: The model it asked for.
        kept: Rows that have their outcome in the journal.
        key_help: What to type when the credentials are refused, where the provider knows it.
    """
    kind, what, turn = CAUSES[stop.why]
    if key_help and kind is AuthenticationError:
        turn = f"{key_help} T{_RESUME[1:]}"
    parts = urlsplit(url)
    facts = [f"HTTP {stop.status}"] if stop.status else []
    facts += [stop.code] if _PLAIN_CODE.fullmatch(stop.code) else []
    what = what.format(host=_host(url), model=model, path=parts.path)
    known = f" ({', '.join(facts)})" if facts else ""
    return kind(
        f"{what}{known}. {kept:,} rows have their outcome and are kept; the others are untouched. "
        f"{turn}"
    )


def _host(url: str) -> str:
    """Give host and port; user names and passwords may stand before them."""
    return urlsplit(url).netloc.rpartition("@")[2] or "The server"
