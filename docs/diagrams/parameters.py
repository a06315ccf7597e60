"""Writes docs/reference/parameters.md from the table in `dialects/support.py`.

python docs/diagrams/parameters.py            write the page
python docs/diagrams/parameters.py --check    fail if the committed page is not this one
"""

from __future__ import annotations

import sys
from pathlib import Path

import drawing

from batchframe.dialects import support
from batchframe.dialects.parameters import REFUSED, RULES
from batchframe.dialects.support import Row
from batchframe.model import Endpoint

PAGE = Path(__file__).parents[1] / "reference" / "parameters.md"

TITLES = {
    Endpoint.CHAT: "Chat completions",
    Endpoint.RESPONSES: "Responses",
    Endpoint.EMBEDDINGS: "Embeddings",
    Endpoint.MODERATIONS: "Moderations",
}

HEAD = """# Parameters by provider

How each provider takes each of OpenAI's parameters. This page is written from the table that the code goes by (`batchframe/dialects/support.py`).

| word | meaning |
|---|---|
| yes | sent as it is |
| a name | sent under that name |
| no | refused before anything is sent, with the reason |
| ! | sent, with a warning in the plan; `strict=True` refuses it |
| ? | sent, although the provider's reference does not list it |

A number leads to the note below the table. `local/` models and [servers of your own](../how-to/providers.md#anything-else-with-an-openai-surface) are sent everything. What only your provider knows goes into `extra_body={...}`, which no rule holds.
"""


def draw() -> str:
    """Give the page."""
    parts = [HEAD]
    for endpoint in Endpoint:
        parts += _section(endpoint)
    parts += ["## Refused everywhere\n", "| parameter | why |\n|---|---|"]
    parts[-1] += "".join(f"\n| `{name}` | {why} |" for name, why in REFUSED.items())
    parts += ["\n## Sources\n"]
    parts += [f"- {one.said} (read {one.as_of})" for one in support.SOURCES.values()]
    return "\n".join([*parts, ""])


def _section(endpoint: Endpoint) -> list[str]:
    providers = [name for name, surfaces in support.SURFACES.items() if endpoint in surfaces]
    notes: list[str] = []
    lines = [f"\n## {TITLES[endpoint]}\n"]
    if not RULES[endpoint]:
        names = ", ".join(f"`{name}`" for name in providers)
        return [*lines, f"Offered by {names}; there are no parameters beside the text."]
    lines += ["| parameter | " + " | ".join(f"`{name}`" for name in providers) + " |"]
    lines += ["|---" * (len(providers) + 1) + "|"]
    for parameter in RULES[endpoint]:
        cells = [_cell(provider, endpoint, parameter, notes) for provider in providers]
        lines.append(f"| `{parameter}` | " + " | ".join(cells) + " |")
    return [*lines, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]


def _cell(provider: str, endpoint: Endpoint, parameter: str, notes: list[str]) -> str:
    rows = [
        row for row in support.ROWS.get(provider, {}).get(endpoint, ()) if parameter in row.names
    ]
    if not rows:
        return "?" if support.unsure(provider, endpoint, parameter) else "yes"
    return " ".join(_mark(row, notes) for row in rows)


def _mark(row: Row, notes: list[str]) -> str:
    if row.fate == "renamed":
        return f"`{row.to}`"
    said = f"{row.who or 'All models'}: {row.why}." + (f" {row.instead}" if row.instead else "")
    if row.fine is not None:
        said += f" Fine is {row.fine}."
    if row.unsure:
        said += " The source does not say so outright."
    if said not in notes:
        notes.append(said)
    number = notes.index(said) + 1
    return f"{'no' if row.fate == 'refused' else '!'} ({number})"


if __name__ == "__main__":
    sys.exit(drawing.main(PAGE, draw))
