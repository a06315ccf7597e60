"""A job as words and as static HTML: what GitHub, nbconvert, screen readers and terminals get.

The HTML reads well without its style sheet (GitHub strips it): sentences, one list, one table. With
it, it is a card that takes its colours from the page. The live widget shows the same fragments.
"""

from __future__ import annotations

import functools
import time
from importlib import resources

from batchframe.ledger.events import ErrorGroup, JobState, JobView
from batchframe.notebook import words
from batchframe.notebook.hostile import clean, escape

_NAME = 80
_MODEL = 120
_ID = 64
_SHORT = 60
_EXAMPLE = 160
_MESSAGE = 600
_LINE = 200
_GROUPS = 6  # with cut examples this keeps a table below 10 kB, whatever the texts are


@functools.cache
def style() -> str:
    """Give the style sheet of every card as one `<style>` element."""
    sheet = resources.files("batchframe.notebook").joinpath("card.css").read_text("utf-8")
    return f"<style>{sheet}</style>"


def text(view: JobView, *, now: float | None = None) -> str:
    """Say a job in one plain line that cannot drive a terminal.

    Args:
        view: The job.
        now: Seconds since the epoch; the clock's when None.
    """
    who = f"{clean(view.id, _ID)}  {clean(view.name, _NAME)} · {clean(view.model, _MODEL)}"
    return f"{who} · {words.STATES[view.state].word}  {facts(view, now=now)}"


def facts(view: JobView, *, now: float | None = None) -> str:
    """Say how far a job is, without saying which.

    Args:
        view: The job.
        now: Seconds since the epoch; the clock's when None.
    """
    known = (
        f"{words.count(view.done)}/{words.count(view.total)} ({words.percent(view)} %)",
        f"{words.count(view.failed)} failed" if view.failed else "",
        f"parts {words.count(view.parts_done)}/{words.count(view.parts_total)}"
        if view.parts_total > 1
        else "",
        _speed(view),
        _time_in_text(view, time.time() if now is None else now),
        _tokens_in_text(view),
        words.cost(view),
        clean(view.message or "", _LINE),
        clean(view.note or "", _LINE),
    )
    return " · ".join(fact for fact in known if fact)


def _speed(view: JobView) -> str:
    per_second = words.known(view.rate)
    return words.rate(per_second) if per_second and not view.state.ended else ""


def _time_in_text(view: JobView, now: float) -> str:
    if not view.state.ended:
        eta = words.known(view.eta)
        return "" if eta is None else f"~{words.duration(eta)} left"
    took = words.elapsed(view, now)
    return "" if took is None else f"took {words.duration(took)}"


def _tokens_in_text(view: JobView) -> str:
    pairs = [(word, n) for word, n in words.tokens(view) if word in ("in", "out")]
    said = " / ".join(f"{words.count(n)} {word}" for word, n in pairs)
    return f"{said} tokens" if said else ""


def html(view: JobView, *, now: float | None = None, twin_of: str | None = None) -> str:
    """Draw a job as HTML that needs no script, no network and no style sheet of the page.

    Args:
        view: The job.
        now: Seconds since the epoch; the clock's when None.
        twin_of: The id of a live widget this stands in for: hidden while that one is on the page,
            shown when it is not (kernel gone, notebook read elsewhere).
    """
    at = time.time() if now is None else now
    mark = "" if twin_of is None else f" bf-twin-{twin_of}"
    inside = (
        f'<div class="bf-top">{head(view)}</div>',
        body(view, now=at),
        notes(view),
        causes(view),
        _as_of(view, at),
    )
    # The two *_ignore classes keep MathJax 2 and 3 from reading two prices as a formula.
    return (
        f'<section class="bf bf-card tex2jax_ignore mathjax_ignore{mark}"'
        f' aria-label="batchframe job {escape(view.id, _ID)}">'
        f"{style()}{_hiding(twin_of)}{''.join(inside)}</section>"
    )


def _hiding(twin_of: str | None) -> str:
    """Show either the widget or its twin; `.jp-OutputArea-child` is JupyterLab's name for an output."""
    if twin_of is None:
        return ""
    live, twin, output = f".bf-live-{twin_of}", f".bf-twin-{twin_of}", ".jp-OutputArea-child"
    return (
        f"<style>body:has({live}) {twin},"
        f"{output}:has({live}) + {output}:has({twin}),"
        f"{output}:not(:has({live})):has(+ {output} {twin}){{display:none}}</style>"
    )


def head(view: JobView) -> str:
    """Draw who a job is: name, state, model, mode, id; the name is a paragraph, not a heading.

    Args:
        view: The job.
    """
    state = words.STATES[view.state]
    phase = escape(view.phase, _SHORT)
    doing = f' <span class="bf-phase">{phase}</span>' if phase and not view.state.ended else ""
    origin = " · ".join(
        (
            f"<bdi>{escape(view.model, _MODEL)}</bdi>",
            escape(view.mode, _SHORT),
            f"<code>{escape(view.id, _ID)}</code>",
        )
    )
    return (
        f'<div class="bf-who"><p class="bf-title"><strong><bdi>{escape(view.name, _NAME)}</bdi></strong> '
        f'<span class="bf-state bf-{state.tone}"><span aria-hidden="true">{state.sign}</span> {state.word}</span>'
        f'{doing}</p><p class="bf-origin">{origin}</p></div>'
    )


def body(view: JobView, *, now: float, before: float | None = None) -> str:
    """Draw how far a job is: the bar, then each figure with its word.

    Args:
        view: The job.
        now: Seconds since the epoch.
        before: The share of rows that was shown before, from which the bar grows.
    """
    items = "".join(
        f'<li class="bf-{kind}"><span>{label}</span> <b>{figure}</b></li>'
        for kind, label, figure in _figures(view, now)
    )
    return f'{_bar(view, before)}<ul class="bf-figures">{items}</ul>'


def share(view: JobView) -> float:
    """Give the share of rows with an outcome as the bar shows it, 0..1.

    Args:
        view: The job.
    """
    return max(0.0, min(1.0, view.fraction))


def _bar(view: JobView, before: float | None) -> str:
    said = f"{words.count(view.done)} of {words.count(view.total)} rows"
    said += f", {words.count(view.failed)} failed" if view.failed else ""
    start = share(view) if before is None else before
    return (
        f'<div class="bf-bar bf-{words.STATES[view.state].tone}" role="progressbar" aria-label="rows done"'
        f' aria-valuemin="0" aria-valuemax="100" aria-valuenow="{words.percent(view)}" aria-valuetext="{said}">'
        f'<i class="bf-done" style="--from:{start:.3%};width:{share(view):.3%}">{_failed_end(view)}</i></div>'
    )


def _failed_end(view: JobView) -> str:
    """Mark the failed rows at the end of the filled length, which is the whole they are a part of."""
    if view.failed <= 0 or view.done <= 0:
        return ""
    part = min(1.0, view.failed / view.done)
    return (
        f'<i class="bf-lost" style="width:{part:.3%};min-width:3px"></i>'  # one in a million shows
    )


def _figures(view: JobView, now: float) -> list[tuple[str, str, str]]:
    """Give (kind, label, HTML) of every figure there is something to say about."""
    took, eta = words.elapsed(view, now), words.known(view.eta)
    running = not view.state.ended
    figures = [
        ("rows", "Rows", _rows(view)),
        ("failures", "Failed", f"✕ {words.short_count(view.failed)}" if view.failed else ""),
        (
            "parts",
            "Parts",
            f"{words.count(view.parts_done)} of {words.count(view.parts_total)}"
            if view.parts_total > 1
            else "",
        ),
        ("speed", "Speed", _speed(view)),
        ("time", "Elapsed" if running else "Took", "" if took is None else words.duration(took)),
        ("left", "Left", f"~{words.duration(eta)}" if running and eta is not None else ""),
        ("tokens", "Tokens", _tokens(view)),
        ("cost", "Cost", words.cost(view).replace("$", "<span>$</span>")),
    ]
    return [figure for figure in figures if figure[2]]


def _rows(view: JobView) -> str:
    if not view.total:
        return "none"
    total = words.short_count(view.total)
    if view.done >= view.total:
        return total
    return f"{words.short_count(view.done)} of {total} <small>{words.percent(view)} %</small>"


def _tokens(view: JobView) -> str:
    return " · ".join(
        f'<span title="{words.count(n)}">{words.short_count(n)}</span> <small>{word}</small>'
        for word, n in words.tokens(view)
    )


def notes(view: JobView) -> str:
    """Draw what a job has to tell: why it failed and what to type, or what was noticed.

    Args:
        view: The job.
    """
    failed = view.state is JobState.FAILED
    kind, role = ("bf-alarm", ' role="alert"') if failed else ("bf-note", "")
    message = escape(view.message or "", _MESSAGE, lines=True)
    note = escape(view.note or "", _MESSAGE, lines=True)
    return (f'<p class="bf-text {kind}"{role}>{message}</p>' if message else "") + (
        f'<p class="bf-text bf-note">{note}</p>' if note else ""
    )


def causes(view: JobView) -> str:
    """Draw why rows failed, one line a cause, as a table that folds.

    Args:
        view: The job.
    """
    if not view.errors:
        return ""
    summary = f"Why {words.count(view.failed)} {'row' if view.failed == 1 else 'rows'} failed"
    return f'<details class="bf-why" open><summary>{summary}</summary>{cause_table(view)}</details>'


def cause_table(view: JobView) -> str:
    """Draw the causes of failed rows, the most frequent first.

    Args:
        view: The job.
    """
    groups = sorted(view.errors, key=lambda group: -group.count)
    more = len(groups) - _GROUPS
    rest = sum(group.count for group in groups[_GROUPS:])
    tail = (
        f'<p class="bf-note">and {more} more causes of {words.count(rest)} rows</p>'
        if more > 0
        else ""
    )
    return (
        '<table class="bf-causes"><thead><tr><th scope="col">Rows</th><th scope="col">Cause</th>'
        '<th scope="col">For example</th><th scope="col">Try again?</th></tr></thead><tbody>'
        f"{''.join(_cause(group) for group in groups[:_GROUPS])}</tbody></table>{tail}"
    )


def _cause(group: ErrorGroup) -> str:
    again = "may help" if group.retryable else "no use"
    return (
        f"<tr><td>{words.count(group.count)}</td><td><code>{escape(group.code, _SHORT)}</code></td>"
        f"<td><bdi>{escape(group.example, _EXAMPLE)}</bdi></td><td>{again}</td></tr>"
    )


def _as_of(view: JobView, now: float) -> str:
    """Say how old the picture is and which line goes on from it: a saved notebook cannot know."""
    name = f"bf.job({clean(view.id, _ID)!r})"
    if not view.state.ended:
        step = f"<code>{escape(name, _LINE)}</code> shows it as it is now"
    elif any(group.retryable for group in view.errors):
        step = f"<code>{escape(name, _LINE)}.retry()</code> sends again what may work"
    else:
        step = ""
    at = now if view.ended_at is None else view.ended_at
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
    said = f"{'Ended' if view.state.ended else 'As of'} {moment}"
    return f'<p class="bf-asof">{said}{" · " if step else ""}{step}</p>'
