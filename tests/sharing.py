"""Which tests a worker runs together: those of a file, and those of a folder that share what is dear to make."""

from typing import Final

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

LONG: Final = (
    "tests/faults/",
    "tests/fuzz/",
    "tests/oracle/",
    "tests/demo/",
    "tests/conformance/",
    "tests/imports/",
    "tests/verify/",
    "tests/commands/",
    "tests/isolation/",
    "tests/ledger/",
    "tests/exports/",
    "tests/projections/",
    "tests/database/",
    "tests/projector/",
    "tests/api/test_compiled",
    "tests/api/test_pipeline_trend",
)
"""What takes longest comes first, so that no worker is left with it in the end."""
DEAR: Final = {"tests/faults/": "tests/faults/", "tests/demo/": "tests/demo/", "tests/conformance/": "tests/demo/"}


class ByFile(LoadScopeScheduling):
    """Files in the order they were collected, to whoever has nothing left to do."""

    def _split_scope(self, nodeid: str) -> str:
        return next((shared for folder, shared in DEAR.items() if nodeid.startswith(folder)), nodeid.partition("::")[0])


def long_ones_first(items: list[pytest.Item]) -> None:
    """The order is random otherwise."""

    def place(item: pytest.Item) -> int:
        return next((n for n, folder in enumerate(LONG) if item.nodeid.startswith(folder)), len(LONG))

    items.sort(key=place)
