"""The state table: whole, and never a way around asking the provider whether a batch exists."""

from __future__ import annotations

import pytest

from batchframe.orchestration.steps import (
    EFFECTS,
    MOVES,
    Effect,
    Event,
    PartState,
    effect,
    may_withdraw,
)


def test_every_state_is_reached_and_only_the_last_calls_for_nothing():
    """From PLANNED by the table's own moves."""
    seen, fresh = set(), {PartState.PLANNED}
    while fresh:
        seen |= fresh
        fresh = {after for (state, _), after in MOVES.items() if state in seen} - seen
    assert seen == set(PartState)
    assert {state for state in PartState if state not in EFFECTS} == {PartState.DECODED}


def test_an_open_intent_to_create_is_settled_by_asking_whatever_the_state():
    """Rule 3: the one step that costs money is never repeated blindly."""
    for state in PartState:
        assert effect(state, Effect.CREATE) is Effect.FIND
    assert effect(PartState.UPLOADED, None) is Effect.CREATE


@pytest.mark.parametrize("state", PartState)
def test_a_part_is_withdrawn_only_where_no_batch_can_exist(state):
    """Before CREATE, and not while it is unknown whether CREATE happened."""
    before = {PartState.PLANNED, PartState.ENCODED, PartState.UPLOADED}
    assert may_withdraw(state, None) is (state in before)
    assert may_withdraw(state, Effect.CREATE) is False
    assert ((state, Event.WITHDRAWN) in MOVES) is (state in before)
