"""Prompts, messages and parameters: what becomes of every type, and what is refused before a row is read."""

from __future__ import annotations

import datetime as dt
import decimal

import polars as pl
import pytest
from asking import ask, asked, bodies

from batchframe.errors import ColumnError, InputError
from batchframe.frame.prompt import chat_shape, embedding_shape

NAN = float("nan")
ZURICH = dt.datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001 - a naive time is the case
PNG = b"\x89PNG\r\n\x1a\n..."

COLUMNS = [
    (pl.Series([1], dtype=pl.Int8), "1"),
    (pl.Series([2**64 - 1], dtype=pl.UInt64), "18446744073709551615"),
    (pl.Series([2**100], dtype=pl.Int128), "1267650600228229401496703205376"),
    (pl.Series([1.0]), "1.0"),
    (pl.Series([NAN]), "NaN"),
    (pl.Series([float("-inf")]), "-inf"),
    (pl.Series([0.1], dtype=pl.Float32), "0.1"),
    (pl.Series([decimal.Decimal("1.50")]), "1.50"),
    (pl.Series([dt.date(2024, 1, 2)]), "2024-01-02"),
    (pl.Series([ZURICH]), "2024-01-02 03:04:05.000000"),
    (
        pl.Series([ZURICH]).dt.replace_time_zone("Europe/Zurich"),
        "2024-01-02 03:04:05.000000+01:00",
    ),
    (pl.Series([dt.timedelta(days=1, seconds=3)]), "P1DT3S"),
    (pl.Series([dt.time(3, 4)]), "03:04:00"),
    (pl.Series([True]), "true"),
    (pl.Series(["a"], dtype=pl.Categorical), "a"),
    (pl.Series(["a"], dtype=pl.Enum(["a"])), "a"),
    (pl.Series([['a"é', None]]), '["a\\"é",null]'),
    (pl.Series([[]], dtype=pl.List(pl.Int8)), "[]"),
    (pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)), "[1,2]"),
    (pl.Series([{"a": 1, "b": {"c": [1, None]}}]), '{"a":1,"b":{"c":[1,null]}}'),
    (pl.Series([[{"a": "x}"}]]), '[{"a":"x}"}]'),
    (pl.Series([{"d": NAN}]), '{"d":null}'),
    (pl.Series([{"d": dt.date(2024, 1, 1)}]), '{"d":"2024-01-01"}'),
    (pl.Series([{}], dtype=pl.Struct([])), "{}"),
]


@pytest.mark.parametrize(("column", "text"), COLUMNS, ids=lambda c: str(getattr(c, "dtype", "")))
def test_a_column_of_any_type_has_its_text(column, text):
    """Numbers and times as Polars writes them, nested values as JSON, durations as ISO 8601."""
    frame = pl.DataFrame({"c": column})
    assert asked(frame, "v={c}") == [f"v={text}"]
    assert asked(frame, pl.col("c")) == [text]


@pytest.mark.parametrize("column", [c for c, _ in COLUMNS], ids=lambda c: str(c.dtype))
def test_a_null_of_any_type_is_not_sent(column):
    """A nested null is no text `null`."""
    frame = pl.DataFrame({"c": column.clear(1)})
    error = "empty_prompt: prompt= is null in this row"
    assert ask(frame, "v={c}")["error"].to_list() == [error]
    assert ask(frame, pl.col("c"))["error"].to_list() == [error]


def test_a_column_of_nulls_is_not_sent():
    """The Null type has no values at all."""
    assert asked(pl.DataFrame({"c": [None, None]}), "{c}") == [None, None]


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (pl.Binary, "Binary"),
        (pl.Object, "Object"),
        (pl.Struct({"d": pl.Binary}), "Struct({'d': Binary})"),
        (pl.List(pl.List(pl.Binary)), "List(List(Binary))"),
    ],
)
def test_bytes_and_objects_have_no_text(dtype, name):
    """Also inside lists and structs, where Polars itself would panic."""
    with pytest.raises(ColumnError) as raised:
        ask(pl.DataFrame(schema={"c": dtype}), "{c}")
    assert str(raised.value) == (
        f"The column 'c' is {name} and has no text. Images go into messages=, as a part "
        "{'type': 'image_url', 'image_url': {'url': '{c}'}}."
    )


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a.b",
        "ünï",
        "",
        "__batchframe_row",
        "row",
        "h0",
        "t0",
        "model",
        "key",
        "body",
        "error",
        "a\nb",
        " x ",
        "^a.*$",
        "*",
        "'",
        '"',
        "\\",
    ],
)
def test_a_column_may_have_any_name(name):
    """Names of our own, patterns and blanks included: in the prompt, as the key, in the vicinity."""
    frame = pl.DataFrame({name: ["x", "y"], "another": ["p", "q"]})
    assert asked(frame, "{" + name + "}") == ["x", "y"]
    assert ask(frame, "{another}", key=name)["custom_id"].to_list() == ["x", "y"]
    assert asked(frame, pl.concat_str(pl.all())) == ["xp", "yq"]


FRAME = pl.DataFrame({"t": ["a", "b", "a"], "n": [1, 2, 3], "s": [{"x": {"y": "deep"}}] * 3})


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        (pl.lit("x"), ["x", "x", "x"]),
        ("same", ["same", "same", "same"]),
        (pl.col("t").first(), ["a", "a", "a"]),
        (pl.col("n").sum(), ["6", "6", "6"]),
        (pl.col("n").sum().over("t"), ["4", "2", "4"]),
        (pl.col("n").shift(1), [None, "1", "2"]),
        (pl.int_range(pl.len()), ["0", "1", "2"]),
        (pl.lit(pl.Series(["p", "q", "r"])), ["p", "q", "r"]),
        (pl.first(), ["a", "b", "a"]),
        (pl.col("^t$"), ["a", "b", "a"]),
        (pl.struct("t"), ['{"t":"a"}', '{"t":"b"}', '{"t":"a"}']),
        (pl.col("t").sort_by("n", descending=True), ["a", "b", "a"]),
        (pl.lit(None), [None, None, None]),
        ("{s.x.y}", ["deep", "deep", "deep"]),
        ("{s.x}", ['{"y":"deep"}'] * 3),
        (pl.format("{}-{}", "t", "n"), ["a-1", "b-2", "a-3"]),
    ],
    ids=str,
)
def test_an_expression_means_what_it_means_in_polars(prompt, texts, lazy):
    """Constants repeat, windows look at the whole frame, and no helper column is in sight."""
    assert asked(FRAME.lazy() if lazy else FRAME, prompt) == texts


@pytest.mark.parametrize(
    ("prompt", "kind", "message"),
    [
        (
            pl.all(),
            ColumnError,
            (
                "prompt= must be one column, and the expression gives 3: 't', 'n', 's'. "
                "Put them together with pl.concat_str(...) or pl.format(...)."
            ),
        ),
        (
            pl.col("nn"),
            ColumnError,
            (
                "prompt= asks for the column 'nn', which the frame does not have. Did you mean 'n'? "
                "Columns: 't', 'n', 's'."
            ),
        ),
        (
            pl.col("t").cast(pl.Binary),
            ColumnError,
            (
                "The expression of prompt= is Binary and has no text. Images go into messages=, as a "
                "part {'type': 'image_url', 'image_url': {'url': '{column}'}}."
            ),
        ),
        (
            "{s.z}",
            ColumnError,
            "prompt= asks for the field 'z' of the column 's', which it does not have. Fields: 'x'.",
        ),
        (
            "{t.z}",
            ColumnError,
            (
                "prompt= asks for the field 'z' of the column 't', which it does not have. "
                "Fields: none, its type is String."
            ),
        ),
        (
            " \n",
            InputError,
            'prompt= is blank. Ask something, for example prompt="Translate: {text}".',
        ),
        (
            "half \ud83d",
            InputError,
            (
                "prompt= holds half of a surrogate pair at character 5, which no JSON can carry. "
                "Type: text.encode('utf-8', 'replace').decode()"
            ),
        ),
        (
            5,
            InputError,
            "prompt= must be a text with {column} placeholders or a pl.Expr, not int.",
        ),
    ],
)
def test_a_prompt_that_cannot_be_is_refused_before_a_row_is_read(prompt, kind, message):
    """The shape is never made, so nothing is staged either."""
    with pytest.raises(kind) as raised:
        chat_shape(FRAME.schema, prompt=prompt, system=None, messages=None, parameters={})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("prompt", "messages", "word"),
    [(None, None, "Neither was given"), ("x", [{"role": "user"}], "Both were given")],
)
def test_either_a_prompt_or_messages(prompt, messages, word):
    """Exactly one of the two."""
    with pytest.raises(InputError) as raised:
        chat_shape({}, prompt=prompt, system=None, messages=messages, parameters={})
    assert str(raised.value) == f"A job needs prompt= or messages=, one of them. {word}."


def test_the_system_turn_comes_first_and_may_vary():
    """A template, like the prompt."""
    (body,) = bodies(pl.DataFrame({"t": ["x"]}), "say {t}", system="as {t}")
    assert body["messages"] == [
        {"role": "system", "content": "as x"},
        {"role": "user", "content": "say x"},
    ]


def test_blank_rows_are_not_sent_when_nothing_else_is_asked():
    """Literal text around a blank asks something; a system turn does not."""
    frame = pl.DataFrame({"t": ["x", "", " \n\t", None]})
    assert ask(frame, "{t}", system="{t}")["error"].to_list() == [
        None,
        "empty_prompt: there is nothing but blanks to ask in this row",
        "empty_prompt: there is nothing but blanks to ask in this row",
        "empty_prompt: system= is null in this row",
    ]
    assert asked(frame, "Q: {t}") == ["Q: x", "Q: ", "Q:  \n\t", None]


# --- messages


def picture(url):
    """Give messages with one image."""
    image = {"url": url, "detail": "low"}
    return [
        {"role": "system", "content": "Look."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": image},
            ],
        },
    ]


@pytest.mark.parametrize("url", ["{b}", pl.col("b")], ids=["template", "expression"])
def test_image_bytes_become_data_uris(url):
    """By their first bytes; bytes of no known format bar the row, and so does a null."""
    files = [
        PNG,
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"",
        None,
    ]
    found = ask(pl.DataFrame({"b": files}), messages=picture(url))
    sent = bodies(pl.DataFrame({"b": files[:4]}), messages=picture(url))
    assert [b["messages"][1]["content"][1]["image_url"] for b in sent] == [
        {"detail": "low", "url": "data:image/png;base64,iVBORw0KGgouLi4="},
        {"detail": "low", "url": "data:image/jpeg;base64,/9j/4A=="},
        {"detail": "low", "url": "data:image/gif;base64,R0lGODlh"},
        {"detail": "low", "url": "data:image/webp;base64,UklGRgAAAABXRUJQVlA4IA=="},
    ]
    unknown = (
        "invalid_image: messages[1]['content'][1] is no PNG, JPEG, GIF or WebP image in this row"
    )
    null = "empty_prompt: messages[1]['content'][1] is null in this row"
    assert found["error"].to_list() == [None] * 4 + [unknown, unknown, null]


def test_image_addresses_pass_through():
    """Whole columns, templates, and the short form without a mapping."""
    frame = pl.DataFrame({"u": ["http://x/a.png", None], "i": [7, 8]})
    whole = bodies(frame, messages=picture("{u}"))
    assert whole[0]["messages"][1]["content"][1]["image_url"]["url"] == "http://x/a.png"
    assert whole[1] is None
    pieced = bodies(frame, messages=picture("https://x/{i}.png"))
    assert [b["messages"][1]["content"][1]["image_url"]["url"] for b in pieced] == [
        "https://x/7.png",
        "https://x/8.png",
    ]
    short = [{"role": "user", "content": [{"type": "image_url", "image_url": "{u}"}]}]
    (first, _) = bodies(frame, messages=short)
    assert first["messages"][0]["content"][0]["image_url"] == {"url": "http://x/a.png"}


def test_parts_of_other_kinds_hold_templates_too():
    """Sound and files have their text in other places."""
    part = {"type": "input_audio", "input_audio": {"data": "{t}", "format": "wav"}}
    (body,) = bodies(pl.DataFrame({"t": ["AAAA"]}), messages=[{"role": "user", "content": [part]}])
    assert body["messages"][0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    ]


def test_tool_calls_are_left_as_they_are():
    """Their arguments are JSON with braces, and a null content beside them stays null."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    given = [
        {"role": "user", "content": "{t}"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "{t}!"},
    ]
    (body,) = bodies(pl.DataFrame({"t": ["x"]}), messages=given)
    assert body["messages"] == [
        {"role": "user", "content": "x"},
        given[1],
        {"role": "tool", "tool_call_id": "1", "content": "x!"},
    ]


def test_the_callers_messages_are_not_changed():
    """Nothing that was handed in is written to."""
    given = picture("{u}")
    chat_shape(
        {"u": pl.String()}, prompt=None, system=None, messages=given, parameters={"stop": ["a"]}
    )
    assert given == picture("{u}")


def test_a_row_may_bring_its_own_conversation():
    """Nulls that the struct puts there go; a message or a conversation that is null is no message."""
    call = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    rows = [
        [
            {"role": "user", "content": "q", "tool_calls": None},
            None,
            {"role": "assistant", "content": None, "tool_calls": call},
        ],
        [{"role": "wizard", "content": "abra", "tool_calls": None}],
        [{"role": None, "content": "x", "tool_calls": None}],
        [{"role": "user", "content": " ", "tool_calls": None}],
        [{"role": "system", "content": "only this", "tool_calls": None}],
        [],
        None,
    ]
    frame = pl.DataFrame({"m": rows})
    found = ask(frame, messages=pl.col("m"), system="S")
    blank = "empty_prompt: there is nothing but blanks to ask in this row"
    assert found["error"].to_list() == [
        None,
        None,
        "invalid_request: a message of messages= has no role in this row",
        blank,
        blank,
        blank,
        "empty_prompt: messages= is null in this row",
    ]
    first, second = bodies(frame.head(2), messages=pl.col("m"), system="S")
    system = {"role": "system", "content": "S"}
    assert first["messages"] == [
        system,
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": call},
    ]
    assert second["messages"] == [system, {"role": "wizard", "content": "abra"}]


def test_a_conversation_may_hold_parts():
    """Lists of parts in a struct column, in Arrays as well as Lists."""
    part = {"type": "text", "text": "hi"}
    frame = pl.DataFrame({"m": [[{"role": "user", "content": [part]}]]})
    fixed = frame.with_columns(pl.col("m").list.to_array(1))
    for one in (frame, fixed):
        (body,) = bodies(one, messages=pl.col("m"))
        assert body["messages"] == [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("expression", "dtype"),
    [
        (pl.col("t"), "String"),
        (pl.concat_list("t"), "List(String)"),
        (pl.struct(role="t"), "Struct({'role': String})"),
        (pl.concat_list(pl.struct("t")), "List(Struct({'t': String}))"),
    ],
    ids=str,
)
def test_a_conversation_of_another_type_is_refused(expression, dtype):
    """With an expression to copy."""
    with pytest.raises(ColumnError) as raised:
        ask(FRAME, messages=expression)
    assert str(raised.value) == (
        f"messages= must be a list of structs with 'role' and 'content', not {dtype}. For example: "
        "pl.concat_list(pl.struct(role=pl.lit('user'), content='text'))."
    )
    shown = pl.concat_list(pl.struct(role=pl.lit("user"), content="t"))
    assert asked(FRAME, messages=shown) == ["a", "b", "a"]


LIST = "messages= must be a list of {'role': ..., 'content': ...} or a pl.Expr."
ROLE = "messages[0] must be a mapping with a 'role', for example 'user'."
CONTENT = "messages[0]['content'] must be a text, a pl.Expr or a list of parts."
PART = "messages[0]['content'][0] must be a part such as {'type': 'text', 'text': ...}."
TEXT = "messages[0]['content'][0] must be a text with {column} placeholders or a pl.Expr, not NoneType."


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], LIST),
        ("hi", LIST),
        ({"role": "user"}, LIST),
        (["hi"], ROLE),
        ([{"content": "x"}], ROLE),
        ([{"role": 1}], ROLE),
        ([{"role": ""}], ROLE),
        ([{"role": "user", "content": 5}], CONTENT),
        ([{"role": "user", "content": b"x"}], CONTENT),
        ([{"role": "user", "content": [{"text": "x"}]}], PART),
        ([{"role": "user", "content": [{"type": "text"}]}], TEXT),
        ([{"role": "user", "content": [{"type": "image_url"}]}], TEXT),
        (
            [{"role": "user", "content": "q", "name": pl.col("t")}],
            "messages[0]['name'] is not JSON: Object of type Expr is not JSON serializable.",
        ),
    ],
)
def test_messages_of_no_shape_are_refused(messages, message):
    """Each says which message is at fault."""
    with pytest.raises(InputError) as raised:
        ask(FRAME, messages=messages)
    assert str(raised.value) == message


# --- parameters


def test_constant_parameters_are_written_as_plain_json():
    """Tuples become lists and numbers as keys become text, as JSON has it; null stays null."""
    (body,) = bodies(
        pl.DataFrame({"t": ["x"]}),
        "{t}",
        logit_bias={50256: -100},
        stop=("a", "b"),
        temperature=0,
        seed=None,
    )
    del body["messages"]
    assert body == {
        "logit_bias": {"50256": -100},
        "stop": ["a", "b"],
        "temperature": 0,
        "seed": None,
    }


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (NAN, "Out of range float values are not JSON compliant."),
        ({"x": float("inf")}, "Out of range float values are not JSON compliant."),
        (object(), "Object of type object is not JSON serializable."),
        ({"a": pl.col("t")}, "Object of type Expr is not JSON serializable."),
    ],
)
def test_a_constant_that_is_not_json_is_refused(value, why):
    """NaN would otherwise become null on the wire."""
    with pytest.raises(InputError) as raised:
        ask(FRAME, "q", temperature=value)
    assert (
        str(raised.value)
        .removesuffix(": nan.")
        .startswith(f"The parameter 'temperature' is not JSON: {why[:-1]}")
    )


@pytest.mark.parametrize(
    ("column", "written"),
    [
        (pl.Series([5, None]), [{"p": 5}, {}]),
        (pl.Series([0.5, None]), [{"p": 0.5}, {}]),
        (pl.Series([True, None]), [{"p": True}, {}]),
        (pl.Series(["a\nb", None]), [{"p": "a\nb"}, {}]),
        (pl.Series([decimal.Decimal("0.5"), None]), [{"p": 0.5}, {}]),
        (pl.Series(["a", None], dtype=pl.Categorical), [{"p": "a"}, {}]),
        (pl.Series([dt.date(2024, 1, 1), None]), [{"p": "2024-01-01"}, {}]),
        (pl.Series([["x", None], None]), [{"p": ["x", None]}, {}]),
        (pl.Series([[], None], dtype=pl.List(pl.String)), [{"p": []}, {}]),
        (pl.Series([[1, 2], None], dtype=pl.Array(pl.Int64, 2)), [{"p": [1, 2]}, {}]),
        (pl.Series([{"1": -100, "2": None}, None]), [{"p": {"1": -100}}, {}]),
        (pl.Series([None, None]), [{}, {}]),
        (pl.Series([NAN, 1.0]), [None, {"p": 1.0}]),
        (pl.Series([float("inf"), 1.0]), [None, {"p": 1.0}]),
        (pl.Series([[NAN], [1.0]]), [None, {"p": [1.0]}]),
    ],
    ids=lambda c: str(getattr(c, "dtype", "")),
)
def test_a_parameter_per_row_is_left_out_where_it_is_null(column, written):
    """First, last and between constants; a number that JSON lacks bars the row, never becomes null."""
    frame = pl.DataFrame({"c": column})
    for before, after in ({"a": 1}, {}), ({}, {"z": 1}), ({}, {}):
        found = bodies(frame, "q", **before, p=pl.col("c"), **after)
        for body in found:
            if body is not None:
                assert body.pop("messages") == [{"role": "user", "content": "q"}]
        assert found == [None if w is None else {**before, **w, **after} for w in written]


def test_numbers_that_json_lacks_say_so():
    """Row errors, since other rows may be fine."""
    frame = pl.DataFrame({"x": [NAN], "xs": [[NAN]]})
    assert ask(frame, "q", p=pl.col("x"))["error"].to_list() == [
        "invalid_request: p= is no finite number in this row"
    ]
    assert ask(frame, "q", p=pl.col("xs"))["error"].to_list() == [
        "invalid_request: p= is not JSON in this row: a number in it is not finite"
    ]


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (pl.Binary(), "Binary"),
        (pl.Object(), "Object"),
        (pl.List(pl.Decimal(10, 2)), "List(Decimal(precision=10, scale=2))"),
        (pl.Struct({"a": pl.Duration("us")}), "Struct({'a': Duration(time_unit='us')})"),
    ],
)
def test_a_parameter_that_json_cannot_carry_is_refused(dtype, name):
    """Before a row is read."""
    with pytest.raises(ColumnError) as raised:
        ask(pl.DataFrame(schema={"c": dtype}), "q", p=pl.col("c"))
    assert str(raised.value) == (
        f"p= is {name}, which JSON cannot carry. Cast it first, for example with "
        ".cast(pl.String) or .cast(pl.Float64)."
    )


# --- embeddings


@pytest.mark.parametrize("source", ["t", "{t}", pl.col("t")], ids=str)
def test_a_text_to_embed_may_be_named_in_three_ways(source):
    """A column, a template or an expression."""
    shape = embedding_shape({"t": pl.String()}, source, {"dimensions": 8})
    assert list(shape.body) == ["input", "dimensions"]
    assert len(shape.holes) == 1


def test_a_constant_is_no_text_to_embed():
    """Most likely a column's name with a slip in it."""
    with pytest.raises(ColumnError) as raised:
        embedding_shape({"text": pl.String()}, "texd", {})
    assert str(raised.value) == (
        "embed() needs a column; the frame has none called 'texd'. Did you mean 'text'? "
        "Columns: 'text'."
    )
