"""What is shown of a comparison: plain, as HTML, as a page; and that hostile text stays text."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from html.parser import HTMLParser

import polars as pl
import pytest
from eval_fakes import FakeSubmit

from batchframe.errors import FileError
from batchframe.evals import scorers
from batchframe.evals.compare import compare

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>$\\href{javascript:alert(3)}{x}$"
OURS = {
    "div", "style", "table", "thead", "tbody", "tr", "th", "td", "small", "ul", "li", "svg", "line",
    "circle", "span",
}  # fmt: skip
PAGE = OURS | {
    "html", "head", "meta", "title", "body", "h1", "h2", "p", "details", "summary", "code", "g", "path",
    "text", "tspan", "defs", "clippath", "rect",
}  # fmt: skip
UNKNOWN = ValueError("no such model")


class Tags(HTMLParser):
    """Collects every tag and attribute a browser would see."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.links = set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]


def hostile():
    """A comparison in which every name and text attacks the page."""
    frame = pl.DataFrame({EVIL: ["r1", "r2"], "gold": ["x", "x"]})
    submit = FakeSubmit(
        {f"a/{EVIL}": [EVIL, "x"], "b": ["x", EVIL], "c": RuntimeError(EVIL)},
        {f"a/{EVIL}": Decimal("0.002"), "b": Decimal("0.09")},
    )
    scores = {f"s{EVIL}": scorers.exact_match("gold"), "odd": pl.col("response").cast(pl.Int8)}
    return compare(frame, models=[f"a/{EVIL}", "b", "c"], scorers=scores, submit=submit)


def test_plain_text_tells_the_whole_story():
    """Scores with intervals, verdicts, failures, prices, notes."""
    frame = pl.DataFrame({"gold": ["x"] * 40})
    answers = {"a": ["x"] * 38 + ["y", None], "b": ["x"] * 20 + ["y"] * 20, "c": UNKNOWN}
    submit = FakeSubmit(answers, {"a": Decimal("0.01"), "b": Decimal(0)})
    found = compare(
        frame,
        models=["a", "b", "c"],
        scorers={"accuracy": scorers.exact_match("gold")},
        submit=submit,
    )
    assert repr(found).splitlines() == [
        "3 entries on 40 rows; intervals at 95 %",
        "  a: accuracy 95.0 % (83.5 to 98.6 %), leader, 1 failed; per 1,000 rows: $0.250",
        "  b: accuracy 50.0 % (35.2 to 64.8 %), behind the leader (p < 0.001); per 1,000 rows: free",
        "  c: not measured. ValueError: no such model",
    ]


def test_nothing_hostile_becomes_markup_in_a_notebook():
    """Only our own tags and attributes are there; formulas are broken up."""
    html = hostile()._repr_html_()
    seen = Tags(html)
    assert seen.tags <= OURS
    assert not any(name.startswith("on") for name in seen.attributes)
    assert seen.links == []
    assert "$" not in re.sub(r"<span>\$</span>|\$[\d.]+", "", html)
    assert "alert(1)" in html


def test_nothing_hostile_becomes_markup_in_a_report_and_it_needs_no_network(tmp_path):
    """Charts and answers included; no script, no link, no address but XML namespaces."""
    path = hostile().save(tmp_path / "report.html")
    html = path.read_text("utf-8")
    seen = Tags(html)
    assert seen.tags <= PAGE
    assert not any(name.startswith("on") for name in seen.attributes)
    assert seen.links == []
    addresses = set(re.findall(r"https?://[^\s\"'<]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert html.count("<svg") > html.count('class="bf-ci"')


def test_plain_text_carries_no_escape_sequences():
    """A terminal is not steered by a model's name."""
    submit = FakeSubmit({"m\x1b[2J": ["x"]})
    frame = pl.DataFrame({"gold": ["x"]})
    scores = {"ok": scorers.exact_match("gold")}
    assert "\x1b" not in repr(compare(frame, models=["m\x1b[2J"], scorers=scores, submit=submit))


def test_the_table_says_what_the_leaderboard_says():
    """Mean, interval, gap in points, p, verdict, baseline, cost."""
    frame = pl.DataFrame({"gold": ["x"] * 40})
    answers = {"a": ["x"] * 38 + ["y"] * 2, "b": ["x"] * 20 + ["y"] * 20}
    scores = {"accuracy": scorers.exact_match("gold")}
    submit = FakeSubmit(answers, {"a": Decimal("0.01"), "b": None})
    found = compare(frame, models=["a", "b"], scorers=scores, submit=submit, baseline="b")
    text = re.sub(
        r"\s+",
        " ",
        re.sub(r"<style>.*?</style>|<[^>]+>", " ", found._repr_html_(), flags=re.DOTALL),
    )
    for part in (
        "against the baseline",
        "95.0 % 83.5 to 98.6 % · 40 scored +45.0 points +26.5 to +59.2 · p &lt; 0.001 leader",
        "b baseline 50.0 %",
        "behind the leader (p &lt; 0.001)",
        "unknown",
    ):
        assert part in text


def test_a_report_without_the_drawing_package_says_what_to_type(tmp_path, monkeypatch):
    """The rest of the page stands."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    html = hostile().save(tmp_path / "r.html").read_text("utf-8")
    assert "Type: pip install vl-convert-python" in html
    assert 'bf-cmp-chart"' not in html


def test_a_report_without_altair_says_what_to_type(tmp_path, monkeypatch):
    """The rest of the page stands."""
    monkeypatch.setitem(sys.modules, "altair", None)
    html = hostile().save(tmp_path / "r.html").read_text("utf-8")
    assert "Type: pip install &#x27;batchframe[evals]&#x27;" in html


def test_a_report_that_cannot_be_written_says_where(tmp_path):
    """The path and a way out."""
    path = tmp_path / "none" / "r.html"
    with pytest.raises(FileError) as caught:
        hostile().save(path)
    assert str(caught.value) == (
        f"The report cannot be written to {str(path)!r}: No such file or directory. "
        'Type a path in a folder that exists: comparison.save("report.html")'
    )
