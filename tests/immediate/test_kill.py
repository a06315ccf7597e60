"""A process killed at any moment costs at most the rows it had in flight."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from benching import Bench
from scripted import Say, fine, running

from batchframe.ledger.journal import answered, records

ROWS, CONCURRENCY, KILLS = 600, 8, 5


def test_a_run_killed_at_random_moments_answers_every_row_once(bench: Bench) -> None:
    """Killed five times: one line a row at the end, and at most the rows in flight asked again."""
    ids = [f"r{n}" for n in range(ROWS)]
    bench.write(ids)
    moments = random.Random(7)
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(bench.folder)]

    def answer(user: str, _: int) -> Say:
        return Say(body=fine(user).body, delay=moments.random() * 0.02)

    with running(answer) as server:
        for _ in range(KILLS):
            before = sum(server.asked.values())
            process = subprocess.Popen([*command, server.url, str(CONCURRENCY)])
            while sum(server.asked.values()) == before and process.poll() is None:
                time.sleep(0.002)
            time.sleep(moments.random() * 0.1)
            process.kill()
            process.wait()
        assert 0 < len(answered(bench.journal)) < ROWS
        subprocess.run([*command, server.url, str(CONCURRENCY)], check=True, timeout=60)
        asked = server.asked
    lines = Counter(record["custom_id"] for record in records(bench.journal))
    assert lines == dict.fromkeys(ids, 1)
    assert set(asked) == set(ids)
    assert sum(asked.values()) <= ROWS + KILLS * CONCURRENCY


@pytest.mark.parametrize("damage", [b'{"id":"x","custom_id":"r1","resp', b"\0" * 300])
def test_a_torn_tail_is_repaired_by_the_next_run(bench: Bench, damage: bytes) -> None:
    """What a crash leaves behind the last line is gone after it, and no line is glued to it."""
    bench.write(["r0", "r1"])
    with running() as server:
        bench.run(server.url)
        whole = bench.journal.read_bytes()
        bench.journal.write_bytes(whole.splitlines(keepends=True)[0] + damage)
        assert bench.run(server.url).resumed == 1
    assert len(list(records(bench.journal))) == 2
