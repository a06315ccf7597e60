"""The words of the command line: which commands there are, which options each one takes."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NoReturn

import batchframe as bf
from batchframe.errors import InputError, nearest
from batchframe.frame import files


class _Parser(argparse.ArgumentParser):
    """argparse, whose complaints are our errors: one message, the nearest word in it."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found.

        Raises:
            InputError: Always.
        """
        choice = re.search(r"invalid choice: '?([^' ]*)'? \(choose from (.*)\)", message)
        if choice:
            known = re.findall(r"[\w-]+", choice[2])
            what = message.partition(":")[0].removeprefix("argument ")
            hint = nearest(choice[1], known)
            raise InputError(f"No {what} '{choice[1]}'.{hint} Known: {', '.join(known)}.")
        raise InputError(f"{message[:1].upper()}{message[1:]}. Help: {self.prog} --help")


def _refuse_extra(extra: Sequence[str], parser: argparse.ArgumentParser) -> NoReturn:
    """Refuse words that no option takes, with the nearest option's name."""
    options = sorted(set(re.findall(r"--[a-z][a-z-]*", parser.format_help())))
    wrong = next((word for word in extra if word.startswith("-")), None)
    if wrong is not None:
        name = wrong.partition("=")[0]
        raise InputError(f"No option {name}.{nearest(name, options)} Help: {parser.prog} --help")
    raise InputError(
        f"'{extra[0]}' is one word too many; a text with spaces stands in quotes. "
        f"Help: {parser.prog} --help"
    )


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table of commands; the first line of `run`'s docstring is its help.

    `name` may be two words; `words` put in its options; `makes` says that it may make a workspace.
    """

    name: str
    run: Callable[[argparse.Namespace], int]
    words: tuple[Callable[[argparse.ArgumentParser], None], ...] = ()
    makes: bool = False


GROUPS = {"local": "Models that run on this machine."}
"""First words that are no commands by themselves."""


def parse(commands: Sequence[Command], argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Args:
        commands: All there are.
        argv: Its words.

    Returns:
        The values of the options, with the `Command` as `command`.

    Raises:
        InputError: A word is wrong; the nearest right one follows.
        SystemExit: `--help` or `--version` was asked for and has been printed, or no command given.
    """
    parsed, extra = _parser(commands).parse_known_args(argv)
    if extra:
        _refuse_extra(extra, parsed.parser)
    if not hasattr(parsed, "command"):
        sys.stderr.write(parsed.parser.format_help())
        raise SystemExit(2)
    return parsed


def _parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    shared = _Parser(add_help=False)
    shared.add_argument(
        "--workspace", type=Path, metavar="DIR", default=argparse.SUPPRESS,
        help="where jobs are kept (or BATCHFRAME_HOME)",
    )  # fmt: skip
    top = _Parser(
        prog="batchframe",
        description="Ask a language model about every row of a file.",
        parents=[shared],
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"batchframe {bf.__version__}")
    top.set_defaults(parser=top)
    places = {"": top.add_subparsers(metavar="command")}
    for command in commands:
        first, _, last = command.name.rpartition(" ")
        if first not in places:
            says = GROUPS[first]
            group = places[""].add_parser(first, help=says, description=says, parents=[shared])
            group.set_defaults(parser=group)
            places[first] = group.add_subparsers(metavar="command")
        says = (command.run.__doc__ or "").splitlines()[0]
        made = places[first].add_parser(
            last, help=says, description=says, parents=[shared], allow_abbrev=False
        )
        made.set_defaults(parser=made, command=command)
        for put_in in command.words:
            put_in(made)
    return top


def job_id(parser: argparse.ArgumentParser) -> None:
    """Put in which job."""
    parser.add_argument("id", metavar="ID", help="a job's id, or a beginning only it has")


def as_json(parser: argparse.ArgumentParser) -> None:
    """Put in the form for programs."""
    parser.add_argument("--json", action="store_true", help="for programs")


def model_name(parser: argparse.ArgumentParser) -> None:
    """Put in which model."""
    parser.add_argument("name", metavar="NAME", help="as batchframe local list shows it")


def into(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Put in where to write."""
    parser.add_argument(
        "--out", metavar="FILE", required=required,
        help=f"where to write ({', '.join(files.FORMATS)}); - is standard output, as NDJSON",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def into_required(parser: argparse.ArgumentParser) -> None:
    """Put in where to write, which must be said."""
    into(parser, required=True)


def asks(parser: argparse.ArgumentParser) -> None:
    """Put in what `submit` and `plan` take."""
    add = parser.add_argument
    add("file", metavar="FILE", help=f"the rows ({', '.join(files.FORMATS)})")
    add("--model", metavar="PROVIDER/MODEL", help="who answers; batchframe models lists them")
    add("--prompt", metavar="TEXT", help="what to ask, with {column} placeholders")
    add("--prompt-file", type=Path, metavar="FILE", help="the same, from a text file")
    add("--system", metavar="TEXT", help="the system message, with placeholders too")
    add("--schema", type=Path, metavar="FILE", help="a JSON schema that every answer must fit")
    add("--param", action="append", default=[], metavar="NAME=VALUE",
        help="a parameter of the model, such as temperature=0; may be repeated")  # fmt: skip
    add("--extra", action="append", default=[], metavar="NAME=VALUE",
        help="one that only your server knows")  # fmt: skip
    add("--key", metavar="COLUMN", help="the column that identifies rows; else their position does")
    add("--name", metavar="TEXT", help="what lists call the job")
    add("--budget-usd", type=_dollars, metavar="X", help="refuse if the estimate may exceed this")
    add("--mode", choices=("batch", "immediate"), default="batch",
        help="the provider's batch (the default), or now, one by one")  # fmt: skip
    add("--prefix", default="", metavar="TEXT", help="put before the names of the new columns")
    add("--limit", type=_positive, metavar="N", help="only the first N rows")
    add("--again", action="store_true", help="run, and pay, anew what has been run already")
    add("--detach", action="store_true", help="leave once the batch is at its provider")
    into(parser)


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not an amount of dollars, such as 2.50")
    return amount


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of rows, such as 10")
    return int(text)
