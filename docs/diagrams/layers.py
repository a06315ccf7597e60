"""Draws the rooms and who may import whom as docs/assets/layers.svg, from the contract in pyproject.toml.

python docs/diagrams/layers.py            write the picture
python docs/diagrams/layers.py --check    fail if the committed picture is not this one
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import drawing

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "assets" / "layers.svg"

ROLES: dict[str, str] = {
    "cli": "the command line",
    "commands": "words of a command, printing, waiting",
    "accessor": "df.batch",
    "api": "the verbs, with full types",
    "arguments": "what a call may hold",
    "evals": "compare, scorers, intervals",
    "orchestration": "plan, job, driver, the state table",
    "immediate": "sends now: pacing, retries, journal",
    "providers": "how a batch lives, where",
    "frame": "Polars in, Polars out",
    "notebook": "widget, HTML, terminal",
    "dialects": "bodies on the wire, pure",
    "ledger": "jobs and steps, SQLite",
    "pricing": "dated prices, cost of a row, estimates",
    "errors": "the error tree",
    "redact": "secrets out of texts",
    "model": "the nouns, frozen, standard library only",
}
"""What each room is for, in a few words."""

LEFT, WIDTH, HEIGHT, GAP = 2, 836, 52, 10


def layers() -> list[list[str]]:
    """Read the contract: rooms from the top layer to the bottom one."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = tables["tool"]["importlinter"]["contracts"]
    lines = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip().removeprefix("batchframe.") for name in row.split("|")] for row in lines]


def draw() -> str:
    """Give the picture as SVG text; its colours come from the page."""
    rows = layers()
    height = len(rows) * (HEIGHT + GAP) + 2 * LEFT - GAP
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 {height}" role="img"'
            ' class="bf-layers" font-family="var(--md-text-font, system-ui), sans-serif">'
        ),
        "<title>The rooms of batchframe</title>",
        f"<desc>From top to bottom: {'; '.join(', '.join(row) for row in rows)}.</desc>",
    ]
    for level, row in enumerate(rows):
        width = (WIDTH - GAP * (len(row) - 1)) / len(row)
        top = LEFT + level * (HEIGHT + GAP)
        lines += [_room(name, LEFT + i * (width + GAP), top, width) for i, name in enumerate(row)]
    return "\n".join([*lines, "</svg>", ""])


def _room(name: str, left: float, top: int, width: float) -> str:
    centre = left + width / 2
    return (
        f'<rect x="{left:g}" y="{top}" width="{width:g}" height="{HEIGHT}" rx="8"'
        ' fill="var(--bf-box, #f8fafc)" stroke="var(--bf-line, #e2e8f0)" stroke-width="1.2"/>'
        f'<text x="{centre:g}" y="{top + 22}" text-anchor="middle" font-weight="600" font-size="16"'
        f' fill="var(--md-default-fg-color, #1e293b)">{name}</text>'
        f'<text x="{centre:g}" y="{top + 41}" text-anchor="middle" font-size="13"'
        f' fill="var(--md-default-fg-color--light, #566174)">{ROLES[name]}</text>'
    )


if __name__ == "__main__":
    sys.exit(drawing.main(PICTURE, draw))
