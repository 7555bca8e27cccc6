"""Python's cycle collector, told that a page of facts, or the rows of an import, are no leak."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

RARELY: Final = (50_000, 20, 100)  # more objects than the facts of two pages and the rows made of them


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Facts and rows have no cycles and die with their page. By default they set off a full collection nearly every page,
    which took a third of all the time of decoding. What is there already is not looked at again."""
    before = gc.get_threshold()
    gc.set_threshold(*RARELY)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
