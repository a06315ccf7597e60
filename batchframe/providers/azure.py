"""Azure OpenAI (Foundry): Global and Data Zone batches over files; `azure/<deployment>` names a deployment.

    bf.Azure(endpoint="https://my-resource.openai.azure.com", deployments={"my-batch": "gpt-5-mini"})

Settings: `AZURE_OPENAI_ENDPOINT`, `AZURE_OPENAI_API_KEY`, `AZURE_OPENAI_AD_TOKEN`, `OPENAI_API_VERSION` (which
chooses the legacy surface). Facts: Azure's batch how-to and REST pages, 2026-11. Where Microsoft's own
pages disagree (`line_url`, `create_endpoint`, `token_scope`), it is a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.errors import InputError, MissingCredentialsError, missing_extra
from batchframe.model import Endpoint, Json, Limits, ModelRef
from batchframe.providers.account import Account, key_of
from batchframe.providers.rest import Rest
from batchframe.providers.shaped import Shaped, Surface

KEY = "AZURE_OPENAI_API_KEY"
ENDPOINT = "AZURE_OPENAI_ENDPOINT"

LIMITS = Limits(
    requests=100_000,
    bytes=200_000_000,
    source="Azure OpenAI global batch limits: 100,000 requests and 200 MB a file",
    as_of="2026-11-23",
)

EXPIRY_SECONDS = 1_209_600
"""14 days, the shortest that Azure takes: files without an expiry are limited to 500, others to 10,000."""

ENDPOINTS = (Endpoint.CHAT, Endpoint.RESPONSES)
"""What Azure's batches can be for: its FAQ of 2026-03 says no embeddings."""

Token = Callable[[], str]
"""Gives a valid Entra ID token, refreshed as needed: azure-identity's `get_bearer_token_provider(...)`."""


class Settings(Account):
    """What an Azure resource has.

    Args:
        endpoint: `https://<resource>.openai.azure.com`.
        api_version: Chooses the legacy surface, as in "2025-04-01-preview"; None: the v1 surface.
        ad_token: An Entra ID token, for an hour's work.
        entra: Whether azure-identity's default credential gives tokens.
        token_scope: What such tokens are for; newer pages say `https://ai.azure.com/.default`.
        deployments: Deployment -> model, for prices: `{"my-batch": "gpt-5-mini"}`.
        data_zone: Whether the deployments are of a data zone, which costs 10 % more.
        line_url: Path of requests in the file; None: `/v1/chat/completions` on the v1 surface and
            `/chat/completions` on the legacy one.
        create_endpoint: `endpoint` of a create.
        queue_tokens: The deployment's quota of enqueued tokens: no part will have more.
    """

    model_config = SettingsConfigDict(env_prefix="AZURE_OPENAI_")

    base_url: str = ""
    endpoint: str = ""
    api_version: str | None = Field(
        None, validation_alias=AliasChoices("api_version", "OPENAI_API_VERSION")
    )
    ad_token: SecretStr | None = None
    entra: bool = False
    token_scope: str = "https://cognitiveservices.azure.com/.default"  # noqa: S105 - a scope, no token
    deployments: dict[str, str] = Field(default_factory=dict)
    data_zone: bool = False
    line_url: str | None = None
    create_endpoint: str = "/chat/completions"
    queue_tokens: int | None = Field(None, gt=0)


@dataclass
class AzureBatches(Shaped):
    """OpenAI's shape on Azure; it also knows which model a deployment is."""

    deployments: Mapping[str, str] = field(default_factory=dict)
    data_zone: bool = False

    def listed(self, model: str) -> tuple[ModelRef, bool]:
        """Say under which name a deployment's price is listed, and whether it is a data zone's."""
        return ModelRef(self.name, self.deployments.get(model, model)), self.data_zone


def Azure(  # noqa: N802 - users read it as the name of a thing
    *,
    endpoint: str | None = None,
    api_key: str | None = None,
    token: Token | None = None,
    entra: bool | None = None,
    token_scope: str | None = None,
    api_version: str | None = None,
    deployments: Mapping[str, str] | None = None,
    data_zone: bool | None = None,
    line_url: str | None = None,
    create_endpoint: str | None = None,
    queue_tokens: int | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
) -> AzureBatches:
    """Make the provider `azure`.

    Args:
        endpoint: `https://<resource>.openai.azure.com`; by default `AZURE_OPENAI_ENDPOINT`.
        api_key: The key; by default `AZURE_OPENAI_API_KEY`.
        token: Gives a valid Entra ID token, instead of a key.
        entra: Let azure-identity's default credential give tokens (`pip install azure-identity`).
        token_scope: What such tokens are for.
        api_version: Chooses the legacy surface; by default `OPENAI_API_VERSION`, else the v1 surface.
        deployments: Deployment -> model, so that prices are known.
        data_zone: Whether the deployments are of a data zone, which costs 10 % more.
        line_url: Path of the requests in the file, where the surface's own is refused.
        create_endpoint: `endpoint` of a create, likewise.
        queue_tokens: The deployment's quota of enqueued tokens: no part will have more.
        poll_seconds: How often a batch is asked for; Azure asks for 60 s or more.
        timeout: Seconds that one answer may take.

    Raises:
        InputError: A setting is not what it must be.
        MissingExtraError: `entra=True` without azure-identity.
    """
    given = {k: v for k, v in locals().items() if k != "token"}
    account = Settings.made("azure", {"poll_seconds": 60.0, **_known(given)})
    legacy = account.api_version is not None
    base = account.endpoint.rstrip("/") + ("/openai" if legacy else "/openai/v1")
    account = account.model_copy(update={"base_url": base})
    give = token or (_entra(account.token_scope) if account.entra else None)
    headers = partial(_headers, account, give)
    return AzureBatches(
        name="azure",
        account=account,
        surface=_surface(account, legacy=legacy),
        limits=Limits(
            LIMITS.requests, LIMITS.bytes, LIMITS.source, LIMITS.as_of,
            queue_tokens=account.queue_tokens,
        ),
        rest=Rest("azure", base if account.endpoint else "https://endpoint.missing", headers,
                  f"Set {KEY} to a key of this resource, or give token=."),
        known=tuple(account.deployments),
        ready=partial(_ready, account, give),
        headers=headers,
        deployments=account.deployments,
        data_zone=account.data_zone,
    )  # fmt: skip


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _surface(account: Settings, *, legacy: bool) -> Surface:
    """Give the surface: the paths in the file and at the create differ, and every page has its own."""
    prefix = "" if legacy else "/v1"
    words: dict[Endpoint, Dialect] = {}
    for endpoint in ENDPOINTS:
        path = endpoint.value.removeprefix("/v1")
        url = account.line_url if endpoint is Endpoint.CHAT and account.line_url else prefix + path
        name: Literal["azure", "azure-legacy"] = "azure-legacy" if legacy else "azure"
        words[endpoint] = Dialect(name, partial(_line, url), openai.decode, verbatim=True)
    return Surface(
        endpoints=dict.fromkeys(ENDPOINTS, account.create_endpoint),
        dialects=words,
        form={
            "expires_after[anchor]": "created_at",
            "expires_after[seconds]": str(EXPIRY_SECONDS),
        },
        waits=True,
        params={"api-version": account.api_version} if account.api_version else {},
    )


def _line(url: str, custom_id: str, endpoint: Endpoint, body: Json) -> Json:
    return {**openai.line(custom_id, endpoint, body), "url": url}


def _headers(account: Settings, give: Token | None) -> dict[str, str]:
    if give is not None:
        return {"authorization": f"Bearer {give()}"}
    if account.ad_token is not None:
        return {"authorization": f"Bearer {account.ad_token.get_secret_value()}"}
    return {"api-key": key_of(account, "azure", KEY)}


def _ready(account: Settings, give: Token | None) -> None:
    if not account.endpoint:
        raise MissingCredentialsError(
            f"azure needs the address of your resource. Type: export {ENDPOINT}="
            "https://<resource>.openai.azure.com, or bf.register(bf.Azure(endpoint=...))"
        )
    if give is None and account.ad_token is None:
        key_of(account, "azure", KEY)


def _entra(scope: str) -> Token:
    """Let azure-identity give tokens, which it keeps and refreshes."""
    try:
        from azure.identity import (  # noqa: PLC0415 - an extra of few users
            DefaultAzureCredential,
            get_bearer_token_provider,
        )
    except ImportError:
        raise missing_extra("azure-identity", "azure", "azure with entra=True") from None
    give = get_bearer_token_provider(DefaultAzureCredential(), scope)
    if not callable(give):
        raise InputError("azure-identity gave no token provider.")
    return lambda: str(give())
