"""A plan as static HTML: what each model would be asked, what it would take and cost, and what stands in the way.

It needs no script and no network, and reads well without its style sheet (GitHub strips it).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

from batchframe.notebook import words
from batchframe.notebook.hostile import escape
from batchframe.notebook.html import style

_NAME, _MODEL, _SHORT, _MONEY = 80, 120, 60, 40
_TEXT = 600
_LINES = 12  # models shown; an expression may name a thousand
_TEXTS = 6  # warnings shown, and reasons


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What one model would be asked: each triple is (low, likely, high), money in words."""

    model: str
    parts: int
    rows: int
    input_tokens: tuple[int, int, int]
    output_tokens: tuple[int, int, int]
    cost: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class PlanView:
    """Everything that is shown of a plan; `total` is the sum of all lines."""

    name: str
    mode: str
    rows: int
    unsent: int
    lines: tuple[PlanLine, ...]
    total: PlanLine
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()


def html(view: PlanView) -> str:
    """Draw a plan as HTML that needs no script, no network and no style sheet of the page.

    Args:
        view: The plan; every text in it is taken as hostile.
    """
    inside = (
        _head(view),
        _figures(view),
        "".join(_note("bf-alarm", text) for text in view.refusals[:_TEXTS]),
        _table(view) if view.lines else "",
        "".join(_note("bf-caution", text) for text in view.warnings[:_TEXTS]),
        _basis(view),
        _next(view),
    )
    # The two *_ignore classes keep MathJax 2 and 3 from reading two prices as a formula.
    return (
        '<section class="bf bf-card tex2jax_ignore mathjax_ignore" aria-label="batchframe plan">'
        f"{style()}{_own_style()}{''.join(inside)}</section>"
    )


@functools.cache
def _own_style() -> str:
    sheet = resources.files("batchframe.notebook").joinpath("plan.css").read_text("utf-8")
    return f"<style>{sheet}</style>"


def _head(view: PlanView) -> str:
    word, tone, sign = ("refused", "bad", "✕") if view.refusals else ("not sent", "calm", "○")
    return (
        f'<div class="bf-who"><p class="bf-title"><strong><bdi>{escape(view.name, _NAME)}</bdi></strong> '
        f'<span class="bf-state bf-{tone}"><span aria-hidden="true">{sign}</span> {word}</span></p>'
        f'<p class="bf-origin">plan · {escape(view.mode, _SHORT)}</p></div>'
    )


def _figures(view: PlanView) -> str:
    figures = [
        ("rows", "Rows to send", _of(view.rows - view.unsent, view.rows)),
        ("parts", "Parts", words.count(view.total.parts)),
        ("cost", "Cost, likely", _cost(view)),
    ]
    items = "".join(
        f'<li class="bf-{kind}"><span>{label}</span> <b>{figure}</b></li>'
        for kind, label, figure in figures
    )
    return f'<ul class="bf-figures" style="margin-top:10px">{items}</ul>'


def _of(sent: int, rows: int) -> str:
    said = words.short_count(sent)
    return said if sent == rows else f"{said} <small>of {words.short_count(rows)}</small>"


def _cost(view: PlanView) -> str:
    low, likely, high = view.total.cost
    span = "" if low == high else f" <small>{_money(low)} to {_money(high)}</small>"
    return f"{_money(likely)}{span}"


def _note(kind: str, text: str) -> str:
    role = ' role="alert"' if kind == "bf-alarm" else ""
    return f'<p class="bf-text {kind}"{role}>{escape(text, _TEXT, lines=True)}</p>'


def _table(view: PlanView) -> str:
    names = ("Model", "Parts", "Rows", "Input tokens", "Output tokens", "Cost")
    header = "".join(f'<th scope="col">{name}</th>' for name in names)
    lines = "".join(_line(line) for line in view.lines[:_LINES])
    foot = f"<tfoot>{_line(view.total)}</tfoot>" if len(view.lines) > 1 else ""
    more = len(view.lines) - _LINES
    tail = f'<p class="bf-note">and {words.count(more)} more models</p>' if more > 0 else ""
    return (
        f'<div class="bf-scroll"><table class="bf-plan"><thead><tr>{header}</tr></thead>'
        f"<tbody>{lines}</tbody>{foot}</table></div>{tail}"
    )


def _line(line: PlanLine) -> str:
    cells = (
        words.count(line.parts),
        words.short_count(line.rows),
        _range(*(words.short_count(n) for n in line.input_tokens)),
        _range(*(words.short_count(n) for n in line.output_tokens)),
        _range(*(_money(text) for text in line.cost)),
    )
    return (
        f'<tr><th scope="row"><bdi>{escape(line.model, _MODEL)}</bdi></th>'
        f"{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    )


def _range(low: str, likely: str, high: str) -> str:
    """Write a likely figure with its range below it; a figure that is certain has none."""
    return likely if low == high else f"{likely} <small>{low} to {high}</small>"


def _money(text: str) -> str:
    return escape(text, _MONEY)


def _basis(view: PlanView) -> str:
    """Say how the figures came about, for whoever asks."""
    if not view.basis:
        return ""
    texts = "".join(f'<p class="bf-note">{escape(text, _TEXT)}</p>' for text in view.basis[:_LINES])
    return f'<details class="bf-why"><summary>How this was estimated</summary>{texts}</details>'


def _next(view: PlanView) -> str:
    said = "Nothing has been sent. <code>plan.submit()</code> sends it"
    if not view.lines:
        said = "There is nothing to send"
    if view.refusals:
        said = "Nothing has been sent, and <code>plan.submit()</code> would refuse"
    return f'<p class="bf-asof">{said}</p>'
