"""A plan on a page: every figure it is known for, nothing of the frame's as markup, and readable without a style."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

from batchframe.notebook.plan_html import PlanLine, PlanView, html
from batchframe.testing import Echo, Fake, registered

LINE = PlanLine("fake/m", 2, 1_500, (900, 1_000, 1_400), (10, 20, 30), ("$0.10", "$0.20", "$0.30"))
VIEW = PlanView(
    name="Is it {text}?", mode="batch", rows=1_501, unsent=1, lines=(LINE,), total=LINE,
    warnings=("1 row will not be sent",), basis=("Basis: counted.",),
)  # fmt: skip
HOSTILE = '<img src=x onerror="alert(1)">$x$\u202e\x1b[31m</section><script>1</script>'


class Reader(HTMLParser):
    """The text of a page without its style, and the tags it is made of."""

    def __init__(self, page):
        super().__init__()
        self.words, self.tags, self._style = [], [], False
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._style = tag == "style"

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        if not self._style:
            self.words.append(data)


def read(view):
    """Give the words of a drawn plan; a `$` stands in a span of its own, so it is an own word."""
    return Reader(html(view)).text.replace("$ ", "$")


def test_a_plan_reads_well_without_its_style():
    """Name, rows, parts, the range of tokens and dollars, and the line to type."""
    assert read(VIEW) == (
        "Is it {text}? ○ not sent plan · batch Rows to send 1,500 of 1,501 Parts 2 Cost, likely "
        "$0.20 $0.10 to $0.30 Model Parts Rows Input tokens Output tokens Cost fake/m 2 1,500 1,000 "
        "900 to 1,400 20 10 to 30 $0.20 $0.10 to $0.30 1 row will not be sent How this was estimated "
        "Basis: counted. Nothing has been sent. plan.submit() sends it"
    )


def test_several_models_have_a_total_and_one_has_none():
    """The one line is the total."""
    assert "<tfoot>" not in html(VIEW)
    two = replace(VIEW, lines=(LINE, replace(LINE, model="echo/x")))
    assert html(two).count("<tfoot>") == 1


def test_a_refusal_is_said_first_and_submit_is_not_offered():
    """The button that would not work is not shown."""
    said = read(replace(VIEW, refusals=("Above the budget of $1.",)))
    assert "✕ refused" in said
    assert said.index("Above the budget of $1.") < said.index("Model")
    assert said.endswith("Nothing has been sent, and plan.submit() would refuse")


def test_a_plan_of_nothing_has_no_table():
    """And says that there is nothing to send."""
    none = PlanLine("all", 0, 0, (0, 0, 0), (0, 0, 0), ("$0", "$0", "$0"))
    empty = replace(VIEW, rows=1, lines=(), total=none)
    assert "<table" not in html(empty)
    assert read(empty).endswith("There is nothing to send")


def test_every_text_is_shown_letter_by_letter():
    """Prompts and models' names come out of frames; warnings hold them."""
    line = replace(LINE, model=HOSTILE, cost=(HOSTILE, HOSTILE, HOSTILE))
    page = html(
        PlanView(HOSTILE, HOSTILE, 2, 0, (line, line), line, (HOSTILE,), (HOSTILE,), (HOSTILE,))
    )
    assert not {"img", "script"} & set(Reader(page).tags)
    assert page.count("<section") == page.count("</section>") == 1
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert not re.search("[\x1b\u202e]", body)
    assert "$" not in re.sub(r"<span>\$</span>", "", body)


def test_a_thousand_models_and_warnings_stay_a_page():
    """The rest is counted."""
    many = replace(VIEW, lines=(LINE,) * 1000, warnings=("w " * 1000,) * 1000, basis=("b",) * 1000)
    page = html(many)
    assert len(page) < 30_000
    assert "and 988 more models" in page


@pytest.fixture
def made(tmp_path):
    """A real plan over two models."""
    df = pl.DataFrame({"text": ["<b>good</b>", None, "bad"], "m": ["fake/<i>", "fake/x", "echo/y"]})
    with registered(Fake(tmp_path / "cloud")), registered(Echo()):
        yield df.batch.plan(model=pl.col("m"), prompt="{text}", max_tokens=5, name="<u>n</u>")


def test_a_real_plan_shows_itself_in_a_notebook(made):
    """With its figures, and its unknown price as unknown."""
    page = made._repr_html_()
    said = Reader(page).text
    assert "Rows to send 2 of 3 Parts 2 Cost, likely unknown" in said
    assert "fake/<i>" in said
    assert not {"b", "i", "u"} & (set(Reader(page).tags) - {"b"})
    assert "all 2 2" in said
    assert "echo has no batch API: rows are sent one by one, at the ordinary price" in said
    assert "1 row will not be sent; requests() says why in its error column" in said


def test_a_model_name_out_of_the_frame_cannot_drive_the_terminal(tmp_path):
    """The plain form is printed by `print(plan)` and by the command line."""
    df = pl.DataFrame({"text": ["a"], "m": ["fake/\x1b[2J\u202em"]})
    with registered(Fake(tmp_path / "cloud")):
        said = repr(df.batch.plan(model=pl.col("m"), prompt="{text}"))
    assert not set(said) & set("\x1b\u202e")
    assert said.startswith(
        "Plan: 1 row, 1 to send in 1 part, mode batch\n  fake/m: 1 row: cost unknown"
    )
