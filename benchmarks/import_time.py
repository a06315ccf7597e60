"""How much `import batchframe` adds to `import polars`: at most 60 ms, and nothing heavy comes with it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

RUNS = 15
LIMIT_MS = 60.0
HEAVY = (
    "ipywidgets", "sqlalchemy", "openai", "boto3", "google.cloud", "pydantic", "pyarrow", "rich",
    "xllamacpp", "pyreqwest", "genai_prices", "bpe_openai", "IPython", "altair", "scipy", "asyncio",
)  # fmt: skip

_PROBE = """
import time, sys
t0 = time.perf_counter(); import polars
t1 = time.perf_counter(); import batchframe
t2 = time.perf_counter()
heavy = [m for m in {heavy!r} if m in sys.modules]
before = set(sys.modules)
print(t1 - t0, t2 - t1, ",".join(heavy))
"""
_ALONE = "import sys, polars; print(','.join(m for m in {heavy!r} if m in sys.modules))"


def probe() -> tuple[float, float, set[str]]:
    """Import both in a fresh process; gives seconds for each, and the heavy modules loaded."""
    code = _PROBE.format(heavy=HEAVY)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    polars, ours, heavy = out.stdout.rstrip("\n").split(" ", 2)
    return float(polars), float(ours), set(filter(None, heavy.split(",")))


def main() -> int:
    """Print the medians; fail when the limit is exceeded."""
    probe()  # fills the file cache
    runs = [probe() for _ in range(RUNS)]
    polars = statistics.median(run[0] for run in runs) * 1e3
    ours = statistics.median(run[1] for run in runs) * 1e3
    code = _ALONE.format(heavy=HEAVY)
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    brought = runs[0][2] - set(alone.stdout.strip().split(","))
    print(
        json.dumps(
            {
                "benchmark": "import_time",
                "polars_ms": round(polars, 1),
                "batchframe_adds_ms": round(ours, 1),
                "limit_ms": LIMIT_MS,
                "ratio": round((polars + ours) / polars, 3),
                "heavy_modules_brought": sorted(brought),
                "runs": RUNS,
            }
        )
    )
    return 0 if ours <= LIMIT_MS and not brought else 1


if __name__ == "__main__":
    sys.exit(main())
