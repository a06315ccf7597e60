"""Every row gets one outcome or stays untouched, whatever the server, the disk or the user does."""

from __future__ import annotations

import asyncio
import errno
import json
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from benching import KEY, Bench, line, until
from scripted import Say, fine, refusal, running

from batchframe.dialects.openai import spent
from batchframe.errors import (
    AuthenticationError,
    InputError,
    ProviderError,
    ProviderUnavailableError,
    StorageError,
    UnknownNameError,
)
from batchframe.immediate import retry as retry_module
from batchframe.immediate.clock import SystemClock
from batchframe.immediate.engine import Tally, join
from batchframe.immediate.retry import Retry
from batchframe.immediate.transport import Response, TransportError
from batchframe.ledger import journal as journal_module
from batchframe.ledger.journal import answered
from batchframe.pricing.cost import pricer
from batchframe.pricing.rates import Rates, Tier

IDS = [f"r{n}" for n in range(30)]
RATES = Rates(*[Decimal(1)] * 4, tiers=(Tier(50, *[Decimal("0.5")] * 4),))
"""A dollar a token: an answer of `fine` costs 10."""


def codes(bench: Bench) -> dict[str, Any]:
    """What became of each row: a status or an error code."""
    return {
        name: record["error"]["code"] if record["error"] else record["response"]["status_code"]
        for name, record in bench.records().items()
    }


def once_then(first: Say, then: Callable[[str], Say] = fine) -> Callable[[str, int], Say]:
    """Answer a row's first try with `first`."""
    return lambda user, times: first if times == 1 else then(user)


class Direct:
    """A transport without a network: a function from the body's user to a status and a body."""

    def __init__(self, answer: Callable[[str], Response]) -> None:
        self.answer = answer
        self.posts = 0

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *_: float) -> Response:
        self.posts += 1
        await asyncio.sleep(0)
        return self.answer(json.loads(body)["user"])


def test_every_row_is_sent_once_and_written_down(bench: Bench) -> None:
    """The plain case: bodies byte for byte, one line a row, tokens summed."""
    bench.write(IDS)
    with running() as server:
        tally = bench.run(server.url + "/v1")
    assert tally == Tally(total=30, done=30, input_tokens=210, output_tokens=90)
    assert server.asked == dict.fromkeys(IDS, 1)
    sent = [
        one.split(b'"body":', 1)[1].removesuffix(b"}")
        for one in bench.wire.read_bytes().split(b"\n")[:-1]
    ]
    assert sorted(server.bodies) == sorted(sent)
    assert len(bench.journal.read_bytes().splitlines()) == 30
    record = bench.records()["r3"]
    assert record["response"]["request_id"] == "req-r3"
    assert record["response"]["body"]["choices"][0]["message"]["content"] == "re r3"
    assert record["batchframe"]["attempts"] == 1
    assert server.heads[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"Bearer {KEY}".encode() in server.heads[0]
    assert b"user-agent: batchframe" in server.heads[0].lower()
    assert b"content-type: application/json" in server.heads[0].lower()


def test_progress_is_told_as_it_comes(bench: Bench) -> None:
    """From nothing to all, one row at a time, and each line once it is kept."""
    bench.write(IDS)
    told: list[bytes] = []
    with running() as server:
        bench.run(server.url, on_reply=told.append)
    assert [tally.done for tally in bench.seen] == [*range(31), 30]  # and once at the end
    assert {tally.total for tally in bench.seen} == {30}
    assert max(tally.in_flight for tally in bench.seen) <= 4
    assert sorted(told) == sorted(bench.journal.read_bytes().splitlines())


def test_tokens_nobody_gives_stay_unknown(bench: Bench) -> None:
    """Null is not zero; what is given by some is summed over those."""
    bench.write(["a", "b"])
    details = {"prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": "odd"}
    with running(lambda user, _: fine(**details) if user == "a" else Say(body=b"{}")) as server:
        tally = bench.run(server.url)
    assert (tally.input_tokens, tally.cached_tokens, tally.output_tokens) == (7, 5, 3)
    assert tally.reasoning_tokens is None


def test_a_second_run_sends_nothing_and_counts_the_same(bench: Bench) -> None:
    """Nothing is paid twice; the sums cover both runs."""
    bench.write(IDS)
    with running(lambda user, _: refusal(400) if user == "r1" else fine(user)) as server:
        first = bench.run(server.url)
        second = bench.run(server.url)
        assert sum(server.asked.values()) == 30
    assert (first.done, first.failed, first.resumed) == (30, 1, 0)
    assert second == Tally(
        total=30, done=30, failed=1, resumed=30, input_tokens=203, output_tokens=87
    )


def test_no_more_requests_are_in_flight_than_asked_for(bench: Bench) -> None:
    """Concurrency is a promise to the other side."""
    bench.write(IDS)
    with running(lambda user, _: Say(body=b"{}", delay=0.02)) as server:
        bench.run(server.url, concurrency=3)
        assert server.busiest == 3
    with pytest.raises(InputError, match="concurrency=0 was refused"):
        bench.run("http://127.0.0.1:9", concurrency=0)


FAULTS = {
    "429 with nothing": refusal(429),
    "429 with seconds": refusal(429, retry_after="3"),
    "429 with milliseconds": refusal(429, retry_after_ms="850"),
    "429 with a date": refusal(429, retry_after="Fri, 31 Dec 2100 23:59:59 GMT"),
    "429 with a reset": refusal(
        429, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="6m0s"
    ),
    "500": refusal(500),
    "502 with a page": Say(502, b"<html>bad gateway</html>"),
    "529": refusal(529, "overloaded_error"),
    "dropped": Say(drop=True),
    "no HTTP": Say(raw=b"\x00\x01\r\n\r\n"),
    "HTML with 200": Say(body=b"<html>log in</html>"),
    "empty with 200": Say(body=b""),
    "garbage with 200": Say(body=b"\xff\xfe\x00"),
    "JSON cut with 200": Say(body=b'{"choices": ['),
    "broken off": Say(body=b'{"choices": [', claim=900),
    "an error inside 200": Say(body=b'{"error":{"code":503,"message":"upstream"}}'),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_costs_a_second_try_and_nothing_else(bench: Bench, name: str) -> None:
    """Every row is asked once more, answered, and written down once."""
    bench.write(IDS[:8])
    with running(once_then(FAULTS[name])) as server:
        tally = bench.run(server.url)
    assert (tally.done, tally.failed) == (8, 0)
    assert server.asked == dict.fromkeys(IDS[:8], 2)
    assert len(bench.journal.read_bytes().splitlines()) == 8
    assert {r["batchframe"]["attempts"] for r in bench.records().values()} == {2}


LASTING = {
    "429": (refusal(429, "rate_limit_exceeded"), 5, 429),
    "500": (refusal(500), 5, 500),
    "400": (refusal(400, "context_length_exceeded"), 1, 400),
    "413": (Say(413, b"too long"), 1, 413),
    "an error inside 200": (Say(body=b'{"error":{"code":400,"message":"m"}}'), 1, 200),
    "dropped": (Say(drop=True), 3, "connection"),
    "HTML with 200": (Say(body=b"<html>"), 3, "invalid_body"),
    "empty with 200": (Say(body=b""), 3, "invalid_body"),
    "broken off": (Say(body=b'{"choices": [', claim=900), 3, "invalid_body"),
}


@pytest.mark.parametrize("name", LASTING)
def test_a_fault_that_lasts_is_the_rows_own_end(bench: Bench, name: str) -> None:
    """One bad row among good ones: its tries end, its line says why, the others are answered."""
    say, times, end = LASTING[name]
    bench.write(["bad", "good"])
    with running(lambda user, _: say if user == "bad" else fine(user)) as server:
        tally = bench.run(server.url)
    assert server.asked == {"bad": times, "good": 1}
    assert codes(bench) == {"bad": end, "good": 200}
    assert (tally.done, tally.failed) == (2, 1)


def test_a_row_that_hangs_times_out(bench: Bench) -> None:
    """It ends as `timeout` after three tries; the next run does not pay for it again."""
    bench.write(["slow", "good"])
    with running(lambda user, _: Say(delay=30) if user == "slow" else fine(user)) as server:
        bench.run(server.url, timeout=0.3)
        bench.run(server.url, timeout=0.3)
        assert server.asked == {"slow": 3, "good": 1}
    assert codes(bench) == {"slow": "timeout", "good": 200}


def test_a_body_above_the_limit_is_not_paid_for_twice(bench: Bench) -> None:
    """It would be as large the next time."""

    class Huge(Direct):
        async def post(self, *_: Any) -> Response:
            self.posts += 1
            msg = "too_large"
            raise TransportError(msg)

    bench.write(["a"])
    huge = Huge(lambda _: Response(200, {}, b""))
    bench.run("http://x.example", transport=huge)
    assert (huge.posts, codes(bench)) == (1, {"a": "body_too_large"})


def test_what_a_server_asks_for_holds_for_all_rows(bench: Bench) -> None:
    """After a 429 with retry-after nobody sends until then, not even rows not tried yet."""
    bench.write(IDS[:6])
    times: dict[str, float] = {}

    def script(user: str, number: int) -> Say:
        if user == "r0" and number == 1:
            times["first"] = time.monotonic()
            return refusal(429, retry_after_ms="700")
        times[user] = time.monotonic()
        return Say(body=b"{}", delay=0.2)

    with running(script) as server:
        bench.run(server.url, concurrency=2, clock=SystemClock())
    later = [times[name] - times["first"] for name in ("r0", "r2", "r3", "r4", "r5")]
    assert min(later) >= 0.7


def test_waits_grow_and_are_drawn(bench: Bench) -> None:
    """Full jitter on a doubling base, through the door of the caller's randomness."""
    bench.write(["a"])
    with running(lambda *_: refusal(500)) as server:
        bench.run(server.url, retry=Retry(attempts=4, base=2, cap=5), random=lambda: 0.5)
    assert bench.clock.slept == [1.0, 2.0, 2.5]


STOPS = {
    "401": (
        refusal(401, "invalid_api_key", f"Incorrect API key provided: {KEY}"),
        AuthenticationError,
        (
            "{host} does not accept the API key (HTTP 401, invalid_api_key). 0 rows have their outcome "
            "and are kept; the others are untouched. Set a valid key, then run the same call again: "
            "only rows without an outcome are sent."
        ),
    ),
    "403": (
        refusal(403, None, KEY),
        AuthenticationError,
        (
            "{host} refuses this API key here; the model or the region may not be open to it (HTTP "
            "403). 0 rows have their outcome and are kept; the others are untouched. Set a key that "
            "may use the model, then run the same call again: only rows without an outcome are sent."
        ),
    ),
    "404 for the model": (
        refusal(404, "model_not_found"),
        UnknownNameError,
        (
            "{host} has no model 'm' (HTTP 404, model_not_found). 0 rows have their outcome and are "
            "kept; the others are untouched. Submit again with a model it has: "
            'model="provider/name".'
        ),
    ),
    "404 for the address": (
        Say(404, b"<html>not found"),
        ProviderError,
        (
            "{host} answers no requests at /v1/chat/completions (HTTP 404). 0 rows have their outcome "
            "and are kept; the others are untouched. Correct the provider's base_url, then run the "
            "same call again: only rows without an outcome are sent."
        ),
    ),
    "an empty purse": (
        refusal(429, "insufficient_quota"),
        ProviderError,
        (
            "{host} takes no more requests: the account's credit or spending limit is used up (HTTP "
            "429, insufficient_quota). 0 rows have their outcome and are kept; the others are "
            "untouched. Add credit or raise the limit, then run the same call again: only rows "
            "without an outcome are sent."
        ),
    ),
    "a redirect": (
        Say(308, headers={"location": "https://elsewhere.example"}),
        ProviderError,
        (
            "{host} redirects elsewhere, which is not followed because the API key would go along "
            "(HTTP 308). 0 rows have their outcome and are kept; the others are untouched. Set the "
            "provider's base_url to the final address, then run the same call again: only rows "
            "without an outcome are sent."
        ),
    ),
}


@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize("name", STOPS)
def test_what_all_rows_would_meet_stops_the_run(bench: Bench, name: str, rows: int) -> None:
    """An exception that lets a tired user finish the job; rows untouched; no secret in it."""
    say, kind, message = STOPS[name]
    bench.write(IDS[:rows])
    with running(lambda *_: say) as server:
        with pytest.raises(kind) as caught:
            bench.run(server.url.replace("//", f"//user:{KEY}@"))
        assert sum(server.asked.values()) <= 24
        host = server.url.removeprefix("http://")
        assert str(caught.value) == message.format(host=host)
        assert bench.journal.read_bytes() == b""
        server.script = lambda user, _: fine(user)
        assert bench.run(server.url).done == rows


@pytest.mark.parametrize(("status", "what"), [(401, "the API key"), (403, "this API key here")])
def test_a_refused_key_is_told_with_the_providers_own_line_to_type(
    bench: Bench, status: int, what: str
) -> None:
    """Only the provider knows the variable."""
    bench.write(["a"])
    with running(lambda *_: refusal(status)) as server, pytest.raises(AuthenticationError) as told:
        bench.run(server.url, way={"key_help": "Type: export ACME_API_KEY=..."})
    assert what in str(told.value)
    assert str(told.value).endswith(
        "Type: export ACME_API_KEY=... Then run the same call again: only rows without an outcome are sent."
    )


def test_headers_that_age_are_asked_for_anew_and_the_query_goes_along(bench: Bench) -> None:
    """A token lasts an hour, a run longer; who gives it keeps it while it lasts, and is asked each time."""
    given: list[str] = []

    def renew() -> dict[str, str]:
        given.append(f"token-{len(given)}")
        return {"Authorization": given[-1]}

    def script(user: str, number: int) -> Say:
        return refusal(429, retry_after="70") if number == 1 else fine(user)

    bench.write(["a", "b"])
    way = {"renew": renew, "params": {"api-version": "1 x"}, "unversioned": True}
    with running(script) as server:
        bench.run(server.url, way=way, concurrency=1, headers={"Authorization": "first"})
    seen = [
        (head.split(b" ")[1], head.lower().partition(b"authorization: ")[2].split(b"\r")[0])
        for head in server.heads
    ]
    path = b"/chat/completions?api-version=1+x"
    tokens = [b"token-0", b"token-1", b"token-2", b"token-3"]  # for each try, too
    assert seen == [(path, token) for token in tokens]


def test_an_unusable_key_stops_the_run_without_showing_it(bench: Bench) -> None:
    """A line break in a key is the commonest way to break one."""
    bench.write(IDS)
    with running() as server:
        with pytest.raises(
            ProviderError, match=r"a header \(a broken key\?\) is malformed"
        ) as caught:
            bench.run(server.url, headers={"Authorization": f"Bearer {KEY}\n"})
        assert server.asked == {}
    assert KEY not in str(caught.value)


def test_a_run_that_is_stopped_closes_its_file(bench: Bench, monkeypatch) -> None:
    """Windows could not remove it otherwise, and its reader would be closed at some other time."""
    from batchframe.immediate import wire

    opened, real = [], wire.blocks
    monkeypatch.setattr(wire, "blocks", lambda *args: opened.append(real(*args)) or opened[-1])
    bench.write(IDS)
    with running() as server, pytest.raises(ProviderError):
        bench.run(server.url, headers={"Authorization": f"Bearer {KEY}\n"})
    assert [blocks.gi_frame for blocks in opened] == [None]


def test_one_moderated_row_does_not_stop_the_others(bench: Bench) -> None:
    """A 403 among answers is the row's own; the job can end."""
    bench.write(["bad", *IDS])
    with running(lambda user, _: refusal(403) if user == "bad" else fine(user)) as server:
        assert bench.run(server.url, concurrency=1).done == 31
    assert codes(bench)["bad"] == 403


def test_a_moderated_row_ends_when_earlier_runs_had_answers(bench: Bench) -> None:
    """What the journal knows counts as an answer, too."""
    with running(lambda user, _: refusal(403) if user == "bad" else fine(user)) as server:
        bench.write(IDS[:2])
        bench.run(server.url)
        bench.write([*IDS[:2], "bad"])
        assert bench.run(server.url).done == 3


def test_requests_in_flight_at_a_stop_are_waited_for(bench: Bench) -> None:
    """Their answers are paid for; only new tries end."""
    bench.write(IDS)
    quota = refusal(429, "insufficient_quota")
    quota = Say(quota.status, quota.body, delay=0.2)
    script = lambda user, _: quota if user == "r0" else Say(body=b"{}", delay=0.5)  # noqa: E731 - one line reads better here
    with running(script) as server, pytest.raises(ProviderError, match="3 rows have their outcome"):
        bench.run(server.url, concurrency=4)
    assert sorted(bench.records()) == ["r1", "r2", "r3"]
    assert sum(server.asked.values()) == 4


def test_a_server_that_is_away_for_some_rows_fails_those(bench: Bench, refused: str) -> None:
    """Never answered is an outcome of the row, which the next run takes up again."""
    bench.write(IDS[:3])
    tally = bench.run(refused)
    assert (tally.done, tally.failed) == (3, 3)
    assert codes(bench) == dict.fromkeys(IDS[:3], "connection")
    assert answered(bench.journal) == set()
    with running() as server:
        assert bench.run(server.url) == Tally(3, 3, input_tokens=21, output_tokens=9)


def test_a_server_that_is_away_for_good_stops_the_run(bench: Bench, refused: str) -> None:
    """Ten million rows are not written off one by one."""
    bench.write(f"r{n}" for n in range(200))
    with pytest.raises(ProviderUnavailableError) as caught:
        bench.run(refused)
    assert str(caught.value) == (
        f"{refused[7:]} cannot be reached, or drops every connection (connection). 0 rows have "
        "their outcome and are kept; the others are untouched. Start the server or wait for it, "
        "then run the same call again: only rows without an outcome are sent."
    )
    assert bench.journal.read_bytes() == b""


@pytest.mark.parametrize("moment", ["before", "in flight", "backing off", "told to wait"])
def test_a_cancel_ends_the_run_within_a_second(bench: Bench, moment: str) -> None:
    """Whatever the run is doing; rows not sent get no line, and all can be taken up again."""
    bench.write(IDS)
    script = {
        "before": lambda user, _: fine(user),
        "in flight": lambda user, _: Say(delay=30),
        "backing off": lambda user, _: refusal(500),
        "told to wait": lambda user, _: refusal(429, retry_after="100"),
    }[moment]

    async def main(url: str) -> tuple[Tally, float]:
        cancel = asyncio.Event()
        if moment == "before":
            cancel.set()
        options = {"cancel": cancel, "clock": SystemClock(), "retry": Retry(base=60, cap=60)}
        run = asyncio.create_task(bench.arun(url, **options))
        await until(lambda: sum(server.asked.values()) >= 4 or moment == "before")
        await asyncio.sleep(0.1)
        cancel.set()
        started = time.monotonic()
        return await asyncio.wait_for(run, 10), time.monotonic() - started

    with running(script) as server:
        tally, took = asyncio.run(main(server.url))
        assert took < 1
        assert tally == Tally(total=30)
        assert codes(bench) == (
            dict.fromkeys(IDS[:4], "cancelled") if moment == "in flight" else {}
        )
        # a connection that broke under load may have had its row asked twice; no other row was
        assert set(server.asked) == (set() if moment == "before" else set(IDS[:4]))
        server.script = lambda user, _: fine(user)
        assert bench.run(server.url).done == 30
    assert codes(bench) == dict.fromkeys(IDS, 200)


def test_answers_that_come_just_after_a_cancel_are_kept(bench: Bench) -> None:
    """They are paid for."""
    bench.write(IDS)

    async def main(url: str) -> Tally:
        cancel = asyncio.Event()
        run = asyncio.create_task(bench.arun(url, cancel=cancel, clock=SystemClock()))
        await until(lambda: server.busy == 4)
        cancel.set()
        return await run

    with running(lambda user, _: Say(body=b"{}", delay=0.2)) as server:
        assert asyncio.run(main(server.url)).done == 4
    assert codes(bench) == dict.fromkeys(IDS[:4], 200)


def test_an_interrupted_run_keeps_what_came(bench: Bench) -> None:
    """Ctrl-C arrives as a KeyboardInterrupt or as a cancelled task; the journal is whole after both."""
    bench.write(IDS)

    def interrupt(tally: Tally) -> None:
        if tally.done == 5:
            raise KeyboardInterrupt

    async def stopped(url: str) -> None:
        task = asyncio.create_task(bench.arun(url))
        await asyncio.sleep(0.2)
        task.cancel()
        await task

    with running() as server:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(bench.arun(server.url, on_progress=interrupt))
        first = answered(bench.journal)
        assert 5 <= len(first) <= 9
        server.script = lambda user, _: Say(delay=30)
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(stopped(server.url))
        assert set(bench.records()) == first
        server.script = lambda user, _: fine(user)
        assert bench.run(server.url).done == 30
    assert len(bench.journal.read_bytes().splitlines()) == 30


class Deaf(Direct):
    """A transport whose library answers a cancel with the response (a future in Rust may do that)."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *_: float) -> Response:
        self.posts += 1
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.02)
        return self.answer(json.loads(body)["user"])


@pytest.mark.parametrize("end", [KeyboardInterrupt, ZeroDivisionError, asyncio.CancelledError])
def test_a_run_ends_even_when_the_transport_swallows_the_cancel(
    bench: Bench, end: type[BaseException]
) -> None:
    """What is in flight is kept; no worker takes another row."""
    bench.write(IDS)
    transport = Deaf(lambda _: Response(200, {}, b"{}"))

    def ending(tally: Tally) -> None:
        if tally.done == 3 and end is not asyncio.CancelledError:
            raise end
        if tally.done == 3:
            task.cancel()

    async def main() -> None:
        nonlocal task
        task = asyncio.create_task(
            bench.arun("http://x.example", transport=transport, on_progress=ending)
        )
        await task

    task: asyncio.Task[Any]
    with pytest.raises(end):
        asyncio.run(main())
    assert transport.posts <= 8  # four that one commit covers, and each of the four takes one more
    assert 3 <= len(answered(bench.journal)) <= transport.posts


@pytest.mark.parametrize("where", ["transport", "on_reply"])
def test_a_mistake_of_ours_ends_the_run_at_once(bench: Bench, where: str) -> None:
    """An exception nobody foresaw reaches the caller as itself; nothing hangs, nothing is lost."""
    bench.write(IDS)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    transport = Direct(broken if where == "transport" else lambda _: Response(200, {}, b"{}"))
    with pytest.raises(ZeroDivisionError):
        bench.run("http://x.example", transport=transport, on_reply=broken)
    assert (
        bench.run("http://x.example", transport=Direct(lambda _: Response(200, {}, b"{}"))).done
        == 30
    )


def test_a_full_disk_ends_the_run_and_keeps_what_was_committed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """StorageError after the workers have stopped; the next run goes on."""
    bench.write(f"r{n}" for n in range(200))
    real, left = journal_module.os.write, [20]

    def write(fd: int, data: memoryview) -> int:
        left[0] -= 1
        if left[0] < 0:
            real(fd, data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    direct = Direct(lambda _: Response(200, {}, b"{}"))
    monkeypatch.setattr(journal_module.os, "write", write)
    with pytest.raises(StorageError, match=r"is full\. What was saved stays saved"):
        bench.run("http://x.example", transport=direct)
    kept = len(bench.journal.read_bytes().splitlines())
    assert 20 <= kept == bench.seen[-1].done
    assert direct.posts <= kept + 8
    monkeypatch.undo()
    assert bench.run("http://x.example", transport=direct).resumed == kept


def test_a_damaged_wire_file_is_told_and_keeps_the_rest(bench: Bench) -> None:
    """The rows before the damage are answered and stay so."""
    bench.wire.write_bytes(line("a") + b"\0\0\0\n" + line("b"))
    with pytest.raises(StorageError, match="Line 2 of"):
        bench.run("http://x.example", transport=Direct(lambda _: Response(200, {}, b"{}")))


def test_a_damaged_journal_line_costs_its_own_row(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The row is asked again and the log says so; the others are not."""
    bench.write(["a", "b", "c"])
    with running() as server:
        bench.run(server.url, concurrency=1)
        whole = bench.journal.read_bytes()
        bench.journal.write_bytes(whole.replace(b'"custom_id":"b"', b'"custom_id"\0"b"'))
        assert bench.run(server.url).resumed == 2
        assert caplog.messages == [
            f"1 damaged places in {bench.journal} are passed over; their rows are asked again"
        ]
        assert server.asked["b"] == 2
    assert answered(bench.journal) == {"a", "b", "c"}


def test_memory_does_not_grow_with_the_rows(bench: Bench) -> None:
    """Rows are read as they are needed; what is kept of a row is its id at most."""
    body = "x" * 10_000
    with bench.wire.open("wb") as file:
        for n in range(2000):
            file.write(line(f"r{n}", pad=body))
    direct = Direct(lambda _: Response(200, {}, b'{"x":"' + b"y" * 10_000 + b'"}'))
    tracemalloc.start()
    tally = bench.run("http://x.example", transport=direct, on_progress=lambda _: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tally.done == 2000
    assert peak < 8 << 20  # the two files are 20 MB each


def test_a_base_url_may_end_in_v1() -> None:
    """Both spellings of an OpenAI-compatible address lead to the same place."""
    assert join("http://h/v1", "/v1/embeddings") == "http://h/v1/embeddings"
    assert join("http://h/openai/v1/", "/v1/embeddings") == "http://h/openai/v1/embeddings"
    assert join("http://h", "/v1/embeddings") == "http://h/v1/embeddings"


def test_a_long_wait_is_cut_to_the_cap(bench: Bench) -> None:
    """A server that says "tomorrow" is asked again in two minutes."""
    bench.write(["a"])
    with running(once_then(refusal(429, retry_after="86400"))) as server:
        bench.run(server.url, random=lambda: 0.0)
    assert bench.clock.slept == [retry_module.LONGEST_TOLD]


def unseen(bench: Bench) -> list[tuple[str, bool]]:
    """Every line's code or status, and whether it says that a try may have been paid for."""
    lines = map(json.loads, bench.journal.read_text().splitlines())
    return [
        (r["error"]["code"] if r["error"] else r["response"]["status_code"], spent(r).unseen)
        for r in lines
    ]


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (Say(drop=True), True),
        (Say(body=b"<html>"), True),
        (refusal(504), True),
        (Say(500, fine().body), True),  # an answer thrown away with its tokens
        (refusal(500), None),
        (refusal(429), None),
    ],
    ids=["lost", "no json", "gateway", "counted", "server error", "rate limit"],
)
def test_an_answer_remembers_a_try_that_may_have_been_paid_for(
    bench: Bench, first: Say, found: bool | None
) -> None:
    """Its own tokens are not all that the row may have cost."""
    bench.write(["a"])
    with running(lambda user, nth: first if nth == 1 else fine(user)) as server:
        tally = bench.run(server.url, price=pricer(RATES))
    assert unseen(bench) == [(200, found)]
    assert (tally.unpriced, tally.cost) == ((1, 0) if found else (0, Decimal(10)))


def test_a_refused_connection_is_no_try_that_was_paid_for(bench: Bench, refused: str) -> None:
    """The other side never had the request."""
    bench.write(["a"])
    tally = bench.run(refused, price=pricer(RATES))
    assert unseen(bench) == [("connection", False)]
    assert (tally.unpriced, tally.cost) == (0, 0)


def test_a_row_left_open_after_a_paid_try_says_so_to_the_next_run(bench: Bench) -> None:
    """A cancel while it waits for its next try; the answer of the next run remembers."""
    bench.write(["a"])

    async def main(url: str) -> Tally:
        cancel = asyncio.Event()
        options = {"cancel": cancel, "clock": SystemClock(), "retry": Retry(base=60, cap=60)}
        run = asyncio.create_task(bench.arun(url, price=pricer(RATES), **options))
        await until(lambda: server.asked["a"] == 1 and server.busy == 0)
        await asyncio.sleep(0.1)
        cancel.set()
        return await run

    with running(lambda *_: Say(drop=True)) as server:
        tally = asyncio.run(main(server.url))
        assert (tally.done, tally.unpriced) == (0, 1)
        assert unseen(bench) == [("cancelled", True)]
        server.script = lambda user, _: fine(user)
        tally = bench.run(server.url, price=pricer(RATES))
        assert unseen(bench) == [("cancelled", True), (200, True)]
        assert (tally.done, tally.unpriced, tally.cost) == (1, 1, 0)
        assert bench.run(server.url, price=pricer(RATES)).unpriced == 1


def test_a_stop_leaves_word_of_rows_that_may_have_been_paid_for(bench: Bench) -> None:
    """The key may have died between two tries."""
    bench.write(["a"])
    script = [Say(drop=True), refusal(401, "invalid_api_key")]
    with running(lambda _, nth: script[nth - 1]) as server, pytest.raises(AuthenticationError):
        bench.run(server.url)
    assert unseen(bench) == [("cancelled", True)]


def test_money_is_counted_row_by_row_and_across_runs(bench: Bench) -> None:
    """A tier is reached by a row, never by a sum; what earlier runs paid is in it."""
    bench.write(IDS)
    with running() as server:
        first = bench.run(server.url, price=pricer(RATES))
        second = bench.run(server.url, price=pricer(RATES))
        assert bench.run(server.url).cost is None
    assert first.cost == second.cost == 300
    assert (first.unpriced, second.unpriced) == (0, 0)
