"""The tables of a comparison: they agree with each other, keep order, and say no more than they know."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from eval_fakes import FakeJob, FakeSubmit, answered
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.errors import UnknownNameError
from batchframe.evals import scorers
from batchframe.evals.compare import compare

MATCH = {"accuracy": scorers.exact_match("gold")}


def gold(n):
    """A frame with n gold answers, all `x`."""
    return pl.DataFrame({"id": range(n), "gold": ["x"] * n})


def right(k, n):
    """n answers, the first k right."""
    return ["x"] * k + ["y"] * (n - k)


def run(answers, n, **options):
    """Compare these answers on n rows."""
    options = {"scorers": MATCH, "submit": FakeSubmit(answers), **options}
    return compare(gold(n), models=list(answers), **options)


@settings(deadline=None)  # the first example may pay for imports
@given(
    st.lists(st.tuples(*[st.sampled_from(["x", "y", None])] * 2), min_size=1, max_size=15),
    st.sampled_from(["auto", "zero", "skip"]),
)
def test_long_wide_and_leaderboard_agree_and_keep_the_rows_in_order(rows, failed):
    """The same scores in all three, row by row in the frame's order."""
    a, b = (list(column) for column in zip(*rows, strict=True))
    found = run({"a": a, "b": b}, len(rows), failed=failed)
    assert found.wide.select("id", "gold").equals(gold(len(rows)))
    for name, answers in (("a", a), ("b", b)):
        part = found.long.filter(pl.col("entry") == name)
        assert part["row"].to_list() == part["id"].to_list() == list(range(len(rows)))
        assert part["response"].to_list() == answers == found.wide[f"{name}: response"].to_list()
        assert part["accuracy"].to_list() == found.wide[f"{name}: accuracy"].to_list()
        line = found.leaderboard.row(by_predicate=pl.col("entry") == name, named=True)
        assert line["accuracy"] == part["accuracy"].cast(pl.Float64).mean()
        assert line["accuracy_n"] == part["accuracy"].count()
        assert line["failed"] == answers.count(None) == part["error"].count()


def test_the_leaderboard_has_one_set_of_columns_whatever_happened():
    """Names and types are the same for a full comparison and for one without any answer."""
    full = run({"a": right(3, 4), "b": right(2, 4)}, 4)
    none = run({"a": [None] * 4}, 4, submit=FakeSubmit({"a": [None] * 4}, {"a": None}))
    empty = run({"a": []}, 0)
    assert full.leaderboard.schema == none.leaderboard.schema == empty.leaderboard.schema
    assert list(full.leaderboard.schema)[:13] == [
        "entry", "model", "variant", "accuracy", "accuracy_low", "accuracy_high", "accuracy_n",
        "accuracy_diff", "accuracy_diff_low", "accuracy_diff_high", "accuracy_p", "accuracy_verdict",
        "rows",
    ]  # fmt: skip
    assert empty.leaderboard.select("accuracy", "accuracy_n", "cost_per_1k_rows").row(0) == (
        None,
        0,
        None,
    )


def test_costs_are_exact_per_thousand_rows_and_unknown_is_null():
    """Never 0 for unknown."""
    costs = {"a": Decimal("0.0123"), "b": None, "c": Decimal(0)}
    answers = dict.fromkeys("abc", right(2, 4))
    found = run(answers, 4, submit=FakeSubmit(answers, costs)).leaderboard.sort("entry")
    assert found["cost_usd"].to_list() == [0.0123, None, 0.0]
    assert found["cost_per_1k_rows"].to_list() == [3.075, None, 0.0]
    assert found["input_tokens"].to_list() == [40, 40, 40]


def test_tokens_nobody_counted_are_null_and_not_0():
    """A provider that does not say, and an entry that never ran; what some rows say is summed."""

    def silent(frame, _):
        return FakeJob("j", answered(frame, right(1, 2), tokens=None))

    def half(frame, _):
        out = answered(frame, right(1, 2)).with_columns(output_tokens=pl.Series([None, 7]))
        return FakeJob("j", out)

    found = run({"a": silent, "b": half, "c": RuntimeError("gone")}, 2).leaderboard.sort("entry")
    assert found["input_tokens"].to_list() == [None, 20, None]
    assert found["output_tokens"].to_list() == [None, 7, None]


def test_of_equal_entries_the_cheaper_stands_first():
    """Quality ranks, then cost, then the order asked."""
    answers = dict.fromkeys("abc", right(2, 4))
    costs = {"a": None, "b": Decimal(2), "c": Decimal(1)}
    found = run(answers, 4, submit=FakeSubmit(answers, costs))
    assert found.leaderboard["entry"].to_list() == ["c", "b", "a"]


def test_a_close_second_is_not_called_worse_and_a_distant_third_is():
    """What the statistics allow, in words."""
    found = run({"a": right(95, 100), "b": right(92, 100), "c": right(60, 100)}, 100)
    assert found.leaderboard["accuracy_verdict"].to_list() == [
        "leader",
        "not distinguishable from the leader at 95 %",
        "behind the leader (p < 0.001)",
    ]
    assert found.leaderboard["accuracy_diff"].to_list()[0] is None
    assert found.leaderboard["accuracy_diff"].to_list()[1:] == pytest.approx([-0.03, -0.35])


def test_the_unnamed_leader_is_corrected_over_all_pairs_and_a_named_baseline_over_its_own():
    """3 entries are 3 pairs but 2 comparisons with a baseline; 6 rows to 0 apart is a mid-p of 2^-6."""
    answers = {"a": right(46, 50), "b": right(40, 50), "c": right(40, 50)}
    raw = 2**-6
    found = run(answers, 50).leaderboard
    assert found["accuracy_p"].to_list() == [None, pytest.approx(3 * raw), pytest.approx(3 * raw)]
    named = run(answers, 50, baseline="a").leaderboard
    assert named["accuracy_p"].to_list() == [None, pytest.approx(2 * raw), pytest.approx(2 * raw)]


def test_lower_is_better_turns_leader_and_order():
    """The shortest answers lead."""
    length = {"length": pl.col("response").str.len_chars()}
    answers = {"a": ["long", "longer"] * 20, "b": ["s", "ss"] * 20}
    found = run(answers, 40, scorers=length, lower_is_better=["length"])
    assert found.leaderboard["entry"].to_list() == ["b", "a"]
    assert found.leaderboard["length_verdict"].to_list()[0] == "leader"


def test_the_false_leader_of_pure_luck_is_rarely_defended():
    """Six equal models on 60 rows, 60 times: some model is called worse in about 5 % at most."""
    import random

    rng = random.Random(11)
    alarms = 0
    for _ in range(60):
        answers = {m: ["x" if rng.random() < 0.7 else "y" for _ in range(60)] for m in "abcdef"}
        found = run(answers, 60)
        alarms += any(s.verdict == "worse" for s in found.standings["accuracy"].values())
    assert alarms <= 6


def test_notes_say_what_weakens_the_figures():
    """Few rows, unequal rows, no spread, numbers that are only 0 and 1, and all rows failed."""
    both = {**MATCH, "length": pl.col("response").str.len_chars().cast(pl.Float64)}
    found = run({"a": [None] * 4, "b": ["x"] * 3 + [None]}, 4, scorers=both)
    assert found.notes == [
        "a: every row failed.",
        "accuracy: only 4 scored rows; intervals are wide and differences easily missed.",
        "length: only 3 scored rows; intervals are wide and differences easily missed.",
        "length: all scores are equal for b, so there is no interval.",
        "length: holds only 0 and 1; give true/false for an interval made for that.",
    ]
    uneven = run({"a": [*["x"] * 39, None], "b": ["x", "y"] * 20}, 40, failed="skip")
    assert uneven.notes == [
        "accuracy: entries are scored on 39 to 40 rows; gaps use the rows that both have."
    ]


def test_disagreements_are_the_rows_on_which_entries_differ_most_divided_first():
    """2 against 2 before 3 against 1; agreement and unmeasured entries do not count."""
    answers = {
        "a": ["x", "x", "x", None],
        "b": ["x", "y", "x", "y"],
        "c": ["x", "x", "y", "y"],
        "d": ["x", "x", "y", "y"],
        "e": RuntimeError("gone"),
    }
    found = run(answers, 4).disagreements()
    assert found["row"].to_list() == [2, 1]
    assert found.columns[:3] == ["row", "id", "gold"]
    assert found["c: response"].to_list() == ["y", "x"]


def test_an_unknown_scorer_is_met_with_the_known_ones():
    """In disagreements and in plots."""
    found = run({"a": right(1, 2)}, 2)
    with pytest.raises(UnknownNameError) as caught:
        found.disagreements("acuracy")
    assert str(caught.value) == (
        "There is no scorer 'acuracy' in this comparison. Did you mean 'accuracy'? It has: 'accuracy'"
    )


def test_columns_of_the_frame_step_aside_in_tables_but_are_never_lost():
    """A frame may call its columns as we do."""
    frame = pl.DataFrame({
        "gold": ["x"], "row": [7], "entry": ["e"], "entry_frame": ["f"], "a: response": ["mine"],
    })  # fmt: skip
    found = compare(frame, models=["a"], scorers=MATCH, submit=FakeSubmit({"a": ["x"]}))
    long = found.long.row(0, named=True)
    assert (long["row"], long["row_frame"]) == (0, 7)
    assert (long["entry"], long["entry_frame_"], long["entry_frame"]) == ("a", "e", "f")
    wide = found.wide.row(0, named=True)
    assert (wide["a: response"], wide["a: response_"]) == ("mine", "x")


def test_a_prefix_renames_the_results_here_as_in_a_job():
    """A frame with a `response` of its own can be compared."""
    frame = gold(2).with_columns(response=pl.Series(["own", "own"]), model=pl.Series(["m", "m"]))
    scorer = {"accuracy": scorers.exact_match("gold", "bf_response")}
    submit = FakeSubmit({"a": ["x", "y"]})
    found = compare(frame, models=["a"], scorers=scorer, submit=submit, prefix="bf_")
    assert found.long.select("response", "bf_response", "model", "model_frame").rows() == [
        ("own", "x", "a", "m"),
        ("own", "y", "a", "m"),
    ]
    assert found.leaderboard["accuracy"].to_list() == [0.5]


def parsing(values, dtype):
    """A job whose answers are parsed."""

    def job(frame, _):
        parsed = pl.Series(values, dtype=dtype)
        return FakeJob("j", answered(frame, ["t"] * frame.height, parsed=parsed))

    return job


def test_answers_parsed_into_one_type_stay_structs_and_others_become_json():
    """Per entry the wide table keeps every type."""
    one, two = pl.Struct({"s": pl.String}), pl.Struct({"s": pl.String, "n": pl.Int64})
    frame = pl.DataFrame({"gold": ["x", "y"]})
    field = {"ok": scorers.field_match("s", "gold")}
    rows = [{"s": "x"}, None]
    wider = [{"s": "x", "n": 1}, {"s": "y", "n": 2}]

    def go(second, kind):
        submit = FakeSubmit({"a": parsing(rows, one), "b": parsing(second, kind)})
        return compare(
            frame, models=["a", "b"], scorers=field, submit=submit, response_model=object
        )

    assert go(rows, one).long["parsed"].to_list() == [{"s": "x"}, None] * 2
    mixed = go(wider, two)
    assert mixed.long["parsed"].to_list() == [
        '{"s":"x"}',
        None,
        '{"s":"x","n":1}',
        '{"s":"y","n":2}',
    ]
    assert mixed.wide["b: parsed"].dtype == two
    assert mixed.leaderboard.sort("entry")["ok"].to_list() == [0.5, 1.0]


def test_an_entry_that_failed_has_no_parsed_answers_beside_those_that_have():
    """The column is there for all, null for it."""
    one = pl.Struct({"s": pl.String})
    submit = FakeSubmit({"a": parsing([{"s": "x"}], one), "b": RuntimeError("gone")})
    field = {"ok": scorers.field_match("s", "gold")}
    frame = pl.DataFrame({"gold": ["x"]})
    found = compare(frame, models=["a", "b"], scorers=field, submit=submit, response_model=object)
    assert found.long["parsed"].to_list() == [{"s": "x"}, None]
    assert found.long["ok"].to_list() == [True, None]
