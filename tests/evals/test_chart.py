"""The picture: who is in it, where, and what it says when cost says nothing."""

from __future__ import annotations

import sys
from decimal import Decimal

import polars as pl
import pytest
from eval_fakes import FakeSubmit

from batchframe.errors import MissingExtraError
from batchframe.evals import scorers
from batchframe.evals.compare import compare


def compared(costs, right=None, **options):
    """Entries with these costs for 40 rows; the first is the best."""
    names = [f"m{i}" for i in range(len(costs))]
    right = right or [40 - 3 * i for i in range(len(costs))]
    answers = {n: ["x"] * k + ["y"] * (40 - k) for n, k in zip(names, right, strict=True)}
    exact = [None if cost is None else Decimal(str(cost)) for cost in costs]
    submit = FakeSubmit(answers, dict(zip(names, exact, strict=True)))
    frame = pl.DataFrame({"gold": ["x"] * 40})
    scores = {"accuracy": scorers.exact_match("gold")}
    return compare(frame, models=names, scorers=scores, submit=submit, **options)


def panels(spec):
    """The drawings of a chart, left to right."""
    return spec.get("hconcat", [spec])


def names(spec, panel):
    """Who is drawn in a panel."""
    layers = panel.get("layer", [{}])
    found = panel.get("data") or layers[0].get("data") or spec["data"]
    rows = found["values"] if "values" in found else spec["datasets"][found["name"]]
    return [row["name"] for row in rows]


def cost_scale(panel):
    """The horizontal scale of a panel's points."""
    return panel["layer"][0]["encoding"]["x"]["scale"]


def test_prices_of_one_size_get_a_linear_axis_on_which_free_is_0():
    """Free models belong on it."""
    spec = compared([0.01, 0.03, 0]).plot().to_dict()
    (panel,) = panels(spec)
    assert sorted(names(spec, panel)) == ["m0", "m1", "m2"]
    assert cost_scale(panel)["type"] == "linear"
    assert spec["title"]["text"] == "accuracy against cost"


def test_prices_far_apart_get_a_logarithmic_axis_and_free_and_unknown_a_strip():
    """Nobody is left out, nobody is put at a made-up price."""
    spec = compared([0.001, 0.03, 0, None]).plot().to_dict()
    strip, panel = panels(spec)
    assert cost_scale(panel)["type"] == "log"
    assert sorted(names(spec, panel)) == ["m0", "m1"]
    assert sorted(names(spec, strip)) == ["m2", "m3"]


@pytest.mark.parametrize("costs", [[0, 0, 0], [None, None], [0, None], [0.02, 0.02], [0.02]])
def test_where_cost_says_nothing_quality_stands_alone(costs):
    """Free, unknown, all alike or one: a ranking with the price in words."""
    spec = compared(costs).plot().to_dict()
    assert len(panels(spec)) == 3
    assert names(spec, panels(spec)[0]) == [f"m{i}" for i in range(len(costs))]
    assert spec["title"]["text"] == "accuracy"


def test_colours_say_what_the_statistics_allow_to_say():
    """Only verdicts that occur are in the legend."""
    spec = compared([0, 0, 0], right=[38, 36, 10]).plot().to_dict()
    legend = panels(spec)[0]["layer"][1]["encoding"]["color"]["scale"]["domain"]
    assert legend == ["leader", "not distinguishable from the leader", "behind the leader"]


def test_an_unmeasured_entry_is_named_beside_the_picture():
    """It has no place in it."""
    frame = pl.DataFrame({"gold": ["x"] * 3})
    submit = FakeSubmit({"a": ["x", "x", "y"], "gone": RuntimeError("no")})
    scores = {"accuracy": scorers.exact_match("gold")}
    found = compare(frame, models=["a", "gone"], scorers=scores, submit=submit)
    assert found.plot().to_dict()["title"]["subtitle"] == [
        "Lines are 95 % intervals over 3 rows",
        "Not measured: gone",
    ]


@pytest.mark.parametrize("costs", [[], [0.1, 0.2], [0.001, 1, 0, None]])
def test_every_kind_of_picture_can_be_drawn(costs, tmp_path):
    """By the real renderer; a comparison of nothing but failures too."""
    pytest.importorskip("vl_convert")
    if costs:
        found = compared(costs)
    else:
        submit = FakeSubmit({"a": lambda *_: 1 / 0, "b": ["x"]})
        frame = pl.DataFrame({"gold": ["x"]})
        odd = {"odd": pl.col("response")}
        found = compare(frame, models=["a", "b"], scorers=odd, submit=submit)
    path = tmp_path / "chart.svg"
    found.plot().save(path)
    assert path.read_text("utf-8").startswith("<svg")


def test_names_cut_to_the_same_beginning_stay_apart():
    """Two long names are two rows."""
    long = ["p/" + "n" * 60 + end for end in "ab"]
    submit = FakeSubmit({key: ["x"] for key in long}, dict.fromkeys(long, None))
    frame = pl.DataFrame({"gold": ["x"]})
    found = compare(frame, models=long, scorers={"ok": scorers.exact_match("gold")}, submit=submit)
    spec = found.plot().to_dict()
    assert len(set(names(spec, panels(spec)[0]))) == 2


def test_without_altair_the_pip_line_is_given(monkeypatch):
    """The rest of the comparison needs no altair."""
    found = compared([0, 0])
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtraError) as caught:
        found.plot()
    assert str(caught.value) == (
        "Plotting a comparison needs the package 'altair', which is not installed here. "
        "Type: pip install 'batchframe[evals]'"
    )
