"""What passes through in pieces comes out as if it had been whole."""

from __future__ import annotations

from decimal import Decimal

import orjson
import polars as pl
import pytest

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.frame import decode, encode
from batchframe.frame.outputs import BULKY, groups, merged
from batchframe.frame.parts import PartWriter, part_file
from batchframe.frame.requests import SCHEMA
from batchframe.model import Endpoint, Limits, RowError

ROWS = 10


@pytest.fixture
def folder(tmp_path):
    """The requests of one part."""
    rows = [(i, f"r{i}", "m/x", f'{{"input":"text {i}"}}', None) for i in range(ROWS)]
    writer = PartWriter(tmp_path, {"m/x": Limits(10**6, 10**9, "", "")})
    writer.write_all([pl.DataFrame(rows, schema=SCHEMA, orient="row")])
    return tmp_path


def line(row, text=None):
    """Give a row's result line: its text, or an error."""
    if text is None:
        error = {"code": "server_error", "message": "no"}
        return {"custom_id": f"r{row}", "response": None, "error": error}
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    body = {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1}}
    response = {"status_code": 200, "request_id": "q", "body": body}
    return {"custom_id": f"r{row}", "response": response, "error": None}


def decoded(folder, number, lines):
    """Decode lines as part `number`; gives the outcomes' file."""
    results = folder / "results.jsonl"
    results.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in lines))
    out = folder / decode.outputs_file(number)
    absent = RowError("missing", "no line", retryable=True)
    how = decode.Decoding(number, openai.DIALECT, lambda _: Decimal(1), "a list", absent)
    decode.decode_part(folder / part_file(0), [results], out, how)
    return out


def test_the_best_of_doubled_lines_is_kept_across_pieces(folder, monkeypatch):
    """The error lies in the first pieces, the success of the same row in the last ones."""
    monkeypatch.setattr(decode, "CHUNK", 3)
    lines = [line(row) for row in range(7)]
    lines += [line(row, f"answer {row}") for row in (5, 2, 9, 0)]
    out = pl.read_parquet(decoded(folder, 0, lines)).sort("row")
    assert out["row"].to_list() == list(range(ROWS))
    answers = {row: f"answer {row}" for row in (0, 2, 5, 9)}
    assert out["response"].to_list() == [answers.get(row) for row in range(ROWS)]
    assert out["error_code"][8] == "missing"
    assert not list(folder.glob("*.tmp*"))


def test_the_wire_file_is_the_same_in_pieces(folder, monkeypatch):
    """Every row once, in order, wherever a piece ends."""
    monkeypatch.setattr(encode, "CHUNK", 3)
    wire = folder / "wire.jsonl"
    odd = Dialect("odd", lambda custom_id, _, body: {custom_id: body}, openai.decode)
    encode.write_wire(folder / part_file(0), wire, model="x", dialect=odd, endpoint=Endpoint.CHAT)
    assert [orjson.loads(one) for one in wire.read_bytes().splitlines()] == [
        {f"r{i}": {"model": "x", "input": f"text {i}"}} for i in range(ROWS)
    ]


def test_counting_needs_no_more_than_the_outcomes(folder):
    """The causes are the same as with every column there; a row asked twice counts once."""
    first = decoded(folder, 0, [line(row) for row in range(ROWS)])
    second = decoded(folder, 1, [line(row, "fine") for row in range(4)])
    whole = merged(folder, [first, second], None)
    counted = merged(folder, [first, second], None, leave_out=BULKY)
    assert counted.columns == ["row", "part", "ok", "error_code", "error_message", "retryable"]
    assert counted.equals(whole.select(counted.columns))
    assert groups(counted) == groups(whole)
    assert sum(one.count for one in groups(counted)) == 6
