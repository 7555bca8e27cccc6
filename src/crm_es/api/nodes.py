"""What every record has in common, and the small types all rooms answer with. A room's types are its own."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from uuid import UUID

import strawberry
from strawberry import ID
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from crm_es.api.enums import Action
from crm_es.api.rules import PARENT, ruled
from crm_es.api.scalars import Position

if TYPE_CHECKING:
    EventConnection: TypeAlias = Any  # made in workspaces/audit.py, a room above; named lazily
    EventFilter: TypeAlias = Any


@ruled(PARENT)
@strawberry.interface(description="Anything with an id of its own: `node(id)` finds it again.")
class Node:
    id: ID = strawberry.field(description="Opaque and global; under `asOf` the id of the record as it was.")


def _history() -> Any:
    """The field as each record type declares it; `reads/declare.py` answers it."""
    field = StrawberryField(description="Who changed what, when and why, newest first: of the fields you may read.")
    event_filter = Annotated["EventFilter", strawberry.lazy("crm_es.workspaces.audit")]
    types = {
        "first": int | None, "after": str | None, "last": int | None, "before": str | None,
        "filter": event_filter | None, "fields": list[str] | None,
    }  # fmt: skip
    field.arguments = [
        StrawberryArgument(name, None, StrawberryAnnotation(type_, namespace=globals()), default=strawberry.UNSET)
        for name, type_ in types.items()
    ]
    return field


@ruled(PARENT)
@strawberry.interface(description="A record with a stream of events.")
class Entity(Node):
    live_id: ID = strawberry.field(description="The id of the same record as it is now.")
    stream_id: UUID = strawberry.field(description="Its stream of events, as exports name it.")
    version: int = strawberry.field(description="How many events it has; send it back as `expectedVersion`.")
    as_of: Position | None = strawberry.field(description="Set on a past record: the position it is shown at.")
    label: str | None = strawberry.field(description="What to call it in any list.")
    created_at: datetime = strawberry.field(description="When its first event was recorded.")
    updated_at: datetime = strawberry.field(description="When its newest event was recorded.")
    viewer_can: list[Action] = strawberry.field(description="What you may do with it in its present state.")
    masked_fields: list[str] = strawberry.field(
        description="Fields that are null for you, not in truth: never write them back."
    )
    history: Annotated["EventConnection", strawberry.lazy("crm_es.workspaces.audit")] | None = _history()


@strawberry.input(one_of=True, description="A moment of the log: what had been recorded by then.")
class AsOf:
    time: datetime | None = strawberry.field(
        default=strawberry.UNSET, description="Recorded by this time of the database's clock; not in the future."
    )
    position: Position | None = strawberry.field(
        default=strawberry.UNSET,
        description="Up to this position; inside one command's events, before them. 0 is empty.",
    )


@ruled(PARENT)
@strawberry.type(description="An amount in one currency; nothing is ever converted.")
class Money:
    amount: Decimal = strawberry.field(description="With as many digits as the currency has.")
    currency: str = strawberry.field(description="ISO 4217.")


@strawberry.input(description="An amount in one currency.")
class MoneyInput:
    amount: Decimal = strawberry.field(description="More digits than the currency has are refused, never rounded.")
    currency: str = strawberry.field(description="ISO 4217.")


@ruled(PARENT)
@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="More come after `endCursor`.")
    has_previous_page: bool = strawberry.field(description="More come before `startCursor`.")
    start_cursor: str | None = strawberry.field(description="The first edge's; null on an empty page.")
    end_cursor: str | None = strawberry.field(description="The last edge's; null on an empty page.")
