"""What the sealer says in the log it seals: the heads as they stood, a new key, a new epoch.

One stream a workspace, appended by the sealer's role alone (`ledger.append` in the database).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Final, assert_never, get_args
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate, no_subject


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerHeadsSealed:
    """`root`, in hex, is that of the sorted map of streams and subjects over positions 1 to `size` (`auditing.md`)."""

    TOPIC: ClassVar[str] = "ledger.heads_sealed"
    FIELDS: ClassVar[tuple[str, ...]] = ()
    size: int
    root: str
    leaves: int
    streams: int
    subjects: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerKeyRotated:
    """Both keys as C2SP writes them. The checkpoint that ends here is signed by both; later ones by the new key alone."""

    TOPIC: ClassVar[str] = "ledger.key_rotated"
    FIELDS: ClassVar[tuple[str, ...]] = ()
    old_key: str
    new_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEpochOpened:
    """History is not what `old_origin` was signed for: of its `old_size` positions, `lost_from` to `lost_to` are gone or
    changed, or not known to be the same. None where the events are as they were and the ledger's own tables are not."""

    TOPIC: ClassVar[str] = "ledger.epoch_opened"
    FIELDS: ClassVar[tuple[str, ...]] = ()
    epoch: int
    old_origin: str
    old_size: int
    old_root: str
    lost_from: int | None
    lost_to: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerAccessSealed:
    """`root`, in hex, is the RFC 6962 root over the `count` rows of the access log of one hour (`access-log.md`)."""

    TOPIC: ClassVar[str] = "ledger.access_sealed"
    FIELDS: ClassVar[tuple[str, ...]] = ()
    since: datetime
    until: datetime
    count: int
    root: str


LedgerEvent = LedgerHeadsSealed | LedgerKeyRotated | LedgerEpochOpened | LedgerAccessSealed


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """`heads` is the size of the newest sealed heads."""

    epoch: int = 1
    heads: int = 0


def evolve(ledger: Ledger | None, event: LedgerEvent) -> Ledger:
    ledger = ledger or Ledger()
    match event:
        case LedgerHeadsSealed(size=size):
            return replace(ledger, heads=size)
        case LedgerEpochOpened(epoch=epoch):
            return replace(ledger, epoch=epoch)
        case LedgerKeyRotated() | LedgerAccessSealed():
            return ledger
        case _:
            assert_never(event)


def _fields(ledger: Ledger) -> Mapping[str, object]:
    return {"epoch": ledger.epoch, "heads": ledger.heads}


LEDGER: Final[Aggregate[Ledger, Any]] = Aggregate(
    name="ledger", events=get_args(LedgerEvent), evolve=evolve, fields=_fields, subjects=no_subject
)


def stream_of(workspace: UUID) -> UUID:
    """A UUIDv8 that follows from the workspace's id, as `ledger.stream_of` in the database has it."""
    hashed = bytearray(sha256(f"ledger:{workspace}".encode()).digest()[:16])
    hashed[6] = hashed[6] & 0x0F | 0x80
    hashed[8] = hashed[8] & 0x3F | 0x80
    return UUID(bytes=bytes(hashed))
