"""A row of the access log: who read what, when, why and whether they might. Ids and names of fields, never values."""

from collections.abc import Collection
from enum import StrEnum
from struct import Struct
from typing import Any, Final
from uuid import UUID

import msgspec

from crm_es.access.trail import CONTACT, Trail
from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import Actor, ActorKind
from crm_es.eventstore.packing import pack
from crm_es.uuids import new_id
from crm_es.values import writable

MOST_IDS: Final = 1_000
LONGEST_PURPOSE: Final = 500
LONGEST_OPERATION: Final = 200
COLUMNS: Final = (
    "workspace_id", "id", "at", "actor_kind", "actor_id", "on_behalf_of", "authenticated_by", "kind", "operation",
    "operation_hash", "purpose", "node_types", "node_counts", "node_ids", "node_count", "query_digest", "fields", "rows",
    "position", "microseconds", "allowed", "code",
)  # fmt: skip
"""All but `logged_at`, which the database tells."""
COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TAIL: Final = b"\xff\xff"

_EPOCH: Final = 946_684_800_000
"""PostgreSQL's, in Unix milliseconds."""
_CELLS: Final = Struct("!h").pack(len(COLUMNS))
_INT4: Final = Struct("!i").pack
_INT8: Final = Struct("!q").pack
_NULL: Final = _INT4(-1)
_LARGEST: Final = 2**31 - 1


class Kind(StrEnum):
    """What it was. GAP is not an operation: so many rows (`rows`) of the workspace were lost before it."""

    QUERY = "QUERY"
    MUTATION = "MUTATION"
    SUBSCRIPTION = "SUBSCRIPTION"
    REVEAL = "REVEAL"
    EXPORT = "EXPORT"
    ENTRIES = "ENTRIES"
    GAP = "GAP"


ALWAYS_DURABLE: Final = frozenset({Kind.REVEAL, Kind.EXPORT, Kind.ENTRIES})


class Entry(msgspec.Struct, kw_only=True, gc=False):
    """One row. `position` is the one shown, 0 where nothing was read. `contacts` are all those answered; it is not written."""

    workspace_id: UUID
    id: UUID
    actor: Actor
    kind: Kind
    operation: str
    operation_hash: bytes
    purpose: str | None
    node_types: list[str]
    node_counts: list[int]
    node_ids: list[UUID]
    node_count: int
    query_digest: bytes | None
    fields: list[str]
    rows: int
    position: int
    microseconds: int
    allowed: bool
    code: str | None
    contacts: Collection[UUID] = ()


def entry(
    *, workspace: UUID, actor: Actor, kind: Kind, operation: str, trail: Trail, operation_hash: bytes = b"",
    purpose: str | None = None, position: int = 0, seconds: float = 0.0, code: str | None = None, allowed: bool = True,
    query_digest: bytes | None = None,
) -> Entry:  # fmt: skip
    """The row of what `trail` holds, as of now. Raises: InvalidInputError for a purpose that cannot be kept."""
    types = sorted(trail.nodes, key=lambda type_: (type_ != CONTACT, type_))
    counts, ids = _first(trail, types)
    return Entry(
        workspace_id=workspace,
        id=new_id(),
        actor=actor,
        kind=kind,
        operation=operation[:LONGEST_OPERATION],
        operation_hash=operation_hash,
        purpose=None if purpose is None else checked_purpose(purpose),
        node_types=types[: len(counts)],
        node_counts=counts,
        node_ids=ids,
        node_count=trail.count,
        query_digest=query_digest,
        fields=sorted(trail.fields),
        rows=min(trail.rows, _LARGEST),
        position=position,
        microseconds=round(seconds * 1_000_000),
        allowed=allowed,
        code=code,
        contacts=trail.nodes.get(CONTACT, ()),
    )


def _first(trail: Trail, types: list[str]) -> tuple[list[int], list[UUID]]:
    """How many of each type are named, and their ids: those that fit."""
    counts: list[int] = []
    ids: list[UUID] = []
    for type_ in types:
        room = MOST_IDS - len(ids)
        if room <= 0:
            break
        found = list(trail.nodes[type_])[:room]
        counts.append(len(found))
        ids += found
    return counts, ids


def checked_purpose(purpose: str) -> str:
    """Raises: InvalidInputError."""
    if len(purpose) > LONGEST_PURPOSE:
        raise InvalidInputError(f"A purpose has at most {LONGEST_PURPOSE} characters.", rule="purpose.too_long")
    if not writable(purpose):
        raise InvalidInputError("No text holds U+0000 or half a surrogate pair.", rule="text.unwritable")
    return purpose


def gap(workspace: UUID, lost: int) -> Entry:
    """Says in the log itself that rows are missing from it."""
    trail = Trail()
    trail.rows = lost
    return entry(
        workspace=workspace,
        actor=Actor(kind=ActorKind.SYSTEM),
        kind=Kind.GAP,
        operation="lost",
        trail=trail,
        code="LOST",
    )


def packed(row: Entry) -> bytes:
    """The row as binary COPY takes it, its cells in the order of COLUMNS."""
    actor = row.actor
    cells = (
        _uuid(row.workspace_id),
        _uuid(row.id),
        _INT8(((row.id.int >> 80) - _EPOCH) * 1_000),  # `at` is the id's own millisecond
        actor.kind.encode(),
        _uuid(actor.id),
        _uuid(actor.on_behalf_of),
        _text(actor.auth),
        row.kind.encode(),
        row.operation.encode(),
        row.operation_hash,
        _text(row.purpose),
        pack("text", row.node_types).data,
        pack("int4", row.node_counts).data,
        pack("uuid", row.node_ids).data,
        _INT4(row.node_count),
        row.query_digest,
        pack("text", row.fields).data,
        _INT4(row.rows),
        _INT8(row.position),
        _INT8(row.microseconds),
        b"\x01" if row.allowed else b"\x00",
        _text(row.code),
    )
    return _CELLS + b"".join([_NULL if cell is None else _INT4(len(cell)) + cell for cell in cells])


def _uuid(value: UUID | None) -> Any:
    return None if value is None else value.int.to_bytes(16, "big")


def _text(value: str | None) -> Any:
    return None if value is None else value.encode()
