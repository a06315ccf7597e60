"""`make demo`: run the quickstart on the local model, print its result, write build/quickstart.html."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent / "build"


def main() -> int:
    """Execute the notebook, show what it computed, and convert it."""
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    BUILD.mkdir(exist_ok=True)
    os.environ.setdefault("BATCHFRAME_HOME", str(BUILD / "workspace"))
    print("Running notebooks/quickstart.ipynb on local/smollm2 ...", flush=True)
    notebook = nbformat.read(HERE / "quickstart.ipynb", as_version=4)
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": HERE}},
        extra_arguments=["--log-level=ERROR"],  # a kernel warns that loopback is not encrypted
    ).execute()
    _print_shown(notebook)
    page = BUILD / "quickstart.html"
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    print(f"\nThe executed notebook: {page.relative_to(Path.cwd())}")
    return 0


def _print_shown(notebook: object) -> None:
    """Print the text outputs of the cells tagged `demo`: the table, the job's line and the total."""
    for cell in notebook.cells:  # type: ignore[attr-defined]  # nbformat nodes are untyped
        if "demo" not in cell.metadata.get("tags", ()):
            continue
        for output in cell.get("outputs", ()):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            print(text.rstrip(), end="\n\n")


if __name__ == "__main__":
    sys.exit(main())
