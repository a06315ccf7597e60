"""Templates: columns in single braces, braces doubled, and a message that helps with everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe.errors import ColumnError
from batchframe.frame.template import Placeholder, parse


@pytest.mark.parametrize(
    ("template", "pieces"),
    [
        ("", ("",)),
        ("plain", ("plain",)),
        ("{text}", (Placeholder("text"),)),
        ("a {text} b", ("a ", Placeholder("text"), " b")),
        ("{text}{n}", (Placeholder("text"), Placeholder("n"))),
        ("{{text}}", ("{text}",)),
        ("{{{text}}}", ("{", Placeholder("text"), "}")),
        ('{{"a": {n}}}', ('{"a": ', Placeholder("n"), "}")),
        ("{two words}", (Placeholder("two words"),)),
        ("{a.b}", (Placeholder("a.b"),)),
        ("{text.head.x}", (Placeholder("text", ("head", "x")),)),
        ("{ünï}", (Placeholder("ünï"),)),
        ("{a\nb}", (Placeholder("a\nb"),)),
        ("{}", (Placeholder(""),)),
    ],
)
def test_a_template_is_cut_into_text_and_columns(template, pieces):
    """Column names may hold blanks, dots, line breaks, or nothing at all."""
    columns = ["text", "n", "two words", "a.b", "ünï", "a\nb", ""]
    assert parse(template, columns, where="prompt=") == pieces


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{texd}",
            (
                "prompt= asks for the column 'texd', which the frame does not have. "
                "Did you mean 'text'? Columns: 'text', 'n'. For a brace in the text, write '{{' or '}}'."
            ),
        ),
        (
            "{ text }",
            (
                "prompt= asks for the column ' text ', which the frame does not have. Write '{text}': "
                "a placeholder holds the column's name and nothing else. Columns: 'text', 'n'. "
                "For a brace in the text, write '{{' or '}}'."
            ),
        ),
        (
            "{n:.2f}",
            (
                "prompt= asks for the column 'n:.2f', which the frame does not have. Write '{n}': "
                "a placeholder holds the column's name and nothing else. Columns: 'text', 'n'. "
                "For a brace in the text, write '{{' or '}}'."
            ),
        ),
        (
            'Answer as {"label": 1}',
            (
                "prompt= has '{\"label\": 1}' at character 10, which reads like JSON and is no column. "
                "Write every brace of the text twice, '{{' and '}}'; only a column stands in single "
                "ones. Columns: 'text', 'n'."
            ),
        ),
        (
            "{}",
            (
                "prompt= has '{}' at character 0, which reads like JSON and is no column. "
                "Write every brace of the text twice, '{{' and '}}'; only a column stands in single "
                "ones. Columns: 'text', 'n'."
            ),
        ),
        (
            '{"a": {"b": "{text}"}}',
            (
                "prompt= has a lone '{' at character 0: write '{{' for a brace, or {column} for a "
                "column. JSON in a prompt needs all its braces twice; a column whose own name holds "
                "braces needs an expression, such as pl.format('... {}', pl.col('a{b'))."
            ),
        ),
        (
            "{text}}",
            (
                "prompt= has a lone '}' at character 6: write '}}' for a brace, or {column} for a "
                "column. JSON in a prompt needs all its braces twice; a column whose own name holds "
                "braces needs an expression, such as pl.format('... {}', pl.col('a{b'))."
            ),
        ),
    ],
)
def test_what_cannot_be_read_says_what_to_write(template, message):
    """A missing column names the nearest, and JSON in a prompt is recognised."""
    with pytest.raises(ColumnError) as raised:
        parse(template, ["text", "n"], where="prompt=")
    assert str(raised.value) == message


def test_a_long_wrong_name_is_cut_short():
    """A prompt with braces in it is not repeated in the message."""
    with pytest.raises(ColumnError) as raised:
        parse("{" + "secret " * 50 + "}", [], where="prompt=")
    assert str(raised.value) == (
        "prompt= asks for the column 'secret secret secret secret se...', which the frame does not "
        "have. Columns: none. For a brace in the text, write '{{' or '}}'."
    )


@given(st.text())
def test_doubled_braces_give_any_text_back(text):
    """Whatever the text, doubling its braces makes it a template of itself."""
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert parse(doubled, [], where="prompt=") == (text,)
