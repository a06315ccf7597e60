"""The loop that drives jobs: one a process, and a forked process starts its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from batchframe.orchestration import background

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")

FORKED = textwrap.dedent(
    """
    import asyncio, os, sys, threading, warnings
    from batchframe.orchestration import background

    warnings.simplefilter("ignore")  # of a process with threads that forks, from Python 3.12 on

    async def answer():
        await asyncio.sleep(0)
        return "answered"

    assert background.start(answer()).result(10) == "answered"
    if sys.argv[1] == "while another thread holds the guard":
        held, done = threading.Event(), threading.Event()

        def hold():
            with background._GUARD:
                held.set()
                done.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(10)
    child = os.fork()
    if child == 0:
        said = []
        # daemon: in a thread that waits for ever there is nothing to join
        ask = lambda: said.append(background.start(answer()).result(5))
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(10)
        os._exit(0 if said == ["answered"] else 9)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if sys.argv[1] == "while another thread holds the guard":
        done.set()
        holder.join()
    assert background.start(answer()).result(10) == "answered"
    sys.exit(code)
    """
)


def test_every_call_gets_the_same_loop():
    """Locks and events of one job belong to one loop."""
    assert background.loop() is background.loop()


@needs_fork
@pytest.mark.parametrize("when", ["at rest", "while another thread holds the guard"])
def test_a_forked_process_runs_its_jobs_on_a_loop_of_its_own(when):
    """It inherits the loop's object without its thread, and perhaps a lock that nobody will free."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKED, when],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
