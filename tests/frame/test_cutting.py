"""Lines that are cut where their values stand say what they would have said by themselves."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import orjson
import polars as pl
import pytest
from fitted import PRICED, chat, outcomes, requests, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchframe.dialects import openai
from batchframe.dialects.answers import BODY, CONTENT, VARYING
from batchframe.frame import cutting, decode, fitting
from batchframe.frame.cutting import Cutter, strings
from batchframe.frame.decode import decode_part
from batchframe.frame.outline import Block, Span, learn, whole_numbers
from batchframe.frame.roll import Roll

TEXTS = [
    "plain",
    "",
    'a "quoted" word',
    "back\\slash",
    "\\",
    '\\"',
    '","refusal":null},"x":"',
    "line\nbreak\ttab",
    "café — 😀",
    "null \x00 inside",
    "\u2028",
    "x" * 5000,
]


def written(line):
    """Give a line as compact writers have it."""
    return orjson.dumps(line) + b"\n"


def cut_of(raw, cutter=None):
    """Cut some lines; gives the answers' ids and how many lines are left over."""
    cuts, left = (cutter or Cutter()).cut(raw, len(raw))
    return [i for cut in cuts for i in cut.frame["custom_id"]], left


def answer(number, text="fine", **usage):
    """Give a line whose every value is its own."""
    line = chat(f"r{number}", text, id=f"chatcmpl-{number}", created=1_700_000_000 + number)
    line["id"], line["response"]["request_id"] = f"b-{number}", f"q-{number}"
    line["response"]["body"]["usage"].update({"prompt_tokens": number * 37, **usage})
    return line


def test_lines_that_are_alike_are_not_read_by_themselves(tmp_path, monkeypatch):
    """One is, to learn from."""
    read = []
    fields = fitting.fields

    def watched(raw):
        read.append(raw)
        return fields(raw)

    monkeypatch.setattr(fitting, "fields", watched)
    count = 3 * cutting.FEWEST
    (tmp_path / "r.jsonl").write_bytes(b"".join(written(answer(i)) for i in range(count)))
    decode_part(requests(tmp_path, count), [tmp_path / "r.jsonl"], tmp_path / "o", PRICED)
    assert len(read) == 1
    assert pl.read_parquet(tmp_path / "o")["ok"].sum() == count


def test_few_lines_are_read_one_by_one():
    """Learning would cost more than it saves."""
    raw = b"".join(written(answer(i)) for i in range(cutting.FEWEST - 1))
    ids, left = cut_of(raw)
    assert ids == []
    assert b"".join(left) == raw


@pytest.mark.parametrize("text", TEXTS)
def test_whatever_a_text_holds_its_line_is_cut(text):
    """Escapes at its end, and what looks like the end of a string."""
    count = cutting.FEWEST
    ids, left = cut_of(
        b"".join(written(answer(i, text if i % 2 else "plain")) for i in range(count))
    )
    assert (ids, left) == ([f"r{i}" for i in range(count)], [])


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_survives(tmp_path, text):
    """Whatever stands in it, and whatever stood in the line that was learnt from."""
    for first in ("plain", text):
        given_lines = [answer(0, first), *(answer(i, f"{text}{i}") for i in range(1, 5))]
        found = same(tmp_path, b"".join(map(written, given_lines)), 5)
        assert found["response"].to_list() == [first, *(f"{text}{i}" for i in range(1, 5))]


def test_values_are_each_line_s_own(tmp_path):
    """Ids, model, counts, body and price."""
    given_lines = [
        answer(i, f"text {i}", completion_tokens=i, total_tokens=i * 38) for i in range(200)
    ]
    for i, line in enumerate(given_lines):
        line["response"]["body"]["model"] = f"m-{i % 7}"
    raw = b"".join(map(written, given_lines))
    found, _ = outcomes(tmp_path, raw, 200, fewest=32)
    assert found["response"].to_list() == [f"text {i}" for i in range(200)]
    assert found["model"].to_list() == [f"m-{i % 7}" for i in range(200)]
    assert found["input_tokens"].to_list() == [i * 37 for i in range(200)]
    assert found["output_tokens"].to_list() == list(range(200))
    assert found["request_id"].to_list() == [f"q-{i}" for i in range(200)]
    assert [orjson.loads(body)["id"] for body in found["body"]] == [
        f"chatcmpl-{i}" for i in range(200)
    ]
    same(tmp_path, raw, 200)


def test_a_line_s_own_id_stands_in_where_no_request_has_one(tmp_path):
    """As in files of servers that give none."""
    given_lines = [answer(i) for i in range(5)]
    for line in given_lines:
        line["response"]["request_id"] = None
    found = same(tmp_path, b"".join(map(written, given_lines)), 5)
    assert found["request_id"].to_list() == [f"b-{i}" for i in range(5)]


def test_kinds_of_answers_have_an_outline_each(tmp_path):
    """Whose lines come mixed, with odd ones between them."""

    def line(i):
        one = answer(i)
        body = one["response"]["body"]
        if i % 3 == 1:
            body["choices"][0]["finish_reason"] = "length"
        if i % 3 == 2:
            del body["usage"]["prompt_tokens_details"]
        if i % 50 == 49:
            body["choices"][0]["message"]["refusal"] = "no"
        return one

    raw = b"".join(written(line(i)) for i in range(300))
    ids, left = cut_of(raw)
    assert sorted(ids) == sorted(f"r{i}" for i in range(300) if i % 50 != 49)
    assert [orjson.loads(one)["custom_id"] for one in left] == [
        f"r{i}" for i in range(300) if i % 50 == 49
    ]
    same(tmp_path, raw, 300)


def test_lines_of_no_common_outline_are_soon_left_alone(monkeypatch):
    """No more than a few are learnt from in vain, however many come."""
    tried = []
    monkeypatch.setattr(cutting, "learn", lambda line, *_: tried.append(line))
    cutter = Cutter()
    for start in range(0, 4000, 100):
        raw = b"".join(written(answer(i)) for i in range(start, start + 100))
        ids, left = cut_of(raw, cutter)
        assert (ids, len(left)) == ([], 100)
    assert len(tried) == 16


def test_an_outline_that_is_learnt_late_is_learnt(tmp_path):
    """Files may begin with something else."""
    odd = [b"{\n"] * 5 + [written(chat(f"r{i}", None)) for i in range(5)]
    raw = b"".join([*odd, *(written(answer(i)) for i in range(5, 100))])
    ids, left = cut_of(raw)
    assert len(ids) == 95
    assert left == odd
    same(tmp_path, raw, 100)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"prompt_tokens":74', b'"prompt_tokens":074'),
        (b'"prompt_tokens":74', b'"prompt_tokens":7.0'),
        (b'"prompt_tokens":74', b'"prompt_tokens":7e1'),
        (b'"prompt_tokens":74', b'"prompt_tokens":-74'),
        (b'"prompt_tokens":74', b'"prompt_tokens":2147483648'),
        (b'"prompt_tokens":74', b'"prompt_tokens":99999999999999999999'),
        (b'"prompt_tokens":74', b'"prompt_tokens":null'),
        (b'"prompt_tokens":74', b'"prompt_tokens":'),
        (b'"prompt_tokens":74', b'"prompt_tokens":"74"'),
        (b'"fine"', b'"fi"ne"'),
        (b'"fine"', b'"fine\\"'),
        (b'"fine"', b'"fin\\q"'),
        (b'"fine"', b'"fin\\u12"'),
        (b'"fine"', b'"fin\\ud83d"'),
        (b'"fine"', b'"fin\\ud83d\\ude00"'),
        (b'"fine"', b'"fin\x01"'),
        (b'"fine"', b'"fin\xff"'),
        (b'"fine"', b"null"),
        (b'"fine"', b'["fine"]'),
        (b'"r2"', b'"r\\u0032"'),
        (b'"r2"', b'"r02"'),
        (b'"r2"', b'"r1"'),
        (b'"r2"', b'"r99"'),
        (b'"r2"', b'""'),
        (b'"r2"', b'"s2"'),
        (b'"q-2"', b'""'),
        (b'"q-2"', b"null"),
        (b'"q-2"', b'"q\\n2"'),
        (b'"b-2"', b'"\xff"'),
        (b'"m-1"', b'""'),
        (b"},", b"},,"),
        (b'"error":null', b'"error":{}'),
        (b'"status_code":200', b'"status_code":500'),
        (b'"stop"', b'"sto\\u0070"'),
        (b'"custom_id"', b'"custom\\u005fid"'),
    ],
    ids=lambda one: one.decode("latin-1"),
)
def test_a_value_of_another_kind_is_read_by_itself(tmp_path, old, new):
    """Between lines that are cut."""
    given_lines = [written(answer(i)) for i in range(5)]
    assert old in given_lines[2]
    given_lines[2] = given_lines[2].replace(old, new, 1)
    same(tmp_path, b"".join(given_lines), 5)


PIECES = (
    b'"', b"\\", b",", b"{", b"}", b"0", b"9", b" ", b"u", b"n", b"\n", b"\xff", b"\x01", b"",
    b'","', b'":"', b"null", b'\\"',
)  # fmt: skip
edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.sampled_from(PIECES)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(st.sampled_from(TEXTS[:-1]), min_size=4, max_size=4),
    which=st.integers(0, 3),
    changes=edits,
    ascii_only=st.booleans(),
)
def test_a_line_that_is_changed_anywhere_is_read_alike(
    texts, which, changes, ascii_only, tmp_path_factory
):
    """Byte by byte, whether it is the one that is learnt from or not."""
    given_lines = [
        json.dumps(answer(i, text), ensure_ascii=ascii_only, separators=(",", ":")).encode() + b"\n"
        for i, text in enumerate(texts)
    ]
    line = given_lines[which]
    for where, length, new in changes:
        at = int(where * len(line))
        line = line[:at] + new + line[at + length :]
    given_lines[which] = line
    same(tmp_path_factory.mktemp("edits"), b"".join(given_lines), 4)


@pytest.mark.parametrize("again", ["r3", "r40", "r1000"])
def test_an_id_that_comes_again_is_settled_as_line_by_line(tmp_path, again):
    """In the block or in a later one, and beside ids of no row."""
    given_lines = [answer(i) for i in range(120)]
    given_lines[90]["custom_id"] = again
    raw = b"".join(map(written, given_lines))
    same(tmp_path, raw, 120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "READ_BYTES", 40 * len(written(answer(50))))
        same(tmp_path, raw, 120)


def test_ids_of_the_user_s_own_are_found_as_well(tmp_path):
    """Which need not be numbers, and may look like some."""
    names = ["r5", "r05", "x", "r1", "r99999999999999999999", "é"]
    roll = Roll(pl.Series(names), np.arange(6))
    numbers = np.array([5, -1, -1, 1, -1, -1])
    found = roll.admit_new(pl.Series(names), numbers)
    assert found is not None
    assert found.tolist() == list(range(6))
    assert list(roll.absent()) == []


def test_rows_that_are_called_by_their_number_are_found_by_it():
    """Wherever the part begins, and with gaps."""
    rows = np.array([7, 8, 20])
    roll = Roll(pl.Series(["r7", "r8", "r20"]), rows)
    assert roll.admit_new(pl.Series(["r9"]), np.array([9])) is None
    assert roll.admit_new(pl.Series(["r21"]), np.array([21])) is None
    assert roll.admit_new(pl.Series(["r20", "r20"]), np.array([20, 20])) is None
    found = roll.admit_new(pl.Series(["r20", "r7"]), np.array([20, 7]))
    assert found is not None
    assert found.tolist() == [20, 7]
    assert roll.admit_new(pl.Series(["r7"]), np.array([7])) is None
    assert list(roll.absent()) == [("r8", 8)]


def test_an_answer_after_an_error_counts_and_a_second_answer_does_not():
    """And every other outcome after an answer is only counted."""
    roll = Roll(pl.Series(["a", "b"]), np.array([0, 1]))
    assert roll.admit("a", good=False) == 0
    assert roll.admit("a", good=False) == 0
    assert roll.admit("a", good=True) == 0
    assert roll.admit("a", good=True) is None
    assert roll.admit("a", good=False) is None
    assert roll.admit("c", good=True) is None
    assert (roll.doubled, roll.foreign) == (4, 1)
    assert list(roll.absent()) == [("b", 1)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("7", 7), ("10", 10), ("123456789012345678", 123456789012345678),
        ("1234567890123456789", -1), ("007", -1), ("", -1), ("-1", -1), ("+1", -1), ("1.0", -1),
        ("1e3", -1), ("1_0", -1), (" 1", -1), ("1 ", -1), ("a", -1), ("²", -1),
    ],
)  # fmt: skip
def test_whole_numbers_are_those_of_json(text, number):
    """One digit or many, beside longer ones."""
    raw = text.encode()
    data = b"x" * 30 + b"987654" + raw + b"end"
    begun, ended = np.array([30, 36]), np.array([36, 36 + len(raw)])
    found = whole_numbers(np.frombuffer(data, np.uint8), begun, ended)
    assert found.tolist() == [987654, number]


def test_texts_of_every_length_are_cut_out():
    """Short ones are kept in Arrow's view itself."""
    data = b"0123456789abcdefghij" * 3 + b"\n"
    block = Block(data, len(data))
    begun = np.array([0, 5, 30, 55, 59, 60])
    ended = np.array([20, 5, 42, 60, 60, 60])
    found = strings("t", block, Span(begun, ended)).to_list()
    assert found == [data[b:e].decode() for b, e in zip(begun, ended, strict=True)]


def test_values_at_the_very_end_of_a_block_are_cut_out(tmp_path):
    """Whatever order a writer's keys have."""
    count = 3
    given_lines = [answer(i) for i in range(count)]
    for line in given_lines:
        line["custom_id"] = line.pop("custom_id")
    same(tmp_path, b"".join(map(written, given_lines)), count)


def test_an_outline_is_learnt_from_a_body_that_stands_once():
    """A member that stands twice has no place of its own."""
    line = written(answer(3))
    outline = learn(line, VARYING, BODY)
    assert outline is not None
    assert CONTENT in {hole.path for hole in outline.holes}
    twice = line.replace(b'"model":', b'"model":"first","model":')
    assert learn(twice, VARYING, BODY) is None
    assert learn(b'{"custom_id":"r0"}\n', VARYING, BODY) is None
    assert learn(line + line, VARYING, BODY) is None


def test_no_other_dialect_is_cut(tmp_path):
    """Only where OpenAI's own lines may come."""
    how = replace(PRICED, dialect=replace(openai.DIALECT, typical=False))
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "Cutter", lambda: seen.append(1))
        count = 2 * cutting.FEWEST
        (tmp_path / "r.jsonl").write_bytes(b"".join(written(answer(i)) for i in range(count)))
        decode_part(requests(tmp_path, count), [tmp_path / "r.jsonl"], tmp_path / "o", how)
    assert seen == []
