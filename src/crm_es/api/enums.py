"""The enums every room shares, and how a room's own StrEnum becomes one of the schema, with a word on every value."""

from enum import Enum, StrEnum
from typing import TypeVar

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from crm_es.eventstore.event import ActorKind
from crm_es.periods import Interval
from crm_es.workspaces.actions import Action, EntityType, Scope

E = TypeVar("E", bound=type[Enum])


def describe(enum: E, description: str, /, **values: str) -> E:
    """Make a GraphQL enum of `enum`; `values` says what each value means, by name. Raises: TypeError for an unknown name."""
    if hasattr(enum, "__strawberry_definition__"):
        raise TypeError(f"{enum.__name__} was used in a type before it was described")
    strawberry.enum(enum, description=description)
    definition: StrawberryEnumDefinition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # set above
    if unknown := values.keys() - {value.name for value in definition.values}:
        raise TypeError(f"{enum.__name__} has no {', '.join(sorted(unknown))}")
    for value in definition.values:
        value.description = values.get(value.name)
    return enum


class RecordStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"
    MERGED = "MERGED"
    ERASED = "ERASED"


class UserErrorCode(StrEnum):
    INVALID = "INVALID"
    NOT_FOUND = "NOT_FOUND"
    NOT_ALLOWED = "NOT_ALLOWED"
    RULE_VIOLATED = "RULE_VIOLATED"
    VERSION_CONFLICT = "VERSION_CONFLICT"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    COMMAND_ID_REUSED = "COMMAND_ID_REUSED"
    ON_HOLD = "ON_HOLD"
    ERASED = "ERASED"


class OrderDirection(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class ChangeKind(StrEnum):
    CHANGED = "CHANGED"
    GONE = "GONE"


describe(
    RecordStatus,
    "Where a record is in its life.",
    ACTIVE="In use; lists hold only these unless a filter asks otherwise.",
    ARCHIVED="Put away; can be restored.",
    MERGED="Absorbed by another record, which `mergedInto` names.",
    ERASED="Its personal data is destroyed for ever; ids and times remain.",
)
describe(
    UserErrorCode,
    "Why a mutation was refused; `rule` says it finer.",
    INVALID="The input can never be accepted as it is.",
    NOT_FOUND="No such record, or none you may see.",
    NOT_ALLOWED="You lack the permission.",
    RULE_VIOLATED="The record's present state forbids it.",
    VERSION_CONFLICT="Somebody changed the same field since `expectedVersion`.",
    ALREADY_EXISTS="A value that must be unique belongs to another record.",
    COMMAND_ID_REUSED="This commandId came before with another input.",
    ON_HOLD="A legal hold forbids it.",
    ERASED="The record was erased; nothing can be written to it.",
)
describe(
    ActorKind,
    "Of what kind whoever caused something is.",
    MEMBER="A person of the workspace.",
    API_KEY="A program.",
    AUTOMATION="A rule of the workspace.",
    IMPORT="A file taken in.",
    SYSTEM="crm-es itself.",
)
describe(
    OrderDirection,
    "Which end comes first. Nulls come last both ways.",
    ASC="Smallest, oldest or A first.",
    DESC="Largest, newest or Z first.",
)
describe(
    ChangeKind,
    "What happened to a record for the one who asked.",
    CHANGED="It is there, in a newer state.",
    GONE="Erased, merged away, archived, out of `within`, or out of your sight.",
)
describe(
    Interval,
    "Into what a chart cuts its period. The first and the last are cut off where the period begins and ends.",
    HOUR="Hours, counted from each midnight.",
    DAY="Days, from midnight to midnight.",
    WEEK="Weeks, from Monday.",
    MONTH="Months of the calendar.",
    QUARTER="Quarters of the calendar.",
)
describe(
    Action,
    "What can be done with a record.",
    READ="See it and its history.",
    CREATE="Make a new one.",
    UPDATE="Change its fields.",
    ASSIGN="Give it to another owner.",
    ARCHIVE="Put it away and take it back.",
    MERGE="Merge it with another and undo that.",
    REVEAL="See a masked value, for a purpose.",
    EXPORT="Take it out in a bundle.",
    ERASE="Destroy its personal data.",
    AUDIT="Read every event about it.",
    ADMINISTER="Manage members, roles, keys and settings.",
)
describe(
    Scope,
    "How far a permission reaches.",
    OWN="Records one owns.",
    TEAM="Records owned by one's team.",
    WORKSPACE="Every record of the workspace.",
)
describe(
    EntityType,
    "The kinds of record that permissions, search and sync speak of.",
    **{
        name: f"{text}."
        for name, text in {
            "CONTACT": "A person we deal with",
            "COMPANY": "An organisation we deal with",
            "INTERACTION": "A call, email, meeting, note or purchase",
            "PRODUCT": "Something we sell",
            "DEAL": "A chance of a sale",
            "PIPELINE": "Ordered stages of deals",
            "TICKET": "A request for help",
            "QUEUE": "An ordered set of waiting tickets",
            "ARTICLE": "A text of the knowledge base",
            "MEMBER": "A person of the workspace",
            "EXPORT": "A compliance bundle",
            "IMPORT": "A file being taken in",
            "REVERT": "Much being taken back",
            "SUBJECT_REQUEST": "A data subject's request",
        }.items()
    },
)

__all__ = [
    "Action",
    "ActorKind",
    "ChangeKind",
    "EntityType",
    "Interval",
    "OrderDirection",
    "RecordStatus",
    "Scope",
    "UserErrorCode",
    "describe",
]
