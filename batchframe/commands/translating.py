"""`encode` and `decode`: OpenAI's batch files into a provider's and back, with no job and nothing sent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import batchframe as bf
from batchframe.commands.printing import put, say
from batchframe.dialects.shown import shown
from batchframe.errors import FileError, InputError
from batchframe.model import Endpoint

DONE, ROWS_FAILED = 0, 3

_SHOWN = 3  # refused requests that `encode` prints

ENDPOINTS: Mapping[str, Endpoint] = {
    "chat": Endpoint.CHAT,
    "responses": Endpoint.RESPONSES,
    "embeddings": Endpoint.EMBEDDINGS,
    "moderations": Endpoint.MODERATIONS,
}


def encode_words(parser: argparse.ArgumentParser) -> None:
    """Put in what `encode` takes."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="requests as an OpenAI batch file (.jsonl)")
    add("--model", metavar="PROVIDER/MODEL", required=True, help="who shall be asked")
    add(
        "--out", type=Path, metavar="DIR", required=True, help="the folder for the provider's files"
    )
    add("--on-invalid", choices=("row_error", "raise"), default="row_error",
        help="leave out requests that the provider would refuse (the default), or refuse the file")  # fmt: skip
    add("--extra", action="append", default=[], metavar="NAME",
        help="a parameter that only your server knows; may be repeated")  # fmt: skip


def decode_words(parser: argparse.ArgumentParser) -> None:
    """Put in what `decode` takes."""
    add = parser.add_argument
    add("files", type=Path, metavar="FILE", nargs="+", help="the provider's output and error files")
    add("--model", metavar="PROVIDER/MODEL", required=True, help="who was asked")
    add("--ids", type=Path, metavar="FILE", help="the ids.parquet that encode wrote")
    add("--endpoint", choices=tuple(ENDPOINTS), default="chat", help="what the requests were for")
    add(
        "--out",
        metavar="FILE",
        required=True,
        help="results in OpenAI's form; - is standard output",
    )
    add("--force", action="store_true", help="replace the file if it is there")


def encode(args: argparse.Namespace) -> int:
    """Write a provider's batch files from requests in OpenAI's form; nothing is sent."""
    from batchframe.orchestration import idmap, offline  # noqa: PLC0415 - `--help` needs none of this
    from batchframe.providers.registry import model_ref  # noqa: PLC0415

    found = offline.encode_lines(
        bf.workspace(),
        args.file,
        model_ref(args.model),
        offline.folder_of(args.out),
        faultless=args.on_invalid == "raise",
        extra=frozenset(args.extra),
    )
    for file in found.files:
        put(sys.stdout, f"{file}\n")
    for warning in found.warnings:
        say(warning)
    ids = args.out / idmap.IDS
    if found.refused:
        for key, error in idmap.refused(ids, _SHOWN):
            say(f"custom_id {shown(key)}: {error}")
        say(f"The refused requests are in no file; the column 'error' of {ids} says why.")
    say(f"{found.sent:,} requests in {len(found.files)} file(s), {found.refused:,} refused")
    return ROWS_FAILED if found.refused else DONE


def decode(args: argparse.Namespace) -> int:
    """Turn a provider's result files into results in OpenAI's form."""
    from batchframe.orchestration import offline  # noqa: PLC0415 - `--help` needs none of this
    from batchframe.providers.registry import model_ref  # noqa: PLC0415

    target = None if args.out == "-" else Path(args.out)
    if target is not None and target.exists() and not args.force:
        raise InputError(f"{target} is there already. Type --force to replace it.")
    with offline.decoded(
        args.files,
        model_ref(args.model),
        ids=args.ids,
        endpoint=ENDPOINTS[args.endpoint],
        prices=None,
    ) as found:
        if target is None:
            for line in found.lines():
                put(sys.stdout, line.decode() + "\n")
        else:
            _write(target, found.lines())
        if found.remark:
            say(found.remark)
        total, failed = found.counts()
    say(f"{total:,} results, {failed:,} of them errors")
    return ROWS_FAILED if failed else DONE


def _write(target: Path, lines: Iterable[bytes]) -> None:
    growing = target.with_name(target.name + ".tmp")
    try:
        with growing.open("wb") as out:
            for line in lines:
                out.write(line + b"\n")
        growing.replace(target)
    except OSError as error:
        growing.unlink(missing_ok=True)
        raise FileError(f"{target} cannot be written: {error.strerror or error}.") from error
