"""pytest's side of the contract: `--providers=openai,groq` chooses, `--write-wire` writes golden lines anew.

Import its functions in a `conftest.py`:

    from batchframe.testing.contract.selection import pytest_addoption, pytest_collection_modifyitems
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the contract."""
    group = parser.getgroup("batchframe")
    group.addoption(
        "--providers",
        metavar="NAMES",
        help="run the contract for these providers only: names as in provider/model, with commas",
    )
    group.addoption(
        "--write-wire", action="store_true", help="write the golden wire lines of providers anew"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the classes of providers that were not asked for.

    Raises:
        UsageError: No class is of such a provider.
    """
    asked: str | None = config.getoption("--providers", default=None)
    if not asked:
        return
    wanted = {name.strip() for name in asked.split(",")}
    known = {name for item in items if (name := _provider(item))}
    if not wanted <= known:
        unknown = ", ".join(sorted(wanted - known))
        raise pytest.UsageError(
            f"--providers={asked}: no contract of {unknown} is here; here are: "
            f"{', '.join(sorted(known))}."
        )
    kept = [item for item in items if _provider(item) in wanted]
    config.hook.pytest_deselected(items=[item for item in items if _provider(item) not in wanted])
    items[:] = kept


def _provider(item: pytest.Item) -> str | None:
    """Name the provider that a test is of; None: it is of none."""
    factory: str | None = getattr(getattr(item, "cls", None), "factory", None)
    if factory is None or not factory.startswith("batchframe.providers."):
        return None
    return factory.removeprefix("batchframe.providers.").partition(":")[0]
