"""What is kept because it is soon wanted again: what was used last, by number and by size."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
CHARACTERS: Final = 1_000_000
"""Of documents kept parsed, which take some 75 bytes each."""


class Recent(Generic[T]):
    """At most so many values, and so much of what their sizes say; the least used goes first."""

    def __init__(self, number: int, size: int) -> None:
        self._number, self._size = number, size
        self._taken = 0
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: T, size: int) -> T:
        """The value; what alone is larger than all may be is not kept."""
        if key in self._values:
            self._taken -= self._values.pop(key)[1]
        self._values[key] = value, size
        self._taken += size
        while len(self._values) > self._number or self._taken > self._size:
            self._taken -= self._values.popitem(last=False)[1][1]
        return value
