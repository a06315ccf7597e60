"""The journal survives what may happen to it: kills, full disks, flipped bits, second writers."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchframe.errors import StorageError
from batchframe.ledger import journal as journal_module
from batchframe.ledger.journal import Damage, Journal, answered, read, repair


def line(custom_id: str, error: str | None = None, text: str = "") -> bytes:
    body = None if error else {"status_code": 200, "body": {"text": text}}
    fault = {"code": error, "message": ""} if error else None
    record = {"id": custom_id, "custom_id": custom_id, "response": body, "error": fault}
    return json.dumps(record, ensure_ascii=False).encode()


def lines(path: Path, **options: object) -> list[bytes]:
    return list(read(path, **options))


def write(path: Path, *some: bytes) -> Journal:
    with Journal(path) as book:
        for one in some:
            book.append(one)
    return book


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    """Lines come back byte for byte, over several openings."""
    path = tmp_path / "j"
    write(path, line("a", text="é\u2028x"), line("b"))
    write(path, line("c"))
    assert lines(path) == [line("a", text="é\u2028x"), line("b"), line("c")]


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    """Nothing was answered where nothing was written."""
    assert lines(tmp_path / "none") == []
    assert answered(tmp_path / "none") == set()


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(max_size=30), min_size=1, max_size=6),
    cut=st.integers(0, 10_000),
    more=st.integers(1, 3),
)
def test_a_journal_cut_at_any_byte_goes_on_after_its_last_whole_line(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cut: int, more: int
) -> None:
    """Cut, reopen, append, read back: the whole lines before the cut, then the new ones."""
    path = tmp_path_factory.mktemp("cut") / "j"
    old = [line(f"old{n}", text=text) for n, text in enumerate(texts)]
    write(path, *old)
    whole = path.read_bytes()
    cut %= len(whole) + 1
    path.write_bytes(whole[:cut])
    kept = old[: whole[:cut].count(b"\n")]
    new = [line(f"new{n}") for n in range(more)]
    book = write(path, *new)
    assert lines(path) == kept + new
    assert book.cut == cut - sum(len(one) + 1 for one in kept)


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\0" * 70_000 + b"\n", b'{"custom_id":1}\n', b"x"])
def test_a_damaged_tail_is_cut_off_and_reported(tmp_path: Path, tail: bytes) -> None:
    """NULs after a power loss, terminated or not, do not stay under new lines."""
    path = tmp_path / "j"
    write(path, line("a"))
    with path.open("ab") as file:
        file.write(tail)
    assert repair(path) == len(tail)
    assert lines(path) == [line("a")]


def test_damage_in_the_middle_is_passed_over_and_reported(tmp_path: Path) -> None:
    """A damaged line costs its own row and no other."""
    path = tmp_path / "j"
    write(path, line("a"), line("b"), line("c"))
    whole = bytearray(path.read_bytes())
    start = len(line("a")) + 1
    whole[start : start + 9] = b"\0" * 9
    path.write_bytes(whole)
    found: list[Damage] = []
    assert lines(path, on_damage=found.append) == [line("a"), line("c")]
    assert found == [Damage(start, len(line("b")) + 1)]
    assert answered(path) == {"a", "c"}


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_no_flipped_byte_is_an_exception(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    """Whatever one byte becomes, at most the two lines it touches are lost."""
    path = tmp_path_factory.mktemp("flip") / "j"
    old = [line(f"row{n}") for n in range(5)]
    path.write_bytes(b"".join(one + b"\n" for one in old))
    whole = bytearray(path.read_bytes())
    whole[position % len(whole)] = value
    path.write_bytes(whole)
    assert len(set(old) & set(lines(path))) >= 3
    repair(path)
    assert len(set(old) & set(lines(path))) >= 3


def test_a_line_longer_than_any_answer_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gap of NULs does not come into memory as one line."""
    monkeypatch.setattr(journal_module, "LINE_LIMIT", 200)
    path = tmp_path / "j"
    gap = b"\0" * 1000 + b"\n"
    path.write_bytes(line("a") + b"\n" + gap + line("b") + b"\n")
    found: list[Damage] = []
    assert lines(path, on_damage=found.append) == [line("a"), line("b")]
    assert found == [Damage(len(line("a")) + 1, len(gap))]


def test_a_last_line_without_its_newline_is_not_read(tmp_path: Path) -> None:
    """A reader beside a writer never sees half a line."""
    path = tmp_path / "j"
    path.write_bytes(line("a") + b"\n" + line("b"))
    assert lines(path) == [line("a")]


def test_rows_that_got_no_answer_are_asked_again(tmp_path: Path) -> None:
    """Cancelled and unreachable rows stay open; failures of every other kind are final."""
    path = tmp_path / "j"
    write(
        path, line("ok"), line("c", "cancelled"), line("n", "connection"), line("s", "tls"),
        line("t", "timeout"), line("i", "invalid_body"), line("again", "cancelled"), line("again"),
    )  # fmt: skip
    assert answered(path) == {"ok", "t", "i", "again"}


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    """A mistaken path never costs a file."""
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\nto")
    with pytest.raises(StorageError) as caught, Journal(path):
        pass
    assert str(caught.value) == (
        f"{path} is not a journal of answers: no line in it is one. Move the file away and run the "
        "same call again."
    )
    assert path.read_text() == "dear diary\nto"


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Two writers would tear each other's lines; the lock goes with its holder."""
    path = tmp_path / "j"
    with Journal(path) as book:
        book.append(line("a"))
        with pytest.raises(StorageError) as caught, Journal(path):
            pass
    assert str(caught.value) == (
        f"{path} is being written by another run. Wait for it or stop it, then run the same call "
        "again: it goes on where the other stopped."
    )
    assert lines(write(path, line("b")).path) == [line("a"), line("b")]


WRITER = """
import sys
from pathlib import Path
from batchframe.ledger.journal import Journal

with Journal(Path(sys.argv[1])) as book:
    print("writing", flush=True)
    book.append(sys.stdin.buffer.readline().rstrip(b"\\r\\n"))
"""


def test_a_journal_that_another_process_writes_is_refused_until_that_one_is_through(
    tmp_path: Path,
) -> None:
    """What the other wrote stays whole, and the same call works afterwards."""
    path = tmp_path / "j"
    command = [sys.executable, "-c", WRITER, str(path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline().split() == [b"writing"]
    with pytest.raises(StorageError) as caught, Journal(path):
        pass
    other.communicate(line("a") + b"\n", timeout=60)
    assert str(caught.value) == (
        f"{path} is being written by another run. Wait for it or stop it, then run the same call "
        "again: it goes on where the other stopped."
    )
    assert lines(write(path, line("b")).path) == [line("a"), line("b")]


def test_a_tail_that_is_cut_off_does_not_come_back_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shorter file is on the disk before anything is appended to it."""
    path = tmp_path / "j"
    write(path, line("a"))
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"torn")
    real, sizes = os.fsync, []
    monkeypatch.setattr(
        journal_module.os, "fsync", lambda fd: (sizes.append(os.fstat(fd).st_size), real(fd))
    )
    assert repair(path) == len(b"torn")
    assert sizes == [whole]


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let `after` bytes through, then refuse."""
    real, left = os.write, [after]

    def write(fd: int, data: memoryview) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(fd, data[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(journal_module.os, "write", write)


def test_a_full_disk_keeps_what_was_committed_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line is taken back, later lines are refused, the committed ones stay."""
    path = tmp_path / "j"
    with pytest.raises(StorageError), Journal(path) as book:
        book.append(line("a"))
        book.sync()
        full_disk(monkeypatch, 5)
        book.append(line("b"))
        with pytest.raises(StorageError) as caught:
            book.sync()
        monkeypatch.undo()
        book.append(line("c"))
    assert str(caught.value) == (
        f"The disk that holds {path} is full. What was saved stays saved: free some space and run "
        "the same call again; it goes on where it stopped."
    )
    assert path.read_bytes() == line("a") + b"\n"
    write(path, line("c"))
    assert lines(path) == [line("a"), line("c")]


def test_a_full_disk_reaches_every_waiter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No coroutine waits for ever for a commit that cannot come."""

    async def one(book: Journal, name: str) -> str:
        book.append(line(name))
        try:
            await book.commit()
        except StorageError:
            return "refused"
        return "kept"

    async def main(ends: list[str]) -> None:
        with Journal(tmp_path / "j") as book:
            full_disk(monkeypatch, 5)
            rows = (one(book, f"r{n}") for n in range(5))
            ends += await asyncio.wait_for(asyncio.gather(*rows), 5)

    ends: list[str] = []
    with pytest.raises(StorageError):
        asyncio.run(main(ends))
    assert ends == ["refused"] * 5
    assert lines(tmp_path / "j") == []


def test_many_commits_share_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand lines at once do not cost a thousand trips to the disk."""
    real, calls = os.fsync, []
    path = tmp_path / "j"

    async def one(book: Journal, n: int) -> None:
        book.append(line(f"r{n}"))
        await book.commit()
        assert line(f"r{n}") + b"\n" in path.read_bytes()

    async def main() -> None:
        with Journal(path) as book:
            monkeypatch.setattr(journal_module.os, "fsync", lambda fd: (calls.append(fd), real(fd)))
            await asyncio.gather(*(one(book, n) for n in range(1000)))

    asyncio.run(main())
    assert 1 <= len(calls) <= 20
    assert len(lines(path)) == 1000


def test_a_slow_source_does_not_wait_for_company(tmp_path: Path) -> None:
    """A single line after a pause is committed at once, not after the grouping delay."""

    async def main() -> float:
        with Journal(tmp_path / "j", every=30.0) as book:
            loop = asyncio.get_running_loop()
            started = loop.time()
            book.append(line("a"))
            await book.commit()
            return loop.time() - started

    assert asyncio.run(main()) < 5


def test_a_waiter_that_gives_up_does_not_take_the_others_along(tmp_path: Path) -> None:
    """Cancelling one commit leaves the shared write alone."""
    path = tmp_path / "j"

    async def one(book: Journal, n: int) -> None:
        book.append(line(f"r{n}"))
        await book.commit()

    async def main() -> None:
        with Journal(path, every=0.2) as book:
            await one(book, 0)
            tasks = [asyncio.create_task(one(book, n)) for n in (1, 2, 3)]
            await asyncio.sleep(0.01)
            tasks[0].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert results[1:] == [None, None]

    asyncio.run(main())
    assert lines(path) == [line(f"r{n}") for n in range(4)]


def test_a_line_with_a_newline_is_a_mistake_of_ours(tmp_path: Path) -> None:
    """One append is one line."""
    with Journal(tmp_path / "j") as book, pytest.raises(ValueError, match="no newline"):
        book.append(b'{"custom_id":\n"a"}')


def test_a_folder_in_the_way_is_told_by_its_path(tmp_path: Path) -> None:
    """The operating system's refusal becomes a StorageError that names the place."""
    path = tmp_path / "j"
    path.mkdir()
    with pytest.raises(StorageError, match=r"j cannot be"), Journal(path):
        pass
    (tmp_path / "no").write_text("a file")
    with pytest.raises(StorageError, match=r"no.j"), Journal(tmp_path / "no" / "j"):
        pass
