"""Requests: every row once and in order, in chunks, with an id that is the same everywhere."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import textwrap

import orjson
import polars as pl
import pytest
from asking import ask, asked
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from batchframe.errors import ColumnError, InputError, KeyColumnError
from batchframe.frame import requests as room
from batchframe.frame.prompt import chat_shape
from batchframe.frame.requests import SCHEMA, Fingerprint, Recipe, chunks, custom_ids

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def shape_of(frame, prompt="{t}", **parameters):
    """Give the shape of a simple call."""
    return chat_shape(
        frame.collect_schema(), prompt=prompt, system=None, messages=None, parameters=parameters
    )


# --- bodies


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(TEXT, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | TEXT),
        min_size=1,
        max_size=8,
    ),
    literal=TEXT,
    constant=st.none() | st.booleans() | TEXT | st.lists(TEXT),
)
@example(rows=[('"\\\x00\x1f\x7f\u2028\ufeff😀\u202e', 0, '"},{"')], literal='{"v":', constant="}")
def test_every_body_is_what_a_row_by_row_encoder_writes(rows, literal, constant):
    """Byte for byte, whatever the texts hold: quotes, control characters, other scripts, JSON."""
    frame = pl.DataFrame(rows, schema={"t": pl.String, "i": pl.Int64, "u": pl.String}, orient="row")
    template = literal.replace("{", "{{").replace("}", "}}") + ":{t}"
    found = ask(frame, template, constant=constant, seed=pl.col("i"), user=pl.col("u"))
    expected = []
    for text, number, user in rows:
        body = {
            "messages": [{"role": "user", "content": f"{literal}:{text}"}],
            "constant": constant,
            "seed": number,
            "user": user,
        }
        left_out = [name for name in ("seed", "user") if body[name] is None]
        expected.append(orjson.dumps({k: v for k, v in body.items() if k not in left_out}).decode())
    assert found["body"].to_list() == expected


def test_requests_have_one_schema():
    """Rows that are sent, rows that are not, and no rows at all."""
    frame = pl.DataFrame({"t": ["x", None]})
    found = ask(frame, "{t}")
    assert found.schema == SCHEMA
    assert found.rows() == [
        (0, "r0", "m/x", '{"messages":[{"role":"user","content":"x"}]}', None),
        (1, "r1", "m/x", None, "empty_prompt: prompt= is null in this row"),
    ]


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"t": []}, schema={"t": pl.String}),
        pl.LazyFrame({"t": ["x"]}).filter(t="y"),
        pl.DataFrame(),
        pl.LazyFrame(),
    ],
    ids=["no rows", "nothing left", "no columns", "no columns, lazily"],
)
def test_an_empty_frame_gives_no_requests(frame):
    """Not one, as a constant over nothing would."""
    found = ask(frame, "hello", key="t" if "t" in frame.collect_schema() else None)
    assert found.height == 0
    assert found.schema == SCHEMA


# --- chunks


@pytest.fixture
def small(monkeypatch):
    """Make chunks of 7 rows."""
    monkeypatch.setattr(room, "CHUNK", 7)


@pytest.mark.parametrize("count", [1, 6, 7, 8, 50])
@pytest.mark.parametrize("lazy", [False, True])
def test_rows_keep_their_place_over_chunks(small, count, lazy):
    """At most CHUNK rows each, numbered through."""
    frame = pl.DataFrame({"t": [str(i) for i in range(count)]})
    shape = shape_of(frame)
    parts = list(chunks(frame.lazy() if lazy else frame, Recipe(shape, "m/x")))
    assert max(part.height for part in parts) <= 7
    whole = pl.concat(parts)
    assert whole["row"].to_list() == list(range(count))
    assert whole["custom_id"].to_list() == [f"r{i}" for i in range(count)]
    contents = [json.loads(b)["messages"][0]["content"] for b in whole["body"]]
    assert contents == [str(i) for i in range(count)]


def test_windows_see_the_whole_frame_and_not_the_chunk(small):
    """Sums and ranks over more rows than a chunk has."""
    frame = pl.DataFrame({"n": list(range(50))})
    assert asked(frame, pl.col("n").sum()) == ["1225"] * 50
    assert asked(frame.lazy(), pl.col("n").rank("ordinal", descending=True))[0] == "50"


def test_large_rows_are_worked_on_a_few_at_a_time(monkeypatch):
    """The memory of a chunk is bounded in bytes as well as in rows."""
    monkeypatch.setattr(room, "CHUNK_BYTES", 1000)
    frame = pl.DataFrame({"t": ["x" * 300] * 20, "b": [b"y" * 300] * 20})
    parts = list(chunks(frame, Recipe(shape_of(frame), "m/x")))
    assert pl.concat(parts)["row"].to_list() == list(range(20))
    assert max(part["body"].str.len_bytes().sum() for part in parts) <= 1500


def test_a_cell_of_five_megabytes_travels_whole():
    """Text and image bytes; both are one row of work."""
    text = "é\n" * 2_500_000
    frame = pl.DataFrame({"t": [text, "small"], "b": [b"\xff\xd8\xff" + bytes(5_000_000)] * 2})
    assert asked(frame, "{t}") == [text, "small"]
    part = {"type": "image_url", "image_url": {"url": "{b}"}}
    found = ask(frame, messages=[{"role": "user", "content": [part]}])
    assert found["body"].str.len_bytes().min() > 6_666_000


def test_the_frame_is_never_changed():
    """Neither values nor names nor order."""
    frame = pl.DataFrame({"t": ["a", "b"], "h0": [1, 2], "model": ["m/x", "m/y"]})
    before = frame.clone()
    ask(frame, "{t}{h0}", model=pl.col("model"), key="t", seed=pl.col("h0"))
    assert_frame_equal(frame, before)


def test_a_lazy_frame_gives_what_the_eager_one_gives(tmp_path, small):
    """Scanned from a file, filtered and computed on the way, windows included."""
    path = tmp_path / "frame.parquet"
    frame = pl.DataFrame({"t": [f"text {i}" for i in range(100)], "n": list(range(100))})
    frame.write_parquet(path, row_group_size=9)
    prompt = pl.format("{} of {}", "t", pl.col("n").sum())
    lazy = pl.scan_parquet(path).filter(pl.col("n") % 3 == 0).with_columns(k=pl.col("n") * 2)
    found = ask(lazy, prompt, key="k", seed=pl.col("n"))
    assert_frame_equal(found, ask(lazy.collect(), prompt, key="k", seed=pl.col("n")))
    assert found.height == 34


def test_chunks_that_nobody_takes_do_no_harm(small):
    """The caller may stop at any time."""
    frame = pl.LazyFrame({"t": [str(i) for i in range(1000)]})
    going = chunks(frame, Recipe(shape_of(frame), "m/x"))
    assert next(going).height == 7
    going.close()


# --- models


def test_each_row_may_have_its_own_model():
    """A null or a blank there is a row error."""
    frame = pl.DataFrame({"m": ["a/b", None, " ", "c/d"]})
    found = ask(frame, "q", model=pl.col("m"))
    assert found["model"].to_list() == ["a/b", None, " ", "c/d"]
    no_model = "no_model: the model expression gives null for this row"
    assert found["error"].to_list() == [None, no_model, no_model, None]
    assert found["body"].is_null().to_list() == [False, True, True, False]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            pl.col("mm"),
            (
                "model= asks for the column 'mm', which the frame does not have. Did you mean 'm'? "
                "Columns: 'm', 't'."
            ),
        ),
        (
            pl.all(),
            (
                "model= must be one column, and the expression gives 2: 'm', 't'. "
                "Put them together with pl.concat_str(...) or pl.format(...)."
            ),
        ),
    ],
    ids=str,
)
def test_a_model_that_cannot_be_is_refused(model, message):
    """As a prompt is."""
    with pytest.raises(ColumnError) as raised:
        ask(pl.DataFrame({"m": ["a/b"], "t": ["x"]}), "q", model=model)
    assert str(raised.value) == message


# --- expressions that fail while they run


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            pl.col("t").str.to_integer(),
            (
                "An expression of the request cannot be evaluated: ComputeError: strict integer parsing "
                'failed for 1 value(s): ["a"]; error message for the first shown value: \'invalid digit '
                "found in string' (consider non-strict parsing)"
            ),
        ),
        (
            pl.col("t").map_elements(lambda _: 1 / 0, return_dtype=pl.String),
            "An expression of the request cannot be evaluated: ZeroDivisionError: division by zero",
        ),
    ],
    ids=["a cast", "a function"],
)
def test_an_expression_that_fails_is_one_clear_error(prompt, message, lazy):
    """Whoever raised, Polars or a function of the user's, and wherever the rows come from."""
    frame = pl.DataFrame({"t": ["a", "1", "2"]})
    with pytest.raises(InputError) as raised:
        ask(frame.lazy() if lazy else frame, prompt)
    assert str(raised.value) == message


# --- how many values an expression gives

A = pl.col("t")
THREE = pl.DataFrame({"t": ["1", "2", "3"], "l": [["a"], ["b", "c"], ["d"]]})


def misfit(where, values, rows="3 rows"):
    """Give the refusal's text."""
    return (
        f"{where} gives {values} for {rows}. Give one a row, or a single one for all, such as "
        "pl.lit(...) or pl.col(...).first(). To ask of some rows only, filter the frame: "
        "df.filter(...)"
    )


def function(expr, result, **options):
    """Put a Python function over an expression: what comes out is known only when it is called."""
    return expr.map_batches(result, return_dtype=pl.String, **options)


@pytest.fixture(params=["eager", "pieces", "lazy", "kept"])
def given_as(request, tmp_path):
    """Hand a frame over in every way there is."""

    def handed(frame):
        if request.param == "pieces":
            return pl.concat([frame[i : i + 1] for i in range(frame.height)], rechunk=False)
        if request.param == "kept":
            frame.write_parquet(tmp_path / "kept.parquet", row_group_size=1)
            return pl.scan_parquet(tmp_path / "kept.parquet")
        return frame if request.param == "eager" else frame.lazy()

    return handed


@pytest.mark.parametrize(
    ("expr", "values"),
    [
        (A.filter(A == "1"), "1 value"),
        (A.filter(A == "1").cast(pl.Int64), "1 value"),
        (pl.format("<{}>", A.filter(A == "1")), "1 value"),
        (A.head(1), "1 value"),
        (A.head(2), "2 values"),
        (A.filter(A == "4"), "0 values"),
        (pl.col("l").explode(), "4 values"),
        (pl.lit(pl.Series(["q"])), "1 value"),
        (function(A, lambda values: values.head(1)), "1 value"),
        (function(A.filter(A == "1"), lambda values: values + "!"), "1 value"),
    ],
    ids=str,
)
def test_an_expression_gives_a_value_a_row_or_is_refused(expr, values, given_as):
    """A lone value would otherwise be asked of every row, although it belongs to one."""
    with pytest.raises(InputError) as raised:
        ask(given_as(THREE), expr)
    assert str(raised.value) == misfit("prompt=", values)


@pytest.mark.parametrize(
    ("expr", "texts"),
    [
        (A.max(), ["3", "3", "3"]),
        (pl.lit("x"), ["x", "x", "x"]),
        (A.filter(A == "2").first(), ["2", "2", "2"]),
        (A.get(0), ["1", "1", "1"]),
        (pl.len(), ["3", "3", "3"]),
        (pl.format("{}/{}", A, A.max()), ["1/3", "2/3", "3/3"]),
        (pl.lit(pl.Series(["a", "b", "c"])), ["a", "b", "c"]),
        (A.sort(descending=True).gather([0, 2, 1]), ["3", "1", "2"]),
        (function(A, lambda values: values + "!"), ["1!", "2!", "3!"]),
        (function(A, pl.Series.max, returns_scalar=True), ["3", "3", "3"]),
    ],
    ids=str,
)
def test_a_value_a_row_or_a_single_one_for_all_is_asked(expr, texts, given_as):
    """Whatever gives as many values as there are rows, and whatever Polars calls a scalar."""
    assert asked(given_as(THREE), expr) == texts


def test_one_row_is_not_made_into_several(given_as):
    """Polars would repeat the row for the values."""
    with pytest.raises(InputError) as raised:
        ask(given_as(THREE[1:2]), pl.col("l").explode())
    assert str(raised.value) == misfit("prompt=", "2 values", "1 row")
    assert asked(given_as(THREE[1:2]), A.filter(A == "2")) == ["2"]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("where", "call"),
    [
        ("model=", lambda few: {"prompt": "q", "model": few}),
        ("system=", lambda few: {"prompt": A.max(), "system": few}),
        ("seed=", lambda few: {"prompt": "{t}", "seed": few.cast(pl.Int64)}),
        (
            "messages[0]['content'][0]",
            lambda few: {
                "messages": [{"role": "user", "content": [{"type": "text", "text": few}]}]
            },
        ),
    ],
    ids=["model", "system", "parameter", "message"],
)
def test_the_argument_that_does_not_fit_is_named(where, call, count, given_as):
    """Whichever of them it is, and whether Polars meets it or repeats it."""
    with pytest.raises(InputError) as raised:
        ask(given_as(THREE), **call(A.head(count)))
    assert str(raised.value) == misfit(where, f"{count} value{'s' * (count > 1)}")


def test_a_lone_value_is_refused_over_many_chunks():
    """Also when it was repeated a chunk at a time."""
    frame = pl.DataFrame({"t": [str(i) for i in range(250_000)]})
    for handed in (frame, frame.lazy()):
        with pytest.raises(InputError) as raised:
            ask(handed, A.filter(A == "7"))
        assert str(raised.value) == misfit("prompt=", "1 value", "250,000 rows")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_function_of_the_prompt_sees_each_row_once(lazy):
    """It may be slow; looking at how many values it gives must not call it again."""
    seen = []

    def slow(texts):
        seen.extend(texts)
        return texts

    frame = pl.DataFrame({"t": [str(i) for i in range(100)]})
    ask(frame.lazy() if lazy else frame, function(A, slow))
    assert sorted(seen, key=int) == frame["t"].to_list()


def test_an_expression_that_does_not_fit_itself_names_its_argument():
    """Its own parts are of different lengths, so there is nothing to count."""
    prompt = pl.when(A == "1").then(A.head(2)).otherwise(pl.lit("x"))
    with pytest.raises(InputError) as raised:
        ask(THREE, prompt)
    assert str(raised.value) == (
        "prompt= cannot be evaluated: ShapeError: zip node received non-equal length inputs"
    )


# --- keys


@pytest.mark.parametrize(
    ("key", "custom_id"),
    [
        (pl.Series(["plain_Key-1"]), "plain_Key-1"),
        (pl.Series(["a" * 64]), "a" * 64),
        (pl.Series([-1]), "-1"),
        (pl.Series([2**63 - 1]), "9223372036854775807"),
        (pl.Series([dt.date(2024, 1, 2)]), "2024-01-02"),
        (pl.Series([True]), "true"),
        (pl.Series(["a"], dtype=pl.Categorical), "a"),
        (pl.Series([dt.timedelta(days=1)]), "P1D"),
        (pl.Series(["r7"]), "r7"),
    ],
    ids=lambda c: str(getattr(c, "dtype", "")),
)
def test_a_key_that_providers_allow_is_the_id(key, custom_id):
    """So that a provider's file can be read without us."""
    assert custom_ids(key, "k") == [custom_id]


@pytest.mark.parametrize(
    "key",
    ["a" * 65, "ünï", "", " ", "two words", "a\n", "1.0", "h-" + "a" * 40, "h-x", "x/y", "😀"],
)
def test_any_other_key_becomes_a_hash(key):
    """Legal everywhere, different for each; a key that looks like a hash is hashed again."""
    (found,) = custom_ids(pl.Series([key]), "k")
    assert re.fullmatch(r"h-[0-9a-f]{40}", found)
    assert found != key


@given(st.lists(TEXT | st.from_regex(r"h-[0-9a-f]{40}", fullmatch=True), unique=True))
def test_different_keys_have_different_ids(keys):
    """All of them legal at every provider."""
    found = custom_ids(pl.Series(keys, dtype=pl.String), "k")
    assert len(set(found)) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one) for one in found)


def test_float_keys_have_their_text():
    """1.0 is not 1, but it is the same in every frame."""
    first, second = custom_ids(pl.Series([1.0, 1.5]), "k")
    assert first == custom_ids(pl.Series(["1.0"]), "k")[0]
    assert second == custom_ids(pl.Series([1.5], dtype=pl.Float32), "k")[0]


@pytest.mark.parametrize("dtype", [pl.Binary, pl.Object, pl.Struct({"b": pl.Binary})], ids=str)
def test_a_key_without_text_is_refused(dtype):
    """Bytes and objects identify nothing that could travel."""
    keys = pl.DataFrame(schema={"k": dtype})["k"]
    with pytest.raises(KeyColumnError) as raised:
        custom_ids(keys, "k")
    assert str(raised.value) == (
        f"key='k' has the type {keys.dtype}, which has no text to identify rows by. "
        "Use a column of numbers or strings."
    )


def test_a_key_that_is_null_names_its_row(small):
    """The row in the frame, not in its chunk."""
    frame = pl.DataFrame({"k": [*range(30), None, None]})
    with pytest.raises(KeyColumnError) as raised:
        ask(frame, "q", key="k")
    assert str(raised.value) == (
        "key='k' is null in row 30. Every row needs a key of its own; fill the nulls, or leave "
        "key= out."
    )


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("again", [1, 20])
def test_a_key_that_stands_twice_names_both_rows(small, again, lazy):
    """In one chunk or in two."""
    keys = [f"k{i}" for i in range(30)]
    keys[again] = "k0"
    frame = pl.DataFrame({"id no": keys})
    with pytest.raises(KeyColumnError) as raised:
        ask(frame.lazy() if lazy else frame, "q", key="id no")
    assert str(raised.value) == (
        f"key='id no' says the same thing in rows 0 and {again}. Keep one row a key, for example "
        "df.unique('id no', maintain_order=True), or leave key= out."
    )


# --- fingerprints


def fingerprint(frame, *, key=None, settings=None, ordered=None, **options):
    """Give the fingerprint of a call."""
    found = Fingerprint(settings or {"mode": "batch"}, ordered=key is None)
    for start in range(0, frame.height, 3):
        found.add(ask(frame, "{t}", key=key, **options)[start : start + 3])
    return found.hexdigest()


FRAME = pl.DataFrame({"t": ["a", "b", "c", "d"], "k": [1, 2, 3, 4]})


def test_the_same_call_has_the_same_fingerprint_in_another_process():
    """Whatever Python's hash seed and Polars' own are there."""
    script = """
        import polars as pl
        from test_requests import FRAME, fingerprint
        print(fingerprint(FRAME), fingerprint(FRAME, key="k"))
    """
    here = [str(p) for p in sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {here!r}\n{textwrap.dedent(script)}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [fingerprint(FRAME), fingerprint(FRAME, key="k")]


def test_without_a_key_the_order_of_rows_is_part_of_the_call():
    """Position is all that identifies a row then."""
    assert fingerprint(FRAME) != fingerprint(FRAME.reverse())


def test_with_a_key_the_order_of_rows_is_not():
    """A query without ORDER BY finds its job again."""
    whole = fingerprint(FRAME, key="k")
    assert whole == fingerprint(FRAME.reverse(), key="k")
    assert whole == fingerprint(FRAME.sample(fraction=1, shuffle=True, seed=3), key="k")
    swapped = FRAME.with_columns(t=pl.col("t").reverse())
    assert whole != fingerprint(swapped, key="k")


@pytest.mark.parametrize("key", [None, "k"])
def test_any_change_makes_another_fingerprint(key):
    """A cell, a row more or less, a parameter, a model, a key, a setting."""
    base = {"key": key}
    cell = FRAME.with_columns(t=pl.when(pl.col("k") == 4).then(pl.lit("D")).otherwise("t"))
    empty = FRAME.with_columns(t=pl.when(pl.col("k") != 4).then("t"))
    found = [
        fingerprint(FRAME, **base),
        fingerprint(cell, **base),
        fingerprint(empty, **base),
        fingerprint(FRAME.head(3), **base),
        fingerprint(FRAME.vstack(pl.DataFrame({"t": ["a"], "k": [5]})), **base),
        fingerprint(FRAME, **base, temperature=0),
        fingerprint(FRAME, **base, temperature=0.0),
        fingerprint(FRAME, **base, seed=pl.col("k")),
        fingerprint(FRAME, **base, system="s"),
        fingerprint(FRAME, **base, model="m/y"),
        fingerprint(FRAME, **base, settings={"mode": "immediate"}),
    ]
    if key is not None:
        found.append(fingerprint(FRAME.with_columns(pl.col("k") + 1), **base))
    assert len(set(found)) == len(found)


def test_a_fingerprint_has_forty_digits():
    """Also that of no rows."""
    assert re.fullmatch("[0-9a-f]{40}", Fingerprint({}, ordered=True).hexdigest())


def test_a_message_may_be_an_expression():
    """As a prompt may; it is one text a row."""
    df = pl.DataFrame({"t": ["a", "b"]})
    messages = [{"role": "user", "content": pl.col("t").str.to_uppercase()}]
    bodies = df.batch.requests(model="local/smollm2", messages=messages)["body"]
    assert [orjson.loads(body)["messages"][0]["content"] for body in bodies] == ["A", "B"]
