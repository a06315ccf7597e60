"""Draws a part's life from the table in `orchestration/steps.py` as docs/assets/states.svg.

    python docs/diagrams/states.py            write the picture
    python docs/diagrams/states.py --check    fail if the committed picture is not this one

The table says which arrows there are and what stands on them; only places and bends are laid by hand
here. A move without a place fails, so the picture cannot leave one out.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import drawing

from batchframe.orchestration.steps import EFFECTS, MOVES, Effect, Event, PartState

PICTURE = Path(__file__).parents[1] / "assets" / "states.svg"

P = PartState
WIDTH, HEIGHT = 150, 54
CENTRES: dict[PartState, tuple[int, int]] = {
    P.PLANNED: (116, 108), P.ENCODED: (326, 108), P.UPLOADED: (536, 108), P.CREATED: (776, 108),
    P.DECODED: (116, 322), P.FETCHED: (326, 322), P.ENDED: (536, 322), P.RUNNING: (776, 322),
}  # fmt: skip
"""There and back again: to the provider along the top, home along the bottom."""

FACTS: dict[PartState, str] = {
    P.PLANNED: "its rows are known",
    P.ENCODED: "the wire file is whole",
    P.UPLOADED: "the provider has the file",
    P.CREATED: "there is a batch",
    P.RUNNING: "rows are being answered",
    P.ENDED: "nothing more will come",
    P.FETCHED: "all files are here",
    P.DECODED: "each row has an outcome",
}
"""The fact that each state stands for, in a few words."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an arrow runs, where its words stand, and how they are aligned."""

    path: str
    x: int
    y: int
    anchor: str = "middle"


PLACES: dict[tuple[PartState, PartState], Place] = {
    (P.PLANNED, P.ENCODED): Place("M191 108 H249", 221, 98),
    (P.ENCODED, P.UPLOADED): Place("M401 108 H459", 431, 98),
    (P.UPLOADED, P.CREATED): Place("M611 108 H699", 656, 98),
    (P.UPLOADED, P.UPLOADED): Place("M508 81 C492 30 580 30 565 79", 536, 30),
    (P.CREATED, P.UPLOADED): Place("M722 81 C700 50 612 50 592 79", 656, 50),
    (P.RUNNING, P.UPLOADED): Place("M701 306 C640 286 596 226 576 137", 0, 0),
    (P.CREATED, P.CREATED): Place("M748 81 C732 30 820 30 805 79", 776, 30),
    (P.CREATED, P.RUNNING): Place("M804 135 V293", 814, 220, "start"),
    (P.CREATED, P.ENDED): Place("M742 135 C728 206 604 212 560 293", 668, 214, "start"),
    (P.RUNNING, P.RUNNING): Place("M805 349 C820 400 732 400 747 351", 776, 408),
    (P.RUNNING, P.ENDED): Place("M701 322 H613", 656, 312),
    (P.ENDED, P.ENDED): Place("M578 349 C592 400 530 400 544 352", 586, 408),
    (P.ENDED, P.FETCHED): Place("M461 322 H403", 431, 312),
    (P.FETCHED, P.DECODED): Place("M251 322 H193", 221, 312),
    (P.FETCHED, P.ENDED): Place("M346 349 C370 398 492 398 514 352", 431, 408),
    (P.PLANNED, P.FETCHED): Place("M138 135 C158 240 300 190 316 293", 0, 0),
    (P.ENCODED, P.FETCHED): Place("M326 135 V293", 326, 170),
    (P.UPLOADED, P.FETCHED): Place("M514 135 C494 240 352 190 336 293", 0, 0),
}
"""Every move's place; (0, 0) has no words of its own because a neighbour says them."""


_FINDS = (Event.ABSENT, Event.WAITING)
"""Outcomes of looking for a batch that leave a part where it is."""


def moves() -> dict[tuple[PartState, PartState], list[Event]]:
    """Gather the table's moves: (from, to) -> the outcomes that lead there."""
    found: dict[tuple[PartState, PartState], list[Event]] = {}
    for (state, event), after in MOVES.items():
        found.setdefault((state, after), []).append(event)
    return found


def words(state: PartState, events: list[Event]) -> str:
    """Say what is written on an arrow."""
    if events == [Event.WITHDRAWN]:
        return "cancelled before there was a batch"
    doing = EFFECTS[state]
    if doing is Effect.CREATE and Event.ABSENT in events:
        found = [event.value for event in events if event in _FINDS]
        others = [event.value for event in events if event not in _FINDS]
        return f"{Effect.FIND.value}: {', '.join(found)}; {doing.value}: {', '.join(others)}"
    if events == [Event.DONE]:
        # an open intent to create is settled by asking, and what is found counts as created
        return f"{doing.value}\nor found" if doing is Effect.CREATE else doing.value
    return f"{doing.value}: {', '.join(event.value for event in events)}"


def draw() -> str:
    """Give the picture as SVG text; its colours come from the page."""
    lines = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 906 424" role="img" class="bf-states"'
            ' font-family="var(--md-text-font, system-ui), sans-serif" font-size="14">'
        ),
        "<title>The states of a part</title>",
        f"<desc>{_spoken()}</desc>",
        (
            '<defs><marker id="bf-head" viewBox="0 0 8 8" refX="6.5" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto"><path d="M0 0.6 L7 4 L0 7.4 Z"'
            ' fill="var(--bf-edge, #64748b)"/></marker></defs>'
        ),
        '<circle cx="12" cy="108" r="6" fill="var(--bf-edge, #64748b)"/>',
        _arrow("M20 108 H39"),
        _arrow("M41 322 H25"),
        '<circle cx="12" cy="322" r="8" fill="none" stroke="var(--bf-edge, #64748b)"/>',
        '<circle cx="12" cy="322" r="4.4" fill="var(--bf-edge, #64748b)"/>',
    ]
    said = []
    for (before, after), events in moves().items():
        place = PLACES[before, after]
        lines.append(_arrow(place.path, dashed=events == [Event.WITHDRAWN]))
        if place.x:
            paid = EFFECTS[before] is Effect.CREATE and events == [Event.DONE]
            said.append(_words(place, words(before, events), paid=paid))
    lines += said  # after all arrows, so that no line runs over a word
    lines += [_box(state) for state in PartState]
    return "\n".join([*lines, "</svg>", ""])


def _spoken() -> str:
    said = (
        f"{a.value} to {b.value} ({' '.join(words(a, e).split())})" for (a, b), e in moves().items()
    )
    return "; ".join(said)


def _arrow(path: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return (
        f'<path d="{path}" fill="none" stroke="var(--bf-edge, #64748b)" stroke-width="1.4"{dash}'
        ' marker-end="url(#bf-head)"/>'
    )


def _words(place: Place, said: str, *, paid: bool) -> str:
    colour = "var(--bf-money, #b45309)" if paid else "var(--md-default-fg-color--light, #566174)"
    above, _, below = said.partition("\n")
    lines = [(place.y, above), (place.y + 27, below)]
    # a stroke in the page's colour keeps words legible where a line runs behind them
    return "".join(
        f'<text x="{place.x}" y="{y}" text-anchor="{place.anchor}" fill="{colour}"'
        ' paint-order="stroke" stroke="var(--md-default-bg-color, #fff)" stroke-width="6"'
        f' stroke-linejoin="round">{line}</text>'
        for y, line in lines
        if line
    )


def _box(state: PartState) -> str:
    x, y = CENTRES[state]
    end = state not in EFFECTS
    edge = "var(--md-accent-fg-color, #0f766e)" if end else "var(--bf-edge, #64748b)"
    return (
        f'<rect x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" height="{HEIGHT}" rx="10"'
        f' fill="var(--bf-box, #f8fafc)" stroke="{edge}" stroke-width="{1.8 if end else 1.2}"/>'
        f'<text x="{x}" y="{y - 2}" text-anchor="middle" font-weight="600" font-size="16"'
        f' fill="var(--md-default-fg-color, #1e293b)">{state.value}</text>'
        f'<text x="{x}" y="{y + 16}" text-anchor="middle" font-size="11.5"'
        f' fill="var(--md-default-fg-color--light, #566174)">{FACTS[state]}</text>'
    )


if __name__ == "__main__":
    sys.exit(drawing.main(PICTURE, draw))
