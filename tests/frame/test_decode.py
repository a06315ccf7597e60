"""Decoding: every row of a part comes out once, whatever the result files hold."""

from __future__ import annotations

import gzip
import json
import random
from decimal import Decimal

import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.dialects.normal import normalised
from batchframe.frame import decode as room
from batchframe.frame.decode import SCHEMA, Decoding, Reading, decode_part
from batchframe.frame.judge import judged
from batchframe.frame.parts import PartWriter, part_file
from batchframe.frame.requests import SCHEMA as REQUESTS
from batchframe.frame.schema import ResponseSchema
from batchframe.model import Limits, RowError

ABSENT = RowError("missing", "no line", retryable=True)


class Label(BaseModel):
    """A response model."""

    label: str


def how(**changes):
    """Give a decoding; every answer costs a cent a token."""
    plain = {
        "part": 4,
        "dialect": openai.DIALECT,
        "price": lambda r: None if r.usage.output is None else r.usage.output * Decimal("0.01"),
        "price_source": "a list",
        "absent": ABSENT,
    }
    return Decoding(**{**plain, **changes})


DECODING = how()


def answer(custom_id, text="fine", **body):
    """Give the line of an answered row."""
    whole = {
        "model": "m-1",
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        **body,
    }
    response = {"status_code": 200, "request_id": f"q-{custom_id}", "body": whole}
    return {"custom_id": custom_id, "response": response, "error": None}


def failure(custom_id, code="server_error"):
    """Give the line of a failed row."""
    return {"custom_id": custom_id, "response": None, "error": {"code": code, "message": "no"}}


def part(folder, count):
    """Write the requests of a part with rows 10, 11, ..."""
    rows = [(10 + i, f"r{10 + i}", "m/x", '{"messages":[]}', None) for i in range(count)]
    writer = PartWriter(folder, {"m/x": Limits(10**6, 10**9, "", "")})
    writer.write_all([pl.DataFrame(rows, schema=REQUESTS, orient="row")])
    return folder / part_file(0)


def decoded(folder, *files, count=3, how=None):
    """Decode files of raw bytes over a part; gives the outcomes in row order and what was odd."""
    paths = []
    for number, raw in enumerate(files):
        path = folder / f"results-{number}.jsonl"
        path.write_bytes(raw)
        paths.append(path)
    out = folder / "out.parquet"
    odd = decode_part(part(folder, count), paths, out, how or DECODING)
    frame = pl.read_parquet(out)
    assert frame.schema.names()[: len(SCHEMA)] == SCHEMA.names()
    return frame.sort("row"), odd


def lines(*given, end=b"\n"):
    """Give lines as bytes."""
    return b"".join(orjson.dumps(one) + end for one in given)


def test_an_answer_is_written_with_everything_known_of_it(tmp_path):
    """One row, all columns."""
    found, odd = decoded(tmp_path, lines(answer("r10")), count=1)
    assert found.schema == SCHEMA
    row = found.row(0, named=True)
    body = json.loads(row.pop("body"))
    assert body == normalised(answer("r10")["response"]["body"])[0]
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "fine"}
    assert row == {
        "row": 10,
        "custom_id": "r10",
        "part": 4,
        "ok": True,
        "response": "fine",
        "embedding": None,
        "error_code": None,
        "error_message": None,
        "error_status": None,
        "retryable": None,
        "model": "m-1",
        "finish_reason": "stop",
        "input_tokens": 5,
        "cached_tokens": None,
        "cache_write_tokens": None,
        "output_tokens": 2,
        "reasoning_tokens": None,
        "cost_usd": Decimal("0.02"),
        "price_source": "a list",
        "request_id": "q-r10",
        "attempts": None,
        "latency": None,
        "extra": None,
    }
    assert odd == Reading()


def test_no_files_at_all_give_every_row_its_absence(tmp_path):
    """As an error that says why."""
    found, _ = decoded(tmp_path)
    assert found.select("row", "ok", "error_code", "error_message", "retryable").rows() == [
        (10 + i, False, "missing", "no line", True) for i in range(3)
    ]


DAMAGE = [
    b"",
    b"\n",
    b"  \t\r\n",
    b"\xef\xbb\xbf\n",
    b"{\n",
    b"null\n",
    b"[]\n",
    b"12345678901234567890123456789012345678901234567890\n",
    b'"r10"\n',
    b'{"custom_id": null}\n',
    b'{"custom_id": 10}\n',
    b'{"custom_id": ["r10"]}\n',
    b"{}\n",
    b"\x00\x00\x00\n",
    b"\xff\xfe{\x00\n",
    b"<html><body>502 Bad Gateway</body></html>\n",
    b'{"custom_id": "somebody-else", "error": null}\n',
    b"[" * 5000 + b"\n",
]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_the_files_hold_every_row_comes_out_once(tmp_path_factory, data):
    """Shuffled, dropped, doubled, contradicting, cut off at any byte, with anything in between."""
    folder = tmp_path_factory.mktemp("decode")
    count = data.draw(st.integers(1, 6), label="rows")
    ids = [f"r{10 + i}" for i in range(count)]
    line = st.sampled_from(ids)
    outcome = st.one_of(
        line.map(answer),
        line.map(failure),
        line.map(lambda i: answer(i, text=None)),
        line.map(lambda i: {"custom_id": i}),
        line.map(lambda i: {"custom_id": i, "response": 5, "error": {}}),
    )
    piece = st.one_of(
        st.tuples(outcome, st.sampled_from([b"\n", b"\r\n", b" \n", b"\n\n"])),
        st.sampled_from(DAMAGE),
    )
    files = []
    whole = []
    for _ in range(data.draw(st.integers(0, 3), label="files")):
        raw = b""
        for one in data.draw(st.lists(piece, max_size=12)):
            if isinstance(one, bytes):
                raw += one if raw.endswith(b"\n") or not raw else b"\n" + one
            else:
                raw += orjson.dumps(one[0]) + one[1]
        cut = data.draw(st.integers(0, len(raw)), label="cut")
        kept = raw[: len(raw) if data.draw(st.booleans()) else cut]
        files.append(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + kept)
        whole += kept.split(b"\n")
    found, _ = decoded(folder, *files, count=count)
    assert found["row"].to_list() == [10 + i for i in range(count)]
    assert found["custom_id"].to_list() == ids
    for row in found.iter_rows(named=True):
        good = [w for w in whole if w.strip() == orjson.dumps(answer(row["custom_id"]))]
        mine = [w for w in whole if f'"custom_id":"{row["custom_id"]}"'.encode() in w]
        if good:
            assert (row["ok"], row["response"], row["error_code"]) == (True, "fine", None)
        else:
            assert not row["ok"]
            assert row["error_code"]
        if not mine:
            assert row["error_code"] == "missing"


@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("first", ["error", "success"])
def test_a_success_beats_an_error_in_any_order(tmp_path, first, files):
    """In one file or in two."""
    given = [lines(failure("r10")), lines(answer("r10", "good"))]
    if first == "success":
        given.reverse()
    found, odd = decoded(tmp_path, *(given if files == 2 else [b"".join(given)]), count=1)
    assert found.select("ok", "response", "error_code").rows() == [(True, "good", None)]
    assert odd == Reading(doubled=1)


def test_the_first_success_and_the_last_error_count(tmp_path):
    """Among successes and among errors."""
    raw = lines(
        answer("r10", "one"), answer("r10", "two"), failure("r11", "a"), failure("r11", "b")
    )
    found, odd = decoded(tmp_path, raw, count=2)
    assert found.select("response", "error_code").rows() == [("one", None), (None, "b")]
    assert odd == Reading(doubled=2)


def test_odd_lines_are_counted(tmp_path):
    """Unreadable ones, unknown ones and doubled ones; blank ones are not odd."""
    raw = b"\xef\xbb\xbf" + lines(answer("r10"), answer("r10"), answer("r99"), {"custom_id": 7})
    found, odd = decoded(tmp_path, raw + b"\r\n\n{\n\xef\xbb\xbf" + lines(answer("r11")), count=2)
    assert found["ok"].to_list() == [True, True]
    assert odd == Reading(damaged=2, foreign=1, doubled=1)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"half \ud83d of a pair"', "half \ufffd of a pair"),
        (b'"a stray \xff byte"', "a stray \ufffd byte"),
        (b'"fine", "logprob": NaN, "other": -Infinity', "fine"),
        (b'"fine", "big": 123456789012345678901234567890', "fine"),
        (b'"fine", "huge": 1e999', "fine"),
        (b'"fine", "deep": ' + b"[" * 300 + b"]" * 300, "fine"),
        (b'"a raw \x1b, \x00 and \t"', "a raw \x1b, \x00 and \t"),
        (b'"fine", "long": ' + b"9" * 5000, "fine"),
        (b'"fine", "nan": NaN, "big": 1180591620717411303424, "huge": 1e999', "fine"),
    ],
    ids=[
        "surrogate",
        "byte",
        "nan",
        "integer",
        "float",
        "depth",
        "control",
        "digits",
        "all of them",
    ],
)
def test_an_answer_in_odd_json_is_not_lost(tmp_path, raw, text):
    """It is paid for; a writer stricter than the provider's must not throw it away."""
    line = lines(answer("r10")).replace(b'"fine"', raw)
    found, odd = decoded(tmp_path, line, count=1)
    assert found.select("ok", "response").rows() == [(True, text)]
    assert odd == Reading()
    assert "choices" in json.loads(found["body"][0])
    for written in found.select("body", "extra").row(0):
        json.loads(written or "0", parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (lines(answer("r10")).replace(b'"fine"', b'"fine","x":' + b"[" * 1100 + b"]" * 1100), "it is nested too deeply"),
        (lines(answer("r10")).replace(b'"fine"', b'"fine","x":' + b"[" * 200_000), "it is nested too deeply"),
        (lines(answer("r10")).replace(b'"fine"', b"fine"), "Expecting value: line 1 column "),
        (b'{"x":{"custom_id":"r11"},"y":"\\"custom_id\\":\\"r11\\"","custom_id":"r1\\u0030",}\n', "Expecting property name"),
        (b'{"y":"}{{[","custom_id":"r10",}\n', "Expecting property name"),
    ],
    ids=["depth", "depth of a torn line", "no JSON", "other ids inside", "brackets in a text"],
)  # fmt: skip
def test_a_line_that_nobody_can_read_is_still_its_rows(tmp_path, line, why):
    """It is paid for: an error that says what is wrong, with the line in the body; it may be sent again."""
    found, odd = decoded(tmp_path, line + lines(answer("r11")), count=2)
    assert found["ok"].to_list() == [False, True]
    row = found.row(0, named=True)
    assert (row["error_code"], row["retryable"], row["cost_usd"]) == ("invalid_body", True, None)
    assert row["error_message"].startswith(f"the line that came for this row cannot be read: {why}")
    assert json.loads(row["body"]) == {"unreadable": line.decode().strip()}
    assert odd == Reading(damaged=1)


def test_a_last_line_that_was_cut_off_is_missing(tmp_path):
    """The file was not fetched whole: nothing is known of the row."""
    found, odd = decoded(tmp_path, lines(answer("r10"), answer("r11"))[:-20], count=2)
    assert found["error_code"].to_list() == [None, "missing"]
    assert odd == Reading(damaged=1, absent=1)


def wrapped(kind, raw):
    """Give lines as files come that are no lines."""
    found = [json.loads(line) for line in raw.splitlines()]
    return {
        "gzip": lambda: gzip.compress(raw),
        "two gzips": lambda: gzip.compress(raw[:300]) + gzip.compress(raw[300:]),
        "array": lambda: json.dumps(found).encode(),
        "array of lines": lambda: b"[" + b",\n".join(raw.splitlines()) + b"]\n",
        "array in lines": lambda: b"[\n" + b"\n,".join(raw.splitlines()) + b"\n]\n",
        "pretty array": lambda: json.dumps(found, indent=2).encode(),
        "pretty gzip": lambda: gzip.compress(
            b"\xef\xbb\xbf" + json.dumps(found, indent=1).encode()
        ),
        "glued": lambda: raw.replace(b"\n", b""),
    }[kind]()


KINDS = (
    "gzip", "two gzips", "array", "array of lines", "array in lines", "pretty array", "pretty gzip",
    "glued",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("piece", [1 << 16, 7])
def test_results_may_come_wrapped(tmp_path, monkeypatch, kind, piece):
    """Packed, or as one JSON array: all rows of it are there, whatever their texts hold."""
    monkeypatch.setattr("batchframe.frame.opened._PIECE", piece)
    monkeypatch.setattr("batchframe.frame.opened._HEAD", 16)
    texts = ["plain", '}] "quoted" \\', '"[{' * 20, "line\nbreak \u2028 \\\\"]
    raw = lines(*(answer(f"r{10 + i}", text) for i, text in enumerate(texts)))
    found, odd = decoded(tmp_path, wrapped(kind, raw), count=4)
    assert found["response"].to_list() == texts
    assert odd == Reading()


def test_what_a_torn_archive_holds_is_read(tmp_path):
    """Up to where it was cut; the rest counts as one line that cannot be read."""
    raw = lines(*(answer(f"r{10 + i}", f"{random.Random(i).random()}" * 90) for i in range(40)))
    packed = gzip.compress(raw)
    for torn in (packed[: len(packed) // 2], packed[:-4], packed[:900] + b"\xff" * 99):
        found, odd = decoded(tmp_path, torn, count=40)
        assert found["row"].to_list() == list(range(10, 50))
        assert odd.damaged >= 1
    whole = decoded(tmp_path, packed[:-4], count=40)[0]
    assert whole["ok"].all()


@pytest.mark.parametrize("after", [b"", b"\n", b"x\n"])
def test_what_follows_an_array_is_read_as_lines(tmp_path, monkeypatch, after):
    """Somebody put two files together."""
    monkeypatch.setattr("batchframe.frame.opened._PIECE", 50)
    monkeypatch.setattr("batchframe.frame.opened._HEAD", 16)
    first = json.dumps([answer("r10")], indent=2).encode()
    found, _ = decoded(tmp_path, first + b"\n" + after + lines(answer("r11")), count=2)
    assert found["ok"].to_list() == [True, True]


def test_an_error_keeps_the_status_it_came_with(tmp_path):
    """Also where only the error itself says it; an answer has none."""
    refused = {"status_code": 503, "request_id": "", "body": {"error": {"message": "m"}}}
    given = [
        {"custom_id": "r10", "response": refused},
        {**answer("r11"), "error": {"code": 429, "message": "slow"}},
        {"custom_id": "r12", "response": {"status_code": 0, "body": None}},
        failure("r13"),
        answer("r14"),
    ]
    found, _ = decoded(tmp_path, lines(*given), count=5)
    assert found.select("error_code", "error_status", "retryable").rows() == [
        ("503", 503, True),
        ("429", 429, True),
        ("error", 0, True),
        ("server_error", None, True),
        (None, None, None),
    ]


def test_chunks_make_no_difference(tmp_path, monkeypatch):
    """Neither in rows nor in bytes."""
    given = [answer(f"r{10 + i}", f"text {i}") for i in range(40) if i % 5]
    given += [failure(f"r{10 + i}") for i in range(0, 40, 10)]
    random.Random(1).shuffle(given)
    whole, odd = decoded(tmp_path, lines(*given), count=40)
    for name, value in (("CHUNK", 7), ("CHUNK_BYTES", 1000)):
        with monkeypatch.context() as patch:
            patch.setattr(room, name, value)
            again, same = decoded(tmp_path, lines(*given), count=40)
        assert again.equals(whole)
        assert same == odd
    assert whole["error_code"].value_counts(sort=True).rows() == [
        (None, 32),
        ("server_error", 4),
        ("missing", 4),
    ]


def test_long_lines_are_not_held_all_at_once(tmp_path, monkeypatch):
    """Vectors of many numbers: the bytes held bound the memory, not the rows."""
    held = []
    monkeypatch.setattr(room, "CHUNK_BYTES", 1000)
    whole = room._frame
    monkeypatch.setattr(room, "_frame", lambda records: held.append(len(records)) or whole(records))
    decoded(tmp_path, lines(*(answer(f"r{10 + i}", "x" * 400) for i in range(20))), count=20)
    assert max(held) <= 2
    assert sum(held) == 20


def test_nothing_is_there_before_everything_is(tmp_path):
    """A decoder that is killed leaves no half of a file under the name."""

    def crash(line):
        raise MemoryError

    with pytest.raises(MemoryError):
        decoded(
            tmp_path, lines(answer("r10")), how=how(dialect=Dialect("crashing", openai.line, crash))
        )
    assert not (tmp_path / "out.parquet").exists()
    found, _ = decoded(tmp_path, lines(answer("r10")))
    assert found.height == 3


@pytest.mark.parametrize(
    ("price", "cost"),
    [
        (None, None),
        (Decimal(0), Decimal(0)),
        (Decimal("1e-18"), Decimal("1e-18")),
        (Decimal("0.1234567890123456785"), Decimal("0.123456789012345678")),
        (Decimal("9e18"), Decimal("9e18")),
        (Decimal("1e20"), None),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
    ],
    ids=str,
)
def test_a_cost_without_room_in_the_column_is_unknown(tmp_path, price, cost):
    """Never a crash after the money is spent, and never 0 for unknown."""
    found, _ = decoded(tmp_path, lines(answer("r10")), count=1, how=how(price=lambda _: price))
    assert found["cost_usd"].to_list() == [cost]


def test_equal_tokens_are_priced_once_and_alike(tmp_path):
    """Different models or counts have prices of their own."""
    priced = []

    def price(reply):
        priced.append((reply.model, reply.usage.output))
        return Decimal(len(priced))

    given = [answer(f"r{10 + i}", model=m) for i, m in enumerate(["a", "b", "a", "b", "a"])]
    found, _ = decoded(tmp_path, lines(*given), count=5, how=how(price=price))
    assert priced == [("a", 2), ("b", 2)]
    assert found["cost_usd"].to_list() == [1, 2, 1, 2, 1]


def test_vectors_may_have_any_length(tmp_path):
    """Whole numbers are numbers; no vector and an empty vector are errors."""

    def vector(custom_id, values):
        line = answer(custom_id)
        line["response"]["body"] = {"data": [{"embedding": values}], "usage": {"prompt_tokens": 3}}
        return line

    given = [[0.5, 1, -2], [1e300], [], "x", [0.1] * 5, None]
    raw = lines(*(vector(f"r{10 + i}", values) for i, values in enumerate(given)))
    found, _ = decoded(tmp_path, raw, count=6)
    assert found.schema["embedding"] == pl.List(pl.Float32)
    assert found["embedding"].to_list()[:2] == [[0.5, 1.0, -2.0], [float("inf")]]
    assert found["embedding"].list.len().to_list() == [3, 1, None, None, 5, None]
    assert found["error_code"].to_list() == [
        None,
        None,
        "invalid_body",
        "invalid_body",
        None,
        "invalid_body",
    ]
    assert found["response"].null_count() == 6


def test_answers_become_typed_where_they_fit(tmp_path):
    """One that does not fit is an error, and its text stays."""
    schema = ResponseSchema.from_model(Label)
    raw = lines(
        answer("r10", '{"label": "good"}'),
        answer("r11", "no JSON"),
        failure("r12"),
        answer("r13", None, choices=[{"message": {"tool_calls": [{"id": "1"}]}}]),
    )
    said, _ = decoded(tmp_path, raw, count=5)
    assert "parsed" not in said.columns  # what the provider said is kept as it is
    found = judged(said, schema)
    assert found["parsed"].to_list() == [{"label": "good"}, None, None, None, None]
    assert found.select("ok", "response", "error_code", "retryable").rows() == [
        (True, '{"label": "good"}', None, None),
        (False, "no JSON", "invalid_response", False),
        (False, None, "server_error", True),
        (False, None, "invalid_response", False),
        (False, None, "missing", True),
    ]
