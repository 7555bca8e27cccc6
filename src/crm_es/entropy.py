"""Random bytes fetched by the hundred: every fetch from the system lets another thread take the interpreter."""

import contextlib
import os

_AT_ONCE = 100


class Pool:
    """Random values of one size, each given out once, also by several threads and by processes that were forked."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ready: list[bytes] = []
        os.register_at_fork(after_in_child=self._ready.clear)

    def take(self) -> bytes:
        while True:
            with contextlib.suppress(IndexError):
                return self._ready.pop()
            block = os.urandom(self._size * _AT_ONCE)
            self._ready.extend(block[start : start + self._size] for start in range(0, len(block), self._size))
