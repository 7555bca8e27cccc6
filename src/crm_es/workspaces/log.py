"""The signed log of a workspace, over GraphQL: checkpoints and proofs. Tiles are served as files (`api/log_files.py`)."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final

import strawberry
from strawberry import UNSET

from crm_es.api.enums import Action, EntityType
from crm_es.api.rules import PARENT, needs, permit, ruled
from crm_es.api.scalars import Position
from crm_es.context import Context, Info
from crm_es.reads import ledger, records
from crm_es.reads.ledger import SignedLog

AUDIT: Final = needs(EntityType.CONTACT, Action.AUDIT)
TreeSize = Annotated[
    Position | None,
    strawberry.argument(description="In the tree of the first checkpoint of this size or more; else the newest."),
]


@ruled(PARENT)
@strawberry.type(description="What the log had come to, signed: a C2SP checkpoint.")
class Checkpoint:
    size: Position = strawberry.field(
        description="It covers the positions from 1 to this. Every answer tells the newest in `extensions.checkpoint`."
    )
    root_hash: str = strawberry.field(description="Of the RFC 6962 tree over them, in base64.")
    signed_at: datetime = strawberry.field(description="When, by the clock of the house.")
    note: str = strawberry.field(description="The signed note, verbatim. Keep it outside this house.")


@ruled(PARENT)
@strawberry.type(description="That an event is in the tree of a checkpoint: RFC 6962, 2.1.1.")
class InclusionProof:
    position: Position = strawberry.field(description="The event's; its leaf index is one less.")
    tree_size: Position = strawberry.field(description="The checkpoint's size.")
    leaf_hash: str = strawberry.field(description="SHA-256 of a zero byte and the event's stored bytes, in base64.")
    hashes: list[str] = strawberry.field(
        description="The siblings on the way to the root, the lowest first, in base64."
    )
    checkpoint: Checkpoint = strawberry.field(description="What signs the root.")


@ruled(PARENT)
@strawberry.type(description="That a tree begins with a smaller one: RFC 6962, 2.1.2.")
class ConsistencyProof:
    from_: Position = strawberry.field(name="from", description="The smaller size.")
    to: Position = strawberry.field(description="The larger size.")
    hashes: list[str] = strawberry.field(
        description="In base64; none where the sizes are the same, or the smaller is 0."
    )


async def _inclusion(
    info: Info,
    position: Annotated[Position, strawberry.argument(description="The event's place in the log.")],
    tree_size: TreeSize = UNSET,
) -> InclusionProof | None:
    return await proof(info.context, position, tree_size)


async def _consistency(
    info: Info,
    from_: Annotated[Position, strawberry.argument(name="from", description="A size that was signed before.")],
    to: Annotated[
        Position | None, strawberry.argument(description="A larger size; else that of the newest checkpoint.")
    ] = UNSET,
) -> ConsistencyProof | None:
    found = await ledger.consistent(
        await info.context.snapshot(), info.context.workspace, from_, None if to is UNSET else to
    )
    if found is None:
        return None
    return ConsistencyProof(from_=from_, to=Position(found[0]), hashes=_texts(found[1]))


@ruled(PARENT)
@strawberry.type(description="The workspace's log as it is signed: one leaf an event, in the order of positions.")
class Log:
    origin: str = strawberry.field(description="Its name in every checkpoint. Pin it, with the key.")
    public_key: str = strawberry.field(description="What signs it now, as C2SP writes keys.")
    size: Position = strawberry.field(description="How far it is signed.")
    checkpoint: Checkpoint | None = strawberry.field(description="The newest.")
    inclusion_proof: InclusionProof | None = strawberry.field(
        resolver=_inclusion, description="Null where the position is not signed yet."
    )
    consistency_proof: ConsistencyProof | None = strawberry.field(
        resolver=_consistency, description="Null where the log is not signed that far."
    )


async def log(info: Info) -> Log | None:
    found = await ledger.newest(await info.context.snapshot(), info.context.workspace)
    if found is None:
        return None
    return Log(
        origin=found.origin, public_key=found.public_key, size=Position(found.size), checkpoint=_checkpoint(found)
    )


async def proof(context: Context, position: int, tree_size: int | None) -> InclusionProof | None:
    found = await ledger.included(
        await context.snapshot(), context.workspace, position, None if tree_size is UNSET else tree_size
    )
    if found is None:
        return None
    return InclusionProof(
        position=Position(position),
        tree_size=Position(found.log.size),
        leaf_hash=_text(found.leaf),
        hashes=_texts(found.hashes),
        checkpoint=_checkpoint(found.log),
    )


async def _of_event(self: Any, info: Info, tree_size: TreeSize = UNSET) -> InclusionProof | None:
    permit(info.context, EntityType.CONTACT, Action.AUDIT)
    return await proof(info.context, records.raw(self, "position"), tree_size)


def of_event() -> Any:
    """The field of an event. Whoever may read its record sees the event; its proof is for auditors."""
    about = "That it is in the signed log; null until it is sealed. For AUDIT alone."
    return strawberry.field(resolver=_of_event, description=about, metadata={"rule": AUDIT})


def _checkpoint(signed: SignedLog) -> Checkpoint:
    return Checkpoint(
        size=Position(signed.size), root_hash=_text(signed.root), signed_at=signed.signed_at, note=signed.note
    )


def _texts(hashes: Iterable[bytes]) -> list[str]:
    return [_text(each) for each in hashes]


def _text(hashed: bytes) -> str:
    return b64encode(hashed).decode()
