"""Every aggregate there is, and so every event. The composition root hands them to the store."""

from collections.abc import Mapping
from typing import Any, Final

from crm_es.access.noticing import ACCESS
from crm_es.contacts.company import COMPANY
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import changeable_fields
from crm_es.interactions.interaction import INTERACTION
from crm_es.ledger.log_events import LEDGER
from crm_es.sales.deal import DEAL
from crm_es.sales.pipeline import PIPELINE
from crm_es.sales.product import PRODUCT
from crm_es.service.article import ARTICLE
from crm_es.service.queue import QUEUE
from crm_es.service.sla_policy import SLA_POLICY
from crm_es.service.ticket_aggregate import TICKET
from crm_es.workspaces.api_key import API_KEY
from crm_es.workspaces.export import EXPORT
from crm_es.workspaces.member import MEMBER
from crm_es.workspaces.role import ROLE
from crm_es.workspaces.saved_view import SAVED_VIEW
from crm_es.workspaces.team import TEAM
from crm_es.workspaces.workspace import WORKSPACE

AGGREGATES: Final[tuple[Aggregate[Any, Any], ...]] = (
    WORKSPACE,
    MEMBER,
    TEAM,
    ROLE,
    API_KEY,
    SAVED_VIEW,
    CONTACT,
    COMPANY,
    INTERACTION,
    PRODUCT,
    PIPELINE,
    DEAL,
    QUEUE,
    TICKET,
    ARTICLE,
    SLA_POLICY,
    LEDGER,
    ACCESS,
    EXPORT,
)
EVENT_CLASSES: Final = tuple(event for aggregate in AGGREGATES for event in aggregate.events)


def sources_of(type_name: str) -> Mapping[str, frozenset[str]]:
    """Of each field, as the API names it, that events of such records (`Contact`, `SavedView`) may change: it, and what it
    follows from.
    """
    found = {name: frozenset({name}) for name in changeable_of(type_name)}
    derived = (item for one in _named(type_name) for item in one.derived.items())
    return found | {name: of | {name} for name, of in derived}


def changeable_of(type_name: str) -> frozenset[str]:
    """Names, as in the API, of the fields that events of such records (`Contact`, `SavedView`) may change."""
    return frozenset(name for one in _named(type_name) for event in one.events for name in changeable_fields(event))


def _named(type_name: str) -> list[Aggregate[Any, Any]]:
    return [one for one in AGGREGATES if one.name.replace("_", "") == type_name.lower()]
