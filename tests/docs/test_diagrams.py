"""The committed pictures are what the code's own tables draw today."""

from __future__ import annotations

import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET

import docpages
import pytest

from batchframe.orchestration.steps import MOVES, PartState

SCRIPTS = [docpages.DOCS / "diagrams" / f"{name}.py" for name in ("layers", "states")]
REDRAW = "the picture is out of date. Type: python docs/diagrams/{}.py"


def _drawn(name: str) -> dict:
    folder = str(docpages.DOCS / "diagrams")
    sys.path.insert(0, folder)  # where Python looks when the script is run by its path
    try:
        return runpy.run_path(f"{folder}/{name}.py")
    finally:
        sys.path.remove(folder)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_diagram_can_be_checked_from_the_command_line(script):
    """As its first lines say."""
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_committed_picture_is_up_to_date_and_well_formed(script):
    """Whoever changes a table is told to draw again."""
    module = _drawn(script.stem)
    committed = module["PICTURE"].read_text("utf-8")
    assert module["draw"]() == committed, REDRAW.format(script.stem)
    assert ET.fromstring(committed).tag == "{http://www.w3.org/2000/svg}svg"
    assert "\n\n" not in committed, "an empty line would end the HTML block in Markdown"


def test_the_page_of_parameters_is_what_the_table_gives():
    """Providers' references change; the page cannot lag behind the code."""
    script = docpages.DOCS / "diagrams" / "parameters.py"
    checked = subprocess.run([sys.executable, script, "--check"], check=False)
    assert checked.returncode == 0, REDRAW.format("parameters")


def test_the_page_of_variables_is_what_the_settings_read():
    """A setting that is new is on the page, with its variable, or the page is out of date."""
    module = _drawn("variables")
    assert module["PAGE"].read_text("utf-8") == module["draw"](), REDRAW.format("variables")


def test_every_variable_that_the_page_names_is_read_and_no_other(monkeypatch):
    """The page is made of the classes' fields; this asks the classes themselves, by setting each."""
    import importlib

    from batchframe.providers.registry import KNOWN

    module = _drawn("variables")
    page = module["PAGE"].read_text("utf-8")
    values = {"patience": '{"results": 600}', "deployments": '{"a": "b"}', "window": "48h", "entra": "true", "data_zone": "true",
              "base_url": "https://x.example/v1", "endpoint": "https://x.example"}  # fmt: skip
    for name, entry in KNOWN.items():
        settings = getattr(importlib.import_module(entry.module), "Settings", None)
        for field, info in settings.model_fields.items() if settings else ():
            variable = module["variable"](settings, field, info)
            if (name, field) in module["UNREAD"]:
                assert f"`{variable}`" not in page
                continue
            assert f"`{variable}`" in page
            low = next((m.ge for m in info.metadata if hasattr(m, "ge")), 7)
            with monkeypatch.context() as patch:
                before = getattr(settings.made(name, {}), field)
                patch.setenv(variable, values.get(field, str(low)))
                if before == low:
                    patch.setenv(variable, str(low + 1))
                assert getattr(settings.made(name, {}), field) != before, variable


def test_variables_that_the_how_to_names_are_all_in_the_reference():
    """Its table is a choice of them."""
    import re

    chosen = (docpages.DOCS / "how-to" / "providers.md").read_text("utf-8")
    table = "".join(line for line in chosen.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", table))
    page = (docpages.DOCS / "reference" / "variables.md").read_text("utf-8")
    assert len(named) > 15
    assert not [one for one in named if f"| `{one}` |" not in page]


def test_the_picture_of_states_shows_every_move_and_every_state():
    """Each move has an arrow of its own, and nothing else has."""
    module = _drawn("states")
    assert set(module["PLACES"]) == {(before, after) for (before, _), after in MOVES.items()}
    assert set(module["CENTRES"]) == set(module["FACTS"]) == set(PartState)


def test_the_picture_of_rooms_knows_every_room_and_no_other():
    """A new room needs a line that says what it is for."""
    module = _drawn("layers")
    assert {room for row in module["layers"]() for room in row} == set(module["ROLES"])
