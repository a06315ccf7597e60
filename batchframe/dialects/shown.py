"""A wrong value in a message: enough of it to be recognised, never a whole prompt."""

from __future__ import annotations

import numbers

_LONGEST = 40
_HUGE = 10**_LONGEST


def shown(value: object) -> str:
    """Give a short form of any value, for an error message.

    Numbers and short texts as Python writes them, long texts cut, everything else by its type.

    >>> shown(2.5), shown("high"), shown({"a": 1}), shown(dict)
    ('2.5', "'high'", 'a dict', 'the class dict')
    """
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int) and abs(value) > _HUGE:
        return "a number of more than 40 digits"  # Python may refuse to write it out
    if isinstance(value, numbers.Real):
        return str(value)
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}..."
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"
