"""Who a row is: its key, its command ids. The same row of the same file is the same for ever, wherever it stands."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from uuid import UUID, uuid5

from crm_es.values import json_texts

LONGEST_KEY = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class RowIdentity:
    """`key` names the row within its workspace, readable where that is short; `digest` is of all its cells."""

    key: str
    digest: str

    def command_id(self, workspace: UUID, step: str, reverts: int = 0) -> UUID:
        """A reverted row (`reverts` times) may be recorded again; an unchanged one never."""
        return uuid5(workspace, f'["import", {json_texts(self.key, self.digest, step)}, {reverts}]')


class RowIdentities:
    """Gives rows of one reading of a file their identity, counting those that repeat another to the letter.

    Holds some 200 bytes a row. Two rows that share the key and differ elsewhere cannot be told from a correction: the
    second is refused. Without key columns all are the key. The order of columns is no part of a row.
    """

    def __init__(self, mapping: str, key: tuple[str, ...]) -> None:
        self._mapping = mapping
        self._key = key
        self._seen: dict[bytes, tuple[bytes, int]] = {}

    def identify(self, cells: dict[str, str]) -> RowIdentity | None:
        """None: another row has this key, and says something else."""
        chosen = [cells[name] for name in self._key or sorted(cells)]
        slot = _digest([self._mapping, *chosen])
        digest = _digest(chain.from_iterable(sorted(cells.items())))
        before, count = self._seen.get(slot, (digest, 0))
        if before != digest:
            return None
        self._seen[slot] = digest, count + 1
        return RowIdentity(key=self._name(chosen, slot, count + 1), digest=digest.hex())

    def _name(self, chosen: list[str], slot: bytes, nth: int) -> str:
        readable = "|".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in chosen)
        return f"{readable if len(readable) <= LONGEST_KEY else slot.hex()}#{nth}"


def _digest(texts: Iterable[str]) -> bytes:
    return hashlib.sha256(json_texts(*texts).encode("utf-8", "surrogatepass")).digest()[:16]
