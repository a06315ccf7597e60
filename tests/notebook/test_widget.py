"""The live view shows the last view, asks before it cancels, and never loses an error."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest
from fake_driver import HOSTILE, RUNNING, VIEWS, FakeJob
from test_throttle import wait_for

from batchframe.errors import JobError
from batchframe.ledger.events import Events, JobState

pytest.importorskip("ipywidgets")

import comm
from comm.base_comm import BaseComm

from batchframe.notebook import widget as module
from batchframe.notebook.widget import JobWidget


@pytest.fixture
def wire(monkeypatch):
    """Record what would go to the page: (seconds, bytes) of each message."""
    sent = []

    class Recorder(BaseComm):
        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            sent.append((time.monotonic(), len(json.dumps(data).encode())))

    monkeypatch.setattr(comm, "create_comm", Recorder)
    return sent


@pytest.fixture
def make(wire):
    """Build widgets and close them after the test."""
    made = []

    def build(job, **changes):
        view = replace(job.view, **changes) if changes else job.view
        job.view = view
        made.append(JobWidget(view, **job.faces))
        return made[-1]

    yield build
    for each in made:
        each.close()


def shown(box) -> str:
    """Give everything a page shows of a widget, as one text."""
    if box.layout.display == "none":
        return ""
    if hasattr(box, "children"):
        return " ".join(shown(child) for child in box.children)
    return getattr(box, "value", None) or f"[{box.description}]"


def buttons(widget) -> list[str]:
    """Give the buttons that can be seen; one that cannot be clicked stands in brackets."""
    row = widget.box.children[1].children[1].children
    return [
        f"({b.description})" if b.disabled else b.description
        for b in row
        if b.layout.display != "none"
    ]


def click(widget, label) -> None:
    row = widget.box.children[1].children[1].children
    next(b for b in row if b.description == label).click()


def test_it_shows_each_new_view_and_at_last_the_last(make):
    """Views from the driver's thread arrive, the end included."""
    job = FakeJob(rows=20, pause=0.001)
    widget = make(job)
    assert "0 of 20" in shown(widget.box)
    job.start()
    assert job.done.wait(5)
    wait_for(lambda: "completed" in shown(widget.box))
    assert "<b>20</b>" in shown(widget.box)


def test_a_flood_of_views_is_five_pictures_a_second_and_a_few_kilobytes(make, wire):
    """A thousand views of the worst texts in a second: few messages, none large."""
    job = FakeJob(rows=2000)
    make(job, **{f: getattr(VIEWS["hostile"], f) for f in ("message", "note", "errors", "phase")})
    del wire[:]
    start = time.monotonic()
    done = 0
    while time.monotonic() - start < 1.0:
        done += 1
        job.put(state=JobState.RUNNING, done=done, failed=done // 2)
        time.sleep(0.001)
    time.sleep(0.3)
    assert done > 300
    bodies = [size for _, size in wire if size > 1000]
    assert len(bodies) <= 8
    assert sum(size for _, size in wire) < 40_000
    assert max(size for _, size in wire) < 12_000


def test_cancel_asks_once_and_then_works_in_a_thread_of_its_own(make):
    """One click asks, the second cancels; the click's own thread is free at once."""
    job = FakeJob()
    widget = make(job, state=JobState.RUNNING)
    click(widget, "Cancel")
    assert buttons(widget) == ["Really cancel?"]
    assert job.calls == []
    click(widget, "Really cancel?")
    wait_for(lambda: job.calls)
    assert [(call, thread) for call, thread, _ in job.calls] == [("cancel", "batchframe-click")]
    wait_for(lambda: "cancelling" in shown(widget.box))
    assert buttons(widget) == ["(Cancelling…)"]


def test_a_question_nobody_answers_is_taken_back(make, monkeypatch):
    """A stray click does not leave a loaded button behind."""
    monkeypatch.setattr(module, "_ARMED", 0.1)
    job = FakeJob()
    widget = make(job, state=JobState.RUNNING)
    click(widget, "Cancel")
    wait_for(lambda: buttons(widget) == ["Cancel"])
    click(widget, "Cancel")
    assert job.calls == []


def test_an_error_of_a_callback_is_shown_and_the_button_comes_back(make):
    """What goes wrong behind a click is said where the click was made, letter by letter."""
    job = FakeJob(deaf=True)
    widget = make(job, state=JobState.RUNNING)
    click(widget, "Cancel")
    click(widget, "Really cancel?")
    wait_for(lambda: "Cancelling did not work" in shown(widget.box))
    assert "RuntimeError: the &lt;b&gt;provider&lt;/b&gt; is deaf" in shown(widget.box)
    assert 'role="alert"' in shown(widget.box)
    assert buttons(widget) == ["Cancel"]


def test_our_own_errors_are_shown_as_the_sentence_they_are(make):
    """A message that says what to type needs no class name before it."""
    job = FakeJob()

    def refuse():
        msg = "Another process drives job-7f3k. Type: bf.job('job-7f3k').wait()"
        raise JobError(msg)

    job.faces["on_retry"] = refuse
    widget = make(job, **{f: getattr(VIEWS["completed"], f) for f in ("state", "failed", "errors")})
    click(widget, "Retry failed")
    wait_for(lambda: "Retrying did not work. Another process drives" in shown(widget.box))
    assert "JobError" not in shown(widget.box)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("queued", ["Cancel"]),
        ("running", ["Cancel", "(Retry failed)"]),
        ("cancelling", ["(Cancel)", "(Retry failed)"]),
        ("completed", ["Retry failed"]),
        ("perfect", []),
        ("failed", []),
    ],
)
def test_only_buttons_that_make_sense_are_offered(make, name, expected):
    """A table of states."""
    job = FakeJob()
    job.view = VIEWS[name]
    assert buttons(make(job)) == expected


def test_retry_is_not_offered_for_rows_that_would_fail_again(make):
    """Failed for good means a button that says so and does nothing."""
    job = FakeJob()
    errors = tuple(replace(group, retryable=False) for group in RUNNING.errors)
    job.view = replace(VIEWS["completed"], errors=errors)
    assert buttons(make(job)) == ["(Retry failed)"]


def test_after_a_retry_the_same_widget_shows_the_job_going_on(make):
    """A job that has ended may live again, and the card with it."""
    job = FakeJob(rows=10, pause=0.001)
    widget = make(job)
    job.start()
    wait_for(lambda: buttons(widget) == ["Retry failed"])
    click(widget, "Retry failed")
    wait_for(lambda: buttons(widget) == [] and "completed" in shown(widget.box))
    assert [(call, thread) for call, thread, _ in job.calls] == [("retry", "batchframe-click")]


def test_hostile_texts_stay_texts(make):
    """Names, causes and examples arrive escaped in every piece."""
    job = FakeJob()
    job.view = VIEWS["hostile"]
    seen = shown(make(job).box)
    assert HOSTILE[:20] not in seen
    assert "<script" not in seen
    assert "&lt;script&gt;" in seen


def test_the_causes_fold_stays_as_the_reader_left_it(make):
    """The element that holds "open" is never sent again while counts change."""
    job = FakeJob()
    widget = make(job, state=JobState.RUNNING, failed=1, errors=RUNNING.errors)
    fold = next(c for c in widget.box.children if "bf-fold" in getattr(c, "value", ""))
    changes = []
    fold.observe(changes.append, "value")
    for failed in (2, 3):
        job.put(failed=failed)
        time.sleep(0.25)
    assert changes == []
    assert fold.layout.display is None


def test_a_closed_widget_looks_no_more(make):
    """Closing ends the subscription; the driver goes on undisturbed."""
    job = FakeJob()
    widget = make(job)
    widget.close()
    job.put(state=JobState.RUNNING)
    assert widget.closed
    assert widget not in module.live_widgets()


def test_a_driver_is_never_held_up_by_a_slow_page(make, monkeypatch):
    """Publishing takes no time even when painting takes long."""
    job = FakeJob()
    widget = make(job, state=JobState.RUNNING)
    painting = threading.Event()
    monkeypatch.setattr(module.card, "head", lambda _view: painting.set() or time.sleep(0.5) or "")
    job.put(done=1)
    assert painting.wait(2)
    start = time.monotonic()
    job.put(done=2)
    assert time.monotonic() - start < 0.2
    assert widget is not None


def test_an_observer_that_is_called_at_once_is_welcome(wire):
    """`subscribe` may replay the present view, which closes the gap after the first one."""
    events = Events()
    ended = replace(VIEWS["completed"], name="replayed")

    def subscribe(observer):
        observer(ended)
        return events.subscribe(ended.id, observer)

    widget = JobWidget(RUNNING, subscribe=subscribe, on_cancel=print, on_retry=print)
    wait_for(lambda: "replayed" in shown(widget.box))
    widget.close()


def test_a_hint_is_shown_with_its_code_and_taken_away(make):
    """The line for cells that block."""
    widget = make(FakeJob())
    widget.hint("use `await job` here")
    assert "use <code>await job</code> here" in shown(widget.box)
    widget.hint("")
    assert "await job" not in shown(widget.box)
