"""Parts: limits are kept to the byte, models stay apart, and a row too large for any part says so."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from batchframe.dialects import openai
from batchframe.frame.encode import write_wire
from batchframe.frame.parts import LINE_OVERHEAD, UNSENT, PartWriter, part_file
from batchframe.frame.requests import SCHEMA
from batchframe.model import Endpoint, Limits

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
