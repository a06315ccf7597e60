"""kill -9 half-way through a job on the real local model: the same call finishes only the rest."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from batchframe.errors import MissingModelError
from batchframe.providers import weights

pytestmark = [pytest.mark.model, pytest.mark.slow]

CHILD = Path(__file__).with_name("local_child.py")
ROOT = CHILD.parents[2]
ROWS = 24


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Begin the job, or go on with it."""
    line = [sys.executable, str(CHILD), str(folder), str(ROWS)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answered(folder: Path) -> list[dict[str, object]]:
    """Read the journal of the job's only part."""
    found = list(folder.glob("workspace/jobs/*/*.journal.jsonl"))
    lines = found[0].read_bytes().split(b"\n")[:-1] if found else []
    return [json.loads(line) for line in lines]


def test_rows_answered_before_the_kill_are_not_asked_again(tmp_path):
    """The journal keeps the first process's answers byte for byte, and has one line a row at the end."""
    try:
        weights.find("smollm2")
    except MissingModelError:
        pytest.skip("the model is not in the model folder: batchframe local pull smollm2")
    dying = start(tmp_path)
    while len(answered(tmp_path)) < ROWS // 3:
        assert dying.poll() is None, dying.communicate()[1]
        time.sleep(0.02)
    dying.kill()
    dying.communicate()
    before = answered(tmp_path)
    assert ROWS // 3 <= len(before) < ROWS
    going_on = start(tmp_path)
    assert going_on.wait(120) == 0, going_on.communicate()[1]
    going_on.communicate()
    after = answered(tmp_path)
    assert after[: len(before)] == before
    assert sorted(line["custom_id"] for line in after) == sorted(f"r{i}" for i in range(ROWS))
    out = pl.read_parquet(tmp_path / "out.parquet")
    assert out["response"].null_count() == 0
    assert out["error"].drop_nulls().is_empty()
