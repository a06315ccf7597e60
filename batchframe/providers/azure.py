"""Azure OpenAI (Foundry): Global and Data Zone batches over files; `azure/<deployment>` names a deployment.

    bf.Azure(endpoint="https://my-resource.openai.azure.com", deployments={"my-batch": "gpt-5-mini"})

Settings: `AZURE_OPENAI_ENDPOINT`, `AZURE_OPENAI_API_KEY`, `AZURE_OPENAI_AD_TOKEN`, `OPENAI_API_VERSION` (which
chooses the legacy surface). Facts: Azure's batch how-to and REST pages, 2026-11. Where Microsoft's own
pages disagree (`line_url`, `create_endpoint`, `token_scope`), it is a setting. Batches from and to
one's own blob storage (`input_blob`, `output_folder`) are not built.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal
from urllib.parse import quote

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.errors import (
    AuthenticationError,
    InputError,
    MissingCredentialsError,
    missing_extra,
)
from batchframe.model import (
    Connection,
    Endpoint,
    Json,
    Limits,
    ModelRef,
    Patience,
    Phase,
    Progress,
    Ticket,
)
from batchframe.providers.account import Account, key_help, key_of, public
from batchframe.providers.rest import RefusedError, Rest
from batchframe.providers.shaped import ALL_CODES, Shaped, Surface
from batchframe.redact import redact, remember

LOG = logging.getLogger(__name__)

KEY = "AZURE_OPENAI_API_KEY"
TOKEN = "AZURE_OPENAI_AD_TOKEN"  # noqa: S105 - a name
ENDPOINT = "AZURE_OPENAI_ENDPOINT"

LIMITS = Limits(
    requests=100_000,
    bytes=200_000_000,
    source="Azure OpenAI global batch limits: 100,000 requests and 200 MB a file",
    as_of="2026-11-23",
)

EXPIRY_SECONDS = (1_209_600, 2_592_000)
"""14 and 30 days, the shortest and longest that Azure takes (batch how-to, 2026-11).

Always sent: files without an expiry are limited to 500, others to 10,000.
"""

BY_DEPLOYMENT = (Endpoint.CHAT, Endpoint.EMBEDDINGS)
"""What the legacy surface answers below `/deployments/<name>`, as openai 3.54's AzureOpenAI asks for it."""

_KIND = "it must be of the type Global Batch or Data Zone Batch"

ADVICE: Mapping[str, str] = {
    "invalid_request": f"Look at the deployment: {_KIND}.",
    "model_not_found": f"azure/<name> takes the name of a deployment, not of a model; {_KIND}.",
    "deploymentnotfound": f"azure/<name> takes the name of a deployment, not of a model; {_KIND}.",
    "url_mismatch": (
        "All lines have the same path, so the settings are at fault: bf.Azure(line_url=..., "
        "create_endpoint=...)."
    ),
    "quotaexceeded": (
        "Delete files that nobody needs any more: bf.job(id).cleanup() removes those of a job that "
        "has ended; others can be deleted in the portal. What is paid is kept."
    ),
}
"""Azure's code, in lower case -> whose turn it is (troubleshooting table of the batch how-to, 2026-11)."""

ABOUT_ALL = ("sku", "globalbatch", "global batch", "deployment type")
"""Words of an `invalid_request` that is about the deployment, although it names a line."""

ABOUT_DEPLOYMENT = frozenset({"model_not_found", "model_mismatch", "deploymentnotfound"})
"""Codes likewise: all lines of a part name the same deployment."""

_HOUR = 3600.0

ENDPOINTS = (Endpoint.CHAT, Endpoint.RESPONSES)
"""What Azure's batches can be for: its FAQ of 2026-03 says no embeddings."""

Token = Callable[[], str]
"""Gives a valid Entra ID token, refreshed as needed: azure-identity's `get_bearer_token_provider(...)`."""


class Settings(Account):
    """What an Azure resource has.

    Args:
        endpoint: `https://<resource>.openai.azure.com`; the paths of its surfaces may stand after it.
        poll_seconds: How often a batch is asked for; Azure asks for 60 s or more.
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
        expires_after: Seconds after which an uploaded file is gone.
        deadline_hours: After so many hours a batch that still runs is cancelled; None: Azure lets it
            run for as long as it takes.
    """

    model_config = SettingsConfigDict(env_prefix="AZURE_OPENAI_")

    base_url: str = ""
    endpoint: str = ""
    poll_seconds: float = Field(60.0, gt=0)
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
    expires_after: int = Field(EXPIRY_SECONDS[0], ge=EXPIRY_SECONDS[0], le=EXPIRY_SECONDS[1])
    deadline_hours: float | None = Field(None, gt=0)

    @field_validator("endpoint")
    @classmethod
    def _resource(cls, url: str) -> str:
        """Bring the address to one form: the portal shows it with and without the surface's path."""
        url = public(url).rstrip("/")
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("it must begin with https:// (or http:// for a server of your own)")
        return url.removesuffix("/v1").removesuffix("/openai") if url.endswith(_ENDS) else url


_ENDS = ("/openai", "/openai/v1")
"""How an endpoint ends that holds a surface's path already."""


@dataclass
class AzureBatches(Shaped):
    """OpenAI's shape on Azure; it also knows which model a deployment is, and when enough is enough.

    Args:
        deployments: Deployment -> model.
        data_zone: Whether they are of a data zone.
        deadline_hours: After so many hours a batch is cancelled.
        ages: Whether the credentials are tokens, which age.
    """

    deployments: Mapping[str, str] = field(default_factory=dict)
    data_zone: bool = False
    deadline_hours: float | None = None
    ages: bool = False
    _stopped: set[str] = field(default_factory=set, repr=False)

    def connect(self, model: str, endpoint: Endpoint) -> AbstractContextManager[Connection]:
        """Give the way to the synchronous API; the legacy surface has the deployment in its path."""
        params = self.surface.params
        base = self.account.base_url
        if params and endpoint in BY_DEPLOYMENT:
            base = f"{base}/deployments/{quote(model, safe='')}"
        way = Connection(
            base, dict(self.headers()), timeout=self.account.timeout, params=dict(params),
            unversioned=bool(params), key_help=self.rest.key_help,
        )  # fmt: skip
        return _given(replace(way, renew=self.headers) if self.ages else way)

    def poll(self, ticket: Ticket) -> Progress:
        """Ask how far the batch is; one that is over its deadline is cancelled, for Azure never does."""
        seen = super().poll(ticket)
        batch = ticket.data["batch"]
        alive = seen.phase in (Phase.WAITING, Phase.RUNNING)
        if alive and batch not in self._stopped and self._is_over(ticket):
            LOG.warning("azure: %s is over its deadline of %g h and is cancelled",
                        batch, self.deadline_hours)  # fmt: skip
            with suppress(RefusedError):  # it has ended meanwhile
                self._cancel(batch)
            self._stopped.add(batch)
        return seen

    def _is_over(self, ticket: Ticket) -> bool:
        begun = ticket.data.get("intended_at")
        if self.deadline_hours is None or not isinstance(begun, int | float):
            return False
        return time.time() > begun + self.deadline_hours * _HOUR

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
    expires_after: int | None = None,
    deadline_hours: float | None = None,
    poll_seconds: float | None = None,
    timeout: float | None = None,
    patience: Patience | None = None,
) -> AzureBatches:
    """Make the provider `azure`.

    Args:
        endpoint: `https://<resource>.openai.azure.com`; by default `AZURE_OPENAI_ENDPOINT`.
        api_key: The key; by default `AZURE_OPENAI_API_KEY`.
        token: Gives a valid Entra ID token, instead of a key; asked for each request, so it should
            keep one while it lasts, as azure-identity's do.
        entra: Let azure-identity's default credential give tokens (`pip install azure-identity`).
        token_scope: What such tokens are for.
        api_version: Chooses the legacy surface; by default `OPENAI_API_VERSION`, else the v1 surface.
        deployments: Deployment -> model, so that prices are known.
        data_zone: Whether the deployments are of a data zone, which costs 10 % more.
        line_url: Path of the requests in the file, where the surface's own is refused: that of chat
            completions, after whose beginning responses are addressed, too.
        create_endpoint: `endpoint` of a create, likewise.
        queue_tokens: The deployment's quota of enqueued tokens: no part will have more.
        expires_after: Seconds after which an uploaded file is gone: 1209600 (14 days, the default) to
            2592000 (30 days).
        deadline_hours: After so many hours a batch that still runs is cancelled; what is answered is
            kept. By default there is no deadline, and Azure has none either.
        poll_seconds: How often a batch is asked for; Azure asks for 60 s or more.
        timeout: Seconds that one answer may take.
        patience: For how long its word is asked for again before it counts: bf.Patience(results=600).

    Raises:
        InputError: A setting is not what it must be.
        MissingExtraError: `entra=True` without azure-identity.
    """
    given = {k: v for k, v in locals().items() if k != "token"}
    _one_of(token=token, entra=entra or None, api_key=api_key)
    account = Settings.made("azure", given)
    if api_key is not None:  # what is said here goes before what the environment says
        account = account.model_copy(update={"ad_token": None, "entra": False})
    legacy = account.api_version is not None
    base = account.endpoint + ("/openai" if legacy else "/openai/v1")
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
                  _help(account, give), advice=ADVICE),
        known=tuple(account.deployments),
        ready=partial(_ready, account, give),
        headers=headers,
        deployments=account.deployments,
        data_zone=account.data_zone,
        deadline_hours=account.deadline_hours,
        ages=give is not None,
    )  # fmt: skip


@contextmanager
def _given(way: Connection) -> Iterator[Connection]:
    yield way


def _one_of(**ways: object) -> None:
    """See that at most one kind of credentials is given, and that what gives tokens can be called."""
    named = [f"{name}=" for name, way in ways.items() if way is not None]
    if len(named) > 1:
        raise InputError(
            f"bf.Azure got {' and '.join(named)}, and a request carries one of them: give only one."
        )
    if ways["token"] is not None and not callable(ways["token"]):
        raise InputError(
            "token= takes a function that gives a valid token, for tokens age: bf.Azure(token="
            f"lambda: ...). A token itself may stand in {TOKEN}, for an hour's work."
        )


def _surface(account: Settings, *, legacy: bool) -> Surface:
    """Give the surface: the paths in the file and at the create differ, and every page has its own."""
    prefix = "" if legacy else "/v1"
    words: dict[Endpoint, Dialect] = {}
    for endpoint in ENDPOINTS:
        url = _line_url(account.line_url, endpoint) or prefix + _path(endpoint)
        name: Literal["azure", "azure-legacy"] = "azure-legacy" if legacy else "azure"
        words[endpoint] = Dialect(name, partial(_line, url), openai.decode, verbatim=True)
    return Surface(
        endpoints=dict.fromkeys(ENDPOINTS, account.create_endpoint),
        dialects=words,
        form={
            "expires_after[anchor]": "created_at",
            "expires_after[seconds]": str(account.expires_after),
        },
        waits=True,
        params={"api-version": account.api_version} if account.api_version else {},
        about_all=ABOUT_ALL,
        all_codes=ALL_CODES | ABOUT_DEPLOYMENT,
    )


def _path(endpoint: Endpoint) -> str:
    return endpoint.value.removeprefix("/v1")


def _line_url(given: str | None, endpoint: Endpoint) -> str | None:
    """Give the path of an endpoint's requests as a user's setting has it.

    >>> _line_url("/v1/chat/completions", Endpoint.RESPONSES), _line_url("/x", Endpoint.CHAT)
    ('/v1/responses', '/x')
    """
    for known in ENDPOINTS:
        if given and given.endswith(_path(known)):
            return given.removesuffix(_path(known)) + _path(endpoint)
    return given


def _line(url: str, custom_id: str, endpoint: Endpoint, body: Json) -> Json:
    return {**openai.line(custom_id, endpoint, body), "url": url}


def _headers(account: Settings, give: Token | None) -> dict[str, str]:
    if give is not None:
        return {"authorization": f"Bearer {_token(give)}"}
    if account.ad_token is not None:
        return {"authorization": f"Bearer {account.ad_token.get_secret_value().strip()}"}
    return {"api-key": key_of(account, "azure", KEY)}


def _token(give: Token) -> str:
    """Ask for a token; whatever the user's function or azure-identity raises is about credentials."""
    try:
        token = give()
    except Exception as error:  # noqa: BLE001 - it may be anything of anybody's
        said = redact(str(error), _MOST_WORDS)
        # a traceback would show what had to be taken out
        cause = error if said == str(error) else None
        raise _no_token(f"{type(error).__name__}: {said}") from cause
    if not isinstance(token, str):
        raise _no_token(f"what came is of the type {type(token).__name__}, and a token is a text")
    token = token.strip()
    if not token or not (token.isascii() and token.isprintable()):
        raise _no_token("what came is blank, or holds a line break")
    remember(token)
    return token


_MOST_WORDS = 500


def _no_token(why: str) -> AuthenticationError:
    return AuthenticationError(
        f"azure got no Entra ID token ({why}). Sign in again (az login), or put right what "
        "bf.Azure(token=...) was given."
    )


def _help(account: Settings, give: Token | None) -> str:
    """Say what to type when the credentials are refused; which ones are in use decides."""
    scope = (
        "The token must be for the scope that the resource wants, now "
        f"{account.token_scope}; the other one in use is https://ai.azure.com/.default. "
        "Your identity needs a role on the resource. Type: bf.register(bf.Azure(entra=True, "
        'token_scope="..."))'
    )
    if give is not None:
        return scope
    if account.ad_token is not None:
        return f"{key_help(TOKEN, 'a fresh token, for they last an hour')} {scope}"
    return key_help(KEY, f"a key of the resource at {ENDPOINT}")


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
