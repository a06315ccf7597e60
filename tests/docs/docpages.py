"""Reads the documentation as tests see it: pages, their blocks, their links, their tables.

Marks are HTML comments on the line before a block, so that every renderer shows the block as usual:

    <!-- not run: why -->       the Python block below is not run
    <!-- raises: ErrorName -->  it must raise that; the error's text counts as printed
    <!-- prints -->             the text block below is exactly what the last Python block printed

and a page may begin with `<!-- setup` ... `-->`: Python that is run before the page's own blocks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```\s*$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- (not run|raises|prints)(?:: ([^\n]*?))? -->\s*\Z")
_SETUP = re.compile(r"\A<!-- setup\n(.*?)-->", re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its code, the line it starts on, and the mark before it."""

    language: str
    code: str
    line: int
    mark: str | None = None
    said: str | None = None


def pages() -> list[Path]:
    """Every page whose blocks are ours to prove: the README and docs/, decision records apart."""
    return [ROOT / "README.md", *sorted(p for p in DOCS.rglob("*.md") if "adr" not in p.parts)]


def name(page: Path) -> str:
    """Give a page's path from the root, as tests show it."""
    return page.relative_to(ROOT).as_posix()


def setup(text: str) -> str:
    """Give the Python that a page wants before its blocks."""
    found = _SETUP.match(text)
    return found[1] if found else ""


def blocks(text: str) -> list[Block]:
    """Give a page's fenced blocks in order; those in tabs and lists lose their indent."""
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()].rstrip(" ")
        mark = _MARK.search(before, before.rfind("<!--") if "<!--" in before else len(before))
        width = len(match["indent"])
        code = "\n".join(line[width:] for line in match["code"].split("\n"))
        line = text.count("\n", 0, match.start()) + 1
        words = match["info"].split()
        found.append(
            Block(
                words[0] if words else "", code, line,
                mark[1] if mark else None, mark[2] if mark else None,
            )
        )  # fmt: skip
    return found


def prose(text: str) -> str:
    """Give a page without its blocks and comments: what links and tables are looked for in."""
    return re.sub(r"<!--.*?-->", "", _FENCE.sub("", text), flags=re.DOTALL)


def links(text: str) -> list[str]:
    """Give the targets of a page's links."""
    return _LINK.findall(prose(text))


def first_cells(text: str, heading: str) -> list[str]:
    """Give the code words in the first column of the table under a heading, in order.

    Args:
        text: The page.
        heading: The heading's words, without the `#`.
    """
    _, _, rest = prose(text).partition(f" {heading}\n")
    section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[1])]


def rows(text: str, heading: str) -> list[list[str]]:
    """Give the cells of the table under a heading, stripped."""
    _, _, rest = prose(text).partition(f" {heading}\n")
    section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
