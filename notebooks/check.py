"""Run every notebook in a workspace of its own and compare each output with the committed one.

Cells whose output is a model's own words, or a card that goes on living, carry the tag
`nbval-ignore-output`: the last bit of a float, and so now and then a word, differs between
processors. Cells beside them assert what must hold.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Give pytest's exit code."""
    with tempfile.TemporaryDirectory() as home:
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--nbval",
            "--nbval-current-env", f"--nbval-sanitize-with={HERE / 'sanitize.cfg'}",
            "-W", "default", *map(str, sorted(HERE.glob("*.ipynb"))),
        ]  # fmt: skip
        environment = {**os.environ, "BATCHFRAME_HOME": home}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
