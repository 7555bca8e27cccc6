"""What one operation has answered so far: ids and names, never values. Executors fill it as they make answers."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

CONTACT: Final = "Contact"


class Trail:
    """`nodes` by type name, in the order they came; `fields` are sensitive ones; `denied` is the code of a refusal."""

    __slots__ = ("denied", "fields", "nodes", "rows")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.nodes: dict[str, dict[UUID, None]] = {}
        self.fields: set[str] = set()
        self.rows = 0
        self.denied: str | None = None

    def saw(self, type_: str, ids: Iterable[UUID]) -> None:
        known = self.nodes.get(type_)
        if known is None:
            self.nodes[type_] = dict.fromkeys(ids)
        else:
            known.update(dict.fromkeys(ids))

    @property
    def count(self) -> int:
        return sum(map(len, self.nodes.values()))
