"""Groq: OpenAI's batches over files, for chat, with a window of up to seven days.

Settings: `GROQ_API_KEY`, `GROQ_BASE_URL`, `GROQ_WINDOW`. Facts: Groq's API reference and SDK 1.7, 2026-11.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

from pydantic import field_validator
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import openai
from batchframe.model import Endpoint, Limits, Patience
from batchframe.providers.account import Account, bearer, key_help
from batchframe.providers.rest import Rest
from batchframe.providers.shaped import Shaped, Surface

KEY = "GROQ_API_KEY"

LIMITS = Limits(
    requests=50_000,
    bytes=100_000_000,
    source="Groq SDK 1.7: 100 MB a file (its batch page says 200 MB); batch page: 50,000 lines",
    as_of="2026-11-23",
)

SURFACE = Surface(
    endpoints={Endpoint.CHAT: Endpoint.CHAT.value},
    dialects={Endpoint.CHAT: openai.DIALECT},
    pages=False,
)

MODELS = ("openai/gpt-oss-120b", "openai/gpt-oss-20b", "llama-3.3-70b-versatile")


class Settings(Account):
    """What an account at Groq has beside a key.

    Args:
        window: How long a batch may take, from `24h` to `7d`.
    """

    model_config = SettingsConfigDict(env_prefix="GROQ_")

    base_url: str = "https://api.groq.com/openai/v1"

    @field_validator("base_url")
    @classmethod
    def _versioned(cls, url: str) -> str:
        """Bring the address to one form: Groq's own client wants the bare root."""
        root = url.strip().rstrip("/").removesuffix("/openai/v1")
        return f"{root}/openai/v1"

    window: Literal["24h", "48h", "72h", "96h", "120h", "144h", "168h", "7d"] = "24h"


def Groq(  # noqa: N802 - users read it as the name of a thing
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    window: str | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> Shaped:
    """Make the provider `groq`.

    Args:
        api_key: The key; by default `GROQ_API_KEY`.
        base_url: Where the API begins, with `/openai/v1`; by default `GROQ_BASE_URL`, else Groq's own.
        window: How long a batch may take, from "24h" to "7d".
        poll_seconds: How often a batch is asked for.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: A setting is not what it must be.
    """
    account = Settings.made("groq", locals())
    headers = partial(bearer, account, "groq", KEY)
    return Shaped(
        name="groq",
        account=account,
        surface=replace(SURFACE, window=account.window),
        limits=LIMITS,
        rest=Rest("groq", account.base_url, headers, key_help(KEY)),
        known=MODELS,
        ready=headers,
        headers=headers,
    )
