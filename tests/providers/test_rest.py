"""The control plane over HTTP: what is repeated and what is not, errors in our words, files whole or not at all."""

from __future__ import annotations

import email.utils
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe import errors
from batchframe.providers import rest
from batchframe.providers.rest import NotThereError, NotWholeError, RefusedError, Rest

KEY = "0123456789abcdef-no-known-prefix"
OK = (200, {"content-type": "application/json"}, b'{"id":"x"}')


@contextmanager
def server(*answers: object) -> Iterator[tuple[str, list[tuple[str, str, dict[str, str]]]]]:
    """Answer in turn: (status, headers, body), None to hang up, or a function of the handler."""
    asked: list[tuple[str, str, dict[str, str]]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append((self.command, self.path, headers))
            self.rfile.read(int(headers.get("content-length", 0)))
            now = left.pop(0) if len(left) > 1 else left[0]
            if now is None:
                self.connection.close()
                self.close_connection = True
            elif callable(now):
                now(self)
            else:
                status, named, body = now
                self.send_response(status)
                for name, value in {**named, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}/v1", asked
    finally:
        made.shutdown()
        made.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    """Note the pauses instead of making them."""
    noted: list[float] = []
    monkeypatch.setattr(rest.time, "sleep", noted.append)
    return noted


def way(url: str) -> Rest:
    keys = {"authorization": f"Bearer {KEY}"}
    advice = {"full_shelf": "Throw some away."}
    return Rest("acme", url, lambda: keys, "Set ACME_API_KEY.", advice=advice)


def test_a_call_carries_the_key_and_our_name_and_gives_the_json():
    """The path goes below the base URL."""
    with server(OK) as (url, asked):
        assert way(url).call("POST", "/batches", "x", json={"a": 1}, params={"p": 1}) == {"id": "x"}
    ((method, path, headers),) = asked
    assert (method, path) == ("POST", "/v1/batches?p=1")
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("batchframe/")
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "bad", [(500, {}, b""), (503, {}, b"{}"), (429, {}, b"{}"), (502, {}, b"<html>"), None]
)
def test_what_may_be_repeated_is(bad, pauses):
    """With growing pauses, and no more than four times."""
    with server(bad, bad, OK) as (url, asked):
        assert way(url).call("GET", "/x", "look") == {"id": "x"}
    assert len(asked) == 3
    assert pauses[0] < pauses[1]
    with server(bad) as (url, asked), pytest.raises(errors.ProviderUnavailableError):
        way(url).call("GET", "/x", "look")
    assert len(asked) == rest.TRIES


@pytest.mark.parametrize("bad", [(500, {}, b"{}"), (502, {}, b"<html>"), (200, {}, b"{"), None])
def test_what_must_not_happen_twice_is_not_repeated_when_it_may_have_happened(bad):
    """The other side may have acted, and only the answer was lost."""
    with server(bad, OK) as (url, asked):
        with pytest.raises(errors.ProviderUnavailableError):
            way(url).call("POST", "/batches", "create the batch", once=True)
        assert len(asked) == 1


def test_what_must_not_happen_twice_is_repeated_when_it_surely_did_not():
    """A 429 says that nothing was done."""
    with server((429, {}, b"{}"), OK) as (url, asked):
        assert way(url).call("POST", "/batches", "create the batch", once=True) == {"id": "x"}
        assert len(asked) == 2


def test_nobody_there_is_told_without_the_address():
    """And tried again, also for a create: nothing can have happened."""
    with pytest.raises(errors.ProviderUnavailableError) as told:
        way("http://127.0.0.1:9/v1").call("POST", "/batches", "create the batch", once=True)
    assert str(told.value) == (
        "acme could not create the batch: no connection came about. What is paid is kept."
    )


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1", "retry-after-ms": "850"}, 0.85),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_the_other_sides_wish_is_heeded(headers, pause, pauses):
    """In seconds, milliseconds or as a date."""
    with server((429, headers, b"{}"), OK) as (url, _):
        way(url).call("GET", "/x", "look")
    assert pauses == [pause] if pause is not None else 0 < pauses[0] < 1


def test_a_date_is_a_pause_too(pauses):
    """As RFC 9110 allows."""
    when = email.utils.formatdate(time.time() + 30, usegmt=True)
    with server((503, {"retry-after": when}, b"{}"), OK) as (url, _):
        way(url).call("GET", "/x", "look")
    assert 25 < pauses[0] <= 30


def test_a_long_wait_is_told_at_once(pauses):
    """Whoever drives the job comes back by itself, and is told when."""
    away = (429, {"retry-after": "3600"}, b"{}")
    with server(away) as (url, asked), pytest.raises(errors.RateLimitError) as told:
        way(url).call("GET", "/x", "look")
    assert (len(asked), pauses, told.value.pause) == (1, [], 3600.0)


@pytest.mark.parametrize("then", [(500, {}, b"{}"), None])
def test_a_call_that_may_have_happened_after_a_rate_limit_is_no_rate_limit(then):
    """Only a 429 says that nothing was done; whoever believes it may call again without looking."""
    with server((429, {}, b"{}"), then) as (url, asked):
        with pytest.raises(errors.ProviderUnavailableError) as told:
            way(url).call("POST", "/batches", "create the batch", once=True)
        assert len(asked) == 2
    assert not isinstance(told.value, errors.RateLimitError)


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (401, b'{"error":{"message":"Incorrect API key provided: KEY.","code":"invalid_api_key"}}', errors.AuthenticationError, "acme could not look: Incorrect API key provided: *** (HTTP 401, invalid_api_key). Set ACME_API_KEY."),
        (403, b'{"error":"Forbidden"}', errors.AuthenticationError, "acme could not look: Forbidden (HTTP 403). Set ACME_API_KEY."),
        (404, b'{"error":"Job not found"}', NotThereError, "acme could not look: Job not found (HTTP 404)."),
        (400, b'{"detail":"bad","type":"x"}', RefusedError, "acme could not look: bad (HTTP 400, x)."),
        (400, b"[]", RefusedError, "acme could not look: HTTP status 400 (HTTP 400)."),
        (429, b'{"error":{"code":"insufficient_quota","message":"No money."}}', errors.QuotaError, "acme could not look: No money (HTTP 429, insufficient_quota). Add credit or raise the limit; what is paid is kept."),
        (402, b"{}", errors.QuotaError, "acme could not look: HTTP status 402 (HTTP 402). Add credit or raise the limit; what is paid is kept."),
        (400, b'{"error":{"code":"token_limit_exceeded","message":"Full."}}', errors.QueueFullError, "acme could not look: Full (HTTP 400, token_limit_exceeded)."),
        (429, b'{"error":{"message":"Enqueued token limit reached for m in org."}}', errors.QueueFullError, "acme could not look: Enqueued token limit reached for m in org (HTTP 429)."),
        (429, b'{"error":{"type":"insufficient_quota","code":"a_new_word","message":"No money."}}', errors.QuotaError, "acme could not look: No money (HTTP 429, a_new_word). Add credit or raise the limit; what is paid is kept."),
        (400, b'{"error":{"code":"billing_hard_limit_reached","message":"No."}}', errors.QuotaError, "acme could not look: No (HTTP 400, billing_hard_limit_reached). Add credit or raise the limit; what is paid is kept."),
        (429, b'{"error":{"code":"rate_limit_exceeded","type":"requests","message":"Slower."}}', errors.RateLimitError, "acme could not look: Slower (HTTP 429). What is paid is kept."),
        (429, b"<html>", errors.RateLimitError, "acme could not look: it answered with a web page (HTTP 429). What is paid is kept."),
        (400, b'{"error":{"code":"Bad","message":"No.","innererror":{"code":"token_limit_exceeded"}}}', errors.QueueFullError, "acme could not look: No (HTTP 400, Bad)."),
        (400, b'{"error":{"code":"Full_Shelf","message":"No."}}', RefusedError, "acme could not look: No (HTTP 400, Full_Shelf). Throw some away."),
        (401, b"<!doctype html><p>KEY", errors.AuthenticationError, "acme could not look: it answered with a web page (HTTP 401). Set ACME_API_KEY."),
        (401, b"", errors.AuthenticationError, "acme could not look: HTTP status 401 (HTTP 401). Set ACME_API_KEY."),
        (403, b"<!doctype html><p>KEY", errors.ProviderUnavailableError, "acme could not look: it answered with a web page (HTTP 403). What is paid is kept. A firewall or proxy on the way may be the cause, or else the key. Set ACME_API_KEY."),
        (520, b"<!doctype html><p>KEY", errors.ProviderUnavailableError, "acme could not look: it answered with a web page (HTTP 520). What is paid is kept."),
        (300, b"", RefusedError, "acme could not look: HTTP status 300 (HTTP 300)."),
    ],
)  # fmt: skip
def test_errors_come_from_our_tree_without_the_key(status, body, kind, message):
    """Whatever shape they have, and whatever the key looks like."""
    answer = (status, {"location": "http://127.0.0.1:9/"}, body.replace(b"KEY", KEY.encode()))
    with server(answer) as (url, _), pytest.raises(errors.ProviderError) as told:
        way(url).call("GET", "/x", "look")
    assert (type(told.value), str(told.value)) == (kind, message)


@given(
    st.binary(max_size=40) | st.sampled_from([b"{}", b'{"error":{}}', b'{"error":{"error":[]}}'])
)
def test_any_body_of_an_error_is_understood_or_passed_over(body):
    """Nothing is raised by reading one."""
    assert isinstance(rest._error_of(body), dict)


def test_a_file_is_sent_again_from_its_beginning(tmp_path):
    """Half of it may have gone out."""
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"a":1}\n' * 5000)
    with server((500, {}, b""), OK) as (url, asked):
        made = way(url).upload(
            "/files", file, "take the file", fields={"purpose": "b"}, name="n.jsonl"
        )
    assert made == {"id": "x"}
    sizes = [int(headers["content-length"]) for _, _, headers in asked]
    assert sizes[0] == sizes[1] > 40_000


def cut(body: bytes, at: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Promise a whole body and hang up in the middle."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:at])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


WHOLE = bytes(range(256)) * 4000


def test_a_download_goes_on_where_it_broke_off(tmp_path):
    """By a range, and the file has its name only when it is whole."""
    rest_of = (
        206,
        {"content-range": f"bytes 300000-{len(WHOLE) - 1}/{len(WHOLE)}"},
        WHOLE[300_000:],
    )
    with server(cut(WHOLE, 300_000), rest_of) as (url, asked):
        got = way(url).download("/f", tmp_path / "f", "give the file")
    assert got.read_bytes() == WHOLE
    assert asked[1][2]["range"] == "bytes=300000-"
    assert asked[0][2]["accept-encoding"] == "identity"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("piece", [(), ((206, {"content-range": "bytes 9-19/20"}, WHOLE[9:20]),)])
def test_a_server_that_ignores_ranges_is_read_anew(tmp_path, piece):
    """What was held is thrown away rather than doubled, and a piece nobody asked for is none."""
    with server(cut(WHOLE, 1000), *piece, (200, {}, WHOLE)) as (url, _):
        assert way(url).download("/f", tmp_path / "f", "give").read_bytes() == WHOLE


def test_a_download_that_never_ends_well_leaves_no_file_of_that_name(tmp_path):
    """What came is kept aside, for the next try."""
    with server(cut(WHOLE, 5000)) as (url, _), pytest.raises(errors.ProviderUnavailableError):
        way(url).download("/f", tmp_path / "f", "give")
    assert not (tmp_path / "f").exists()


def test_a_full_disk_keeps_what_came_and_goes_on_later(tmp_path, monkeypatch):
    """No half file is taken for a whole one."""
    real = rest._write

    def full(out, block):
        real(out, block[:1000])
        raise OSError(28, "No space left on device")

    with server((200, {}, WHOLE)) as (url, _):
        with monkeypatch.context() as small:
            small.setattr(rest, "_write", full)
            with pytest.raises(OSError, match="No space left"):
                way(url).download("/f", tmp_path / "f", "give")
        assert not (tmp_path / "f").exists()
        assert way(url).download("/f", tmp_path / "f", "give").read_bytes() == WHOLE


def test_a_download_from_elsewhere_carries_no_key(tmp_path):
    """An address that the provider gave is its own credential."""
    with server((200, {}, b"x")) as (url, asked):
        way("https://acme.example/v1").download(url, tmp_path / "f", "give")
    assert "authorization" not in asked[0][2]


@pytest.mark.parametrize("url", ["acme.example/v1", "", "ftp://x", "https://"])
def test_an_address_that_is_none_is_refused(url):
    """Before anything is sent."""
    with pytest.raises(errors.InputError, match=r"must begin with https://"):
        way(url)


def test_threads_that_begin_together_share_one_client(monkeypatch):
    """Of two the second would take the first one's place, which then stays open."""
    made, real = [], Rest._client

    def client(self):
        made.append(real(self))
        threading.Event().wait(0.05)
        return made[-1]

    monkeypatch.setattr(Rest, "_client", client)
    with server(OK) as (url, _):
        one = way(url)
        threads = [threading.Thread(target=one.call, args=("GET", "/x", "look")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in made:
            each.close()
    assert len(made) == 1


def test_the_way_shows_no_key():
    """Nor does a malformed one appear in what is raised."""
    assert KEY not in repr(way("https://acme.example/v1"))
    broken = Rest("acme", "http://127.0.0.1:9/v1", lambda: {"authorization": "Bearer sk-é\n"})
    with pytest.raises(errors.ProviderError) as told:
        broken.call("GET", "/x", "look")
    assert "sk-" not in str(told.value)


def redirect(to, status=302):
    return (status, {"location": to}, b"")


RESULT = b'{"custom_id":"r0","response":null}\n'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_that_is_sent_on_is_followed_with_the_key_at_home(status, tmp_path):
    """The same host is still the provider."""
    with server(redirect("/elsewhere?x=1", status), (200, {}, RESULT)) as (url, asked):
        file = way(url).download("/files/f/content", tmp_path / "out", "give the result file")
    assert file.read_bytes() == RESULT
    assert [(path, KEY in str(headers)) for _, path, headers in asked] == [
        ("/v1/files/f/content", True), ("/elsewhere?x=1", True),
    ]  # fmt: skip


def test_another_host_never_sees_the_key(tmp_path):
    """A store with signed addresses, or somebody else."""
    with server((200, {}, RESULT)) as (there, foreign), server(redirect(there)) as (url, _):
        way(url).download("/f", tmp_path / "out", "give the result file")
    ((_, _, headers),) = foreign
    assert KEY not in str(headers)


def test_being_sent_on_for_ever_ends(tmp_path):
    """It is an error, and says so."""
    with (
        server(redirect("/again")) as (url, asked),
        pytest.raises(errors.ProviderError, match="sent on 5 times"),
    ):
        way(url).download("/f", tmp_path / "out", "give the result file")
    assert len(asked) == 6


def test_a_create_is_never_sent_on():
    """Only what may be repeated is."""
    with server(redirect("/x", 307)) as (url, asked), pytest.raises(RefusedError):
        way(url).call("POST", "/batches", "create the batch", once=True)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("body", "size", "why"),
    [
        (b"<!DOCTYPE html><p>Bad gateway", None, "a web page"),
        (b'{"error":{"message":"no"}}', None, "an error message"),
        (b'{\n "detail": "no"\n}', None, "an error message"),
        (RESULT[:9], len(RESULT), "9 bytes of a file of 35"),
        (b"", len(RESULT), "0 bytes of a file of 35"),
        (RESULT * 2, len(RESULT), "70 bytes of a file of 35"),
    ],
)
def test_what_is_no_result_file_is_asked_for_again_and_then_told(body, size, why, tmp_path, pauses):
    """Under HTTP 200, too; what came is there for whoever can use it."""
    with server((200, {}, body)) as (url, asked), pytest.raises(NotWholeError) as told:
        way(url).download("/f", tmp_path / "out", "give the result file", size=size)
    assert told.value.why == why
    assert told.value.file == tmp_path / "out"
    assert len(asked) == rest.TRIES
    assert len(pauses) == rest.TRIES - 1


def test_a_page_that_was_cut_is_not_gone_on_with(tmp_path):
    """The rest of the real file glued to it would be lost."""

    def page(handler):
        handler.send_response(200)
        handler.send_header("content-length", "9999")
        handler.end_headers()
        handler.wfile.write(b"<html>Bad gateway")
        handler.close_connection = True

    with server(page, (200, {}, RESULT)) as (url, asked):
        file = way(url).download("/f", tmp_path / "out", "give the result file")
    assert file.read_bytes() == RESULT
    assert "range" not in asked[1][2]


def test_a_packed_file_is_unpacked(tmp_path):
    """Though identity was asked for."""
    with server((200, {"content-encoding": "gzip"}, gzip.compress(RESULT))) as (url, _):
        file = way(url).download("/f", tmp_path / "out", "give the result file", size=len(RESULT))
    assert file.read_bytes() == RESULT
