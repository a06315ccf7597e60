"""A half-done job whose files were damaged goes on by the same call; no answer is asked twice."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import batchframe as bf
from batchframe import errors
from batchframe.frame.parts import part_file
from batchframe.immediate.managed import journal_file, wire_file
from batchframe.testing import Echo, Fake, registered
from batchframe.testing.fake import LIMITS

ROWS = 24
DF = pl.DataFrame({"id": [f"k{i}" for i in range(ROWS)], "text": [f"t{i}" for i in range(ROWS)]})
FRAME = "frame.parquet"


class Door:
    """Lets the first rows through, then says that the way is closed, until it is opened."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[str] = []

    def __call__(self, body):
        if len(self.asked) >= self.most:
            return {"error": {"message": "no such key", "code": "invalid_api_key"}}
        self.asked.append(body["messages"][0]["content"])
        return "fine"


def stopped(echo, **options):
    """Submit, and see the job stop half-way."""
    job = DF.batch.submit(model="echo/m", prompt="{text}", concurrency=1, **options)
    with pytest.raises(errors.JobFailedError):
        job.wait()
    return job, bf.workspace().job_folder(job.id)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scratch(path):
    """Damage the data and leave the footer."""
    raw = bytearray(path.read_bytes())
    raw[8:200] = b"\xff" * 192
    path.write_bytes(raw)


@pytest.mark.parametrize("harm", ["cut", "unlink", "zero"])
@pytest.mark.parametrize("name", [wire_file(0), part_file(0), FRAME])
def test_a_damaged_file_of_a_half_done_job_is_written_again(name, harm, capsys):
    """Wire, requests, frame; cut short, gone or empty: the same call finishes only the rest."""
    door = Door(10)
    with registered(Echo(answer=door)) as echo:
        job, folder = stopped(echo)
        path = folder / name
        {"cut": cut, "unlink": lambda p: p.unlink(), "zero": lambda p: p.write_bytes(b"")}[harm](
            path
        )
        door.most = 10**6
        again = DF.batch.submit(model="echo/m", prompt="{text}", concurrency=1)
        assert again == job
        assert again.result()["response"].to_list() == ["fine"] * ROWS
        assert bf.job(job.id).result()["response"].to_list() == ["fine"] * ROWS
    assert sorted(door.asked) == sorted(DF["text"])
    told = f"damaged files of {job.id} were written again: {name}\n"
    assert (told in capsys.readouterr().err) is (name != wire_file(0))


def test_requests_damaged_inside_are_found_when_the_job_had_failed():
    """A footer says nothing about the pages before it."""
    door = Door(10)
    with registered(Echo(answer=door)) as echo:
        _, folder = stopped(echo)
        scratch(folder / part_file(0))
        door.most = 10**6
        again = DF.batch.submit(model="echo/m", prompt="{text}", concurrency=1)
        assert again.result()["response"].to_list() == ["fine"] * ROWS
    assert sorted(door.asked) == sorted(DF["text"])


def test_a_wire_file_left_by_another_process_is_not_believed(tmp_path):
    """It may be anything; what is uploaded comes from the requests."""
    with registered(Fake(tmp_path / "cloud")) as cloud:
        real, cloud.upload = cloud.upload, _away
        job = DF.batch.submit(model="fake/m", prompt="{text}")
        with pytest.raises(errors.JobFailedError):
            job.wait()
        cloud.upload = real
        (bf.workspace().job_folder(job.id) / wire_file(0)).write_text('{"custom_id":"other"}\n')
        answers = DF.batch.submit(model="fake/m", prompt="{text}").result()["response"]
    assert answers.to_list() == DF["text"].to_list()


def test_a_result_file_that_vanished_is_fetched_again(tmp_path, monkeypatch):
    """The provider still has it, and it is paid for."""
    from batchframe.frame import decode

    with registered(Fake(tmp_path / "cloud")) as cloud:
        with monkeypatch.context() as patched:
            patched.setattr(decode, "decode_part", _away)
            job = DF.batch.submit(model="fake/m", prompt="{text}")
            with pytest.raises(errors.JobFailedError):
                job.wait()
        (result,) = bf.workspace().job_folder(job.id).glob("*/*.result.jsonl")
        result.unlink()
        assert job.retry().result()["response"].to_list() == DF["text"].to_list()
        assert len(cloud.batches()) == 1


def test_a_lost_journal_of_a_managed_job_leaves_rows_that_can_be_sent_again(monkeypatch):
    """There is no provider that has the answers: the rows say so, and retry() asks them."""
    from batchframe.frame import decode

    with registered(Echo(answer=lambda _: "fine")):
        with monkeypatch.context() as patched:
            patched.setattr(decode, "decode_part", _away)
            job = DF.batch.submit(model="echo/m", prompt="{text}")
            with pytest.raises(errors.JobFailedError):
                job.wait()
        (bf.workspace().job_folder(job.id) / journal_file(0)).unlink()
        job.retry().wait()
        assert set(job.errors()["error_code"]) == {"missing"}
        assert job.retry().result()["response"].to_list() == ["fine"] * ROWS


def test_by_key_one_part_is_written_again_for_a_shuffled_frame():
    """Answers are found by key, so the order does not matter within one part."""
    door = Door(10)
    with registered(Echo(answer=door)) as echo:
        _, folder = stopped(echo, key="id")
        (folder / part_file(0)).unlink()
        door.most = 10**6
        mixed = DF.sample(fraction=1, shuffle=True, seed=5)
        again = mixed.batch.submit(model="echo/m", prompt="{text}", concurrency=1, key="id")
        assert again.result()["error"].null_count() == ROWS
    assert sorted(door.asked) == sorted(DF["text"])


def test_what_cannot_be_written_again_is_said_and_nothing_is_replaced(tmp_path):
    """By key and in several parts, another order would be another cut."""
    small = replace(LIMITS, requests=10)
    with registered(Fake(tmp_path / "cloud", limits=small)) as cloud:
        cloud.fetch = _away
        job = DF.batch.submit(model="fake/m", prompt="{text}", key="id")
        with pytest.raises(errors.JobFailedError):
            job.wait()
        path = bf.workspace().job_folder(job.id) / part_file(1)
        path.unlink()
        with pytest.raises(errors.StorageError) as caught:
            DF.reverse().batch.submit(model="fake/m", prompt="{text}", key="id")
    assert str(caught.value) == (
        f"{path} is damaged or gone, and this call cannot write it again: the frame is cut into other "
        f"parts today. The answers that came are in {path.parent}. Type: "
        f"bf.job('{job.id}').outputs() to see them, or the same call with again=True to ask anew."
    )
    assert not path.exists()


def test_a_job_whose_folder_was_removed_says_so_and_can_be_asked_again(tmp_path):
    """Nobody can bring back what was deleted, but the way on is there."""
    import shutil

    with registered(Fake(tmp_path / "cloud")):
        job = DF.batch.submit(model="fake/m", prompt="{text}").wait()
        shutil.rmtree(bf.workspace().job_folder(job.id))
        again = DF.batch.submit(model="fake/m", prompt="{text}")
        with pytest.raises(errors.StorageError, match=r"retry\(\)"):
            again.result()
        assert again.retry().wait().result()["response"].to_list() == DF["text"].to_list()


def _away(*_args, **_options):
    msg = "away."
    raise errors.ProviderError(msg)


def test_the_count_of_a_stopped_job_is_what_its_journal_holds(capsys):
    """Also when it stopped before its progress was saved for the first time."""
    door = Door(10)
    with registered(Echo(answer=door)) as echo:
        job, _ = stopped(echo)
        assert job.view.done == 10
        assert job.view.input_tokens is not None
        with pytest.raises(errors.JobFailedError, match=r"stopped after 10 of 24 rows"):
            job.wait()
