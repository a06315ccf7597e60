"""Parts: limits are kept to the byte, models stay apart, and a row too large for any part says so."""

from __future__ import annotations

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from batchframe.dialects import openai
from batchframe.dialects.dialect import Dialect
from batchframe.frame.encode import line_bytes, write_wire
from batchframe.frame.parts import (
    LINE_OVERHEAD,
    TOKEN_BYTES,
    UNSENT,
    PartWriter,
    embedding_inputs,
    part_file,
    prompt_tokens,
)
from batchframe.frame.requests import SCHEMA
from batchframe.model import Endpoint, Limits, ModelRef
from batchframe.pricing.tokens import count_requests

MODEL = "m/x"


def requests_of(sizes, models=None, start=0):
    """Give requests whose lines count `sizes` bytes each; None is a row that is not sent."""
    rows = []
    for i, size in enumerate(sizes, start):
        model = models[i - start] if models else MODEL
        if size is None:
            rows.append((i, f"r{i}", model, None, "empty_prompt: null"))
            continue
        body = '"' + "x" * (size - LINE_OVERHEAD - len(model) - 2) + '"'
        rows.append((i, f"r{i}", model, body, None))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def write(folder, chunks, *, requests=1000, size=10**6, models=(MODEL,), first=0):
    """Write chunks under limits; gives the writer and its parts."""
    limits = Limits(requests, size, "here", "today")
    writer = PartWriter(folder, dict.fromkeys(models, limits), first)
    return writer, writer.write_all(chunks)


def rows_of(folder, part):
    """Give the rows of a part's file."""
    return pl.read_parquet(folder / part_file(part.number))["row"].to_list()


@pytest.mark.parametrize(("count", "rows"), [(4, [4]), (5, [5]), (6, [5, 1]), (11, [5, 5, 1])])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_part_holds_as_many_rows_as_the_limit_says(tmp_path, count, rows, chunk):
    """At the limit there is one part, one row later there are two; chunks make no difference."""
    whole = requests_of([300] * count)
    _, parts = write(tmp_path, whole.iter_slices(chunk), requests=5)
    assert [part.rows for part in parts] == rows
    assert [row for part in parts for row in rows_of(tmp_path, part)] == list(range(count))


@pytest.mark.parametrize(("limit", "rows"), [(1000, [3]), (999, [2, 1])])
def test_a_part_holds_as_many_bytes_as_the_limit_says(tmp_path, limit, rows):
    """At the limit there is one part, at one byte less two."""
    _, parts = write(tmp_path, [requests_of([300, 300, 400])], size=limit)
    assert [part.rows for part in parts] == rows
    assert sum(part.bytes for part in parts) == 1000


def test_a_row_too_large_for_any_part_is_a_row_error(tmp_path):
    """It names its size and the limit; the rows beside it go their way."""
    chunk = requests_of([300, 1001, 1000, None, 300])
    writer, parts = write(tmp_path, [chunk], size=1000)
    assert [rows_of(tmp_path, part) for part in parts] == [[0], [2], [4]]
    assert writer.unsent == 2
    unsent = pl.read_parquet(tmp_path / UNSENT)
    assert unsent.rows() == [
        (
            1,
            "r1",
            "m/x",
            None,
            (
                "request_too_large: this row's request has 1001 bytes, and m/x takes at most 1000 a "
                "batch"
            ),
        ),
        (3, "r3", "m/x", None, "empty_prompt: null"),
    ]


def test_when_every_row_is_too_large_there_is_no_part(tmp_path):
    """And no file that looks like one."""
    writer, parts = write(tmp_path, [requests_of([2000, 2000])], size=1000)
    assert (parts, writer.unsent) == ([], 2)
    assert [path.name for path in tmp_path.iterdir()] == [UNSENT]


def test_no_rows_make_no_files(tmp_path):
    """Neither does a chunk without rows."""
    writer, parts = write(tmp_path, [requests_of([])])
    assert (parts, writer.unsent, list(tmp_path.iterdir())) == ([], 0, [])


def test_models_never_share_a_part(tmp_path):
    """Interleaved rows keep their order, and numbers go by when a part was begun."""
    models = ["a/1", "b/2"] * 6
    chunk = requests_of([300] * 12, models)
    _, parts = write(tmp_path, chunk.iter_slices(5), requests=4, models=("a/1", "b/2"), first=3)
    assert [(p.number, p.model, p.rows) for p in parts] == [
        (3, "a/1", 4),
        (4, "b/2", 4),
        (5, "b/2", 2),
        (6, "a/1", 2),
    ]
    assert rows_of(tmp_path, parts[0]) == [0, 2, 4, 6]
    assert rows_of(tmp_path, parts[3]) == [8, 10]


def test_a_retry_adds_to_the_rows_that_were_not_sent(tmp_path):
    """What the first submit refused is not forgotten."""
    write(tmp_path, [requests_of([None, 300])])
    writer, _ = write(tmp_path, [requests_of([300], start=1)], size=100, first=1)
    assert writer.unsent == 1
    assert pl.read_parquet(tmp_path / UNSENT)["row"].to_list() == [0, 1]


def test_each_model_has_its_own_limits(tmp_path):
    """Of its provider."""
    limits = {"a/1": Limits(1, 10**6, "", ""), "b/2": Limits(10, 10**6, "", "")}
    parts = PartWriter(tmp_path, limits).write_all([requests_of([300] * 4, ["a/1", "b/2"] * 2)])
    assert [(p.model, p.rows) for p in parts] == [("a/1", 1), ("a/1", 1), ("b/2", 2)]


def test_files_are_finished_when_a_chunk_fails(tmp_path):
    """The error of the frame comes through, and no file is left open."""

    def failing():
        yield requests_of([300])
        msg = "the source is gone"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="the source is gone"):
        write(tmp_path, failing())
    assert pl.read_parquet(tmp_path / part_file(0)).height == 1


@settings(max_examples=40, deadline=None)
@given(
    data=st.lists(
        st.tuples(st.none() | st.integers(170, 700), st.sampled_from(["a/1", "b/2", "c/3"])),
        max_size=30,
    ),
    chunk=st.integers(1, 8),
    requests=st.integers(1, 5),
    size=st.integers(170, 1500),
    first=st.integers(0, 3),
)
def test_every_row_is_in_one_part_or_refused(tmp_path_factory, data, chunk, requests, size, first):
    """Once, with its body, in order, under the limits, in files that are numbered through."""
    folder = tmp_path_factory.mktemp("parts")
    whole = requests_of([s for s, _ in data], [m for _, m in data])
    writer, parts = write(
        folder,
        whole.iter_slices(chunk) if whole.height else [],
        requests=requests,
        size=size,
        models=("a/1", "b/2", "c/3"),
        first=first,
    )
    assert [part.number for part in parts] == list(range(first, first + len(parts)))
    files = [pl.read_parquet(folder / part_file(part.number)) for part in parts]
    for part, file in zip(parts, files, strict=True):
        assert file["model"].unique().to_list() == [part.model]
        assert 0 < file.height == part.rows <= requests
        wire = file["body"].str.len_bytes().sum() + file.height * (LINE_OVERHEAD + 3)
        assert wire == part.bytes <= size
        assert file["row"].is_sorted()
    if writer.unsent:
        unsent = pl.read_parquet(folder / UNSENT)
        assert unsent.height == writer.unsent
        assert unsent["error"].null_count() == 0
        assert unsent["body"].null_count() == unsent.height
        files.append(unsent)
    back = pl.concat([pl.DataFrame(schema=SCHEMA), *files]).sort("row")
    assert back["row"].to_list() == whole["row"].to_list()
    sent = back.filter(pl.col("error").is_null())
    assert_frame_equal(sent, whole.filter(pl.col("row").is_in(sent["row"].to_list())))


def test_a_wire_file_is_no_larger_than_its_part_expects(tmp_path):
    """With the longest ids, and whatever the model is called."""
    model = "fireworks/accounts/someone/models/a-model-with-a-name-of-great-length-and-more"
    rows = [(i, f"{i:064d}", model, '{"messages":[]}', None) for i in range(3)]
    _, parts = write(tmp_path, [pl.DataFrame(rows, schema=SCHEMA, orient="row")], models=(model,))
    wire = tmp_path / "wire.jsonl"
    size = write_wire(
        tmp_path / part_file(0),
        wire,
        model=model.split("/", 1)[1],
        dialect=openai.DIALECT,
        endpoint=Endpoint.CHAT,
    )
    assert 0.8 * parts[0].bytes < size <= parts[0].bytes


def texts_of(bodies, model=MODEL):
    """Give requests with these bodies."""
    rows = [(i, f"r{i}", model, body, None) for i, body in enumerate(bodies)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_parts_are_as_large_as_their_files(tmp_path):
    """To the byte, where the dialect passes bodies on as they are; so none is cut too early."""
    measure = line_bytes("x", openai.DIALECT, Endpoint.CHAT)
    chunk = texts_of(['{"input":"' + "é" * (i % 50) + '"}' for i in range(200)])
    limits = {MODEL: Limits(10**6, 2000, "", "")}
    parts = PartWriter(tmp_path, limits, lines=lambda _: measure).write_all(chunk.iter_slices(7))
    how = {"model": "x", "dialect": openai.DIALECT, "endpoint": Endpoint.CHAT}
    for number, part in enumerate(parts):
        requests, wire = tmp_path / part_file(part.number), tmp_path / "wire.jsonl"
        assert write_wire(requests, wire, **how) == part.bytes <= 2000
        if number:  # the row that begins a part had no room in the one before
            first = len(wire.read_bytes().split(b"\n")[0]) + 1
            assert parts[number - 1].bytes + first > 2000


@pytest.mark.parametrize(("most", "sent"), [(47, [0]), (48, [0, 1])])
def test_a_line_longer_than_the_limit_is_a_row_error(tmp_path, most, sent):
    """Its newline does not count; it is told from a row that no batch has room for."""
    dialect = Dialect("d", lambda i, _, b: {"i": i, "b": b}, openai.decode, verbatim=True)
    measure = line_bytes("x", dialect, Endpoint.CHAT)
    bodies = ['{"input":"hi"}', '{"input":"hi, there"}', '{"input":"' + "x" * 100 + '"}']
    limits = {MODEL: Limits(10, 120, "", "", line_bytes=most)}
    writer = PartWriter(tmp_path, limits, lines=lambda _: measure)
    writer.write_all([texts_of(bodies)])
    assert pl.read_parquet(tmp_path / part_file(0))["row"].to_list() == sent
    told = pl.read_parquet(tmp_path / UNSENT)["error"].to_list()
    assert told == [
        *(
            ["request_too_large: this row's request has 48 bytes, and m/x takes at most 47 a line"]
            * (1 not in sent)
        ),
        "request_too_large: this row's request has 140 bytes, and m/x takes at most 120 a batch",
    ]


def test_a_part_holds_no_more_tokens_than_the_queue(tmp_path):
    """A row that the queue may have no room for is alone: the guess is generous, and it may fit."""
    bodies = ['{"input":"' + "word " * count + '"}' for count in (20, 20, 20, 60, 20)]
    each = texts_of(bodies).select(prompt_tokens(MODEL)).to_series().to_list()
    assert each[0] == len(bodies[0]) // TOKEN_BYTES + 1
    limits = {MODEL: Limits(10, 10**6, "", "", queue_tokens=2 * each[0])}
    parts = PartWriter(tmp_path, limits).write_all([texts_of(bodies)])
    assert [rows_of(tmp_path, part) for part in parts] == [[0, 1], [2], [3], [4]]
    assert [part.tokens for part in parts] == [2 * each[0], each[0], each[3], each[0]]


def test_a_row_that_surely_has_more_tokens_than_the_queue_is_an_error(tmp_path):
    """It would wait for ever; one of which only the generous guess is too large is sent."""
    bodies = ['{"input":"' + "word " * count + '"}' for count in (20, 500, 60)]
    limits = {MODEL: Limits(10, 10**6, "", "", queue_tokens=100)}
    writer = PartWriter(tmp_path, limits)
    parts = writer.write_all([texts_of(bodies)])
    assert [rows_of(tmp_path, part) for part in parts] == [[0], [2]]
    (error,) = pl.read_parquet(tmp_path / UNSENT)["error"]
    assert error.startswith("request_too_large: this row's request has 375 ")
    assert f"prompt tokens at least, and {MODEL} takes at most 100 a queue" in error


def embedding(*texts):
    """Give the body of an embedding of these texts; one alone is no list."""
    return orjson.dumps({"input": texts[0] if len(texts) == 1 else texts}).decode()


def test_a_part_holds_as_many_texts_to_embed_as_the_limit_says(tmp_path):
    """Lists count by their texts; one row of too many is an error that names the limit."""
    few = [embedding(*"x" * count) for count in (1, 3, 1, 2, 4, 6, 5)]
    limits = {MODEL: Limits(100, 10**6, "", "", inputs=5)}
    parts = PartWriter(tmp_path, limits).write_all(texts_of(few).iter_slices(2))
    assert [rows_of(tmp_path, part) for part in parts] == [[0, 1, 2], [3], [4], [6]]
    assert [part.inputs for part in parts] == [5, 2, 4, 5]
    assert pl.read_parquet(tmp_path / UNSENT).select("row", "error").rows() == [
        (
            5,
            "request_too_large: this row's request has 6 inputs to embed, and m/x takes at most 5 a batch",
        )
    ]


def test_what_counts_as_a_text_to_embed():
    """A list of tokens is one; a text that speaks of lists is one; a member further inside is none."""
    bodies = [
        '{"input":[1,2,3]}',
        '{"input":[[1,2],[3]]}',
        orjson.dumps({"input": '{"input":["a","b"]}'}).decode(),
        '{"input":"a","extra":{"input":["a","b","c"]}}',
        '{"input":["a"]}',
    ]
    assert texts_of(bodies).select(embedding_inputs()).to_series().to_list() == [1, 2, 1, 1, 1]
    plain = texts_of([embedding("a")] * 3).select(embedding_inputs()).to_series()
    assert plain.to_list() == [1, 1, 1]


def test_the_data_of_an_image_are_no_words():
    """It counts as the most tokens that an image of the model takes."""
    part = (
        '{"type":"image_url","image_url":{"url":"data:image/png;base64,' + "iVBO+/=" * 999 + '"}}'
    )
    plain = '{"messages":[{"role":"user","content":["x"]}]}'
    with_image = plain.replace('"x"', f'"x",{part}')
    model = "openai/gpt-4.1"
    tokens = texts_of([plain, with_image]).select(prompt_tokens(model)).to_series()
    assert 1536 < tokens[1] - tokens[0] < 1536 + 60


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox found the product quite disappointing. ",
        "Die Straßenbahn fährt über die Brücke, der Kläger legt Einspruch ein. ",
        "Быстрая коричневая лиса перепрыгивает через ленивую собаку. ",
        "这款产品的质量非常好,我会推荐给所有朋友。",
        "この製品はとても良いですが、価格が少し高いと思います。",
        "यह उत्पाद बहुत अच्छा है लेकिन कीमत थोड़ी ज्यादा है। ",
        'def f(x):\n    return {"a": [x**2 for x in range(10)], "b": None}\n',
    ],
)
@pytest.mark.parametrize("name", ["openai/gpt-4", "openai/gpt-5"])
def test_the_guess_of_tokens_is_not_below_the_count(text, name):
    """For prose and program text, in the encodings that we know."""
    body = {"messages": [{"role": "user", "content": text * 20}]}
    counted = count_requests([body], ModelRef(*name.split("/")))[0].text
    guess = texts_of([orjson.dumps(body).decode()]).select(prompt_tokens(name)).item()
    assert counted <= guess


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=25),
    chunk=st.integers(1, 8),
    queue=st.integers(100, 400),  # a row that surely has more is refused
    size=st.integers(500, 1500),
    requests=st.integers(1, 6),
    inputs=st.integers(1, 5),
    several=st.lists(st.integers(1, 3), min_size=25, max_size=25),
)
def test_all_limits_hold_at_once(
    tmp_path_factory, sizes, chunk, queue, size, requests, inputs, several
):
    """Each part ends exactly where one of them would be broken by the next row."""
    folder = tmp_path_factory.mktemp("parts")
    several = [min(count, inputs) for count in several]
    whole = texts_of(
        [embedding("x" * n, *"y" * (count - 1)) for n, count in zip(sizes, several, strict=False)]
    )
    limits = Limits(requests, size, "", "", queue_tokens=queue, inputs=inputs)
    parts = PartWriter(folder, {MODEL: limits}).write_all(whole.iter_slices(chunk))
    rows = [rows_of(folder, part) for part in parts]
    assert [row for some in rows for row in some] == list(range(len(sizes)))
    tokens = whole.select(prompt_tokens(MODEL)).to_series().to_list()
    wire = [len(body) + LINE_OVERHEAD + len(MODEL) for body in whole["body"]]

    def fits(some):
        return (
            len(some) <= requests
            and sum(wire[i] for i in some) <= size
            and (sum(tokens[i] for i in some) <= queue)
            and (sum(several[i] for i in some) <= inputs)
        )

    for number, mine in enumerate(rows):
        assert fits(mine) or len(mine) == 1
        if number + 1 < len(rows):
            assert not fits([*mine, rows[number + 1][0]])
