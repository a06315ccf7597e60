"""OpenAI: batches over files, 24 h, half the price.

    bf.OpenAI(api_key="...", queue_tokens=2_000_000)

Settings come from the arguments or from `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_ORG_ID`,
`OPENAI_PROJECT_ID` and `OPENAI_QUEUE_TOKENS`. Facts: API reference and batch guide, 2026-11.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import openai
from batchframe.model import Endpoint, Limits, Patience
from batchframe.providers.account import Account, bearer, key_help
from batchframe.providers.rest import Rest
from batchframe.providers.shaped import Shaped, Surface

KEY = "OPENAI_API_KEY"

LIMITS = Limits(
    requests=50_000,
    bytes=200_000_000,
    source="OpenAI batch guide: 50,000 requests and 200 MB a file, 50,000 embedding inputs in all its lines",
    as_of="2026-11-23",
    inputs=50_000,
)

SURFACE = Surface(
    endpoints={each: each.value for each in Endpoint},
    dialects=dict.fromkeys(Endpoint, openai.DIALECT),
)

MODELS = (
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-4.1-mini",
    "gpt-4o-mini",
    "text-embedding-3-small",
)
"""A few, to suggest; any model with batches works."""


class Settings(Account):
    """What an account at OpenAI has beside a key.

    Args:
        organization: Whose bill it is, for keys of several organisations.
        project: Likewise.
        queue_tokens: The account's limit of enqueued prompt tokens for the models in use (it depends on
            the usage tier and stands on the limits page): no part will have more.
    """

    model_config = SettingsConfigDict(env_prefix="OPENAI_")

    base_url: str = "https://api.openai.com/v1"
    organization: str | None = Field(
        None, validation_alias=AliasChoices("organization", "OPENAI_ORG_ID")
    )
    project: str | None = Field(None, validation_alias=AliasChoices("project", "OPENAI_PROJECT_ID"))
    queue_tokens: int | None = Field(None, gt=0)


def OpenAI(  # noqa: N802 - users read it as the name of a thing
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    organization: str | None = None,
    project: str | None = None,
    queue_tokens: int | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> Shaped:
    """Make the provider `openai`.

    Args:
        api_key: The key; by default `OPENAI_API_KEY`.
        base_url: Where the API begins; by default `OPENAI_BASE_URL`, else OpenAI's own.
        organization: Whose bill it is; by default `OPENAI_ORG_ID`.
        project: Likewise; by default `OPENAI_PROJECT_ID`.
        queue_tokens: The account's limit of enqueued prompt tokens: no part will have more.
        poll_seconds: How often a batch is asked for.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: A setting is not what it must be.
    """
    account = Settings.made("openai", locals())
    return made(account)


def made(account: Settings) -> Shaped:
    """Put the provider together."""

    def headers() -> dict[str, str]:
        extra = {"openai-organization": account.organization, "openai-project": account.project}
        return {**bearer(account, "openai", KEY), **{k: v for k, v in extra.items() if v}}

    limits = replace(LIMITS, queue_tokens=account.queue_tokens)
    return Shaped(
        name="openai",
        account=account,
        surface=SURFACE,
        limits=limits,
        rest=Rest("openai", account.base_url, headers, key_help(KEY)),
        known=MODELS,
        ready=partial(bearer, account, "openai", KEY),
        headers=headers,
    )
