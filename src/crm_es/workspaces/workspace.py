"""A workspace: one tenant, its name and the conventions its dates and amounts are read by."""

from dataclasses import dataclass
from typing import ClassVar

from msgspec import UNSET, UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkspaceCreated:
    """`week_starts_on` counts from 1 = Monday. A demo workspace is one for ever: its recorded times may be invented."""

    TOPIC: ClassVar[str] = "workspace.created"
    name: str
    time_zone: str = "UTC"
    currency: str = "USD"
    week_starts_on: int = 1
    demo: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkspaceUpdated:
    TOPIC: ClassVar[str] = "workspace.updated"
    name: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    week_starts_on: int | UnsetType = UNSET


WorkspaceEvent = WorkspaceCreated | WorkspaceUpdated
