"""A small CRM of our own, declared as a room would: the tests read it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry.schema.config import StrawberryConfig

from crm_es.api.accounting import Executor
from crm_es.api.enums import describe
from crm_es.api.nodes import Money, Node
from crm_es.api.scalars import SCALARS, Position
from crm_es.projector.contract import Table
from crm_es.reads import filters, records
from crm_es.reads.declare import (
    Argument,
    Beside,
    Condition,
    Link,
    Orders,
    Owned,
    Source,
    batched,
    column,
    computed,
    connection,
    either,
    id_of,
    lookup,
    many,
    merged,
    money,
    named,
    named_value,
    one,
    read_type,
    values,
)
from crm_es.reads.model import Connection, read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query as SqlQuery
from tests.reads.small_tables import ACTIVITY, COMPANY, CONTACT, EMAIL, EVENT, GUEST, LETTER, MEETING, MEMBER, TABLES

__all__ = ["ACTIVITY", "COMPANY", "CONTACT", "EMAIL", "EVENT", "GUEST", "LETTER", "MEETING", "MEMBER", "TABLES"]

NAME = "small"
VERSION = 1
TOPICS = frozenset[str]()


class RecordStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class Stage(StrEnum):
    LEAD = "LEAD"
    CUSTOMER = "CUSTOMER"


describe(RecordStatus, "Where it is.", ACTIVE="In use.", ARCHIVED="Put away.")
describe(Stage, "How far.", LEAD="Not yet.", CUSTOMER="Bought.")


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


@strawberry.interface(description="Something that happened with somebody.")
class Happening(Node):
    occurred_at: datetime = strawberry.field(description="When.")


def private(wanted: bool) -> Condition:
    return lambda query, alias: SQL("{} = {}").format(Identifier(alias, "private"), query.bind(wanted, "bool"))


def subjects(wanted: list[str]) -> Condition:
    return lambda query, alias: SQL("{} = ANY ({})").format(Identifier(alias, "subject"), query.bind(wanted, "text[]"))


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
    timeline = merged(
        Connection(
            target=lambda: Meeting, via=MEETINGS,
            arguments=(Argument(name="private", type=bool | None, description="Meetings.", where=private),),
        ),
        Connection(
            target=lambda: Letter, via="contact_id", default=(("occurred_at", "DESC"),),
            arguments=(Argument(name="subjects", type=list[str] | None, description="Letters.", where=subjects),),
        ),
        name="HappeningConnection", node=lambda: Happening, among=lambda given: (0, 1) if given["letters"] else (0,),
        arguments=(
            Argument(name="private", type=bool | None, description="Meetings."),
            Argument(name="subjects", type=list[str] | None, description="Letters."),
            Argument(name="letters", type=bool, default=True, description="With letters."),
        ),
        description="Meetings and letters.",
    )  # fmt: skip


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
class Meeting(Thing, Happening):
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


@strawberry.type(description="How a letter came.")
class Post:
    stamped: bool = strawberry.field(description="Paid for.")
    by: Member | None = named(lambda: Member, lambda post: post.sent, "Who sent it.")
    name: str | None = named_value("name", (by,), "What to call them.")
    sent: strawberry.Private[tuple[Moment, UUID] | None]


def _post(moment: Moment, sender: UUID | None) -> list[Post]:
    sent = None if sender is None else (moment, sender)
    return [Post(stamped=True, sent=sent), Post(stamped=False, sent=None)]


async def _neighbours(_reads: object, letters: Sequence[Any], given: Mapping[str, Any]) -> list[str | None]:
    """How many there are of its contact's letters, in words."""
    moment, read = records.moment_of(letters[0]), read_of(Letter)
    query = moment.query()
    of = query.bind([records.raw(letter, "contact_id") for letter in letters], "uuid[]")
    chosen = query.select(read.source, "t", ("contact_id",), lambda: [SQL("t.contact_id = ANY ({})").format(of)])
    rows = await moment.rows(query, SQL("SELECT c.contact_id, count(*) FROM ({}) AS c GROUP BY 1").format(chosen))
    counts = dict(rows)
    return [given["word"] * counts[records.raw(letter, "contact_id")] or None for letter in letters]


@read_type(source(LETTER), entity="TICKET", owned=Owned(column="sender_id", member=lambda: Member))
class Letter(Happening):
    """A letter."""

    id: strawberry.ID = id_of("id", "Letter", "Its own.")
    occurred_at: datetime = column("occurred_at", "When.")
    subject: str | None = column("subject", "About what.", sensitive=True)
    sender = one("sender_id", lambda: Member, "Who wrote it.")
    about = either("about_kind", "about_id", {"FIRM": lambda: Company, "PERSON": lambda: Contact}, Thing, "Whom of.")
    post: list[Post] | None = computed(_post, ("sender_id",), "How it came.", contextual=True, nulls=True)
    neighbours: str | None = batched(
        _neighbours, str | None, "How many more.", columns=("contact_id",), sensitive=True,
        arguments=(Argument(name="word", type=str, default="x", description="For each."),),
    )  # fmt: skip


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
    Query, config=StrawberryConfig(scalar_map=SCALARS), types=[Member, Letter], execution_context_class=Executor
)
