"""The static card and the plain line say what the view says, whatever is in it."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from fake_driver import NOW, RUNNING, VIEWS

from batchframe.ledger.events import ErrorGroup, JobState
from batchframe.notebook import words
from batchframe.notebook.html import body, cause_table, head, html, style, text

VOID = {"br"}
PLAIN_TAGS = {
    "section",
    "style",
    "div",
    "p",
    "strong",
    "bdi",
    "span",
    "code",
    "ul",
    "li",
    "b",
    "i",
    "br",
} | {"small", "details", "summary", "table", "thead", "tbody", "tr", "th", "td"}


class Reader(HTMLParser):
    """Reads HTML as a page without style sheets shows it, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.progress: dict[str, str | None] = {}

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if ("role", "progressbar") in attrs:
            self.progress = dict(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def read(source: str) -> Reader:
    reader = Reader()
    reader.feed(source)
    reader.close()
    assert reader.open == []
    return reader


def test_the_plain_line_says_who_how_far_how_fast_and_how_much():
    """The example of the contract, letter by letter."""
    assert text(RUNNING, now=NOW) == (
        "job-7f3k  reviews · local/smollm2 · running  212/320 (66 %) · 3 failed · 8.4 rows/s"
        " · ~0:13 left · 12,345 in / 678 out tokens · $0.00"
    )


def test_an_ended_job_says_how_long_it_took():
    """No speed and no guess of the end once it has ended."""
    assert text(VIEWS["completed"], now=NOW + 999) == (
        "job-7f3k  reviews · local/smollm2 · completed  320/320 (100 %) · 3 failed · took 0:23"
        " · 12,345 in / 678 out tokens · $0.031"
    )


def test_a_failed_job_says_why_in_its_line():
    """The message with the line to type is there, on one line."""
    assert text(VIEWS["failed"], now=NOW).endswith(
        "price unknown · openai does not accept the key in OPENAI_API_KEY (401, job-7f3k)."
        " Type: bf.job('job-7f3k').retry()"
    )


def test_without_its_style_sheet_the_card_reads_as_sentences():
    """What GitHub shows: the same words in the same order."""
    said = " ".join("".join(read(html(VIEWS["running"], now=NOW)).words).split())
    assert said == (
        "reviews ● running part 2 at the providerlocal/smollm2 · immediate · job-7f3k"
        "Rows 212 of 320 66 %Failed ✕ 3Parts 1 of 3Speed 8.4 rows/sElapsed 0:25Left ~0:13"
        "Tokens 12,345 in · 678 outCost $0.00"
        "Why 3 rows failedRowsCauseFor exampleTry again?"
        "2rate_limitToo many requests, slow down.may help"
        "1invalid_responselabel: Input should be 'good' or 'bad'no use"
        f"As of {_moment(NOW)} · bf.job('job-7f3k') shows it as it is now"
    )


def _moment(at: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def test_a_screen_reader_hears_the_bar_as_a_sentence():
    """The bar has a role, figures and a text that names what failed."""
    progress = read(html(RUNNING, now=NOW)).progress
    assert {name: progress[name] for name in progress if name.startswith("aria")} == {
        "aria-label": "rows done",
        "aria-valuemin": "0",
        "aria-valuemax": "100",
        "aria-valuenow": "66",
        "aria-valuetext": "212 of 320 rows, 3 failed",
    }


@pytest.mark.parametrize("name", VIEWS)
def test_every_state_gives_whole_html_without_scripts(name):
    """All tags are closed and none is a script, an image or a link, hostile texts included."""
    tags = read(html(VIEWS[name], now=NOW)).tags
    assert tags <= PLAIN_TAGS
    assert len(html(VIEWS[name], now=NOW)) < 20_000


@pytest.mark.parametrize("name", VIEWS)
def test_every_state_gives_one_printable_line(name):
    """No state gives a second line or a character that a terminal acts upon."""
    line = text(VIEWS[name], now=NOW)
    assert line.isprintable() or name == "hostile"
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)
    assert len(line) < 1000


def test_no_formula_can_begin_in_a_card():
    """Notebooks typeset TeX in HTML outputs, which carries links; nothing of ours or theirs may."""
    bare = re.sub(r"<style>.*?</style>|<span>[$\\]</span>", "", html(VIEWS["hostile"], now=NOW))
    assert "href" in bare
    assert not re.search(r"[$\\]", bare)
    assert 'class="bf bf-card tex2jax_ignore mathjax_ignore"' in bare


def test_a_price_nobody_knows_is_said_to_be_unknown():
    """Unknown is never shown as an amount; partly known says both."""
    assert words.cost(VIEWS["unknown-price"]) == "price unknown"
    assert words.cost(replace(RUNNING, cost=Decimal(3), price="unknown")) == "price unknown"
    assert words.cost(replace(RUNNING, cost=None, price="known")) == "price unknown"
    assert words.cost(VIEWS["partly-priced"]) == "$1.20 + unknown prices"


def test_hundred_per_cent_is_said_only_when_every_row_is_done():
    """One row of a billion still missing is 99 %; nonsense counts stay within the bar."""
    assert words.percent(VIEWS["huge"]) == 99
    assert words.percent(VIEWS["empty"]) == 100
    assert words.percent(replace(RUNNING, done=999)) == 100
    assert 'aria-valuenow="0"' in body(replace(RUNNING, done=-5), now=NOW)


def test_figures_that_are_no_numbers_are_left_out():
    """NaN and infinity come from divisions by young clocks."""
    odd = replace(RUNNING, rate=float("nan"), eta=float("inf"), cost=Decimal("NaN"))
    assert text(odd, now=NOW) == (
        "job-7f3k  reviews · local/smollm2 · running  212/320 (66 %) · 3 failed"
        " · 12,345 in / 678 out tokens · price unknown"
    )


def test_one_failed_row_in_a_billion_has_a_width():
    """The failed end of the bar never vanishes, and is absent when nothing failed."""
    assert "min-width:3px" in body(VIEWS["huge"], now=NOW)
    assert "bf-lost" not in body(VIEWS["perfect"], now=NOW)


def test_the_most_frequent_causes_come_first_and_the_rest_is_counted():
    """A table stays a table when every row fails in its own way."""
    groups = tuple(ErrorGroup(f"c{n}", n, "x") for n in range(1, 10))
    table = cause_table(replace(RUNNING, errors=groups))
    assert re.findall(r"<code>(c\d)</code>", table) == ["c9", "c8", "c7", "c6", "c5", "c4"]
    assert "and 3 more causes of 6 rows" in table


def test_each_state_has_a_sign_and_a_word():
    """Colour alone tells nobody; a new state without a face is found here."""
    assert set(words.STATES) == set(JobState)
    assert len({face.sign for face in words.STATES.values()}) == len(JobState)
    assert '<span aria-hidden="true">✕</span> failed' in head(VIEWS["failed"])


def test_a_twin_hides_itself_only_beside_its_own_widget():
    """The rule names one widget, so other cards on the page stay."""
    assert "body:has(.bf-live-abc) .bf-twin-abc" in html(RUNNING, now=NOW, twin_of="abc")
    assert "bf-live-" not in html(RUNNING, now=NOW).replace(style(), "")


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "$0.00"),
        ("0.00000001", "< $0.000001"),
        ("0.0000012345", "$0.0000012"),
        ("0.0999", "$0.10"),
        ("0.05", "$0.050"),
        ("12.346", "$12.35"),
        ("1234567.891", "$1,234,567.89"),
        ("Infinity", "price unknown"),
    ],
)
def test_small_amounts_show_two_figures_and_large_ones_cents(amount, said):
    """A table of amounts."""
    assert words.dollars(Decimal(amount)) == said


@pytest.mark.parametrize(
    ("per_second", "said"),
    [
        (8.4, "8.4 rows/s"),
        (20.04, "20 rows/s"),
        (54321.0, "54,321 rows/s"),
        (0.2, "12 rows/min"),
        (0.005, "18 rows/h"),
        (0.00001, "0 rows/h"),
    ],
)
def test_a_speed_is_said_in_the_unit_that_suits_it(per_second, said):
    """A table of speeds."""
    assert words.rate(per_second) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (9_999_999, "9,999,999"),
        (10_000_000, "10 M"),
        (987_654_321_012, "988 B"),
        (999_999_999, "1 B"),
        (10**30, "1.00e+30"),
    ],
)
def test_a_count_is_exact_until_it_is_too_long_to_read(number, said):
    """A table of counts."""
    assert words.short_count(number) == said
