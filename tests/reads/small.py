"""A small CRM of our own, declared as a room would: the tests read it."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry.schema.config import StrawberryConfig

from crm_es.api.accounting import Executor
from crm_es.api.enums import describe
from crm_es.api.nodes import Money, Node
from crm_es.api.scalars import SCALARS, Position
from crm_es.projector.contract import Column, Index, Table
from crm_es.reads import filters
from crm_es.reads.declare import (
    Argument,
    Beside,
    Condition,
    Link,
    Orders,
    Owned,
    Source,
    column,
    computed,
    connection,
    lookup,
    many,
    money,
    one,
    read_type,
    values,
)
from crm_es.reads.sql import Query as SqlQuery

NAME = "small"
VERSION = 1


class RecordStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class Stage(StrEnum):
    LEAD = "LEAD"
    CUSTOMER = "CUSTOMER"


describe(RecordStatus, "Where it is.", ACTIVE="In use.", ARCHIVED="Put away.")
describe(Stage, "How far.", LEAD="Not yet.", CUSTOMER="Bought.")

_ENTITY = (
    Column(name="id", type="uuid"),
    Column(name="version", type="int"),
    Column(name="record_status", type="text"),
    Column(name="created_at", type="timestamptz"),
    Column(name="updated_at", type="timestamptz"),
)
CONTACT = Table(
    name="contact",
    columns=(
        *_ENTITY,
        Column(name="display_name", type="text", personal=True),
        Column(name="company_id", type="uuid", null=True),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="stage", type="text"),
        Column(name="tags", type="text[]", personal=True),
        Column(name="last_at", type="timestamptz", null=True),
        Column(name="note", type="text", null=True),
        Column(name="phones", type="jsonb", personal=True),
    ),
    indexes=(
        Index(name="name", columns=("display_name",), order=True),
        Index(name="created", columns=("created_at",), order=True),
        Index(name="last", columns=("last_at",), descending=True, order=True),
        Index(name="company", columns=("company_id", "display_name"), order=True),
    ),
)
COMPANY = Table(
    name="company",
    columns=(
        *_ENTITY,
        Column(name="name", type="text"),
        Column(name="revenue_minor", type="bigint", null=True),
        Column(name="revenue_currency", type="text", null=True),
    ),
    indexes=(
        Index(name="name", columns=("name",), order=True),
        Index(name="created", columns=("created_at",), order=True),
    ),
)
ACTIVITY = Table(
    name="activity",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="meeting_count", type="int"),
        Column(name="last_met_at", type="timestamptz", null=True),
    ),
    indexes=(
        Index(name="last", columns=("last_met_at",), order=True),
        Index(name="last_down", columns=("last_met_at",), order=True, descending=True),
    ),
)
EVENT = Table(
    name="event",
    columns=(Column(name="stream_id", type="uuid"), Column(name="type", type="text")),
    key=("position",),
    versioned=False,
    indexes=(Index(name="type", columns=("type",), order=True), Index(name="stream", columns=("stream_id",))),
)
EMAIL = Table(
    name="email",
    columns=(
        Column(name="contact_id", type="uuid"),
        Column(name="address", type="text"),
        Column(name="is_primary", type="bool"),
        Column(name="removed", type="bool"),
    ),
    key=("contact_id", "address"),
)
MEETING = Table(
    name="meeting",
    columns=(
        *_ENTITY,
        Column(name="subject", type="text"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="private", type="bool"),
    ),
    indexes=(Index(name="occurred", columns=("occurred_at",), order=True),),
)
GUEST = Table(
    name="guest",
    columns=(
        Column(name="contact_id", type="uuid"),
        Column(name="meeting_id", type="uuid"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="removed", type="bool"),
    ),
    key=("contact_id", "meeting_id"),
    indexes=(Index(name="time", columns=("contact_id", "occurred_at"), order=True),),
)
MEMBER = Table(
    name="member",
    columns=(*_ENTITY, Column(name="name", type="text"), Column(name="team_id", type="uuid", null=True)),
)
TABLES = (CONTACT, COMPANY, ACTIVITY, EVENT, EMAIL, MEETING, GUEST, MEMBER)
TOPICS = frozenset[str]()


def source(table: Table) -> Source:
    return Source(NAME, table)


@strawberry.interface(description="A record of the small CRM.")
class Thing(Node):
    label: str | None = strawberry.field(description="What to call it.")


def past() -> Any:
    """Our own, instead of the product's audit trail."""
    return connection(lambda: Event, via="stream_id", description="What happened.", filter=False)


@read_type(source(MEMBER), entity="MEMBER", label="name", team="team_id")
class Member(Thing):
    """Somebody who works here."""

    name: str = column("name", "As colleagues say.")
    history = past()


@read_type(
    source(COMPANY),
    entity="COMPANY",
    label="name",
    orders=Orders(columns={"NAME": "name", "CREATED_AT": "created_at"}, default=(("NAME", "ASC"),)),
    filter=lambda: CompanyFilter,
    listed=("record_status", "ACTIVE"),
)
class Company(Thing):
    """An organisation."""

    name: str = column("name", "Its name.")
    history = past()
    record_status: RecordStatus = column("record_status", "In use or not.", render=RecordStatus)
    revenue: Money | None = money("revenue_minor", "revenue_currency", "A year.")
    contacts = connection(lambda: Contact, via="company_id", description="Who works there.")


@strawberry.type(description="A telephone number.")
class Phone:
    number: str = strawberry.field(description="E.164")


@read_type(source(EMAIL), key=None)
class Email:
    """An address."""

    address: str = column("address", "As given.")
    primary: bool = column("is_primary", "The one to use.")


def primary(wanted: bool) -> Condition:
    return lambda _query, alias: SQL("{} = {}").format(Identifier(alias, "is_primary"), SQL(str(wanted)))


MEETINGS = Link(source=source(GUEST), parent="contact_id", child="meeting_id", orders={"occurred_at": "occurred_at"})


@read_type(
    source(CONTACT),
    entity="CONTACT",
    label="display_name",
    orders=Orders(
        columns={
            "DISPLAY_NAME": "display_name",
            "CREATED_AT": "created_at",
            "LAST_AT": "last_at",
            "STAGE": "stage",
            "LAST_MET_AT": Beside(source(ACTIVITY), "last_met_at"),
        },
        default=(("CREATED_AT", "DESC"),),
    ),
    filter=lambda: ContactFilter,
    owned=Owned(column="owner_id", member=lambda: Member),
    listed=("record_status", "ACTIVE"),
)
class Contact(Thing):
    """A person."""

    display_name: str | None = column("display_name", "As called.")
    shouted: str | None = computed(
        lambda name, *, times=1: name.upper() + "!" * times,
        ("display_name",),
        "Louder.",
        arguments=(Argument(name="times", type=int, default=1, description="How much."),),
    )
    record_status: RecordStatus = column("record_status", "In use or not.", render=RecordStatus)
    stage: Stage = column("stage", "How far.", render=Stage)
    tags: list[str] | None = column("tags", "Words.")
    last_at: datetime | None = column("last_at", "When last met.")
    note: str | None = column("note", "Long.", lazy=True)
    phones: list[Phone] | None = values("phones", lambda item: Phone(**item), "Where to call.", sensitive=True)
    company = one("company_id", lambda: Company, "Where they work.")
    meeting_count: int | None = column("meeting_count", "How often.", beside=source(ACTIVITY))
    last_met: str | None = computed(
        lambda moment, last, count: f"{last:%d.%m.%Y} ({count}) {moment.at}", ("last_met_at", "meeting_count"), "In words.",
        beside=source(ACTIVITY), contextual=True,
    )  # fmt: skip
    happenings = connection(lambda: Event, via="stream_id", description="What happened.", filter=False)
    owner = one("owner_id", lambda: Member, "Who looks after them.")
    emails = many(
        lambda: Email,
        via="contact_id",
        order=("-is_primary", "address"),
        description="Addresses.",
        null=True,
        sensitive=True,
    )
    mails = many(
        lambda: Email, via="contact_id", order=("address",), description="Those asked for.",
        arguments=(Argument(name="primary", type=bool | None, description="Only such.", where=primary),),
    )  # fmt: skip
    meetings = connection(
        lambda: Meeting,
        via=MEETINGS,
        description="When we met.",
    )


@read_type(
    source(EVENT),
    key="position",
    orders=Orders(columns={"POSITION": "position", "TYPE": "type"}, default=(("POSITION", "DESC"),)),
)
class Event:
    """Something that happened."""

    position: Position = column("position", "Where in the log.")
    type: str = column("type", "What.")


def unless_private(query: SqlQuery, alias: str) -> Composable:
    """Private ones are for auditors."""
    if query.viewer.audits("INTERACTION"):
        return SQL("true")
    return SQL("NOT {}").format(Identifier(alias, "private"))


@read_type(
    source(MEETING),
    hidden=unless_private,
    entity="INTERACTION",
    label="subject",
    orders=Orders(columns={"OCCURRED_AT": "occurred_at"}, default=(("OCCURRED_AT", "DESC"),)),
    filter=lambda: MeetingFilter,
    listed=("record_status", "ACTIVE"),
)
class Meeting(Thing):
    """A meeting."""

    subject: str = column("subject", "About what.")
    history = past()
    occurred_at: datetime = column("occurred_at", "When.")
    contacts = many(
        lambda: Contact,
        via=Link(source=source(GUEST), parent="meeting_id", child="contact_id"),
        order=("display_name",),
        description="Who was there.",
    )


CompanyFilter = filters.filter_type(
    "CompanyFilter",
    lambda: Company,
    id=filters.by_id("id", "Company"),
    record_status=filters.choice("record_status", RecordStatus),
    name=filters.text("name"),
    revenue=filters.amount("revenue_minor", "revenue_currency"),
    contacts=filters.listed("ContactListFilter", lambda: Contact, "company_id"),
)
ContactFilter = filters.filter_type(
    "ContactFilter",
    lambda: Contact,
    id=filters.by_id("id", "Contact"),
    record_status=filters.choice("record_status", RecordStatus),
    stage=filters.choice("stage", Stage),
    display_name=filters.text("display_name"),
    email=filters.child(source(EMAIL), "contact_id", filters.text("address"), fields=("emails",)),
    tag=filters.items("tags", fields=("tags",)),
    owner_id=filters.by_member("owner_id", lambda: Member, fields=("owner",)),
    company_id=filters.by_id("company_id", "Company", fields=("company",)),
    last_at=filters.moment("last_at"),
    last_met_at=filters.beside(source(ACTIVITY), filters.moment("last_met_at")),
    created_at=filters.moment("created_at"),
    company=filters.related("company_id", lambda: Company),
    meetings=filters.listed("MeetingListFilter", lambda: Meeting, MEETINGS),
)
MeetingFilter = filters.filter_type(
    "MeetingFilter",
    lambda: Meeting,
    occurred_at=filters.moment("occurred_at"),
    private=filters.equals("private", bool, "bool"),
    contact_id=filters.child(source(GUEST), "meeting_id", filters.by_id("contact_id", "Contact")),
)


@strawberry.type(description="Where reading starts.")
class Query:
    contact = lookup(lambda: Contact, "By id.")
    contacts = connection(lambda: Contact, description="All.")
    companies = connection(lambda: Company, description="All.")
    meetings = connection(lambda: Meeting, description="All.")
    events = connection(lambda: Event, description="All.", filter=False)
    members = connection(lambda: Member, description="All.", filter=False, order=False)


schema = strawberry.Schema(
    Query, config=StrawberryConfig(scalar_map=SCALARS), types=[Member], execution_context_class=Executor
)
