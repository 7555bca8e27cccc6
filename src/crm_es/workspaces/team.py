"""A team: a named group of members, for scopes and lists."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamCreated:
    TOPIC: ClassVar[str] = "team.created"
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamUpdated:
    TOPIC: ClassVar[str] = "team.updated"
    name: str


TeamEvent = TeamCreated | TeamUpdated
