"""A journal line holds the body as it came, or says why there is none."""

from __future__ import annotations

import json

import orjson
import pytest

from batchframe.dialects import openai
from batchframe.immediate.outcome import (
    CODES,
    Effort,
    cancelled,
    from_fault,
    from_response,
    parse_body,
)
from batchframe.immediate.transport import Response, TransportError

SECRET = "sk-live-" + "a1b2c3d4" * 3
EFFORT = Effort(2, 1.25, 1_800_000_000.0)


def test_a_good_answer_is_kept_byte_for_byte() -> None:
    """Spacing, number formats and unknown keys of the provider survive."""
    body = b'{"choices": [ {"x": 1.50E+2} ], "odd": "\\u00e9\xc3\xa9"}'
    line = from_response("a", Response(200, {"x-request-id": "r"}, body), EFFORT).line
    assert line == (
        b'{"id":"immediate-a","custom_id":"a","response":{"status_code":200,"request_id":"r","body":'
        + body
        + b'},"error":null,"batchframe":{"attempts":2,"latency":1.25,"at":1800000000.0,"unseen":false}}'
    )


def test_a_body_over_many_lines_becomes_one_line() -> None:
    """A newline ends a journal line, so none may stand within."""
    body = b'{\r\n  "a": "b\\n"\n}'
    outcome = from_response("a", Response(200, {}, body), EFFORT)
    assert b'"body":{    "a": "b\\n" }' in outcome.line
    assert b"\n" not in outcome.line


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        (b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}),
        (b'{"a": "\\ud83d"}', {"a": "\ufffd"}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_a_paid_answer_is_not_lost_for_a_flaw_in_its_json(raw: bytes, parsed: object) -> None:
    """What Python servers let slip into their JSON is repaired, not thrown away."""
    found, line = parse_body(raw)
    assert found == parsed == json.loads(line)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "HTTP 200 with a body that is no JSON: (empty)"),
        (b"<html>hi", "HTTP 200 with a body that is no JSON: <html>hi"),
        (b'{"choices": [', 'HTTP 200 with a body that is no JSON: {"choices": ['),
        (b"[1]", "HTTP 200 with a body that is JSON, but no object: [1]"),
        (b"[" * 200_000, "HTTP 200 with a body that is no JSON: " + "[" * 500),
        (b"\xff" * 9_000, "HTTP 200 with a body that is no JSON: " + "\ufffd" * 500),
    ],
)
def test_a_success_without_an_object_is_an_error_with_a_short_excerpt(
    body: bytes, message: str
) -> None:
    """Never a crash, never a megabyte of somebody's error page."""
    record = json.loads(from_response("a", Response(200, {}, body), EFFORT).line)
    assert record["error"] == {"code": "invalid_body", "message": message}
    assert record["response"]["body"] is None


def test_an_error_answer_is_kept_as_received_and_a_page_is_brought_to_shape() -> None:
    """Readers of errors find one shape, whatever a proxy in between sends."""
    body = b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}'
    record = json.loads(from_response("a", Response(400, {}, body), EFFORT).line)
    assert record["error"] is None
    assert record["response"] == {"status_code": 400, "request_id": None, "body": json.loads(body)}
    page = json.loads(from_response("a", Response(502, {}, b"<html>"), EFFORT).line)
    assert page["response"]["body"]["error"]["message"] == "<html>"
    error = openai.decode(page).error
    assert error is not None
    assert (error.code, error.message, error.retryable) == ("502", "<html>", True)


@pytest.mark.parametrize("kind", list(CODES))
def test_every_fault_has_a_line_the_common_decoder_understands(kind: str) -> None:
    """One decoder reads native results and journals alike."""
    record = json.loads(from_fault("a", TransportError(kind), EFFORT).line)
    assert record["response"] is None
    reply = openai.decode(record)
    assert reply.error is not None
    assert reply.error.code == CODES[kind]
    assert (reply.custom_id, reply.attempts, reply.latency) == ("a", 2, 1.25)


def test_a_cancelled_row_says_so() -> None:
    """Code `cancelled`, which a later run takes up again."""
    assert json.loads(cancelled("a", EFFORT).line)["error"]["code"] == "cancelled"


@pytest.mark.parametrize("code", [None, 400, 422])
def test_a_key_in_an_error_of_an_answer_that_looks_fine_is_taken_out(code) -> None:
    """HTTP 200 with an error in its body."""
    said = {"error": {"message": f"Incorrect API key provided: {SECRET}", "code": code}}
    response = Response(200, {}, orjson.dumps(said))
    assert SECRET.encode() not in from_response("r0", response, EFFORT).line
