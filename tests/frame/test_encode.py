"""Wire files: one line a row through the dialect, complete or not there at all."""

from __future__ import annotations

from dataclasses import replace

import orjson
import polars as pl
import pytest
from asking import ask
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.frame import encode
from batchframe.frame.encode import encode_line, line_bytes, write_wire
from batchframe.frame.parts import PartWriter, part_file
from batchframe.frame.requests import SCHEMA
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


def part_of(folder, bodies, model="m/x"):
    """Write the requests of a part with these bodies."""
    rows = [(i, f"r-{i}", model, body, None) for i, body in enumerate(bodies)]
    writer = PartWriter(folder, {model: Limits(10**6, 10**12, "", "")})
    writer.write_all([pl.DataFrame(rows, schema=SCHEMA, orient="row")])
    return folder / part_file(0)


def wire_of(requests, dialect, model="x", endpoint=Endpoint.CHAT):
    """Give a part's wire file."""
    wire = requests.with_name("wire.jsonl")
    write_wire(requests, wire, model=model, dialect=dialect, endpoint=endpoint)
    return wire.read_bytes()


def renaming(custom_id, _, body):
    """Write a line without the model, and `seed` under another name."""
    named = {"random_seed" if k == "seed" else k: v for k, v in body.items() if k != "model"}
    return {"custom_id": custom_id, "body": named}


RENAMING = Dialect("renaming", renaming, openai.decode, verbatim=True, rewrites=frozenset({"seed"}))
LINES = {
    "openai": openai.DIALECT,
    "model last": Dialect(
        "model last", lambda i, e, b: {"body": b, "i": i, "u": e}, openai.decode, verbatim=True
    ),
    "id last": Dialect(
        "id last", lambda i, _, b: {"request": b, "key": i}, openai.decode, verbatim=True
    ),
    "renaming": RENAMING,
}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        '"',
        "\\",
        '"seed":',
        '\\"seed\\":',
        "{}",
        "}",
        '"--the-id--"',
        '"--the-members--":0',
        "\u2028",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
names = texts.filter(lambda name: name != "model") | st.sampled_from(["seed", "input", "messages"])


@pytest.mark.parametrize("name", LINES)
@settings(max_examples=60, deadline=None)
@given(
    bodies=st.lists(st.dictionaries(names, values, max_size=4), min_size=1, max_size=6),
    model=texts.filter(bool),
    piece=st.integers(1, 4),
)
def test_filling_and_dumping_give_the_same_bytes(name, bodies, model, piece, tmp_path_factory):
    """Whatever the texts, the members and the model are; and every value comes back."""
    dialect = LINES[name]
    requests = part_of(tmp_path_factory.mktemp("e"), [orjson.dumps(b).decode() for b in bodies])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "PIECE_ROWS", piece)
        filled = wire_of(requests, dialect, model)
    assert filled == wire_of(requests, replace(dialect, verbatim=False), model)
    found = filled.split(b"\n")[:-1]
    wanted = [
        dialect.line(f"r-{i}", Endpoint.CHAT, {"model": model, **b}) for i, b in enumerate(bodies)
    ]
    assert [orjson.loads(line) for line in found] == wanted


@settings(max_examples=40, deadline=None)
@given(
    cells=st.lists(
        st.tuples(texts, st.none() | st.floats(0, 2), st.none() | st.integers(-5, 5)),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_bodies_made_of_a_frame_are_what_orjson_would_write(cells, tmp_path_factory):
    """So filling one in leaves the very bytes that loading and dumping it would."""
    frame = pl.DataFrame(
        cells, schema={"t": pl.String, "f": pl.Float64, "n": pl.Int64}, orient="row"
    )
    asked = ask(frame, "- {t}", temperature=pl.col("f"), seed=pl.col("n"))
    sent = asked.filter(pl.col("error").is_null())
    for body in sent["body"]:
        assert orjson.dumps(orjson.loads(body)).decode() == body


def test_a_cell_of_five_megabytes_survives(tmp_path):
    """Beside short ones, quotes and all."""
    long = 'a "long" \\ tale\n\x07😀' * 250_000
    frame = pl.DataFrame({"t": ["short", long, "short again"]})
    writer = PartWriter(tmp_path, {"m/x": Limits(100, 10**9, "", "")})
    writer.write_all([ask(frame, "{t}")])
    lines = wire_of(tmp_path / part_file(0), openai.DIALECT).split(b"\n")
    said = [orjson.loads(line)["body"]["messages"][0]["content"] for line in lines[:-1]]
    assert said == ["short", long, "short again"]


def test_the_dialect_runs_once_for_a_file(tmp_path):
    """And once more for each row that it would rewrite, or that has no members."""
    calls = []

    def line(custom_id, _, body):
        calls.append(custom_id)
        return {"custom_id": custom_id, "body": body}

    dialect = Dialect("counted", line, openai.decode, verbatim=True, rewrites=frozenset({"seed"}))
    bodies = ['{"a":1}'] * 5 + ['{"seed":1}', "{}", '{"a":"\\"seed\\":"}', '{"a":{"seed":1}}']
    wire_of(part_of(tmp_path, bodies), dialect)
    assert calls[1:] == ["r-5", "r-6", "r-8"]


@pytest.mark.parametrize("model", ["--the-id--", "--the-members--", '"--the-members--":0', "é\n"])
@pytest.mark.parametrize("name", LINES)
def test_a_model_may_be_called_anything(tmp_path, name, model):
    """Even by the words that mark the places."""
    requests = part_of(tmp_path, ['{"input":"hi"}'])
    line = orjson.loads(wire_of(requests, LINES[name], model))
    assert line == LINES[name].line("r-0", Endpoint.CHAT, {"model": model, "input": "hi"})


@pytest.mark.parametrize("name", LINES)
def test_line_bytes_are_those_of_the_file(tmp_path, name):
    """To the byte where bodies are passed on as they are, else never too few."""
    bodies = ['{"input":"h\u00e9 😀"}', '{"seed":1,"input":"x"}', "{}", '{"a":' + "9" * 19 + "}"]
    requests = part_of(tmp_path, bodies)
    sizes = pl.read_parquet(requests).select(line_bytes("m\u00fc", LINES[name], Endpoint.CHAT))
    lines = [len(line) + 1 for line in wire_of(requests, LINES[name], "m\u00fc").split(b"\n")[:-1]]
    pairs = list(zip(sizes.to_series(), lines, strict=True))
    exact = [0, 3] if name == "renaming" else [0, 1, 3]
    assert all(pairs[i][0] == pairs[i][1] for i in exact)
    assert all(most >= size for most, size in pairs)
    by_row = replace(LINES[name], verbatim=False)
    most = (
        pl.read_parquet(requests).select(line_bytes("m\u00fc", by_row, Endpoint.CHAT)).to_series()
    )
    assert all(bound >= size for bound, size in zip(most, lines, strict=True))
