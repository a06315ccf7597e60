"""A terminal gets one moving line, a file gets one line per state, and both end with the job."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace

import pytest
from fake_driver import RUNNING, VIEWS, FakeJob
from rich.console import Console

from batchframe.ledger.events import JobState
from batchframe.notebook.html import text
from batchframe.notebook.terminal import follow


def console(*, live: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    # whatever terminal the tests themselves run in: a dumb one draws nothing that moves
    environ = {"TERM": "xterm"}
    return (
        Console(file=out, force_terminal=live, width=120, color_system=None, _environ=environ),
        out,
    )


def test_a_file_gets_one_line_per_state():
    """No bar, no control sequences, no line for each row."""
    job = FakeJob(rows=10, pause=0.02)
    target, out = console(live=False)
    job.start()
    last = follow(job.faces["subscribe"], lambda: job.view, console=target)
    lines = out.getvalue().splitlines()
    assert last.state is JobState.COMPLETED
    assert 1 < len(lines) <= 3
    assert "completed  10/10 (100 %) · 2 failed" in lines[-1]
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_a_bar_that_moves_and_a_line_that_stays():
    """The last thing on the screen is the plain line of the ended job."""
    target, out = console(live=True)
    running = replace(VIEWS["perfect"], state=JobState.RUNNING, done=5, ended_at=None)
    pictures = iter([running, replace(running, done=9)])
    follow(lambda _see: lambda: None, lambda: next(pictures, VIEWS["perfect"]), console=target)
    assert "━" in out.getvalue()
    assert "● running" in out.getvalue()
    assert out.getvalue().splitlines()[-1].endswith(text(VIEWS["perfect"]))


def test_a_job_that_has_ended_is_said_once():
    """Nothing to wait for."""
    target, out = console(live=False)
    follow(FakeJob().faces["subscribe"], lambda: VIEWS["perfect"], console=target)
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize("live", [True, False])
def test_a_hostile_job_cannot_drive_the_terminal(live):
    """Neither escape sequences nor rich's own markup of a stranger are carried out."""
    views = [
        replace(VIEWS["hostile"], name="[bold red]x[/] \x1b[2J\x07", state=state)
        for state in (JobState.RUNNING, JobState.COMPLETED)
    ]
    target, out = console(live=live)
    pictures = iter([views[0], views[0], views[1]])
    follow(lambda _see: lambda: None, lambda: next(pictures, views[1]), console=target)
    assert "\x1b[2J" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert "[bold red]x[/]" in out.getvalue()


def test_a_job_driven_elsewhere_is_followed_without_any_news():
    """When nobody publishes here, the view itself is asked again."""
    target, _ = console(live=False)
    start = time.monotonic()
    follow(
        lambda _see: lambda: None,
        lambda: VIEWS["perfect"] if time.monotonic() - start > 0.5 else RUNNING,
        console=target,
    )
    assert time.monotonic() - start < 3


def test_ctrl_c_ends_the_looking_and_takes_the_observer_off():
    """The job runs on; nothing is left behind."""
    ended = threading.Event()

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(lambda _see: ended.set, interrupted, console=console(live=True)[0])
    assert ended.is_set()
