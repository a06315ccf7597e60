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


def test_the_picture_of_states_shows_every_move_and_every_state():
    """Each move has an arrow of its own, and nothing else has."""
    module = _drawn("states")
    assert set(module["PLACES"]) == {(before, after) for (before, _), after in MOVES.items()}
    assert set(module["CENTRES"]) == set(module["FACTS"]) == set(PartState)


def test_the_picture_of_rooms_knows_every_room_and_no_other():
    """A new room needs a line that says what it is for."""
    module = _drawn("layers")
    assert {room for row in module["layers"]() for room in row} == set(module["ROLES"])
