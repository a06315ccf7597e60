"""Takes the README's picture: its Python block, run as a notebook on the real model, photographed in a browser.

    python docs/pictures/readme.py    write docs/assets/quickstart.png

It needs the local model, playwright and a Chromium, and a font with emoji (on Debian
fonts-noto-color-emoji). The block travels in the picture as a text chunk, so that a test can tell when
the README has changed and the picture has not.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import struct
import sys
import tempfile
import zlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "assets" / "quickstart.png"

WIDTH = 860  # about what GitHub gives a README, in CSS pixels; the picture has twice as many

SHOWN = (
    'out.select("text", "parsed", "error", "model", "input_tokens", "output_tokens", "cost_usd")'
)
"""What the last cell shows of the result: the columns that fit."""

STYLE = """
  body { background: #fff; }
  main { padding: 10px 14px 14px !important; width: auto !important; }
  .jp-Cell { padding: 3px 0 !important; }
  .jp-InputPrompt, .jp-OutputPrompt { display: none !important; }
  .jp-InputArea-editor { border-radius: 8px; border-color: #e2e8f0; background: #f8fafc; }
  .highlight pre { font-size: 13.5px; line-height: 1.5; padding: 8px 12px; }
  .jp-OutputArea-output { padding: 0 !important; overflow: visible !important; }
  .dataframe { font-size: 13px; }
  .dataframe { width: 100%; table-layout: auto !important; }
  .dataframe td, .dataframe th { white-space: nowrap; padding: 5px 8px !important; }
  .dataframe td:first-child, .dataframe th:first-child { text-align: left !important; }
  .jp-Cell:first-of-type { display: none; }
"""


def code() -> str:
    """Give the README's first Python block."""
    readme = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    if found is None:
        raise SystemExit("README.md has no Python block.")
    return found[1].strip()


def cells(block: str) -> list[str]:
    """Cut the block as a reader would: the question (it stands above the picture), card, result."""
    question, card, result = re.split(r"(?m)^(job  #.*)$", block)
    return [question.strip(), card.strip(), f"{result.strip()}\n{SHOWN}"]


def page(folder: Path) -> str:
    """Run the cells where the README stands, on a workspace of their own; give the notebook as HTML."""
    import nbformat  # noqa: PLC0415 - the test that reads this file runs nothing
    from nbclient import NotebookClient  # noqa: PLC0415
    from nbconvert import HTMLExporter  # noqa: PLC0415

    os.environ["BATCHFRAME_HOME"] = str(folder / "workspace")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells(code())]
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": ROOT}}
    ).execute()
    html, _ = HTMLExporter().from_notebook_node(notebook)
    return html.replace("</head>", f"<style>{STYLE}</style></head>", 1)


def photograph(html: Path) -> bytes:
    """Open a page in Chromium and take its picture at twice its size."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 400}, device_scale_factor=2)
        tab.goto(html.as_uri())
        picture = tab.locator("main").screenshot()
        browser.close()
    return picture


def with_text(picture: bytes, text: str) -> bytes:
    """Put a text chunk into a PNG, right after its header.

    Args:
        picture: The bytes of a PNG file.
        text: What to put in; it travels as base64, since the chunk knows Latin-1 only.
    """
    body = b"tEXt" + b"code\0" + base64.b64encode(text.encode())
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    header = 8 + 25  # the signature; IHDR, which is always 13 bytes and its frame
    return picture[:header] + chunk + picture[header:]


def text_of(picture: bytes) -> str:
    """Read the text chunk back; an empty text where there is none."""
    found = re.search(rb"tEXtcode\0([A-Za-z0-9+/=]*)", picture)
    return base64.b64decode(found[1]).decode() if found else ""


def main() -> int:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "readme.html"
        html.write_text(page(Path(folder)), "utf-8")
        PICTURE.write_bytes(with_text(photograph(html), code()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
