"""The live view of a job: HTML pieces and two buttons of ipywidgets, repainted at most 5 times a second.

Views may arrive from any thread; painting is done by a thread of the widget's own, so a slow page
never slows a job. A click is handed to a worker thread, and what goes wrong there is shown below.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets

from batchframe.errors import BatchframeError
from batchframe.ledger.events import JobState, JobView, Observer
from batchframe.notebook import html as card
from batchframe.notebook.hostile import escape
from batchframe.notebook.kernel import keep_reachable
from batchframe.notebook.throttle import Throttle

Subscribe = Callable[[Observer], Callable[[], None]]
"""Calls an observer with each new view of one job; gives the function that ends it."""

_EVERY = 0.2
_ARMED = 5.0  # seconds in which a second click confirms
_YOUNG = 120.0  # a job's clock is shown second by second at first, then in calmer steps
_STEPS = (1.0, 10.0)
_PROBLEM = 600
_LIVE: weakref.WeakSet[JobWidget] = weakref.WeakSet()


def live_widgets() -> list[JobWidget]:
    """Give every widget of this process that may be on a page."""
    return list(_LIVE)


@dataclass(frozen=True, slots=True)
class _Labels:
    """What a button says: at rest, asking back ("" asks nothing), and after the click."""

    rest: str
    sure: str
    sent: str
    failed: str


_CANCEL = _Labels("Cancel", "Really cancel?", "Cancelling…", "Cancelling did not work.")
_RETRY = _Labels("Retry failed", "", "Sending again…", "Retrying did not work.")


class _Command:
    """One button: asks back where it should, works in a thread, tells what went wrong."""

    def __init__(
        self, labels: _Labels, action: Callable[[], object], tell: Callable[[str], None]
    ) -> None:
        self._labels = labels
        self._action = action
        self._tell = tell
        self._armed_until = 0.0
        self.sent = False
        self.button = ipywidgets.Button(
            description=labels.rest, layout=ipywidgets.Layout(width="auto", display="none")
        )
        self.button.on_click(self._clicked)
        keep_reachable(self.button.comm)

    def offer(self, *, shown: bool, enabled: bool, tip: str) -> None:
        """Show or hide the button, and say why it does or does not work."""
        self.button.layout.display = None if shown else "none"
        self.button.disabled = self.sent or not enabled
        self.button.tooltip = tip
        self._label()

    def reset(self) -> None:
        """Be ready for a first click."""
        self.sent, self._armed_until = False, 0.0

    def _label(self) -> None:
        armed = time.monotonic() < self._armed_until
        resting = self._labels.sure if armed else self._labels.rest
        self.button.description = self._labels.sent if self.sent else resting
        self.button.button_style = "danger" if armed and not self.sent else ""

    def _clicked(self, _button: object) -> None:
        if self.sent:
            return
        now = time.monotonic()
        if self._labels.sure and now >= self._armed_until:
            self._armed_until = now + _ARMED
            calm_down = threading.Timer(_ARMED + 0.05, self._label)
            calm_down.daemon = True
            calm_down.start()
        else:
            self.sent = self.button.disabled = True
            self._tell("")
            threading.Thread(target=self._work, name="batchframe-click", daemon=True).start()
        self._label()

    def _work(self) -> None:
        try:
            self._action()
        except Exception as error:  # noqa: BLE001 - it is shown where the click was made
            own = isinstance(error, BatchframeError)
            cause = str(error) if own else f"{type(error).__name__}: {error}"
            self.reset()
            self.button.disabled = False
            self._label()
            self._tell(f"{self._labels.failed} {cause}")


class JobWidget:
    """A live card of one job, for display in a notebook; `box` is the ipywidgets object.

    Args:
        view: What to show first.
        subscribe: How to be called with each later view; it may call back at once.
        on_cancel: Called in a worker thread when a click on Cancel was confirmed.
        on_retry: Called in a worker thread on a click on Retry failed.
        clock: Gives seconds since the epoch.
    """

    def __init__(
        self,
        view: JobView,
        *,
        subscribe: Subscribe,
        on_cancel: Callable[[], object],
        on_retry: Callable[[], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._view = view
        self._clock = clock
        self._share = card.share(view)
        self._retried: JobView | None = None
        self._on_retry = on_retry
        self._lock = threading.RLock()
        self._head, self._body, self._notes, self._table, self._hint, self._problem = (
            _piece() for _ in range(6)
        )
        self._fold = _piece('<details class="bf-fold"><summary>Why rows failed</summary></details>')
        self._table.add_class("bf-folded")
        self._cancel = _Command(_CANCEL, on_cancel, self._tell)
        self._retry = _Command(_RETRY, self._send_again, self._tell)
        self.box = self._assemble()
        self._throttle = Throttle(self._paint, _EVERY)
        self._paint()
        self._unsubscribe = subscribe(self.see)
        self._throttle.ask()
        _LIVE.add(self)

    @property
    def model_id(self) -> str:
        """The id under which the page knows the widget."""
        return str(self.box.model_id)

    @property
    def closed(self) -> bool:
        """Whether the widget has left the page for good."""
        return self.box.comm is None

    def see(self, view: JobView) -> None:
        """Take note of a new view; quick, and safe from any thread.

        Args:
            view: The job as it is now.
        """
        self._view = view
        self._throttle.ask()

    def hint(self, sentence: str) -> None:
        """Show a sentence about the page rather than the job; "" removes it.

        Args:
            sentence: Plain text; parts in backticks are shown as code.
        """
        said = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(sentence, _PROBLEM))
        with self._lock:
            _set(self._hint, f'<p class="bf-text bf-note">{said}</p>' if sentence else "")

    def close(self) -> None:
        """Stop looking and take the widget off the page."""
        self._unsubscribe()
        self._throttle.stop()
        _LIVE.discard(self)
        with self._lock:
            self.box.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.box._repr_mimebundle_(**options)

    def _assemble(self) -> Any:
        buttons = ipywidgets.HBox([self._cancel.button, self._retry.button])
        buttons.add_class("bf-buttons")
        top = ipywidgets.HBox([self._head, buttons])
        top.add_class("bf-topbar")
        rows = (self._body, self._notes, self._fold, self._table, self._hint, self._problem)
        box = ipywidgets.VBox([_piece(card.style()), top, *rows])
        for name in ("bf-live", f"bf-live-{box.model_id}"):
            box.add_class(name)
        return box

    def _paint(self) -> float | None:
        """Bring every piece up to date; ipywidgets sends only what differs."""
        with self._lock:
            view, now = self._view, self._clock()
            _set(self._head, card.head(view))
            _set(self._body, card.body(view, now=now, before=self._share))
            self._share = card.share(view)
            _set(self._notes, card.notes(view))
            _set(self._table, card.cause_table(view) if view.errors else "")
            _show(self._fold, bool(view.errors))
            self._offer(view)
        if view.state.ended:
            return None
        young = view.started_at is None or now - view.started_at < _YOUNG
        return _STEPS[0 if young else 1]

    def _offer(self, view: JobView) -> None:
        """Show the buttons that make sense in this state."""
        ended = view.state.ended
        if ended:
            self._cancel.reset()
        if not ended or view != self._retried:
            self._retry.reset()
        cancelling = view.state is JobState.CANCELLING
        self._cancel.offer(
            shown=not ended,
            enabled=not cancelling,
            tip="It is being cancelled" if cancelling else "Rows already answered are kept",
        )
        worth = any(group.retryable for group in view.errors)
        tip = "Sends again what may work" if worth else "These rows would fail again"
        self._retry.offer(
            shown=view.failed > 0,
            enabled=ended and worth,
            tip=tip if ended else "Possible when the job has ended",
        )

    def _send_again(self) -> None:
        self._retried = self._view
        self._on_retry()

    def _tell(self, problem: str) -> None:
        with self._lock:
            said = escape(problem, _PROBLEM, lines=True)
            alarm = f'<p class="bf-text bf-alarm" role="alert">{said}</p>' if problem else ""
            _set(self._problem, alarm)


def _piece(value: str = "") -> Any:
    piece = ipywidgets.HTML(value)
    piece.add_class("bf")
    return piece


def _set(piece: Any, value: str) -> None:
    piece.value = value
    _show(piece, bool(value))


def _show(piece: Any, shown: bool) -> None:
    piece.layout.display = None if shown else "none"
