"""Together: OpenAI's batches over files with its own corners: another upload path, no metadata, no counts.

Settings: `TOGETHER_API_KEY`, `TOGETHER_BASE_URL`. Facts: Together's batch reference and SDK 3.1, 2026-11.
"""

from __future__ import annotations

from functools import partial

from pydantic import field_validator
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import together
from batchframe.model import Endpoint, Limits, Patience
from batchframe.providers.account import Account, bearer, key_help
from batchframe.providers.rest import Rest
from batchframe.providers.shaped import Shaped, Surface

KEY = "TOGETHER_API_KEY"

LIMITS = Limits(
    requests=50_000,
    bytes=100_000_000,
    source="Together batch overview: 50,000 requests, 100 MB a file, 10 MB a line",
    as_of="2026-11-23",
    line_bytes=10_000_000,
)

SURFACE = Surface(
    endpoints={Endpoint.CHAT: Endpoint.CHAT.value},
    dialects={Endpoint.CHAT: together.DIALECT},
    upload="/files/upload",
    purpose="batch-api",
    file_name="file_name",
    metadata=False,
    wrapped="job",
    pages=False,
)

MODELS = ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "openai/gpt-oss-20b", "openai/gpt-oss-120b")


class Settings(Account):
    """What an account at Together has."""

    model_config = SettingsConfigDict(env_prefix="TOGETHER_")

    base_url: str = "https://api.together.xyz/v1"

    @field_validator("base_url")
    @classmethod
    def _versioned(cls, url: str) -> str:
        """Bring the address to one form: Together's own client wants the bare root."""
        root = url.strip().rstrip("/").removesuffix("/v1")
        return f"{root}/v1"


def Together(  # noqa: N802 - users read it as the name of a thing
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> Shaped:
    """Make the provider `together`.

    Args:
        api_key: The key; by default `TOGETHER_API_KEY`.
        base_url: Where the API begins; by default `TOGETHER_BASE_URL`, else Together's own.
        poll_seconds: How often a batch is asked for.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: A setting is not what it must be.
    """
    account = Settings.made("together", locals())
    headers = partial(bearer, account, "together", KEY)
    return Shaped(
        name="together",
        account=account,
        surface=SURFACE,
        limits=LIMITS,
        rest=Rest("together", account.base_url, headers, key_help(KEY)),
        known=MODELS,
        ready=headers,
        headers=headers,
    )
