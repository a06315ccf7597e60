"""How a job comes onto a page: the live widget while there is a kernel, its static twin for ever.

`show` puts out two outputs. The first is the widget and nothing else; the second is the static HTML,
which hides itself while that widget is on the page and is refreshed as the job goes on, so that a
notebook saved at any moment holds the last picture. Why two: docs/adr/0006-faces-only-look.md.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import uuid
from collections.abc import Callable, Collection, Hashable
from typing import TYPE_CHECKING, Any

from batchframe.ledger.events import JobView, Observer
from batchframe.notebook.html import html, text
from batchframe.notebook.kernel import running_kernel
from batchframe.notebook.throttle import Throttle

if TYPE_CHECKING:
    from batchframe.notebook.widget import JobWidget

WIDGET = "application/vnd.jupyter.widget-view+json"
"""The media type by which a page asks for a live widget."""

_TWIN_EVERY = 5.0  # seconds; each refresh touches the notebook's file, which the page then saves


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook (not a script, not a terminal)."""
    return running_kernel() is not None


def mimebundle(
    view: JobView,
    *,
    key: Hashable,
    subscribe: Callable[[Observer], Callable[[], None]],
    on_cancel: Callable[[], object],
    on_retry: Callable[[], object],
    include: Collection[str] | None = None,
    exclude: Collection[str] | None = None,
) -> dict[str, Any]:
    """Give every form of a job in one output, for `_repr_mimebundle_`.

    Args:
        view: The job.
        key: Which job it is, among all of this process; its id alone does not tell.
        subscribe: How to be called with each later view.
        on_cancel: See `JobWidget`.
        on_retry: See `JobWidget`.
        include: Media types to give, all when None.
        exclude: Media types to leave out.

    Returns:
        Media type -> content; `text/plain` and `text/html` always, the widget where it can live.
    """
    bundle: dict[str, Any] = {"text/plain": text(view), "text/html": html(view)}
    wanted = (include is None or WIDGET in include) and WIDGET not in (exclude or ())
    face = _face(key, view, subscribe, on_cancel, on_retry) if wanted and in_notebook() else None
    if face is not None and face.widget is not None:
        bundle[WIDGET] = face.view_of_widget()
    return {
        kind: content
        for kind, content in bundle.items()
        if (include is None or kind in include) and kind not in (exclude or ())
    }


def show(
    view: JobView,
    *,
    key: Hashable,
    subscribe: Callable[[Observer], Callable[[], None]],
    on_cancel: Callable[[], object],
    on_retry: Callable[[], object],
) -> None:
    """Show a job where the code runs, for `_ipython_display_`: widget and twin, or one line.

    Args:
        view: The job.
        key: Which job it is, among all of this process; its id alone does not tell.
        subscribe: How to be called with each later view.
        on_cancel: See `JobWidget`.
        on_retry: See `JobWidget`.
    """
    if not in_notebook():
        sys.stdout.write(text(view) + "\n")
        return
    _face(key, view, subscribe, on_cancel, on_retry).put()


_FACES: dict[Hashable, _Face] = {}
_LOCK = threading.Lock()


def _face(
    key: Hashable,
    view: JobView,
    subscribe: Callable[[Observer], Callable[[], None]],
    on_cancel: Callable[[], object],
    on_retry: Callable[[], object],
) -> _Face:
    """Give the one face of a job in this process: showing it twice must not cost twice."""
    with _LOCK:
        face = _FACES.get(key)
        if face is None or face.closed:
            face = _FACES[key] = _Face(view, _widget(view, subscribe, on_cancel, on_retry))
            subscribe(face.see)
            return face
    face.see(view)
    return face


def _widget(
    view: JobView,
    subscribe: Callable[[Observer], Callable[[], None]],
    on_cancel: Callable[[], object],
    on_retry: Callable[[], object],
) -> JobWidget | None:
    if importlib.util.find_spec("ipywidgets") is None:
        return None
    try:
        from batchframe.notebook.widget import JobWidget  # noqa: PLC0415 - ipywidgets is optional

        return JobWidget(view, subscribe=subscribe, on_cancel=on_cancel, on_retry=on_retry)
    except Exception:  # noqa: BLE001 - a broken widget installation still leaves the static twin
        return None


class _Face:
    """What one process shows of one job: at most one widget, and the twins that share a display id."""

    def __init__(self, view: JobView, widget: JobWidget | None) -> None:
        self._view = view
        self.widget = widget
        self._display_id: str | None = None
        self._throttle = Throttle(self._refresh, _TWIN_EVERY if widget else 1.0)

    @property
    def closed(self) -> bool:
        return self.widget is not None and self.widget.closed

    def see(self, view: JobView) -> None:
        turned = view.state is not self._view.state
        self._view = view
        if self.widget is not None:
            self.widget.see(view)
        if self._display_id is not None:
            self._throttle.ask(now=turned)

    def view_of_widget(self) -> dict[str, Any]:
        model = self.widget.model_id if self.widget else ""
        return {"version_major": 2, "version_minor": 0, "model_id": model}

    def put(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - there is a kernel, so it is loaded

        if self.widget is not None:
            # The empty text keeps GitHub and nbconvert from saying twice what the twin says.
            display({"text/plain": "", WIDGET: self.view_of_widget()}, raw=True)
        self._display_id = self._display_id or uuid.uuid4().hex
        display(self._twin(), raw=True, display_id=self._display_id)

    def _twin(self) -> dict[str, Any]:
        beside = self.widget.model_id if self.widget else None
        return {"text/plain": text(self._view), "text/html": html(self._view, twin_of=beside)}

    def _refresh(self) -> None:
        from IPython.display import update_display  # noqa: PLC0415 - there is a kernel

        if not self.closed:
            update_display(self._twin(), raw=True, display_id=self._display_id)
