"""Lines that fit OpenAI's own types give what the dialect's decode would have given."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from fitted import PRICED, chat, embedding, requests, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from batchframe.dialects import openai
from batchframe.frame import decode, fitting
from batchframe.frame.decode import SCHEMA, decode_part


def fits(line, dump=orjson.dumps):
    """Whether a line is read by the types."""
    raw = dump(line) if isinstance(dump(line), bytes) else dump(line).encode()
    return fitting.fields(raw + b"\n") is not None


STYLES = {
    "compact": orjson.dumps,
    "spaced": lambda line: json.dumps(line, ensure_ascii=False).encode(),
    "escaped": lambda line: json.dumps(line).encode(),
    "sorted": lambda line: orjson.dumps(line, option=orjson.OPT_SORT_KEYS),
    "indented": lambda line: json.dumps(line, separators=(" , ", " :\t")).encode() + b" ",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("make", [chat, embedding])
def test_a_plain_line_fits_however_it_is_written(tmp_path, style, make):
    """Key order and blanks do not matter, and its body is kept."""
    lines = [make(f"r{i}") for i in range(5)]
    assert all(fitting.fields(STYLES[style](line) + b"\n") for line in lines)
    raw = b"".join(STYLES[style](line) + b"\n" for line in lines)
    found = same(tmp_path, raw, 5)
    assert found["ok"].all()
    assert [json.loads(body) for body in found["body"]] == [
        line["response"]["body"] for line in lines
    ]
    assert found["extra"].null_count() == 5


@pytest.mark.parametrize(
    "text",
    [
        'say "body":{',
        '"body"',
        '\\"body\\":{"a":1}},"error":null}\n',
        '}},"error":null}',
        "é\u2028😀\x00",
    ],
)
@pytest.mark.parametrize("style", STYLES)
def test_texts_that_look_like_the_line_itself_change_nothing(tmp_path, text, style):
    """Wherever they stand."""
    line = chat("r0", text, id=text, model=text, system_fingerprint=text, metadata={text: text})
    line["response"]["request_id"] = text
    raw = STYLES[style](line) + b"\n"
    assert fitting.fields(raw)
    found = same(tmp_path, raw, 1)
    assert found["response"].to_list() == [text]
    assert json.loads(found["body"][0]) == line["response"]["body"]


def test_of_a_member_that_stands_twice_the_last_one_counts(tmp_path):
    """As every reader of JSON has it."""
    raw = orjson.dumps(chat("r0", "second"))
    first = orjson.dumps(chat("r0", "first")["response"]["body"])
    raw = raw.replace(b'"body":', b'"body":' + first + b',"body":') + b"\n"
    assert fitting.fields(raw)
    found = same(tmp_path, raw, 1)
    assert found["response"].to_list() == ["second"]
    assert json.loads(found["body"][0])["choices"][0]["message"]["content"] == "second"


@pytest.mark.parametrize(
    "name", ["body", r"bod\u0079", r"\u0062ody", r"b\u006Fdy", r"b\u006fdy", r"bo\u0064y"]
)
@pytest.mark.parametrize("order", ["first", "last"])
def test_a_member_may_stand_twice_however_it_is_written(tmp_path, name, order):
    """An escape in a name is the same name: the body is the last one, and is JSON."""
    raw = orjson.dumps(chat("r0", "second"))
    first = orjson.dumps(chat("r0", "first")["response"]["body"])
    other, plain = b'"' + name.encode() + b'":', b'"body":'
    names = (other, plain) if order == "first" else (plain, other)
    raw = raw.replace(b'"body":', names[0] + first + b"," + names[1]) + b"\n"
    found = same(tmp_path, raw, 1)
    assert json.loads(found["body"][0])["choices"][0]["message"]["content"] == "second"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("response", "request_id"), None),
        (("response", "request_id"), ""),
        (("response", "body", "model"), ""),
        (("response", "body", "usage"), None),
        (("response", "body", "usage", "prompt_tokens_details"), None),
        (("response", "body", "usage", "completion_tokens"), 2**31),
        (("response", "body", "usage", "completion_tokens"), 2.0),
        (("response", "body", "created"), 10**30),
        (("response", "body", "choices", 0, "message", "content"), ""),
        (("response", "body", "choices", 0, "message", "content"), None),
        (("response", "body", "choices", 0, "message", "refusal"), "no"),
        (("response", "body", "choices", 0, "finish_reason"), "eos"),
        (("response", "body", "choices", 0, "message", "tool_calls"), []),
        (("response", "status_code"), 201),
        (("id",), None),
        (("error",), {}),
        (("batchframe",), {"attempts": 2, "latency": 0.5}),
    ],
    ids=str,
)
@pytest.mark.parametrize("request_id", ["q-1", None])
def test_what_is_odd_in_one_place_is_read_alike(tmp_path, path, value, request_id):
    """Nulls, empty words, and what only nearly fits."""
    line = chat("r0")
    line["response"]["request_id"] = request_id
    line = changed(line, path, lambda node, name: node.__setitem__(name, value))
    same(tmp_path, json.dumps(line).encode() + b"\n", 1)


ODD = st.sampled_from(
    [None, 0, -1, 1.0, 2.5, 1e300, 2**31, 2**63, 2**64, 10**30, True, "", "x", [], {}, [1], {"a": 1}, "\ufffd"]
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\\", '"body":', "\u2028", "😀"]
)


def places(node, path=()):
    """Give the paths of everything inside a parsed line."""
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for name, value in inner:
        yield (*path, name)
        yield from places(value, (*path, name))


def changed(line, path, do):
    """Change one place of a copy of a line."""
    copy = json.loads(json.dumps(line))
    node = copy
    for name in path[:-1]:
        node = node[name]
    do(node, path[-1])
    return copy


@st.composite
def lines(draw):
    """Give the bytes of a line that is nearly, or quite, what OpenAI writes."""
    custom_id = draw(st.sampled_from(["r0", "r1", "r2", "r9"]))
    line = draw(
        st.one_of(
            st.builds(chat, st.just(custom_id), texts),
            st.builds(
                embedding,
                st.just(custom_id),
                st.lists(st.floats(width=32, allow_nan=False) | st.integers(-9, 9), max_size=3),
            ),
        )
    )
    for _ in range(draw(st.integers(0, 2))):
        all_places = [p for p in places(line) if p != ("custom_id",)]
        path = draw(st.sampled_from(all_places))
        kind = draw(st.sampled_from(["set", "drop", "add", "text"]))
        value = draw(texts if kind == "text" else ODD)

        def do(node, name, kind=kind, value=value):
            if kind == "drop":
                del node[name]
            elif kind == "add" and isinstance(node, dict):
                node["extra_key"] = value
            else:
                node[name] = value

        line = changed(line, path, do)
        if not isinstance(line, dict):
            break
    style = draw(st.sampled_from([*STYLES.values()][:3]))
    try:
        raw = style(line)
    except TypeError:  # a number too long for this writer
        raw = json.dumps(line).encode()
    if draw(st.integers(0, 5)) == 0:
        cut = [(b'"fine"', b"NaN"), (b":", b": \\"), (b"29", b"1e999"), (b"fine", b"\\ud83d"),
               (b"fine", b"\xff"), (b"}", b""), (b"{", b"\xef\xbb\xbf{"), (b"9", b"09")]  # fmt: skip
        raw = raw.replace(*draw(st.sampled_from(cut)), 1)
    return raw + draw(st.sampled_from([b"\n", b"\r\n", b" \n", b""]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_lines=st.lists(lines(), min_size=1, max_size=8))
def test_all_ways_give_the_same(given_lines, tmp_path_factory):
    """Strings, numbers, missing and foreign keys, doubles and damage of every kind."""
    raw = b"\n".join(one.removesuffix(b"\n") for one in given_lines) + b"\n"
    same(tmp_path_factory.mktemp("both"), raw, 3)


def test_answers_priced_together_cost_what_they_cost_one_by_one(tmp_path):
    """To the last place; contradicting counts have no cost."""
    given = [
        chat("r0"),
        chat("r1", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
        chat(
            "r2",
            usage={
                "prompt_tokens": 1,
                "completion_tokens": 2,
                "total_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 7},
            },
        ),
    ]
    raw = b"".join(orjson.dumps(line) + b"\n" for line in given)
    together = same(tmp_path, raw, 3)
    alone = same(tmp_path, raw, 3, replace(PRICED, costs=None))
    assert together["cost_usd"].equals(alone["cost_usd"])
    assert together["cost_usd"][0] > Decimal(0)
    assert together["cost_usd"][2] is None


def test_pieces_make_no_difference_to_answers(tmp_path, monkeypatch):
    """Wherever a block, a piece or a chunk ends, and whatever stands between plain lines."""
    given = [orjson.dumps(chat(f"r{i}", f"text {i}")) + b"\n" for i in range(60)]
    given[7] = b"{\n"
    given[20] = orjson.dumps(chat("r3", "again")) + b"\n"
    given[40] = orjson.dumps(chat("r40", None)) + b"\n"
    raw = b"".join(given)
    whole = same(tmp_path, raw, 60)
    for name, value in (("READ_BYTES", 2000), ("PIECE", 3), ("CHUNK", 7), ("CHUNK_BYTES", 900)):
        with monkeypatch.context() as patch:
            patch.setattr(decode, name, value)
            assert_frame_equal(same(tmp_path, raw, 60), whole)
    assert whole["error_code"].value_counts(sort=True).rows() == [
        (None, 57),
        ("missing", 2),
        ("empty_answer", 1),
    ]
    assert whole.schema == SCHEMA


def test_the_types_are_used(tmp_path):
    """The dialect's own decode sees only the lines that do not fit."""
    seen = []

    def watched(line):
        seen.append(line["custom_id"])
        return openai.decode(line)

    (tmp_path / "r.jsonl").write_bytes(
        b"".join(orjson.dumps(chat(f"r{i}", "x" if i != 2 else None)) + b"\n" for i in range(4))
    )
    how = replace(PRICED, dialect=replace(openai.DIALECT, decode=watched))
    decode_part(requests(tmp_path, 4), [tmp_path / "r.jsonl"], tmp_path / "o", how)
    assert seen == ["r2"]
