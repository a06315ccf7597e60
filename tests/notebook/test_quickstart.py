"""The quickstart in a real JupyterLab on the real local model: run as it stands, and cancelled by a click."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from batchframe.errors import MissingModelError
from batchframe.providers import weights

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"


@pytest.fixture
def cells(tmp_path) -> list[str]:
    """The notebook's code, after a cell that gives it a workspace and this machine's weights."""
    try:
        models = weights.find("smollm2").parent
    except MissingModelError:
        pytest.skip("the model is not in the model folder: batchframe local pull smollm2")
    here = {"BATCHFRAME_HOME": str(tmp_path / "workspace"), "BATCHFRAME_MODELS": str(models)}
    first = f"import os\nos.environ.update({here!r})\nos.chdir({os.fspath(QUICKSTART.parent)!r})"
    notebook = json.loads(QUICKSTART.read_text("utf-8"))
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    return [first, *code]


def submitting(cells: list[str]) -> int:
    """Find the cell that submits the job and shows it."""
    return next(i for i, code in enumerate(cells) if code.endswith("\njob"))


def cancel(notebook) -> None:
    """Click twice, as a user does."""
    notebook.page.get_by_role("button", name="Cancel", exact=True).click()
    notebook.page.get_by_role("button", name="Really cancel?", exact=True).click(timeout=5_000)


def test_the_quickstart_runs_and_its_card_ends_as_completed(jupyterlab, cells):
    """Cell by cell, up to the result: the live card follows the real job."""
    notebook = jupyterlab.open(cells)
    at = submitting(cells)
    for index in range(at + 1):
        notebook.run(index, timeout=60)
    table = notebook.run(at + 1, timeout=120)
    assert table.count("positive") + table.count("negative") >= 40, table
    notebook.page.locator(".bf-live .bf-state").get_by_text("completed").wait_for(timeout=10_000)
    line = notebook.run(at + 2)
    assert "completed  20/20 (100 %)" in line
    assert "rows 20, failed 0, total cost $0" in line
    notebook.close()


@pytest.mark.parametrize("waiting", ["out = job.result()", "out = await job"])
def test_a_click_cancels_the_real_job_while_a_cell_waits_for_it(jupyterlab, cells, waiting):
    """Blocked or awaiting: the job stops within seconds and keeps what was answered."""
    at = submitting(cells)
    code = [*cells[: at + 1], waiting + "\nprint(job.status, out.height, out['error'].count())"]
    notebook = jupyterlab.open(code)
    for index in range(at + 1):
        notebook.run(index, timeout=60)
    notebook.start(at + 1)
    notebook.page.wait_for_timeout(1_500)
    cancel(notebook)
    notebook.wait_until_idle(at + 1, timeout=15)
    status, rows, failed = notebook.cell(at + 1).locator(".jp-OutputArea").inner_text().split()
    assert (status, rows) == ("cancelled", "20")
    assert 0 < int(failed) <= 20
    notebook.page.locator(".bf-live .bf-state").get_by_text("cancelled").wait_for(timeout=10_000)
    notebook.close()
