"""Texts of strangers cannot drive a terminal, fool an eye or become markup."""

from __future__ import annotations

import re
import unicodedata

import pytest
from fake_driver import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from batchframe.notebook.hostile import clean, escape

ANY_TEXT = st.text(st.characters(codec=None), max_size=300)


@given(ANY_TEXT, st.integers(1, 80))
def test_whatever_comes_in_what_goes_out_is_short_printable_and_encodable(text, limit):
    """No control or reordering character survives, and every result can be sent."""
    shown = clean(text, limit)
    kinds = {unicodedata.category(char) for char in shown} - {"Cf"}
    assert len(shown) <= limit
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff") & set(
        shown
    )
    shown.encode()


@given(ANY_TEXT)
def test_escaped_text_holds_no_tag_but_ours_and_no_formula(text):
    """Only `<span>` and `<br>` come out, and each dollar and backslash sits in its own element."""
    shown = escape(text, 400, lines=True)
    rest = re.sub(r"<span>[$\\]</span>|<br>", "", shown)
    assert not re.search(r"[<>$\\]", rest)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;cm0gLXJm\x1b\\x", "x"),
        ("\x1bP1$r\x1b\\x", "x"),
        ("\x9b2Jx", "x"),
        ("\x1bcx", "x"),
        ("\x1b]never ended", "never ended"),
        ("a\r\nb\tc\x85d\u2028e", "a b c d e"),
        ("a\u202ecod.exe", "acod.exe"),
        ("\ud800", "\ufffd"),
        ("a" + "\u0301" * 50, "a" + "\u0301" * 3),
        ("👩\u200d🔬 क\u094d\u200dष", "👩\u200d🔬 क\u094d\u200dष"),
    ],
)
def test_each_known_trick_is_taken_out_and_honest_text_stays(raw, shown):
    """A table of tricks, and two scripts that need their joiners."""
    assert clean(raw, 100) == shown


def test_line_breaks_stay_where_they_are_wanted():
    """Messages hold a line to type."""
    assert clean("one\n  two\r\nthree", 100, lines=True) == "one\n two \nthree"
    assert escape("a\nb", 100, lines=True) == "a<br>b"


def test_a_megabyte_is_cut_before_it_is_read():
    """The work does not grow with the text."""
    assert clean("x" * 1_000_000, 10) == "xxxxxxxxx…"
    assert len(escape(HOSTILE * 1000, 60)) < 1500


def test_what_was_removed_at_the_end_still_shows_that_something_was_cut():
    """A text that is all tricks for its first part is not shown as if it were complete."""
    assert clean("\x1b[0m" * 1000 + "end", 20) == "…"
