"""Calls made seldom still make the last one."""

from __future__ import annotations

import threading
import time

from batchframe.notebook.throttle import Throttle


def wait_for(condition, seconds=3.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_many_wishes_are_few_runs_and_the_last_is_heard():
    """A thousand wishes in half a second run a handful of times, the last one included."""
    seen, value = [], 0
    throttle = Throttle(lambda: seen.append(value), 0.1)
    start = time.monotonic()
    while time.monotonic() - start < 0.5:
        value += 1
        throttle.ask()
        time.sleep(0.0005)
    wait_for(lambda: seen[-1] == value)
    assert len(seen) <= 8


def test_the_first_wish_is_granted_at_once():
    """Nobody waits for a picture that was never drawn."""
    ran = threading.Event()
    Throttle(ran.set, 60.0).ask()
    assert ran.wait(1.0)


def test_an_urgent_wish_does_not_wait():
    """The end of a job is shown now, not after the span."""
    seen = []
    throttle = Throttle(lambda: seen.append(1), 60.0)
    throttle.ask()
    wait_for(lambda: len(seen) == 1)
    throttle.ask()
    throttle.ask(now=True)
    wait_for(lambda: len(seen) == 2)


def test_runs_never_overlap_and_a_wish_during_a_run_is_kept():
    """A slow action is not entered twice."""
    running, most, seen = [], [], []

    def slow():
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()
        seen.append(1)

    throttle = Throttle(slow, 0.0)
    throttle.ask()
    wait_for(lambda: running)
    for _ in range(20):
        throttle.ask(now=True)
    wait_for(lambda: len(seen) == 2)
    assert max(most) == 1


def test_an_action_may_wish_for_itself_and_stop_ends_it():
    """A clock ticks by itself until it is stopped."""
    seen = []
    throttle = Throttle(lambda: seen.append(1) or 0.01, 0.01)
    throttle.ask()
    wait_for(lambda: len(seen) >= 3)
    throttle.stop()
    time.sleep(0.05)
    count = len(seen)
    time.sleep(0.1)
    assert len(seen) == count


def test_an_action_that_raises_is_left_alone():
    """A face that cannot be drawn costs one thread, once, and no noise."""
    seen = []

    def broken():
        seen.append(1)
        raise RuntimeError

    throttle = Throttle(broken, 0.0)
    throttle.ask()
    wait_for(lambda: seen)
    time.sleep(0.05)
    throttle.ask(now=True)
    time.sleep(0.05)
    assert seen == [1]
