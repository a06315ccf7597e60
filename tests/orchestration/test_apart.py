"""What belongs together stays together: workspaces, handles, faces, failures, credentials."""

from __future__ import annotations

import gc
import pickle
import weakref

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.ledger.workspace import opened
from batchframe.notebook import display
from batchframe.testing import Echo, Fake, registered

DF = pl.DataFrame({"text": ["a", "b"]})


@pytest.fixture(autouse=True)
def cloud(tmp_path):
    """A provider with a batch API."""
    with registered(Fake(tmp_path / "cloud")) as fake:
        yield fake


def test_two_workspaces_hear_only_of_their_own_jobs(tmp_path):
    """The same call has the same id in both."""
    heard = {"one": [], "two": []}
    spaces = {name: opened(tmp_path / name) for name in heard}
    for name, space in spaces.items():
        with space:
            job = DF.batch.submit(model="fake/m", prompt="{text}")
            space.events.subscribe(job.id, heard[name].append)
            job.wait()
        if name == "one":
            heard["one"].clear()
    assert heard["one"] == []
    assert heard["two"]


def test_a_failure_of_one_workspace_is_not_told_in_another(tmp_path, cloud):
    """Nor is its cause."""
    real, cloud.create = cloud.create, _refused
    with bf.workspace(tmp_path / "one"):
        first = DF.batch.submit(model="fake/m", prompt="{text}")
        with pytest.raises(errors.JobFailedError) as caught:
            first.wait()
    assert isinstance(caught.value.__cause__, errors.AuthenticationError)
    cloud.create = real
    with bf.workspace(tmp_path / "two"):
        second = DF.batch.submit(model="fake/m", prompt="{text}").wait()
    assert (second.id, second.status) == (first.id, "completed")
    assert first.status == "failed"
    assert first != second


def test_one_folder_is_one_workspace_however_it_is_spelled(tmp_path):
    """A link and a detour lead to the same object."""
    real = tmp_path / "real"
    real.mkdir()
    try:
        (tmp_path / "link").symlink_to(real)
    except OSError:
        pytest.skip("this user may not make links here (Windows without developer mode)")
    assert opened(tmp_path / "link") is opened(real)
    assert opened(tmp_path / "real" / ".." / "real") is opened(real)


def test_handles_are_compared_and_kept_by_their_job(tmp_path):
    """Two handles of one job are equal, hash alike, and survive pickling without the frame."""
    job = DF.batch.submit(model="fake/m", prompt="{text}", prefix="p_").wait()
    other = bf.job(job.id)
    assert job == other
    assert len({job, other}) == 1
    assert job != job.id
    raw = pickle.dumps(job)
    back = pickle.loads(raw)
    assert back == job
    assert back.result().columns == job.result().columns
    big = DF.with_columns(more=pl.lit("x" * 100_000))
    assert len(pickle.dumps(big.batch.submit(model="fake/m", prompt="{text}"))) < 1_000


def test_a_face_does_not_keep_the_frame_alive(monkeypatch):
    """A page shows jobs for ever; their frames may go."""
    pytest.importorskip("ipywidgets")
    monkeypatch.setattr(display, "running_kernel", object)
    monkeypatch.setattr(display, "_FACES", {})
    job = DF.batch.submit(model="fake/m", prompt="{text}").wait()
    job._repr_mimebundle_()
    assert len(display._FACES) == 1
    gone = weakref.ref(job)
    del job
    gc.collect()
    assert gone() is None
    (face,) = display._FACES.values()
    face.widget.close()


def test_equal_ids_of_two_workspaces_have_a_face_each(tmp_path, monkeypatch):
    """A cancel clicked on one card must not stop the other's job."""
    monkeypatch.setattr(display, "running_kernel", object)
    monkeypatch.setattr(display, "_FACES", {})
    for name in ("one", "two", "one"):
        with opened(tmp_path / name):
            DF.batch.submit(model="fake/m", prompt="{text}").wait()._repr_mimebundle_()
    assert len(display._FACES) == 2
    for face in display._FACES.values():
        if face.widget is not None:
            face.widget.close()


def test_a_kept_failure_keeps_no_data(cloud):
    """A traceback holds frames, and frames hold rows."""

    class Load:
        pass

    kept = []

    def fail(*_args):
        load = Load()
        kept.append(weakref.ref(load))
        raise errors.AuthenticationError("no.")

    cloud.create = fail
    job = DF.batch.submit(model="fake/m", prompt="{text}")
    with pytest.raises(errors.JobFailedError):
        job.wait()
    gc.collect()
    assert [one() for one in kept] == [None]


SECRETS = {
    "bearer": "Authorization: Bearer abcDEF123456",
    "openai": "bad key sk-proj-abcdEFGH12345678",
    "url": "https://user:hunter2secret@host.example/v1",
    "query": "GET /v1?api_key=abcdef0123456789&x=1",
    "json": '{"client_secret": "abcdef0123456789"}',
    "aws": "AKIAIOSFODNN7EXAMPLE is unknown",
    "google": "key AIzaSyA0123456789012345678901234567",
}
BARE = {
    "bearer": "abcDEF123456",
    "openai": "sk-proj-abcdEFGH12345678",
    "url": "hunter2secret",
    "query": "abcdef0123456789",
    "json": "abcdef0123456789",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyA0123456789012345678901234567",
}


@pytest.mark.parametrize("form", SECRETS)
def test_a_credential_in_a_providers_own_exception_is_taken_out(form):
    """Promise 6 holds for words that others wrote, too; the rest of them is kept."""

    class Leaky(Echo):
        def connect(self, model, endpoint):
            raise RuntimeError(f"could not connect: {SECRETS[form]} (try later)")

    with registered(Leaky()):
        job = DF.batch.submit(model="echo/m", prompt="{text}")
        with pytest.raises(errors.JobFailedError) as caught:
            job.wait()
    shown = [str(caught.value), repr(caught.value.__cause__), repr(job), str(bf.jobs().rows())]
    shown.append(str(job._repr_mimebundle_()))
    assert not [text for text in shown if BARE[form] in text]
    assert "RuntimeError: could not connect: " in shown[0]
    assert "(try later)" in shown[0]
    files = [path for path in bf.workspace().path.rglob("*") if path.is_file()]
    assert not [path for path in files if BARE[form].encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 2048 is too large", "this model's context length is 8192 tokens",
        "the basic tier has no batches", "https://api.example/v1/chat/completions answered 500",
        "unknown key 'temprature'", "task-1234567890 failed", "job-abcdefghij stopped",
    ],
)  # fmt: skip
def test_ordinary_words_are_left_alone(text):
    """A message that says nothing any more helps nobody."""
    from batchframe.redact import redact

    assert redact(text) == text


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "Connection refused"), TimeoutError("timed out")]
)
def test_a_broken_way_to_the_provider_is_not_blamed_on_the_disk(cloud, error):
    """An OSError of a socket names no folder."""

    def fail(*_args):
        raise error

    cloud.create = fail
    job = DF.batch.submit(model="fake/m", prompt="{text}")
    with pytest.raises(errors.JobFailedError) as caught:
        job.wait()
    assert str(caught.value) == (
        f"Job {job.id} (fake/m) stopped after 0 of 2 rows: fake cannot be reached "
        f"({type(error).__name__}: {error}). What is paid is kept. "
        f"Then go on with it: bf.job('{job.id}').retry()"
    )
    assert isinstance(caught.value.__cause__, errors.ProviderUnavailableError)


def test_a_job_that_stopped_names_one_way_on(cloud):
    """A full disk says "the same call again"; then nothing else is said."""
    import errno

    def fail(*_args):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    cloud.fetch = fail
    job = DF.batch.submit(model="fake/m", prompt="{text}")
    with pytest.raises(errors.JobFailedError) as caught:
        job.wait()
    assert str(caught.value) == (
        f"Job {job.id} (fake/m) stopped after {job.view.done} of 2 rows: The disk that holds somewhere is full. "
        "What was saved stays saved: free some space and run the same call again; it goes on where "
        "it stopped."
    )


def test_a_workspace_that_is_a_file_is_refused_with_the_line_to_type(tmp_path):
    """Not with the operating system's words alone."""
    path = tmp_path / "file"
    path.write_text("x")
    with bf.workspace(path), pytest.raises(errors.StorageError) as caught:
        DF.batch.submit(model="fake/m", prompt="{text}")
    assert str(caught.value) == (
        f"{path / 'jobs'} cannot be made: it, or a folder above it, is a file. Choose a folder: "
        'bf.workspace("path") or the environment variable BATCHFRAME_HOME.'
    )


def _refused(*_args):
    msg = "no."
    raise errors.AuthenticationError(msg)
