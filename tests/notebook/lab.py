"""A real JupyterLab in headless Chromium: own folder, own home, free port; for tests that click.

`jupyterlab` is the fixture: `notebook = jupyterlab.open(["1 + 1", ...])`, then `notebook.start(0)`,
`notebook.wait_until_idle()` and playwright's `notebook.page` for everything else.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TOKEN = "x"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}
_START = 40.0
_NUMBERS = itertools.count(1)


def chromium() -> str | None:
    """Give the path of a Chromium on this machine; BATCHFRAME_CHROMIUM wins."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = (shutil.which(name) for name in names)
    return os.environ.get("BATCHFRAME_CHROMIUM") or next(filter(None, found), None)


class Notebook:
    """One open notebook: a page of the browser and a file on disk."""

    def __init__(self, page: Any, path: Path, url: str) -> None:
        self.page = page
        self.path = path
        self._url = url

    def cell(self, index: int) -> Any:
        """Give the cell as a playwright locator."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def start(self, index: int) -> None:
        """Run a cell as a user does, and do not wait for it."""
        before = self._prompt(index)
        for _ in range(20):  # a notebook that is still settling takes the focus away again
            self.cell(index).locator(".cm-content").click()
            self.page.keyboard.press("Shift+Enter")
            self.page.wait_for_timeout(100)
            if self._prompt(index) not in (before, "[ ]:"):
                return
        msg = f"cell {index} could not be started"
        raise AssertionError(msg)

    def _prompt(self, index: int) -> str:
        return str(self.cell(index).locator(".jp-InputPrompt").first.inner_text())

    def wait_until_idle(self, index: int, timeout: float = 15.0) -> None:
        """Wait until a started cell has ended: its prompt shows a number."""
        end = time.monotonic() + timeout
        while not self._prompt(index).strip("[]: ").isdigit():
            assert time.monotonic() < end, f"cell {index} still runs: {self._prompt(index)!r}"
            self.page.wait_for_timeout(50)

    def run(self, index: int, timeout: float = 15.0) -> str:
        """Run a cell, wait for its end, give the text of its outputs."""
        self.start(index)
        self.wait_until_idle(index, timeout)
        self.page.wait_for_timeout(150)  # the last output may follow the prompt
        return str(self.cell(index).locator(".jp-Cell-outputArea").inner_text())

    def save(self) -> dict[str, Any]:
        """Save the notebook and give the file's content."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+s")
        end = time.monotonic() + 10
        while self.path.stat().st_mtime_ns == before:
            assert time.monotonic() < end, "the notebook was not saved"
            self.page.wait_for_timeout(50)
        self.page.wait_for_timeout(200)
        return dict(json.loads(self.path.read_text()))

    def end_kernel(self) -> None:
        """Shut the kernels of the server down, as a reboot would."""
        for kernel in json.loads(_ask(f"{self._url}/api/kernels")):
            _ask(f"{self._url}/api/kernels/{kernel['id']}", method="DELETE")

    def reload(self) -> None:
        """Load the page again and wait for the cells."""
        self.page.reload()
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=20_000)

    def close(self) -> None:
        self.end_kernel()
        self.page.close()


class Lab:
    """A running JupyterLab and a browser."""

    def __init__(self, url: str, folder: Path, browser: Any) -> None:
        self.url = url
        self.folder = folder
        self.browser = browser

    def open(self, cells: list[str], *, dark: bool = False) -> Notebook:
        """Write a notebook with these cells, open it, wait for its kernel."""
        path = self.folder / f"notebook{next(_NUMBERS)}.ipynb"
        path.write_text(json.dumps(notebook_of(cells)))
        return self.open_file(path, dark=dark)

    def open_file(self, path: Path, *, dark: bool = False) -> Notebook:
        """Open a notebook that lies in the server's folder, wait for its kernel."""
        theme = {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}
        _settings(self.folder, {"@jupyterlab/apputils-extension/themes.jupyterlab-settings": theme})
        page = self.browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(f"{self.url}/lab/workspaces/{path.stem}/tree/{path.name}?token={TOKEN}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=30_000)
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=30_000)
        notebook = Notebook(page, path, self.url)
        self._wait_for_kernel(notebook)
        return notebook

    def _wait_for_kernel(self, notebook: Notebook) -> None:
        """Wait until the kernel answers this page: before that, a cell that is started is dropped."""
        end = time.monotonic() + 30
        while True:
            sessions = json.loads(_ask(f"{self.url}/api/sessions"))
            kernels = [s["kernel"] for s in sessions if s["path"] == notebook.path.name]
            if kernels and kernels[0]["connections"] and kernels[0]["execution_state"] == "idle":
                break
            assert time.monotonic() < end, f"no kernel answers: {kernels}"
            notebook.page.wait_for_timeout(100)
        notebook.page.get_by_text("| Idle").wait_for(timeout=10_000)


def notebook_of(cells: list[str]) -> dict[str, Any]:
    """Build the content of a notebook file; the kernelspec keeps Lab from asking for a kernel."""
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    return {
        "cells": [{**blank, "id": f"c{i}", "source": cell} for i, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _ask(url: str, *, method: str = "GET") -> str:
    request = urllib.request.Request(url, method=method)
    request.add_header("Authorization", f"token {TOKEN}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def _settings(folder: Path, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        path = folder / "home" / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))


def _environment(home: Path) -> dict[str, str]:
    """Keep the user's own Jupyter out of it, and the test out of the user's Jupyter."""
    own = {
        "HOME": "",
        "USERPROFILE": "",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    return {**os.environ, **{name: str(home / part) for name, part in own.items()}}


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run JupyterLab in a folder and give its address; stops the process it started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = folder / "home"
    home.mkdir()
    _settings(folder, SETTINGS)
    line = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1"]
    line += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    line += [f"--ServerApp.root_dir={folder}", "--allow-root"]
    log = folder / "home" / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            line, cwd=folder, env=_environment(home), stdout=out, stderr=out, stdin=-3
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(15)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end:
        assert process.poll() is None, f"JupyterLab did not start:\n{log.read_text()[-2000:]}"
        try:
            _ask(f"{url}/api/status")
        except OSError:
            time.sleep(0.1)
        else:
            return
    msg = f"JupyterLab did not answer in {_START} s:\n{log.read_text()[-2000:]}"
    raise AssertionError(msg)


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A running JupyterLab, shared by the tests of a run: its address and its folder."""
    pytest.importorskip("jupyterlab", reason="jupyterlab is not installed")
    folder = tmp_path_factory.mktemp("lab")
    with server(folder) as url:
        yield url, folder


@pytest.fixture
def jupyterlab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A JupyterLab with a browser; skips where there is no Chromium.

    The browser is a test's own: while playwright runs, the thread counts as one with a running
    event loop, and `asyncio.run` in any other test would fail.
    """
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium found: install it, or name one in BATCHFRAME_CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    url, folder = request.getfixturevalue("lab_server")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield Lab(url, folder, browser)
        finally:
            browser.close()
