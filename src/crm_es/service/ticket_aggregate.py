"""What the store asks about a ticket: what it reserves, what its fields answer, what an event touches, whose data it holds."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import get_args
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate, Ref
from crm_es.eventstore.event import Erased, Reservation, changed_fields
from crm_es.service.ticket import Ticket, evolve
from crm_es.service.ticket_events import (
    TicketArticlesLinked,
    TicketArticlesUnlinked,
    TicketEvent,
    TicketReplied,
    TicketTagged,
    TicketUntagged,
)
from crm_es.values import joint_key


def reservations(stream: UUID, ticket: Ticket) -> frozenset[Reservation]:
    """Its external ids, merged or not: they lead to the survivor."""
    keys = (joint_key("ticket", one.system, one.value) for one in ticket.external_ids)
    return frozenset(Reservation(kind="external_id", value=key, holder=stream) for key in keys)


def subjects(stream: UUID, ticket: Ticket) -> tuple[UUID, ...]:  # noqa: ARG001  # it belongs to whom it is about
    return (ticket.requester_id,) if ticket.requester_id else ()


def fields(ticket: Ticket) -> Mapping[str, object]:
    """The state as the API answers it."""
    return {
        "title": _plain(ticket.title),
        "status": ticket.status.value,
        "holdReason": ticket.hold_reason.value if ticket.hold_reason else None,
        "priority": ticket.priority.value,
        "type": ticket.type.value,
        "tags": list(ticket.tags),
        "queue": _ref("Queue", ticket.queue_id),
        "assignee": _ref("Member", ticket.assignee_id),
        "requester": _ref("Contact", ticket.requester_id),
        "company": _ref("Company", ticket.company_id),
        "mergedInto": _ref("Ticket", ticket.merged_into),
        "absorbed": [Ref(type="Ticket", id=one) for one, _ in ticket.absorbed],
        "followUpOf": _ref("Ticket", ticket.follow_up_of_id),
        "splitFrom": _ref("Ticket", ticket.split_from_id),
        "openedAt": _moment(ticket.opened_at),
        "resolvedAt": _moment(ticket.resolved_at),
        "closedAt": _moment(ticket.closed_at),
        "resolution": _plain(ticket.resolution),
        "articles": [Ref(type="Article", id=one) for one in ticket.article_ids],
        "satisfaction": ticket.satisfaction,
        "satisfactionComment": _plain(ticket.comment),
        "externalIds": [{"system": one.system, "value": one.value} for one in ticket.external_ids],
    }


def touches(event: TicketEvent) -> Iterable[tuple[str, str | None]]:
    """Tags and articles one by one. Two messages never meet."""
    match event:
        case TicketTagged(tags=tags) | TicketUntagged(tags=tags):
            return [("tags", tag) for tag in tags]
        case TicketArticlesLinked(article_ids=ids) | TicketArticlesUnlinked(article_ids=ids):
            return [("articles", str(one)) for one in ids]
        case TicketReplied(interaction_id=interaction):
            return [("conversation", str(interaction))]
        case _:
            return [(name, None) for name in changed_fields(event)]


def _plain(value: str | Erased | None) -> str | None:
    return None if isinstance(value, Erased) else value


def _ref(type: str, id: UUID | None) -> Ref | None:
    return Ref(type=type, id=id) if id else None


def _moment(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


TICKET: Aggregate[Ticket, TicketEvent] = Aggregate(
    name="ticket",
    events=get_args(TicketEvent),
    evolve=evolve,
    reservations=reservations,
    fields=fields,
    elsewhere=frozenset({"conversation", "sla"}),
    derived={
        "slaDueAt": frozenset({"sla", "status", "holdReason", "priority", "queue", "conversation"}),
        "firstRespondedAt": frozenset({"conversation"}),
    },
    touches=touches,
    subjects=subjects,
    merged_into=lambda ticket: ticket.merged_into,
)
