"""A wire file is read lazily and its bodies are slices of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.errors import StorageError
from batchframe.immediate import wire

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    body=st.dictionaries(st.text(), VALUES, max_size=4),
    order=st.permutations(["custom_id", "method", "url", "body", "extra"]),
    ascii_only=st.booleans(),
    gap=st.sampled_from(["", " ", "\t "]),
)
def test_a_body_is_the_bytes_that_stand_in_the_line(
    body: dict, order: list[str], ascii_only: bool, gap: str
) -> None:
    """Whatever the order of keys, the spacing and the escapes, nothing is rendered anew."""
    raw = json.dumps(body, ensure_ascii=ascii_only, separators=("," + gap, ":" + gap))
    values = {
        "custom_id": '"r-1"', "method": '"POST"', "url": '"/v1/x"', "body": raw, "extra": '{"a":[]}',
    }  # fmt: skip
    members = [f'"{key}"{gap}:{gap}{values[key]}' for key in order]
    text = "{" + gap + f"{gap},{gap}".join(members) + gap + "}\n"
    row = wire.parse(text.encode("utf-8", "replace"))
    assert row == wire.Row("r-1", "/v1/x", raw.encode("utf-8", "replace"))


def test_our_own_lines_and_any_others_are_read_alike() -> None:
    """The quick way and the careful way agree, also where the quick one must give up."""
    body = b'{ "k":1.50E+2,"u":"\\u00e9\xc3\xa9", "k": "}}" }'
    usual = b'{"custom_id":"a","method":"POST","url":"/v1/x","body":' + body + b"}\n"
    more = usual.removesuffix(b"}\n") + b',"z":{"k":2}}\n'
    assert wire.parse(usual) == wire.parse(more) == wire.Row("a", "/v1/x", body)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"custom_id":"a","url":"/v1/x","body":{}',
        b'{"custom_id":"a","url":"/v1/x","body":{}} {}',
        b'{"custom_id":"a","url":"/v1/x","body":[]}',
        b'{"custom_id":1,"url":"/v1/x","body":{}}',
        b'{"custom_id":"a","method":"POST","url":"@elsewhere.example/v1/x","body":{}}',
        b'{"custom_id":"a","method":"POST","url":"https://elsewhere.example/","body":{}}',
    ],
)
def test_what_is_no_request_is_not_sent(line: bytes) -> None:
    """Damage is None, and so is a url that would carry the key to another host."""
    assert wire.parse(line) is None


def test_a_file_comes_in_blocks_without_the_rows_to_skip(tmp_path: Path) -> None:
    """No more than a block of lines is held; a last line needs no newline."""
    path = tmp_path / "wire"
    lines = [
        b'{"custom_id":"r%d","method":"POST","url":"/v1/x","body":{"t":"%s"}}' % (n, b"x" * 1000)
        for n in range(3000)
    ]
    path.write_bytes(b"\n".join(lines))
    blocks = list(wire.blocks(path, {f"r{n}" for n in range(1500)}))
    assert wire.count(path) == 3000
    assert [row.custom_id for rows in blocks for row in rows] == [
        f"r{n}" for n in range(1500, 3000)
    ]
    assert len(blocks) >= 3


def test_a_damaged_line_is_told_by_its_number(tmp_path: Path) -> None:
    """The message says where, what is kept and what to do."""
    path = tmp_path / "wire"
    path.write_bytes(b'{"custom_id":"a","method":"POST","url":"/v1/x","body":{}}\n\n{"custom')
    with pytest.raises(StorageError) as caught:
        list(wire.blocks(path, ()))
    assert str(caught.value) == (
        f"Line 3 of {path} is damaged: it is not a request. The answers before it are kept. "
        "Submit the job again to have the file written anew."
    )
