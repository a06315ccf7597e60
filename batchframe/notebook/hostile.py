"""Text from a model, a provider or a user, made safe to show: short, printable, never markup.

Three readers are guarded: a terminal (escape sequences), an eye (characters that reorder or hide
others) and a browser (tags, and TeX, which notebooks typeset in any HTML output).
"""

from __future__ import annotations

import html
import re
import unicodedata

_TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor moves, screen clearing
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"
)
_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji need them; alone they do nothing
_MARKS = 3  # accents on one letter; more are stacked only to write over the lines above
_SPACES = {"Zs", "Zl", "Zp"}


def clean(text: object, limit: int, *, lines: bool = False) -> str:
    r"""Give the printable part of a text, at most `limit` characters long.

    Escape sequences, control characters and invisible formatting (bidi overrides among them) go;
    white space becomes one space; what is cut is marked with an ellipsis.

    Args:
        text: Anything; `str()` of it is shown.
        limit: The most characters to give, the ellipsis included.
        lines: Whether line breaks stay.

    >>> clean("a\x1b[31mred\x1b[0m\nnight", 20)
    'ared night'
    >>> clean("x" * 9, 4)
    'xxx…'
    """
    raw = str(text)
    head = raw[: limit * 8]
    kept: list[str] = []
    marks = 0
    for char in _TERMINAL.sub("", head):
        kind = unicodedata.category(char)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if marks <= _MARKS:
            kept.append(_plain(char, kind, lines=lines))
    gap = r"[^\S\n]+" if lines else r"\s+"
    shown = re.sub(gap, " ", "".join(kept)).strip()
    if len(shown) > limit or len(head) < len(raw):
        shown = shown[: limit - 1].rstrip() + "…"
    return shown


def _plain(char: str, kind: str, *, lines: bool) -> str:
    if char == "\n":
        return "\n" if lines else " "
    if kind in _SPACES or char in "\t\r\x0b\x0c\x85":
        return " "
    if kind == "Cs":
        return "\ufffd"  # half a surrogate pair cannot be encoded, so it could not be sent
    if kind == "Cc" or (kind == "Cf" and char not in _JOINERS):
        return ""
    return char


def escape(text: object, limit: int, *, lines: bool = False) -> str:
    """Give a text as HTML that a browser shows letter by letter.

    `$` and the backslash stand in elements of their own, so that no formula begins with them:
    TeX can carry links and colours into a page that has no tag of ours.

    Args:
        text: Anything; `str()` of it is shown.
        limit: The most characters to show.
        lines: Whether line breaks stay, as `<br>`.

    >>> escape("<b>$x$", 20)
    '&lt;b&gt;<span>$</span>x<span>$</span>'
    """
    safe = html.escape(clean(text, limit, lines=lines)).replace("\n", "<br>")
    return re.sub(r"[$\\]", r"<span>\g<0></span>", safe)
