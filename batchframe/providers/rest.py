"""A provider's control plane over HTTP: a call, a file up, a file down; whatever goes wrong is an error of ours.

Nothing here is sent twice unless that is harmless: a call marked `once` is repeated only where the
other side surely did nothing (no connection came about, or it said 429).
"""

from __future__ import annotations

import email.utils
import logging
import os
import random
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import urljoin, urlsplit

import orjson

from batchframe.errors import (
    AuthenticationError,
    InputError,
    ProviderError,
    ProviderUnavailableError,
    QueueFullError,
    QuotaError,
    RateLimitError,
)
from batchframe.providers.looks import HEAD, oddity
from batchframe.providers.quiet import hush
from batchframe.redact import redact, remember_headers

if TYPE_CHECKING:
    import httpx2

LOG = logging.getLogger(__name__)

TRIES = 4
"""How often a repeatable call is made before its failure is told."""

LONGEST_PAUSE = 60.0
"""Seconds: a `Retry-After` beyond it is told at once, and whoever drives the job waits that long."""

MOST_HOPS = 5
"""So often one download may be sent on to another address."""

_ONWARD = frozenset({301, 302, 303, 307, 308})
_PLAIN = frozenset({"accept-encoding", "range"})  # all other headers are for our own host alone
_FIRST_PAUSE = 0.5
_CONNECT_SECONDS = 15.0
_MOST_WORDS = 500
_SENDABLE = re.compile(r"[\t\x20-\x7e]*")  # what a header may hold
_AWAY = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses of a server, or of what stands before it, that may answer another time."""

_TURNED_AWAY = frozenset({425, 429})
"""Those of them that say that nothing was done."""

QUOTA_CODES = frozenset(
    {
        "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "organization_usage_limit_exceeded", "billing_not_active",
        "billing_hard_limit_reached",
    }
)  # fmt: skip
"""Codes that no waiting helps against (OpenAI's error code guide, 2026-11)."""

_KEY_CODES = frozenset({"invalid_api_key", "unauthorized"})

FULL_CODE = "token_limit_exceeded"
FULL_PHRASES = ("enqueued token limit", "enqueued tokens has surpassed")
"""How OpenAI and Azure say that their queue is full (2026-11)."""


class RefusedError(ProviderError):
    """The provider understood and said no.

    Args:
        message: For people.
        status: The HTTP status.
        code: The provider's own word, if it has one.
    """

    def __init__(self, message: str, status: int, code: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotThereError(RefusedError):
    """There is no such batch or file."""


class NotWholeError(ProviderUnavailableError):
    """A file came under HTTP 200, and is not what it should be.

    Args:
        message: For people.
        why: What came instead, in a few words.
        file: What came, where something of it may be of use.
    """

    def __init__(self, message: str, why: str, file: Path | None = None) -> None:
        super().__init__(message)
        self.why, self.file = why, file


class _AgainError(Exception):
    """A failure that another try may mend; `pause` is what the other side asked for, in seconds."""

    def __init__(
        self,
        error: ProviderUnavailableError,
        *,
        pause: float | None = None,
        harmless: bool = False,
    ) -> None:
        super().__init__()
        self.error, self.pause, self.harmless = error, pause, harmless


@dataclass
class Rest:
    """One HTTP API.

    Args:
        name: The provider's name, for messages.
        base_url: Where its paths begin.
        headers: Gives the headers that hold the credentials, anew for each call: tokens age.
        key_help: What to type when the credentials are refused.
        advice: The provider's code, in lower case -> whose turn it is, as a sentence.
        bad_key: What a refusal of the credentials has in it, in small letters, where neither status nor
            code says that it is one.
        no_money: The same for a refusal since the money is gone.
        timeout: Seconds that one answer may take; a file has that for each piece.
    """

    name: str
    base_url: str
    headers: Callable[[], Mapping[str, str]] = field(repr=False)
    key_help: str = ""
    bad_key: tuple[str, ...] = ()
    no_money: tuple[str, ...] = ()
    timeout: float = 120.0
    advice: Mapping[str, str] = field(default_factory=dict)
    _clients: dict[int, httpx2.Client] = field(default_factory=dict, repr=False)
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, _close, self._clients)
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"The base_url of {self.name} is {redact(self.base_url)!r}, and must begin with "
                "https:// (or http:// for a server of your own)."
            )

    def call(
        self,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        doing: str,
        *,
        json: Any = None,
        params: Mapping[str, str | int] | None = None,
        once: bool = False,
    ) -> Any:
        """Make a call and give the parsed answer; None when it has no body.

        Args:
            method: The HTTP method.
            path: Below the base URL.
            doing: What the call is for, as in "could not ...".
            json: The body.
            params: The query.
            once: It must not happen twice.

        Raises:
            ProviderError: Or one of its kinds; for a call made `once`, ProviderUnavailableError says
                that it may or may not have happened.
        """
        content = None if json is None else orjson.dumps(json)
        kind = {} if json is None else {"content-type": "application/json"}

        def send() -> Any:
            # a kept connection may be dead, which would leave it open whether the call arrived
            with self._sending(doing), self._fresh() if once else self._kept() as client:
                if method == "GET":
                    asked = (self._url(path), params or {}, self._credentials(doing))
                    with self._opened(client, doing, *asked) as answer:
                        answer.read()
                        return self._read(answer, doing)
                answer = client.request(
                    method, self._url(path), content=content, params=dict(params or {}),
                    headers={**self._credentials(doing), **kind},
                )  # fmt: skip
                return self._read(answer, doing)

        return self._patiently(send, once=once)

    def upload(
        self, path: str, file: Path, doing: str, *, fields: Mapping[str, str], name: str
    ) -> Any:
        """Send a file as a form (multipart) and give the parsed answer.

        Args:
            path: Below the base URL.
            file: Streamed from the disk.
            doing: What the call is for.
            fields: The form's other fields.
            name: What the file is called there.
        """

        def send() -> Any:
            with file.open("rb") as source, self._sending(doing), self._kept() as client:
                form = {"file": (name, source, "application/jsonl")}
                answer = client.request(
                    "POST",
                    self._url(path),
                    data=dict(fields),
                    files=form,
                    headers=self._credentials(doing),
                )
                return self._read(answer, doing)

        return self._patiently(send, once=False)

    def put(self, url: str, file: Path, doing: str, *, headers: Mapping[str, str]) -> None:
        """Send a file to an address that the provider gave and that is its own credential.

        Args:
            url: Absolute.
            file: Streamed from the disk.
            doing: What the call is for.
            headers: Those that the address was signed with.
        """

        def send() -> None:
            with file.open("rb") as source, self._sending(doing), self._fresh() as client:
                size = str(file.stat().st_size)
                sent = {**headers, "content-length": size}
                self._read(client.request("PUT", url, content=source, headers=sent), doing)

        self._patiently(send, once=False)

    def download(
        self,
        path: str,
        target: Path,
        doing: str,
        *,
        params: Mapping[str, str] | None = None,
        size: int | None = None,
    ) -> Path:
        """Bring a file; it has its name only when it is whole, and what came before is not asked again.

        Args:
            path: Below the base URL, or an absolute address that needs no credentials.
            target: The file to make; one that is there already is whole.
            doing: What the call is for.
            params: The query.
            size: How many bytes the file has, where that is known.

        Raises:
            NotWholeError: Whatever came, however often, was no result file or not all of it.
        """
        if target.exists():
            return target
        growing = target.with_name(target.name + ".tmp")
        try:
            self._patiently(
                lambda: self._pull(path, growing, doing, params or {}, size), once=False
            )
        except NotWholeError as error:
            growing.replace(target)
            error.file = target  # its readable lines are answers all the same
            raise
        growing.replace(target)
        return target

    def _pull(
        self, path: str, growing: Path, doing: str, params: Mapping[str, str], size: int | None
    ) -> None:
        ours = not path.startswith(("http://", "https://"))
        # packed bytes could not be gone on with
        headers = {"accept-encoding": "identity", **(self._credentials(doing) if ours else {})}
        with growing.open("a+b") as out:
            held = _usable(out, size)
            if held:
                headers["range"] = f"bytes={held}-"
            url = self._url(path) if ours else path
            with (
                self._sending(doing),
                self._kept() as client,
                self._opened(client, doing, url, params, headers) as answer,
            ):
                if answer.status_code != 416 or not held:  # noqa: PLR2004 - else it was whole, and lacked its name
                    self._take(answer, out, held, doing)
            out.flush()
            os.fsync(out.fileno())
            odd = _odd(out, size)
            if odd is not None:
                told = self._away(doing, f"what came is {odd}")
                raise _AgainError(NotWholeError(str(told), odd))

    def _take(self, answer: httpx2.Response, out: BinaryIO, held: int, doing: str) -> None:
        """Write down what an answer brings, after what is held where it goes on there."""
        if not answer.is_success:
            answer.read()
            self._read(answer, doing)
        packed = answer.headers.get("content-encoding", "identity").lower() != "identity"
        if packed or not _continues(answer, held):
            out.truncate(0)
            if answer.status_code == 206:  # noqa: PLR2004 - a piece, and not the one we asked for
                raise _AgainError(self._away(doing, "it gave another piece of the file"))
        # as it comes: what is gathered is lost with the connection
        try:
            for block in answer.iter_bytes() if packed else answer.iter_raw():
                _write(out, block)
        except BaseException:
            if packed:  # the rest of it could not be asked for
                out.truncate(0)
            raise

    @contextmanager
    def _opened(
        self,
        client: httpx2.Client,
        doing: str,
        url: str,
        params: Mapping[str, str | int],
        headers: Mapping[str, str],
    ) -> Iterator[httpx2.Response]:
        """Give the answer to a GET, wherever it is sent on to; only our own host sees the credentials."""
        for _ in range(MOST_HOPS + 1):
            with client.stream(
                "GET", url, params=dict(params) or None, headers=dict(headers)
            ) as answer:
                place = answer.headers.get("location")
                if answer.status_code not in _ONWARD or not place:
                    yield answer
                    return
            onward, params = urljoin(str(answer.url), place), {}
            if urlsplit(onward).scheme != "https" and urlsplit(url).scheme == "https":
                raise ProviderError(f"{self.name} could not {doing}: it was sent on to plain HTTP.")
            if _host(onward) != _host(url):
                headers = {name: headers[name] for name in headers if name.lower() in _PLAIN}
            url = onward
        raise ProviderError(f"{self.name} could not {doing}: it was sent on {MOST_HOPS} times.")

    def _url(self, path: str) -> str:
        return self.base_url.rstrip("/") + path

    @contextmanager
    def _kept(self) -> Iterator[httpx2.Client]:
        """Give this process's client, whose connections stay open."""
        pid = os.getpid()  # a forked child must not share its parent's connections
        with self._making:  # parts begin side by side, and of two clients one would stay open
            if pid not in self._clients:
                self._clients[pid] = self._client()
        yield self._clients[pid]

    @contextmanager
    def _fresh(self) -> Iterator[httpx2.Client]:
        with self._client() as client:
            yield client

    def _client(self) -> httpx2.Client:
        import httpx2  # noqa: PLC0415 - only who talks to a provider pays for it

        hush()
        return httpx2.Client(
            timeout=httpx2.Timeout(self.timeout, connect=_CONNECT_SECONDS),
            # Cloudflare turns clients without a name away
            headers={"user-agent": f"batchframe/{version('batchframe')}"},
            # a server on this machine is not the proxy's business
            trust_env=not _is_loopback(self.base_url),
        )

    @contextmanager
    def _sending(self, doing: str) -> Iterator[None]:
        """Tell what the library raises as errors of ours: its words quote addresses and headers."""
        import httpx2  # noqa: PLC0415

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise _AgainError(
                self._away(doing, "no connection came about"), harmless=True
            ) from error
        except httpx2.TimeoutException as error:
            raise _AgainError(self._away(doing, "no answer came in time")) from error
        except (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise ProviderError(
                f"{self.name} could not {doing}: the request cannot be sent "
                f"({redact(str(error), _MOST_WORDS)}). Look at the base_url and the settings."
            ) from error
        except httpx2.TransportError as error:
            raise _AgainError(self._away(doing, "the connection was lost")) from error
        except httpx2.DecodingError as error:
            raise _AgainError(self._away(doing, "the answer cannot be unpacked")) from error
        except httpx2.InvalidURL as error:
            raise ProviderError(
                f"{self.name} could not {doing}: an address is malformed "
                f"({redact(str(error), _MOST_WORDS)}). Look at the base_url."
            ) from error

    def _patiently(self, send: Callable[[], Any], *, once: bool) -> Any:
        for attempt in range(1, TRIES + 1):
            try:
                return send()
            except _AgainError as again:
                too_long = (again.pause or 0) > LONGEST_PAUSE
                if attempt == TRIES or too_long or (once and not again.harmless):
                    raise again.error from again.__cause__
                pause = again.pause
                if pause is None:
                    pause = _FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
                time.sleep(pause)
        raise AssertionError  # the last try either returns or raises

    def _read(self, answer: httpx2.Response, doing: str) -> Any:
        """Give an answer's JSON, or raise what it means."""
        status = answer.status_code
        if answer.is_success:
            if not answer.content:
                return None
            try:
                return orjson.loads(answer.content)
            except orjson.JSONDecodeError:
                error = self._away(doing, "the answer is no JSON")
                raise _AgainError(error) from None
        said = _error_of(answer.content)
        code, words = said.get("code"), said.get("message") or f"HTTP status {status}"
        told = f"{self.name} could not {doing}: {words.rstrip('.')} (HTTP {status}{f', {code}' if code else ''})."
        if is_full(code, words) or FULL_CODE.encode() in answer.content:
            raise QueueFullError(told)
        low = words.lower()
        poor = any(phrase in low for phrase in self.no_money)
        if poor or {code, said.get("type")} & QUOTA_CODES or status == 402:  # noqa: PLR2004 - payment required
            raise QuotaError(f"{told} Add credit or raise the limit; what is paid is kept.")
        barred = any(phrase in low for phrase in self.bad_key)
        if barred or status == 401 or code in _KEY_CODES or (status == 403 and "html" not in said):  # noqa: PLR2004
            raise AuthenticationError(f"{told} {self.key_help}".rstrip())
        if status in _AWAY or "html" in said:
            raise self._again(answer, doing, words)
        told = f"{told} {self.advice.get((code or '').lower(), '')}".rstrip()
        kind = NotThereError if status == 404 else RefusedError  # noqa: PLR2004 - not found
        raise kind(told, status, code)

    def _again(self, answer: httpx2.Response, doing: str, words: str) -> _AgainError:
        """Say of a refusal that may pass what it is, and how long it takes."""
        status, pause = answer.status_code, _retry_after(answer.headers)
        error = self._away(doing, words, status)
        if status in _TURNED_AWAY:
            error = RateLimitError(str(error), pause)
        if status == 403:  # noqa: PLR2004 - a page, or it would have been told as a refusal
            may_be = "A firewall or proxy on the way may be the cause, or else the key."
            error = ProviderUnavailableError(f"{error} {may_be} {self.key_help}".rstrip())
        return _AgainError(error, pause=pause, harmless=status in _TURNED_AWAY)

    def _away(self, doing: str, why: str, status: int | None = None) -> ProviderUnavailableError:
        http = f" (HTTP {status})" if status else ""
        return ProviderUnavailableError(
            f"{self.name} could not {doing}: {why.rstrip('.')}{http}. What is paid is kept."
        )

    def _credentials(self, doing: str) -> dict[str, str]:
        """Ask for the headers, make what they hold known to `redact`, and see that they can be sent."""
        given = dict(self.headers())
        remember_headers(given)
        for name, value in given.items():
            if not _SENDABLE.fullmatch(value):  # the library's own words would quote it
                raise AuthenticationError(
                    f"{self.name} could not {doing}: the header {name!r} holds a line break or "
                    f"another character that no header may hold. {self.key_help}".rstrip()
                )
        return given


def is_full(code: object, message: str) -> bool:
    """Whether an error says that the queue is full.

    >>> is_full("token_limit_exceeded", ""), is_full(None, "Enqueued token limit reached for m")
    (True, True)
    """
    low = message.lower()
    return code == FULL_CODE or FULL_CODE in low or any(phrase in low for phrase in FULL_PHRASES)


def _error_of(content: bytes) -> dict[str, str]:
    """Find code and message in a body that may be anything; `html` is there when it is a page."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        page = content.lstrip()[:1] == b"<"
        return {"html": "", "message": "it answered with a web page"} if page else {}
    found: Any = body
    while isinstance(found, dict) and isinstance(found.get("error"), dict | str) and found["error"]:
        found = found["error"]
    if isinstance(found, str):
        return {"message": redact(found, _MOST_WORDS)}
    if not isinstance(found, dict):
        return {}
    words = {
        "code": found.get("code") or found.get("type"),
        "type": found.get("type"),
        "message": found.get("message") or found.get("detail") or found.get("error"),
    }
    return {name: redact(str(word), _MOST_WORDS) for name, word in words.items() if word}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how long to wait, in seconds: as the server asks, or else until its limits are whole again."""
    asked = _asked(headers)
    if asked is not None:
        return asked
    resets = [_duration(headers.get(name, "")) for name in _RESETS]
    return max((reset for reset in resets if reset is not None), default=None)


_RESETS = ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def _duration(text: str) -> float | None:
    """Read a duration: `6m0s` and `120ms` at OpenAI, a plain number of seconds at Azure.

    >>> _duration("6m0s"), _duration("120ms"), _duration("7"), _duration("soon")
    (360.0, 0.12, 7.0, None)
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    spans = _SPAN.findall(text)
    if not spans or "".join(map("".join, spans)) != text:
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in spans)


def _asked(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` in any of its forms."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            pause = float(text) / unit
        except ValueError:
            continue
        return pause if 0 <= pause < float("inf") else None
    try:
        when = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, when.timestamp() - time.time())


def _continues(answer: httpx2.Response, held: int) -> bool:
    """Whether a partial answer begins where what we hold ends."""
    return answer.status_code == 206 and answer.headers.get("content-range", "").startswith(  # noqa: PLR2004
        f"bytes {held}-"
    )


def _usable(out: BinaryIO, size: int | None) -> int:
    """Give how much of what is held can be gone on with; what cannot be is thrown away."""
    held = out.seek(0, os.SEEK_END)
    out.seek(0)
    head = out.read(HEAD)
    if oddity(head) is not None or (size is not None and held > size):
        out.truncate(0)
        held = 0
    out.seek(0, os.SEEK_END)
    return held


def _odd(out: BinaryIO, size: int | None) -> str | None:
    """Say in a few words why what came is not the file; None where nothing speaks against it."""
    came = out.seek(0, os.SEEK_END)
    out.seek(0)
    odd = oddity(out.read(HEAD))
    if odd is None and size is not None and came != size:
        return f"{came:,} bytes of a file of {size:,}"
    return odd


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _close(clients: Mapping[int, httpx2.Client]) -> None:
    """Close this process's connections; those of a parent are not ours to close."""
    if os.getpid() in clients:
        clients[os.getpid()].close()


def _write(out: BinaryIO, block: bytes) -> None:
    out.write(block)


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in ("127.0.0.1", "localhost", "::1")
