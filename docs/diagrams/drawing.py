"""What every diagram does when it is run: write its picture, or check the committed one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path


def main(picture: Path, draw: Callable[[], str]) -> int:
    """Write the picture, or with `--check` compare it with the committed one.

    Args:
        picture: Where it is committed.
        draw: Gives it as SVG text.

    Returns:
        The exit code: 1 when the committed picture is another.
    """
    drawn = draw()
    if "--check" in sys.argv:
        return int(picture.read_text("utf-8") != drawn)
    picture.write_text(drawn, "utf-8")
    return 0
