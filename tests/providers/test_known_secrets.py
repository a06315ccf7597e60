"""Credentials in use are known by their value: they are taken out of texts, logs and addresses, whatever they look like."""

from __future__ import annotations

import io
import json
import logging
import traceback

import pytest
from test_rest import server

import batchframe as bf
from batchframe import errors, redact
from batchframe.model import Endpoint
from batchframe.providers.quiet import hush
from batchframe.providers.rest import Rest
from batchframe.redact import MASK, hide, quotes_secret, redact_json, remember, remember_headers

SECRET = 'Zq7/No+Known"Pattern0123456789'


@pytest.fixture(autouse=True)
def unknown(monkeypatch):
    """Nothing is known at the start."""
    monkeypatch.setattr(redact, "_KNOWN", redact._Known())


def test_a_secret_is_found_as_it_is_and_as_addresses_and_json_write_it():
    """PHP writes a slash in JSON with a backslash before it."""
    assert redact.redact(SECRET) == SECRET
    remember(SECRET)
    quoted = "Zq7%2FNo%2BKnown%22Pattern0123456789"
    escaped = json.dumps(SECRET)[1:-1]
    for form in (SECRET, quoted, escaped, escaped.replace("/", "\\/")):
        assert redact.redact(f"<{form}>") == f"<{MASK}>"
        assert quotes_secret(form.encode())
        assert hide(form.encode()) == MASK.encode()


def test_a_cut_never_leaves_half_a_secret():
    """It would not be recognised any more."""
    remember(SECRET)
    told = redact.redact("x" * 95 + SECRET, 100)
    assert told == "x" * 95 + MASK
    assert redact.redact("x" * 95 + " sk-abcdefgh12345678", 100) == "x" * 95 + " " + MASK


def test_names_of_members_are_looked_at_too():
    """A server that shows the headers it got may have them the wrong way round."""
    remember(SECRET)
    assert redact_json({SECRET: [{"a": SECRET}]}) == {MASK: [{"a": MASK}]}


def test_what_is_short_is_no_secret_and_harmless_headers_are_none():
    """Or words like "none" would vanish from every message."""
    remember("EMPTY")
    remember_headers({"Content-Type": "application/json", "OpenAI-Organization": "org-123456"})
    assert redact.redact("EMPTY application/json org-123456") == "EMPTY application/json org-123456"


@pytest.mark.parametrize("word", ["cancelled", "not-needed", "Unauthorized", "no key at all"])
def test_a_word_that_stands_in_for_a_key_is_no_secret(word):
    """Else codes such as `batch_cancelled` would lose their meaning, and a cancelled job its state."""
    bf.OpenAICompatible("gw", "http://gw/v1", api_key=word)
    assert redact.redact(f"batch_{word}") == f"batch_{word}"
    for secret in ("correct-horse-battery-staple", "cancelled1", "canceLLed"):
        remember(secret)
        assert redact.redact(f"<{secret}>") == f"<{MASK}>"


def test_of_a_basic_header_the_password_is_a_secret_too():
    """A server may unpack it before it quotes it."""
    remember_headers({"Authorization": "Basic bWU6UGFzc3dvcmRPZk1pbmU="})
    assert redact.redact("me PasswordOfMine bWU6UGFzc3dvcmRPZk1pbmU=") == f"me {MASK} {MASK}"


def test_those_not_used_for_longest_are_forgotten_first():
    """Tokens age, and a key that is in use stays known."""
    remember(SECRET)
    for number in range(redact.MOST_SECRETS + 10):
        remember(f"token-number-{number:04d}")
        remember(SECRET)
    assert redact.redact(SECRET) == MASK
    assert redact.redact("token-number-0000") == "token-number-0000"
    assert redact.redact("token-number-0070") == MASK


@pytest.mark.parametrize(
    "make",
    [
        lambda: bf.OpenAI(api_key=SECRET),
        lambda: bf.Mistral(api_key=SECRET),
        lambda: bf.Azure(endpoint="https://r.openai.azure.com", api_key=SECRET),
        lambda: bf.OpenAICompatible("gw", "http://gw/v1", api_key=SECRET),
        lambda: bf.OpenAICompatible("gw", "http://gw/v1", headers={"x-api-key": SECRET}),
        lambda: bf.OpenAICompatible("gw", "http://me:Zq7%2FNo%2BKnown%22Pattern0123456789@gw/v1"),
    ],
    ids=["openai", "mistral", "azure", "compatible", "own header", "address"],
)
def test_a_provider_that_is_made_makes_its_secrets_known(make):
    """Before it is asked for anything."""
    made = make()
    assert redact.redact(SECRET) == MASK
    assert SECRET not in repr(made)
    assert "Zq7" not in f"{made!r} {getattr(made, 'rest', None)!r}"


@pytest.mark.parametrize("batch", [True, False])
def test_a_name_and_password_in_an_address_travel_in_a_header(batch):
    """As a browser does it; the address that is shown is without them."""
    made = bf.OpenAICompatible("gw", "http://me:PasswordOfMine@gw:81/v1", batch=batch)
    with made.connect("m", Endpoint.CHAT) as way:
        assert way.base_url == "http://gw:81/v1"
        assert way.headers == {"authorization": "Basic bWU6UGFzc3dvcmRPZk1pbmU="}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: bf.OpenAI(base_url="https://me:PasswordOfMine@gw/v1"), "a name and a password stand in the address"),
        (lambda: bf.Azure(endpoint="https://me:PasswordOfMine@gw"), "a name and a password stand in the address"),
        (lambda: bf.Mistral(base_url="https://gw/v1?key=PasswordOfMine"), "without '?' or '#'"),
        (lambda: bf.OpenAICompatible("gw", "https://me:PasswordOfMine@gw/v1", api_key="k" * 9), "several credentials"),
        (lambda: bf.OpenAICompatible("gw", "https://gw/v1", api_key="k" * 9, headers={"Authorization": "x"}), "several credentials"),
    ],
)  # fmt: skip
def test_an_address_that_is_a_credential_is_refused_where_it_cannot_be_sent(make, told):
    """Without showing it."""
    with pytest.raises(errors.InputError, match=told.replace("?", r"\?")) as caught:
        make()
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    told_in_all = [] if caught.value.__suppress_context__ else chain[2:]
    assert not [one for one in [*chain[:2], *told_in_all] if "PasswordOfMine" in f"{one} {one!r}"]


def test_the_http_librarys_own_log_shows_no_query_and_no_secret():
    """It logs each address at INFO, and a signed one is as good as a key."""
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    log = logging.getLogger("httpx2")
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.DEBUG)
    try:
        with server((200, {}, b'{"id":"x"}')) as (url, _):
            rest = Rest("acme", url, lambda: {"authorization": f"Bearer {SECRET}"})
            rest.call("GET", "/x", "look", params={"X-Goog-Signature": "deadbeef", "odd": "cafe01"})
            for client in rest._clients.values():
                client.close()
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
    assert f'/x?{MASK} "HTTP/1.1 200 OK"' in kept.getvalue()
    assert "deadbeef" not in kept.getvalue()
    assert "cafe01" not in kept.getvalue()


def test_headers_in_the_librarys_debug_lines_are_taken_out():
    """Whoever turns DEBUG on wants to see what is sent, but not that."""
    hush()
    record = logging.LogRecord(
        "httpcore2.http11", logging.DEBUG, "", 0, "headers %s",
        ([(b"Authorization", b"Bearer abc"), (b"x-api-key", b"short"), (b"a", b"b")],), None,
    )  # fmt: skip
    logging.getLogger("httpcore2.http11").filter(record)
    assert record.getMessage() == (
        f"headers [(b'Authorization', b'{MASK}'), (b'x-api-key', b'{MASK}'), (b'a', b'b')]"
    )


def test_a_token_that_cannot_be_got_is_the_error_that_is_told():
    """It was asked for again while the answer was read, and what that raised hid the answer."""
    given = iter([{"authorization": "Bearer first-token-0123"}])

    def headers():
        try:
            return next(given)
        except StopIteration:
            msg = "asked once too often"
            raise RuntimeError(msg) from None

    with server((404, {}, b'{"error":{"message":"no such batch for first-token-0123"}}')) as (
        url,
        _,
    ):
        rest = Rest("acme", url, headers)
        with pytest.raises(errors.ProviderError, match=r"no such batch for \*\*\* \(HTTP 404\)"):
            rest.call("GET", "/x", "look")
        for client in rest._clients.values():
            client.close()


def test_a_fault_of_ours_is_told_as_itself_with_its_cause(monkeypatch):
    """And not as a broken key."""
    with server((200, {}, b'{"id":"x"}')) as (url, _):
        rest = Rest("acme", url, lambda: {"authorization": "Bearer first-token-0123"})

        def broken(*_):
            msg = "a bug while reading"
            raise ValueError(msg)

        monkeypatch.setattr(rest, "_read", broken)
        with pytest.raises(ValueError, match="a bug while reading"):
            rest.call("GET", "/x", "look")
        for client in rest._clients.values():
            client.close()


@pytest.mark.parametrize("bad", ["broken\nkey-0123456", "kéy-0123456789"])
def test_a_header_that_cannot_be_sent_is_named_and_not_shown(bad):
    """The library would quote it, and call it a lost connection."""
    rest = Rest("acme", "http://127.0.0.1:9", lambda: {"api-key": bad}, "Set ACME_API_KEY.")
    with pytest.raises(errors.AuthenticationError) as caught:
        rest.call("GET", "/x", "look")
    assert str(caught.value) == (
        "acme could not look: the header 'api-key' holds a line break or another character that no "
        "header may hold. Set ACME_API_KEY."
    )
    assert bad not in "".join(traceback.format_exception(caught.value))
    for client in rest._clients.values():
        client.close()
