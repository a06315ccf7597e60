"""The ready-made scorers, each on rows that are right, wrong, odd and missing."""

from __future__ import annotations

import polars as pl
import pytest

from batchframe.errors import InputError
from batchframe.evals import scorers


def apply(expr, **columns):
    """Evaluate a scorer on columns."""
    return pl.DataFrame(columns, strict=False).select(expr).to_series().to_list()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [True, False, True, None, None]),
        ({"casefold": True}, [True, True, True, None, None]),
        ({"strip": False}, [True, False, False, None, None]),
    ],
)
def test_exact_match_ignores_what_it_is_told_to(options, expected):
    """Case and white space count or not; a missing side gives no score."""
    found = apply(
        scorers.exact_match("gold", **options),
        gold=["a", "Yes", "b", None, "x"],
        response=["a", "yes", " b\n", "c", None],
    )
    assert found == expected


def test_contains_reads_no_pattern():
    """A full stop is a full stop."""
    found = apply(
        scorers.contains("gold", casefold=True),
        gold=["1.5", "1.5", "PARIS"],
        response=["it is 1.5 m", "it is 125 m", "Paris, of course"],
    )
    assert found == [True, False, True]


def test_one_of_accepts_the_listed_words_only():
    """Whether it answers in the asked words."""
    expr = scorers.one_of([" Yes", "no"], casefold=True)
    assert apply(expr, response=["YES ", "maybe", "no", None]) == [True, False, True, None]


def test_regex_finds_its_pattern():
    """Anchors make it the whole text."""
    assert apply(scorers.regex(r"^\d+$"), response=["12", "12 apples", None]) == [True, False, None]


def test_field_match_compares_any_type_and_takes_the_field_as_gold():
    """Numbers as numbers; text loosely when asked."""
    parsed = [{"stars": 5, "tone": " Kind"}, {"stars": 1, "tone": "rude"}, None]
    columns = {"parsed": parsed, "stars": [5, 2, 3], "gold": ["kind", "kind", "kind"]}
    assert apply(scorers.field_match("stars"), **columns) == [True, False, None]
    loose = scorers.field_match("tone", "gold", casefold=True)
    assert apply(loose, **columns) == [True, False, None]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("42", True),
        ("The answer is 42.", True),
        ("6 * 7 = 42", True),
        ("$1,042 minus 1,000 is 42, I think", True),
        ("4.2e1", True),
        ("+42", True),
        ("-42", False),
        ("42 or 43", False),
        ("forty-two", None),
        ("", None),
        (None, None),
    ],
)
def test_numeric_close_reads_the_last_number_of_a_text(answer, expected):
    """As worked answers end with it; no number is no score, which counts as not right."""
    assert apply(scorers.numeric_close("gold"), gold=[42], response=[answer]) == [expected]


def test_numeric_close_knows_both_tolerances_and_the_first_number():
    """The wider of the two tolerances decides."""
    columns = {"gold": [100.0, 100.0, 0.0], "response": ["104 (or 1)", "106 (or 1)", "0.2 (or 1)"]}
    relative = scorers.numeric_close("gold", relative=0.05, which="first")
    assert apply(relative, **columns) == [True, False, False]
    absolute = scorers.numeric_close("gold", absolute=0.5, which="first")
    assert apply(absolute, **columns) == [False, False, True]


def test_numeric_close_takes_numbers_as_they_are():
    """A parsed field needs no text; very small ones survive the way through text."""
    expr = scorers.numeric_close("gold", pl.col("n"), absolute=1e-12)
    assert apply(expr, gold=[1e-9, 2.0], n=[1e-9, 2.5]) == [True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, null]}', True),
        ("3", True),
        ("{'a': 1}", False),
        ("NaN", False),
        ('```json\n{"a": 1}\n```', False),
        ("[" * 100_000, False),
        (None, None),
    ],
)
def test_json_valid_is_strict(text, expected):
    """What Python reads beyond the standard is no JSON, and depth does not crash it."""
    assert apply(scorers.json_valid(), response=[text]) == [expected]


def test_length_between_counts_characters_or_words():
    """Both ends belong to it; a letter is one however many bytes it takes."""
    texts = ["häß", "four", "two words here", None]
    assert apply(scorers.length_between(3, 4), response=texts) == [True, True, False, None]
    words = scorers.length_between(2, 3, unit="words")
    assert apply(words, response=texts) == [False, False, True, None]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: scorers.one_of("yes"),
            '`choices` must be a list of texts. Type: one_of(["yes", "no"])',
        ),
        (lambda: scorers.length_between(3, 2), "length_between: low (3) is above high (2)."),
    ],
)
def test_what_means_nothing_is_refused(make, message):
    """At the call, not on the result."""
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == message


def test_a_pattern_that_cannot_be_read_is_refused_at_once():
    """Before anything is paid."""
    with pytest.raises(InputError, match=r"^The pattern '\(' cannot be read: "):
        scorers.regex("(")
