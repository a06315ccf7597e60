"""What `compare` does with jobs, with bad input, and with entries that fail."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from eval_fakes import FakeJob, FakeSubmit, answered
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.errors import ColumnError, InputError, MissingExtraError, UnknownNameError
from batchframe.evals import scorers
from batchframe.evals.compare import compare

FRAME = pl.DataFrame({"text": ["a", "b", "c", "d"], "gold": ["x", "y", "x", "y"]})
RIGHT = ["x", "y", "x", "y"]
HALF = ["x", "y", "y", "x"]
MATCH = {"accuracy": scorers.exact_match("gold")}


def submit_all(**answers):
    """A submit that knows these models."""
    return FakeSubmit(answers)


def cells(comparison, scorer="accuracy"):
    """Scores by entry, as lists."""
    table = comparison.long
    return {
        name: table.filter(pl.col("entry") == name)[scorer].to_list() for name in comparison.entries
    }


def test_every_job_is_submitted_before_the_first_is_waited_for():
    """Jobs run side by side."""
    submit = submit_all(a=RIGHT, b=HALF)
    seen = []

    def watching(frame, /, **options):
        seen.append([job.waited for job in submit.jobs])
        return submit(frame, **options)

    found = compare(FRAME, models=["a", "b"], scorers=MATCH, submit=watching, prompt="{text}")
    assert seen == [[], [0]]
    assert [job.waited for job in submit.jobs] == [1, 1]
    assert list(found.jobs) == ["a", "b"]


def test_models_and_variants_are_crossed_and_a_variant_wins_over_common_options():
    """One job per model and variant, named after both."""
    submit = submit_all(a=RIGHT, b=HALF)
    found = compare(
        FRAME,
        models=["a", "b"],
        variants={"short": {"prompt": "s"}, "warm": {"temperature": 1}},
        scorers=MATCH,
        submit=submit,
        prompt="{text}",
        temperature=0,
        name="trial",
    )
    assert found.entries == ["a [short]", "a [warm]", "b [short]", "b [warm]"]
    assert submit.calls[:2] == [
        {"prompt": "s", "temperature": 0, "name": "trial: a [short]", "model": "a"},
        {"prompt": "{text}", "temperature": 1, "name": "trial: a [warm]", "model": "a"},
    ]
    assert found.leaderboard.select("model", "variant").rows()[0] == ("a", "short")


def test_a_lazy_frame_is_collected_once_and_labels_may_stand_for_any_model():
    """All entries see the same rows; what is no string gets a name."""
    reads = []

    def look(frame):
        reads.append(frame.height)
        return frame

    lazy = FRAME.lazy().map_batches(look)
    submit = FakeSubmit({"m": RIGHT})
    found = compare(lazy, models={"routed": "m", "again": "m"}, scorers=MATCH, submit=submit)
    assert found.entries == ["routed", "again"]
    assert found.frame.equals(FRAME)
    assert len(reads) == 1


@pytest.mark.parametrize("when", ["submit", "wait", "rows"])
def test_an_entry_that_fails_is_unmeasured_and_the_others_do_not_change(when):
    """Not measured is not 0 %; everything else is byte for byte what it was without it."""
    broken = {
        "submit": InputError("no such model"),
        "wait": lambda frame, _: FakeJob("j", frame, Decimal(1), on_wait=RuntimeError("died")),
        "rows": lambda frame, _: FakeJob("j", answered(frame.head(3), ["x"] * 3)),
    }
    message = {
        "submit": "InputError: no such model",
        "wait": "RuntimeError: died",
        "rows": "InputError: The job gave 3 rows for a frame of 4.",
    }
    alone = compare(FRAME, models=["a", "b"], scorers=MATCH, submit=submit_all(a=RIGHT, b=HALF))
    submit = submit_all(a=RIGHT, b=HALF, z=broken[when])
    found = compare(FRAME, models=["a", "z", "b"], scorers=MATCH, submit=submit)
    assert found.errors.rows() == [("z", None, message[when])]
    assert found.long.filter(pl.col("entry") != "z").equals(alone.long)
    lost = found.long.filter(pl.col("entry") == "z")
    assert set(lost["error"]) == {f"job_failed: {message[when]}"}
    assert lost["accuracy"].null_count() == 4
    last = found.leaderboard.row(2, named=True)
    assert (last["entry"], last["accuracy"], last["accuracy_n"], last["failed"]) == (
        "z",
        None,
        0,
        4,
    )
    assert last["accuracy_verdict"] == "not measured"
    own = ["entry", "accuracy", "accuracy_low", "accuracy_high", "cost_usd", "accuracy_p"]
    assert found.leaderboard.head(2).select(own).equals(alone.leaderboard.select(own))


def test_a_failed_job_keeps_what_it_cost():
    """Money spent is shown even where nothing came of it."""

    def died(frame, _):
        return FakeJob("j", frame, Decimal("0.5"), on_wait=RuntimeError("died"))

    found = compare(FRAME, models=["a", "z"], scorers=MATCH, submit=submit_all(a=RIGHT, z=died))
    assert found.leaderboard["cost_usd"].to_list() == [0.01, 0.5]


def test_when_nothing_can_be_submitted_the_reason_is_raised():
    """One reason for all comes as itself; several as a list."""
    reason = ColumnError("The prompt names {txt}.")
    with pytest.raises(ColumnError) as caught:
        compare(FRAME, models=["a", "b"], scorers=MATCH, submit=submit_all(a=reason, b=reason))
    assert caught.value is reason
    two = submit_all(a=reason, b=InputError("No key."))
    with pytest.raises(InputError) as caught:
        compare(FRAME, models=["a", "b"], scorers=MATCH, submit=two)
    assert str(caught.value) == (
        "None of the 2 entries could be submitted:\n  a: The prompt names {txt}.\n  b: No key."
    )


def test_an_interrupt_says_which_jobs_go_on_and_how_to_come_back():
    """The cell stops, the jobs do not."""

    def hangs(frame, _):
        return FakeJob("job-long", frame, on_wait=KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt) as caught:
        compare(FRAME, models=["a", "b"], scorers=MATCH, submit=submit_all(a=RIGHT, b=hangs))
    assert str(caught.value) == (
        "Interrupted; the jobs submitted go on (job-0, job-long). "
        "Run the same cell again: it attaches to them and pays nothing twice"
    )


GONE = [None, "y", "x", "y"]


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ("auto", [False, True, True, True]),
        ("zero", [False, True, True, True]),
        ("skip", [None, True, True, True]),
    ],
)
def test_a_failed_answer_is_not_a_right_answer(failed, expected):
    """It counts against the entry, unless asked otherwise; both counts are shown."""
    submit = submit_all(a=GONE)
    found = compare(FRAME, models=["a"], scorers=MATCH, submit=submit, failed=failed)
    assert cells(found)["a"] == expected
    line = found.leaderboard.row(0, named=True)
    assert (line["rows"], line["failed"]) == (4, 1)
    assert line["accuracy_n"] == 4 - expected.count(None)


@pytest.mark.parametrize(
    ("failed", "expected"), [("auto", [None, 1.0, 1.0, 1.0]), ("zero", [0.0, 1.0, 1.0, 1.0])]
)
def test_a_failed_row_has_no_number(failed, expected):
    """0 would be the best of all errors, so numbers are left out unless asked otherwise."""
    length = {"length": pl.col("response").str.len_chars()}
    found = compare(FRAME, models=["a"], scorers=length, submit=submit_all(a=GONE), failed=failed)
    assert cells(found, "length")["a"] == expected


def test_a_row_without_gold_is_left_out_for_all_even_for_those_that_failed():
    """Nobody can be right there."""
    frame = FRAME.with_columns(gold=pl.Series([None, "y", "x", "y"]))
    submit = submit_all(a=RIGHT, b=[None, None, "x", "y"])
    found = compare(frame, models=["a", "b"], scorers=MATCH, submit=submit)
    assert cells(found) == {"a": [None, True, True, True], "b": [None, False, True, True]}


def test_a_null_score_of_an_answered_row_is_not_right():
    """An answer without the number that was asked for does not drop out of the count."""
    frame = FRAME.with_columns(n=pl.Series([1, 2, 3, 4]))
    close = {"close": scorers.numeric_close("n")}
    submit = submit_all(a=["1", "two", "3", "5"])
    found = compare(frame, models=["a"], scorers=close, submit=submit)
    assert cells(found, "close")["a"] == [True, False, True, False]


def test_what_a_failed_row_happens_to_say_does_not_count():
    """The text beside an `invalid_response` is no right answer, except for a scorer of errors."""

    def invalid(frame, _):
        return FakeJob("j", answered(frame, RIGHT, errors=["invalid_response: no", *[None] * 3]))

    both = {**MATCH, "broke": pl.col("error").is_not_null()}
    found = compare(FRAME, models=["a"], scorers=both, submit=submit_all(a=invalid))
    assert cells(found)["a"] == [False, True, True, True]
    assert cells(found, "broke")["a"] == [True, False, False, False]


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        (
            pl.col("response").cast(pl.Int64),
            "InvalidOperationError: conversion from `str` to `i64`",
        ),
        (pl.col("response").str.len_chars().sum(), "gave 1 values for 4 rows; it must give one"),
        (pl.col("response"), "gave String; it must give Boolean or a number"),
        (
            pl.col("response").map_elements(lambda _: 1 / 0, return_dtype=pl.Float64),
            "ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_scorer_that_fails_on_the_results_spoils_nothing_else(expr, message):
    """The answers are paid: the other scorers stand, and the failure is told."""
    submit = submit_all(a=RIGHT)
    found = compare(FRAME, models=["a"], scorers={**MATCH, "odd": expr}, submit=submit)
    (entry, scorer, error) = found.errors.row(0)
    assert (entry, scorer) == ("a", "odd")
    assert error.startswith(message)
    assert found.leaderboard["accuracy"].to_list() == [1.0]
    assert found.leaderboard["odd"].to_list() == [None]


def test_scores_that_are_not_finite_are_left_out():
    """Neither NaN nor infinity has a mean."""
    frame = FRAME.with_columns(n=pl.Series([float("nan"), float("inf"), 1.0, 3.0]))
    found = compare(frame, models=["a"], scorers={"n2": pl.col("n")}, submit=submit_all(a=RIGHT))
    assert found.leaderboard.select("n2", "n2_n").rows() == [(2.0, 2)]


@settings(deadline=None)  # the first example may pay for imports
@given(
    st.lists(
        st.tuples(*[st.sampled_from(["x", "y", None])] * 3, st.sampled_from(["x", "y", None])),
        min_size=1,
        max_size=12,
    )
)
def test_an_entrys_scores_do_not_depend_on_who_else_competes(rows):
    """Whatever fails where: alone or in company, the same scores."""
    *answers, gold = (list(column) for column in zip(*rows, strict=True))
    frame = pl.DataFrame({"gold": pl.Series(gold, dtype=pl.String)})
    submit = FakeSubmit(dict(zip("abc", answers, strict=True)))
    together = cells(compare(frame, models=list("abc"), scorers=MATCH, submit=submit))
    for name in "abc":
        alone = compare(frame, models=[name], scorers=MATCH, submit=submit)
        assert cells(alone)[name] == together[name]


REFUSED = {
    "no models": ({"models": []}, '`models` is empty. Type: models=["local/smollm2", ...]'),
    "a model twice": (
        {"models": ["a", "a"]},
        "`models` holds 'a' twice. To compare prompts, use variants=",
    ),
    "a nameless model": (
        {"models": [pl.col("m")]},
        '`models` holds a Expr, which has no name to show. Type: models={"a name": ...}',
    ),
    "no variants": (
        {"variants": {}},
        '`variants` is empty. Leave it out, or type: variants={"short": {...}}',
    ),
    "a variant's model": (
        {"variants": {"v": {"model": "b"}}},
        (
            "The variant 'v' sets `model`, which every entry takes from `models`. "
            "Type: models=['b', ...] and remove it from the variant"
        ),
    ),
    "no scorers": (
        {"scorers": {}},
        (
            '`scorers` is empty. Type: scorers={"accuracy": bf.scorers.exact_match("gold")} '
            'with the name of your column in place of "gold"'
        ),
    ),
    "no expression": (
        {"scorers": {"s": len}},
        (
            "The scorer 's' is a builtin_function_or_method; it must be a Polars expression. "
            'Type: pl.col("response") == pl.col("gold")'
        ),
    ),
    "several columns": (
        {"scorers": {"s": pl.col("text", "gold") == "x"}},
        (
            "The scorer 's' selects several columns; it must give one score per row. "
            "Type: pl.all_horizontal(...) or pl.mean_horizontal(...) around it"
        ),
    ),
    "a missing column": (
        {"scorers": {"s": pl.col("respones") == pl.col("gold")}},
        (
            "The scorer 's' reads the column 'respones', which neither the frame nor the results have. "
            "Did you mean 'response'?"
        ),
    ),
    "no response model": (
        {"scorers": {"s": scorers.field_match("gold")}},
        (
            "The scorer 's' reads 'parsed', which the entry 'a' will not have. "
            "Type: response_model=... for it"
        ),
    ),
    "a column's name": (
        {"scorers": {"gold": pl.col("gold") == "x"}},
        (
            "A scorer is called 'gold', which is also a column of the frame. "
            'Type another name, such as "gold_score"'
        ),
    ),
    "a result's name": (
        {"scorers": {"error": pl.col("error").is_null()}},
        (
            "A scorer is called 'error', which is also a column of the results. "
            'Type another name, such as "error_score"'
        ),
    ),
    "a figure's name": (
        {"scorers": {**MATCH, "accuracy_low": pl.col("gold") == "x"}},
        (
            "A scorer is called 'accuracy_low', which is also what the leaderboard calls a figure of the "
            "scorer 'accuracy'. Type another name, such as \"accuracy_low_score\""
        ),
    ),
    "per cent": (
        {"confidence": 95},
        "confidence=95 is not between 0 and 1. Type: confidence=0.95",
    ),
    "an unknown rule": (
        {"failed": "skipp"},
        'failed=\'skipp\' is none of "auto", "zero", "skip". Did you mean \'skip\'?',
    ),
    "a bare name": (
        {"lower_is_better": "accuracy"},
        "`lower_is_better` must be a list. Type: lower_is_better=['accuracy']",
    ),
    "an unknown scorer": (
        {"lower_is_better": ["acuracy"]},
        "`lower_is_better` names 'acuracy', which is no scorer. Did you mean 'accuracy'?",
    ),
    "prefixes": (
        {"variants": {"v": {"prefix": "p_"}}},
        "`prefix` must be the same for all variants. Give it once, beside them",
    ),
    "an unknown baseline": (
        {"baseline": "c"},
        "baseline='c' is none of the entries. They are: 'a', 'b'",
    ),
    "a baseline of several": (
        {"baseline": "a", "variants": {"s": {}, "t": {}}},
        "baseline='a' means several entries. Type one of: 'a [s]', 'a [t]'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused_before_anything_is_submitted(case):
    """Every refusal by its whole message, and nothing sent."""
    changed, message = REFUSED[case]
    submit = submit_all(a=RIGHT, b=HALF)
    call = {"models": ["a", "b"], "scorers": MATCH, "submit": submit} | changed
    with pytest.raises(InputError) as caught:
        compare(FRAME, **call)
    assert str(caught.value) == message
    assert submit.calls == []
    wanted = {"a missing column": ColumnError, "an unknown baseline": UnknownNameError}
    assert isinstance(caught.value, wanted.get(case, InputError))


def test_without_scipy_nothing_is_submitted(monkeypatch):
    """Better before the bill than after it."""
    monkeypatch.setitem(__import__("sys").modules, "scipy.stats", None)
    submit = submit_all(a=RIGHT)
    with pytest.raises(MissingExtraError) as caught:
        compare(FRAME, models=["a"], scorers=MATCH, submit=submit)
    assert str(caught.value) == (
        "Comparing models needs the package 'scipy', which is not installed here. "
        "Type: pip install 'batchframe[evals]'"
    )
    assert submit.calls == []
