"""What mkdocs does beyond its configuration: the decision records join the navigation by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Put every record of docs/adr under "Explanation", in the order of their numbers.

    Args:
        config: The site's configuration.
    """
    folder = Path(config["docs_dir"]) / "adr"
    records = [{_title(path): f"adr/{path.name}"} for path in sorted(folder.glob("*.md"))]
    section = next(entry for entry in config["nav"] if "Explanation" in entry)
    section["Explanation"].append({"Decisions": records})
    return config


def _title(path: Path) -> str:
    """Take the record's own heading: "# 5. Costs are ..." is "5. Costs are ..."."""
    with path.open(encoding="utf-8") as lines:
        return next(line for line in lines if line.startswith("# ")).removeprefix("# ").strip()
