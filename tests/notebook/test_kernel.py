"""Clicks reach a job while a cell is blocked, in a real kernel and with whatever frontend.

The kernel here is the one of this environment (ipykernel 6 or 7), spoken to over its sockets as a
page does it: no browser. The click asks for no subshell, as pages other than JupyterLab's do.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from batchframe.notebook import kernel as module
from batchframe.notebook.kernel import HINT, keep_reachable, while_blocked

SETUP = f"""
import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_driver import FakeJob
from batchframe.notebook.display import show
from batchframe.notebook.kernel import while_blocked
job = FakeJob(rows=2000, pause=.01).start()
show(job.view, **job.shown)
"""

BLOCKED = """
end = time.monotonic() + 8
with while_blocked() as tick:
    while not job.done.is_set() and time.monotonic() < end:
        time.sleep(.05); tick()
print([call for call, *_ in job.calls], str(job.view.state))
"""

DEAF = BLOCKED.replace("time.sleep(.05); tick()", "time.sleep(.05)").replace("+ 8", "+ 3")


class Client:
    """A page without a browser: runs cells, clicks buttons, keeps what the kernel says."""

    def __init__(self, client) -> None:
        self.client = client
        self.buttons: dict[str, str] = {}
        self.printed: dict[str, str] = {}
        self.idle: set[str] = set()

    def start(self, code: str) -> str:
        return self.client.execute(code)

    def click(self, label: str) -> None:
        model = next(comm for comm, said in self.buttons.items() if said == label)
        data = {"method": "custom", "content": {"event": "click"}}
        content = {"comm_id": model, "data": data}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def listen(self, until, seconds: float = 20.0) -> None:
        import queue

        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"it did not happen; printed: {self.printed}"
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except queue.Empty:
                continue
            self._note(message["parent_header"].get("msg_id"), message)

    def _note(self, parent: str, message) -> None:
        content = message["content"]
        kind = message["msg_type"]
        if kind in ("comm_open", "comm_msg"):
            label = content["data"].get("state", {}).get("description")
            if label and (content["comm_id"] in self.buttons or kind == "comm_open"):
                self.buttons[content["comm_id"]] = label
        elif kind == "stream":
            self.printed[parent] = self.printed.get(parent, "") + content["text"]
        elif kind == "error":
            raise AssertionError("\n".join(content["traceback"]))
        elif kind == "status" and content["execution_state"] == "idle":
            self.idle.add(parent)


@pytest.fixture
def page():
    """A fresh kernel of this environment."""
    pytest.importorskip("ipywidgets")
    manager = pytest.importorskip("jupyter_client.manager")
    kernel = manager.KernelManager(kernel_name="python3")
    kernel.kernel_spec.argv[0] = sys.executable
    kernel.start_kernel()
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        yield Client(client)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
        kernel.cleanup_resources()
        # jupyter_client keeps an event loop for its blocking calls and leaves it open.
        pytest.importorskip("jupyter_core.utils").ensure_event_loop().close()


def blocked_cell(page: Client, code: str) -> str:
    """Show a job, block the kernel with `code`, click Cancel twice, give what the cell printed."""
    setup = page.start(SETUP)
    page.listen(lambda: setup in page.idle)
    cell = page.start(code)
    later = page.start("print('later', job.view.state)")
    time.sleep(0.5)
    page.click("Cancel")
    if code is BLOCKED:
        page.listen(lambda: "Really cancel?" in page.buttons.values())
        page.click("Really cancel?")
    page.listen(lambda: cell in page.idle and later in page.idle)
    assert page.printed[later].startswith("later")
    return page.printed[cell].strip()


@pytest.mark.slow
def test_a_click_cancels_a_job_while_its_cell_is_blocked(page):
    """The cell ends early because the click arrived; the next cell still runs after it."""
    assert blocked_cell(page, BLOCKED) == "['cancel'] cancelled"


@pytest.mark.slow
def test_the_road_is_what_makes_the_click_arrive(page):
    """Without it, the same click waits until the cell has ended."""
    code = "import ipykernel.comm.comm as c\nvars(c.BaseComm).get('_reply_subshell_for')\n"
    off = "from batchframe.notebook import widget\nwidget.keep_reachable = lambda comm: False\n"
    setup = page.start(code + off)
    page.listen(lambda: setup in page.idle)
    assert blocked_cell(page, DEAF) == "[] running"


def test_outside_notebooks_waiting_costs_nothing():
    """A script gets a function that does nothing, and nothing else happens."""
    with while_blocked() as tick:
        assert tick() is None


def test_a_comm_without_the_hook_is_left_alone():
    """Kernels of other makes are not touched."""
    comm = SimpleNamespace()
    assert keep_reachable(comm) is False
    assert vars(comm) == {}


def test_a_comm_with_the_hook_is_answered_in_the_subshell_that_was_asked_for(monkeypatch):
    """JupyterLab's own subshell wins; one of ours is made once, and again when it is gone."""
    alive = ["lab"]
    manager = SimpleNamespace(
        list_subshell=lambda: list(alive),
        _create_subshell=lambda: alive.append(f"own{len(alive)}") or alive[-1],
    )
    fake = SimpleNamespace(shell_channel_thread=SimpleNamespace(manager=manager))
    monkeypatch.setattr(module, "running_kernel", lambda: fake)
    monkeypatch.setattr(module, "_own", [])
    comm = SimpleNamespace(_reply_subshell_for=lambda data, default: "main")
    assert keep_reachable(comm) is True
    route = comm._reply_subshell_for
    assert [route({}, "lab"), route({}, None), route({}, "gone")] == ["lab", "own1", "own1"]
    alive.remove("own1")
    assert route({}, None) == "own1"
    assert alive == ["lab", "own1"]


def test_a_kernel_that_lacks_what_we_need_keeps_its_old_road(monkeypatch):
    """A private name that is gone costs the click its speed, not its life."""
    monkeypatch.setattr(module, "running_kernel", SimpleNamespace)
    comm = SimpleNamespace(_reply_subshell_for=None)
    keep_reachable(comm)
    assert comm._reply_subshell_for({}, None) is None
    assert comm._reply_subshell_for({}, "lab") == "lab"


def test_where_no_road_is_known_the_widgets_say_what_to_type(monkeypatch):
    """The hint stands while the cell is blocked, and goes with it."""
    said = []
    monkeypatch.setattr(module, "running_kernel", SimpleNamespace)
    monkeypatch.setattr(module, "_tell_widgets", said.append)
    with while_blocked() as tick:
        tick()
        assert said == [HINT]
    assert said == [HINT, ""]
    assert HINT == (
        "This cell is blocked, and so are these buttons until it ends;"
        " `await job` keeps them working."
    )


def test_a_new_kernel_without_the_hook_is_trusted_when_the_page_opened_a_subshell(monkeypatch):
    """ipykernel 7.0 to 7.3: the page's own subshell takes the click, so no hint is shown."""
    said = []
    manager = SimpleNamespace(list_subshell=lambda: ["lab"])
    fake = SimpleNamespace(shell_channel_thread=SimpleNamespace(manager=manager))
    monkeypatch.setattr(module, "running_kernel", lambda: fake)
    monkeypatch.setattr(module, "_hooked", lambda: False)
    monkeypatch.setattr(module, "_tell_widgets", said.append)
    with while_blocked():
        pass
    assert said == []


class Queue:
    """As much of asyncio's queue as an ipykernel 6 uses."""

    def __init__(self, items) -> None:
        self.items = list(items)

    def empty(self):
        return not self.items

    def get_nowait(self):
        return self.items.pop(0)

    def put_nowait(self, item):
        self.items.append(item)


def old_kernel(kinds):
    """Build the parts of an ipykernel 6 that the pump touches; the message is its own type."""
    ran = []

    async def dispatch(message):
        kernel.parent = {"header": message}
        ran.append(message)

    session = SimpleNamespace(
        feed_identities=lambda message, copy: ([], message),
        deserialize=lambda frames, content, copy: {"header": {"msg_type": frames}},
    )
    queue = Queue((number, dispatch, (kind,)) for number, kind in enumerate(kinds))
    stream = SimpleNamespace(flush=lambda: None)
    kernel = SimpleNamespace(
        msg_queue=queue, shell_stream=stream, session=session, do_one_iteration=None
    )
    kernel._parent_ident, kernel.parent = {"shell": b"cell"}, {"header": "cell"}
    kernel.get_parent = lambda channel: kernel.parent
    kernel.set_parent = lambda ident, parent, channel: setattr(kernel, "parent", parent)
    return kernel, ran


def test_an_old_kernel_runs_widget_messages_and_keeps_the_rest_in_order(monkeypatch):
    """A cell queued behind the blocked one must neither run early nor be lost or reordered."""
    import asyncio

    kernel, ran = old_kernel(["execute_request", "comm_msg", "complete_request", "comm_close"])
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(module.asyncio, "get_event_loop", lambda: loop)
    pump = module._Pump(kernel)
    pump.tick()
    assert ran == ["comm_msg", "comm_close"]
    assert kernel.parent == {"header": "cell"}
    kernel.msg_queue.put_nowait((9, None, ("is_complete_request",)))
    pump.give_back()
    left = [args[0] for _, _, args in kernel.msg_queue.items]
    assert left == ["execute_request", "complete_request", "is_complete_request"]
    loop.close()


def test_an_old_kernel_that_breaks_under_the_pump_leaves_the_job_alone(monkeypatch):
    """Waiting for a paid job does not end because of a button."""
    said = []
    kernel, _ = old_kernel(["comm_msg"])
    kernel.shell_stream = None
    monkeypatch.setattr(module, "_tell_widgets", said.append)
    pump = module._Pump(kernel)
    pump.tick()
    pump.tick()
    assert said == [HINT]
