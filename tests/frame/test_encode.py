"""Wire files: one line a row through the dialect, complete or not there at all."""

from __future__ import annotations

import orjson
import polars as pl
import pytest
from asking import ask

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.frame.encode import encode_line, write_wire
from batchframe.frame.parts import PartWriter, part_file
from batchframe.model import Endpoint, Limits

HOW = {"model": "x", "dialect": openai.DIALECT, "endpoint": Endpoint.CHAT}


@pytest.fixture
def part(tmp_path):
    """Give the folder of a part with hostile texts."""
    frame = pl.DataFrame({"t": ["plain", 'a "b"\n{c}\u2028\x00', "😀\u202e"]})
    writer = PartWriter(tmp_path, {"m/x": Limits(100, 10**6, "", "")})
    writer.write_all([ask(frame, "{t}", temperature=0)])
    return tmp_path


def test_a_wire_file_holds_one_line_a_row(part):
    """Line breaks inside texts are escaped, the model comes first, the size is the file's."""
    wire = part / "wire.jsonl"
    size = write_wire(part / part_file(0), wire, **HOW)
    raw = wire.read_bytes()
    assert len(raw) == size
    assert raw.endswith(b"\n")
    lines = raw.split(b"\n")[:-1]
    assert lines[0] == (
        b'{"custom_id":"r0","method":"POST","url":"/v1/chat/completions","body":{"model":"x",'
        b'"messages":[{"role":"user","content":"plain"}],"temperature":0}}'
    )
    contents = [orjson.loads(one)["body"]["messages"][0]["content"] for one in lines]
    assert contents == ["plain", 'a "b"\n{c}\u2028\x00', "😀\u202e"]


def test_a_line_is_the_same_alone_and_in_a_file(part):
    """What is previewed and sent at once is what a batch file holds."""
    wire = part / "wire.jsonl"
    write_wire(part / part_file(0), wire, **HOW)
    rows = pl.read_parquet(part / part_file(0)).select("custom_id", "body").rows()
    alone = [encode_line(i, body, **HOW) for i, body in rows]
    assert wire.read_bytes() == b"\n".join(alone) + b"\n"


def test_a_file_that_is_not_complete_never_has_its_name(part):
    """A crash in the middle leaves the former file, or none; writing again repairs it."""

    def crash(custom_id, endpoint, body):
        if custom_id == "r1":
            msg = "killed"
            raise RuntimeError(msg)
        return openai.line(custom_id, endpoint, body)

    crashing = {**HOW, "dialect": Dialect("crashing", crash, openai.decode)}

    wire = part / "wire.jsonl"
    with pytest.raises(RuntimeError, match="killed"):
        write_wire(part / part_file(0), wire, **crashing)
    assert not wire.exists()
    write_wire(part / part_file(0), wire, **HOW)
    whole = wire.read_bytes()
    with pytest.raises(RuntimeError, match="killed"):
        write_wire(part / part_file(0), wire, **crashing)
    assert wire.read_bytes() == whole
