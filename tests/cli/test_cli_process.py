"""The command line as a process of its own: exit codes, pipes, signals, imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

BATCHFRAME = [sys.executable, "-m", "batchframe.cli"]

WITH_SLOW_ECHO = textwrap.dedent(
    """
    import sys, time
    from batchframe.cli import main
    from batchframe.providers.registry import register
    from batchframe.testing import Echo

    def slow(body):
        time.sleep(0.05)
        return "answered"

    register(Echo(slow))
    sys.exit(main(sys.argv[1:]))
    """
)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*words, **options):
    return subprocess.run(
        [*BATCHFRAME, *words], capture_output=True, text=True, timeout=120, check=False, **options
    )


def test_the_module_is_the_command_and_its_exit_code_is_the_processs():
    """A refusal is one line and 2; no traceback."""
    done = run("show", "job-nobody")
    assert done.returncode == 2
    assert done.stderr.startswith("batchframe: No job 'job-nobody' in ")
    assert done.stderr.count("\n") == 1


def test_help_and_version_load_neither_the_ledger_nor_pydantic_nor_rich():
    """Polars is loaded by the package itself; nothing heavier may be."""
    heavy = [
        "sqlalchemy",
        "pydantic",
        "rich",
        "pyarrow",
        "asyncio",
        "genai_prices",
        "batchframe.api",
    ]
    code = (
        "import sys, json; from batchframe.cli import main; "
        "main(['--version']); main(['submit', '--help']); "
        f"print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_real_ctrl_c_leaves_a_job_that_another_process_finishes(tmp_path):
    """Interrupted in the middle of its rows: 130, no traceback, and nothing is asked twice."""
    rows = 400
    (tmp_path / "a.csv").write_text("text\n" + "".join(f"t{i}\n" for i in range(rows)))
    words = ["submit", "a.csv", "--model", "echo/x", "--prompt", "{text}", "--out", "o.ndjson"]
    command = [sys.executable, "-c", WITH_SLOW_ECHO]
    first = subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True)
    said = ""
    while "running" not in said:
        said += first.stderr.readline()
    first.send_signal(signal.SIGINT)
    rest = first.communicate(timeout=60)[1]
    assert first.returncode == 130
    assert rest.splitlines()[-1].startswith("batchframe: Interrupted. Job job-")
    assert "Traceback" not in rest
    assert not (tmp_path / "o.ndjson").exists()
    identity = rest.split("Job ")[1].split()[0]
    second = subprocess.run(
        [*command, "results", identity, "--out", "o.ndjson"], timeout=120, check=False
    )
    assert second.returncode == 0
    written = [json.loads(line) for line in (tmp_path / "o.ndjson").read_text().splitlines()]
    assert [row["response"] for row in written] == ["answered"] * rows


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
def test_a_pipe_that_closes_early_is_no_error():
    """`| head -1` on more than a pipe can hold; Python says nothing of it at its exit."""
    code = (
        "import sys; import batchframe.cli as cli; "
        "cli.bf.jobs = lambda: __import__('polars').DataFrame({'id': ['x' * 99] * 5000}); "
        "sys.exit(cli.main(['jobs', '--json']))"
    )
    line = f'{sys.executable} -c "{code}" | head -1'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")
