"""Contacts and companies as they are: profiles, their emails, phones, identities, external ids and tags, for pages and lists.

Absorbed contacts keep their rows and say whom they were merged into. Counts of interactions are in `interactions`.
"""

from collections.abc import Sequence

from crm_es.contacts.company import CompanyEvent
from crm_es.contacts.contact_events import ContactEvent
from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from projections.contact_profiles import companies, contacts
from projections.contact_profiles.tables import TABLES as TABLES

NAME = "contact_profiles"
VERSION = 2
TOPICS = frozenset(e.TOPIC for union in (ContactEvent, CompanyEvent) for e in union.__args__)


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    names = contacts.known_names(batch, facts)
    for fact in facts:
        if fact.topic.startswith("contact."):
            contacts.apply(batch, fact, names)
        else:
            companies.apply(batch, fact)
