"""Tickets as the API shows them, and where to find them."""

from datetime import datetime
from typing import Any, Final, LiteralString

import strawberry
from psycopg.sql import SQL, Composable, Identifier

from crm_es.api.nodes import Entity
from crm_es.contacts import company_graphql
from crm_es.contacts import graphql as contact_graphql
from crm_es.contacts.parts import ExternalId, external_ids
from crm_es.interactions import graphql as interaction_graphql
from crm_es.interactions.timeline import OF_ITSELF, timeline
from crm_es.reads import filters
from crm_es.reads.declare import (
    Argument,
    Condition,
    Link,
    Orders,
    Owned,
    Source,
    State,
    batched,
    column,
    computed,
    connection,
    lookup,
    many,
    one,
    read_type,
)
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query
from crm_es.service import article_graphql, queue_graphql
from crm_es.service.sla_graphql import SlaClock, broken, sla_clocks
from crm_es.service.vocabulary import HoldReason, Priority, TicketStatus, TicketType
from crm_es.workspaces import graphql as workspaces
from crm_es.workspaces.actions import GONE, Action
from projections import service_queues
from projections.service_queues import tables


def _source(table: Any) -> Source:
    return Source(service_queues.NAME, table)


_CLOSED: Final = frozenset(Action) - {Action.ASSIGN}


def _left(status: str) -> frozenset[Action] | None:
    """What the state of a ticket leaves to do; None: everything."""
    if status == TicketStatus.MERGED:
        return GONE
    return _CLOSED if status == TicketStatus.CLOSED else None


def _seconds(moment: Moment, began: datetime, ended: datetime | None) -> int:
    """What is still so goes on until now."""
    now: Any = moment.viewer.now
    return max(0, int(((ended or now) - began).total_seconds()))


def _lasts(_query: Query, alias: LiteralString) -> Composable:
    """What began and ended at one moment never was."""
    return SQL("{} IS DISTINCT FROM {}").format(Identifier(alias, "from_at"), Identifier(alias, "to_at"))


def _internal(internal: bool) -> Condition:
    return lambda query, alias: SQL("{} = {}").format(Identifier(alias, "internal"), query.bind(internal, "bool"))


@read_type(_source(tables.INTERVAL), key=None)
class StatusInterval:
    """How a ticket stood, where and with whom, from one moment up to another in the world."""

    status: TicketStatus = column("status", "How it stood.", render=TicketStatus)
    hold_reason: HoldReason | None = column("hold_reason", "Whom or what it waited for.", render=HoldReason)
    queue = one("queue_id", lambda: queue_graphql.Queue, "In which queue.", null=False)
    assignee = one("assignee_id", lambda: workspaces.Member, "Who had it.")
    from_: datetime = column("from_at", "Since when.", called="from")
    to: datetime | None = column("to_at", "Until when, itself not included; null: still.")
    seconds: int = computed(_seconds, ("from_at", "to_at"), "How long, up to now where it still is.", contextual=True)


@read_type(
    _source(tables.TICKET),
    entity="TICKET",
    label="title",
    orders=Orders(
        columns={
            "SLA_DUE_AT": "sla_due_at",
            "PRIORITY": "priority_rank",
            "NUMBER": "number",
            "OPENED_AT": "opened_at",
            "UPDATED_AT": "updated_at",
        },
        default=(("OPENED_AT", "DESC"),),
    ),
    filter=lambda: TicketFilter,
    owned=Owned(column="assignee_id", member=lambda: workspaces.Member),
    state=State(columns=("status",), leaves=_left),
)
class Ticket(Entity):
    """A request for help."""

    number: int = column("number", "Counts the workspace's tickets in the order they were recorded.")
    title: str | None = column("title", "What it is about, in a line.")
    status: TicketStatus = column("status", "Where it is in its life.", render=TicketStatus)
    hold_reason: HoldReason | None = column("hold_reason", "Whom or what it waits for.", render=HoldReason)
    priority: Priority = column("priority", "How much it matters.", render=Priority)
    type: TicketType = column("type", "What kind of help is asked for.", render=TicketType)
    tags: list[str] | None = column("tags", "Words on the record.")
    queue = one("queue_id", lambda: queue_graphql.Queue, "Where it waits.", null=False)
    assignee = one("assignee_id", lambda: workspaces.Member, "Who has it.")
    requester = one("requester_means_id", lambda: contact_graphql.Contact, "Who asks for help.")
    company = one("company_id", lambda: company_graphql.Company, "The company it is for.")
    merged_into = one("merged_into", lambda: Ticket, "The ticket that absorbed this one.")
    absorbed = many(
        lambda: Ticket, via="merged_into", order=("number",), description="The tickets merged into this one."
    )
    follow_up_of = one("follow_up_of_id", lambda: Ticket, "The closed ticket that this one follows up.")
    split_from = one("split_from_id", lambda: Ticket, "The ticket that this one was a part of.")
    opened_at: datetime = column("opened_at", "When help was asked for.")
    first_responded_at: datetime | None = column("first_responded_at", "When we first wrote to the customer.")
    resolved_at: datetime | None = column("resolved_at", "When it was resolved; null once it is reopened.")
    closed_at: datetime | None = column("closed_at", "When it was closed; null once it is reopened.")
    resolution: str | None = column("resolution", "What was done about it.")
    articles = many(
        lambda: article_graphql.Article, via=Link(source=_source(tables.ARTICLE), parent="ticket_id", child="article_id"),
        order=("title_folded",), description="The articles that help with it.",
    )  # fmt: skip
    satisfaction: int | None = column("satisfaction", "1 to 5, as the customer said.")
    satisfaction_comment: str | None = column("satisfaction_comment", "What the customer said about it.")
    sla_due_at: datetime | None = column("sla_due_at", "The next running clock's, to sort and count down by.")
    sla: list[SlaClock] = batched(sla_clocks, list[SlaClock], "Its promises, in the order they began.", columns=("id",))
    status_intervals = many(
        lambda: StatusInterval, via="ticket_id", order=("number",), where=_lasts,
        description="How it stood from its opening on, without gaps.",
    )  # fmt: skip
    external_ids: list[ExternalId] | None = external_ids(_source(tables.EXTERNAL_ID), via="ticket_id")
    conversation = connection(
        lambda: interaction_graphql.Interaction, via="ticket_means_id", filter=False, order=False,
        default=(("occurred_at", "ASC"),),
        arguments=(
            Argument(
                name="internal", type=bool | None, where=_internal,
                description="Only internal notes, or only what customers may see.",
            ),
        ),
        description="What was written on it and on the tickets merged into it, oldest first.",
    )  # fmt: skip
    timeline = timeline(lambda: interaction_graphql.Interaction, via="ticket_means_id", milestones=OF_ITSELF)


TicketFilter: Any = filters.filter_type(
    "TicketFilter",
    lambda: Ticket,
    id=filters.by_id("id", "Ticket"),
    number=filters.number("number"),
    status=filters.choice("status", TicketStatus),
    priority=filters.choice("priority", Priority),
    type=filters.choice("type", TicketType),
    queue_id=filters.by_id("queue_id", "Queue", fields=("queue",)),
    assignee_id=filters.by_member("assignee_id", lambda: workspaces.Member, fields=("assignee",)),
    requester_id=filters.by_id("requester_means_id", "Contact", fields=("requester",)),
    company_id=filters.by_id("company_id", "Company", fields=("company",)),
    tag=filters.child(_source(tables.TAG), "ticket_id", filters.text("tag", folded="tag_folded"), fields=("tags",)),
    sla_due_at=filters.moment("sla_due_at"),
    breached=filters.always(broken),
    opened_at=filters.moment("opened_at"),
    resolved_at=filters.moment("resolved_at"),
    updated_at=filters.moment("updated_at"),
    external_id=filters.external_id(_source(tables.EXTERNAL_ID), "ticket_id"),
)


@strawberry.type
class TicketQueries:
    ticket = lookup(lambda: Ticket, "A ticket by id; one that was merged answers as itself.")
    tickets = connection(lambda: Ticket, description="Tickets, newest first unless ordered otherwise.")
