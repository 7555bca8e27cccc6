"""Queues and tickets: what waits and what was done with it, for lists, pages, and how it stood at any business moment.

A ticket's number is given here, in the order of the log. Its requester is kept as recorded and as who that id means now
(`requester_means_id`, re-keyed by merges of contacts). What was written on it is in `interactions`.
"""

from collections.abc import Sequence

from crm_es.contacts import contact_events as c
from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.service.queue import QueueEvent
from crm_es.service.sla_policy import SlaPolicyPublished
from crm_es.service.ticket_events import TicketEvent
from projections.service_queues import policies, queues, requesters, tickets
from projections.service_queues.tables import TABLES as TABLES

NAME = "service_queues"
VERSION = 5
_Contact = c.ContactMerged | c.ContactReleased
TOPICS = frozenset(e.TOPIC for union in (QueueEvent, TicketEvent, _Contact) for e in union.__args__) | {
    SlaPolicyPublished.TOPIC
}


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    page = tickets.Page.read(batch, facts)
    for fact in facts:
        if fact.topic.startswith("ticket."):
            page.apply(batch, fact)
        elif fact.topic.startswith("queue."):
            queues.apply(batch, fact)
        elif fact.topic.startswith("sla_policy."):
            policies.apply(batch, fact)
        else:
            requesters.rekey(batch, fact, page.meanings)
