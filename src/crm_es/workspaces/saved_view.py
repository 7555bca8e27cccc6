"""A saved view: a list's filter, order and columns under a name. Filters may hold names and addresses, so they are sealed."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.eventstore.event import Erased, changes, pii
from crm_es.workspaces.actions import EntityType


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedViewSaved:
    """The whole view. `filter` and `order_by` are JSON as text: what stands in them is the client's business."""

    TOPIC: ClassVar[str] = "saved_view.saved"
    name: str
    target: EntityType
    filter: str | Erased = pii()
    order_by: str | UnsetType | None = UNSET
    columns: tuple[str, ...] | UnsetType | None = UNSET
    shared: bool = False
    owner_id: UUID | None = changes("owner", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedViewRemoved:
    TOPIC: ClassVar[str] = "saved_view.removed"
    FIELDS: ClassVar[tuple[str, ...]] = ()


SavedViewEvent = SavedViewSaved | SavedViewRemoved
