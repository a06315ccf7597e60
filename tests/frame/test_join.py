"""Joining: the same rows in the same order, with our columns after theirs."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from batchframe.errors import ColumnError, KeyColumnError
from batchframe.frame.decode import SCHEMA
from batchframe.frame.join import (
    CHAT_COLUMNS,
    EMBEDDING_COLUMNS,
    added_columns,
    join,
    refuse_collisions,
    storable,
)
from batchframe.frame.requests import custom_ids

UNKNOWN = "missing: the job has no outcome for this row"


def outputs(*rows):
    """Give outcomes: (custom_id, text), or (custom_id, code, message) for an error."""
    whole = []
    for number, (custom_id, *rest) in enumerate(rows):
        row = dict.fromkeys(SCHEMA.names())
        row |= {"row": number, "custom_id": custom_id, "part": 0, "ok": len(rest) == 1}
        if len(rest) == 1:
            name = "response" if isinstance(rest[0], str) else "embedding"
            row |= {name: rest[0], "model": "m-1", "cost_usd": Decimal("0.1")}
        else:
            row |= {"error_code": rest[0], "error_message": rest[1]}
        whole.append(row)
    return pl.DataFrame(whole, schema=SCHEMA)


def joined(frame, found, **options):
    """Join with the usual options."""
    usual = {"key": None, "prefix": "", "embedding": False, "schema": None}
    return join(frame, found, **{**usual, **options})


def test_answers_stand_beside_their_rows():
    """Ours after theirs, errors as `code: message`, money as a float."""
    frame = pl.DataFrame({"t": ["a", "b", "c"]})
    found = joined(
        frame, outputs(("r2", "third"), ("r0", "first"), ("r1", "refusal", "I'd rather not"))
    )
    assert found.columns == ["t", *added_columns(embedding=False, parsed=False)]
    assert found.select("t", "response", "error", "model", "cost_usd").rows() == [
        ("a", "first", None, "m-1", 0.1),
        ("b", None, "refusal: I'd rather not", None, None),
        ("c", "third", None, "m-1", 0.1),
    ]
    assert found.schema["cost_usd"] == pl.Float64


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        ("a", "b", "a: b"),
        ("a", "", "a"),
        ("a", None, "a"),
        (None, None, "error"),
        (None, "b", "error: b"),
    ],
)
def test_a_failed_row_always_has_an_error(code, message, error):
    """Whatever the provider left out."""
    found = joined(pl.DataFrame({"t": ["a"]}), outputs(("r0", code, message)))
    assert found["error"].to_list() == [error]


def test_a_key_finds_its_row_wherever_it_stands():
    """In a frame that was sorted otherwise since; keys that had to be hashed too."""
    keys = ["plain", "two words", "ünï", "x" * 80]
    found = outputs(*((i, k) for i, k in zip(custom_ids(pl.Series(keys), "k"), keys, strict=True)))
    frame = pl.DataFrame({"k": keys[::-1]})
    result = joined(frame, found, key="k")
    assert result["response"].to_list() == keys[::-1]
    assert result["error"].null_count() == 4


@pytest.mark.parametrize("key", [None, "k"])
def test_rows_that_the_job_does_not_know_say_so(key):
    """A frame with more rows than the job, or others; rows that are gone are simply gone."""
    frame = pl.DataFrame({"k": ["r0", "r1", "r2"]})
    more = joined(frame, outputs(("r0", "x")), key=key)
    assert more["error"].to_list() == [None, UNKNOWN, UNKNOWN]
    fewer = joined(frame.head(1), outputs(("r0", "x"), ("r1", "y"), ("r2", "z")), key=key)
    assert fewer["response"].to_list() == ["x"]


def test_a_key_with_nulls_is_refused_here_too():
    """The frame may not be the one that was sent."""
    with pytest.raises(KeyColumnError) as raised:
        joined(pl.DataFrame({"k": ["r0", None]}), outputs(("r0", "x")), key="k")
    assert str(raised.value) == (
        "key='k' is null in row 1. Every row needs a key of its own; fill the nulls, or leave "
        "key= out."
    )


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame(schema={"t": pl.String})])
def test_no_rows_give_no_rows_with_all_columns(frame, embedding):
    """Types included."""
    found = joined(frame, outputs(), embedding=embedding)
    names = [n for n in (EMBEDDING_COLUMNS if embedding else CHAT_COLUMNS) if n != "parsed"]
    assert found.height == 0
    assert found.columns == [*frame.columns, *names]


def test_a_prefix_renames_every_column_of_ours():
    """And none of theirs; the frame itself stays as it is."""
    frame = pl.DataFrame({"response": ["mine"], "custom_id": ["mine"], "known": ["mine"]})
    before = frame.clone()
    found = joined(frame, outputs(("r0", "x")), prefix="llm_")
    names = added_columns(embedding=False, parsed=False, prefix="llm_")
    assert found.columns == ["response", "custom_id", "known", *names]
    assert found.select("response", "llm_response").rows() == [("mine", "x")]
    assert_frame_equal(frame, before)


def test_vectors_of_one_length_are_arrays():
    """Nulls of failed rows included."""
    frame = pl.DataFrame({"t": ["a", "b", "c"]})
    found = joined(
        frame, outputs(("r0", [1.0, 2.0]), ("r1", "x", "y"), ("r2", [3.0, 4.0])), embedding=True
    )
    assert found.schema["embedding"] == pl.Array(pl.Float32, 2)
    assert found["embedding"].to_list() == [[1.0, 2.0], None, [3.0, 4.0]]


def test_vectors_of_several_lengths_stay_lists():
    """Nothing is padded."""
    frame = pl.DataFrame({"t": ["a", "b"]})
    found = joined(frame, outputs(("r0", [1.0, 2.0]), ("r1", [3.0])), embedding=True)
    assert found.schema["embedding"] == pl.List(pl.Float32)


def test_when_every_row_failed_the_column_is_there():
    """As a list of nulls: no vector says how long it would be."""
    found = joined(pl.DataFrame({"t": ["a"]}), outputs(("r0", "x", "y")), embedding=True)
    assert found["embedding"].to_list() == [None]


@pytest.mark.parametrize(
    ("columns", "prefix", "message"),
    [
        (
            ["text", "response", "error"],
            "",
            (
                "The frame already has 'response', 'error', which the result would add. Keep both with "
                "prefix=\"llm_\", or drop yours: df.drop('response', 'error')."
            ),
        ),
        (
            ["model", "llm_model"],
            "",
            (
                "The frame already has 'model', which the result would add. Keep both with "
                "prefix=\"bf_\", or drop yours: df.drop('model')."
            ),
        ),
        (
            ["my_model", "llm_model", "bf_error", "answer_response"],
            "my_",
            (
                "The frame already has 'my_model', which the result would add. Keep both with "
                "prefix=\"bf1_\", or drop yours: df.drop('my_model')."
            ),
        ),
    ],
)
def test_a_collision_names_the_prefix_that_works(columns, prefix, message):
    """Before anything is sent."""
    with pytest.raises(ColumnError) as raised:
        refuse_collisions(columns, embedding=False, parsed=False, prefix=prefix)
    assert str(raised.value) == message


def test_only_columns_that_would_be_added_collide():
    """`parsed` without a response model, `response` in a frame of vectors."""
    refuse_collisions(["parsed"], embedding=False, parsed=False, prefix="")
    refuse_collisions(["response", "finish_reason"], embedding=True, parsed=False, prefix="")
    with pytest.raises(ColumnError, match="'parsed'"):
        refuse_collisions(["parsed"], embedding=False, parsed=True, prefix="")


def test_python_objects_are_not_stored():
    """Parquet has no form for them."""
    assert storable({"a": pl.Int8(), "o": pl.Object(), "s": pl.Struct({"x": pl.Int8})}) == [
        "a",
        "s",
    ]
