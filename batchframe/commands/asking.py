"""The words of `submit` and `plan` become the arguments of the library's verbs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchframe.errors import FileError, InputError
from batchframe.frame import files
from batchframe.model import Endpoint

if TYPE_CHECKING:
    import polars as pl


def request(args: argparse.Namespace) -> tuple[pl.DataFrame | pl.LazyFrame, dict[str, Any]]:
    """Read the frame and turn the words into arguments of `bf.submit`; all that can be refused is."""
    if args.model is None:
        raise InputError("Which model? --model provider/model; batchframe models lists them.")
    if args.prompt is None and args.prompt_file is None:
        raise InputError("What to ask? --prompt 'Text with {column}', or --prompt-file FILE.")
    if args.prompt is not None and args.prompt_file is not None:
        raise InputError("Give --prompt or --prompt-file, not both.")
    refuse_out(args.out, force=args.force)
    options = {
        "model": args.model,
        "prompt": args.prompt if args.prompt_file is None else _text(args.prompt_file),
        "system": args.system,
        "mode": args.mode,
        "key": args.key,
        "prefix": args.prefix,
        "name": args.name,
        "budget_usd": args.budget_usd,
        "again": args.again,
        "extra_body": _pairs(args.extra, "--extra"),
        **_parameters(args.param),
    }
    if args.schema is not None:
        from batchframe.frame.schema_file import read_schema  # noqa: PLC0415 - pydantic is heavy

        options["response_model"] = read_schema(args.schema)
    frame = files.read_frame(args.file)
    if args.out not in (None, "-"):
        files.refuse_columns(frame.collect_schema(), Path(args.out))
    return (frame if args.limit is None else frame.head(args.limit)), options


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """Read the `--param` words, apart from the arguments that are options of their own."""
    from batchframe.arguments import NAMES  # noqa: PLC0415 - the verbs load at the first submit
    from batchframe.dialects.parameters import RULES  # noqa: PLC0415

    texts = {name for name, rule in RULES[Endpoint.CHAT].items() if rule.kinds == ("text",)}
    found = _pairs(given, "--param", texts)
    taken = sorted(found.keys() & (NAMES | {"frame"}))
    if taken:
        raise InputError(
            f"--param {taken[0]}=...: '{taken[0]}' is not a parameter of the model. "
            "batchframe submit --help lists the options."
        )
    return found


def _pairs(given: Sequence[str], option: str, texts: Collection[str] = ()) -> dict[str, Any]:
    """Read name=value words; JSON is taken as JSON, but for a number where only text will do."""
    found: dict[str, Any] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {word}: write name=value, such as temperature=0.")
        if name in found:
            raise InputError(f"{option} {name}: given twice.")
        try:
            found[name] = json.loads(value)
        except (
            ValueError
        ):  # no JSON; or a number of so many digits that Python reads it as text only
            found[name] = value
        if name in texts and not isinstance(found[name], str):
            found[name] = value
    return found


def _text(path: Path) -> str:
    """Read a prompt; the line break that editors put at a file's end is not part of it."""
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n")
    except OSError as error:
        said = error.strerror or error
        raise FileError(f"The prompt file {path} cannot be read: {said}.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"The prompt file {path} is not UTF-8.") from error


def refuse_out(out: str | None, *, force: bool) -> None:
    """Refuse, before anything is sent, a place where the answers could not be written."""
    if out not in (None, "-"):
        files.refuse_target(out, force=force)
