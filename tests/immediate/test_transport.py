"""The transport gives one answer or one small error, and never a secret."""

from __future__ import annotations

import asyncio
import gzip
import time
import traceback
from typing import Any

import pytest
from scripted import Say, fine, refusal, running

from batchframe.immediate.transport import (
    PyreqwestTransport,
    Response,
    TransportError,
    is_loopback,
)

KEY = "sk-very-secret"
HEADERS = {"authorization": f"Bearer {KEY}"}


def post(
    url: str, *, headers: dict[str, str] = HEADERS, timeout: float = 5.0, **options: Any
) -> Response:
    async def main() -> Response:
        transport = PyreqwestTransport(**options)
        try:
            return await transport.post(url + f"/v1/x?key={KEY}", headers, b'{"user":"u"}', timeout)
        finally:
            await transport.close()

    return asyncio.run(main())


def fault(url: str, **options: Any) -> TransportError:
    """The error, which must not know the key anywhere."""
    with pytest.raises(TransportError) as caught:
        post(url, **options)
    shown = "".join(traceback.format_exception(caught.value, limit=0)) + repr(caught.value)
    assert KEY not in shown
    assert caught.value.__context__ is None
    return caught.value


def test_an_answer_comes_with_status_headers_and_body() -> None:
    """The body is the server's; header names are lower case; reprs show neither."""
    with running(lambda *_: refusal(429, "c", Retry_After="3", X_Request_Id="r")) as server:
        response = post(server.url)
    assert response.status == 429
    assert response.headers == {"retry-after": "3", "x-request-id": "r"}
    assert b'"code": "c"' in response.body
    assert repr(response) == "Response(status=429)"
    assert server.bodies == [b'{"user":"u"}']


def test_connections_are_kept() -> None:
    """Fifty requests one after another need one connection."""

    async def main(url: str) -> None:
        transport = PyreqwestTransport()
        for _ in range(50):
            await transport.post(url, {}, b"{}", 5)
        await transport.close()

    with running() as server:
        asyncio.run(main(server.url))
        assert server.connections == 1


def test_a_redirect_is_an_answer() -> None:
    """The key does not travel to wherever a server points."""
    with running() as elsewhere:
        there = elsewhere.url + "/v1/x"
        with running(lambda *_: Say(308, headers={"location": there})) as server:
            response = post(server.url)
    assert (response.status, response.headers["location"]) == (308, there)
    assert elsewhere.asked == {}


def test_a_proxy_of_the_environment_does_not_see_local_prompts(
    monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Loopback is asked directly; any other host goes where the environment says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, refused)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running() as server:
        assert post(server.url).status == 200
    with running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert post("http://models.example").status == 200
        assert proxy.asked == {"u": 1}


def test_loopback_is_told_by_its_look() -> None:
    """No name is resolved for it."""
    assert is_loopback("http://127.0.0.1:8000/v1")
    assert is_loopback("http://[::1]:8000/v1")
    assert is_loopback("http://localhost/v1")
    assert not is_loopback("https://api.example.com/v1")
    assert not is_loopback("http://localhost.example.com")


def test_a_large_body_is_refused_packed_or_not() -> None:
    """The limit is on what would be held in memory."""
    big = b"x" * 300_000
    packed = Say(body=gzip.compress(big), headers={"content-encoding": "gzip"})
    for say in (Say(body=big), packed):
        with running(lambda *_, say=say: say) as server:
            assert fault(server.url, body_limit=100_000).kind == "too_large"
            assert len(post(server.url, body_limit=300_000).body) == 300_000


def test_nobody_there_is_refused(refused: str) -> None:
    """Nothing was sent, so nothing is owed."""
    error = fault(refused)
    assert (error.kind, str(error)) == ("refused", "no connection could be made")
    assert fault("http://nobody.invalid").kind == "refused"


@pytest.mark.parametrize("say", [Say(drop=True), Say(raw=b"\x00\x01 garbage\r\n\r\n")])
def test_a_connection_without_an_answer_is_lost(say: Say) -> None:
    """The request went out; what became of it nobody knows."""
    with running(lambda *_: say) as server:
        assert fault(server.url).kind == "lost"


def test_a_body_that_breaks_off_keeps_its_beginning() -> None:
    """Less than the announced length is no answer."""
    with running(lambda *_: Say(body=b'{"choices"', claim=500)) as server:
        error = fault(server.url)
    assert (error.kind, error.start) == ("cut_off", b'{"choices"')


def test_silence_is_a_timeout() -> None:
    """The limit holds from connecting to the last byte."""
    with running(lambda *_: Say(delay=30)) as server:
        started = time.monotonic()
        assert fault(server.url, timeout=0.2).kind == "timeout"
        assert time.monotonic() - started < 5


def test_a_server_that_speaks_no_tls_is_told_apart() -> None:
    """An https address on an http port is a mistake in the address, not an outage."""

    async def main() -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        transport = PyreqwestTransport()
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        try:
            await transport.post(url, HEADERS, b"{}", 5)
        except TransportError as error:
            return error.kind
        finally:
            await transport.close()
            server.close()
        return "an answer"

    assert asyncio.run(main()) == "tls"


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {KEY}\nx"}, {"a b": KEY}])
def test_a_header_that_cannot_be_sent_does_not_show_itself(headers: dict[str, str]) -> None:
    """The library quotes the value; we do not."""
    with running() as server:
        assert fault(server.url, headers=headers).kind == "unsendable"
    assert server.asked == {}


def test_an_address_that_is_none_does_not_show_itself() -> None:
    """Keys stand in some providers' addresses."""
    assert fault("no-address").kind == "unsendable"
    assert fault("ftp://x.example").kind in ("unsendable", "lost")


def test_a_header_that_is_no_text_is_passed_over() -> None:
    """Stray bytes in a header cost no paid answer."""
    raw = b"HTTP/1.1 200 OK\r\nx-request-id: \xff\xfe\r\ncontent-length: 2\r\n\r\n{}"
    with running(lambda *_: Say(raw=raw)) as server:
        assert post(server.url) == Response(200, {}, b"{}")


def test_a_cancelled_post_comes_back_at_once() -> None:
    """Nobody waits for an answer nobody wants; the next request works."""

    async def main(url: str) -> float:
        transport = PyreqwestTransport()
        task = asyncio.create_task(transport.post(url, {}, b'{"user":"slow"}', 60))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - started
        assert (await transport.post(url, {}, b'{"user":"quick"}', 5)).status == 200
        await transport.close()
        return took

    with running(lambda user, _: Say(delay=20) if user == "slow" else fine()) as server:
        assert asyncio.run(main(server.url)) < 0.5
