"""Keeps a notebook's buttons answering while a cell is busy: the one file that knows kernels' insides.

A cell that awaits needs nothing. For a cell that blocks there are two roads, each guarded, since
they use names that are not public:

- ipykernel 7 has threads beside the main one ("subshells") that can take a click, but sends the
  answer to a widget back to where the widget was last updated, which is the blocked cell
  (`ipykernel.comm.comm.BaseComm._reply_subshell_for`, seen in 7.4.0). `keep_reachable` sends
  it to a subshell instead, one of its own where the frontend has opened none.
- ipykernel 6 has one thread. `while_blocked` hands it the clicks that have arrived, between two
  naps of the waiting cell, and leaves all other messages in their order.

Where neither works, the widget says so and names the way that does: `await job`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HINT = (
    "This cell is blocked, and so are these buttons until it ends; `await job` keeps them working."
)

_HOOK = "_reply_subshell_for"
_COMMS = ("comm_open", "comm_msg", "comm_close")


def running_kernel() -> Any | None:
    """Give the kernel object this process runs in, or None outside notebooks."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def keep_reachable(comm: Any) -> bool:
    """Let a widget's messages be answered beside a blocked cell, where the kernel can.

    Args:
        comm: The channel of one widget (`widget.comm`).

    Returns:
        Whether the kernel knows such a road.
    """
    if not hasattr(comm, _HOOK):
        return False
    setattr(comm, _HOOK, _subshell_for)
    return True


_own: list[str] = []


def _subshell_for(_data: Any, default: str | None) -> str | None:
    """Name the subshell that takes a message; the kernel asks in its shell channel thread.

    Args:
        default: The subshell the frontend wishes for, None for the main one.
    """
    try:
        manager = running_kernel().shell_channel_thread.manager  # type: ignore[union-attr] # caught below
        alive = manager.list_subshell()
        if default in alive:
            return default
        if not _own or _own[-1] not in alive:
            _own.append(manager._create_subshell())  # noqa: SLF001 - guarded: a click may be late, not lost
        return _own[-1]
    except Exception:  # noqa: BLE001 - whatever the kernel lacks, the old road is still there
        return default


@contextmanager
def while_blocked() -> Iterator[Callable[[], None]]:
    """Keep buttons answering in a block that waits: gives a function to call every 50 ms or so.

    The function never raises and costs nothing outside notebooks. Where no road is known, live
    widgets show `HINT` until the block is left.
    """
    kernel = running_kernel()
    if kernel is None or threading.current_thread() is not threading.main_thread():
        yield _nothing
        return
    if _has_subshells(kernel):
        yield _nothing
        return
    pump = _pump_of(kernel)
    _tell_widgets("" if pump else HINT)
    try:
        yield pump.tick if pump else _nothing
    finally:
        if pump:
            pump.give_back()
        _tell_widgets("")


def _nothing() -> None:
    """Answer for the places where clicks arrive by themselves, or not at all."""


def _has_subshells(kernel: Any) -> bool:
    """Say whether clicks find a thread: ours by the hook, or one that the frontend opened."""
    thread = getattr(kernel, "shell_channel_thread", None)
    if thread is None:
        return False
    try:
        return _hooked() or bool(thread.manager.list_subshell())
    except Exception:  # noqa: BLE001 - a kernel of another make: say so instead of guessing
        return False


def _hooked() -> bool:
    module = sys.modules.get("ipykernel.comm.comm")
    return hasattr(getattr(module, "BaseComm", None), _HOOK)


def _tell_widgets(hint: str) -> None:
    widget = sys.modules.get("batchframe.notebook.widget")
    for live in widget.live_widgets() if widget is not None else ():
        live.hint(hint)


def _pump_of(kernel: Any) -> _Pump | None:
    needs = ("msg_queue", "shell_stream", "session", "do_one_iteration")
    if not all(hasattr(kernel, name) for name in needs):
        return None
    try:
        import nest_asyncio2  # noqa: PLC0415 - only kernels without subshells need it
    except ImportError:
        return None
    nest_asyncio2.apply()
    return _Pump(kernel)


class _Pump:
    """Runs the widget messages that wait in an ipykernel 6, and keeps all others for later."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._kept: list[Any] = []
        self._broken = False

    def tick(self) -> None:
        """Dispatch each widget message that has arrived."""
        if self._broken:
            return
        try:
            self._kernel.shell_stream.flush()
            while not self._kernel.msg_queue.empty():
                item = self._kernel.msg_queue.get_nowait()
                if self._kind(item) in _COMMS:
                    self._run(item)
                else:
                    self._kept.append(item)
        except Exception:  # noqa: BLE001 - waiting for a paid job must not end because of a button
            self._broken = True
            _tell_widgets(HINT)

    def _run(self, item: Any) -> None:
        """Dispatch one message, then let the kernel go on answering the cell that waits.

        The kernel has one place for "whose message is this?"; a cell that ends under the click's
        name is shown as running for ever.
        """
        ident, parent = self._kernel._parent_ident["shell"], self._kernel.get_parent("shell")  # noqa: SLF001 - guarded by tick
        *_, dispatch, args = item
        try:
            asyncio.get_event_loop().run_until_complete(dispatch(*args))
        finally:
            self._kernel.set_parent(ident, parent, channel="shell")

    def give_back(self) -> None:
        """Put back what was kept, in its order, before anything that has come since."""
        later = []
        while not self._kernel.msg_queue.empty():
            later.append(self._kernel.msg_queue.get_nowait())
        for item in (*self._kept, *later):
            self._kernel.msg_queue.put_nowait(item)
        self._kept.clear()

    def _kind(self, item: Any) -> str:
        """Read a queued message's type without taking it; "" when it is not a message."""
        try:
            session, (message, *_) = self._kernel.session, item[-1]
            _, frames = session.feed_identities(message, copy=False)
            header = session.deserialize(frames, content=False, copy=False)["header"]
            return str(header["msg_type"])
        except Exception:  # noqa: BLE001 - what cannot be read is not ours to run
            return ""
