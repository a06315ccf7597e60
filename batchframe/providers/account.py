"""What an account at a provider is: a key, an address, and how patient to be; read from the environment.

Settings come from arguments or from the vendor's own environment variables, each time the provider is
made; a key is a `SecretStr`, so that no repr, log or traceback shows it, and is made known to `redact`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from batchframe.errors import InputError, MissingCredentialsError
from batchframe.model import Connection, Patience
from batchframe.redact import redact, remember

POLL_SECONDS = 30.0
"""How often a batch is asked for: it takes minutes to hours, and vendors advise 30 to 60 s."""


class Account(BaseSettings):
    """Settings that every provider with a key has; each provider's own class adds its variables' prefix.

    Args:
        api_key: The key.
        base_url: Where the API begins.
        poll_seconds: How often a batch is asked for.
        timeout: Seconds that one answer of the control plane, or one immediate answer, may take.
        patience: For how long its word is asked for again before it counts; as a variable it is JSON:
            `{"results": 600}`.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_ignore_empty=True)

    api_key: SecretStr | None = None
    base_url: str
    poll_seconds: float = Field(POLL_SECONDS, gt=0)
    timeout: float = Field(600.0, gt=0)
    patience: Patience = Field(default_factory=Patience)

    @field_validator("base_url")
    @classmethod
    def _public(cls, url: str) -> str:
        return public(url)

    @classmethod
    def made(cls, name: str, given: Mapping[str, Any]) -> Self:
        """Read the settings; None stands for "not given".

        Args:
            name: The provider, for messages.
            given: Arguments.

        Raises:
            InputError: An argument or variable is not what it must be.
        """
        try:
            made = cls(**{key: value for key, value in given.items() if value is not None})
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {redact(_told(fault))}"
                for fault in error.errors()
            )
            raise InputError(f"The settings of {name} were refused: {told}.") from None
        for _, value in made:
            if isinstance(value, SecretStr):
                remember(value.get_secret_value())
        return made

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, and nothing else."""
        return init_settings, env_settings


def _told(fault: Mapping[str, Any]) -> str:
    return str(fault["msg"]).removeprefix("Value error, ").rstrip(".")


def public(url: str) -> str:
    """Give an address without blanks around it, and see that it is none that must not be shown.

    Args:
        url: Where an API begins; it stands in reprs, messages and logs.

    Raises:
        ValueError: A name, a password or a query stands in it.
    """
    url = url.strip()
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError(
            "a name and a password stand in the address, which is shown in messages; give the "
            "credentials by their own settings"
        )
    if parts.query or parts.fragment:
        raise ValueError("the address must end where the API begins: without '?' or '#'")
    return url


def key_of(account: Account, name: str, variable: str) -> str:
    """Give the key.

    Args:
        account: Where it may be.
        name: The provider.
        variable: The environment variable that holds it, for the message.

    Raises:
        MissingCredentialsError: There is none.
    """
    secret = account.api_key.get_secret_value().strip() if account.api_key else ""
    if account.api_key is not None and not secret:
        raise MissingCredentialsError(
            f"{name} needs an API key, and the one that it was given (by api_key= or {variable}) is "
            f"blank. Type: export {variable}=..., and leave api_key= away"
        )
    if not secret:
        raise MissingCredentialsError(
            f"{name} needs an API key, and {variable} is not set; in a notebook %env {variable}=... "
            f"does it without a restart. Type: export {variable}=..."
        )
    return secret


@contextmanager
def connection(
    account: Account, headers: Mapping[str, str], *, key_help: str = ""
) -> Iterator[Connection]:
    """Give the way to the synchronous API."""
    yield Connection(account.base_url, dict(headers), timeout=account.timeout, key_help=key_help)


def key_help(variable: str, what: str = "a valid key that may use batches") -> str:
    """Say what to type when a key is refused.

    Args:
        variable: The environment variable that holds it.
        what: What it must be.

    >>> key_help("ACME_API_KEY", "a valid key")
    'Set ACME_API_KEY to a valid key; in a notebook %env ACME_API_KEY=... Type: export ACME_API_KEY=...'
    """
    return (
        f"Set {variable} to {what}; in a notebook %env {variable}=... Type: export {variable}=..."
    )


def bearer(account: Account, name: str, variable: str) -> dict[str, str]:
    """Give the header that most vendors want (see `key_of`)."""
    return {"authorization": f"Bearer {key_of(account, name, variable)}"}
