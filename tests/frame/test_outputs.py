"""Outputs: one outcome a row over all tries, and sums that say unknown where a price is."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.frame.decode import SCHEMA, outputs_file
from batchframe.frame.outputs import cost, groups, merged, part_totals
from batchframe.frame.parts import UNSENT, part_file
from batchframe.frame.requests import SCHEMA as REQUESTS
from batchframe.ledger.events import ErrorGroup

D = Decimal
TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "attempts")


def outcome(row, *, error=None, part=0, **facts):
    """Give one outcome; an error is a code, or a pair of code and message."""
    code, message = error if isinstance(error, tuple) else (error, error and "why")
    plain = dict.fromkeys(SCHEMA.names())
    plain |= {"row": row, "custom_id": f"r{row}", "part": part, "ok": error is None}
    if error is None:
        plain |= {"response": f"text {part}", "input_tokens": 10, "output_tokens": 1}
        plain |= {"cost_usd": D("0.5")}
    else:
        plain |= {"error_code": code, "error_message": message, "retryable": True}
    return {**plain, **facts}


def write(folder, *parts):
    """Write outcomes part by part; gives the files."""
    paths = []
    for number, rows in enumerate(parts):
        path = folder / outputs_file(number)
        whole = [{**row, "part": number} for row in rows]
        pl.DataFrame(whole, schema=SCHEMA).write_parquet(path)
        paths.append(path)
    return paths


def unsent(folder, *rows):
    """Write rows that were not sent."""
    whole = [(row, f"r{row}", None, None, error) for row, error in rows]
    pl.DataFrame(whole, schema=REQUESTS, orient="row").write_parquet(folder / UNSENT)


def test_parts_come_out_in_row_order(tmp_path):
    """Whatever order their lines had."""
    paths = write(tmp_path, [outcome(4), outcome(0)], [outcome(3), outcome(1)])
    found = merged(tmp_path, paths, None)
    assert found["row"].to_list() == [0, 1, 3, 4]
    assert found.schema == SCHEMA


def test_nothing_decoded_is_a_frame_without_rows(tmp_path):
    """With all its columns."""
    found = merged(tmp_path, [], None)
    assert (found.height, found.schema) == (0, SCHEMA)


def test_a_row_asked_twice_keeps_its_success_and_shows_what_both_cost(tmp_path):
    """Tokens, dollars and tries of all parts are added up; a try that cost nothing adds nothing."""
    facts = {"cached_tokens": 2, "reasoning_tokens": 1, "attempts": 3}
    paths = write(
        tmp_path,
        [
            outcome(
                0,
                error="invalid_response",
                input_tokens=7,
                output_tokens=1,
                cost_usd=D("0.25"),
                **facts,
            ),
            outcome(1, error="server_error", attempts=2, cost_usd=D(0)),
            outcome(2, **facts),
        ],
        [outcome(0, **facts), outcome(1, **facts)],
    )
    found = merged(tmp_path, paths, None)
    assert found.select("row", "part", "ok", "response", "cost_usd", *TOKENS).rows() == [
        (0, 1, True, "text 0", D("0.75"), 17, 4, 2, 2, 6),
        (1, 1, True, "text 0", D("0.5"), 10, 2, 1, 1, 5),
        (2, 0, True, "text 0", D("0.5"), 10, 2, 1, 1, 3),
    ]


def test_an_earlier_success_beats_a_later_error(tmp_path):
    """A retry by code may have asked again for what was fine."""
    found = merged(tmp_path, write(tmp_path, [outcome(0)], [outcome(0, error="missing")]), None)
    assert found.select("ok", "response", "error_code").rows() == [(True, "text 0", None)]


def test_of_errors_only_the_latest_counts(tmp_path):
    """Its message is what a user can act on now."""
    paths = write(
        tmp_path, [outcome(0, error="a")], [outcome(0, error="b")], [outcome(0, error="c")]
    )
    assert merged(tmp_path, paths, None)["error_code"].to_list() == ["c"]


def test_one_try_without_a_price_makes_the_sum_unknown(tmp_path):
    """A sum of what is known would look like the whole."""
    paths = write(
        tmp_path,
        [outcome(0, error="x", input_tokens=5), outcome(1, error="x", cost_usd=D(0))],
        [outcome(0), outcome(1)],
    )
    found = merged(tmp_path, paths, None)
    assert found["cost_usd"].to_list() == [None, D("0.5")]
    assert found["input_tokens"].to_list() == [15, 10]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"error": "timeout", "price_source": "a list"}, {}),
        ({}, {"input_tokens": None, "output_tokens": None, "cost_usd": None}),
        ({"error": "cancelled", "attempts": 1, "price_source": "a list"}, {}),
    ],
    ids=["a timeout", "an answer without usage", "cancelled in flight"],
)
def test_a_try_that_nobody_counted_makes_cost_and_tokens_of_the_row_unknown(
    tmp_path, first, second
):
    """A sum of what is known would look like the whole."""
    found = merged(tmp_path, write(tmp_path, [outcome(0, **first)], [outcome(0, **second)]), None)
    assert found.select("cost_usd", "input_tokens", "output_tokens").row(0) == (None,) * 3
    assert cost(found) == (None, "unknown")


@pytest.mark.parametrize("code", ["cancelled", "batch_failed"])
def test_a_row_that_nobody_had_worked_on_adds_nothing(tmp_path, code):
    """It was never sent, or its batch was refused whole."""
    never = outcome(0, error=code, price_source="a list")
    (alone,) = write(tmp_path, [never])
    assert cost(pl.read_parquet(alone)) == (D(0), "known")
    found = merged(tmp_path, write(tmp_path, [never], [outcome(0)]), None)
    assert found.select("cost_usd", "input_tokens", "output_tokens").row(0) == (D("0.5"), 10, 1)
    (missing,) = write(tmp_path, [outcome(0, error="missing")])
    assert cost(pl.read_parquet(missing)) == (None, "unknown")


def test_rows_that_were_not_sent_say_why(tmp_path):
    """Their requests' error is their outcome; a colon in the message stays there."""
    paths = write(tmp_path, [outcome(1)])
    unsent(tmp_path, (0, "empty_prompt: a: b"), (2, "no_model"))
    found = merged(tmp_path, paths, None)
    assert found.select("row", "ok", "error_code", "error_message", "retryable").rows() == [
        (0, False, "empty_prompt", "a: b", False),
        (1, True, None, None, None),
        (2, False, "no_model", None, False),
    ]


def test_a_row_that_a_retry_refused_keeps_what_it_got(tmp_path):
    """It comes out once, with its first outcome."""
    paths = write(tmp_path, [outcome(0, error="server_error")])
    unsent(tmp_path, (0, "request_too_large: today"))
    found = merged(tmp_path, paths, None)
    assert found["error_code"].to_list() == ["server_error"]


def test_rows_of_running_parts_are_pending(tmp_path):
    """Unless an earlier part has an outcome for them."""
    paths = write(tmp_path, [outcome(0, error="server_error"), outcome(1)])
    waiting = tmp_path / part_file(1)
    rows = [(0, "r0", "m/x", "{}", None), (2, "r2", "m/x", "{}", None)]
    pl.DataFrame(rows, schema=REQUESTS, orient="row").write_parquet(waiting)
    found = merged(tmp_path, paths, None, sent=[waiting])
    assert found.select("row", "ok", "error_code", "error_message").rows() == [
        (0, False, "server_error", "why"),
        (1, True, None, None),
        (2, False, "pending", "no answer yet"),
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 5),
            st.tuples(
                st.sampled_from([None, "a", "b"]),
                st.none() | st.integers(0, 9),
                st.none() | st.integers(0, 9),
            ),
            max_size=6,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_sums_over_tries_are_those_of_a_plain_loop(tmp_path_factory, tries):
    """Every row once; costs and tokens unknown as soon as one paid try's are."""
    folder = tmp_path_factory.mktemp("outputs")
    parts = [
        [
            outcome(
                row,
                error=error,
                input_tokens=tokens,
                attempts=tokens,
                cost_usd=None if price is None else D(price),
            )
            for row, (error, tokens, price) in part.items()
        ]
        for part in tries
    ]
    found = merged(folder, write(folder, *parts), None)
    expected = []
    for row in sorted({row for part in tries for row in part}):
        mine = [part[row] for part in tries if row in part]
        tokens = [t for error, t, _ in mine if error is None or t is not None]
        tries_ = [t for _, t, _ in mine if t is not None]
        known = None not in [p for _, _, p in mine]
        errors = [error for error, _, _ in mine]
        expected.append(
            (
                row,
                None in errors,
                None if None in errors else errors[-1],
                sum(tokens) if tokens and None not in tokens else None,
                sum(tries_) if tries_ else None,
                D(sum(p for _, _, p in mine)) if known else None,
            )
        )
    facts = ("row", "ok", "error_code", "input_tokens", "attempts", "cost_usd")
    assert found.select(facts).rows() == expected


def test_causes_are_grouped_the_most_frequent_first(tmp_path):
    """With one message as an example, cut short, and a word for what has none."""
    rows = [outcome(i, error=("b", "x" * 500)) for i in range(3)]
    rows += [outcome(3), outcome(4, error=("a", None)), outcome(5, error=("c", ""))]
    rows += [outcome(6, error=(None, "odd"), ok=False, retryable=False)]
    rows[-1] |= {"ok": False}
    found = groups(merged(tmp_path, write(tmp_path, rows), None))
    assert found[0] == ErrorGroup("b", 3, "x" * 300, retryable=True)
    assert set(found[1:]) == {
        ErrorGroup("a", 1, "", retryable=True),
        ErrorGroup("c", 1, "", retryable=True),
        ErrorGroup("error", 1, "odd", retryable=False),
    }


def test_only_so_many_causes_are_kept(tmp_path):
    """A model may invent a cause a row."""
    rows = [outcome(i, error=f"code {i:02}") for i in range(30)]
    found = groups(merged(tmp_path, write(tmp_path, rows), None), most=5)
    assert [group.code for group in found] == [f"code {i:02}" for i in range(5)]


@pytest.mark.parametrize(
    ("costs", "known"),
    [
        ([], (D(0), "known")),
        ([D("0.1"), D("0.2")], (D("0.3"), "known")),
        ([D("0.1"), None], (D("0.1"), "partly")),
        ([None], (None, "unknown")),
        ([D("1e19"), D("1e-18")], (D("10000000000000000000.000000000000000001"), "known")),
        ([D(0)], (D(0), "known")),
    ],
    ids=str,
)
def test_a_cost_is_the_exact_sum_of_what_is_known(tmp_path, costs, known):
    """And says whether that is all of it; no digit is rounded away."""
    rows = [outcome(i, cost_usd=price) for i, price in enumerate(costs)]
    rows.append(outcome(99, error="cancelled"))  # costs nothing
    assert cost(merged(tmp_path, write(tmp_path, rows), None)) == known


def test_a_part_is_counted_for_the_ledger(tmp_path):
    """Tokens nobody counted are None, a cost that is not known is None."""
    refused = outcome(2, error="x", cost_usd=D(0))
    (path,) = write(tmp_path, [outcome(0), outcome(1), refused])
    assert part_totals(path) == {
        "done": 3,
        "failed": 1,
        "cost": "1",
        "known_cost": "1",
        "input_tokens": 20,
        "cached_tokens": None,
        "output_tokens": 2,
        "reasoning_tokens": None,
    }
    (path,) = write(tmp_path, [outcome(0), outcome(1, cost_usd=None)])
    assert part_totals(path)["cost"] is None
