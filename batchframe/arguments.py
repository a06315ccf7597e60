"""What the arguments that all verbs share must be: each is checked before anything is written or sent."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from batchframe.dialects.shown import shown
from batchframe.errors import InputError, KeyColumnError, nearest
from batchframe.model import Endpoint

if TYPE_CHECKING:
    from batchframe.immediate.retry import Retry
    from batchframe.model import Mode

NAMES = frozenset(
    {
        "model", "prompt", "system", "messages", "response_model", "extra_body", "mode", "key",
        "prefix", "name", "metadata", "budget_usd", "prices", "retry", "concurrency", "again",
        "endpoint", "on_invalid", "strict",
    }
)  # fmt: skip
"""Our own argument names, as candidates for spelling hints."""

MODES: tuple[Mode, ...] = ("batch", "immediate")

FAULTS = ("row_error", "raise")
"""What `on_invalid=` may say."""

_NAME_LENGTH = 80
_METADATA_PAIRS, _METADATA_KEY, _METADATA_VALUE = 13, 64, 512
"""OpenAI's limits (2026-11): 16 pairs, of which three are ours."""
_METADATA_OURS = ("batchframe", "job", "part")
"""Keys under which batches carry what finds them again: a user's would hide it, or be hidden."""
_MOST_DOLLARS = Decimal(10) ** 12
_COLUMNS = 8  # that a message lists
_PRICE_DECIMALS = 12  # a float means what it prints, to the picodollar


def known_columns(columns: Collection[str]) -> str:
    """List the frame's columns for a message, the first few of many."""
    rest = len(columns) - _COLUMNS
    listed = ", ".join(map(repr, list(columns)[:_COLUMNS])) or "none"
    return f"{listed} and {rest:,} more" if rest > 0 else listed


ENDPOINTS = {
    "chat": Endpoint.CHAT,
    "responses": Endpoint.RESPONSES,
    "moderations": Endpoint.MODERATIONS,
}
"""What `endpoint=` may say; `embed()` has its own."""


def endpoint(given: Any) -> Endpoint:
    """Check what kind of request is asked for."""
    found = ENDPOINTS.get(given) if isinstance(given, str) else None
    if found is None:
        raise InputError(
            f"endpoint={shown(given)}: it is {', '.join(map(repr, ENDPOINTS))}."
            f"{nearest(str(given), ENDPOINTS)} For vectors: df.batch.embed(...)."
        )
    return found


def alone(endpoint: Endpoint, **others: Any) -> None:
    """Refuse arguments that a moderation has no place for."""
    for name, value in others.items():
        if value is not None:
            raise InputError(
                f"{endpoint.value} judges the text of prompt= alone; leave {name}= out."
            )


def answers(endpoint: Endpoint) -> None:
    """Refuse a response model where no model writes an answer."""
    if endpoint is Endpoint.MODERATIONS:
        raise InputError("A moderation's verdict has a form of its own; leave response_model= out.")


def mode(given: Any) -> Mode:
    """Check how the requests travel."""
    if not isinstance(given, str) or given not in MODES:
        raise InputError(
            f"mode={shown(given)}: it is 'batch' or 'immediate'.{nearest(str(given), MODES)}"
        )
    return given


def key(given: Any, columns: Collection[str]) -> str | None:
    """Check that the column which identifies rows is there.

    Raises:
        KeyColumnError: With the nearest columns.
    """
    if given is None or (isinstance(given, str) and given in columns):
        return given
    if not isinstance(given, str):
        raise KeyColumnError(
            f"key={shown(given)}: it is the name of one column. For several, make one of them: "
            "df.with_columns(id=pl.concat_str('a', 'b', separator='-'))."
        )
    raise KeyColumnError(
        f"key={shown(given)} is not a column.{nearest(given, columns)} "
        f"Columns: {known_columns(columns)}."
    )


def prefix(given: Any) -> str:
    """Check what stands before the added columns' names."""
    if not isinstance(given, str):
        raise InputError(f"prefix={shown(given)}: it is text, put before the added columns' names.")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"prefix= holds half of a surrogate pair at character {error.start}, which no column's "
            "name can carry."
        ) from error
    return given


def retry(given: Any) -> Retry | None:
    """Check how often a row is tried."""
    from batchframe.immediate.retry import Retry  # noqa: PLC0415 - verbs load on first use

    if given is not None and not isinstance(given, Retry):
        raise InputError(f"retry={shown(given)}: it is a bf.Retry(attempts=...).")
    return given


def concurrency(given: Any) -> int | None:
    """Check how many requests go at once."""
    if given is None or (type(given) is int and given >= 1):
        return given
    raise InputError(f"concurrency={shown(given)}: it is a whole number, at least 1.")


def again(given: Any) -> bool:
    """Check what decides whether rows are paid for twice: a word such as "no" would be a yes."""
    if not isinstance(given, bool):
        raise InputError(f"again={shown(given)}: it is True or False.")
    return given


def on_invalid(given: Any) -> bool:
    """Check what becomes of rows at fault; gives whether one of them refuses the call."""
    if not isinstance(given, str) or given not in FAULTS:
        raise InputError(
            f"on_invalid={shown(given)}: it is 'row_error' or 'raise'.{nearest(str(given), FAULTS)}"
        )
    return given == "raise"


def strict(given: Any) -> bool:
    """Check whether warnings refuse the call."""
    if not isinstance(given, bool):
        raise InputError(f"strict={shown(given)}: it is True or False.")
    return given


def rows(given: Any, argument: str) -> int:
    """Check a number of rows."""
    if type(given) is not int or given < 0:
        raise InputError(f"{argument}={shown(given)}: it is a number of rows, 0 or more.")
    return min(given, 2**32)


def name(given: Any, otherwise: str) -> str:
    """Give what people see of a job, free of what could drive a terminal or a page.

    Args:
        given: The `name=` of the call.
        otherwise: What names the job where nothing else does.
    """
    if given is not None and not isinstance(given, str):
        raise InputError(f"name={shown(given)}: it must be text.")
    for text in (given or "", otherwise):
        words = " ".join(re.sub(r"[^\w\s.,:;?!'()/{}+-]", " ", text).split())
        if words:
            return words if len(words) <= _NAME_LENGTH else words[: _NAME_LENGTH - 1] + "…"
    return "job"


def metadata(given: Any) -> dict[str, str]:
    """Check metadata against the strictest provider's limits."""
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"metadata={shown(given)}: it is a mapping of text to text.")
    pairs = dict(given or {})
    if len(pairs) > _METADATA_PAIRS:
        raise InputError(
            f"metadata= holds {len(pairs)} pairs; at most {_METADATA_PAIRS}: providers take 16, and "
            "three are batchframe's own. Leave some out, or put several into one text."
        )
    for k, v in pairs.items():
        if not isinstance(k, str) or not isinstance(v, str):
            raise InputError(f"metadata={{{shown(k)}: {shown(v)}}}: keys and values must be text.")
        if len(k) > _METADATA_KEY or len(v) > _METADATA_VALUE:
            raise InputError(
                f"metadata['{k[:_METADATA_KEY]}'] is too long: keys up to {_METADATA_KEY}, values "
                f"up to {_METADATA_VALUE} characters."
            )
        if k in _METADATA_OURS:
            raise InputError(
                f"metadata['{k}'] is batchframe's own: it is how a batch is found again. Type: "
                f"metadata={{'my_{k}': ...}}"
            )
        try:
            (k + v).encode()
        except UnicodeEncodeError as error:
            raise InputError(f"metadata[{shown(k)}] holds half of a surrogate pair.") from error
    return pairs


def dollars(given: Any) -> Decimal | None:
    """Check a budget in US dollars; None is none."""
    if given is None:
        return None
    try:
        amount = Decimal(str(given))
    except (InvalidOperation, ValueError):  # Python does not write out a number of 5,000 digits
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
        raise InputError(
            f"budget_usd={shown(given)}: it is an amount of US dollars, for example 2.50."
        )
    return amount


def prices(given: Any) -> dict[str, dict[str, str]] | None:
    """Check prices by hand; gives them as plain JSON, exact, for the ledger."""
    from batchframe.pricing.rates import rates_for  # noqa: PLC0415 - prices load where they are given
    from batchframe.providers.registry import model_ref  # noqa: PLC0415

    if given is None:
        return None
    example = 'Type: prices={"provider/model": {"input": "0.25", "output": "2"}}'
    if not isinstance(given, Mapping):
        raise InputError(f"prices={shown(given)}: it is a mapping of models to prices. {example}")
    found: dict[str, dict[str, str]] = {}
    for model, row in given.items():
        if not isinstance(model, str) or not isinstance(row, Mapping) or not row:
            raise InputError(
                f"prices={{{shown(model)}: {shown(row)}}}: each model has a mapping of its own. "
                f"{example}"
            )
        plain = {k: _price(v) for k, v in row.items() if v is not None}
        rates_for(model_ref(model), batch=False, overrides={model: plain})
        found[model] = {str(k): str(v) for k, v in plain.items()}
    return found


def _price(given: Any) -> Any:
    """Give a float as the number it prints; whatever is no price is refused where prices are read."""
    if isinstance(given, bool):
        return repr(given)
    if isinstance(given, float):
        value = Decimal(str(float(given)))
        return format(round(value, _PRICE_DECIMALS), "f") if value.is_finite() else str(given)
    return given
