"""Memory does not grow with the rows: ten times as many cost a part of their own bytes, whatever the stage.

`result()` holds what it gives, and a part's ids are held while it is decoded (its rows are limited by
the provider); texts, bodies and answers pass through.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("memory_child.py")

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither /proc nor the resource module"
)


def grown(folder: Path, stage: str, rows: int, width: int) -> float:
    """Give the growth of the peak between a tenth of the rows and all, as a share of their bytes."""
    command = [sys.executable, str(CHILD), str(folder), stage, str(rows), str(width)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    return told["grown"] / told["data"]


@pytest.mark.parametrize(("rows", "width"), [(60_000, 2_000), (3_000, 40_000)])
@pytest.mark.parametrize("stage", ["encode", "decode", "doubled"])
def test_a_stage_holds_a_piece_of_its_rows(tmp_path, stage, rows, width):
    """120 MB of texts: many short ones, or few long ones."""
    assert grown(tmp_path, stage, rows, width) < 0.8


@pytest.mark.parametrize(("rows", "width"), [(60_000, 2_000), (3_000, 40_000)])
@pytest.mark.parametrize("stage", ["encode lines", "decode lines"])
def test_a_command_holds_a_piece_of_its_file(tmp_path, stage, rows, width):
    """Requests of others into a provider's files, and its results back, sorted on the way."""
    assert grown(tmp_path, stage, rows, width) < 0.8


def test_a_lazy_frame_streams_through_a_whole_job(tmp_path):
    """240 MB from a Parquet file to counted outcomes; the small job has filled the buffers before."""
    assert grown(tmp_path, "job", 120_000, 2_000) < 0.6
