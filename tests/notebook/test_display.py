"""A job is shown in the best form the place can show, and a saved page holds the last one."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from fake_driver import ENDED, RUNNING, VIEWS, FakeJob
from lab import notebook_of
from test_throttle import wait_for

from batchframe.ledger.events import JobState
from batchframe.notebook import display as module
from batchframe.notebook.display import WIDGET, in_notebook, mimebundle, show


@pytest.fixture
def page(monkeypatch):
    """Pretend to be in a kernel, and record what is put out: (how, bundle, display id)."""
    ipython = pytest.importorskip("IPython.display")
    outputs = []

    def put(how):
        return lambda data, raw, display_id=None: outputs.append((how, data, display_id))

    monkeypatch.setattr(module, "running_kernel", SimpleNamespace)
    monkeypatch.setattr(module, "_FACES", {})
    monkeypatch.setattr(ipython, "display", put("display"))
    monkeypatch.setattr(ipython, "update_display", put("update"))
    yield outputs
    for face in module._FACES.values():
        face._throttle.stop()
        if face.widget is not None:
            face.widget.close()


@pytest.fixture
def without_ipywidgets(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)


def test_a_script_is_no_notebook():
    """Tests run in no kernel."""
    assert in_notebook() is False


def test_outside_notebooks_a_bundle_is_text_and_html():
    """No widget is built where none can live."""
    bundle = mimebundle(RUNNING, **FakeJob().shown)
    assert sorted(bundle) == ["text/html", "text/plain"]


def test_in_a_notebook_a_bundle_holds_the_widget_too(page):
    """One output with every form."""
    bundle = mimebundle(RUNNING, **FakeJob().shown)
    assert sorted(bundle) == [WIDGET, "text/html", "text/plain"]
    assert sorted(bundle[WIDGET]) == ["model_id", "version_major", "version_minor"]


def test_include_and_exclude_are_heeded_and_spare_the_widget(page):
    """What is not wanted is not built."""
    faces = FakeJob().shown
    assert list(mimebundle(RUNNING, **faces, include={"text/html"})) == ["text/html"]
    assert sorted(mimebundle(RUNNING, **faces, exclude={WIDGET, "text/html"})) == ["text/plain"]
    assert module._FACES == {}


def test_without_ipywidgets_a_notebook_gets_the_static_card_and_keeps_it_fresh(
    page, without_ipywidgets
):
    """The missing package costs the buttons, not the picture."""
    job = FakeJob()
    assert sorted(mimebundle(job.view, **job.shown)) == ["text/html", "text/plain"]
    show(job.view, **job.shown)
    job.put(state=JobState.RUNNING, done=7)
    wait_for(lambda: page and "7 of 100" in page[-1][1]["text/html"])
    assert page[0][0] == "display"
    assert "bf-twin" not in page[0][1]["text/html"].split("</style>")[-1]


def test_a_widget_that_cannot_be_built_leaves_the_card(page, monkeypatch):
    """A broken installation is not the user's job's problem."""
    monkeypatch.setitem(sys.modules, "batchframe.notebook.widget", None)
    assert sorted(mimebundle(RUNNING, **FakeJob().shown)) == ["text/html", "text/plain"]


def test_show_puts_out_the_widget_alone_and_then_its_twin(page):
    """The first output says nothing in text, so that nobody reads everything twice."""
    show(RUNNING, **FakeJob().shown)
    (_, live, _), (_, twin, display_id) = page
    assert sorted(live) == [WIDGET, "text/plain"]
    assert live["text/plain"] == ""
    assert f"bf-twin-{live[WIDGET]['model_id']}" in twin["text/html"]
    assert display_id


def test_the_twin_is_refreshed_when_the_job_ends(page):
    """The page that is saved after the end holds the end, at once."""
    job = FakeJob(rows=5, pause=0.001)
    show(job.view, **job.shown)
    job.start()
    wait_for(lambda: page[-1][0] == "update" and "completed" in page[-1][1]["text/plain"])
    assert page[-1][2] == page[1][2]


def test_a_job_shown_twice_has_one_widget_and_one_display_id(page):
    """Looking again costs nothing and both outputs stay fresh."""
    job = FakeJob()
    show(job.view, **job.shown)
    show(job.view, **job.shown)
    put = [output for output in page if output[0] == "display"]
    assert put[0][1][WIDGET] == put[2][1][WIDGET]
    assert put[1][2] == put[3][2]
    assert len(job.events._observers[job.view.id]) == 2


def test_a_widget_that_was_closed_is_built_anew(page):
    """`Widget.close_all()` is not the end of looking."""
    job = FakeJob()
    show(job.view, **job.shown)
    module._FACES[job.view.id].widget.close()
    show(job.view, **job.shown)
    first, _, second, _ = (output for output in page if output[0] == "display")
    assert first[1][WIDGET] != second[1][WIDGET]


def test_a_script_that_shows_a_job_prints_one_line(capsys):
    """Where there is no page there is a line."""
    show(ENDED, **FakeJob().shown)
    assert capsys.readouterr().out.startswith("job-7f3k  reviews · local/smollm2 · completed")


def test_a_page_made_by_nbconvert_says_everything_once(page):
    """The exported page holds the twin, and no trace of a widget that is not there."""
    nbconvert = pytest.importorskip("nbconvert")
    nbformat = pytest.importorskip("nbformat")
    show(VIEWS["completed"], **FakeJob().shown)
    content = notebook_of(["job"])
    content["cells"][0]["outputs"] = [
        {"output_type": "display_data", "metadata": {}, "data": data} for _, data, _ in page
    ]
    exporter = nbconvert.HTMLExporter()
    made, _ = exporter.from_notebook_node(nbformat.from_dict(content))
    bare = re.sub(r"<style.*?</style>", "", made, flags=re.DOTALL)
    assert bare.count("Why 3 rows failed") == 1
    assert "widget-view+json" not in bare


@pytest.mark.parametrize("room", ["html", "display", "terminal", "kernel"])
def test_looking_loads_nothing_heavy(room):
    """The faces' modules load without widgets, rich, polars or SQL."""
    code = (
        f"import sys, importlib; before = set(sys.modules);"
        f"importlib.import_module('batchframe.notebook.{room}');"
        "heavy = {'ipywidgets', 'rich', 'sqlalchemy', 'IPython', 'nest_asyncio2'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
