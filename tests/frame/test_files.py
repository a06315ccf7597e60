"""Frames from files and into files: whole or refused, with a message that says what to do."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from batchframe.errors import FileError, InputError
from batchframe.frame import files


def eager(frame):
    return frame.lazy().collect()


def refusal(call, *args, **options):
    with pytest.raises(FileError) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Messages show paths as they were given; these are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, name, content):
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_a_csv_writer_wrote_is_what_is_read(tmp_path_factory, data):
    """Quotes, commas and line breaks of any kind inside cells come back; an empty cell is null."""
    width = data.draw(st.integers(1, 3))
    rows = data.draw(st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=4))
    header = [f"c{i}" for i in range(width)]
    sheet = io.StringIO()
    csv.writer(sheet, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    path = tmp_path_factory.getbasetemp() / "property.csv"
    path.write_bytes(sheet.getvalue().encode())
    expected = pl.DataFrame(
        [[cell or None for cell in row] for row in rows],
        schema=dict.fromkeys(header, pl.String),
        orient="row",
    )
    assert_frame_equal(eager(files.read_frame(path)), expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), CELL.filter(bool)), min_size=1, max_size=5))
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".ndjson", ".json", ".arrow"])
def test_a_text_column_survives_every_form(tmp_path_factory, suffix, texts):
    """What is written is what is read, whatever stands in the cells."""
    path = tmp_path_factory.getbasetemp() / f"texts{suffix}"
    frame = pl.DataFrame({"id": [str(i) for i in range(len(texts))], "text": texts})
    frame = frame.cast(pl.String)
    files.write_frame(frame, path)
    assert_frame_equal(eager(files.read_frame(path)).cast(pl.String), frame)


def test_a_csv_keeps_zeros_places_and_the_byte_order_mark_out_of_the_header(folder):
    """Text stays text; the mark that Excel puts in front is no part of the first name."""
    name = write(folder, "a.csv", "\ufeffid,price\n007,1.10\n")
    assert eager(files.read_frame(name)).to_dicts() == [{"id": "007", "price": "1.10"}]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_may_be_separated_by_what_its_header_is_separated_by(folder, separator):
    """Spreadsheets write `;` where the comma is the decimal sign."""
    name = write(folder, "a.csv", f"id{separator}price\n1{separator}2,50\n")
    assert eager(files.read_frame(name)).to_dicts() == [{"id": "1", "price": "2,50"}]


def test_blank_lines_of_a_csv_are_nothing_and_its_long_cells_are_whole(folder):
    """No row is made of a blank line, and the csv module's limit of a cell is not ours."""
    long = "x" * 200_000
    name = write(folder, "a.csv", f'id,text\r\n\r\n1,"{long}"\r\n\r\n')
    assert eager(files.read_frame(name)).to_dicts() == [{"id": "1", "text": long}]
    assert csv.field_size_limit() == 131_072


def test_more_rows_than_one_chunk_are_all_read(folder, monkeypatch):
    """The pieces are put together in order."""
    monkeypatch.setattr(files, "_CHUNK", 3)
    name = write(folder, "a.csv", "id\n" + "".join(f"{i}\n" for i in range(10)))
    assert eager(files.read_frame(name))["id"].to_list() == [str(i) for i in range(10)]


def test_columnar_files_and_ndjson_are_scanned(folder):
    """A file larger than memory must not be read into it."""
    frame = pl.DataFrame({"a": [1, 2]})
    for suffix in (".parquet", ".arrow", ".feather", ".ndjson", ".jsonl"):
        files.write_frame(frame, f"a{suffix}")
        scanned = files.read_frame(f"a{suffix}")
        assert isinstance(scanned, pl.LazyFrame)
        assert_frame_equal(scanned.collect(), frame)


def test_ndjson_types_are_taken_from_all_lines(folder):
    """A key that first shows up late is a column all the same."""
    lines = ['{"a": 1}'] * 300 + ['{"a": 2, "late": "x"}']
    name = write(folder, "a.ndjson", "\n".join(lines))
    assert eager(files.read_frame(name))["late"].to_list()[-1] == "x"


NESTED = pl.DataFrame(
    {
        "id": [1, 2],
        "parsed": [{"label": 'a"é', "at": dt.date(2026, 1, 2), "sum": Decimal("1.10")}, None],
        "embedding": pl.Series([[1.0, 0.1], None], dtype=pl.Array(pl.Float32, 2)),
        "tags": [["x", None], []],
        "took": [dt.timedelta(minutes=1), None],
    }
)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_nested_columns_are_json_text_in_a_flat_file(folder, suffix):
    """A struct, a vector and a list can be read back with any JSON parser; null is an empty cell."""
    files.write_frame(NESTED, f"a{suffix}")
    first, second = eager(files.read_frame(f"a{suffix}")).to_dicts()
    assert json.loads(first["parsed"]) == {"label": 'a"é', "at": "2026-01-02", "sum": "1.10"}
    assert (first["embedding"], first["tags"], first["took"]) == ("[1.0,0.1]", '["x",null]', "PT1M")
    nulls = {"parsed": None, "embedding": None, "took": None}
    assert second == {"id": "2", "tags": "[]", **nulls}


def test_nested_columns_stay_nested_where_the_form_can_hold_them(folder):
    """Parquet and Arrow give the very frame back; NDJSON has one object a line."""
    for suffix in (".parquet", ".arrow"):
        files.write_frame(NESTED, f"a{suffix}")
        assert_frame_equal(eager(files.read_frame(f"a{suffix}")), NESTED)
    files.write_frame(NESTED, "a.ndjson")
    assert json.loads((folder / "a.ndjson").read_text().splitlines()[0])["tags"] == ["x", None]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(folder, monkeypatch):
    """The new file grows under another name, which is gone afterwards."""
    name = write(folder, "a.csv", "id\n1\n")

    def half(query, path):
        path.write_text("id\n2")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(files.FORMATS, ".csv", files.Format("CSV", files._read_csv, half))
    message = refusal(files.write_frame, pl.DataFrame({"id": ["2"]}), name)
    assert message == f"{folder / 'a.csv'} cannot be written: the disk is full."
    assert [p.name for p in folder.iterdir()] == ["a.csv"]
    assert (folder / "a.csv").read_text() == "id\n1\n"


def test_a_link_stays_a_link(folder):
    """What the link leads to is replaced, not the link."""
    write(folder, "real.csv", "id\n1\n")
    (folder / "link.csv").symlink_to("real.csv")
    files.write_frame(pl.DataFrame({"id": ["2"]}), "link.csv")
    assert (folder / "link.csv").is_symlink()
    assert (folder / "real.csv").read_text() == "id\n2\n"


G = "A text with a separator or a line break in it must stand in double quotes."
KNOWN = "Known: .csv, .tsv, .parquet, .ndjson, .jsonl, .json, .arrow, .feather."

UNREADABLE = [
    ("a.csv", b"", "a.csv is empty: 0 bytes."),
    ("a.csv", b"\n\n", "a.csv holds nothing but blank lines."),
    ("a.csv", b"id,text\n1,a,b\n", f"a.csv, line 2: 3 fields where the header has 2. {G}"),
    ("a.csv", b"id,text\n1,a\n\n2\n", f"a.csv, line 4: 1 field where the header has 2. {G}"),
    ("a.csv", b"id,id\n1,2\n", "a.csv: the header names the column 'id' more than once."),
    (
        "a.csv",
        b'id,text\n1,"a\n2,b\n',
        "a.csv, line 2: a double quote is opened and never closed.",
    ),
    (
        "a.csv",
        b'id,text\n1,x\n2,"a"b\n',
        (
            "a.csv, line 3: something stands after a closing double quote; a quote in a text is "
            "doubled."
        ),
    ),
    (
        "a.csv",
        b"id,text\n1,caf\xe9\n",
        (
            "a.csv, line 2: the byte 0xE9 is not UTF-8. Save it again as UTF-8, or type: "
            "iconv -f WINDOWS-1252 -t UTF-8 a.csv > utf8-a.csv"
        ),
    ),
    ("a.csv", b"id\n\xc3", "a.csv ends in the middle of a UTF-8 character."),
    (
        "a.csv",
        "id\n1\n".encode("utf-16"),
        "a.csv is UTF-16, not UTF-8. Save it again as UTF-8.",
    ),
    (
        "a.csv",
        b"PK\x03\x04rest",
        "a.csv is not CSV: its first bytes are those of a zip archive (an Excel sheet is one).",
    ),
    ("a.csv", b"PAR1rest", "a.csv is not CSV: its first bytes are those of Parquet."),
    (
        "a.parquet",
        b"PAR1" + b"x" * 50,
        (
            "a.parquet is damaged or not Parquet: parquet: File out of specification: The file must "
            "end with PAR1 or PARE."
        ),
    ),
    (
        "a.parquet",
        b"version https://git-lfs.github.com/spec/v1\n",
        (
            "a.parquet is not Parquet: its first bytes are those of a Git LFS pointer: the data itself "
            "was not fetched."
        ),
    ),
    (
        "a.arrow",
        b"ARROW1" + b"x" * 50,
        "a.arrow is damaged or not Arrow: out-of-spec: InvalidFooter.",
    ),
    (
        "a.ndjson",
        b'{"a": 1}\n{"a":\n',
        "a.ndjson, line 2, column 1: not JSON (Expecting value).",
    ),
    (
        "a.ndjson",
        b"[1]\n",
        "a.ndjson, line 1: not a JSON object. NDJSON has one object a line.",
    ),
    (
        "a.ndjson",
        b'\xef\xbb\xbf{"a": 1}\n',
        "a.ndjson begins with a byte order mark. Save it as UTF-8 without one.",
    ),
    (
        "a.json",
        b'{"a": 1}',
        "a.json is not a JSON array of objects. One object a line is NDJSON: name it a.ndjson.",
    ),
    ("a.json", b'[{"a": 1},\n x]', "a.json, line 2, column 2: not JSON (Expecting value)."),
    ("a.json", b"[1, 2]", "a.json is not a JSON array of objects."),
    ("a.json", b"[]", "a.json holds no columns."),
    (
        "a.xlsx",
        b"PK\x03\x04",
        (
            "a.xlsx: The suffix '.xlsx' does not say how the file is written. Save the sheet as CSV "
            f"UTF-8. {KNOWN}"
        ),
    ),
    (
        "a.cvs",
        b"id\n",
        (
            "a.cvs: The suffix '.cvs' does not say how the file is written. Did you mean '.csv'? "
            f"{KNOWN}"
        ),
    ),
    (
        "a",
        b"id\n",
        f"a: A name without a suffix does not say how the file is written. {KNOWN}",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), UNREADABLE)
def test_a_file_that_is_not_what_it_says_is_refused(folder, name, content, message):
    """Each message is whole: which file, which line, what to do."""
    write(folder, name, content)
    assert refusal(files.read_frame, name) == message


def test_a_missing_file_is_refused_with_the_nearest_names(folder):
    """A slip of the finger is the usual reason; a folder that is not there is another."""
    write(folder, "reviews.csv", "id\n")
    assert (
        refusal(files.read_frame, "review.csv")
        == "There is no file review.csv. Did you mean 'reviews.csv'?"
    )
    assert (
        refusal(files.read_frame, "no/a.csv")
        == "There is no file no/a.csv. There is not even a folder no."
    )
    (folder / "data").mkdir()
    write(folder / "data", "b.csv", "id\n")
    assert refusal(files.read_frame, "data") == "data is a folder; name one file in it: b.csv."


def test_damage_that_shows_only_while_scanning_is_said_of_the_file(folder):
    """The pages of a Parquet file are read long after its footer."""
    frame = pl.DataFrame({"text": [f"text {i} {i * 7919 % 1000}" for i in range(5_000)]})
    frame.write_parquet("a.parquet", compression="zstd")
    raw = bytearray((folder / "a.parquet").read_bytes())
    raw[60:2_000] = bytes(1_940)
    write(folder, "a.parquet", bytes(raw))
    scanned = files.read_frame("a.parquet")

    def evaluate():
        with files.reading("a.parquet"):
            scanned.lazy().collect()

    assert refusal(evaluate).startswith("a.parquet is damaged or not Parquet: ")


def test_reading_leaves_errors_that_are_not_the_files_alone():
    """A wrong placeholder is not the file's fault."""
    with pytest.raises(InputError, match=r"^no such column$"), files.reading("a.parquet"):
        msg = "no such column"
        raise InputError(msg)


TARGETS = [
    ("there.csv", "there.csv is there already. --force replaces it."),
    ("data", "data is a folder; name a file in it."),
    ("no/a.csv", "There is no folder no to write a.csv into."),
    (
        "a.xls",
        (
            "a.xls: The suffix '.xls' does not say how the file is written. Save the sheet as CSV "
            f"UTF-8. {KNOWN}"
        ),
    ),
    (os.devnull, f"{os.devnull} is not an ordinary file; '-' writes to the standard output."),
]


@pytest.mark.parametrize(("name", "message"), TARGETS)
def test_a_place_that_cannot_be_written_is_refused_beforehand(folder, name, message):
    """Nothing may be paid for that has nowhere to go."""
    write(folder, "there.csv", "id\n")
    (folder / "data").mkdir()
    assert refusal(files.refuse_target, name, force=False) == message


def test_force_replaces_a_file_and_only_a_file(folder):
    """`--force` is about the file, not about folders."""
    write(folder, "there.csv", "id\n")
    files.refuse_target("there.csv", force=True)
    (folder / "data").mkdir()
    assert refusal(files.refuse_target, "data", force=True).startswith("data is a folder")


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".json"])
@pytest.mark.parametrize("dtype", [pl.Binary, pl.List(pl.Binary), pl.Struct({"b": pl.Binary})])
def test_bytes_are_refused_where_they_have_no_form(folder, suffix, dtype):
    """Images in a column are a matter for Parquet, also deep inside."""
    frame = pl.DataFrame({"image": []}, schema={"image": dtype})
    kind = suffix[1:].upper()
    assert refusal(files.write_frame, frame, f"a{suffix}") == (
        f"The column 'image' holds bytes, which {kind} cannot hold. Write a.parquet instead."
    )
    files.write_frame(frame, "a.parquet")


def test_python_objects_are_refused_everywhere(folder):
    """No file can hold them."""
    frame = pl.DataFrame({"o": [object()]}, schema={"o": pl.Object})
    message = "The column 'o' holds Python objects, which no file can hold."
    assert refusal(files.write_frame, frame, "a.parquet") == message
