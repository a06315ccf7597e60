"""Run one part in a process of its own, to be killed: python killed.py FOLDER URL CONCURRENCY."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from batchframe.immediate.engine import run_part
from batchframe.model import Connection


async def main(folder: Path, url: str, concurrency: int) -> None:
    await run_part(
        folder / "part.jsonl",
        folder / "part.journal.jsonl",
        Connection(url),
        concurrency=concurrency,
        cancel=asyncio.Event(),
        on_progress=lambda _: None,
    )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
