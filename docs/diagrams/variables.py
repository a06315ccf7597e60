"""Writes docs/reference/variables.md from the settings classes of the providers.

python docs/diagrams/variables.py            write the page
python docs/diagrams/variables.py --check    fail if the committed page is not this one
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path

import drawing
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from batchframe.providers.account import Account
from batchframe.providers.registry import KNOWN

PAGE = Path(__file__).parents[1] / "reference" / "variables.md"

HEAD = """# Environment variables

What each provider reads from the environment when it is first used, and again when a variable has changed. This page is written from the settings classes that do so. An [argument](providers.md) of the same meaning goes before its variable; an empty variable counts as none.
"""

UNREAD = {("azure", "base_url")}
"""Settings that a class inherits and overrides: its address is made of the endpoint."""


def draw() -> str:
    """Give the page."""
    parts = [HEAD]
    for name, entry in KNOWN.items():
        settings = getattr(importlib.import_module(entry.module), "Settings", None)
        if settings is not None:
            parts += [f"## {name}\n", "| variable | meaning | default |\n|---|---|---|"]
            parts[-1] += "".join(f"\n{row}" for row in rows(name, settings)) + "\n"
    return "\n".join(parts)


def rows(provider: str, settings: type[Account]) -> list[str]:
    """Give a line for each variable."""
    found = []
    for name, field in settings.model_fields.items():
        if (provider, name) not in UNREAD:
            meaning = _meaning(settings, name).replace("|", "\\|")
            found.append(f"| `{variable(settings, name, field)}` | {meaning} | {_default(field)} |")
    return found


def variable(settings: type[Account], name: str, field: FieldInfo) -> str:
    """Say which variable a setting is read from."""
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[-1])
    return f"{settings.model_config['env_prefix']}{name}".upper()


def _meaning(settings: type[Account], name: str) -> str:
    """Take the setting's line out of its class's docstring, or of that of the class above."""
    for kind in settings.__mro__:
        text = inspect.cleandoc(kind.__doc__ or "")
        said = re.search(rf"^    {name}: (.+(?:\n {{8}}.+)*)", text, re.MULTILINE)
        if said:
            return re.sub(r"\s*\n\s*", " ", said[1])
    raise LookupError(f"{settings.__module__}: nobody says what {name} is")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, "", {}) or field.is_required() else f"`{value}`"


if __name__ == "__main__":
    sys.exit(drawing.main(PAGE, draw))
