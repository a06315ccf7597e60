"""Serve one cloud in a process of its own: prints where it is as one line of JSON, ends with stdin.

python -m batchframe.testing.clouds openai --port 0
"""

from __future__ import annotations

import argparse
import sys

import orjson

from batchframe.testing import clouds

CLOUDS = {
    "openai": clouds.openai,
    "azure": clouds.azure,
    "groq": clouds.groq,
    "mistral": clouds.mistral,
    "together": clouds.together,
    "fireworks": clouds.fireworks,
    "xai": clouds.xai,
}


def main(arguments: list[str] | None = None) -> int:
    """Serve until stdin closes.

    Args:
        arguments: The command line; None: this process's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m batchframe.testing.clouds", description=__doc__
    )
    parser.add_argument("cloud", choices=sorted(CLOUDS))
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--step", type=float, default=30.0, help="seconds that each poll adds")
    given = parser.parse_args(arguments)
    cloud = CLOUDS[given.cloud]()
    cloud.port, cloud.step = given.port, given.step
    with cloud:
        place = {"url": cloud.url, "key": cloud.key, "environment": cloud.environment()}
        sys.stdout.write(orjson.dumps(place).decode() + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
