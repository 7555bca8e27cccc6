"""Whether connections were left open, though nobody has them any more: by accident they close when they are collected."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def none_left_open() -> Iterator[None]:
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()

    assert [str(each.message) for each in told if each.category is ResourceWarning] == []
