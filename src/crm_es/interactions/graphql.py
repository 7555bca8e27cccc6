"""Interactions as the API shows them, and where to find them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Identifier

from crm_es.api.nodes import Entity, Money
from crm_es.api.rules import PARENT, ruled
from crm_es.contacts import company_graphql
from crm_es.contacts import graphql as contact_graphql
from crm_es.errors import InvalidInputError
from crm_es.interactions.enums import Direction, InteractionType, ParticipantPart, TextFormat, Visibility
from crm_es.interactions.preview import LONGEST, beginning, needed
from crm_es.interactions.timeline import LINKS, TimelineItem
from crm_es.reads import filters, operands, records
from crm_es.reads.connections import Listing, summed
from crm_es.reads.declare import (
    Argument,
    Link,
    Orders,
    Owned,
    Source,
    batched,
    column,
    computed,
    connection,
    lookup,
    many,
    money,
    named,
    one,
    read_type,
)
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import TRUE, Query
from crm_es.sales import graphql as sales_graphql
from crm_es.service import ticket_graphql
from crm_es.values import Money as Amount
from crm_es.workspaces import graphql as workspaces
from projections import interactions


@ruled(PARENT)
@strawberry.type(description="Somebody who took part.")
class Participant:
    part: ParticipantPart = strawberry.field(description="In which part.")
    address: str | None = strawberry.field(description="The address or number used.")
    moment: strawberry.Private[Moment]
    contact_id: strawberry.Private[UUID | None]
    member_id: strawberry.Private[UUID | None]

    contact = named(
        lambda: contact_graphql.Contact, lambda one: one.contact_id and (one.moment, one.contact_id),
        "A contact, if you may see it.",
    )  # fmt: skip
    member = named(lambda: workspaces.Member, lambda one: one.member_id and (one.moment, one.member_id), "A colleague.")


def _participants(moment: Moment, rows: Sequence[Mapping[str, Any]]) -> list[Participant]:
    return [
        Participant(
            part=ParticipantPart(row["part"]),
            address=row["address"],
            moment=moment,
            contact_id=row["contact_id"] and UUID(row["contact_id"]),
            member_id=row["member_id"] and UUID(row["member_id"]),
        )
        for row in rows
    ]


async def _preview(_reads: Any, found: Sequence[Any], given: Mapping[str, Any]) -> list[str | None]:
    length = given["length"]
    if not 1 <= length <= LONGEST:
        raise InvalidInputError(f"A preview has 1 to {LONGEST} characters.", rule="preview.length", field=("length",))
    moment = records.moment_of(found[0])
    query = moment.query()
    ids = query.bind([records.raw(each, "id") for each in found], "uuid[]")
    most = query.bind(needed(length), "int")
    rows = await moment.rows(query, _beginnings(query, ids, most))
    texts = {id_: beginning(body, TextFormat(format_), length) for id_, body, format_ in rows if body is not None}
    return [texts.get(records.raw(each, "id")) for each in found]


def _beginnings(query: Query, ids: Composable, most: Composable) -> Composable:
    inner = query.select(
        SOURCE, "t", ("id", "body", "body_format"), lambda: [SQL("{} = ANY ({})").format(Identifier("t", "id"), ids)]
    )
    return SQL("SELECT b.id, left(b.body, {}), b.body_format FROM ({}) AS b").format(most, inner)


def _visible(query: Query, alias: LiteralString) -> Composable:
    """SHARED ones; one's own and those one took part in; a TEAM's of one's team. Auditors see all."""
    viewer = query.viewer
    if viewer.audits("INTERACTION"):
        return TRUE
    me, members = query.bind(viewer.member_id, "uuid"), read_of(workspaces.Member)
    member, visibility = Identifier(alias, "member_id"), Identifier(alias, "visibility")
    return SQL(
        "({visibility} = 'SHARED' OR {member} = {me}"
        " OR ({me} IS NOT NULL AND {participants} @> jsonb_build_array(jsonb_build_object('member_id', {me}::text)))"
        " OR ({visibility} = 'TEAM' AND {team}))"
    ).format(
        visibility=visibility, member=member, me=me, participants=Identifier(alias, "participants"),
        team=operands.in_team(query, member, members, records.my_team(query, members)),
    )  # fmt: skip


@ruled(PARENT)
@strawberry.type(description="What a list of interactions adds up to.")
class InteractionSummary:
    count: int = strawberry.field(description="How many there are.")
    amount: list[Money] | None = strawberry.field(
        description="One a currency, since nothing is converted; null where amounts are masked for you."
    )
    quantity: Decimal | None = strawberry.field(description="The sum of their quantities; null where none has one.")


async def _summary(self: Listing) -> InteractionSummary:
    found = sorted(await self.sums("amount_currency", ("amount_minor", "quantity")), key=lambda row: row[0] or "")
    quantities = [quantity for *_, quantity in found if quantity is not None]
    amounts = [
        Money(amount=Amount(int(minor), currency).amount, currency=currency)
        for currency, _, minor, _ in found
        if currency is not None and minor is not None
    ]
    return InteractionSummary(
        count=sum(count for _, count, *_ in found),
        amount=None if self.masks("amount") else amounts,
        quantity=sum(quantities, Decimal(0)) if quantities else None,
    )


SOURCE = Source(interactions.NAME, interactions.INTERACTION)


@read_type(
    SOURCE,
    entity="INTERACTION",
    label="subject",
    orders=Orders(
        columns={"OCCURRED_AT": "occurred_at", "CREATED_AT": "created_at"}, default=(("OCCURRED_AT", "DESC"),)
    ),
    filter=lambda: InteractionFilter,
    owned=Owned(column="member_id", member=lambda: workspaces.Member),
    hidden=_visible,
)
class Interaction(Entity, TimelineItem):
    """A call, email, meeting, note or purchase, recorded once on the timeline of those who took part."""

    __connection__ = {  # noqa: RUF012  # read when the connection type is made
        "summary": summed(_summary, "What the whole list adds up to. Worked out only when asked for.")
    }

    type: InteractionType = column("type", "What kind it was.", render=InteractionType)
    direction: Direction | None = column("direction", "Who began it.", render=Direction)
    channel: str | None = column("channel", "Where it was taken from, as `gmail`.")
    external_id: str | None = column("external_id", "Its id there. Unique together: ingesting twice records once.")
    subject: str | None = column("subject", "What it was about.")
    preview: str | None = batched(
        _preview, str | None, "The first characters of the body as plain text, for lists.",
        arguments=(Argument(name="length", type=int, default=200, description=f"How many: 1 to {LONGEST}."),),
        columns=("id",), sensitive=True,
    )  # fmt: skip
    body: str | None = column("body", "All of the text.", lazy=True, sensitive=True)
    body_format: TextFormat = column("body_format", "How the text is written.", render=TextFormat)
    occurred_at: datetime = column("occurred_at", "When it happened in the world.")
    duration_seconds: int | None = column("duration_seconds", "How long it took.")
    amount: Money | None = money("amount_minor", "amount_currency", "Of a purchase.")
    quantity: Decimal | None = column("quantity", "How many things were bought.")
    contacts = many(
        lambda: contact_graphql.Contact,
        via=Link(source=LINKS, parent="interaction_id", child="canonical_id"),
        order=("display_name_folded",),
        description="Those you may see; `participants` with their part and the address used.",
    )
    participants: list[Participant] | None = computed(
        _participants, ("participants",), "Who took part, in which part.", contextual=True, sensitive=True
    )
    company = one("company_id", lambda: company_graphql.Company, "The company it was with.")
    deal = one("deal_id", lambda: sales_graphql.Deal, "The deal it was about.")
    ticket = one("ticket_means_id", lambda: ticket_graphql.Ticket, "The ticket it was about.")
    member = one("member_id", lambda: workspaces.Member, "The colleague whose interaction it was.")
    visibility: Visibility = column("visibility", "Who in the workspace sees it.", render=Visibility)
    internal: bool = column("internal", "True: never to be shown to customers.")
    corrected_at: datetime | None = column("corrected_at", "When it was last corrected.")
    redacted_at: datetime | None = column("redacted_at", "When passages were cut out for ever.")


InteractionFilter: Any = filters.filter_type(
    "InteractionFilter",
    lambda: Interaction,
    type=filters.choice("type", InteractionType),
    direction=filters.equals("direction", Direction, "text"),
    channel=filters.text("channel"),
    external_id=filters.text("external_id"),
    contact_id=filters.child(LINKS, "interaction_id", filters.by_id("canonical_id", "Contact"), fields=("contacts",)),
    company_id=filters.by_id("company_id", "Company", fields=("company",)),
    deal_id=filters.by_id("deal_id", "Deal", fields=("deal",)),
    ticket_id=filters.by_id("ticket_means_id", "Ticket", fields=("ticket",)),
    member_id=filters.by_member("member_id", lambda: workspaces.Member, fields=("member",)),
    amount=filters.amount("amount_minor", "amount_currency"),
    internal=filters.equals("internal", bool, "bool"),
    occurred_at=filters.moment("occurred_at"),
    created_at=filters.moment("created_at"),
)


@strawberry.type
class InteractionQueries:
    interaction = lookup(lambda: Interaction, "An interaction by id.")
    interactions = connection(lambda: Interaction, description="Interactions, newest first unless ordered otherwise.")
