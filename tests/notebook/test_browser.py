"""A real JupyterLab shows the live card, its buttons work while a cell is busy, and it can be saved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETUP = f"""
import sys, time, asyncio; sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_driver import FakeJob, HOSTILE
from batchframe.notebook.display import show
from batchframe.notebook.kernel import while_blocked
job = FakeJob(rows=1500, pause=.02)
job.put(name="reviews", note=HOSTILE)
job.start()
show(job.view, **job.shown)
"""

BLOCKED = """
with while_blocked() as tick:
    while not job.done.wait(.05): tick()
print([call for call, *_ in job.calls], job.view.state)
"""

AWAITED = """
while not job.done.is_set(): await asyncio.sleep(.05)
print([call for call, *_ in job.calls], job.view.state)
"""


@pytest.fixture
def open_notebook(jupyterlab):
    opened = []

    def build(cells):
        opened.append(jupyterlab.open(cells))
        return opened[-1]

    yield build
    for notebook in opened:
        notebook.close()


def button(notebook, name):
    return notebook.page.get_by_role("button", name=name, exact=True)


def card(notebook):
    """Give the live card, the one that can be seen."""
    return notebook.page.locator(".bf-live")


def twin(notebook):
    return notebook.page.locator(".bf-card")


def cancel_while_busy(notebook) -> str:
    """Run the second cell, which waits for the job, and cancel the job with two clicks."""
    notebook.run(0)
    notebook.start(1)
    notebook.page.wait_for_timeout(800)  # let the busy cell and its widget talk first
    button(notebook, "Cancel").click()
    button(notebook, "Really cancel?").click(timeout=5_000)
    notebook.wait_until_idle(1, timeout=10)  # the job alone would take half a minute
    return notebook.cell(1).locator(".jp-Cell-outputArea").inner_text().strip()


def test_cancel_works_while_a_cell_is_blocked_and_the_saved_page_outlives_the_kernel(open_notebook):
    """Two clicks end a blocked cell; after the kernel's death the file shows the last picture."""
    notebook = open_notebook([SETUP, BLOCKED])
    assert cancel_while_busy(notebook) == "['cancel'] cancelled"
    card(notebook).get_by_text("cancelled").wait_for(timeout=5_000)
    assert card(notebook).count() == 1
    assert twin(notebook).is_hidden()
    notebook.page.wait_for_timeout(500)

    saved = notebook.save()["cells"][0]["outputs"]
    assert "cancelled" in "".join(saved[1]["data"]["text/html"])
    notebook.end_kernel()
    notebook.reload()
    twin(notebook).wait_for(state="visible", timeout=15_000)
    lost = notebook.page.get_by_text("model not found")
    lost.wait_for(state="attached", timeout=20_000)  # Lab has looked for the widget
    assert lost.is_hidden()
    assert re.search(r"reviews\s*■ cancelled", twin(notebook).inner_text())
    assert notebook.page.evaluate("window.pwned") is None
    assert notebook.page.locator("mjx-container").count() == 0


def test_cancel_and_retry_work_while_a_cell_awaits(open_notebook):
    """Awaiting needs no road of ours; a page loaded anew finds the widget again; retry follows."""
    notebook = open_notebook([SETUP, AWAITED])
    assert cancel_while_busy(notebook) == "['cancel'] cancelled"
    notebook.save()
    notebook.reload()
    card(notebook).get_by_text("cancelled").wait_for(timeout=15_000)
    assert twin(notebook).is_hidden()
    button(notebook, "Retry failed").click()
    card(notebook).get_by_text("completed").wait_for(timeout=5_000)
    assert notebook.page.evaluate("window.pwned") is None
