"""Business refusals as the API shows them: the interface UserError and its kinds. `refusals.py` makes them of our errors."""

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from uuid import UUID

import strawberry

from crm_es.api import finding
from crm_es.api.enums import UserErrorCode
from crm_es.api.ids import NodeId
from crm_es.api.nodes import Entity
from crm_es.api.rules import PARENT, ruled
from crm_es.api.scalars import JSON
from crm_es.context import Info
from crm_es.reads import records
from crm_es.reads.model import read_of

if TYPE_CHECKING:
    Event: TypeAlias = Any  # made in workspaces/audit.py, a room above; named lazily

_HOLDERS: Final = {
    "email": ("Contact",),
    "identity": ("Contact",),
    "external_id": ("Contact", "Company", "Member", "Product", "Deal", "Ticket"),
    "domain": ("Company",),
    "interaction": ("Interaction",),
    "member_email": ("Member",),
}
"""Which records a reserved value may belong to. Teams and roles are no entities."""


@ruled(PARENT)
@strawberry.interface(
    description="Why a mutation was refused. `rule` is a stable name to translate by, as `email.malformed`, `deal.closed`."
)
class UserError:
    message: str = strawberry.field(description="One or two sentences for a person, in English.")
    code: UserErrorCode = strawberry.field(description="The kind of refusal.")
    field: list[str] | None = strawberry.field(description="The path into `input`; a batch's index stands in it.")
    rule: str = strawberry.field(description="The rule that refused, a stable name.")


@ruled(PARENT)
@strawberry.type(description="The input can never be accepted as it is.")
class InvalidInput(UserError): ...


@ruled(PARENT)
@strawberry.type(description="NOT_FOUND NOT_ALLOWED RULE_VIOLATED COMMAND_ID_REUSED ERASED")
class Refusal(UserError): ...


async def _existing(self: "AlreadyExists", info: Info) -> Entity | None:
    """Of an absorbed holder the survivor: its values are the survivor's now."""
    types, holder = _HOLDERS.get(self.kind, ()), self.holder
    found: Entity | None = await finding.first(info.context, types, holder)
    while found is not None and (survivor := _survivor(found)) is not None:
        found = await finding.first(info.context, types, survivor)
    return found


def _survivor(found: Entity) -> UUID | None:
    known = "merged_into" in read_of(type(found)).index
    return records.raw(found, "merged_into") if known else None


@ruled(PARENT)
@strawberry.type(description="A value that must be unique belongs to another record.")
class AlreadyExists(UserError):
    kind: strawberry.Private[str]
    holder: strawberry.Private[UUID]
    existing: Entity | None = strawberry.field(
        resolver=_existing, description="The record that holds it, if you may see it."
    )


async def _event(
    self: "FieldConflict", info: Info
) -> Annotated["Event", strawberry.lazy("crm_es.workspaces.audit")] | None:
    stream, version = self.theirs_set_by
    found: Event | None = await finding.node(info.context, NodeId("Event", stream, sub=version))
    return found


@ruled(PARENT)
@strawberry.type(description="One field that both changed.")
class FieldConflict:
    field: str = strawberry.field(description="The field's name.")
    base: JSON | None = strawberry.field(description="Its value at `expectedVersion`.")
    mine: JSON | None = strawberry.field(description="The value you sent.")
    theirs: JSON | None = strawberry.field(description="The value that stands.")
    theirs_set_by: strawberry.Private[tuple[UUID, int]]
    event: Annotated["Event", strawberry.lazy("crm_es.workspaces.audit")] | None = strawberry.field(
        resolver=_event, description="The event that set theirs: who, when and why."
    )


@ruled(PARENT)
@strawberry.type(description="The same field was changed since `expectedVersion`; nothing was recorded.")
class VersionConflict(UserError):
    current_version: int = strawberry.field(description="The version the record stands at now.")
    conflicts: list[FieldConflict] = strawberry.field(description="Every field that both changed.")
