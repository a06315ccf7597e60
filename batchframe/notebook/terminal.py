"""A job in a terminal: one line that moves, or where nothing can move, one line per state.

The caller's thread draws and waits; views from other threads only wake it up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from batchframe.ledger.events import JobView, Observer
from batchframe.notebook import words
from batchframe.notebook.hostile import clean
from batchframe.notebook.html import facts, text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_FRAME = 0.1  # seconds between two pictures, at least
_LOOK = 1.0  # seconds after which the job is looked at even when nobody published
_NAME = 24
_BAR = 28


def follow(
    subscribe: Callable[[Observer], Callable[[], None]],
    get_view: Callable[[], JobView],
    *,
    console: Console | None = None,
) -> JobView:
    """Show a job until it has ended; Ctrl-C stops the looking, not the job.

    Args:
        subscribe: How to be called with each new view.
        get_view: Gives the job as it is now, wherever it is driven.
        console: Where to write; rich's own when None.

    Returns:
        The last view.
    """
    from rich.console import Console  # noqa: PLC0415 - only who looks pays for rich

    out = Console() if console is None else console
    news = threading.Event()
    unsubscribe = subscribe(lambda _view: news.set())
    try:
        return (_follow_live if out.is_terminal else _follow_plain)(out, news, get_view)
    finally:
        unsubscribe()


def _follow_live(out: Console, news: threading.Event, get_view: Callable[[], JobView]) -> JobView:
    from rich.live import Live  # noqa: PLC0415 - see follow

    view = get_view()
    with Live(_line(view), console=out, auto_refresh=False, transient=True) as live:
        while not view.state.ended:
            _pause(news)
            view = get_view()
            live.update(_line(view), refresh=True)
    _say(out, view)
    return view


def _follow_plain(out: Console, news: threading.Event, get_view: Callable[[], JobView]) -> JobView:
    view = get_view()
    _say(out, view)
    while not view.state.ended:
        _pause(news)
        before, view = view, get_view()
        if view.state is not before.state:
            _say(out, view)
    return view


def _pause(news: threading.Event) -> None:
    news.wait(_LOOK)
    news.clear()
    threading.Event().wait(_FRAME)


def _say(out: Console, view: JobView) -> None:
    out.print(text(view), markup=False, highlight=False, emoji=False, soft_wrap=True)


def _line(view: JobView) -> RenderableType:
    """Draw the moving line: state, name, bar, and the figures that fit."""
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - see follow
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    state = words.STATES[view.state]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    front = Text(f"{state.sign} {state.word}  {clean(view.name, _NAME)}", style="bold")
    bar = ProgressBar(
        total=max(1, view.total), completed=view.done if view.total else 1, width=_BAR
    )
    grid.add_row(front, bar, Text(facts(view)))
    return grid
