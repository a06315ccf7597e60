"""The README's picture was taken of the README's own lines."""

from __future__ import annotations

import runpy

import docpages
import pytest

SCRIPT = docpages.DOCS / "pictures" / "readme.py"


@pytest.fixture(scope="module")
def script():
    """The script's names; nothing is run or photographed."""
    return runpy.run_path(str(SCRIPT))


def test_the_picture_shows_the_lines_of_the_readme(script):
    """Whoever changes the lines is told to take the picture again."""
    taken = script["text_of"](script["PICTURE"].read_bytes())
    assert taken == script["code"](), "Type: python docs/pictures/readme.py"


def test_the_home_page_shows_the_same_lines(script):
    """A stranger meets one example, wherever they come in."""
    home = (docpages.DOCS / "index.md").read_text("utf-8")
    assert script["code"]() in home


def test_the_picture_is_sharp_and_light(script):
    """Twice the width it is shown at, and less than 300 kB."""
    picture = script["PICTURE"].read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") >= 2 * 800
    assert len(picture) < 300_000
