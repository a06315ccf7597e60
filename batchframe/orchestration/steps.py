"""The life of a part, whole, in one table: what is done in a state, and where each outcome leads.

Rules, numbered so that code and tests can name them:
 1. Everything that decides what happens next to a part stands in this file; the driver only obeys.
 2. The outcome of every effect is committed to the ledger before the next one; the intent to
    create is committed before the effect, too. Every other effect may simply be done again.
 3. `CREATE` is the only effect that costs money. An open intent to create is settled by asking the
    provider (`FIND`) before anything is created again.
 4. Whatever the batch's end, its files are fetched: expired, cancelled and failed batches may hold
    paid answers.
 5. `DECODED` is the only end. A part that could not be sent ends there too, its rows as errors.
 6. A full queue at the provider is no failure: the part goes back to `UPLOADED` and waits its turn.
 7. Neither is a rate limit, whatever it hits: nothing was done, so the part stays where it is, an
    intent to create is taken back, and the same effect comes again when the provider says so.
 8. Results that fall short of what the provider counts are no results yet: the part goes back to
    `ENDED` and they are fetched again.
"""

from __future__ import annotations

from enum import StrEnum


class PartState(StrEnum):
    """How far a part has come; each value is a fact that is already true."""

    PLANNED = "planned"  # its rows are known
    ENCODED = "encoded"  # its wire file is complete
    UPLOADED = "uploaded"  # the provider has the file
    CREATED = "created"  # the provider has a batch for it
    RUNNING = "running"  # the provider answers rows
    ENDED = "ended"  # the provider will do no more
    FETCHED = "fetched"  # all result files are here
    DECODED = "decoded"  # every row of it has an outcome


class Effect(StrEnum):
    """What the driver does to leave a state."""

    ENCODE = "encode"
    UPLOAD = "upload"
    CREATE = "create"
    FIND = "find"
    POLL = "poll"
    FETCH = "fetch"
    DECODE = "decode"


class Event(StrEnum):
    """How an effect came out."""

    DONE = "done"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    ABSENT = "absent"  # find: the provider has no such batch; decode: a result file is gone
    WITHDRAWN = "withdrawn"  # cancelled before there was a batch
    SHORT = "short"  # decode: the files hold less than the provider counts
    FULL = "full"  # the provider's queue is full: nothing was begun, now or by an earlier create


EFFECTS: dict[PartState, Effect] = {
    PartState.PLANNED: Effect.ENCODE,
    PartState.ENCODED: Effect.UPLOAD,
    PartState.UPLOADED: Effect.CREATE,
    PartState.CREATED: Effect.POLL,
    PartState.RUNNING: Effect.POLL,
    PartState.ENDED: Effect.FETCH,
    PartState.FETCHED: Effect.DECODE,
}
"""What a state calls for; DECODED calls for nothing."""

MOVES: dict[tuple[PartState, Event], PartState] = {
    (PartState.PLANNED, Event.DONE): PartState.ENCODED,
    (PartState.ENCODED, Event.DONE): PartState.UPLOADED,
    (PartState.UPLOADED, Event.DONE): PartState.CREATED,
    (PartState.UPLOADED, Event.ABSENT): PartState.UPLOADED,
    (PartState.CREATED, Event.WAITING): PartState.CREATED,
    (PartState.CREATED, Event.RUNNING): PartState.RUNNING,
    (PartState.CREATED, Event.ENDED): PartState.ENDED,
    (PartState.RUNNING, Event.WAITING): PartState.RUNNING,
    (PartState.RUNNING, Event.RUNNING): PartState.RUNNING,
    (PartState.RUNNING, Event.ENDED): PartState.ENDED,
    # rule 6: a full queue is waited out; the file is there already
    (PartState.UPLOADED, Event.FULL): PartState.UPLOADED,
    (PartState.CREATED, Event.FULL): PartState.UPLOADED,
    (PartState.RUNNING, Event.FULL): PartState.UPLOADED,
    # a list may lag behind a create: it is looked at again, and the intent stays open
    (PartState.UPLOADED, Event.WAITING): PartState.UPLOADED,
    (PartState.ENDED, Event.DONE): PartState.FETCHED,
    (PartState.ENDED, Event.WAITING): PartState.ENDED,
    (PartState.FETCHED, Event.SHORT): PartState.ENDED,
    (PartState.FETCHED, Event.DONE): PartState.DECODED,
    (PartState.FETCHED, Event.ABSENT): PartState.ENDED,
    # rule 5: nothing was sent, so there is nothing to fetch
    (PartState.PLANNED, Event.WITHDRAWN): PartState.FETCHED,
    (PartState.ENCODED, Event.WITHDRAWN): PartState.FETCHED,
    (PartState.UPLOADED, Event.WITHDRAWN): PartState.FETCHED,
}
"""(state, outcome) -> state. What is not here cannot happen."""


def effect(state: PartState, intent: Effect | None) -> Effect | None:
    """Say what a part needs next.

    Args:
        state: Where it stands.
        intent: The effect that was begun and whose outcome nobody saved, if any.

    >>> effect(PartState.UPLOADED, Effect.CREATE)
    <Effect.FIND: 'find'>
    """
    if intent is Effect.CREATE:
        return Effect.FIND  # rule 3
    return EFFECTS.get(state)


def may_withdraw(state: PartState, intent: Effect | None) -> bool:
    """Whether a cancelled part can end without asking the provider: no batch can exist yet."""
    return (state, Event.WITHDRAWN) in MOVES and intent is not Effect.CREATE
